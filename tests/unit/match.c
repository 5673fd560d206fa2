/* conf/match.c: rules against connections. */
#include "conf/match.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/confdir.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

static void test_glob(void **state)
{
	static const struct {
		const char *pattern, *text;
		bool fold, matches;
	} rows[] = {
		{"", "", false, true},		{"", "a", false, false},	{"*", "", false, true},
		{"*", "a.b", false, true},	{"a", "a", false, true},	{"a", "A", false, false},
		{"a", "A", true, true},		{"Z", "z", true, true},		{"[", "{", true, false},
		{"a*", "a", false, true},	{"a*", "abc", false, true},	{"a*", "ba", false, false},
		{"*a", "a", false, true},	{"*a", "ba", false, true},	{"*a", "ab", false, false},
		{"*a*", "xax", false, true},	{"a*b", "ab", false, true},	{"a*b", "axxb", false, true},
		{"a*b", "axbx", false, false},	{"a*b*c", "abbbc", false, true}, {"*ab", "aab", false, true},
		{"*aab", "aaab", false, true},	{"**", "x", false, true},	{"a**b", "ab", false, true},
		{"*.example.com", "www.example.com", true, true},
		{"*.example.com", "a.b.example.com", true, true},
		{"*.example.com", "example.com", true, false},
		{"*.example.com", "example.com.evil.org", true, false},
		{"*.example.com", "xexample.com", true, false},
		{"*a*a*a*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false, false},
		{"a", "*", false, false},	{"*x", "*", false, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (match_glob(rows[i].pattern, rows[i].text, rows[i].fold) != rows[i].matches)
			fail_msg("%s against %s", rows[i].pattern, rows[i].text);
}

/* One rule, and a connection that it is for or not. */
struct row {
	const char *match; /* what stands in match = { } */
	const char *host, *address;
	uint16_t port;
	int socktype;
	enum policy_role role;
	bool matches;
};

static void check_row(const struct confdir *dir, const struct row *row)
{
	struct taps_addr addr;
	struct policy_query query = confdir_query(row->host, &addr, row->address, row->port);
	struct policy policy;
	struct conf *conf;
	char text[256];

	snprintf(text, sizeof(text), "rules = ( { match = { %s } } );", row->match);
	conf = confdir_load(dir, text);
	query.socktype = row->socktype;
	query.role = row->role;
	conf_policy(conf, &query, &policy);
	if ((policy.rule != NULL) != row->matches)
		fail_msg("{ %s } against %s %s %u", row->match, row->host, row->address, row->port);
	conf_unref(conf);
}

#define OUT SOCK_STREAM, POLICY_INITIATE
#define IN SOCK_STREAM, POLICY_LISTEN

static void test_rules(void **state)
{
	static const struct row rows[] = {
		{"", NULL, "192.0.2.1", 80, OUT, true},
		{"", NULL, "192.0.2.1", 80, IN, true},
		{"host = \"a.example\";", "a.example", "192.0.2.1", 80, OUT, true},
		{"host = \"a.example\";", "A.Example", "192.0.2.1", 80, OUT, true},
		{"host = \"a.example\";", "a.example.", "192.0.2.1", 80, OUT, true},
		{"host = \"a.example.\";", "a.example", "192.0.2.1", 80, OUT, true},
		{"host = \"a.example\";", "b.example", "192.0.2.1", 80, OUT, false},
		{"host = \"a.example\";", NULL, "192.0.2.1", 80, OUT, false},
		{"host = \"*\";", NULL, "192.0.2.1", 80, OUT, false},
		{"host = (\"b\", \"a.*\");", "a.example", "192.0.2.1", 80, OUT, true},
		{"address = \"192.0.2.1\";", NULL, "192.0.2.1", 80, OUT, true},
		{"address = \"192.0.2.1\";", NULL, "192.0.2.2", 80, OUT, false},
		{"address = \"192.0.2.0/24\";", NULL, "192.0.2.255", 80, OUT, true},
		{"address = \"192.0.2.0/24\";", NULL, "192.0.3.0", 80, OUT, false},
		{"address = \"192.0.2.0/24\";", NULL, "::ffff:192.0.2.7", 80, OUT, true},
		{"address = \"192.0.2.77/25\";", NULL, "192.0.2.1", 80, OUT, true},
		{"address = \"0.0.0.0/0\";", NULL, "203.0.113.9", 80, OUT, true},
		{"address = \"0.0.0.0/0\";", NULL, "2001:db8::1", 80, OUT, false},
		{"address = \"::/0\";", NULL, "203.0.113.9", 80, OUT, false},
		{"address = \"::/0\";", NULL, "2001:db8::1", 80, OUT, true},
		{"address = \"2001:db8::/33\";", NULL, "2001:db8:7fff::1", 80, OUT, true},
		{"address = \"2001:db8::/33\";", NULL, "2001:db8:8000::1", 80, OUT, false},
		{"address = \"fe80::/10\";", NULL, "fe80::1%1", 80, OUT, true},
		{"address = (\"10.0.0.0/8\", \"::1\");", NULL, "::1", 80, OUT, true},
		{"port = 80;", NULL, "192.0.2.1", 80, OUT, true},
		{"port = 80;", NULL, "192.0.2.1", 81, OUT, false},
		{"port = \"80-90\";", NULL, "192.0.2.1", 80, OUT, true},
		{"port = \"80-90\";", NULL, "192.0.2.1", 90, OUT, true},
		{"port = \"80-90\";", NULL, "192.0.2.1", 91, OUT, false},
		{"port = (1, \"80-90\", 443);", NULL, "192.0.2.1", 443, OUT, true},
		{"type = \"stream\";", NULL, "192.0.2.1", 80, OUT, true},
		{"type = \"stream\";", NULL, "192.0.2.1", 80, SOCK_DGRAM, POLICY_INITIATE, false},
		{"type = \"datagram\";", NULL, "192.0.2.1", 80, SOCK_DGRAM, POLICY_INITIATE, true},
		{"type = \"datagram\";", NULL, "192.0.2.1", 80, OUT, false},
		{"type = \"any\";", NULL, "192.0.2.1", 80, SOCK_DGRAM, POLICY_INITIATE, true},
		{"role = \"initiate\";", NULL, "192.0.2.1", 80, OUT, true},
		{"role = \"initiate\";", NULL, "192.0.2.1", 80, IN, false},
		{"role = \"listen\";", NULL, "192.0.2.1", 80, IN, true},
		{"role = \"listen\";", NULL, "192.0.2.1", 80, OUT, false},
		{"host = \"a\"; port = 80;", "a", "192.0.2.1", 80, OUT, true},
		{"host = \"a\"; port = 80;", "a", "192.0.2.1", 81, OUT, false},
		{"host = \"a\"; port = 80;", "b", "192.0.2.1", 80, OUT, false},
		{"program = \"x\";", NULL, "192.0.2.1", 80, OUT, false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		check_row(*state, &rows[i]);
}

static void test_nothing_known(void **state)
{
	struct conf *conf = confdir_load(
		*state, "rules = ( { match = { port = 80; } }, { match = { address = \"::/0\"; } },"
			" { match = { host = \"*\"; } } );");
	struct policy_query query = {NULL, NULL, SOCK_STREAM, POLICY_INITIATE};
	struct policy policy;

	conf_policy(conf, &query, &policy);
	assert_null(policy.rule);
	conf_unref(conf);
}

static void test_long_name(void **state)
{
	struct conf *conf = confdir_load(*state, "rules = ( { match = { host = \"*\"; } } );");
	struct taps_addr addr;
	struct policy_query query;
	struct policy policy;
	char name[300];

	memset(name, 'a', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	query = confdir_query(name, &addr, "::1", 80);
	conf_policy(conf, &query, &policy);
	assert_null(policy.rule);
	name[255] = '\0';
	conf_policy(conf, &query, &policy);
	assert_non_null(policy.rule);
	conf_unref(conf);
}

static void test_programs(void **state)
{
	static const char *const names[] = {"script.py", "python3.11", NULL}, *const none[] = {NULL};
	static const char *const patterns[] = {"psql", "python3*"};
	struct match match = {.program = {patterns, 2}};

	(void)state;
	assert_true(match_program(&match, names));
	assert_false(match_program(&match, none));
	assert_false(match_program(&match, NULL));
	match.program.n = 1;
	assert_false(match_program(&match, names));
	match.program.n = 0;
	assert_true(match_program(&match, NULL));
}

static void test_first_match(void **state)
{
	struct conf_rule rules[3] = {
		{.foreign = true}, {.match.role = MATCH_LISTEN}, {.match.role = MATCH_ANY_ROLE}};
	struct conf_layer layer = {.rules = {rules, 3}};
	struct policy_query query = {NULL, NULL, SOCK_STREAM, POLICY_INITIATE};

	(void)state;
	assert_ptr_equal(match_rule(&layer, &query), &rules[2]);
	query.role = POLICY_LISTEN;
	assert_ptr_equal(match_rule(&layer, &query), &rules[1]);
	layer.rules.n = 1;
	assert_null(match_rule(&layer, &query));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, confdir_setup, confdir_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_glob),	 TEST(test_rules),
		TEST(test_nothing_known),	 TEST(test_long_name),
		cmocka_unit_test(test_programs), cmocka_unit_test(test_first_match),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
