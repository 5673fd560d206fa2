/* What lies under the application's descriptor, and what the kernel says of it to all who look. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/place.h"
#include "tests/unit/host.h"
#include "tests/unit/racing.h"

static struct conn *new_conn(struct taps_slot *slot)
{
	struct names_entry answer = racing_answer("a.test", DEAD6, GOOD4, NULL);
	struct conn *conn = racing_conn(slot, NULL, DEAD6, &answer);

	assert_non_null(conn);
	return conn;
}

static ino_t inode(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st.st_ino;
}

static void finish(struct conn *conn, struct taps_slot *slot)
{
	conn_cancel(conn);
	slots_close(slot);
	place_drop(conn);
	conn_unref(conn);
}

/* Neither readable nor writable, and no end to it; the original file is kept. */
static void test_hold(void **state)
{
	struct taps_slot *slot = slots_socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK);
	struct conn *conn = new_conn(slot);
	int fd = slots_fd(slot);
	ino_t own = inode(fd);

	(void)state;
	assert_int_equal(place_hold(conn), 0);
	assert_int_equal(atomic_load(&slot->flags), SLOT_CONNECTING);
	assert_ptr_equal(atomic_load(&slot->conn), conn);
	assert_int_equal(slot->own_fd, conn->own_fd);
	assert_int_equal(inode(slot->own_fd), own);
	assert_int_not_equal(inode(fd), own);
	assert_int_equal(racing_poll(fd), 0);
	assert_int_equal(send(fd, "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL), -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(recv(fd, &own, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_int_equal(conn->app_fd, -1);
	finish(conn, slot);
}

static void test_hold_fails(void **state)
{
	struct taps_slot *slot = slots_socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK);
	struct conn *conn = new_conn(slot);
	ino_t own = inode(slots_fd(slot));

	(void)state;
	slots_replace_error = -EBUSY;
	assert_int_equal(place_hold(conn), -EBUSY);
	assert_int_equal(atomic_load(&slot->flags), 0);
	assert_null(atomic_load(&slot->conn));
	assert_int_equal(inode(slots_fd(slot)), own);
	assert_int_equal(conn->app_fd, slots_fd(slot));
	assert_int_equal(conn->own_fd, -1);
	slots_replace_error = 0;
	finish(conn, slot);
}

/* As a socket that was refused; who waits in epoll hears it once. */
static void test_fail(void **state)
{
	struct taps_slot *slot = slots_socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK);
	struct conn *conn = new_conn(slot);
	int fd = slots_fd(slot);

	(void)state;
	assert_int_equal(place_hold(conn), 0);
	place_fail(conn);
	assert_int_equal(atomic_load(&slot->flags), SLOT_FAILED);
	assert_int_equal(racing_poll(fd), POLLIN | POLLOUT | POLLERR | POLLHUP | POLLRDHUP);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(slot->own_fd >= 0);
	finish(conn, slot);
}

static int keep_nothing(int fd)
{
	close(fd);
	return -EMFILE;
}

/* Where no descriptor is to be had for it the placeholder itself dies. */
static void test_fail_without_descriptors(void **state)
{
	struct taps_slot *slot = slots_socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK);
	struct conn *conn = new_conn(slot);
	struct taps_host *host = unit_host(), real = *host;

	(void)state;
	assert_int_equal(place_hold(conn), 0);
	host->fd_keep = keep_nothing;
	place_fail(conn);
	*host = real;
	assert_int_equal(atomic_load(&slot->flags), SLOT_FAILED);
	assert_int_equal(racing_poll(slots_fd(slot)), POLLIN | POLLOUT | POLLERR | POLLHUP | POLLRDHUP);
	finish(conn, slot);
}

/* The flags that the application set meanwhile come along. */
static void test_restore(void **state)
{
	struct taps_slot *slot = slots_socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK);
	struct conn *conn = new_conn(slot);
	int fd = slots_fd(slot);
	ino_t own = inode(fd);

	(void)state;
	assert_int_equal(place_hold(conn), 0);
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	place_restore(conn);
	assert_int_equal(inode(fd), own);
	assert_int_equal(atomic_load(&slot->flags), 0);
	assert_null(atomic_load(&slot->conn));
	assert_int_equal(slot->own_fd, -1);
	assert_int_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	finish(conn, slot);
}

static void *dropper(void *arg)
{
	place_drop(arg);
	return NULL;
}

