/* Receiving: records that lie in memory become application bytes, in the caller's vector as far as it
 * goes. */
#include "core/tls_cursor.h"
#include "core/tls_direct.h"
#include "core/tls_handshake.h"
#include "core/tls_reason.h"
#include "core/tls_transport.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RECORD_TYPE_FIRST 20 /* change_cipher_spec */
#define RECORD_TYPE_LAST 23  /* application_data */

ssize_t tls_record_length(const uint8_t header[TLS_HEADER_SIZE])
{
	size_t length = (size_t)header[3] << 8 | header[4];

	if (header[0] < RECORD_TYPE_FIRST || header[0] > RECORD_TYPE_LAST || header[1] != 3 || header[2] > 4)
		return -EPROTO;
	if (!length || length > TLS_RECORD_MAX - TLS_HEADER_SIZE)
		return -EPROTO;
	return (ssize_t)(TLS_HEADER_SIZE + length);
}

static void pending_drop(struct tls_session *session)
{
	struct tls_pending *pending = session->pending;

	session->pending = pending->next;
	if (!session->pending)
		session->pending_end = &session->pending;
	gnutls_packet_deinit(pending->packet);
	free(pending);
}

static size_t take_pending(struct tls_session *session, struct tls_cursor *to, bool peek)
{
	struct tls_pending *pending = session->pending;
	size_t total = 0;

	while (pending) {
		struct tls_pending *next = pending->next;
		size_t n = tls_cursor_copy(to, (void *)pending->data, pending->size, true);

		total += n;
		if (n < pending->size && peek)
			break;
		if (!peek) {
			pending->data += n;
			pending->size -= n;
			session->pending_size -= n;
			if (pending->size)
				break;
			pending_drop(session);
		}
		pending = next;
	}
	return total;
}

static void keep(struct tls_session *session, struct tls_pending *pending)
{
	pending->next = NULL;
	*session->pending_end = pending;
	session->pending_end = &pending->next;
	session->pending_size += pending->size;
}

/* The same for a packet, which it takes. */
static int keep_packet(struct tls_session *session, gnutls_packet_t packet, const uint8_t *data, size_t size)
{
	struct tls_pending *pending = malloc(sizeof(*pending));

	if (!pending) {
		gnutls_packet_deinit(packet);
		return GNUTLS_E_MEMORY_ERROR;
	}
	*pending = (struct tls_pending){.packet = packet, .data = data, .size = size};
	keep(session, pending);
	return 0;
}

/* Refuses renegotiation (TLS 1.2), which would put an unchecked peer in the checked one's place. */
static int refuse_renegotiation(struct tls_session *session)
{
	gnutls_alert_send(session->tls, GNUTLS_AL_WARNING, GNUTLS_A_NO_RENEGOTIATION);
	return GNUTLS_E_AGAIN;
}

/* Decrypts one record and delivers what fits.  Returns the application bytes delivered or kept, 0 for
 * none, or a GnuTLS error code, GNUTLS_E_AGAIN for a record without any. */
static ssize_t receive_one(struct tls_session *session, struct tls_cursor *to, size_t *delivered)
{
	gnutls_packet_t packet = NULL;
	gnutls_datum_t data;
	size_t n;
	ssize_t code = gnutls_record_recv_packet(session->tls, &packet);

	if (code == GNUTLS_E_REHANDSHAKE)
		return refuse_renegotiation(session);
	if (code <= 0 || !packet)
		return code;
	gnutls_packet_get(packet, &data, NULL);
	n = tls_cursor_copy(to, data.data, data.size, true);
	*delivered += n;
	if (n < data.size) {
		int error = keep_packet(session, packet, data.data + n, data.size - n);

		return error ? error : code;
	}
	gnutls_packet_deinit(packet);
	return code;
}

/* The next record, if it is there whole: half a one is never left inside GnuTLS, and no more is looked at
 * than is used.  `len` bytes are there in all.  Returns its length, what is left if that is no record
 * (GnuTLS shall see it, and say so), or 0. */
static size_t next_record(const struct tls_session *session, size_t len)
{
	size_t rest = len - session->in_len;
	ssize_t record;

	if (rest < TLS_HEADER_SIZE)
		return 0;
	record = tls_record_length(session->in + session->in_len);
	if (record < 0)
		return rest;
	return (size_t)record <= rest ? (size_t)record : 0;
}

/* Opens the record at the front past GnuTLS, into memory that is pending if it does not fit.  `*spare` is
 * such memory from the last record.  Returns false if GnuTLS should see to it. */
static bool open_directly(struct tls_session *session, size_t length, struct tls_cursor *to,
			  size_t *delivered, struct tls_pending **spare)
{
	struct tls_pending *pending = *spare ? *spare : malloc(sizeof(*pending) + TLS_RECORD_MAX);
	ssize_t size = -1;
	size_t n;

	*spare = pending;
	if (pending)
		size = tls_direct_open(&session->opening, session->in + session->in_pos, length,
				       pending->copy);
	if (size < 0)
		return false;
	session->in_pos = session->in_len += length;
	n = tls_cursor_copy(to, pending->copy, (size_t)size, true);
	*delivered += n;
	if (n == (size_t)size)
		return true;
	/* No larger than its bytes while it waits. */
	*spare = NULL;
	*pending = (struct tls_pending){.data = pending->copy + n, .size = (size_t)size - n};
	keep(session, pending);
	return true;
}

