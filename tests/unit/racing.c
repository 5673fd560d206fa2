/* The network: every address is this host's own or lies behind a cable whose other end drops what it gets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/racing.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "core/handle.h"
#include "core/lookup.h"
#include "core/names.h"
#include "tests/unit/dns.h"
#include "tests/unit/host.h"
#include "tests/unit/netns.h"

#define BEHIND "lladdr 02:00:00:00:00:99 nud permanent dev d0"

static const char *const commands[] = {
	"link add d0 type veth peer name d1",
	"link set d1 up",
	"link set d0 up",
	"addr add 192.0.2.1/24 dev d0",
	"addr add 198.51.100.1/24 dev d0",
	"addr add 2001:db8::1/64 dev d0 nodad",
	"addr add 2001:db8:1::1/64 dev d0 nodad",
	"addr add " GOOD4 "/32 dev lo",
	"addr add " REFUSED4 "/32 dev lo",
	"addr add " GOOD6 "/128 dev lo nodad",
	"addr add " REFUSED6 "/128 dev lo nodad",
	"neigh add " DEAD4 " " BEHIND,
	"neigh add " OTHER_DEAD4 " " BEHIND,
	"neigh add " DEAD6 " " BEHIND,
};

int racing_network(void **state)
{
	char line[256];
	size_t i;

	(void)state;
	if (!netns_enter())
		return -1;
	netns_write("/proc/sys/net/ipv4/tcp_no_metrics_save", "1");
	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		snprintf(line, sizeof(line), "PATH=$PATH:/usr/sbin:/sbin ip %s", commands[i]);
		if (system(line) != 0)
			return -1;
	}
	return 0;
}

pid_t racing_names(struct dns_line *script, size_t n)
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(53)};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	pid_t server;

	inet_pton(AF_INET, "127.0.0.2", &addr.sin_addr);
	if (!netns_replace_file("/etc/resolv.conf", "nameserver 127.0.0.2\noptions timeout:1\n") ||
	    !netns_replace_file("/etc/hosts", "127.0.0.1 localhost\n") || fd < 0 ||
	    bind(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0)
		return -1;
	server = fork();
	if (server == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dns_serve(fd, script, n);
	}
	close(fd);
	return server;
}

struct taps_addr racing_addr(const char *text, uint16_t port)
{
	struct taps_addr addr;

	assert_int_equal(addr_parse(&addr, text, port), 0);
	return addr;
}

int racing_listen(const char *address)
{
	struct taps_addr addr = racing_addr(address, PORT);
	int fd = socket(addr_family(&addr), SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	assert_int_equal(bind(fd, &addr.sa, addr_len(&addr)), 0);
	assert_int_equal(listen(fd, 512), 0);
	return fd;
}

struct names_entry racing_answer(const char *name, ...)
{
	struct names_entry entry = {.family = AF_UNSPEC};
	const char *text;
	va_list args;

	snprintf(entry.name, sizeof(entry.name), "%s", name);
	va_start(args, name);
	while ((text = va_arg(args, const char *)))
		entry.addrs[entry.n++] = racing_addr(text, 0);
	va_end(args);
	return entry;
}

/* As the core's door does (core/entry.c). */
struct conn *racing_conn(struct taps_slot *slot, struct conf *conf, const char *passed,
			 const struct names_entry *entry)
{
	static const char thread;
	struct taps_addr addr = racing_addr(passed, PORT);
	struct policy_query query = {entry ? entry->name : NULL, &addr, slot->type, POLICY_INITIATE};
	struct taps_connect_call call = {slot, slots_fd(slot), &addr.sa, addr_len(&addr)};
	struct conf *own = conf ? conf_ref(conf) : conf_default();
	struct policy policy;
	struct conn *conn;

	assert_non_null(own);
	conf_policy(own, &query, &policy);
	conn = conn_new(&call, own, &policy, entry);
	conf_unref(own);
	if (!conn)
		return NULL;
	conn->thread = &thread;
	if (lookup_candidates(conn, entry, now_ns()) >= 0)
		return conn;
	conn_unref(conn);
	return NULL;
}

bool racing_wait(const struct taps_slot *slot, uint32_t flags, int ms)
{
	int64_t end = now_ns() + ms * NS_PER_MS;

	for (;;) {
		uint32_t now = atomic_load(&slot->flags);

		if (flags ? (now & flags) != 0 : !(now & SLOT_SPECIAL))
			return true;
		if (now_ns() > end)
			return false;
		usleep(1000);
	}
}

short racing_poll(int fd)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN | POLLOUT | POLLRDHUP};

	assert_true(poll(&pfd, 1, 0) >= 0);
	return pfd.revents;
}

const char *racing_peer(int fd)
{
	static char text[ADDR_TEXT_MAX];
	struct sockaddr_storage name;
	socklen_t len = sizeof(name);
	struct taps_addr addr;

	if (getpeername(fd, (struct sockaddr *)&name, &len) != 0 ||
	    !addr_from_sockaddr(&addr, (struct sockaddr *)&name, len))
		return "";
	return addr_format_host(&addr, text);
}

uint16_t racing_port(int fd)
{
	struct sockaddr_storage name;
	socklen_t len = sizeof(name);
	struct taps_addr addr;

	if (getsockname(fd, (struct sockaddr *)&name, &len) != 0 ||
	    !addr_from_sockaddr(&addr, (struct sockaddr *)&name, len))
		return 0;
	return addr_port(&addr);
}

unsigned racing_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;
	char target[64];
	unsigned n = 0;

	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		ssize_t len = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);

		if (len <= 0 || atoi(entry->d_name) == dirfd(dir))
			continue;
		target[len] = 0;
		n += strcmp(target, "anon_inode:[eventfd]") != 0;
	}
	closedir(dir);
	return n;
}

int64_t racing_ms_since(int64_t begin)
{
	return (now_ns() - begin) / NS_PER_MS;
}

static unsigned fds_before, kept_before;

int racing_begin(void **state)
{
	(void)state;
	slots_install();
	names_clear();
	fds_before = racing_fds();
	kept_before = slots_kept();
	return 0;
}

static bool is_anything_left(void)
{
	handle_reap();
	return slots_kept() != kept_before || slots_live() || racing_fds() != fds_before;
}

int racing_end(void **state)
{
	int64_t begin = now_ns();

	(void)state;
	while (is_anything_left() && racing_ms_since(begin) < 1000)
		usleep(1000);
	if (!is_anything_left())
		return 0;
	printf("left: %d kept, %u slots, %d descriptors\n", (int)(slots_kept() - kept_before), slots_live(),
	       (int)(racing_fds() - fds_before));
	return -1;
}

void racing_drain(int listener)
{
	while (poll(&(struct pollfd){listener, POLLIN, 0}, 1, 0) == 1)
		close(accept(listener, NULL, NULL));
}
