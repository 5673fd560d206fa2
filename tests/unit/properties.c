/* core/properties.c: the table of properties, what is written of them, defaults, merging. */
#include "core/properties.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

static const struct {
	const char *name, *text;
	int result;
	const char *reads; /* as formatted afterwards; NULL: as written */
} settings[] = {
	{"reliability", "prohibit", 0, NULL},
	{"reliability", "require", 0, NULL},
	{"preserveMsgBoundaries", "prefer", 0, NULL},
	{"keepAlive", "none", 0, NULL},
	{"zeroRttMsg", "avoid", 0, NULL},
	{"reliability", "Require", -EINVAL, "require"},
	{"reliability", "", -EINVAL, "require"},
	{"reliability", "requires", -EINVAL, "require"},
	{"reliability", "true", -EINVAL, "require"},
	{"Reliability", "require", -ENOENT, NULL},
	{"", "require", -ENOENT, NULL},
	{"reliabilit", "require", -ENOENT, NULL},
	{"multipath", "active", 0, NULL},
	{"multipath", "prefer", -EINVAL, "disabled"},
	{"direction", "unidirectional-send", 0, NULL},
	{"connScheduler", "rr-per-packet", 0, NULL},
	{"connCapacityProfile", "low-latency-non-interactive", 0, NULL},
	{"connCapacityProfile", "capacity-seeking", 0, NULL},
	{"multipathPolicy", "aggregate", 0, NULL},
	{"isolateSession", "true", 0, NULL},
	{"tcp.userTimeoutChangeable", "false", 0, NULL},
	{"isolateSession", "yes", -EINVAL, "false"},
	{"isolateSession", "1", -EINVAL, "false"},
	{"connPriority", "0", 0, NULL},
	{"connPriority", "007", 0, "7"},
	{"connPriority", "1000000000000000", 0, NULL},
	{"connPriority", "1000000000000001", -ERANGE, "100"},
	{"connPriority", "99999999999999999999999999", -ERANGE, "100"},
	{"connPriority", "-1", -ERANGE, "100"},
	{"connPriority", "1.5", -EINVAL, "100"},
	{"connPriority", "1 ", -EINVAL, "100"},
	{"connPriority", "-", -EINVAL, "100"},
	{"connPriority", "full", -EINVAL, "100"},
	{"recvChecksumLen", "0", 0, NULL},
	{"recvChecksumLen", "full", 0, NULL},
	{"msgChecksumLen", "20", 0, NULL},
	{"groupConnLimit", "1", 0, NULL},
	{"groupConnLimit", "unlimited", 0, NULL},
	{"groupConnLimit", "0", -ERANGE, "unlimited"},
	{"tcp.userTimeoutValue", "30", 0, NULL},
	{"tcp.userTimeoutValue", "default", 0, NULL},
	{"tcp.userTimeoutValue", "0", -ERANGE, "default"},
	{"connTimeout", "30", 0, NULL},
	{"connTimeout", "0.25", 0, NULL},
	{"connTimeout", "2.500", 0, "2.5"},
	{"connTimeout", "0.000001", 0, NULL},
	{"connTimeout", "0.9999999", 0, "1"},
	{"connTimeout", "disabled", 0, NULL},
	{"connTimeout", "0", -ERANGE, "disabled"},
	{"connTimeout", "0.0000001", -ERANGE, "disabled"},
	{"connTimeout", "-5", -ERANGE, "disabled"},
	{"connTimeout", "1,5", -EINVAL, "disabled"},
	{"connTimeout", "1.", -EINVAL, "disabled"},
	{"connTimeout", ".5", -EINVAL, "disabled"},
	{"connTimeout", "nan", -EINVAL, "disabled"},
	{"connTimeout", "inf", -EINVAL, "disabled"},
	{"connTimeout", "unlimited", -EINVAL, "disabled"},
	{"maxSendRate", "unlimited", 0, NULL},
	{"maxSendRate", "1e6", 0, "1000000"},
	{"maxSendRate", "1.5E+3", 0, "1500"},
	{"maxSendRate", "2500e-3", 0, "2.5"},
	{"maxSendRate", "1e15", 0, "1000000000000000"},
	{"maxSendRate", "1e16", -ERANGE, "unlimited"},
	{"maxSendRate", "1e999999999999999999999", -ERANGE, "unlimited"},
	{"maxSendRate", "1e-999999999999999999999", -ERANGE, "unlimited"},
	{"maxSendRate", "1e", -EINVAL, "unlimited"},
	{"maxSendRate", "1e+", -EINVAL, "unlimited"},
	{"maxSendRate", "0x10", -EINVAL, "unlimited"},
	{"msgLifetime", "infinite", 0, NULL},
	{"msgLifetime", "1.5", 0, NULL},
	{"interface", "", 0, NULL},
	{"interface", "require eth0", 0, NULL},
	{"interface", " prohibit\twwan ,prefer wlan0 ", 0, "prohibit wwan, prefer wlan0"},
	{"interface", "avoid a,avoid b,avoid c,avoid d,avoid e,avoid f,avoid g,avoid h", 0,
	 "avoid a, avoid b, avoid c, avoid d, avoid e, avoid f, avoid g, avoid h"},
	{"interface", "avoid a,avoid b,avoid c,avoid d,avoid e,avoid f,avoid g,avoid h,avoid i", -ERANGE, ""},
	{"interface", "require a2345678901234567890123456789012", -ERANGE, ""},
	{"interface", "require a234567890123456789012345678901", 0, NULL},
	{"interface", "require", -EINVAL, ""},
	{"interface", "require ", -EINVAL, ""},
	{"interface", "eth0", -EINVAL, ""},
	{"interface", "need eth0", -EINVAL, ""},
	{"interface", "require eth0,", -EINVAL, ""},
	{"interface", ",require eth0", -EINVAL, ""},
	{"interface", "require eth0 eth1", -EINVAL, ""},
	{"interface", "require eth0, avoid eth0", -EINVAL, ""},
	{"pvd", "prohibit guest.example", 0, NULL},
};

