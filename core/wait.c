/* Waiting on the calling thread. */
#include "core/wait.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/time.h>
#include <time.h>

#include "core/host.h"

int wait_fds(struct pollfd *fds, unsigned n, int64_t end, int64_t now)
{
	struct timespec ts, *timeout = NULL;
	int result;

	if (end != INT64_MAX) {
		int64_t left = end > now ? end - now : 0;

		ts = (struct timespec){left / NS_PER_S, left % NS_PER_S};
		timeout = &ts;
	}
	taps_host->leave();
	result = taps_host->ppoll(fds, n, timeout, NULL) < 0 ? -errno : 0;
	taps_host->enter();
	return result;
}

int64_t wait_limit(int fd, int option, int64_t now)
{
	struct timeval limit = {0};
	socklen_t len = sizeof(limit);

	if (taps_host->getsockopt(fd, SOL_SOCKET, option, &limit, &len) != 0 ||
	    (limit.tv_sec == 0 && limit.tv_usec == 0))
		return INT64_MAX;
	return now + limit.tv_sec * NS_PER_S + limit.tv_usec * 1000;
}

/* Raised by the program's own faults, not while it waits. */
static bool is_fault(int sig)
{
	return sig == SIGSEGV || sig == SIGBUS || sig == SIGFPE || sig == SIGILL || sig == SIGTRAP ||
	       sig == SIGABRT;
}

/* poll(2) cannot tell which handler ran, so: is there one that does not restart? */
bool wait_interrupted(bool timed)
{
	struct sigaction action;
	int sig;

	if (timed)
		return true;
	for (sig = 1; sig < NSIG; sig++) {
		if (is_fault(sig) || sig == SIGKILL || sig == SIGSTOP || sigaction(sig, NULL, &action) != 0)
			continue;
		if (action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN &&
		    !(action.sa_flags & SA_RESTART))
			return true;
	}
	return false;
}

void wait_say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	taps_host->log(TAPS_LOG_SAY, format, args);
	va_end(args);
}
