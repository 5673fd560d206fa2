/* The connection object: gathers candidates, runs attempts as the race decides. */
#include "core/conn.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/single_threaded.h>

#include "core/host.h"
#include "core/path.h"
#include "core/resolve.h"
#include "core/secure.h"
#include "core/trace.h"
#include "core/wait.h"

static void conn_free(struct handle *handle)
{
	struct conn *conn = (struct conn *)handle;

	resolve_free(conn->resolve);
	if (conn->conf)
		conf_unref(conn->conf);
	taps_host->free(conn);
}

struct conn *conn_new(const struct taps_connect_call *call, struct conf *conf, const struct policy *policy,
		      const struct names_entry *entry)
{
	struct conn *conn = taps_host->calloc(1, sizeof(*conn));

	if (!conn)
		return NULL;
	handle_init(&conn->handle, HANDLE_CONN, conn_free);
	conn->slot = call->slot;
	conn->conf = conf ? conf_ref(conf) : NULL;
	conn->policy = *policy;
	conn->family = AF_UNSPEC;
	if (entry) {
		memcpy(conn->name, entry->name, sizeof(conn->name));
		conn->family = entry->family;
	}
	addr_from_sockaddr(&conn->passed, call->addr, call->len);
	conn->asked = addr_unmap(&conn->passed);
	conn->app_fd = call->fd;
	conn->own_fd = -1;
	conn->peer_fd = -1;
	conn->patience_end = INT64_MAX;
	conn->home = taps_host->process();
	conn->id = trace_new_id();
	return conn;
}

void conn_ref(struct conn *conn)
{
	handle_ref(&conn->handle);
}

void conn_unref(struct conn *conn)
{
	handle_unref(&conn->handle);
}

bool conn_is_bound_to_core(const struct conn *conn)
{
	return conn->policy.security || conn->policy.remote.host || conn->policy.remote.port;
}

bool conn_hold_slot(struct conn *conn)
{
	return !atomic_load(&conn->released) && taps_host->slot_hold(conn->slot, conn);
}

void conn_release_slot(struct conn *conn)
{
	taps_host->slot_unref(conn->slot);
}

void conn_begin(struct conn *conn, int64_t now)
{
	struct race_params params = {
		.attempt_delay = conn->policy.race.attempt_delay,
		.max_in_flight = conn->policy.race.max_in_flight,
	};
	unsigned n = conn->race.n;

	conn->begun = now;
	race_init(&conn->race, &params, n);
	race_expect_more(&conn->race, conn->resolve != NULL);
}

static bool is_mapped(const struct taps_addr *addr)
{
	return addr_family(addr) == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&addr->in6.sin6_addr);
}

/* The loop took over from a blocking connect() before there was a candidate: it must not wait on the file. */
static bool would_block(const struct conn *conn)
{
	int status = conn->own_fd >= 0 ? taps_host->fcntl(conn->own_fd, F_GETFL) : O_NONBLOCK;

	return status >= 0 && !(status & O_NONBLOCK);
}

/* What is secured goes over a file that nobody else can have: the application's own may have been passed on,
 * or be in the hands of a child or of another thread.  What is set on that cannot be carried over, though. */
static bool needs_new(const struct conn *conn)
{
	return conn->policy.security && !(atomic_load(&conn->slot->flags) & (SLOT_PINNED | SLOT_BOUND_PORT));
}

/* The application's own file serves its first candidate: when that wins nothing need be replaced. */
static bool fits_own(const struct conn *conn, unsigned leaf)
{
	const struct taps_addr *remote = &conn->attempts[leaf].candidate.remote;

	return leaf == 0 && addr_family(remote) == conn->slot->domain &&
	       is_mapped(remote) == is_mapped(&conn->passed) && !would_block(conn) && !needs_new(conn);
}

/* The source address that the application bound, with a port of the kernel's choice. */
static int bind_like(const struct conn *conn, int fd)
{
	if (conn->bound.sa.sa_family == AF_UNSPEC || addr_is_wildcard(&conn->bound))
		return 0;
	return taps_host->bind(fd, &conn->bound.sa, addr_len(&conn->bound)) == 0 ? 0 : -errno;
}

static int new_socket(const struct conn *conn, const struct taps_addr *remote)
{
	int type = conn->slot->type | SOCK_NONBLOCK | SOCK_CLOEXEC, off = 0, result;
	int fd = taps_host->socket(addr_family(remote), type, conn->slot->protocol);

	if (fd < 0)
		return -errno;
	fd = taps_host->fd_keep(fd);
	if (fd < 0)
		return fd;
	taps_host->slot_options(conn->slot, conn_original_fd(conn), fd);
	if (is_mapped(remote))
		taps_host->setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	result = bind_like(conn, fd);
	if (result < 0) {
		taps_host->fd_drop(fd);
		return result;
	}
	return fd;
}

