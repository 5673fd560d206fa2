/* Calls that move bytes.  A descriptor without SLOT_DATA costs a look-up and a jump.
 *
 * While a race goes on the placeholder under the descriptor answers non-blocking calls as a
 * connecting socket does (EAGAIN); a blocking call waits for the end of the race first.  After a
 * failure the pending error comes out once, then end of file or EPIPE, as from the kernel. */
#include "shim/real.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/sendfile.h>

#include "shim/fdtab.h"
#include "shim/load.h"
#include "shim/open.h"
#include "shim/opt.h"

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

/* Returns true when the call has its answer, in *ret; false when the kernel is to give it. */
static bool gate(int fd, enum direction direction, int flags, ssize_t *ret)
{
	struct slot *slot = slot_get(fd);
	bool answered = false;
	int error = 0;

	if (!slot)
		return false;
	if ((slot_flags(slot) & SLOT_CONNECTING) && would_block(fd, flags))
		error = load_core_if_open()->settle(&slot->pub, fd);
	if (error < 0) {
		errno = -error;
		*ret = -1;
		answered = true;
	} else if (slot_settled_flags(slot) & SLOT_FAILED) {
		*ret = dead(slot, fd, direction, flags);
		answered = true;
	}
	slot_put(slot);
	return answered;
}

#define THROUGH(fd, direction, flags, call) \
	do { \
		ssize_t answer; \
		if (fdtab_has(fd, SLOT_DATA) && gate(fd, direction, flags, &answer)) \
			return answer; \
		return call; \
	} while (0)

ssize_t hook_read(int fd, void *buf, size_t len)
{
	THROUGH(fd, READING, 0, real.read(fd, buf, len));
}

ssize_t hook_readv(int fd, const struct iovec *iov, int count)
{
	THROUGH(fd, READING, 0, real.readv(fd, iov, count));
}

ssize_t hook_preadv2(int fd, const struct iovec *iov, int count, off_t offset, int flags)
{
	THROUGH(fd, READING, 0, real.preadv2(fd, iov, count, offset, flags));
}

ssize_t hook_preadv64v2(int fd, const struct iovec *iov, int count, off_t offset, int flags)
{
	THROUGH(fd, READING, 0, real.preadv64v2(fd, iov, count, offset, flags));
}

ssize_t hook_recv(int fd, void *buf, size_t len, int flags)
{
	THROUGH(fd, READING, flags, real.recv(fd, buf, len, flags));
}

ssize_t hook_recvfrom(int fd, void *buf, size_t len, int flags, struct sockaddr *addr, socklen_t *addrlen)
{
	THROUGH(fd, READING, flags, real.recvfrom(fd, buf, len, flags, addr, addrlen));
}

ssize_t hook_recvmsg(int fd, struct msghdr *msg, int flags)
{
	THROUGH(fd, READING, flags, real.recvmsg(fd, msg, flags));
}

int hook_recvmmsg(int fd, struct mmsghdr *msgs, unsigned int n, int flags, struct timespec *timeout)
{
	THROUGH(fd, READING, flags, real.recvmmsg(fd, msgs, n, flags, timeout));
}

/* The fortified twins check the room first, in the C library, and read there. */
ssize_t hook___read_chk(int fd, void *buf, size_t len, size_t room)
{
	THROUGH(fd, READING, 0, real.__read_chk(fd, buf, len, room));
}

ssize_t hook___recv_chk(int fd, void *buf, size_t len, size_t room, int flags)
{
	THROUGH(fd, READING, flags, real.__recv_chk(fd, buf, len, room, flags));
}

ssize_t hook___recvfrom_chk(int fd, void *buf, size_t len, size_t room, int flags, struct sockaddr *addr,
			    socklen_t *addrlen)
{
	THROUGH(fd, READING, flags, real.__recvfrom_chk(fd, buf, len, room, flags, addr, addrlen));
}

ssize_t hook_write(int fd, const void *buf, size_t len)
{
	THROUGH(fd, WRITING, 0, real.write(fd, buf, len));
}

