/* core/endpoint.c: addresses as values; RFC 6724 (with the examples of its §10); interleaving. */
#include "core/endpoint.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

static struct taps_addr addr(const char *text)
{
	struct taps_addr ret;

	if (addr_parse(&ret, text, 0) < 0)
		fail_msg("%s is no address", text);
	return ret;
}

static void test_parse_and_format(void **state)
{
	static const struct {
		const char *text, *host, *with_port; /* NULL: not an address */
	} rows[] = {
		{"192.0.2.1", "192.0.2.1", "192.0.2.1:80"},
		{"0.0.0.0", "0.0.0.0", "0.0.0.0:80"},
		{"2001:db8::1", "2001:db8::1", "[2001:db8::1]:80"},
		{"[2001:db8::1]", "2001:db8::1", "[2001:db8::1]:80"},
		{"2001:0DB8:0:0::0001", "2001:db8::1", "[2001:db8::1]:80"},
		{"::", "::", "[::]:80"},
		{"::ffff:192.0.2.1", "::ffff:192.0.2.1", "[::ffff:192.0.2.1]:80"},
		{"fe80::1%2", "fe80::1%2", "[fe80::1%2]:80"},
		{"[fe80::1%4294967295]", "fe80::1%4294967295", "[fe80::1%4294967295]:80"},
		{"2001:db8::1%2", "2001:db8::1", "[2001:db8::1]:80"},
		{"ff02::1%3", "ff02::1%3", "[ff02::1%3]:80"},
		{"fe80::1%0", "fe80::1", "[fe80::1]:80"},
		{"1111:2222:3333:4444:5555:6666:7777:8888", "1111:2222:3333:4444:5555:6666:7777:8888",
		 "[1111:2222:3333:4444:5555:6666:7777:8888]:80"},
		{"", NULL, NULL},
		{"[]", NULL, NULL},
		{"[192.0.2.1]", NULL, NULL},
		{"192.0.2.1%2", NULL, NULL},
		{"192.0.2", NULL, NULL},
		{"192.0.2.256", NULL, NULL},
		{"192.0.2.1:80", NULL, NULL},
		{"[2001:db8::1]:80", NULL, NULL},
		{"[2001:db8::1", NULL, NULL},
		{"2001:db8::1]", NULL, NULL},
		{"2001:db8:::1", NULL, NULL},
		{"fe80::1%", NULL, NULL},
		{"fe80::1%eth0", NULL, NULL},
		{"fe80::1%-1", NULL, NULL},
		{"fe80::1%4294967296", NULL, NULL},
		{"fe80::1%99999999999999999999999", NULL, NULL},
		{"fe80::1%2%3", NULL, NULL},
		{"example.org", NULL, NULL},
		{"fe80::1%00000000000000000000000000000000000000000000000000000000000000000000000002",
		 NULL, NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct taps_addr parsed, copy;
		char text[ADDR_TEXT_MAX];

		assert_int_equal(addr_parse(&parsed, rows[i].text, 80), rows[i].host ? 0 : -EINVAL);
		if (!rows[i].host)
			continue;
		assert_string_equal(addr_format_host(&parsed, text), rows[i].host);
		assert_int_equal(addr_parse(&copy, text, 80), 0);
		assert_memory_equal(&parsed, &copy, sizeof(copy));
		assert_string_equal(addr_format(&parsed, text), rows[i].with_port);
	}
}

static void test_from_sockaddr(void **state)
{
	struct sockaddr_in in4 = {.sin_family = AF_INET, .sin_port = htons(443), .sin_zero = {1, 2, 3}};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(443), .sin6_flowinfo = 7,
				   .sin6_scope_id = 9, .sin6_addr = {.s6_addr = {0xfe, 0x80, [15] = 1}}};
	struct sockaddr unknown = {.sa_family = AF_UNIX};
	struct taps_addr ret, expect = addr("fe80::1%9");
	char text[ADDR_TEXT_MAX];

	(void)state;
	inet_pton(AF_INET, "192.0.2.1", &in4.sin_addr);
	assert_true(addr_from_sockaddr(&ret, (struct sockaddr *)&in4, sizeof(in4)));
	assert_string_equal(addr_format(&ret, text), "192.0.2.1:443");
	assert_int_equal(addr_len(&ret), sizeof(in4));
	assert_int_equal(addr_family(&ret), AF_INET);
	assert_false(addr_from_sockaddr(&ret, (struct sockaddr *)&in4, sizeof(in4) - 1));
	assert_true(addr_from_sockaddr(&ret, (struct sockaddr *)&in6, sizeof(in6)));
	addr_set_port(&expect, 443);
	assert_memory_equal(&ret, &expect, sizeof(ret));
	assert_int_equal(addr_len(&ret), sizeof(in6));
	assert_true(addr_from_sockaddr(&ret, (struct sockaddr *)&in6, 24));
	assert_int_equal(ret.in6.sin6_scope_id, 0);
	assert_false(addr_from_sockaddr(&ret, (struct sockaddr *)&in6, 23));
	assert_false(addr_from_sockaddr(&ret, &unknown, sizeof(unknown)));
	assert_false(addr_from_sockaddr(&ret, &unknown, 0));
	in6.sin6_addr.s6_addr[0] = 0x20;
	assert_true(addr_from_sockaddr(&ret, (struct sockaddr *)&in6, sizeof(in6)));
	assert_int_equal(ret.in6.sin6_scope_id, 0);
}

