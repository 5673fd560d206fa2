/* A plain program that reads from a connection as soon as it is told that there is something to read, in each
 *way that there is to be told.  A board says what its peer has sent so far, so that every answer can be
 *judged:
 *
 *	readable	only when application bytes, the end or an error are there, and the read that follows
 *gets them not readable	only when none of these was there when the wait began
 *	waiting		enters the kernel a bounded number of times
 *
 * usage: ready connect|listen ADDRESS PORT BOARD SEED FIRST COUNT [clear|relayed].  Prints one line for each
 * breach.  With `clear` the peer speaks no TLS; with `relayed` bytes come by way of another process. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "ready.h"

#define WAIT_MS 1000
#define SCHEDULE_US 8000000
#define LATE_US 800000 /* nothing may take that long that need not wait; the machine may be busy */

/* tcpi_state (netinet/tcp.h, which has an older struct tcp_info). */
enum { ESTABLISHED = 1, CLOSED = 7 };

unsigned long counted_waits(void);

static bool clear, relayed;

struct run {
	uint64_t number, state;
	struct schedule schedule;
	struct board *board;
	int fd, epfd;
	uint64_t read;
	unsigned long waits; /* the program's own */
	unsigned long before; /* counted_waits() at the beginning */
	bool hung_up; /* said with the last event */
	bool accepted, over, broken;
};

static const char *const ways[] = {"poll",  "ppoll",      "select",       "pselect",
				   "epoll", "epoll edge", "epoll oneshot"};
static const char *const ends[] = {"goodbye", "goodbye before FIN", "FIN", "RST", "forgery"};

