/* Threads that wait already when another one connects, or while it does. */
#include "tests/preload/support/net.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/uio.h>
#include <unistd.h>

#define PATIENCE_MS 10000
#define SETTLE_MS 100

/* What a thread did, told after it ended. */
struct waiter {
	int fd;
	struct peer peer;
	long result;
	int error;
	uint32_t mask;
	pthread_t thread;
	void (*wait)(struct waiter *w);
};

static void *run(void *arg)
{
	struct waiter *w = arg;

	errno = 0;
	w->wait(w);
	w->error = errno;
	return NULL;
}

static void start(struct waiter *w, int fd, void (*wait)(struct waiter *w))
{
	w->fd = fd;
	w->wait = wait;
	w->mask = 0;
	need(pthread_create(&w->thread, NULL, run, w) == 0, "thread");
	pause_ms(SETTLE_MS);
}

static void end(struct waiter *w, const char *title)
{
	pthread_join(w->thread, NULL);
	say("%s: %ld %s %s", title, w->result, mask_text(w->mask),
	    w->result < 0 ? strerrorname_np(w->error) : "");
}

static void in_epoll(struct waiter *w)
{
	struct epoll_event event = {0};

	w->result = epoll_wait(w->fd, &event, 1, PATIENCE_MS);
	w->mask = event.events;
}

static void in_poll(struct waiter *w)
{
	struct pollfd p = {.fd = w->fd, .events = POLLOUT | POLLIN};

	w->result = poll(&p, 1, PATIENCE_MS);
	w->mask = (uint16_t)p.revents;
}

static void in_select(struct waiter *w)
{
	struct timeval limit = {PATIENCE_MS / 1000, 0};
	fd_set out;

	FD_ZERO(&out);
	FD_SET(w->fd, &out);
	w->result = select(w->fd + 1, NULL, &out, NULL, &limit);
	w->mask = FD_ISSET(w->fd, &out) ? POLLOUT : 0;
}

static void in_connect(struct waiter *w)
{
	w->result = peer_connect(w->fd, &w->peer);
}

static void in_recv(struct waiter *w)
{
	char buf[4];

	w->result = recv(w->fd, buf, sizeof(buf), MSG_WAITALL);
}

static void in_writev(struct waiter *w)
{
	struct iovec iov = {"wrtv", 4};

	w->result = writev(w->fd, &iov, 1);
}

static void shared_epoll(uint32_t trigger, bool before)
{
	say("-- a thread in epoll_wait, %s, registered %s connect", trigger ? "edge" : "level",
	    before ? "before" : "after");
	struct peer peer = net_peer(ECHO);
	int set = epoll_create1(0), fd = net_socket(&peer, SOCK_NONBLOCK);
	struct epoll_event event = {.events = EPOLLOUT | EPOLLIN | trigger};
	struct waiter w;

	if (before) {
		epoll_ctl(set, EPOLL_CTL_ADD, fd, &event);
		show_poll(set, POLLIN, 0);
		while (epoll_wait(set, &event, 1, 0) == 1 && trigger)
			continue;
		event.events = EPOLLOUT | EPOLLIN | trigger;
		if (trigger)
			start(&w, set, in_epoll);
	} else {
		start(&w, set, in_epoll);
	}
	SHOW(peer_connect(fd, &peer));
	if (!before)
		SHOW(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event));
	if (before && !trigger)
		start(&w, set, in_epoll);
	end(&w, "epoll_wait");
	show_error(fd);
	show_echo(fd, "after the wait");
	SHOW(close(set));
	SHOW(close(fd));
}

/* The wait begins while the connection is being made, and must end when it is there. */
static void on_slow(const char *title, void (*wait)(struct waiter *w))
{
	say("-- a thread in %s while connecting", title);
	struct peer peer = net_peer(SLOW);
	int fd = net_socket(&peer, SOCK_NONBLOCK);
	struct waiter w;

	SHOW(peer_connect(fd, &peer));
	start(&w, fd, wait);
	end(&w, title);
	show_error(fd);
	show_echo(fd, "after the wait");
	SHOW(close(fd));
}

static void data_on_slow(void)
{
	say("-- threads in recv and writev while connecting");
	struct peer peer = net_peer(SLOW);
	int fd = net_socket(&peer, SOCK_NONBLOCK);
	struct waiter reader, writer;

	SHOW(peer_connect(fd, &peer));
	SHOW(fcntl(fd, F_SETFL, O_RDWR));
	start(&reader, fd, in_recv);
	start(&writer, fd, in_writev);
	end(&writer, "writev");
	end(&reader, "recv");
	SHOW(close(fd));
}

static void polled_while_blocking(void)
{
	say("-- a thread in connect, polled by another");
	struct waiter w = {.peer = net_peer(SLOW)};
	int fd = net_socket(&w.peer, 0);

	start(&w, fd, in_connect);
	show_poll(fd, POLLOUT, 0);
	show_names(fd, SLOW);
	show_poll(fd, POLLOUT, PATIENCE_MS);
	end(&w, "connect");
	show_echo(fd, "by both");
	SHOW(close(fd));
}

static void two_in_connect(void)
{
	say("-- two threads in connect on one socket");
	struct waiter first = {.peer = net_peer(SLOW)}, second = first;
	int fd = net_socket(&first.peer, 0);

	start(&first, fd, in_connect);
	start(&second, fd, in_connect);
	end(&first, "the first");
	end(&second, "the second");
	show_echo(fd, "by both");
	SHOW(close(fd));
}

static void shut_while_blocking(void)
{
	say("-- shut down by another thread while connecting");
	struct waiter w = {.peer = net_peer(SLOW)};
	int fd = net_socket(&w.peer, 0);

	start(&w, fd, in_connect);
	SHOW(shutdown(fd, SHUT_RDWR));
	end(&w, "connect");
	show_poll(fd, POLLIN | POLLOUT, 0);
	SHOW(close(fd));
}

static void other_descriptors(void)
{
	say("-- a thread in poll on a pipe, while others connect");
	int pipes[2], fd;
	struct waiter w;

	need(pipe(pipes) == 0, "pipe");
	start(&w, pipes[0], in_poll);
	fd = net_connect(ECHO);
	SHOW(write(pipes[1], "x", 1));
	end(&w, "poll");
	SHOW(close(fd));
}

int main(int argc, char **argv)
{
	net_start(argc, argv);
	shared_epoll(0, false);
	shared_epoll(EPOLLET, false);
	shared_epoll(0, true);
	shared_epoll(EPOLLET, true);
	other_descriptors();
	if (net_loses()) {
		on_slow("poll", in_poll);
		on_slow("select", in_select);
		data_on_slow();
		polled_while_blocking();
		two_in_connect();
		shut_while_blocking();
	}
	return 0;
}
