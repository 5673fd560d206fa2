/* The server that the socket programs talk to: a thread for each connection, a port for each behaviour. */
#include "tests/preload/support/net.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BACKLOG 4096
#define PATIENCE_MS 60000

static void drain(int fd)
{
	char buf[4096];

	while (read(fd, buf, sizeof(buf)) > 0)
		continue;
}

static void serve_echo(int fd)
{
	char buf[65536];
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0)
		if (send(fd, buf, (size_t)n, MSG_NOSIGNAL) < 0)
			return;
}

static void serve_count(int fd)
{
	char buf[65536];
	size_t total = 0;
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0)
		total += (size_t)n;
	dprintf(fd, "%zu bytes\n", total);
}

static void serve_greet(int fd)
{
	dprintf(fd, "hello\n");
	shutdown(fd, SHUT_WR);
	drain(fd);
}

static void serve_reset(int fd)
{
	struct linger now = {.l_onoff = 1, .l_linger = 0};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

static void serve_flood(int fd)
{
	unsigned char *bytes = malloc(FLOOD_SIZE);

	for (size_t i = 0; bytes && i < FLOOD_SIZE; i++)
		bytes[i] = flood_byte(i);
	for (size_t sent = 0; bytes && sent < FLOOD_SIZE;) {
		ssize_t n = send(fd, bytes + sent, FLOOD_SIZE - sent, MSG_NOSIGNAL);
		if (n <= 0)
			break;
		sent += (size_t)n;
	}
	free(bytes);
	shutdown(fd, SHUT_WR);
	drain(fd);
}

static void serve_drip(int fd)
{
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	for (const char *p = "0123456789"; *p; p++) {
		if (send(fd, p, 1, MSG_NOSIGNAL) < 0)
			return;
		pause_ms(10);
	}
	shutdown(fd, SHUT_WR);
	drain(fd);
}

static void serve_sink(int fd)
{
	poll(&(struct pollfd){.fd = fd}, 1, PATIENCE_MS);
}

static void serve_urgent(int fd)
{
	send(fd, "ab", 2, MSG_NOSIGNAL);
	send(fd, "!", 1, MSG_OOB | MSG_NOSIGNAL);
	send(fd, "cd", 2, MSG_NOSIGNAL);
	drain(fd);
}

static void (*const services[SERVICES])(int) = {
	[ECHO] = serve_echo,   [COUNT] = serve_count, [GREET] = serve_greet, [RESET] = serve_reset,
	[FLOOD] = serve_flood, [DRIP] = serve_drip,   [SINK] = serve_sink,   [URGENT] = serve_urgent,
	[SLOW] = serve_echo,
};

struct errand {
	int fd;
	void (*serve)(int);
};

static void *run_errand(void *arg)
{
	struct errand errand = *(struct errand *)arg;

	free(arg);
	errand.serve(errand.fd);
	close(errand.fd);
	return NULL;
}

static void start_errand(int fd, void (*serve_one)(int))
{
	struct errand *errand = malloc(sizeof(*errand));
	pthread_attr_t attr;
	pthread_t thread;

	need(errand != NULL, "memory");
	*errand = (struct errand){fd, serve_one};
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, 256 * 1024);
	if (pthread_create(&thread, &attr, run_errand, errand) != 0) {
		close(fd);
		free(errand);
	}
	pthread_attr_destroy(&attr);
}

/* Answers from the address that was asked, so that a connected client takes the answer. */
static void *serve_datagrams(void *arg)
{
	int fd = *(int *)arg;
	char buf[65536];
	_Alignas(struct cmsghdr) char control[256];
	struct sockaddr_in6 from;

	for (;;) {
		struct iovec iov = {buf, sizeof(buf)};
		struct msghdr msg = {.msg_name = &from,
				     .msg_namelen = sizeof(from),
				     .msg_iov = &iov,
				     .msg_iovlen = 1,
				     .msg_control = control,
				     .msg_controllen = sizeof(control)};
		ssize_t n = recvmsg(fd, &msg, 0);
		if (n < 0)
			continue;
		iov.iov_len = (size_t)n;
		msg.msg_flags = 0;
		sendmsg(fd, &msg, 0);
	}
	return NULL;
}

static int open_port(int type, int number)
{
	struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)number)};
	int fd = socket(AF_INET6, type | SOCK_CLOEXEC, 0);
	int on = 1, off = 0;

	need(fd >= 0, "socket");
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&any, sizeof(any)) == 0)
		return fd;
	close(fd);
	return -1;
}

int serve_find_ports(void)
{
	for (int first = 20000 + getpid() % 1000 * 16; first < 60000; first += 16) {
		int fds[SERVICES], n = 0;

		while (n < SERVICES && (fds[n] = open_port(SOCK_STREAM, first + n)) >= 0)
			n++;
		bool found = n == SERVICES;
		while (n > 0)
			close(fds[--n]);
		if (found)
			return first;
	}
	need(false, "free ports");
	return -1;
}

static void open_services(int first_port, struct pollfd fds[SERVICES])
{
	int fast_open = 64;

	for (int i = 0; i < SERVICES; i++) {
		fds[i] = (struct pollfd){.fd = -1, .events = POLLIN};
		if (!services[i])
			continue;
		fds[i].fd = open_port(SOCK_STREAM | SOCK_NONBLOCK, first_port + i);
		need(fds[i].fd >= 0 && listen(fds[i].fd, BACKLOG) == 0, "listen");
		setsockopt(fds[i].fd, IPPROTO_TCP, TCP_FASTOPEN, &fast_open, sizeof(fast_open));
	}
}

static void start_datagrams(int number)
{
	static int fd;
	pthread_t thread;
	int on = 1;

	fd = open_port(SOCK_DGRAM, number);
	need(fd >= 0, "datagram port");
	setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on));
	need(pthread_create(&thread, NULL, serve_datagrams, &fd) == 0, "thread");
}

void serve(int first_port)
{
	struct pollfd fds[SERVICES];

	signal(SIGPIPE, SIG_IGN);
	open_services(first_port, fds);
	start_datagrams(first_port + ECHO);
	need(write(STDOUT_FILENO, "ready\n", 6) == 6, "stdout");
	for (;;) {
		poll(fds, SERVICES, -1);
		for (int i = 0; i < SERVICES; i++) {
			if (!(fds[i].revents & POLLIN))
				continue;
			int fd = accept4(fds[i].fd, NULL, NULL, SOCK_CLOEXEC);
			if (fd >= 0)
				start_errand(fd, services[i]);
		}
	}
}