static void test_settings(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
		const char *name = settings[i].name;
		int property = property_find(name), r;
		char text[PROPERTY_TEXT_MAX];
		struct properties props;

		properties_default(&props);
		r = properties_set(&props, name, settings[i].text);
		if (r != settings[i].result)
			fail_msg("%s = \"%s\": %d, not %d", name, settings[i].text, r, settings[i].result);
		if (r == -ENOENT)
			continue;
		assert_int_equal(properties_is_set(&props, property), r == 0);
		properties_format(&props, property, text, sizeof(text));
		assert_string_equal(text, settings[i].reads ? settings[i].reads : settings[i].text);
	}
}

/* What is formatted can be set, and gives the same. */
static void test_round_trip_of_defaults(void **state)
{
	struct properties props, copy;

	(void)state;
	properties_default(&props);
	assert_true(props.set == 0);
	copy = props;
	for (int i = 0; i < PROPERTIES_N; i++) {
		char text[PROPERTY_TEXT_MAX];

		properties_format(&props, i, text, sizeof(text));
		assert_int_equal(properties_set(&copy, property_info(i)->name, text), 0);
	}
	assert_true(copy.set == (UINT64_C(1) << PROPERTIES_N) - 1);
	copy.set = 0;
	assert_memory_equal(&copy, &props, sizeof(props));
}

static void test_defaults(void **state)
{
	struct properties props;

	(void)state;
	properties_default(&props);
	assert_int_equal(props.reliability, PREF_REQUIRE);
	assert_int_equal(props.preserve_msg_boundaries, PREF_NONE);
	assert_int_equal(props.multistreaming, PREF_PREFER);
	assert_int_equal(props.multipath, MULTIPATH_DISABLED);
	assert_int_equal(props.use_temporary_local_address, PREF_PREFER);
	assert_int_equal(props.conn_priority, 100);
	assert_int_equal(props.conn_scheduler, SCHEDULER_WFQ);
	assert_true(props.conn_timeout < 0 && props.max_send_rate < 0 && props.msg_lifetime < 0);
	assert_int_equal(props.recv_checksum_len, PROPERTY_SPECIAL);
	assert_int_equal(props.interface.n, 0);
}