/* The loop and a close(2) may both be at it: each number is closed once. */
static void test_drop_by_two(void **state)
{
	int i;

	(void)state;
	for (i = 0; i < 300; i++) {
		struct taps_slot *slot = slots_socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK);
		struct conn *conn = new_conn(slot);
		pthread_t other;

		assert_int_equal(place_hold(conn), 0);
		assert_int_equal(pthread_create(&other, NULL, dropper, conn), 0);
		place_drop(conn);
		pthread_join(other, NULL);
		assert_int_equal(slots_kept(), 0);
		slots_close(slot);
		conn_unref(conn);
		handle_reap();
	}
}

static volatile sig_atomic_t signalled_fd, signalled_band;

static void on_ready(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)context;
	signalled_fd = info->si_fd;
	signalled_band = (int)info->si_band;
}

/* Runs the race that conn is for to its end, as a driver does. */
static void race(struct conn *conn)
{
	struct pollfd fds[LOOP_FDS_MAX];
	unsigned n = 0;

	conn_begin(conn, now_ns());
	while (conn_step(conn, fds, n, now_ns()), conn->state == CONN_RACING) {
		int64_t left = conn_deadline(conn) - now_ns();

		n = conn_pollfds(conn, fds, LOOP_FDS_MAX);
		assert_true(poll(fds, n,
				 left < 0          ? 0
				 : left > NS_PER_S ? 1000
						   : (int)(left / NS_PER_MS) + 1) >= 0);
	}
	assert_int_equal(conn->state, CONN_WON);
}

/* The owner of a socket with O_ASYNC is told under the number that it knows (fcntl(2), F_SETSIG). */
static void test_async(void **state)
{
	struct sigaction action = {.sa_sigaction = on_ready, .sa_flags = SA_SIGINFO};
	struct taps_slot *slot = slots_socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK);
	struct conn *conn = new_conn(slot);
	int fd = slots_fd(slot), sig = SIGRTMIN + 3;

	(void)state;
	signalled_fd = -1;
	sigaction(sig, &action, NULL);
	assert_int_equal(fcntl(fd, F_SETOWN, getpid()), 0);
	assert_int_equal(fcntl(fd, F_SETSIG, sig), 0);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK | O_ASYNC), 0);
	assert_int_equal(place_hold(conn), 0);
	assert_int_equal(fcntl(fd, F_GETSIG), sig);
	assert_true(fcntl(fd, F_GETFL) & O_ASYNC);
	signalled_fd = -1;
	race(conn);
	assert_int_equal(signalled_fd, -1);
	assert_int_equal(place_win(conn), 0);
	assert_int_equal(signalled_fd, fd);
	assert_true(signalled_band & POLLOUT);
	assert_int_equal(fcntl(fd, F_GETSIG), sig);
	assert_int_equal(fcntl(fd, F_GETOWN), getpid());
	assert_true(fcntl(fd, F_GETFL) & O_ASYNC);
	signal(sig, SIG_IGN);
	finish(conn, slot);
}

/* A number above a limit that was lowered meanwhile: nothing is put, and nothing is claimed. */
static void test_win_fails(void **state)
{
	int other;

	(void)state;
	for (other = 0; other < 2; other++) {
		struct names_entry answer = racing_answer("a.test", other ? REFUSED4 : REFUSED6, GOOD6, NULL);
		struct taps_slot *slot =
			slots_socket(other ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_NONBLOCK);
		struct conn *conn = racing_conn(slot, NULL, other ? REFUSED4 : REFUSED6, &answer);
		ino_t placeholder;

		assert_int_equal(place_hold(conn), 0);
		placeholder = inode(slots_fd(slot));
		race(conn);
		slots_replace_error = -EBADF;
		assert_int_equal(place_win(conn), -EBADF);
		slots_replace_error = 0;
		assert_int_equal(inode(slots_fd(slot)), placeholder);
		assert_int_equal(atomic_load(&slot->flags), SLOT_CONNECTING);
		assert_ptr_equal(atomic_load(&slot->conn), conn);
		place_fail(conn);
		finish(conn, slot);
	}
}

static int prepare(void **state)
{
	if (racing_network(state) != 0)
		return -1;
	racing_listen(GOOD4);
	racing_listen(GOOD6);
	return 0;
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, racing_begin, racing_end)
	const struct CMUnitTest tests[] = {
		CASE(test_hold),
		CASE(test_hold_fails),
		CASE(test_fail),
		CASE(test_fail_without_descriptors),
		CASE(test_restore),
		CASE(test_drop_by_two),
		CASE(test_async),
		CASE(test_win_fails),
	};

	alarm(60);
	return cmocka_run_group_tests_name("place", tests, prepare, NULL);
}
