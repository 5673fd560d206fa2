/* The host's calls as the core uses them: taps_host->socket(...), never socket(...). */
#ifndef TAPS_CORE_HOST_H
#define TAPS_CORE_HOST_H

#include "core/api.h"
#include "core/endpoint.h"

/* Set once by taps_core_open() before anything else runs; unit tests set it to the C library's
 * own functions (tests/unit/host.c). */
extern const struct taps_host *taps_host;

/* Monotonic time in nanoseconds (clock_gettime(2), CLOCK_MONOTONIC).  Only drivers call it;
 * decision code is handed `now`. */
int64_t now_ns(void);

/* A duplicate of fd that is the core's (fd_keep), FD_CLOEXEC, to be closed with fd_drop.  Returns it, or
 * -errno (fcntl(2)).  Any thread. */
int host_copy(int fd);

/* The peer of a connected socket (getpeername(2)), an IPv4 one never as a mapped address.  False if it is not
 * known, and then 0.0.0.0.  Any thread. */
bool host_peer(int fd, struct taps_addr *ret);

#define NS_PER_MS INT64_C(1000000)
#define NS_PER_S INT64_C(1000000000)

#endif
