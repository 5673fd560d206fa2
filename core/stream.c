/* Established connections.  Layers never block; this file waits: outside every lock, with the
 * application's own limits (SO_RCVTIMEO, SO_SNDTIMEO, O_NONBLOCK, MSG_DONTWAIT). */
#include "core/stream_private.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/single_threaded.h>
#include <sys/time.h>

#include "core/host.h"
#include "core/loop.h"
#include "core/trace.h"
#include "core/wait.h"

#define LOOK_NS NS_PER_S /* how often a sleeping thread looks whether the file under the number is another */

static void stream_free(struct handle *handle)
{
	struct stream *stream = (struct stream *)handle;

	stream_fork_remove(stream);
	stream_more_free(stream);
	layer_close_chain(stream->chain);
	pthread_mutex_destroy(&stream->shaking);
	taps_host->free(stream);
}

static struct stream *make(struct layer *take_chain)
{
	struct stream *stream = taps_host->calloc(1, sizeof(*stream));

	if (!stream)
		return NULL;
	handle_init(&stream->handle, HANDLE_STREAM, stream_free);
	stream->chain = take_chain;
	stream->user = taps_host->process();
	stream->own = -1;
	stream->lowat = 1;
	pthread_mutex_init(&stream->shaking, NULL);
	stream_fork_enter(stream);
	return stream;
}

struct stream *stream_new(struct layer *take_chain, const struct taps_addr *peer,
			  const struct taps_addr *local)
{
	struct stream *stream = make(take_chain);

	if (stream) {
		stream->peer = *peer;
		stream->local = *local;
	}
	return stream;
}

struct stream *stream_accepted(struct layer *take_chain, const struct security *security,
			       const struct taps_addr *peer)
{
	struct stream *stream = make(take_chain);

	if (stream) {
		stream->security = security;
		stream->peer = *peer;
		atomic_store(&stream->heard, true);
		atomic_store(&stream->new, true);
	}
	return stream;
}

struct stream *stream_deferred(struct layer *take_chain, const struct security *security,
			       const struct taps_addr *peer, const struct taps_addr *local,
			       struct taps_slot *slot)
{
	struct stream *stream = stream_new(take_chain, peer, local);

	if (!stream)
		return NULL;
	stream->security = security;
	stream->deferred = true;
	atomic_store(&stream->new, true);
	if (stream_watch(stream, slot) == 0)
		return stream;
	stream->chain = NULL;
	handle_unref(&stream->handle);
	return NULL;
}

void stream_secured_by(struct stream *stream, const struct security *security)
{
	stream->security = security;
}

void stream_placed(struct stream *stream)
{
	layer_disown(stream->chain, -1);
}

const struct taps_addr *stream_name(const struct stream *stream, bool peer)
{
	return peer ? &stream->peer : &stream->local;
}

const struct security *stream_security(const struct stream *stream)
{
	return stream->security;
}

bool stream_is_new(const struct stream *stream)
{
	return atomic_load(&stream->new) && !stream->deferred;
}

/* False in a signal handler of the thread that is in the handshake. */
static bool lock_shaking(struct stream *stream)
{
	if (atomic_load(&stream->shaker) == stream_thread())
		return false;
	pthread_mutex_lock(&stream->shaking);
	return true;
}

bool stream_is_taken(struct stream *stream)
{
	if (lock_shaking(stream))
		pthread_mutex_unlock(&stream->shaking);
	return atomic_load(&stream->taken);
}

struct layer *stream_take_chain(struct stream *stream)
{
	struct layer *chain = NULL;

	if (!lock_shaking(stream))
		return NULL;
	if (stream_is_new(stream) && !atomic_load(&stream->error) && !atomic_load(&stream->leaving) &&
	    !atomic_exchange(&stream->taken, true)) {
		chain = stream->chain;
		stream->chain = NULL;
	}
	pthread_mutex_unlock(&stream->shaking);
	return chain;
}

static bool blocks(int fd, int flags)
{
	int status;

	if (flags & MSG_DONTWAIT)
		return false;
	status = taps_host->fcntl(fd, F_GETFL);
	return status >= 0 && !(status & O_NONBLOCK);
}

/* By when a blocking call gives up (socket(7), SO_RCVTIMEO). */
static int64_t limit(int fd, int option)
{
	struct timeval tv = {0};
	socklen_t len = sizeof(tv);

	if (taps_host->getsockopt(fd, SOL_SOCKET, option, &tv, &len) != 0 ||
	    (tv.tv_sec == 0 && tv.tv_usec == 0))
		return INT64_MAX;
	return now_ns() + tv.tv_sec * NS_PER_S + tv.tv_usec * 1000;
}

