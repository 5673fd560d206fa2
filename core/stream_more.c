/* Bytes that more will follow (send(2), MSG_MORE; tcp(7), TCP_CORK): as the kernel gathers them into full
 * segments, they are gathered into full records here, for 200 ms at most. */
#include "core/stream_private.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>

#include "core/host.h"
#include "core/loop.h"

#define CEILING_NS (200 * NS_PER_MS)
#define RECORD_MAX 16384 /* RFC 8446, section 5.1 */

/* Locks: this one, then the list's. */
struct stream_more {
	pthread_mutex_t lock;
	size_t size;
	int fd; /* a duplicate of the application's while the list has it, else -1 */
	int64_t due;
	struct stream *stream; /* a reference, with fd */
	struct stream_more *next, **prev;
	uint8_t data[RECORD_MAX];
};

/* Those that hold bytes, and the loop's client that looks after them. */
static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static struct stream_more *list;
static bool timed;

static void enter_list(struct stream *stream, int fd)
{
	struct stream_more *more = stream->more;

	more->fd = host_copy(fd);
	if (more->fd < 0)
		return;
	handle_ref(&stream->handle);
	more->stream = stream;
	more->due = now_ns() + CEILING_NS;
	pthread_mutex_lock(&list_lock);
	more->next = list;
	more->prev = &list;
	if (list)
		list->prev = &more->next;
	list = more;
	pthread_mutex_unlock(&list_lock);
}

/* With its lock.  The caller has a reference to the stream. */
static void leave_list(struct stream_more *more)
{
	if (more->fd < 0)
		return;
	pthread_mutex_lock(&list_lock);
	*more->prev = more->next;
	if (more->next)
		more->next->prev = more->prev;
	pthread_mutex_unlock(&list_lock);
	taps_host->fd_drop(more->fd);
	more->fd = -1;
	handle_unref(&more->stream->handle);
}

static void drop(struct stream_more *more, size_t bytes)
{
	more->size -= bytes;
	if (more->size)
		memmove(more->data, more->data + bytes, more->size);
	else
		leave_list(more);
}

/* What is held, then the vector, `max` bytes in all. */
static int join(const struct stream_more *more, const struct iovec *iov, int n, size_t max,
		struct iovec to[64])
{
	int used = 0;

	if (more->size)
		to[used++] = (struct iovec){(void *)(uintptr_t)more->data, more->size};
	max -= more->size < max ? more->size : max;
	for (; n > 0 && used < 64 && max > 0; iov++, n--) {
		to[used] = *iov;
		if (to[used].iov_len > max)
			to[used].iov_len = max;
		max -= to[used++].iov_len;
	}
	return used;
}

static size_t total(const struct iovec *iov, int n)
{
	size_t bytes = 0;

	while (n-- > 0)
		bytes += iov[n].iov_len;
	return bytes;
}

/* Sends `max` bytes, or as many as the layer takes.  Returns how many of the vector's, or -errno. */
static ssize_t send_joined(struct stream *stream, int fd, const struct iovec *iov, int n, size_t max)
{
	struct stream_more *more = stream->more;
	struct iovec whole[64];
	ssize_t sent = stream->chain->ops->send(stream->chain, fd, whole, join(more, iov, n, max, whole));
	size_t held = more->size;

	if (sent < 0)
		return sent;
	drop(more, (size_t)sent < held ? (size_t)sent : held);
	return (size_t)sent > held ? sent - (ssize_t)held : 0;
}

/* All of it is less than a record, with what is held. */
static ssize_t hold(struct stream *stream, int fd, const struct iovec *iov, int n)
{
	struct stream_more *more = stream->more;
	size_t before = more->size;

	for (; n > 0; iov++, n--) {
		memcpy(more->data + more->size, iov->iov_base, iov->iov_len);
		more->size += iov->iov_len;
	}
	if (more->size && more->fd < 0)
		enter_list(stream, fd);
	/* Nobody would look after them. */
	if (more->size && more->fd < 0) {
		more->size = before;
		return -EAGAIN;
	}
	return (ssize_t)(more->size - before);
}

static ssize_t gather(struct stream *stream, int fd, const struct iovec *iov, int n)
{
	size_t size = total(iov, n), all = stream->more->size + size;
	ssize_t sent;

	if (all < RECORD_MAX) {
		sent = hold(stream, fd, iov, n);
		return sent == -EAGAIN ? send_joined(stream, fd, iov, n, all) : sent;
	}
	return send_joined(stream, fd, iov, n, all - all % RECORD_MAX);
}

static struct stream_more *make(void)
{
	struct stream_more *more = taps_host->calloc(1, sizeof(*more));

	if (!more)
		return NULL;
	pthread_mutex_init(&more->lock, NULL);
	more->fd = -1;
	return more;
}

static bool ensure(struct stream *stream)
{
	struct stream_more *none = NULL, *more = make();

	if (more && !atomic_compare_exchange_strong(&stream->more, &none, more))
		taps_host->free(more);
	return atomic_load(&stream->more);
}

