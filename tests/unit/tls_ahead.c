/* Looking at the kernel's queue before taking from it, with a real one. */
#include "core/tls_ahead.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "core/tls_session.h"
#include "tests/unit/host.h"

#define SMALL 25
#define LARGE (TLS_HEADER_SIZE + TLS_PLAIN_MAX + 17)
#define PATIENCE 2000 /* times 1 ms */

static unsigned peeks;

static ssize_t counting_recv(int fd, void *buf, size_t len, int flags)
{
	peeks += (flags & MSG_PEEK) != 0;
	return recv(fd, buf, len, flags);
}

static void nothing(void)
{
}

/* A connection, from its sending end to its receiving one. */
struct line {
	int out, in;
	struct tls_ahead ahead;
};

static struct line line, other;

static void connect_line(struct line *made)
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int listener = socket(AF_INET, SOCK_STREAM, 0), size = 1 << 20;
	socklen_t len = sizeof(addr);

	assert_int_equal(bind(listener, (struct sockaddr *)&addr, len), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&addr, &len), 0);
	*made = (struct line){.out = socket(AF_INET, SOCK_STREAM, 0)};
	assert_int_equal(setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)), 0);
	assert_int_equal(connect(made->out, (struct sockaddr *)&addr, len), 0);
	made->in = accept(listener, NULL, NULL);
	assert_true(made->in >= 0);
	close(listener);
}

static int setup(void **state)
{
	(void)state;
	unit_host()->recv = counting_recv;
	unit_host()->leave = unit_host()->enter = nothing;
	connect_line(&line);
	connect_line(&other);
	peeks = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	close(line.in);
	close(line.out);
	close(other.in);
	close(other.out);
	return 0;
}

/* A record of that length whose content is `mark`, sent from byte `from` on. */
static void put_from(struct line *to, size_t length, uint8_t mark, size_t from)
{
	uint8_t *record = malloc(length);

	memset(record, mark, length);
	memcpy(record, (uint8_t[]){23, 3, 3, (uint8_t)((length - 5) >> 8), (uint8_t)(length - 5)}, 5);
	assert_int_equal(send(to->out, record + from, length - from, 0), length - from);
	free(record);
}

static void put(struct line *to, size_t length, uint8_t mark)
{
	put_from(to, length, mark, 0);
}

static void await(struct line *from, size_t size)
{
	char *waste = malloc(size);
	int i;

	for (i = 0; i < PATIENCE && recv(from->in, waste, size, MSG_PEEK | MSG_DONTWAIT) < (ssize_t)size; i++)
		usleep(1000);
	assert_true(i < PATIENCE);
	free(waste);
}

static ssize_t look(struct line *from, size_t room, const uint8_t **ret_data, bool *ret_more)
{
	return tls_ahead_look(&from->ahead, from->in, room, 0, ret_data, ret_more);
}

/* The next record is whole and has that mark; takes it. */
static void next_is(struct line *from, size_t length, uint8_t mark)
{
	const uint8_t *data;
	bool more;

	assert_true(look(from, length, &data, &more) >= (ssize_t)length);
	assert_int_equal(tls_record_length(data), length);
	assert_int_equal(data[TLS_HEADER_SIZE], mark);
	assert_int_equal(data[length - 1], mark);
	tls_ahead_take(&from->ahead, from->in, length);
}

/* The second record is found where the first look brought it; that says nothing about what has come since. */
static void one_look_for_several(void **state)
{
	const uint8_t *data;
	bool more;

	(void)state;
	put(&line, SMALL, 1);
	put(&line, SMALL, 2);
	await(&line, 2 * SMALL);
	assert_int_equal(look(&line, 200, &data, &more), 2 * SMALL);
	assert_false(more);
	assert_int_equal(peeks, 1);
	tls_ahead_take(&line.ahead, line.in, SMALL);
	assert_int_equal(look(&line, 200, &data, &more), SMALL);
	assert_true(more);
	assert_int_equal(data[SMALL - 1], 2);
	assert_int_equal(peeks, 1);
	tls_ahead_take(&line.ahead, line.in, SMALL);
	assert_int_equal(look(&line, 200, &data, &more), -EAGAIN);
	assert_int_equal(peeks, 2);
}

static void part_of_a_record_is_looked_for_again(void **state)
{
	const uint8_t *data;
	uint8_t start[] = {23, 3, 3, 0, SMALL - 5, 2};
	bool more;

	(void)state;
	put(&line, SMALL, 1);
	assert_int_equal(send(line.out, start, sizeof(start), 0), sizeof(start));
	await(&line, SMALL + sizeof(start));
	assert_int_equal(look(&line, 200, &data, &more), SMALL + sizeof(start));
	tls_ahead_take(&line.ahead, line.in, SMALL);
	put_from(&line, SMALL, 2, sizeof(start));
	await(&line, SMALL);
	next_is(&line, SMALL, 2);
}

