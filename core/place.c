/* Replacing files under the application's descriptors.  Every change of what a slot is happens under
 * the host's lock, so that the application's other threads see either state and no step between. */
#include "core/place.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/host.h"
#include "core/stream.h"

/* F_SETOWN_EX and the like need no declaration beyond fcntl.h's with _GNU_SOURCE. */
static void carry_owner(int from, int to)
{
	struct f_owner_ex owner;
	int sig = taps_host->fcntl(from, F_GETSIG);

	if (taps_host->fcntl(from, F_GETOWN_EX, &owner) == 0 && owner.pid != 0)
		taps_host->fcntl(to, F_SETOWN_EX, &owner);
	if (sig > 0)
		taps_host->fcntl(to, F_SETSIG, sig);
}

/* What belongs to the open file and not to the socket: status flags, owner, signal (fcntl(2)).  Returns
 * whether O_ASYNC is set, which is left for set_async. */
static bool carry_file(int from, int to)
{
	int status = taps_host->fcntl(from, F_GETFL), now = taps_host->fcntl(to, F_GETFL);

	if (status < 0 || now < 0)
		return false;
	carry_owner(from, to);
	if ((status & O_NONBLOCK) != (now & O_NONBLOCK))
		taps_host->fcntl(to, F_SETFL, now ^ O_NONBLOCK);
	return status & O_ASYNC;
}

/* The kernel remembers with O_ASYNC under which number it was set, and reports that one (si_fd). */
static void set_async(int fd)
{
	int status = taps_host->fcntl(fd, F_GETFL);

	if (status >= 0 && !(status & O_ASYNC))
		taps_host->fcntl(fd, F_SETFL, status | O_ASYNC);
}

/* The signal for "writable" that the kernel sent before anybody could be told. */
static void signal_owner(int fd)
{
	siginfo_t info = {.si_code = SI_SIGIO, .si_fd = fd, .si_band = POLLOUT | POLLWRNORM};
	int sig = taps_host->fcntl(fd, F_GETSIG);
	struct f_owner_ex owner;

	if (taps_host->fcntl(fd, F_GETOWN_EX, &owner) != 0 || owner.pid == 0)
		return;
	info.si_signo = sig > 0 ? sig : SIGIO;
	if (owner.type == F_OWNER_TID)
		syscall(SYS_rt_tgsigqueueinfo, getpid(), owner.pid, info.si_signo, &info);
	else if (owner.type == F_OWNER_PID)
		syscall(SYS_rt_sigqueueinfo, owner.pid, info.si_signo, &info);
	else
		kill(-owner.pid, info.si_signo);
}

