/* Addresses as values, and their order.  RFC 6724 states its rules pair by pair; nearly all of them compare a
 * property of one address with the same property of the other, so here each address gets a row of numbers,
 * one for each rule, and the smaller row comes first. */
#include "core/endpoint.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define V4_IN_V6 96 /* bits before the IPv4 address in a v4-mapped one */

static const uint8_t v4_prefix[12] = {[10] = 0xff, [11] = 0xff};

static bool is_v4_mapped(const struct taps_addr *addr)
{
	return addr->sa.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&addr->in6.sin6_addr);
}

static const uint8_t *bytes_of(const struct taps_addr *addr)
{
	if (addr->sa.sa_family == AF_INET)
		return (const uint8_t *)&addr->in4.sin_addr;
	return addr->in6.sin6_addr.s6_addr;
}

/* The IPv4 address in host order; 0 for IPv6. */
static uint32_t v4_of(const struct taps_addr *addr)
{
	struct taps_addr plain = addr_unmap(addr);

	return plain.sa.sa_family == AF_INET ? ntohl(plain.in4.sin_addr.s_addr) : 0;
}

/* Elsewhere the kernel ignores a scope, and so must a comparison. */
static void drop_idle_scope(struct taps_addr *addr)
{
	if (!addr_is_linklocal(addr) && !addr_is_multicast(addr))
		addr->in6.sin6_scope_id = 0;
}

bool addr_from_sockaddr(struct taps_addr *ret, const struct sockaddr *sa, socklen_t len)
{
	struct sockaddr_in6 in6 = {0};
	struct sockaddr_in in4;

	if (len >= sizeof(in4) && sa->sa_family == AF_INET) {
		memcpy(&in4, sa, sizeof(in4));
		return addr_from_bytes(ret, AF_INET, &in4.sin_addr, ntohs(in4.sin_port));
	}
	/* The kernel takes an address without a scope, too (RFC 2133). */
	if (len < offsetof(struct sockaddr_in6, sin6_scope_id) || sa->sa_family != AF_INET6)
		return false;
	memcpy(&in6, sa, len < sizeof(in6) ? len : sizeof(in6));
	addr_from_bytes(ret, AF_INET6, &in6.sin6_addr, ntohs(in6.sin6_port));
	if (len >= sizeof(in6))
		ret->in6.sin6_scope_id = in6.sin6_scope_id;
	drop_idle_scope(ret);
	return true;
}

bool addr_from_bytes(struct taps_addr *ret, int family, const void *bytes, uint16_t port)
{
	memset(ret, 0, sizeof(*ret));
	if (family == AF_INET)
		memcpy(&ret->in4.sin_addr, bytes, sizeof(ret->in4.sin_addr));
	else if (family == AF_INET6)
		memcpy(&ret->in6.sin6_addr, bytes, sizeof(ret->in6.sin6_addr));
	else
		return false;
	ret->sa.sa_family = (sa_family_t)family;
	addr_set_port(ret, port);
	return true;
}

static int parse_scope(const char *text, uint32_t *ret)
{
	uint64_t scope = 0;

	if (*text == '\0')
		return -EINVAL;
	for (; *text >= '0' && *text <= '9' && scope <= UINT32_MAX; text++)
		scope = scope * 10 + (unsigned)(*text - '0');
	if (*text != '\0' || scope > UINT32_MAX)
		return -EINVAL;
	*ret = (uint32_t)scope;
	return 0;
}

/* `text` is without brackets, and may be written to. */
static int parse_v6(struct taps_addr *ret, char *text, uint16_t port)
{
	char *percent = strchr(text, '%');
	struct in6_addr in6;
	uint32_t scope = 0;

	if (percent) {
		*percent = '\0';
		if (parse_scope(percent + 1, &scope) < 0)
			return -EINVAL;
	}
	if (inet_pton(AF_INET6, text, &in6) != 1)
		return -EINVAL;
	addr_from_bytes(ret, AF_INET6, &in6, port);
	ret->in6.sin6_scope_id = scope;
	drop_idle_scope(ret);
	return 0;
}

int addr_parse(struct taps_addr *ret, const char *text, uint16_t port)
{
	char copy[ADDR_TEXT_MAX];
	size_t len = strlen(text);
	struct in_addr in4;

	if (inet_pton(AF_INET, text, &in4) == 1) {
		addr_from_bytes(ret, AF_INET, &in4, port);
		return 0;
	}
	if (len >= 2 && text[0] == '[' && text[len - 1] == ']') {
		text++;
		len -= 2;
	}
	if (len >= sizeof(copy))
		return -EINVAL;
	memcpy(copy, text, len);
	copy[len] = '\0';
	return parse_v6(ret, copy, port);
}

