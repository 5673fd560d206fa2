/* Socket options, set before, while and after connecting, and read back at the end. */
#include "tests/preload/support/net.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#define PATIENCE_MS 10000

/* Options that hold an int, with the value to set; `family` is 0 where it does not matter. */
static const struct option {
	const char *name;
	int family;
	int level;
	int option;
	int value;
} options[] = {
#define OPTION(family, level, name, value) {#name, family, level, name, value}
	OPTION(0, SOL_SOCKET, SO_KEEPALIVE, 1),
	OPTION(0, SOL_SOCKET, SO_REUSEADDR, 1),
	OPTION(0, SOL_SOCKET, SO_OOBINLINE, 1),
	OPTION(0, SOL_SOCKET, SO_RCVBUF, 50000),
	OPTION(0, SOL_SOCKET, SO_SNDBUF, 60000),
	OPTION(0, SOL_SOCKET, SO_PRIORITY, 5),
	OPTION(0, SOL_SOCKET, SO_MARK, 7),
	OPTION(0, SOL_SOCKET, SO_RCVLOWAT, 2),
	OPTION(0, SOL_SOCKET, SO_TIMESTAMP, 1),
	OPTION(0, SOL_SOCKET, SO_BUSY_POLL, 3),
	OPTION(0, IPPROTO_TCP, TCP_NODELAY, 1),
	OPTION(0, IPPROTO_TCP, TCP_KEEPIDLE, 33),
	OPTION(0, IPPROTO_TCP, TCP_KEEPINTVL, 11),
	OPTION(0, IPPROTO_TCP, TCP_KEEPCNT, 4),
	OPTION(0, IPPROTO_TCP, TCP_USER_TIMEOUT, 45000),
	OPTION(0, IPPROTO_TCP, TCP_SYNCNT, 5),
	OPTION(0, IPPROTO_TCP, TCP_LINGER2, 9),
	OPTION(0, IPPROTO_TCP, TCP_DEFER_ACCEPT, 1),
	OPTION(0, IPPROTO_TCP, TCP_NOTSENT_LOWAT, 16384),
	OPTION(AF_INET, IPPROTO_IP, IP_TOS, 0x10),
	OPTION(AF_INET, IPPROTO_IP, IP_TTL, 44),
	OPTION(AF_INET, IPPROTO_IP, IP_RECVTOS, 1),
	OPTION(AF_INET, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO),
	OPTION(AF_INET6, IPPROTO_IPV6, IPV6_V6ONLY, 0),
	OPTION(AF_INET6, IPPROTO_IPV6, IPV6_TCLASS, 0x20),
	OPTION(AF_INET6, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 43),
	OPTION(AF_INET6, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DO),
	OPTION(AF_INET6, IPPROTO_IP, IP_TOS, 0x08),
#undef OPTION
};
#define N_OPTIONS (sizeof(options) / sizeof(options[0]))

static bool fits(const struct option *o, const struct peer *peer)
{
	return o->family == 0 || o->family == peer->addr.ss_family;
}

static void set_all(int fd, const struct peer *peer)
{
	for (size_t i = 0; i < N_OPTIONS; i++) {
		const struct option *o = &options[i];
		if (fits(o, peer) && setsockopt(fd, o->level, o->option, &o->value, sizeof(o->value)) < 0)
			say("%s: %s", o->name, strerrorname_np(errno));
	}
}

static void set_structures(int fd)
{
	struct linger linger = {.l_onoff = 1, .l_linger = 3};
	struct timeval limit = {7, 500000};

	SHOW(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
	SHOW(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)));
	SHOW(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)));
	SHOW(setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4));
}

static void show_structures(int fd)
{
	struct linger linger = {0};
	struct timeval limit = {0};
	socklen_t len = sizeof(linger);
	char text[16] = "";

	SHOW(getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &len));
	say("linger %d %d", linger.l_onoff, linger.l_linger);
	len = sizeof(limit);
	SHOW(getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, &len));
	say("limit %ld", (long)limit.tv_sec);
	len = sizeof(limit);
	SHOW(getsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, &len));
	say("limit %ld", (long)limit.tv_sec);
	len = sizeof(text);
	SHOW(getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, text, &len));
	say("congestion control %s", text);
}

static void show_all(int fd, const struct peer *peer)
{
	for (size_t i = 0; i < N_OPTIONS; i++)
		if (fits(&options[i], peer))
			show_option(fd, options[i].name, options[i].level, options[i].option);
}

static void show_identity(int fd)
{
	struct stat st = {0};

	show_option(fd, "SO_DOMAIN", SOL_SOCKET, SO_DOMAIN);
	show_option(fd, "SO_TYPE", SOL_SOCKET, SO_TYPE);
	show_option(fd, "SO_PROTOCOL", SOL_SOCKET, SO_PROTOCOL);
	show_option(fd, "SO_ACCEPTCONN", SOL_SOCKET, SO_ACCEPTCONN);
	SHOW(fstat(fd, &st));
	say("a socket: %d", S_ISSOCK(st.st_mode));
}

