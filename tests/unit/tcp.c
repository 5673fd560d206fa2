/* TCP attempts on real sockets: what each answer of the network comes to, and what is left as it was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

#include "core/layer.h"
#include "tests/unit/host.h"
#include "tests/unit/racing.h"

static int listener = -1;

static int teardown(void **state)
{
	racing_drain(listener);
	return racing_end(state);
}

static struct tcp_options to(const char *address, int type)
{
	struct taps_addr addr = racing_addr(address, PORT);

	return (struct tcp_options){
		.fd = taps_host->fd_keep(socket(addr_family(&addr), SOCK_STREAM | type, 0)),
		.remote = addr,
	};
}

static int step(struct layer *layer, struct layer_wants *wants)
{
	return layer->ops->connect(layer, now_ns(), wants);
}

/* Steps until it is decided, waiting for what it wants. */
static int finish(struct layer *layer)
{
	struct layer_wants wants;
	int result;

	while ((result = step(layer, &wants)) == -EAGAIN)
		assert_int_equal(poll(&(struct pollfd){wants.fd, wants.events, 0}, 1, 3000), 1);
	return result;
}

static void test_connects(void **state)
{
	struct tcp_options options = to(GOOD6, SOCK_NONBLOCK);
	struct layer *layer = tcp_layer(&options);
	struct layer_wants wants;
	char text[8];

	(void)state;
	assert_string_equal(layer_describe(layer, text, sizeof(text)), "tcp");
	assert_int_equal(layer_fd(layer), options.fd);
	assert_int_equal(step(layer, &wants), -EAGAIN);
	assert_int_equal(wants.fd, options.fd);
	assert_int_equal(wants.events, POLLOUT);
	assert_false(wants.securing);
	assert_int_equal(finish(layer), 0);
	assert_string_equal(racing_peer(options.fd), GOOD6);
	/* A layer above goes on asking. */
	assert_int_equal(step(layer, &wants), 0);
	layer_close_chain(layer);
}

static void test_fails(void **state)
{
	static const struct {
		const char *address;
		int error;
	} rows[] = {{REFUSED4, ECONNREFUSED}, {REFUSED6, ECONNREFUSED}, {NOWHERE4, ENETUNREACH}};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct tcp_options options = to(rows[i].address, SOCK_NONBLOCK);
		struct layer *layer = tcp_layer(&options);

		assert_int_equal(finish(layer), -rows[i].error);
		layer_close_chain(layer);
	}
}

static void test_dead(void **state)
{
	struct tcp_options options = to(DEAD6, SOCK_NONBLOCK);
	struct layer *layer = tcp_layer(&options);
	struct layer_wants wants;

	(void)state;
	assert_int_equal(step(layer, &wants), -EAGAIN);
	assert_int_equal(step(layer, &wants), -EAGAIN);
	assert_int_equal(poll(&(struct pollfd){wants.fd, wants.events, 0}, 1, 50), 0);
	layer_close_chain(layer);
}

/* Somebody else read the error: the socket is writable and connects no more. */
static void test_error_taken(void **state)
{
	struct tcp_options options = to(REFUSED4, SOCK_NONBLOCK);
	struct layer *layer = tcp_layer(&options);
	struct layer_wants wants;
	int error = 0;
	socklen_t len = sizeof(error);

	(void)state;
	assert_int_equal(step(layer, &wants), -EAGAIN);
	poll(&(struct pollfd){wants.fd, POLLOUT, 0}, 1, 1000);
	assert_int_equal(getsockopt(options.fd, SOL_SOCKET, SO_ERROR, &error, &len), 0);
	assert_int_equal(error, ECONNREFUSED);
	assert_int_equal(step(layer, &wants), -ECONNABORTED);
	layer_close_chain(layer);
}

/* The peer's goodbye, even a rude one, is the application's to see: the connection was there. */
static void test_gone_at_once(void **state)
{
	struct linger none = {1, 0};
	int rude;

	(void)state;
	for (rude = 0; rude < 2; rude++) {
		struct tcp_options options = to(GOOD4, SOCK_NONBLOCK);
		struct layer *layer = tcp_layer(&options);
		struct layer_wants wants;
		int accepted;

		assert_int_equal(step(layer, &wants), -EAGAIN);
		accepted = accept(listener, NULL, NULL);
		if (rude)
			setsockopt(accepted, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
		close(accepted);
		usleep(20000);
		assert_int_equal(step(layer, &wants), 0);
		layer_close_chain(layer);
	}
}

static int64_t time_limit(int fd)
{
	struct timeval tv;
	socklen_t len = sizeof(tv);

	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, &len), 0);
	return tv.tv_sec * 1000 + tv.tv_usec / 1000;
}

