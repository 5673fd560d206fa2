/* TLS as a layer.  The session (core/tls_session.h) works on memory; here are the kernel's queue and the
 * session's side by side.  Kernel I/O and waiting stay outside the session's lock; each direction has a
 * lock of its own, from peek to removal and from encryption to send(2). */
#include "core/tls_layer.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "core/host.h"
#include "core/tls_cursor.h"
#include "core/tls_early.h"
#include "core/tls_out.h"
#include "core/tls_ahead.h"
#include "core/tls_scratch.h"
#include "core/tls_seat.h"
#include "core/tls_verifier.h"

#define OUT_SMALL 4096 /* of the session, at a time */

struct tls {
	struct layer layer;
	struct tls_session *session;
	struct secure_context *context;
	char *name; /* for tickets, with the next two */
	uint16_t port;
	uint64_t network;
	bool *ticket_used; /* of the race; NULL once it was asked for one */
	bool isolated;
	bool replayable;
	struct tls_early early;
	int64_t timeout;  /* ns, of the handshake */
	int64_t deadline; /* 0: not begun */
	struct tls_seat seat;
	bool ready;
	bool finished; /* close_notify was queued */
	int error;     /* handshake: for good */
	int shaking;   /* the handshake's descriptor */
	bool any_fd;   /* the verifier is waited for by who drives the handshake */
	struct tls_verifier verifier;
	pthread_mutex_t recv_lock;
	pthread_mutex_t send_lock;
	_Atomic bool gone;  /* another process has the session */
	pid_t home;         /* whose it was then */
	bool away;          /* this is that other process */
	_Atomic bool quiet; /* sends only what send() and finish() ask for */
	struct tls_out out;
	struct tls_ahead ahead;
	uint8_t held;  /* bytes of a consumed record that are still in the kernel: 0 or 1 */
	size_t missing; /* of a record that was taken in part */
	int lowat;     /* SO_RCVLOWAT as set */
	int mark;      /* as it must be once nothing is held */
	int wanted;    /* bytes without which the descriptor is not to be readable */
	bool more;     /* the last look saw no end of what the kernel has */
	char *_Atomic reason; /* NULL: none */
};

static struct tls *tls_of(struct layer *layer)
{
	return (struct tls *)layer;
}

/* Puts what the session has queued (handshake, alerts, answers to key updates) behind what is kept. */
static int take_output(struct tls *tls)
{
	uint8_t buf[OUT_SMALL];
	size_t n;

	while ((n = tls_session_take_output(tls->session, buf, sizeof(buf))) > 0)
		if (tls_out_keep(&tls->out, buf, n) < 0)
			return -ENOMEM;
	return 0;
}

static int flush_locked(struct tls *tls, int fd)
{
	int result;

	if (atomic_load(&tls->gone))
		return -ESTALE;
	if (atomic_load(&tls->quiet))
		return 0;
	result = take_output(tls);
	return result < 0 ? result : tls_out_flush(&tls->out, fd);
}

static int tls_flush(struct layer *layer, int fd)
{
	struct tls *tls = tls_of(layer);
	int result;

	pthread_mutex_lock(&tls->send_lock);
	result = flush_locked(tls, fd);
	pthread_mutex_unlock(&tls->send_lock);
	return result;
}

static void set_lowat(struct tls *tls, int fd, int bytes)
{
	if (tls->lowat == bytes)
		return;
	if (taps_host->setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof(bytes)) == 0)
		tls->lowat = bytes;
}

static void set_reason(struct tls *tls, const char *text)
{
	if (!atomic_load(&tls->reason))
		atomic_store(&tls->reason, strdup(text));
}

static int fail(struct tls *tls, int fd, int error)
{
	const char *why = tls_session_reason(tls->session);

	set_reason(tls, why[0]                ? why
			: error == -ETIMEDOUT ? "the handshake was not finished in time"
					      : strerror(-error));
	tls_flush(&tls->layer, fd);
	if (tls->early.open)
		tls_context_forget(tls->name);
	tls_seat_done(&tls->seat);
	tls->error = error;
	return error;
}

