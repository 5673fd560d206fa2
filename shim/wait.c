/* Waiting.  The placeholder makes the kernel itself say "not ready" while a race goes on; epoll sets
 * are re-armed at the replacement.  poll(2) and select(2) sleep on the file that was there when they
 * began, so after a replacement they are made to look again: the placeholder's far end is closed,
 * which wakes every sleeper, and the loops here ask anew. */
#include "shim/real.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "shim/epollset.h"
#include "shim/fdtab.h"
#include "shim/load.h"

static int64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

/* A wait's time: for ever, or up to an end. */
struct patience {
	bool forever;
	int64_t end;
};

static struct patience patience_from(const struct timespec *timeout)
{
	if (!timeout)
		return (struct patience){.forever = true};
	return (struct patience){.end = now() + timeout->tv_sec * INT64_C(1000000000) + timeout->tv_nsec};
}

/* At most `longest` nanoseconds of what is left; 0 is no limit. */
static const struct timespec *remaining(const struct patience *patience, int64_t longest,
					struct timespec *ret)
{
	int64_t left = longest;

	if (patience->forever && longest == 0)
		return NULL;
	if (!patience->forever) {
		left = patience->end - now();
		left = left < 0 ? 0 : longest && longest < left ? longest : left;
	}
	*ret = (struct timespec){.tv_sec = left / 1000000000, .tv_nsec = left % 1000000000};
	return ret;
}

static bool is_over(const struct patience *patience)
{
	return !patience->forever && now() >= patience->end;
}

static bool is_valid(const struct timespec *ts)
{
	return !ts || (ts->tv_sec >= 0 && ts->tv_nsec >= 0 && ts->tv_nsec < 1000000000 &&
		       ts->tv_sec < INT_MAX);
}

#define WATCHED (SLOT_CONNECTING | SLOT_LAYERED)
#define READABLE (POLLIN | POLLRDNORM)

static bool any_watched(const struct pollfd *fds, nfds_t n)
{
	nfds_t i;

	for (i = 0; i < n; i++)
		if (fdtab_has(fds[i].fd, WATCHED))
			return true;
	return false;
}

/* The kernel sees bytes of a layered descriptor; are any of them the application's? */
static bool is_readable(int fd)
{
	struct slot *slot = slot_get(fd);
	int saved = errno;
	bool yes;

	if (!slot)
		return true;
	yes = !(slot_flags(slot) & SLOT_LAYERED) || load_core_if_open()->readable(&slot->pub, fd);
	slot_put(slot);
	errno = saved;
	return yes;
}

/* Takes "readable" back where it is not true.  Returns how many descriptors have something left to say. */
static int filter_poll(struct pollfd *fds, nfds_t n)
{
	int count = 0;
	nfds_t i;

	for (i = 0; i < n; i++) {
		if ((fds[i].revents & READABLE) && fdtab_has(fds[i].fd, SLOT_LAYERED) &&
		    !is_readable(fds[i].fd))
			fds[i].revents &= (short)~(READABLE | POLLRDBAND | POLLPRI);
		count += fds[i].revents != 0;
	}
	return count;
}

static unsigned connecting_fds(const struct pollfd *fds, nfds_t n)
{
	unsigned count = 0;
	nfds_t i;

	for (i = 0; i < n; i++)
		count += fdtab_has(fds[i].fd, SLOT_CONNECTING);
	return count;
}

/* The kernel, woken at a replacement, looks at the file that is under the number by then; if that has nothing
 * to say it sleeps on, at the old file.  So it is asked for "writable" too, which a placeholder never is and
 * a connected socket always; and should the application's own file be back, it looks again after a while. */
#define LOOK_AGAIN_NS 1000000000

/* Adds "writable" to what is asked of connecting descriptors, and takes it back.  `added` has a bit for
 * each. */
static void ask_writable(struct pollfd *fds, nfds_t n, unsigned char *added)
{
	nfds_t i;

	for (i = 0; i < n; i++) {
		if ((fds[i].events & POLLOUT) || !fdtab_has(fds[i].fd, SLOT_CONNECTING))
			continue;
		fds[i].events |= POLLOUT;
		added[i / 8] |= (unsigned char)(1u << i % 8);
	}
}

