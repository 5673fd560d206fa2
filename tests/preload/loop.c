/* Clients that try every answer in turn, that race by themselves, that look up in a thread. */
#include "tests/preload/support/net.h"

#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_MS 10000
#define STAGGER_MS 100

static struct addrinfo *look_up(enum service service)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
	char port[16];

	snprintf(port, sizeof(port), "%d", atoi(net_port()) + (int)service);
	need(getaddrinfo(net_host(), port, &hints, &list) == 0, "getaddrinfo");
	return list;
}

static long elapsed_s(const struct timespec *since)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec - since->tv_sec;
}

/* Each failure is shown; the first success ends the loop. */
static void in_turn(const char *title, enum service service, long limit_s)
{
	say("-- %s", title);
	struct addrinfo *list = look_up(service);
	struct timespec begin;
	int fd = -1;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (struct addrinfo *i = list; i && fd < 0; i = i->ai_next) {
		fd = socket(i->ai_family, i->ai_socktype, i->ai_protocol);
		if (SHOW(connect(fd, i->ai_addr, i->ai_addrlen)) == 0)
			break;
		close(fd);
		fd = -1;
	}
	say("in time: %d", elapsed_s(&begin) <= limit_s);
	freeaddrinfo(list);
	if (fd < 0)
		return;
	show_names(fd, service);
	show_echo(fd, title);
	SHOW(close(fd));
}

static int begin_one(const struct addrinfo *at)
{
	int fd = socket(at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	need(connect(fd, at->ai_addr, at->ai_addrlen) == 0 || errno == EINPROGRESS, "connect");
	return fd;
}

static bool is_connected(int fd)
{
	int error = -1;
	socklen_t len = sizeof(error);

	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && !error;
}

/* Happy eyeballs of its own: the second attempt begins a little later, the first to connect wins. */
static void by_itself(void)
{
	say("-- a program that races by itself");
	struct addrinfo *list = look_up(ECHO), *i = list;
	struct pollfd fds[8];
	int n = 0, winner = -1;

	for (int ms = 0; ms < PATIENCE_MS && winner < 0; ms += STAGGER_MS) {
		if (i && n < 8) {
			fds[n++] = (struct pollfd){.fd = begin_one(i), .events = POLLOUT};
			i = i->ai_next;
		}
		poll(fds, (nfds_t)n, STAGGER_MS);
		for (int at = 0; at < n; at++) {
			if (!fds[at].revents)
				continue;
			if (is_connected(fds[at].fd))
				winner = at;
			else
				fds[at].fd = ~fds[at].fd;
		}
	}
	freeaddrinfo(list);
	need(winner >= 0, "a winner");
	show_echo(fds[winner].fd, "the winner");
	for (int at = 0; at < n; at++)
		need(close(fds[at].fd < 0 ? ~fds[at].fd : fds[at].fd) == 0, "close");
}

static void *look_up_elsewhere(void *ret)
{
	*(struct peer *)ret = net_peer(ECHO);
	return NULL;
}

static void by_thread(void)
{
	say("-- looked up by another thread");
	pthread_t thread;
	struct peer peer;

	need(pthread_create(&thread, NULL, look_up_elsewhere, &peer) == 0, "thread");
	pthread_join(thread, NULL);
	int fd = net_socket(&peer, 0);
	SHOW(peer_connect(fd, &peer));
	show_echo(fd, "after it ended");
	SHOW(close(fd));
}

int main(int argc, char **argv)
{
	net_start(argc, argv);
	in_turn("somebody answers", ECHO, 2);
	by_itself();
	by_thread();
	in_turn("and once more", ECHO, 2);
	return 0;
}
