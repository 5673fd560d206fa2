#include "core/tls_transport.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define QUEUE_MIN 2048 /* holds a usual flight of a handshake */

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

/* gnutls_vec_push_func */
static ssize_t push(gnutls_transport_ptr_t pointer, const giovec_t *iov, int n)
{
	struct tls_session *session = pointer;
	size_t total = 0;
	bool fits;

	for (int i = 0; i < n; i++)
		total += iov[i].iov_len;
	fits = session->out.start == session->out.end && session->sink_room - session->sink_len >= total;
	if (!fits && queue_reserve(&session->out, total)) {
		gnutls_transport_set_errno(session->tls, ENOMEM);
		return -1;
	}
	for (int i = 0; i < n; i++) {
		uint8_t *to = fits ? session->sink + session->sink_len : session->out.data + session->out.end;

		memcpy(to, iov[i].iov_base, iov[i].iov_len);
		*(fits ? &session->sink_len : &session->out.end) += iov[i].iov_len;
	}
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
	size_t n = queue->end - queue->start;

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
	return session->out.end - session->out.start;
}
