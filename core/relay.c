/* Relays: the process, and its making. */
#include "core/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "core/apart.h"
#include "core/host.h"
#include "core/loop.h"
#include "core/pump.h"
#include "core/quiet.h"
#include "core/trace.h"
#include "core/wait.h"

#define VOICE_NS (2 * NS_PER_S) /* how long a refusal is waited for, after the handshake */

/* --- the process itself --- */

/* The application's handlers are not for here, and its terminal's signals neither. */
static void reset_signals(void)
{
	struct sigaction action = {.sa_handler = SIG_DFL};
	sigset_t none;
	int sig;

	for (sig = 1; sig < NSIG; sig++)
		sigaction(sig, &action, NULL);
	action.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	sigemptyset(&none);
	pthread_sigmask(SIG_SETMASK, &none, NULL);
}

static void sort(int *fds, unsigned n)
{
	unsigned i, k;

	for (i = 1; i < n; i++)
		for (k = i; k > 0 && fds[k] < fds[k - 1]; k--) {
			int swap = fds[k];

			fds[k] = fds[k - 1];
			fds[k - 1] = swap;
		}
}

/* Closes every descriptor but these. */
static void close_others(int *fds, unsigned n)
{
	unsigned from = 0, i;

	sort(fds, n);
	for (i = 0; i < n; i++) {
		if ((unsigned)fds[i] > from)
			taps_host->close_range(from, (unsigned)fds[i] - 1, 0);
		from = (unsigned)fds[i] + 1;
	}
	taps_host->close_range(from, ~0u, 0);
}

static int above_standard(int fd)
{
	return fd > STDERR_FILENO ? fd : taps_host->fcntl(fd, F_DUPFD, STDERR_FILENO + 1);
}

/* An epoll set in the place of a standard descriptor can be neither read nor written. */
static void plug(int set, int fd)
{
	taps_host->dup3(set, fd, 0);
}

static bool watch(int set, int fd)
{
	struct epoll_event event = {EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, {.u64 = (uint64_t)fd}};

	return taps_host->epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) == 0;
}

static int until(int64_t deadline)
{
	int64_t left = deadline == INT64_MAX ? -NS_PER_MS : deadline - now_ns();

	if (deadline != INT64_MAX && left <= 0)
		return 0;
	return left / NS_PER_MS < 1000000 ? (int)(left / NS_PER_MS) + (left > 0) : 1000000;
}

struct relay {
	struct relay_order order;
	pid_t home;                /* the process that made it */
	int net, app;
	int set;                   /* both, watched for edges */
	struct taps_addr peer;
	char text[ADDR_TEXT_MAX];  /* the same */
	bool voice;                /* standard error is still the application's */
};

static void mute(struct relay *relay)
{
	if (relay->voice)
		plug(relay->set, STDERR_FILENO);
	relay->voice = false;
}

/* Finishes the handshake, if it is not over yet.  The chain says by when to give up.  Who has no use for it
 * any more is not kept from the end of standard error. */
static int shake(struct relay *relay)
{
	struct layer *chain = relay->order.chain;
	struct layer_wants wants;
	int result;

	while ((result = chain->ops->connect(chain, now_ns(), &wants)) == -EAGAIN) {
		struct pollfd fds[] = {
			{wants.fd, wants.events, 0},
			{relay->voice ? relay->app : -1, 0, 0},
		};

		taps_host->poll(fds, 2, until(wants.deadline));
		if (fds[1].revents & POLLHUP)
			mute(relay);
	}
	return result;
}

static const char *reason_of(const struct relay *relay)
{
	struct layer *chain = relay->order.chain;

	return chain->ops->reason ? chain->ops->reason(chain) : "";
}

static void say_refused(const struct relay *relay, int error)
{
	const char *reason = reason_of(relay);

	if (relay->voice)
		wait_say("%s: %s (rule %s)", relay->text, reason[0] ? reason : strerror(error),
			 relay->order.rule);
}

/* A handshake, as a process that has no relay tells of it. */
static void trace_shaken(const struct relay *relay, int error)
{
	char host[ADDR_TEXT_MAX];
	const struct trace_arg args[] = {
		TRACE_TEXT("host", addr_format_host(&relay->peer, host)),
		TRACE_NUMBER("port", addr_port(&relay->peer)),
	};

	if (!relay->order.shakes)
		return;
	if (error)
		trace_failed(relay->order.trace, "EstablishmentError", &relay->peer, error, reason_of(relay));
	else
		trace_agreed(relay->order.trace, relay->order.chain, "ConnectionReceived", 0, now_ns(), args,
			     2);
}