/* What a peek's outcome means for a session that is not there yet. */
static int handshake_input(struct tls *tls, int fd, bool *ret_progress)
{
	uint8_t *buf = tls_scratch();
	size_t used = 0;
	ssize_t n;
	int result;

	*ret_progress = false;
	if (!buf)
		return -ENOMEM;
	n = tls_ahead_peek(fd, buf, TLS_RECORD_MAX);
	if (n == -EAGAIN)
		return TLS_WANT_INPUT;
	if (n == 0) {
		set_reason(tls, "the peer closed the connection in the handshake");
		return -ECONNRESET;
	}
	if (n < 0)
		return (int)n;
	result = tls_session_handshake(tls->session, buf, (size_t)n, &used);
	/* Early data of a client's waits already: the descriptor stays readable. */
	tls->held = result == TLS_DONE && used > 0 && tls_session_pending(tls->session) > 0;
	tls_ahead_discard(fd, used - tls->held);
	*ret_progress = used > 0;
	return result;
}

/* tls_sender */
static size_t send_message(void *context, const struct iovec *iov, int n)
{
	struct msghdr msg = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n};
	struct tls *tls = context;
	ssize_t sent;

	if (tls_out_left(&tls->out))
		return 0;
	sent = taps_host->sendmsg(tls->shaking, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	return sent < 0 ? 0 : (size_t)sent;
}

static int begin_handshake(struct tls *tls, int64_t now)
{
	size_t used;

	if (!tls_seat_take(&tls->seat)) {
		set_reason(tls, "as many handshakes as there may be are unfinished (maxHandshakes)");
		return -ECONNABORTED;
	}
	tls_session_set_sender(tls->session, send_message, tls);
	tls->deadline = tls->timeout > 0 ? now + tls->timeout : INT64_MAX;
	return tls_session_handshake(tls->session, NULL, 0, &used);
}

/* The external verifier gets the chain on its standard input and says yes by exit status 0. */
static void ask_verifier(struct tls *tls)
{
	char *chain = tls_session_chain_pem(tls->session);

	if (!chain || tls_verifier_ask(tls->context, chain, &tls->verifier) < 0)
		tls_session_verifier_said(tls->session, false, "the verifier cannot be run");
	free(chain);
}

/* Returns false while there is no verdict yet. */
static bool is_verified(struct tls *tls)
{
	char line[200] = "";
	int verdict;

	if (tls->verifier.answer < 0)
		ask_verifier(tls);
	if (tls->verifier.answer < 0)
		return true;
	verdict = tls_verifier_hear(&tls->verifier, !tls->any_fd, line, sizeof(line));
	if (verdict != -EAGAIN)
		tls_session_verifier_said(tls->session, verdict == 1, line);
	return verdict != -EAGAIN;
}

/* The kernel takes nothing more: the peer may have said why before it went. */
static int last_words(struct tls *tls, int fd, int error)
{
	bool progress;
	int result = handshake_input(tls, fd, &progress);

	if (result < 0)
		return result;
	return error == -EPIPE ? -ECONNRESET : error;
}

static int shake(struct tls *tls, int fd, int64_t now)
{
	bool progress = true;
	int result;

	tls->shaking = fd;
	result = tls->verifier.answer >= 0 ? TLS_WANT_VERIFIER : TLS_WANT_INPUT;
	result = tls->deadline == 0 ? begin_handshake(tls, now) : result;
	while (result >= 0 && result != TLS_DONE && progress) {
		int sent = tls_flush(&tls->layer, fd);

		if (sent < 0 && sent != -EAGAIN)
			return last_words(tls, fd, sent);
		if (result == TLS_WANT_VERIFIER && !is_verified(tls))
			return result;
		result = handshake_input(tls, fd, &progress);
	}
	return result;
}

/* The transport is up.  Of a race's attempts the first to come here has the ticket; if that allows early
 * data, the handshake waits for the application's first bytes. */
