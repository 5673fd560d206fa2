/* The resolver, against a real dnsmasq for what names are, and a scripted server for when answers come;
 * both in a network namespace of the test's own, reached through an /etc/resolv.conf of its own. */
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
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/resolve.h"
#include "tests/unit/dns.h"
#include "tests/unit/host.h"
#include "tests/unit/netns.h"

/* ares.h is the resolver's alone; this is all that a test needs of it (ares_library_init_mem(3)). */
int ares_library_init_mem(int flags, void *(*amalloc)(size_t), void (*afree)(void *),
			  void *(*arealloc)(void *, size_t));

#define DNSMASQ "nameserver 127.0.0.1\n"
#define SCRIPTED "nameserver 127.0.0.2\n"
#define DELAY (RESOLVE_DELAY_MS * NS_PER_MS)
#define HOSTS \
	"127.0.0.1 localhost\n" \
	"::1 localhost\n" \
	"192.0.2.77 hosted.test hosted\n" \
	"192.0.2.77 hosted.test\n" \
	"2001:db8::77 hosted.test\n" \
	"192.0.2.78 silent.test\n"
#define MANY 40

static struct taps_host real;
static pid_t servers[2];
static int kept, dropped;

/* What the scripted server knows. */
static struct dns_line script[] = {
	{.name = "late4.test", .type = TYPE_AAAA, .addr = "2001:db8::1"},
	{.name = "late4.test", .type = TYPE_A, .addr = "192.0.2.1", .delay_ms = 800},
	{.name = "late6.test", .type = TYPE_AAAA, .addr = "2001:db8::1", .delay_ms = 800},
	{.name = "late6.test", .type = TYPE_A, .addr = "192.0.2.1"},
	{.name = "soon6.test", .type = TYPE_AAAA, .addr = "2001:db8::1", .delay_ms = 25},
	{.name = "soon6.test", .type = TYPE_A, .addr = "192.0.2.1"},
	{.name = "never6.test", .type = TYPE_AAAA, .delay_ms = -1},
	{.name = "never6.test", .type = TYPE_A, .addr = "192.0.2.1"},
	{.name = "never4.test", .type = TYPE_AAAA, .addr = "2001:db8::1"},
	{.name = "never4.test", .type = TYPE_A, .delay_ms = -1},
	{.name = "broken6.test", .type = TYPE_AAAA, .rcode = SERVFAIL},
	{.name = "broken6.test", .type = TYPE_A, .addr = "192.0.2.1", .delay_ms = 100},
	{.name = "nxdomain6.test", .type = TYPE_AAAA, .rcode = NXDOMAIN},
	{.name = "nxdomain6.test", .type = TYPE_A, .addr = "192.0.2.1", .delay_ms = 100},
	{.name = "broken.test", .type = TYPE_AAAA, .rcode = SERVFAIL},
	{.name = "broken.test", .type = TYPE_A, .rcode = SERVFAIL},
	{.name = "refused.test", .type = TYPE_AAAA, .rcode = REFUSED},
	{.name = "refused.test", .type = TYPE_A, .rcode = REFUSED},
	{.name = "half.test", .type = TYPE_AAAA, .rcode = SERVFAIL},
	{.name = "half.test", .type = TYPE_A, .rcode = NXDOMAIN},
	{.name = "silent.test", .type = TYPE_AAAA, .delay_ms = -1},
	{.name = "silent.test", .type = TYPE_A, .delay_ms = -1},
	{.name = "lost.test", .type = TYPE_AAAA, .addr = "2001:db8::1", .drop = 1},
	{.name = "lost.test", .type = TYPE_A, .addr = "192.0.2.1", .drop = 1},
	{.name = "noisy.test", .type = TYPE_AAAA, .addr = "2001:db8::1", .noise = true},
	{.name = "noisy.test", .type = TYPE_A, .addr = "192.0.2.1", .noise = true},
	/* Names of the same host in two domains of a search list, each with another family. */
	{.name = "host.one.test", .type = TYPE_A, .addr = "192.0.2.1", .delay_ms = 60},
	{.name = "host.one.test", .type = TYPE_AAAA},
	{.name = "host.two.test", .type = TYPE_AAAA, .addr = "2001:db8::2"},
	{.name = "host.two.test", .type = TYPE_A, .addr = "192.0.2.2"},
	{.name = "other.two.test", .type = TYPE_AAAA, .addr = "2001:db8::3"},
	{.name = "other.two.test", .type = TYPE_A, .addr = "192.0.2.3"},
	{.name = "stuck.one.test", .type = TYPE_AAAA, .rcode = SERVFAIL},
	{.name = "stuck.one.test", .type = TYPE_A, .rcode = SERVFAIL},
	{.name = "jumpy.one.test", .type = TYPE_AAAA, .rcode = SERVFAIL},
	{.name = "jumpy.two.test", .type = TYPE_AAAA, .addr = "2001:db8::7"},
	{.name = "dotted.name", .type = TYPE_AAAA, .addr = "2001:db8::4"},
	{.name = "dotted.name.one.test", .type = TYPE_AAAA, .addr = "2001:db8::5"},
	{.name = "plain", .type = TYPE_AAAA, .addr = "2001:db8::6"},
};

