/* Endpoints: socket addresses as values (RFC 9622 §6.1).  Pure: no I/O, no lock, no clock. */
#ifndef TAPS_CORE_ENDPOINT_H
#define TAPS_CORE_ENDPOINT_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* An IPv4 or IPv6 address with a port.  Unused bytes are zero, so that values can be compared
 * and hashed as memory. */
struct taps_addr {
	union {
		struct sockaddr sa;
		struct sockaddr_in in4;
		struct sockaddr_in6 in6;
	};
};

#define ADDR_TEXT_MAX 80

/* Copies an AF_INET or AF_INET6 address; its flow label, and a scope where it means nothing, are left behind.
 * Returns false for other families or a short `len`. */
bool addr_from_sockaddr(struct taps_addr *ret, const struct sockaddr *sa, socklen_t len);
/* From the bytes that inet_pton(3) makes; `family` is AF_INET or AF_INET6; port in host order. */
bool addr_from_bytes(struct taps_addr *ret, int family, const void *bytes, uint16_t port);
/* Parses "192.0.2.1", "2001:db8::1", "[2001:db8::1]", the latter two with an optional "%scope", which is an
 * interface's number; sets `port` (host order).  Names are not resolved.  Returns 0 or -EINVAL. */
int addr_parse(struct taps_addr *ret, const char *text, uint16_t port);
/* Writes "192.0.2.1:80" or "[2001:db8::1%2]:80" and returns `buf`. */
const char *addr_format(const struct taps_addr *addr, char buf[ADDR_TEXT_MAX]);
/* The same without the port and without brackets. */
const char *addr_format_host(const struct taps_addr *addr, char buf[ADDR_TEXT_MAX]);

socklen_t addr_len(const struct taps_addr *addr);
uint16_t addr_port(const struct taps_addr *addr);
void addr_set_port(struct taps_addr *addr, uint16_t port);
int addr_family(const struct taps_addr *addr);

/* Same family, address, scope and port.  A v4-mapped address equals the IPv4 one. */
bool addr_equal(const struct taps_addr *a, const struct taps_addr *b);
/* The same without the port. */
bool addr_equal_host(const struct taps_addr *a, const struct taps_addr *b);

/* ::ffff:a.b.c.d to a.b.c.d (else a copy), and back (RFC 4291 §2.5.5.2). */
struct taps_addr addr_unmap(const struct taps_addr *addr);
struct taps_addr addr_map(const struct taps_addr *addr);

/* Each sees through v4-mapping.  Unspecified addresses count as loopback, as connect(2) treats them. */
bool addr_is_loopback(const struct taps_addr *addr);
bool addr_is_wildcard(const struct taps_addr *addr); /* unspecified, of its own family */
bool addr_is_multicast(const struct taps_addr *addr);
bool addr_is_linklocal(const struct taps_addr *addr);

/* Is addr within prefix/bits (bits counted in the family of `prefix`)?  Sees through v4-mapping: no IPv4
 * address is within ::/0, a v4-mapped one is within 0.0.0.0/0. */
bool addr_in_prefix(const struct taps_addr *addr, const struct taps_addr *prefix, unsigned bits);

/* An address that this machine has; ports are zero, `prefix_bits` counted in its own family. */
struct local_address {
	struct taps_addr addr;
	unsigned prefix_bits;
	unsigned ifindex;
	bool deprecated;
	bool temporary;
};

/* The address that a packet to `dest` would come from, by RFC 6724 §5 as far as it can be told without the
 * routing table; an element of `local`, or NULL if none can. */
const struct local_address *endpoint_source(const struct taps_addr *dest, const struct local_address *local,
					    size_t n_local);

/* Sorts destination addresses by RFC 6724 §6 with its default policy table, given the addresses that this
 * machine has.  Stable.  What comes after the first ENDPOINT_SORT_MAX stays where it is. */
#define ENDPOINT_SORT_MAX 64
void endpoint_sort(struct taps_addr *addrs, size_t n, const struct local_address *local, size_t n_local);

/* Interleaves address families (RFC 8305 §4): the first element stays first, `first_count` (0 is 1) of its
 * family lead, then families alternate; order within a family is kept.  Duplicates (addr_equal) are dropped;
 * returns the new count. */
size_t endpoint_interleave(struct taps_addr *addrs, size_t n, unsigned first_count);

#endif
