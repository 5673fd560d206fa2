/* Counts how often the program's threads enter the kernel to wait, in whatever way: linked behind the program
 * and before the C library, it sees the calls that a preloaded object makes as well as the program's own. */
#include <dlfcn.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>

static _Thread_local unsigned long waits;

unsigned long counted_waits(void);

unsigned long counted_waits(void)
{
	return waits;
}

#define COUNTED(name, params, args) \
	int name params \
	{ \
		static int(*next) params; \
		if (!next) \
			next = (int(*) params)dlsym(RTLD_NEXT, #name); \
		waits++; \
		return next args; \
	}

COUNTED(poll, (struct pollfd *fds, nfds_t n, int timeout), (fds, n, timeout))
COUNTED(ppoll, (struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask),
	(fds, n, timeout, mask))
COUNTED(select, (int n, fd_set *in, fd_set *out, fd_set *except, struct timeval *timeout),
	(n, in, out, except, timeout))
COUNTED(pselect, (int n, fd_set *in, fd_set *out, fd_set *except, const struct timespec *timeout,
		  const sigset_t *mask), (n, in, out, except, timeout, mask))
COUNTED(epoll_wait, (int epfd, struct epoll_event *events, int max, int timeout),
	(epfd, events, max, timeout))
COUNTED(epoll_pwait, (int epfd, struct epoll_event *events, int max, int timeout, const sigset_t *mask),
	(epfd, events, max, timeout, mask))
COUNTED(epoll_pwait2, (int epfd, struct epoll_event *events, int max, const struct timespec *timeout,
		       const sigset_t *mask), (epfd, events, max, timeout, mask))
