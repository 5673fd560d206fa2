/* core/candidate.c: which endpoints a connection tries, in which order, and why not the others. */
#include "core/candidate.h"

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

static size_t addr_list(const char *text, struct taps_addr *ret)
{
	char copy[4096], *rest = copy, *word;
	size_t n = 0;

	snprintf(copy, sizeof(copy), "%s", text);
	while ((word = strsep(&rest, " ")))
		if (*word)
			ret[n++] = addr(word);
	return n;
}

__attribute__((format(printf, 3, 4))) static void append(char *text, size_t size, const char *format, ...)
{
	size_t used = strlen(text);
	va_list args;

	va_start(args, format);
	vsnprintf(text + used, size - used, format, args);
	va_end(args);
}

static const char *const short_reasons[] = {
	[CANDIDATE_FINE] = "fine",
	[CANDIDATE_LOOPBACK] = "loopback",
	[CANDIDATE_LINK_LOCAL] = "link-local",
	[CANDIDATE_MULTICAST] = "multicast",
	[CANDIDATE_NOT_ASKED_FOR] = "not asked for",
	[CANDIDATE_V6_ONLY] = "v6only",
	[CANDIDATE_BOUND] = "bound",
	[CANDIDATE_DUPLICATE] = "twice",
	[CANDIDATE_TOO_MANY] = "too many",
	[CANDIDATE_DATAGRAM] = "datagram",
	[CANDIDATE_NOT_RACED] = "not raced",
	[CANDIDATE_REQUIREMENT] = "requirement",
};

/* "2001:db8::1 192.0.2.1; 127.0.0.1 loopback; alone: …" */
static void set_text(const struct candidate_set *set, char *text, size_t size)
{
	char one[ADDR_TEXT_MAX];

	text[0] = '\0';
	for (unsigned i = 0; i < set->n; i++)
		append(text, size, "%s%s", i ? " " : "", addr_format_host(&set->candidate[i].remote, one));
	for (unsigned i = 0; i < set->n_pruned; i++)
		append(text, size, "; %s %s", addr_format_host(&set->pruned[i].addr, one),
		       short_reasons[set->pruned[i].reason]);
	if (set->alone != CANDIDATE_FINE)
		append(text, size, "; alone: %s", short_reasons[set->alone]);
}

struct row {
	const char *what;
	const char *asked; /* NULL: policy names another remote */
	const char *answers;
	int domain, lookup;
	const char *set;
	int bound, socktype;
	bool v6only;
	unsigned first_family_count;
};

