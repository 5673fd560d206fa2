/* A peer that may say anything from the first byte on: the session's handshake, and whatever it opens. */
#include "core/tls_session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_lengths(const uint8_t *data, size_t size)
{
	for (size_t i = 0; i + TLS_HEADER_SIZE <= size; i++) {
		ssize_t length = tls_record_length(data + i);

		if (length >= 0 ? length <= TLS_HEADER_SIZE || length > TLS_RECORD_MAX : length != -EPROTO)
			abort();
	}
}

static void drain_output(struct tls_session *session)
{
	uint8_t buf[512];
	size_t left = tls_session_output_size(session), n;

	while ((n = tls_session_take_output(session, buf, sizeof(buf))) > 0)
		left -= n;
	if (left != 0)
		abort();
}

/* Offers the first bytes; whatever is not used up comes again. */
static int offer(struct tls_session *session, const uint8_t *data, size_t size, size_t *ret_used)
{
	uint8_t *piece = world_copy(data, size);
	int result = tls_session_handshake(session, piece, size, ret_used);

	free(piece);
	if (*ret_used > size || result == TLS_DONE || result == TLS_WANT_VERIFIER)
		abort();
	drain_output(session);
	return result;
}

static void converse(struct tls_session *session, const uint8_t *data, size_t size, size_t step)
{
	size_t offered = 0, used;
	int result;

	do {
		offered = size - offered < step ? size : offered + step;
		result = offer(session, data, offered, &used);
		data += used;
		size -= used;
		offered -= used;
	} while (result >= 0 && offered < size);
	if (result < 0 && !tls_session_reason(session)[0])
		abort();
	if (tls_session_truncated(session) != -ECONNRESET)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tls_session *session;

	check_lengths(data, size);
	if (size < 2)
		return 0;
	session = world_session(data[0] & 1 ? TLS_SERVER : TLS_CLIENT);
	converse(session, data + 2, size - 2, (size_t)data[1] + 1);
	tls_session_free(session);
	return 0;
}
