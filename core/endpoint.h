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

/* Copies an AF_INET or AF_INET6 address.  Returns false for other families or a short `len`. */
bool addr_from_sockaddr(struct taps_addr *ret, const struct sockaddr *sa, socklen_t len);
/* From the bytes that inet_pton(3) makes; `family` is AF_INET or AF_INET6; port in host order. */
bool addr_from_bytes(struct taps_addr *ret, int family, const void *bytes, uint16_t port);
/* Parses "192.0.2.1", "2001:db8::1", "[2001:db8::1]", each with an optional "%scope"; sets `port`
 * (host order).  Names are not resolved.  Returns 0 or -EINVAL. */
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
bool addr_is_multicast(const struct taps_addr *addr);
bool addr_is_linklocal(const struct taps_addr *addr);

/* Is addr within prefix/bits (bits counted in the family of `prefix`)? */
bool addr_in_prefix(const struct taps_addr *addr, const struct taps_addr *prefix, unsigned bits);

/* Sorts destination addresses by RFC 6724 §6, given the addresses that this machine has, one per
 * element of `local` (scope and prefix length decide the source candidate).  Stable. */
struct local_address {
	struct taps_addr addr;
	unsigned prefix_bits;
	unsigned ifindex;
	bool deprecated;
	bool temporary;
};
void endpoint_sort(struct taps_addr *addrs, size_t n, const struct local_address *local, size_t n_local);

/* Interleaves address families (RFC 8305 §4): the first element stays first, `first_count` of its
 * family lead, then families alternate; order within a family is kept.  Duplicates are dropped;
 * returns the new count. */
size_t endpoint_interleave(struct taps_addr *addrs, size_t n, unsigned first_count);

#endif
