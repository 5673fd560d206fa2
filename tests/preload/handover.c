/* A connection in the making is given away: to a new program and to another process. */
#include "tests/preload/support/net.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_MS 10000

static int slow_connect(void)
{
	struct peer peer = net_peer(SLOW);
	int fd = net_socket(&peer, SOCK_NONBLOCK);

	SHOW(peer_connect(fd, &peer));
	return fd;
}

static void by_exec(void)
{
	say("-- exec while connecting");
	int fd = slow_connect();

	SHOW(dup2(fd, 70));
	SHOW(close(fd));
	fflush(stdout);
	pid_t pid = fork();
	need(pid >= 0, "fork");
	if (pid == 0) {
		execl(net_program("child"), "child", "finish", "70", "after exec", (char *)NULL);
		_exit(127);
	}
	SHOW(close(70));
	show_wait(pid);
}

static void by_exec_in_place(void)
{
	say("-- exec of the connecting process itself");
	fflush(stdout);
	pid_t pid = fork();

	need(pid >= 0, "fork");
	if (pid == 0) {
		int fd = slow_connect();
		dup2(fd, 71);
		close(fd);
		execl(net_program("child"), "child", "finish", "71", "after exec", (char *)NULL);
		_exit(127);
	}
	show_wait(pid);
}

static void by_message(void)
{
	say("-- passed while connecting");
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
	char byte = 'f';
	struct iovec iov = {&byte, 1};
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	int pair[2], fd = slow_connect();

	need(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0, "socketpair");
	*c = (struct cmsghdr){
		.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	SHOW(sendmsg(pair[0], &msg, 0));
	SHOW(close(fd));
	fflush(stdout);
	pid_t pid = fork();
	need(pid >= 0, "fork");
	if (pid == 0) {
		msg.msg_controllen = sizeof(control);
		need(recvmsg(pair[1], &msg, 0) == 1, "recvmsg");
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
		show_poll(fd, POLLOUT, PATIENCE_MS);
		show_error(fd);
		show_names(fd, SLOW);
		show_echo(fd, "by the receiver");
		exit(0);
	}
	close(pair[0]);
	close(pair[1]);
	show_wait(pid);
}

int main(int argc, char **argv)
{
	net_start(argc, argv);
	if (!net_loses())
		return 0;
	by_exec();
	by_exec_in_place();
	by_message();
	return 0;
}
