/* Drivers.  The race decides, conn.c carries out; here is only who waits, where, and for how long. */
#include "core/drive.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/time.h>

#include "core/host.h"
#include "core/place.h"
#include "core/resolve.h"
#include "core/stream.h"
#include "core/trace.h"
#include "core/wait.h"

/* One line that says who was refused, why, and by which rule. */
static void say_refused(const struct conn *conn)
{
	const struct taps_addr *peer = conn->refused.sa.sa_family ? &conn->refused : &conn->asked;
	char text[ADDR_TEXT_MAX];

	wait_say("%s%s%s: %s (rule %s)", conn->name, conn->name[0] ? ", " : "", addr_format(peer, text),
		 conn->reason[0] ? conn->reason : strerror(atomic_load(&conn->error)),
		 conn->policy.security->rule);
}

static void note_outcome(struct conn *conn)
{
	int64_t now = now_ns();

	conn_trace(conn, now);
	if (conn->state == CONN_WON && conn->name[0])
		names_note_success(conn->name);
	if (conn->state == CONN_LOST && conn->policy.security)
		say_refused(conn);
}

/* Another thread shut the socket down: what its own attempt made of that. */
static int shut_down_error(const struct conn *conn)
{
	int error = conn->race.leaf[0].error;

	return error ? error : ECONNABORTED;
}

/* After fork(2) the handshake goes on in the process that began it. */
static bool is_foreign(const struct conn *conn)
{
	return conn->policy.security && conn->home != taps_host->process();
}

static void lose_copy(struct conn *conn)
{
	conn_cancel(conn);
	atomic_store(&conn->error, ECONNABORTED);
	conn->state = CONN_LOST;
}

/* Until the race is over (0), a signal interrupts (-EINTR), or patience ends (-EINPROGRESS). */
static int race_here(struct conn *conn)
{
	struct pollfd fds[LOOP_FDS_MAX];
	unsigned n = 0;

	for (;;) {
		int64_t now = now_ns(), deadline;
		int result;

		if (is_foreign(conn))
			return -ECONNABORTED;
		conn_step(conn, fds, n, now);
		if (conn->state != CONN_RACING)
			return 0;
		if (atomic_load(&conn->abandoned))
			return -shut_down_error(conn);
		if (conn->interrupted && wait_interrupted(conn->patience_end != INT64_MAX))
			return -EINTR;
		conn->interrupted = false;
		now = now_ns();
		if (now >= conn->patience_end)
			return -EINPROGRESS;
		deadline = conn_deadline(conn);
		if (conn->patience_end < deadline)
			deadline = conn->patience_end;
		n = conn_pollfds(conn, fds, LOOP_FDS_MAX);
		result = wait_fds(fds, n, deadline, now);
		if (result < 0)
			n = 0;
		if (result == -EINTR && wait_interrupted(conn->patience_end != INT64_MAX))
			return -EINTR;
	}
}

/* Its own attempt leaves the application's socket as new; which it may have closed meanwhile, and the number
 * be another file's. */
static void renew_own(const struct conn *conn)
{
	if (conn->attempts[0].own && conn->app_fd >= 0 && taps_host->slot_has(conn->slot, conn->app_fd))
		tcp_disconnect(conn->app_fd);
}

static int finish_here(struct conn *conn)
{
	int result = -atomic_load(&conn->error);

	note_outcome(conn);
	if (conn->state == CONN_WON)
		result = place_win(conn);
	if (result < 0)
		renew_own(conn);
	conn_cancel(conn);
	return result;
}

/* The last of all: what the descriptor is then, it may be in the open. */
static void clear_securing(struct conn *conn)
{
	if (!conn->policy.security || atomic_load(&conn->released))
		return;
	taps_host->lock();
	taps_host->slot_flags(conn->slot, 0, SLOT_SECURING);
	taps_host->unlock();
}

/* The blocking races of all threads; under conn_lock(). */
static struct conn *here;

static void add_here(struct conn *conn)
{
	bool locked = conn_lock(conn);

	conn->next_here = here;
	conn->prev_here = &here;
	if (here)
		here->prev_here = &conn->next_here;
	here = conn;
	conn_unlock(locked);
}

static void unlink_here(struct conn *conn)
{
	if (!conn->prev_here)
		return;
	*conn->prev_here = conn->next_here;
	if (conn->next_here)
		conn->next_here->prev_here = conn->prev_here;
	conn->prev_here = NULL;
}

static void remove_here(struct conn *conn)
{
	bool locked = conn_lock(conn);

	unlink_here(conn);
	conn_unlock(locked);
}