const char *addr_format_host(const struct taps_addr *addr, char buf[ADDR_TEXT_MAX])
{
	size_t used;

	buf[0] = '\0';
	inet_ntop(addr->sa.sa_family, bytes_of(addr), buf, ADDR_TEXT_MAX);
	used = strlen(buf);
	if (addr->sa.sa_family == AF_INET6 && addr->in6.sin6_scope_id != 0)
		snprintf(buf + used, ADDR_TEXT_MAX - used, "%%%u", addr->in6.sin6_scope_id);
	return buf;
}

const char *addr_format(const struct taps_addr *addr, char buf[ADDR_TEXT_MAX])
{
	bool bracket = addr->sa.sa_family == AF_INET6;
	char host[ADDR_TEXT_MAX];

	addr_format_host(addr, host);
	snprintf(buf, ADDR_TEXT_MAX, "%s%.*s%s:%u", bracket ? "[" : "", ADDR_TEXT_MAX - 10, host,
		 bracket ? "]" : "", addr_port(addr));
	return buf;
}

socklen_t addr_len(const struct taps_addr *addr)
{
	return addr->sa.sa_family == AF_INET ? sizeof(addr->in4) : sizeof(addr->in6);
}

/* sin_port and sin6_port lie in the same place. */
uint16_t addr_port(const struct taps_addr *addr)
{
	return ntohs(addr->in4.sin_port);
}

void addr_set_port(struct taps_addr *addr, uint16_t port)
{
	addr->in4.sin_port = htons(port);
}

int addr_family(const struct taps_addr *addr)
{
	return addr->sa.sa_family;
}

struct taps_addr addr_unmap(const struct taps_addr *addr)
{
	struct taps_addr plain = *addr;

	if (is_v4_mapped(addr))
		addr_from_bytes(&plain, AF_INET, bytes_of(addr) + sizeof(v4_prefix), addr_port(addr));
	return plain;
}

struct taps_addr addr_map(const struct taps_addr *addr)
{
	struct taps_addr mapped = *addr;
	uint8_t bytes[16];

	if (addr->sa.sa_family != AF_INET)
		return mapped;
	memcpy(bytes, v4_prefix, sizeof(v4_prefix));
	memcpy(bytes + sizeof(v4_prefix), &addr->in4.sin_addr, sizeof(addr->in4.sin_addr));
	addr_from_bytes(&mapped, AF_INET6, bytes, addr_port(addr));
	return mapped;
}

bool addr_equal(const struct taps_addr *a, const struct taps_addr *b)
{
	struct taps_addr plain_a = addr_unmap(a), plain_b = addr_unmap(b);

	return memcmp(&plain_a, &plain_b, sizeof(plain_a)) == 0;
}

bool addr_equal_host(const struct taps_addr *a, const struct taps_addr *b)
{
	struct taps_addr other = *b;

	addr_set_port(&other, addr_port(a));
	return addr_equal(a, &other);
}

bool addr_is_loopback(const struct taps_addr *addr)
{
	struct taps_addr plain = addr_unmap(addr);
	uint32_t v4 = v4_of(addr);

	if (plain.sa.sa_family == AF_INET)
		return v4 >> 24 == 127 || v4 == INADDR_ANY;
	return IN6_IS_ADDR_LOOPBACK(&plain.in6.sin6_addr) || IN6_IS_ADDR_UNSPECIFIED(&plain.in6.sin6_addr);
}

bool addr_is_wildcard(const struct taps_addr *addr)
{
	return addr_family(addr) == AF_INET ? addr->in4.sin_addr.s_addr == htonl(INADDR_ANY)
					    : IN6_IS_ADDR_UNSPECIFIED(&addr->in6.sin6_addr);
}

bool addr_is_multicast(const struct taps_addr *addr)
{
	struct taps_addr plain = addr_unmap(addr);

	if (plain.sa.sa_family == AF_INET)
		return v4_of(addr) >> 28 == 0xe;
	return IN6_IS_ADDR_MULTICAST(&plain.in6.sin6_addr);
}

bool addr_is_linklocal(const struct taps_addr *addr)
{
	struct taps_addr plain = addr_unmap(addr);

	if (plain.sa.sa_family == AF_INET)
		return v4_of(addr) >> 16 == 0xa9fe;
	return IN6_IS_ADDR_LINKLOCAL(&plain.in6.sin6_addr);
}

