/* Name memory, in made-up time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/names.h"
#include "tests/unit/host.h"

#define MS NS_PER_MS
#define THREADS 8
#define ROUNDS 1500

static int clear(void **state)
{
	(void)state;
	unit_host();
	names_clear();
	return 0;
}

static struct taps_addr addr(const char *text, uint16_t port)
{
	struct taps_addr ret;

	assert_return_code(addr_parse(&ret, text, port), 0);
	return ret;
}

/* Remembers the addresses listed, ended by NULL. */
static void learn(const char *name, int family, pid_t thread, int64_t now, ...)
{
	struct taps_addr addrs[64];
	const char *text;
	va_list args;
	size_t n = 0;

	va_start(args, now);
	while ((text = va_arg(args, const char *)))
		addrs[n++] = addr(text, 0);
	va_end(args);
	names_learn(name, family, thread, now, addrs, n);
}

/* The name found for an address, "name?" where it is ambiguous, or "" for none. */
static const char *found(const char *text, pid_t thread)
{
	static char answer[NAMES_TEXT_MAX + 1];
	struct taps_addr at = addr(text, 443);
	struct names_entry entry;
	bool ambiguous;

	if (!names_find(&at, thread, &entry, &ambiguous))
		return "";
	snprintf(answer, sizeof(answer), "%s%s", entry.name, ambiguous ? "?" : "");
	return answer;
}

static void test_find(void **state)
{
	(void)state;
	learn("Mail.Example", AF_UNSPEC, 1, 5, "192.0.2.1", "2001:db8::1", NULL);
	assert_string_equal(found("192.0.2.1", 1), "Mail.Example");
	assert_string_equal(found("2001:db8::1", 1), "Mail.Example");
	assert_string_equal(found("::ffff:192.0.2.1", 1), "Mail.Example");
	assert_string_equal(found("192.0.2.2", 1), "");
	assert_string_equal(found("2001:db8::2", 1), "");
}

static void test_entry(void **state)
{
	struct taps_addr given[3] = {addr("192.0.2.9", 80), addr("192.0.2.9", 443), addr("2001:db8::9", 80)};
	struct names_entry entry;

	(void)state;
	names_learn("a.example", AF_UNSPEC, 7, 1234, given, 3);
	assert_true(names_find(&given[2], 7, &entry, NULL));
	assert_string_equal(entry.name, "a.example");
	assert_int_equal(entry.family, AF_UNSPEC);
	assert_int_equal(entry.when, 1234);
	assert_int_equal(entry.thread, 7);
	assert_int_equal(entry.n, 2);
	assert_int_equal(addr_port(&entry.addrs[0]), 0);
	assert_true(addr_equal_host(&entry.addrs[0], &given[0]));
	assert_true(addr_equal_host(&entry.addrs[1], &given[2]));
}

static void test_not_remembered(void **state)
{
	char longest[NAMES_TEXT_MAX + 1];

	(void)state;
	learn("192.0.2.1", AF_UNSPEC, 1, 0, "192.0.2.1", NULL);
	learn("2001:db8::1", AF_UNSPEC, 1, 0, "2001:db8::1", NULL);
	learn("", AF_UNSPEC, 1, 0, "192.0.2.2", NULL);
	learn("empty.example", AF_UNSPEC, 1, 0, NULL);
	memset(longest, 'a', NAMES_TEXT_MAX);
	longest[NAMES_TEXT_MAX] = '\0';
	learn(longest, AF_UNSPEC, 1, 0, "192.0.2.3", NULL);
	assert_string_equal(found("192.0.2.1", 1), "");
	assert_string_equal(found("2001:db8::1", 1), "");
	assert_string_equal(found("192.0.2.2", 1), "");
	assert_string_equal(found("192.0.2.3", 1), "");
	longest[NAMES_TEXT_MAX - 1] = '\0';
	learn(longest, AF_UNSPEC, 1, 0, "192.0.2.3", NULL);
	assert_string_equal(found("192.0.2.3", 1), longest);
}

static void test_long_answer(void **state)
{
	struct taps_addr given[NAMES_ADDRS_MAX + 4];
	struct names_entry entry;
	char text[32];

	(void)state;
	for (int i = 0; i < NAMES_ADDRS_MAX + 4; i++) {
		snprintf(text, sizeof(text), "192.0.2.%d", i + 1);
		given[i] = addr(text, 0);
	}
	names_learn("many.example", AF_INET, 1, 0, given, NAMES_ADDRS_MAX + 4);
	assert_true(names_find(&given[NAMES_ADDRS_MAX - 1], 1, &entry, NULL));
	assert_int_equal(entry.n, NAMES_ADDRS_MAX);
	assert_false(names_find(&given[NAMES_ADDRS_MAX], 1, &entry, NULL));
}