static void test_from_bytes(void **state)
{
	struct taps_addr ret;
	char text[ADDR_TEXT_MAX];

	(void)state;
	assert_true(addr_from_bytes(&ret, AF_INET, "\xc0\x00\x02\x01", 65535));
	assert_string_equal(addr_format(&ret, text), "192.0.2.1:65535");
	assert_int_equal(addr_port(&ret), 65535);
	assert_false(addr_from_bytes(&ret, AF_UNIX, "\xc0\x00\x02\x01", 1));
}

static void test_equality(void **state)
{
	static const struct {
		const char *a, *b;
		uint16_t port_b;
		bool equal, equal_host;
	} rows[] = {
		{"192.0.2.1", "192.0.2.1", 80, true, true},
		{"192.0.2.1", "192.0.2.1", 81, false, true},
		{"192.0.2.1", "192.0.2.2", 80, false, false},
		{"192.0.2.1", "::ffff:192.0.2.1", 80, true, true},
		{"::ffff:192.0.2.1", "192.0.2.1", 81, false, true},
		{"192.0.2.1", "::192.0.2.1", 80, false, false},
		{"2001:db8::1", "2001:db8::1", 80, true, true},
		{"fe80::1%1", "fe80::1%2", 80, false, false},
		{"fe80::1%1", "fe80::1%1", 80, true, true},
		{"0.0.0.0", "::", 80, false, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct taps_addr a = addr(rows[i].a), b = addr(rows[i].b);

		addr_set_port(&a, 80);
		addr_set_port(&b, rows[i].port_b);
		assert_int_equal(addr_equal(&a, &b), rows[i].equal);
		assert_int_equal(addr_equal(&b, &a), rows[i].equal);
		assert_int_equal(addr_equal_host(&a, &b), rows[i].equal_host);
	}
}

static void test_mapping(void **state)
{
	struct taps_addr plain = addr("192.0.2.1"), six = addr("2001:db8::1"), mapped, back;
	char text[ADDR_TEXT_MAX];

	(void)state;
	addr_set_port(&plain, 80);
	mapped = addr_map(&plain);
	assert_string_equal(addr_format(&mapped, text), "[::ffff:192.0.2.1]:80");
	back = addr_unmap(&mapped);
	assert_memory_equal(&back, &plain, sizeof(back));
	back = addr_map(&mapped);
	assert_memory_equal(&back, &mapped, sizeof(back));
	back = addr_map(&six);
	assert_memory_equal(&back, &six, sizeof(back));
	back = addr_unmap(&six);
	assert_memory_equal(&back, &six, sizeof(back));
}

static void test_kinds(void **state)
{
	enum { L = 1, M = 2, N = 4 }; /* loopback, multicast, link-local (near) */
	static const struct {
		const char *text;
		int kinds;
	} rows[] = {
		{"127.0.0.1", L}, {"127.255.255.255", L}, {"::1", L}, {"::ffff:127.0.0.1", L}, {"0.0.0.0", L},
		{"::", L}, {"::ffff:0.0.0.0", L}, {"126.255.255.255", 0}, {"128.0.0.1", 0}, {"::2", 0},
		{"224.0.0.1", M}, {"239.255.255.255", M}, {"::ffff:224.0.0.1", M}, {"ff02::1", M},
		{"ff0e::1", M}, {"223.255.255.255", 0}, {"240.0.0.1", 0}, {"255.255.255.255", 0},
		{"169.254.0.1", N}, {"169.254.255.255", N}, {"::ffff:169.254.1.1", N}, {"fe80::1", N},
		{"febf::1", N}, {"169.253.255.255", 0}, {"169.255.0.0", 0}, {"fec0::1", 0}, {"10.1.2.3", 0},
		{"fd00::1", 0}, {"2001:db8::1", 0}, {"192.0.2.1", 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct taps_addr a = addr(rows[i].text);
		int kinds = addr_is_loopback(&a) * L + addr_is_multicast(&a) * M + addr_is_linklocal(&a) * N;

		assert_int_equal(kinds, rows[i].kinds);
	}
}

static void test_prefixes(void **state)
{
	static const struct {
		const char *addr, *prefix;
		unsigned bits;
		bool in;
	} rows[] = {
		{"192.0.2.1", "192.0.2.0", 24, true},         {"192.0.3.1", "192.0.2.0", 24, false},
		{"192.0.3.1", "192.0.2.0", 23, true},         {"192.0.2.1", "192.0.2.1", 32, true},
		{"192.0.2.1", "192.0.2.0", 32, false},        {"203.0.113.1", "0.0.0.0", 0, true},
		{"192.0.2.1", "192.0.2.77", 24, true},        {"192.0.2.1", "192.0.2.0", 33, false},
		{"::ffff:192.0.2.1", "192.0.2.0", 24, true},  {"192.0.2.1", "::ffff:192.0.2.0", 120, true},
		{"192.0.3.1", "::ffff:192.0.2.0", 120, false}, {"192.0.2.1", "::ffff:0.0.0.0", 96, true},
		{"192.0.2.1", "::", 0, false},                {"::ffff:192.0.2.1", "::", 0, false},
		{"::ffff:192.0.2.1", "0.0.0.0", 0, true},     {"2001:db8::1", "::", 0, true},
		{"2001:db8::1", "0.0.0.0", 0, false},         {"2001:db8::1", "2001:db8::", 32, true},
		{"2001:db9::1", "2001:db8::", 32, false},     {"2001:db9::1", "2001:db8::", 31, true},
		{"2001:db8::1", "2001:db8::1", 128, true},    {"2001:db8::2", "2001:db8::1", 128, false},
		{"2001:db8::1", "2001:db8::1", 129, false},   {"fe80::1%3", "fe80::", 10, true},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct taps_addr a = addr(rows[i].addr), prefix = addr(rows[i].prefix);

		if (addr_in_prefix(&a, &prefix, rows[i].bits) != rows[i].in)
			fail_msg("%s in %s/%u", rows[i].addr, rows[i].prefix, rows[i].bits);
	}
}

#define MANY 72

/* Splits "2001:db8::1 192.0.2.1" into addresses. */
static size_t addr_list(const char *text, struct taps_addr *ret)
{
	char copy[2048], *rest = copy, *word;
	size_t n = 0;

	snprintf(copy, sizeof(copy), "%s", text);
	while ((word = strsep(&rest, " ")))
		if (*word)
			ret[n++] = addr(word);
	return n;
}

static void list_text(const struct taps_addr *addrs, size_t n, char *text, size_t size)
{
	text[0] = '\0';
	for (size_t i = 0; i < n; i++) {
		char one[ADDR_TEXT_MAX];
		size_t used = strlen(text);

		snprintf(text + used, size - used, "%s%s", i ? " " : "", addr_format_host(&addrs[i], one));
	}
}

/* "2001:db8::2/64", with "-" behind it deprecated, "~" temporary, "@3" on interface 3 (else on 1). */
static size_t local_list(const char *text, struct local_address *ret)
{
	char copy[1024], *rest = copy, *word;
	size_t n = 0;

	snprintf(copy, sizeof(copy), "%s", text);
	while ((word = strsep(&rest, " "))) {
		char *at = strchr(word, '@');
		char *slash = strchr(word, '/');

		if (!slash)
			continue;
		ret[n].ifindex = at ? (unsigned)atoi(at + 1) : 1;
		ret[n].deprecated = strchr(word, '-') != NULL;
		ret[n].temporary = strchr(word, '~') != NULL;
		ret[n].prefix_bits = (unsigned)atoi(slash + 1);
		*slash = '\0';
		ret[n++].addr = addr(word);
	}
	return n;
}

static void test_source_selection(void **state)
{
	static const struct {
		const char *what, *dest, *local, *source;
	} rows[] = {
		{"RFC 6724 §10.1, appropriate scope", "2001:db8:1::1", "2001:db8:3::1/64 fe80::1/64",
		 "2001:db8:3::1"},
		{"RFC 6724 §10.1, appropriate scope of a group", "ff05::1", "2001:db8:3::1/64 fe80::1/64",
		 "2001:db8:3::1"},
		{"RFC 6724 §10.1, same address", "2001:db8:1::1", "2001:db8:1::1/64- 2001:db8:2::1/64",
		 "2001:db8:1::1"},
		{"RFC 6724 §10.1, appropriate scope before deprecation", "fe80::1",
		 "fe80::2/64- 2001:db8:1::1/64", "fe80::2"},
		{"RFC 6724 §10.1, longest prefix", "2001:db8:1::d5e3:0:0:1",
		 "2001:db8:3::2/64 2001:db8:1::2/64", "2001:db8:1::2"},
		{"RFC 6724 §10.1, label", "2002:c633:6401::1",
		 "2001:db8:1::2/64 2002:c633:6401:0:d5e3:7953:13eb:22e8/64~",
		 "2002:c633:6401:0:d5e3:7953:13eb:22e8"},
		{"RFC 6724 §10.1, temporary", "2001:db8:1::d5e3:0:0:1",
		 "2001:db8:1::2/64 2001:db8:1:0:d5e3:7953:13eb:22e8/64~",
		 "2001:db8:1:0:d5e3:7953:13eb:22e8"},
		{"deprecated", "2001:db8:9::1", "2001:db8:9::2/64- 2001:db8:1::2/64", "2001:db8:1::2"},
		{"the link's scope is enough", "fe80::9", "2001:db8::1/64 fe80::1/64", "fe80::1"},
		{"the greatest scope where none is enough", "2001:db8::9", "fe80::1/64 fec0::1/64",
		 "fec0::1"},
		{"no other family", "192.0.2.1", "2001:db8::1/64", ""},
		{"mapped", "::ffff:192.0.2.1", "2001:db8::1/64 192.0.2.9/24", "192.0.2.9"},
		{"loopback stays inside", "2001:db8::9", "::1/128", ""},
		{"loopback to loopback", "127.0.0.1", "192.0.2.9/24 127.0.0.1/8", "127.0.0.1"},
		{"the interface of the scope", "fe80::9%3", "fe80::1/64@2 fe80::2/64@3", "fe80::2"},
		{"no address on the interface", "fe80::9%4", "fe80::1/64@2 fe80::2/64@3", ""},
		{"nothing is known", "2001:db8::9", "", ""},
		{"unique local to unique local", "fd00:1::9", "2001:db8::1/64 fd00:2::1/64", "fd00:2::1"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct local_address local[8];
		size_t n = local_list(rows[i].local, local);
		struct taps_addr dest = addr(rows[i].dest);
		const struct local_address *source = endpoint_source(&dest, local, n);
		char text[ADDR_TEXT_MAX] = "";

		if (source)
			addr_format_host(&source->addr, text);
		if (strcmp(text, rows[i].source) != 0)
			fail_msg("%s: %s, not %s", rows[i].what, text, rows[i].source);
	}
}

static void test_sorting(void **state)
{
	static const struct {
		const char *what, *dests, *local, *sorted;
	} rows[] = {
		{"RFC 6724 §10.2, matching scope, IPv6", "198.51.100.121 2001:db8:1::1",
		 "2001:db8:1::2/64 fe80::1/64 169.254.13.78/16", "2001:db8:1::1 198.51.100.121"},
		{"RFC 6724 §10.2, matching scope, IPv4", "2001:db8:1::1 198.51.100.121",
		 "fe80::1/64 198.51.100.117/24", "198.51.100.121 2001:db8:1::1"},
		{"RFC 6724 §10.2, precedence over IPv4", "10.1.2.3 2001:db8:1::1",
		 "2001:db8:1::2/64 fe80::1/64 10.1.2.4/24", "2001:db8:1::1 10.1.2.3"},
		{"RFC 6724 §10.2, smaller scope", "2001:db8:1::1 fe80::1", "2001:db8:1::2/64 fe80::2/64",
		 "fe80::1 2001:db8:1::1"},
		{"RFC 6724 §10.2, deprecated source", "fe80::1 2001:db8:1::1",
		 "2001:db8:1::2/64 fe80::2/64-", "2001:db8:1::1 fe80::1"},
		{"RFC 6724 §10.2, longest prefix", "2001:db8:3ffe::1 2001:db8:1::1",
		 "2001:db8:1::2/64 2001:db8:3f44::2/64 fe80::2/64", "2001:db8:1::1 2001:db8:3ffe::1"},
		{"RFC 6724 §10.2, matching label", "2001:db8:1::1 2002:c633:6401::1",
		 "2002:c633:6401::2/64 fe80::2/64", "2002:c633:6401::1 2001:db8:1::1"},
		{"RFC 6724 §10.2, precedence over 6to4", "2002:c633:6401::1 2001:db8:1::1",
		 "2002:c633:6401::2/64 2001:db8:1::2/64 fe80::2/64", "2001:db8:1::1 2002:c633:6401::1"},
		{"unusable comes last", "2001:db8:1::1 192.0.2.1", "192.0.2.9/24", "192.0.2.1 2001:db8:1::1"},
		{"unique local here, global there", "2001:db8:1::1 192.0.2.1", "fd00::2/64 192.0.2.9/24",
		 "192.0.2.1 2001:db8:1::1"},
		{"unique local on both sides", "192.0.2.1 fd00::1", "fd00::2/64 192.0.2.9/24",
		 "192.0.2.1 fd00::1"},
		{"unique local with global", "2001:db8:1::1 fd00::1", "fd00::2/64 2001:db8:1::2/64",
		 "2001:db8:1::1 fd00::1"},
		{"Teredo comes after IPv4", "2001:0:1::1 192.0.2.1", "2001:0:2::1/32 192.0.2.9/24",
		 "192.0.2.1 2001:0:1::1"},
		{"all of the policy table, nothing known of here",
		 "fec0::1 3ffe::1 ::203.0.113.1 fc00::1 2001::1 2002::1 192.0.2.1 2600::1 ::1",
		 "", "::1 2600::1 192.0.2.1 2002::1 2001::1 fc00::1 fec0::1 3ffe::1 ::203.0.113.1"},
		{"loopback before the rest of the link", "fe80::1 ::1", "", "::1 fe80::1"},
		{"IPv4 keeps the name server's order", "203.0.113.1 192.0.2.200 198.51.100.1", "192.0.3.9/24",
		 "203.0.113.1 192.0.2.200 198.51.100.1"},
		{"but neighbours first", "203.0.113.1 192.0.2.1 192.0.2.9", "192.0.2.8/24",
		 "192.0.2.1 192.0.2.9 203.0.113.1"},
		{"prefixes count only as far as the source's", "2001:db8:1::f 2001:db8:1::3",
		 "2001:db8:1::2/64", "2001:db8:1::f 2001:db8:1::3"},
		{"equals keep their order", "2001:db8:3::1 2001:db8:2::1", "", "2001:db8:3::1 2001:db8:2::1"},
		{"mapped as IPv4", "::ffff:192.0.2.1 2001:db8::1", "2001:db8::2/64 192.0.2.9/24",
		 "2001:db8::1 ::ffff:192.0.2.1"},
		{"one", "192.0.2.1", "", "192.0.2.1"},
		{"none", "", "", ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct local_address local[8];
		struct taps_addr dests[16];
		size_t n_local = local_list(rows[i].local, local), n = addr_list(rows[i].dests, dests);
		char text[1024];

		endpoint_sort(dests, n, local, n_local);
		list_text(dests, n, text, sizeof(text));
		if (strcmp(text, rows[i].sorted) != 0)
			fail_msg("%s: %s, not %s", rows[i].what, text, rows[i].sorted);
	}
}

static void test_sorting_is_bounded(void **state)
{
	struct taps_addr dests[MANY];
	char text[ADDR_TEXT_MAX];

	(void)state;
	for (unsigned i = 0; i < MANY; i++)
		dests[i] = addr(i % 2 ? "2001:db8::1" : "192.0.2.1");
	endpoint_sort(dests, MANY, NULL, 0);
	for (unsigned i = 0; i < ENDPOINT_SORT_MAX; i++)
		assert_int_equal(addr_family(&dests[i]), i < ENDPOINT_SORT_MAX / 2 ? AF_INET6 : AF_INET);
	assert_string_equal(addr_format_host(&dests[ENDPOINT_SORT_MAX], text), "192.0.2.1");
	assert_string_equal(addr_format_host(&dests[ENDPOINT_SORT_MAX + 1], text), "2001:db8::1");
}

static void test_interleaving(void **state)
{
	static const struct {
		const char *what, *addrs;
		unsigned first_count;
		const char *result;
	} rows[] = {
		{"alternate", "2001:db8::1 2001:db8::2 2001:db8::3 10.0.0.1 10.0.0.2 10.0.0.3", 1,
		 "2001:db8::1 10.0.0.1 2001:db8::2 10.0.0.2 2001:db8::3 10.0.0.3"},
		{"two of the first family lead", "2001:db8::1 2001:db8::2 2001:db8::3 10.0.0.1 10.0.0.2", 2,
		 "2001:db8::1 2001:db8::2 10.0.0.1 2001:db8::3 10.0.0.2"},
		{"none is one", "2001:db8::1 2001:db8::2 10.0.0.1", 0, "2001:db8::1 10.0.0.1 2001:db8::2"},
		{"IPv4 first stays first", "10.0.0.1 10.0.0.2 2001:db8::1 2001:db8::2", 1,
		 "10.0.0.1 2001:db8::1 10.0.0.2 2001:db8::2"},
		{"already mixed", "10.0.0.1 2001:db8::1 2001:db8::2 10.0.0.2", 1,
		 "10.0.0.1 2001:db8::1 10.0.0.2 2001:db8::2"},
		{"more to lead than there are", "2001:db8::1 10.0.0.1 10.0.0.2 2001:db8::2", 9,
		 "2001:db8::1 2001:db8::2 10.0.0.1 10.0.0.2"},
		{"one family", "10.0.0.3 10.0.0.1 10.0.0.2", 1, "10.0.0.3 10.0.0.1 10.0.0.2"},
		{"one family runs out", "2001:db8::1 10.0.0.1 10.0.0.2 10.0.0.3", 1,
		 "2001:db8::1 10.0.0.1 10.0.0.2 10.0.0.3"},
		{"the other runs out", "2001:db8::1 2001:db8::2 2001:db8::3 10.0.0.1", 1,
		 "2001:db8::1 10.0.0.1 2001:db8::2 2001:db8::3"},
		{"the same twice", "10.0.0.1 10.0.0.1 2001:db8::1 10.0.0.1 2001:db8::1", 1,
		 "10.0.0.1 2001:db8::1"},
		{"the same, mapped", "::ffff:10.0.0.1 10.0.0.1 10.0.0.2", 1, "::ffff:10.0.0.1 10.0.0.2"},
		{"mapped as IPv4", "::ffff:10.0.0.1 ::ffff:10.0.0.2 2001:db8::1", 1,
		 "::ffff:10.0.0.1 2001:db8::1 ::ffff:10.0.0.2"},
		{"one", "10.0.0.1", 2, "10.0.0.1"},
		{"none", "", 1, ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct taps_addr addrs[16];
		size_t n = addr_list(rows[i].addrs, addrs);
		char text[1024];

		n = endpoint_interleave(addrs, n, rows[i].first_count);
		list_text(addrs, n, text, sizeof(text));
		if (strcmp(text, rows[i].result) != 0)
			fail_msg("%s: %s, not %s", rows[i].what, text, rows[i].result);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse_and_format),
		cmocka_unit_test(test_from_sockaddr),
		cmocka_unit_test(test_from_bytes),
		cmocka_unit_test(test_equality),
		cmocka_unit_test(test_mapping),
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_prefixes),
		cmocka_unit_test(test_source_selection),
		cmocka_unit_test(test_sorting),
		cmocka_unit_test(test_sorting_is_bounded),
		cmocka_unit_test(test_interleaving),
	};

	return cmocka_run_group_tests_name("endpoint", tests, NULL, NULL);
}
