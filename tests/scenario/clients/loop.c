/* The client of every textbook: a blocking connect() to each address in turn until one works.  Prints the
 * reply to an HTTP request for /hello; on stderr how long connecting took and what became of each connect().
 * usage: loop HOST PORT */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static double now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static int connect_one(const struct addrinfo *ai)
{
	double start = now_ms();
	int fd = socket(ai->ai_family, ai->ai_socktype, ai->ai_protocol), r, error;

	if (fd < 0)
		return -1;
	r = connect(fd, ai->ai_addr, ai->ai_addrlen);
	error = r < 0 ? errno : 0;
	fprintf(stderr, "attempt %d %.0f\n", error, now_ms() - start);
	if (r == 0)
		return fd;
	close(fd);
	errno = error;
	return -1;
}

static void fetch(int fd)
{
	static const char request[] = "GET /hello HTTP/1.0\r\n\r\n";
	char buf[4096];
	ssize_t n;

	if (write(fd, request, sizeof(request) - 1) < 0)
		perror("write");
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		fwrite(buf, 1, (size_t)n, stdout);
}

int main(int argc, char **argv)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list, *ai;
	double start;
	int fd = -1;

	if (argc != 3 || getaddrinfo(argv[1], argv[2], &hints, &list) != 0)
		return 2;
	start = now_ms();
	for (ai = list; ai && fd < 0; ai = ai->ai_next)
		fd = connect_one(ai);
	fprintf(stderr, "connect %.0f\n", now_ms() - start);
	freeaddrinfo(list);
	if (fd < 0)
		return 1;
	fetch(fd);
	return 0;
}
