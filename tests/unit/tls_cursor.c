#include "core/tls_cursor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

static char a[3] = "abc", b[4] = "defg", c[2] = "hi";
static struct iovec iov[] = {{NULL, 0}, {a, 3}, {NULL, 0}, {b, 4}, {c, 2}, {NULL, 0}};

static void pieces(void **state)
{
	struct tls_cursor cursor = {.iov = iov, .n = 6};
	size_t len;

	(void)state;
	assert_int_equal(tls_cursor_left(&cursor), 9);
	assert_ptr_equal(tls_cursor_piece(&cursor, &len), a);
	assert_int_equal(len, 3);
	tls_cursor_skip(&cursor, 1);
	assert_ptr_equal(tls_cursor_piece(&cursor, &len), a + 1);
	tls_cursor_skip(&cursor, 4);
	assert_ptr_equal(tls_cursor_piece(&cursor, &len), b + 2);
	assert_int_equal(tls_cursor_left(&cursor), 4);
	tls_cursor_skip(&cursor, 100);
	assert_int_equal(tls_cursor_left(&cursor), 0);
	assert_null(tls_cursor_piece(&cursor, &len));
}

static void copies(void **state)
{
	char text[10] = "";

	(void)state;
	for (size_t step = 1; step <= 10; step++) {
		struct tls_cursor from = {.iov = iov, .n = 6};
		size_t done = 0, n;

		memset(text, 0, sizeof(text));
		while ((n = tls_cursor_copy(&from, text + done, step < 9 - done ? step : 9 - done, false)))
			done += n;
		assert_int_equal(done, 9);
		assert_string_equal(text, "abcdefghi");
	}
}

static void fills(void **state)
{
	char x[2], y[3];
	struct iovec to[] = {{x, 2}, {y, 3}};
	struct tls_cursor cursor = {.iov = to, .n = 2};

	(void)state;
	assert_int_equal(tls_cursor_copy(&cursor, "1", 1, true), 1);
	assert_int_equal(tls_cursor_copy(&cursor, "234567", 6, true), 4);
	assert_int_equal(tls_cursor_copy(&cursor, "8", 1, true), 0);
	assert_memory_equal(x, "12", 2);
	assert_memory_equal(y, "345", 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pieces),
		cmocka_unit_test(copies),
		cmocka_unit_test(fills),
	};

	return cmocka_run_group_tests_name("tls_cursor", tests, NULL, NULL);
}