static void before(void)
{
	say("-- set before connect");
	struct peer peer = net_peer(ECHO);
	int fd = net_socket(&peer, 0);

	show_identity(fd);
	set_all(fd, &peer);
	set_structures(fd);
	SHOW(peer_connect(fd, &peer));
	show_all(fd, &peer);
	show_structures(fd);
	show_identity(fd);
	show_echo(fd, "with options");
	SHOW(close(fd));
}

static void before_nonblocking(void)
{
	say("-- set before connect, non-blocking");
	struct peer peer = net_peer(ECHO);
	int fd = net_socket(&peer, SOCK_NONBLOCK | SOCK_CLOEXEC);

	set_all(fd, &peer);
	SHOW(peer_connect(fd, &peer));
	show_poll(fd, POLLOUT, PATIENCE_MS);
	show_error(fd);
	show_all(fd, &peer);
	show_flags(fd);
	show_identity(fd);
	SHOW(close(fd));
}

static void during(void)
{
	say("-- set while connecting");
	struct peer peer = net_peer(SLOW);
	int fd = net_socket(&peer, SOCK_NONBLOCK);

	SHOW(peer_connect(fd, &peer));
	show_identity(fd);
	set_all(fd, &peer);
	set_structures(fd);
	show_all(fd, &peer);
	SHOW(fcntl(fd, F_SETFD, FD_CLOEXEC));
	SHOW(fcntl(fd, F_SETOWN, getpid()));
	show_poll(fd, POLLOUT, 50);
	show_poll(fd, POLLOUT, PATIENCE_MS);
	show_all(fd, &peer);
	show_structures(fd);
	show_identity(fd);
	show_flags(fd);
	SHOW(fcntl(fd, F_GETOWN) == getpid());
	show_echo(fd, "with options");
	SHOW(close(fd));
}

static void after(void)
{
	say("-- set after connect");
	struct peer peer = net_peer(ECHO);
	int fd = net_connect(ECHO);

	set_all(fd, &peer);
	set_structures(fd);
	show_all(fd, &peer);
	show_structures(fd);
	show_echo(fd, "with options");
	SHOW(close(fd));
}

static void information(void)
{
	say("-- what only a TCP connection can tell");
	int fd = net_connect(ECHO);
	struct tcp_info info = {0};
	socklen_t len = sizeof(info);
	int unsent = -1, unread = -1, mark = -1;

	SHOW(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len));
	say("state %d", info.tcpi_state);
	show_echo(fd, "twenty bytes of data");
	SHOW(ioctl(fd, FIONREAD, &unread));
	SHOW(ioctl(fd, TIOCOUTQ, &unsent));
	SHOW(ioctl(fd, SIOCATMARK, &mark));
	say("%d unread, mark %d", unread, mark);
	SHOW(getsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &unread, &(socklen_t){sizeof(unread)}));
	say("segments have a size: %d", unread > 100);
	show_option(fd, "SO_PEEK_OFF", SOL_SOCKET, SO_PEEK_OFF);
	show_option(fd, "SO_RCVTIMEO with 4 bytes", SOL_SOCKET, SO_RCVTIMEO);
	SHOW(close(fd));
}

static void bad_arguments(void)
{
	say("-- bad arguments");
	struct peer peer = net_peer(ECHO);
	int fd = net_socket(&peer, 0), value = 1;
	socklen_t len = sizeof(value);

	SHOW(setsockopt(fd, 12345, 1, &value, sizeof(value)));
	SHOW(setsockopt(fd, SOL_SOCKET, 12345, &value, sizeof(value)));
	SHOW(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &value, 2));
	SHOW(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, NULL, 4));
	SHOW(setsockopt(-1, SOL_SOCKET, SO_KEEPALIVE, &value, sizeof(value)));
	SHOW(setsockopt(1, SOL_SOCKET, SO_KEEPALIVE, &value, sizeof(value)));
	SHOW(getsockopt(fd, SOL_SOCKET, 12345, &value, &len));
	SHOW(getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &value, NULL));
	SHOW(getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, NULL, &len));
	len = 1;
	SHOW(getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &len));
	say("%u bytes", len);
	SHOW(setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &(int){-1}, sizeof(int)));
	SHOW(peer_connect(fd, &peer));
	show_echo(fd, "none the worse");
	SHOW(close(fd));
}

int main(int argc, char **argv)
{
	net_start(argc, argv);
	before();
	before_nonblocking();
	after();
	information();
	bad_arguments();
	if (net_loses())
		during();
	return 0;
}