/* Follows the records through bytes that were consumed in part, to know how much of the last is missing. */
static void follow(struct tls_session *session, const uint8_t *in, size_t len)
{
	while (len) {
		size_t n = session->missing < len ? session->missing : len;

		session->missing -= n;
		in += n;
		len -= n;
		if (!len)
			break;
		session->header[session->header_len++] = *in++;
		len--;
		if (session->header_len == TLS_HEADER_SIZE) {
			session->missing = (size_t)session->header[3] << 8 | session->header[4];
			session->header_len = 0;
		}
	}
}

static bool in_record(const struct tls_session *session)
{
	return session->missing || session->header_len;
}

/* Is this code worth another try while there are more bytes? */
static bool harmless(ssize_t code)
{
	return code == GNUTLS_E_AGAIN || code == GNUTLS_E_INTERRUPTED ||
	       code == GNUTLS_E_WARNING_ALERT_RECEIVED;
}

/* Hands the next `length` bytes to GnuTLS.  Returns false if there is no use in going on: GNUTLS_E_AGAIN
 * after a ticket or key update does not mean that nothing waits, but no progress does. */
static bool open_by_gnutls(struct tls_session *session, size_t length, struct tls_cursor *to,
			   size_t *delivered)
{
	size_t before = session->in_pos;
	ssize_t code;

	session->in_len += length;
	code = receive_one(session, to, delivered);
	if (code == 0)
		session->read_closed = true;
	if (code < 0 && !harmless(code)) {
		tls_handshake_fail(session, (int)code);
		return false;
	}
	return code >= 0 || session->in_pos > before;
}

/* Decrypts until `want` bytes are delivered or pending.  With `lent`, GnuTLS has all bytes already, for
 * they may end within a record. */
static void receive_records(struct tls_session *session, size_t len, bool lent, struct tls_cursor *to,
			    size_t want, size_t *delivered)
{
	struct tls_pending *spare = NULL;
	bool open = !lent && tls_direct_begin(session, true, len), go_on = true;

	while (go_on && *delivered + session->pending_size < want && !session->read_closed) {
		/* After a warning GnuTLS may have left bytes of what it was lent. */
		size_t length = session->in_pos < session->in_len ? 0 : next_record(session, len);

		if (!length && session->in_pos == session->in_len)
			break;
		if (open && length && open_directly(session, length, to, delivered, &spare))
			continue;
		if (open)
			tls_direct_end(session, true);
		go_on = open_by_gnutls(session, length, to, delivered);
		open = !lent && go_on && tls_direct_begin(session, true, len);
	}
	if (open)
		tls_direct_end(session, true);
	free(spare);
}

static void report(struct tls_session *session, struct tls_received *ret)
{
	ret->pending = session->pending_size;
	ret->missing = session->header_len ? TLS_HEADER_SIZE - session->header_len : session->missing;
	ret->output = tls_transport_queued(session);
	ret->closed = session->read_closed;
	ret->hold = ret->pending || ret->closed || session->state == TLS_FAILED;
}

/* With the lock held. */
static int receive(struct tls_session *session, const void *in, size_t len, struct tls_cursor *to,
		   size_t want, unsigned flags, struct tls_received *ret)
{
	bool partial = (flags & TLS_RECV_PARTIAL) || in_record(session);

	if (session->state == TLS_OPEN && len) {
		tls_transport_open(session, in, partial ? len : 0);
		receive_records(session, len, partial, to, want, &ret->bytes);
		ret->consumed = tls_transport_close(session);
		if (partial)
			follow(session, in, ret->consumed);
	}
	report(session, ret);
	if (session->state == TLS_HANDSHAKING)
		return -ENOTCONN;
	return session->state == TLS_FAILED && !ret->bytes && !ret->pending ? session->error : 0;
}

int tls_session_recv(struct tls_session *session, const void *in, size_t len, const struct iovec *iov,
		     int n_iov, unsigned flags, struct tls_received *ret)
{
	struct tls_cursor to = {.iov = iov, .n = n_iov}, none = {.n = 0};
	size_t want = tls_cursor_left(&to);
	int error;

	*ret = (struct tls_received){.bytes = 0};
	pthread_mutex_lock(&session->lock);
	if (flags & TLS_RECV_PEEK) {
		error = receive(session, in, len, &none, want, flags, ret);
		ret->bytes = take_pending(session, &to, true);
	} else {
		ret->bytes = take_pending(session, &to, false);
		error = receive(session, in, len, &to, want, flags, ret);
	}
	pthread_mutex_unlock(&session->lock);
	return error;
}

int tls_session_fill(struct tls_session *session, const void *in, size_t len, size_t want, unsigned flags,
		     struct tls_received *ret)
{
	struct tls_cursor none = {.n = 0};
	int error;

	*ret = (struct tls_received){.bytes = 0};
	pthread_mutex_lock(&session->lock);
	error = receive(session, in, len, &none, want, flags, ret);
	pthread_mutex_unlock(&session->lock);
	return error;
}

size_t tls_session_pending(const struct tls_session *session)
{
	return session->pending_size;
}

int tls_session_truncated(struct tls_session *session)
{
	int result = 0;

	pthread_mutex_lock(&session->lock);
	if (!session->read_closed) {
		if (!session->reason.text[0])
			tls_reason_set(&session->reason, 0,
				       session->state == TLS_HANDSHAKING
					       ? "the peer closed the connection during the handshake"
					       : "the peer closed the connection without ending TLS");
		result = -ECONNRESET;
	}
	pthread_mutex_unlock(&session->lock);
	return result;
}
