/* Name memory: what the application looked up, so that connect(address) is known to mean the
 * Remote Endpoint's name, and the race gets the whole answer (RFC 9622 §6.1, RFC 9623 §4.2).
 * All functions lock inside; any thread; no system call. */
#ifndef TAPS_CORE_NAMES_H
#define TAPS_CORE_NAMES_H

#include "core/endpoint.h"

#include <sys/types.h>

#define NAMES_ADDRS_MAX 16   /* addresses kept of one answer */
#define NAMES_LOOKUPS_MAX 512 /* lookups kept; the oldest goes first */
#define NAMES_TEXT_MAX 256

/* A copy of one remembered lookup. */
struct names_entry {
	char name[NAMES_TEXT_MAX]; /* as the application spelt it */
	int family;                /* asked for: AF_UNSPEC, AF_INET or AF_INET6 */
	int64_t when;              /* ns, monotonic */
	pid_t thread;
	unsigned n;
	struct taps_addr addrs[NAMES_ADDRS_MAX]; /* in the order of the answer; ports are zero */
};

/* Remembers an answer.  An equal name, family and thread replaces the older lookup.  Numeric names
 * (addr_parse succeeds) are not remembered.  Duplicate addresses are dropped. */
void names_learn(const char *name, int family, pid_t thread, int64_t now,
		 const struct taps_addr *addrs, size_t n);

/* Finds the lookup that `addr` came from: the same thread's most recent one first, then any
 * thread's most recent.  `*ret_ambiguous` (may be NULL) says whether different names hold that address.
 * Returns false if none does. */
bool names_find(const struct taps_addr *addr, pid_t thread, struct names_entry *ret, bool *ret_ambiguous);

/* Bookkeeping of connects by name: an address whose attempt failed within a race a moment ago (2 s) fails
 * again at once, once, with that error, so that a loop over the answers ends.  (error 0: nothing is owed to a
 * later connect, the address is only left out of races.) */
void names_note_failure(const struct taps_addr *addr, const char *name, int error, int64_t now);
/* Forgets the failures of a name: a connection to it succeeded. */
void names_note_success(const char *name);
/* The error to report at once for addr, or 0.  Clears it. */
int names_take_failure(const struct taps_addr *addr, const char *name, int64_t now);
/* Did an attempt to addr fail within the last moment (2 s), reported or not?  Leaves it as it is. */
bool names_failed_lately(const struct taps_addr *addr, const char *name, int64_t now);

/* pthread_atfork(3): hold the lock over a fork. */
void names_fork_prepare(void);
void names_fork_done(void);

/* Forgets everything (tests). */
void names_clear(void);

#endif
