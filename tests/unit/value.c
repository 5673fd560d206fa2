/* conf/value.c: values of one scalar or many, properties, and how they are written. */
#include "conf/value.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "conf/conf.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define TEXT(t) ((struct value_input){.type = INPUT_TEXT, .text = (t)})
#define INTEGER(n) ((struct value_input){.type = INPUT_INTEGER, .integer = (n)})
#define BOOLEAN(b) ((struct value_input){.type = INPUT_BOOLEAN, .integer = (b)})
#define NUMBER(n) ((struct value_input){.type = INPUT_NUMBER, .number = (n)})

static struct arena arena;
static const struct value_reader reader = {&arena, ""};

static void test_one_or_many(void **state)
{
	const struct conf_key *key = &conf_keys[KEY_MATCH_host];
	struct value_input in[] = {TEXT("a"), TEXT("b.*"), TEXT("c d")};
	const struct value_input *wrong;
	struct match match = {0};

	(void)state;
	assert_int_equal(value_read(&reader, key, in, 1, false, &match, &wrong), 0);
	assert_int_equal(match.host.n, 1);
	assert_string_equal(value_format(&arena, key, &match), "\"a\"");
	assert_int_equal(value_read(&reader, key, in, 2, true, &match, &wrong), 0);
	assert_int_equal(match.host.n, 2);
	assert_string_equal(match.host.item[1], "b.*");
	assert_string_equal(value_format(&arena, key, &match), "( \"a\", \"b.*\" )");
	assert_int_equal(value_read(&reader, key, in, 3, true, &match, &wrong), -EINVAL);
	assert_ptr_equal(wrong, &in[2]);
	assert_int_equal(match.host.n, 2);
}

static void test_list_bounds(void **state)
{
	const struct conf_key *key = &conf_keys[KEY_HOST_address];
	const struct value_input *wrong = NULL;
	struct value_input in[17];
	struct conf_host host = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(in); i++)
		in[i] = TEXT("::1");
	assert_int_equal(value_read(&reader, key, in, 0, true, &host, &wrong), -EINVAL);
	assert_null(wrong);
	assert_int_equal(value_read(&reader, key, in, 16, true, &host, &wrong), 0);
	assert_int_equal(host.address.n, 16);
	assert_int_equal(value_read(&reader, key, in, 17, true, &host, &wrong), -EINVAL);
	assert_null(wrong);
}

static void test_scalar_in_list(void **state)
{
	const struct value_input *wrong = NULL;
	struct value_input in = BOOLEAN(0);
	struct conf_values values = {0};

	(void)state;
	values.policy.race.enabled = true;
	assert_int_equal(value_read(&reader, &conf_keys[KEY_RACE_enabled], &in, 1, true, &values, &wrong),
			 -EINVAL);
	assert_true(values.policy.race.enabled);
	assert_int_equal(value_read(&reader, &conf_keys[KEY_RACE_enabled], &in, 1, false, &values, &wrong),
			 0);
	assert_false(values.policy.race.enabled);
}

static void test_field_sizes(void **state)
{
	const struct value_input *wrong;
	struct value_input in = INTEGER(8);
	struct conf_values values;

	(void)state;
	memset(&values, 0xff, sizeof(values));
	assert_int_equal(value_read(&reader, &conf_keys[KEY_REMOTE_port], &in, 1, false, &values, &wrong), 0);
	assert_int_equal(values.policy.remote.port, 8);
	assert_int_equal(
		value_read(&reader, &conf_keys[KEY_RACE_maxInFlight], &in, 1, false, &values, &wrong), 0);
	assert_int_equal(values.policy.race.max_in_flight, 8);
	assert_true(values.policy.race.first_family_count == (unsigned)-1);
	assert_string_equal(value_format(&arena, &conf_keys[KEY_RACE_maxInFlight], &values), "8");
}

