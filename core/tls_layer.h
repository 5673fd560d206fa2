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
 * NULL when memory is short.  A client's tickets are kept under the peer's name and port, which the layer
 * copies; without peer->ticket_used none is asked for. */
struct layer *tls_layer(struct tls_session *session, struct layer *below, int64_t timeout,
			struct secure_context *context, const struct secure_peer *peer);

/* For the layer (core/tls_context.c).  Where a connected socket is attached, told from its local address:
 * tickets are not carried from one network to another, where they would tell who comes back (RFC 8446,
 * section C.4). */
uint64_t tls_context_network(int fd);
/* Offers the server a ticket of this name, port, policy and network, which is used up; the handshake has not
 * begun.  Returns whether there was one. */
bool tls_context_resume(struct secure_context *context, const char *name, uint16_t port, uint64_t network,
			struct tls_session *session);
/* A handshake with early data failed: no more tickets of this name, so that the next one is a full one. */
void tls_context_forget(const char *name);
/* Keeps the tickets that have come; `away`: for the process that made this one, a relay. */
void tls_context_tickets(struct secure_context *context, const char *name, uint16_t port, uint64_t network,
			 struct tls_session *session, bool away);
/* A session is about to go to a relay, whose tickets are to come back. */
void tls_context_send_away(const struct secure_context *context);

#endif