static unsigned common_bits(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	unsigned n = 0;

	while (n < bits && ((a[n / 8] ^ b[n / 8]) & 0x80 >> n % 8) == 0)
		n++;
	return n;
}

bool addr_in_prefix(const struct taps_addr *addr, const struct taps_addr *prefix, unsigned bits)
{
	struct taps_addr a = addr_unmap(addr), p = *prefix;

	if (is_v4_mapped(prefix) && bits >= V4_IN_V6) {
		p = addr_unmap(prefix);
		bits -= V4_IN_V6;
	}
	if (a.sa.sa_family != p.sa.sa_family || bits > (p.sa.sa_family == AF_INET ? 32 : 128))
		return false;
	return common_bits(bytes_of(&a), bytes_of(&p), bits) == bits;
}

/* RFC 6724 §2.1, longest prefixes first. */
static const struct policy_row {
	uint8_t prefix[16];
	unsigned bits, precedence, label;
} policy_table[] = {
	{{[15] = 1}, 128, 50, 0},
	{{[10] = 0xff, [11] = 0xff}, 96, 35, 4},
	{{0}, 96, 1, 3},
	{{0x20, 0x01}, 32, 5, 5},
	{{0x20, 0x02}, 16, 30, 2},
	{{0x3f, 0xfe}, 16, 1, 12},
	{{0xfe, 0xc0}, 10, 1, 11},
	{{0xfc}, 7, 3, 13},
	{{0}, 0, 40, 1},
};

static const struct policy_row *policy_of(const struct taps_addr *addr)
{
	struct taps_addr mapped = addr_map(addr);
	const struct policy_row *row = policy_table;

	while (common_bits(bytes_of(&mapped), row->prefix, row->bits) < row->bits)
		row++;
	return row;
}

enum scope { SCOPE_LINK = 2, SCOPE_SITE = 5, SCOPE_GLOBAL = 14 };

/* RFC 6724 §3: private IPv4 addresses are global, loopback counts as the link's. */
static unsigned scope_of(const struct taps_addr *addr)
{
	struct taps_addr plain = addr_unmap(addr);

	if (plain.sa.sa_family == AF_INET6 && IN6_IS_ADDR_MULTICAST(&plain.in6.sin6_addr))
		return plain.in6.sin6_addr.s6_addr[1] & 0xf;
	if (plain.sa.sa_family == AF_INET6 && IN6_IS_ADDR_SITELOCAL(&plain.in6.sin6_addr))
		return SCOPE_SITE;
	return addr_is_linklocal(addr) || addr_is_loopback(addr) ? SCOPE_LINK : SCOPE_GLOBAL;
}

/* RFC 6724 §2.2: at most as long as the source's prefix. */
static unsigned common_prefix(const struct local_address *source, const struct taps_addr *dest)
{
	struct taps_addr a = addr_unmap(&source->addr), b = addr_unmap(dest);
	unsigned most = a.sa.sa_family == AF_INET ? 32 : 128;

	if (source->prefix_bits < most)
		most = source->prefix_bits;
	return common_bits(bytes_of(&a), bytes_of(&b), most);
}

#define RANKS 6

/* Smaller is better, the first difference counts. */
struct rank {
	unsigned by[RANKS];
};

static int compare_ranks(const struct rank *a, const struct rank *b)
{
	for (int i = 0; i < RANKS; i++)
		if (a->by[i] != b->by[i])
			return a->by[i] < b->by[i] ? -1 : 1;
	return 0;
}

/* Rule 2 of RFC 6724 §5: the smallest scope that reaches the destination, else the greatest there is. */
static unsigned rank_scope(unsigned source, unsigned dest)
{
	return source >= dest ? source : 0x100 - source;
}

/* Rules 1, 2, 3, 6, 7, 8 of RFC 6724 §5; 4 is about mobile IP, 5 needs routes. */
static struct rank rank_source(const struct local_address *source, const struct taps_addr *dest)
{
	return (struct rank){{
		!addr_equal_host(&source->addr, dest),
		rank_scope(scope_of(&source->addr), scope_of(dest)),
		source->deprecated,
		policy_of(&source->addr)->label != policy_of(dest)->label,
		!source->temporary,
		128 - common_prefix(source, dest),
	}};
}