/* One scalar into a property, and how it is written again; NULL if it is refused. */
static void check_property(const char *name, struct value_input in, const char *written)
{
	const struct conf_key *key = key_find(SECTION_PROPERTIES, name);
	const struct value_input *wrong;
	struct conf_values values = {0};
	int r;

	assert_non_null(key);
	properties_default(&values.policy.properties);
	r = value_read(&reader, key, &in, 1, false, &values, &wrong);
	assert_int_equal(r, written ? 0 : -EINVAL);
	assert_int_equal(properties_is_set(&values.policy.properties, key_property(key)), written != NULL);
	if (written)
		assert_string_equal(value_format(&arena, key, &values), written);
}

static void test_properties(void **state)
{
	(void)state;
	check_property("reliability", TEXT("prefer"), "\"prefer\"");
	check_property("reliability", TEXT("wanted"), NULL);
	check_property("reliability", BOOLEAN(1), NULL);
	check_property("multipath", TEXT("active"), "\"active\"");
	check_property("isolateSession", BOOLEAN(1), "true");
	check_property("isolateSession", INTEGER(1), NULL);
	check_property("connPriority", INTEGER(0), "0");
	check_property("connPriority", INTEGER(-1), NULL);
	check_property("connTimeout", INTEGER(30), "30");
	check_property("connTimeout", NUMBER(2.5), "2.5");
	check_property("connTimeout", TEXT("disabled"), "\"disabled\"");
	check_property("connTimeout", NUMBER(0), NULL);
	check_property("maxSendRate", INTEGER(3000000000), "3000000000");
	check_property("maxSendRate", NUMBER(1e300), NULL);
	check_property("maxSendRate", NUMBER((double)INFINITY), NULL);
	check_property("maxSendRate", NUMBER((double)NAN), NULL);
	check_property("tcp.userTimeoutValue", INTEGER(7), "7");
	check_property("interface", TEXT("prohibit wwan, prefer eth0"), "\"prohibit wwan, prefer eth0\"");
	check_property("interface", TEXT("wwan"), NULL);
}

