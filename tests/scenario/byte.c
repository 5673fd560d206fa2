/* A server for load: sends the first byte of each connection back, then closes.  It counts the connections;
 * SIGTERM prints how many were made, and how many of them ended without a byte.  usage: byte PORT */
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static volatile sig_atomic_t stop;

static void on_term(int number)
{
	(void)number;
	stop = 1;
}

static int listen_on(int port)
{
	struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_port = htons((unsigned short)port)};
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, 4096) < 0) {
		perror("listen");
		exit(2);
	}
	return fd;
}

static int accept_all(int listener, int epoll)
{
	struct epoll_event event = {.events = EPOLLIN};
	int count = 0;

	while ((event.data.fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
		epoll_ctl(epoll, EPOLL_CTL_ADD, event.data.fd, &event);
		count++;
	}
	return count;
}

/* Returns 1 if the connection ended without a byte. */
static int answer(int fd)
{
	char byte;
	ssize_t n = read(fd, &byte, 1);

	if (n > 0)
		n = write(fd, &byte, 1);
	close(fd);
	return n <= 0;
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = on_term};
	struct epoll_event event = {.events = EPOLLIN}, events[64];
	struct rlimit limit;
	int epoll = epoll_create1(0), listener, i, n, made = 0, empty = 0;

	sigaction(SIGTERM, &action, NULL);
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	listener = event.data.fd = listen_on(argc == 2 ? atoi(argv[1]) : 7);
	epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
	while (!stop) {
		n = epoll_wait(epoll, events, 64, -1);
		for (i = 0; i < n; i++) {
			if (events[i].data.fd == listener)
				made += accept_all(listener, epoll);
			else
				empty += answer(events[i].data.fd);
		}
	}
	printf("made %d, empty %d\n", made, empty);
	return 0;
}