static int establish(struct relay *relay)
{
	int result;

	/* Asked at once: after a reset the kernel knows it no more. */
	host_peer(relay->net, &relay->peer);
	addr_format(&relay->peer, relay->text);
	layer_renumber(relay->order.chain, relay->net);
	result = shake(relay);
	trace_shaken(relay, result < 0 ? -result : 0);
	if (result < 0)
		say_refused(relay, -result);
	return result;
}

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static void pump_all(struct relay *relay, struct pump *pump)
{
	int64_t voice_end = now_ns() + VOICE_NS, deadline;
	struct epoll_event events[2];
	int n = 0, i;

	for (;;) {
		for (i = 0; i < n; i++)
			if (events[i].data.u64 == (uint64_t)pump->app)
				pump_hear(pump, events[i].events);
		pump_run(pump, now_ns());
		if (pump_is_over(pump, now_ns()))
			return;
		if (relay->order.heard || pump->heard || pump->gone || now_ns() >= voice_end)
			mute(relay);
		deadline = relay->voice ? earlier(voice_end, pump_deadline(pump)) : pump_deadline(pump);
		n = taps_host->epoll_wait(relay->set, events, 2, until(deadline));
	}
}

static void serve(struct relay *relay)
{
	int result = establish(relay);
	struct pump pump;

	if (result < 0 || pump_init(&pump, relay->order.chain, relay->net, relay->app) < 0 ||
	    !watch(relay->set, relay->net) || !watch(relay->set, relay->app)) {
		taps_host->shutdown(relay->net, SHUT_RDWR);
		return;
	}
	pump_all(relay, &pump);
	/* With TLS 1.3 a server refuses the client's certificate behind the handshake (RFC 8446 §4.4.2). */
	if (pump.error == -EPROTO) {
		say_refused(relay, EPROTO);
		trace_failed(relay->order.trace, "ConnectionError", &relay->peer, EPROTO, reason_of(relay));
	}
	pump_end(&pump);
}

/* What the application's process must not do any more is for here. */
static void come_back(struct layer *chain)
{
	if (chain->ops->gone)
		chain->ops->gone(chain, false);
	if (chain->ops->quiet)
		chain->ops->quiet(chain, false);
}

static void relay_main(void *arg)
{
	struct relay *relay = arg;

	relay->net = above_standard(relay->net);
	relay->app = above_standard(relay->app);
	relay->set = above_standard(taps_host->epoll_create1(0));
	if (relay->net < 0 || relay->app < 0 || relay->set < 0)
		return;
	close_others((int[]){relay->net, relay->app, relay->set, STDERR_FILENO}, 4);
	plug(relay->set, STDIN_FILENO);
	plug(relay->set, STDOUT_FILENO);
	come_back(relay->order.chain);
	trace_as(relay->home);
	serve(relay);
}

struct detached {
	void (*work)(void *arg);
	void *arg;
	int *fds;
	unsigned n;
};

static void detached_main(void *arg)
{
	const struct detached *detached = arg;
	int set, fd;

	close_others(detached->fds, detached->n);
	set = above_standard(taps_host->epoll_create1(0));
	for (fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		plug(set, fd);
	detached->work(detached->arg);
}

struct process {
	void (*run)(void *arg);
	void *arg;
};

static void process_main(void *arg)
{
	const struct process *process = arg;

	setsid();
	reset_signals();
	prctl(PR_SET_NAME, "taps-relay");
	if (chdir("/") == 0)
		process->run(process->arg);
}

/* --- its making --- */

/* The application's end first; the other one is kept, and holds its byte (core/pump.h). */
static int make_pair(int ends[2])
{
	if (taps_host->socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
		return -errno;
	ends[1] = taps_host->fd_keep(ends[1]);
	if (ends[1] >= 0 && taps_host->send(ends[0], "", 1, MSG_DONTWAIT | MSG_NOSIGNAL) == 1)
		return 0;
	taps_host->close(ends[0]);
	if (ends[1] >= 0)
		taps_host->fd_drop(ends[1]);
	return ends[1] < 0 ? ends[1] : -ENOMEM;
}

static int fork_off(void (*run)(void *arg), void *arg)
{
	struct process process = {run, arg};
	struct quiet quiet;
	int result;

	quiet_begin(&quiet);
	loop_fork_alone(true);
	/* The loop's thread is otherwise outside: what its children call is not the application's doing. */
	taps_host->enter();
	result = apart_fork(process_main, &process);
	taps_host->leave();
	loop_fork_alone(false);
	quiet_end(&quiet);
	return result;
}

int relay_start(const struct relay_order *order)
{
	struct layer *chain = order->chain;
	int ends[2], result = make_pair(ends);
	struct relay relay = {
		.order = *order,
		.home = taps_host->process(),
		.net = order->net,
		.voice = true,
	};

	if (result < 0)
		return result;
	relay.app = ends[1];
	if (chain->ops->gone)
		chain->ops->gone(chain, true);
	result = fork_off(relay_main, &relay);
	taps_host->fd_drop(ends[1]);
	if (result == 0)
		return ends[0];
	if (chain->ops->gone)
		chain->ops->gone(chain, false);
	taps_host->close(ends[0]);
	return result;
}

int relay_detach(void (*work)(void *arg), void *arg, int *fds, unsigned n)
{
	struct detached detached = {work, arg, fds, n};

	return fork_off(detached_main, &detached);
}