/* --- the servers ------------------------------------------------------------------------------- */

static pid_t start_scripted(void)
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(53)};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	pid_t child;

	inet_pton(AF_INET, "127.0.0.2", &addr.sin_addr);
	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return -1;
	child = fork();
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dns_serve(fd, script, sizeof(script) / sizeof(script[0]));
	}
	close(fd);
	return child;
}

static pid_t start_dnsmasq(void)
{
	static char records[MANY][48];
	const char *args[32 + MANY] = {
		"dnsmasq",
		"--no-daemon", /* stays in the foreground, and as who it is: it need not be root */
		"--conf-file=/dev/null",
		"--no-hosts",
		"--no-resolv",
		"--listen-address=127.0.0.1",
		"--bind-interfaces",
		"--local=/test/",
		"--host-record=both.test,192.0.2.1,2001:db8::1",
		"--host-record=four.test,192.0.2.4",
		"--host-record=six.test,2001:db8::6",
		"--cname=alias.test,both.test",
		"--cname=alias2.test,alias.test",
		"--txt-record=text.test,words",
	};
	size_t n = 0;
	pid_t child;

	while (args[n])
		n++;
	for (int i = 0; i < MANY; i++) {
		snprintf(records[i], sizeof(records[i]), "--host-record=many.test,10.1.0.%d", i + 1);
		args[n++] = records[i];
	}
	child = fork();
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), 2);
		execvp("dnsmasq", (char *const *)args);
		_exit(127);
	}
	return child;
}

/* dnsmasq is there once it takes TCP connections. */
static bool dnsmasq_answers(void)
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(53)};

	inet_pton(AF_INET, "127.0.0.1", &addr.sin_addr);
	for (int i = 0; i < 100; i++) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		int r = connect(fd, (struct sockaddr *)&addr, sizeof(addr));

		close(fd);
		if (r == 0)
			return true;
		usleep(50000);
	}
	return false;
}

/* --- driving ----------------------------------------------------------------------------------- */

static bool usable(const struct resolve *resolve, int64_t now)
{
	return resolve_usable(resolve, now);
}

static bool complete(const struct resolve *resolve, int64_t now)
{
	(void)now;
	return resolve_complete(resolve);
}

/* Waits as a driver does until `done` holds, at most `limit_ms`.  Returns the milliseconds it took, or -1. */
static int drive(struct resolve *resolve, bool (*done)(const struct resolve *, int64_t), int limit_ms)
{
	const int64_t begin = now_ns(), limit = begin + limit_ms * NS_PER_MS;
	int64_t now = begin;

	for (int rounds = 0; rounds < 300; rounds++) {
		struct pollfd fds[RESOLVE_FDS_MAX];
		unsigned n = resolve_pollfds(resolve, fds, RESOLVE_FDS_MAX);
		int64_t until = resolve_deadline(resolve);

		if (done(resolve, now))
			return (int)((now - begin) / NS_PER_MS);
		if (now >= limit)
			return -1;
		until = until < limit ? until : limit;
		if (until > now)
			poll(fds, n, (int)((until - now + NS_PER_MS - 1) / NS_PER_MS));
		now = now_ns();
		resolve_step(resolve, fds, n, now);
	}
	fail_msg("the resolver spins");
	return -1;
}