/* How long a connect() of a blocking file may take before the next attempt is due. */
static int64_t patience(const struct conn *conn, int64_t now)
{
	int64_t end = race_deadline(&conn->race);

	/* Answers that come meanwhile must be seen. */
	if (conn->resolve)
		return 1;
	if (conn->patience_end < end)
		end = conn->patience_end;
	if (end == INT64_MAX)
		return NS_PER_S;
	return end > now ? end - now : 1;
}

/* TCP_FASTOPEN_CONNECT makes connect() succeed with nobody listening: it would win every race. */
static void no_fast_open(const struct conn *conn, int fd)
{
	int off = 0;

	if (atomic_load(&conn->slot->flags) & SLOT_OPTIONS)
		taps_host->setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &off, sizeof(off));
}

/* Without words anywhere, the error is the most preferred candidate's. */
static void note_reason(struct conn *conn, const struct attempt *attempt, const char *reason)
{
	if (conn->reason[0])
		return;
	snprintf(conn->reason, sizeof(conn->reason), "%s", reason);
	if (reason[0] || attempt == conn->attempts)
		conn->refused = addr_unmap(&attempt->candidate.remote);
}

/* A relay does the handshake by itself: nobody could be told that it came to nothing. */
static bool is_replayable(const struct conn *conn)
{
	return conn->policy.properties.safely_replayable &&
	       conn->policy.security->data_path == SECURITY_DIRECT &&
	       !(atomic_load(&conn->slot->flags) & SLOT_RELAY);
}

/* Every candidate of a secured connection has the same security, or none is tried. */
static int add_security(struct conn *conn, struct attempt *attempt)
{
	struct taps_addr remote = addr_unmap(&attempt->candidate.remote);
	char address[ADDR_TEXT_MAX], reason[SECURE_REASON_MAX];
	struct secure_peer peer = {
		.name = conn->identity ? conn->identity : conn->name[0] ? conn->name : NULL,
		.address = addr_format_host(&remote, address),
		.port = addr_port(&remote),
		.ticket_used = &conn->ticket_used,
		.isolated = conn->policy.properties.isolate_session,
		.replayable = is_replayable(conn),
		.any_fd = true,
	};
	struct layer *top = secure_layer(conn->policy.security, SECURE_CLIENT, &peer, attempt->top, reason);

	if (top) {
		attempt->top = top;
		return 0;
	}
	note_reason(conn, attempt, reason);
	return -EPROTO;
}

/* Only within the call, while the application holds its socket. */
static int open_datagram(const struct conn *conn, struct attempt *attempt)
{
	attempt->own = true;
	attempt->top = udp_layer(conn->app_fd, &attempt->candidate.remote);
	return attempt->top ? 0 : -ENOMEM;
}

bool conn_lock(const struct conn *conn)
{
	bool needed = conn->blocking && !__libc_single_threaded;

	if (needed)
		loop_lock();
	return needed;
}

void conn_unlock(bool locked)
{
	if (locked)
		loop_unlock();
}

#define LANDING_MS 100

/* Its own file may be in the hands of calls that went to the kernel before: on a socket that is not connected
 * those end at once, but for what waits elsewhere (splice(2) at a pipe). */
static bool is_alone(const struct conn *conn)
{
	unsigned waited;
	bool any = true;

	for (waited = 0; waited <= LANDING_MS && any; waited++) {
		int64_t now = now_ns();

		if (waited > 0)
			wait_fds(NULL, 0, now + NS_PER_MS, now);
		taps_host->lock();
		any = taps_host->slot_in_flight(conn->slot);
		taps_host->unlock();
	}
	return !any;
}

static int hold_own(struct conn *conn, const struct attempt *attempt)
{
	bool alone;

	if (conn->app_fd < 0 && !conn_hold_slot(conn))
		return -ECANCELED;
	alone = is_alone(conn);
	if (conn->app_fd < 0)
		conn_release_slot(conn);
	if (!alone)
		note_reason(conn, attempt, "another thread is in a call on the socket");
	return alone ? 0 : -EPROTO;
}

