/* Servers as they are written: a fork for each connection, processes forked beforehand, a loop, inetd. */
#include "tests/preload/support/net.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#define N_CLIENTS 12

static void echo_until_end(int fd)
{
	char buf[256];
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0)
		if (write(fd, buf, (size_t)n) != n)
			break;
}

static void fork_for_each(int server)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN, .sa_flags = SA_NOCLDWAIT};

	sigaction(SIGCHLD, &ignore, NULL);
	for (;;) {
		int fd = accept(server, NULL, NULL);
		if (fd >= 0 && fork() == 0) {
			close(server);
			echo_until_end(fd);
			exit(0);
		}
		close(fd);
	}
}

static void accept_forever(int server)
{
	for (;;) {
		int fd = accept4(server, NULL, NULL, SOCK_CLOEXEC);
		echo_until_end(fd);
		shutdown(fd, SHUT_RDWR);
		close(fd);
	}
}

static void forked_beforehand(int server)
{
	for (int i = 0; i < 3; i++) {
		if (fork() == 0)
			accept_forever(server);
	}
	accept_forever(server);
}

/* cat(1) echoes; it knows of no sockets. */
static void inetd(int server)
{
	signal(SIGCHLD, SIG_IGN);
	for (;;) {
		int fd = accept(server, NULL, NULL);
		if (fork() == 0) {
			dup2(fd, STDIN_FILENO);
			dup2(fd, STDOUT_FILENO);
			close(fd);
			close(server);
			execl("/bin/cat", "cat", (char *)NULL);
			_exit(127);
		}
		close(fd);
	}
}

static void serve_event(int set, int server, const struct epoll_event *event)
{
	struct epoll_event add = {.events = EPOLLIN | EPOLLET | EPOLLRDHUP};
	char buf[256];
	ssize_t n;

	if (event->data.fd == server) {
		while ((add.data.fd = accept4(server, NULL, NULL, SOCK_NONBLOCK)) >= 0)
			epoll_ctl(set, EPOLL_CTL_ADD, add.data.fd, &add);
		return;
	}
	while ((n = recv(event->data.fd, buf, sizeof(buf), 0)) > 0)
		send(event->data.fd, buf, (size_t)n, MSG_NOSIGNAL);
	if (n == 0)
		close(event->data.fd);
}

/* As nginx: the set is made by the worker, the listener by its parent. */
static void event_loop(int server)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = server};

	fcntl(server, F_SETFL, O_RDWR | O_NONBLOCK);
	if (fork() == 0)
		event.events = EPOLLIN | EPOLLEXCLUSIVE;
	int set = epoll_create1(EPOLL_CLOEXEC);
	epoll_ctl(set, EPOLL_CTL_ADD, server, &event);
	for (;;)
		if (epoll_wait(set, &event, 1, -1) == 1)
			serve_event(set, server, &event);
}

static void each_client(const struct peer *at)
{
	int fds[N_CLIENTS], good = 0;
	char text[32], back[32];

	for (int i = 0; i < N_CLIENTS; i++) {
		fds[i] = net_socket(at, 0);
		need(peer_connect(fds[i], at) == 0, "connect");
		int n = snprintf(text, sizeof(text), "client %d", i);
		memset(back, 0, sizeof(back));
		good += write(fds[i], text, (size_t)n) == n && shutdown(fds[i], SHUT_WR) == 0 &&
			recv(fds[i], back, (size_t)n, MSG_WAITALL) == n && strcmp(text, back) == 0 &&
			recv(fds[i], back, 1, 0) == 0;
	}
	for (int i = 0; i < N_CLIENTS; i++)
		close(fds[i]);
	say("%d clients were served", good);
}

static void with_server(const char *title, void (*serve_all)(int))
{
	say("-- %s", title);
	struct peer at;
	int server = net_listen(&at);
	pid_t pid = fork();

	need(pid >= 0, "fork");
	if (pid == 0) {
		setpgid(0, 0);
		serve_all(server);
	}
	setpgid(pid, pid);
	close(server);
	each_client(&at);
	kill(-pid, SIGKILL);
	show_wait(pid);
}

int main(int argc, char **argv)
{
	net_start(argc, argv);
	with_server("a fork for each connection", fork_for_each);
	with_server("forked beforehand", forked_beforehand);
	with_server("one after the other", accept_forever);
	with_server("epoll in two workers", event_loop);
	with_server("inetd", inetd);
	return 0;
}
