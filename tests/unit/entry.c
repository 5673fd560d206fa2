/* The core by its one door, while memory or system calls fail at each point in turn.  Whatever fails, a call
 * ends in an error that it may have, or is left to the kernel; nothing crashes, hangs or is left open. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conf/arena.h"
#include "tests/unit/confdir.h"
#include "tests/unit/dns.h"
#include "tests/unit/host.h"
#include "tests/unit/racing.h"

/* ares.h is the resolver's alone (ares_library_init_mem(3)); the leak checker may not be there. */
int ares_library_init_mem(int flags, void *(*amalloc)(size_t), void (*afree)(void *),
			  void *(*arealloc)(void *, size_t));
__attribute__((weak)) void __lsan_do_leak_check(void);

#define TURNS_MAX 400
#define TURNS_AT_ONCE 8
#define CONFIGURATION \
	"hosts = ( { name = \"near.test\"; address = [\"" REFUSED6 "\", \"" GOOD4 "\"]; }," \
	"          { name = \"far.test\"; address = [\"" DEAD6 "\", \"" GOOD4 "\"]; }," \
	"          { name = \"four.test\"; address = [\"" REFUSED4 "\", \"" GOOD6 "\"]; } );" \
	"race = { attemptDelay = 10; resolutionDelay = 10; };" \
	"rules = (" \
	"  { match = { port = 7001; }; remote = { host = \"" GOOD4 "\"; port = 7000; }; }," \
	"  { match = { port = 7002; }; remote = { host = \"late.test\"; port = 7000; }; } );"

static const struct taps_core *core;
static struct taps_host real;
static pid_t server;
static void *dir;

/* --- what fails ------------------------------------------------------------------------------------ */

enum kind { MEMORY, CALLS, KINDS };

static _Atomic int left[KINDS]; /* 0: nothing fails; else this many more calls, the last of which fails */

static bool due(enum kind kind)
{
	int now = atomic_load(&left[kind]);

	while (now > 0 && !atomic_compare_exchange_weak(&left[kind], &now, now - 1))
		;
	return now == 1;
}

static bool fails(int error)
{
	if (!due(CALLS))
		return false;
	errno = error;
	return true;
}

static void *failing_malloc(size_t size)
{
	return due(MEMORY) ? NULL : real.malloc(size);
}

static void *failing_calloc(size_t n, size_t size)
{
	return due(MEMORY) ? NULL : real.calloc(n, size);
}

static void *failing_realloc(void *old, size_t size)
{
	return due(MEMORY) ? NULL : real.realloc(old, size);
}

static int failing_socket(int domain, int type, int protocol)
{
	return fails(EMFILE) ? -1 : real.socket(domain, type, protocol);
}

static int failing_socketpair(int domain, int type, int protocol, int fds[2])
{
	return fails(ENFILE) ? -1 : real.socketpair(domain, type, protocol, fds);
}

static int failing_connect(int fd, const struct sockaddr *addr, socklen_t len)
{
	return fails(ENOBUFS) ? -1 : real.connect(fd, addr, len);
}

static int failing_dup3(int from, int to, int flags)
{
	return fails(EBUSY) ? -1 : real.dup3(from, to, flags);
}

static int failing_fcntl(int fd, int command, ...)
{
	va_list args;
	void *arg;

	va_start(args, command);
	arg = va_arg(args, void *);
	va_end(args);
	return command == F_DUPFD_CLOEXEC && fails(EMFILE) ? -1 : real.fcntl(fd, command, arg);
}

static int failing_getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
	return fails(ENOBUFS) ? -1 : real.getsockopt(fd, level, name, value, len);
}

static int failing_setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	return fails(ENOMEM) ? -1 : real.setsockopt(fd, level, name, value, len);
}

static ssize_t failing_send(int fd, const void *data, size_t len, int flags)
{
	return fails(ENOBUFS) ? -1 : real.send(fd, data, len, flags);
}

static int failing_poll(struct pollfd *fds, nfds_t n, int timeout)
{
	return fails(ENOMEM) ? -1 : real.poll(fds, n, timeout);
}

static int failing_ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask)
{
	return fails(ENOMEM) ? -1 : real.ppoll(fds, n, timeout, mask);
}

static void let_fail(struct taps_host *host)
{
	real = *host;
	host->malloc = failing_malloc;
	host->calloc = failing_calloc;
	host->realloc = failing_realloc;
	host->socket = failing_socket;
	host->socketpair = failing_socketpair;
	host->connect = failing_connect;
	host->dup3 = failing_dup3;
	host->fcntl = failing_fcntl;
	host->getsockopt = failing_getsockopt;
	host->setsockopt = failing_setsockopt;
	host->send = failing_send;
	host->poll = failing_poll;
	host->ppoll = failing_ppoll;
}

