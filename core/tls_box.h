/* Where relays leave session tickets for the process that made them: a few places in memory that both have by
 * fork(2).  Whoever is killed at one leaves it as if it had not come.  No locks; any thread. */
#ifndef TAPS_CORE_TLS_BOX_H
#define TAPS_CORE_TLS_BOX_H

#include "core/tls_tickets.h"

#define TLS_BOX_NAME_MAX 256
#define TLS_BOX_TICKET_MAX 16384

struct tls_box;

/* What a ticket is to be kept under; `max` as of tls_tickets_put(). */
struct tls_box_label {
	char name[TLS_BOX_NAME_MAX];
	uint16_t port;
	uint8_t policy[TLS_POLICY_SIZE];
	uint64_t network;
	unsigned max;
};

/* Returns 0 or -ENOMEM.  It stays for as long as the process. */
int tls_box_new(struct tls_box **ret);
/* After fork(2): this process has an empty one of its own from here on, at the same address.  Returns 0, or
 * -ENOMEM: it has none. */
int tls_box_part(struct tls_box *box);

/* Leaves a copy.  False: it is larger than there is room for, or the box is full. */
bool tls_box_put(struct tls_box *box, const struct tls_ticket_key *key, unsigned max,
		 const struct tls_ticket *ticket);
/* Takes one out, which the caller frees.  False: there is none, or memory is short. */
bool tls_box_take(struct tls_box *box, struct tls_box_label *ret_label, struct tls_ticket *ret);

#endif
