/* Connects, and if it cannot, says why; then tries to send all the same.
 *
 * usage: attempt HOST PORT [wait]       with `wait` the socket is non-blocking, and poll(2) waited for
 *        attempt listen PORT            accepts one connection after another, and reads from each
 *
 * Prints "connected" or the name of the error for connect(2), the same for sending $MARKER, and for
 * reading. */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATIENCE 10000 /* ms */

static int wait_connected(int fd)
{
	struct pollfd wanted = {fd, POLLOUT, 0};
	int error = 0;
	socklen_t len = sizeof(error);

	if (poll(&wanted, 1, PATIENCE) != 1)
		return ETIME;
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
	return error;
}

static int try(const struct addrinfo *a, bool wait, int *ret_fd)
{
	int fd = socket(a->ai_family, a->ai_socktype | (wait ? SOCK_NONBLOCK : 0), 0), error = 0;

	if (connect(fd, a->ai_addr, a->ai_addrlen) != 0)
		error = errno;
	if (wait && error == EINPROGRESS)
		error = wait_connected(fd);
	*ret_fd = fd;
	return error;
}

static const char *outcome(ssize_t n)
{
	return n < 0 ? strerrorname_np(errno) : n == 0 ? "end" : "bytes";
}

static void use(int fd)
{
	const char *marker = getenv("MARKER");
	struct timeval patience = {PATIENCE / 1000, 0};
	char buf[256];

	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	printf("send %s\n", outcome(send(fd, marker, strlen(marker), 0)));
	printf("read %s\n", outcome(read(fd, buf, sizeof(buf))));
}

static int dial(const char *host, const char *port, bool wait)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list, *a;
	int fd, error;

	if (getaddrinfo(host, port, &hints, &list) != 0)
		errx(1, "%s: no address", host);
	for (a = list; a; a = a->ai_next) {
		error = try(a, wait, &fd);
		printf("connect %s\n", error ? strerrorname_np(error) : "done");
		use(fd);
		if (!error)
			break;
		close(fd);
	}
	return a ? 0 : 1;
}

static int listen_on(int port)
{
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&any, sizeof(any)) != 0 || listen(fd, 16) != 0)
		err(1, "port %d", port);
	return fd;
}

static void serve(int listener)
{
	char buf[256];
	int fd;

	for (;;) {
		fd = accept(listener, NULL, NULL);
		if (fd < 0)
			err(1, "accept");
		printf("read %s\n", outcome(read(fd, buf, sizeof(buf))));
		printf("send %s\n", outcome(send(fd, getenv("MARKER"), strlen(getenv("MARKER")), 0)));
		fflush(stdout);
		close(fd);
	}
}

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	if (argc < 3)
		errx(2, "usage: attempt HOST PORT [wait] | attempt listen PORT");
	if (strcmp(argv[1], "listen") == 0)
		serve(listen_on(atoi(argv[2])));
	return dial(argv[1], argv[2], argc > 3);
}
