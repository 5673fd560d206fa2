/* conf/load.c: from text to a layer, and what is said of texts that are none. */
#include "conf/load.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

static struct arena arena;

static int load(const char *text, struct conf_layer *layer, struct conf_error *error)
{
	struct load_source source = {text, strlen(text), "FILE", "FILE", "/dir", true};
	struct arena scratch = {0};
	int r;

	*layer = (struct conf_layer){0};
	*error = (struct conf_error){0};
	r = load_text(&source, &arena, &scratch, layer, error);
	arena_fini(&scratch);
	return r;
}

static void test_values(void **state)
{
	struct conf_layer layer;
	struct conf_error error;
	int r = load("resolver = \"taps\";\n"
		     "race = { enabled = false;\n attemptDelay = 300; };\n"
		     "properties : { multipath = \"active\"\n tcp = { userTimeoutValue = 9; } }\n",
		     &layer, &error);

	(void)state;
	assert_string_equal(error.text, "");
	assert_int_equal(r, 0);
	assert_int_equal(layer.values.policy.resolver, RESOLVER_TAPS);
	assert_false(layer.values.policy.race.enabled);
	assert_int_equal(layer.values.policy.race.attempt_delay, 300 * INT64_C(1000000));
	assert_int_equal(layer.values.policy.properties.multipath, MULTIPATH_ACTIVE);
	assert_int_equal(layer.values.policy.properties.tcp_user_timeout_value, 9);
	assert_int_equal(layer.values.origin[KEY_TOP_resolver]->line, 1);
	assert_int_equal(layer.values.origin[KEY_RACE_enabled]->line, 2);
	assert_int_equal(layer.values.origin[KEY_RACE_attemptDelay]->line, 3);
	assert_int_equal(layer.values.origin[KEY_PROPERTIES_tcp_user_timeout_value]->line, 5);
	assert_string_equal(layer.values.origin[KEY_RACE_enabled]->file, "FILE");
	assert_null(layer.values.origin[KEY_RACE_maxInFlight]);
	assert_int_equal(layer.rules.n, 0);
}

static void test_rules(void **state)
{
	struct conf_layer layer;
	struct conf_error error;
	const struct conf_rule *rule;
	int r = load("rules = (\n"
		     "  { match = { host = \"a\"; port = [ 1, 2 ]; type = \"stream\"; };\n"
		     "    remote = { host = \"::1\"; port = 9; } },\n"
		     "  {\n}\n"
		     ");\n",
		     &layer, &error);

	(void)state;
	assert_string_equal(error.text, "");
	assert_int_equal(r, 0);
	assert_int_equal(layer.rules.n, 2);
	rule = &layer.rules.item[0];
	assert_string_equal(rule->text, "FILE:2");
	assert_string_equal(rule->match.host.item[0], "a");
	assert_int_equal(rule->match.port.n, 2);
	assert_int_equal(rule->match.port.item[1].first, 2);
	assert_int_equal(rule->match.type, MATCH_STREAM);
	assert_string_equal(rule->values.policy.remote.host, "::1");
	assert_int_equal(rule->values.policy.remote.port, 9);
	assert_int_equal(rule->values.origin[KEY_REMOTE_port]->line, 3);
	assert_string_equal(layer.rules.item[1].text, "FILE:4");
}

static void test_one_group_for_a_list(void **state)
{
	struct conf_layer layer;
	struct conf_error error;

	(void)state;
	assert_int_equal(
		load("rules = { remote = { port = 5; }; }; hosts = { name = \"a\"; address = \"::1\"; };",
		     &layer, &error),
		0);
	assert_int_equal(layer.rules.n, 1);
	assert_int_equal(layer.rules.item[0].values.policy.remote.port, 5);
	assert_int_equal(layer.hosts.n, 1);
	assert_int_equal(load("rules = ( ); hosts = ( );", &layer, &error), 0);
	assert_int_equal(layer.rules.n, 0);
}

static void test_hosts_and_includes(void **state)
{
	struct conf_layer layer;
	struct conf_error error;
	int r = load("hosts = ( { name = \"a\"; address = ( \"::1\", \"192.0.2.1\" ); } );\n"
		     "include = [ \"x.conf\", \"/y.conf\" ];",
		     &layer, &error);

	(void)state;
	assert_int_equal(r, 0);
	assert_int_equal(layer.hosts.n, 1);
	assert_string_equal(layer.hosts.item[0].name, "a");
	assert_int_equal(layer.hosts.item[0].address.n, 2);
	assert_int_equal(addr_family(&layer.hosts.item[0].address.item[1]), AF_INET);
	assert_int_equal(layer.include.n, 2);
	assert_string_equal(layer.include.item[0], "/dir/x.conf");
	assert_string_equal(layer.include.item[1], "/y.conf");
}

