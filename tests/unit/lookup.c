/* Names to addresses: the configuration's own, the resolver of our own with a server that answers when it is
 * told to, and answers that come when the race is under way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/drive.h"
#include "core/lookup.h"
#include "core/resolve.h"
#include "tests/unit/confdir.h"
#include "tests/unit/dns.h"
#include "tests/unit/host.h"
#include "tests/unit/racing.h"

#define THREAD 1
#define HOSTS \
	"hosts = ( { name = \"both.test\"; address = [\"" GOOD6 "\", \"" GOOD4 "\"]; }," \
	"          { name = \"six.test\"; address = [\"" GOOD6 "\"]; } );"
#define RULES \
	"resolver = \"taps\";" \
	"rules = ( { match = { address = \"" REFUSED4 "/32\"; }; remote = { host = \"late6.test\"; }; }," \
	"          { match = { address = \"" REFUSED6 "/128\"; }; remote = { host = \"nothing.test\"; }; }," \
	"          { match = { address = \"" DEAD6 "/128\"; }; remote = { host = \"slow.test\"; }; } );"

/* Refused there, and the others dead: the own attempt is over while the race goes on. */
#define MOVED \
	"hosts = ( { name = \"moved.test\"; address = [\"" REFUSED6 "\", \"" DEAD4 "\"]; } );" \
	"rules = ( { remote = { host = \"moved.test\"; }; } );"

static struct conf *hosts, *taps, *moved;
static void *dir;
static pid_t server;
static struct dns_line script[] = {
	{.name = "plain.test", .type = TYPE_AAAA, .addr = GOOD6, .delay_ms = 15},
	{.name = "plain.test", .type = TYPE_A, .addr = GOOD4},
	{.name = "four.test", .type = TYPE_AAAA},
	{.name = "four.test", .type = TYPE_A, .addr = GOOD4},
	{.name = "late6.test", .type = TYPE_AAAA, .addr = GOOD6, .delay_ms = 400},
	{.name = "late6.test", .type = TYPE_A, .addr = DEAD4},
	{.name = "slow.test", .type = TYPE_AAAA, .addr = DEAD6, .delay_ms = 200},
	{.name = "slow.test", .type = TYPE_A, .addr = GOOD4, .delay_ms = 200},
};

/* "stream 192.0.2.10:80, …" of a list, which is freed. */
static const char *describe(struct addrinfo *list)
{
	static char text[512];
	char name[ADDR_TEXT_MAX];
	struct addrinfo *at;
	struct taps_addr addr;

	text[0] = 0;
	for (at = list; at; at = at->ai_next) {
		assert_true(addr_from_sockaddr(&addr, at->ai_addr, at->ai_addrlen));
		assert_int_equal(at->ai_family, addr_family(&addr));
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s %s", *text ? ", " : "",
			 at->ai_socktype == SOCK_STREAM  ? "stream"
			 : at->ai_socktype == SOCK_DGRAM ? "dgram"
							 : "raw",
			 addr_format(&addr, name));
	}
	freeaddrinfo(list);
	return text;
}

static const char *ask(const struct conf *conf, const char *name, const char *service,
		       const struct addrinfo *hints)
{
	static char number[16];
	struct addrinfo *list;
	int result = lookup_getaddrinfo(conf, name, service, hints, &list, THREAD);

	if (result == 0)
		return describe(list);
	snprintf(number, sizeof(number), "%d", result);
	return result == TAPS_PASS ? "pass" : number;
}

static const char *error_text(int eai)
{
	static char number[16];

	snprintf(number, sizeof(number), "%d", eai);
	return number;
}

static void test_hosts(void **state)
{
	struct addrinfo stream = {.ai_socktype = SOCK_STREAM};
	struct addrinfo four = {.ai_family = AF_INET, .ai_socktype = SOCK_DGRAM};
	struct addrinfo six = {.ai_family = AF_INET6, .ai_socktype = SOCK_STREAM};

	(void)state;
	assert_string_equal(ask(hosts, "both.test", "80", &stream),
			    "stream [" GOOD6 "]:80, stream " GOOD4 ":80");
	assert_string_equal(ask(hosts, "BOTH.test.", NULL, &four), "dgram " GOOD4 ":0");
	assert_string_equal(ask(hosts, "both.test", "7000", &six), "stream [" GOOD6 "]:7000");
	assert_string_equal(ask(hosts, "six.test", "80", NULL),
			    "stream [" GOOD6 "]:80, dgram [" GOOD6 "]:80, raw [" GOOD6 "]:80");
	assert_string_equal(ask(hosts, "six.test", "80", &four), error_text(EAI_NODATA));
	assert_string_equal(ask(hosts, "both.test", "nonsense", &stream), error_text(EAI_SERVICE));
	assert_string_equal(ask(hosts, "elsewhere.test", "80", &stream), "pass");
	assert_string_equal(ask(hosts, GOOD4, "80", &stream), "pass");
}

