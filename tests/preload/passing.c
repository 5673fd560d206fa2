/* Descriptors passed over AF_UNIX sockets, to another process and to the same one. */
#include "tests/preload/support/net.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int pass(int over, int fd)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec iov = {(char *)"f", 1};
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	return (int)sendmsg(over, &msg, 0);
}

static int take(int over, int flags)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
	char byte;
	struct iovec iov = {&byte, 1};
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	int fd = -1;

	if (recvmsg(over, &msg, flags) != 1 || !CMSG_FIRSTHDR(&msg))
		return -1;
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	return fd;
}

/* The sender closes its own as soon as it is on its way. */
static void to_child(const char *title, int flags)
{
	say("-- %s", title);
	struct peer peer = net_peer(ECHO);
	int pair[2];
	pid_t pid;

	need(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0, "socketpair");
	fflush(stdout);
	pid = fork();
	need(pid >= 0, "fork");
	if (pid == 0) {
		close(pair[0]);
		int fd = take(pair[1], MSG_CMSG_CLOEXEC);
		show_names(fd, ECHO);
		show_flags(fd);
		show_echo(fd, "by the receiver");
		exit(0);
	}
	int fd = net_socket(&peer, 0);
	need(peer_connect(fd, &peer) == 0, "connect");
	need(fcntl(fd, F_SETFL, O_RDWR | flags) == 0, "fcntl");
	int passed = pass(pair[0], fd);
	int closed = close(fd);
	show_wait(pid);
	say("passed %d, closed %d", passed, closed);
	close(pair[0]);
	close(pair[1]);
}

static void unconnected_to_child(void)
{
	say("-- an unconnected socket, connected by the receiver");
	struct peer peer = net_peer(ECHO);
	int pair[2];

	need(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0, "socketpair");
	int fd = net_socket(&peer, 0);
	SHOW(pass(pair[0], fd));
	SHOW(close(fd));
	fflush(stdout);
	pid_t pid = fork();
	need(pid >= 0, "fork");
	if (pid == 0) {
		int got = take(pair[1], 0);
		show_flags(got);
		show_option(got, "SO_DOMAIN", SOL_SOCKET, SO_DOMAIN);
		SHOW(peer_connect(got, &peer));
		show_names(got, ECHO);
		show_echo(got, "by the receiver");
		exit(0);
	}
	show_wait(pid);
	close(pair[0]);
	close(pair[1]);
}

static void to_self(void)
{
	say("-- to the same process");
	int fd = net_connect(ECHO), pair[2];

	need(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0, "socketpair");
	SHOW(pass(pair[0], fd));
	int got = take(pair[1], MSG_CMSG_CLOEXEC);
	show_flags(got);
	show_flags(fd);
	show_names(got, ECHO);
	show_echo(got, "by the copy");
	SHOW(close(fd));
	show_echo(got, "the original is closed");
	SHOW(pass(pair[0], 999));
	SHOW(close(got));
	close(pair[0]);
	close(pair[1]);
}

/* The descriptor that arrives has the number of one that was closed a moment ago. */
static void number_used_again(void)
{
	say("-- a number that is used again");
	int fd = net_connect(ECHO), pipes[2], pair[2];
	char byte;

	need(pipe(pipes) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0, "pipe");
	SHOW(pass(pair[0], pipes[0]));
	SHOW(close(fd));
	int got = take(pair[1], 0);
	SHOW(got == fd);
	SHOW(write(pipes[1], "p", 1));
	SHOW(read(got, &byte, 1));
	SHOW(send(got, "x", 1, 0));
	show_flags(got);
	close(got);
	close(pipes[0]);
	close(pipes[1]);
	close(pair[0]);
	close(pair[1]);
}

int main(int argc, char **argv)
{
	net_start(argc, argv);
	to_child("a connected socket", 0);
	to_child("a connected socket, non-blocking", O_NONBLOCK);
	unconnected_to_child();
	to_self();
	number_used_again();
	return 0;
}
