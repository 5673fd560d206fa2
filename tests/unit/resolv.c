/* Options of resolv.conf. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/host.h"
#include "core/resolv.h"

static const struct row {
	const char *text;
	int seconds;
} rows[] = {
	{"", 10},
	{"nameserver 192.0.2.1\n", 10},
	{"nameserver 192.0.2.1\noptions timeout:2 attempts:2\n", 4},
	{"options\ttimeout:1", 2},
	{"options attempts:1 rotate\n", 5},
	{"options timeout:1\noptions attempts:3\n", 3},
	{"options timeout:30\n", 10},
	{"options attempts:99999999999\n", 10},
	{"options timeout:0 attempts:x\n", 10},
	{"options notimeout:1\n", 10},
	{"# options timeout:1\n", 10},
	{"search timeout:1\n", 10},
};

static void test_rows(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (resolv_patience_of(rows[i].text) != rows[i].seconds * NS_PER_S)
			fail_msg("row %zu: %s", i, rows[i].text);
}

static void test_no_file(void **state)
{
	(void)state;
	assert_int_equal(resolv_patience("/nonexistent/resolv.conf"), 10 * NS_PER_S);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_no_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
