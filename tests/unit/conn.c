/* The connection object: what it takes over from the call and the socket, and how its attempts run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

#include "core/conn.h"
#include "core/drive.h"
#include "tests/unit/confdir.h"
#include "tests/unit/host.h"
#include "tests/unit/racing.h"

static void test_new(void **state)
{
	struct names_entry answer = racing_answer("a.test", GOOD4, GOOD6, NULL);
	struct taps_slot *slot = slots_socket(AF_INET6, SOCK_STREAM);
	struct taps_addr plain = racing_addr(GOOD4, PORT), mapped = racing_addr("::ffff:" GOOD4, PORT);
	struct conn *conn = racing_conn(slot, NULL, "::ffff:" GOOD4, &answer), *other;

	(void)state;
	assert_string_equal(conn->name, "a.test");
	assert_true(addr_equal(&conn->asked, &plain));
	assert_int_equal(addr_family(&conn->asked), AF_INET);
	assert_int_equal(addr_family(&conn->passed), AF_INET6);
	assert_true(addr_equal(&conn->passed, &mapped));
	assert_int_equal(conn->app_fd, slots_fd(slot));
	assert_int_equal(conn->own_fd, -1);
	assert_int_equal(conn->peer_fd, -1);
	assert_int_equal(conn->state, CONN_RACING);
	assert_int_equal(conn->race.n, 2);
	assert_false(conn_is_bound_to_core(conn));
	other = racing_conn(slot, NULL, GOOD6, NULL);
	assert_string_equal(other->name, "");
	assert_int_equal(other->race.n, 1);
	assert_int_not_equal(other->id, conn->id);
	conn_unref(conn);
	conn_unref(other);
	slots_close(slot);
}

/* The slot of a connection can be had as long as it holds that very connection. */
static void test_slot(void **state)
{
	struct taps_slot *slot = slots_socket(AF_INET6, SOCK_STREAM);
	struct conn *conn = racing_conn(slot, NULL, GOOD6, NULL);

	(void)state;
	assert_false(conn_hold_slot(conn));
	conn_ref(conn);
	atomic_store(&slot->conn, conn);
	assert_true(conn_hold_slot(conn));
	assert_int_equal(atomic_load(&slot->refs), 2);
	conn_release_slot(conn);
	slots_close(slot);
	assert_true(atomic_load(&conn->released));
	assert_false(conn_hold_slot(conn));
	conn_unref(conn);
}

/* Goes on to the end of the race; a deadline that passes with nothing to do fails. */
static void go_on(struct conn *conn)
{
	struct pollfd fds[LOOP_FDS_MAX];
	int64_t end = now_ns() + 5 * NS_PER_S;
	unsigned n = 0;

	while (conn_step(conn, fds, n, now_ns()), conn->state == CONN_RACING) {
		int64_t left = conn_deadline(conn) - now_ns();

		assert_true(now_ns() < end);
		n = conn_pollfds(conn, fds, LOOP_FDS_MAX);
		poll(fds, n, left < 0 ? 0 : left > NS_PER_S ? 1000 : (int)(left / NS_PER_MS) + 1);
	}
}

static void race(struct conn *conn)
{
	conn_begin(conn, now_ns());
	go_on(conn);
}

static void finish(struct conn *conn, struct taps_slot *slot)
{
	conn_cancel(conn);
	conn_unref(conn);
	slots_close(slot);
}

/* Attempts start a delay apart, none is given up for the next, the winner's is the only one left. */
static void test_race(void **state)
{
	struct names_entry answer = racing_answer("a.test", DEAD6, DEAD4, GOOD6, NULL);
	struct taps_slot *slot = slots_socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK);
	struct conn *conn = racing_conn(slot, NULL, DEAD6, &answer);
	struct pollfd fds[LOOP_FDS_MAX];

	(void)state;
	conn_begin(conn, now_ns());
	conn_step(conn, NULL, 0, now_ns());
	assert_int_equal(conn_pollfds(conn, fds, LOOP_FDS_MAX), 1);
	assert_int_equal(fds[0].fd, slots_fd(slot));
	assert_true(conn->attempts[0].own);
	assert_in_range((conn_deadline(conn) - now_ns()) / NS_PER_MS, 200, 250);
	go_on(conn);
	assert_int_equal(conn->state, CONN_WON);
	assert_int_equal(conn->winner, 2);
	assert_false(conn->attempts[2].own);
	assert_null(conn->attempts[0].top);
	assert_null(conn->attempts[1].top);
	assert_string_equal(racing_peer(layer_fd(conn->attempts[2].top)), GOOD6);
	assert_int_equal(conn_pollfds(conn, fds, LOOP_FDS_MAX), 0);
	assert_int_equal(slots_kept(), 1);
	finish(conn, slot);
	assert_int_equal(slots_kept(), 0);
}

