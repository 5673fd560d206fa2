/* Local addresses, in a network namespace whose interfaces the test makes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/path.h"
#include "tests/unit/host.h"
#include "tests/unit/netns.h"

static struct taps_host real;
static int kept, dropped;

static void ip(const char *command)
{
	char line[256];

	snprintf(line, sizeof(line), "ip %s", command);
	if (system(line) != 0)
		fail_msg("%s", line);
}

/* d0 is up, and so is the other end of its cable. */
static void make_link(void)
{
	ip("link add d0 type veth peer name d1");
	ip("link set d0 addrgenmode none up");
	ip("link set d1 addrgenmode none up");
}

/* The line for one address: "192.0.2.1/24 flags ifname", flags being d(eprecated) and t(emporary). */
static void describe(const struct local_address *local, char *line, size_t size)
{
	char text[ADDR_TEXT_MAX], name[IF_NAMESIZE] = "?";

	if_indextoname(local->ifindex, name);
	addr_format_host(&local->addr, text);
	text[strcspn(text, "%")] = '\0';
	snprintf(line, size, "%s/%u %s%s%s", text, local->prefix_bits, local->deprecated ? "d" : "",
		 local->temporary ? "t" : "", name);
}

/* Is the line among the addresses? */
static bool has(const char *wanted)
{
	struct local_address locals[PATH_LOCAL_MAX];
	int n = path_local_addresses(locals, PATH_LOCAL_MAX);
	char line[128];

	assert_true(n >= 0);
	for (int i = 0; i < n; i++) {
		describe(&locals[i], line, sizeof(line));
		if (!strcmp(line, wanted))
			return true;
	}
	return false;
}

static int count(void)
{
	struct local_address locals[PATH_LOCAL_MAX];

	return path_local_addresses(locals, PATH_LOCAL_MAX);
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
	return 0;
}

/* Every descriptor goes through the host's keeping, and back. */
static int teardown(void **state)
{
	(void)state;
	*unit_host() = real;
	return system("ip link del d0 2>/dev/null; ip link del v0 2>/dev/null; true") || kept != dropped;
}

static void test_loopback(void **state)
{
	(void)state;
	assert_true(has("127.0.0.1/8 lo"));
	assert_true(has("::1/128 lo"));
	assert_int_equal(count(), 2);
	assert_int_equal(kept, 3);
}

static void test_addresses(void **state)
{
	struct local_address locals[PATH_LOCAL_MAX];

	(void)state;
	make_link();
	ip("addr add 192.0.2.1/24 dev d0");
	ip("addr add 192.0.2.2/24 dev d0");
	ip("addr add 2001:db8::1/64 dev d0 nodad");
	ip("addr add 2001:db8::2/64 dev d0 nodad preferred_lft 0");
	assert_true(has("192.0.2.1/24 d0"));
	/* Its IFA_F_SECONDARY is the bit that says "temporary" for IPv6. */
	assert_true(has("192.0.2.2/24 d0"));
	assert_true(has("2001:db8::1/64 d0"));
	assert_true(has("2001:db8::2/64 dd0"));
	assert_int_equal(count(), 6);
	assert_int_equal(path_local_addresses(locals, 3), 3);
	assert_int_equal(path_local_addresses(locals, 0), 0);
}

static void test_link_local_has_its_scope(void **state)
{
	struct local_address locals[PATH_LOCAL_MAX];
	int n;

	(void)state;
	make_link();
	ip("addr add fe80::1/64 dev d0 nodad");
	n = path_local_addresses(locals, PATH_LOCAL_MAX);
	for (int i = 0; i < n; i++)
		if (addr_is_linklocal(&locals[i].addr)) {
			assert_int_equal(locals[i].addr.in6.sin6_scope_id, if_nametoindex("d0"));
			return;
		}
	fail();
}

static void test_point_to_point(void **state)
{
	(void)state;
	make_link();
	ip("addr add 192.0.2.1 peer 192.0.2.99/32 dev d0");
	ip("addr add 2001:db8::1 peer 2001:db8::99/128 dev d0 nodad");
	assert_true(has("192.0.2.1/32 d0"));
	assert_true(has("2001:db8::1/128 d0"));
	assert_int_equal(count(), 4);
}

