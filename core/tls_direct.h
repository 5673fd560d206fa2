/* TLS 1.3 records past GnuTLS' record layer: sealed straight into the caller's memory and opened straight
 * out of it with the session's own keys, which saves two copies and two allocations a record.
 *
 * GnuTLS keeps the state: keys and sequence number are read from it at the beginning of each window and
 * the number is given back at the end, so that alerts, key updates and everything else stay GnuTLS' own.
 * Whatever is not plain application data goes through GnuTLS.  All with the session's lock held. */
#ifndef TAPS_CORE_TLS_DIRECT_H
#define TAPS_CORE_TLS_DIRECT_H

#include "core/tls_private.h"

/* The first time that so many bytes are at hand makes it worth a second copy of the key, a kilobyte. */
#define TLS_DIRECT_WORTH 2048

/* Opens a window on one direction; `size` bytes are at hand.  Returns false if records go through GnuTLS. */
bool tls_direct_begin(struct tls_session *session, bool read, size_t size);
/* Closes it; GnuTLS goes on where the window ended. */
void tls_direct_end(struct tls_session *session, bool read);
/* Before the session goes. */
void tls_direct_free(struct tls_direct *direct);

/* Must the next record be GnuTLS' all the same, for it counts towards a key update of its own? */
bool tls_direct_counts(const struct tls_direct *direct);

#define TLS_DIRECT_OVERHEAD (TLS_HEADER_SIZE + 1 + 16)

/* Makes one record of the bytes at `plain`, which are elsewhere, or at record + TLS_HEADER_SIZE themselves.
 * Returns its length (size + TLS_DIRECT_OVERHEAD), or a GnuTLS error code. */
ssize_t tls_direct_seal(struct tls_direct *direct, uint8_t *record, const void *plain, size_t size);

/* Opens a whole record into `to`, which has room for all of it.  Returns the application bytes, or -1,
 * with the window unmoved, if GnuTLS should see to the record: another kind, padding only, or forged. */
ssize_t tls_direct_open(struct tls_direct *direct, const uint8_t *record, size_t len, uint8_t *to);

#endif