#define ROW(what_, asked_, answers_, domain_, lookup_, set_, ...) \
	{.what = (what_), .asked = (asked_), .answers = (answers_), .domain = (domain_), \
	 .lookup = (lookup_), .set = (set_), ##__VA_ARGS__},

static const struct row rows[] = {
	/* What comes first, and in which order the others follow. */
	ROW("an address that nobody looked up",
	    "192.0.2.1", "", AF_INET, AF_UNSPEC,
	    "192.0.2.1")
	ROW("the answer holds it",
	    "2001:db8::1", "2001:db8::1 192.0.2.1", AF_INET6, AF_UNSPEC,
	    "2001:db8::1 ::ffff:192.0.2.1")
	ROW("the one passed comes first, not the answer's first",
	    "2001:db8::2", "2001:db8::1 2001:db8::2 2001:db8::3", AF_INET6, AF_INET6,
	    "2001:db8::2 2001:db8::1 2001:db8::3")
	ROW("families alternate",
	    "2001:db8::1", "2001:db8::1 2001:db8::2 192.0.2.1 192.0.2.2", AF_INET6, AF_UNSPEC,
	    "2001:db8::1 ::ffff:192.0.2.1 2001:db8::2 ::ffff:192.0.2.2")
	ROW("two of the first family lead",
	    "2001:db8::1", "2001:db8::1 2001:db8::2 2001:db8::3 192.0.2.1", AF_INET6, AF_UNSPEC,
	    "2001:db8::1 2001:db8::2 ::ffff:192.0.2.1 2001:db8::3", .first_family_count = 2)
	ROW("families alternate from the one passed",
	    "192.0.2.2", "2001:db8::1 2001:db8::2 192.0.2.1 192.0.2.2", AF_INET, AF_UNSPEC,
	    "192.0.2.2 2001:db8::1 192.0.2.1 2001:db8::2")
	ROW("four addresses of one family",
	    "192.0.2.1", "192.0.2.1 192.0.2.2 192.0.2.3 192.0.2.4", AF_INET, AF_INET,
	    "192.0.2.1 192.0.2.2 192.0.2.3 192.0.2.4")
	ROW("an answer without the one passed",
	    "192.0.2.9", "192.0.2.1 192.0.2.2", AF_INET, AF_INET,
	    "192.0.2.9 192.0.2.1 192.0.2.2")
	ROW("duplicates",
	    "192.0.2.1", "192.0.2.1 192.0.2.2 192.0.2.2 192.0.2.1 ::ffff:192.0.2.2", AF_INET, AF_UNSPEC,
	    "192.0.2.1 192.0.2.2; 192.0.2.2 twice; ::ffff:192.0.2.2 twice")

	/* What the application's socket allows. */
	ROW("an IPv6 socket reaches IPv4",
	    "::ffff:192.0.2.1", "2001:db8::1 192.0.2.1", AF_INET6, AF_UNSPEC,
	    "::ffff:192.0.2.1 2001:db8::1")
	ROW("but not if it is IPv6 only",
	    "2001:db8::1", "2001:db8::1 2001:db8::2 192.0.2.1", AF_INET6, AF_UNSPEC,
	    "2001:db8::1 2001:db8::2; 192.0.2.1 v6only", .v6only = true)
	ROW("what was passed is tried all the same",
	    "::ffff:192.0.2.1", "2001:db8::1 192.0.2.1", AF_INET6, AF_UNSPEC,
	    "::ffff:192.0.2.1 2001:db8::1", .v6only = true)
	ROW("an IPv4 socket, and both families were asked for",
	    "192.0.2.1", "2001:db8::1 192.0.2.1", AF_INET, AF_UNSPEC,
	    "192.0.2.1 2001:db8::1")
	ROW("an IPv4 socket, and IPv4 was asked for",
	    "192.0.2.1", "2001:db8::1 192.0.2.1 192.0.2.2", AF_INET, AF_INET,
	    "192.0.2.1 192.0.2.2; 2001:db8::1 not asked for")
	ROW("an IPv6 socket, and IPv6 was asked for",
	    "2001:db8::1", "2001:db8::1 192.0.2.1", AF_INET6, AF_INET6,
	    "2001:db8::1; 192.0.2.1 not asked for")
	ROW("IPv6 was asked for, and mapped answers were welcome",
	    "2001:db8::1", "2001:db8::1 ::ffff:192.0.2.1", AF_INET6, AF_INET6,
	    "2001:db8::1 ::ffff:192.0.2.1")
	ROW("a mapped answer to an IPv4 socket",
	    "192.0.2.1", "::ffff:192.0.2.2", AF_INET, AF_UNSPEC,
	    "192.0.2.1 192.0.2.2")
	ROW("bound to an IPv4 address",
	    "192.0.2.1", "2001:db8::1 192.0.2.1 192.0.2.2", AF_INET, AF_UNSPEC,
	    "192.0.2.1 192.0.2.2; 2001:db8::1 bound", .bound = AF_INET)
	ROW("bound to an IPv6 address",
	    "2001:db8::1", "2001:db8::1 192.0.2.1 2001:db8::2", AF_INET6, AF_UNSPEC,
	    "2001:db8::1 2001:db8::2; 192.0.2.1 bound", .bound = AF_INET6)
	ROW("bound to a mapped address",
	    "::ffff:192.0.2.1", "2001:db8::1 192.0.2.1 192.0.2.2", AF_INET6, AF_UNSPEC,
	    "::ffff:192.0.2.1 ::ffff:192.0.2.2; 2001:db8::1 bound", .bound = AF_INET)

	/* What is never raced. */
	ROW("localhost",
	    "::1", "::1 127.0.0.1", AF_INET6, AF_UNSPEC,
	    "::1; 127.0.0.1 loopback; alone: loopback")
	ROW("loopback with other answers",
	    "127.0.0.1", "127.0.0.1 192.0.2.1", AF_INET, AF_UNSPEC,
	    "127.0.0.1; 192.0.2.1 not raced; alone: loopback")
	ROW("mapped loopback",
	    "::ffff:127.0.0.1", "192.0.2.1", AF_INET6, AF_UNSPEC,
	    "::ffff:127.0.0.1; 192.0.2.1 not raced; alone: loopback")
	ROW("any address is loopback",
	    "0.0.0.0", "192.0.2.1", AF_INET, AF_UNSPEC,
	    "0.0.0.0; 192.0.2.1 not raced; alone: loopback")
	ROW("link-local",
	    "fe80::1%2", "fe80::1 2001:db8::1", AF_INET6, AF_UNSPEC,
	    "fe80::1%2; fe80::1 link-local; 2001:db8::1 not raced; alone: link-local")
	ROW("IPv4 link-local",
	    "169.254.1.1", "169.254.1.1 169.254.1.2", AF_INET, AF_INET,
	    "169.254.1.1; 169.254.1.2 link-local; alone: link-local")
	ROW("multicast",
	    "224.0.0.1", "192.0.2.1", AF_INET, AF_UNSPEC,
	    "224.0.0.1; 192.0.2.1 not raced; alone: multicast")
	ROW("near answers to a far address are left out",
	    "2001:db8::1",
	    "2001:db8::1 fe80::1%2 ::1 ff02::1%2 169.254.1.1 127.0.0.1 224.0.0.1 192.0.2.1",
	    AF_INET6, AF_UNSPEC,
	    "2001:db8::1 ::ffff:192.0.2.1; fe80::1%2 link-local; ::1 loopback; ff02::1%2 multicast; "
	    "169.254.1.1 link-local; 127.0.0.1 loopback; 224.0.0.1 multicast")
	ROW("datagrams",
	    "192.0.2.1", "192.0.2.1 192.0.2.2", AF_INET, AF_INET,
	    "192.0.2.1; 192.0.2.2 not raced; alone: datagram", .socktype = SOCK_DGRAM)

	/* Policy names another remote. */
	ROW("another remote",
	    NULL, "2001:db8::7 192.0.2.7", AF_INET6, AF_UNSPEC,
	    "2001:db8::7 ::ffff:192.0.2.7")
	ROW("another remote, for an IPv4 socket",
	    NULL, "2001:db8::7 192.0.2.7", AF_INET, AF_UNSPEC,
	    "2001:db8::7 192.0.2.7")
	ROW("another remote is bound by the socket, too",
	    NULL, "2001:db8::7 192.0.2.7 192.0.2.8", AF_INET, AF_UNSPEC,
	    "192.0.2.7 192.0.2.8; 2001:db8::7 bound", .bound = AF_INET)
	ROW("another remote is here",
	    NULL, "::1 127.0.0.1", AF_INET6, AF_UNSPEC,
	    "::1; 127.0.0.1 loopback; alone: loopback")
	ROW("another remote has no address",
	    NULL, "", AF_INET6, AF_UNSPEC,
	    "")
	ROW("another remote has no address of use",
	    NULL, "192.0.2.1", AF_INET6, AF_UNSPEC,
	    "; 192.0.2.1 v6only", .v6only = true)
	ROW("another remote's duplicates",
	    NULL, "192.0.2.1 192.0.2.1", AF_INET, AF_UNSPEC,
	    "192.0.2.1; 192.0.2.1 twice")
};

static struct candidate_request request_of(const struct row *row, struct taps_addr *answers)
{
	struct candidate_request request = {
		.addrs = answers,
		.n_addrs = addr_list(row->answers, answers),
		.lookup_family = row->lookup,
		.domain = row->domain,
		.v6only = row->v6only,
		.socktype = row->socktype,
		.bound_family = row->bound,
		.port = 443,
		.first_family_count = row->first_family_count,
		.rewritten = row->asked == NULL,
	};

	request.asked = addr(row->asked ? row->asked : "192.0.2.1");
	return request;
}

/* What holds of every candidate. */
static void check(const struct row *row, const struct candidate *candidate)
{
	const struct in6_addr *in6 = &candidate->remote.in6.sin6_addr;
	int family = addr_family(&candidate->remote);

	assert_int_equal(addr_port(&candidate->remote), 443);
	assert_int_equal(candidate->path, PATH_DEFAULT);
	assert_int_equal(candidate->stack, row->socktype == SOCK_DGRAM ? STACK_UDP : STACK_TCP);
	assert_int_equal(candidate->mapped, family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(in6));
	if (row->domain == AF_INET6)
		assert_int_equal(family, AF_INET6);
	else
		assert_false(candidate->mapped);
}

static void test_gathering(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct taps_addr answers[16];
		struct candidate_request request = request_of(&rows[i], answers);
		struct candidate_set set;
		char text[1024];
		int n = candidate_gather(&request, &set);

		assert_int_equal(n, set.n);
		set_text(&set, text, sizeof(text));
		if (strcmp(text, rows[i].set) != 0)
			fail_msg("%s:\n  expected %s\n  but got  %s", rows[i].what, rows[i].set, text);
		for (unsigned j = 0; j < set.n; j++)
			check(&rows[i], &set.candidate[j]);
	}
}