static bool defers(struct tls *tls, int fd)
{
	bool *used = tls->ticket_used;

	tls->ticket_used = NULL;
	if (!used)
		return false;
	tls->network = tls_context_network(fd);
	if (*used)
		return false;
	*used = tls_context_resume(tls->context, tls->name, tls->port, tls->network, tls->session);
	return *used && tls->replayable && tls_early_open(&tls->early, tls->session);
}

static size_t tls_take_early(struct layer *layer, const struct iovec *iov, int n)
{
	struct tls *tls = tls_of(layer);

	return tls_early_take(&tls->early, tls->session, iov, n, tls->deadline != 0);
}

/* The handshake is over; what waited for it goes before everything else. */
static int open_up(struct tls *tls, int fd)
{
	int result;

	pthread_mutex_lock(&tls->send_lock);
	result = take_output(tls);
	if (result == 0)
		result = tls_early_settle(&tls->early, tls->session, &tls->out);
	if (result == 0)
		result = flush_locked(tls, fd);
	pthread_mutex_unlock(&tls->send_lock);
	return result == -EPIPE ? -ECONNRESET : result;
}

static int tls_connect(struct layer *layer, int64_t now, struct layer_wants *wants)
{
	struct tls *tls = tls_of(layer);
	int result = layer->below->ops->connect(layer->below, now, wants), fd;

	if (result != 0)
		return result;
	fd = wants->fd;
	wants->securing = true;
	if (tls->error)
		return tls->error;
	if (defers(tls, fd)) {
		wants->deferred = true;
		tls->any_fd = false;
		return 0;
	}
	result = tls->ready ? TLS_DONE : shake(tls, fd, now);
	if (result < 0)
		return fail(tls, fd, result);
	if (result == TLS_DONE) {
		tls->ready = true;
		tls_seat_done(&tls->seat);
		result = open_up(tls, fd);
		return result == 0 || result == -EAGAIN ? 0 : fail(tls, fd, result);
	}
	if (now >= tls->deadline)
		return fail(tls, fd, -ETIMEDOUT);
	*wants = (struct layer_wants){
		.fd = result == TLS_WANT_VERIFIER ? tls->verifier.answer : fd,
		.events = POLLIN, .deadline = tls->deadline, .securing = true,
	};
	if (result != TLS_WANT_VERIFIER)
		wants->events |= tls_out_left(&tls->out) ? POLLOUT : 0;
	else if (tls->verifier.end < wants->deadline)
		wants->deadline = tls->verifier.end;
	return -EAGAIN;
}

/* Sets the low-water mark so that readable means: there is something to report, or the record is whole.  With
 * less than is wanted, the byte that is held does not count. */
static void apply_mark(struct tls *tls, int fd)
{
	bool enough = tls_session_pending(tls->session) >= (size_t)tls->wanted;

	set_lowat(tls, fd, tls->held && enough ? 1 : tls->held + tls->mark);
}

static void arrange(struct tls *tls, int fd, const uint8_t *rest, size_t n_rest)
{
	size_t lack = tls_ahead_lacks(rest, n_rest);

	tls->mark = lack ? (int)(n_rest + lack) : 1;
	if (tls->missing)
		tls->mark = (int)tls->missing;
	apply_mark(tls, fd);
}

/* The kernel says readable below the mark when its receive window closes (a segment may be larger than what
 * is free, on loopback above all): the record would never become whole there, so its part is taken. */
static bool is_stuck(const struct tls *tls, const uint8_t *data, size_t size)
{
	size_t lack = tls_ahead_lacks(data, size);

	return tls->missing || (lack && tls->lowat > 1 && tls->lowat == (int)(tls->held + size + lack));
}

/* All was read but the end, or an error: from here on the kernel itself reports it for ever, as it does after
 * a FIN, with POLLRDHUP. */
static bool is_over(int fd, const struct tls_received *got)
{
	bool over = got->hold && got->pending == 0;

	if (over)
		taps_host->shutdown(fd, SHUT_RD);
	return over;
}

