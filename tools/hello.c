/* The watcher.
 *
 * tapsrun turns into the program, so whoever watches must be another process, and one that the program
 * cannot notice: it is forked twice (its parent is then init), has a session of its own, and holds
 * nothing but the pipe and stderr. */
#include "tools/hello.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_MS 5000 /* a program on a busy machine; one that ends sooner is seen at once */

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

/* Forks without a signal for the end: SIGCHLD could stay pending in the program (clone(2)). */
static pid_t fork_silently(void)
{
	return (pid_t)syscall(SYS_clone, 0L, 0L, 0L, 0L, 0L);
}

static int start_watcher(const struct watch *w)
{
	pid_t pid = fork_silently();

	if (pid < 0)
		return -errno;
	if (pid == 0) {
		setsid();
		if (fork_silently() == 0)
			watch(w);
		_exit(0);
	}
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

/* A program that starts slowly may find the watcher gone; the write must not cost it a SIGPIPE.  An end
 * that is open for both is a reader too. */
static int open_for_both(int fd)
{
	char path[32];
	int both;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	both = open(path, O_RDWR | O_CLOEXEC);
	if (both < 0)
		return fd;
	close(fd);
	return both;
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
	end[1] = move_up(open_for_both(end[1]), F_DUPFD);
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
