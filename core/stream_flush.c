/* Streams: what the kernel does not take at once, and the end of the sending direction. */
#include "core/stream_private.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>

#include "core/host.h"
#include "core/loop.h"

#define FLUSH_NS (30 * NS_PER_S)
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

int stream_drain_kept(struct stream *stream, int64_t end)
{
	return stream_drain(stream, stream->kept_fd, end);
}

/* The loop's part of sending: what the kernel did not take from a non-blocking call. */
struct flusher {
	struct loop_client client;
	struct stream *stream;
	int fd; /* a duplicate of the application's */
	int64_t end;
};

static struct flusher *flusher_of(struct loop_client *client)
{
	return (struct flusher *)((char *)client - offsetof(struct flusher, client));
}

static bool flusher_run(struct loop_client *client, int64_t now)
{
	struct flusher *flusher = flusher_of(client);
	struct layer *chain = flusher->stream->chain;

	if (now >= flusher->end || !atomic_load(&flusher->stream->flushing) ||
	    chain->ops->flush(chain, flusher->fd) != -EAGAIN)
		return false;
	client->fds[0] = (struct pollfd){flusher->fd, POLLOUT, 0};
	client->n_fds = 1;
	client->deadline = flusher->end;
	return true;
}

static void flusher_done(struct loop_client *client)
{
	struct flusher *flusher = flusher_of(client);

	atomic_store(&flusher->stream->flushing, false);
	taps_host->fd_drop(flusher->fd);
	handle_unref(&flusher->stream->handle);
	taps_host->free(flusher);
}

void stream_flush_behind(struct stream *stream, int fd)
{
	struct flusher *flusher;
	int copy;

	if (atomic_exchange(&stream->flushing, true))
		return;
	flusher = taps_host->calloc(1, sizeof(*flusher));
	copy = flusher ? taps_host->fcntl(fd, F_DUPFD_CLOEXEC, 3) : -1;
	copy = copy < 0 ? -1 : taps_host->fd_keep(copy);
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
		.end = now_ns() + FLUSH_NS,
	};
	loop_lock();
	if (loop_add(&flusher->client) < 0)
		flusher_done(&flusher->client);
	loop_unlock();
}

/* close_notify, and all before it. */
static void say_goodbye(struct stream *stream, int fd, int64_t end)
{
	if (stream_take_turn(stream, STREAM_SENDING) < 0)
		return;
	stream->chain->ops->finish(stream->chain, fd);
	stream_drain(stream, fd, end);
}

/* Were the peer's own goodbye or a ticket still unread at close(2), the kernel would reset the connection,
 * and what was sent last be lost (RFC 2525, section 2.17). */
static void read_unasked(struct stream *stream, int fd)
{
	if (stream_take_turn(stream, STREAM_RECEIVING) == 0)
		stream->chain->ops->readable(stream->chain, fd);
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
	settle_debts(stream, fd, now_ns() + SHUTDOWN_NS, how == SHUT_WR);
	if (how != SHUT_RD && is_up(stream))
		say_goodbye(stream, fd, now_ns() + SHUTDOWN_NS);
	if (atomic_load(&stream->relayed))
		return TAPS_PASS;
	return taps_host->shutdown(fd, how) == 0 ? 0 : -errno;
}

/* TCP ends when the last process lets go of the socket; the direction may be said to be over by the one who
 * has it, sooner. */
void stream_end(struct stream *stream, int fd, int ms)
{
	int64_t end = now_ns() + ms * NS_PER_MS;
	bool last;

	if (!stream->chain || atomic_load(&stream->home) != taps_host->process() ||
	    atomic_exchange(&stream->ended, true))
		return;
	last = stream_is_last_copy(stream);
	settle_debts(stream, fd, end, false);
	if (!is_up(stream))
		return;
	if (last || stream->sending)
		say_goodbye(stream, fd, end);
	else if (atomic_load(&stream->flushing))
		stream_drain(stream, fd, end);
	if (last)
		read_unasked(stream, fd);
}