static void test_table_is_sound(void **state)
{
	(void)state;
	assert_int_equal(PROPERTIES_N, 44);
	for (int i = 0; i < PROPERTIES_N; i++) {
		const struct property_info *info = property_info(i);

		assert_int_equal(property_find(info->name), i);
		assert_true(strlen(info->doc) > 5);
		assert_true(strlen(info->section) >= 5);
		assert_non_null(property_expects(i));
	}
}

static void test_preferences(void **state)
{
	struct properties props;

	(void)state;
	properties_default(&props);
	assert_int_equal(properties_preference(&props, PROP_reliability), PREF_REQUIRE);
	assert_int_equal(properties_preference(&props, PROP_multistreaming), PREF_PREFER);
	assert_int_equal(properties_preference(&props, PROP_multipath), PREF_NONE);
	assert_int_equal(properties_preference(&props, PROP_interface), PREF_NONE);
}

/* Every word that a property is said to expect is one that it takes. */
static void test_expected_words_are_taken(void **state)
{
	(void)state;
	for (int i = 0; i < PROPERTIES_N; i++) {
		char words[256], *rest = words, *word;
		struct properties props;

		strcpy(words, property_expects(i));
		if (!strchr(words, '|'))
			continue;
		properties_default(&props);
		while ((word = strsep(&rest, "|")))
			assert_int_equal(properties_set_one(&props, i, word), 0);
	}
}

