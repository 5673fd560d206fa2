/* core/quiet.c: what is said of the first thread's mask while stretches of ours come and go. */
#include "core/quiet.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void mask(int how, int sig)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, sig);
	assert_int_equal(pthread_sigmask(how, &set, NULL), 0);
}

static bool is_masked(int sig)
{
	sigset_t set;

	pthread_sigmask(SIG_SETMASK, NULL, &set);
	return sigismember(&set, sig);
}

static void test_masks(void **state)
{
	struct quiet outer, inner;

	(void)state;
	quiet_begin(&outer, SIGCHLD);
	assert_true(is_masked(SIGINT));
	assert_false(is_masked(SIGCHLD));
	quiet_begin(&inner, 0);
	assert_true(is_masked(SIGCHLD));
	quiet_end(&inner);
	assert_false(is_masked(SIGCHLD));
	quiet_end(&outer);
	assert_false(is_masked(SIGINT));
}

static void *ask(void *answer)
{
	*(bool *)answer = quiet_is_child_blocked();
	return NULL;
}

static bool is_blocked(void)
{
	pthread_t thread;
	bool answer;

	assert_int_equal(pthread_create(&thread, NULL, ask, &answer), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	return answer;
}

static void test_own_stretch_is_no_mask(void **state)
{
	struct quiet outer, inner;

	(void)state;
	assert_false(is_blocked());
	quiet_begin(&outer, 0);
	assert_false(is_blocked());
	quiet_begin(&inner, 0);
	assert_false(is_blocked());
	quiet_end(&inner);
	assert_false(is_blocked());
	quiet_end(&outer);
	assert_false(is_blocked());
}

static void test_mask_of_application(void **state)
{
	struct quiet quiet;

	(void)state;
	mask(SIG_BLOCK, SIGCHLD);
	assert_true(is_blocked());
	quiet_begin(&quiet, 0);
	assert_true(is_blocked());
	quiet_end(&quiet);
	assert_true(is_blocked());
	mask(SIG_UNBLOCK, SIGCHLD);
	assert_false(is_blocked());
}

static _Atomic bool over, wrong;

static void *ask_again(void *unused)
{
	(void)unused;
	while (!atomic_load(&over))
		if (quiet_is_child_blocked())
			atomic_store(&wrong, true);
	return NULL;
}

/* A stretch that begins or ends within the look is not taken for the application's either. */
static void test_stretches_that_come_and_go(void **state)
{
	struct quiet quiet;
	pthread_t thread;
	int i;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, ask_again, NULL), 0);
	for (i = 0; i < 100000; i++) {
		quiet_begin(&quiet, 0);
		quiet_end(&quiet);
	}
	atomic_store(&over, true);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_false(atomic_load(&wrong));
}

static void *fork_off(void *ret)
{
	struct quiet quiet;
	pid_t child = fork();

	if (child == 0) {
		quiet_fork_child();
		quiet_begin(&quiet, 0);
		_exit(quiet_is_child_blocked());
	}
	*(pid_t *)ret = child;
	return NULL;
}

/* In the child of another thread the first thread, and what it said of itself, are gone. */
static void test_child(void **state)
{
	struct quiet quiet;
	pthread_t thread;
	pid_t child = -1;
	int status = -1;

	(void)state;
	mask(SIG_BLOCK, SIGCHLD);
	quiet_begin(&quiet, 0);
	mask(SIG_UNBLOCK, SIGCHLD);
	assert_int_equal(pthread_create(&thread, NULL, fork_off, &child), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	quiet_end(&quiet);
	mask(SIG_UNBLOCK, SIGCHLD);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_masks),
		cmocka_unit_test(test_own_stretch_is_no_mask),
		cmocka_unit_test(test_mask_of_application),
		cmocka_unit_test(test_stretches_that_come_and_go),
		cmocka_unit_test(test_child),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
