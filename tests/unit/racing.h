/* A small network for tests of connections, in namespaces of the test's own, and connections on it. */
#ifndef TAPS_TESTS_UNIT_RACING_H
#define TAPS_TESTS_UNIT_RACING_H

#include <stdint.h>

#include "conf/policy.h"
#include "core/conn.h"
#include "tests/unit/slots.h"

/* AddressSanitizer loses sight of a stack that is unwound from a foreign frame. */
#if defined(__SANITIZE_ADDRESS__)
#define UNWINDS false
#elif defined(__has_feature)
#define UNWINDS !__has_feature(address_sanitizer)
#else
#define UNWINDS true
#endif

#define PORT 7000

/* GOOD has a listener on PORT, REFUSED has none, DEAD never answers, NOWHERE has no route. */
#define GOOD4 "192.0.2.10"
#define GOOD6 "2001:db8::10"
#define REFUSED4 "192.0.2.11"
#define REFUSED6 "2001:db8::11"
#define DEAD4 "198.51.100.66"
#define DEAD6 "2001:db8:1::66"
#define OTHER_DEAD4 "198.51.100.67"
#define NOWHERE4 "203.0.113.1"

/* cmocka's setup: a new network; `state` stays NULL.  Returns 0, or -1 with the reason printed. */
int racing_network(void **state);

struct dns_line;
/* A name server of the test's own (tests/unit/dns.h), and the system's configuration to go with it.  Returns
 * its process, which ends with the caller's, or -1. */
pid_t racing_names(struct dns_line *script, size_t n);

struct taps_addr racing_addr(const char *text, uint16_t port);
/* A listener of the test's own process; connections complete without accept(2).  Returns its descriptor. */
int racing_listen(const char *address);
/* A name and the answer of its look-up, ended by NULL. */
struct names_entry racing_answer(const char *name, ...);

/* The connection that connect(2) of the slot to `passed` makes, with its candidates; NULL where the core
 * would leave the call to the kernel.  `conf` NULL: the defaults; `entry` NULL: the address is known by no
 * name. */
struct conn *racing_conn(struct taps_slot *slot, struct conf *conf, const char *passed,
			 const struct names_entry *entry);

/* cmocka's setup and teardown of a case: slots installed, names forgotten; and nothing left of connections,
 * copies and descriptors after a second at most. */
int racing_begin(void **state);
int racing_end(void **state);
/* Takes what came in at a listener, and closes it. */
void racing_drain(int listener);

/* Waits up to `ms` for any of these flags to be set on the slot, or (0) for all of SLOT_SPECIAL to be
 * gone. */
bool racing_wait(const struct taps_slot *slot, uint32_t flags, int ms);
/* What poll(2) says of a descriptor now. */
short racing_poll(int fd);
/* "192.0.2.10" of the peer, "" if there is none. */
const char *racing_peer(int fd);
/* The local port. */
uint16_t racing_port(int fd);
/* Descriptors of this process, but for the loop's own and that of the count. */
unsigned racing_fds(void);
int64_t racing_ms_since(int64_t begin);

#endif