/* What a rule secures and is not secured yet is not left to the application, either. */
static void give_up(void *arg)
{
	struct conn *conn = arg;

	if (conn->policy.security && conn->attempts[0].top && !atomic_load(&conn->released))
		renew_own(conn);
	clear_securing(conn);
	conn_cancel(conn);
	remove_here(conn);
	conn_unref(conn);
}

/* While a thread is in connect() the slot says so: another thread's connect or shutdown on the same
 * socket finds the race by it. */
static void set_busy(struct conn *conn)
{
	taps_host->lock();
	if (!atomic_load(&conn->slot->conn)) {
		conn_ref(conn);
		atomic_store(&conn->slot->conn, conn);
		taps_host->slot_flags(conn->slot, SLOT_BUSY | (conn->policy.security ? SLOT_SECURING : 0), 0);
	}
	taps_host->unlock();
}

static void clear_busy(struct conn *conn)
{
	taps_host->lock();
	if (atomic_load(&conn->slot->conn) == conn) {
		atomic_store(&conn->slot->conn, NULL);
		taps_host->slot_flags(conn->slot, 0, SLOT_BUSY);
		conn_unref(conn);
	}
	taps_host->unlock();
}

static void leave_busy(void *arg)
{
	clear_busy(arg);
	give_up(arg);
}

/* The connections whose connect() this thread is in, innermost first: a signal handler may connect while
 * the call that it interrupted waits. */
static __thread struct conn *driven;

static bool on_signal_stack(void)
{
	stack_t stack;

	return sigaltstack(NULL, &stack) == 0 && (stack.ss_flags & SS_ONSTACK);
}

/* A connect() that was left by longjmp(3) out of a handler has a frame below the present one: the thread's
 * next call that must know cleans it up. */
static void drop_stale(const void *frame)
{
	while (driven && (uintptr_t)driven->frame <= (uintptr_t)frame && !on_signal_stack()) {
		struct conn *stale = driven;

		driven = stale->outer;
		if (!atomic_load(&stale->released))
			clear_busy(stale);
		give_up(stale);
	}
}

/* The application's own time limit, shared out so that every candidate gets its turn within it, down
 * to the floor of RFC 8305 §5. */
static void limit_patience(struct conn *conn, int64_t now)
{
	int64_t share;

	conn->patience_end = wait_limit(conn->app_fd, SO_SNDTIMEO, now);
	if (conn->patience_end == INT64_MAX)
		return;
	share = (conn->patience_end - now) / (conn->race.n + 1);
	if (share < RACE_DELAY_FLOOR_MS * NS_PER_MS)
		share = RACE_DELAY_FLOOR_MS * NS_PER_MS;
	if (conn->policy.race.attempt_delay > share)
		conn->policy.race.attempt_delay = share;
}

bool drive_is_mine(const struct taps_slot *slot)
{
	const struct conn *conn;

	drop_stale(__builtin_frame_address(0));
	for (conn = driven; conn; conn = conn->outer)
		if (conn->slot == slot)
			return true;
	return false;
}

static int go_behind(struct conn *conn);

/* The race is over, was given up, or goes on behind the caller: nobody has to wait for this thread. */
static int leave_race(struct conn *conn, int result)
{
	if (conn->state != CONN_RACING) {
		result = finish_here(conn);
		clear_busy(conn);
		clear_securing(conn);
		remove_here(conn);
		conn_unref(conn);
	} else if (is_foreign(conn)) {
		/* The slot stays what it is: to this process its socket is dead. */
		lose_copy(conn);
		remove_here(conn);
		conn_unref(conn);
	} else if (atomic_load(&conn->abandoned)) {
		leave_busy(conn);
	} else {
		/* Where the loop cannot take over (the socket was closed in the handler) there is nothing to
		 * go on with; the answer is the same. */
		clear_busy(conn);
		conn->interrupted = false;
		go_behind(conn);
	}
	return result;
}

int drive_here(struct conn *conn)
{
	struct conn *outer;
	int result;

	drop_stale(__builtin_frame_address(0));
	conn->outer = outer = driven;
	driven = conn;
	conn->blocking = true;
	conn->frame = __builtin_frame_address(0);
	pthread_cleanup_push(leave_busy, conn);
	set_busy(conn);
	add_here(conn);
	limit_patience(conn, now_ns());
	conn_begin(conn, now_ns());
	result = race_here(conn);
	pthread_cleanup_pop(0);
	result = leave_race(conn, result);
	driven = outer;
	return result;
}