static void ask_no_more(struct pollfd *fds, nfds_t n, const unsigned char *added)
{
	nfds_t i;

	for (i = 0; i < n; i++)
		if (added[i / 8] & (1u << i % 8)) {
			fds[i].events &= (short)~POLLOUT;
			fds[i].revents &= (short)~POLLOUT;
		}
}

/* The kernel's poll(2), awake again when a race ends; what it says may then be about the placeholder.  With
 * `longest` (ns) no longer than that.  Returns as ppoll(2); *ret_over says whether a race ended. */
static int sleep_poll(struct pollfd *fds, nfds_t n, const struct patience *patience, const sigset_t *mask,
		      bool *ret_over)
{
	unsigned before = connecting_fds(fds, n);
	unsigned char added[before ? n / 8 + 1 : 1];
	struct timespec left;
	int result, error;

	if (before) {
		memset(added, 0, sizeof(added));
		ask_writable(fds, n, added);
	}
	result = real.ppoll(fds, n, remaining(patience, before ? LOOK_AGAIN_NS : 0, &left), mask);
	error = errno;
	if (before)
		ask_no_more(fds, n, added);
	/* A race that is just ending is let end. */
	fdtab_lock();
	fdtab_unlock();
	*ret_over = before && connecting_fds(fds, n) != before;
	errno = error;
	return result;
}

static int patient_poll(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask)
{
	struct patience patience = patience_from(timeout);
	static const struct timespec at_once;

	for (;;) {
		bool over;
		int result = sleep_poll(fds, n, &patience, mask, &over);

		if (result > 0 && over)
			result = real.ppoll(fds, n, &at_once, NULL);
		if (result > 0)
			result = filter_poll(fds, n);
		if (result != 0 || is_over(&patience))
			return result;
	}
}

int hook_poll(struct pollfd *fds, nfds_t n, int timeout)
{
	struct timespec ts = {.tv_sec = timeout / 1000, .tv_nsec = timeout % 1000 * 1000000L};

	if (!fdtab_any_special() || !any_watched(fds, n))
		return real.poll(fds, n, timeout);
	return patient_poll(fds, n, timeout < 0 ? NULL : &ts, NULL);
}

int hook_ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask)
{
	if (!fdtab_any_special() || !is_valid(timeout) || !any_watched(fds, n))
		return real.ppoll(fds, n, timeout, mask);
	return patient_poll(fds, n, timeout, mask);
}

int hook___poll_chk(struct pollfd *fds, nfds_t n, int timeout, size_t room)
{
	if (room / sizeof(*fds) < n)
		return real.__poll_chk(fds, n, timeout, room);
	return hook_poll(fds, n, timeout);
}

int hook___ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask,
		     size_t room)
{
	if (room / sizeof(*fds) < n)
		return real.__ppoll_chk(fds, n, timeout, mask, room);
	return hook_ppoll(fds, n, timeout, mask);
}

#define SELECT_SETS 3

struct select_call {
	int n;
	fd_set *set[SELECT_SETS];
	size_t bytes; /* of each set that the kernel reads and writes */
};

static void copy_sets(const struct select_call *call, char *saved, bool save)
{
	int i;

	for (i = 0; i < SELECT_SETS; i++) {
		if (!call->set[i])
			continue;
		if (save)
			memcpy(saved + (size_t)i * call->bytes, call->set[i], call->bytes);
		else
			memcpy(call->set[i], saved + (size_t)i * call->bytes, call->bytes);
	}
}

static int filter_select(const struct select_call *call)
{
	int fd, removed = 0;

	for (fd = 0; call->set[0] && fd < call->n; fd++) {
		fd_mask bit = (fd_mask)1 << (fd % NFDBITS), *word = &call->set[0]->fds_bits[fd / NFDBITS];

		if (!(*word & bit) || !fdtab_has(fd, SLOT_LAYERED) || is_readable(fd))
			continue;
		*word &= ~bit;
		removed++;
	}
	return removed;
}

static bool is_selected(const struct select_call *call, int fd)
{
	int i;

	for (i = 0; i < SELECT_SETS; i++)
		if (call->set[i] && (call->set[i]->fds_bits[fd / NFDBITS] & (1L << (fd % NFDBITS))))
			return true;
	return false;
}

