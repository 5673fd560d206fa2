/* Relays: a process of its own that holds a security session and stands between the network and one end of a
 * socket pair (unix(7)).  Whoever has the other end may be anybody: the C library's stdio, another program,
 * another process.  Bytes pass through it in clear, the network sees them encrypted only.
 *
 * The process belongs to nobody: it outlives the one that made it, and leaves no zombie. */
#ifndef TAPS_CORE_RELAY_H
#define TAPS_CORE_RELAY_H

#include "core/layer.h"

struct relay_order {
	struct layer *chain; /* its handshake may be unfinished */
	int net;             /* any descriptor of its socket */
	const char *rule;    /* for messages */
	bool heard;          /* the peer, after the handshake: it will not refuse what it was sent then */
	bool shakes;         /* its handshake is to come, and the trace not told of the connection */
	uint64_t trace;      /* events of the caller's, of this number */
};

/* Forks a relay that takes the chain over, as it is, from this moment on.  The caller's copy of the chain
 * must not be used any more, only closed.  Returns the application's end of the pair (blocking, FD_CLOEXEC),
 * or -errno: then nothing has happened.  Any thread, with or without the loop's lock.
 *
 * A peer that refuses is named on standard error.  The relay lets go of that once the peer was heard, or the
 * application has gone, or after a moment: whoever reads it to its end does not wait for a connection. */
int relay_start(const struct relay_order *order);

/* Forks such a process that does work(arg), and has but these descriptors.  Changes their order.  Returns 0
 * or -errno. */
int relay_detach(void (*work)(void *arg), void *arg, int *fds, unsigned n);

#endif