static struct resolve *begin(const char *name, int family)
{
	struct resolve *resolve = NULL;

	assert_int_equal(resolve_new(&resolve, name, family, 443, DELAY, now_ns()), 0);
	assert_non_null(resolve);
	return resolve;
}

/* The addresses in order, as "a b c". */
static const char *answers(const struct resolve *resolve)
{
	static char text[RESOLVE_ADDRS_MAX * ADDR_TEXT_MAX];
	char one[ADDR_TEXT_MAX];
	size_t n;
	const struct taps_addr *addrs = resolve_addrs(resolve, &n);

	*text = '\0';
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(addr_port(&addrs[i]), 443);
		strcat(strcat(text, i ? " " : ""), addr_format_host(&addrs[i], one));
	}
	return text;
}

static bool has_answer(const struct resolve *resolve, const char *wanted)
{
	struct taps_addr addr;
	size_t n;
	const struct taps_addr *addrs = resolve_addrs(resolve, &n);

	assert_int_equal(addr_parse(&addr, wanted, 443), 0);
	for (size_t i = 0; i < n; i++)
		if (addr_equal(&addrs[i], &addr))
			return true;
	return false;
}

/* Resolves to the end, and expects these answers (each once, any order) or this error. */
static void expect(const char *name, int family, const char *first, const char *second, int error)
{
	struct resolve *resolve = begin(name, family);
	size_t n;

	if (drive(resolve, complete, 12000) < 0)
		fail_msg("%s takes too long", name);
	if (resolve_error(resolve) != error)
		fail_msg("%s: error %d, not %d", name, resolve_error(resolve), error);
	resolve_addrs(resolve, &n);
	if (n != (size_t)(!!first + !!second) || (first && !has_answer(resolve, first)) ||
	    (second && !has_answer(resolve, second)))
		fail_msg("%s: %s", name, answers(resolve));
	assert_int_equal(resolve_deadline(resolve), INT64_MAX);
	assert_int_equal(resolve_pollfds(resolve, (struct pollfd[1]){{0}}, 1), 0);
	resolve_free(resolve);
}

static void configure(const char *text)
{
	assert_true(netns_write("/etc/resolv.conf", text));
}

static int keep(int fd)
{
	kept++;
	return real.fd_keep(fd);
}

static void drop(int fd)
{
	dropped++;
	real.fd_drop(fd);
}

static int setup(void **state)
{
	(void)state;
	*unit_host() = real;
	unit_host()->fd_keep = keep;
	unit_host()->fd_drop = drop;
	kept = dropped = 0;
	configure(DNSMASQ);
	return 0;
}

/* Every socket goes through the host, and back. */
static int teardown(void **state)
{
	(void)state;
	*unit_host() = real;
	return kept != dropped;
}

/* --- what names are ---------------------------------------------------------------------------- */

static void test_answers(void **state)
{
	(void)state;
	expect("both.test", AF_UNSPEC, "2001:db8::1", "192.0.2.1", 0);
	expect("BOTH.Test", AF_UNSPEC, "2001:db8::1", "192.0.2.1", 0);
	expect("both.test.", AF_UNSPEC, "2001:db8::1", "192.0.2.1", 0);
	expect("both.test", AF_INET, "192.0.2.1", NULL, 0);
	expect("both.test", AF_INET6, "2001:db8::1", NULL, 0);
	expect("four.test", AF_UNSPEC, "192.0.2.4", NULL, 0);
	expect("six.test", AF_UNSPEC, "2001:db8::6", NULL, 0);
	expect("alias.test", AF_UNSPEC, "2001:db8::1", "192.0.2.1", 0);
	expect("alias2.test", AF_INET, "192.0.2.1", NULL, 0);
	assert_true(kept >= 9);
}

