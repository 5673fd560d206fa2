/* Sending: application bytes become records in the caller's memory, as many as fit, for one send(2). */
#include "core/tls_cursor.h"
#include "core/tls_direct.h"
#include "core/tls_handshake.h"
#include "core/tls_transport.h"

#include <errno.h>
#include <stdlib.h>

#define KEY_UPDATE_ROOM 64 /* GnuTLS answers a key update in front of the next record */

/* One record by way of GnuTLS, straight from the vector if it lies in one piece, else gathered.  Returns
 * the bytes taken, fewer if the peer limits its records (RFC 8449), or a GnuTLS error code. */
static ssize_t seal_by_gnutls(struct tls_session *session, struct tls_cursor *from, size_t max)
{
	struct tls_cursor ahead = *from;
	size_t len = 0;
	void *piece = tls_cursor_piece(from, &len);
	uint8_t *gathered = NULL;
	ssize_t n;

	if (len < max && len < tls_cursor_left(from)) {
		gathered = malloc(max);
		if (!gathered)
			return GNUTLS_E_MEMORY_ERROR;
		len = tls_cursor_copy(&ahead, gathered, max, false);
		piece = gathered;
	}
	n = gnutls_record_send(session->tls, piece, len < max ? len : max);
	free(gathered);
	if (n > 0)
		tls_cursor_skip(from, (size_t)n);
	if (n > (ssize_t)session->sendable)
		session->sendable = (size_t)n;
	session->update_due = false;
	return n;
}

/* The same past GnuTLS; `size` bytes are there. */
static ssize_t seal_directly(struct tls_session *session, struct tls_cursor *from, size_t size)
{
	uint8_t *record = session->sink + session->sink_len;
	size_t len = 0;
	void *piece = tls_cursor_piece(from, &len);
	ssize_t length;

	if (len >= size) {
		tls_cursor_skip(from, size);
	} else {
		piece = record + TLS_HEADER_SIZE;
		tls_cursor_copy(from, piece, size, false);
	}
	length = tls_direct_seal(&session->sealing, record, piece, size);
	if (length < 0)
		return length;
	session->sink_len += (size_t)length;
	return (ssize_t)size;
}

/* GnuTLS shows how much it puts into one record; beyond that it must be asked. */
static bool may_seal_directly(const struct tls_session *session, size_t size)
{
	return size <= session->sendable && !session->update_due && !tls_direct_counts(&session->sealing);
}

/* At most `max` bytes in one record, by the shorter way if it is open.  `open` says whether the window is. */
static ssize_t seal_one(struct tls_session *session, struct tls_cursor *from, size_t max, bool *open)
{
	size_t left = tls_cursor_left(from);

	if (left < max)
		max = left;
	if (!*open)
		*open = tls_direct_begin(session, false, left);
	if (*open && may_seal_directly(session, max))
		return seal_directly(session, from, max);
	if (*open)
		tls_direct_end(session, false);
	*open = false;
	return seal_by_gnutls(session, from, max);
}

/* With the lock held; the sink is open.  Returns the bytes taken or a GnuTLS error code. */
static ssize_t seal_records(struct tls_session *session, struct tls_cursor *from)
{
	size_t left = tls_cursor_left(from);
	ssize_t taken = 0, n = 0;
	bool open = false;

	while (left) {
		size_t room = session->sink_room - session->sink_len;
		size_t max = session->record_max;

		if (room <= session->overhead + KEY_UPDATE_ROOM)
			break;
		room -= session->overhead + KEY_UPDATE_ROOM;
		n = seal_one(session, from, room < max ? room : max, &open);
		if (n <= 0)
			break;
		taken += n;
		left -= (size_t)n;
	}
	if (open)
		tls_direct_end(session, false);
	return n < 0 ? n : taken;
}

static ssize_t seal_error(const struct tls_session *session)
{
	if (session->state == TLS_FAILED)
		return session->error;
	if (session->state == TLS_HANDSHAKING)
		return -ENOTCONN;
	return session->write_closed ? -EPIPE : 0;
}

ssize_t tls_session_seal(struct tls_session *session, const struct iovec *iov, int n_iov, void *out,
			 size_t cap, size_t *ret_out)
{
	struct tls_cursor from = {.iov = iov, .n = n_iov};
	ssize_t result;

	*ret_out = 0;
	pthread_mutex_lock(&session->lock);
	result = seal_error(session);
	if (!result) {
		session->sink = out;
		session->sink_room = cap;
		session->sink_len = tls_transport_take(session, out, cap);
		result = tls_transport_queued(session) ? 0 : seal_records(session, &from);
		*ret_out = session->sink_len;
		session->sink = NULL;
		session->sink_room = session->sink_len = 0;
		if (result < 0)
			result = tls_handshake_fail(session, (int)result);
	}
	pthread_mutex_unlock(&session->lock);
	return result;
}

size_t tls_session_sealed_size(struct tls_session *session, size_t plain)
{
	size_t size;

	pthread_mutex_lock(&session->lock);
	size = tls_transport_queued(session) + KEY_UPDATE_ROOM;
	if (session->record_max)
		size += plain + (plain / session->record_max + 1) * session->overhead;
	pthread_mutex_unlock(&session->lock);
	return size;
}

size_t tls_session_take_output(struct tls_session *session, void *buf, size_t max)
{
	size_t n;

	pthread_mutex_lock(&session->lock);
	n = tls_transport_take(session, buf, max);
	pthread_mutex_unlock(&session->lock);
	return n;
}

size_t tls_session_output_size(struct tls_session *session)
{
	size_t n;

	pthread_mutex_lock(&session->lock);
	n = tls_transport_queued(session);
	pthread_mutex_unlock(&session->lock);
	return n;
}

int tls_session_close(struct tls_session *session)
{
	int code = 0;
	ssize_t error;

	pthread_mutex_lock(&session->lock);
	error = seal_error(session);
	if (!error) {
		code = gnutls_bye(session->tls, GNUTLS_SHUT_WR);
		session->write_closed = true;
		if (code < 0)
			error = tls_handshake_fail(session, code);
	}
	pthread_mutex_unlock(&session->lock);
	return error == -EPIPE ? 0 : (int)error;
}

int tls_session_rekey(struct tls_session *session, bool both)
{
	ssize_t error;
	int code = 0;

	pthread_mutex_lock(&session->lock);
	error = seal_error(session);
	if (!error)
		code = gnutls_session_key_update(session->tls, both ? GNUTLS_KU_PEER : 0);
	if (code == GNUTLS_E_INVALID_REQUEST)
		error = -EOPNOTSUPP;
	else if (code < 0)
		error = tls_handshake_fail(session, code);
	pthread_mutex_unlock(&session->lock);
	return (int)error;
}
