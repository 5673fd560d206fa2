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
#include "core/relay.h"
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

/* Attempts on the application's own file follow it to its new number. */
static void renumber_own(struct conn *conn, int fd)
{
	unsigned i;

	for (i = 0; i < conn->race.n; i++) {
		struct attempt *attempt = &conn->attempts[i];

		if (attempt->own && attempt->top) {
			layer_renumber(attempt->top, fd);
			if (attempt->wants.fd == conn->app_fd)
				attempt->wants.fd = fd;
		}
	}
}

int place_hold(struct conn *conn)
{
	struct taps_slot *slot = conn->slot;
	int pair[2], own, result;
	bool async;

	own = host_copy(conn->app_fd);
	if (own < 0)
		return own;
	result = make_placeholder(pair);
	if (result < 0) {
		taps_host->fd_drop(own);
		return result;
	}
	async = carry_file(own, pair[0]);
	taps_host->lock();
	result = taps_host->slot_replace(slot, pair[0], false);
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
		taps_host->slot_flags(slot, SLOT_CONNECTING, SLOT_SECURING);
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
	taps_host->slot_flags(slot, set, SLOT_CONNECTING | SLOT_FAILED | SLOT_BUSY | SLOT_SECURING);
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

/* The loop's lock is held by its own thread and by who began in its stead. */
static struct stream *make_deferred(struct conn *conn, struct layer *chain)
{
	struct stream *stream;

	if (conn->blocking)
		loop_lock();
	stream = stream_deferred(chain, conn->policy.security, &conn->asked, &conn->local, conn->slot);
	if (conn->blocking)
		loop_unlock();
	return stream;
}

/* What the slot holds from here on, if its bytes or names stay the core's. */
static struct stream *make_stream(struct conn *conn, struct attempt *winner)
{
	struct layer *chain = layer_is_secure(winner->top) ? winner->top : NULL;
	struct stream *stream = chain && winner->wants.deferred
					? make_deferred(conn, chain)
					: stream_new(chain, &conn->asked, &conn->local);

	if (stream && chain) {
		stream_secured_by(stream, conn->policy.security);
		winner->top = NULL;
	}
	return stream;
}

static void put_stream(struct conn *conn, struct stream *stream, uint32_t flags)
{
	void *old = atomic_exchange(&conn->slot->conn, stream);

	conn->slot->own_fd = -1;
	if (old == conn)
		conn_unref(conn);
	taps_host->slot_flags(conn->slot, flags, SLOT_CONNECTING | SLOT_FAILED | SLOT_BUSY | SLOT_SECURING);
}

static int put_winner(struct conn *conn, struct attempt *winner)
{
	struct taps_slot *slot = conn->slot;
	bool own = winner->own, secure = layer_is_secure(winner->top);
	int fd = layer_fd(winner->top);
	struct stream *stream = NULL;
	int from = conn->own_fd >= 0 ? conn->own_fd : conn->app_fd;
	bool other = !own && is_other_family(conn, fd), async;
	int replaced = 0;

	/* Before the lock: making a stream takes the lock over streams, which comes first. */
	if (other)
		disguise(conn, fd);
	if (other || secure) {
		stream = make_stream(conn, winner);
		if (!stream)
			return -ENOMEM;
	}
	taps_host->lock();
	if (!own && (atomic_load(&slot->flags) & SLOT_OPTIONS))
		taps_host->slot_options(slot, from, fd);
	if (secure)
		stream_take_options(stream, fd, from);
	async = carry_file(current_fd(conn), fd);
	if (!own || conn->app_fd < 0)
		replaced = taps_host->slot_replace(slot, fd, true);
	if (replaced > 0 && own)
		atomic_store(&conn->own_fd, -1);
	if (replaced < 0) {
		/* A limit lowered below the number (dup2(2), EBADF): what is under it stays. */
		taps_host->unlock();
		if (stream)
			stream_released(stream);
		return replaced;
	}
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
	else
		layer_disown(winner->top, -1);
	taps_host->unlock();
	return 0;
}

/* A call that the core has no part in may be about to reach the descriptor, and its bytes must not reach the
 * network as they are: to a relay's pair they may go. */
static bool is_in_flight(struct taps_slot *slot)
{
	bool any;

	taps_host->lock();
	taps_host->slot_flags(slot, SLOT_SECURING, 0);
	any = taps_host->slot_in_flight(slot);
	taps_host->unlock();
	return any;
}

static bool wants_relay(const struct conn *conn, const struct attempt *winner)
{
	return layer_is_secure(winner->top) &&
	       (is_in_flight(conn->slot) || conn->policy.security->data_path == SECURITY_RELAY ||
		(atomic_load(&conn->slot->flags) & SLOT_RELAY));
}

/* Larger than half of what one write can make of it: the byte that a relay holds back then never makes the
 * pair look full (core/pump.h). */
#define PAIR_BUFFER (256 * 1024)

/* A relay's end takes the place of a socket.  With the lock. */
static int put_end(struct taps_slot *slot, int from, int end, int lowat)
{
	int size = PAIR_BUFFER, now = taps_host->slot_fd(slot), result;
	bool async;

	if (atomic_load(&slot->flags) & SLOT_OPTIONS)
		taps_host->slot_options(slot, from, end);
	taps_host->setsockopt(end, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	taps_host->setsockopt(end, SOL_SOCKET, SO_RCVLOWAT, &lowat, sizeof(lowat));
	async = carry_file(now, end);
	result = taps_host->slot_replace(slot, end, true);
	if (result > 0 && async)
		set_async(now);
	return result > 0 ? 0 : result < 0 ? result : -EBADF;
}

int place_relay(struct taps_slot *slot, int end, int own)
{
	int result;

	taps_host->lock();
	/* Another thread may have dissolved it meanwhile. */
	result = -ENOTCONN;
	if (atomic_load(&slot->flags) & SLOT_LAYERED)
		result = put_end(slot, own, end, stream_lowat(atomic_load(&slot->conn)));
	if (result == 0) {
		slot->own_fd = own;
		taps_host->slot_flags(slot, SLOT_DISGUISED, SLOT_LAYERED);
	}
	taps_host->unlock();
	return result;
}

/* What stays in the slot of a winner that goes to a relay at once. */
static struct stream *make_relayed(struct conn *conn, struct attempt *winner, int own)
{
	bool other = !winner->own && is_other_family(conn, own);

	if (other)
		disguise(conn, own);
	return stream_relayed(own, other ? &conn->asked : NULL, other ? &conn->local : NULL);
}

static int put_relayed(struct conn *conn, struct stream *stream, int end)
{
	int from = conn->own_fd >= 0 ? conn->own_fd : conn->app_fd, result;

	taps_host->lock();
	result = put_end(conn->slot, from, end, 1);
	if (result == 0) {
		put_stream(conn, stream, SLOT_PLAIN | SLOT_DISGUISED);
		conn->slot->own_fd = stream_own(stream);
	}
	taps_host->unlock();
	return result;
}

/* The relay is there before anything is put: where none can be had, the connection fails. */
static int win_relayed(struct conn *conn, struct attempt *winner)
{
	int from = conn->own_fd >= 0 ? conn->own_fd : conn->app_fd, end, result = 0;
	int own = host_copy(layer_fd(winner->top));
	struct relay_order order = {.chain = winner->top, .net = own, .rule = conn->policy.security->rule};
	struct stream *stream = own < 0 ? NULL : make_relayed(conn, winner, own);

	if (!stream) {
		if (own >= 0)
			taps_host->fd_drop(own);
		return own < 0 ? own : -ENOMEM;
	}
	if (!winner->own && (atomic_load(&conn->slot->flags) & SLOT_OPTIONS))
		taps_host->slot_options(conn->slot, from, own);
	/* A handshake that the loop made for an accepted connection was judged by the server. */
	order.heard = !conn->conf;
	end = relay_start(&order);
	result = end < 0 ? end : put_relayed(conn, stream, end);
	if (end >= 0 && result < 0)
		taps_host->close(end);
	if (result < 0)
		stream_released(stream);
	return result;
}

/* Somebody took a way round the shim while the winner was being put. */
static void escape_late(struct conn *conn)
{
	const uint32_t both = SLOT_LAYERED | SLOT_RELAY;
	struct taps_slot *slot = conn->slot;

	if ((atomic_load(&slot->flags) & both) != both || stream_escape(slot, false) == 0)
		return;
	taps_host->lock();
	taps_host->shutdown(taps_host->slot_fd(slot), SHUT_RDWR);
	taps_host->unlock();
}

int place_win(struct conn *conn)
{
	struct attempt *winner = &conn->attempts[conn->winner];
	int result;

	result = wants_relay(conn, winner) ? win_relayed(conn, winner) : put_winner(conn, winner);
	if (result < 0)
		return result;
	place_drop(conn);
	escape_late(conn);
	return 0;
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
		if (taps_host->slot_replace(conn->slot, dead, true) > 0)
			dead = -1;
		if (async)
			set_async(current_fd(conn));
	}
	/* Who wakes of this asks again under the lock, and finds the whole truth. */
	drop(&conn->peer_fd);
	taps_host->slot_flags(conn->slot, SLOT_FAILED, SLOT_CONNECTING | SLOT_SECURING);
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
	if (taps_host->slot_replace(slot, fd, true) > 0)
		fd = -1;
	slot->own_fd = -1;
	old = atomic_exchange(&slot->conn, NULL);
	/* Other threads may be in a call on it: it goes with the slot. */
	if (old) {
		old->former = slot->former;
		slot->former = old;
	}
	taps_host->slot_flags(slot, 0, SLOT_DISGUISED | SLOT_LAYERED);
	taps_host->unlock();
	if (fd >= 0)
		taps_host->close(fd);
	if (old)
		stream_retire((struct stream *)old);
}

void place_restore(struct conn *conn)
{
	taps_host->lock();
	if (carry_file(current_fd(conn), conn->own_fd))
		set_async(conn->own_fd);
	taps_host->slot_replace(conn->slot, conn->own_fd, false);
	settle_slot(conn, 0);
	taps_host->unlock();
}
