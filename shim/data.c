/* Calls that move bytes.  A descriptor without SLOT_DATA costs a look-up and a jump; where a rule secures,
 * the call is counted while the kernel has it (shim/flight.h).
 *
 * While a race goes on non-blocking calls are answered as of a connecting socket (EAGAIN); a blocking call
 * waits for the end of the race first.  After a failure the pending error comes out once, then end of file or
 * EPIPE, as from the kernel. */
#include "shim/real.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "shim/fdtab.h"
#include "shim/flight.h"
#include "shim/load.h"
#include "shim/open.h"
#include "shim/opt.h"
#include "shim/pass.h"
#include "shim/secured.h"

/* Out of the way of the calls that only pass through. */
#define COLD __attribute__((cold, noinline))

enum direction { READING, WRITING };

static ssize_t dead(struct slot *slot, int fd, enum direction direction, int flags)
{
	int error = opt_take_error(slot, fd);

	if (error) {
		errno = error;
		return -1;
	}
	if (direction == READING)
		return 0;
	if (!(flags & MSG_NOSIGNAL))
		raise(SIGPIPE);
	errno = EPIPE;
	return -1;
}

static bool would_block(int fd, int flags)
{
	int status;

	if (flags & MSG_DONTWAIT)
		return false;
	status = real.fcntl(fd, F_GETFL, 0);
	return status >= 0 && !(status & O_NONBLOCK);
}

static ssize_t edge(ssize_t result, enum direction direction, int flags)
{
	if (result >= 0)
		return result;
	if (result == -EPIPE && direction == WRITING && !(flags & MSG_NOSIGNAL))
		raise(SIGPIPE);
	errno = (int)-result;
	return -1;
}

/* Returns false when a relay has taken the connection over: the kernel serves the pair. */
static bool layered(struct slot *slot, int fd, enum direction direction, struct msghdr *msg, int flags,
		    ssize_t *ret)
{
	const struct taps_core *core = load_core_if_open();
	int saved = errno;
	ssize_t result;

	load_enter();
	result = direction == READING ? core->recv(&slot->pub, fd, msg, flags)
				      : core->send(&slot->pub, fd, msg, flags);
	load_leave();
	errno = saved;
	*ret = result == TAPS_PASS ? 0 : edge(result, direction, flags);
	return result != TAPS_PASS;
}

static int settle(struct slot *slot, int fd)
{
	int error;

	load_enter();
	error = load_core_if_open()->settle(&slot->pub, fd);
	load_leave();
	return error;
}

/* As the kernel of a socket that is being connected (tcp(7)). */
static int unready(enum direction direction, int flags)
{
	return direction == READING && (flags & MSG_OOB) ? -EINVAL : -EAGAIN;
}

/* Returns true when the call has its answer, in *ret; false when the kernel is to give it. */
static bool gate(int fd, enum direction direction, struct msghdr *msg, int flags, ssize_t *ret)
{
	const uint32_t unsettled = SLOT_CONNECTING | SLOT_SECURING;
	struct slot *slot = slot_get(fd);
	bool answered = true, settled = false; /* settled: another connect() may have begun since */
	uint32_t now;
	int error = 0;

	/* A signal handler in the middle of dup2(2). */
	if (!slot && fdtab_peek(fd) == &fdtab_moving) {
		*ret = edge(-EBADF, direction, flags);
		return true;
	}
	if (!slot)
		return false;
	if ((slot_flags(slot) & unsettled) && would_block(fd, flags)) {
		error = settle(slot, fd);
		settled = error == 0;
	}
	now = slot_settled_flags(slot);
	if (error < 0)
		*ret = edge(error == -EALREADY ? -EAGAIN : error, direction, flags);
	else if (now & SLOT_FAILED)
		*ret = dead(slot, fd, direction, flags);
	else if ((now & unsettled) && settled)
		answered = false;
	else if (now & unsettled)
		/* Not even the placeholder is asked: the connection may be in its place by then. */
		*ret = edge(unready(direction, flags), direction, flags);
	else if (now & SLOT_LAYERED)
		answered = layered(slot, fd, direction, msg, flags, ret);
	else
		answered = false;
	slot_put(slot);
	return answered;
}

/* The kernel's call, unless the descriptor is one of those that the core answers for. */
#define THROUGH_MSG(fd, direction, msg, flags, call) \
	do { \
		struct flight flight; \
		ssize_t answer; \
		do \
			if (fdtab_has(fd, SLOT_DATA) && gate(fd, direction, msg, flags, &answer)) \
				return answer; \
		while (!flight_begin(fd, &flight)); \
		answer = call; \
		flight_end(&flight); \
		return answer; \
	} while (0)

/* Does more belong to a call on fd than the kernel's own? */
static inline bool is_slow(int fd)
{
	return flight_counted() || fdtab_has(fd, SLOT_DATA);
}