static void breach(struct run *run, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void breach(struct run *run, const char *format, ...)
{
	va_list args;

	if (run->broken)
		return;
	run->broken = run->over = true;
	printf("schedule %llu (%s%s%s%s, ends with %s): ", (unsigned long long)run->number,
	       ways[run->schedule.waiting], run->schedule.blocking ? ", blocking" : "",
	       run->schedule.short_reads ? ", short reads" : "",
	       run->schedule.small_buffer ? ", small buffer" : "", ends[run->schedule.ending]);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("; read %llu of %llu to %llu\n", (unsigned long long)run->read,
	       (unsigned long long)atomic_load(&run->board->done),
	       (unsigned long long)atomic_load(&run->board->begun));
}

/* --- the model --- */

/* What the peer's kernel took may still be on its way: a part of a record can be here and the rest wait for
 * an acknowledgement (tcp(7)).  The end is here when the state says so. */
static bool has_arrived(const struct run *run, bool ended)
{
	uint64_t wire = atomic_load(&run->board->wire);
	struct tcp_info info = {0};
	socklen_t len = sizeof(info);

	if (getsockopt(run->fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0)
		return true;
	if (ended && run->schedule.ending != END_FORGED && info.tcpi_state == ESTABLISHED)
		return false;
	return info.tcpi_bytes_received >= wire || info.tcpi_state == CLOSED;
}

/* Something was there before now, beyond doubt. */
static bool surely(const struct run *run)
{
	bool ended = atomic_load(&run->board->end_done);

	return (ended || atomic_load(&run->board->done) > run->read) && has_arrived(run, ended);
}

/* Something may be there now. */
static bool possibly(const struct run *run)
{
	return atomic_load(&run->board->begun) > run->read || atomic_load(&run->board->end_begun);
}

/* It may come a moment later: in a small buffer there is no room for all of a record, and after accept(2)
 * there is a handshake still to come. */
static bool may_be_late(const struct run *run)
{
	return relayed || run->schedule.small_buffer || (run->accepted && run->read == 0);
}

static bool error_fits(const struct run *run, int error)
{
	if (!atomic_load(&run->board->end_begun))
		return false;
	if (clear)
		return run->schedule.ending == END_RESET && error == ECONNRESET;
	switch (run->schedule.ending) {
	case END_FIN: return error == ECONNRESET && run->read == atomic_load(&run->board->begun);
	case END_FORGED:
		return (relayed ? error == ECONNRESET : error == EPROTO) &&
		       run->read == atomic_load(&run->board->begun);
	/* What was not read yet is lost. */
	case END_RESET: return error == ECONNRESET;
	default: return false;
	}
}

static bool end_fits(const struct run *run)
{
	return atomic_load(&run->board->end_begun) && run->read == atomic_load(&run->board->begun) &&
	       (clear ? run->schedule.ending != END_RESET :
		run->schedule.ending == END_BYE_FIN || run->schedule.ending == END_BYE_LATER);
}

/* --- waiting --- */

static struct timespec timespec_of(int ms)
{
	return (struct timespec){ms / 1000, ms % 1000 * 1000000L};
}

static int by_poll(struct run *run, int ms)
{
	struct pollfd wanted = {run->fd, POLLIN | (run->schedule.both_ways ? POLLRDHUP : 0), 0};
	struct timespec ts = timespec_of(ms);
	int n = run->schedule.waiting == BY_POLL ? poll(&wanted, 1, ms) : ppoll(&wanted, 1, &ts, NULL);

	if (n > 0 && !wanted.revents)
		breach(run, "poll counts what it does not report");
	return n;
}

static int by_select(struct run *run, int ms)
{
	struct timeval tv = {ms / 1000, ms % 1000 * 1000};
	struct timespec ts = timespec_of(ms);
	fd_set in;
	int n;

	FD_ZERO(&in);
	FD_SET(run->fd, &in);
	n = run->schedule.waiting == BY_SELECT ? select(run->fd + 1, &in, NULL, NULL, &tv)
					       : pselect(run->fd + 1, &in, NULL, NULL, &ts, NULL);
	if (n > 0 && !FD_ISSET(run->fd, &in))
		breach(run, "select counts what it does not report");
	return n;
}

static uint32_t wanted_events(const struct run *run)
{
	static const uint32_t mode[WAITINGS] = {[BY_EDGE] = EPOLLET, [BY_ONESHOT] = EPOLLONESHOT};
	uint32_t events = EPOLLIN | EPOLLRDHUP | mode[run->schedule.waiting];

	if (run->schedule.waiting == BY_EDGE && run->schedule.both_ways)
		events |= EPOLLOUT;
	return events;
}

static void arm(struct run *run, int op)
{
	struct epoll_event event = {.events = wanted_events(run), .data.fd = run->fd};

	if (epoll_ctl(run->epfd, op, run->fd, &event) != 0)
		breach(run, "epoll_ctl: %s", strerror(errno));
}

/* Events that are only about writing are none here. */
static int by_epoll(struct run *run, int ms)
{
	struct epoll_event event;
	int n = epoll_wait(run->epfd, &event, 1, ms);

	run->hung_up = n > 0 && (event.events & ~(uint32_t)(EPOLLIN | EPOLLOUT));
	return n > 0 && !(event.events & ~(uint32_t)EPOLLOUT) ? -2 : n;
}

static int (*const waiters[])(struct run *run, int ms) = {
	by_poll, by_poll, by_select, by_select, by_epoll, by_epoll, by_epoll,
};

/* Returns whether the connection is said to be readable. */
static bool wait_readable(struct run *run)
{
	int ms = chance(&run->state, 20) ? 0 : WAIT_MS, n;
	int64_t began = now_us(), took;
	bool there = surely(run);

	run->waits++;
	n = waiters[run->schedule.waiting](run, ms);
	took = now_us() - began;
	if (n == -1)
		breach(run, "waiting: %s", strerror(errno));
	if (n > 0 && !possibly(run))
		breach(run, "readable with nothing there");
	if (n == 0 && there && (ms > 0 || !may_be_late(run)))
		breach(run, "not readable for %d ms with something there", ms);
	if (n > 0 && there && took > LATE_US)
		breach(run, "readable %lld ms late", (long long)took / 1000);
	return n > 0;
}

/* --- reading --- */

static void check_bytes(struct run *run, const unsigned char *data, ssize_t n, bool taken)
{
	ssize_t i;

	for (i = 0; i < n; i++)
		if (data[i] != byte_at(run->number, run->read + (uint64_t)i)) {
			breach(run, "byte %llu is wrong",
			       (unsigned long long)run->read + (unsigned long long)i);
			return;
		}
	if (!taken)
		return;
	run->read += (uint64_t)n;
	if (run->read > atomic_load(&run->board->begun))
		breach(run, "more was read than sent");
	atomic_store(&run->board->read, run->read);
}

static size_t pick_room(struct run *run)
{
	static const size_t rooms[] = {1, 5, 100, 4096, 16384, 70000};

	return chance(&run->state, 70) ? rooms[pick(&run->state, 6)] : 1 + pick(&run->state, 20000);
}

static ssize_t read_in_pieces(int fd, unsigned char *data, size_t room)
{
	size_t third = room / 3;
	struct iovec iov[3] = {{data, third}, {data + third, third}, {data + 2 * third, room - 2 * third}};

	return readv(fd, iov, 3);
}

static ssize_t read_somehow(struct run *run, unsigned char *data, size_t room)
{
	switch (pick(&run->state, 4)) {
	case 0: return read(run->fd, data, room);
	case 1: return read_in_pieces(run->fd, data, room);
	default: return recv(run->fd, data, room, 0);
	}
}

enum outcome { GOT_ALL, GOT_SOME, GOT_NONE };

/* What a read(2) said. */
static enum outcome judge(struct run *run, ssize_t n, size_t room, const unsigned char *data)
{
	if (n > 0) {
		check_bytes(run, data, n, true);
		return (size_t)n < room ? GOT_SOME : GOT_ALL;
	}
	if (n < 0 && errno == EAGAIN)
		return GOT_NONE;
	if (n == 0 && !end_fits(run))
		breach(run, "an end that was not sent");
	if (n < 0 && !error_fits(run, errno))
		breach(run, "read: %s", strerror(errno));
	run->over = true;
	return GOT_NONE;
}

static enum outcome read_once(struct run *run)
{
	static unsigned char data[70000];
	size_t room = pick_room(run);
	int64_t began = now_us();
	bool peek = chance(&run->state, 10);
	ssize_t n;

	n = peek ? recv(run->fd, data, room, MSG_PEEK) : 1;
	if (peek && n > 0)
		check_bytes(run, data, n, false);
	/* An error is told once, to whoever asks first. */
	if (n > 0)
		n = read_somehow(run, data, room);
	if (now_us() - began > LATE_US)
		breach(run, "a read took %lld ms", (long long)(now_us() - began) / 1000);
	return judge(run, n, room, data);
}

static void read_reported(struct run *run)
{
	if (read_once(run) == GOT_NONE && !run->over)
		breach(run, "reported readable, and nothing there");
}

/* With edges everything must be read: until it says so, or, by the manual, until a read is short, unless the
 * peer has hung up. */
static void read_all(struct run *run)
{
	bool shortly = run->schedule.short_reads && !run->hung_up, there;
	enum outcome got;

	do {
		there = surely(run);
		got = read_once(run);
	} while (!run->over && (got == GOT_ALL || (got == GOT_SOME && !shortly)));
	if (!run->over && got == GOT_NONE && there && !may_be_late(run))
		breach(run, "not readable by read(2) with something there");
}

/* A read that nobody said would succeed. */
static void read_unasked(struct run *run)
{
	bool there = surely(run);

	if (read_once(run) == GOT_NONE && !run->over && there && !may_be_late(run))
		breach(run, "not readable by read(2) with something there");
}

static void go_on(struct run *run)
{
	bool edge = run->schedule.waiting == BY_EDGE;

	if (chance(&run->state, 20))
		usleep(pick(&run->state, 800));
	if (!run->schedule.blocking && !edge && chance(&run->state, 10)) {
		read_unasked(run);
		return;
	}
	if (!wait_readable(run) || run->over)
		return;
	if (edge)
		read_all(run);
	else
		read_reported(run);
	if (run->schedule.waiting == BY_ONESHOT && !run->over)
		arm(run, EPOLL_CTL_MOD);
}

/* The end stays: it is reported for as long as one asks. */
static void ask_again(struct run *run)
{
	if (run->broken || run->schedule.waiting == BY_EDGE)
		return;
	if (run->schedule.waiting == BY_ONESHOT)
		arm(run, EPOLL_CTL_MOD);
	run->waits++;
	if (waiters[run->schedule.waiting](run, WAIT_MS) <= 0)
		breach(run, "the end is not readable any more");
}

/* Each of the program's waits, and each piece that the peer sent, may cost a few. */
static void check_waits(struct run *run)
{
	unsigned long waits = counted_waits() - run->before;
	unsigned long bound = 3 * (run->waits + atomic_load(&run->board->pieces) + 6);

	if (waits > bound)
		breach(run, "%lu times in the kernel, for %lu waits and %llu pieces", waits, run->waits,
		       (unsigned long long)atomic_load(&run->board->pieces));
}

/* --- connections --- */

static struct sockaddr_in address_of(const char *address, const char *port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};

	inet_pton(AF_INET, address, &at.sin_addr);
	return at;
}

static int listen_at(const struct sockaddr_in *at)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (const struct sockaddr *)at, sizeof(*at)) != 0 || listen(fd, 16) != 0)
		err(1, "listen");
	return fd;
}

