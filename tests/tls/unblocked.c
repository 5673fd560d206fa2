/* Accepts connections, and makes each of them non-blocking while other threads are in calls on it: one
 * receives a line and sends it back, others poll(2) and ask how much there is.
 *
 * usage: unblocked PORT COUNT LONGEST   LONGEST: so many microseconds at most until it is made non-blocking.
 * Prints how many lines went back. */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATIENCE_MS 10000

static bool await(int fd, short events)
{
	struct pollfd wanted = {.fd = fd, .events = events};

	return poll(&wanted, 1, PATIENCE_MS) == 1;
}

/* Returns how many bytes came, or -1. */
static ssize_t receive(int fd, char *line, size_t size)
{
	size_t len = 0;
	ssize_t n;

	while (len < size && (len == 0 || line[len - 1] != '\n')) {
		n = recv(fd, line + len, size - len, 0);
		if (n > 0)
			len += (size_t)n;
		else if (n == 0 || errno != EAGAIN || !await(fd, POLLIN))
			return -1;
	}
	return (ssize_t)len;
}

static bool send_back(int fd, const char *line, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, line, len, MSG_NOSIGNAL);

		if (n < 0 && (errno != EAGAIN || !await(fd, POLLOUT)))
			return false;
		if (n > 0) {
			line += n;
			len -= (size_t)n;
		}
	}
	return true;
}

static void *echo(void *arg)
{
	int fd = (int)(intptr_t)arg;
	char line[256];
	ssize_t n = receive(fd, line, sizeof(line));

	if (n > 0 && send_back(fd, line, (size_t)n))
		return echo;
	warn("echo");
	return NULL;
}

static void *watch(void *arg)
{
	int fd = (int)(intptr_t)arg, waiting;

	await(fd, POLLIN);
	ioctl(fd, FIONREAD, &waiting);
	return NULL;
}

static void unblock(int fd, int round)
{
	int on = 1;

	if (round & 1)
		ioctl(fd, FIONBIO, &on);
	else
		fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

static bool serve(int fd, int round, unsigned longest)
{
	pthread_t threads[3];
	void *echoed = NULL;
	unsigned i;

	for (i = 0; i < 3; i++)
		if (pthread_create(&threads[i], NULL, i ? watch : echo, (void *)(intptr_t)fd) != 0)
			errx(1, "no thread");
	usleep(longest / 2 + (unsigned)rand() % (longest / 2 + 1));
	unblock(fd, round);
	for (i = 0; i < 3; i++)
		pthread_join(threads[i], i ? NULL : &echoed);
	close(fd);
	return echoed;
}

int main(int argc, char **argv)
{
	struct sockaddr_in addr = {.sin_family = AF_INET};
	int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1, count, i, done = 0;

	if (argc != 4)
		errx(1, "usage: unblocked PORT COUNT LONGEST");
	addr.sin_port = htons((uint16_t)atoi(argv[1]));
	count = atoi(argv[2]);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(listener, (struct sockaddr *)&addr, sizeof(addr)) != 0 || listen(listener, 64) != 0)
		err(1, "listen");
	for (i = 0; i < count; i++) {
		int fd = accept(listener, NULL, NULL);

		if (fd < 0)
			err(1, "accept");
		done += serve(fd, i, (unsigned)atoi(argv[3]));
	}
	printf("%d\n", done);
	return 0;
}
