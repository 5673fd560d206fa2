/* The relay's work on its two sockets.  Nothing here waits; the caller (core/relay.c) has both sockets in an
 * edge-triggered epoll set and comes back at each event. */
#include "core/pump.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "core/host.h"

#define UP_SIZE (LAYER_SEND_MAX + 1)
#define DOWN_SIZE LAYER_SEND_MAX
#define STALL_NS (30 * NS_PER_S) /* after the application has gone: how long the network may take nothing */
#define HALVES_NS (900 * NS_PER_S) /* the same where it may be there: tcp(7), tcp_retries2 */
#define LINGER_NS (2 * NS_PER_S) /* how long the peer may take to end its direction too */

int pump_init(struct pump *pump, struct layer *chain, int net, int app)
{
	*pump = (struct pump){.chain = chain, .net = net, .app = app};
	pump->up = taps_host->malloc(UP_SIZE);
	pump->down = taps_host->malloc(DOWN_SIZE);
	if (pump->up && pump->down)
		return 0;
	pump_fini(pump);
	return -ENOMEM;
}

void pump_fini(struct pump *pump)
{
	taps_host->free(pump->up);
	taps_host->free(pump->down);
	pump->up = pump->down = NULL;
}

void pump_hear(struct pump *pump, uint32_t events)
{
	if (events & (EPOLLRDHUP | EPOLLHUP))
		pump->ended = true;
	/* Two halves that were shut down look like a descriptor that was closed (unix(7)). */
	if (events & EPOLLHUP && !pump->gone)
		pump->halves = pump->heard_all;
	if (events & EPOLLHUP)
		pump->gone = pump->deaf = true;
}

static bool fail(struct pump *pump)
{
	pump->broken = true;
	return false;
}

static bool deliver(struct pump *pump)
{
	ssize_t n = taps_host->send(pump->app, pump->down + pump->from, pump->to - pump->from,
				    MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	/* Who does not receive any more loses what comes, as with shutdown(2) of TCP. */
	if (n < 0)
		pump->deaf = true;
	pump->from = n < 0 ? pump->to : pump->from + (size_t)n;
	return true;
}

static bool move_down(struct pump *pump)
{
	struct iovec iov = {pump->down, DOWN_SIZE};
	ssize_t n;

	if (pump->broken)
		return false;
	if (pump->from < pump->to && !pump->deaf)
		return deliver(pump);
	if (pump->heard_all)
		return false;
	n = pump->chain->ops->recv(pump->chain, pump->net, &iov, 1, false);
	if (n == -EAGAIN)
		return false;
	if (n < 0) {
		pump->error = (int)n;
		return fail(pump);
	}
	pump->from = 0;
	pump->to = (size_t)n;
	pump->heard |= n > 0;
	/* Who goes on sending to nobody is reset, as by a kernel whose socket was closed. */
	if (n > 0 && pump->gone && pump->finished) {
		pump->to = 0;
		pump->heard_all = true;
	}
	if (n == 0) {
		pump->heard_all = true;
		taps_host->shutdown(pump->app, SHUT_WR);
	}
	return true;
}

/* The network takes nothing more: what it said before goes to the application first. */
static bool fail_sending(struct pump *pump)
{
	while (move_down(pump))
		;
	return fail(pump);
}

/* The application's end of stream has been reached; passes it on. */
static bool finish(struct pump *pump)
{
	int result = pump->chain->ops->finish(pump->chain, pump->net);

	if (result == 0 || result == -EAGAIN)
		result = pump->chain->ops->flush(pump->chain, pump->net);
	if (result == -EAGAIN)
		return false;
	if (result < 0)
		return fail_sending(pump);
	taps_host->shutdown(pump->net, SHUT_WR);
	pump->finished = true;
	return true;
}

/* Looks behind the byte that was held back, and takes out as many as were passed on: again the last of all
 * stays. */
static bool move_up(struct pump *pump)
{
	struct iovec iov = {pump->up + 1, 0};
	ssize_t n, sent;
	int result;

	if (pump->finished || pump->broken)
		return false;
	result = pump->chain->ops->flush(pump->chain, pump->net);
	if (result < 0)
		return result == -EAGAIN ? false : fail_sending(pump);
	n = taps_host->recv(pump->app, pump->up, UP_SIZE, MSG_PEEK | MSG_DONTWAIT);
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		return fail(pump);
	if (n <= 1)
		return pump->ended ? finish(pump) : false;
	iov.iov_len = (size_t)n - 1;
	sent = pump->chain->ops->send(pump->chain, pump->net, &iov, 1);
	if (sent < 0)
		return sent == -EAGAIN ? false : fail_sending(pump);
	return taps_host->recv(pump->app, pump->up, (size_t)sent, MSG_DONTWAIT) == sent || fail(pump);
}

/* A peer that sends without end is not waited for. */
static bool is_waiting_in_vain(const struct pump *pump, int64_t now)
{
	return pump->gone && now >= pump_deadline(pump);
}

void pump_run(struct pump *pump, int64_t now)
{
	bool up, down;

	do {
		up = move_up(pump);
		down = move_down(pump);
		now = up || down ? now_ns() : now;
		if (up || down)
			pump->moved = now;
		if (pump->gone && pump->finished && pump->left == 0)
			pump->left = now;
	} while ((up || down) && !is_waiting_in_vain(pump, now));
}

int64_t pump_deadline(const struct pump *pump)
{
	if (!pump->gone)
		return INT64_MAX;
	if (pump->left)
		return pump->left + LINGER_NS;
	return pump->moved + (pump->halves ? HALVES_NS : STALL_NS);
}

bool pump_is_over(const struct pump *pump, int64_t now)
{
	if (pump->broken)
		return true;
	if (pump->finished && pump->heard_all && pump->from == pump->to)
		return true;
	return is_waiting_in_vain(pump, now);
}

void pump_end(struct pump *pump)
{
	char byte;

	if (pump->finished && pump->heard_all)
		taps_host->recv(pump->app, &byte, 1, MSG_DONTWAIT);
	taps_host->shutdown(pump->net, SHUT_RDWR);
}