/* Answers of a resolver of our own come unsorted. */
static void test_answers_are_sorted(void **state)
{
	static const struct row row = {.answers = "192.0.2.1 fd00::1 2001:db8::1", .domain = AF_INET6};
	struct local_address local[] = {
		{.addr = addr("2001:db8::9"), .prefix_bits = 64},
		{.addr = addr("192.0.2.9"), .prefix_bits = 24},
	};
	struct taps_addr answers[16];
	struct candidate_request request = request_of(&row, answers);
	struct candidate_set set;
	char text[256];

	(void)state;
	request.local = local;
	request.n_local = ARRAY_SIZE(local);
	candidate_gather(&request, &set);
	set_text(&set, text, sizeof(text));
	assert_string_equal(text, "2001:db8::1 ::ffff:192.0.2.1 fd00::1");
	request.n_local = 0;
	candidate_gather(&request, &set);
	set_text(&set, text, sizeof(text));
	assert_string_equal(text, "2001:db8::1 ::ffff:192.0.2.1 fd00::1");
}

static void test_room_is_bounded(void **state)
{
	struct taps_addr answers[100];
	struct candidate_request request = {.asked = addr("192.0.2.1"), .addrs = answers, .n_addrs = 100,
					    .domain = AF_INET, .port = 1};
	struct taps_addr last;
	struct candidate_set set;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(answers); i++) {
		uint8_t bytes[4] = {198, 51, 100, (uint8_t)i};

		addr_from_bytes(&answers[i], AF_INET, bytes, 1);
	}
	last = answers[RACE_MAX_LEAVES - 2];
	assert_int_equal(candidate_gather(&request, &set), RACE_MAX_LEAVES);
	assert_true(addr_equal_host(&set.candidate[0].remote, &request.asked));
	assert_true(addr_equal(&set.candidate[RACE_MAX_LEAVES - 1].remote, &last));
	assert_int_equal(set.n_pruned, ENDPOINT_SORT_MAX - (RACE_MAX_LEAVES - 1));
	assert_int_equal(set.pruned[0].reason, CANDIDATE_TOO_MANY);
	for (unsigned i = 0; i < ARRAY_SIZE(answers); i++)
		answers[i] = addr("127.0.0.1");
	assert_int_equal(candidate_gather(&request, &set), 1);
	assert_int_equal(set.n_pruned, CANDIDATE_PRUNED_MAX);
}

