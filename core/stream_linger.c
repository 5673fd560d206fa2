/* The end of connections.  close(2) does not wait: the kernel goes on for the application.  But a socket that
 * was closed before the peer's tickets or its goodbye came is reset by them, and what is not acknowledged by
 * then is lost (RFC 2525, section 2.17; RFC 8446, section 6.1).  So where that may happen, or the kernel did
 * not take everything yet, a descriptor of our own stays with the connection.  The loop looks after it, and
 * when the process ends, a process of its own. */
#include "core/stream_private.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stddef.h>
#include <sys/ioctl.h>

#include "core/host.h"
#include "core/loop.h"
#include "core/relay.h"
#include "core/wait.h"

#define STALL_NS (30 * NS_PER_S) /* how long the peer may take nothing */
#define LOOK_NS (2 * NS_PER_S)   /* how long it may take to end, once it has it all */
#define PART_NS (10 * NS_PER_MS) /* how long a process that ends waits itself */

struct lingering {
	struct loop_client client;
	struct stream *stream; /* a reference */
	int fd;                /* a duplicate of the application's */
	pid_t home;
	bool looped;           /* the loop has it */
	bool over;
	bool mute;             /* another process sent, and said goodbye */
	bool ended;            /* all is the kernel's, our end of stream too */
	bool deaf;             /* a shutdown of both directions: until `look` nothing can be heard */
	bool handed;           /* a process of its own has it */
	int unacknowledged;    /* when it was looked last */
	int64_t look, end;
	struct lingering *next, **prev;
};

/* With the loop's lock. */
static struct lingering *lingers;
static _Atomic bool any; /* without it: was there ever one in this process? */

static struct lingering *linger_of(struct loop_client *client)
{
	return (struct lingering *)((char *)client - offsetof(struct lingering, client));
}

/* tcp(7), SIOCOUTQ. */
static int unacknowledged(int fd)
{
	int bytes = 0;

	return taps_host->ioctl(fd, SIOCOUTQ, &bytes) == 0 ? bytes : 0;
}

enum heard { NOTHING, BYTES, END };

static enum heard listen_to(struct layer *chain, int fd)
{
	if (!chain->ops->readable(chain, fd))
		return NOTHING;
	return chain->ops->pending(chain) > 0 ? BYTES : END;
}

/* Returns whether the peer still lacks something of what the kernel has. */
static bool look(struct lingering *linger, int64_t now)
{
	int bytes = unacknowledged(linger->fd);

	if (bytes != linger->unacknowledged)
		linger->end = now + STALL_NS;
	linger->unacknowledged = bytes;
	linger->look = now + LOOK_NS;
	return bytes > 0;
}

/* Without waiting.  Returns false when nothing is left to do: the peer ended, has everything and sends
 * nothing, or sends bytes that nobody will read (whom the kernel then resets, as it does without us). */
static bool go_on(struct lingering *linger, int64_t now)
{
	struct layer *chain = linger->stream->chain;
	int left = linger->mute ? 0 : stream_say_all(linger->stream, linger->fd);
	enum heard heard;

	if ((left < 0 && left != -EAGAIN) || now >= linger->end)
		return false;
	linger->deaf = linger->deaf && now < linger->look;
	if (linger->deaf) {
		linger->client.n_fds = 0;
		linger->client.deadline = linger->look;
		return true;
	}
	if (left == 0 && !linger->ended)
		linger->ended = taps_host->shutdown(linger->fd, SHUT_WR) == 0;
	heard = listen_to(chain, linger->fd);
	if (heard == BYTES || (heard == END && left == 0))
		return false;
	if (now >= linger->look && !look(linger, now) && left == 0)
		return false;
	linger->client.fds[0] = (struct pollfd){
		linger->fd, (short)((left ? POLLOUT : 0) | (heard == NOTHING ? POLLIN : 0)), 0};
	linger->client.n_fds = 1;
	linger->client.deadline = linger->look;
	return true;
}