#define THROUGH_VEC(fd, direction, vec, count, flags, call) \
	do { \
		struct msghdr whole = {.msg_iov = (struct iovec *)(uintptr_t)(vec), \
				       .msg_iovlen = (size_t)(count)}; \
		THROUGH_MSG(fd, direction, &whole, flags, call); \
	} while (0)

#define THROUGH_BUF(fd, direction, buf, len, flags, call) \
	do { \
		struct iovec one = {(void *)(uintptr_t)(buf), len}; \
		THROUGH_VEC(fd, direction, &one, 1, flags, call); \
	} while (0)

static COLD ssize_t slow_read(int fd, void *buf, size_t len)
{
	/* To the kernel that is no call of the socket's. */
	if (len == 0)
		return real.read(fd, buf, len);
	THROUGH_BUF(fd, READING, buf, len, 0, real.read(fd, buf, len));
}

ssize_t hook_read(int fd, void *buf, size_t len)
{
	if (is_slow(fd))
		return slow_read(fd, buf, len);
	return real.read(fd, buf, len);
}

static COLD ssize_t slow_readv(int fd, const struct iovec *iov, int count)
{
	THROUGH_VEC(fd, READING, iov, count, 0, real.readv(fd, iov, count));
}

ssize_t hook_readv(int fd, const struct iovec *iov, int count)
{
	if (is_slow(fd))
		return slow_readv(fd, iov, count);
	return real.readv(fd, iov, count);
}

static COLD ssize_t slow_preadv2(int fd, const struct iovec *iov, int count, off_t offset, int flags)
{
	THROUGH_VEC(fd, READING, iov, count, 0, real.preadv2(fd, iov, count, offset, flags));
}

ssize_t hook_preadv2(int fd, const struct iovec *iov, int count, off_t offset, int flags)
{
	if (is_slow(fd))
		return slow_preadv2(fd, iov, count, offset, flags);
	return real.preadv2(fd, iov, count, offset, flags);
}

static COLD ssize_t slow_preadv64v2(int fd, const struct iovec *iov, int count, off_t offset, int flags)
{
	THROUGH_VEC(fd, READING, iov, count, 0, real.preadv64v2(fd, iov, count, offset, flags));
}

ssize_t hook_preadv64v2(int fd, const struct iovec *iov, int count, off_t offset, int flags)
{
	if (is_slow(fd))
		return slow_preadv64v2(fd, iov, count, offset, flags);
	return real.preadv64v2(fd, iov, count, offset, flags);
}

static COLD ssize_t slow_recv(int fd, void *buf, size_t len, int flags)
{
	THROUGH_BUF(fd, READING, buf, len, flags, real.recv(fd, buf, len, flags));
}

ssize_t hook_recv(int fd, void *buf, size_t len, int flags)
{
	if (is_slow(fd))
		return slow_recv(fd, buf, len, flags);
	return real.recv(fd, buf, len, flags);
}

static ssize_t layered_recvfrom(int fd, void *buf, size_t len, int flags, socklen_t *addrlen)
{
	ssize_t n = hook_recv(fd, buf, len, flags);

	/* tcp(7): a connected stream fills no address in. */
	if (n >= 0 && addrlen)
		*addrlen = 0;
	return n;
}

/* Message by message, as far as it goes. */
static int one_by_one(int fd, enum direction direction, struct mmsghdr *msgs, unsigned int n, int flags)
{
	unsigned done;

	for (done = 0; done < n; done++) {
		ssize_t bytes = direction == READING ? hook_recvmsg(fd, &msgs[done].msg_hdr, flags)
						     : hook_sendmsg(fd, &msgs[done].msg_hdr, flags);

		if (bytes < 0)
			return done ? (int)done : -1;
		msgs[done].msg_len = (unsigned)bytes;
		if (direction == READING && (bytes == 0 || (flags & MSG_WAITFORONE)))
			flags |= MSG_DONTWAIT;
		if (bytes == 0)
			return (int)done + 1;
	}
	return (int)done;
}

static COLD ssize_t slow_recvfrom(int fd, void *buf, size_t len, int flags, struct sockaddr *addr,
			    socklen_t *addrlen)
{
	if (fdtab_has(fd, SLOT_LAYERED))
		return layered_recvfrom(fd, buf, len, flags, addrlen);
	THROUGH_BUF(fd, READING, buf, len, flags, real.recvfrom(fd, buf, len, flags, addr, addrlen));
}

ssize_t hook_recvfrom(int fd, void *buf, size_t len, int flags, struct sockaddr *addr, socklen_t *addrlen)
{
	if (is_slow(fd))
		return slow_recvfrom(fd, buf, len, flags, addr, addrlen);
	return real.recvfrom(fd, buf, len, flags, addr, addrlen);
}

