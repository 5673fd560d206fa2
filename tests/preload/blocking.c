/* The naive client: look a name up, connect to the first answer, talk. */
#include "tests/preload/support/net.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void talk(void)
{
	say("-- talk");
	int fd = net_connect(ECHO);

	show_flags(fd);
	show_names(fd, ECHO);
	show_error(fd);
	show_echo(fd, "one");
	show_echo(fd, "two, and more of it");
	show_poll(fd, POLLIN | POLLOUT | POLLRDHUP, 0);
	SHOW(shutdown(fd, SHUT_WR));
	show_read(fd, 10);
	show_poll(fd, POLLIN | POLLOUT | POLLRDHUP, 0);
	SHOW(close(fd));
	SHOW(close(fd));
}

static void connect_again(void)
{
	say("-- connect again");
	struct peer peer = net_peer(ECHO);
	int fd = net_socket(&peer, SOCK_CLOEXEC);

	SHOW(peer_connect(fd, &peer));
	SHOW(peer_connect(fd, &peer));
	SHOW(peer_connect(fd, &peer));
	show_flags(fd);
	show_echo(fd, "still there");
	SHOW(close(fd));
}

static void half_close(void)
{
	say("-- half close");
	int fd = net_connect(COUNT);

	SHOW(write(fd, "twelve bytes", 12));
	SHOW(shutdown(fd, SHUT_WR));
	SHOW(send(fd, "x", 1, MSG_NOSIGNAL));
	show_read(fd, 100);
	SHOW(shutdown(fd, SHUT_RDWR));
	show_poll(fd, POLLIN | POLLOUT | POLLRDHUP, 0);
	SHOW(close(fd));
}

static void server_first(void)
{
	say("-- the server speaks first");
	int fd = net_connect(GREET);

	show_read(fd, 100);
	show_names(fd, GREET);
	show_poll(fd, POLLIN | POLLRDHUP, 0);
	SHOW(write(fd, "late", 4));
	SHOW(close(fd));
}

static void flood(void)
{
	say("-- a quarter of a megabyte");
	int fd = net_connect(FLOOD);
	unsigned char buf[10000];
	size_t total = 0, wrong = 0;
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0) {
		for (ssize_t i = 0; i < n; i++)
			wrong += buf[i] != flood_byte(total + (size_t)i);
		total += (size_t)n;
	}
	say("%zu bytes, %zu wrong, end %zd", total, wrong, n);
	SHOW(close(fd));
}

static void bad_arguments(void)
{
	say("-- bad arguments");
	struct peer peer = net_peer(ECHO);
	int fd = net_socket(&peer, 0);
	struct sockaddr other = {.sa_family = 77};

	SHOW(connect(fd, (struct sockaddr *)&peer.addr, 3));
	SHOW(connect(fd, NULL, peer.len));
	SHOW(connect(fd, &other, sizeof(other)));
	SHOW(connect(-1, (struct sockaddr *)&peer.addr, peer.len));
	SHOW(connect(0, (struct sockaddr *)&peer.addr, peer.len));
	SHOW(peer_connect(fd, &peer));
	show_echo(fd, "good after all");
	SHOW(close(fd));
}

int main(int argc, char **argv)
{
	net_start(argc, argv);
	talk();
	connect_again();
	half_close();
	server_first();
	flood();
	bad_arguments();
	return 0;
}
