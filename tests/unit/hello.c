/* The watcher over a program's start: what it says, when, and what the program notices of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tools/hello.h"

static char path[64];
static int stderr_was;

/* Standard error goes to a file, which the watcher holds as long as it lives. */
static int divert(void **state)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	(void)state;
	stderr_was = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 100);
	return fd < 0 || dup2(fd, STDERR_FILENO) < 0 || close(fd) < 0 ? -1 : 0;
}

static int restore(void **state)
{
	(void)state;
	dup2(stderr_was, STDERR_FILENO);
	close(stderr_was);
	return unlink(path);
}

/* What the watcher has said. */
static const char *said(void)
{
	static char text[512];
	ssize_t n = pread(STDERR_FILENO, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = 0;
	return text;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The pid of the process that holds the diverted file, besides this one; 0: none. */
static pid_t watcher(void)
{
	struct dirent *entry;
	pid_t found = 0;
	DIR *proc = opendir("/proc");

	assert_non_null(proc);
	while (!found && (entry = readdir(proc)) != NULL) {
		pid_t pid = atoi(entry->d_name);
		char link[64], target[128];
		ssize_t n;

		snprintf(link, sizeof(link), "/proc/%d/fd/2", (int)pid);
		n = pid && pid != getpid() ? readlink(link, target, sizeof(target) - 1) : -1;
		if (n > 0 && !strncmp(target, path, strlen(path)))
			found = pid;
	}
	closedir(proc);
	return found;
}

/* Waits until the watcher is gone; fails after `limit` seconds.  Returns how long that took. */
static double wait_for_end(double limit)
{
	double begin = now();

	while (watcher()) {
		assert_true(now() - begin < limit);
		usleep(5000);
	}
	return now() - begin;
}

static unsigned count_descriptors(pid_t pid)
{
	char name[64];
	unsigned n = 0;
	DIR *dir;

	snprintf(name, sizeof(name), "/proc/%d/fd", (int)pid);
	dir = opendir(name);
	if (!dir)
		return 0;
	for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
		n += entry->d_name[0] != '.';
	closedir(dir);
	return n;
}

static bool is_in_place(int fd)
{
	const char *text = getenv("TAPS_HELLO");
	unsigned long long inode;
	struct stat st;
	int number;

	return text && sscanf(text, "%d:%llu", &number, &inode) == 2 && number == fd && fstat(fd, &st) == 0 &&
	       S_ISFIFO(st.st_mode) && st.st_ino == inode && !(fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

static void test_hello(void **state)
{
	sigset_t before, after, pending;
	double begin;
	int fd;

	(void)state;
	sigprocmask(SIG_SETMASK, NULL, &before);
	fd = hello_start("program");
	assert_true(fd >= 200);
	assert_true(is_in_place(fd));
	assert_int_equal(waitpid(-1, NULL, __WALL), -1); /* no child of ours */
	assert_int_equal(errno, ECHILD);
	sigpending(&pending);
	assert_false(sigismember(&pending, SIGCHLD));
	sigprocmask(SIG_SETMASK, NULL, &after);
	assert_memory_equal(&before, &after, 8); /* what of it the kernel knows */

	begin = now();
	while (!watcher() && now() - begin < 1)
		usleep(1000);
	assert_true(watcher() > 0);
	assert_true(getsid(watcher()) != getsid(0));
	usleep(100000);
	assert_int_equal(count_descriptors(watcher()), 2); /* the pipe and stderr */
	assert_int_equal(write(fd, "!", 1), 1);
	close(fd);
	assert_true(wait_for_end(1) < 1);
	assert_string_equal(said(), "");
}

static void test_closed(void **state)
{
	char want[128];
	int fd = hello_start("some/program");

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	wait_for_end(1);
	snprintf(want, sizeof(want),
		 "tapsrun: the shim did not load into some/program (pid %d): nothing is intercepted\n",
		 (int)getpid());
	assert_string_equal(said(), want);
}

/* Nothing comes: it speaks after five seconds.  A byte after that harms nobody. */
static void test_silence(void **state)
{
	int fd = hello_start("slow");
	double begin = now();

	(void)state;
	assert_true(fd >= 0);
	usleep(3500000);
	assert_string_equal(said(), "");
	wait_for_end(4);
	assert_true(now() - begin >= 4.9);
	assert_non_null(strstr(said(), "did not load into slow"));
	signal(SIGPIPE, SIG_DFL);
	assert_int_equal(write(fd, "!", 1), 1);
	close(fd);
}

static void test_cancel(void **state)
{
	int fd = hello_start("program");

	(void)state;
	assert_true(fd >= 0);
	hello_cancel(fd);
	wait_for_end(1);
	assert_string_equal(said(), "");
	hello_cancel(-1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_hello, divert, restore),
		cmocka_unit_test_setup_teardown(test_closed, divert, restore),
		cmocka_unit_test_setup_teardown(test_silence, divert, restore),
		cmocka_unit_test_setup_teardown(test_cancel, divert, restore),
	};

	alarm(60);
	snprintf(path, sizeof(path), "/tmp/hello-test-%d", (int)getpid());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
