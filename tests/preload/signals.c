/* Signals and time limits while connecting and reading; handlers that use sockets themselves. */
#include "tests/preload/support/net.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/time.h>
#include <unistd.h>

#define PATIENCE_MS 10000

static volatile sig_atomic_t caught;
static int handler_fd = -1;
static int handler_result, handler_errno;
static struct peer handler_peer;

static void note(int number)
{
	(void)number;
	caught++;
}

static void handle(void (*handler)(int), int flags)
{
	struct sigaction action = {.sa_handler = handler, .sa_flags = flags};

	sigaction(SIGALRM, &action, NULL);
	caught = 0;
}

static void alarm_in(int ms)
{
	struct itimerval timer = {.it_value = {ms / 1000, ms % 1000 * 1000}};

	setitimer(ITIMER_REAL, &timer, NULL);
}

static void interrupted_connect(void)
{
	say("-- a signal interrupts connect");
	struct peer peer = net_peer(SLOW);
	int fd = net_socket(&peer, 0);

	handle(note, 0);
	alarm_in(100);
	SHOW(peer_connect(fd, &peer));
	say("caught %d", (int)caught);
	show_poll(fd, POLLOUT, 0);
	SHOW(fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK));
	SHOW(peer_connect(fd, &peer));
	SHOW(fcntl(fd, F_SETFL, O_RDWR));
	SHOW(peer_connect(fd, &peer));
	SHOW(peer_connect(fd, &peer));
	show_echo(fd, "after all");
	SHOW(close(fd));
}

static void interrupted_then_polled(void)
{
	say("-- a signal interrupts connect, poll waits for the rest");
	struct peer peer = net_peer(SLOW);
	int fd = net_socket(&peer, SOCK_CLOEXEC);

	handle(note, 0);
	alarm_in(100);
	SHOW(peer_connect(fd, &peer));
	show_poll(fd, POLLOUT, PATIENCE_MS);
	show_error(fd);
	show_flags(fd);
	show_echo(fd, "after all");
	SHOW(close(fd));
}

static void restarted_connect(void)
{
	say("-- connect goes on after a signal with SA_RESTART");
	struct peer peer = net_peer(SLOW);
	int fd = net_socket(&peer, 0);

	handle(note, SA_RESTART);
	alarm_in(100);
	SHOW(peer_connect(fd, &peer));
	say("caught %d", (int)caught);
	show_echo(fd, "restarted");
	SHOW(close(fd));
}

static void limited_connect(void)
{
	say("-- SO_SNDTIMEO ends connect");
	struct peer peer = net_peer(SLOW);
	int fd = net_socket(&peer, 0);
	struct timeval limit = {0, 100000}, none = {0, 0};

	SHOW(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)));
	SHOW(peer_connect(fd, &peer));
	SHOW(peer_connect(fd, &peer));
	show_poll(fd, POLLOUT, 0);
	SHOW(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &none, sizeof(none)));
	SHOW(peer_connect(fd, &peer));
	show_echo(fd, "in the end");
	SHOW(close(fd));
}

static void limited_and_interrupted(void)
{
	say("-- SO_SNDTIMEO and SA_RESTART");
	struct peer peer = net_peer(SLOW);
	int fd = net_socket(&peer, 0);
	struct timeval limit = {5, 0};

	handle(note, SA_RESTART);
	SHOW(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)));
	alarm_in(100);
	SHOW(peer_connect(fd, &peer));
	show_poll(fd, POLLOUT, PATIENCE_MS);
	show_echo(fd, "in the end");
	SHOW(close(fd));
}

static void interrupted_waits(void)
{
	say("-- a signal interrupts waits while connecting");
	struct peer peer = net_peer(SLOW);
	int fd = net_socket(&peer, SOCK_NONBLOCK), set = epoll_create1(0);
	struct epoll_event event = {.events = EPOLLOUT};

	handle(note, SA_RESTART);
	SHOW(peer_connect(fd, &peer));
	SHOW(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event));
	alarm_in(50);
	SHOW(epoll_wait(set, &event, 1, PATIENCE_MS));
	alarm_in(50);
	show_poll(fd, POLLOUT, PATIENCE_MS);
	say("caught %d", (int)caught);
	SHOW(epoll_wait(set, &event, 1, PATIENCE_MS));
	SHOW(close(set));
	SHOW(close(fd));
}

static void interrupted_read(void)
{
	say("-- reads");
	int fd = net_connect(ECHO);
	struct timeval limit = {0, 100000}, none = {0, 0};
	char byte;

	handle(note, 0);
	alarm_in(50);
	SHOW(read(fd, &byte, 1));
	SHOW(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)));
	SHOW(recv(fd, &byte, 1, 0));
	SHOW(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &none, sizeof(none)));
	show_echo(fd, "none the worse");
	SHOW(close(fd));
}

