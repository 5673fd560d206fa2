/* Nobody answers at any address: the failures are those of a timed out connect. */
#include "tests/preload/support/net.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_MS 30000

static void show_in_time(struct timespec begin, int limit_s)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	say("in time: %d", now.tv_sec - begin.tv_sec <= limit_s);
}

int main(int argc, char **argv)
{
	net_start(argc, argv);
	if (!net_loses())
		return 0;
	struct peer peer = net_peer(DEAD);
	int fd = net_socket(&peer, 0), other = net_socket(&peer, SOCK_NONBLOCK);
	struct timespec begin;
	char byte;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	SHOW(peer_connect(other, &peer));
	SHOW(peer_connect(fd, &peer));
	show_in_time(begin, 4);
	show_error(fd);
	show_poll(fd, POLLIN | POLLOUT, 0);
	SHOW(send(fd, "x", 1, MSG_NOSIGNAL));
	show_poll(other, POLLIN | POLLOUT, PATIENCE_MS);
	show_in_time(begin, 4);
	show_error(other);
	show_error(other);
	SHOW(recv(other, &byte, 1, 0));
	SHOW(close(fd));
	SHOW(close(other));
	return 0;
}
