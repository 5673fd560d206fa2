/* Sockets used before main and after it: in a constructor, in atexit functions and in destructors. */
#include "tests/preload/support/net.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int early_fd = -1;
static int late_fd = -1;
static char early_text[400];

/* Output is kept for main: stdout may not be ready here. */
__attribute__((constructor(101))) static void before_main(void)
{
	struct sockaddr_in self = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(self);
	int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), client = socket(AF_INET, SOCK_STREAM, 0);
	char buf[8] = "";

	early_fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0);
	int copy = dup(early_fd);
	int bound = bind(server, (struct sockaddr *)&self, len), listening = listen(server, 1);
	getsockname(server, (struct sockaddr *)&self, &len);
	int connected = connect(client, (struct sockaddr *)&self, len);
	int accepted = accept(server, NULL, NULL);
	ssize_t sent = send(client, "early", 5, 0), got = recv(accepted, buf, 8, 0);
	int ready = poll(&(struct pollfd){.fd = client, .events = POLLOUT}, 1, 0);
	snprintf(early_text, sizeof(early_text),
		 "bind %d listen %d connect %d send %zd recv %zd %s poll %d close %d %d %d", bound, listening,
		 connected, sent, got, buf, ready, close(accepted), close(client), close(server));
	close(copy);
}

static void at_exit(void)
{
	say("-- at exit");
	show_echo(late_fd, "late");
	int fd = net_connect(ECHO);
	show_echo(fd, "later");
	SHOW(close(fd));
}

__attribute__((destructor(101))) static void after_main(void)
{
	say("-- in a destructor");
	show_echo(late_fd, "latest");
	SHOW(close(late_fd));
	int fd = net_connect(ECHO);
	show_echo(fd, "the very last");
	fflush(stdout);
}

int main(int argc, char **argv)
{
	net_start(argc, argv);
	say("-- before main");
	say("%s", early_text);
	show_flags(early_fd);
	show_option(early_fd, "SO_DOMAIN", SOL_SOCKET, SO_DOMAIN);
	say("-- in main");
	struct peer peer = net_peer(ECHO);
	if (peer.addr.ss_family == AF_INET6) {
		SHOW(peer_connect(early_fd, &peer));
		show_poll(early_fd, POLLOUT, 10000);
		show_echo(early_fd, "made early");
	}
	late_fd = net_connect(ECHO);
	SHOW(atexit(at_exit));
	return 0;
}
