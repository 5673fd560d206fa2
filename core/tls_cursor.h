/* A place in a vector of the application's.  Pure. */
#ifndef TAPS_CORE_TLS_CURSOR_H
#define TAPS_CORE_TLS_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

struct tls_cursor {
	const struct iovec *iov;
	int n;
	size_t skip; /* bytes of iov[0] that are done */
};

/* Bytes from here to the end. */
size_t tls_cursor_left(const struct tls_cursor *cursor);
/* The next bytes that lie in one piece; NULL at the end. */
void *tls_cursor_piece(struct tls_cursor *cursor, size_t *ret_len);
/* Copies to the vector (`fill`) or from it, and moves on.  Returns the bytes copied. */
size_t tls_cursor_copy(struct tls_cursor *cursor, void *memory, size_t size, bool fill);
/* Moves on. */
void tls_cursor_skip(struct tls_cursor *cursor, size_t size);

/* Bytes of the vector. */
size_t tls_cursor_total(const struct iovec *iov, int n);
/* At most `max` bytes of the vector, in at most 64 pieces.  Returns how many there are. */
int tls_cursor_cut(const struct iovec *iov, int n, size_t max, struct iovec *ret);
/* The vector without its first bytes; at most 64 pieces.  Returns how many there are. */
int tls_cursor_rest(const struct iovec *iov, int n, size_t done, struct iovec ret[64]);

#endif