/* Nobody wakes a thread that sleeps on a file when another takes its place. */
static int64_t next_look(int64_t now, int64_t end)
{
	return !__libc_single_threaded && now + LOOK_NS < end ? now + LOOK_NS : end;
}

int stream_wait(const struct stream *stream, int fd, short events, int64_t end)
{
	struct pollfd wanted = {fd, events, 0};
	int64_t now;
	int result;

	for (;;) {
		now = now_ns();
		result = wait_fds(&wanted, 1, next_look(now, end), now);
		if (atomic_load(&stream->leaving) || atomic_load(&stream->taken))
			return -ESTALE;
		if (result == -EINTR && !wait_interrupted(end != INT64_MAX))
			continue;
		if (result < 0)
			return result;
		if (wanted.revents)
			return 0;
		if (end != INT64_MAX && now_ns() >= end)
			return -EAGAIN;
	}
}

static void tell_refused(const struct stream *stream, const char *event, const struct taps_addr *peer,
			 int error)
{
	const char *reason = stream->chain->ops->reason(stream->chain);
	char text[ADDR_TEXT_MAX];

	wait_say("%s: %s (rule %s)", addr_format(peer, text), reason, stream->security->rule);
	trace_failed(trace_new_id(), event, peer, error, reason);
}

const void *stream_thread(void)
{
	static __thread char address;

	return &address;
}

/* A vector that is being worked off. */
struct progress {
	struct iovec iov[64];
	int n, at;
	size_t left, done;
};

static void begin(struct progress *p, const struct msghdr *msg)
{
	int i;

	p->n = (int)(msg->msg_iovlen < 64 ? msg->msg_iovlen : 64);
	p->at = 0;
	p->left = p->done = 0;
	for (i = 0; i < p->n; i++) {
		p->iov[i] = msg->msg_iov[i];
		p->left += p->iov[i].iov_len;
	}
}

static void advance(struct progress *p, size_t bytes)
{
	p->done += bytes;
	p->left -= bytes;
	while (p->at < p->n && bytes >= p->iov[p->at].iov_len)
		bytes -= p->iov[p->at++].iov_len;
	if (p->at < p->n) {
		p->iov[p->at].iov_base = (char *)p->iov[p->at].iov_base + bytes;
		p->iov[p->at].iov_len -= bytes;
	}
}

/* What the application wants to send goes before the handshake, where the layer takes it. */
static void go_ahead(struct stream *stream, struct progress *first)
{
	struct layer *chain = stream->chain;
	size_t taken = 0;

	if (first && first->left > 0 && chain->ops->early)
		taken = chain->ops->early(chain, first->iov + first->at, first->n - first->at);
	if (taken == 0)
		return;
	advance(first, taken);
	atomic_store(&stream->ahead, true);
}

static void trace_ready(const struct stream *stream)
{
	char peer[ADDR_TEXT_MAX];
	const struct trace_arg args[] = {
		TRACE_TEXT("host", addr_format_host(&stream->peer, peer)),
		TRACE_NUMBER("port", addr_port(&stream->peer)),
	};

	if (trace_on())
		trace_agreed(trace_new_id(), stream->chain,
			     stream->deferred ? "handshake" : "ConnectionReceived", 0, now_ns(), args, 2);
}

/* With stream->shaking. */
static int shake_on(struct stream *stream, int fd, struct progress *first, struct layer_wants *wants)
{
	bool gone = atomic_load(&stream->leaving) || atomic_load(&stream->taken);
	int result = gone ? -ESTALE : stream_take_turn(stream, STREAM_RECEIVING);

	if (result == 0)
		result = stream_take_turn(stream, STREAM_SENDING);
	if (result < 0)
		return result;
	layer_renumber(stream->chain, fd);
	go_ahead(stream, first);
	result = stream->chain->ops->connect(stream->chain, now_ns(), wants);
	if (result == 0) {
		trace_ready(stream);
		atomic_store(&stream->new, false);
	}
	if (result == -EAGAIN && first && first->left > 0)
		atomic_store(&stream->refused, true);
	if (result < 0 && result != -EAGAIN && !atomic_exchange(&stream->error, -result)) {
		tell_refused(stream, "EstablishmentError", &stream->peer, -result);
		taps_host->shutdown(fd, SHUT_RDWR);
	}
	return result;
}

