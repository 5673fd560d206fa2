/* Quiet stretches. */
#include "core/quiet.h"

#include <pthread.h>

void quiet_begin(struct quiet *ret)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &ret->mask);
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &ret->cancel);
}

void quiet_end(const struct quiet *quiet)
{
	int cancel = quiet->cancel;

	pthread_setcancelstate(cancel, &cancel);
	pthread_sigmask(SIG_SETMASK, &quiet->mask, NULL);
}