static void test_lost(void **state)
{
	struct names_entry answer = racing_answer("a.test", REFUSED6, NOWHERE4, REFUSED4, NULL);
	struct taps_slot *slot = slots_socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK);
	struct conn *conn = racing_conn(slot, NULL, REFUSED6, &answer);
	struct taps_addr nowhere = racing_addr(NOWHERE4, PORT);

	(void)state;
	race(conn);
	assert_int_equal(conn->state, CONN_LOST);
	assert_int_equal(atomic_load(&conn->error), ECONNREFUSED);
	assert_int_equal(slots_kept(), 0);
	/* A loop over the answer need not ask for it again; a refusal it may. */
	assert_int_equal(names_take_failure(&nowhere, "a.test", now_ns()), ENETUNREACH);
	finish(conn, slot);
}

/* The application's own file is for candidates of its family and form only. */
static void test_own_file(void **state)
{
	static const struct {
		int domain;
		const char *passed, *first;
		bool own;
	} rows[] = {
		{AF_INET6, GOOD6, GOOD6, true},
		{AF_INET, GOOD4, GOOD4, true},
		{AF_INET6, "::ffff:" GOOD4, GOOD4, true},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct names_entry answer = racing_answer("a.test", rows[i].first, DEAD6, NULL);
		struct taps_slot *slot = slots_socket(rows[i].domain, SOCK_STREAM | SOCK_NONBLOCK);
		struct conn *conn = racing_conn(slot, NULL, rows[i].passed, &answer);

		race(conn);
		assert_int_equal(conn->state, CONN_WON);
		assert_int_equal(conn->winner, 0);
		assert_int_equal(conn->attempts[0].own, rows[i].own);
		assert_int_equal(layer_fd(conn->attempts[0].top), slots_fd(slot));
		finish(conn, slot);
	}
}

static const char *local_host(int fd)
{
	static char text[ADDR_TEXT_MAX];
	struct sockaddr_storage name;
	socklen_t len = sizeof(name);
	struct taps_addr addr;

	assert_int_equal(getsockname(fd, (struct sockaddr *)&name, &len), 0);
	assert_true(addr_from_sockaddr(&addr, (struct sockaddr *)&name, len));
	return addr_format_host(&addr, text);
}

/* A bound address goes with every attempt, and rules the other family out; a wildcard does neither. */
static void test_bound(void **state)
{
	struct names_entry answer = racing_answer("a.test", REFUSED4, GOOD6, GOOD4, NULL);
	struct taps_slot *slot = slots_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK);
	struct taps_addr source = racing_addr("192.0.2.1", 0), any = racing_addr("0.0.0.0", 0);
	struct conn *conn;

	(void)state;
	assert_int_equal(bind(slots_fd(slot), &source.sa, addr_len(&source)), 0);
	taps_host->slot_flags(slot, SLOT_BOUND, 0);
	conn = racing_conn(slot, NULL, REFUSED4, &answer);
	assert_int_equal(conn->race.n, 2);
	race(conn);
	assert_int_equal(conn->state, CONN_WON);
	assert_string_equal(local_host(layer_fd(conn->attempts[conn->winner].top)), "192.0.2.1");
	finish(conn, slot);

	slot = slots_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK);
	assert_int_equal(bind(slots_fd(slot), &any.sa, addr_len(&any)), 0);
	taps_host->slot_flags(slot, SLOT_BOUND, 0);
	conn = racing_conn(slot, NULL, REFUSED4, &answer);
	assert_int_equal(conn->race.n, 3);
	finish(conn, slot);
}