/* --- one turn, in a process of its own ------------------------------------------------------------- */

static enum kind kind_now;
static int turn_now;

static void begin_failing(void)
{
	atomic_store(&left[kind_now], turn_now);
}

/* Returns whether the turn's failure is still to come: all turns are through. */
static bool end_failing(void)
{
	return atomic_exchange(&left[kind_now], 0) > 0;
}

#define CHECK(condition) \
	do { \
		if (!(condition)) { \
			fprintf(stderr, "%s: %s\n", __func__, #condition); \
			_exit(2); \
		} \
	} while (0)

static bool is_clean(int error)
{
	static const int clean[] = {ENOMEM,    EMFILE,       ENFILE, ENOBUFS, ECONNREFUSED, ENETUNREACH,
				    ETIMEDOUT, ECONNABORTED, EBUSY,  EINVAL,  EADDRNOTAVAIL};
	size_t i;

	for (i = 0; i < sizeof(clean) / sizeof(clean[0]); i++)
		if (error == clean[i])
			return true;
	fprintf(stderr, "unexpected: %s\n", strerrorname_np(error));
	return false;
}

static bool is_good_peer(int fd)
{
	const char *peer = racing_peer(fd);

	return strcmp(peer, "::ffff:" GOOD4) == 0 || strcmp(peer, GOOD4) == 0 || strcmp(peer, GOOD6) == 0;
}

static bool is_dead; /* the address that the application passed never answers */

/* What SO_ERROR would say, and whether it says it once. */
static void check_failed(struct taps_slot *slot)
{
	CHECK(is_clean(core->take_error(slot)));
	CHECK(core->take_error(slot) == 0);
}

/* A race that goes on ends, one way or the other; until then nothing is ready. */
static void check_in_progress(struct taps_slot *slot)
{
	int fd = slots_fd(slot), error = 0;
	socklen_t len = sizeof(error);
	int64_t end = now_ns() + (is_dead ? 300 * NS_PER_MS : 5 * NS_PER_S);

	while ((atomic_load(&slot->flags) & SLOT_CONNECTING) && now_ns() < end)
		usleep(500);
	if (is_dead && (atomic_load(&slot->flags) & SLOT_CONNECTING)) {
		/* Where no other candidate could be tried that one is waited for, as bare. */
		CHECK(racing_poll(fd) == 0);
		return;
	}
	CHECK(!(atomic_load(&slot->flags) & SLOT_CONNECTING));
	if (atomic_load(&slot->flags) & SLOT_FAILED) {
		check_failed(slot);
		return;
	}
	/* To a dead address the application's own attempt may be all that is left. */
	if (poll(&(struct pollfd){fd, POLLOUT, 0}, 1, 100) != 1)
		return;
	CHECK(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0);
	CHECK(error ? is_clean(error) : is_good_peer(fd));
}

/* A call that is left to the kernel finds the socket as if nothing had been. */
static void check_passed(struct taps_slot *slot, const struct taps_addr *addr)
{
	int fd = slots_fd(slot);

	CHECK(!(atomic_load(&slot->flags) & (SLOT_SPECIAL | SLOT_BUSY)));
	fcntl(fd, F_SETFL, O_NONBLOCK);
	CHECK(connect(fd, &addr->sa, addr_len(addr)) == 0 || errno == EINPROGRESS || errno == ECONNREFUSED);
}

/* connect(2) as the shim makes it. */
static void connect_once(struct taps_slot *slot, const char *address, uint16_t port)
{
	struct taps_addr addr = racing_addr(address, port);
	struct taps_connect_call call = {slot, slots_fd(slot), &addr.sa, addr_len(&addr)};
	int result;

	taps_host->slot_ref(slot);
	begin_failing();
	result = core->connect(&call);
	if (result == 0)
		CHECK(is_good_peer(slots_fd(slot)));
	else if (result == -EINPROGRESS)
		check_in_progress(slot);
	else if (result == TAPS_PASS)
		CHECK(port == PORT && (check_passed(slot, &addr), true));
	else
		CHECK(is_clean(-result));
	taps_host->slot_unref(slot);
	slots_close(slot);
}

static void look_up(const char *name)
{
	struct addrinfo *list;

	CHECK(core->getaddrinfo(name, "7000", NULL, &list) == 0);
	freeaddrinfo(list);
}

/* With a time limit, so that it ends where no other candidate could be tried. */
static void blocking(void)
{
	struct taps_slot *slot = slots_socket(AF_INET6, SOCK_STREAM);
	struct timeval limit = {.tv_usec = 300000};

	is_dead = true;
	CHECK(setsockopt(slots_fd(slot), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) == 0);
	look_up("far.test");
	connect_once(slot, DEAD6, PORT);
}

static void blocking_near(void)
{
	look_up("near.test");
	connect_once(slots_socket(AF_INET6, SOCK_STREAM), REFUSED6, PORT);
}

static void behind(void)
{
	is_dead = true;
	look_up("far.test");
	connect_once(slots_socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK), DEAD6, PORT);
}

