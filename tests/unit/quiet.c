/* core/quiet.c: stretches nest, and leave mask and cancellation as they were. */
#include "core/quiet.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static bool is_masked(int sig)
{
	sigset_t set;

	pthread_sigmask(SIG_SETMASK, NULL, &set);
	return sigismember(&set, sig);
}

static bool is_cancellable(void)
{
	int was;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &was);
	pthread_setcancelstate(was, NULL);
	return was == PTHREAD_CANCEL_ENABLE;
}

static void test_nested(void **state)
{
	struct quiet outer, inner;
	sigset_t own;

	(void)state;
	sigemptyset(&own);
	sigaddset(&own, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &own, NULL);
	quiet_begin(&outer);
	assert_true(is_masked(SIGINT) && is_masked(SIGCHLD) && !is_cancellable());
	quiet_begin(&inner);
	quiet_end(&inner);
	assert_true(is_masked(SIGINT) && is_masked(SIGCHLD) && !is_cancellable());
	quiet_end(&outer);
	assert_true(!is_masked(SIGINT) && !is_masked(SIGCHLD) && is_cancellable());
	assert_true(is_masked(SIGUSR1));
	pthread_sigmask(SIG_UNBLOCK, &own, NULL);
}

static volatile sig_atomic_t handled;

static void on_signal(int sig)
{
	(void)sig;
	handled = handled + 1;
}

/* What comes meanwhile is kept, and runs at the end. */
static void test_signal(void **state)
{
	struct quiet quiet;

	(void)state;
	signal(SIGUSR2, on_signal);
	quiet_begin(&quiet);
	raise(SIGUSR2);
	assert_int_equal(handled, 0);
	quiet_end(&quiet);
	assert_int_equal(handled, 1);
	signal(SIGUSR2, SIG_DFL);
}

static void test_child(void **state)
{
	struct quiet quiet;
	int status = -1;
	pid_t child;

	(void)state;
	quiet_begin(&quiet);
	child = fork();
	quiet_end(&quiet);
	if (child == 0)
		_exit(is_masked(SIGINT) || !is_cancellable());
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nested),
		cmocka_unit_test(test_signal),
		cmocka_unit_test(test_child),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
