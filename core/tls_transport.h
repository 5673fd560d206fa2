/* The memory that stands where a socket would: GnuTLS pulls from the caller's bytes and pushes to the
 * caller's room or the session's queue.  Push always takes everything, so nothing is ever stuck inside
 * GnuTLS. */
#ifndef TAPS_CORE_TLS_TRANSPORT_H
#define TAPS_CORE_TLS_TRANSPORT_H

#include "core/tls_private.h"

/* All with the session's lock held, but the first. */

/* Sets GnuTLS' transport functions. */
void tls_transport_attach(struct tls_session *session);

/* Lends `len` bytes to GnuTLS until tls_transport_close(), which returns how many it took. */
void tls_transport_open(struct tls_session *session, const void *in, size_t len);
size_t tls_transport_close(struct tls_session *session);

/* Moves queued bytes to `to`, at most `max`; returns how many. */
size_t tls_transport_take(struct tls_session *session, void *to, size_t max);
/* How many there are; 0 while a change_cipher_spec of the handshake waits for what it goes with. */
size_t tls_transport_queued(const struct tls_session *session);

#endif
