/* tls_client HOST PORT TRUST WHAT…: measures one thing of its connections to tls_server.
 *
 *	up MB CHUNK     sends so much, CHUNK bytes a call   prints MB/s and CPU seconds per GB
 *	down MB CHUNK   the other way
 *	ping COUNT      64 bytes there and back             prints the median in microseconds
 *	full COUNT      connections, a byte there and back  prints connections per second
 *	resumed COUNT   the same by tickets
 *	first           one of them                         prints nothing
 *	idle COUNT      holds connections in one epoll set, answers each byte '?' with '!'
 *	                                                    prints bytes of memory for each, wait calls */
#include "tests/bench/tls_link.h"

#include <err.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define PING 64
#define WARM_UP 20

static struct addrinfo *where;
static const char *host;

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static double seconds(const struct timeval *tv)
{
	return (double)tv->tv_sec + (double)tv->tv_usec / 1e6;
}

static double cpu(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return seconds(&usage.ru_utime) + seconds(&usage.ru_stime);
}

static struct link *open_link(bool resume)
{
	return link_connect(where->ai_addr, where->ai_addrlen, host, resume);
}

static struct link *ask(char what, unsigned long long size, unsigned chunk, bool resume)
{
	struct link *link = open_link(resume);
	struct request request;

	memset(&request, 0, sizeof(request));
	request.what = what;
	request.chunk = chunk;
	request.size = size;
	link_send(link, &request, sizeof(request));
	return link;
}

static void upload(struct link *link, const char *buf, unsigned long long size, size_t chunk)
{
	char done;

	for (unsigned long long left = size; left > 0; left -= chunk) {
		if (left < chunk)
			chunk = (size_t)left;
		link_send(link, buf, chunk);
	}
	receive_all(link, &done, 1);
}

static void download(struct link *link, char *buf, unsigned long long size, size_t chunk)
{
	for (unsigned long long got = 0; got < size;) {
		size_t n = link_recv(link, buf, chunk);

		if (n == 0)
			errx(1, "a short download");
		got += n;
	}
}

static void bulk(bool up, unsigned long long size, unsigned chunk)
{
	char *buf = calloc(1, chunk);
	struct link *link = ask(up ? 'U' : 'D', size, chunk, false);
	double begin = now(), used = cpu(), took;

	if (up)
		upload(link, buf, size, chunk);
	else
		download(link, buf, size, chunk);
	took = now() - begin;
	used = cpu() - used;
	link_close(link);
	free(buf);
	printf("%.1f %.4f\n", (double)size / took / 1e6, used / ((double)size / 1e9));
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void ping(int count)
{
	double *took = calloc((size_t)count, sizeof(*took));
	struct link *link = ask('P', 0, PING, false);
	char buf[PING] = "";

	for (int i = -WARM_UP; i < count; i++) {
		double begin = now();

		link_send(link, buf, sizeof(buf));
		receive_all(link, buf, sizeof(buf));
		if (i >= 0)
			took[i] = now() - begin;
	}
	link_close(link);
	qsort(took, (size_t)count, sizeof(*took), compare);
	printf("%.3f\n", took[count / 2] * 1e6);
	free(took);
}

static void visit(bool resume)
{
	struct link *link = ask('P', 0, PING, resume);
	char byte = 0;

	link_send(link, &byte, 1);
	receive_all(link, &byte, 1);
	link_close(link);
}

static void visits(int count, bool resume)
{
	double begin;

	for (int i = 0; i < WARM_UP; i++)
		visit(resume);
	begin = now();
	for (int i = 0; i < count; i++)
		visit(resume);
	printf("%.1f\n", count / (now() - begin));
}

/* Private memory of this process, in bytes (proc(5), smaps_rollup). */
static double memory(void)
{
	FILE *file = fopen("/proc/self/smaps_rollup", "re");
	char line[200];
	double total = 0, kb;

	if (!file)
		err(1, "smaps_rollup");
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "Private_Clean: %lf", &kb) == 1 ||
		    sscanf(line, "Private_Dirty: %lf", &kb) == 1)
			total += kb * 1024;
	fclose(file);
	return total;
}

/* Answers one connection's bytes; returns how many it answered. */
static int answer(struct link *link)
{
	int answers = 0;
	char byte;
	ssize_t n;

	while ((n = link_try(link, &byte, 1)) == 1)
		if (byte == '?') {
			link_send(link, "!", 1);
			answers++;
		}
	if (n == 0)
		errx(1, "a connection ended");
	return answers;
}

static unsigned long answer_all(int set, struct link **links, int count)
{
	struct epoll_event events[64];
	unsigned long waits = 0;

	for (int answers = 0; answers < count; waits++) {
		int n = epoll_wait(set, events, 64, 60000);

		if (n <= 0)
			errx(1, "%d of %d answered, then nothing", answers, count);
		for (int i = 0; i < n; i++)
			answers += answer(links[events[i].data.u32]);
	}
	return waits;
}

static void idle(int count)
{
	struct link **links = calloc((size_t)count, sizeof(*links));
	int set = epoll_create1(EPOLL_CLOEXEC), first = count / 10;
	double before = 0;

	for (int i = 0; i < count; i++) {
		struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
		char byte = 0;

		links[i] = open_link(false);
		link_send(links[i], "", 1);
		receive_all(links[i], &byte, 1);
		epoll_ctl(set, EPOLL_CTL_ADD, link_fd(links[i]), &event);
		if (i + 1 == first)
			before = memory();
	}
	printf("%.0f", (memory() - before) / (count - first));
	fflush(stdout);
	link_send(links[count - 1], "", 1);
	printf(" %lu\n", answer_all(set, links, count));
}

static void run(int argc, char **argv)
{
	const char *what = argv[0];
	int count = argc > 1 ? atoi(argv[1]) : 0;
	unsigned chunk = argc > 2 ? (unsigned)atoi(argv[2]) : 0;

	if (!strcmp(what, "up") || !strcmp(what, "down"))
		bulk(what[0] == 'u', (unsigned long long)count * 1000000, chunk);
	else if (!strcmp(what, "ping"))
		ping(count);
	else if (!strcmp(what, "full") || !strcmp(what, "resumed"))
		visits(count, what[0] == 'r');
	else if (!strcmp(what, "first"))
		visit(false);
	else if (!strcmp(what, "idle"))
		idle(count);
	else
		errx(2, "no such measurement: %s", what);
}

int main(int argc, char **argv)
{
	const struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};
	int error;

	if (argc < 5)
		errx(2, "usage: tls_client HOST PORT TRUST WHAT…");
	host = argv[1];
	error = getaddrinfo(host, argv[2], &hints, &where);
	if (error)
		errx(1, "%s: %s", host, gai_strerror(error));
	link_init(argv[3], NULL, NULL);
	run(argc - 4, argv + 4);
	freeaddrinfo(where);
	return 0;
}
