/* The resolver of our own, on c-ares: A and AAAA in parallel, answers as they come (RFC 8305 §3).
 * ares.h is included by resolve.c only.  A query belongs to one driver, which calls from one
 * thread at a time.  All I/O goes through taps_host. */
#ifndef TAPS_CORE_RESOLVE_H
#define TAPS_CORE_RESOLVE_H

#include "core/endpoint.h"

#include <poll.h>

#define RESOLVE_ADDRS_MAX 32
#define RESOLVE_FDS_MAX 16
#define RESOLVE_DELAY_MS 50 /* RFC 8305 §3: wait this long for AAAA once A is there */

struct resolve;

/* Begins the queries for `name` (a host name; numeric addresses are answered at once).  `family` is
 * AF_UNSPEC, AF_INET or AF_INET6; `port` (host order) goes into every answer.  `resolution_delay` and `now`
 * (monotonic) in ns.  Reads /etc/hosts and resolv.conf as c-ares does, the file first; all together is over
 * after 10 s.  Returns 0 or -errno; the caller owns *ret. */
int resolve_new(struct resolve **ret, const char *name, int family, uint16_t port, int64_t resolution_delay,
		int64_t now);
void resolve_free(struct resolve *resolve);

/* Descriptors to wait for (at most RESOLVE_FDS_MAX) and the time by which resolve_step must run. */
unsigned resolve_pollfds(const struct resolve *resolve, struct pollfd *fds, unsigned max);
int64_t resolve_deadline(const struct resolve *resolve);
/* Works off what is ready in `fds` (as filled by resolve_pollfds and poll(2)), and time-outs. */
void resolve_step(struct resolve *resolve, const struct pollfd *fds, unsigned n, int64_t now);

/* May the race start?  The preferred family (AAAA) has answered, positively or not, and there is an
 * address; or there is an address and the resolution delay is over; or all is answered. */
bool resolve_usable(const struct resolve *resolve, int64_t now);
/* Every query has ended; no more addresses will come. */
bool resolve_complete(const struct resolve *resolve);
/* The answers so far, unsorted, in order of arrival; entries are only ever appended. */
const struct taps_addr *resolve_addrs(const struct resolve *resolve, size_t *ret_n);
/* Once complete without an address: an EAI_ code of getaddrinfo(3); else 0. */
int resolve_error(const struct resolve *resolve);

#endif
