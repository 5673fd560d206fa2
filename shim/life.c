/* Births, duplicates and deaths of descriptors.
 *
 * Every call that makes a descriptor throws out what the table still has under its number:
 * descriptors are also closed behind the shim's back (libuv by a bare system call, stdio inside
 * libc). */
#include "shim/real.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <netinet/in.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shim/epollset.h"
#include "shim/fdtab.h"
#include "shim/flight.h"
#include "shim/life.h"
#include "shim/load.h"
#include "shim/open.h"

static bool is_managed_kind(int domain, int type, int protocol)
{
	if (domain != AF_INET && domain != AF_INET6)
		return false;
	if (type == SOCK_STREAM)
		return protocol == 0 || protocol == IPPROTO_TCP;
	return type == SOCK_DGRAM && (protocol == 0 || protocol == IPPROTO_UDP);
}

int hook_socket(int domain, int type, int protocol)
{
	int fd = real.socket(domain, type, protocol);
	int kind = type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return fd;
	if (is_managed_kind(domain, kind, protocol))
		fdtab_new(fd, domain, kind, protocol);
	else
		fdtab_drop(fd);
	return fd;
}

int hook_socketpair(int domain, int type, int protocol, int fds[2])
{
	int result = real.socketpair(domain, type, protocol, fds);

	if (result == 0) {
		fdtab_drop(fds[0]);
		fdtab_drop(fds[1]);
	}
	return result;
}

/* What a listener under a securing rule accepted becomes a slot of its own, or is closed: it is never the
 * application's in clear. */
static int accepted_secured(struct slot *listener, int made)
{
	struct slot *slot = NULL;
	int result = -ENOMEM;

	if (fdtab_new(made, listener->pub.domain, listener->pub.type, listener->pub.protocol))
		slot = slot_get(made);
	if (slot) {
		result = load_core_if_open()->accepted(&listener->pub, &slot->pub, made);
		slot_put(slot);
	}
	if (result >= 0)
		return made;
	fdtab_drop(made);
	real.close(made);
	errno = ECONNABORTED;
	return -1;
}

static int accepted(int fd, int made, bool survives)
{
	struct slot *listener;
	int saved = errno;

	if (made < 0)
		return made;
	fdtab_drop(made);
	listener = fdtab_has(fd, SLOT_LISTENING) ? slot_get(fd) : NULL;
	if (!listener)
		return made;
	made = accepted_secured(listener, made);
	slot_put(listener);
	if (made < 0)
		return made;
	fdtab_lock();
	if (survives)
		hook_fcntl(made, F_SETFD, 0);
	fdtab_unlock();
	errno = saved;
	return made;
}

/* What is to be secured is no other program's from its first moment on (fdtab_seal). */
static int accept_closed(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
	int made = real.accept4(fd, addr, len, flags | SOCK_CLOEXEC);

	return accepted(fd, made, !(flags & SOCK_CLOEXEC));
}

/* The slot of a listener, or nothing that any rule speaks of. */
static bool may_accept(int fd)
{
	return fdtab_peek(fd) || load_inside() || open_may_accept(fd);
}

int hook_accept(int fd, struct sockaddr *addr, socklen_t *len)
{
	if (!may_accept(fd))
		return -1;
	if (fdtab_has(fd, SLOT_LISTENING))
		return accept_closed(fd, addr, len, 0);
	return accepted(fd, real.accept(fd, addr, len), false);
}

int hook_accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
	if (!may_accept(fd))
		return -1;
	if (fdtab_has(fd, SLOT_LISTENING))
		return accept_closed(fd, addr, len, flags);
	return accepted(fd, real.accept4(fd, addr, len, flags), false);
}

/* The last descriptor of a layered connection says goodbye before it goes. */
static void life_ending(int fd, bool parting)
{
	struct slot *slot = fdtab_borrowed() ? NULL : slot_get(fd);
	int saved = errno;

	if (!slot)
		return;
	load_enter();
	if (fdtab_is_last(slot, fd)) {
		load_core_if_open()->ending(&slot->pub, fd, parting);
		/* Where the core stays with the connection, the kernel would not do it. */
		if (!parting)
			epollset_leave(slot, fd);
	}
	load_leave();
	slot_put(slot);
	errno = saved;
}

/* Nothing can be written to it: a descriptor of no file (open(2), O_PATH).  -1 if there is none. */
static int blank(void)
{
	static _Atomic int made = -1;
	int fd = atomic_load(&made), none = -1;

	if (fd >= 0)
		return fd;
	fd = (int)kernel_call(SYS_openat, AT_FDCWD, (long)"/", O_PATH | O_CLOEXEC, 0, 0, 0);
	fd = fd < 0 ? -1 : load_keep(fd);
	if (fd < 0 || atomic_compare_exchange_strong(&made, &none, fd))
		return fd;
	load_drop(fd);
	return none;
}

/* A descriptor of a secured connection is about to be closed: between the moment that the table forgets it
 * and the kernel's close(2), what another thread sends on it must not go there. */
