/* Several descriptors of one socket: made before, while and after it connects, closed in every order. */
#include "tests/preload/support/net.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define PATIENCE_MS 10000

static int by_dup(int fd)
{
	return dup(fd);
}

static int by_dup2(int fd)
{
	return dup2(fd, 200);
}

static int by_dup3(int fd)
{
	return dup3(fd, 201, O_CLOEXEC);
}

static int by_dupfd(int fd)
{
	return fcntl(fd, F_DUPFD, 300);
}

static int by_dupfd_cloexec(int fd)
{
	return fcntl(fd, F_DUPFD_CLOEXEC, 301);
}

static const struct way {
	const char *name;
	int (*copy)(int fd);
} ways[] = {
	{"dup", by_dup},         {"dup2", by_dup2},
	{"dup3", by_dup3},       {"F_DUPFD", by_dupfd},
	{"F_DUPFD_CLOEXEC", by_dupfd_cloexec},
};

/* The copy is made before connect; connect goes through the original, data through both. */
static void before(const struct way *way)
{
	say("-- %s before connect", way->name);
	struct peer peer = net_peer(ECHO);
	int fd = net_socket(&peer, SOCK_CLOEXEC), copy = way->copy(fd);

	SHOW(copy != fd);
	SHOW(peer_connect(fd, &peer));
	show_flags(fd);
	show_flags(copy);
	show_names(copy, ECHO);
	show_echo(copy, "by the copy");
	SHOW(peer_connect(copy, &peer));
	SHOW(close(fd));
	show_echo(copy, "the original is closed");
	SHOW(shutdown(copy, SHUT_WR));
	show_read(copy, 1);
	SHOW(close(copy));
	SHOW(close(copy));
}

static void nonblocking(const struct way *way)
{
	say("-- %s, non-blocking", way->name);
	struct peer peer = net_peer(ECHO);
	int fd = net_socket(&peer, 0), copy = way->copy(fd);

	SHOW(fcntl(copy, F_SETFL, O_RDWR | O_NONBLOCK));
	show_flags(fd);
	SHOW(peer_connect(fd, &peer));
	SHOW(close(fd));
	show_poll(copy, POLLIN | POLLOUT, PATIENCE_MS);
	show_error(copy);
	show_flags(copy);
	show_echo(copy, "connected");
	SHOW(close(copy));
}

static void connected_by_copy(void)
{
	say("-- connect by the copy, the original waits");
	struct peer peer = net_peer(ECHO);
	int fd = net_socket(&peer, SOCK_NONBLOCK), copy = dup(fd);

	SHOW(peer_connect(copy, &peer));
	show_poll(fd, POLLOUT, PATIENCE_MS);
	SHOW(peer_connect(fd, &peer));
	SHOW(peer_connect(copy, &peer));
	SHOW(close(copy));
	show_echo(fd, "by the original");
	SHOW(close(fd));
}

/* A copy of a socket that is being connected. */
static void while_connecting(void)
{
	say("-- copies while connecting");
	struct peer peer = net_peer(SLOW);
	int fd = net_socket(&peer, SOCK_NONBLOCK);

	SHOW(peer_connect(fd, &peer));
	int copy = dup(fd), high = fcntl(fd, F_DUPFD_CLOEXEC, 400);
	SHOW(close(fd));
	show_poll(copy, POLLOUT, 0);
	SHOW(peer_connect(high, &peer));
	show_poll(high, POLLOUT, PATIENCE_MS);
	show_poll(copy, POLLOUT, 0);
	show_error(copy);
	show_flags(high);
	show_flags(copy);
	show_names(copy, SLOW);
	show_echo(high, "by the high one");
	SHOW(close(high));
	show_echo(copy, "by the copy");
	SHOW(close(copy));
}

/* Another file takes the place of a socket that is being connected, and the socket's number is used again. */
static void replaced_while_connecting(void)
{
	say("-- replaced while connecting");
	struct peer slow = net_peer(SLOW), peer = net_peer(ECHO);
	int fd = net_socket(&slow, SOCK_NONBLOCK), pipes[2];

	need(pipe(pipes) == 0, "pipe");
	SHOW(peer_connect(fd, &slow));
	SHOW(dup2(pipes[0], fd) == fd);
	SHOW(write(pipes[1], "by the pipe", 11));
	show_read(fd, 11);
	SHOW(peer_connect(fd, &peer));
	pause_ms(1500);
	SHOW(write(pipes[1], "still the pipe", 14));
	show_read(fd, 14);
	int other = net_socket(&peer, 0);
	SHOW(dup3(other, fd, O_CLOEXEC) == fd);
	SHOW(peer_connect(fd, &peer));
	show_flags(fd);
	show_flags(other);
	show_echo(other, "a new socket");
	SHOW(close(other));
	SHOW(close(fd));
}

static void onto_standard_streams(void)
{
	say("-- as standard input");
	int fd = net_connect(ECHO), saved = dup(STDIN_FILENO);

	SHOW(dup2(fd, STDIN_FILENO));
	SHOW(close(fd));
	SHOW(send(STDIN_FILENO, "by number 0", 11, 0));
	show_read(STDIN_FILENO, 11);
	show_names(STDIN_FILENO, ECHO);
	SHOW(dup2(saved, STDIN_FILENO));
	SHOW(send(STDIN_FILENO, "x", 1, 0));
	SHOW(close(saved));
}

static void bad_arguments(void)
{
	say("-- bad arguments");
	int fd = net_connect(ECHO);

	SHOW(dup(-1));
	SHOW(dup2(-1, 5));
	SHOW(dup2(fd, -1));
	SHOW(dup2(fd, fd) == fd);
	SHOW(dup2(99, 99));
	SHOW(dup3(fd, fd, 0));
	SHOW(dup3(fd, 50, 77));
	SHOW(fcntl(fd, F_DUPFD, -1));
	SHOW(fcntl(fd, F_DUPFD, 100000000));
	SHOW(fcntl(fd, 9999));
	show_echo(fd, "none the worse");
	SHOW(close(fd));
}

int main(int argc, char **argv)
{
	net_start(argc, argv);
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		before(&ways[i]);
		nonblocking(&ways[i]);
	}
	connected_by_copy();
	onto_standard_streams();
	bad_arguments();
	if (net_loses()) {
		while_connecting();
		replaced_while_connecting();
	}
	return 0;
}
