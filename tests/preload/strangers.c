/* Descriptors that are no internet sockets: the same calls must leave them alone. */
#include "tests/preload/support/net.h"

#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#define PATIENCE_MS 5000

static void pairs(int type, const char *name)
{
	say("-- socketpair, %s", name);
	int fds[2];
	struct sockaddr_un addr;
	socklen_t len = sizeof(addr);
	char buf[16] = "";

	SHOW(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds));
	show_flags(fds[0]);
	SHOW(write(fds[0], "pair", 4));
	SHOW(recv(fds[1], buf, 2, MSG_PEEK));
	SHOW(read(fds[1], buf, 16));
	say("%s", buf);
	SHOW(getsockname(fds[0], (struct sockaddr *)&addr, &len));
	say("family %d, %u bytes", addr.sun_family, len);
	show_option(fds[0], "SO_TYPE", SOL_SOCKET, SO_TYPE);
	show_option(fds[0], "SO_DOMAIN", SOL_SOCKET, SO_DOMAIN);
	SHOW(shutdown(fds[0], SHUT_WR));
	show_poll(fds[1], POLLIN | POLLOUT | POLLRDHUP, 0);
	SHOW(close(fds[0]));
	show_poll(fds[1], POLLIN | POLLOUT, 0);
	SHOW(send(fds[1], "x", 1, MSG_NOSIGNAL));
	SHOW(close(fds[1]));
}

static void local_server(void)
{
	say("-- AF_UNIX server and client");
	struct sockaddr_un addr = {.sun_family = AF_UNIX}, peer;
	int server = socket(AF_UNIX, SOCK_STREAM, 0),
	    client = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	socklen_t len = sizeof(peer);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "local.%d", getpid());
	SHOW(connect(client, (struct sockaddr *)&addr, sizeof(addr)));
	SHOW(bind(server, (struct sockaddr *)&addr, sizeof(addr)));
	SHOW(connect(client, (struct sockaddr *)&addr, sizeof(addr)));
	SHOW(listen(server, 1));
	SHOW(connect(client, (struct sockaddr *)&addr, sizeof(addr)));
	SHOW(connect(client, (struct sockaddr *)&addr, sizeof(addr)));
	int accepted = accept4(server, (struct sockaddr *)&peer, &len, SOCK_CLOEXEC);
	say("%u bytes of name", len);
	show_flags(accepted);
	struct ucred who;
	len = sizeof(who);
	SHOW(getsockopt(client, SOL_SOCKET, SO_PEERCRED, &who, &len));
	say("the peer is this process: %d", who.pid == getpid());
	SHOW(write(client, "local", 5));
	show_read(accepted, 5);
	SHOW(close(accepted));
	SHOW(close(client));
	SHOW(close(server));
	SHOW(unlink(addr.sun_path));
}

static void pipes(void)
{
	say("-- pipes");
	int fds[2], n = -1;
	char byte;
	struct iovec iov = {"ipe", 3};

	SHOW(pipe2(fds, O_NONBLOCK | O_CLOEXEC));
	SHOW(read(fds[0], &byte, 1));
	SHOW(write(fds[1], "p", 1));
	SHOW(writev(fds[1], &iov, 1));
	SHOW(ioctl(fds[0], FIONREAD, &n));
	say("%d unread", n);
	show_poll(fds[0], POLLIN, 0);
	show_read(fds[0], 4);
	SHOW(recv(fds[0], &byte, 1, 0));
	SHOW(send(fds[1], "x", 1, 0));
	SHOW(connect(fds[0], NULL, 0));
	SHOW(getsockname(fds[0], NULL, NULL));
	SHOW(shutdown(fds[0], SHUT_RD));
	SHOW(listen(fds[0], 1));
	SHOW(accept(fds[0], NULL, NULL));
	SHOW(close(fds[1]));
	show_poll(fds[0], POLLIN, 0);
	SHOW(close(fds[0]));
}

