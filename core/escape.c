/* Escapes: an established connection goes from the application's own calls to a relay. */
#include "core/stream_private.h"

#include <errno.h>
#include <fcntl.h>

#include "core/host.h"
#include "core/loop.h"
#include "core/place.h"
#include "core/relay.h"
#include "core/wait.h"

#define PUSH_NS (2 * NS_PER_S) /* for what more would have followed (core/stream_more.c) */

struct stream *stream_relayed(int take_own, const struct taps_addr *peer, const struct taps_addr *local)
{
	static const struct taps_addr none;
	struct stream *stream = stream_new(NULL, peer ? peer : &none, local ? local : &none);

	if (!stream)
		return NULL;
	stream->own = take_own;
	atomic_store(&stream->relayed, true);
	return stream;
}

int stream_own(const struct stream *stream)
{
	return atomic_load(&stream->own);
}

void stream_retire(struct stream *stream)
{
	int own = atomic_exchange(&stream->own, -1);

	if (own >= 0)
		taps_host->fd_drop(own);
	atomic_store(&stream->let_go, true);
	if (atomic_load(&stream->watched))
		loop_wake();
}

void stream_released(struct stream *stream)
{
	stream_retire(stream);
	handle_unref(&stream->handle);
}

static const char *rule_of(const struct stream *stream)
{
	return stream->security ? stream->security->rule : "of the connection";
}

/* The session's other copies, after fork(2), are left behind. */
static int take_all_turns(struct stream *stream)
{
	int result = stream_take_turn(stream, STREAM_RECEIVING);

	if (result == 0 && stream_more_holds(stream))
		result = stream_more_drain(stream, now_ns() + PUSH_NS);
	return result < 0 ? result : stream_take_turn(stream, STREAM_SENDING);
}

static int hand_over(struct taps_slot *slot, struct stream *stream)
{
	struct relay_order order = {.chain = stream->chain, .rule = rule_of(stream)};
	int fd, own, end, result = take_all_turns(stream);

	if (result < 0)
		return result;
	taps_host->lock();
	fd = taps_host->slot_fd(slot);
	own = host_copy(fd);
	taps_host->unlock();
	if (own < 0)
		return own;
	order.net = own;
	order.heard = atomic_load(&stream->heard);
	order.shakes = stream_is_new(stream);
	order.trace = trace_new_id();
	end = relay_start(&order);
	if (end >= 0) {
		result = place_relay(slot, end, own);
		/* The session is the relay's already: whoever is still in a call must not wait for it. */
		if (result < 0) {
			atomic_store(&stream->error, EIO);
			taps_host->close(end);
		}
	}
	if (end < 0 || result < 0) {
		taps_host->fd_drop(own);
		return end < 0 ? end : result;
	}
	atomic_store(&stream->own, own);
	return 0;
}

bool stream_await_relay(const struct stream *stream)
{
	while (atomic_load(&stream->leaving) && !atomic_load(&stream->relayed)) {
		int64_t now = now_ns();

		wait_fds(NULL, 0, now + NS_PER_MS, now);
	}
	return atomic_load(&stream->relayed);
}

int stream_escape(struct taps_slot *slot, bool if_used)
{
	struct handle *handle = atomic_load(&slot->conn);
	struct stream *stream = (struct stream *)handle;
	int result;

	if (!handle || handle->kind != HANDLE_STREAM || atomic_load(&stream->relayed))
		return 0;
	if (if_used && atomic_load(&stream->user) != taps_host->process())
		return -EPERM;
	if (atomic_exchange(&stream->leaving, true))
		return stream_await_relay(stream) ? 0 : -EIO;
	if (stream_is_taken(stream)) {
		/* The loop has it, and asks whether a relay is wanted when the handshake is over. */
		atomic_store(&stream->leaving, false);
		return 0;
	}
	handle_ref(handle);
	result = hand_over(slot, stream);
	if (result == 0)
		atomic_store(&stream->relayed, true);
	else
		atomic_store(&stream->leaving, false);
	handle_unref(handle);
	return result;
}
