/* TLS as a layer over a stream transport: the direct data path (shared/DESIGN, "kernel-exact readiness").
 *
 * The application's descriptor is the TCP socket itself.  Received ciphertext is looked at with MSG_PEEK and
 * leaves the kernel only as whole records that were decrypted; an incomplete record stays there with
 * SO_RCVLOWAT at its full length; while plaintext waits in the session the last byte of its record stays in
 * the kernel's queue.  So poll(2), select(2) and epoll(7) say readable exactly when there is plaintext, an
 * end or an error; records that bring none are consumed by the waiting hooks (readable()). */
#ifndef TAPS_CORE_TLS_LAYER_H
#define TAPS_CORE_TLS_LAYER_H

#include "core/layer.h"
#include "core/secure.h"
#include "core/tls_session.h"

/* A layer for the session (taken over, also on failure).  `timeout` in ns for the whole handshake; 0: none.
 * NULL when memory is short.  The tickets of a client session go to `store` under `key`, whose strings the
 * layer copies. */
struct layer *tls_layer(struct tls_session *session, struct layer *below, int64_t timeout,
			struct secure_context *context, const struct secure_peer *peer);

/* Keeps the tickets that have come; called by the layer (core/tls_context.c). */
void tls_context_tickets(struct secure_context *context, const char *name, uint16_t port,
			 struct tls_session *session);

#endif
