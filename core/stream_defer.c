/* Handshakes that wait for the application's first bytes.  The loop has a descriptor of its own and sees to
 * it that a handshake begins, even if the application only waits for the peer to speak, and comes to its
 * end. */
#include "core/stream_private.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>

#include "core/host.h"
#include "core/loop.h"
#include "core/wait.h"

#define BEGIN_NS (20 * NS_PER_MS) /* how long the application is given to send something */
#define BUSY_NS (2 * NS_PER_MS)   /* how often is looked whether another thread is done */

struct watcher {
	struct loop_client client;
	struct stream *stream;  /* a reference */
	struct taps_slot *slot; /* if it has the stream still */
	int fd;                 /* a duplicate of the application's */
	int64_t begin;
};

static struct watcher *watcher_of(struct loop_client *client)
{
	return (struct watcher *)((char *)client - offsetof(struct watcher, client));
}

static bool is_over(const struct stream *stream)
{
	return !atomic_load(&stream->new) || atomic_load(&stream->error) || atomic_load(&stream->leaving) ||
	       atomic_load(&stream->ended) || atomic_load(&stream->let_go) ||
	       atomic_load(&stream->home) != taps_host->process();
}

static bool watcher_run(struct loop_client *client, int64_t now)
{
	struct watcher *watcher = watcher_of(client);
	struct layer_wants wants = {.fd = -1};
	int result;

	client->n_fds = 0;
	client->deadline = watcher->begin;
	if (is_over(watcher->stream))
		return false;
	if (now < watcher->begin)
		return true;
	result = stream_step(watcher->stream, watcher->fd, &wants);
	client->deadline = result == -EBUSY ? now + BUSY_NS : wants.deadline;
	if (result == -EAGAIN)
		client->fds[client->n_fds++] = (struct pollfd){watcher->fd, wants.events, 0};
	return result == -EAGAIN || result == -EBUSY;
}

/* Who watches for edges has seen "writable", was refused all the same, and would not be told again. */
static void say_writable(struct watcher *watcher)
{
	if (!taps_host->slot_hold(watcher->slot, watcher->stream))
		return;
	taps_host->lock();
	if (taps_host->slot_replace(watcher->slot, watcher->fd, true) > 0)
		watcher->fd = -1;
	taps_host->unlock();
	taps_host->slot_unref(watcher->slot);
}

static void watcher_done(struct loop_client *client)
{
	struct watcher *watcher = watcher_of(client);
	struct stream *stream = watcher->stream;

	atomic_store(&stream->watched, false);
	if (atomic_load(&stream->refused) && !atomic_load(&stream->new) && !atomic_load(&stream->leaving) &&
	    atomic_load(&stream->home) == taps_host->process())
		say_writable(watcher);
	if (watcher->fd >= 0)
		taps_host->fd_drop(watcher->fd);
	handle_unref(&stream->handle);
	taps_host->free(watcher);
}

int stream_watch(struct stream *stream, struct taps_slot *slot)
{
	struct watcher *watcher = taps_host->calloc(1, sizeof(*watcher));
	int copy = watcher ? host_copy(layer_fd(stream->chain)) : -ENOMEM, result;

	if (copy < 0) {
		taps_host->free(watcher);
		return copy;
	}
	*watcher = (struct watcher){
		.client = {.run = watcher_run, .done = watcher_done, .deadline = INT64_MAX},
		.stream = stream,
		.slot = slot,
		.fd = copy,
		.begin = now_ns() + BEGIN_NS,
	};
	handle_ref(&stream->handle);
	stream->watch_fd = copy;
	atomic_store(&stream->watched, true);
	result = loop_add(&watcher->client);
	if (result < 0)
		watcher_done(&watcher->client);
	return result;
}

void stream_settle_deferred(struct stream *stream, int64_t end)
{
	struct layer_wants wants = {0};
	int64_t now;

	while (!is_over(stream) && stream->shaker != stream_thread() && (now = now_ns()) < end) {
		int result = stream_step(stream, stream->watch_fd, &wants);
		struct pollfd fd = {stream->watch_fd, wants.events, 0};

		if (result == -EAGAIN)
			wait_fds(&fd, 1, wants.deadline < end ? wants.deadline : end, now);
		else if (result == -EBUSY)
			wait_fds(NULL, 0, now + BUSY_NS, now);
	}
}
