/* conf/scan.c: the text before libconfig sees it. */
#include "conf/scan.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

static struct arena arena;

/* The last line always has an end. */
static const char *with_end(const char *text)
{
	size_t len = strlen(text);

	return arena_printf(&arena, "%s%s", text, len == 0 || text[len - 1] == '\n' ? "" : "\n");
}

static void test_long_integers(void **state)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
		{"a = 999999999;", "a = 999999999;"},
		{"a = 1000000000;", "a = 1000000000L;"},
		{"a = 1000000000", "a = 1000000000L"},
		{"a = -3000000000;", "a = -3000000000L;"},
		{"a = 3000000000L;", "a = 3000000000L;"},
		{"a = 3000000000.5;", "a = 3000000000.5;"},
		{"a = 0xfffffff;", "a = 0xfffffff;"},
		{"a = 0xFFFFFFFF;", "a = 0xFFFFFFFFL;"},
		{"a = [3000000000,1,4000000000];", "a = [3000000000L,1,4000000000L];"},
		{"a3000000000 = 1;", "a3000000000 = 1;"},
		{"a-3000000000 = 1;", "a-3000000000 = 1;"},
		{"*3000000000 = 1;", "*3000000000 = 1;"},
		{"a = \"3000000000\";", "a = \"3000000000\";"},
		{"a = \"\\\"3000000000\";", "a = \"\\\"3000000000\";"},
		{"a = \"\\\\\"; b = 3000000000;", "a = \"\\\\\"; b = 3000000000L;"},
		{"# 3000000000\na = 1;", "# 3000000000\na = 1;"},
		{"// 3000000000\na = 3000000000;", "// 3000000000\na = 3000000000L;"},
		{"/* 3000000000\n*/a = 3000000000;", "/* 3000000000\n*/a = 3000000000L;"},
		{"/*/ 3000000000 */ a = 3000000000;", "/*/ 3000000000 */ a = 3000000000L;"},
		{"", ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct scan_result result;

		assert_int_equal(scan_text(&arena, rows[i].in, strlen(rows[i].in), &result), 0);
		assert_string_equal(result.text, with_end(rows[i].out));
	}
}

static void test_problems(void **state)
{
	static const struct {
		const char *in;
		size_t len;
		unsigned line;
		const char *problem;
	} rows[] = {
		{"a\0b", 3, 1, "is not text"},
		{"a = 1;\n\n\x01", 9, 3, "is not text"},
		{"# \x7f", 3, 1, "is not text"},
		{"\n\"\x1b\"", 4, 2, "is not text"},
		{"/* \x02 */", 7, 1, "is not text"},
		{"@include \"x\"", 12, 1, "'@include' is not supported"},
		{"a = 1;\n \t@include \"x\"", 21, 2, "'@include' is not supported"},
		{"((((((((((((((((\n(", 18, 2, "nested too deeply"},
		{"[{([{([{([{([{([{", 17, 1, "nested too deeply"},
		{"\n/* x\n", 6, 2, "the comment that begins here"},
		{"/*/", 3, 1, "the comment that begins here"},
		{"\na = \"x\n", 8, 2, "the string that begins here"},
		{"a = \"x\\", 7, 1, "the string that begins here"},
		{"a = \"x\\\"", 8, 1, "the string that begins here"},
		{"\n(\n{ } [\n", 9, 3, "the group or list that begins here"},
		{"{\n{\n}\n", 6, 1, "the group or list that begins here"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct scan_result result;

		assert_int_equal(scan_text(&arena, rows[i].in, rows[i].len, &result), -EINVAL);
		assert_int_equal(result.line, rows[i].line);
		assert_non_null(strstr(result.problem, rows[i].problem));
	}
}

/* What only looks like trouble. */
static void test_accepted(void **state)
{
	static const char *const rows[] = {
		"# @include \"x\"",
		"a = \"\n@include \\\"x\\\"\";",
		"/*\n@include \"x\"\n*/",
		"))))))))))))))))))))))))))",
		"()()()()()()()()()()()()()()()()()()()()",
		"\t\r\n\f",
		"a = \"\xc3\xa9\";",
		"# ((((((((((((((((((((((((",
		"/**/",
		"/*/*/",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct scan_result result;

		assert_int_equal(scan_text(&arena, rows[i], strlen(rows[i]), &result), 0);
		assert_string_equal(result.text, with_end(rows[i]));
	}
}

static void test_blank(void **state)
{
	(void)state;
	assert_true(scan_blank("", 0));
	assert_true(scan_blank(" \t\r\n\n", 5));
	assert_false(scan_blank("\n#", 2));
	assert_false(scan_blank("\0", 1));
}

static void test_line(void **state)
{
	char buf[8];

	(void)state;
	assert_string_equal(scan_line("one\n\ttwo\r\nthree four", 1, buf, sizeof(buf)), "one");
	assert_string_equal(scan_line("one\n\ttwo\r\nthree four", 2, buf, sizeof(buf)), "two");
	assert_string_equal(scan_line("one\n\ttwo\r\nthree four", 3, buf, sizeof(buf)), "three f");
	assert_string_equal(scan_line("one\n\ttwo\r\nthree four", 4, buf, sizeof(buf)), "");
	assert_string_equal(scan_line("", 1, buf, sizeof(buf)), "");
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
		cmocka_unit_test(test_long_integers), cmocka_unit_test(test_problems),
		cmocka_unit_test(test_accepted),      cmocka_unit_test(test_blank),
		cmocka_unit_test(test_line),
	};

	return cmocka_run_group_tests(tests, NULL, teardown);
}