/* What is found by the table, by libconfig, and before it. */
static void test_refused(void **state)
{
	static const struct {
		const char *text, *message;
	} rows[] = {
		{"", "FILE:1: is empty: expected settings, or a comment that says why there are none"},
		{"\n \t\n", "FILE:1: is empty: expected settings, or a comment that says why there are none"},
		{"\nfoo = 1;", "FILE:2: unknown key 'foo'"},
		{"race = { atemptDelay = 1; };",
		 "FILE:1: unknown key 'atemptDelay' (did you mean 'attemptDelay'?)"},
		{"properties = { tcp = { userTimeout = 1; } };",
		 "FILE:1: unknown key 'tcp.userTimeout' (did you mean 'tcp.userTimeoutValue'?)"},
		{"properties = { tpc = { userTimeoutValue = 1; } };", "FILE:1: unknown key 'tpc'"},
		{"properties = { tcp = 1; };", "FILE:1: unknown key 'tcp'"},
		{"race = 1;", "FILE:1: 'race' is 1: expected a group { }"},
		{"race = [1];", "FILE:1: 'race' is an array [ ]: expected a group { }"},
		{"race = ();", "FILE:1: 'race' is empty: expected a group { }"},
		{"rules = [ 1 ];",
		 "FILE:1: 'rules' is an array [ ]: expected a group { }, or a list ( ) of groups"},
		{"rules = (\n1 );", "FILE:1: 'rules' is 1: expected a group { }, or a list ( ) of groups"},
		{"race = { enabled = { }; };", "FILE:1: 'enabled' is a group { }: expected true or false"},
		{"race = { enabled = [ true ]; };",
		 "FILE:1: 'enabled' is an array [ ]: expected true or false"},
		{"rules = ( { match = { port = ( 1, ( 2 ) ); } } );",
		 "FILE:1: 'port' is a list ( ): expected a port, or \"FIRST-LAST\"; or a list of up to 64"},
		{"rules = ( { match = { port = ( 1,\n 0 ); } } );",
		 "FILE:1: 'port' is 0: expected a port, or \"FIRST-LAST\"; or a list of up to 64"},
		{"rules = ( { match = { host = ( ); } } );",
		 "FILE:1: 'host' is empty: expected a host name, with * for any letters; "
		 "or a list of up to 64"},
		{"hosts = (\n{ name = \"a\"; } );", "FILE:2: 'address' is missing"},
		{"hosts = (\n\n{ address = \"::1\"; } );", "FILE:3: 'name' is missing"},
		{"race = { attemptDelay = 100.5; };",
		 "FILE:1: 'attemptDelay' is 100.5: expected milliseconds from 10 to 2000"},
		{"race = { attemptDelay = 4294967396; };",
		 "FILE:1: 'attemptDelay' is 4294967396: expected milliseconds from 10 to 2000"},
		{"race = { attemptDelay = 99999999999999999999999999; };",
		 "FILE:1: 'attemptDelay' is 9223372036854775807: expected milliseconds from 10 to 2000"},
		{"a = 1;\n= 2;", "FILE:2: syntax error, here or before: = 2;"},
		{"\nrace = {\n", "FILE:2: the group or list that begins here has no end"},
		{"resolver = \"taps\";\n\nresolver = \"taps\";",
		 "FILE:3: duplicate setting name, here or before: resolver = \"taps\";"},
		{"a = [ 1, \"x\" ];",
		 "FILE:1: values of different types in an array [ ]: expected a list ( ), "
		 "here or before: a = [ 1, \"x\" ];"},
		{"\n@include \"/etc/passwd\"",
		 "FILE:2: '@include' is not supported: expected include = [\"FILE\"]"},
		{"a = \x01;", "FILE:1: is not text: there is a control character"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct conf_layer layer;
		struct conf_error error;

		assert_int_equal(load(rows[i].text, &layer, &error), -EINVAL);
		assert_string_equal(error.text, rows[i].message);
	}
}

/* What the scan does not know, libconfig's own parser stops. */
static void test_include_is_shut(void **state)
{
	struct conf_layer layer;
	struct conf_error error;

	(void)state;
	assert_int_equal(load("a = 1; \\\n@include \"/etc/passwd\"\n", &layer, &error), -EINVAL);
	assert_null(strstr(error.text, "root"));
}

static void test_line_numbers_beyond_16_bits(void **state)
{
	struct conf_layer layer;
	struct conf_error error;
	char *text = malloc(70000 + 16);

	(void)state;
	assert_non_null(text);
	memset(text, '\n', 70000);
	memcpy(text + 70000, "foo = 1;", 9);
	assert_int_equal(load(text, &layer, &error), -EINVAL);
	assert_string_equal(error.text, "FILE:70001: unknown key 'foo'");
	free(text);
}

static void test_long_names_and_texts(void **state)
{
	struct conf_layer layer;
	struct conf_error error;
	char *text = malloc(5000);

	(void)state;
	assert_non_null(text);
	memset(text, 'a', 4000);
	memcpy(text + 4000, " = 1;", 6);
	assert_int_equal(load(text, &layer, &error), -EINVAL);
	assert_memory_equal(error.text, "FILE:1: unknown key 'aaaa", 25);
	memset(text, 'a', 4000);
	memcpy(text, "resolver = \"", 12);
	memcpy(text + 4000, "\";", 3);
	assert_int_equal(load(text, &layer, &error), -EINVAL);
	assert_non_null(strstr(error.text, "expected \"system\" or \"taps\""));
	free(text);
}

static void test_without_lines(void **state)
{
	struct load_source source = {"race = { x = 1; };", 18, "-o", "-o race.x=1", "", false};
	struct conf_layer layer = {0};
	struct conf_error error;

	(void)state;
	assert_int_equal(load_text(&source, &arena, &arena, &layer, &error), -EINVAL);
	assert_string_equal(error.text, "-o race.x=1: unknown key 'x'");
	source.text = "rules = ( { } );";
	source.len = strlen(source.text);
	assert_int_equal(load_text(&source, &arena, &arena, &layer, &error), 0);
	assert_string_equal(layer.rules.item[0].text, "-o");
	assert_int_equal(layer.values.origin[KEY_TOP_rules]->line, 0);
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
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_one_group_for_a_list),
		cmocka_unit_test(test_hosts_and_includes),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_include_is_shut),
		cmocka_unit_test(test_line_numbers_beyond_16_bits),
		cmocka_unit_test(test_long_names_and_texts),
		cmocka_unit_test(test_without_lines),
	};

	return cmocka_run_group_tests(tests, NULL, teardown);
}
