/* The two drivers on real sockets: who waits where, what interrupts it, and what is left behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/drive.h"
#include "core/stream.h"
#include "tests/unit/host.h"
#include "tests/unit/racing.h"

#define SLACK_MS 240

static int listeners[2];

/* What a test began is over soon: no descriptor, no slot, nothing kept. */
static int teardown(void **state)
{
	racing_drain(listeners[0]);
	racing_drain(listeners[1]);
	return racing_end(state);
}

static int64_t drive_timed(struct conn *conn, int *ret)
{
	int64_t begin = now_ns();

	*ret = drive_here(conn);
	return racing_ms_since(begin);
}

/* A blocking connect() to the first address of the answer on a socket of that family. */
static int64_t connect_here(struct taps_slot *slot, const char *passed, const struct names_entry *answer,
			    int *ret)
{
	struct conn *conn = racing_conn(slot, NULL, passed, answer);

	assert_non_null(conn);
	return drive_timed(conn, ret);
}

static void test_dead_first(void **state)
{
	struct names_entry answer = racing_answer("a.test", DEAD6, GOOD4, NULL);
	struct taps_slot *slot = slots_socket(AF_INET6, SOCK_STREAM);
	int result;
	int64_t took = connect_here(slot, DEAD6, &answer, &result);

	(void)state;
	assert_int_equal(result, 0);
	assert_in_range(took, RACE_DELAY_DEFAULT_MS, RACE_DELAY_DEFAULT_MS + SLACK_MS);
	assert_string_equal(racing_peer(slots_fd(slot)), "::ffff:" GOOD4);
	assert_int_equal(atomic_load(&slot->flags), SLOT_PLAIN);
	assert_null(atomic_load(&slot->conn));
	assert_int_equal(fcntl(slots_fd(slot), F_GETFL) & O_NONBLOCK, 0);
	slots_close(slot);
}

static void test_refused_first(void **state)
{
	struct names_entry answer = racing_answer("a.test", REFUSED6, GOOD6, NULL);
	struct taps_slot *slot = slots_socket(AF_INET6, SOCK_STREAM);
	int result;
	int64_t took = connect_here(slot, REFUSED6, &answer, &result);

	(void)state;
	assert_int_equal(result, 0);
	assert_in_range(took, 0, SLACK_MS);
	assert_string_equal(racing_peer(slots_fd(slot)), GOOD6);
	slots_close(slot);
}

/* Where the first address answers, the application's own file is the connection. */
static void test_own_file_wins(void **state)
{
	struct names_entry answer = racing_answer("a.test", GOOD6, DEAD4, NULL);
	struct taps_slot *slot = slots_socket(AF_INET6, SOCK_STREAM);
	struct stat before, after;
	int result;

	(void)state;
	fstat(slots_fd(slot), &before);
	assert_in_range(connect_here(slot, GOOD6, &answer, &result), 0, SLACK_MS);
	assert_int_equal(result, 0);
	fstat(slots_fd(slot), &after);
	assert_int_equal(before.st_ino, after.st_ino);
	assert_int_equal(slots_replaced, 0);
	slots_close(slot);
}

/* After a failure the socket is as new, as the kernel leaves it. */
static void test_all_fail(void **state)
{
	struct names_entry answer = racing_answer("a.test", REFUSED4, NOWHERE4, NULL);
	struct taps_slot *slot = slots_socket(AF_INET, SOCK_STREAM);
	struct taps_addr good = racing_addr(GOOD4, PORT);
	int result;

	(void)state;
	assert_in_range(connect_here(slot, REFUSED4, &answer, &result), 0, SLACK_MS);
	assert_int_equal(result, -ECONNREFUSED);
	assert_int_equal(atomic_load(&slot->flags), 0);
	assert_int_equal(connect(slots_fd(slot), &good.sa, addr_len(&good)), 0);
	slots_close(slot);
}

