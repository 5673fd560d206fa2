/* What reaches a race from outside: the application that races by itself, takes its socket back,
 * closes it, or waits for the end. */
#include <errno.h>
#include <string.h>

#include "core/drive.h"
#include "core/host.h"
#include "core/place.h"
#include "core/wait.h"

#define BUSY_NS (2 * NS_PER_MS) /* how often a second thread looks whether the first is done */
#define SELF_RACE_NS NS_PER_S

struct self_race {
	const char *name;
	const struct taps_addr *addr;
	const void *thread;
	int64_t now;
	bool found;
};

static void look(struct loop_client *client, void *arg)
{
	struct conn *conn = conn_of(client);
	struct self_race *self = arg;

	if (conn->state != CONN_RACING || conn->thread != self->thread || strcmp(conn->name, self->name) != 0)
		return;
	if (addr_equal_host(&conn->asked, self->addr) || self->now - conn->begun > SELF_RACE_NS)
		return;
	race_stand_down(&conn->race);
	self->found = true;
}

bool drive_stand_down(const char *name, const struct taps_addr *addr, const void *thread, int64_t now)
{
	struct self_race self = {name, addr, thread, now, false};

	loop_lock();
	loop_each(look, &self);
	loop_unlock();
	return self.found;
}

/* Where the application's own file goes: to the address that it passed, unless a rule names another one. */
static const struct taps_addr *own_remote(const struct conn *conn)
{
	const struct taps_addr *first = &conn->attempts[0].candidate.remote;

	if (!conn_is_bound_to_core(conn))
		return &conn->passed;
	return conn->race.n > 0 && addr_family(first) == conn->slot->domain ? first : NULL;
}

/* The application believes that its socket is connecting; if its own attempt ended (or never began) the
 * kernel must be told to begin one. */
static void keep_trying(struct conn *conn)
{
	const struct attempt *first = &conn->attempts[0];
	const struct taps_addr *remote = own_remote(conn);
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);

	/* What a rule secures is never the application's own to send on, half-way or not. */
	if (conn->policy.security) {
		tcp_disconnect(conn->own_fd);
		return;
	}
	if (conn->state != CONN_RACING || (first->own && first->top))
		return;
	if (taps_host->getpeername(conn->own_fd, (struct sockaddr *)&peer, &len) == 0)
		return;
	tcp_disconnect(conn->own_fd);
	if (remote)
		taps_host->connect(conn->own_fd, &remote->sa, addr_len(remote));
}

void drive_restore(struct taps_slot *slot)
{
	struct conn *conn;

	loop_lock();
	conn = atomic_load(&slot->conn);
	if (conn && (atomic_load(&slot->flags) & SLOT_BUSY)) {
		atomic_store(&conn->abandoned, true);
	} else if (conn && (atomic_load(&slot->flags) & (SLOT_DISGUISED | SLOT_LAYERED))) {
		place_renew(slot);
	} else if (conn && (atomic_load(&slot->flags) & (SLOT_CONNECTING | SLOT_FAILED))) {
		atomic_store(&conn->abandoned, true);
		conn_ref(conn);
		keep_trying(conn);
		place_restore(conn);
		if (conn->state == CONN_RACING)
			loop_wake();
		else
			place_drop(conn);
		conn_unref(conn);
	}
	loop_unlock();
}

/* The loop may be at the end of the same race: both may drop what conn holds. */
void drive_released(void *arg)
{
	struct conn *conn = arg;

	atomic_store(&conn->released, true);
	if (conn->state != CONN_RACING)
		place_drop(conn);
	else if (!conn->blocking)
		loop_wake();
	conn_unref(conn);
}

/* The connect() is another process's: the thread that is in it is not here. */
static bool is_elsewhere(struct taps_slot *slot)
{
	const struct conn *conn;
	bool elsewhere;

	taps_host->lock();
	conn = atomic_load(&slot->flags) & SLOT_BUSY ? atomic_load(&slot->conn) : NULL;
	elsewhere = conn && conn->home != taps_host->process();
	taps_host->unlock();
	return elsewhere;
}

int drive_settle(struct taps_slot *slot, int fd)
{
	int64_t end = slot->own_fd >= 0 ? wait_limit(slot->own_fd, SO_SNDTIMEO, now_ns()) : INT64_MAX;

	if (drive_is_mine(slot))
		return -EALREADY;
	while (atomic_load(&slot->flags) & (SLOT_CONNECTING | SLOT_BUSY | SLOT_SECURING)) {
		bool busy = atomic_load(&slot->flags) & (SLOT_BUSY | SLOT_SECURING);
		/* No placeholder is ever writable, a connected socket always is: whichever file is
		 * looked at. */
		struct pollfd placeholder = {.fd = fd, .events = POLLIN | POLLOUT};
		int64_t now = now_ns(), wake = now + (busy ? BUSY_NS : NS_PER_S);
		int result;

		if (busy && is_elsewhere(slot))
			return -EIO;
		result = wait_fds(&placeholder, !busy, wake < end ? wake : end, now);
		if (now >= end)
			return -EALREADY;
		if (result == -EINTR && !wait_interrupted(end != INT64_MAX))
			continue;
		if (result < 0)
			return result;
	}
	return 0;
}