/* The kernel takes its time until a link has its carrier, or an address leaves the tentative state. */
static bool becomes(bool there, const char *line)
{
	for (int i = 0; i < 60; i++) {
		if (has(line) == there)
			return true;
		usleep(50000);
	}
	return false;
}

static bool eventually(const char *line)
{
	return becomes(true, line);
}

static bool eventually_none(const char *line)
{
	return becomes(false, line);
}

static void test_down(void **state)
{
	(void)state;
	make_link();
	ip("addr add 192.0.2.1/24 dev d0");
	assert_true(has("192.0.2.1/24 d0"));
	ip("link set d0 down");
	assert_true(eventually_none("192.0.2.1/24 d0"));
	assert_int_equal(count(), 2);
	ip("link set d0 up");
	assert_true(eventually("192.0.2.1/24 d0"));
}

/* The other end of the cable is down: up, but without carrier. */
static void test_no_carrier(void **state)
{
	(void)state;
	ip("link add v0 type veth peer name v1");
	ip("link set v0 addrgenmode none up");
	ip("link set v1 addrgenmode none");
	ip("addr add 192.0.2.1/24 dev v0");
	assert_int_equal(count(), 2);
	ip("link set v1 up");
	assert_true(eventually("192.0.2.1/24 v0"));
}

static void test_tentative(void **state)
{
	(void)state;
	ip("link add v0 type veth peer name v1");
	ip("link set v0 addrgenmode none up");
	ip("link set v1 addrgenmode none up");
	ip("addr add 2001:db8::1/64 dev v0");
	assert_false(has("2001:db8::1/64 v0"));
	assert_true(eventually("2001:db8::1/64 v0"));
	/* The same address at the other end of the link: duplicate address detection fails. */
	ip("addr add 2001:db8::1/64 dev v1");
	for (int i = 0; i < 60 && system("ip -6 addr show dev v1 | grep -q dadfailed") != 0; i++)
		usleep(50000);
	assert_int_equal(system("ip -6 addr show dev v1 | grep -q dadfailed"), 0);
	assert_false(has("2001:db8::1/64 v1"));
	assert_true(has("2001:db8::1/64 v0"));
}

/* More addresses than one buffer of the kernel's holds. */
static void test_many(void **state)
{
	static struct local_address locals[1000];

	(void)state;
	make_link();
	assert_int_equal(system("for i in $(seq 0 249); do echo addr add 10.0.0.$i/8 dev d0; "
				"echo addr add 2001:db8::$i/64 dev d0 nodad; done | ip -batch -"), 0);
	assert_int_equal(path_local_addresses(locals, 1000), 502);
	assert_int_equal(count(), PATH_LOCAL_MAX);
}

static int no_socket(int domain, int type, int protocol)
{
	(void)domain;
	(void)type;
	(void)protocol;
	errno = EMFILE;
	return -1;
}

static ssize_t silent(int fd, struct msghdr *message, int flags)
{
	(void)fd;
	(void)message;
	(void)flags;
	errno = EAGAIN;
	return -1;
}

static ssize_t broken(int fd, struct msghdr *message, int flags)
{
	(void)fd;
	(void)message;
	(void)flags;
	errno = ENOBUFS;
	return -1;
}

static int no_keep(int fd)
{
	real.fd_drop(fd);
	return -EMFILE;
}

static ssize_t no_send(int fd, const void *data, size_t size, int flags, const struct sockaddr *to,
		       socklen_t len)
{
	(void)fd;
	(void)data;
	(void)size;
	(void)flags;
	(void)to;
	(void)len;
	errno = EPERM;
	return -1;
}

static void test_failures(void **state)
{
	(void)state;
	unit_host()->socket = no_socket;
	assert_int_equal(count(), -EMFILE);
	unit_host()->socket = real.socket;
	unit_host()->sendto = no_send;
	assert_int_equal(count(), -EPERM);
	unit_host()->sendto = real.sendto;
	unit_host()->recvmsg = broken;
	assert_int_equal(count(), -ENOBUFS);
	unit_host()->recvmsg = real.recvmsg;
	unit_host()->fd_keep = no_keep;
	assert_int_equal(count(), -EMFILE);
}

/* A kernel that never answers costs 200 ms. */
static void test_time_limit(void **state)
{
	int64_t begin = now_ns(), took;

	(void)state;
	unit_host()->recvmsg = silent;
	assert_int_equal(count(), -ETIMEDOUT);
	took = now_ns() - begin;
	assert_in_range(took / NS_PER_MS, 200, 1000);
}