static void test_disguised(void **state)
{
	struct names_entry answer = racing_answer("a.test", REFUSED4, GOOD6, NULL);
	struct taps_slot *slot = slots_socket(AF_INET, SOCK_STREAM);
	struct taps_addr peer = racing_addr(REFUSED4, PORT);
	int result;

	(void)state;
	connect_here(slot, REFUSED4, &answer, &result);
	assert_int_equal(result, 0);
	assert_int_equal(atomic_load(&slot->flags), SLOT_PLAIN | SLOT_DISGUISED);
	assert_string_equal(racing_peer(slots_fd(slot)), GOOD6);
	assert_true(addr_equal(stream_name(atomic_load(&slot->conn), true), &peer));
	assert_int_equal(addr_family(stream_name(atomic_load(&slot->conn), false)), AF_INET);
	assert_int_equal(addr_port(stream_name(atomic_load(&slot->conn), false)),
			 racing_port(slots_fd(slot)));
	slots_close(slot);
}

/* connect(AF_UNSPEC) on a socket in disguise: a new one of the application's own family. */
static void test_dissolve(void **state)
{
	struct names_entry answer = racing_answer("a.test", REFUSED4, GOOD6, NULL);
	struct taps_slot *slot = slots_socket(AF_INET, SOCK_STREAM);
	int result, domain = 0;
	socklen_t len = sizeof(domain);

	(void)state;
	connect_here(slot, REFUSED4, &answer, &result);
	assert_int_equal(result, 0);
	drive_restore(slot);
	assert_int_equal(atomic_load(&slot->flags) & SLOT_DISGUISED, 0);
	assert_null(atomic_load(&slot->conn));
	assert_int_equal(getsockopt(slots_fd(slot), SOL_SOCKET, SO_DOMAIN, &domain, &len), 0);
	assert_int_equal(domain, AF_INET);
	assert_string_equal(racing_peer(slots_fd(slot)), "");
	slots_close(slot);
}

/* --- what ends a blocking connect() early ---------------------------------------------------------- */

static _Atomic int signals_seen;

static void on_signal(int sig)
{
	(void)sig;
	signals_seen++;
}

static void handle(int sig, void (*handler)(int), int flags)
{
	struct sigaction action = {.sa_handler = handler, .sa_flags = flags};

	assert_int_equal(sigaction(sig, &action, NULL), 0);
}

static void alarm_in(int ms)
{
	setitimer(ITIMER_REAL, &(struct itimerval){.it_value = {.tv_usec = ms * 1000}}, NULL);
}

static void test_interrupted(void **state)
{
	struct names_entry answer = racing_answer("a.test", DEAD6, GOOD6, NULL);
	struct taps_slot *slot = slots_socket(AF_INET6, SOCK_STREAM);
	int result;
	int64_t took;

	(void)state;
	handle(SIGALRM, on_signal, 0);
	alarm_in(60);
	took = connect_here(slot, DEAD6, &answer, &result);
	handle(SIGALRM, SIG_DFL, 0);
	assert_int_equal(result, -EINTR);
	assert_in_range(took, 50, 240);
	assert_true(atomic_load(&slot->flags) & SLOT_CONNECTING);
	assert_int_equal(racing_poll(slots_fd(slot)), 0);
	assert_int_equal(fcntl(slots_fd(slot), F_GETFL) & O_NONBLOCK, 0);
	/* As with the kernel the attempt goes on. */
	assert_int_equal(drive_settle(slot, slots_fd(slot)), 0);
	assert_string_equal(racing_peer(slots_fd(slot)), GOOD6);
	assert_int_equal(fcntl(slots_fd(slot), F_GETFL) & O_NONBLOCK, 0);
	slots_close(slot);
}

static void test_restarted(void **state)
{
	struct names_entry answer = racing_answer("a.test", DEAD6, GOOD6, NULL);
	struct taps_slot *slot = slots_socket(AF_INET6, SOCK_STREAM);
	int result, seen = signals_seen;

	(void)state;
	handle(SIGALRM, on_signal, SA_RESTART);
	alarm_in(60);
	connect_here(slot, DEAD6, &answer, &result);
	handle(SIGALRM, SIG_DFL, 0);
	assert_int_equal(result, 0);
	assert_int_equal(signals_seen, seen + 1);
	slots_close(slot);
}

