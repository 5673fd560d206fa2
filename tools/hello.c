/* The watcher.
 *
 * tapsrun turns into the program, so whoever watches must be another process, and one that the program
 * cannot notice: it is forked twice (its parent is then init), has a session of its own, and holds
 * nothing but the pipe and stderr.  The intermediate borrows tapsrun's memory (vfork(2)'s manner), which
 * spares one copy of the page tables, and ends without a signal. */
#include "tools/hello.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_MS 2000
#define STACK_SIZE 65536

struct watch {
	const char *program;
	pid_t pid;
	int read_fd;
};

static void let_go_of_descriptors(int read_fd)
{
	if (read_fd != STDIN_FILENO)
		dup2(read_fd, STDIN_FILENO);
	close(STDOUT_FILENO);
	close_range(STDERR_FILENO + 1, ~0u, 0);
	if (chdir("/") < 0)
		_exit(1);
}

/* Runs in the watcher; never returns. */
static void watch(const struct watch *w)
{
	struct pollfd wait_for = { .fd = STDIN_FILENO, .events = POLLIN };
	char byte, line[512];
	int n;

	let_go_of_descriptors(w->read_fd);
	while (poll(&wait_for, 1, PATIENCE_MS) < 0 && errno == EINTR)
		continue;
	if ((wait_for.revents & POLLIN) && read(STDIN_FILENO, &byte, 1) == 1)
		_exit(0);
	n = snprintf(line, sizeof(line),
		     "tapsrun: the shim did not load into %.200s (pid %d): nothing is intercepted\n",
		     w->program, (int)w->pid);
	n = (int)write(STDERR_FILENO, line, (size_t)n);
	_exit(n < 0);
}

static int intermediate(void *arg)
{
	setsid();
	if (fork() == 0)
		watch(arg);
	_exit(0);
}

static int start_watcher(struct watch *w)
{
	static char stack[STACK_SIZE] __attribute__((aligned(16)));
	pid_t pid = clone(intermediate, stack + STACK_SIZE, CLONE_VM | CLONE_VFORK, w);

	if (pid < 0)
		return -errno;
	while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
		continue;
	return 0;
}

/* An orphan would come to the program itself, if that is init or has said that it takes them. */
static bool would_inherit_orphans(void)
{
	int subreaper = 0;

	return getpid() == 1 || (prctl(PR_GET_CHILD_SUBREAPER, &subreaper, 0, 0, 0) == 0 && subreaper);
}

/* Out of the way of the numbers that programs use, and of stdio's even where that is closed. */
static int move_up(int fd, int command)
{
	struct rlimit limit = { 0 };
	int high = 3, moved;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur > 16)
		high = limit.rlim_cur < 1024 ? (int)limit.rlim_cur - 8 : 1000;
	moved = fcntl(fd, command, high);
	if (moved < 0)
		moved = -errno;
	close(fd);
	return moved;
}

static int announce(int fd)
{
	char text[64];
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	snprintf(text, sizeof(text), "%d:%llu", fd, (unsigned long long)st.st_ino);
	return setenv("TAPS_HELLO", text, 1) < 0 ? -ENOMEM : 0;
}

int hello_start(const char *program)
{
	struct watch w = { .program = program, .pid = getpid() };
	int end[2], r;

	unsetenv("TAPS_HELLO");
	if (would_inherit_orphans())
		return -ECHILD;
	if (pipe2(end, O_CLOEXEC) < 0)
		return -errno;
	w.read_fd = move_up(end[0], F_DUPFD_CLOEXEC);
	end[1] = move_up(end[1], F_DUPFD);
	r = w.read_fd < 0 ? w.read_fd : end[1] < 0 ? end[1] : announce(end[1]);
	if (r == 0)
		r = start_watcher(&w);
	if (w.read_fd >= 0)
		close(w.read_fd);
	if (r == 0)
		return end[1];
	unsetenv("TAPS_HELLO");
	if (end[1] >= 0)
		close(end[1]);
	return r;
}

void hello_cancel(int fd)
{
	if (fd >= 0 && write(fd, "", 1) == 1)
		close(fd);
}
