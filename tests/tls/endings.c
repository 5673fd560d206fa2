/* A plain program that sends, and ends: in each way that there is to end.
 *
 * usage: endings send WAY BYTES HOST PORT     prints how long its end took, in steps of 250 ms
 *        endings serve WAY BYTES PORT         for each client: reads a line, sends, and ends
 *        endings list                         prints the ways */
#include <arpa/inet.h>
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
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static long began;

/* Said on a descriptor that outlives the ways that close everything. */
static void say_took(void)
{
	dprintf(STDOUT_FILENO, "%ld\n", (now_ms() - began) / 250);
}

static void by_close(int fd)
{
	close(fd);
	say_took();
	/* What goes on behind goes on. */
	sleep(2);
}

static void by_close_and_exit(int fd)
{
	close(fd);
	say_took();
	exit(0);
}

static void by_exit(int fd)
{
	(void)fd;
	atexit(say_took);
	exit(0);
}

static void by_quick_exit(int fd)
{
	(void)fd;
	say_took();
	_exit(0);
}

static void by_exec(int fd)
{
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	say_took();
	execl("/bin/true", "true", NULL);
}

static void by_dup2(int fd)
{
	dup2(STDERR_FILENO, fd);
	say_took();
}

static void by_closefrom(int fd)
{
	closefrom(fd);
	say_took();
}

static void by_shutdown(int fd)
{
	shutdown(fd, SHUT_WR);
	say_took();
	sleep(4);
}

static void by_shutdown_both(int fd)
{
	shutdown(fd, SHUT_RDWR);
	close(fd);
	say_took();
}

static void by_two(int fd)
{
	int other = dup(fd);

	close(fd);
	close(other);
	say_took();
}

static void by_child(int fd)
{
	if (fork() == 0) {
		say_took();
		exit(0);
	}
	close(fd);
	wait(NULL);
}

static const struct way {
	const char *name;
	void (*end)(int fd);
	bool waits; /* sends without blocking */
} ways[] = {
	{"close", by_close, false},
	{"close-exit", by_close_and_exit, false},
	{"exit", by_exit, false},
	{"_exit", by_quick_exit, false},
	{"exec", by_exec, false},
	{"dup2", by_dup2, false},
	{"closefrom", by_closefrom, false},
	{"shutdown", by_shutdown, false},
	{"shutdown-both", by_shutdown_both, false},
	{"two", by_two, false},
	{"fork", by_child, false},
	{"nonblock-close", by_close, true},
	{"nonblock-shutdown", by_shutdown, true},
	{"nonblock-exit", by_exit, true},
};
#define WAYS (sizeof(ways) / sizeof(*ways))

static const struct way *way_of(const char *name)
{
	size_t i;

	for (i = 0; i < WAYS; i++)
		if (strcmp(name, ways[i].name) == 0)
			return &ways[i];
	errx(2, "no way %s", name);
}

static void send_all(int fd, size_t left)
{
	static char piece[10000];
	struct pollfd wanted = {fd, POLLOUT, 0};

	memset(piece, 'x', sizeof(piece));
	while (left > 0) {
		ssize_t n = write(fd, piece, left < sizeof(piece) ? left : sizeof(piece));

		if (n < 0 && errno == EAGAIN && poll(&wanted, 1, 20000) == 1)
			continue;
		if (n < 0)
			err(1, "write");
		left -= (size_t)n;
	}
}

static void send_and_end(int fd, const struct way *way, size_t bytes)
{
	if (way->waits)
		fcntl(fd, F_SETFL, O_NONBLOCK);
	send_all(fd, bytes);
	began = now_ms();
	way->end(fd);
}

static int dial(const char *host, const char *port)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list;
	int fd;

	if (getaddrinfo(host, port, &hints, &list) != 0)
		errx(1, "%s: no address", host);
	fd = socket(list->ai_family, SOCK_STREAM, 0);
	if (connect(fd, list->ai_addr, list->ai_addrlen) != 0)
		err(1, "connect");
	return fd;
}

static _Noreturn void serve(const struct way *way, size_t bytes, const char *port)
{
	struct sockaddr_in6 addr = {.sin6_family = AF_INET6, .sin6_port = htons((in_port_t)atoi(port))};
	int listener = socket(AF_INET6, SOCK_STREAM, 0), on = 1, fd;
	char line[64];

	signal(SIGCHLD, SIG_IGN);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(listener, (struct sockaddr *)&addr, sizeof(addr)) != 0 || listen(listener, 16) != 0)
		err(1, "port %s", port);
	for (;;) {
		fd = accept(listener, NULL, NULL);
		if (fd >= 0 && fork() == 0) {
			close(listener);
			if (read(fd, line, sizeof(line)) > 0)
				send_and_end(fd, way, bytes);
			exit(0);
		}
		close(fd);
	}
}

int main(int argc, char **argv)
{
	size_t i;

	signal(SIGPIPE, SIG_IGN);
	if (argc == 2)
		for (i = 0; i < WAYS; i++)
			puts(ways[i].name);
	if (argc == 5)
		serve(way_of(argv[2]), strtoul(argv[3], NULL, 0), argv[4]);
	if (argc == 6)
		send_and_end(dial(argv[4], argv[5]), way_of(argv[2]), strtoul(argv[3], NULL, 0));
	return 0;
}