/* As far as it goes.  With stream->shaking, which is let go. */
static int shake_locked(struct stream *stream, int fd, struct progress *first, struct layer_wants *wants)
{
	int result;

	atomic_store(&stream->shaker, stream_thread());
	result = -atomic_load(&stream->error);
	if (result == 0 && atomic_load(&stream->new))
		result = shake_on(stream, fd, first, wants);
	atomic_store(&stream->shaker, NULL);
	pthread_mutex_unlock(&stream->shaking);
	return result;
}

/* One driver at a time.  Returns 0 when ready, -EAGAIN with *wants, -errno for good. */
static int shake(struct stream *stream, int fd, struct progress *first, struct layer_wants *wants)
{
	int result;

	pthread_mutex_lock(&stream->shaking);
	result = shake_locked(stream, fd, first, wants);
	if (result != 0)
		return result;
	if (stream->chain->ops->flush(stream->chain, fd) == -EAGAIN)
		stream_flush_behind(stream, fd);
	if (atomic_load(&stream->refused) && atomic_load(&stream->watched))
		loop_wake();
	return 0;
}

int stream_step(struct stream *stream, int fd, struct layer_wants *wants)
{
	if (pthread_mutex_trylock(&stream->shaking) != 0)
		return -EBUSY;
	return shake_locked(stream, fd, NULL, wants);
}

/* The kernel says "writable" all the time that the handshake takes: who asks it in a circle, with more to
 * send than can wait, is slowed down. */
static int refuse(const struct stream *stream, const struct progress *first)
{
	int64_t now = now_ns();

	if (first && atomic_load(&stream->ahead))
		wait_fds(NULL, 0, now + NS_PER_MS, now);
	return -EAGAIN;
}

/* Before the first byte: the handshake, for as long as the call may block; `first` are the bytes of a call
 * that sends, all of which may go before it. */
static int make_ready(struct stream *stream, int fd, int flags, int64_t end, struct progress *first)
{
	struct layer_wants wants = {0};
	int result;

	while ((result = shake(stream, fd, first, &wants)) == -EAGAIN) {
		if (first && first->left == 0 && first->done > 0)
			return 0;
		if (!blocks(fd, flags))
			return refuse(stream, first);
		result = stream_wait(stream, fd, wants.events, wants.deadline < end ? wants.deadline : end);
		if (result < 0 && !(result == -EAGAIN && now_ns() < end))
			return result;
	}
	return result;
}

void stream_make_ready(struct stream *stream, int fd, int64_t end)
{
	struct layer_wants wants = {0};

	while (atomic_load(&stream->new) && shake(stream, fd, NULL, &wants) == -EAGAIN && now_ns() < end)
		if (stream_wait(stream, fd, wants.events, wants.deadline < end ? wants.deadline : end) < 0)
			return;
}

static int prepare(struct stream *stream, int fd, int flags, int option, struct progress *first)
{
	atomic_store(&stream->user, taps_host->process());
	if (atomic_load(&stream->error))
		return -atomic_load(&stream->error);
	if (!atomic_load(&stream->new))
		return 0;
	return make_ready(stream, fd, flags, limit(fd, option), first);
}

static ssize_t partly(const struct progress *p, ssize_t otherwise)
{
	return p->done > 0 ? (ssize_t)p->done : otherwise;
}

/* How a receiving call waits. */
struct patience {
	bool alone;  /* may sleep in recv(2) */
	int64_t end; /* 0: not asked for yet */
};

/* A thread that is alone may sleep in the kernel's own recv(2), once: it knows the file's mode and the time
 * limit, and when a signal interrupts. */
static int await_input(struct stream *stream, int fd, size_t want, int flags, struct patience *patience)
{
	int result = -EOPNOTSUPP;

	if (patience->alone)
		result = stream->chain->ops->sleep(stream->chain, fd, want);
	patience->alone = false;
	if (result != -EOPNOTSUPP)
		return result;
	if (!blocks(fd, flags))
		return -EAGAIN;
	if (patience->end == 0)
		patience->end = limit(fd, SO_RCVTIMEO);
	return stream_wait(stream, fd, POLLIN, patience->end);
}

/* How many bytes a call waits for (socket(7), SO_RCVLOWAT; recv(2), MSG_WAITALL). */
static size_t target_of(const struct stream *stream, size_t room, int flags)
{
	size_t lowat = (size_t)atomic_load(&stream->lowat);

	return (flags & MSG_WAITALL) || room < lowat ? room : lowat;
}

