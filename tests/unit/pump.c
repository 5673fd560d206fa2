/* What a relay does with bytes and ends, over a layer whose network takes what it is told to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/host.h"
#include "core/pump.h"
#include "tests/unit/host.h"

static struct {
	char taken[64]; /* of the application's bytes */
	size_t n_taken, room;
	const char *incoming; /* the peer's bytes; then its end, if there is one */
	bool end, finished;
	int error, full; /* behind the bytes; of sending */
} net;

static ssize_t fake_recv(struct layer *layer, int fd, const struct iovec *iov, int n, bool peek)
{
	size_t size = strlen(net.incoming);

	(void)layer;
	(void)fd;
	(void)n;
	(void)peek;
	if (size == 0 && net.error)
		return -net.error;
	if (size == 0)
		return net.end ? 0 : -EAGAIN;
	memcpy(iov->iov_base, net.incoming, size);
	net.incoming += size;
	return (ssize_t)size;
}

static ssize_t fake_send(struct layer *layer, int fd, const struct iovec *iov, int n)
{
	size_t size = iov->iov_len < net.room ? iov->iov_len : net.room;

	(void)layer;
	(void)fd;
	(void)n;
	if (size == 0)
		return -EAGAIN;
	memcpy(net.taken + net.n_taken, iov->iov_base, size);
	net.n_taken += size;
	net.room -= size;
	return (ssize_t)size;
}

static int fake_flush(struct layer *layer, int fd)
{
	(void)layer;
	(void)fd;
	if (net.full)
		return -net.full;
	return net.room ? 0 : -EAGAIN;
}

static int fake_finish(struct layer *layer, int fd)
{
	net.finished = true;
	return fake_flush(layer, fd);
}

static const struct layer_ops ops = {
	.name = "fake", .recv = fake_recv, .send = fake_send, .flush = fake_flush, .finish = fake_finish,
};
static struct layer layer = {.ops = &ops};

static struct pump pump;
static int app, set, wire[2];

static int setup(void **state)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET};
	int ends[2];

	(void)state;
	unit_host();
	memset(&net, 0, sizeof(net));
	net.incoming = "";
	net.room = sizeof(net.taken);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, wire), 0);
	app = ends[0];
	assert_int_equal(send(app, "", 1, 0), 1);
	assert_int_equal(pump_init(&pump, &layer, wire[0], ends[1]), 0);
	set = epoll_create1(0);
	assert_int_equal(epoll_ctl(set, EPOLL_CTL_ADD, ends[1], &event), 0);
	return 0;
}

static void close_app(void)
{
	close(app);
	app = -1;
}

/* As the relay's process does when it ends. */
static void end(void)
{
	pump_end(&pump);
	close(pump.app);
	pump.app = -1;
}

static int teardown(void **state)
{
	(void)state;
	pump_fini(&pump);
	if (app >= 0)
		close_app();
	if (pump.app >= 0)
		close(pump.app);
	close(wire[0]);
	close(wire[1]);
	close(set);
	return 0;
}

static void run(void)
{
	struct epoll_event event;

	while (epoll_wait(set, &event, 1, 0) > 0)
		pump_hear(&pump, event.events);
	pump_run(&pump, now_ns());
}

static bool is_over_in(int seconds)
{
	return pump_is_over(&pump, now_ns() + seconds * NS_PER_S);
}

static void both_ways(void **state)
{
	char got[8];

	(void)state;
	assert_int_equal(send(app, "up", 2, 0), 2);
	net.incoming = "down";
	run();
	assert_int_equal(net.n_taken, 2);
	assert_memory_equal(net.taken, "up", 2);
	assert_int_equal(recv(app, got, sizeof(got), MSG_DONTWAIT), 4);
	assert_memory_equal(got, "down", 4);
	assert_false(is_over_in(10000));
}

static void both_end(void **state)
{
	char byte;

	(void)state;
	net.end = true;
	shutdown(app, SHUT_WR);
	run();
	assert_true(net.finished);
	assert_true(is_over_in(0));
	end();
	assert_int_equal(recv(app, &byte, 1, MSG_DONTWAIT), 0);
}

static void peer_breaks(void **state)
{
	char byte;

	(void)state;
	net.error = ECONNRESET;
	run();
	assert_true(is_over_in(0));
	end();
	assert_int_equal(recv(app, &byte, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, ECONNRESET);
}

/* What it said before it went is not lost, nor why it went. */
static void peer_takes_nothing(void **state)
{
	char got[8];

	(void)state;
	net.incoming = "last";
	net.full = EPIPE;
	net.error = EPROTO;
	run();
	assert_true(is_over_in(0));
	assert_true(pump.heard);
	assert_int_equal(pump.error, -EPROTO);
	end();
	assert_int_equal(recv(app, got, sizeof(got), MSG_DONTWAIT), 4);
	assert_memory_equal(got, "last", 4);
	assert_int_equal(recv(app, got, sizeof(got), MSG_DONTWAIT), -1);
	assert_int_equal(errno, ECONNRESET);
}

/* Who has closed is not there to hear of the loss: the network gets half a minute. */
static void closed_and_stalled(void **state)
{
	(void)state;
	assert_int_equal(send(app, "up", 2, 0), 2);
	net.room = 1;
	close_app();
	run();
	assert_int_equal(net.n_taken, 1);
	assert_false(is_over_in(25));
	assert_true(is_over_in(35));
}

/* Who has ended both directions may still be there. */
static void halves_and_stalled(void **state)
{
	char byte;

	(void)state;
	assert_int_equal(send(app, "up", 2, 0), 2);
	net.room = 1;
	net.end = true;
	shutdown(app, SHUT_WR);
	run();
	run();
	assert_int_equal(net.n_taken, 1);
	assert_false(is_over_in(600));
	assert_int_equal(recv(app, &byte, 1, MSG_DONTWAIT), 0);
	net.room = 10;
	run();
	assert_memory_equal(net.taken, "up", 2);
	assert_true(net.finished);
	assert_true(is_over_in(0));
}

/* A peer that does not end its direction is waited for, while somebody may listen, and no longer. */
static void peer_lingers(void **state)
{
	(void)state;
	shutdown(app, SHUT_WR);
	run();
	assert_true(net.finished);
	assert_false(is_over_in(10000));
	close_app();
	run();
	assert_false(is_over_in(1));
	assert_true(is_over_in(3));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(both_ways, setup, teardown),
		cmocka_unit_test_setup_teardown(both_end, setup, teardown),
		cmocka_unit_test_setup_teardown(peer_breaks, setup, teardown),
		cmocka_unit_test_setup_teardown(peer_takes_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(closed_and_stalled, setup, teardown),
		cmocka_unit_test_setup_teardown(halves_and_stalled, setup, teardown),
		cmocka_unit_test_setup_teardown(peer_lingers, setup, teardown),
	};

	return cmocka_run_group_tests_name("pump", tests, NULL, NULL);
}
