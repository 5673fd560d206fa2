/* conf/arena.c: memory that ends together. */
#include "conf/arena.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_zeroed_and_aligned(void **state)
{
	struct arena arena = {0};

	(void)state;
	for (size_t size = 0; size < 3000; size += 7) {
		char *memory = arena_alloc(&arena, size);

		assert_non_null(memory);
		assert_int_equal((uintptr_t)memory % _Alignof(max_align_t), 0);
		for (size_t i = 0; i < size; i++)
			assert_int_equal(memory[i], 0);
		memset(memory, 0xff, size);
	}
	arena_fini(&arena);
	assert_null(arena.chunk);
}

static void test_large(void **state)
{
	struct arena arena = {0};
	char *small = arena_strdup(&arena, "small"), *large = arena_alloc(&arena, 1 << 20);

	(void)state;
	assert_non_null(large);
	large[0] = large[(1 << 20) - 1] = 1;
	assert_string_equal(small, "small");
	arena_fini(&arena);
}

static void test_overflow(void **state)
{
	struct arena arena = {0};

	(void)state;
	assert_null(arena_alloc(&arena, SIZE_MAX));
	assert_null(arena_array(&arena, SIZE_MAX / 2, 3));
	assert_null(arena.chunk);
	assert_non_null(arena_array(&arena, 0, 8));
	arena_fini(&arena);
}

static void test_texts(void **state)
{
	struct arena arena = {0};

	(void)state;
	assert_string_equal(arena_strndup(&arena, "abcdef", 3), "abc");
	assert_string_equal(arena_strdup(&arena, ""), "");
	assert_string_equal(arena_printf(&arena, "%s:%d", "a", 7), "a:7");
	arena_fini(&arena);
}

static void *no_memory(size_t size)
{
	(void)size;
	return NULL;
}

static void test_no_memory(void **state)
{
	struct arena arena = {0};

	(void)state;
	arena_source = no_memory;
	assert_null(arena_alloc(&arena, 1));
	assert_null(arena_strdup(&arena, "a"));
	assert_null(arena_printf(&arena, "a"));
	arena_source = malloc;
	assert_string_equal(arena_strdup(&arena, "a"), "a");
	arena_fini(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_zeroed_and_aligned), cmocka_unit_test(test_large),
		cmocka_unit_test(test_overflow),	   cmocka_unit_test(test_texts),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
