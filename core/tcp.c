/* TCP as the kernel offers it (tcp(7)).  Bytes of a connection whose chain is TCP alone do not pass
 * through here: the application's descriptor is the kernel's socket, and this file's work ends with
 * the establishment. */
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/time.h>

#include "core/host.h"
#include "core/layer.h"

struct tcp {
	struct layer layer;
	struct tcp_options options;
	bool begun;
};

extern const struct layer_ops tcp_ops;

static struct tcp *tcp_of(struct layer *layer)
{
	return (struct tcp *)layer;
}

static int socket_error(int fd)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (taps_host->getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
		return errno;
	return error;
}

static bool has_peer(int fd)
{
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);

	return taps_host->getpeername(fd, (struct sockaddr *)&peer, &len) == 0;
}

static int begin_connect(const struct tcp_options *o)
{
	return taps_host->connect(o->fd, &o->remote.sa, addr_len(&o->remote)) == 0 ? 0 : -errno;
}

/* The application's own time limit, put back however the call ends: a thread may be cancelled in it. */
struct limited {
	int fd;
	struct timeval limit;
};

static void unlimit(void *arg)
{
	const struct limited *old = arg;

	taps_host->setsockopt(old->fd, SOL_SOCKET, SO_SNDTIMEO, &old->limit, sizeof(old->limit));
}

/* Connects a blocking file for a limited time without touching O_NONBLOCK, which other processes
 * may share: with SO_SNDTIMEO connect(2) gives EINPROGRESS and the attempt goes on (socket(7)). */
static int begin_blocking(const struct tcp_options *o)
{
	struct timeval limit = {.tv_sec = o->patience / NS_PER_S, .tv_usec = o->patience % NS_PER_S / 1000};
	struct limited old = {.fd = o->fd};
	socklen_t len = sizeof(old.limit);
	int result;

	if (limit.tv_sec == 0 && limit.tv_usec == 0)
		limit.tv_usec = 1;
	if (taps_host->getsockopt(o->fd, SOL_SOCKET, SO_SNDTIMEO, &old.limit, &len) != 0 ||
	    taps_host->setsockopt(o->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) != 0)
		return -errno;
	pthread_cleanup_push(unlimit, &old);
	taps_host->leave();
	result = begin_connect(o);
	taps_host->enter();
	pthread_cleanup_pop(true);
	return result;
}

/* Was the connection made, and reset since?  A round trip was measured then; a refused SYN measures none. */
static bool was_established(int fd)
{
	struct tcp_info info = {0};
	socklen_t len = sizeof(info);

	return taps_host->getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 && info.tcpi_rtt > 0;
}

/* Writable proves nothing: a refusal makes a socket writable too.  Connected is who has a peer, or had one: a
 * reset after that is the application's to read.  A socket with neither peer nor error is not connecting
 * any more, and its error was read elsewhere. */
static int check(struct tcp *tcp)
{
	struct pollfd state = {.fd = tcp->options.fd, .events = POLLOUT};
	int error;

	if (taps_host->poll(&state, 1, 0) == 0)
		return -EAGAIN;
	if (!has_peer(tcp->options.fd) && !was_established(tcp->options.fd)) {
		error = socket_error(tcp->options.fd);
		return error ? -error : -ECONNABORTED;
	}
	/* To the kernel the connect is under way until it is asked again (connect(2), EISCONN). */
	if (tcp->options.settle && has_peer(tcp->options.fd))
		begin_connect(&tcp->options);
	return 0;
}

/* A layer above goes on asking after the transport is up. */
static int done(struct tcp *tcp, int result)
{
	tcp->options.established = result == 0;
	return result;
}

static int tcp_connect(struct layer *layer, int64_t now, struct layer_wants *wants)
{
	struct tcp *tcp = tcp_of(layer);
	int result;

	(void)now;
	*wants = (struct layer_wants){.fd = tcp->options.fd, .events = POLLOUT, .deadline = INT64_MAX};
	if (tcp->options.established)
		return 0;
	if (tcp->begun)
		return done(tcp, check(tcp));
	tcp->begun = true;
	result = tcp->options.blocking ? begin_blocking(&tcp->options) : begin_connect(&tcp->options);
	return done(tcp, result == -EINPROGRESS ? -EAGAIN : result);
}

static void tcp_close(struct layer *layer)
{
	struct tcp *tcp = tcp_of(layer);

	if (!tcp->options.keep)
		taps_host->fd_drop(tcp->options.fd);
	taps_host->free(tcp);
}

const struct layer_ops tcp_ops = {
	.name = "tcp",
	.traits = LAYER_TRANSPORT | LAYER_STREAM,
	.connect = tcp_connect,
	.close = tcp_close,
};

struct layer *tcp_layer(const struct tcp_options *options)
{
	struct tcp *tcp = taps_host->calloc(1, sizeof(*tcp));

	if (!tcp)
		return NULL;
	tcp->layer.ops = &tcp_ops;
	tcp->options = *options;
	return &tcp->layer;
}

static struct tcp *bottom(struct layer *top)
{
	while (top && top->below)
		top = top->below;
	return tcp_of(top);
}

void layer_renumber(struct layer *top, int fd)
{
	bottom(top)->options.fd = fd;
}

void layer_disown(struct layer *top, int fd)
{
	struct tcp *tcp = bottom(top);

	tcp->options.keep = true;
	tcp->options.fd = fd;
}

int layer_fd(const struct layer *top)
{
	const struct tcp *tcp = bottom((struct layer *)(uintptr_t)top);

	return tcp ? tcp->options.fd : -1;
}

void tcp_disconnect(int fd)
{
	struct sockaddr none = {.sa_family = AF_UNSPEC};

	taps_host->connect(fd, &none, sizeof(none));
}
