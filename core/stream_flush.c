/* Streams: what the kernel does not take at once, and the end of the sending direction. */
#include "core/stream_private.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>

#include "core/host.h"
#include "core/loop.h"

#define SHUTDOWN_NS (2 * NS_PER_S)

int stream_drain(struct stream *stream, int fd, int64_t end)
{
	int result;

	while ((result = stream->chain->ops->flush(stream->chain, fd)) == -EAGAIN) {
		result = stream_wait(stream, fd, POLLOUT, end);
		if (result < 0)
			return result;
	}
	return result;
}

int stream_say_all(struct stream *stream, int fd)
{
	struct layer *chain = stream->chain;
	int result = stream_more_push(stream, fd);

	if (result == 0)
		result = chain->ops->finish(chain, fd);
	return result == 0 ? chain->ops->flush(chain, fd) : result;
}

int stream_drain_kept(struct stream *stream, int64_t end)
{
	return stream_drain(stream, stream->kept_fd, end);
}

/* The loop's part of sending: what the kernel did not take from a non-blocking call. */
struct flusher {
	struct loop_client client;
	struct stream *stream;
	int fd; /* a duplicate of the application's */
};

static struct flusher *flusher_of(struct loop_client *client)
{
	return (struct flusher *)((char *)client - offsetof(struct flusher, client));
}

static bool flusher_run(struct loop_client *client, int64_t now)
{
	struct flusher *flusher = flusher_of(client);
	struct stream *stream = flusher->stream;
	int result;

	(void)now;
	if (!atomic_load(&stream->flushing) || atomic_load(&stream->ended))
		return false;
	if (atomic_load(&stream->shut))
		result = stream_say_all(stream, flusher->fd);
	else if (!atomic_load(&stream->corked))
		result = stream_more_push(stream, flusher->fd);
	else
		result = stream->chain->ops->flush(stream->chain, flusher->fd);
	if (result == 0 && atomic_load(&stream->shut))
		taps_host->shutdown(flusher->fd, SHUT_WR);
	client->fds[0] = (struct pollfd){flusher->fd, POLLOUT, 0};
	client->n_fds = 1;
	return result == -EAGAIN;
}

static void flusher_done(struct loop_client *client)
{
	struct flusher *flusher = flusher_of(client);

	atomic_store(&flusher->stream->flushing, false);
	taps_host->fd_drop(flusher->fd);
	handle_unref(&flusher->stream->handle);
	taps_host->free(flusher);
}

/* With the lock: a flusher that has seen everything gone is none. */
static void make_flusher(struct stream *stream, int fd)
{
	struct flusher *flusher;
	int copy;

	if (atomic_exchange(&stream->flushing, true))
		return;
	flusher = taps_host->calloc(1, sizeof(*flusher));
	copy = flusher ? host_copy(fd) : -ENOMEM;
	if (copy < 0) {
		taps_host->free(flusher);
		atomic_store(&stream->flushing, false);
		return;
	}
	handle_ref(&stream->handle);
	stream->kept_fd = copy;
	*flusher = (struct flusher){
		.client = {.run = flusher_run, .done = flusher_done, .deadline = INT64_MAX},
		.stream = stream,
		.fd = copy,
	};
	if (loop_add(&flusher->client) < 0)
		flusher_done(&flusher->client);
}

void stream_flush_behind(struct stream *stream, int fd)
{
	loop_lock();
	make_flusher(stream, fd);
	loop_unlock();
}

/* Says goodbye.  Returns false if the end of the direction is left to the loop. */
static bool end_sending(struct stream *stream, int fd)
{
	if (stream_take_turn(stream, STREAM_SENDING) < 0)
		return true;
	atomic_store(&stream->shut, true);
	if (stream_say_all(stream, fd) != -EAGAIN)
		return true;
	stream_flush_behind(stream, fd);
	/* Without memory or descriptors: as far as waiting helps. */
	if (!atomic_load(&stream->flushing))
		stream_drain(stream, fd, now_ns() + SHUTDOWN_NS);
	return !atomic_load(&stream->flushing);
}

static bool is_up(const struct stream *stream)
{
	return !atomic_load(&stream->new) && !atomic_load(&stream->error) && !atomic_load(&stream->leaving);
}

/* Whose handshake was deferred owes the peer what the application has sent, and its end. */
static void settle_debts(struct stream *stream, int fd, int64_t end, bool ends)
{
	if (atomic_load(&stream->ahead) || (ends && stream->deferred))
		stream_make_ready(stream, fd, end);
}

int stream_shutdown(struct stream *stream, int fd, int how)
{
	bool now;

	settle_debts(stream, fd, now_ns() + SHUTDOWN_NS, how == SHUT_WR);
	now = how == SHUT_RD || !is_up(stream) || end_sending(stream, fd);
	if (atomic_load(&stream->relayed))
		return TAPS_PASS;
	if (!now && how == SHUT_WR)
		return 0;
	if (how == SHUT_RDWR && is_up(stream) && (!now || stream_hold_end(stream, fd)))
		how = SHUT_RD;
	return taps_host->shutdown(fd, how) == 0 ? 0 : -errno;
}

/* TCP ends when the last process lets go of the socket; the direction may be said to be over by the one who
 * has it, sooner. */
void stream_end(struct stream *stream, int fd, bool parting)
{
	bool last;

	if (!stream->chain || atomic_load(&stream->home) != taps_host->process() ||
	    atomic_exchange(&stream->ended, true))
		return;
	last = stream_is_last_copy(stream);
	settle_debts(stream, fd, now_ns() + SHUTDOWN_NS, false);
	if (!is_up(stream))
		return;
	if (last)
		stream_linger(stream, fd, parting);
	else if (stream->sending)
		end_sending(stream, fd);
}
