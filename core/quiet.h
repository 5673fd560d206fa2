/* A stretch in which no signal handler runs on the calling thread and it is not cancelled: while it holds a
 * lock that a handler's call would ask for again, or forks for us. */
#ifndef TAPS_CORE_QUIET_H
#define TAPS_CORE_QUIET_H

#include <signal.h>
#include <stdbool.h>

struct quiet {
	sigset_t mask; /* as it was */
	int cancel;
	bool shown;    /* quiet.c's */
};

/* pthread_sigmask(3) of everything but the signal `but` (0: of all), pthread_setcancelstate(3).  Stretches
 * nest; each is ended by its own thread, or by that thread in the child of fork(2). */
void quiet_begin(struct quiet *ret, int but);
void quiet_end(const struct quiet *quiet);

/* Does the application's first thread block SIGCHLD (proc(5), SigBlk)?  A quiet stretch of ours is not taken
 * for the application's doing.  Any thread; true where it cannot be known. */
bool quiet_is_child_blocked(void);

/* pthread_atfork(3): the caller is the child's first thread. */
void quiet_fork_child(void);

#endif