static void test_replaced(void **state)
{
	(void)state;
	learn("a.example", AF_UNSPEC, 1, 0, "192.0.2.1", NULL);
	learn("A.Example", AF_UNSPEC, 1, 1, "192.0.2.2", NULL);
	assert_string_equal(found("192.0.2.1", 1), "");
	assert_string_equal(found("192.0.2.2", 1), "A.Example");
	/* Another family's and another thread's lookups stay beside it. */
	learn("a.example", AF_INET6, 1, 2, "2001:db8::2", NULL);
	learn("a.example", AF_UNSPEC, 2, 3, "192.0.2.3", NULL);
	assert_string_equal(found("192.0.2.2", 1), "A.Example");
	assert_string_equal(found("2001:db8::2", 1), "a.example");
	assert_string_equal(found("192.0.2.3", 1), "a.example");
}

static void test_whose_lookup(void **state)
{
	(void)state;
	learn("one.example", AF_UNSPEC, 1, 0, "192.0.2.1", NULL);
	learn("two.example", AF_UNSPEC, 2, 0, "192.0.2.1", "192.0.2.2", NULL);
	assert_string_equal(found("192.0.2.1", 1), "one.example?");
	assert_string_equal(found("192.0.2.1", 2), "two.example?");
	assert_string_equal(found("192.0.2.1", 3), "two.example?");
	assert_string_equal(found("192.0.2.2", 1), "two.example");
	/* A thread's most recent lookup counts, also where it is an old one that was made again. */
	learn("three.example", AF_UNSPEC, 1, 0, "192.0.2.1", NULL);
	assert_string_equal(found("192.0.2.1", 1), "three.example?");
	learn("one.example", AF_UNSPEC, 1, 0, "192.0.2.1", NULL);
	assert_string_equal(found("192.0.2.1", 1), "one.example?");
	assert_string_equal(found("192.0.2.1", 3), "one.example?");
	/* The same name twice is not ambiguous. */
	names_clear();
	learn("one.example", AF_UNSPEC, 1, 0, "192.0.2.1", NULL);
	learn("ONE.example", AF_INET, 2, 0, "192.0.2.1", NULL);
	assert_string_equal(found("192.0.2.1", 1), "one.example");
}

static void test_bounded(void **state)
{
	char name[32], text[32];

	(void)state;
	for (int i = 0; i < NAMES_LOOKUPS_MAX; i++) {
		snprintf(name, sizeof(name), "n%d.example", i);
		snprintf(text, sizeof(text), "10.0.%d.%d", i / 256, i % 256);
		learn(name, AF_UNSPEC, 1, i, text, NULL);
	}
	assert_string_equal(found("10.0.0.0", 1), "n0.example");
	/* The first is made again, so the second is the oldest. */
	learn("n0.example", AF_UNSPEC, 1, 1000, "10.0.0.0", NULL);
	learn("last.example", AF_UNSPEC, 1, 1001, "192.0.2.1", NULL);
	assert_string_equal(found("10.0.0.0", 1), "n0.example");
	assert_string_equal(found("10.0.0.1", 1), "");
	assert_string_equal(found("10.0.0.2", 1), "n2.example");
	assert_string_equal(found("10.0.1.255", 1), "n511.example");
	assert_string_equal(found("192.0.2.1", 1), "last.example");
}

/* A line of the life of one name: at a time something is noted, or asked and the answer known. */
struct line {
	int64_t ms;
	enum { END, FAILURE, SUCCESS, TAKES, LATELY, NOT_LATELY } what;
	const char *addr;
	uint16_t port;
	int error;
	const char *name; /* NULL: n.example */
};

static void play(const struct line *line)
{
	const char *name = line->name ? line->name : "n.example";
	struct taps_addr at = line->addr ? addr(line->addr, line->port) : (struct taps_addr){0};
	int64_t now = line->ms * MS;

	switch (line->what) {
	case FAILURE: names_note_failure(&at, name, line->error, now); break;
	case SUCCESS: names_note_success(name); break;
	case TAKES: assert_int_equal(names_take_failure(&at, name, now), line->error); break;
	case LATELY: assert_true(names_failed_lately(&at, name, now)); break;
	case NOT_LATELY: assert_false(names_failed_lately(&at, name, now)); break;
	case END: break;
	}
}

#define A .addr = "192.0.2.1", .port = 80
#define B .addr = "2001:db8::1", .port = 80
#define C .addr = "192.0.2.3", .port = 80
#define MAPPED_A .addr = "::ffff:192.0.2.1", .port = 80
#define OTHER_PORT .addr = "2001:db8::1", .port = 443
#define ANY .addr = NULL

