/* Quiet stretches, and what the first thread's signal mask is beside them. */
#include "core/quiet.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOOKS 1000 /* at a mask that is being changed */

/* What the first thread's mask says of SIGCHLD where it is not in force, with a count of its changes. */
enum { NOTHING, SOON, LET, BLOCKED, CHANGE };

static _Atomic unsigned shown;
static __thread enum { UNKNOWN, FIRST, LATER } rank;

static bool is_first(void)
{
	if (rank == UNKNOWN)
		rank = syscall(SYS_gettid) == getpid() ? FIRST : LATER;
	return rank == FIRST;
}

static unsigned look(void)
{
	return atomic_load(&shown) % CHANGE;
}

/* By the first thread only. */
static void show(unsigned what)
{
	unsigned was = atomic_load(&shown);

	atomic_store(&shown, was - was % CHANGE + CHANGE + what);
}

void quiet_begin(struct quiet *ret, int but)
{
	sigset_t all;

	sigfillset(&all);
	if (but)
		sigdelset(&all, but);
	ret->shown = is_first() && look() == NOTHING;
	if (ret->shown)
		show(SOON);
	pthread_sigmask(SIG_SETMASK, &all, &ret->mask);
	if (ret->shown)
		show(sigismember(&ret->mask, SIGCHLD) ? BLOCKED : LET);
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &ret->cancel);
}

void quiet_end(const struct quiet *quiet)
{
	int cancel = quiet->cancel;

	pthread_setcancelstate(cancel, &cancel);
	pthread_sigmask(SIG_SETMASK, &quiet->mask, NULL);
	if (quiet->shown)
		show(NOTHING);
}

static bool is_blocked_now(void)
{
	int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	char text[4096];
	const char *line;
	ssize_t n;

	if (fd < 0)
		return true;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n < 0 ? 0 : n] = 0;
	line = strstr(text, "\nSigBlk:");
	return !line || (strtoull(line + sizeof("\nSigBlk:") - 1, NULL, 16) >> (SIGCHLD - 1) & 1);
}

bool quiet_is_child_blocked(void)
{
	bool blocked = true;
	unsigned before;
	int i;

	for (i = 0; i < LOOKS; i++) {
		before = atomic_load(&shown);
		if (before % CHANGE == LET || before % CHANGE == BLOCKED)
			return before % CHANGE == BLOCKED;
		blocked = is_blocked_now();
		/* What blocked it may have been a stretch that came meanwhile. */
		if (!blocked || (before % CHANGE == NOTHING && atomic_load(&shown) == before))
			return blocked;
		sched_yield();
	}
	return blocked;
}

void quiet_fork_child(void)
{
	rank = FIRST;
	atomic_store(&shown, NOTHING);
}