static void make_blank(int fd)
{
	int saved = errno, from = fdtab_borrowed() ? -1 : blank();

	if (from >= 0)
		real.dup3(from, fd, O_CLOEXEC);
	errno = saved;
}

static void end_one(int fd, bool parting)
{
	if (fdtab_has(fd, SLOT_LAYERED))
		life_ending(fd, parting);
	if (!parting && fdtab_has(fd, SLOT_SEALED))
		make_blank(fd);
}

static void end_range(unsigned first, unsigned last, bool parting)
{
	unsigned limit = FDTAB_PAGES * FDTAB_PAGE - 1, fd;

	if (!atomic_load(&fdtab_special))
		return;
	for (fd = first; fd <= last && fd <= limit; fd++) {
		if (!atomic_load(&fdtab_pages[fd >> FDTAB_PAGE_BITS]))
			fd |= FDTAB_PAGE - 1;
		else if (fdtab_has((int)fd, SLOT_SEALED))
			end_one((int)fd, parting);
	}
}

void life_end_all(void)
{
	const struct taps_core *core = load_core_if_open();

	/* The core's own processes have nothing to end, and hold its locks. */
	if (!core || fdtab_borrowed() || load_inside())
		return;
	end_range(0, ~0u, true);
	load_enter();
	core->parting();
	load_leave();
}

/* The product's own descriptors are not the application's: to it they are closed. */
static int not_yours(void)
{
	errno = EBADF;
	return -1;
}

int hook_close(int fd)
{
	struct slot *slot = fdtab_peek(fd);

	if (__builtin_expect(slot == NULL, 1))
		return real.close(fd);
	if (slot == &fdtab_own)
		return not_yours();
	if (fdtab_has(fd, SLOT_SEALED))
		end_one(fd, false);
	fdtab_drop(fd);
	return real.close(fd);
}

/* Calls on(first, last) for each stretch without a descriptor of our own. */
static int each_stretch(unsigned first, unsigned last, int flags,
			int (*on)(unsigned first, unsigned last, int flags))
{
	int own;

	while (first <= last && (own = fdtab_next_own(first, last)) >= 0) {
		if ((unsigned)own > first && on(first, (unsigned)own - 1, flags) != 0)
			return -1;
		first = (unsigned)own + 1;
	}
	return first <= last ? on(first, last, flags) : 0;
}

static int close_stretch(unsigned first, unsigned last, int flags)
{
	return real.close_range(first, last, flags);
}

int hook_close_range(unsigned int first, unsigned int last, int flags)
{
	if (first > last || (flags & ~(CLOSE_RANGE_CLOEXEC | CLOSE_RANGE_UNSHARE)))
		return real.close_range(first, last, flags);
	if (!(flags & CLOSE_RANGE_CLOEXEC)) {
		end_range(first, last, false);
		fdtab_drop_range(first, last);
	}
	return each_stretch(first, last, flags, close_stretch);
}

void hook_closefrom(int first)
{
	unsigned from = first < 0 ? 0 : (unsigned)first;

	end_range(from, ~0u, false);
	fdtab_drop_range(from, ~0u);
	if (fdtab_next_own(from, ~0u) < 0 || each_stretch(from, ~0u, 0, close_stretch) != 0)
		real.closefrom(first);
}

bool life_escape(int fd)
{
	struct slot *slot;
	int saved = errno, result = -EIO;

	/* The memory is another process's: no relay can be put into it. */
	if (fdtab_borrowed()) {
		errno = EIO;
		return !fdtab_has(fd, SLOT_SEALED);
	}
	slot = slot_get(fd);
	if (!slot)
		return true;
	slot_set_flags(slot, SLOT_RELAY, 0);
	load_enter();
	result = slot_flags(slot) & SLOT_SECURING ? load_core_if_open()->settle(&slot->pub, fd) : 0;
	if (result == 0 && (slot_flags(slot) & SLOT_LAYERED))
		result = load_core_if_open()->escape(&slot->pub, false);
	load_leave();
	slot_put(slot);
	errno = result < 0 ? -result : saved;
	return result >= 0;
}

/* Stdio is behind the first three numbers; and more names than the table follows are nobody's. */
static bool may_duplicate(int fd, int to)
{
	if (!fdtab_has(fd, SLOT_SEALED))
		return true;
	if ((to >= 0 && to <= STDERR_FILENO) || fdtab_borrowed() || fdtab_is_full(fd))
		return life_escape(fd);
	return true;
}

/* A duplicate of a managed descriptor is the same slot. */
static void enter_duplicate(int from, int made)
{
	struct slot *slot = slot_get(from);

	if (!slot || fdtab_borrowed())
		fdtab_drop(made);
	else
		fdtab_alias(slot, made);
	if (slot)
		slot_put(slot);
}

/* Where bytes may get to it that the core does not see, it is a relay's. */
static int checked(int made)
{
	if (!fdtab_has(made, SLOT_SEALED) || (made > STDERR_FILENO && !flight_any(made)) || life_escape(made))
		return made;
	hook_close(made);
	errno = EIO;
	return -1;
}