static void test_canonical_name(void **state)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_CANONNAME}, *list;

	(void)state;
	assert_int_equal(lookup_getaddrinfo(hosts, "both.test", "80", &hints, &list, THREAD), 0);
	assert_string_equal(list->ai_canonname, "both.test");
	assert_null(list->ai_next->ai_canonname);
	freeaddrinfo(list);
}

static void test_host_addresses(void **state)
{
	struct in6_addr six[4], good6;
	struct in_addr four[4], good4;

	(void)state;
	inet_pton(AF_INET, GOOD4, &good4);
	inet_pton(AF_INET6, GOOD6, &good6);
	assert_int_equal(lookup_hostaddrs(hosts, "both.test", AF_INET, four, 4, THREAD), 1);
	assert_memory_equal(&four[0], &good4, sizeof(good4));
	assert_int_equal(lookup_hostaddrs(hosts, "both.test", AF_INET6, six, 4, THREAD), 1);
	assert_memory_equal(&six[0], &good6, sizeof(good6));
	assert_int_equal(lookup_hostaddrs(hosts, "six.test", AF_INET, four, 4, THREAD), -NO_DATA);
	assert_int_equal(lookup_hostaddrs(hosts, "elsewhere.test", AF_INET, four, 4, THREAD), TAPS_PASS);
	assert_int_equal(lookup_hostaddrs(taps, "nothing.test", AF_INET, four, 4, THREAD), -HOST_NOT_FOUND);
	assert_int_equal(lookup_hostaddrs(taps, "four.test", AF_INET, four, 4, THREAD), 1);
	assert_memory_equal(&four[0], &good4, sizeof(good4));
}

static bool remembered(const char *address, const char *name)
{
	struct taps_addr addr = racing_addr(address, PORT);
	struct names_entry entry;

	return names_find(&addr, THREAD, &entry, NULL) && strcmp(entry.name, name) == 0;
}

static void test_resolver(void **state)
{
	struct addrinfo stream = {.ai_socktype = SOCK_STREAM};

	(void)state;
	assert_string_equal(ask(taps, "plain.test", "80", &stream),
			    "stream [" GOOD6 "]:80, stream " GOOD4 ":80");
	assert_true(remembered(GOOD6, "plain.test"));
	assert_true(remembered(GOOD4, "plain.test"));
	assert_string_equal(ask(taps, "four.test", "80", &stream), "stream " GOOD4 ":80");
	assert_string_equal(ask(taps, "nothing.test", "80", &stream), error_text(EAI_NONAME));
	assert_string_equal(ask(taps, GOOD6, "80", &stream), "pass");
}

/* What the C library answered is remembered, each address once, ports left out. */
static void test_learned(void **state)
{
	struct taps_addr six = racing_addr(GOOD6, 80), four = racing_addr(GOOD4, 80);
	struct addrinfo last = {.ai_family = AF_INET, .ai_addr = &four.sa, .ai_addrlen = sizeof(four.in4)};
	struct addrinfo middle = {.ai_family = AF_INET6, .ai_addr = &six.sa, .ai_addrlen = sizeof(six.in6),
				  .ai_next = &last};
	struct addrinfo first = middle;
	char *list[] = {(char *)&four.in4.sin_addr, NULL};
	struct hostent host = {.h_addrtype = AF_INET, .h_length = 4, .h_addr_list = list};
	struct names_entry entry;

	(void)state;
	first.ai_next = &middle;
	lookup_learned("list.test", NULL, &first, THREAD);
	assert_true(names_find(&six, THREAD, &entry, NULL));
	assert_string_equal(entry.name, "list.test");
	assert_int_equal(entry.n, 2);
	assert_int_equal(addr_port(&entry.addrs[0]), 0);
	lookup_learned("nothing.test", NULL, NULL, THREAD);
	lookup_learned_host("host.test", &host, THREAD);
	assert_true(remembered(GOOD4, "host.test"));
}

/* --- answers that come late ------------------------------------------------------------------------ */

