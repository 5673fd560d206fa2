/* core/apart.c: calls that outlive who makes them, processes that are nobody's, and that nobody is told. */
#include "core/apart.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/quiet.h"
#include "tests/unit/host.h"

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

static _Atomic int told_times;

static void on_child(int sig)
{
	(void)sig;
	told_times++;
}

static void test_nobody_is_told(void **state)
{
	int arg = 0;

	(void)state;
	signal(SIGCHLD, on_child);
	assert_int_equal(apart_call(note, &arg), 1);
	signal(SIGCHLD, SIG_DFL);
	assert_int_equal(told_times, 0);
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

/* --- apart_fork() --- */

struct told {
	pid_t self, parent;
	bool masked, clean;
};

/* Uses the allocator and the C library's streams, which another process may have been at. */
static bool is_whole(void)
{
	char *text = NULL;
	size_t size = 0;
	FILE *file = open_memstream(&text, &size);
	bool whole = file && fprintf(file, "%d", 42) == 2 && fclose(file) == 0 && strcmp(text, "42") == 0;

	free(text);
	return whole;
}

static void tell(void *arg)
{
	struct told told = {.self = getpid(), .parent = getppid(), .clean = is_whole()};
	sigset_t mask;

	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	told.masked = sigismember(&mask, SIGCHLD);
	if (write(*(int *)arg, &told, sizeof(told)) < 0)
		abort();
}

static int fork_quietly(void (*run)(void *arg), void *arg)
{
	struct quiet quiet;
	int result;

	quiet_begin(&quiet);
	result = apart_fork(run, arg);
	quiet_end(&quiet);
	return result;
}

/* Waits for its end too: the pipe's other end is gone then. */
static struct told born(void)
{
	struct told told = {0};
	int ends[2];
	char more;

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(fork_quietly(tell, &ends[1]), 0);
	close(ends[1]);
	assert_int_equal(read(ends[0], &told, sizeof(told)), sizeof(told));
	assert_int_equal(read(ends[0], &more, 1), 0);
	close(ends[0]);
	return told;
}

static void test_fork_is_nobodys(void **state)
{
	struct told told;

	(void)state;
	told_times = 0;
	signal(SIGCHLD, on_child);
	told = born();
	signal(SIGCHLD, SIG_DFL);
	assert_int_equal(told_times, 0);
	assert_int_not_equal(told.self, getpid());
	assert_int_not_equal(told.parent, getpid());
	assert_true(told.masked && told.clean);
	assert_int_equal(waitpid(-1, NULL, __WALL | WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

static void test_fork_beside_ignored_children(void **state)
{
	(void)state;
	signal(SIGCHLD, SIG_IGN);
	assert_true(born().clean);
	signal(SIGCHLD, SIG_DFL);
}

static void test_no_fork(void **state)
{
	const struct rlimit none = {0, 0};
	int status = -1, nowhere = -1;
	pid_t child = fork();

	(void)state;
	if (child == 0) {
		if (setrlimit(RLIMIT_NPROC, &none) != 0 || (getuid() == 0 && setuid(65534) != 0))
			_exit(1);
		_exit(fork_quietly(tell, &nowhere) != -EAGAIN);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static pid_t fail_to_fork(void)
{
	errno = ENOMEM;
	return -1;
}

static void test_second_fork_fails(void **state)
{
	pid_t (*real_fork)(void) = unit_host()->fork;
	int nowhere = -1, result;

	(void)state;
	unit_host()->fork = fail_to_fork;
	result = fork_quietly(tell, &nowhere);
	unit_host()->fork = real_fork;
	assert_int_equal(result, -ENOMEM);
}

#define FORKS 200

struct beside {
	_Atomic bool over;
	int interrupted, set;
};

/* epoll_wait(2) is never restarted: whatever wakes it shows. */
static void *wait_for_events(void *arg)
{
	struct beside *beside = arg;
	struct epoll_event event;

	while (epoll_wait(beside->set, &event, 1, -1) < 0)
		beside->interrupted += errno == EINTR;
	return NULL;
}

/* Makes threads, which blocks signals within the C library. */
static void *make_threads(void *arg)
{
	struct beside *beside = arg;
	struct timespec nap = {.tv_nsec = 100000};
	pthread_t thread;

	while (!beside->over) {
		if (pthread_create(&thread, NULL, (void *(*)(void *))strdup, (void *)"") == 0) {
			void *text;

			pthread_join(thread, &text);
			free(text);
		}
		nanosleep(&nap, NULL);
	}
	return NULL;
}

/* Waits for a child of its own, whoever it is. */
static void *wait_for_child(void *arg)
{
	int status = -1;
	pid_t child = *(pid_t *)arg;

	*(pid_t *)arg = waitpid(-1, &status, 0) == child && status == 0 ? 0 : child;
	return NULL;
}

/* Threads beside it neither wake nor wait for it, whatever their masks are. */
static void test_fork_beside_threads(void **state)
{
	struct beside beside = {.set = epoll_create1(EPOLL_CLOEXEC)};
	struct epoll_event event = {.events = EPOLLIN};
	pthread_t waiter, maker, parent;
	int ends[2], i;
	pid_t child;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	assert_int_equal(epoll_ctl(beside.set, EPOLL_CTL_ADD, ends[0], &event), 0);
	child = fork();
	if (child == 0)
		_exit(close(ends[1]) != 0 || read(ends[0], &i, 1) != 1);
	assert_int_equal(pthread_create(&waiter, NULL, wait_for_events, &beside), 0);
	assert_int_equal(pthread_create(&maker, NULL, make_threads, &beside), 0);
	assert_int_equal(pthread_create(&parent, NULL, wait_for_child, &child), 0);
	for (i = 0; i < FORKS; i++)
		assert_true(born().clean);
	beside.over = true;
	assert_int_equal(pthread_join(maker, NULL), 0);
	assert_int_equal(write(ends[1], "..", 2), 2);
	assert_int_equal(pthread_join(waiter, NULL), 0);
	assert_int_equal(pthread_join(parent, NULL), 0);
	assert_int_equal(beside.interrupted, 0);
	assert_int_equal(child, 0);
	close(beside.set);
	close(ends[0]);
	close(ends[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_result),
		cmocka_unit_test(test_nobody_is_told),
		cmocka_unit_test(test_ignored_children),
		cmocka_unit_test(test_here),
		cmocka_unit_test(test_killed_in_between),
		cmocka_unit_test(test_fork_is_nobodys),
		cmocka_unit_test(test_fork_beside_ignored_children),
		cmocka_unit_test(test_no_fork),
		cmocka_unit_test(test_second_fork_fails),
		cmocka_unit_test(test_fork_beside_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