/* Removes what was used up; keeps one byte back while decrypted bytes wait.  What lies behind the end of a
 * look that could not bring everything is for the next. */
static void settle(struct tls *tls, int fd, const uint8_t *data, size_t size, const struct tls_received *got)
{
	size_t used = tls->held + got->consumed, back = !is_over(fd, got) && got->pending > 0 && used > 0;

	tls_ahead_take(&tls->ahead, fd, used - back);
	tls->held = (uint8_t)back;
	tls->missing = got->missing;
	arrange(tls, fd, data + got->consumed, tls->more && got->consumed ? 0 : size - got->consumed);
}

static int after_input(struct tls *tls, int fd, const struct tls_received *got)
{
	if (!tls->isolated)
		tls_context_tickets(tls->context, tls->name, tls->port, tls->network, tls->session,
				    tls->away);
	return got->output > 0 ? tls_flush(&tls->layer, fd) : 0;
}

/* The kernel has nothing more: the session knows why. */
static int at_end(struct tls *tls)
{
	struct tls_received got;
	int result = tls_session_recv(tls->session, NULL, 0, NULL, 0, 0, &got);

	if (result == 0)
		result = tls_session_truncated(tls->session);
	if (result < 0)
		set_reason(tls, tls_session_reason(tls->session));
	return result;
}

/* Looks once into the kernel's queue.  Returns > 0: something came of it, 0: the end, -EAGAIN, -errno. */
static ssize_t look(struct tls *tls, int fd, const struct iovec *iov, int n_iov, size_t want, unsigned flags)
{
	struct tls_received got;
	const uint8_t *data;
	size_t size;
	ssize_t n;
	int result;

	n = tls_ahead_look(&tls->ahead, fd, tls_ahead_room(want, tls->held), tls->held, &data, &tls->more);
	if (n < 0)
		return n;
	if (n == 0)
		return at_end(tls);
	if ((size_t)n < tls->held)
		return -EAGAIN;
	size = (size_t)n - tls->held;
	data += tls->held;
	if (is_stuck(tls, data, size))
		flags |= TLS_RECV_PARTIAL;
	if (iov)
		result = tls_session_recv(tls->session, data, size, iov, n_iov, flags, &got);
	else
		result = tls_session_fill(tls->session, data, size, want, flags, &got);
	settle(tls, fd, data, size, &got);
	after_input(tls, fd, &got);
	if (result < 0) {
		set_reason(tls, tls_session_reason(tls->session));
		return result;
	}
	if (got.bytes > 0)
		return (ssize_t)got.bytes;
	if (!iov && got.pending > 0 && got.consumed > 0)
		return (ssize_t)got.pending;
	if (got.closed)
		return 0;
	return got.consumed > 0 ? -EINPROGRESS : -EAGAIN;
}

/* From what is decrypted already.  Returns -EAGAIN if there is nothing. */
static ssize_t from_pending(struct tls *tls, int fd, const struct iovec *iov, int n_iov, unsigned flags)
{
	struct tls_received got;
	int result;

	if (tls_session_pending(tls->session) == 0)
		return -EAGAIN;
	result = tls_session_recv(tls->session, NULL, 0, iov, n_iov, flags, &got);
	tls->more = true;
	if (result < 0)
		return result;
	if (tls->held && (!got.hold || is_over(fd, &got))) {
		tls_ahead_take(&tls->ahead, fd, tls->held);
		tls->held = 0;
	}
	apply_mark(tls, fd);
	return got.bytes > 0 ? (ssize_t)got.bytes : -EAGAIN;
}

/* A call that brings less than was asked for says that nothing more is there: with edges nobody would ask
 * again (epoll(7)). */
static ssize_t fill_up(struct tls *tls, int fd, const struct iovec *iov, int n, size_t done)
{
	size_t want = tls_cursor_total(iov, n);
	struct iovec rest[64];

	while (tls->more && done < want) {
		ssize_t got = look(tls, fd, rest, tls_cursor_rest(iov, n, done, rest), want - done, 0);

		if (got > 0)
			done += (size_t)got;
		else if (got != -EINPROGRESS)
			break;
	}
	return (ssize_t)done;
}

