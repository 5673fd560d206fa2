/* Shutting down and closing: each way, before, while and after connecting. */
#include "tests/preload/support/net.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define PATIENCE_MS 10000

static const char *const ways[] = {[SHUT_RD] = "SHUT_RD", [SHUT_WR] = "SHUT_WR", [SHUT_RDWR] = "SHUT_RDWR"};

static void connected(int how)
{
	say("-- %s", ways[how]);
	int fd = net_connect(SINK);
	char byte;

	SHOW(send(fd, "four", 4, 0));
	SHOW(shutdown(fd, how));
	show_poll(fd, POLLIN | POLLOUT | POLLRDHUP, 0);
	SHOW(send(fd, "more", 4, MSG_NOSIGNAL));
	SHOW(recv(fd, &byte, 1, MSG_DONTWAIT));
	SHOW(shutdown(fd, SHUT_WR));
	SHOW(shutdown(fd, SHUT_RDWR));
	SHOW(shutdown(fd, 99));
	show_poll(fd, POLLIN | POLLOUT | POLLRDHUP, 0);
	show_names(fd, SINK);
	SHOW(close(fd));
}

static void unconnected(void)
{
	say("-- before connect");
	struct peer peer = net_peer(ECHO);
	int fd = net_socket(&peer, 0);

	SHOW(shutdown(fd, SHUT_RD));
	SHOW(shutdown(fd, SHUT_RDWR));
	SHOW(shutdown(fd, 99));
	SHOW(shutdown(-1, SHUT_RD));
	SHOW(shutdown(0, SHUT_RD));
	SHOW(close(fd));
}

static void while_connecting(int how)
{
	say("-- %s while connecting", ways[how]);
	struct peer peer = net_peer(SLOW), other = net_peer(ECHO);
	int fd = net_socket(&peer, SOCK_NONBLOCK), set = epoll_create1(0);
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP};
	char byte;

	SHOW(peer_connect(fd, &peer));
	SHOW(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event));
	show_poll(fd, POLLOUT, 30);
	SHOW(shutdown(fd, how));
	show_poll(fd, POLLIN | POLLOUT | POLLRDHUP, 0);
	SHOW(epoll_wait(set, &event, 1, 0));
	say("%s", mask_text(event.events));
	SHOW(recv(fd, &byte, 1, 0));
	SHOW(send(fd, "x", 1, MSG_NOSIGNAL));
	show_error(fd);
	show_names(fd, SLOW);
	SHOW(peer_connect(fd, &other));
	SHOW(close(fd));
	SHOW(close(set));
}

/* The number is free at once, and nothing of the old connection reaches its next owner. */
static void closed_while_connecting(void)
{
	say("-- closed while connecting");
	struct peer slow = net_peer(SLOW), peer = net_peer(ECHO);
	int fd = net_socket(&slow, SOCK_NONBLOCK);

	SHOW(peer_connect(fd, &slow));
	SHOW(close(fd));
	int next = net_socket(&peer, SOCK_CLOEXEC);
	SHOW(next == fd);
	SHOW(peer_connect(next, &peer));
	show_echo(next, "the next owner");
	pause_ms(1500);
	show_poll(next, POLLIN | POLLOUT, 0);
	show_echo(next, "is left alone");
	show_flags(next);
	SHOW(close(next));
}

static void reset_on_close(void)
{
	say("-- a reset instead of an end");
	struct linger now = {.l_onoff = 1, .l_linger = 0};
	int fd = net_connect(COUNT);

	SHOW(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)));
	SHOW(write(fd, "lost", 4));
	SHOW(close(fd));
	SHOW(write(fd, "x", 1));
}

static void lingering(void)
{
	say("-- lingering close");
	struct linger wait = {.l_onoff = 1, .l_linger = 5};
	int fd = net_connect(ECHO);

	SHOW(setsockopt(fd, SOL_SOCKET, SO_LINGER, &wait, sizeof(wait)));
	show_echo(fd, "all of it");
	SHOW(close(fd));
}

int main(int argc, char **argv)
{
	net_start(argc, argv);
	for (int how = SHUT_RD; how <= SHUT_RDWR; how++)
		connected(how);
	unconnected();
	reset_on_close();
	lingering();
	if (net_loses()) {
		for (int how = SHUT_RD; how <= SHUT_RDWR; how++)
			while_connecting(how);
		closed_while_connecting();
	}
	return 0;
}
