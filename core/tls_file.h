/* Reading the files that TLS is configured with: the only place of the TLS module that opens files by
 * itself. */
#ifndef TAPS_CORE_TLS_FILE_H
#define TAPS_CORE_TLS_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What tells one state of a file from another (stat(2)).  All zero: there is no such file. */
struct tls_file_id {
	uint64_t device, inode, size;
	int64_t modified, changed; /* ns */
};

/* Returns 0 or -errno with *ret zero.  PKCS#11 URIs have the identity zero. */
int tls_file_identify(const char *path, struct tls_file_id *ret);
bool tls_file_same(const struct tls_file_id *a, const struct tls_file_id *b);

/* Reads a regular file of at most 64 MB whole; a zero byte follows the data.  The caller frees *ret.
 * `id` may be NULL.  Returns 0 or -errno. */
int tls_file_read(const char *path, uint8_t **ret, size_t *ret_size, struct tls_file_id *id);
/* Reads exactly `size` bytes at `offset` from the file if it is still the one of `id`, else -ESTALE. */
int tls_file_read_at(const char *path, const struct tls_file_id *id, uint64_t offset, void *buf, size_t size);

/* Calls `each` with the path of every directory entry that does not begin with a dot, until it returns
 * non-zero.  Returns that, 0, or -errno. */
int tls_file_each(const char *directory, int (*each)(void *arg, const char *path), void *arg);

#endif
