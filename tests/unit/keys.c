/* conf/keys.c: the table of keys. */
#include "conf/keys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "conf/conf.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

static void test_rows(void **state)
{
	(void)state;
	for (int i = 0; i < KEYS_N; i++) {
		const struct conf_key *key = &conf_keys[i];

		assert_true(key->section > SECTION_NONE && key->section < SECTIONS_N);
		assert_true(strlen(key->doc) > 10);
		assert_ptr_equal(key_find(key->section, key->name), key);
		assert_true(key->offset + key->size <= section_size(key->section));
		assert_int_equal(key->inner != SECTION_NONE, key->kind <= VALUE_GROUPS);
		assert_true(key->low <= key->high);
	}
}

/* A section that no group leads to could never be written. */
static void test_sections(void **state)
{
	(void)state;
	for (unsigned section = SECTION_TOP; section < SECTIONS_N; section++) {
		unsigned keys = 0, ways = 0;

		for (int i = 0; i < KEYS_N; i++) {
			keys += conf_keys[i].section == section;
			ways += conf_keys[i].inner == section;
		}
		assert_true(keys > 0);
		assert_true(section_size(section) > 0);
		assert_true(section == SECTION_TOP ? ways == 0 : ways > 0);
		assert_non_null(section_path(section));
	}
}

static void test_find(void **state)
{
	(void)state;
	assert_ptr_equal(key_find(SECTION_RACE, "enabled"), &conf_keys[KEY_RACE_enabled]);
	assert_null(key_find(SECTION_RACE, "Enabled"));
	assert_null(key_find(SECTION_RACE, "host"));
	assert_null(key_find(SECTION_TOP, ""));
	assert_true(key_has_prefix(SECTION_PROPERTIES, "tcp"));
	assert_false(key_has_prefix(SECTION_PROPERTIES, "tc"));
	assert_false(key_has_prefix(SECTION_PROPERTIES, "multipath"));
	assert_false(key_has_prefix(SECTION_TOP, "tcp"));
	assert_int_equal(key_group_length(key_find(SECTION_PROPERTIES, "tcp.userTimeoutValue")), 3);
	assert_int_equal(key_group_length(&conf_keys[KEY_RACE_enabled]), 0);
}

static void test_nearest(void **state)
{
	static const struct {
		enum conf_section section;
		const char *name, *nearest;
	} rows[] = {
		{SECTION_RACE, "atemptDelay", "attemptDelay"},
		{SECTION_RACE, "attemptdelay", "attemptDelay"},
		{SECTION_RACE, "attempt-delay", "attemptDelay"},
		{SECTION_RACE, "enable", "enabled"},
		{SECTION_TOP, "rule", "rules"},
		{SECTION_TOP, "attemptDelay", "race.attemptDelay"},
		{SECTION_TOP, "host", "hosts"},
		{SECTION_RULE, "host", "rules.match.host"},
		{SECTION_MATCH, "adress", "address"},
		{SECTION_MATCH, "ports", "port"},
		{SECTION_REMOTE, "adress", "hosts.address"},
		{SECTION_PROPERTIES, "reliabilty", "reliability"},
		{SECTION_PROPERTIES, "userTimeoutValue", "tcp.userTimeoutValue"},
		{SECTION_PROPERTIES, "tcp.userTimeOutVal", "tcp.userTimeoutValue"},
		{SECTION_TOP, "somethingElseEntirely", NULL},
		{SECTION_TOP, "xyzzy", NULL},
	};
	char buf[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *nearest = key_nearest(rows[i].section, rows[i].name, buf, sizeof(buf));

		if (!rows[i].nearest)
			assert_null(nearest);
		else if (!nearest || strcmp(nearest, rows[i].nearest) != 0)
			fail_msg("%s: %s, expected %s", rows[i].name, nearest ? nearest : "NULL",
				 rows[i].nearest);
	}
}

static void test_properties(void **state)
{
	(void)state;
	for (int i = 0; i < PROPERTIES_N; i++) {
		const struct conf_key *key =
			key_find(SECTION_PROPERTIES, property_info((enum property)i)->name);

		assert_non_null(key);
		assert_int_equal(key->kind, VALUE_PROPERTY);
		assert_int_equal(key_property(key), i);
	}
}

static void test_merges(void **state)
{
	static const struct {
		enum conf_key_id id;
		bool merges;
	} rows[] = {
		{KEY_TOP_resolver, true},   {KEY_RACE_attemptDelay, true}, {KEY_REMOTE_host, true},
		{KEY_REMOTE_port, true},    {KEY_TOP_rules, false},	   {KEY_TOP_hosts, false},
		{KEY_TOP_include, false},   {KEY_TOP_race, false},	   {KEY_TOP_properties, false},
		{KEY_RULE_match, false},    {KEY_RULE_race, false},	   {KEY_MATCH_host, false},
		{KEY_TOP_security, false},  {KEY_RULE_security, false},	   {KEY_SECURITY_trust, true},
		{KEY_SECURITY_serverCertificate, true}, {KEY_CERTIFICATE_key, false},
		{KEY_HOST_address, false},  {KEY_PROPERTIES_reliability, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_int_equal(key_merges(&conf_keys[rows[i].id]), rows[i].merges);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),	   cmocka_unit_test(test_sections),
		cmocka_unit_test(test_find),	   cmocka_unit_test(test_nearest),
		cmocka_unit_test(test_properties), cmocka_unit_test(test_merges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