/* The time limit is shared out among the candidates, and with all dead it is kept. */
static void test_patience(void **state)
{
	struct names_entry both = racing_answer("a.test", DEAD6, GOOD6, NULL);
	struct names_entry dead = racing_answer("b.test", DEAD6, DEAD4, NULL);
	struct taps_slot *slot = slots_socket(AF_INET6, SOCK_STREAM);
	struct timeval limit = {.tv_usec = 400000};
	int result;

	(void)state;
	setsockopt(slots_fd(slot), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	assert_in_range(connect_here(slot, DEAD6, &both, &result), 40, 395);
	assert_int_equal(result, 0);
	slots_close(slot);

	slot = slots_socket(AF_INET6, SOCK_STREAM);
	setsockopt(slots_fd(slot), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	assert_in_range(connect_here(slot, DEAD6, &dead, &result), 395, 395 + SLACK_MS);
	assert_int_equal(result, -EINPROGRESS);
	assert_true(atomic_load(&slot->flags) & SLOT_CONNECTING);
	assert_int_equal(drive_settle(slot, slots_fd(slot)), -EALREADY);
	slots_close(slot);
}

struct call {
	struct taps_slot *slot;
	struct names_entry answer;
	const char *passed;
	int result;
};

static void *call_thread(void *arg)
{
	struct call *call = arg;
	struct conn *conn = racing_conn(call->slot, NULL, call->passed, &call->answer);

	taps_host->slot_ref(call->slot);
	call->result = conn ? drive_here(conn) : -ENOMEM;
	taps_host->slot_unref(call->slot);
	return NULL;
}

static void *cancelled_thread(void *arg)
{
	struct call *call = arg;
	struct conn *conn = racing_conn(call->slot, NULL, call->passed, &call->answer);

	call->result = conn ? drive_here(conn) : -ENOMEM;
	return NULL;
}

static struct call dead_call(void)
{
	return (struct call){slots_socket(AF_INET6, SOCK_STREAM), racing_answer("a.test", DEAD6, DEAD4, NULL),
			     DEAD6, 1};
}

static void test_cancelled(void **state)
{
	struct timeval limit = {0};
	socklen_t len = sizeof(limit);
	struct call call;
	pthread_t thread;
	void *end;

	(void)state;
	if (!UNWINDS)
		skip();
	call = dead_call();
	assert_int_equal(pthread_create(&thread, NULL, cancelled_thread, &call), 0);
	assert_true(racing_wait(call.slot, SLOT_BUSY, 1000));
	usleep(50000);
	pthread_cancel(thread);
	assert_int_equal(pthread_join(thread, &end), 0);
	assert_ptr_equal(end, PTHREAD_CANCELED);
	getsockopt(slots_fd(call.slot), SOL_SOCKET, SO_SNDTIMEO, &limit, &len);
	assert_true(limit.tv_sec == 0 && limit.tv_usec == 0);
	assert_int_equal(atomic_load(&call.slot->flags), 0);
	assert_null(atomic_load(&call.slot->conn));
	slots_close(call.slot);
}

/* Another thread shuts the socket down, or closes it, while this one is in connect(). */
static void test_shut_down_by_another(void **state)
{
	struct call call = dead_call();
	int64_t begin = now_ns();
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, call_thread, &call), 0);
	assert_true(racing_wait(call.slot, SLOT_BUSY, 1000));
	drive_restore(call.slot);
	shutdown(slots_fd(call.slot), SHUT_RDWR);
	assert_int_equal(pthread_join(thread, NULL), 0);
	/* Which is what the kernel gives to a connect() that is shut down. */
	assert_int_equal(call.result, -ECONNRESET);
	assert_in_range(racing_ms_since(begin), 0, RACE_DELAY_DEFAULT_MS + SLACK_MS);
	assert_int_equal(atomic_load(&call.slot->flags), 0);
	slots_close(call.slot);
}

static jmp_buf out;

static void jump(int sig)
{
	(void)sig;
	longjmp(out, 1);
}

static void unblock(int sig)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, sig);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