static bool any_selected(const struct select_call *call)
{
	int fd;

	for (fd = 0; fd < call->n; fd++)
		if (fdtab_has(fd, WATCHED) && is_selected(call, fd))
			return true;
	return false;
}

/* As ask_writable().  Returns whether any descriptor is connecting. */
static bool select_writable(const struct select_call *call, fd_set *out)
{
	bool any = false;
	int fd;

	if (call->set[1])
		memcpy(out, call->set[1], call->bytes);
	else
		memset(out, 0, call->bytes);
	for (fd = 0; fd < call->n; fd++) {
		if (!fdtab_has(fd, SLOT_CONNECTING) || !is_selected(call, fd))
			continue;
		out->fds_bits[fd / NFDBITS] |= 1L << (fd % NFDBITS);
		any = true;
	}
	return any;
}

static int patient_select(const struct select_call *call, const struct timespec *timeout,
			  const sigset_t *mask)
{
	struct patience patience = patience_from(timeout);
	static const struct timespec at_once;
	char saved[SELECT_SETS * call->bytes], wide[call->bytes] __attribute__((aligned(sizeof(fd_mask))));
	struct timespec left;

	copy_sets(call, saved, true);
	for (;;) {
		fd_set *out = (fd_set *)(void *)wide;
		bool connecting = select_writable(call, out);
		int result = real.pselect(call->n, call->set[0], out, call->set[2],
					  remaining(&patience, connecting ? LOOK_AGAIN_NS : 0, &left), mask);

		if (result < 0)
			return result;
		fdtab_lock();
		fdtab_unlock();
		copy_sets(call, saved, false);
		if (result > 0 || is_over(&patience)) {
			result = real.pselect(call->n, call->set[0], call->set[1], call->set[2], &at_once,
					      NULL);
			result -= result > 0 ? filter_select(call) : 0;
		}
		if (result != 0 || is_over(&patience))
			return result;
		copy_sets(call, saved, false);
	}
}

static struct select_call select_call(int n, fd_set *in, fd_set *out, fd_set *except)
{
	size_t words = n > 0 ? ((size_t)n + NFDBITS - 1) / NFDBITS : 0;

	return (struct select_call){n, {in, out, except}, words * sizeof(fd_mask)};
}

/* select(2) on Linux leaves in *timeout what was not slept. */
static void leave_rest(struct timeval *timeout, int64_t end)
{
	int64_t left = end - now();

	if (left < 0)
		left = 0;
	timeout->tv_sec = left / 1000000000;
	timeout->tv_usec = left % 1000000000 / 1000;
}

int hook_select(int n, fd_set *in, fd_set *out, fd_set *except, struct timeval *timeout)
{
	struct select_call call = select_call(n, in, out, except);
	struct timespec ts;
	int64_t end;
	int result;

	if (!fdtab_any_special() || !any_selected(&call))
		return real.select(n, in, out, except, timeout);
	if (!timeout)
		return patient_select(&call, NULL, NULL);
	ts = (struct timespec){timeout->tv_sec + timeout->tv_usec / 1000000,
			       timeout->tv_usec % 1000000 * 1000};
	if (!is_valid(&ts))
		return real.select(n, in, out, except, timeout);
	end = now() + ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
	result = patient_select(&call, &ts, NULL);
	leave_rest(timeout, end);
	return result;
}

int hook_pselect(int n, fd_set *in, fd_set *out, fd_set *except, const struct timespec *timeout,
		 const sigset_t *mask)
{
	struct select_call call = select_call(n, in, out, except);

	if (!fdtab_any_special() || !is_valid(timeout) || !any_selected(&call))
		return real.pselect(n, in, out, except, timeout, mask);
	return patient_select(&call, timeout, mask);
}