/* Bytes that are only looked at stay, so the layer is told how many there must be. */
static void await_enough(struct stream *stream, int fd, size_t target, int flags)
{
	struct layer *chain = stream->chain;
	int64_t end = limit(fd, SO_RCVTIMEO);

	chain->ops->lowat(chain, fd, target < INT_MAX ? (int)target : INT_MAX);
	while (stream_take_turn(stream, STREAM_RECEIVING) == 0 && !chain->ops->readable(chain, fd) &&
	       blocks(fd, flags) && stream_wait(stream, fd, POLLIN, end) == 0)
		;
	chain->ops->lowat(chain, fd, atomic_load(&stream->lowat));
}

static ssize_t recv_loop(struct stream *stream, int fd, struct progress *p, int flags)
{
	size_t target = target_of(stream, p->left, flags);
	struct patience patience = {
		.alone = __libc_single_threaded && !(flags & MSG_DONTWAIT) && stream->chain->ops->sleep,
	};

	if ((flags & MSG_PEEK) && target > 1)
		await_enough(stream, fd, target, flags);
	for (;;) {
		int result = stream_take_turn(stream, STREAM_RECEIVING);
		ssize_t n = result;

		if (result == 0)
			n = stream->chain->ops->recv(stream->chain, fd, p->iov + p->at, p->n - p->at,
						     flags & MSG_PEEK);
		if (n > 0) {
			atomic_store_explicit(&stream->heard, true, memory_order_relaxed);
			advance(p, (size_t)n);
			if (p->done >= target || (flags & MSG_PEEK))
				return (ssize_t)p->done;
			continue;
		}
		if (n != -EAGAIN)
			return partly(p, n);
		result = await_input(stream, fd, p->left, flags, &patience);
		if (result < 0)
			return partly(p, result);
	}
}

/* tcp(7): MSG_TRUNC throws the bytes away. */
static ssize_t recv_nothing(struct stream *stream, int fd, const struct progress *to, int flags)
{
	char waste[4096];
	struct iovec iov[64];
	struct msghdr msg = {.msg_iov = iov};
	struct progress p;
	size_t left = to->left;

	for (; left > 0 && msg.msg_iovlen < 64; msg.msg_iovlen++) {
		size_t n = left < sizeof(waste) ? left : sizeof(waste);

		iov[msg.msg_iovlen] = (struct iovec){waste, n};
		left -= n;
	}
	begin(&p, &msg);
	return recv_loop(stream, fd, &p, flags & ~MSG_TRUNC);
}

static ssize_t receive(struct stream *stream, int fd, struct msghdr *msg, int flags)
{
	struct progress p;
	int result;

	if (flags & (MSG_OOB | MSG_ERRQUEUE))
		return flags & MSG_OOB ? -EINVAL : -EAGAIN;
	result = prepare(stream, fd, flags, SO_RCVTIMEO, NULL);
	if (result < 0)
		return result;
	begin(&p, msg);
	msg->msg_namelen = 0;
	msg->msg_controllen = 0;
	msg->msg_flags = 0;
	if (p.left == 0)
		return 0;
	if (flags & MSG_TRUNC)
		return recv_nothing(stream, fd, &p, flags);
	return recv_loop(stream, fd, &p, flags);
}

/* Returns TAPS_PASS when a relay has the connection, or the loop the handshake; 0 if it stayed. */
static int await_taker(struct stream *stream)
{
	return stream_is_taken(stream) || stream_await_relay(stream) ? TAPS_PASS : 0;
}

/* With TLS 1.3 a server refuses the client's certificate when the client has ended its handshake (RFC 8446
 * §4.4.2).  The application knows the peer by another port, maybe. */
static void tell_refused_late(struct stream *stream, int fd)
{
	struct taps_addr peer;

	if (stream->security && !atomic_load(&stream->error) && !atomic_exchange(&stream->said, true) &&
	    host_peer(fd, &peer))
		tell_refused(stream, "ConnectionError", &peer, EPROTO);
}

ssize_t stream_recv(struct stream *stream, int fd, struct msghdr *msg, int flags)
{
	ssize_t n;

	do
		n = receive(stream, fd, msg, flags);
	while (n == -ESTALE && (n = await_taker(stream)) == 0);
	if (n == -EPROTO)
		tell_refused_late(stream, fd);
	return n;
}