static COLD ssize_t slow_recvmsg(int fd, struct msghdr *msg, int flags)
{
	THROUGH_MSG(fd, READING, msg, flags, real.recvmsg(fd, msg, flags));
}

ssize_t hook_recvmsg(int fd, struct msghdr *msg, int flags)
{
	if (is_slow(fd))
		return slow_recvmsg(fd, msg, flags);
	return real.recvmsg(fd, msg, flags);
}

static COLD int slow_recvmmsg(int fd, struct mmsghdr *msgs, unsigned int n, int flags,
			    struct timespec *timeout)
{
	if (n == 0)
		return (int)real.recvmmsg(fd, msgs, n, flags, timeout);
	if (fdtab_has(fd, SLOT_LAYERED))
		return one_by_one(fd, READING, msgs, n, flags);
	THROUGH_MSG(fd, READING, &msgs->msg_hdr, flags, (int)real.recvmmsg(fd, msgs, n, flags, timeout));
}

int hook_recvmmsg(int fd, struct mmsghdr *msgs, unsigned int n, int flags, struct timespec *timeout)
{
	if (is_slow(fd))
		return slow_recvmmsg(fd, msgs, n, flags, timeout);
	return real.recvmmsg(fd, msgs, n, flags, timeout);
}

/* The fortified twins check the room first, in the C library, and read there. */
static COLD ssize_t slow___read_chk(int fd, void *buf, size_t len, size_t room)
{
	THROUGH_BUF(fd, READING, buf, len > room ? room : len, 0, real.__read_chk(fd, buf, len, room));
}

ssize_t hook___read_chk(int fd, void *buf, size_t len, size_t room)
{
	if (is_slow(fd))
		return slow___read_chk(fd, buf, len, room);
	return real.__read_chk(fd, buf, len, room);
}

static COLD ssize_t slow___recv_chk(int fd, void *buf, size_t len, size_t room, int flags)
{
	THROUGH_BUF(fd, READING, buf, len > room ? room : len, flags,
		    real.__recv_chk(fd, buf, len, room, flags));
}

ssize_t hook___recv_chk(int fd, void *buf, size_t len, size_t room, int flags)
{
	if (is_slow(fd))
		return slow___recv_chk(fd, buf, len, room, flags);
	return real.__recv_chk(fd, buf, len, room, flags);
}

static COLD ssize_t slow___recvfrom_chk(int fd, void *buf, size_t len, size_t room, int flags,
			    struct sockaddr *addr, socklen_t *addrlen)
{
	if (fdtab_has(fd, SLOT_LAYERED) && len <= room)
		return layered_recvfrom(fd, buf, len, flags, addrlen);
	THROUGH_BUF(fd, READING, buf, len > room ? room : len, flags,
		    real.__recvfrom_chk(fd, buf, len, room, flags, addr, addrlen));
}

ssize_t hook___recvfrom_chk(int fd, void *buf, size_t len, size_t room, int flags,
			    struct sockaddr *addr, socklen_t *addrlen)
{
	if (is_slow(fd))
		return slow___recvfrom_chk(fd, buf, len, room, flags, addr, addrlen);
	return real.__recvfrom_chk(fd, buf, len, room, flags, addr, addrlen);
}

static COLD ssize_t slow_write(int fd, const void *buf, size_t len)
{
	THROUGH_BUF(fd, WRITING, buf, len, 0, real.write(fd, buf, len));
}

ssize_t hook_write(int fd, const void *buf, size_t len)
{
	if (is_slow(fd))
		return slow_write(fd, buf, len);
	return real.write(fd, buf, len);
}

static COLD ssize_t slow_writev(int fd, const struct iovec *iov, int count)
{
	THROUGH_VEC(fd, WRITING, iov, count, 0, real.writev(fd, iov, count));
}

ssize_t hook_writev(int fd, const struct iovec *iov, int count)
{
	if (is_slow(fd))
		return slow_writev(fd, iov, count);
	return real.writev(fd, iov, count);
}

static COLD ssize_t slow_pwritev2(int fd, const struct iovec *iov, int count, off_t offset, int flags)
{
	THROUGH_VEC(fd, WRITING, iov, count, 0, real.pwritev2(fd, iov, count, offset, flags));
}

ssize_t hook_pwritev2(int fd, const struct iovec *iov, int count, off_t offset, int flags)
{
	if (is_slow(fd))
		return slow_pwritev2(fd, iov, count, offset, flags);
	return real.pwritev2(fd, iov, count, offset, flags);
}

static COLD ssize_t slow_pwritev64v2(int fd, const struct iovec *iov, int count, off_t offset, int flags)
{
	THROUGH_VEC(fd, WRITING, iov, count, 0, real.pwritev64v2(fd, iov, count, offset, flags));
}