static ssize_t tls_recv(struct layer *layer, int fd, const struct iovec *iov, int n, bool peeking)
{
	unsigned flags = peeking ? TLS_RECV_PEEK : 0;
	struct tls *tls = tls_of(layer);
	ssize_t result;

	pthread_mutex_lock(&tls->recv_lock);
	result = atomic_load(&tls->gone) ? -ESTALE : from_pending(tls, fd, iov, n, flags);
	if (result == -EAGAIN)
		do
			result = look(tls, fd, iov, n, tls_cursor_total(iov, n), flags);
		while (result == -EINPROGRESS);
	if (result > 0 && !peeking)
		result = fill_up(tls, fd, iov, n, (size_t)result);
	pthread_mutex_unlock(&tls->recv_lock);
	return result;
}

/* Part of a record is waited for by its low-water mark, which poll(2) knows how to get out of. */
static int tls_sleep(struct layer *layer, int fd, size_t want)
{
	struct tls *tls = tls_of(layer);

	if (tls->lowat > 1)
		return -EOPNOTSUPP;
	return tls_ahead_sleep(&tls->ahead, &tls->recv_lock, fd, tls_ahead_room(want, tls->held));
}

static int tls_readable(struct layer *layer, int fd)
{
	struct tls *tls = tls_of(layer);
	ssize_t result = 1;

	pthread_mutex_lock(&tls->recv_lock);
	while (!atomic_load(&tls->gone) && tls_session_pending(tls->session) < (size_t)tls->wanted) {
		result = look(tls, fd, NULL, 0, (size_t)tls->wanted, 0);
		if (result <= 0 && result != -EINPROGRESS)
			break;
	}
	/* A byte that is held hides the end. */
	if (result == -EAGAIN && tls->held)
		result = tls_ahead_has_ended(fd) ? 1 : -EAGAIN;
	pthread_mutex_unlock(&tls->recv_lock);
	return result != -EAGAIN;
}

static void tls_lowat(struct layer *layer, int fd, int bytes)
{
	struct tls *tls = tls_of(layer);

	pthread_mutex_lock(&tls->recv_lock);
	tls->wanted = bytes;
	if (!atomic_load(&tls->gone))
		apply_mark(tls, fd);
	pthread_mutex_unlock(&tls->recv_lock);
}

static size_t tls_pending(struct layer *layer)
{
	return tls_session_pending(tls_of(layer)->session);
}

static ssize_t send_locked(struct tls *tls, int fd, const struct iovec *iov, int n)
{
	uint8_t *buf = tls_scratch();
	struct iovec part[64];
	size_t size = 0;
	ssize_t taken, sent;
	int result = flush_locked(tls, fd);

	if (result < 0)
		return result;
	if (!buf)
		return -ENOMEM;
	n = tls_cursor_cut(iov, n, LAYER_SEND_MAX, part);
	taken = tls_session_seal(tls->session, part, n, buf, TLS_SCRATCH_SIZE, &size);
	if (taken < 0)
		return taken;
	sent = tls_out_send(fd, buf, size);
	if (sent < 0 && sent != -EAGAIN)
		return sent;
	if (sent < 0)
		sent = 0;
	if ((size_t)sent < size && tls_out_keep(&tls->out, buf + sent, size - (size_t)sent) < 0)
		return -ENOMEM;
	return taken;
}

static ssize_t tls_send(struct layer *layer, int fd, const struct iovec *iov, int n)
{
	struct tls *tls = tls_of(layer);
	ssize_t result;

	pthread_mutex_lock(&tls->send_lock);
	result = send_locked(tls, fd, iov, n);
	pthread_mutex_unlock(&tls->send_lock);
	return result;
}