/* A blocking file is connected for a while and no longer; its mode and its own limit stay. */
static void test_blocking(void **state)
{
	struct tcp_options options = to(DEAD4, 0);
	struct timeval limit = {.tv_sec = 7};
	struct layer_wants wants;
	struct layer *layer;
	int64_t begin;

	(void)state;
	options.blocking = true;
	options.patience = 60 * NS_PER_MS;
	setsockopt(options.fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	layer = tcp_layer(&options);
	begin = now_ns();
	assert_int_equal(step(layer, &wants), -EAGAIN);
	assert_in_range(racing_ms_since(begin), 55, 250);
	assert_int_equal(time_limit(options.fd), 7000);
	assert_int_equal(fcntl(options.fd, F_GETFL) & O_NONBLOCK, 0);
	/* It goes on: a step only looks. */
	begin = now_ns();
	assert_int_equal(step(layer, &wants), -EAGAIN);
	assert_in_range(racing_ms_since(begin), 0, 50);
	layer_close_chain(layer);

	options = to(GOOD4, 0);
	options.blocking = true;
	layer = tcp_layer(&options);
	assert_int_equal(finish(layer), 0);
	assert_int_equal(time_limit(options.fd), 0);
	layer_close_chain(layer);
}

static void on_signal(int sig)
{
	(void)sig;
}

static void test_interrupted(void **state)
{
	struct tcp_options options = to(DEAD4, 0);
	struct sigaction action = {.sa_handler = on_signal};
	struct layer_wants wants;
	struct layer *layer;

	(void)state;
	options.blocking = true;
	options.patience = 2 * NS_PER_S;
	layer = tcp_layer(&options);
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &(struct itimerval){.it_value = {.tv_usec = 50000}}, NULL);
	assert_int_equal(step(layer, &wants), -EINTR);
	signal(SIGALRM, SIG_DFL);
	assert_int_equal(time_limit(options.fd), 0);
	assert_int_equal(step(layer, &wants), -EAGAIN);
	layer_close_chain(layer);
}

static void *step_thread(void *arg)
{
	struct layer_wants wants;

	step(arg, &wants);
	return NULL;
}

/* connect(2) is where a thread may be cancelled. */
static void test_cancelled(void **state)
{
	struct tcp_options options;
	struct layer *layer;
	pthread_t thread;

	(void)state;
	if (!UNWINDS)
		skip();
	options = to(DEAD4, 0);
	options.blocking = true;
	options.patience = 10 * NS_PER_S;
	layer = tcp_layer(&options);
	assert_int_equal(pthread_create(&thread, NULL, step_thread, layer), 0);
	usleep(50000);
	pthread_cancel(thread);
	pthread_join(thread, NULL);
	assert_int_equal(time_limit(options.fd), 0);
	layer_close_chain(layer);
}

/* After a blocking connect(2) a further one says EISCONN; after the other kind it says 0 first. */
static void test_settle(void **state)
{
	int settle;

	(void)state;
	for (settle = 0; settle < 2; settle++) {
		struct tcp_options options = to(GOOD4, SOCK_NONBLOCK);
		struct layer *layer;
		int again;

		options.settle = settle;
		layer = tcp_layer(&options);
		assert_int_equal(finish(layer), 0);
		again = connect(options.fd, &options.remote.sa, addr_len(&options.remote));
		assert_int_equal(again, settle ? -1 : 0);
		layer_close_chain(layer);
	}
}

/* Whose descriptor is it, and which. */
static void test_descriptor(void **state)
{
	struct tcp_options options = to(GOOD4, SOCK_NONBLOCK);
	struct layer *layer;
	int other;

	(void)state;
	options.keep = true;
	layer = tcp_layer(&options);
	other = dup(options.fd);
	layer_renumber(layer, other);
	assert_int_equal(layer_fd(layer), other);
	assert_int_equal(finish(layer), 0);
	layer_close_chain(layer);
	assert_string_equal(racing_peer(options.fd), GOOD4);
	taps_host->fd_drop(options.fd);

	options = to(GOOD4, SOCK_NONBLOCK);
	layer = tcp_layer(&options);
	assert_int_equal(finish(layer), 0);
	layer_disown(layer, other);
	assert_int_equal(slots_kept(), 1);
	taps_host->fd_drop(options.fd);
	assert_int_equal(layer_fd(layer), other);
	layer_close_chain(layer);
	assert_true(fcntl(other, F_GETFD) >= 0);
	close(other);
}

static void test_established(void **state)
{
	struct tcp_options options = to(GOOD4, SOCK_NONBLOCK);
	struct layer_wants wants;
	struct layer *layer;

	(void)state;
	options.established = true;
	layer = tcp_layer(&options);
	assert_int_equal(step(layer, &wants), 0);
	assert_string_equal(racing_peer(options.fd), "");
	layer_close_chain(layer);
}

static void test_disconnect(void **state)
{
	struct tcp_options options = to(REFUSED4, SOCK_NONBLOCK);
	struct taps_addr good = racing_addr(GOOD4, PORT);
	struct layer *layer = tcp_layer(&options);

	(void)state;
	assert_int_equal(finish(layer), -ECONNREFUSED);
	tcp_disconnect(options.fd);
	assert_int_equal(connect(options.fd, &good.sa, addr_len(&good)), -1);
	assert_int_equal(errno, EINPROGRESS);
	layer_close_chain(layer);
}

static void *no_memory(size_t n, size_t size)
{
	(void)n;
	(void)size;
	return NULL;
}

static void test_memory_short(void **state)
{
	struct tcp_options options = to(GOOD4, SOCK_NONBLOCK);
	void *(*real)(size_t, size_t) = unit_host()->calloc;

	(void)state;
	unit_host()->calloc = no_memory;
	assert_null(tcp_layer(&options));
	unit_host()->calloc = real;
	assert_int_equal(slots_kept(), 1);
	taps_host->fd_drop(options.fd);
}

static int prepare(void **state)
{
	if (racing_network(state) != 0)
		return -1;
	listener = racing_listen(GOOD4);
	racing_listen(GOOD6);
	return 0;
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, racing_begin, teardown)
	const struct CMUnitTest tests[] = {
		CASE(test_connects),
		CASE(test_fails),
		CASE(test_dead),
		CASE(test_error_taken),
		CASE(test_gone_at_once),
		CASE(test_blocking),
		CASE(test_interrupted),
		CASE(test_cancelled),
		CASE(test_settle),
		CASE(test_descriptor),
		CASE(test_established),
		CASE(test_disconnect),
		CASE(test_memory_short),
	};

	alarm(60);
	return cmocka_run_group_tests_name("tcp", tests, prepare, NULL);
}