/* Looks late6.test up: only its dead IPv4 address is there in time. */
static struct names_entry look_up_late(void)
{
	struct addrinfo stream = {.ai_socktype = SOCK_STREAM};
	struct taps_addr dead = racing_addr(DEAD4, 0);
	int64_t begin = now_ns();
	struct names_entry entry;

	assert_string_equal(ask(taps, "late6.test", "7000", &stream), "stream " DEAD4 ":7000");
	assert_in_range(racing_ms_since(begin), RESOLVE_DELAY_MS - 5, 350);
	assert_true(names_find(&dead, THREAD, &entry, NULL));
	return entry;
}

static void test_late_answer_here(void **state)
{
	struct names_entry entry = look_up_late();
	struct taps_slot *slot = slots_socket(AF_INET, SOCK_STREAM);
	struct conn *conn = racing_conn(slot, taps, DEAD4, &entry);
	int64_t begin = now_ns();

	(void)state;
	assert_non_null(conn->resolve);
	assert_int_equal(conn->race.n, 1);
	assert_int_equal(drive_here(conn), 0);
	assert_in_range(racing_ms_since(begin), 100, 1000);
	assert_string_equal(racing_peer(slots_fd(slot)), GOOD6);
	assert_true(atomic_load(&slot->flags) & SLOT_DISGUISED);
	slots_close(slot);
}

static void test_late_answer_behind(void **state)
{
	struct names_entry entry = look_up_late();
	struct taps_slot *slot = slots_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK);
	struct conn *conn = racing_conn(slot, taps, DEAD4, &entry);

	(void)state;
	assert_int_equal(drive_behind(conn), -EINPROGRESS);
	assert_true(racing_wait(slot, SLOT_DISGUISED, 1000));
	assert_string_equal(racing_peer(slots_fd(slot)), GOOD6);
	slots_close(slot);
}

/* The first connect takes the resolution along; a second one has what was there. */
static void test_late_answer_once(void **state)
{
	struct names_entry entry = look_up_late();
	struct taps_slot *first = slots_socket(AF_INET, SOCK_STREAM),
			 *second = slots_socket(AF_INET, SOCK_STREAM);
	struct conn *with = racing_conn(first, taps, DEAD4, &entry);
	struct conn *without = racing_conn(second, taps, DEAD4, &entry);

	(void)state;
	assert_non_null(with->resolve);
	assert_null(without->resolve);
	conn_unref(with);
	conn_unref(without);
	slots_close(first);
	slots_close(second);
}

/* More unfinished ones than are kept: the oldest goes. */
static void test_many_pending(void **state)
{
	struct addrinfo stream = {.ai_socktype = SOCK_STREAM};
	struct names_entry entry;
	int i;

	(void)state;
	for (i = 0; i < 5; i++)
		ask(taps, "late6.test", "7000", &stream);
	for (i = 0; i < 5; i++) {
		struct taps_slot *slot = slots_socket(AF_INET, SOCK_STREAM);
		struct taps_addr dead = racing_addr(DEAD4, 0);
		struct conn *conn;

		assert_true(names_find(&dead, THREAD, &entry, NULL));
		conn = racing_conn(slot, taps, DEAD4, &entry);
		/* All but the one that is taken are given up with it. */
		assert_true((conn->resolve != NULL) == (i == 0));
		conn_unref(conn);
		slots_close(slot);
	}
}

/* --- a remote that the policy names ---------------------------------------------------------------- */

static void test_remote_resolved(void **state)
{
	struct taps_slot *slot = slots_socket(AF_INET, SOCK_STREAM);
	struct conn *conn = racing_conn(slot, taps, REFUSED4, NULL);

	(void)state;
	assert_int_equal(conn->race.n, 0);
	assert_int_equal(drive_here(conn), 0);
	assert_string_equal(racing_peer(slots_fd(slot)), GOOD6);
	slots_close(slot);

	slot = slots_socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK);
	conn = racing_conn(slot, taps, "::ffff:" REFUSED4, NULL);
	assert_int_equal(drive_behind(conn), -EINPROGRESS);
	assert_int_equal(racing_poll(slots_fd(slot)), 0);
	assert_true(racing_wait(slot, 0, 1000));
	assert_string_equal(racing_peer(slots_fd(slot)), GOOD6);
	slots_close(slot);
}