static void test_negative(void **state)
{
	char longest[512];

	(void)state;
	expect("nowhere.test", AF_UNSPEC, NULL, NULL, EAI_NONAME);
	expect("nowhere.test", AF_INET6, NULL, NULL, EAI_NONAME);
	expect("text.test", AF_UNSPEC, NULL, NULL, EAI_NODATA);
	expect("four.test", AF_INET6, NULL, NULL, EAI_NODATA);
	expect("", AF_UNSPEC, NULL, NULL, EAI_NONAME);
	expect(".", AF_UNSPEC, NULL, NULL, EAI_AGAIN); /* dnsmasq refuses what is not its own */
	expect("a..test", AF_UNSPEC, NULL, NULL, EAI_NONAME);
	memset(longest, 'a', sizeof(longest));
	longest[64] = '\0';
	expect(longest, AF_UNSPEC, NULL, NULL, EAI_NONAME);
	longest[64] = 'a';
	longest[511] = '\0';
	expect(longest, AF_UNSPEC, NULL, NULL, EAI_NONAME);
}

static void test_numeric(void **state)
{
	(void)state;
	expect("192.0.2.9", AF_UNSPEC, "192.0.2.9", NULL, 0);
	expect("192.0.2.9", AF_INET6, NULL, NULL, EAI_ADDRFAMILY);
	expect("2001:db8::9", AF_INET6, "2001:db8::9", NULL, 0);
	expect("2001:db8::9", AF_INET, NULL, NULL, EAI_ADDRFAMILY);
	assert_int_equal(kept, 0);
}

static void test_hosts(void **state)
{
	(void)state;
	configure(SCRIPTED);
	expect("hosted.test", AF_UNSPEC, "192.0.2.77", "2001:db8::77", 0);
	expect("hosted", AF_UNSPEC, "192.0.2.77", NULL, 0);
	expect("hosted.test", AF_INET6, "2001:db8::77", NULL, 0);
	/* In the file with one family: the other is not asked for. */
	expect("silent.test", AF_UNSPEC, "192.0.2.78", NULL, 0);
	assert_int_equal(kept, 0);
}

static void test_special(void **state)
{
	(void)state;
	expect("localhost", AF_UNSPEC, "127.0.0.1", "::1", 0);
	expect("localhost", AF_INET, "127.0.0.1", NULL, 0);
	expect("a.localhost.", AF_UNSPEC, "127.0.0.1", "::1", 0);
	expect("facebookcorewwwi.onion", AF_UNSPEC, NULL, NULL, EAI_NONAME);
	assert_int_equal(kept, 0);
	expect("notlocalhost", AF_UNSPEC, NULL, NULL, EAI_AGAIN);
	assert_true(kept > 0);
}

static int streams;

static int count_streams(int domain, int type, int protocol)
{
	streams += (type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) == SOCK_STREAM;
	return real.socket(domain, type, protocol);
}

/* An answer too long for a datagram comes over TCP. */
static void test_truncated(void **state)
{
	struct resolve *resolve;
	size_t n;

	(void)state;
	streams = 0;
	unit_host()->socket = count_streams;
	resolve = begin("many.test", AF_INET);
	assert_true(drive(resolve, complete, 5000) >= 0);
	assert_int_equal(resolve_error(resolve), 0);
	resolve_addrs(resolve, &n);
	assert_int_equal(n, RESOLVE_ADDRS_MAX / 2);
	assert_int_equal(streams, 1);
	resolve_free(resolve);
}

static void test_search(void **state)
{
	(void)state;
	configure(SCRIPTED "search one.test two.test\n");
	/* The first domain has it, with one family: the second must not be mixed in. */
	expect("host", AF_UNSPEC, "192.0.2.1", NULL, 0);
	expect("host", AF_INET6, "2001:db8::2", NULL, 0);
	expect("other", AF_UNSPEC, "2001:db8::3", "192.0.2.3", 0);
	expect("plain", AF_INET6, "2001:db8::6", NULL, 0);
	expect("plain.", AF_INET6, "2001:db8::6", NULL, 0);
	expect("other.", AF_UNSPEC, NULL, NULL, EAI_NONAME);
	expect("nothing", AF_UNSPEC, NULL, NULL, EAI_NONAME);
	/* A domain whose server is broken: the others are tried, but the name may exist. */
	expect("stuck", AF_UNSPEC, NULL, NULL, EAI_AGAIN);
	expect("jumpy", AF_UNSPEC, "2001:db8::7", NULL, 0);
	expect("dotted.name", AF_INET6, "2001:db8::4", NULL, 0);
	configure(SCRIPTED "search one.test two.test\noptions ndots:2\n");
	expect("dotted.name", AF_INET6, "2001:db8::5", NULL, 0);
}

