/* Paths: the local addresses and interfaces of this machine, from rtnetlink(7). */
#ifndef TAPS_CORE_PATH_H
#define TAPS_CORE_PATH_H

#include "core/endpoint.h"

#define PATH_LOCAL_MAX 64

/* Reads the usable local addresses (up, not tentative, not failed) into `ret`, at most `max`; a dump of
 * RTM_GETADDR over a NETLINK_ROUTE socket of our own, bounded to 200 ms.  Returns the count or -errno. */
int path_local_addresses(struct local_address *ret, size_t max);

#endif
