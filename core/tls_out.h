/* Ciphertext that the kernel did not take yet, and send(2) as the TLS layer calls it. */
#ifndef TAPS_CORE_TLS_OUT_H
#define TAPS_CORE_TLS_OUT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Zeroed at first; under the lock of the sending direction. */
struct tls_out {
	uint8_t *data;
	size_t size, sent, room;
};

/* Sends without waiting: how many bytes, or -errno (tcp(7); -EAGAIN). */
ssize_t tls_out_send(int fd, const void *data, size_t size);
/* Puts a copy of the bytes behind what is kept.  Returns 0 or -ENOMEM. */
int tls_out_keep(struct tls_out *out, const uint8_t *data, size_t size);
/* Sends what is kept: 0 when nothing is left, -EAGAIN, -errno. */
int tls_out_flush(struct tls_out *out, int fd);
/* Is anything kept? */
static inline size_t tls_out_left(const struct tls_out *out)
{
	return out->size - out->sent;
}
void tls_out_free(struct tls_out *out);

#endif