/* Does this thread drive it, below a signal handler that forked maybe? */
static bool is_ours(const struct conn *conn)
{
	const struct conn *mine = driven;

	while (mine && mine != conn)
		mine = mine->outer;
	return mine;
}

/* Their chains were caught in the midst of something: the memory is given up. */
static void drop_attempts(struct conn *conn)
{
	unsigned i;

	for (i = 0; i < conn->race.n; i++) {
		struct attempt *attempt = &conn->attempts[i];
		int fd = attempt->top && !attempt->own ? layer_fd(attempt->top) : -1;

		if (fd >= 0)
			taps_host->fd_drop(fd);
		attempt->top = NULL;
	}
}

void drive_fork_child(void)
{
	struct conn *conn, *next;

	for (conn = here; conn; conn = next) {
		next = conn->next_here;
		if (is_ours(conn))
			continue;
		drop_attempts(conn);
		unlink_here(conn);
	}
}

/* Short of memory at the very end, the connection is lost after all. */
static bool won_behind(struct conn *conn)
{
	int result = place_win(conn);

	if (result < 0)
		atomic_store(&conn->error, -result);
	return result == 0;
}

/* Ends a race on the loop's thread, if the application still has the socket. */
static void finish_behind(struct conn *conn)
{
	note_outcome(conn);
	if (conn_hold_slot(conn)) {
		if (conn->state != CONN_WON || !won_behind(conn))
			place_fail(conn);
		conn_release_slot(conn);
	}
	conn_cancel(conn);
}