static int open_transport(struct conn *conn, unsigned leaf, int64_t now)
{
	struct attempt *attempt = &conn->attempts[leaf];
	struct tcp_options options = {.remote = attempt->candidate.remote, .settle = conn->blocking};

	options.keep = attempt->own;
	if (attempt->own) {
		options.fd = conn_original_fd(conn);
		no_fast_open(conn, options.fd);
		options.blocking = conn->blocking && conn->own_fd < 0;
		options.patience = patience(conn, now);
	} else {
		/* The slot is the application's and may be gone while the loop drives. */
		if (conn->app_fd < 0 && !conn_hold_slot(conn))
			return -ECANCELED;
		options.fd = new_socket(conn, &options.remote);
		if (conn->app_fd < 0)
			conn_release_slot(conn);
		if (options.fd < 0)
			return options.fd;
	}
	attempt->top = tcp_layer(&options);
	if (!attempt->top && !attempt->own)
		taps_host->fd_drop(options.fd);
	return attempt->top ? 0 : -ENOMEM;
}

static int open_stream(struct conn *conn, unsigned leaf, int64_t now)
{
	struct attempt *attempt = &conn->attempts[leaf];
	int result = 0;
	bool locked;

	attempt->own = fits_own(conn, leaf);
	if (attempt->own && conn->policy.security)
		result = hold_own(conn, attempt);
	if (result < 0)
		return result;
	locked = conn_lock(conn);
	result = open_transport(conn, leaf, now);
	conn_unlock(locked);
	return result == 0 && conn->policy.security ? add_security(conn, attempt) : result;
}

static int open_attempt(struct conn *conn, unsigned leaf, int64_t now)
{
	if (conn->attempts[leaf].candidate.stack == STACK_UDP)
		return open_datagram(conn, &conn->attempts[leaf]);
	return open_stream(conn, leaf, now);
}

static void close_attempt(struct conn *conn, unsigned leaf)
{
	bool locked = conn_lock(conn);

	layer_close_chain(conn->attempts[leaf].top);
	conn->attempts[leaf].top = NULL;
	conn_unlock(locked);
}

/* A loop over the answer comes to the others next, and need not wait for them again.  The address
 * asked for is reported by this call, and a refusal costs nothing to ask for again. */
static void note_failure(const struct conn *conn, unsigned leaf, int error, int64_t now)
{
	const struct taps_addr *remote = &conn->attempts[leaf].candidate.remote;

	if (conn->name[0] && error != ECONNREFUSED)
		names_note_failure(remote, conn->name, addr_equal(remote, &conn->asked) ? 0 : error, now);
}

static void leaf_ended(struct conn *conn, unsigned leaf, int error, int64_t now)
{
	struct layer *top = conn->attempts[leaf].top;

	note_reason(conn, &conn->attempts[leaf], top && top->ops->reason ? top->ops->reason(top) : "");
	race_leaf_failed(&conn->race, leaf, error, now);
	close_attempt(conn, leaf);
	note_failure(conn, leaf, error, now);
}

/* One step of an attempt; tells the race what came of it.  Returns -EINTR through to the driver. */
static void advance(struct conn *conn, unsigned leaf)
{
	struct attempt *attempt = &conn->attempts[leaf];
	int result = attempt->top->ops->connect(attempt->top, now_ns(), &attempt->wants);

	if (result != 0 && attempt->wants.securing)
		race_leaf_progress(&conn->race, leaf, now_ns());
	if (result == 0)
		race_leaf_ready(&conn->race, leaf, now_ns());
	else if (result == -EINTR)
		conn->interrupted = true;
	else if (result != -EAGAIN)
		leaf_ended(conn, leaf, -result, now_ns());
}

static void start(struct conn *conn, unsigned leaf, int64_t now)
{
	/* An accepted connection comes with its chain. */
	int result = conn->attempts[leaf].top ? 0 : open_attempt(conn, leaf, now);

	if (result < 0)
		leaf_ended(conn, leaf, -result, now);
	else
		advance(conn, leaf);
}

/* The first one's time was up, and the others had nearly as long: they count as timed out. */
static void note_cancelled(const struct conn *conn, int64_t now)
{
	unsigned leaf;

	for (leaf = 0; leaf < conn->race.n; leaf++)
		if (conn->race.leaf[leaf].state == LEAF_CANCELLED)
			note_failure(conn, leaf, ETIMEDOUT, now);
}

static void carry_out(struct conn *conn, const struct race_action *action, int64_t now)
{
	switch (action->kind) {
	case RACE_START:
		start(conn, action->leaf, now);
		break;
	case RACE_CANCEL:
		close_attempt(conn, action->leaf);
		break;
	case RACE_WON:
		conn->winner = action->leaf;
		conn->state = CONN_WON;
		break;
	case RACE_LOST:
		if (action->error == ETIMEDOUT)
			note_cancelled(conn, now);
		atomic_store(&conn->error, action->error);
		conn->state = CONN_LOST;
		break;
	}
}

