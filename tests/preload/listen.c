/* Listening sockets, and what accepted ones inherit. */
#include "tests/preload/support/net.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/time.h>
#include <unistd.h>

#define PATIENCE_MS 10000

static int client_of(const struct peer *at)
{
	int fd = net_socket(at, 0);

	need(peer_connect(fd, at) == 0, "connect");
	return fd;
}

static void inherited(void)
{
	say("-- what is inherited");
	struct peer at, from;
	int server = net_listen(&at), on = 1, size = 40000;
	struct linger linger = {1, 4};

	SHOW(fcntl(server, F_SETFL, O_RDWR | O_NONBLOCK));
	SHOW(setsockopt(server, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)));
	SHOW(setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)));
	SHOW(setsockopt(server, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)));
	SHOW(setsockopt(server, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
	show_option(server, "SO_ACCEPTCONN", SOL_SOCKET, SO_ACCEPTCONN);
	SHOW(accept(server, NULL, NULL));
	int client = client_of(&at);
	show_poll(server, POLLIN, PATIENCE_MS);
	from.len = sizeof(from.addr);
	int accepted = accept(server, (struct sockaddr *)&from.addr, &from.len);
	say("%u bytes of name, family %d", from.len, from.addr.ss_family);
	show_flags(accepted);
	show_option(accepted, "SO_KEEPALIVE", SOL_SOCKET, SO_KEEPALIVE);
	show_option(accepted, "TCP_NODELAY", IPPROTO_TCP, TCP_NODELAY);
	show_option(accepted, "SO_RCVBUF", SOL_SOCKET, SO_RCVBUF);
	show_option(accepted, "SO_ACCEPTCONN", SOL_SOCKET, SO_ACCEPTCONN);
	SHOW(write(client, "question", 8));
	show_read(accepted, 8);
	SHOW(write(accepted, "answer", 6));
	show_read(client, 6);
	SHOW(accept(server, NULL, NULL));
	SHOW(close(accepted));
	show_read(client, 1);
	SHOW(close(client));
	SHOW(close(server));
}

static void flags(int ask)
{
	say("-- accept4 with %s%s", ask & SOCK_NONBLOCK ? "SOCK_NONBLOCK " : "",
	    ask & SOCK_CLOEXEC ? "SOCK_CLOEXEC" : "");
	struct peer at;
	int server = net_listen(&at), client = client_of(&at), accepted = accept4(server, NULL, NULL, ask);

	show_flags(accepted);
	show_flags(server);
	SHOW(send(client, "to it", 5, 0));
	show_poll(accepted, POLLIN, PATIENCE_MS);
	show_read(accepted, 5);
	SHOW(shutdown(server, SHUT_RD));
	SHOW(accept4(server, NULL, NULL, SOCK_NONBLOCK));
	SHOW(close(accepted));
	SHOW(close(client));
	SHOW(close(server));
}

struct acceptor {
	int server;
	int fd;
	int error;
};

static void *accept_one(void *arg)
{
	struct acceptor *a = arg;

	a->fd = accept(a->server, NULL, NULL);
	a->error = errno;
	return NULL;
}

static void blocking(void)
{
	say("-- a thread in accept");
	struct peer at;
	struct acceptor a = {.server = net_listen(&at)};
	pthread_t thread;

	need(pthread_create(&thread, NULL, accept_one, &a) == 0, "thread");
	pause_ms(50);
	int client = client_of(&at);
	pthread_join(thread, NULL);
	SHOW(write(a.fd, "accepted", 8));
	show_read(client, 8);
	SHOW(close(a.fd));
	SHOW(close(client));
	need(pthread_create(&thread, NULL, accept_one, &a) == 0, "thread");
	pause_ms(50);
	SHOW(shutdown(a.server, SHUT_RDWR));
	pthread_join(thread, NULL);
	say("accept after shutdown: %d %s", a.fd, strerrorname_np(a.error));
	SHOW(close(a.server));
}

static void limited(void)
{
	say("-- accept with SO_RCVTIMEO");
	struct peer at;
	int server = net_listen(&at);
	struct timeval limit = {0, 50000};

	SHOW(setsockopt(server, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)));
	SHOW(accept(server, NULL, NULL));
	SHOW(close(server));
}

static void watched(void)
{
	say("-- watched by epoll, edge triggered");
	struct peer at;
	int server = net_listen(&at), set = epoll_create1(0), clients[3];
	struct epoll_event event = {.events = EPOLLIN | EPOLLET};

	SHOW(fcntl(server, F_SETFL, O_RDWR | O_NONBLOCK));
	SHOW(epoll_ctl(set, EPOLL_CTL_ADD, server, &event));
	for (int i = 0; i < 3; i++)
		clients[i] = client_of(&at);
	SHOW(epoll_wait(set, &event, 1, PATIENCE_MS));
	int n = 0, fd;
	while ((fd = accept4(server, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
		n++;
		close(fd);
	}
	say("%d accepted, then %s", n, strerrorname_np(errno));
	SHOW(epoll_wait(set, &event, 1, 0));
	for (int i = 0; i < 3; i++)
		close(clients[i]);
	SHOW(close(server));
	SHOW(close(set));
}

static void unusual(void)
{
	say("-- listen without bind, twice, while connected");
	int fd = socket(AF_INET6, SOCK_STREAM, 0);
	struct peer at;
	struct sockaddr_in6 self;
	socklen_t len = sizeof(self);

	SHOW(accept(fd, NULL, NULL));
	SHOW(listen(fd, 5));
	SHOW(listen(fd, 7));
	SHOW(getsockname(fd, (struct sockaddr *)&self, &len));
	say("a port: %d", self.sin6_port != 0);
	SHOW(connect(fd, (struct sockaddr *)&self, sizeof(self)));
	SHOW(close(fd));
	int server = net_listen(&at), client = client_of(&at);
	SHOW(listen(client, 1));
	int second = net_socket(&at, 0);
	SHOW(bind(second, (struct sockaddr *)&at.addr, at.len));
	SHOW(accept4(server, NULL, NULL, 99));
	SHOW(accept(-1, NULL, NULL));
	SHOW(listen(-1, 1));
	SHOW(close(second));
	SHOW(close(client));
	SHOW(close(server));
}

int main(int argc, char **argv)
{
	net_start(argc, argv);
	inherited();
	flags(0);
	flags(SOCK_NONBLOCK);
	flags(SOCK_CLOEXEC);
	flags(SOCK_NONBLOCK | SOCK_CLOEXEC);
	blocking();
	limited();
	watched();
	unusual();
	return 0;
}
