/* Drivers.  The race decides, conn.c carries out; here is only who waits, where, and for how long. */
#include "core/drive.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>
#include <sys/time.h>

#include "core/host.h"
#include "core/place.h"
#include "core/resolve.h"
#include "core/trace.h"

#define SELF_RACE_NS NS_PER_S

static void note_outcome(struct conn *conn)
{
	int64_t now = now_ns();

	conn_trace(conn, now);
	if (conn->state == CONN_WON && conn->name[0])
		names_note_success(conn->name);
}

/* connect(2) of a blocking socket is restarted by the kernel after a handler with SA_RESTART, and
 * gives EINTR after any other.  poll(2) cannot tell which ran, so: is there a handler that does not
 * restart? */
static bool a_handler_interrupts(void)
{
	struct sigaction action;
	int sig;

	for (sig = 1; sig < NSIG; sig++) {
		if (sig == SIGKILL || sig == SIGSTOP || sigaction(sig, NULL, &action) != 0)
			continue;
		if (action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN &&
		    !(action.sa_flags & SA_RESTART))
			return true;
	}
	return false;
}

static int wait_for(struct pollfd *fds, unsigned n, int64_t deadline, int64_t now)
{
	struct timespec ts, *timeout = NULL;

	if (deadline != INT64_MAX) {
		int64_t left = deadline > now ? deadline - now : 0;

		ts = (struct timespec){left / NS_PER_S, left % NS_PER_S};
		timeout = &ts;
	}
	return taps_host->ppoll(fds, n, timeout, NULL) < 0 ? -errno : 0;
}

/* Until the race is over (0), a signal interrupts (-EINTR), or patience ends (-EINPROGRESS). */
static int race_here(struct conn *conn)
{
	struct pollfd fds[LOOP_FDS_MAX];
	unsigned n = 0;

	for (;;) {
		int64_t now = now_ns(), deadline;
		int result;

		conn_step(conn, fds, n, now);
		if (conn->state != CONN_RACING)
			return 0;
		if (conn->interrupted && a_handler_interrupts())
			return -EINTR;
		conn->interrupted = false;
		now = now_ns();
		if (now >= conn->patience_end)
			return -EINPROGRESS;
		deadline = conn_deadline(conn);
		if (conn->patience_end < deadline)
			deadline = conn->patience_end;
		n = conn_pollfds(conn, fds, LOOP_FDS_MAX);
		result = wait_for(fds, n, deadline, now);
		if (result < 0)
			n = 0;
		if (result == -EINTR && a_handler_interrupts())
			return -EINTR;
	}
}

/* After a failure the kernel keeps a socket half-way (connect(2) would say ECONNABORTED once); a
 * disconnect makes it as new, as the kernel's own failing connect leaves it. */
static void make_new(int fd)
{
	struct sockaddr none = {.sa_family = AF_UNSPEC};

	taps_host->connect(fd, &none, sizeof(none));
}

static int finish_here(struct conn *conn)
{
	int result = -atomic_load(&conn->error);

	note_outcome(conn);
	if (conn->state == CONN_WON) {
		place_win(conn);
		result = 0;
	} else {
		make_new(conn->app_fd);
	}
	conn_cancel(conn);
	return result;
}

static void give_up(void *arg)
{
	struct conn *conn = arg;

	conn_cancel(conn);
	conn_unref(conn);
}

/* A connect() left by longjmp(3) out of a signal handler is cleaned up by the thread's next one. */
static __thread struct conn *driven;

static int64_t patience_end(int fd, int64_t now)
{
	struct timeval limit = {0};
	socklen_t len = sizeof(limit);

	if (taps_host->getsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, &len) != 0 ||
	    (limit.tv_sec == 0 && limit.tv_usec == 0))
		return INT64_MAX;
	return now + limit.tv_sec * NS_PER_S + limit.tv_usec * 1000;
}

static int go_behind(struct conn *conn);

int drive_here(struct conn *conn)
{
	int result;

	if (driven)
		give_up(driven);
	driven = conn;
	conn->blocking = true;
	pthread_cleanup_push(give_up, conn);
	conn_begin(conn, now_ns());
	conn->patience_end = patience_end(conn->app_fd, conn->begun);
	result = race_here(conn);
	pthread_cleanup_pop(0);
	driven = NULL;
	if (conn->state != CONN_RACING) {
		result = finish_here(conn);
		conn_unref(conn);
		return result;
	}
	conn->interrupted = false;
	return go_behind(conn) < 0 ? -ECONNABORTED : result;
}