static void test_v6only(void **state)
{
	struct names_entry answer = racing_answer("a.test", REFUSED6, GOOD4, GOOD6, NULL);
	struct taps_slot *slot = slots_socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK);
	struct conn *conn;
	int on = 1;

	(void)state;
	assert_int_equal(setsockopt(slots_fd(slot), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)), 0);
	taps_host->slot_flags(slot, SLOT_OPTIONS, 0);
	conn = racing_conn(slot, NULL, REFUSED6, &answer);
	assert_int_equal(conn->race.n, 2);
	finish(conn, slot);
}

/* connect(2) with Fast Open succeeds with nobody there: it is taken off where the application set it. */
static void test_fast_open(void **state)
{
	struct names_entry answer = racing_answer("a.test", REFUSED6, GOOD6, NULL);
	struct taps_slot *slot = slots_socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK);
	struct conn *conn;
	int on = 1;

	(void)state;
	setsockopt(slots_fd(slot), IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &on, sizeof(on));
	taps_host->slot_flags(slot, SLOT_OPTIONS, 0);
	conn = racing_conn(slot, NULL, REFUSED6, &answer);
	race(conn);
	assert_int_equal(conn->state, CONN_WON);
	assert_int_equal(conn->winner, 1);
	finish(conn, slot);
}

static void test_requirement(void **state)
{
	struct confdir *dir = *state;
	struct conf *conf =
		confdir_load(dir, "rules = ( { properties = { preserveMsgBoundaries = \"require\"; }; } );");
	struct names_entry answer = racing_answer("a.test", GOOD6, GOOD4, NULL);
	struct taps_slot *slot = slots_socket(AF_INET6, SOCK_STREAM);

	assert_null(racing_conn(slot, conf, GOOD6, &answer));
	slots_close(slot);
	handle_reap();
	conf_unref(conf);
}

static void test_bound_to_core(void **state)
{
	struct confdir *dir = *state;
	struct conf *conf = confdir_load(dir, "rules = ( { remote = { port = 7000; }; } );");
	struct taps_slot *slot = slots_socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK);
	struct conn *conn = racing_conn(slot, conf, GOOD6, NULL);

	assert_true(conn_is_bound_to_core(conn));
	/* The connection keeps the configuration that its policy points into. */
	conf_unref(conf);
	race(conn);
	assert_int_equal(conn->state, CONN_WON);
	finish(conn, slot);
}

static int fail_connect(int fd, const struct sockaddr *addr, socklen_t len)
{
	(void)fd;
	(void)addr;
	(void)len;
	errno = ENOBUFS;
	return -1;
}

/* An attempt that cannot even begin is as any that failed. */
static void test_no_sockets(void **state)
{
	struct names_entry answer = racing_answer("a.test", GOOD6, GOOD4, NULL);
	struct taps_slot *slot = slots_socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK);
	struct conn *conn = racing_conn(slot, NULL, GOOD6, &answer);
	struct taps_host *host = unit_host(), real = *host;

	(void)state;
	host->connect = fail_connect;
	race(conn);
	*host = real;
	assert_int_equal(conn->state, CONN_LOST);
	assert_int_equal(atomic_load(&conn->error), ENOBUFS);
	finish(conn, slot);
}

static int prepare(void **state)
{
	if (racing_network(state) != 0)
		return -1;
	racing_listen(GOOD4);
	racing_listen(GOOD6);
	return confdir_setup(state);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, racing_begin, racing_end)
	const struct CMUnitTest tests[] = {
		CASE(test_new),
		CASE(test_slot),
		CASE(test_race),
		CASE(test_lost),
		CASE(test_own_file),
		CASE(test_bound),
		CASE(test_v6only),
		CASE(test_fast_open),
		CASE(test_requirement),
		CASE(test_bound_to_core),
		CASE(test_no_sockets),
	};

	alarm(60);
	return cmocka_run_group_tests_name("conn", tests, prepare, confdir_teardown);
}
