/* calls: what one call costs on descriptors that are no network sockets.  Prints "NAME NANOSECONDS" for
 * each: the median over many short blocks, so that an interruption spoils one block and not the result. */
#include <err.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BLOCKS 101
#define BLOCK_CALLS 100 /* as many one-byte packets as a Unix socket surely holds */

static int zero, null, pair[2], idle[2], set;

static void do_read(void)
{
	char c;

	if (read(zero, &c, 1) != 1)
		err(1, "read");
}

static void do_write(void)
{
	if (write(null, "x", 1) != 1)
		err(1, "write");
}

static void do_send(void)
{
	if (send(pair[0], "x", 1, 0) != 1)
		err(1, "send");
}

static void do_recv(void)
{
	char c;

	if (recv(pair[1], &c, 1, 0) != 1)
		err(1, "recv");
}

static void do_poll(void)
{
	struct pollfd pfd = {.fd = idle[0], .events = POLLIN};

	if (poll(&pfd, 1, 0) != 0)
		err(1, "poll");
}

static void do_epoll(void)
{
	struct epoll_event event;

	if (epoll_wait(set, &event, 1, 0) != 0)
		err(1, "epoll_wait");
}

/* Blocks of all run in turn, so that a block of send is taken away by the next one of recv. */
static const struct {
	const char *name;
	void (*call)(void);
} rows[] = {
	{"read", do_read}, {"write", do_write}, {"send", do_send},
	{"recv", do_recv}, {"poll", do_poll},	{"epoll_wait", do_epoll},
};
#define N_ROWS (sizeof(rows) / sizeof(rows[0]))

static double samples[N_ROWS][BLOCKS];

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static double time_block(void (*call)(void))
{
	double begin = now();

	for (int i = 0; i < BLOCK_CALLS; i++)
		call();
	return (now() - begin) / BLOCK_CALLS;
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void open_all(void)
{
	struct epoll_event event = {.events = EPOLLIN};

	zero = open("/dev/zero", O_RDONLY);
	null = open("/dev/null", O_WRONLY);
	set = epoll_create1(0);
	if (zero < 0 || null < 0 || set < 0 || pipe(idle) < 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0 ||
	    epoll_ctl(set, EPOLL_CTL_ADD, idle[0], &event) < 0)
		err(1, "setup");
}

int main(void)
{
	open_all();
	for (int block = -10; block < BLOCKS; block++)
		for (size_t i = 0; i < N_ROWS; i++)
			samples[i][block < 0 ? 0 : block] = time_block(rows[i].call);
	for (size_t i = 0; i < N_ROWS; i++) {
		qsort(samples[i], BLOCKS, sizeof(double), ascending);
		printf("%s %.2f\n", rows[i].name, samples[i][BLOCKS / 2]);
	}
	return 0;
}