/* The old way to limit connect(): what it left is cleaned up by the thread's next. */
static void test_left_by_longjmp(void **state)
{
	struct names_entry dead = racing_answer("a.test", DEAD6, DEAD4, NULL);
	struct names_entry good = racing_answer("b.test", GOOD6, GOOD4, NULL);
	struct taps_slot *volatile first, *volatile second;
	volatile int result = 1;
	int last;

	(void)state;
	if (!UNWINDS)
		skip();
	first = slots_socket(AF_INET6, SOCK_STREAM);
	second = slots_socket(AF_INET6, SOCK_STREAM);
	handle(SIGALRM, jump, 0);
	alarm_in(60);
	if (setjmp(out) == 0)
		result = (connect_here(first, DEAD6, &dead, &last), last);
	handle(SIGALRM, SIG_DFL, 0);
	unblock(SIGALRM);
	assert_int_equal(result, 1);
	assert_true(atomic_load(&first->flags) & SLOT_BUSY);
	connect_here(second, GOOD6, &good, &last);
	assert_int_equal(last, 0);
	assert_int_equal(atomic_load(&first->flags), 0);
	slots_close(first);
	slots_close(second);
}

/* --- behind a placeholder -------------------------------------------------------------------------- */

static struct taps_slot *behind(int domain, const char *passed, const struct names_entry *answer, int *ret)
{
	struct taps_slot *slot = slots_socket(domain, SOCK_STREAM | SOCK_NONBLOCK);
	struct conn *conn = racing_conn(slot, NULL, passed, answer);

	assert_non_null(conn);
	*ret = drive_behind(conn);
	return slot;
}

