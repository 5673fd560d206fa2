/* A client's replayable bytes: they come before the handshake and wait for it (RFC 8446 §2.3, RFC 9622
 * §9.1.3.4).  What the ticket allows goes ahead with the first flight, the rest behind the handshake; what
 * the server did not take of the early ones goes behind it, too.  Nothing leaves but encrypted, and past the
 * first flight nothing before the peer was judged.  One thread at a time. */
#ifndef TAPS_CORE_TLS_EARLY_H
#define TAPS_CORE_TLS_EARLY_H

#include "core/tls_out.h"
#include "core/tls_session.h"

#define TLS_EARLY_MAX 16384 /* bytes that go ahead at most, whatever a ticket allows */
#define TLS_EARLY_KEPT 65536 /* bytes that wait at most, those that went ahead included */

struct tls_early {
	bool open;     /* bytes may come: the handshake was deferred, and is not over */
	uint8_t *data; /* secret */
	size_t size, ahead;
};

/* May the session's handshake wait for bytes?  If so, tls_early_take() takes some. */
bool tls_early_open(struct tls_early *early, struct tls_session *session);
/* Takes bytes, as many as there is room for; returns how many, 0 when memory is short, too.  The first ones
 * are handed to the session as early data, unless its handshake has begun. */
size_t tls_early_take(struct tls_early *early, struct tls_session *session, const struct iovec *iov, int n,
		      bool begun);
/* The handshake is over: what is still to be sent goes, encrypted, behind `out`.  Returns 0 or -errno. */
int tls_early_settle(struct tls_early *early, struct tls_session *session, struct tls_out *out);
/* Wipes and frees. */
void tls_early_free(struct tls_early *early);

#endif
