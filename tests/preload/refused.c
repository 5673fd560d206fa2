/* Connections that fail: what the waits say, SO_ERROR once, data calls afterwards, and trying again. */
#include "tests/preload/support/net.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <unistd.h>

#define PATIENCE_MS 10000

static void blocking(void)
{
	say("-- blocking");
	struct peer peer = net_peer(NOBODY), other = net_peer(ECHO);
	int fd = net_socket(&peer, SOCK_CLOEXEC);
	char byte;

	SHOW(peer_connect(fd, &peer));
	show_error(fd);
	show_poll(fd, POLLIN | POLLOUT | POLLRDHUP, 0);
	show_names(fd, NOBODY);
	SHOW(recv(fd, &byte, 1, 0));
	SHOW(send(fd, "x", 1, MSG_NOSIGNAL));
	SHOW(shutdown(fd, SHUT_WR));
	SHOW(peer_connect(fd, &peer));
	SHOW(peer_connect(fd, &other));
	show_flags(fd);
	show_echo(fd, "better luck");
	SHOW(close(fd));
}

static void nonblocking(void)
{
	say("-- non-blocking");
	struct peer peer = net_peer(NOBODY);
	int fd = net_socket(&peer, SOCK_NONBLOCK);
	char byte;

	SHOW(peer_connect(fd, &peer));
	show_poll(fd, POLLIN | POLLOUT | POLLRDHUP, PATIENCE_MS);
	show_poll(fd, POLLIN | POLLOUT | POLLRDHUP, 0);
	show_error(fd);
	show_error(fd);
	show_poll(fd, POLLIN | POLLOUT | POLLRDHUP, 0);
	SHOW(recv(fd, &byte, 1, 0));
	SHOW(send(fd, "x", 1, MSG_NOSIGNAL));
	show_names(fd, NOBODY);
	show_flags(fd);
	SHOW(close(fd));
}

static void told_by_connect(void)
{
	say("-- the second connect tells");
	struct peer peer = net_peer(NOBODY), other = net_peer(ECHO);
	int fd = net_socket(&peer, SOCK_NONBLOCK);

	SHOW(peer_connect(fd, &peer));
	show_poll(fd, POLLOUT, PATIENCE_MS);
	SHOW(peer_connect(fd, &peer));
	show_error(fd);
	SHOW(peer_connect(fd, &other));
	show_poll(fd, POLLOUT, PATIENCE_MS);
	show_error(fd);
	show_echo(fd, "elsewhere");
	SHOW(close(fd));
}

static void told_by_data_calls(void)
{
	say("-- read and write tell");
	struct peer peer = net_peer(NOBODY);
	int fd = net_socket(&peer, SOCK_NONBLOCK);
	char byte;

	SHOW(peer_connect(fd, &peer));
	show_poll(fd, POLLOUT, PATIENCE_MS);
	SHOW(read(fd, &byte, 1));
	SHOW(read(fd, &byte, 1));
	show_error(fd);
	SHOW(close(fd));
	fd = net_socket(&peer, SOCK_NONBLOCK);
	SHOW(peer_connect(fd, &peer));
	show_poll(fd, POLLOUT, PATIENCE_MS);
	SHOW(send(fd, "x", 1, MSG_NOSIGNAL));
	SHOW(send(fd, "x", 1, MSG_NOSIGNAL));
	show_error(fd);
	SHOW(close(fd));
}

static void select_tells(void)
{
	say("-- select");
	struct peer peer = net_peer(NOBODY);
	int fd = net_socket(&peer, SOCK_NONBLOCK);
	struct timeval limit = {10, 0};
	fd_set in, out, except;

	FD_ZERO(&in);
	FD_SET(fd, &in);
	out = except = in;
	SHOW(peer_connect(fd, &peer));
	SHOW(select(fd + 1, &in, &out, &except, &limit));
	say("%d %d %d", FD_ISSET(fd, &in), FD_ISSET(fd, &out), FD_ISSET(fd, &except));
	show_error(fd);
	SHOW(close(fd));
}

static void epoll_tells(uint32_t trigger)
{
	say("-- epoll, %s", trigger ? "edge" : "level");
	struct peer peer = net_peer(NOBODY), other = net_peer(ECHO);
	int fd = net_socket(&peer, SOCK_NONBLOCK), set = epoll_create1(0);
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | trigger};

	SHOW(peer_connect(fd, &peer));
	SHOW(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event));
	SHOW(epoll_wait(set, &event, 1, PATIENCE_MS));
	say("%s", mask_text(event.events));
	show_error(fd);
	event.events = 0;
	SHOW(epoll_wait(set, &event, 1, 50));
	say("%s", mask_text(event.events));
	SHOW(peer_connect(fd, &peer));
	SHOW(peer_connect(fd, &other));
	SHOW(epoll_wait(set, &event, 1, PATIENCE_MS));
	show_poll(fd, POLLIN | POLLOUT, PATIENCE_MS);
	show_echo(fd, "better luck");
	SHOW(close(fd));
	SHOW(close(set));
}

static void reset_by_server(void)
{
	say("-- reset after it was accepted");
	int fd = net_connect_quiet(RESET);
	char byte;

	show_poll(fd, POLLIN | POLLRDHUP, PATIENCE_MS);
	SHOW(recv(fd, &byte, 1, 0));
	SHOW(recv(fd, &byte, 1, 0));
	SHOW(send(fd, "x", 1, MSG_NOSIGNAL));
	show_error(fd);
	show_poll(fd, POLLIN | POLLOUT | POLLRDHUP, 0);
	SHOW(close(fd));
}

static void fast_open(void)
{
	say("-- Fast Open");
	struct peer peer = net_peer(NOBODY);
	int fd = net_socket(&peer, 0);

	SHOW(sendto(fd, "hello?", 6, MSG_FASTOPEN | MSG_NOSIGNAL, (struct sockaddr *)&peer.addr, peer.len));
	show_error(fd);
	show_poll(fd, POLLIN | POLLOUT, 0);
	SHOW(close(fd));
}

int main(int argc, char **argv)
{
	net_start(argc, argv);
	blocking();
	nonblocking();
	told_by_connect();
	told_by_data_calls();
	select_tells();
	epoll_tells(0);
	epoll_tells(EPOLLET);
	fast_open();
	reset_by_server();
	return 0;
}