static void behind_unwatched(void)
{
	slots_watched = false;
	look_up("near.test");
	connect_once(slots_socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK), REFUSED6, PORT);
}

static void disguised(void)
{
	look_up("four.test");
	connect_once(slots_socket(AF_INET, SOCK_STREAM), REFUSED4, PORT);
}

static void disguised_behind(void)
{
	look_up("four.test");
	connect_once(slots_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK), REFUSED4, PORT);
}

/* What the policy sends elsewhere never goes where it was not to go, whatever fails. */
static void rewritten(void)
{
	connect_once(slots_socket(AF_INET, SOCK_STREAM), REFUSED4, 7001);
}

static void rewritten_behind(void)
{
	connect_once(slots_socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK), REFUSED6, 7001);
}

static void rewritten_datagram(void)
{
	connect_once(slots_socket(AF_INET, SOCK_DGRAM), REFUSED4, 7001);
}

static void resolved(void)
{
	connect_once(slots_socket(AF_INET, SOCK_STREAM), REFUSED4, 7002);
}

static void resolved_behind(void)
{
	connect_once(slots_socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK), REFUSED6, 7002);
}

static void resolved_datagram(void)
{
	connect_once(slots_socket(AF_INET, SOCK_DGRAM), REFUSED4, 7002);
}

/* Given back while it races, as before an exec. */
static void restored(void)
{
	struct taps_slot *slot = slots_socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK);
	struct taps_addr addr = racing_addr(DEAD6, PORT);
	struct taps_connect_call call = {slot, slots_fd(slot), &addr.sa, addr_len(&addr)};
	int result;

	look_up("far.test");
	begin_failing();
	result = core->connect(&call);
	if (result == -EINPROGRESS)
		core->restore(slot);
	CHECK(!(atomic_load(&slot->flags) & (SLOT_CONNECTING | SLOT_FAILED)));
	slots_close(slot);
}

static void by_hosts(void)
{
	struct addrinfo hints = {.ai_flags = AI_CANONNAME}, *list = NULL, *at;
	int result, n = 0;

	begin_failing();
	result = core->getaddrinfo("near.test", "7000", &hints, &list);
	CHECK(result == 0 || result == EAI_MEMORY);
	if (result != 0)
		return;
	for (at = list; at; at = at->ai_next)
		n++;
	CHECK(n == 6);
	CHECK(strcmp(list->ai_canonname, "near.test") == 0);
	freeaddrinfo(list);
}

static void by_hosts_host(void)
{
	struct in_addr addrs[4];
	int n;

	begin_failing();
	n = core->hostaddrs("near.test", AF_INET, addrs, 4);
	CHECK(n == 1);
	n = core->hostaddrs("none.test", AF_INET, addrs, 4);
	CHECK(n == TAPS_PASS);
}

/* The configuration itself, read once more. */
static void opened_again(void)
{
	struct taps_addr addr = racing_addr(GOOD6, PORT);
	struct taps_slot *slot = slots_socket(AF_INET6, SOCK_STREAM);
	struct taps_connect_call call = {slot, slots_fd(slot), &addr.sa, addr_len(&addr)};
	const struct taps_core *again;
	int result;

	begin_failing();
	again = taps_core_open(taps_host);
	if (again) {
		result = again->connect(&call);
		CHECK(result == TAPS_PASS || result == -ECONNABORTED);
	}
	slots_close(slot);
}

/* Nothing is left but the loop's own. */
static void check_nothing_left(unsigned fds, unsigned kept)
{
	int64_t end = now_ns() + 2 * NS_PER_S;

	while (now_ns() < end && (slots_kept() > kept + 1 || slots_live() || racing_fds() > fds))
		usleep(500);
	handle_reap();
	CHECK(slots_kept() <= kept + 1);
	CHECK(slots_live() == 0);
	CHECK(racing_fds() == fds);
}

