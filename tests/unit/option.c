/* conf/option.c: -o as text of a file. */
#include "conf/option.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

static struct arena arena;

static void test_texts(void **state)
{
	static const struct {
		const char *option, *text;
	} rows[] = {
		{"resolver=taps", "resolver = \"taps\";"},
		{"resolver=\"taps\"", "resolver = \"taps\";"},
		{"resolver=5", "resolver = \"5\";"},
		{"resolver=", "resolver = \"\";"},
		{"resolver=a\"b\\", "resolver = \"a\\\"b\\\\\";"},
		{"race.attemptDelay=100", "race = { attemptDelay = 100; };"},
		{"race.attemptDelay=fast", "race = { attemptDelay = \"fast\"; };"},
		{"race.attemptDelay=-1", "race = { attemptDelay = -1; };"},
		{"race.enabled=false", "race = { enabled = false; };"},
		{"race.enabled=no", "race = { enabled = \"no\"; };"},
		{"race={enabled=false;}", "race = {enabled=false;};"},
		{"properties.reliability=prefer", "properties = { reliability = \"prefer\"; };"},
		{"properties.isolateSession=true", "properties = { isolateSession = true; };"},
		{"properties.connTimeout=2.5", "properties = { connTimeout = \"2.5\"; };"},
		{"properties.interface=prohibit wwan, prefer eth0",
		 "properties = { interface = \"prohibit wwan, prefer eth0\"; };"},
		{"properties.tcp.userTimeoutValue=30", "properties = { tcp = { userTimeoutValue = 30; }; };"},
		{"include=a.conf,b.conf", "include = ( \"a.conf\", \"b.conf\" );"},
		{"include=a.conf", "include = \"a.conf\";"},
		{"rules=({ match = { port = 1; }; })", "rules = ({ match = { port = 1; }; });"},
		{"hosts.db.example.com=192.0.2.1",
		 "hosts = ( { name = \"db.example.com\"; address = \"192.0.2.1\"; } );"},
		{"hosts.db=192.0.2.1,::1",
		 "hosts = ( { name = \"db\"; address = ( \"192.0.2.1\", \"::1\" ); } );"},
		{"unknown=1", "unknown = \"1\";"},
		{"unknown.key=x=y", "unknown = { key = \"x=y\"; };"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *text;

		assert_int_equal(option_text(&arena, rows[i].option, &text), 0);
		assert_string_equal(text, rows[i].text);
	}
}

static void test_no_options(void **state)
{
	static const char *const rows[] = {
		"",	"race",	 "=1",	  ".a=1", "a.=1", "a..b=1", "race .enabled=true",
		"1a=1", "a b=1", "a;b=1", "-a=1", "a{=1",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *text;

		assert_int_equal(option_text(&arena, rows[i], &text), -EINVAL);
	}
}

static void test_values(void **state)
{
	(void)state;
	assert_string_equal(option_value(&arena, &conf_keys[KEY_MATCH_port], "80,8000-8099"),
			    "( 80, \"8000-8099\" )");
	assert_string_equal(option_value(&arena, &conf_keys[KEY_MATCH_port], "80"), "80");
	assert_string_equal(option_value(&arena, &conf_keys[KEY_MATCH_host], "a,b"), "( \"a\", \"b\" )");
	assert_string_equal(option_value(&arena, NULL, "a,b"), "\"a,b\"");
}

static unsigned allowed;

static void *few(size_t size)
{
	return allowed-- > 0 ? malloc(size) : NULL;
}

/* The arena asks for a chunk at a time: one chunk holds all of a short option. */
static void test_no_memory(void **state)
{
	struct arena empty = {0};
	const char *text;

	(void)state;
	arena_source = few;
	allowed = 0;
	assert_int_equal(option_text(&empty, "race.enabled=true", &text), -ENOMEM);
	allowed = 0;
	assert_int_equal(option_text(&empty, "hosts.a=::1", &text), -ENOMEM);
	allowed = 1;
	assert_int_equal(option_text(&empty, "race.enabled=true", &text), 0);
	arena_source = malloc;
	arena_fini(&empty);
}

static int teardown(void **state)
{
	(void)state;
	arena_fini(&arena);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_no_options),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, teardown);
}
