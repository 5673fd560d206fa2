/* connect() with AF_UNSPEC dissolves: before, while and after connecting. */
#include "tests/preload/support/net.h"

#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define PATIENCE_MS 10000

static int dissolve(int fd)
{
	struct sockaddr nothing = {.sa_family = AF_UNSPEC};

	return connect(fd, &nothing, sizeof(nothing));
}

static void before(void)
{
	say("-- before");
	struct peer peer = net_peer(ECHO);
	int fd = net_socket(&peer, 0);

	SHOW(dissolve(fd));
	SHOW(dissolve(fd));
	SHOW(peer_connect(fd, &peer));
	show_echo(fd, "connected");
	SHOW(close(fd));
}

static void after(void)
{
	say("-- after");
	struct peer peer = net_peer(ECHO);
	int fd = net_socket(&peer, 0);

	SHOW(peer_connect(fd, &peer));
	show_echo(fd, "first");
	SHOW(dissolve(fd));
	show_names(fd, ECHO);
	SHOW(send(fd, "x", 1, MSG_NOSIGNAL));
	show_poll(fd, POLLIN | POLLOUT, 0);
	SHOW(peer_connect(fd, &peer));
	show_echo(fd, "second");
	show_names(fd, ECHO);
	SHOW(close(fd));
}

static void during(int flags)
{
	say("-- while connecting%s", flags ? ", close-on-exec" : "");
	struct peer peer = net_peer(SLOW), other = net_peer(ECHO);
	int fd = net_socket(&peer, SOCK_NONBLOCK | flags);

	SHOW(peer_connect(fd, &peer));
	show_poll(fd, POLLOUT, 50);
	SHOW(dissolve(fd));
	show_poll(fd, POLLIN | POLLOUT, 0);
	show_error(fd);
	show_names(fd, SLOW);
	show_flags(fd);
	SHOW(peer_connect(fd, &other));
	show_poll(fd, POLLOUT, PATIENCE_MS);
	show_error(fd);
	show_echo(fd, "elsewhere");
	show_names(fd, ECHO);
	SHOW(close(fd));
}

static void watched(void)
{
	say("-- watched by epoll");
	struct peer peer = net_peer(SLOW), other = net_peer(ECHO);
	int fd = net_socket(&peer, SOCK_NONBLOCK), set = epoll_create1(0);
	struct epoll_event event = {.events = EPOLLOUT | EPOLLIN};

	SHOW(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event));
	SHOW(peer_connect(fd, &peer));
	SHOW(dissolve(fd));
	SHOW(epoll_wait(set, &event, 1, 0));
	say("%s", mask_text(event.events));
	SHOW(peer_connect(fd, &other));
	SHOW(epoll_wait(set, &event, 1, PATIENCE_MS));
	say("%s", mask_text(event.events));
	show_echo(fd, "elsewhere");
	SHOW(close(fd));
	SHOW(close(set));
}

int main(int argc, char **argv)
{
	net_start(argc, argv);
	before();
	after();
	if (net_loses()) {
		during(0);
		during(SOCK_CLOEXEC);
		watched();
	}
	return 0;
}
