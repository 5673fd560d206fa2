/* Streams across fork(2).  Parent and child have a copy of the session each, and one socket.  Both may go on,
 * in one direction each; what tells them apart is counted in memory that they share, made when the process
 * first forks with the stream in it. */
#include "core/stream_private.h"

#include <errno.h>
#include <sys/mman.h>

#include "core/host.h"
#include "core/loop.h"

#define FORK_DRAIN_NS (2 * NS_PER_S)

struct stream_turns {
	_Atomic uint64_t sent, received;
	_Atomic int holders; /* processes; one that was killed still counts */
};

/* Shared memory for the turns of the streams that one fork found without. */
struct stream_region {
	struct stream_turns *turns;
	size_t n;
	unsigned used; /* by streams of this process */
};

/* Over the list; taken before any lock of a stream's.  Over the turns; taken after all of them. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t turn_lock = PTHREAD_MUTEX_INITIALIZER;
static struct stream *streams;

void stream_fork_enter(struct stream *stream)
{
	stream->home = taps_host->process();
	pthread_mutex_lock(&lock);
	stream->next = streams;
	stream->prev = &streams;
	if (streams)
		streams->prev = &stream->next;
	streams = stream;
	pthread_mutex_unlock(&lock);
}

static void leave_region(struct stream_region *region)
{
	if (!region || --region->used > 0)
		return;
	munmap(region->turns, region->n * sizeof(*region->turns));
	taps_host->free(region);
}

void stream_fork_remove(struct stream *stream)
{
	pthread_mutex_lock(&lock);
	*stream->prev = stream->next;
	if (stream->next)
		stream->next->prev = stream->prev;
	leave_region(stream->region);
	pthread_mutex_unlock(&lock);
}

/* The first one to send after a fork has the direction, and what was kept back with it. */
static void begin_sending(struct stream *stream)
{
	if (!stream->sending && stream->chain->ops->quiet)
		stream->chain->ops->quiet(stream->chain, false);
	stream->sending = true;
}

int stream_take_turn(struct stream *stream, enum stream_direction direction)
{
	bool sending = direction == STREAM_SENDING;
	uint64_t *mine = sending ? &stream->sent : &stream->received, seen;
	_Atomic uint64_t *all;
	int result = 0;

	if (atomic_load(&stream->home) != taps_host->process())
		return -EIO;
	if (!stream->turns)
		return 0;
	all = sending ? &stream->turns->sent : &stream->turns->received;
	pthread_mutex_lock(&turn_lock);
	seen = *mine;
	if (!atomic_compare_exchange_strong(all, &seen, seen + 1))
		result = -EIO;
	else if (++*mine && sending)
		begin_sending(stream);
	pthread_mutex_unlock(&turn_lock);
	return result;
}

bool stream_is_last_copy(struct stream *stream)
{
	return !stream->turns || atomic_fetch_sub(&stream->turns->holders, 1) <= 1;
}

static size_t count_alone(void)
{
	struct stream *stream;
	size_t n = 0;

	for (stream = streams; stream; stream = stream->next)
		n += stream->chain && !stream->turns;
	return n;
}

static struct stream_region *make_region(size_t n)
{
	struct stream_region *region = taps_host->calloc(1, sizeof(*region));
	void *p;

	if (!region)
		return NULL;
	p = mmap(NULL, n * sizeof(*region->turns), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED) {
		taps_host->free(region);
		return NULL;
	}
	region->turns = p;
	region->n = n;
	return region;
}

/* Without memory the child's copies stay those of its parent: it cannot use them. */
static void share_turns(void)
{
	size_t n = count_alone();
	struct stream_region *region = n ? make_region(n) : NULL;
	struct stream *stream;

	for (stream = streams; stream; stream = stream->next) {
		if (stream->chain && !stream->turns && region) {
			stream->region = region;
			stream->turns = &region->turns[region->used++];
			atomic_store(&stream->turns->sent, stream->sent);
			atomic_store(&stream->turns->received, stream->received);
			atomic_store(&stream->turns->holders, 1);
		}
		if (!stream->turns)
			continue;
		atomic_fetch_add(&stream->turns->holders, 1);
		if (stream->kept)
			atomic_fetch_add(&stream->turns->sent, 1);
	}
}

/* The forking thread may be in a handshake itself (an external verifier is a child). */
static void hold(struct stream *stream)
{
	stream->held = atomic_load(&stream->shaker) != stream_thread();
	if (stream->held)
		pthread_mutex_lock(&stream->shaking);
	stream_more_hold(stream);
	if (stream->chain && stream->chain->ops->hold)
		stream->chain->ops->hold(stream->chain);
}

static void let_go(struct stream *stream, bool child)
{
	if (stream->chain && stream->chain->ops->let_go)
		stream->chain->ops->let_go(stream->chain);
	stream_more_let_go(stream, child);
	if (stream->held)
		pthread_mutex_unlock(&stream->shaking);
}

/* What the kernel does not take in time stays with the parent, and the direction with it. */
static void drain_before(struct stream *stream, int64_t end)
{
	if (atomic_load(&stream->watched))
		stream_settle_deferred(stream, end);
	stream->kept = (atomic_load(&stream->flushing) && stream_drain_kept(stream, end) < 0) ||
		       (stream_more_holds(stream) && stream_more_drain(stream, end) < 0);
}

void stream_fork_prepare(void)
{
	int64_t end = now_ns() + FORK_DRAIN_NS;
	struct stream *stream;

	pthread_mutex_lock(&lock);
	if (!loop_forks_alone())
		for (stream = streams; stream; stream = stream->next)
			drain_before(stream, end);
	for (stream = streams; stream; stream = stream->next)
		hold(stream);
	stream_more_lock_list(true);
	pthread_mutex_lock(&turn_lock);
	if (!loop_forks_alone())
		share_turns();
}

/* Both are quiet until one of them sends. */
static void part(struct stream *stream, bool child)
{
	if (!stream->turns)
		return;
	stream->sending = stream->kept && !child;
	stream->sent += stream->kept && !child;
	if (!stream->sending && stream->chain->ops->quiet)
		stream->chain->ops->quiet(stream->chain, true);
	if (!child)
		return;
	stream->home = taps_host->process();
	atomic_store(&stream->flushing, false);
}

static void done(bool child)
{
	bool alone = loop_forks_alone();
	struct stream *stream;

	stream_more_lock_list(false);
	for (stream = streams; stream; stream = stream->next) {
		if (!alone)
			part(stream, child);
		let_go(stream, child && !alone);
	}
	pthread_mutex_unlock(&turn_lock);
	pthread_mutex_unlock(&lock);
}

void stream_fork_parent(void)
{
	done(false);
}

void stream_fork_child(void)
{
	done(true);
}