/* Bytes that are used up but not taken stay in front. */
static void used_bytes_stay_in_front(void **state)
{
	const uint8_t *data;
	bool more;

	(void)state;
	put(&line, SMALL, 1);
	put(&line, SMALL, 2);
	await(&line, 2 * SMALL);
	assert_int_equal(look(&line, 200, &data, &more), 2 * SMALL);
	tls_ahead_take(&line.ahead, line.in, SMALL - 1);
	assert_int_equal(tls_ahead_look(&line.ahead, line.in, 200, 1, &data, &more), SMALL + 1);
	assert_int_equal(data[0], 1);
	assert_int_equal(data[1 + TLS_HEADER_SIZE], 2);
	assert_int_equal(peeks, 1);
	tls_ahead_take(&line.ahead, line.in, SMALL + 1);
	assert_int_equal(recv(line.in, (char[1]){0}, 1, MSG_DONTWAIT), -1);
}

static void reaches_far_while_there_is_more(void **state)
{
	(void)state;
	for (uint8_t i = 1; i <= 9; i++)
		put(&line, SMALL, i);
	await(&line, 9 * SMALL);
	for (uint8_t i = 1; i <= 9; i++)
		next_is(&line, SMALL, i);
	/* One, four, four. */
	assert_int_equal(peeks, 3);
}

/* Two connections that take turns take the buffer from each other: right all the same, and soon modest. */
static void lost_to_another(void **state)
{
	(void)state;
	for (uint8_t i = 1; i <= 6; i++) {
		put(&line, LARGE, i);
		put(&other, LARGE, i + 100);
	}
	await(&line, 6 * LARGE);
	await(&other, 6 * LARGE);
	for (uint8_t i = 1; i <= 6; i++) {
		next_is(&line, LARGE, i);
		next_is(&other, LARGE, i + 100);
	}
	assert_true(line.ahead.modest > 0 && other.ahead.modest > 0);
	assert_false(line.ahead.far || other.ahead.far);
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static int sleep_on(struct line *from)
{
	return tls_ahead_sleep(&from->ahead, &lock, from->in, 200);
}

static void what_ends_the_sleep_is_not_fetched_twice(void **state)
{
	const uint8_t *data;
	bool more;

	(void)state;
	put(&line, SMALL, 1);
	assert_int_equal(sleep_on(&line), 0);
	assert_int_equal(look(&line, 200, &data, &more), SMALL);
	assert_false(more);
	assert_int_equal(peeks, 1);
}

static void sleeps_as_the_file_has_it(void **state)
{
	struct timeval limit = {0, 20000};
	const uint8_t *data;
	bool more;

	(void)state;
	assert_int_equal(setsockopt(line.in, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
	assert_int_equal(sleep_on(&line), -EAGAIN);
	assert_int_equal(fcntl(other.in, F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(sleep_on(&other), -EAGAIN);
	shutdown(line.out, SHUT_WR);
	assert_int_equal(sleep_on(&line), 0);
	assert_int_equal(look(&line, 200, &data, &more), 0);
}

/* The handler uses the buffer for another connection, and then there is something on this one. */
static void on_alarm(int sig)
{
	(void)sig;
	next_is(&other, SMALL, 2);
	put(&line, SMALL, 1);
}

static void a_handler_reads_meanwhile(void **state)
{
	struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
	struct itimerval soon = {.it_value = {0, 20000}};

	(void)state;
	put(&other, SMALL, 2);
	put(&other, SMALL, 3);
	await(&other, 2 * SMALL);
	assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
	assert_int_equal(setitimer(ITIMER_REAL, &soon, NULL), 0);
	assert_int_equal(sleep_on(&line), 0);
	next_is(&line, SMALL, 1);
	next_is(&other, SMALL, 3);
}

static void lacks(void **state)
{
	uint8_t record[SMALL] = {23, 3, 3, 0, SMALL - 5}, none[SMALL] = "HTTP/1.1 400";

	(void)state;
	assert_int_equal(tls_ahead_lacks(record, 0), 0);
	assert_int_equal(tls_ahead_lacks(record, 1), 4);
	assert_int_equal(tls_ahead_lacks(record, 5), SMALL - 5);
	assert_int_equal(tls_ahead_lacks(record, SMALL - 1), 1);
	assert_int_equal(tls_ahead_lacks(record, SMALL), 0);
	assert_int_equal(tls_ahead_lacks(none, SMALL), 0);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(one_look_for_several),
		CASE(part_of_a_record_is_looked_for_again),
		CASE(used_bytes_stay_in_front),
		CASE(reaches_far_while_there_is_more),
		CASE(lost_to_another),
		CASE(what_ends_the_sleep_is_not_fetched_twice),
		CASE(sleeps_as_the_file_has_it),
		CASE(a_handler_reads_meanwhile),
		cmocka_unit_test(lacks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
