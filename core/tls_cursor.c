#include "core/tls_cursor.h"

#include <string.h>

size_t tls_cursor_left(const struct tls_cursor *cursor)
{
	size_t left = 0;

	for (int i = 0; i < cursor->n; i++)
		left += cursor->iov[i].iov_len;
	return left - cursor->skip;
}

void *tls_cursor_piece(struct tls_cursor *cursor, size_t *ret_len)
{
	while (cursor->n && cursor->skip == cursor->iov->iov_len) {
		cursor->iov++;
		cursor->n--;
		cursor->skip = 0;
	}
	if (!cursor->n)
		return NULL;
	*ret_len = cursor->iov->iov_len - cursor->skip;
	return (char *)cursor->iov->iov_base + cursor->skip;
}

size_t tls_cursor_copy(struct tls_cursor *cursor, void *memory, size_t size, bool fill)
{
	size_t done = 0, len;
	void *piece;

	while (done < size && (piece = tls_cursor_piece(cursor, &len))) {
		if (len > size - done)
			len = size - done;
		memcpy(fill ? piece : (char *)memory + done, fill ? (char *)memory + done : piece, len);
		cursor->skip += len;
		done += len;
	}
	return done;
}

void tls_cursor_skip(struct tls_cursor *cursor, size_t size)
{
	size_t len;

	while (size && tls_cursor_piece(cursor, &len)) {
		if (len > size)
			len = size;
		cursor->skip += len;
		size -= len;
	}
}

int tls_cursor_rest(const struct iovec *iov, int n, size_t done, struct iovec ret[64])
{
	int used = 0;

	for (; n > 0 && used < 64; iov++, n--) {
		size_t skip = done < iov->iov_len ? done : iov->iov_len;

		done -= skip;
		if (skip < iov->iov_len)
			ret[used++] = (struct iovec){(char *)iov->iov_base + skip, iov->iov_len - skip};
	}
	return used;
}

int tls_cursor_cut(const struct iovec *iov, int n, size_t max, struct iovec *ret)
{
	int used = 0;

	for (; used < n && used < 64 && max > 0; used++) {
		ret[used] = iov[used];
		if (ret[used].iov_len > max)
			ret[used].iov_len = max;
		max -= ret[used].iov_len;
	}
	return used;
}

size_t tls_cursor_total(const struct iovec *iov, int n)
{
	size_t bytes = 0;
	int i;

	for (i = 0; i < n; i++)
		bytes += iov[i].iov_len;
	return bytes;
}