static void test_lives(void **state)
{
	static const struct line lives[][10] = {
		/* The loop goes on to addresses that failed in the race: each fails at once, once. */
		{{0, FAILURE, B, ETIMEDOUT}, {0, FAILURE, C, ECONNREFUSED}, {10, TAKES, A, 0},
		 {10, TAKES, B, ETIMEDOUT}, {10, TAKES, B, 0}, {20, TAKES, C, ECONNREFUSED},
		 {20, TAKES, C, 0}},
		{{0, FAILURE, B, ETIMEDOUT}, {2000, TAKES, B, ETIMEDOUT}},
		{{0, FAILURE, B, ETIMEDOUT}, {2001, TAKES, B, 0}, {10, TAKES, B, 0}},
		{{0, FAILURE, B, ETIMEDOUT}, {10, TAKES, B, 0, "m.example"}, {10, TAKES, OTHER_PORT}},
		{{0, FAILURE, B, ETIMEDOUT}, {5, FAILURE, B, ECONNRESET}, {10, TAKES, B, ECONNRESET}},
		{{0, FAILURE, B, ETIMEDOUT}, {5, SUCCESS, ANY}, {10, TAKES, B, 0}},
		/* Reported or not, it has failed lately; also in its mapped form, and however it is spelt. */
		{{0, FAILURE, A, 0}, {10, TAKES, A, 0}, {2000, LATELY, A}, {2001, NOT_LATELY, A}},
		{{0, FAILURE, A, EIO}, {10, LATELY, MAPPED_A}, {10, LATELY, A, 0, "N.EXAMPLE"}},
		{{0, FAILURE, A, EIO}, {10, NOT_LATELY, B}, {10, NOT_LATELY, A, 0, "N.Exemple"}},
		/* Success of another name changes nothing. */
		{{0, FAILURE, A, EIO}, {5, SUCCESS, .name = "m.example"}, {10, LATELY, A}},
		{{0, FAILURE, A, EIO}, {5, SUCCESS, ANY}, {10, NOT_LATELY, A}},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(lives) / sizeof(lives[0]); i++) {
		names_clear();
		for (const struct line *line = lives[i]; line->what != END; line++)
			play(line);
	}
}

static void test_notes_bounded(void **state)
{
	struct taps_addr a = addr("192.0.2.1", 80);
	char name[32];

	(void)state;
	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "n%d.example", i);
		names_note_failure(&a, name, EIO, 0);
	}
	assert_false(names_failed_lately(&a, "n0.example", 1));
	assert_true(names_failed_lately(&a, "n999.example", 1));
	assert_true(names_failed_lately(&a, "n900.example", 1));
}

static void test_long_names_are_ignored(void **state)
{
	struct taps_addr a = addr("192.0.2.1", 80);
	char name[2 * NAMES_TEXT_MAX];

	(void)state;
	memset(name, 'a', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	names_note_failure(&a, name, EIO, 0);
	assert_false(names_failed_lately(&a, name, 0));
	assert_int_equal(names_take_failure(&a, name, 0), 0);
}

/* Each thread has names of its own that share addresses with the others'. */
static void *worker(void *arg)
{
	pid_t thread = (pid_t)(intptr_t)arg;
	char name[32];
	intptr_t bad = 0;

	snprintf(name, sizeof(name), "t%d.example", thread);
	for (int i = 0; i < ROUNDS; i++) {
		struct taps_addr addrs[2];
		struct names_entry entry;
		uint32_t bytes = htonl(0x0a000000u + (uint32_t)(i % 700));

		addr_from_bytes(&addrs[0], AF_INET, &bytes, 80);
		bytes = htonl(0x0a010000u + (uint32_t)thread);
		addr_from_bytes(&addrs[1], AF_INET, &bytes, 80);
		names_learn(name, AF_UNSPEC, thread, i, addrs, 2);
		bad += !names_find(&addrs[0], thread, &entry, NULL) || strcmp(entry.name, name) ||
		       entry.n != 2;
		names_note_failure(&addrs[1], name, EIO, i);
		bad += names_take_failure(&addrs[1], name, i) != EIO;
		names_note_success(name);
	}
	return (void *)bad;
}

static void test_threads(void **state)
{
	pthread_t threads[THREADS];
	void *bad;

	(void)state;
	for (intptr_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, worker, (void *)(i + 1)), 0);
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], &bad);
		assert_null(bad);
	}
}

/* A child forked while other threads are at it finds the lock free. */
static void test_fork(void **state)
{
	pthread_t threads[2];
	int status;

	(void)state;
	for (intptr_t i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, worker, (void *)(i + 1)), 0);
	for (int i = 0; i < 20; i++) {
		struct taps_addr a = addr("198.51.100.1", 80);
		pid_t child;

		names_fork_prepare();
		child = fork();
		names_fork_done();
		if (child == 0) {
			alarm(10);
			learn("child.example", AF_UNSPEC, 99, i, "198.51.100.1", NULL);
			_exit(names_find(&a, 99, &(struct names_entry){0}, NULL) ? 0 : 1);
		}
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_int_equal(status, 0);
	}
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_find, clear),
		cmocka_unit_test_setup(test_entry, clear),
		cmocka_unit_test_setup(test_not_remembered, clear),
		cmocka_unit_test_setup(test_long_answer, clear),
		cmocka_unit_test_setup(test_replaced, clear),
		cmocka_unit_test_setup(test_whose_lookup, clear),
		cmocka_unit_test_setup(test_bounded, clear),
		cmocka_unit_test_setup(test_lives, clear),
		cmocka_unit_test_setup(test_notes_bounded, clear),
		cmocka_unit_test_setup(test_long_names_are_ignored, clear),
		cmocka_unit_test_setup(test_threads, clear),
		cmocka_unit_test_setup(test_fork, clear),
	};

	return cmocka_run_group_tests_name("names", tests, NULL, NULL);
}