static struct conn *conn_of(struct loop_client *client)
{
	return (struct conn *)((char *)client - offsetof(struct conn, client));
}

/* Ends a race on the loop's thread, if the application still has the socket. */
static void finish_behind(struct conn *conn)
{
	note_outcome(conn);
	if (conn_hold_slot(conn)) {
		if (conn->state == CONN_WON)
			place_win(conn);
		else
			place_fail(conn);
		conn_release_slot(conn);
	}
	conn_cancel(conn);
}

static bool run_behind(struct loop_client *client, int64_t now)
{
	struct conn *conn = conn_of(client);

	conn_reap();
	if (!conn->abandoned && !atomic_load(&conn->released)) {
		conn_step(conn, client->fds, client->n_fds, now);
		if (conn->state == CONN_RACING) {
			client->n_fds = conn_pollfds(conn, client->fds, LOOP_FDS_MAX);
			client->deadline = conn_deadline(conn);
			return true;
		}
		finish_behind(conn);
		return false;
	}
	conn_cancel(conn);
	return false;
}

static void done_behind(struct loop_client *client)
{
	struct conn *conn = conn_of(client);

	if (conn->state == CONN_RACING || atomic_load(&conn->released))
		place_drop(conn);
	conn_unref(conn);
}

/* The loop takes over, with the placeholder in place.  Consumes the reference. */
static int go_behind(struct conn *conn)
{
	int result;

	loop_lock();
	result = place_hold(conn);
	if (result == 0) {
		conn->blocking = false;
		conn->client.run = run_behind;
		conn->client.done = done_behind;
		conn->client.n_fds = 0;
		conn->client.deadline = INT64_MAX;
		result = loop_add(&conn->client);
		if (result < 0)
			place_restore(conn);
	}
	loop_unlock();
	if (result < 0)
		give_up(conn);
	return result;
}

/* The first attempt is made on the spot, behind the placeholder: what fails at once for every
 * candidate (no route) is reported at once, as the kernel would. */
int drive_behind(struct conn *conn)
{
	int result;

	loop_lock();
	result = place_hold(conn);
	if (result < 0) {
		loop_unlock();
		give_up(conn);
		return TAPS_PASS;
	}
	conn_begin(conn, now_ns());
	conn_step(conn, NULL, 0, conn->begun);
	conn->client.run = run_behind;
	conn->client.done = done_behind;
	conn->client.n_fds = conn_pollfds(conn, conn->client.fds, LOOP_FDS_MAX);
	conn->client.deadline = conn_deadline(conn);
	if (conn->state == CONN_RACING)
		result = loop_add(&conn->client);
	if (conn->state == CONN_RACING && result == 0) {
		loop_unlock();
		return -EINPROGRESS;
	}
	if (conn->state == CONN_LOST)
		result = -atomic_load(&conn->error);
	note_outcome(conn);
	if (conn->state == CONN_WON) {
		place_win(conn);
	} else {
		int own = conn->own_fd;

		if (conn->state == CONN_LOST)
			make_new(own);
		place_restore(conn);
	}
	conn_cancel(conn);
	loop_unlock();
	conn_unref(conn);
	return result;
}

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

void drive_restore(struct taps_slot *slot)
{
	struct conn *conn;

	loop_lock();
	conn = atomic_load(&slot->conn);
	if (conn && (atomic_load(&slot->flags) & (SLOT_CONNECTING | SLOT_FAILED))) {
		conn->abandoned = true;
		conn_ref(conn);
		place_restore(conn);
		conn_unref(conn);
		loop_wake();
	}
	loop_unlock();
}

int drive_settle(struct taps_slot *slot, int fd)
{
	while (atomic_load(&slot->flags) & SLOT_CONNECTING) {
		struct pollfd placeholder = {.fd = fd, .events = POLLIN};
		int result = wait_for(&placeholder, 1, now_ns() + NS_PER_S, now_ns());

		if (result < 0)
			return result;
	}
	return 0;
}