/* Could packets to `dest` leave from `source` at all? */
static bool may_be_source(const struct local_address *source, const struct taps_addr *dest)
{
	struct taps_addr from = addr_unmap(&source->addr), to = addr_unmap(dest);

	if (from.sa.sa_family != to.sa.sa_family || addr_is_loopback(&from) != addr_is_loopback(&to))
		return false;
	if (to.sa.sa_family == AF_INET || to.in6.sin6_scope_id == 0)
		return true;
	return source->ifindex == to.in6.sin6_scope_id;
}

const struct local_address *endpoint_source(const struct taps_addr *dest, const struct local_address *local,
					    size_t n_local)
{
	const struct local_address *best = NULL;
	struct rank best_rank = {{0}};

	for (size_t i = 0; i < n_local; i++) {
		struct rank rank;

		if (!may_be_source(&local[i], dest))
			continue;
		rank = rank_source(&local[i], dest);
		if (!best || compare_ranks(&rank, &best_rank) < 0) {
			best = &local[i];
			best_rank = rank;
		}
	}
	return best;
}

struct destination {
	struct taps_addr addr;
	struct rank rank;
	unsigned common; /* prefix with the source, bits */
};

/* Rule 9 for IPv4 is about neighbours only: beyond the own net it would undo the order in which a name server
 * spreads its load. */
static unsigned useful_prefix(const struct local_address *source, const struct taps_addr *dest)
{
	unsigned bits = common_prefix(source, dest);

	return addr_unmap(dest).sa.sa_family == AF_INET && bits < source->prefix_bits ? 0 : bits;
}

/* Rules 1, 2, 3, 5, 6, 8 of RFC 6724 §6; 4 is about mobile IP, 7 about tunnels. */
static void rank_destination(struct destination *dest, const struct local_address *local, size_t n_local)
{
	const struct local_address *source = endpoint_source(&dest->addr, local, n_local);
	const struct policy_row *policy = policy_of(&dest->addr);
	unsigned scope = scope_of(&dest->addr);

	dest->rank = (struct rank){{
		!source,
		!source || scope_of(&source->addr) != scope,
		source && source->deprecated,
		!source || policy_of(&source->addr)->label != policy->label,
		50 - policy->precedence,
		scope,
	}};
	dest->common = source ? useful_prefix(source, &dest->addr) : 0;
}

static bool comes_before(const struct destination *a, const struct destination *b)
{
	int order = compare_ranks(&a->rank, &b->rank);

	/* Equal ranks mean equal families: no IPv6 prefix has the precedence of IPv4. */
	return order < 0 || (order == 0 && a->common > b->common);
}

void endpoint_sort(struct taps_addr *addrs, size_t n, const struct local_address *local, size_t n_local)
{
	struct destination dests[ENDPOINT_SORT_MAX];
	size_t sorted = 0;

	for (size_t i = 0; i < n && i < ENDPOINT_SORT_MAX; i++) {
		struct destination dest = {.addr = addrs[i]};
		size_t at = sorted++;

		rank_destination(&dest, local, n_local);
		for (; at > 0 && comes_before(&dest, &dests[at - 1]); at--)
			dests[at] = dests[at - 1];
		dests[at] = dest;
	}
	for (size_t i = 0; i < sorted; i++)
		addrs[i] = dests[i].addr;
}

static size_t drop_duplicates(struct taps_addr *addrs, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		size_t j = 0;

		while (j < kept && !addr_equal(&addrs[j], &addrs[i]))
			j++;
		if (j == kept)
			addrs[kept++] = addrs[i];
	}
	return kept;
}

static bool is_v4(const struct taps_addr *addr)
{
	return addr->sa.sa_family == AF_INET || is_v4_mapped(addr);
}

/* Brings the next address of a family to `at`, if there is one; the others keep their order. */
static bool pull_forward(struct taps_addr *addrs, size_t n, size_t at, bool v4)
{
	struct taps_addr pulled;
	size_t from = at;

	while (from < n && is_v4(&addrs[from]) != v4)
		from++;
	if (from == n)
		return false;
	pulled = addrs[from];
	memmove(&addrs[at + 1], &addrs[at], (from - at) * sizeof(*addrs));
	addrs[at] = pulled;
	return true;
}

size_t endpoint_interleave(struct taps_addr *addrs, size_t n, unsigned first_count)
{
	bool v4;
	size_t at = 0;

	n = drop_duplicates(addrs, n);
	if (n == 0)
		return 0;
	v4 = is_v4(&addrs[0]);
	while (at < (first_count ? first_count : 1) && at < n && pull_forward(addrs, n, at, v4))
		at++;
	for (v4 = !v4; at < n && pull_forward(addrs, n, at, v4); at++)
		v4 = !v4;
	return n;
}