static void test_behind(void **state)
{
	struct names_entry answer = racing_answer("a.test", DEAD6, GOOD4, NULL);
	int64_t begin = now_ns();
	int result, on = 1, got = 0;
	socklen_t len = sizeof(got);
	struct taps_slot *slot = behind(AF_INET6, DEAD6, &answer, &result);

	(void)state;
	assert_int_equal(result, -EINPROGRESS);
	assert_in_range(racing_ms_since(begin), 0, 200);
	assert_true(atomic_load(&slot->flags) & SLOT_CONNECTING);
	assert_int_equal(racing_poll(slots_fd(slot)), 0);
	assert_true(slot->own_fd >= 0);
	setsockopt(slot->own_fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	taps_host->slot_flags(slot, SLOT_OPTIONS, 0);
	assert_true(racing_wait(slot, 0, 1000));
	assert_in_range(racing_ms_since(begin), RACE_DELAY_DEFAULT_MS, RACE_DELAY_DEFAULT_MS + SLACK_MS);
	assert_int_equal(racing_poll(slots_fd(slot)), POLLOUT);
	assert_string_equal(racing_peer(slots_fd(slot)), "::ffff:" GOOD4);
	assert_true(fcntl(slots_fd(slot), F_GETFL) & O_NONBLOCK);
	getsockopt(slots_fd(slot), SOL_SOCKET, SO_KEEPALIVE, &got, &len);
	assert_int_equal(got, 1);
	assert_int_equal(slot->own_fd, -1);
	slots_close(slot);
}

/* Every duplicate gets the winner, each with its own FD_CLOEXEC; a blocking mode set meanwhile stays. */
static void test_behind_aliases(void **state)
{
	struct names_entry answer = racing_answer("a.test", DEAD6, GOOD4, NULL);
	int result, other;
	struct taps_slot *slot = behind(AF_INET6, DEAD6, &answer, &result);

	(void)state;
	assert_int_equal(result, -EINPROGRESS);
	other = slots_dup(slot);
	fcntl(other, F_SETFD, FD_CLOEXEC);
	fcntl(other, F_SETFL, fcntl(other, F_GETFL) & ~O_NONBLOCK);
	assert_true(racing_wait(slot, 0, 1000));
	assert_string_equal(racing_peer(other), "::ffff:" GOOD4);
	assert_string_equal(racing_peer(slots_fd(slot)), "::ffff:" GOOD4);
	assert_int_equal(fcntl(other, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(slots_fd(slot), F_GETFD), 0);
	assert_int_equal(fcntl(other, F_GETFL) & O_NONBLOCK, 0);
	slots_close(slot);
}

static void test_behind_all_fail(void **state)
{
	struct names_entry answer = racing_answer("a.test", REFUSED4, REFUSED6, NULL);
	int result;
	struct taps_slot *slot = behind(AF_INET, REFUSED4, &answer, &result);
	struct conn *conn;

	(void)state;
	assert_int_equal(result, -EINPROGRESS);
	assert_true(racing_wait(slot, SLOT_FAILED, 1000));
	assert_false(atomic_load(&slot->flags) & SLOT_CONNECTING);
	assert_int_equal(racing_poll(slots_fd(slot)), POLLIN | POLLOUT | POLLERR | POLLHUP | POLLRDHUP);
	conn = atomic_load(&slot->conn);
	assert_int_equal(atomic_load(&conn->error), ECONNREFUSED);
	/* A further connect() gives the application its own file back. */
	drive_restore(slot);
	assert_int_equal(atomic_load(&slot->flags), 0);
	assert_int_equal(slot->own_fd, -1);
	slots_close(slot);
}

/* The kernel would say so at once. */
static void test_behind_no_route(void **state)
{
	struct names_entry answer = racing_answer("a.test", NOWHERE4, "203.0.113.2", NULL);
	struct taps_slot *slot = slots_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK);
	struct conn *conn = racing_conn(slot, NULL, NOWHERE4, &answer);
	struct stat before, after;

	(void)state;
	fstat(slots_fd(slot), &before);
	assert_int_equal(drive_behind(conn), -ENETUNREACH);
	fstat(slots_fd(slot), &after);
	assert_int_equal(before.st_ino, after.st_ino);
	assert_int_equal(atomic_load(&slot->flags), 0);
	assert_null(atomic_load(&slot->conn));
	slots_close(slot);
}

/* Nobody watches the descriptor: a near peer's answer is taken within the call, without a placeholder. */
static void test_near_peer(void **state)
{
	struct names_entry good = racing_answer("a.test", GOOD6, DEAD4, NULL);
	struct names_entry second = racing_answer("b.test", REFUSED6, GOOD4, NULL);
	struct names_entry refused = racing_answer("c.test", REFUSED6, REFUSED4, NULL);
	struct taps_slot *slot;
	int result;

	(void)state;
	slots_watched = false;
	slot = behind(AF_INET6, GOOD6, &good, &result);
	assert_int_equal(result, -EINPROGRESS);
	assert_int_equal(atomic_load(&slot->flags), SLOT_PLAIN);
	assert_int_equal(slots_replaced, 0);
	assert_string_equal(racing_peer(slots_fd(slot)), GOOD6);
	slots_close(slot);
	slot = behind(AF_INET6, REFUSED6, &second, &result);
	assert_int_equal(result, -EINPROGRESS);
	assert_true(racing_wait(slot, 0, 1000));
	assert_string_equal(racing_peer(slots_fd(slot)), "::ffff:" GOOD4);
	slots_close(slot);
	slot = behind(AF_INET6, REFUSED6, &refused, &result);
	assert_true(result == -ECONNREFUSED ||
		    (result == -EINPROGRESS && racing_wait(slot, SLOT_FAILED, 1000)));
	slots_close(slot);
}

/* The dead address's attempt on the own file is carried along when the placeholder comes after it. */
static void test_far_peer(void **state)
{
	struct names_entry answer = racing_answer("a.test", DEAD6, DEAD4, NULL);
	struct taps_addr dead = racing_addr(DEAD6, PORT);
	struct taps_slot *slot;
	int result;

	(void)state;
	slots_watched = false;
	slot = behind(AF_INET6, DEAD6, &answer, &result);
	assert_int_equal(result, -EINPROGRESS);
	assert_true(atomic_load(&slot->flags) & SLOT_CONNECTING);
	assert_int_equal(racing_poll(slots_fd(slot)), 0);
	drive_restore(slot);
	assert_int_equal(connect(slots_fd(slot), &dead.sa, addr_len(&dead)), -1);
	assert_int_equal(errno, EALREADY);
	slots_close(slot);
}

static void test_closed_during_race(void **state)
{
	struct names_entry answer = racing_answer("a.test", DEAD6, DEAD4, NULL);
	int result, i;

	(void)state;
	for (i = 0; i < 20; i++) {
		struct taps_slot *slot = behind(AF_INET6, DEAD6, &answer, &result);

		assert_int_equal(result, -EINPROGRESS);
		if (i % 2)
			usleep(3000);
		slots_close(slot);
	}
}

/* close(2) meets the end of the race: whoever is first, nothing is closed twice or left open. */
static void test_closed_at_the_end(void **state)
{
	struct names_entry won = racing_answer("a.test", REFUSED6, GOOD6, NULL);
	struct names_entry lost = racing_answer("b.test", REFUSED6, REFUSED4, NULL);
	int result, i;

	(void)state;
	for (i = 0; i < 400; i++) {
		struct taps_slot *slot = behind(AF_INET6, REFUSED6, i % 2 ? &won : &lost, &result);
		int64_t end = now_ns() + i % 50 * 10000;

		assert_int_equal(result, -EINPROGRESS);
		while (now_ns() < end)
			;
		slots_close(slot);
	}
}

/* As before an exec or a passing of the descriptor: the own file is back, its attempt under way. */
static void test_restored_during_race(void **state)
{
	struct names_entry answer = racing_answer("a.test", DEAD6, DEAD4, NULL);
	struct taps_slot *slot = slots_socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK);
	struct conn *conn = racing_conn(slot, NULL, DEAD6, &answer);
	struct taps_addr dead = racing_addr(DEAD6, PORT);
	struct stat before, after;

	(void)state;
	fstat(slots_fd(slot), &before);
	assert_int_equal(drive_behind(conn), -EINPROGRESS);
	drive_restore(slot);
	fstat(slots_fd(slot), &after);
	assert_int_equal(before.st_ino, after.st_ino);
	assert_int_equal(atomic_load(&slot->flags), 0);
	assert_int_equal(connect(slots_fd(slot), &dead.sa, addr_len(&dead)), -1);
	assert_int_equal(errno, EALREADY);
	slots_close(slot);
}

