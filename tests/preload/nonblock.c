/* Non-blocking connects: three ways to ask for them, five to wait. */
#define _FILE_OFFSET_BITS 64 /* fcntl becomes fcntl64 */
#include "tests/preload/support/net.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE 10

static int by_fcntl(const struct peer *peer)
{
	int fd = net_socket(peer, SOCK_CLOEXEC);

	SHOW(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK));
	return fd;
}

static int by_ioctl(const struct peer *peer)
{
	int fd = net_socket(peer, 0);
	int on = 1;

	SHOW(ioctl(fd, FIONBIO, &on));
	return fd;
}

static int by_type(const struct peer *peer)
{
	return net_socket(peer, SOCK_NONBLOCK);
}

static void wait_poll(int fd)
{
	show_poll(fd, POLLIN | POLLOUT | POLLPRI, PATIENCE * 1000);
}

static void wait_ppoll(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	sigset_t none;

	sigemptyset(&none);
	SHOW(ppoll(&p, 1, &(struct timespec){PATIENCE, 0}, &none));
	say("%s", mask_text((uint16_t)p.revents));
}

static void show_sets(int n, int fd, fd_set sets[3])
{
	say("%d:%s%s%s", n, FD_ISSET(fd, &sets[0]) ? " readable" : "",
	    FD_ISSET(fd, &sets[1]) ? " writable" : "", FD_ISSET(fd, &sets[2]) ? " exceptional" : "");
}

static void fill_sets(int fd, fd_set sets[3])
{
	for (int i = 0; i < 3; i++) {
		FD_ZERO(&sets[i]);
		FD_SET(fd, &sets[i]);
	}
}

static void wait_select(int fd)
{
	struct timeval limit = {PATIENCE, 0};
	fd_set sets[3];

	fill_sets(fd, sets);
	show_sets(select(fd + 1, &sets[0], &sets[1], &sets[2], &limit), fd, sets);
	say("time is left: %d", limit.tv_sec > 0 || limit.tv_usec > 0);
}

static void wait_pselect(int fd)
{
	struct timespec limit = {PATIENCE, 0};
	sigset_t none;
	fd_set sets[3];

	sigemptyset(&none);
	fill_sets(fd, sets);
	show_sets(pselect(fd + 1, &sets[0], &sets[1], &sets[2], &limit, &none), fd, sets);
	say("the time limit is untouched: %d", limit.tv_sec == PATIENCE);
}

static void wait_poll_of_many(int fd)
{
	struct pollfd p[3] = {{.fd = -1, .events = POLLIN, .revents = POLLIN},
			      {.fd = fd, .events = POLLOUT},
			      {.fd = 1000000, .events = POLLIN}};

	SHOW(poll(p, 2, PATIENCE * 1000));
	say("%s, %s", mask_text((uint16_t)p[0].revents), mask_text((uint16_t)p[1].revents));
	SHOW(poll(p, 3, PATIENCE * 1000));
	say("%s, %s", mask_text((uint16_t)p[1].revents), mask_text((uint16_t)p[2].revents));
}

static const struct style {
	const char *name;
	int (*make)(const struct peer *peer);
	void (*wait)(int fd);
} styles[] = {
	{"fcntl, poll", by_fcntl, wait_poll},     {"ioctl, select", by_ioctl, wait_select},
	{"type, ppoll", by_type, wait_ppoll},     {"fcntl, pselect", by_fcntl, wait_pselect},
	{"ioctl, poll", by_ioctl, wait_poll},     {"type, select", by_type, wait_select},
	{"fcntl, ppoll", by_fcntl, wait_ppoll},   {"ioctl, pselect", by_ioctl, wait_pselect},
	{"type, poll", by_type, wait_poll_of_many},
};

static void in_style(const struct style *style)
{
	say("-- %s", style->name);
	struct peer peer = net_peer(ECHO);
	int fd = style->make(&peer);

	SHOW(peer_connect(fd, &peer));
	style->wait(fd);
	show_error(fd);
	show_error(fd);
	show_flags(fd);
	show_names(fd, ECHO);
	show_poll(fd, POLLIN | POLLOUT, 0);
	char byte;
	SHOW(recv(fd, &byte, 1, 0));
	show_echo(fd, "hello");
	SHOW(close(fd));
}

/* As ab, redis-cli and lynx do: the second connect() tells how the first one ended. */
static void asks_by_connect(void)
{
	say("-- connect twice");
	struct peer peer = net_peer(ECHO);
	int fd = net_socket(&peer, SOCK_NONBLOCK);

	SHOW(peer_connect(fd, &peer));
	show_poll(fd, POLLOUT, PATIENCE * 1000);
	SHOW(peer_connect(fd, &peer));
	SHOW(peer_connect(fd, &peer));
	show_error(fd);
	show_echo(fd, "twice");
	SHOW(close(fd));
}

static void becomes_blocking(void)
{
	say("-- blocking again after connect");
	struct peer peer = net_peer(ECHO);
	int fd = net_socket(&peer, SOCK_NONBLOCK);

	SHOW(peer_connect(fd, &peer));
	SHOW(fcntl(fd, F_SETFL, O_RDWR));
	SHOW(write(fd, "waits for the connection", 24));
	show_read(fd, 24);
	show_flags(fd);
	SHOW(close(fd));
}

static void while_connecting(void)
{
	say("-- while connecting");
	struct peer peer = net_peer(SLOW);
	int fd = net_socket(&peer, SOCK_NONBLOCK | SOCK_CLOEXEC);
	char byte;
	int unread = -1;

	show_poll(fd, POLLIN | POLLOUT, 0);
	SHOW(recv(fd, &byte, 1, 0));
	SHOW(send(fd, "x", 1, MSG_NOSIGNAL));
	show_names(fd, SLOW);
	SHOW(peer_connect(fd, &peer));
	SHOW(peer_connect(fd, &peer));
	show_poll(fd, POLLIN | POLLOUT | POLLPRI | POLLRDHUP, 0);
	SHOW(read(fd, &byte, 1));
	SHOW(recv(fd, &byte, 1, MSG_PEEK));
	SHOW(write(fd, "x", 1));
	SHOW(send(fd, "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT));
	SHOW(ioctl(fd, FIONREAD, &unread));
	say("%d unread", unread);
	show_names(fd, SLOW);
	show_error(fd);
	show_flags(fd);
	SHOW(listen(fd, 1));
	show_poll(fd, POLLIN, 100);
	wait_poll(fd);
	SHOW(peer_connect(fd, &peer));
	SHOW(peer_connect(fd, &peer));
	show_flags(fd);
	show_names(fd, SLOW);
	show_echo(fd, "slowly");
	SHOW(close(fd));
}

/* A read that was begun while the connection is made waits for it. */
static void reads_early(void)
{
	say("-- an early read");
	struct peer peer = net_peer(SLOW);
	int fd = net_socket(&peer, SOCK_NONBLOCK);
	char buf[8];

	SHOW(peer_connect(fd, &peer));
	SHOW(fcntl(fd, F_SETFL, O_RDWR));
	SHOW(write(fd, "early", 5));
	SHOW(recv(fd, buf, 5, MSG_WAITALL));
	SHOW(close(fd));
}

int main(int argc, char **argv)
{
	net_start(argc, argv);
	for (size_t i = 0; i < sizeof(styles) / sizeof(styles[0]); i++)
		in_style(&styles[i]);
	asks_by_connect();
	becomes_blocking();
	if (net_loses()) {
		while_connecting();
		reads_early();
	}
	return 0;
}