/* Fills the send queue of fd until the kernel takes no more. */
static void fill(int fd)
{
	static const char bytes[4096];
	int smallest = 1;

	taps_host->setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &smallest, sizeof(smallest));
	while (taps_host->send(fd, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
		;
	while (taps_host->send(fd, bytes, 1, MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
		;
}

/* Makes the pair; ret[0] is the placeholder, ret[1] its far end, already kept. */
static int make_placeholder(int ret[2])
{
	int result = taps_host->socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ret);

	if (result != 0)
		return -errno;
	ret[1] = taps_host->fd_keep(ret[1]);
	if (ret[1] < 0) {
		taps_host->close(ret[0]);
		return ret[1];
	}
	fill(ret[0]);
	return 0;
}

static int keep_original(int fd)
{
	int copy = taps_host->fcntl(fd, F_DUPFD_CLOEXEC, 3);

	return copy < 0 ? -errno : taps_host->fd_keep(copy);
}

/* Attempts on the application's own file follow it to its new number. */
static void renumber_own(struct conn *conn, int fd)
{
	unsigned i;

	for (i = 0; i < conn->race.n; i++) {
		struct attempt *attempt = &conn->attempts[i];

		if (attempt->own && attempt->top) {
			layer_renumber(attempt->top, fd);
			attempt->wants.fd = fd;
		}
	}
}

int place_hold(struct conn *conn)
{
	struct taps_slot *slot = conn->slot;
	int pair[2], own, result;
	bool async;

	own = keep_original(conn->app_fd);
	if (own < 0)
		return own;
	result = make_placeholder(pair);
	if (result < 0) {
		taps_host->fd_drop(own);
		return result;
	}
	async = carry_file(own, pair[0]);
	taps_host->lock();
	result = taps_host->slot_replace(slot, pair[0]);
	if (result > 0) {
		if (async)
			set_async(conn->app_fd);
		conn->own_fd = own;
		conn->peer_fd = pair[1];
		renumber_own(conn, own);
		conn->app_fd = -1;
		slot->own_fd = own;
		conn_ref(conn);
		atomic_store(&slot->conn, conn);
		taps_host->slot_flags(slot, SLOT_CONNECTING, 0);
	}
	taps_host->unlock();
	taps_host->close(pair[0]);
	if (result > 0)
		return 0;
	taps_host->fd_drop(own);
	taps_host->fd_drop(pair[1]);
	return result < 0 ? result : -EBADF;
}

/* Whoever takes the number closes it: the loop and the application's close(2) may meet here. */
static void drop(_Atomic int *fd)
{
	int held = atomic_exchange(fd, -1);

	if (held >= 0)
		taps_host->fd_drop(held);
}

void place_drop(struct conn *conn)
{
	drop(&conn->own_fd);
	drop(&conn->peer_fd);
}

/* The slot is the kernel's again.  With the lock; the slot's reference to conn is let go. */
static void settle_slot(struct conn *conn, uint32_t set)
{
	struct taps_slot *slot = conn->slot;

	slot->own_fd = -1;
	if (atomic_exchange(&slot->conn, NULL))
		conn_unref(conn);
	taps_host->slot_flags(slot, set, SLOT_CONNECTING | SLOT_FAILED);
}

static bool is_other_family(const struct conn *conn, int fd)
{
	int domain;
	socklen_t len = sizeof(domain);

	return taps_host->getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 &&
	       domain != conn->slot->domain;
}

/* An AF_INET socket that IPv6 won for reports an AF_INET name: the port is true, the address is the
 * one that the kernel would take for the peer that the application named. */
static void disguise(struct conn *conn, int fd)
{
	struct sockaddr_storage name;
	socklen_t len = sizeof(name);
	int probe = taps_host->socket(addr_family(&conn->asked), SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct taps_addr real;

	conn->local = (struct taps_addr){.in4 = {.sin_family = AF_INET}};
	if (probe >= 0) {
		if (taps_host->connect(probe, &conn->asked.sa, addr_len(&conn->asked)) == 0 &&
		    taps_host->getsockname(probe, (struct sockaddr *)&name, &len) == 0)
			addr_from_sockaddr(&conn->local, (struct sockaddr *)&name, len);
		taps_host->close(probe);
	}
	len = sizeof(name);
	if (taps_host->getsockname(fd, (struct sockaddr *)&name, &len) == 0 &&
	    addr_from_sockaddr(&real, (struct sockaddr *)&name, len))
		addr_set_port(&conn->local, addr_port(&real));
}

/* The descriptor whose file holds the status flags now. */
static int current_fd(const struct conn *conn)
{
	return conn->app_fd >= 0 ? conn->app_fd : taps_host->slot_fd(conn->slot);
}

/* What the slot holds from here on, if its bytes or names stay the core's. */
static struct stream *make_stream(struct conn *conn, struct attempt *winner)
{
	struct layer *chain = layer_is_secure(winner->top) ? winner->top : NULL;
	struct stream *stream = stream_new(chain, &conn->asked, &conn->local);

	if (stream && chain)
		winner->top = NULL;
	return stream;
}

static void put_stream(struct conn *conn, struct stream *stream, uint32_t flags)
{
	void *old = atomic_exchange(&conn->slot->conn, stream);

	conn->slot->own_fd = -1;
	if (old == conn)
		conn_unref(conn);
	taps_host->slot_flags(conn->slot, flags, SLOT_CONNECTING | SLOT_FAILED | SLOT_BUSY);
}

static int put_winner(struct conn *conn, struct attempt *winner)
{
	struct taps_slot *slot = conn->slot;
	bool own = winner->own, secure = layer_is_secure(winner->top);
	int fd = layer_fd(winner->top);
	struct stream *stream = NULL;
	int from = conn->own_fd >= 0 ? conn->own_fd : conn->app_fd;
	bool other = !own && is_other_family(conn, fd), async;

	if (other)
		disguise(conn, fd);
	if (other || secure) {
		stream = make_stream(conn, winner);
		if (!stream)
			return -ENOMEM;
	}
	if (!own && (atomic_load(&slot->flags) & SLOT_OPTIONS))
		taps_host->slot_options(slot, from, fd);
	async = carry_file(current_fd(conn), fd);
	if (!own || conn->app_fd < 0)
		taps_host->slot_replace(slot, fd);
	if (async) {
		set_async(current_fd(conn));
		signal_owner(current_fd(conn));
	}
	if (stream)
		put_stream(conn, stream,
			   SLOT_PLAIN | (other ? SLOT_DISGUISED : 0) | (secure ? SLOT_LAYERED : 0));
	else
		settle_slot(conn, SLOT_PLAIN);
	if (secure)
		stream_placed(stream);
	return 0;
}

int place_win(struct conn *conn)
{
	int result;

	taps_host->lock();
	result = put_winner(conn, &conn->attempts[conn->winner]);
	taps_host->unlock();
	if (result == 0)
		place_drop(conn);
	return result;
}

/* A socket that looks refused from the first moment on.  (The placeholder under the descriptor becomes one
 * when its far end is closed, but wakes who sleeps on it before it is writable.) */
static int make_dead(void)
{
	int pair[2];

	if (make_placeholder(pair) < 0)
		return -1;
	taps_host->fd_drop(pair[1]);
	return pair[0];
}

void place_fail(struct conn *conn)
{
	int dead = make_dead();
	bool async;

	taps_host->lock();
	if (dead >= 0) {
		async = carry_file(current_fd(conn), dead);
		taps_host->slot_replace(conn->slot, dead);
		if (async)
			set_async(current_fd(conn));
	}
	/* Who wakes of this asks again under the lock, and finds the whole truth. */
	drop(&conn->peer_fd);
	taps_host->slot_flags(conn->slot, SLOT_FAILED, SLOT_CONNECTING);
	taps_host->unlock();
	if (dead >= 0)
		taps_host->close(dead);
}

void place_renew(struct taps_slot *slot)
{
	int fd = taps_host->socket(slot->domain, slot->type | SOCK_CLOEXEC, slot->protocol);
	struct handle *old;

	if (fd < 0)
		return;
	taps_host->lock();
	taps_host->slot_options(slot, taps_host->slot_fd(slot), fd);
	carry_file(taps_host->slot_fd(slot), fd);
	taps_host->slot_replace(slot, fd);
	old = atomic_exchange(&slot->conn, NULL);
	taps_host->slot_flags(slot, 0, SLOT_DISGUISED | SLOT_LAYERED);
	taps_host->unlock();
	taps_host->close(fd);
	if (old)
		handle_unref(old);
}

void place_restore(struct conn *conn)
{
	taps_host->lock();
	if (carry_file(current_fd(conn), conn->own_fd))
		set_async(conn->own_fd);
	taps_host->slot_replace(conn->slot, conn->own_fd);
	settle_slot(conn, 0);
	taps_host->unlock();
}
