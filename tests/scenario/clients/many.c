/* Many connections of one process.
 *
 * usage: many serial HOST PORT COUNT       one after the other, blocking; at each tenth prints descriptors,
 *                                          threads and resident KiB
 *        many parallel HOST PORT COUNT     all at once, non-blocking, in one epoll set; then one byte each
 * way
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct one {
	int fd, writable;
};

static struct addrinfo *look_up(const char *host, const char *port)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list;

	if (getaddrinfo(host, port, &hints, &list) != 0) {
		fprintf(stderr, "%s is unknown\n", host);
		exit(2);
	}
	return list;
}

static int count_entries(const char *path)
{
	DIR *dir = opendir(path);
	int n = 0;

	while (dir && readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static long resident_kib(void)
{
	long pages = 0, total;
	FILE *f = fopen("/proc/self/statm", "r");

	if (!f || fscanf(f, "%ld %ld", &total, &pages) != 2)
		exit(2);
	fclose(f);
	return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static void print_use(int done)
{
	printf("done %d descriptors %d threads %d resident %ld\n", done, count_entries("/proc/self/fd"),
	       count_entries("/proc/self/task"), resident_kib());
	fflush(stdout);
}

/* Waits for the server to close, so that it and not this side keeps TIME_WAIT. */
static int connect_once(const struct addrinfo *ai)
{
	int fd = socket(ai->ai_family, SOCK_STREAM, 0);
	char byte = 'x';
	int r = connect(fd, ai->ai_addr, ai->ai_addrlen);

	if (r == 0) {
		r = write(fd, &byte, 1) == 1 && read(fd, &byte, 1) == 1 ? 0 : -1;
		if (r == 0 && read(fd, &byte, 1) != 0)
			r = -1;
	}
	if (r < 0)
		perror("connection");
	close(fd);
	return r;
}

static int serial(const char *host, const char *port, int count)
{
	struct addrinfo *list = look_up(host, port);
	int i;

	for (i = 1; i <= count; i++) {
		if (connect_once(list) < 0)
			return 1;
		if (i % (count / 10) == 0)
			print_use(i);
	}
	freeaddrinfo(list);
	return 0;
}

static void begin(struct one *one, const struct addrinfo *ai, int epoll)
{
	struct epoll_event event = {.events = EPOLLOUT | EPOLLET, .data.ptr = one};

	one->fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (one->fd < 0 || (connect(one->fd, ai->ai_addr, ai->ai_addrlen) < 0 && errno != EINPROGRESS) ||
	    epoll_ctl(epoll, EPOLL_CTL_ADD, one->fd, &event) < 0) {
		perror("begin");
		exit(2);
	}
}

/* One event: connected or not?  Returns 1 for the first sight of a connection. */
static int seen(struct one *one, unsigned events)
{
	int error = -1;
	socklen_t len = sizeof(error);

	if (one->writable++)
		return 0;
	getsockopt(one->fd, SOL_SOCKET, SO_ERROR, &error, &len);
	if (error || !(events & EPOLLOUT) || (events & (EPOLLERR | EPOLLHUP)))
		fprintf(stderr, "events %x error %d\n", events, error);
	return 1;
}

static int exchange(struct one *one)
{
	char byte = 'x';

	fcntl(one->fd, F_SETFL, 0);
	return write(one->fd, &byte, 1) == 1 && read(one->fd, &byte, 1) == 1 && byte == 'x';
}

static double now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static int parallel(const char *host, const char *port, int count)
{
	struct addrinfo *list = look_up(host, port);
	struct one *ones = calloc((size_t)count, sizeof(*ones));
	int epoll = epoll_create1(EPOLL_CLOEXEC), i, n, left = count, right = 0, twice = 0;
	double start = now_ms();
	struct epoll_event events[64];

	for (i = 0; i < count; i++) {
		begin(&ones[i], list, epoll);
		/* The cable between the two hosts takes no burst of a thousand packets. */
		if (i % 50 == 49)
			usleep(1000);
	}
	fprintf(stderr, "begun %.0f\n", now_ms() - start);
	while (left > 0 && (n = epoll_wait(epoll, events, 64, 10000)) > 0)
		for (i = 0; i < n; i++)
			left -= seen(events[i].data.ptr, events[i].events);
	fprintf(stderr, "took %.0f\n", now_ms() - start);
	n = epoll_wait(epoll, events, 64, 200);
	for (i = 0; i < count; i++) {
		twice += ones[i].writable != 1;
		right += exchange(&ones[i]);
		close(ones[i].fd);
	}
	printf("%d connected, %d answered, %d seen writable not once, %d events after\n", count - left, right,
	       twice, n);
	usleep(200000);
	fprintf(stderr, "descriptors %d threads %d\n", count_entries("/proc/self/fd"),
		count_entries("/proc/self/task"));
	freeaddrinfo(list);
	free(ones);
	return 0;
}

int main(int argc, char **argv)
{
	struct rlimit limit;

	if (argc != 5)
		return 2;
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	if (strcmp(argv[1], "serial") == 0)
		return serial(argv[2], argv[3], atoi(argv[4]));
	return parallel(argv[2], argv[3], atoi(argv[4]));
}