static int dial(struct run *run, const struct sockaddr_in *at)
{
	int fd = socket(AF_INET, SOCK_STREAM | (run->schedule.blocking ? 0 : SOCK_NONBLOCK), 0), size = 4096;
	struct pollfd wanted = {fd, POLLOUT, 0};
	socklen_t len = sizeof(int);
	int error = 0;

	if (run->schedule.small_buffer)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (connect(fd, (const struct sockaddr *)at, sizeof(*at)) == 0)
		return fd;
	if (errno != EINPROGRESS || poll(&wanted, 1, 5000) != 1 ||
	    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
		breach(run, "connect: %s", strerror(errno));
	/* A connection that is reset at once may look as if it never was. */
	run->over = run->over || error;
	if (error && !error_fits(run, error))
		breach(run, "connect: %s", strerror(error));
	return fd;
}

static int take(struct run *run, int listener)
{
	int fd = accept4(listener, NULL, NULL, run->schedule.blocking ? 0 : SOCK_NONBLOCK);

	/* accept(2): what was reset before it could be taken may be left out. */
	run->over = fd < 0;
	if (fd < 0 && !(errno == ECONNABORTED && error_fits(run, ECONNRESET)))
		breach(run, "accept: %s", strerror(errno));
	return fd;
}

static void post(struct run *run)
{
	struct board *board = run->board;

	atomic_store(&board->wire, 0);
	atomic_store(&board->begun, 0);
	atomic_store(&board->done, 0);
	atomic_store(&board->read, 0);
	atomic_store(&board->pieces, 0);
	atomic_store(&board->end_begun, false);
	atomic_store(&board->end_done, false);
	atomic_store(&board->number, run->number + 1);
}

/* The peer's last words are about this schedule, not the next. */
static void wait_for_peer(const struct run *run)
{
	int64_t end = now_us() + SCHEDULE_US;

	while (atomic_load(&run->board->over) != run->number + 1 && now_us() < end)
		usleep(100);
}

static void play_connected(struct run *run)
{
	int64_t end = now_us() + SCHEDULE_US;

	run->before = counted_waits();
	run->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (run->schedule.waiting >= BY_LEVEL)
		arm(run, EPOLL_CTL_ADD);
	while (!run->over) {
		go_on(run);
		if (now_us() > end)
			breach(run, "not over after %d s", SCHEDULE_US / 1000000);
	}
	ask_again(run);
	check_waits(run);
	close(run->epfd);
}

static bool play(struct run *run, const struct sockaddr_in *at, int listener)
{
	post(run);
	run->accepted = listener >= 0;
	run->fd = run->accepted ? take(run, listener) : dial(run, at);
	if (!run->over)
		play_connected(run);
	close(run->fd);
	wait_for_peer(run);
	return !run->broken;
}

int main(int argc, char **argv)
{
	struct sockaddr_in at;
	uint64_t first, count, i, bad = 0;
	struct board *board;
	int listener = -1;

	if (argc < 8)
		errx(2, "usage: ready connect|listen ADDRESS PORT BOARD SEED FIRST COUNT [clear|relayed]");
	clear = argc > 8 && strcmp(argv[8], "clear") == 0;
	relayed = argc > 8 && !clear;
	signal(SIGPIPE, SIG_IGN);
	at = address_of(argv[2], argv[3]);
	board = map_board(argv[4]);
	first = strtoull(argv[6], NULL, 0);
	count = strtoull(argv[7], NULL, 0);
	if (strcmp(argv[1], "listen") == 0)
		listener = listen_at(&at);
	for (i = first; i < first + count; i++) {
		struct run run = {.number = i,
				  .board = board,
				  .schedule = make_schedule(strtoull(argv[5], NULL, 0), i)};

		run.state = run.schedule.seed;
		bad += !play(&run, &at, listener);
		fflush(stdout);
		if (bad >= 20)
			break;
	}
	printf("%llu schedules, %llu bad\n", (unsigned long long)(i - first + (bad >= 20)),
	       (unsigned long long)bad);
	return bad > 0;
}