/* Its own attempt had failed by then: it is begun again, since the application believes that it runs. */
static void test_restored_after_own_attempt(void **state)
{
	struct names_entry answer = racing_answer("a.test", REFUSED6, DEAD4, NULL);
	int result, error = 0;
	socklen_t len = sizeof(error);
	struct taps_slot *slot = behind(AF_INET6, REFUSED6, &answer, &result);

	(void)state;
	assert_int_equal(result, -EINPROGRESS);
	usleep(20000);
	drive_restore(slot);
	assert_int_equal(poll(&(struct pollfd){slots_fd(slot), POLLOUT, 0}, 1, 1000), 1);
	assert_int_equal(getsockopt(slots_fd(slot), SOL_SOCKET, SO_ERROR, &error, &len), 0);
	assert_int_equal(error, ECONNREFUSED);
	slots_close(slot);
}

static void test_settle(void **state)
{
	struct names_entry answer = racing_answer("a.test", DEAD6, GOOD6, NULL);
	int64_t begin = now_ns();
	int result;
	struct taps_slot *slot = behind(AF_INET6, DEAD6, &answer, &result);

	(void)state;
	handle(SIGALRM, on_signal, 0);
	alarm_in(40);
	assert_int_equal(drive_settle(slot, slots_fd(slot)), -EINTR);
	handle(SIGALRM, on_signal, SA_RESTART);
	alarm_in(40);
	assert_int_equal(drive_settle(slot, slots_fd(slot)), 0);
	handle(SIGALRM, SIG_DFL, 0);
	assert_in_range(racing_ms_since(begin), RACE_DELAY_DEFAULT_MS - 5, RACE_DELAY_DEFAULT_MS + SLACK_MS);
	assert_string_equal(racing_peer(slots_fd(slot)), GOOD6);
	slots_close(slot);
}

/* A second connect() to another address of the name, on another socket: it races by itself. */
static void test_stand_down(void **state)
{
	struct names_entry answer = racing_answer("a.test", DEAD6, GOOD6, GOOD4, NULL);
	struct taps_slot *slot = slots_socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK);
	struct taps_addr same = racing_addr(DEAD6, PORT), other = racing_addr(GOOD4, PORT);
	struct conn *conn = racing_conn(slot, NULL, DEAD6, &answer);
	const void *thread = conn->thread;
	int64_t now;

	(void)state;
	assert_int_equal(drive_behind(conn), -EINPROGRESS);
	now = now_ns();
	assert_false(drive_stand_down("a.test", &same, thread, now));
	assert_false(drive_stand_down("a.test", &other, &now, now));
	assert_false(drive_stand_down("b.test", &other, thread, now));
	assert_false(drive_stand_down("a.test", &other, thread, now + 2 * NS_PER_S));
	assert_true(drive_stand_down("a.test", &other, thread, now));
	assert_false(racing_wait(slot, 0, RACE_DELAY_DEFAULT_MS + SLACK_MS));
	slots_close(slot);
}

