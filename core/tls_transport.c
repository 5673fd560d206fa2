#include "core/tls_transport.h"

#include "core/tls_cursor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define QUEUE_MIN 2048 /* holds a usual flight of a handshake */

/* The record that means nothing in TLS 1.3 (RFC 8446, appendix D.4). */
#define CHANGE_CIPHER_SPEC 20
#define CHANGE_CIPHER_SPEC_SIZE 6

static int queue_reserve(struct tls_queue *queue, size_t more)
{
	size_t used = queue->end - queue->start;
	size_t room = queue->room ? queue->room : QUEUE_MIN;
	uint8_t *data;

	if (queue->room - queue->end >= more)
		return 0;
	while (room - used < more)
		room *= 2;
	data = malloc(room);
	if (!data)
		return -ENOMEM;
	if (used)
		memcpy(data, queue->data + queue->start, used);
	free(queue->data);
	*queue = (struct tls_queue){.data = data, .end = used, .room = room};
	return 0;
}

/* By itself change_cipher_spec would wake the peer for nothing: it goes with what follows, as something
 * always does in a handshake. */
static bool is_held_back(const struct tls_session *session)
{
	const struct tls_queue *queue = &session->out;

	return session->state == TLS_HANDSHAKING && queue->end - queue->start == CHANGE_CIPHER_SPEC_SIZE &&
	       queue->data[queue->start] == CHANGE_CIPHER_SPEC;
}

/* Messages of the handshake go out at once, in order.  Returns the bytes that did. */
static size_t send_now(struct tls_session *session, const giovec_t *iov, int n)
{
	if (!session->send || session->state != TLS_HANDSHAKING || session->out.start < session->out.end ||
	    *(const uint8_t *)iov->iov_base == CHANGE_CIPHER_SPEC)
		return 0;
	return session->send(session->send_context, iov, n);
}

/* gnutls_vec_push_func */
static ssize_t push(gnutls_transport_ptr_t pointer, const giovec_t *iov, int n)
{
	struct tls_session *session = pointer;
	struct tls_cursor from = {.iov = iov, .n = n};
	size_t total = tls_cursor_left(&from), left;
	bool fits;

	tls_cursor_skip(&from, send_now(session, iov, n));
	left = tls_cursor_left(&from);
	if (!left)
		return (ssize_t)total;
	fits = session->out.start == session->out.end && session->sink_room - session->sink_len >= left;
	if (!fits && queue_reserve(&session->out, left)) {
		gnutls_transport_set_errno(session->tls, ENOMEM);
		return -1;
	}
	tls_cursor_copy(&from,
			fits ? session->sink + session->sink_len : session->out.data + session->out.end, left,
			false);
	*(fits ? &session->sink_len : &session->out.end) += left;
	return (ssize_t)total;
}

/* gnutls_pull_func */
static ssize_t pull(gnutls_transport_ptr_t pointer, void *to, size_t max)
{
	struct tls_session *session = pointer;
	size_t n = session->in_len - session->in_pos;

	if (!n) {
		gnutls_transport_set_errno(session->tls, EAGAIN);
		return -1;
	}
	if (n > max)
		n = max;
	memcpy(to, session->in + session->in_pos, n);
	session->in_pos += n;
	return (ssize_t)n;
}

/* gnutls_pull_timeout_func: never waits. */
static int pull_timeout(gnutls_transport_ptr_t pointer, unsigned ms)
{
	const struct tls_session *session = pointer;

	(void)ms;
	return session->in_pos < session->in_len;
}

void tls_transport_attach(struct tls_session *session)
{
	gnutls_transport_set_ptr(session->tls, session);
	gnutls_transport_set_vec_push_function(session->tls, push);
	gnutls_transport_set_pull_function(session->tls, pull);
	gnutls_transport_set_pull_timeout_function(session->tls, pull_timeout);
}

void tls_session_set_sender(struct tls_session *session, tls_sender *send, void *context)
{
	pthread_mutex_lock(&session->lock);
	session->send = send;
	session->send_context = context;
	pthread_mutex_unlock(&session->lock);
}

void tls_transport_open(struct tls_session *session, const void *in, size_t len)
{
	session->in = in;
	session->in_len = len;
	session->in_pos = 0;
}

size_t tls_transport_close(struct tls_session *session)
{
	size_t taken = session->in_pos;

	tls_transport_open(session, NULL, 0);
	return taken;
}

size_t tls_transport_take(struct tls_session *session, void *to, size_t max)
{
	struct tls_queue *queue = &session->out;
	size_t n = tls_transport_queued(session);

	if (n > max)
		n = max;
	if (n)
		memcpy(to, queue->data + queue->start, n);
	queue->start += n;
	if (queue->start == queue->end && queue->data) {
		/* An idle session keeps no buffer. */
		free(queue->data);
		*queue = (struct tls_queue){0};
	}
	return n;
}

size_t tls_transport_queued(const struct tls_session *session)
{
	return is_held_back(session) ? 0 : session->out.end - session->out.start;
}
