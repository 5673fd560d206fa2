#include "core/tls_reason.h"

#include <stddef.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

static void printable_line(void **state)
{
	struct tls_reason reason;

	(void)state;
	assert_int_equal(tls_reason_set(&reason, -7, "a%sb %d", "\r\n\033\x80\xff", 3), -7);
	assert_string_equal(reason.text, "a?????b 3");
}

static void cut_when_long(void **state)
{
	struct tls_reason reason;
	char text[1000];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(tls_reason_set(&reason, 0, "%s", text), 0);
	assert_int_equal(strlen(reason.text), sizeof(reason.text) - 1);
	assert_int_equal(tls_reason_set(NULL, -5, "%s", text), -5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(printable_line),
		cmocka_unit_test(cut_when_long),
	};

	return cmocka_run_group_tests_name("tls_reason", tests, NULL, NULL);
}
