/* Names that a forked child looked up for its parent.
 *
 * Some programs resolve in a child and hand the addresses over a pipe (lftp, links): the parent then
 * connects to addresses that it never looked up.  A small piece of memory that a process shares with
 * the children it forks carries the answers back.  They serve racing only: a child may have other
 * privileges than its parent, so no certificate is ever checked against a name from here. */
#ifndef TAPS_CORE_NAMES_SHARED_H
#define TAPS_CORE_NAMES_SHARED_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/names.h"

/* The memory, zeroed, shared with children (mmap(2), MAP_SHARED), and the process that made it. */
void names_shared_init(void *memory, size_t size, pid_t maker);
/* An answer that this process got; kept only in a child of the maker.  No lock, no system call. */
void names_shared_learn(const char *name, int family, pid_t process, int64_t now,
			const struct taps_addr *addrs, size_t n);
/* The most recent look-up, by a child, that holds addr (ports ignored).  False if there is none. */
bool names_shared_find(const struct taps_addr *addr, struct names_entry *ret);

#endif