static void test_remote_unknown(void **state)
{
	struct taps_slot *slot = slots_socket(AF_INET6, SOCK_STREAM);
	struct conn *conn = racing_conn(slot, taps, REFUSED6, NULL);

	(void)state;
	assert_int_equal(drive_here(conn), -ENETUNREACH);
	slots_close(slot);
	slot = slots_socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK);
	conn = racing_conn(slot, taps, REFUSED6, NULL);
	assert_int_equal(drive_behind(conn), -EINPROGRESS);
	assert_true(racing_wait(slot, SLOT_FAILED, 1000));
	slots_close(slot);
}

static void on_signal(int sig)
{
	(void)sig;
}

/* The resolution ends after the blocking call did: the loop must not begin on the file that is in blocking
 * mode, where the dead address would hold it up. */
static void test_interrupted_before_the_answer(void **state)
{
	struct sigaction action = {.sa_handler = on_signal};
	struct taps_slot *slot = slots_socket(AF_INET6, SOCK_STREAM);
	struct conn *conn = racing_conn(slot, taps, DEAD6, NULL);
	int64_t begin = now_ns();

	(void)state;
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &(struct itimerval){.it_value = {.tv_usec = 50000}}, NULL);
	assert_int_equal(drive_here(conn), -EINTR);
	signal(SIGALRM, SIG_DFL);
	assert_true(racing_wait(slot, 0, 10000));
	assert_in_range(racing_ms_since(begin), 200, 900);
	assert_string_equal(racing_peer(slots_fd(slot)), "::ffff:" GOOD4);
	slots_close(slot);
}

/* Taken back by the application before there is a candidate: it is not connected to where it must not go. */
static void test_restored_before_the_answer(void **state)
{
	struct taps_addr good = racing_addr(GOOD6, PORT);
	struct taps_slot *slot = slots_socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK);
	struct conn *conn = racing_conn(slot, taps, DEAD6, NULL);

	(void)state;
	assert_int_equal(drive_behind(conn), -EINPROGRESS);
	drive_restore(slot);
	assert_int_equal(atomic_load(&slot->flags), 0);
	/* Not EALREADY: nothing is under way. */
	assert_int_equal(connect(slots_fd(slot), &good.sa, addr_len(&good)), -1);
	assert_int_equal(errno, EINPROGRESS);
	slots_close(slot);
}

/* The same once there is one that the socket can go to: there, and nowhere else. */
static void test_restored_elsewhere(void **state)
{
	struct taps_slot *slot = slots_socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK);
	struct conn *conn = racing_conn(slot, moved, GOOD6, NULL);

	(void)state;
	assert_int_equal(drive_behind(conn), -EINPROGRESS);
	usleep(30000);
	drive_restore(slot);
	usleep(30000);
	assert_string_equal(racing_peer(slots_fd(slot)), "");
	slots_close(slot);
}

static int prepare(void **state)
{
	struct names_entry answer = racing_answer("a.test", REFUSED6, REFUSED4, NULL);
	struct taps_slot *slot;

	if (racing_network(state) != 0 || confdir_setup(&dir) != 0)
		return -1;
	hosts = confdir_load(dir, HOSTS);
	taps = confdir_load(dir, RULES);
	moved = confdir_load(dir, MOVED);
	server = racing_names(script, sizeof(script) / sizeof(script[0]));
	slots_install();
	racing_listen(GOOD4);
	racing_listen(GOOD6);
	/* The loop and its thread are there from now on. */
	slot = slots_socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK);
	drive_behind(racing_conn(slot, NULL, REFUSED6, &answer));
	racing_wait(slot, SLOT_FAILED, 1000);
	slots_close(slot);
	usleep(20000);
	return server > 0 ? 0 : -1;
}

static int finish(void **state)
{
	(void)state;
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
	conf_unref(hosts);
	conf_unref(taps);
	conf_unref(moved);
	return confdir_teardown(&dir);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, racing_begin, racing_end)
	const struct CMUnitTest tests[] = {
		CASE(test_hosts),
		CASE(test_canonical_name),
		CASE(test_host_addresses),
		CASE(test_resolver),
		CASE(test_learned),
		CASE(test_late_answer_here),
		CASE(test_late_answer_behind),
		CASE(test_late_answer_once),
		CASE(test_many_pending),
		CASE(test_remote_resolved),
		CASE(test_remote_unknown),
		CASE(test_interrupted_before_the_answer),
		CASE(test_restored_before_the_answer),
		CASE(test_restored_elsewhere),
	};

	alarm(90);
	return cmocka_run_group_tests_name("lookup", tests, prepare, finish);
}