/* The loop's client: one for all, as long as there is something. */

static struct stream *next_due(int64_t now, int64_t *ret_next)
{
	struct stream_more *more;
	struct stream *stream = NULL;

	*ret_next = INT64_MAX;
	pthread_mutex_lock(&list_lock);
	for (more = list; more && !stream; more = more->next) {
		if (more->due <= now) {
			stream = more->stream;
			handle_ref(&stream->handle);
			more->due = now + CEILING_NS;
		}
		*ret_next = more->due < *ret_next ? more->due : *ret_next;
	}
	timed = list != NULL;
	pthread_mutex_unlock(&list_lock);
	return stream;
}

static void push_due(struct stream *stream)
{
	struct stream_more *more = stream->more;

	pthread_mutex_lock(&more->lock);
	if (more->size && stream_take_turn(stream, STREAM_SENDING) == 0)
		send_joined(stream, more->fd, NULL, 0, more->size);
	pthread_mutex_unlock(&more->lock);
	handle_unref(&stream->handle);
}

static bool timer_run(struct loop_client *client, int64_t now)
{
	struct stream *stream;

	while ((stream = next_due(now, &client->deadline)))
		push_due(stream);
	return client->deadline != INT64_MAX;
}

static void timer_done(struct loop_client *client)
{
	taps_host->free(client);
}

static void start_timer(void)
{
	struct loop_client *client;
	bool wanted;

	loop_lock();
	pthread_mutex_lock(&list_lock);
	wanted = list && !timed;
	timed = timed || wanted;
	pthread_mutex_unlock(&list_lock);
	client = wanted ? taps_host->calloc(1, sizeof(*client)) : NULL;
	if (client) {
		client->run = timer_run;
		client->done = timer_done;
		if (loop_add(client) < 0)
			taps_host->free(client);
	}
	loop_unlock();
}

ssize_t stream_more_send(struct stream *stream, int fd, const struct iovec *iov, int n, bool more)
{
	ssize_t result;
	bool start;

	more = more || atomic_load(&stream->corked);
	if (!atomic_load(&stream->more) && (!more || !ensure(stream)))
		return stream->chain->ops->send(stream->chain, fd, iov, n);
	if (atomic_load(&stream->shut))
		return -EPIPE;
	pthread_mutex_lock(&stream->more->lock);
	if (more)
		result = gather(stream, fd, iov, n);
	else
		result = send_joined(stream, fd, iov, n, stream->more->size + total(iov, n));
	start = stream->more->size > 0;
	pthread_mutex_unlock(&stream->more->lock);
	if (start)
		start_timer();
	return result;
}

int stream_more_push(struct stream *stream, int fd)
{
	struct stream_more *more = atomic_load(&stream->more);
	int result = stream->chain->ops->flush(stream->chain, fd);

	if (result < 0 || !more)
		return result;
	pthread_mutex_lock(&more->lock);
	while (more->size && result >= 0)
		result = (int)send_joined(stream, fd, NULL, 0, more->size);
	pthread_mutex_unlock(&more->lock);
	return result < 0 ? result : stream->chain->ops->flush(stream->chain, fd);
}

void stream_cork(struct stream *stream, int fd, bool on)
{
	atomic_store(&stream->corked, on);
	if (on || !stream_more_holds(stream) || stream_take_turn(stream, STREAM_SENDING) < 0)
		return;
	if (stream_more_push(stream, fd) == -EAGAIN)
		stream_flush_behind(stream, fd);
}

int stream_more_drain(struct stream *stream, int64_t end)
{
	struct stream_more *more = atomic_load(&stream->more);
	int result;

	if (stream_take_turn(stream, STREAM_SENDING) < 0)
		return -EIO;
	while ((result = stream_more_push(stream, more->fd)) == -EAGAIN) {
		result = stream_wait(stream, more->fd, POLLOUT, end);
		if (result < 0)
			return result;
	}
	return result;
}

bool stream_more_holds(const struct stream *stream)
{
	const struct stream_more *more = atomic_load(&stream->more);

	return more && more->size > 0;
}

void stream_more_free(struct stream *stream)
{
	struct stream_more *more = atomic_load(&stream->more);

	if (!more)
		return;
	pthread_mutex_destroy(&more->lock);
	taps_host->free(more);
}

void stream_more_lock_list(bool lock)
{
	if (lock)
		pthread_mutex_lock(&list_lock);
	else
		pthread_mutex_unlock(&list_lock);
}

void stream_more_hold(struct stream *stream)
{
	struct stream_more *more = atomic_load(&stream->more);

	if (more)
		pthread_mutex_lock(&more->lock);
}

void stream_more_let_go(struct stream *stream, bool child)
{
	struct stream_more *more = atomic_load(&stream->more);

	if (!more)
		return;
	if (child)
		drop(more, more->size);
	pthread_mutex_unlock(&more->lock);
}