static bool run_behind(struct loop_client *client, int64_t now)
{
	struct conn *conn = conn_of(client);

	handle_reap();
	if (is_foreign(conn))
		lose_copy(conn);
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

/* No placeholder or no loop can be had (descriptors or memory are short): the socket is the kernel's, with
 * the attempt that runs on it, unless it must not be. */
static int hand_back(struct conn *conn, int error)
{
	int fd = conn->app_fd >= 0 ? conn->app_fd : conn->own_fd;
	bool begun = conn->attempts[0].own && conn->attempts[0].top;

	if (begun && !conn->policy.security) {
		taps_host->slot_flags(conn->slot, SLOT_PLAIN, 0);
		return -EINPROGRESS;
	}
	if (conn->race.n > 0 && conn->race.leaf[0].started != RACE_NEVER)
		tcp_disconnect(fd);
	return conn_is_bound_to_core(conn) ? error : TAPS_PASS;
}

/* The loop takes over, with the placeholder in place.  Consumes the reference. */
static int go_behind(struct conn *conn)
{
	int result;

	loop_lock();
	unlink_here(conn);
	result = place_hold(conn);
	if (result == 0) {
		conn->blocking = false;
		conn->client.run = run_behind;
		conn->client.done = done_behind;
		conn->client.n_fds = 0;
		conn->client.deadline = INT64_MAX;
		result = loop_add(&conn->client);
	}
	if (result < 0) {
		hand_back(conn, result);
		if (conn->own_fd >= 0)
			place_restore(conn);
		place_drop(conn);
	}
	loop_unlock();
	if (result < 0)
		give_up(conn);
	return result;
}

static void keep_going(struct conn *conn)
{
	conn->client.run = run_behind;
	conn->client.done = done_behind;
	conn->client.n_fds = conn_pollfds(conn, conn->client.fds, LOOP_FDS_MAX);
	conn->client.deadline = conn_deadline(conn);
}

/* The race ended on the spot: nobody was told anything yet. */
static int finish_at_once(struct conn *conn)
{
	bool held = conn->own_fd >= 0;
	int result = -atomic_load(&conn->error);

	note_outcome(conn);
	if (conn->state == CONN_WON)
		result = place_win(conn);
	if (result == 0) {
		result = -EINPROGRESS;
	} else {
		tcp_disconnect(held ? conn->own_fd : conn->app_fd);
		if (held)
			place_restore(conn);
		place_drop(conn);
	}
	conn_cancel(conn);
	return result;
}

/* The peer may be near enough to answer within the call: then no placeholder is needed.  Only while
 * nobody watches the descriptor, who would see an attempt fail that is not the last. */
static void try_at_once(struct conn *conn)
{
	struct pollfd ready;

	conn_step(conn, NULL, 0, conn->begun);
	if (conn->state != CONN_RACING || conn_pollfds(conn, &ready, 1) != 1)
		return;
	ready.revents = ready.events;
	conn_step(conn, &ready, 1, now_ns());
}

/* The first attempt is made on the spot: what fails at once for every candidate (no route) is reported at
 * once, as the kernel would. */
int drive_behind(struct conn *conn)
{
	bool watched = conn->policy.security || taps_host->slot_watched(conn->slot);
	int result = 0;

	loop_lock();
	conn_begin(conn, now_ns());
	if (!watched)
		try_at_once(conn);
	if (conn->state == CONN_RACING)
		result = place_hold(conn);
	if (result < 0) {
		result = hand_back(conn, result);
		loop_unlock();
		give_up(conn);
		return result;
	}
	if (watched)
		conn_step(conn, NULL, 0, conn->begun);
	if (conn->state == CONN_RACING) {
		keep_going(conn);
		result = loop_add(&conn->client);
		if (result == 0) {
			loop_unlock();
			return -EINPROGRESS;
		}
		result = hand_back(conn, result);
		place_restore(conn);
		place_drop(conn);
		conn_cancel(conn);
	} else {
		result = finish_at_once(conn);
	}
	loop_unlock();
	conn_unref(conn);
	return result;
}

int drive_datagram(struct conn *conn)
{
	int64_t now = now_ns();
	int result;

	conn_begin(conn, now);
	conn_step(conn, NULL, 0, now);
	note_outcome(conn);
	result = conn->state == CONN_WON ? 0 : -atomic_load(&conn->error);
	conn_cancel(conn);
	conn_unref(conn);
	return result;
}

/* Programs clear a pending error after connect(2) and before they wait (ruby does): an event that comes at
 * once would be lost on them. */
#define FAIL_LATER_NS (10 * NS_PER_MS)

static bool run_failing(struct loop_client *client, int64_t now)
{
	struct conn *conn = conn_of(client);

	if (now < client->deadline && !atomic_load(&conn->abandoned) && !atomic_load(&conn->released))
		return true;
	if (!atomic_load(&conn->abandoned) && conn_hold_slot(conn)) {
		conn->state = CONN_LOST;
		place_fail(conn);
		conn_release_slot(conn);
	}
	return false;
}

int drive_failed(struct conn *conn, int error)
{
	int result;

	loop_lock();
	result = place_hold(conn);
	if (result == 0) {
		atomic_store(&conn->error, error);
		conn->client.run = run_failing;
		conn->client.done = done_behind;
		conn->client.deadline = now_ns() + FAIL_LATER_NS;
		result = loop_add(&conn->client);
		if (result < 0) {
			place_restore(conn);
			place_drop(conn);
		}
	}
	loop_unlock();
	if (result < 0)
		conn_unref(conn);
	return result == 0 ? -EINPROGRESS : -error;
}

/* The slot has let the stream go.  Who is in a call on it has a reference to the slot, as its one descriptor
 * has and the present call. */
static void put_away(struct taps_slot *slot, struct handle *handle)
{
	if (atomic_load(&slot->refs) <= 2) {
		handle_unref(handle);
		return;
	}
	handle->former = slot->former;
	slot->former = handle;
}

/* What the stream was about is the loop's from here on.  NULL if there is nothing to take, or no more. */
static struct layer *take_from(struct taps_slot *slot, struct stream *stream)
{
	struct layer *chain = stream_take_chain(stream);
	bool there;

	if (!chain)
		return NULL;
	taps_host->lock();
	there = atomic_load(&slot->conn) == stream;
	if (there) {
		atomic_store(&slot->conn, NULL);
		put_away(slot, (struct handle *)stream);
		taps_host->slot_flags(slot, SLOT_SECURING, SLOT_LAYERED | SLOT_PLAIN);
	}
	taps_host->unlock();
	if (there)
		return chain;
	layer_close_chain(chain);
	return NULL;
}

int drive_accepted(struct taps_slot *slot, int fd, const struct security *security)
{
	struct stream *stream = atomic_load(&slot->conn);
	struct taps_connect_call call = {.slot = slot, .fd = fd};
	struct sockaddr_storage name;
	struct policy policy = {.security = security};
	struct conn *conn;

	call.addr = (struct sockaddr *)&name;
	call.len = sizeof(name);
	if (taps_host->getpeername(fd, (struct sockaddr *)&name, &call.len) != 0)
		return -errno;
	conn = conn_new(&call, NULL, &policy, NULL);
	if (!conn)
		return -ENOMEM;
	loop_lock();
	conn->attempts[0].top = take_from(slot, stream);
	loop_unlock();
	if (!conn->attempts[0].top) {
		conn_unref(conn);
		return -EINPROGRESS;
	}
	conn->attempts[0].candidate.remote = conn->asked;
	conn->attempts[0].own = true;
	conn->race.n = 1;
	return drive_behind(conn);
}
