/* Names that children look up, over a real fork. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/names_shared.h"

#define SIZE 32768

static void *memory;

static int start(void **state)
{
	(void)state;
	memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	names_shared_init(memory, SIZE, getpid());
	return memory == MAP_FAILED;
}

static int stop(void **state)
{
	(void)state;
	return munmap(memory, SIZE);
}

static struct taps_addr address(const char *text)
{
	struct taps_addr addr;

	assert_int_equal(addr_parse(&addr, text, 0), 0);
	return addr;
}

static void in_child(void (*what)(void))
{
	pid_t child = fork();
	int status;

	if (child == 0) {
		what();
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void learn_two(void)
{
	struct taps_addr addrs[] = {address("2001:db8::1"), address("192.0.2.1")};

	names_shared_learn("two.test", AF_UNSPEC, getpid(), 1, addrs, 2);
}

static void learn_many(void)
{
	struct taps_addr addr = address("192.0.2.9");
	char name[32] = "n000.test";
	int i;

	for (i = 0; i < 500; i++) {
		name[1] = (char)('0' + i / 100);
		name[2] = (char)('0' + i / 10 % 10);
		name[3] = (char)('0' + i % 10);
		names_shared_learn(name, AF_INET, getpid(), 2 + i, &addr, 1);
	}
}

static void test_child(void **state)
{
	struct taps_addr asked = address("192.0.2.1"), other = address("192.0.2.7");
	struct names_entry entry;

	(void)state;
	assert_false(names_shared_find(&asked, &entry));
	in_child(learn_two);
	assert_true(names_shared_find(&asked, &entry));
	assert_string_equal(entry.name, "two.test");
	assert_int_equal(entry.n, 2);
	assert_int_equal(entry.family, AF_UNSPEC);
	assert_false(names_shared_find(&other, &entry));
}

static void test_latest(void **state)
{
	struct taps_addr asked = address("192.0.2.9");
	struct names_entry entry;

	(void)state;
	in_child(learn_many);
	assert_true(names_shared_find(&asked, &entry));
	assert_string_equal(entry.name, "n499.test");
}

static void test_own(void **state)
{
	struct taps_addr asked = address("192.0.2.3");
	struct names_entry entry;

	(void)state;
	names_shared_learn("own.test", AF_INET, getpid(), 1, &asked, 1);
	assert_false(names_shared_find(&asked, &entry));
}

static void learn_garbage(void)
{
	memset(memory, 0xa4, SIZE);
}

static void test_garbage(void **state)
{
	struct taps_addr asked = address("192.0.2.1");
	struct names_entry entry;

	(void)state;
	in_child(learn_garbage);
	assert_false(names_shared_find(&asked, &entry));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_child, start, stop),
		cmocka_unit_test_setup_teardown(test_latest, start, stop),
		cmocka_unit_test_setup_teardown(test_own, start, stop),
		cmocka_unit_test_setup_teardown(test_garbage, start, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
