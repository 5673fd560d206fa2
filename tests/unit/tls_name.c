#include "core/tls_name.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

static void addresses(void **state)
{
	static const struct {
		const char *text;
		size_t size;
	} cases[] = {
		{"192.0.2.1", 4},
		{"::1", 16},
		{"2001:db8::1", 16},
		{"fe80::1%eth0", 16},
		{"::ffff:192.0.2.1", 4},
		{"192.0.2.1%1", 0},
		{"192.0.2", 0},
		{"192.0.2.256", 0},
		{"server.example", 0},
		{"", 0},
		{"[::1]", 0},
		{"1:2:3:4:5:6:7:8:9", 0},
	};
	uint8_t address[16];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(tls_name_address(cases[i].text, address), cases[i].size);
	assert_int_equal(tls_name_address("::ffff:192.0.2.1", address), 4);
	assert_memory_equal(address, "\xc0\x00\x02\x01", 4);
	assert_int_equal(tls_name_address("1111111111111111111111111111111111111111111111111111", address),
			 0);
}

static void normal_form(void **state)
{
	static const struct {
		const char *name, *expected; /* NULL: refused */
	} cases[] = {
		{"Server.EXAMPLE", "server.example"},
		{"server.example.", "server.example"},
		{"a_b-c.example", "a_b-c.example"},
		{"localhost", "localhost"},
		{"xn--bcher-kva.example", "xn--bcher-kva.example"},
		{"", NULL},
		{".", NULL},
		{"a..b", NULL},
		{".a", NULL},
		{"a.b..", NULL},
		{"a b", NULL},
		{"a/b", NULL},
		{"*.example", NULL},
		{"b\xc3\xbc"
		 "cher.example",
		 NULL},
		{"a23456789012345678901234567890123456789012345678901234567890123.example",
		 "a23456789012345678901234567890123456789012345678901234567890123.example"},
		{"a234567890123456789012345678901234567890123456789012345678901234.example", NULL},
	};
	char name[TLS_NAME_MAX], wide[300];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int error = tls_name_normalise(cases[i].name, name);

		assert_int_equal(error, cases[i].expected ? 0 : -EINVAL);
		if (cases[i].expected)
			assert_string_equal(name, cases[i].expected);
	}
	for (size_t i = 0; i < sizeof(wide); i++)
		wide[i] = i % 2 ? '.' : 'a';
	wide[253] = '\0';
	assert_int_equal(tls_name_normalise(wide, name), 0);
	wide[253] = '.';
	wide[255] = '\0';
	assert_int_equal(tls_name_normalise(wide, name), -EINVAL);
}

static void coverage(void **state)
{
	static const struct {
		const char *pattern, *name;
		bool covers;
	} cases[] = {
		{"server.example", "server.example", true},
		{"SERVER.example", "server.example", true},
		{"server.example.", "server.example", true},
		{"*.server.example", "www.server.example", true},
		{"*.Server.Example", "www.server.example", true},
		{"*.server.example", "xn--a.server.example", true},
		{"*.server.example", "server.example", false},
		{"*.server.example", "a.b.server.example", false},
		{"*.server.example", ".server.example", false},
		{"*.example", "server.example", false},
		{"*.example.", "server.example", false},
		{"*.", "server", false},
		{"*", "server", false},
		{"", "server", false},
		{"w*.server.example", "www.server.example", false},
		{"*w.server.example", "www.server.example", false},
		{"www.*.example", "www.server.example", false},
		{"*.*.example", "www.server.example", false},
		{"**.server.example", "www.server.example", false},
		{"*.server.example", "*.server.example", true},
		{"*..example", "a..example", false},
		{"server.example", "server.example.org", false},
		{"server.example", "aserver.example", false},
		{"*.server.example", "localhost", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (tls_name_covers(cases[i].pattern, strlen(cases[i].pattern), cases[i].name) !=
		    cases[i].covers)
			fail_msg("%s and %s", cases[i].pattern, cases[i].name);
	assert_false(tls_name_covers("server.example\0.org", 18, "server.example"));
	assert_false(tls_name_covers("server.example", 10, "server.example"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses),
		cmocka_unit_test(normal_form),
		cmocka_unit_test(coverage),
	};

	return cmocka_run_group_tests_name("tls_name", tests, NULL, NULL);
}
