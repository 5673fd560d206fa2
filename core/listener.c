/* Server side.  accept(2) never waits for a handshake: that is done at the connection's first use in a
 * blocking program, by the loop behind a placeholder in a non-blocking one (drive_accepted). */
#include "core/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>

#include "core/drive.h"
#include "core/host.h"
#include "core/layer.h"
#include "core/seats.h"
#include "core/secure.h"
#include "core/stream.h"
#include "core/wait.h"

struct listener {
	struct handle handle;
	struct secure_gate gate; /* each layer that has it holds a reference */
	struct seats *unfinished;
	struct conf *conf;
	const struct security *security;
	enum secure_role role;
};

static void listener_free(struct handle *handle)
{
	struct listener *listener = (struct listener *)handle;

	seats_free(listener->unfinished);
	conf_unref(listener->conf);
	taps_host->free(listener);
}

static struct listener *listener_of(struct secure_gate *gate)
{
	return (struct listener *)((char *)gate - offsetof(struct listener, gate));
}

static int gate_enter(struct secure_gate *gate)
{
	return seats_take(listener_of(gate)->unfinished);
}

static void gate_leave(struct secure_gate *gate, int seat)
{
	seats_leave(listener_of(gate)->unfinished, seat);
}

static void gate_done(struct secure_gate *gate)
{
	handle_unref(&listener_of(gate)->handle);
}

static const struct security *security_for(struct conf *conf, struct taps_slot *slot, int fd,
					   enum secure_role *ret_role)
{
	struct sockaddr_storage name;
	socklen_t len = sizeof(name);
	struct taps_addr addr;
	struct policy_query query = {.addr = &addr, .socktype = slot->type, .role = POLICY_LISTEN};
	struct policy policy;

	if (taps_host->getsockname(fd, (struct sockaddr *)&name, &len) != 0 ||
	    !addr_from_sockaddr(&addr, (struct sockaddr *)&name, len))
		return NULL;
	addr = addr_unmap(&addr);
	conf_policy(conf, &query, &policy);
	*ret_role = policy.properties.safely_replayable ? SECURE_SERVER_REPLAYABLE : SECURE_SERVER;
	return policy.security;
}

int listener_prepare(struct conf *conf, struct taps_slot *slot, int fd)
{
	enum secure_role role;
	const struct security *security = security_for(conf, slot, fd, &role);
	char reason[SECURE_REASON_MAX];
	struct listener *listener;

	if (!security)
		return 0;
	if (!secure_check(security, role, reason)) {
		wait_say("listen: %s (rule %s)", reason, security->rule);
		return -EPROTO;
	}
	listener = taps_host->calloc(1, sizeof(*listener));
	if (!listener)
		return -ENOMEM;
	if (seats_new(&listener->unfinished, security->max_handshakes) < 0) {
		taps_host->free(listener);
		return -ENOMEM;
	}
	handle_init(&listener->handle, HANDLE_LISTENER, listener_free);
	listener->conf = conf_ref(conf);
	listener->security = security;
	listener->gate = (struct secure_gate){gate_enter, gate_leave, gate_done};
	listener->role = role;
	taps_host->lock();
	if (!atomic_load(&slot->conn)) {
		atomic_store(&slot->conn, listener);
		taps_host->slot_flags(slot, SLOT_LISTENING, 0);
		listener = NULL;
	}
	taps_host->unlock();
	if (listener)
		handle_unref(&listener->handle);
	return 0;
}

static struct layer *make_chain(struct listener *listener, int fd)
{
	struct tcp_options tcp = {.fd = fd, .keep = true, .established = true};
	struct layer *bottom = tcp_layer(&tcp), *top;
	struct secure_peer nobody = {.gate = &listener->gate};
	char reason[SECURE_REASON_MAX];

	if (!bottom)
		return NULL;
	top = secure_layer(listener->security, listener->role, &nobody, bottom, reason);
	if (top) {
		handle_ref(&listener->handle);
		return top;
	}
	wait_say("accept: %s (rule %s)", reason, listener->security->rule);
	layer_close_chain(bottom);
	return NULL;
}

/* The rule is found by the slot's stream, which came from a listener of it. */
int listener_unblocked(struct taps_slot *slot, int fd)
{
	struct handle *handle = atomic_load(&slot->conn);
	int status = taps_host->fcntl(fd, F_GETFL), result;

	if (!handle || handle->kind != HANDLE_STREAM || !stream_is_new((struct stream *)handle) ||
	    status < 0 || !(status & O_NONBLOCK))
		return 0;
	result = drive_accepted(slot, fd, stream_security((struct stream *)handle));
	return result == -EINPROGRESS ? 0 : result;
}

/* A call that began when the number was another's may be about to reach it (core/place.c). */
static bool is_in_flight(struct taps_slot *slot)
{
	bool any;

	taps_host->lock();
	any = taps_host->slot_in_flight(slot);
	taps_host->unlock();
	return any;
}

/* In the loop's hands, in a relay's, or left for the first use. */
static int settle_accepted(const struct listener *listener, struct taps_slot *slot, int fd)
{
	bool relay = listener->security->data_path == SECURITY_RELAY ||
		     (atomic_load(&slot->flags) & SLOT_RELAY) || is_in_flight(slot);
	int result = listener_unblocked(slot, fd);

	if (result < 0 || !relay || !(atomic_load(&slot->flags) & SLOT_LAYERED))
		return result;
	return stream_escape(slot, false);
}

/* Before the application hears of it, where its handshake would begin at once. */
static bool is_refused(const struct listener *listener, int fd)
{
	return (taps_host->fcntl(fd, F_GETFL) & O_NONBLOCK) && seats_are_taken(listener->unfinished);
}

int listener_accepted(struct taps_slot *from, struct taps_slot *slot, int fd)
{
	struct listener *listener = atomic_load(&from->conn);
	struct layer *chain = is_refused(listener, fd) ? NULL : make_chain(listener, fd);
	struct taps_addr peer;
	struct stream *stream;

	/* Asked at once: after a reset the kernel knows it no more. */
	host_peer(fd, &peer);
	stream = chain ? stream_accepted(chain, listener->security, &peer) : NULL;
	if (!stream) {
		layer_close_chain(chain);
		return -ECONNABORTED;
	}
	if (atomic_load(&from->flags) & SLOT_OPTIONS)
		stream_take_options(stream, fd, fd);
	taps_host->lock();
	atomic_store(&slot->conn, stream);
	taps_host->slot_flags(slot, SLOT_LAYERED | SLOT_PLAIN, 0);
	taps_host->unlock();
	return settle_accepted(listener, slot, fd);
}