/* A new number, with the table's entry in one piece: a replacement finds the slot under both or under one. */
static int duplicate(int (*call)(int fd, int cmd, long arg), int fd, int cmd, long arg)
{
	int made;

	if (fdtab_is_own(fd))
		return not_yours();
	if (!may_duplicate(fd, -1))
		return -1;
	if (!fdtab_peek(fd)) {
		made = call(fd, cmd, arg);
		if (made >= 0)
			fdtab_drop(made);
		return made;
	}
	fdtab_lock();
	made = call(fd, cmd, arg);
	if (made >= 0)
		enter_duplicate(fd, made);
	fdtab_unlock();
	return made < 0 ? made : checked(made);
}

static int call_dup(int fd, int cmd, long arg)
{
	(void)cmd;
	(void)arg;
	return real.dup(fd);
}

int hook_dup(int fd)
{
	return duplicate(call_dup, fd, 0, 0);
}

static int kernels_duplicate(int from, int to, int flags, bool three)
{
	return three ? real.dup3(from, to, flags) : real.dup2(from, to);
}

/* With the lock: the number is nobody's in between, and who has to do with it waits.  -EAGAIN where a call is
 * on its way to it that must not get to a connection of the core's. */
static int put_duplicate(int from, int to, int flags, bool three)
{
	int made;

	fdtab_move(to);
	if (fdtab_has(from, SLOT_SEALED) && flight_any(to)) {
		fdtab_move_end(to);
		return -EAGAIN;
	}
	made = kernels_duplicate(from, to, flags, three);
	if (made >= 0)
		enter_duplicate(from, made);
	fdtab_move_end(to);
	return made;
}

#define ASIDE 512 /* a number that nobody waits for */

/* The file that was there is closed without the lock: that may take its time (socket(7), SO_LINGER). */
static int replace(int from, int to, int flags, bool three)
{
	int saved = errno, old = real.fcntl(to, F_DUPFD_CLOEXEC, ASIDE), made, error;

	fdtab_lock();
	made = put_duplicate(from, to, flags, three);
	error = errno;
	fdtab_unlock();
	if (old >= 0)
		real.close(old);
	errno = made < 0 ? error : saved;
	return made;
}

/* The number is freed of its old slot before the kernel puts a new file there. */
static int duplicate_to(int from, int to, int flags, bool three)
{
	int made;

	if (fdtab_is_own(from))
		return not_yours();
	if (!may_duplicate(from, to))
		return -1;
	if (from == to || fdtab_borrowed() || (!fdtab_peek(from) && !fdtab_peek(to)) ||
	    real.fcntl(from, F_GETFD, 0) < 0)
		return kernels_duplicate(from, to, flags, three);
	if (fdtab_is_own(to)) {
		errno = EBUSY;
		return -1;
	}
	if (fdtab_has(to, SLOT_LAYERED))
		life_ending(to, false);
	while ((made = replace(from, to, flags, three)) == -EAGAIN)
		if (!life_escape(from))
			return -1;
	return made < 0 ? made : checked(made);
}

int hook_dup2(int from, int to)
{
	if (!fdtab_peek(from) && !fdtab_peek(to))
		return real.dup2(from, to);
	return duplicate_to(from, to, 0, false);
}

int hook_dup3(int from, int to, int flags)
{
	if (!fdtab_peek(from) && !fdtab_peek(to))
		return real.dup3(from, to, flags);
	return duplicate_to(from, to, flags, true);
}

void life_unblocked(int fd)
{
	struct slot *slot = slot_get(fd);
	int saved = errno;

	if (!slot)
		return;
	load_core_if_open()->unblocked(&slot->pub, fd);
	slot_put(slot);
	errno = saved;
}

/* FD_CLOEXEC of a layered descriptor is kept apart (fdtab_seal). */
static int layered_flags(int fd, int cmd, long arg)
{
	struct slot *slot = slot_get(fd);
	int result = 0;

	if (!slot)
		return real.fcntl(fd, cmd, arg);
	if (cmd == F_SETFD)
		fdtab_set_survives(slot, fd, !(arg & FD_CLOEXEC));
	else
		result = fdtab_survives(slot, fd) ? 0 : FD_CLOEXEC;
	slot_put(slot);
	return result;
}

static int control(int (*call)(int, int, long), int fd, int cmd, long arg)
{
	int made;

	if ((cmd == F_GETFD || cmd == F_SETFD) && fdtab_has(fd, SLOT_SEALED) && !fdtab_borrowed())
		return layered_flags(fd, cmd, arg);

	if (cmd == F_SETFL && (arg & O_NONBLOCK) && fdtab_has(fd, SLOT_LAYERED)) {
		made = call(fd, cmd, arg);
		life_unblocked(fd);
		return made;
	}
	if (cmd != F_DUPFD && cmd != F_DUPFD_CLOEXEC)
		return call(fd, cmd, arg);
	return duplicate(call, fd, cmd, arg);
}

int hook_fcntl(int fd, int cmd, long arg)
{
	return control(real.fcntl, fd, cmd, arg);
}

int hook_fcntl64(int fd, int cmd, long arg)
{
	return control(real.fcntl64, fd, cmd, arg);
}