ssize_t hook_pwritev64v2(int fd, const struct iovec *iov, int count, off_t offset, int flags)
{
	if (is_slow(fd))
		return slow_pwritev64v2(fd, iov, count, offset, flags);
	return real.pwritev64v2(fd, iov, count, offset, flags);
}

static COLD ssize_t slow_send(int fd, const void *buf, size_t len, int flags)
{
	THROUGH_BUF(fd, WRITING, buf, len, flags, real.send(fd, buf, len, flags));
}

ssize_t hook_send(int fd, const void *buf, size_t len, int flags)
{
	if (is_slow(fd))
		return slow_send(fd, buf, len, flags);
	return real.send(fd, buf, len, flags);
}

static COLD ssize_t slow_sendto(int fd, const void *buf, size_t len, int flags,
			    const struct sockaddr *addr, socklen_t addrlen)
{
	int opened;

	if ((flags & MSG_FASTOPEN) && open_for_data(fd, addr, addrlen, &opened))
		return opened < 0 ? opened : hook_send(fd, buf, len, flags & ~MSG_FASTOPEN);
	if (addr && secured_known() && !fdtab_peek(fd) && !open_may_send(fd, addr, addrlen))
		return -1;
	THROUGH_BUF(fd, WRITING, buf, len, flags, real.sendto(fd, buf, len, flags, addr, addrlen));
}

ssize_t hook_sendto(int fd, const void *buf, size_t len, int flags, const struct sockaddr *addr,
			    socklen_t addrlen)
{
	if (__builtin_expect((flags & MSG_FASTOPEN) || is_slow(fd) || (addr && secured_known()),
			     0))
		return slow_sendto(fd, buf, len, flags, addr, addrlen);
	return real.sendto(fd, buf, len, flags, addr, addrlen);
}

/* Descriptors may be in it. */
static bool has_control(const struct msghdr *msg)
{
	return msg && msg->msg_controllen != 0;
}

static bool may_send(int fd, const struct msghdr *msg)
{
	return !msg || !msg->msg_name || !secured_known() || fdtab_peek(fd) ||
	       open_may_send(fd, msg->msg_name, msg->msg_namelen);
}

static COLD ssize_t slow_sendmsg(int fd, const struct msghdr *msg, int flags)
{
	struct msghdr rest;
	int opened;

	if ((flags & MSG_FASTOPEN) && msg && open_for_data(fd, msg->msg_name, msg->msg_namelen, &opened)) {
		rest = *msg;
		rest.msg_name = NULL;
		rest.msg_namelen = 0;
		return opened < 0 ? opened : hook_sendmsg(fd, &rest, flags & ~MSG_FASTOPEN);
	}
	if (!may_send(fd, msg))
		return -1;
	if (!pass_out(msg))
		return -1;
	THROUGH_MSG(fd, WRITING, (struct msghdr *)(uintptr_t)msg, flags, real.sendmsg(fd, msg, flags));
}

ssize_t hook_sendmsg(int fd, const struct msghdr *msg, int flags)
{
	if (__builtin_expect((flags & MSG_FASTOPEN) || fdtab_any_special() || flight_counted() ||
				     has_control(msg),
			     0))
		return slow_sendmsg(fd, msg, flags);
	return real.sendmsg(fd, msg, flags);
}

static bool any_control(const struct mmsghdr *msgs, unsigned int n)
{
	unsigned i;

	for (i = 0; i < n; i++)
		if (has_control(&msgs[i].msg_hdr))
			return true;
	return false;
}

static COLD int slow_sendmmsg(int fd, struct mmsghdr *msgs, unsigned int n, int flags)
{
	unsigned i;

	/* The first message connects; where the core has a part in that, each is sent like one alone. */
	if ((flags & MSG_FASTOPEN) && n > 0 && secured_known())
		return one_by_one(fd, WRITING, msgs, n, flags);
	for (i = 0; i < n; i++)
		if (!pass_out(&msgs[i].msg_hdr) || !may_send(fd, &msgs[i].msg_hdr))
			return -1;
	if (n == 0)
		return (int)real.sendmmsg(fd, msgs, n, flags);
	if (fdtab_has(fd, SLOT_LAYERED))
		return one_by_one(fd, WRITING, msgs, n, flags);
	THROUGH_MSG(fd, WRITING, &msgs->msg_hdr, flags, (int)real.sendmmsg(fd, msgs, n, flags));
}

int hook_sendmmsg(int fd, struct mmsghdr *msgs, unsigned int n, int flags)
{
	if (__builtin_expect((flags & MSG_FASTOPEN) || fdtab_any_special() || flight_counted() ||
				     any_control(msgs, n),
			     0))
		return slow_sendmmsg(fd, msgs, n, flags);
	return real.sendmmsg(fd, msgs, n, flags);
}
