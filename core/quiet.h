/* A stretch in which no signal handler runs on the calling thread and it is not cancelled: while it holds a
 * lock that a handler's call would ask for again, or forks for us. */
#ifndef TAPS_CORE_QUIET_H
#define TAPS_CORE_QUIET_H

#include <signal.h>

struct quiet {
	sigset_t mask; /* as it was */
	int cancel;
};

/* pthread_sigmask(3) of everything, pthread_setcancelstate(3).  Stretches nest; each is ended by its own
 * thread, or by that thread in the child of fork(2). */
void quiet_begin(struct quiet *ret);
void quiet_end(const struct quiet *quiet);

#endif