ssize_t hook_writev(int fd, const struct iovec *iov, int count)
{
	THROUGH(fd, WRITING, 0, real.writev(fd, iov, count));
}

ssize_t hook_pwritev2(int fd, const struct iovec *iov, int count, off_t offset, int flags)
{
	THROUGH(fd, WRITING, 0, real.pwritev2(fd, iov, count, offset, flags));
}

ssize_t hook_pwritev64v2(int fd, const struct iovec *iov, int count, off_t offset, int flags)
{
	THROUGH(fd, WRITING, 0, real.pwritev64v2(fd, iov, count, offset, flags));
}

ssize_t hook_send(int fd, const void *buf, size_t len, int flags)
{
	THROUGH(fd, WRITING, flags, real.send(fd, buf, len, flags));
}

ssize_t hook_sendto(int fd, const void *buf, size_t len, int flags, const struct sockaddr *addr,
		    socklen_t addrlen)
{
	int opened;

	if ((flags & MSG_FASTOPEN) && open_for_data(fd, addr, addrlen, &opened))
		return opened < 0 ? opened : hook_send(fd, buf, len, flags & ~MSG_FASTOPEN);
	THROUGH(fd, WRITING, flags, real.sendto(fd, buf, len, flags, addr, addrlen));
}

/* A descriptor that leaves the process takes its own file along, not the placeholder. */
static void settle_passed(const struct cmsghdr *cmsg)
{
	size_t n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int), i;

	for (i = 0; i < n; i++) {
		struct slot *slot;
		int fd;

		__builtin_memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(fd), sizeof(fd));
		slot = fdtab_has(fd, SLOT_CONNECTING) ? slot_get(fd) : NULL;
		if (!slot)
			continue;
		load_core_if_open()->restore(&slot->pub);
		slot_put(slot);
	}
}

static void settle_all_passed(const struct msghdr *msg)
{
	struct cmsghdr *cmsg;

	if (!msg || !msg->msg_control)
		return;
	for (cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR((struct msghdr *)(uintptr_t)msg, cmsg))
		if (cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_RIGHTS)
			settle_passed(cmsg);
}

static bool any_special(void)
{
	return __builtin_expect(atomic_load_explicit(&fdtab_special, memory_order_relaxed) != 0, 0);
}

ssize_t hook_sendmsg(int fd, const struct msghdr *msg, int flags)
{
	struct msghdr rest;
	int opened;

	if ((flags & MSG_FASTOPEN) && msg && open_for_data(fd, msg->msg_name, msg->msg_namelen, &opened)) {
		rest = *msg;
		rest.msg_name = NULL;
		rest.msg_namelen = 0;
		return opened < 0 ? opened : hook_sendmsg(fd, &rest, flags & ~MSG_FASTOPEN);
	}
	if (any_special())
		settle_all_passed(msg);
	THROUGH(fd, WRITING, flags, real.sendmsg(fd, msg, flags));
}

int hook_sendmmsg(int fd, struct mmsghdr *msgs, unsigned int n, int flags)
{
	unsigned i;

	if (any_special())
		for (i = 0; i < n; i++)
			settle_all_passed(&msgs[i].msg_hdr);
	THROUGH(fd, WRITING, flags, real.sendmmsg(fd, msgs, n, flags));
}

/* Both ends of a copy in the kernel may be managed. */
ssize_t hook_sendfile(int out, int in, off_t *offset, size_t len)
{
	ssize_t end;

	if (fdtab_has(in, SLOT_DATA) && gate(in, READING, 0, &end))
		return end;
	THROUGH(out, WRITING, 0, real.sendfile(out, in, offset, len));
}

ssize_t hook_sendfile64(int out, int in, off_t *offset, size_t len)
{
	return hook_sendfile(out, in, offset, len);
}

ssize_t hook_splice(int in, off_t *off_in, int out, off_t *off_out, size_t len, unsigned int flags)
{
	ssize_t end;

	if (fdtab_has(in, SLOT_DATA) && gate(in, READING, 0, &end))
		return end;
	THROUGH(out, WRITING, 0, real.splice(in, off_in, out, off_out, len, flags));
}
