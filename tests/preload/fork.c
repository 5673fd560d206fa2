/* fork and daemon, with connections made and in the making. */
#include "tests/preload/support/net.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_MS 10000

static pid_t fork_flushed(void)
{
	fflush(stdout);
	pid_t pid = fork();

	need(pid >= 0, "fork");
	return pid;
}

static void made_before(void)
{
	say("-- made before fork");
	int fd = net_connect(ECHO);
	pid_t pid = fork_flushed();

	if (pid == 0) {
		show_names(fd, ECHO);
		show_echo(fd, "by the child");
		int own = net_connect(ECHO);
		show_echo(own, "the child's own");
		exit(0);
	}
	show_wait(pid);
	show_echo(fd, "by the parent");
	SHOW(close(fd));
}

/* The parent waits for the connection; the child goes away with its copy. */
static void parent_goes_on(enum service service)
{
	say("-- in the making, the parent goes on");
	struct peer peer = net_peer(service);
	int fd = net_socket(&peer, SOCK_NONBLOCK);

	SHOW(peer_connect(fd, &peer));
	pid_t pid = fork_flushed();
	if (pid == 0) {
		SHOW(close(fd));
		_exit(0);
	}
	show_wait(pid);
	show_poll(fd, POLLOUT, PATIENCE_MS);
	show_error(fd);
	show_echo(fd, "by the parent");
	SHOW(close(fd));
}

static void child_goes_on(enum service service)
{
	say("-- in the making, the child goes on");
	struct peer peer = net_peer(service);
	int fd = net_socket(&peer, SOCK_NONBLOCK);

	SHOW(peer_connect(fd, &peer));
	pid_t pid = fork_flushed();
	if (pid == 0) {
		show_poll(fd, POLLOUT, PATIENCE_MS);
		show_error(fd);
		show_names(fd, service);
		show_echo(fd, "by the child");
		exit(0);
	}
	close(fd);
	show_wait(pid);
}

static void both_go_on(enum service service)
{
	say("-- in the making, both go on");
	struct peer peer = net_peer(service);
	int fd = net_socket(&peer, SOCK_NONBLOCK), set = epoll_create1(0);
	struct epoll_event event = {.events = EPOLLOUT};

	SHOW(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event));
	SHOW(peer_connect(fd, &peer));
	pid_t pid = fork_flushed();
	if (pid == 0) {
		SHOW(poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, PATIENCE_MS));
		show_echo(fd, "first the child");
		exit(0);
	}
	show_wait(pid);
	SHOW(epoll_wait(set, &event, 1, PATIENCE_MS));
	show_echo(fd, "then the parent");
	SHOW(close(fd));
	SHOW(close(set));
}

static void unconnected(void)
{
	say("-- an unconnected socket, used by the child");
	struct peer peer = net_peer(ECHO);
	int fd = net_socket(&peer, 0);
	pid_t pid = fork_flushed();

	if (pid == 0) {
		SHOW(peer_connect(fd, &peer));
		show_echo(fd, "by the child");
		exit(0);
	}
	show_wait(pid);
	SHOW(close(fd));
}

/* Names looked up by the parent are used by the child. */
static void generations(void)
{
	say("-- a grandchild");
	struct peer peer = net_peer(ECHO);
	pid_t pid = fork_flushed();

	if (pid == 0) {
		pid_t grandchild = fork_flushed();
		if (grandchild == 0) {
			int fd = net_socket(&peer, 0);
			SHOW(peer_connect(fd, &peer));
			show_echo(fd, "third generation");
			exit(0);
		}
		show_wait(grandchild);
		exit(0);
	}
	show_wait(pid);
}

static void daemonised(void)
{
	say("-- daemon");
	int pipes[2];

	need(pipe(pipes) == 0, "pipe");
	pid_t pid = fork_flushed();
	if (pid == 0) {
		int fd = net_connect_quiet(ECHO);
		SHOW(daemon(1, 1));
		show_echo(fd, "after daemon");
		SHOW(close(fd));
		fd = net_connect_quiet(ECHO);
		show_echo(fd, "connected by the daemon");
		fflush(stdout);
		need(write(pipes[1], "x", 1) == 1, "pipe");
		_exit(0);
	}
	char byte;
	need(waitpid(pid, NULL, 0) == pid, "waitpid");
	SHOW(read(pipes[0], &byte, 1));
	close(pipes[0]);
	close(pipes[1]);
}

static struct peer shared_peer;

static int connect_shared(void)
{
	int fd = net_socket(&shared_peer, 0);

	need(peer_connect(fd, &shared_peer) == 0, "connect");
	return fd;
}

static void *connect_forever(void *stop)
{
	while (!*(volatile int *)stop) {
		close(connect_shared());
		pause_ms(1);
	}
	return NULL;
}

/* A lock that another thread holds at fork would stay held in the child. */
static void while_others_connect(void)
{
	say("-- forks while other threads connect");
	pthread_t threads[4];
	int stop = 0, good = 0;

	shared_peer = net_peer(ECHO);

	for (int i = 0; i < 4; i++)
		need(pthread_create(&threads[i], NULL, connect_forever, &stop) == 0, "thread");
	for (int i = 0; i < 20; i++) {
		pid_t pid = fork_flushed();
		int status = -1;
		if (pid == 0) {
			alarm(20);
			int fd = connect_shared();
			char buf[4];
			_exit(write(fd, "fork", 4) == 4 && recv(fd, buf, 4, MSG_WAITALL) == 4 ? 0 : 1);
		}
		need(waitpid(pid, &status, 0) == pid, "waitpid");
		good += status == 0;
	}
	stop = 1;
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	say("%d children connected", good);
}

int main(int argc, char **argv)
{
	net_start(argc, argv);
	made_before();
	unconnected();
	generations();
	daemonised();
	while_others_connect();
	if (net_loses()) {
		parent_goes_on(SLOW);
		child_goes_on(SLOW);
		both_go_on(SLOW);
	}
	return 0;
}