/* --- when answers come ------------------------------------------------------------------------- */

static void test_late_a(void **state)
{
	struct resolve *resolve;
	int took;

	(void)state;
	configure(SCRIPTED);
	assert_int_equal(resolve_new(&resolve, "late4.test", AF_UNSPEC, 443, 3 * NS_PER_S, now_ns()), 0);
	assert_false(resolve_usable(resolve, now_ns()));
	/* The preferred family is there: the race may start at once. */
	took = drive(resolve, usable, 2000);
	assert_in_range(took, 0, 700);
	assert_false(resolve_complete(resolve));
	assert_string_equal(answers(resolve), "2001:db8::1");
	took = drive(resolve, complete, 2000);
	assert_in_range(took, 100, 1600);
	assert_string_equal(answers(resolve), "2001:db8::1 192.0.2.1");
	resolve_free(resolve);
}

static void test_late_aaaa(void **state)
{
	struct resolve *resolve;
	int took;

	(void)state;
	configure(SCRIPTED);
	resolve = begin("late6.test", AF_UNSPEC);
	took = drive(resolve, usable, 2000);
	assert_in_range(took, RESOLVE_DELAY_MS - 1, 700);
	assert_string_equal(answers(resolve), "192.0.2.1");
	assert_true(drive(resolve, complete, 2000) > 0);
	assert_string_equal(answers(resolve), "192.0.2.1 2001:db8::1");
	resolve_free(resolve);
}

/* AAAA comes within the resolution delay: the race starts with both. */
static void test_soon_aaaa(void **state)
{
	struct resolve *resolve;

	(void)state;
	configure(SCRIPTED);
	assert_int_equal(resolve_new(&resolve, "soon6.test", AF_UNSPEC, 443, 500 * NS_PER_MS, now_ns()), 0);
	assert_in_range(drive(resolve, usable, 2000), 20, 400);
	assert_string_equal(answers(resolve), "192.0.2.1 2001:db8::1");
	assert_true(resolve_complete(resolve));
	resolve_free(resolve);
}

/* The delay is counted from the first address, in the time that is handed in. */
static void test_resolution_delay(void **state)
{
	struct resolve *resolve;
	int64_t asked, first;

	(void)state;
	configure(SCRIPTED);
	asked = now_ns();
	assert_int_equal(resolve_new(&resolve, "never6.test", AF_UNSPEC, 443, 3 * NS_PER_S, asked), 0);
	assert_int_equal(drive(resolve, usable, 300), -1);
	assert_string_equal(answers(resolve), "192.0.2.1");
	assert_false(resolve_usable(resolve, asked + 3 * NS_PER_S));
	for (first = asked; !resolve_usable(resolve, first + 3 * NS_PER_S); first += NS_PER_MS)
		assert_true(first < asked + 250 * NS_PER_MS);
	/* No answer is made up for the other family: it is still awaited. */
	assert_false(resolve_complete(resolve));
	assert_true(resolve_deadline(resolve) < asked + 10 * NS_PER_S);
	resolve_free(resolve);
}

/* A negative answer for AAAA is an answer, whatever its kind. */
static void test_failed_family(void **state)
{
	static const char *const names[] = {"broken6.test", "nxdomain6.test"};

	(void)state;
	configure(SCRIPTED);
	for (int i = 0; i < 2; i++) {
		struct resolve *resolve;

		assert_int_equal(resolve_new(&resolve, names[i], AF_UNSPEC, 443, 3 * NS_PER_S, now_ns()), 0);
		assert_in_range(drive(resolve, usable, 2500), 50, 1500);
		assert_string_equal(answers(resolve), "192.0.2.1");
		assert_int_equal(resolve_error(resolve), 0);
		resolve_free(resolve);
	}
}

