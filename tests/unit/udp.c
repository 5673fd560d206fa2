/* Datagram sockets whose policy names another remote: on the application's own file, at once, and nothing
 * else changes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "core/drive.h"
#include "core/lookup.h"
#include "tests/unit/confdir.h"
#include "tests/unit/host.h"
#include "tests/unit/racing.h"

#define RULES \
	"hosts = ( { name = \"both.test\"; address = [\"" GOOD6 "\", \"" GOOD4 "\"]; }," \
	"          { name = \"six.test\"; address = [\"" GOOD6 "\"]; } );" \
	"rules = (" \
	"  { match = { port = 7001; }; remote = { host = \"" GOOD4 "\"; port = 7000; }; }," \
	"  { match = { port = 7002; }; remote = { host = \"both.test\"; port = 7000; }; }," \
	"  { match = { port = 7003; }; remote = { host = \"six.test\"; }; }," \
	"  { match = { port = 7004; }; remote = { port = 7000; }; }," \
	"  { match = { port = 7005; }; remote = { host = \"" NOWHERE4 "\"; }; } );"

static struct taps_host real;
static struct conf *conf;
static unsigned fds_before;

static int setup(void **state)
{
	(void)state;
	slots_install();
	real = *unit_host();
	fds_before = racing_fds();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	*unit_host() = real;
	handle_reap();
	return slots_live() || slots_replaced || slots_kept() || racing_fds() != fds_before;
}

/* As the core's door does; TAPS_PASS where no rule names another remote. */
static int connect_to(struct taps_slot *slot, const char *address, uint16_t port)
{
	struct taps_addr addr = racing_addr(address, port);
	struct policy_query query = {NULL, &addr, slot->type, POLICY_INITIATE};
	struct taps_connect_call call = {slot, slots_fd(slot), &addr.sa, addr_len(&addr)};
	struct policy policy;
	struct conn *conn;
	int found;

	conf_policy(conf, &query, &policy);
	assert_true(policy.remote.host || policy.remote.port);
	conn = conn_new(&call, conf, &policy, NULL);
	if (!conn)
		return -ENOMEM;
	found = lookup_datagram(conn, now_ns());
	if (found >= 0)
		return drive_datagram(conn);
	conn_unref(conn);
	return found;
}

static int bound_receiver(const char *address)
{
	struct taps_addr addr = racing_addr(address, PORT);
	int fd = socket(addr_family(&addr), SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, &addr.sa, addr_len(&addr)), 0);
	return fd;
}

static void test_row(void **state)
{
	const struct layer_ops *udp = NULL;
	size_t i;

	(void)state;
	for (i = 0; layers[i]; i++)
		if (strcmp(layers[i]->name, "udp") == 0)
			udp = layers[i];
	assert_non_null(udp);
	assert_int_equal(udp->traits, LAYER_TRANSPORT | LAYER_DATAGRAM);
}

static void test_layer(void **state)
{
	struct taps_addr good = racing_addr(GOOD4, PORT), nowhere = racing_addr(NOWHERE4, PORT);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct layer *layer = udp_layer(fd, &good);
	struct layer_wants wants;
	char text[16];

	(void)state;
	assert_string_equal(layer_describe(layer, text, sizeof(text)), "udp");
	assert_false(layer_is_secure(layer));
	assert_int_equal(layer->ops->connect(layer, now_ns(), &wants), 0);
	assert_int_equal(wants.fd, -1);
	assert_string_equal(racing_peer(fd), GOOD4);
	layer_close_chain(layer);
	layer = udp_layer(fd, &nowhere);
	assert_int_equal(layer->ops->connect(layer, now_ns(), &wants), -ENETUNREACH);
	layer_close_chain(layer);
	/* The file is the application's. */
	assert_string_equal(racing_peer(fd), GOOD4);
	close(fd);
}

static void test_rewritten(void **state)
{
	struct taps_slot *slot = slots_socket(AF_INET, SOCK_DGRAM);
	int receiver = bound_receiver(GOOD4);
	char text[8] = "";

	(void)state;
	assert_int_equal(connect_to(slot, DEAD4, 7001), 0);
	assert_string_equal(racing_peer(slots_fd(slot)), GOOD4);
	assert_int_equal(send(slots_fd(slot), "bytes", 5, 0), 5);
	assert_int_equal(recv(receiver, text, sizeof(text), 0), 5);
	assert_string_equal(text, "bytes");
	/* It may be connected again, and stays the application's to connect. */
	assert_int_equal(atomic_load(&slot->flags), 0);
	assert_null(atomic_load(&slot->conn));
	assert_int_equal(connect_to(slot, REFUSED4, 7004), 0);
	assert_string_equal(racing_peer(slots_fd(slot)), REFUSED4);
	close(receiver);
	slots_close(slot);
}

/* Among several addresses the one that the socket's own family reaches. */
static void test_families(void **state)
{
	struct taps_slot *four = slots_socket(AF_INET, SOCK_DGRAM), *six = slots_socket(AF_INET6, SOCK_DGRAM);

	(void)state;
	assert_int_equal(connect_to(four, DEAD4, 7002), 0);
	assert_string_equal(racing_peer(slots_fd(four)), GOOD4);
	assert_int_equal(connect_to(six, DEAD6, 7002), 0);
	assert_string_equal(racing_peer(slots_fd(six)), GOOD6);
	assert_int_equal(connect_to(six, DEAD6, 7001), 0);
	assert_string_equal(racing_peer(slots_fd(six)), "::ffff:" GOOD4);
	assert_int_equal(connect_to(four, DEAD4, 7003), -ENETUNREACH);
	slots_close(four);
	slots_close(six);
}

/* As the kernel: what the socket was connected to stays. */
static void test_failure(void **state)
{
	struct taps_slot *slot = slots_socket(AF_INET, SOCK_DGRAM);

	(void)state;
	assert_int_equal(connect_to(slot, DEAD4, 7001), 0);
	assert_int_equal(connect_to(slot, DEAD4, 7005), -ENETUNREACH);
	assert_string_equal(racing_peer(slots_fd(slot)), GOOD4);
	slots_close(slot);
}

static int countdown;

static void *failing_calloc(size_t n, size_t size)
{
	return --countdown == 0 ? NULL : real.calloc(n, size);
}

static void test_memory_short(void **state)
{
	struct taps_slot *slot = slots_socket(AF_INET, SOCK_DGRAM);
	int result = -ENOMEM, n;

	(void)state;
	unit_host()->calloc = failing_calloc;
	for (n = 1; result == -ENOMEM; n++) {
		countdown = n;
		result = connect_to(slot, DEAD4, 7001);
		handle_reap();
		assert_in_range(n, 1, 10);
	}
	assert_int_equal(result, 0);
	assert_in_range(n, 3, 10);
	slots_close(slot);
}

static int prepare(void **state)
{
	if (racing_network(state) != 0 || confdir_setup(state) != 0)
		return -1;
	conf = confdir_load(*state, RULES);
	return conf ? 0 : -1;
}

static int finish(void **state)
{
	conf_unref(conf);
	return confdir_teardown(state);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(test_row),
		CASE(test_layer),
		CASE(test_rewritten),
		CASE(test_families),
		CASE(test_failure),
		CASE(test_memory_short),
	};

	alarm(60);
	return cmocka_run_group_tests_name("udp", tests, prepare, finish);
}
