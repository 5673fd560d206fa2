/* connects HOST PORT COUNT [nonblocking]: looks HOST up once, then connects and closes COUNT times, as
 * a client with a loop over the answers does.  Prints connections per second.
 * connects -l PORT: the server; takes connections and closes them when the client has. */
#include <err.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define WARM_UP 50

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static int serve(const char *port)
{
	struct sockaddr_in6 addr = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)atoi(port))};
	int listener = socket(AF_INET6, SOCK_STREAM, 0), off = 0, on = 1;

	setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(listener, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(listener, 4096) < 0)
		err(1, "port %s", port);
	for (;;) {
		int fd = accept(listener, NULL, NULL);

		if (fd < 0)
			err(1, "accept");
		close(fd);
	}
}

/* Waits for a connect under way.  Returns 0 or -1 with errno, as connect(2). */
static int finish(int fd)
{
	struct pollfd pfd = {.fd = fd, .events = POLLOUT};
	int error;
	socklen_t len = sizeof(error);

	if (poll(&pfd, 1, 10000) != 1)
		errx(1, "poll: nothing");
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		err(1, "SO_ERROR");
	errno = error;
	return error ? -1 : 0;
}

static void connect_once(const struct addrinfo *answers, bool nonblocking)
{
	for (const struct addrinfo *ai = answers; ai; ai = ai->ai_next) {
		int fd = socket(ai->ai_family, SOCK_STREAM | (nonblocking ? SOCK_NONBLOCK : 0), 0);
		int r = connect(fd, ai->ai_addr, ai->ai_addrlen);

		if (r < 0 && errno == EINPROGRESS)
			r = finish(fd);
		close(fd);
		if (r == 0)
			return;
	}
	err(1, "connect");
}

int main(int argc, char **argv)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	struct addrinfo *answers;
	bool nonblocking = argc > 4 && !strcmp(argv[4], "nonblocking");
	double begin;
	int count, r;

	if (argc == 3 && !strcmp(argv[1], "-l"))
		return serve(argv[2]);
	if (argc < 4)
		errx(2, "usage: connects HOST PORT COUNT [nonblocking] | connects -l PORT");
	count = atoi(argv[3]);
	r = getaddrinfo(argv[1], argv[2], &hints, &answers);
	if (r)
		errx(1, "%s: %s", argv[1], gai_strerror(r));
	for (int i = 0; i < WARM_UP; i++)
		connect_once(answers, nonblocking);
	begin = now();
	for (int i = 0; i < count; i++)
		connect_once(answers, nonblocking);
	printf("%.1f\n", count / (now() - begin));
	freeaddrinfo(answers);
	return 0;
}
