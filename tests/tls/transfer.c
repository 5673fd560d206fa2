/* A plain server and client that move bytes which both can check.
 *
 * usage: transfer server PORT [greet]            one process for each connection, as long as it lives
 *        transfer HOST PORT down BYTES           the server sends and closes
 *        transfer HOST PORT up BYTES       the client sends, shuts down its half, and gets the count back
 *        transfer HOST PORT both BYTES           both send at once, each from a thread of its own
 *        transfer HOST PORT ask TIMES            so many small questions and answers on one connection
 *        transfer HOST PORT say NUMBER           gets it back
 *        transfer HOST PORT greeting             reads the greeting, having said nothing
 *
 * With `greet` the server speaks first.  Every 4096th byte begins the text of $MARKER. */
#include <err.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BLOCK 4096
#define GREETING "220 the server speaks first\n"
#define QUESTION 64

static const char *marker;
static size_t marker_len;

/* Byte after byte the same for sender and receiver, for any cut into calls. */
static void fill(unsigned char *block, uint64_t number)
{
	uint64_t x = number * 0x9e3779b97f4a7c15u + 1;
	size_t i;

	for (i = 0; i < BLOCK; i += 8) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		memcpy(block + i, &x, 8);
	}
	memcpy(block, marker, marker_len);
}

static void write_all(int fd, const void *data, size_t size)
{
	const char *at = data;

	while (size > 0) {
		ssize_t n = write(fd, at, size);

		if (n < 0)
			err(1, "write");
		at += n;
		size -= (size_t)n;
	}
}

static size_t read_some(int fd, void *data, size_t size)
{
	ssize_t n = read(fd, data, size);

	if (n < 0)
		err(1, "read");
	return (size_t)n;
}

static void read_all(int fd, void *data, size_t size)
{
	size_t done, n;

	for (done = 0; done < size; done += n) {
		n = read_some(fd, (char *)data + done, size - done);
		if (n == 0)
			errx(1, "the end came after %zu of %zu bytes", done, size);
	}
}

/* In calls of up to 16 blocks. */
static void send_stream(int fd, uint64_t bytes)
{
	static unsigned char data[16 * BLOCK];
	uint64_t done, n, i;

	for (done = 0; done < bytes; done += n) {
		n = bytes - done < sizeof(data) ? bytes - done : sizeof(data);
		for (i = 0; i * BLOCK < n; i++)
			fill(data + i * BLOCK, done / BLOCK + i);
		write_all(fd, data, n);
	}
}

/* To the end; returns how many there were, all of them right. */
static uint64_t receive_stream(int fd, uint64_t stop)
{
	static unsigned char data[8 * BLOCK], want[BLOCK];
	uint64_t done = 0, number = UINT64_MAX, i, n;

	while (done < stop &&
	       (n = read_some(fd, data, stop - done < sizeof(data) ? stop - done : sizeof(data))) > 0)
		for (i = 0; i < n; i++, done++) {
			if (done / BLOCK != number)
				fill(want, number = done / BLOCK);
			if (data[i] != want[done % BLOCK])
				errx(1, "byte %llu is wrong", (unsigned long long)done);
		}
	return done;
}

static void read_line(int fd, char *line, size_t size)
{
	size_t n = 0;

	while (n + 1 < size && read_some(fd, line + n, 1) == 1 && line[n] != '\n')
		n++;
	line[n] = 0;
}

struct sending {
	int fd;
	uint64_t bytes;
};

static void *send_there(void *argument)
{
	const struct sending *sending = argument;

	send_stream(sending->fd, sending->bytes);
	return NULL;
}

/* One thread sends, another receives. */
static void exchange(int fd, uint64_t bytes)
{
	struct sending sending = {fd, bytes};
	pthread_t sender;

	if (pthread_create(&sender, NULL, send_there, &sending) != 0)
		errx(1, "no thread");
	if (receive_stream(fd, bytes) != bytes)
		errx(1, "too few bytes");
	pthread_join(sender, NULL);
}

static void answer(int fd, uint64_t times)
{
	char question[QUESTION];

	while (times-- > 0) {
		read_all(fd, question, sizeof(question));
		write_all(fd, question, sizeof(question));
	}
}

static void count(int fd, uint64_t unused)
{
	char line[32];

	(void)unused;
	write_all(fd, line,
		  (size_t)sprintf(line, "%llu\n", (unsigned long long)receive_stream(fd, UINT64_MAX)));
}

static void repeat(int fd, uint64_t number)
{
	char line[128];
	int n = snprintf(line, sizeof(line), "heard %llu %s\n", (unsigned long long)number, marker);

	write_all(fd, line, (size_t)n);
}

