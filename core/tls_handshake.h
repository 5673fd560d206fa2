/* The parts of the handshake that GnuTLS leaves to its user. */
#ifndef TAPS_CORE_TLS_HANDSHAKE_H
#define TAPS_CORE_TLS_HANDSHAKE_H

#include "core/tls_private.h"

/* Sets the callbacks that judge the peer and collect tickets. */
void tls_handshake_attach(struct tls_session *session);

/* Takes GnuTLS' error code, queues the alert, makes the session fail for good.  With the lock held.
 * Returns the -errno. */
int tls_handshake_fail(struct tls_session *session, int code);

#endif
