/* What the kernel did not take.  An idle connection keeps little memory for it. */
#include "core/tls_out.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/host.h"

#define OUT_SMALL 4096

ssize_t tls_out_send(int fd, const void *data, size_t size)
{
	ssize_t n;

	do
		n = taps_host->send(fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? (errno == EWOULDBLOCK ? -EAGAIN : -errno) : n;
}

int tls_out_keep(struct tls_out *out, const uint8_t *data, size_t size)
{
	uint8_t *room;

	if (out->sent == out->size)
		out->sent = out->size = 0;
	if (out->size + size > out->room) {
		room = realloc(out->data, out->size + size);
		if (!room)
			return -ENOMEM;
		out->data = room;
		out->room = out->size + size;
	}
	memcpy(out->data + out->size, data, size);
	out->size += size;
	return 0;
}

int tls_out_flush(struct tls_out *out, int fd)
{
	while (out->sent < out->size) {
		ssize_t n = tls_out_send(fd, out->data + out->sent, out->size - out->sent);

		if (n < 0)
			return (int)n;
		out->sent += (size_t)n;
	}
	if (out->room > OUT_SMALL)
		tls_out_free(out);
	return 0;
}

void tls_out_free(struct tls_out *out)
{
	free(out->data);
	*out = (struct tls_out){.data = NULL};
}
