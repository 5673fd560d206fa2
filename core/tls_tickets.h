/* Session tickets of TLS clients, in memory: kept per name, policy and network, each used once (RFC 8446
 * §C.4, RFC 9623 §5.3).  Needs no TLS library.  All functions lock inside; any thread.
 * After fork(2) the child starts with what the parent had; tls_tickets_forget() if that is not wanted. */
#ifndef TAPS_CORE_TLS_TICKETS_H
#define TAPS_CORE_TLS_TICKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What it takes to resume one session; opaque, secret. */
struct tls_ticket {
	uint8_t *data;
	size_t size;
	int64_t expires; /* seconds since the epoch */
};

/* Wipes and frees the data; the struct becomes empty.  Safe on an empty one. */
void tls_ticket_free(struct tls_ticket *ticket);

/* Sessions are never shared between differing keys.  Addresses have no part in it. */
struct tls_ticket_key {
	const char *name;       /* reference identity, compared without regard to case */
	uint16_t port;
	const uint8_t *policy;  /* TLS_POLICY_SIZE bytes: tls_credentials_policy() */
	uint64_t network;       /* the path's network; a change of network leaves old tickets unused */
};

#define TLS_POLICY_SIZE 32
#define TLS_TICKET_LIFETIME_MAX INT64_C(604800) /* RFC 8446 §4.6.1: seven days */
#define TLS_TICKET_SIZE_MAX 65536

struct tls_tickets;

/* `max` tickets in all; the oldest goes first.  Returns 0 or -ENOMEM. */
int tls_tickets_new(struct tls_tickets **ret, unsigned max);
/* NULL is no-op.  No other thread may be using it. */
void tls_tickets_free(struct tls_tickets *store);

/* Takes `take` (which becomes empty whatever happens).  Expired, empty and oversized ones are dropped; at
 * most `max_per_key` of one key are kept, and `max_per_policy` of all keys of one policy: the oldest go.
 * Returns 0 or -errno. */
int tls_tickets_put(struct tls_tickets *store, const struct tls_ticket_key *key, struct tls_ticket *take,
		    unsigned max_per_key, unsigned max_per_policy, int64_t now);
/* Moves the newest unexpired ticket of the key into *ret, which the caller frees.  Returns false if none. */
bool tls_tickets_take(struct tls_tickets *store, const struct tls_ticket_key *key, int64_t now,
		      struct tls_ticket *ret);

/* Forgets one name (every port and policy); NULL stands for all names.  Returns how many went. */
unsigned tls_tickets_forget(struct tls_tickets *store, const char *name);
/* Forgets everything not of this network (RFC 9622 §8.1.10: linkability). */
unsigned tls_tickets_keep_network(struct tls_tickets *store, uint64_t network);
unsigned tls_tickets_count(struct tls_tickets *store);

/* pthread_atfork(3): prepare locks, both others unlock. */
void tls_tickets_fork_prepare(struct tls_tickets *store);
void tls_tickets_fork_done(struct tls_tickets *store);

#endif
