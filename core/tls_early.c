/* Bytes that the application writes before the handshake. */
#include "core/tls_early.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/tls_cursor.h"
#include "core/tls_scratch.h"

bool tls_early_open(struct tls_early *early, struct tls_session *session)
{
	early->open = tls_session_early_room(session) > 0;
	return early->open;
}

/* Room for `more` bytes behind those that are there; nothing of what moves stays behind. */
static bool grow(struct tls_early *early, size_t more)
{
	uint8_t *room = malloc(early->size + more);

	if (!room)
		return false;
	if (early->size) {
		memcpy(room, early->data, early->size);
		explicit_bzero(early->data, early->size);
	}
	free(early->data);
	early->data = room;
	return true;
}

size_t tls_early_take(struct tls_early *early, struct tls_session *session, const struct iovec *iov, int n,
		      bool begun)
{
	struct tls_cursor from = {.iov = iov, .n = n};
	size_t more = tls_cursor_left(&from);

	if (more > TLS_EARLY_KEPT - early->size)
		more = TLS_EARLY_KEPT - early->size;
	if (!early->open || more == 0 || !grow(early, more))
		return 0;
	tls_cursor_copy(&from, early->data + early->size, more, false);
	early->size += more;
	if (!begun && !early->ahead)
		early->ahead = (size_t)tls_session_early_data(session, early->data, early->size);
	return more;
}

static int seal(struct tls_session *session, const uint8_t *data, size_t size, struct tls_out *out)
{
	uint8_t *buf = tls_scratch();
	int result = 0;

	if (!buf)
		return -ENOMEM;
	while (size > 0 && result == 0) {
		struct iovec piece = {(void *)(uintptr_t)data, size};
		size_t sealed = 0;
		ssize_t n = tls_session_seal(session, &piece, 1, buf, TLS_SCRATCH_SIZE, &sealed);

		if (n < 0)
			return (int)n;
		result = tls_out_keep(out, buf, sealed);
		data += n;
		size -= (size_t)n;
	}
	return result;
}

int tls_early_settle(struct tls_early *early, struct tls_session *session, struct tls_out *out)
{
	size_t done = tls_session_early_accepted(session) ? early->ahead : 0;
	int result = 0;

	if (done < early->size)
		result = seal(session, early->data + done, early->size - done, out);
	tls_early_free(early);
	return result;
}

void tls_early_free(struct tls_early *early)
{
	if (early->data)
		explicit_bzero(early->data, early->size);
	free(early->data);
	*early = (struct tls_early){.data = NULL};
}
