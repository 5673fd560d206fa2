#include "core/tls_ahead.h"

#include <errno.h>
#include <sys/socket.h>

#include "core/host.h"
#include "core/tls_scratch.h"
#include "core/tls_session.h"

#define TLS_RECORD_MAX_1_3 (TLS_HEADER_SIZE + TLS_PLAIN_MAX + 256) /* RFC 8446, section 5.2 */
#define FAR 4      /* rooms */
#define MODEST 64  /* looks */

ssize_t tls_ahead_peek(int fd, void *buf, size_t size)
{
	ssize_t n;

	do
		n = taps_host->recv(fd, buf, size, MSG_PEEK | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	return n < 0 ? (errno == EWOULDBLOCK ? -EAGAIN : -errno) : n;
}

/* tcp(7), MSG_TRUNC: discards without copying. */
void tls_ahead_discard(int fd, size_t size)
{
	while (size > 0) {
		ssize_t n = taps_host->recv(fd, NULL, size, MSG_TRUNC | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		size -= (size_t)n;
	}
}

size_t tls_ahead_lacks(const uint8_t *data, size_t size)
{
	ssize_t need;

	if (size == 0)
		return 0;
	need = size < TLS_HEADER_SIZE ? TLS_HEADER_SIZE : tls_record_length(data);
	return need > 0 && (size_t)need > size ? (size_t)need - size : 0;
}

static bool is_there(const struct tls_ahead *ahead, const struct tls_scratch *scratch)
{
	return ahead->at == scratch && ahead->filled == scratch->filled;
}

static bool has_record(const struct tls_ahead *ahead, size_t used)
{
	size_t left = ahead->size - ahead->from;

	return left > used && tls_ahead_lacks(ahead->at->in + ahead->from + used, left - used) == 0;
}

static void adopt(struct tls_ahead *ahead, struct tls_scratch *scratch, size_t size, size_t room)
{
	ahead->at = scratch;
	ahead->filled = scratch->filled;
	ahead->from = 0;
	ahead->size = size;
	ahead->full = size == room;
}

/* While the kernel has more than is asked for, one call brings several records. */
static size_t reach(struct tls_ahead *ahead, size_t room)
{
	if (ahead->far && ahead->at && ahead->size - ahead->from >= TLS_PLAIN_MAX)
		ahead->modest = MODEST;
	ahead->far = ahead->full && !ahead->modest && room * FAR <= TLS_SCRATCH_SIZE;
	if (ahead->modest)
		ahead->modest--;
	return ahead->far ? room * FAR : room;
}

static ssize_t fill(struct tls_ahead *ahead, struct tls_scratch *scratch, int fd, size_t room)
{
	ssize_t n;

	room = reach(ahead, room);
	scratch->filled++;
	ahead->at = NULL;
	n = tls_ahead_peek(fd, scratch->in, room);
	if (n > 0)
		adopt(ahead, scratch, (size_t)n, room);
	else
		ahead->full = false;
	ahead->fresh = true;
	return n;
}

/* A call that was made some time ago does not tell what the kernel has now. */
static ssize_t show(struct tls_ahead *ahead, const uint8_t **ret_data, bool *ret_more)
{
	*ret_data = ahead->at->in + ahead->from;
	*ret_more = ahead->full || !ahead->fresh;
	ahead->fresh = false;
	return (ssize_t)(ahead->size - ahead->from);
}

ssize_t tls_ahead_look(struct tls_ahead *ahead, int fd, size_t room, size_t used, const uint8_t **ret_data,
		       bool *ret_more)
{
	struct tls_scratch *scratch = tls_scratch_own();
	ssize_t n;

	*ret_more = false;
	if (!scratch)
		return -ENOMEM;
	if (is_there(ahead, scratch) && (ahead->fresh || has_record(ahead, used)))
		return show(ahead, ret_data, ret_more);
	n = fill(ahead, scratch, fd, room);
	return n > 0 ? show(ahead, ret_data, ret_more) : n;
}

void tls_ahead_take(struct tls_ahead *ahead, int fd, size_t size)
{
	tls_ahead_discard(fd, size);
	ahead->taken += size;
	ahead->from += size;
	if (ahead->from >= ahead->size)
		ahead->at = NULL;
}

/* Returns the buffer's value for the call. */
static uint64_t begin_sleep(struct tls_ahead *ahead, pthread_mutex_t *lock, struct tls_scratch *scratch,
			    uint64_t *ret_taken)
{
	uint64_t filled;

	pthread_mutex_lock(lock);
	ahead->at = NULL;
	ahead->far = false;
	*ret_taken = ahead->taken;
	filled = ++scratch->filled;
	pthread_mutex_unlock(lock);
	return filled;
}

int tls_ahead_sleep(struct tls_ahead *ahead, pthread_mutex_t *lock, int fd, size_t room)
{
	struct tls_scratch *scratch = tls_scratch_own();
	uint64_t filled, taken;
	ssize_t n;

	if (!scratch)
		return -ENOMEM;
	filled = begin_sleep(ahead, lock, scratch, &taken);
	taps_host->leave();
	n = taps_host->recv(fd, scratch->in, room, MSG_PEEK);
	if (n < 0)
		n = -errno;
	taps_host->enter();
	if (n <= 0)
		return (int)n;
	pthread_mutex_lock(lock);
	if (scratch->filled == filled && ahead->taken == taken) {
		adopt(ahead, scratch, (size_t)n, room);
		ahead->fresh = true;
	}
	pthread_mutex_unlock(lock);
	return 0;
}

size_t tls_ahead_room(size_t want, size_t used)
{
	size_t room = want + want / 64;

	if (want <= TLS_PLAIN_MAX)
		room = TLS_RECORD_MAX_1_3;
	else if (room < TLS_RECORD_MAX)
		room = TLS_RECORD_MAX;
	room += used;
	return room < TLS_SCRATCH_SIZE ? room : TLS_SCRATCH_SIZE;
}

bool tls_ahead_has_ended(int fd)
{
	struct pollfd state = {fd, POLLRDHUP, 0};

	return taps_host->poll(&state, 1, 0) > 0;
}