static bool is_live(const struct conn *conn, unsigned leaf)
{
	enum race_leaf_state state = conn->race.leaf[leaf].state;

	return conn->attempts[leaf].top && (state == LEAF_RUNNING || state == LEAF_SECURING);
}

static bool is_ready(const struct attempt *attempt, const struct pollfd *fds, unsigned n, int64_t now)
{
	unsigned i;

	if (attempt->wants.deadline <= now)
		return true;
	for (i = 0; i < n; i++)
		if (fds[i].fd == attempt->wants.fd && fds[i].revents)
			return true;
	return false;
}

static bool has_started(const struct conn *conn, unsigned leaf)
{
	return conn->race.leaf[leaf].started != RACE_NEVER;
}

static bool is_tried(const struct conn *conn, const struct candidate *candidate, unsigned started)
{
	unsigned i;

	for (i = 0; i < started; i++)
		if (addr_equal(&conn->attempts[i].candidate.remote, &candidate->remote))
			return true;
	return false;
}

/* New answers go behind what has started; what has not is put in order anew with them. */
static void merge_answers(struct conn *conn)
{
	struct candidate_set set;
	const struct taps_addr *addrs;
	unsigned started = 0, at, i;
	size_t n_addrs;

	addrs = resolve_addrs(conn->resolve, &n_addrs);
	if (conn_candidates(conn, addrs, n_addrs, &set) < 0)
		return;
	while (started < conn->race.n && has_started(conn, started))
		started++;
	for (i = 0, at = started; i < set.n; i++) {
		if (is_tried(conn, &set.candidate[i], started))
			continue;
		if (at == conn->race.n && race_insert(&conn->race, at) < 0)
			return;
		conn->attempts[at++] = (struct attempt){.candidate = set.candidate[i]};
	}
}

static void step_resolve(struct conn *conn, const struct pollfd *fds, unsigned n, int64_t now)
{
	if (!conn->resolve)
		return;
	resolve_step(conn->resolve, fds, n, now);
	if (conn->race.n > 0 || resolve_usable(conn->resolve, now))
		merge_answers(conn);
	if (!resolve_complete(conn->resolve))
		return;
	race_expect_more(&conn->race, false);
	resolve_free(conn->resolve);
	conn->resolve = NULL;
}

void conn_step(struct conn *conn, const struct pollfd *fds, unsigned n, int64_t now)
{
	struct race_action actions[8];
	unsigned leaf, i, count;

	step_resolve(conn, fds, n, now);
	for (leaf = 0; leaf < conn->race.n; leaf++)
		if (is_live(conn, leaf) && is_ready(&conn->attempts[leaf], fds, n, now))
			advance(conn, leaf);
	while (conn->state == CONN_RACING && !conn->interrupted && !atomic_load(&conn->abandoned) &&
	       (count = race_step(&conn->race, now_ns(), actions, 8)) > 0)
		for (i = 0; i < count; i++)
			carry_out(conn, &actions[i], now_ns());
}

unsigned conn_pollfds(struct conn *conn, struct pollfd *fds, unsigned max)
{
	unsigned leaf, n = 0;

	for (leaf = 0; leaf < conn->race.n && n < max; leaf++) {
		struct attempt *attempt = &conn->attempts[leaf];

		if (is_live(conn, leaf) && attempt->wants.fd >= 0)
			fds[n++] = (struct pollfd){attempt->wants.fd, attempt->wants.events, 0};
	}
	if (conn->resolve)
		n += resolve_pollfds(conn->resolve, fds + n, max - n);
	return n;
}

int64_t conn_deadline(const struct conn *conn)
{
	int64_t deadline = race_deadline(&conn->race);
	unsigned leaf;

	for (leaf = 0; leaf < conn->race.n; leaf++)
		if (is_live(conn, leaf) && conn->attempts[leaf].wants.deadline < deadline)
			deadline = conn->attempts[leaf].wants.deadline;
	if (conn->resolve && resolve_deadline(conn->resolve) < deadline)
		deadline = resolve_deadline(conn->resolve);
	return deadline;
}

void conn_cancel(struct conn *conn)
{
	unsigned leaf;

	for (leaf = 0; leaf < conn->race.n; leaf++)
		if (conn->attempts[leaf].top)
			close_attempt(conn, leaf);
}