static void test_errors(void **state)
{
	(void)state;
	configure(SCRIPTED);
	expect("broken.test", AF_UNSPEC, NULL, NULL, EAI_AGAIN);
	expect("refused.test", AF_UNSPEC, NULL, NULL, EAI_AGAIN);
	expect("half.test", AF_UNSPEC, NULL, NULL, EAI_AGAIN);
	/* Nobody listens there: told at once by the kernel. */
	configure("nameserver 127.0.0.3\n");
	expect("both.test", AF_UNSPEC, NULL, NULL, EAI_AGAIN);
	/* The second server is asked when the first is not there. */
	configure("nameserver 127.0.0.3\n" DNSMASQ);
	expect("both.test", AF_UNSPEC, "2001:db8::1", "192.0.2.1", 0);
}

static void test_lost_packet(void **state)
{
	struct resolve *resolve;

	(void)state;
	configure(SCRIPTED);
	resolve = begin("lost.test", AF_UNSPEC);
	assert_in_range(drive(resolve, complete, 5000), 900, 2500);
	assert_true(has_answer(resolve, "2001:db8::1") && has_answer(resolve, "192.0.2.1"));
	resolve_free(resolve);
}

static void test_noise(void **state)
{
	(void)state;
	configure(SCRIPTED);
	expect("noisy.test", AF_UNSPEC, "2001:db8::1", "192.0.2.1", 0);
}

/* Nobody answers: over after 10 s, here in the time that is handed in. */
static void test_time_limit(void **state)
{
	struct resolve *resolve;
	int64_t asked = now_ns();

	(void)state;
	configure(SCRIPTED);
	resolve = begin("still.silent.test", AF_UNSPEC);
	resolve_free(resolve);
	configure(SCRIPTED "search silent.test\n");
	assert_int_equal(resolve_new(&resolve, "never6.test", AF_UNSPEC, 443, DELAY, asked), 0);
	assert_int_equal(drive(resolve, complete, 200), -1);
	resolve_step(resolve, NULL, 0, asked + 9 * NS_PER_S);
	assert_false(resolve_complete(resolve));
	resolve_step(resolve, NULL, 0, asked + 10 * NS_PER_S);
	assert_true(resolve_complete(resolve));
	assert_string_equal(answers(resolve), "192.0.2.1");
	assert_int_equal(resolve_error(resolve), 0);
	resolve_free(resolve);
	assert_int_equal(resolve_new(&resolve, "never4.test", AF_INET, 443, DELAY, asked), 0);
	resolve_step(resolve, NULL, 0, asked + 10 * NS_PER_S);
	assert_true(resolve_complete(resolve));
	assert_int_equal(resolve_error(resolve), EAI_AGAIN);
	resolve_free(resolve);
}

/* Given up with answers under way: nothing is left behind. */
static void test_given_up(void **state)
{
	(void)state;
	configure(SCRIPTED);
	for (int i = 0; i < 5; i++) {
		struct resolve *resolve = begin("late6.test", AF_UNSPEC);

		drive(resolve, complete, 10 * i);
		resolve_free(resolve);
	}
	resolve_free(NULL);
	assert_true(kept >= 5);
	assert_int_equal(kept, dropped);
}

/* --- when the system gives nothing ------------------------------------------------------------- */

static int no_socket(int domain, int type, int protocol)
{
	(void)domain;
	(void)type;
	(void)protocol;
	errno = EMFILE;
	return -1;
}

static int no_keep(int fd)
{
	real.fd_drop(fd);
	return -EMFILE;
}

static ssize_t no_send(int fd, const struct msghdr *message, int flags)
{
	(void)fd;
	(void)message;
	(void)flags;
	errno = ENETUNREACH;
	return -1;
}

static void test_no_sockets(void **state)
{
	(void)state;
	unit_host()->socket = no_socket;
	expect("both.test", AF_UNSPEC, NULL, NULL, EAI_AGAIN);
	unit_host()->socket = real.socket;
	unit_host()->fd_keep = no_keep;
	expect("both.test", AF_UNSPEC, NULL, NULL, EAI_AGAIN);
	unit_host()->fd_keep = keep;
	unit_host()->sendmsg = no_send;
	expect("both.test", AF_UNSPEC, NULL, NULL, EAI_AGAIN);
}