static int tls_finish(struct layer *layer, int fd)
{
	struct tls *tls = tls_of(layer);
	int result = 0;

	pthread_mutex_lock(&tls->send_lock);
	if (atomic_load(&tls->gone))
		result = -ESTALE;
	else if (!tls->finished && tls->ready)
		result = tls_session_close(tls->session);
	tls->finished = result == 0;
	if (result == 0)
		result = flush_locked(tls, fd);
	pthread_mutex_unlock(&tls->send_lock);
	return result;
}

static void tls_gone(struct layer *layer, bool gone)
{
	struct tls *tls = tls_of(layer);

	atomic_store(&tls->gone, gone);
	if (tls->deadline)
		tls_seat_gone(&tls->seat, gone);
	if (gone && !tls->isolated)
		tls_context_send_away(tls->context);
	if (gone)
		tls->home = taps_host->process();
	tls->away = !gone && tls->home != taps_host->process();
}

static void tls_quiet(struct layer *layer, bool quiet)
{
	atomic_store(&tls_of(layer)->quiet, quiet);
}

static void tls_hold(struct layer *layer)
{
	struct tls *tls = tls_of(layer);

	pthread_mutex_lock(&tls->recv_lock);
	pthread_mutex_lock(&tls->send_lock);
	tls_session_lock(tls->session);
}

static void tls_let_go(struct layer *layer)
{
	struct tls *tls = tls_of(layer);

	tls_session_unlock(tls->session);
	pthread_mutex_unlock(&tls->send_lock);
	pthread_mutex_unlock(&tls->recv_lock);
}

static const char *tls_why(struct layer *layer)
{
	const char *reason = atomic_load(&tls_of(layer)->reason);

	return reason ? reason : "";
}

static void tls_close(struct layer *layer)
{
	struct tls *tls = tls_of(layer);

	tls_verifier_stop(&tls->verifier);
	tls_seat_done(&tls->seat);
	tls_session_free(tls->session);
	pthread_mutex_destroy(&tls->recv_lock);
	pthread_mutex_destroy(&tls->send_lock);
	tls_out_free(&tls->out);
	tls_early_free(&tls->early);
	free(tls->name);
	free(tls->reason);
	free(tls);
}

static void tls_tell(struct layer *layer, trace_hear *hear, void *context)
{
	tls_session_tell(tls_of(layer)->session, hear, context);
}

static const struct layer_ops tls_ops = {
	.name = "tls",
	.traits = LAYER_SECURE | LAYER_STREAM,
	.connect = tls_connect,
	.early = tls_take_early,
	.recv = tls_recv,
	.sleep = tls_sleep,
	.send = tls_send,
	.flush = tls_flush,
	.readable = tls_readable,
	.lowat = tls_lowat,
	.pending = tls_pending,
	.finish = tls_finish,
	.gone = tls_gone,
	.quiet = tls_quiet,
	.hold = tls_hold,
	.let_go = tls_let_go,
	.tell = tls_tell,
	.reason = tls_why,
	.close = tls_close,
};

struct layer *tls_layer(struct tls_session *session, struct layer *below, int64_t timeout,
			struct secure_context *context, const struct secure_peer *peer)
{
	struct tls *tls = calloc(1, sizeof(*tls));
	char *name = strdup(peer->name ? peer->name : "");

	if (!tls || !name) {
		tls_session_free(session);
		free(tls);
		free(name);
		return NULL;
	}
	tls->layer = (struct layer){&tls_ops, below};
	tls->session = session;
	tls->context = context;
	tls->name = name;
	tls->port = peer->port;
	tls->ticket_used = peer->isolated ? NULL : peer->ticket_used;
	tls->isolated = peer->isolated;
	tls->replayable = peer->replayable;
	tls->any_fd = peer->any_fd;
	tls->verifier.answer = -1;
	tls->seat = TLS_SEAT(peer->gate);
	tls->timeout = timeout;
	tls->lowat = tls->mark = tls->wanted = 1;
	pthread_mutex_init(&tls->recv_lock, NULL);
	pthread_mutex_init(&tls->send_lock, NULL);
	return &tls->layer;
}
