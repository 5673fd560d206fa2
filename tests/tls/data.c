/* A plain program that uses the flags and options of recv(2), send(2) and socket(7).
 *
 * usage: data CASE HOST PORT     as a client of data_peer.py; prints what happens
 *        data list               prints the cases */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const struct addrinfo *peer;
static const char *name;
static char buf[200000];

static long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void put(int fd, const char *text)
{
	if (write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		err(1, "write");
}

static void introduce(int fd)
{
	char line[64];

	snprintf(line, sizeof(line), "%s\n", name);
	if (connect(fd, peer->ai_addr, peer->ai_addrlen) != 0)
		err(1, "connect");
	put(fd, line);
}

static int meet(void)
{
	int fd = socket(peer->ai_family, SOCK_STREAM, 0);

	introduce(fd);
	return fd;
}

static void show(const char *what, long result)
{
	if (result < 0)
		printf("%s: %s\n", what, strerrorname_np(errno));
	else
		printf("%s: %ld\n", what, result);
}

#define RECV(fd, len, flags) show("recv " #len " " #flags, recv(fd, buf, len, flags))

static void show_queued(int fd)
{
	int bytes = -1;

	ioctl(fd, FIONREAD, &bytes);
	printf("FIONREAD: %d\n", bytes);
}

/* --- receiving --- */

static void peek(void)
{
	int fd = meet();

	put(fd, "give 5\n");
	RECV(fd, 3, MSG_PEEK);
	RECV(fd, 10, MSG_PEEK);
	show_queued(fd);
	RECV(fd, 2, 0);
	show_queued(fd);
	RECV(fd, 10, MSG_DONTWAIT);
	RECV(fd, 10, MSG_DONTWAIT);
	show_queued(fd);
	put(fd, "give 5 50 20000 50 5\n");
	usleep(400000);
	show_queued(fd);
	RECV(fd, 20009, 0);
	show_queued(fd);
	RECV(fd, 10, 0);
}

static void wait_all(void)
{
	int fd = meet();

	put(fd, "give 5 150 5\n");
	RECV(fd, 10, MSG_WAITALL);
	put(fd, "give 40000\n");
	RECV(fd, 40000, MSG_WAITALL);
	put(fd, "give 5 150 5 0 end\n");
	RECV(fd, 20, MSG_WAITALL);
	RECV(fd, 20, MSG_WAITALL);
}

static void set_mark(int fd, int bytes)
{
	show("SO_RCVLOWAT", setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof(bytes)));
}

/* Some kernels sleep on, for the rest alone is less than the mark, or joined to what was looked at. */
static void peek_waits(void)
{
	int fd = meet();

	put(fd, "give 5 150 5\n");
	RECV(fd, 10, MSG_WAITALL | MSG_PEEK);
	RECV(fd, 10, 0);
	set_mark(fd, 100);
	put(fd, "give 60 200 60\n");
	RECV(fd, 1000, MSG_PEEK);
	RECV(fd, 1000, 0);
	put(fd, "give 60 200 60\n");
	RECV(fd, 1000, 0);
}

static void throw_away(void)
{
	int fd = meet();

	put(fd, "give 20000\n");
	RECV(fd, 20000, MSG_WAITALL | MSG_TRUNC);
	put(fd, "give 7\n");
	RECV(fd, 100, MSG_TRUNC);
	put(fd, "give 7\n");
	RECV(fd, 7, MSG_WAITALL);
}

static void in_pieces(void)
{
	struct iovec iov[200];
	int fd = meet(), i;

	for (i = 0; i < 200; i++)
		iov[i] = (struct iovec){buf + i, 1};
	put(fd, "give 200\n");
	RECV(fd, 200, MSG_WAITALL | MSG_PEEK);
	show("readv", readv(fd, iov, 30));
	RECV(fd, 170, MSG_WAITALL);
	for (i = 0; i < 30; i++)
		put(fd, (const char[]){"give 7\n"[i % 7], 0});
	put(fd, "e 7\n");
	RECV(fd, 35, MSG_WAITALL);
}

static void set_time_limit(int fd, int ms)
{
	struct timeval limit = {ms / 1000, ms % 1000 * 1000};

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
}

static void time_limit(void)
{
	int fd = meet();
	long began;

	set_time_limit(fd, 300);
	began = now_ms();
	RECV(fd, 10, 0);
	began = now_ms() - began;
	printf("in time: %d\n", began >= 290 && began < 600);
	put(fd, "give 5\n");
	RECV(fd, 10, MSG_WAITALL);
	set_time_limit(fd, 0);
	put(fd, "give 3\n");
	RECV(fd, 10, 0);
}