static long budget, live;

static bool spend(void)
{
	return budget-- == 1;
}

static void *count_malloc(size_t size)
{
	void *p = spend() ? NULL : malloc(size);

	live += p != NULL;
	return p;
}

static void *count_calloc(size_t n, size_t size)
{
	void *p = spend() ? NULL : calloc(n, size);

	live += p != NULL;
	return p;
}

static void *count_realloc(void *old, size_t size)
{
	void *p = spend() ? NULL : realloc(old, size);

	live += p && !old;
	return p;
}

static void count_free(void *p)
{
	live -= p != NULL;
	free(p);
}

/* Resolves while the n-th allocation fails.  Returns whether there were that many. */
static bool starve(const char *name, long n)
{
	struct resolve *resolve = NULL;
	int r;

	budget = n;
	r = resolve_new(&resolve, name, AF_UNSPEC, 443, DELAY, now_ns());
	if (r == 0) {
		/* A packet that memory was short for is as one that was lost: go on to the limit. */
		if (drive(resolve, complete, 100) < 0 && (budget <= 0 || drive(resolve, complete, 5000) < 0))
			resolve_step(resolve, NULL, 0, now_ns() + 10 * NS_PER_S);
		assert_true(resolve_complete(resolve));
		if (!*answers(resolve))
			assert_int_not_equal(resolve_error(resolve), 0);
		if (budget > 0)
			assert_true(*answers(resolve));
		resolve_free(resolve);
	} else {
		assert_int_equal(r, -ENOMEM);
		assert_null(resolve);
	}
	return budget <= 0;
}

/* Each allocation fails in turn, the library's and our own: an error or fewer answers, and nothing lost. */
static void test_memory_short(void **state)
{
	static const char *const names[] = {"both.test", "alias2.test", "many.test", "hosted.test"};

	(void)state;
	unit_host()->calloc = count_calloc;
	unit_host()->free = count_free;
	assert_int_equal(ares_library_init_mem(0, count_malloc, count_free, count_realloc), 0);
	configure(DNSMASQ "search test\n");
	for (int i = 0; i < 4; i++) {
		long n = 1;

		live = 0;
		while (starve(names[i], n)) {
			if (live)
				fail_msg("%s: %ld left after failure %ld", names[i], live, n);
			n++;
		}
		assert_in_range(n, 15, 2000);
	}
	ares_library_init_mem(0, malloc, free, realloc);
}

static int stop_servers(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++)
		if (servers[i] > 0) {
			kill(servers[i], SIGKILL);
			waitpid(servers[i], NULL, 0);
		}
	return 0;
}

static int start_servers(void **state)
{
	(void)state;
	servers[0] = start_dnsmasq();
	servers[1] = start_scripted();
	return servers[0] > 0 && servers[1] > 0 && dnsmasq_answers() ? 0 : -1;
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(test_answers),
		CASE(test_negative),
		CASE(test_numeric),
		CASE(test_hosts),
		CASE(test_special),
		CASE(test_truncated),
		CASE(test_search),
		CASE(test_late_a),
		CASE(test_late_aaaa),
		CASE(test_soon_aaaa),
		CASE(test_resolution_delay),
		CASE(test_failed_family),
		CASE(test_errors),
		CASE(test_lost_packet),
		CASE(test_noise),
		CASE(test_time_limit),
		CASE(test_given_up),
		CASE(test_no_sockets),
		CASE(test_memory_short),
	};

	if (!netns_enter())
		return 77;
	if (system("command -v dnsmasq >/dev/null") != 0) {
		printf("dnsmasq is not installed\n");
		return 77;
	}
	if (!netns_replace_file("/etc/resolv.conf", DNSMASQ) || !netns_replace_file("/etc/hosts", HOSTS))
		return 1;
	unsetenv("LOCALDOMAIN");
	unsetenv("RES_OPTIONS");
	real = *unit_host();
	return cmocka_run_group_tests_name("resolve", tests, start_servers, stop_servers);
}