static ssize_t send_loop(struct stream *stream, int fd, struct progress *p, int flags)
{
	int64_t end = 0;

	while (p->left > 0) {
		int result = stream_take_turn(stream, STREAM_SENDING);
		ssize_t n = result;

		if (result == 0)
			n = stream_more_send(stream, fd, p->iov + p->at, p->n - p->at, flags & MSG_MORE);
		if (n > 0) {
			advance(p, (size_t)n);
			continue;
		}
		if (n != -EAGAIN)
			return partly(p, n);
		if (!blocks(fd, flags))
			return partly(p, n);
		if (end == 0)
			end = limit(fd, SO_SNDTIMEO);
		result = stream_wait(stream, fd, POLLOUT, end);
		if (result < 0)
			return partly(p, result);
	}
	return (ssize_t)p->done;
}

/* Asks whether something could be sent. */
static int send_nothing(struct stream *stream, int fd, int flags)
{
	if (blocks(fd, flags))
		return stream_drain(stream, fd, limit(fd, SO_SNDTIMEO));
	return stream->chain->ops->flush(stream->chain, fd);
}

static ssize_t send_all(struct stream *stream, int fd, const struct msghdr *msg, int flags)
{
	struct progress p;
	ssize_t sent;
	int result;

	if (flags & MSG_OOB)
		return -EOPNOTSUPP;
	begin(&p, msg);
	result = prepare(stream, fd, flags, SO_SNDTIMEO, &p);
	if (result < 0 || (p.left == 0 && p.done > 0))
		return partly(&p, result);
	if (p.left == 0)
		return send_nothing(stream, fd, flags);
	sent = send_loop(stream, fd, &p, flags);
	if (sent > 0 && stream->chain->ops->flush(stream->chain, fd) == -EAGAIN) {
		if (blocks(fd, flags))
			stream_drain(stream, fd, limit(fd, SO_SNDTIMEO));
		else
			stream_flush_behind(stream, fd);
	}
	return sent;
}

ssize_t stream_send(struct stream *stream, int fd, const struct msghdr *msg, int flags)
{
	ssize_t n;

	do
		n = send_all(stream, fd, msg, flags);
	while (n == -ESTALE && (n = await_taker(stream)) == 0);
	return n;
}

#define LOWAT_MAX (1 << 20) /* so much is decrypted for it */

void stream_set_lowat(struct stream *stream, int fd, int bytes)
{
	bool locked;

	bytes = bytes < 0 || bytes > LOWAT_MAX ? LOWAT_MAX : bytes ? bytes : 1;
	atomic_store(&stream->lowat, bytes);
	locked = lock_shaking(stream);
	if (stream->chain && stream->chain->ops->lowat)
		stream->chain->ops->lowat(stream->chain, fd, bytes);
	if (locked)
		pthread_mutex_unlock(&stream->shaking);
}

int stream_lowat(const struct stream *stream)
{
	return atomic_load(&stream->lowat);
}

static int option_of(int fd, int level, int name)
{
	int value = 0;
	socklen_t len = sizeof(value);

	return taps_host->getsockopt(fd, level, name, &value, &len) == 0 ? value : 0;
}

void stream_take_options(struct stream *stream, int fd, int from)
{
	int lowat = option_of(from, SOL_SOCKET, SO_RCVLOWAT), one = 1;

	if (option_of(from, IPPROTO_TCP, TCP_CORK))
		stream_cork(stream, fd, true);
	if (lowat <= 1)
		return;
	taps_host->setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof(one));
	stream_set_lowat(stream, fd, lowat);
}

int stream_readable(struct stream *stream, int fd)
{
	struct layer_wants wants;

	if (atomic_load(&stream->error))
		return 1;
	if (atomic_load(&stream->new)) {
		int result = shake(stream, fd, NULL, &wants);

		if (result == -EAGAIN || atomic_load(&stream->taken))
			return 0;
		if (result < 0)
			return 1;
	}
	return stream_take_turn(stream, STREAM_RECEIVING) < 0 ||
	       stream->chain->ops->readable(stream->chain, fd);
}

/* All of the kernel's queue is decrypted for that: who reads as much as he was told may wait for an edge then
 * (epoll(7)), and there would be none for what has come already. */
size_t stream_pending(struct stream *stream, int fd)
{
	struct layer *chain = stream->chain;

	if (!chain || atomic_load(&stream->new))
		return 0;
	if (stream_take_turn(stream, STREAM_RECEIVING) == 0) {
		chain->ops->lowat(chain, fd, INT_MAX);
		chain->ops->readable(chain, fd);
		chain->ops->lowat(chain, fd, atomic_load(&stream->lowat));
	}
	return chain->ops->pending(chain);
}