static void test_requirements(void **state)
{
	static const struct {
		const char *name, *text;
		int stream, datagram;
	} wishes[] = {
		{"reliability", "require", 1, -EPROTONOSUPPORT},
		{"reliability", "prohibit", -EPROTONOSUPPORT, 1},
		{"reliability", "avoid", 1, 1},
		{"preserveMsgBoundaries", "require", -EPROTONOSUPPORT, 1},
		{"preserveMsgBoundaries", "prefer", 1, 1},
		{"preserveMsgBoundaries", "prohibit", 1, -EPROTONOSUPPORT},
		{"perMsgReliability", "require", -EPROTONOSUPPORT, -EPROTONOSUPPORT},
		{"preserveOrder", "require", 1, -EPROTONOSUPPORT},
		{"congestionControl", "prohibit", -EPROTONOSUPPORT, 1},
		{"fullChecksumSend", "prohibit", -EPROTONOSUPPORT, -EPROTONOSUPPORT},
		{"fullChecksumRecv", "require", 1, 1},
		{"multistreaming", "prefer", 1, 1},
		{"connTimeout", "5", 1, 1},
	};
	static const int socktypes[] = {SOCK_STREAM, SOCK_DGRAM};

	(void)state;
	for (size_t i = 0; i < 2 * ARRAY_SIZE(wishes); i++) {
		int socktype = socktypes[i % 2];
		struct properties props;
		struct candidate_request request = {.asked = addr("192.0.2.1"), .domain = AF_INET,
						    .socktype = socktype, .properties = &props};
		struct candidate_set set;

		properties_default(&props);
		assert_int_equal(properties_set(&props, wishes[i / 2].name, wishes[i / 2].text), 0);
		properties_adapt(&props, socktype, false);
		assert_int_equal(candidate_gather(&request, &set),
				 i % 2 ? wishes[i / 2].datagram : wishes[i / 2].stream);
		if (set.n == 0)
			assert_int_equal(set.pruned[0].reason, CANDIDATE_REQUIREMENT);
	}
}

static void test_names(void **state)
{
	(void)state;
	assert_string_equal(candidate_stack_name(STACK_TCP), "tcp");
	assert_string_equal(candidate_stack_name(STACK_UDP), "udp");
	assert_string_equal(candidate_reason(CANDIDATE_FINE), "");
	for (size_t i = CANDIDATE_LOOPBACK; i < ARRAY_SIZE(short_reasons); i++)
		assert_true(strlen(candidate_reason(i)) > 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gathering),
		cmocka_unit_test(test_answers_are_sorted),
		cmocka_unit_test(test_room_is_bounded),
		cmocka_unit_test(test_requirements),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests_name("candidate", tests, NULL, NULL);
}