/* Hands out prepared datagrams before the kernel's own: someone else's, stale, broken ones. */
static struct {
	unsigned char bytes[256];
	size_t len;
	uint32_t sender;
	int times;
} forged;

static ssize_t forge(int fd, struct msghdr *message, int flags)
{
	struct sockaddr_nl *from = message->msg_name;

	if (forged.times-- <= 0)
		return real.recvmsg(fd, message, flags);
	*from = (struct sockaddr_nl){.nl_family = AF_NETLINK, .nl_pid = forged.sender};
	memcpy(message->msg_iov[0].iov_base, forged.bytes, forged.len);
	return (ssize_t)forged.len;
}

static void test_foreign_messages(void **state)
{
	struct nlmsghdr header = {.nlmsg_len = sizeof(header), .nlmsg_type = NLMSG_DONE, .nlmsg_seq = 1};

	(void)state;
	unit_host()->recvmsg = forge;
	memcpy(forged.bytes, &header, sizeof(header));
	forged.len = sizeof(header);
	/* From another process: ignored. */
	forged.sender = 4711;
	forged.times = 3;
	assert_int_equal(count(), 2);
	/* Of another request: ignored. */
	header.nlmsg_seq = 99;
	memcpy(forged.bytes, &header, sizeof(header));
	forged.sender = 0;
	forged.times = 1;
	assert_int_equal(count(), 2);
	/* Cut short within its header, and an error without its number. */
	forged.len = sizeof(header) - 4;
	forged.times = 1;
	assert_int_equal(count(), 2);
	header.nlmsg_seq = 1;
	header.nlmsg_type = NLMSG_ERROR;
	memcpy(forged.bytes, &header, sizeof(header));
	forged.len = sizeof(header);
	forged.times = 1;
	assert_int_equal(count(), -EPROTO);
}

static int requests;

static ssize_t count_request(int fd, const void *data, size_t size, int flags, const struct sockaddr *to,
			     socklen_t len)
{
	(void)fd;
	(void)data;
	(void)flags;
	(void)to;
	(void)len;
	requests++;
	return (ssize_t)size;
}

/* Answers each request with the end of a dump during which something changed. */
static ssize_t interrupt(int fd, struct msghdr *message, int flags)
{
	struct nlmsghdr header = {
		.nlmsg_len = sizeof(header),
		.nlmsg_type = NLMSG_DONE,
		.nlmsg_flags = NLM_F_DUMP_INTR,
		.nlmsg_seq = (uint32_t)requests,
	};

	(void)fd;
	(void)flags;
	memcpy(message->msg_iov[0].iov_base, &header, sizeof(header));
	return sizeof(header);
}

/* A dump that never comes out whole is repeated, but not for ever. */
static void test_interrupted_dumps(void **state)
{
	(void)state;
	requests = 0;
	unit_host()->sendto = count_request;
	unit_host()->recvmsg = interrupt;
	assert_int_equal(count(), 0);
	assert_int_equal(requests, 6);
}

static int marks;

static ssize_t mark(int fd, struct msghdr *message, int flags)
{
	struct nlmsghdr *header = message->msg_iov[0].iov_base;
	ssize_t n = real.recvmsg(fd, message, flags);

	if (n > 0 && marks-- > 0)
		header->nlmsg_flags |= NLM_F_DUMP_INTR;
	return n;
}

/* What a repeated dump finds takes the place of what the first one did. */
static void test_repeated_dump(void **state)
{
	(void)state;
	marks = 2;
	unit_host()->recvmsg = mark;
	assert_int_equal(count(), 2);
	assert_true(marks < 0);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(test_loopback),
		CASE(test_addresses),
		CASE(test_link_local_has_its_scope),
		CASE(test_point_to_point),
		CASE(test_down),
		CASE(test_no_carrier),
		CASE(test_tentative),
		CASE(test_many),
		CASE(test_failures),
		CASE(test_time_limit),
		CASE(test_foreign_messages),
		CASE(test_interrupted_dumps),
		CASE(test_repeated_dump),
	};

	if (!netns_enter())
		return 77;
	if (system("command -v ip >/dev/null") != 0) {
		printf("ip is not installed\n");
		return 77;
	}
	real = *unit_host();
	return cmocka_run_group_tests_name("path", tests, NULL, NULL);
}