static void one_turn(void (*scenario)(void))
{
	unsigned fds = racing_fds(), kept = slots_kept();
	bool through;

	signal(SIGSEGV, SIG_DFL);
	signal(SIGBUS, SIG_DFL);
	signal(SIGFPE, SIG_DFL);
	signal(SIGILL, SIG_DFL);
	alarm(15);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	scenario();
	through = end_failing();
	if (scenario == opened_again)
		_exit(through ? 10 : 0);
	check_nothing_left(fds, kept);
	if (__lsan_do_leak_check)
		__lsan_do_leak_check();
	_exit(through ? 10 : 0);
}

static bool is_through(pid_t child, int turn)
{
	int status;

	assert_int_equal(waitpid(child, &status, 0), child);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 10)
		return true;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		fail_msg("failure %d: status %x", turn, status);
	return false;
}

/* Until the failure comes later than the end.  Several at once: most of the time they wait. */
static void run_turns(enum kind kind, void (*scenario)(void))
{
	pid_t children[TURNS_AT_ONCE];
	bool through = false;
	int first, i;

	kind_now = kind;
	for (first = 1; !through; first += TURNS_AT_ONCE) {
		assert_in_range(first, 1, TURNS_MAX);
		for (i = 0; i < TURNS_AT_ONCE; i++) {
			turn_now = first + i;
			children[i] = fork();
			assert_true(children[i] >= 0);
			if (children[i] == 0)
				one_turn(scenario);
		}
		for (i = 0; i < TURNS_AT_ONCE; i++)
			through |= is_through(children[i], first + i);
	}
	printf("at most %d turns\n", turn_now);
}

static void test_memory(void **state)
{
	void (*const *scenario)(void) = *state;

	run_turns(MEMORY, *scenario);
}

static void test_calls(void **state)
{
	void (*const *scenario)(void) = *state;

	run_turns(CALLS, *scenario);
}

/* Written by every process above. */
static void test_trace(void **state)
{
	char command[256];

	(void)state;
	snprintf(command, sizeof(command),
		 "timeout 60 python3 -c 'import json, sys; json.load(open(sys.argv[1]))' %s",
		 getenv("TAPS_TRACE"));
	assert_int_equal(system(command), 0);
}

/* --- the world ------------------------------------------------------------------------------------- */

static struct dns_line script[] = {
	{.name = "late.test", .type = TYPE_AAAA, .addr = GOOD6, .delay_ms = 20},
	{.name = "late.test", .type = TYPE_A, .addr = GOOD4},
};

static int prepare(void **state)
{
	struct taps_host *host;

	if (racing_network(state) != 0 || confdir_setup(&dir) != 0)
		return -1;
	setenv("TAPS_CONFIG", confdir_write(dir, "core.conf", CONFIGURATION), 1);
	setenv("TAPS_OPTIONS", "race.maxInFlight=6\nrace.firstFamilyCount=1", 1);
	setenv("TAPS_TRACE", confdir_path(dir, "trace.json"), 1);
	setenv("HOME", "/nonexistent", 1);
	unsetenv("XDG_CONFIG_HOME");
	slots_install();
	host = unit_host();
	let_fail(host);
	arena_source = failing_malloc;
	if (ares_library_init_mem(0, failing_malloc, free, failing_realloc) != 0)
		return -1;
	racing_listen(GOOD4);
	racing_listen(GOOD6);
	core = taps_core_open(host);
	if (!core)
		return -1;
	server = racing_names(script, sizeof(script) / sizeof(script[0]));
	return server > 0 ? 0 : -1;
}

static int finish(void **state)
{
	(void)state;
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
	return confdir_teardown(&dir);
}

#define BOTH(scenario) \
	{#scenario " memory", test_memory, NULL, NULL, &(void (*)(void)){scenario}}, \
	{ \
		#scenario " calls", test_calls, NULL, NULL, &(void (*)(void)){scenario} \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(blocking),
		BOTH(blocking_near),
		BOTH(behind),
		BOTH(behind_unwatched),
		BOTH(disguised),
		BOTH(disguised_behind),
		BOTH(rewritten),
		BOTH(rewritten_behind),
		BOTH(rewritten_datagram),
		BOTH(resolved),
		BOTH(resolved_behind),
		BOTH(resolved_datagram),
		BOTH(restored),
		BOTH(by_hosts),
		BOTH(by_hosts_host),
		BOTH(opened_again),
		cmocka_unit_test(test_trace),
	};

	return cmocka_run_group_tests_name("entry", tests, prepare, finish);
}
