/* The table of descriptors is full: the same calls fail, and the same number could be opened. */
#include "tests/preload/support/net.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#define PATIENCE_MS 10000
#define LIMIT 64

int main(int argc, char **argv)
{
	net_start(argc, argv);
	struct rlimit r = {LIMIT, LIMIT};
	struct peer peer = net_peer(ECHO);
	int fds[LIMIT], n = 0, pair[2];

	SHOW(close(net_connect(ECHO)));
	need(setrlimit(RLIMIT_NOFILE, &r) == 0, "setrlimit");
	while (n < LIMIT && (fds[n] = socket(peer.addr.ss_family, SOCK_STREAM, 0)) >= 0)
		n++;
	say("%d sockets, then %s", n, strerrorname_np(errno));
	SHOW(socket(AF_INET, SOCK_STREAM, 0));
	SHOW(dup(fds[0]));
	SHOW(fcntl(fds[0], F_DUPFD, 0));
	SHOW(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	SHOW(pipe(pair));
	SHOW(epoll_create1(0));
	SHOW(accept(fds[0], NULL, NULL));
	SHOW(dup2(fds[0], LIMIT));
	SHOW(dup2(fds[0], LIMIT - 1));
	SHOW(peer_connect(fds[0], &peer));
	show_echo(fds[0], "with a full table");
	SHOW(fcntl(fds[1], F_SETFL, O_NONBLOCK));
	SHOW(peer_connect(fds[1], &peer));
	show_poll(fds[1], POLLOUT, PATIENCE_MS);
	show_error(fds[1]);
	show_echo(fds[1], "non-blocking");
	for (int i = 0; i < n; i++)
		need(close(fds[i]) == 0, "close");
	int fd = net_connect(ECHO);
	show_echo(fd, "with room again");
	SHOW(close(fd));
	return 0;
}
