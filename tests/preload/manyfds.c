/* Descriptors beyond 1024 and up to 65535, ranges closed at once, and none left. */
#include "tests/preload/support/net.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_MS 10000

/* As many descriptors as may be had, at most 65536; returns the highest number. */
static int highest(void)
{
	struct rlimit r;

	need(getrlimit(RLIMIT_NOFILE, &r) == 0, "getrlimit");
	r.rlim_cur = r.rlim_max < 65536 ? r.rlim_max : 65536;
	need(setrlimit(RLIMIT_NOFILE, &r) == 0, "setrlimit");
	return (int)r.rlim_cur - 1;
}

static void high(int number, int flags)
{
	say("-- number %d, %s", number, flags ? "non-blocking" : "blocking");
	struct peer peer = net_peer(ECHO);
	int low = net_socket(&peer, flags), set = epoll_create1(0);
	struct epoll_event event = {.events = EPOLLOUT | EPOLLET, .data.u64 = 1};

	SHOW(fcntl(low, F_DUPFD, number) == number);
	SHOW(close(low));
	SHOW(peer_connect(number, &peer));
	SHOW(epoll_ctl(set, EPOLL_CTL_ADD, number, &event));
	SHOW(epoll_wait(set, &event, 1, PATIENCE_MS));
	show_error(number);
	show_flags(number);
	show_names(number, ECHO);
	show_echo(number, "high");
	SHOW(close(number));
	SHOW(close(number));
	SHOW(close(set));
}

static void select_beyond(void)
{
	say("-- select on a large set");
	struct peer peer = net_peer(ECHO);
	int fd = net_socket(&peer, SOCK_NONBLOCK);
	size_t size = 4096 / 8;
	fd_set *out = calloc(1, size);
	unsigned long *bits = (unsigned long *)out;

	need(out != NULL, "memory");
	SHOW(dup2(fd, 3000));
	SHOW(close(fd));
	SHOW(peer_connect(3000, &peer));
	bits[3000 / 64] |= 1ul << 3000 % 64;
	SHOW(select(3001, NULL, out, NULL, NULL));
	say("set: %d", (bits[3000 / 64] >> 3000 % 64 & 1) == 1);
	show_echo(3000, "beyond 1024");
	SHOW(close(3000));
	free(out);
}

static int count_open(int from, int to)
{
	int n = 0;

	for (int fd = from; fd < to; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void ranges(void)
{
	say("-- close_range");
	struct peer peer = net_peer(ECHO);
	int keep = net_connect_quiet(ECHO), fds[20];

	SHOW(dup2(keep, 100));
	for (int i = 0; i < 20; i++)
		fds[i] = dup2(net_socket(&peer, 0), 200 + i);
	SHOW(close_range(205, 209, 0));
	say("%d open", count_open(200, 220));
	SHOW(close_range(210, 214, CLOSE_RANGE_CLOEXEC));
	show_flags(210);
	show_flags(215);
	SHOW(peer_connect(fds[10], &peer));
	show_flags(fds[10]);
	show_echo(fds[10], "marked");
	SHOW(close_range(230, 220, 0));
	SHOW(close_range(200, 219, 77));
	SHOW(close_range(101, 1000, 0));
	say("%d open", count_open(101, 1000));
	show_echo(100, "kept");
	SHOW(peer_connect(200, &peer));
	SHOW(close(keep));
	SHOW(close(100));
}

static void ranges_while_connecting(void)
{
	say("-- close_range while connecting");
	struct peer slow = net_peer(SLOW), peer = net_peer(ECHO);
	int fd = net_socket(&slow, SOCK_NONBLOCK);

	SHOW(dup2(fd, 300));
	SHOW(close(fd));
	SHOW(peer_connect(300, &slow));
	SHOW(close_range(250, ~0u, 0));
	SHOW(fcntl(300, F_GETFD));
	int next = net_socket(&peer, SOCK_NONBLOCK);
	SHOW(peer_connect(next, &peer));
	show_poll(next, POLLOUT, PATIENCE_MS);
	show_echo(next, "goes on");
	closefrom(next + 1);
	show_echo(next, "still");
	SHOW(close(next));
}

/* As daemons do before they begin. */
static void from(void)
{
	say("-- closefrom in a child");
	struct peer peer = net_peer(ECHO);
	int fd = net_connect_quiet(ECHO);
	pid_t pid = fork();

	need(pid >= 0, "fork");
	if (pid == 0) {
		closefrom(3);
		say("%d open", count_open(3, 2000));
		fd = net_socket(&peer, 0);
		SHOW(fd);
		SHOW(peer_connect(fd, &peer));
		show_echo(fd, "in the child");
		exit(0);
	}
	show_wait(pid);
	show_echo(fd, "in the parent");
	SHOW(close(fd));
}

int main(int argc, char **argv)
{
	net_start(argc, argv);
	int top = highest();
	high(1024, 0);
	high(1500, SOCK_NONBLOCK);
	high(5000, SOCK_NONBLOCK);
	high(top, 0);
	high(top, SOCK_NONBLOCK);
	select_beyond();
	ranges();
	from();
	if (net_loses())
		ranges_while_connecting();
	return 0;
}
