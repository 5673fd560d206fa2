/* Looking names up on the application's behalf: the configuration's `hosts`, the resolver of our own,
 * and remembering what the C library answered. */
#ifndef TAPS_CORE_LOOKUP_H
#define TAPS_CORE_LOOKUP_H

#include <netdb.h>
#include <sys/types.h>

#include "conf/policy.h"

struct conn;
struct names_entry;

/* getaddrinfo(3) where `hosts` or `resolver = "taps"` says so: an EAI_ code, or TAPS_PASS.  The list is laid
 * out as the C library's, for its freeaddrinfo.  May block for as long as resolution takes. */
int lookup_getaddrinfo(const struct conf *conf, const char *node, const char *service,
		       const struct addrinfo *hints, struct addrinfo **ret, pid_t thread);
/* gethostbyname(3): taps_core.hostaddrs. */
int lookup_hostaddrs(const struct conf *conf, const char *name, int family, void *addrs, int max,
		     pid_t thread);

/* Remembers an answer of the C library's. */
void lookup_learned(const char *node, const struct addrinfo *hints, const struct addrinfo *list,
		    pid_t thread);
void lookup_learned_host(const char *name, const struct hostent *host, pid_t thread);

/* Gives the connection its candidates: the policy's remote host, else the remembered answer (`entry`, or
 * NULL: the address alone); answers still under way come along as conn->resolve.  Returns their number, or
 * -errno. */
int lookup_candidates(struct conn *conn, const struct names_entry *entry, int64_t now);

/* The same for a datagram socket, whose connect(2) cannot be under way: waits for a resolution, sorts its
 * answers by RFC 6724, and takes those only that the socket's own family reaches. */
int lookup_datagram(struct conn *conn, int64_t now);

/* pthread_atfork(3): the lock over answers under way. */
void lookup_fork_prepare(void);
void lookup_fork_done(void);

#endif
