/* Relays: a process of its own that holds a security session and stands between the network and one end of a
 * socket pair (unix(7)).  Whoever has the other end may be anybody: the C library's stdio, another program,
 * another process.  Bytes pass through it in clear, the network sees them encrypted only.
 *
 * The process belongs to nobody: it outlives the one that made it, and leaves no zombie. */
#ifndef TAPS_CORE_RELAY_H
#define TAPS_CORE_RELAY_H

#include "core/layer.h"

/* Forks a relay that takes the chain over, as it is, from this moment on; its handshake may be unfinished.
 * `net` is any descriptor of the chain's socket.  The caller's copy of the chain must not be used any more,
 * only closed.  `rule` is for messages.  Returns the application's end of the pair (blocking, FD_CLOEXEC), or
 * -errno: then nothing has happened.  Any thread, with or without the loop's lock. */
int relay_start(struct layer *chain, int net, const char *rule);

/* Forks such a process that does work(arg), and has but these descriptors.  Changes their order.  Returns 0
 * or -errno. */
int relay_detach(void (*work)(void *arg), void *arg, int *fds, unsigned n);

#endif