/* --- the low-water mark --- */

static void show_mark(int fd)
{
	int value = -1;
	socklen_t len = sizeof(value);

	getsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &value, &len);
	printf("the mark: %d, %u\n", value, len);
}

static int by_poll(int fd, int ms)
{
	struct pollfd wanted = {fd, POLLIN, 0};

	return poll(&wanted, 1, ms);
}

static int by_select(int fd, int ms)
{
	struct timeval limit = {ms / 1000, ms % 1000 * 1000};
	fd_set in;

	FD_ZERO(&in);
	FD_SET(fd, &in);
	return select(fd + 1, &in, NULL, NULL, &limit);
}

static int by_epoll_in(int fd, int ms, uint32_t mode)
{
	struct epoll_event event = {.events = EPOLLIN | mode}, got;
	static int set = -1;

	if (set < 0) {
		set = epoll_create1(0);
		epoll_ctl(set, EPOLL_CTL_ADD, fd, &event);
	}
	return epoll_wait(set, &got, 1, ms);
}

static int by_epoll(int fd, int ms)
{
	return by_epoll_in(fd, ms, 0);
}

static int by_edge(int fd, int ms)
{
	return by_epoll_in(fd, ms, EPOLLET);
}

static void mark_by(int (*wait_for)(int fd, int ms))
{
	int fd = meet();

	set_mark(fd, 100);
	show_mark(fd);
	put(fd, "give 60 400 60\n");
	show("too little", wait_for(fd, 250));
	show("enough", wait_for(fd, 3000));
	show_queued(fd);
	RECV(fd, 1000, 0);
	show("nothing", wait_for(fd, 0));
	put(fd, "give 100\n");
	show("just enough", wait_for(fd, 3000));
	RECV(fd, 99, 0);
	RECV(fd, 99, MSG_DONTWAIT);
	put(fd, "give 30000\n");
	show("a lot", wait_for(fd, 3000));
	RECV(fd, 30000, MSG_WAITALL);
	put(fd, "give 60 100 end\n");
	usleep(400000);
	show("the end", wait_for(fd, 3000));
	RECV(fd, 1000, 0);
	RECV(fd, 1000, 0);
}

static void mark_poll(void)
{
	mark_by(by_poll);
}

static void mark_select(void)
{
	mark_by(by_select);
}

static void mark_epoll(void)
{
	mark_by(by_epoll);
}

static void mark_edge(void)
{
	mark_by(by_edge);
}

static void mark_lowered(void)
{
	int fd = meet();

	set_mark(fd, 100);
	put(fd, "give 60\n");
	show("too little", by_poll(fd, 250));
	set_mark(fd, 1);
	show("lowered", by_poll(fd, 1000));
	set_mark(fd, 61);
	show("raised", by_poll(fd, 100));
	set_mark(fd, 60);
	show("lowered", by_poll(fd, 1000));
	RECV(fd, 1000, 0);
	set_mark(fd, 0);
	show_mark(fd);
}

static void mark_blocking(void)
{
	int fd = meet();

	set_mark(fd, 100);
	put(fd, "give 120\n");
	RECV(fd, 1000, 0);
	put(fd, "give 60\n");
	usleep(200000);
	RECV(fd, 50, 0);
	set_time_limit(fd, 200);
	RECV(fd, 50, 0);
	put(fd, "give 60\n");
	usleep(200000);
	RECV(fd, 1000, MSG_DONTWAIT);
}

static void mark_before(void)
{
	int fd = socket(peer->ai_family, SOCK_STREAM, 0);

	set_mark(fd, 100);
	introduce(fd);
	show_mark(fd);
	put(fd, "give 60 400 60\n");
	show("too little", by_poll(fd, 250));
	show("enough", by_poll(fd, 3000));
	RECV(fd, 1000, 0);
}

/* --- what more will follow --- */

static void send_more(int fd, size_t n, int flags)
{
	static const char bytes[16384];

	if (send(fd, bytes, n, flags) != (ssize_t)n)
		err(1, "send");
}

static void cork(int fd, int on)
{
	setsockopt(fd, IPPROTO_TCP, TCP_CORK, &on, sizeof(on));
}

static void end(int fd)
{
	shutdown(fd, SHUT_WR);
	show("the end", read(fd, buf, sizeof(buf)));
	close(fd);
}

static void more(void)
{
	int fd = meet(), i;

	for (i = 0; i < 9; i++)
		send_more(fd, 10, MSG_MORE);
	send_more(fd, 10, 0);
	end(fd);
}

