/* core/text.c: numbers in texts, likeness of names. */
#include "core/text.h"

#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

static void test_integers(void **state)
{
	static const struct {
		const char *text;
		int result;
		int64_t value;
	} rows[] = {
		{"0", 0, 0}, {"-0", 0, 0}, {"42", 0, 42}, {"-42", 0, -42}, {"0007", 0, 7},
		{"1000000000000000", 0, TEXT_NUMBER_MAX}, {"-1000000000000000", 0, -TEXT_NUMBER_MAX},
		{"1000000000000001", -ERANGE, 0}, {"-9223372036854775809", -ERANGE, 0},
		{"123456789012345678901234567890", -ERANGE, 0}, {"", -EINVAL, 0}, {"-", -EINVAL, 0},
		{"+1", -EINVAL, 0}, {" 1", -EINVAL, 0}, {"1 ", -EINVAL, 0}, {"1.0", -EINVAL, 0},
		{"0x1", -EINVAL, 0}, {"1e3", -EINVAL, 0}, {"--1", -EINVAL, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int64_t value = 77;

		assert_int_equal(text_integer(rows[i].text, &value), rows[i].result);
		assert_int_equal(value, rows[i].result == 0 ? rows[i].value : 77);
	}
}

static void test_numbers(void **state)
{
	static const struct {
		const char *text;
		int result;
		const char *formatted;
	} rows[] = {
		{"0", 0, "0"}, {"-0", 0, "0"}, {"1", 0, "1"}, {"1.5", 0, "1.5"}, {"-1.5", 0, "-1.5"},
		{"-0.25", 0, "-0.25"}, {"0.000001", 0, "0.000001"}, {"0.0000001", 0, "0"},
		{"-0.0000001", 0, "0"}, {"3.1415926535", 0, "3.141593"}, {"0.9999996", 0, "1"},
		{"1e3", 0, "1000"}, {"1E-3", 0, "0.001"}, {"12.5e+1", 0, "125"},
		{"1e15", 0, "1000000000000000"}, {"0e999999999999", 0, "0"}, {"1e16", -ERANGE, NULL},
		{"1e400", -ERANGE, NULL}, {"1e-400", 0, "0"}, {"", -EINVAL, NULL}, {"-", -EINVAL, NULL},
		{".5", -EINVAL, NULL}, {"5.", -EINVAL, NULL}, {"1,5", -EINVAL, NULL}, {"1e", -EINVAL, NULL},
		{"1e-", -EINVAL, NULL}, {"1e1.5", -EINVAL, NULL}, {"nan", -EINVAL, NULL},
		{"inf", -EINVAL, NULL}, {"0x1p3", -EINVAL, NULL}, {" 1", -EINVAL, NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		double value = 77;
		char text[32];

		assert_int_equal(text_number(rows[i].text, &value), rows[i].result);
		text_format_number(value, text, sizeof(text));
		assert_string_equal(text, rows[i].formatted ? rows[i].formatted : "77");
	}
}

static void test_distances(void **state)
{
	static const struct {
		const char *a, *b;
		unsigned distance;
	} rows[] = {
		{"", "", 0}, {"abc", "abc", 0}, {"abc", "ABC", 0}, {"", "abc", 3}, {"abc", "", 3},
		{"abc", "abd", 1}, {"abc", "ab", 1}, {"ab", "abc", 1}, {"abc", "acb", 2},
		{"kitten", "sitting", 3}, {"abc", "xyz", 3},
	};
	char longest[65];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_int_equal(text_distance(rows[i].a, rows[i].b), rows[i].distance);
	memset(longest, 'a', 64);
	longest[64] = '\0';
	assert_int_equal(text_distance(longest, "a"), UINT_MAX);
	assert_int_equal(text_distance("a", longest), UINT_MAX);
	longest[63] = '\0';
	assert_int_equal(text_distance(longest, "a"), 62);
	assert_int_equal(text_distance("", longest), 63);
}

static void test_tolerance(void **state)
{
	(void)state;
	assert_int_equal(text_tolerance(""), 0);
	assert_int_equal(text_tolerance("ab"), 0);
	assert_int_equal(text_tolerance("abc"), 1);
	assert_int_equal(text_tolerance("abcdefghi"), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_integers),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_distances),
		cmocka_unit_test(test_tolerance),
	};

	return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