static void test_nearest(void **state)
{
	static const struct {
		const char *name, *nearest;
	} rows[] = {
		{"reliabilty", "reliability"},
		{"Reliability", "reliability"},
		{"realiability", "reliability"},
		{"multipth", "multipath"},
		{"multipathpolicy", "multipathPolicy"},
		{"connTimeOut", "connTimeout"},
		{"conTimeout", "connTimeout"},
		{"userTimeoutValue", "tcp.userTimeoutValue"},
		{"keepalive", "keepAlive"},
		{"pvp", "pvd"},
		{"fin", NULL},
		{"finall", "final"},
		{"zebra", NULL},
		{"", NULL},
		{"x", NULL},
		{"aVeryLongNameThatIsLikeNoneOfThoseThatAreKnownHere", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *nearest = property_nearest(rows[i].name);

		if (!rows[i].nearest)
			assert_null(nearest);
		else
			assert_string_equal(nearest ? nearest : "nothing", rows[i].nearest);
	}
}

static void test_merge_takes_what_is_set(void **state)
{
	struct properties base, over;

	(void)state;
	properties_default(&base);
	properties_default(&over);
	properties_set(&base, "connTimeout", "10");
	properties_set(&base, "keepAlive", "require");
	properties_set(&base, "interface", "avoid wwan");
	properties_set(&over, "connTimeout", "disabled");
	properties_set(&over, "multipath", "active");
	properties_set(&over, "interface", "require eth0");
	properties_merge(&base, &over);
	assert_true(base.conn_timeout == PROPERTY_SPECIAL);
	assert_int_equal(base.keep_alive, PREF_REQUIRE);
	assert_int_equal(base.multipath, MULTIPATH_ACTIVE);
	assert_int_equal(base.interface.n, 1);
	assert_string_equal(base.interface.item[0].name, "eth0");
	assert_true(properties_is_set(&base, PROP_keep_alive));
	assert_true(properties_is_set(&base, PROP_multipath));
	assert_false(properties_is_set(&base, PROP_reliability));
}

static void test_adapt_by_socket_and_role(void **state)
{
	struct properties props;

	(void)state;
	properties_default(&props);
	properties_adapt(&props, SOCK_DGRAM, false);
	assert_int_equal(props.reliability, PREF_AVOID);
	assert_int_equal(props.preserve_order, PREF_AVOID);
	assert_int_equal(props.congestion_control, PREF_NONE);
	assert_int_equal(props.preserve_msg_boundaries, PREF_REQUIRE);
	assert_true(props.safely_replayable);
	assert_false(props.msg_ordered || props.msg_reliable);
	properties_adapt(&props, SOCK_SEQPACKET, false);
	assert_int_equal(props.reliability, PREF_REQUIRE);
	assert_int_equal(props.preserve_msg_boundaries, PREF_REQUIRE);
	assert_false(props.safely_replayable);
	properties_adapt(&props, SOCK_STREAM, true);
	assert_int_equal(props.preserve_msg_boundaries, PREF_NONE);
	assert_int_equal(props.multipath, MULTIPATH_PASSIVE);
	assert_int_equal(props.use_temporary_local_address, PREF_AVOID);
	assert_true(props.msg_ordered && props.msg_reliable && props.tcp_user_timeout_changeable);
	assert_true(props.set == 0);
}

static void test_adapt_leaves_what_is_set(void **state)
{
	struct properties props;

	(void)state;
	properties_default(&props);
	properties_set(&props, "reliability", "require");
	properties_set(&props, "multipath", "disabled");
	properties_set(&props, "msgOrdered", "true");
	properties_set(&props, "connTimeout", "5");
	properties_set(&props, "connCapacityProfile", "scavenger");
	properties_adapt(&props, SOCK_DGRAM, true);
	assert_int_equal(props.reliability, PREF_REQUIRE);
	assert_int_equal(props.multipath, MULTIPATH_DISABLED);
	assert_true(props.msg_ordered);
	assert_true(props.msg_reliable);
	assert_false(props.tcp_user_timeout_changeable);
	assert_int_equal(props.msg_capacity_profile, CAPACITY_SCAVENGER);
}

static void test_enforce_keeps_prohibitions(void **state)
{
	struct properties system, props;

	(void)state;
	properties_default(&system);
	properties_set(&system, "zeroRttMsg", "prohibit");
	properties_set(&system, "keepAlive", "require");
	properties_set(&system, "interface", "prohibit wwan, prefer eth0");
	properties_default(&props);
	properties_set(&props, "zeroRttMsg", "require");
	properties_set(&props, "keepAlive", "avoid");
	properties_set(&props, "interface",
		       "avoid a, avoid b, avoid c, avoid d, avoid e, avoid f, avoid g, require wwan");
	properties_enforce(&props, &system);
	assert_int_equal(props.zero_rtt_msg, PREF_PROHIBIT);
	assert_int_equal(props.keep_alive, PREF_AVOID);
	assert_int_equal(props.interface.n, 8);
	assert_string_equal(props.interface.item[0].name, "wwan");
	assert_int_equal(props.interface.item[0].preference, PREF_PROHIBIT);
	assert_string_equal(props.interface.item[7].name, "g");
	properties_set(&props, "interface",
		       "avoid a, avoid b, avoid c, avoid d, avoid e, avoid f, avoid g, avoid h");
	properties_enforce(&props, &system);
	assert_int_equal(props.interface.n, 8);
	assert_string_equal(props.interface.item[0].name, "wwan");
}

/* A default prohibits nobody: only what the system's files say does. */
static void test_enforce_ignores_defaults(void **state)
{
	struct properties system, props;

	(void)state;
	properties_default(&system);
	system.keep_alive = PREF_PROHIBIT;
	properties_default(&props);
	properties_enforce(&props, &system);
	assert_int_equal(props.keep_alive, PREF_NONE);
	assert_true(props.set == 0);
}

static void test_format_is_cut(void **state)
{
	struct properties props;
	char text[12];

	(void)state;
	properties_default(&props);
	properties_set(&props, "interface", "prohibit wwan, require eth0");
	properties_format(&props, PROP_interface, text, sizeof(text));
	assert_string_equal(text, "prohibit ww");
	properties_format(&props, PROP_reliability, text, 1);
	assert_string_equal(text, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_settings),
		cmocka_unit_test(test_round_trip_of_defaults),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_table_is_sound),
		cmocka_unit_test(test_preferences),
		cmocka_unit_test(test_expected_words_are_taken),
		cmocka_unit_test(test_nearest),
		cmocka_unit_test(test_merge_takes_what_is_set),
		cmocka_unit_test(test_adapt_by_socket_and_role),
		cmocka_unit_test(test_adapt_leaves_what_is_set),
		cmocka_unit_test(test_enforce_keeps_prohibitions),
		cmocka_unit_test(test_enforce_ignores_defaults),
		cmocka_unit_test(test_format_is_cut),
	};

	return cmocka_run_group_tests_name("properties", tests, NULL, NULL);
}