static void more_much(void)
{
	int fd = meet(), i;

	for (i = 0; i < 100; i++)
		send_more(fd, 1000, MSG_MORE);
	end(fd);
}

static void more_nonblocking(void)
{
	int fd = meet(), i;

	fcntl(fd, F_SETFL, O_NONBLOCK);
	for (i = 0; i < 20; i++)
		send_more(fd, 1000, MSG_MORE);
	fcntl(fd, F_SETFL, 0);
	end(fd);
}

static void more_close(void)
{
	int fd = meet();

	send_more(fd, 10, MSG_MORE);
	send_more(fd, 10, MSG_MORE);
	close(fd);
}

static void more_exit(void)
{
	int fd = meet();

	send_more(fd, 10, MSG_MORE);
	send_more(fd, 10, MSG_MORE);
	fflush(stdout);
	_exit(0);
}

static void more_fork(void)
{
	int fd = meet();

	send_more(fd, 10, MSG_MORE);
	if (fork() == 0) {
		send_more(fd, 10, 0);
		_exit(0);
	}
	wait(NULL);
	close(fd);
}

static void more_relay(void)
{
	int fd = meet();
	FILE *file;

	send_more(fd, 10, MSG_MORE);
	file = fdopen(fd, "w");
	fprintf(file, "0123456789");
	fclose(file);
}

/* The kernel keeps it for 200 ms. */
static void more_echo(void)
{
	int fd = meet();
	long began = now_ms();

	send_more(fd, 10, MSG_MORE);
	RECV(fd, 10, 0);
	began = now_ms() - began;
	printf("after a while: %d\n", began >= 150 && began < 1000);
	send_more(fd, 10, MSG_MORE);
	end(fd);
}

static void corked(void)
{
	int fd = meet(), i;

	cork(fd, 1);
	for (i = 0; i < 100; i++)
		send_more(fd, 100, 0);
	cork(fd, 0);
	for (i = 0; i < 3; i++)
		send_more(fd, 100, 0);
	end(fd);
}

static void corked_echo(void)
{
	int fd = meet();

	cork(fd, 1);
	send_more(fd, 10, 0);
	send_more(fd, 10, 0);
	cork(fd, 0);
	RECV(fd, 10, 0);
	end(fd);
}

static void corked_sendfile(void)
{
	int fd = meet(), file = open("/tmp", O_TMPFILE | O_RDWR, 0600);
	off_t offset = 0;

	if (file < 0 || ftruncate(file, 40000) != 0)
		err(1, "a file");
	cork(fd, 1);
	send_more(fd, 100, 0);
	show("sendfile", sendfile(fd, file, &offset, 40000));
	cork(fd, 0);
	end(fd);
}

static void corked_before(void)
{
	int fd = socket(peer->ai_family, SOCK_STREAM, 0), i;

	cork(fd, 1);
	introduce(fd);
	cork(fd, 0);
	cork(fd, 1);
	for (i = 0; i < 9; i++)
		send_more(fd, 10, 0);
	end(fd);
}

static const struct data_case {
	const char *name;
	void (*run)(void);
} cases[] = {
	{"peek", peek},
	{"wait-all", wait_all},
	{"peek-waits", peek_waits},
	{"throw-away", throw_away},
	{"pieces", in_pieces},
	{"time-limit", time_limit},
	{"mark-poll", mark_poll},
	{"mark-select", mark_select},
	{"mark-epoll", mark_epoll},
	{"mark-edge", mark_edge},
	{"mark-lowered", mark_lowered},
	{"mark-blocking", mark_blocking},
	{"mark-before", mark_before},
	{"more", more},
	{"more-much", more_much},
	{"more-nonblocking", more_nonblocking},
	{"more-close", more_close},
	{"more-exit", more_exit},
	{"more-fork", more_fork},
	{"more-relay", more_relay},
	{"more-echo", more_echo},
	{"cork", corked},
	{"cork-echo", corked_echo},
	{"cork-sendfile", corked_sendfile},
	{"cork-before", corked_before},
};
#define CASES (sizeof(cases) / sizeof(*cases))

static void find_peer(const char *host, const char *port)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list;

	if (getaddrinfo(host, port, &hints, &list) != 0)
		errx(1, "%s: no address", host);
	peer = list;
}

int main(int argc, char **argv)
{
	size_t i;

	signal(SIGPIPE, SIG_IGN);
	name = argc > 1 ? argv[1] : "list";
	if (argc == 4)
		find_peer(argv[2], argv[3]);
	for (i = 0; i < CASES; i++) {
		if (argc < 4)
			puts(cases[i].name);
		else if (strcmp(name, cases[i].name) == 0)
			cases[i].run();
	}
	return 0;
}