/* The application's time to linger (socket(7), SO_LINGER) is over: the loop does not wait in close(2). */
static void release(struct lingering *linger)
{
	static const struct linger at_once;

	taps_host->setsockopt(linger->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	taps_host->fd_drop(linger->fd);
	handle_unref(&linger->stream->handle);
	taps_host->free(linger);
}

static void leave_list(struct lingering *linger)
{
	linger->over = true;
	*linger->prev = linger->next;
	if (linger->next)
		linger->next->prev = linger->prev;
}

/* A child of fork(2) has no part in it. */
static bool linger_run(struct loop_client *client, int64_t now)
{
	struct lingering *linger = linger_of(client);

	return !linger->over && linger->home == taps_host->process() && go_on(linger, now);
}

static void linger_done(struct loop_client *client)
{
	struct lingering *linger = linger_of(client);

	if (!linger->over)
		leave_list(linger);
	if (linger->home == taps_host->process() && !linger->ended && !linger->handed)
		taps_host->shutdown(linger->fd, SHUT_WR);
	release(linger);
}

static void forget(struct lingering *linger)
{
	leave_list(linger);
	if (!linger->looped)
		release(linger);
}

static struct lingering *make(struct stream *stream, int fd)
{
	struct lingering *linger = taps_host->calloc(1, sizeof(*linger));
	int copy = linger ? host_copy(fd) : -ENOMEM;
	int64_t now = now_ns();

	if (copy < 0) {
		taps_host->free(linger);
		return NULL;
	}
	handle_ref(&stream->handle);
	*linger = (struct lingering){
		.client = {.run = linger_run, .done = linger_done, .deadline = INT64_MAX},
		.stream = stream,
		.fd = copy,
		.home = taps_host->process(),
		.look = now + LOOK_NS,
		.end = now + STALL_NS,
	};
	return linger;
}

enum manner { USUAL, DEAF, MUTE };

static int enter(struct stream *stream, int fd, bool parting, enum manner manner)
{
	struct lingering *linger = make(stream, fd);
	int result = 0;

	if (!linger)
		return -ENOMEM;
	linger->deaf = manner == DEAF;
	linger->mute = manner == MUTE;
	loop_lock();
	linger->next = lingers;
	linger->prev = &lingers;
	if (lingers)
		lingers->prev = &linger->next;
	lingers = linger;
	atomic_store(&any, true);
	linger->looped = !parting;
	if (!parting)
		result = loop_add(&linger->client);
	if (result < 0) {
		linger->looped = false;
		forget(linger);
	}
	loop_unlock();
	return result;
}

/* socket(7), SO_LINGER: with no time at all the connection is to be reset. */
static bool is_abandoned(int fd)
{
	struct linger option = {0};
	socklen_t len = sizeof(option);

	return taps_host->getsockopt(fd, SOL_SOCKET, SO_LINGER, &option, &len) == 0 && option.l_onoff &&
	       !option.l_linger;
}

void stream_linger(struct stream *stream, int fd, bool parting)
{
	struct layer *chain = stream->chain;
	bool settled = atomic_load(&stream->heard) && unacknowledged(fd) == 0;
	bool mute = stream_take_turn(stream, STREAM_SENDING) < 0;
	enum heard heard;
	int left;

	if (is_abandoned(fd))
		return;
	atomic_store(&stream->shut, true);
	left = mute ? 0 : stream_say_all(stream, fd);
	if ((left < 0 && left != -EAGAIN) || stream_take_turn(stream, STREAM_RECEIVING) < 0)
		return;
	heard = listen_to(chain, fd);
	if (heard == BYTES || (left == 0 && (settled || heard == END)))
		return;
	if (enter(stream, fd, parting, mute ? MUTE : USUAL) < 0 && left < 0)
		stream_drain(stream, fd, now_ns() + LOOK_NS);
}

bool stream_hold_end(struct stream *stream, int fd)
{
	return !atomic_load(&stream->heard) && !atomic_exchange(&stream->ended, true) &&
	       stream_is_last_copy(stream) && enter(stream, fd, false, DEAF) == 0;
}

/* One step of each; returns how many are left. */
static unsigned step_all(int64_t now)
{
	struct lingering *linger, *next;
	unsigned n = 0;

	for (linger = lingers; linger; linger = next) {
		next = linger->next;
		if (linger->home != taps_host->process() || !go_on(linger, now))
			forget(linger);
		else
			n++;
	}
	return n;
}

/* Returns when something happened, or at `end`. */
static int await_any(unsigned n, int64_t end, int64_t now)
{
	struct pollfd *fds = taps_host->calloc(n, sizeof(*fds));
	struct lingering *linger;
	unsigned i = 0;
	int result;

	if (!fds)
		return -ENOMEM;
	for (linger = lingers; linger && i < n; linger = linger->next) {
		fds[i++] = linger->client.n_fds ? linger->client.fds[0] : (struct pollfd){.fd = -1};
		end = linger->client.deadline < end ? linger->client.deadline : end;
	}
	result = wait_fds(fds, i, end, now);
	taps_host->free(fds);
	return result;
}

static void work_off(int64_t end)
{
	int64_t now;
	unsigned n;

	while ((now = now_ns()) < end && (n = step_all(now)) > 0)
		if (await_any(n, end, now) < 0)
			return;
}

static void outlive(void *unused)
{
	struct lingering *linger;

	(void)unused;
	for (linger = lingers; linger; linger = linger->next)
		linger->home = taps_host->process();
	work_off(INT64_MAX);
}

/* The process is about to go.  What still lingers gets one of its own. */
static void hand_over(void)
{
	unsigned n = 0, i = 0;
	struct lingering *linger;
	bool handed;
	int *fds;

	for (linger = lingers; linger; linger = linger->next)
		n++;
	fds = n ? taps_host->calloc(n, sizeof(*fds)) : NULL;
	if (!fds)
		return;
	for (linger = lingers; linger; linger = linger->next)
		fds[i++] = linger->fd;
	handed = relay_detach(outlive, NULL, fds, n) == 0;
	for (linger = lingers; linger; linger = linger->next)
		linger->handed = handed;
	taps_host->free(fds);
}

void stream_part(void)
{
	if (!atomic_load(&any))
		return;
	loop_lock();
	work_off(now_ns() + PART_NS);
	hand_over();
	while (lingers)
		forget(lingers);
	loop_unlock();
}