static void netlink(void)
{
	say("-- netlink");
	int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
	struct {
		struct nlmsghdr head;
		struct rtgenmsg body;
	} ask = {{.nlmsg_len = sizeof(ask),
		  .nlmsg_type = RTM_GETLINK,
		  .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
		 {.rtgen_family = AF_UNSPEC}};
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	char buf[16384];

	SHOW(connect(fd, (struct sockaddr *)&kernel, sizeof(kernel)));
	SHOW(send(fd, &ask, sizeof(ask), 0) == sizeof(ask));
	SHOW(recv(fd, buf, sizeof(buf), 0) > 0);
	say("type %d", ((struct nlmsghdr *)buf)->nlmsg_type);
	show_option(fd, "SO_DOMAIN", SOL_SOCKET, SO_DOMAIN);
	SHOW(close(fd));
}

static void raw_socket(void)
{
	say("-- raw sockets");
	int fd = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
	struct sockaddr_in self = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct icmphdr echo = {.type = ICMP_ECHO, .checksum = htons(0xf7ff)};
	char buf[128];

	SHOW(connect(fd, (struct sockaddr *)&self, sizeof(self)));
	SHOW(send(fd, &echo, sizeof(echo), 0));
	SHOW(recv(fd, buf, sizeof(buf), 0));
	show_option(fd, "SO_TYPE", SOL_SOCKET, SO_TYPE);
	SHOW(close(fd));
}

static void counters(void)
{
	say("-- eventfd, timerfd, signalfd, inotify");
	int event = eventfd(3, EFD_CLOEXEC), timer = timerfd_create(CLOCK_MONOTONIC, 0);
	uint64_t count = 0;
	struct itimerspec soon = {.it_value = {0, 1000000}};
	sigset_t none;

	SHOW(read(event, &count, sizeof(count)));
	say("%d", (int)count);
	SHOW(read(event, &count, 4));
	SHOW(timerfd_settime(timer, 0, &soon, NULL));
	show_poll(timer, POLLIN, PATIENCE_MS);
	SHOW(read(timer, &count, sizeof(count)));
	SHOW(send(event, "x", 1, 0));
	sigemptyset(&none);
	SHOW(close(signalfd(-1, &none, SFD_NONBLOCK)));
	SHOW(close(inotify_init1(0)));
	SHOW(close(event));
	SHOW(close(timer));
}

static void files(void)
{
	say("-- files");
	int null = open("/dev/null", O_RDWR), zero = open("/dev/zero", O_RDONLY);
	char buf[4];

	SHOW(write(null, "gone", 4));
	SHOW(read(null, buf, 4));
	SHOW(read(zero, buf, 4));
	show_poll(null, POLLIN | POLLOUT, 0);
	SHOW(fcntl(null, F_SETFL, O_NONBLOCK));
	show_flags(null);
	SHOW(ioctl(null, FIONREAD, buf));
	SHOW(setsockopt(null, SOL_SOCKET, SO_KEEPALIVE, buf, 4));
	SHOW(epoll_ctl(epoll_create1(0), EPOLL_CTL_ADD, null, &(struct epoll_event){.events = EPOLLIN}));
	SHOW(dup2(null, zero) == zero);
	SHOW(read(zero, buf, 4));
	SHOW(close(null));
	SHOW(close(zero));
}

static void no_such(void)
{
	say("-- sockets that do not exist");
	SHOW(socket(AF_INET, 77, 0));
	SHOW(socket(AF_INET, SOCK_STREAM, 250));
	SHOW(socket(1234, SOCK_STREAM, 0));
	SHOW(socket(AF_INET, SOCK_STREAM | 0x10000000, 0));
	SHOW(socketpair(AF_INET, SOCK_STREAM, 0, (int[2]){0, 0}));
	SHOW(socketpair(AF_UNIX, SOCK_STREAM, 0, NULL));
	SHOW(socket(AF_INET, SOCK_DGRAM, IPPROTO_TCP));
}

int main(int argc, char **argv)
{
	net_start(argc, argv);
	pairs(SOCK_STREAM, "stream");
	pairs(SOCK_DGRAM, "datagram");
	pairs(SOCK_SEQPACKET, "packets");
	local_server();
	pipes();
	netlink();
	raw_socket();
	counters();
	files();
	no_such();
	return 0;
}