static void test_selection_list(void **state)
{
	const struct conf_key *key = key_find(SECTION_PROPERTIES, "interface");
	struct value_input in[9] = {TEXT("prohibit wwan"), TEXT("prefer eth0")};
	const struct value_input *wrong;
	struct conf_values values = {0};
	char long_name[500];

	(void)state;
	assert_int_equal(value_read(&reader, key, in, 2, true, &values, &wrong), 0);
	assert_string_equal(value_format(&arena, key, &values), "\"prohibit wwan, prefer eth0\"");
	memset(long_name, 'x', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	in[1] = TEXT(long_name);
	assert_int_equal(value_read(&reader, key, in, 2, true, &values, &wrong), -EINVAL);
	assert_ptr_equal(wrong, &in[1]);
	for (size_t i = 0; i < ARRAY_SIZE(in); i++) {
		char name[16] = "avoid eth0";

		name[9] = (char)('0' + i);
		in[i] = TEXT(arena_strdup(&arena, name));
	}
	assert_int_equal(value_read(&reader, key, in, SELECTION_MAX, true, &values, &wrong), 0);
	assert_int_equal(value_read(&reader, key, in, SELECTION_MAX + 1, true, &values, &wrong), -EINVAL);
	assert_int_equal(value_read(&reader, key_find(SECTION_PROPERTIES, "reliability"), in, 1, true,
				    &values, &wrong),
			 -EINVAL);
}

static void test_flags(void **state)
{
	const struct conf_key *key = &conf_keys[KEY_SECURITY_allowedSecurityProtocols];
	struct value_input in[] = {TEXT("TLS1.3"), TEXT("TLS1.2"), TEXT("TLS1.1")};
	const struct value_input *wrong;
	struct conf_values values = {0};

	(void)state;
	assert_int_equal(value_read(&reader, key, in, 1, false, &values, &wrong), 0);
	assert_int_equal(values.security.allowed_security_protocols, SECURITY_TLS_1_3);
	assert_string_equal(value_format(&arena, key, &values), "\"TLS1.3\"");
	assert_int_equal(value_read(&reader, key, in, 2, true, &values, &wrong), 0);
	assert_int_equal(values.security.allowed_security_protocols, SECURITY_TLS_1_2 | SECURITY_TLS_1_3);
	assert_string_equal(value_format(&arena, key, &values), "( \"TLS1.2\", \"TLS1.3\" )");
	assert_int_equal(value_read(&reader, key, in, 3, true, &values, &wrong), -EINVAL);
	assert_ptr_equal(wrong, &in[2]);
	assert_int_equal(value_read(&reader, key, in, 0, true, &values, &wrong), -EINVAL);
	assert_null(wrong);
	assert_int_equal(values.security.allowed_security_protocols, SECURITY_TLS_1_2 | SECURITY_TLS_1_3);
}

static void test_expects(void **state)
{
	static const struct {
		enum conf_key_id key;
		const char *expects;
	} rows[] = {
		{KEY_TOP_resolver, "\"system\" or \"taps\""},
		{KEY_MATCH_role, "\"any\", \"initiate\" or \"listen\""},
		{KEY_RACE_enabled, "true or false"},
		{KEY_RACE_attemptDelay, "milliseconds from 10 to 2000"},
		{KEY_REMOTE_port, "an integer from 1 to 65535"},
		{KEY_HOST_address, "an address; or a list of up to 16"},
		{KEY_HOST_name, "a host name"},
		{KEY_TOP_race, "a group { }"},
		{KEY_TOP_rules, "a group { }, or a list ( ) of groups"},
		{KEY_SECURITY_trust, "\"system\" or the name of a file"},
		{KEY_SECURITY_allowedSecurityProtocols, "\"TLS1.2\" or \"TLS1.3\"; or a list of up to 2"},
		{KEY_PROPERTIES_reliability, "require|prefer|none|avoid|prohibit"},
	};
	char buf[128];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_string_equal(value_expects(&conf_keys[rows[i].key], buf, sizeof(buf)),
				    rows[i].expects);
}

static void test_inputs_shown(void **state)
{
	char buf[24];
	struct value_input in;

	(void)state;
	in = BOOLEAN(1);
	assert_string_equal(value_input_format(&in, buf, sizeof(buf)), "true");
	in = INTEGER(-5);
	assert_string_equal(value_input_format(&in, buf, sizeof(buf)), "-5");
	in = NUMBER(0.5);
	assert_string_equal(value_input_format(&in, buf, sizeof(buf)), "0.5");
	in = TEXT("a\nb");
	assert_string_equal(value_input_format(&in, buf, sizeof(buf)), "\"a\\x0ab\"");
	in = TEXT("0123456789012345678901234567890123456789");
	assert_true(strlen(value_input_format(&in, buf, sizeof(buf))) < sizeof(buf));
}

static void test_what_kinds_are(void **state)
{
	(void)state;
	assert_true(value_is_list(&conf_keys[KEY_MATCH_port]));
	assert_true(value_is_list(key_find(SECTION_PROPERTIES, "pvd")));
	assert_false(value_is_list(&conf_keys[KEY_PROPERTIES_reliability]));
	assert_false(value_is_list(&conf_keys[KEY_REMOTE_port]));
	assert_true(value_is_text(&conf_keys[KEY_MATCH_host]));
	assert_true(value_is_text(&conf_keys[KEY_TOP_resolver]));
	assert_false(value_is_text(&conf_keys[KEY_MATCH_port]));
	assert_false(value_is_text(&conf_keys[KEY_RACE_enabled]));
}

static void test_nothing_set(void **state)
{
	struct conf_values values = {0};
	struct match match = {0};

	(void)state;
	assert_string_equal(value_format(&arena, &conf_keys[KEY_REMOTE_host], &values), "");
	assert_string_equal(value_format(&arena, &conf_keys[KEY_MATCH_host], &match), "");
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
		cmocka_unit_test(test_one_or_many),	cmocka_unit_test(test_list_bounds),
		cmocka_unit_test(test_scalar_in_list),	cmocka_unit_test(test_field_sizes),
		cmocka_unit_test(test_properties),	cmocka_unit_test(test_selection_list),
		cmocka_unit_test(test_flags),
		cmocka_unit_test(test_expects),		cmocka_unit_test(test_inputs_shown),
		cmocka_unit_test(test_what_kinds_are),	cmocka_unit_test(test_nothing_set),
	};

	return cmocka_run_group_tests(tests, NULL, teardown);
}