int hook_epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
	struct slot *slot = fdtab_peek(fd);
	int result;

	if (!slot)
		return real.epoll_ctl(epfd, op, fd, event);
	if ((slot_flags(slot) & (SLOT_PLAIN | SLOT_SPECIAL)) == SLOT_PLAIN) {
		/* The kernel's alone: should it be raced again, its registrations are asked for. */
		slot->regs_unknown = true;
		return real.epoll_ctl(epfd, op, fd, event);
	}
	slot = slot_get(fd);
	if (!slot)
		return real.epoll_ctl(epfd, op, fd, event);
	/* In one piece with the record: a replacement between the two would lose the registration. */
	fdtab_lock();
	result = real.epoll_ctl(epfd, op, fd, event);
	if (result == 0)
		epollset_note(slot, epfd, op, fd, event);
	fdtab_unlock();
	slot_put(slot);
	return result;
}

/* Takes "readable" back from what epoll reports of layered descriptors; an event with nothing left is
 * dropped, and a one-shot registration that it used up is armed again.  Returns how many events remain. */
static int filter_epoll(int epfd, struct epoll_event *events, int n)
{
	int i, kept = 0;

	for (i = 0; i < n; i++) {
		struct epoll_event armed;
		int fd = events[i].events & EPOLLIN ? epollset_find(epfd, events[i].data.u64, &armed) : -1;

		if (fd >= 0 && fdtab_has(fd, SLOT_LAYERED) && !is_readable(fd)) {
			events[i].events &= ~(uint32_t)(EPOLLIN | EPOLLRDNORM);
			if (!events[i].events && (armed.events & EPOLLONESHOT))
				real.epoll_ctl(epfd, EPOLL_CTL_MOD, fd, &armed);
		}
		if (events[i].events)
			events[kept++] = events[i];
	}
	return kept;
}

/* Are these events that the kernel may report too early?  They count as delivered. */
static bool in_doubt(int n)
{
	if (n <= 0)
		return false;
	epollset_delivered();
	return fdtab_any_special();
}

/* Waits again, for the rest of the time, while all that came is not for the application. */
static int patient_epoll(int epfd, struct epoll_event *events, int max, const struct timespec *timeout,
			 const sigset_t *mask)
{
	struct patience patience = patience_from(timeout);
	struct timespec left;

	for (;;) {
		int n = real.epoll_pwait2(epfd, events, max, remaining(&patience, 0, &left), mask);

		if (!in_doubt(n))
			return n;
		n = filter_epoll(epfd, events, n);
		if (n > 0 || is_over(&patience))
			return n;
	}
}

/* The process's first layered connection may have become so during the wait, which knew of none. */
static int first_layered(int epfd, struct epoll_event *events, int n, int max, const struct timespec *timeout,
			 const sigset_t *mask)
{
	fdtab_lock();
	fdtab_unlock();
	if (!epollset_layered())
		return n;
	n = filter_epoll(epfd, events, n);
	return n > 0 ? n : patient_epoll(epfd, events, max, timeout, mask);
}

static const struct timespec *from_ms(int timeout, struct timespec *ts)
{
	*ts = (struct timespec){.tv_sec = timeout / 1000, .tv_nsec = timeout % 1000 * 1000000L};
	return timeout < 0 ? NULL : ts;
}

int hook_epoll_wait(int epfd, struct epoll_event *events, int max, int timeout)
{
	struct timespec ts;
	int n;

	if (epollset_layered())
		return patient_epoll(epfd, events, max, from_ms(timeout, &ts), NULL);
	n = real.epoll_wait(epfd, events, max, timeout);
	return in_doubt(n) ? first_layered(epfd, events, n, max, from_ms(timeout, &ts), NULL) : n;
}

int hook_epoll_pwait(int epfd, struct epoll_event *events, int max, int timeout, const sigset_t *mask)
{
	struct timespec ts;
	int n;

	if (epollset_layered())
		return patient_epoll(epfd, events, max, from_ms(timeout, &ts), mask);
	n = real.epoll_pwait(epfd, events, max, timeout, mask);
	return in_doubt(n) ? first_layered(epfd, events, n, max, from_ms(timeout, &ts), mask) : n;
}

int hook_epoll_pwait2(int epfd, struct epoll_event *events, int max, const struct timespec *timeout,
		      const sigset_t *mask)
{
	int n;

	if (epollset_layered() && is_valid(timeout))
		return patient_epoll(epfd, events, max, timeout, mask);
	n = real.epoll_pwait2(epfd, events, max, timeout, mask);
	return in_doubt(n) ? first_layered(epfd, events, n, max, timeout, mask) : n;
}
