/* Candidates: what a connection may try, in the order of the race (gathering, RFC 9623 §4.1).  Pure: no
 * I/O, no lock, no clock; values only. */
#ifndef TAPS_CORE_CANDIDATE_H
#define TAPS_CORE_CANDIDATE_H

#include "core/endpoint.h"
#include "core/properties.h"
#include "core/race.h"

/* Rows of stacks[] (core/candidate.c), in order of preference. */
enum candidate_stack { STACK_TCP, STACK_UDP };

/* The machine's own routing. */
#define PATH_DEFAULT 0

/* A leaf of the tree: path, then protocol stack, then remote endpoint (RFC 9623 §4.1.2). */
struct candidate {
	struct taps_addr remote; /* for connect(2) on a socket of its family: v4-mapped where `mapped` */
	unsigned path;
	enum candidate_stack stack;
	bool mapped; /* an IPv4 endpoint that an AF_INET6 socket reaches */
};

enum candidate_reason {
	CANDIDATE_FINE,
	CANDIDATE_LOOPBACK,
	CANDIDATE_LINK_LOCAL,
	CANDIDATE_MULTICAST,
	CANDIDATE_NOT_ASKED_FOR,
	CANDIDATE_V6_ONLY,
	CANDIDATE_BOUND,
	CANDIDATE_DUPLICATE,
	CANDIDATE_TOO_MANY,
	CANDIDATE_DATAGRAM,
	CANDIDATE_NOT_RACED,
	CANDIDATE_REQUIREMENT,
};

#define CANDIDATE_PRUNED_MAX 40

/* What gathering needs to know.  Members left zero say: nothing special. */
struct candidate_request {
	struct taps_addr asked;        /* the application passed it to connect(2) */
	const struct taps_addr *addrs; /* the answer of the look-up, ports ignored; may contain `asked` */
	size_t n_addrs;
	int lookup_family; /* what the look-up asked for: AF_UNSPEC, AF_INET or AF_INET6 */
	int domain;        /* of the application's socket: AF_INET or AF_INET6 */
	bool v6only;       /* IPV6_V6ONLY is set on it */
	int socktype;      /* SOCK_STREAM (also 0) or SOCK_DGRAM */
	int bound_family;  /* of the local address that it is bound to; AF_UNSPEC: open */
	uint16_t port;     /* of every candidate, host order */
	unsigned first_family_count; /* RFC 8305 §8; 0 is 1 */
	bool rewritten;    /* policy names another remote: `asked` is no candidate, `addrs` are */
	/* The addresses of this machine, to sort `addrs` by RFC 6724; NULL: the answer is in order. */
	const struct local_address *local;
	size_t n_local;
	const struct properties *properties; /* adapted; NULL: whatever the socket's type promises */
};

struct candidate_pruned {
	struct taps_addr addr;
	enum candidate_reason reason;
};

struct candidate_set {
	unsigned n;
	struct candidate candidate[RACE_MAX_LEAVES];
	enum candidate_reason alone; /* why there is no race, whatever the look-up said; or FINE */
	unsigned n_pruned;           /* the first CANDIDATE_PRUNED_MAX */
	struct candidate_pruned pruned[CANDIDATE_PRUNED_MAX];
};

/* Fills *ret.  The address that the application passed comes first and is never pruned but for a
 * requirement; the answers follow, families interleaved, without loopback, multicast and link-local
 * ones, without those that the socket, its binding or the look-up rule out, and without duplicates.  A
 * loopback, multicast or link-local remote, and any datagram socket's, is a single candidate.  With
 * `rewritten` the first of the answers that is not ruled out takes the place of the address passed.
 * Returns the number of candidates, or -EPROTONOSUPPORT if no stack has what the properties require. */
int candidate_gather(const struct candidate_request *request, struct candidate_set *ret);

/* "not of the address family that was looked up", …: follows "192.0.2.1 is ".  "" for FINE. */
const char *candidate_reason(enum candidate_reason reason);
/* "tcp", … */
const char *candidate_stack_name(enum candidate_stack stack);

#endif