static void broken_pipe(void)
{
	say("-- SIGPIPE");
	struct sigaction action = {.sa_handler = note};
	int fd = net_connect(ECHO);

	caught = 0;
	sigaction(SIGPIPE, &action, NULL);
	SHOW(shutdown(fd, SHUT_WR));
	SHOW(write(fd, "x", 1));
	say("caught %d", (int)caught);
	SHOW(send(fd, "x", 1, MSG_NOSIGNAL));
	say("caught %d", (int)caught);
	signal(SIGPIPE, SIG_DFL);
	SHOW(close(fd));
}

static void close_in_handler(int number)
{
	(void)number;
	handler_result = close(handler_fd);
	handler_errno = errno;
	caught++;
}

static void write_in_handler(int number)
{
	(void)number;
	handler_result = (int)write(handler_fd, "handler", 7);
	caught++;
}

static void connect_in_handler(int number)
{
	int saved = errno;

	(void)number;
	handler_result = peer_connect(handler_fd, &handler_peer);
	handler_errno = errno;
	caught++;
	errno = saved;
}

static sigjmp_buf way_out;

static void jump(int number)
{
	(void)number;
	siglongjmp(way_out, 1);
}

/* How programs without threads limited their look-ups and connects. */
static void handler_jumps(void)
{
	say("-- a handler jumps out of connect");
	struct peer peer = net_peer(SLOW);
	int fd = net_socket(&peer, 0);

	handle(jump, 0);
	if (sigsetjmp(way_out, 1) == 0) {
		alarm_in(100);
		peer_connect(fd, &peer);
		say("connected too soon");
	}
	show_poll(fd, POLLOUT, 0);
	SHOW(close(fd));
	for (int i = 0; i < 2; i++) {
		fd = net_connect(ECHO);
		show_echo(fd, "none the worse");
		SHOW(close(fd));
	}
}

static void handler_closes(void)
{
	say("-- a handler closes the socket that is being connected");
	struct peer peer = net_peer(SLOW);
	int fd = net_socket(&peer, 0);

	handler_fd = fd;
	handle(close_in_handler, 0);
	alarm_in(100);
	SHOW(peer_connect(fd, &peer));
	say("caught %d, close gave %d", (int)caught, handler_result);
	SHOW(fcntl(fd, F_GETFD));
}

static void handler_writes(void)
{
	say("-- a handler writes to another connection");
	struct peer peer = net_peer(SLOW);
	int fd = net_socket(&peer, 0);

	handler_fd = net_connect(ECHO);
	handle(write_in_handler, SA_RESTART);
	alarm_in(100);
	SHOW(peer_connect(fd, &peer));
	say("caught %d, write gave %d", (int)caught, handler_result);
	show_read(handler_fd, 7);
	show_echo(fd, "and the slow one");
	SHOW(close(handler_fd));
	SHOW(close(fd));
}

static void handler_connects(void)
{
	say("-- a handler connects another socket");
	struct peer peer = net_peer(SLOW);
	int fd = net_socket(&peer, 0);

	handler_peer = net_peer(ECHO);
	handler_fd = net_socket(&handler_peer, 0);
	handle(connect_in_handler, SA_RESTART);
	alarm_in(100);
	SHOW(peer_connect(fd, &peer));
	say("caught %d, connect gave %d", (int)caught, handler_result);
	show_echo(handler_fd, "by the handler");
	show_echo(fd, "and the slow one");
	SHOW(close(handler_fd));
	SHOW(close(fd));
}

/* Signal-driven I/O: the owner, the signal and O_ASYNC hold over the making of the connection. */
static void driven_by_signals(void)
{
	say("-- SIGIO");
	struct peer peer = net_peer(ECHO);
	int fd = net_socket(&peer, SOCK_NONBLOCK), number = SIGRTMIN + 3;
	struct timespec limit = {10, 0}, now = {0, 0};
	siginfo_t info = {0};
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, number);
	sigprocmask(SIG_BLOCK, &set, NULL);
	SHOW(fcntl(fd, F_SETOWN, getpid()));
	SHOW(fcntl(fd, F_SETSIG, number));
	SHOW(fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK | O_ASYNC));
	SHOW(peer_connect(fd, &peer));
	say("signal for writing: %d", sigtimedwait(&set, &info, &limit) == number && info.si_fd == fd);
	show_poll(fd, POLLOUT, PATIENCE_MS);
	while (sigtimedwait(&set, &info, &now) == number)
		continue;
	SHOW(fcntl(fd, F_GETOWN) == getpid());
	SHOW(fcntl(fd, F_GETSIG) == number);
	show_flags(fd);
	SHOW(write(fd, "ping", 4));
	say("signal for reading: %d", sigtimedwait(&set, &info, &limit) == number && info.si_fd == fd);
	show_read(fd, 4);
	SHOW(close(fd));
}

int main(int argc, char **argv)
{
	net_start(argc, argv);
	interrupted_read();
	broken_pipe();
	driven_by_signals();
	if (net_loses()) {
		interrupted_connect();
		interrupted_then_polled();
		restarted_connect();
		limited_connect();
		limited_and_interrupted();
		interrupted_waits();
		handler_jumps();
		handler_closes();
		handler_writes();
		handler_connects();
	}
	return 0;
}