static void run_child(struct taps_slot *slot)
{
	bool ok = racing_wait(slot, 0, 1000) && strcmp(racing_peer(slots_fd(slot)), GOOD6) == 0;
	int result;
	struct names_entry answer = racing_answer("c.test", DEAD6, GOOD4, NULL);
	struct taps_slot *other = behind(AF_INET6, DEAD6, &answer, &result);

	ok = ok && result == -EINPROGRESS && racing_wait(other, 0, 1000);
	_exit(!ok);
}

/* Both processes' descriptors come to be connected; the child's loop is its own. */
static void test_fork_during_race(void **state)
{
	struct names_entry answer = racing_answer("a.test", DEAD6, GOOD6, NULL);
	int result, status = -1;
	struct taps_slot *slot = behind(AF_INET6, DEAD6, &answer, &result);
	pid_t child;

	(void)state;
	assert_int_equal(result, -EINPROGRESS);
	loop_fork_prepare();
	child = fork();
	if (child == 0) {
		loop_fork_child();
		run_child(slot);
	}
	loop_fork_parent();
	assert_true(racing_wait(slot, 0, 1000));
	assert_string_equal(racing_peer(slots_fd(slot)), GOOD6);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	slots_close(slot);
}

static void *settle_thread(void *arg)
{
	struct taps_slot *slot = arg;

	drive_settle(slot, slots_fd(slot));
	return NULL;
}

/* 16 sockets in one thread's race each, waited for by another thread each. */
static void test_threads(void **state)
{
	struct call calls[16];
	pthread_t threads[16], waiters[16];
	int i;

	(void)state;
	for (i = 0; i < 16; i++) {
		char name[32];

		snprintf(name, sizeof(name), "%d.test", i);
		calls[i] = (struct call){slots_socket(AF_INET6, SOCK_STREAM),
					 racing_answer(name, DEAD6, GOOD4, NULL), DEAD6, 1};
		assert_int_equal(pthread_create(&threads[i], NULL, call_thread, &calls[i]), 0);
		assert_int_equal(pthread_create(&waiters[i], NULL, settle_thread, calls[i].slot), 0);
	}
	for (i = 0; i < 16; i++) {
		pthread_join(threads[i], NULL);
		pthread_join(waiters[i], NULL);
		assert_int_equal(calls[i].result, 0);
		slots_close(calls[i].slot);
	}
}

static int prepare(void **state)
{
	struct names_entry answer = racing_answer("a.test", REFUSED6, REFUSED4, NULL);
	struct taps_slot *slot;
	int result;

	if (racing_network(state) != 0)
		return -1;
	slots_install();
	listeners[0] = racing_listen(GOOD4);
	listeners[1] = racing_listen(GOOD6);
	/* The loop and its thread are there from now on. */
	slot = behind(AF_INET6, REFUSED6, &answer, &result);
	racing_wait(slot, SLOT_FAILED, 1000);
	slots_close(slot);
	return 0;
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, racing_begin, teardown)
	const struct CMUnitTest tests[] = {
		CASE(test_dead_first),
		CASE(test_refused_first),
		CASE(test_own_file_wins),
		CASE(test_all_fail),
		CASE(test_disguised),
		CASE(test_dissolve),
		CASE(test_interrupted),
		CASE(test_restarted),
		CASE(test_patience),
		CASE(test_cancelled),
		CASE(test_shut_down_by_another),
		CASE(test_left_by_longjmp),
		CASE(test_behind),
		CASE(test_behind_aliases),
		CASE(test_behind_all_fail),
		CASE(test_behind_no_route),
		CASE(test_near_peer),
		CASE(test_far_peer),
		CASE(test_closed_during_race),
		CASE(test_closed_at_the_end),
		CASE(test_restored_during_race),
		CASE(test_restored_after_own_attempt),
		CASE(test_settle),
		CASE(test_stand_down),
		CASE(test_fork_during_race),
		CASE(test_threads),
	};

	alarm(60);
	return cmocka_run_group_tests_name("drive", tests, prepare, NULL);
}
