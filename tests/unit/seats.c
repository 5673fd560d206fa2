/* Seats that processes share: how many there are, whose they are, and what becomes of the dead's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/seats.h"
#include "tests/unit/host.h"

#define N 3

static struct seats *seats;

static int setup(void **state)
{
	(void)state;
	unit_host();
	return seats_new(&seats, N);
}

static int teardown(void **state)
{
	(void)state;
	seats_free(seats);
	return 0;
}

static void as_many_as_there_are(void **state)
{
	int i;

	(void)state;
	for (i = 0; i < N; i++) {
		assert_false(seats_are_taken(seats));
		assert_int_equal(seats_take(seats), i);
	}
	assert_true(seats_are_taken(seats));
	assert_int_equal(seats_take(seats), -EAGAIN);
	seats_leave(seats, 1);
	assert_false(seats_are_taken(seats));
	assert_int_equal(seats_take(seats), 1);
	assert_int_equal(seats_take(seats), -EAGAIN);
	seats_free(NULL);
}

/* Takes two seats, and leaves one that is the parent's. */
static void child_main(int ready)
{
	seats_leave(seats, 0);
	seats_take(seats);
	seats_take(seats);
	if (write(ready, "", 1) == 1)
		pause();
	_exit(1);
}

static pid_t start_child(void)
{
	int ready[2];
	char byte;
	pid_t child;

	assert_int_equal(pipe(ready), 0);
	child = fork();
	if (child == 0)
		child_main(ready[1]);
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return child;
}

static void other_processes(void **state)
{
	pid_t child;

	(void)state;
	assert_int_equal(seats_take(seats), 0);
	child = start_child();
	assert_int_equal(seats_take(seats), -EAGAIN);
	seats_leave(seats, 1);
	assert_int_equal(seats_take(seats), -EAGAIN);
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_false(seats_are_taken(seats));
	assert_int_equal(seats_take(seats), 1);
	assert_int_equal(seats_take(seats), 2);
	assert_true(seats_are_taken(seats));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(as_many_as_there_are, setup, teardown),
		cmocka_unit_test_setup_teardown(other_processes, setup, teardown),
	};

	return cmocka_run_group_tests_name("seats", tests, NULL, NULL);
}