static const struct {
	const char *word;
	void (*run)(int fd, uint64_t n);
} services[] = {
	{"down", send_stream}, {"up", count}, {"both", exchange}, {"ask", answer}, {"say", repeat},
};

static void serve(int fd)
{
	char line[256], word[16] = "";
	unsigned long long n = 0;
	size_t i;

	read_line(fd, line, sizeof(line));
	sscanf(line, "%15s %llu", word, &n);
	for (i = 0; i < sizeof(services) / sizeof(*services); i++)
		if (strcmp(word, services[i].word) == 0)
			services[i].run(fd, n);
}

static int listen_on(int port)
{
	struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
	int fd = socket(AF_INET6, SOCK_STREAM, 0), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof(any)) != 0 || listen(fd, 64) != 0)
		err(1, "port %d", port);
	return fd;
}

static void server(int port, bool greet)
{
	int listener = listen_on(port), fd;

	signal(SIGCHLD, SIG_IGN);
	while ((fd = accept(listener, NULL, NULL)) >= 0 || errno == EINTR || errno == ECONNABORTED) {
		if (fd < 0)
			continue;
		if (fork() == 0) {
			close(listener);
			signal(SIGCHLD, SIG_DFL);
			if (greet)
				write_all(fd, GREETING, strlen(GREETING));
			serve(fd);
			close(fd);
			_exit(0);
		}
		close(fd);
	}
	err(1, "accept");
}

static int dial(const char *host, const char *port)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list, *a;
	int fd = -1;

	if (getaddrinfo(host, port, &hints, &list) != 0)
		errx(1, "%s: no address", host);
	for (a = list; a; a = a->ai_next) {
		fd = socket(a->ai_family, a->ai_socktype, 0);
		if (connect(fd, a->ai_addr, a->ai_addrlen) == 0)
			break;
		close(fd);
		fd = -1;
	}
	if (fd < 0)
		err(1, "connect");
	freeaddrinfo(list);
	return fd;
}

static void ask_many(int fd, uint64_t times)
{
	char question[QUESTION] = {0}, got[QUESTION];
	uint64_t i;

	for (i = 0; i < times; i++) {
		snprintf(question, sizeof(question), "question %llu %s", (unsigned long long)i, marker);
		write_all(fd, question, sizeof(question));
		read_all(fd, got, sizeof(got));
		if (memcmp(got, question, sizeof(got)) != 0)
			errx(1, "answer %llu is wrong", (unsigned long long)i);
	}
	printf("%llu answers\n", (unsigned long long)times);
}

static void show_line(int fd)
{
	char line[256];

	read_line(fd, line, sizeof(line));
	printf("%s\n", line);
}

static void receive(int fd, uint64_t unused)
{
	(void)unused;
	printf("%llu\n", (unsigned long long)receive_stream(fd, UINT64_MAX));
}

static void give(int fd, uint64_t bytes)
{
	char byte;

	send_stream(fd, bytes);
	if (shutdown(fd, SHUT_WR) != 0)
		err(1, "shutdown");
	show_line(fd);
	if (read(fd, &byte, 1) != 0)
		errx(1, "no end");
}

static void trade(int fd, uint64_t bytes)
{
	exchange(fd, bytes);
	printf("%llu\n", (unsigned long long)bytes);
}

static void hear(int fd, uint64_t unused)
{
	(void)unused;
	show_line(fd);
}

static const struct {
	const char *word;
	void (*run)(int fd, uint64_t n);
} clients[] = {
	{"down", receive}, {"up", give}, {"both", trade}, {"ask", ask_many}, {"say", hear},
};

static void client(int fd, const char *what, uint64_t n)
{
	char line[64];
	size_t i;

	if (strcmp(what, "greeting") == 0) {
		show_line(fd);
		what = "say";
	}
	write_all(fd, line, (size_t)snprintf(line, sizeof(line), "%s %llu\n", what, (unsigned long long)n));
	for (i = 0; i < sizeof(clients) / sizeof(*clients); i++)
		if (strcmp(what, clients[i].word) == 0)
			clients[i].run(fd, n);
}

int main(int argc, char **argv)
{
	marker = getenv("MARKER") ? getenv("MARKER") : "marker";
	marker_len = strlen(marker);
	signal(SIGPIPE, SIG_IGN);
	if (argc >= 3 && strcmp(argv[1], "server") == 0)
		server(atoi(argv[2]), argc > 3);
	else if (argc >= 4)
		client(dial(argv[1], argv[2]), argv[3], argc > 4 ? strtoull(argv[4], NULL, 0) : 0);
	else
		errx(2, "usage: transfer server PORT [greet] | "
			"transfer HOST PORT down|up|both|ask|say|greeting [N]");
	return 0;
}
