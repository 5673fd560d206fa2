/* core/apart.c: calls that outlive who makes them, and of which nobody is told. */
#include "core/apart.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static pid_t called_by;

static int note(void *arg)
{
	called_by = getpid();
	return *(int *)arg + 1;
}

static void test_result(void **state)
{
	int arg = 41;

	(void)state;
	assert_int_equal(apart_call(note, &arg), 42);
	assert_int_not_equal(called_by, getpid());
}

static _Atomic int told;

static void on_child(int sig)
{
	(void)sig;
	told++;
}

static void test_nobody_is_told(void **state)
{
	int arg = 0;

	(void)state;
	signal(SIGCHLD, on_child);
	assert_int_equal(apart_call(note, &arg), 1);
	signal(SIGCHLD, SIG_DFL);
	assert_int_equal(told, 0);
	assert_int_equal(waitpid(-1, NULL, __WALL | WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

static void test_ignored_children(void **state)
{
	int arg = 0;

	(void)state;
	signal(SIGCHLD, SIG_IGN);
	assert_int_equal(apart_call(note, &arg), 1);
	signal(SIGCHLD, SIG_DFL);
}

/* No process is to be had: the call is made all the same. */
static void test_here(void **state)
{
	const struct rlimit none = {0, 0};
	int arg = 6, status = -1;
	pid_t child = fork();

	(void)state;
	if (child == 0) {
		if (setrlimit(RLIMIT_NPROC, &none) != 0 || (getuid() == 0 && setuid(65534) != 0))
			_exit(1);
		_exit(apart_call(note, &arg) != 7 || called_by != getpid());
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

struct slow {
	int begun, go, file;
};

/* Says that it began, waits until it may, writes. */
static int write_slowly(void *arg)
{
	const struct slow *slow = arg;
	char byte = 0;

	return write(slow->begun, &byte, 1) == 1 && read(slow->go, &byte, 1) >= 0 &&
	       pwrite(slow->file, "whole", 5, 0) == 5;
}

static _Noreturn void be_killed(struct slow *slow)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	setpgid(0, 0);
	fcntl(slow->file, F_SETLKW, &lock);
	apart_call(write_slowly, slow);
	_exit(0);
}

static bool is_locked(int file)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	assert_int_equal(fcntl(file, F_GETLK, &lock), 0);
	return lock.l_type != F_UNLCK;
}

/* Its record lock holds until it is done. */
static void test_killed_in_between(void **state)
{
	char path[] = "/tmp/taps-apart-XXXXXX", text[6] = "", byte;
	int begun[2], go[2], file = mkstemp(path), status, i;
	pid_t child;

	(void)state;
	assert_true(file >= 0);
	unlink(path);
	assert_int_equal(pipe2(begun, O_CLOEXEC) | pipe2(go, O_CLOEXEC), 0);
	child = fork();
	if (child == 0)
		be_killed(&(struct slow){begun[1], go[0], file});
	assert_int_equal(read(begun[0], &byte, 1), 1);
	assert_int_equal(kill(-child, SIGKILL), 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	assert_true(is_locked(file));
	assert_int_equal(write(go[1], "", 1), 1);
	for (i = 0; i < 5000 && is_locked(file); i++)
		usleep(1000);
	assert_int_equal(pread(file, text, 5, 0), 5);
	assert_string_equal(text, "whole");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_result),
		cmocka_unit_test(test_nobody_is_told),
		cmocka_unit_test(test_ignored_children),
		cmocka_unit_test(test_here),
		cmocka_unit_test(test_killed_in_between),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
