/* The internal thread: who is run when, and what its lock keeps away. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/loop.h"
#include "tests/unit/host.h"

#define MANY 200

/* A client that reads a pipe until its end, and takes note. */
struct reader {
	struct loop_client client; /* first */
	int pipe[2];
	_Atomic int runs, bytes, done;
	_Atomic bool stop;
	int64_t wait; /* ns: a deadline each time; 0: none */
	_Atomic int64_t last;
	pthread_t thread;
	sigset_t mask;
};

static bool run(struct loop_client *client, int64_t now)
{
	struct reader *r = (struct reader *)client;
	char byte;

	r->runs++;
	r->last = now;
	r->thread = pthread_self();
	pthread_sigmask(SIG_SETMASK, NULL, &r->mask);
	if (client->n_fds && (client->fds[0].revents & (POLLIN | POLLHUP)) && read(r->pipe[0], &byte, 1) == 1)
		r->bytes++;
	if (r->stop)
		return false;
	client->fds[0] = (struct pollfd){r->pipe[0], POLLIN, 0};
	client->n_fds = 1;
	client->deadline = r->wait ? now + r->wait : INT64_MAX;
	return true;
}

static void done(struct loop_client *client)
{
	((struct reader *)client)->done++;
}

static void add(struct reader *r)
{
	r->client.run = run;
	r->client.done = done;
	r->client.deadline = INT64_MAX;
	assert_int_equal(pipe(r->pipe), 0);
	loop_lock();
	assert_int_equal(loop_add(&r->client), 0);
	loop_unlock();
}

static bool reaches(_Atomic int *value, int wanted)
{
	int64_t end = now_ns() + 2 * NS_PER_S;

	while (*value < wanted && now_ns() < end)
		usleep(200);
	return *value >= wanted;
}

static void end(struct reader *r)
{
	r->stop = true;
	loop_wake();
	assert_true(reaches(&r->done, 1));
	assert_int_equal(r->done, 1);
	assert_null(r->client.watch);
	close(r->pipe[0]);
	close(r->pipe[1]);
}

static int setup(void **state)
{
	(void)state;
	unit_host();
	return 0;
}

static void test_runs(void **state)
{
	struct reader r = {.wait = 0};
	int runs;

	(void)state;
	add(&r);
	assert_true(reaches(&r.runs, 1));
	assert_false(pthread_equal(r.thread, pthread_self()));
	usleep(20000);
	runs = r.runs;
	assert_int_equal(write(r.pipe[1], "x", 1), 1);
	assert_true(reaches(&r.bytes, 1));
	assert_int_equal(r.runs, runs + 1);
	loop_wake();
	assert_true(reaches(&r.runs, runs + 2));
	/* Else it rests. */
	usleep(50000);
	assert_int_equal(r.runs, runs + 2);
	end(&r);
}

static void test_deadline(void **state)
{
	struct reader r = {.wait = 40 * NS_PER_MS};
	int64_t begin;

	(void)state;
	add(&r);
	assert_true(reaches(&r.runs, 1));
	begin = r.last;
	assert_true(reaches(&r.runs, 4));
	assert_in_range((r.last - begin) / NS_PER_MS, 110, 300);
	end(&r);
}

/* The application's signals never run on it. */
static void test_signals_blocked(void **state)
{
	static const int ours[] = {SIGALRM, SIGINT, SIGTERM, SIGCHLD, SIGUSR1, SIGIO, SIGPIPE};
	struct reader r = {.wait = 0};
	size_t i;

	(void)state;
	add(&r);
	assert_true(reaches(&r.runs, 1));
	for (i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		assert_true(sigismember(&r.mask, ours[i]));
	end(&r);
}

static void count_one(struct loop_client *client, void *arg)
{
	(void)client;
	++*(int *)arg;
}

static int count(void)
{
	int n = 0;

	loop_lock();
	loop_each(count_one, &n);
	loop_unlock();
	return n;
}

static void test_many(void **state)
{
	static struct reader readers[MANY];
	int i;

	(void)state;
	memset(readers, 0, sizeof(readers));
	for (i = 0; i < MANY; i++)
		add(&readers[i]);
	assert_int_equal(count(), MANY);
	for (i = 0; i < MANY; i++)
		assert_int_equal(write(readers[i].pipe[1], "x", 1), 1);
	for (i = 0; i < MANY; i++)
		assert_true(reaches(&readers[i].bytes, 1));
	/* From the middle, the end and the beginning. */
	for (i = 0; i < MANY; i++)
		end(&readers[i * 77 % MANY]);
	assert_int_equal(count(), 0);
}

static _Atomic int handled;

static void on_signal(int sig)
{
	(void)sig;
	handled++;
}

/* A handler that takes the lock, as shutdown(2) in it may, must not find it held by its own thread. */
static void test_holder_is_not_interrupted(void **state)
{
	struct sigaction action = {.sa_handler = on_signal};

	(void)state;
	handled = 0;
	sigaction(SIGUSR1, &action, NULL);
	loop_lock();
	raise(SIGUSR1);
	assert_int_equal(handled, 0);
	loop_unlock();
	assert_int_equal(handled, 1);
	signal(SIGUSR1, SIG_DFL);
}

static void *cancelled_holder(void *arg)
{
	_Atomic bool *reached = arg;

	loop_lock();
	pthread_cancel(pthread_self());
	pthread_testcancel();
	*reached = true;
	loop_unlock();
	pthread_testcancel();
	return NULL;
}

static void test_holder_is_not_cancelled(void **state)
{
	_Atomic bool reached = false;
	pthread_t thread;
	void *result;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, cancelled_holder, &reached), 0);
	assert_int_equal(pthread_join(thread, &result), 0);
	assert_true(reached);
	assert_ptr_equal(result, PTHREAD_CANCELED);
	loop_lock();
	loop_unlock();
}

static int threads(void)
{
	DIR *dir = opendir("/proc/self/task");
	int n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n - 2;
}

static void child(struct reader *r)
{
	int before = r->runs;

	alarm(10);
	loop_wake();
	if (!reaches(&r->runs, before + 1))
		_exit(1);
	if (write(r->pipe[1], "x", 1) != 1 || !reaches(&r->bytes, 1))
		_exit(2);
	r->stop = true;
	loop_wake();
	_exit(reaches(&r->done, 1) ? 0 : 3);
}

/* A child has a loop of its own, with the clients; a second wake-up is not the parent's. */
static void test_fork(void **state)
{
	struct reader r = {.wait = 0};
	int status = -1;
	pid_t pid;

	(void)state;
	add(&r);
	assert_true(reaches(&r.runs, 1));
	loop_fork_prepare();
	pid = fork();
	if (pid == 0) {
		/* The pipe is shared with the parent, whose loop would read from it. */
		if (pipe(r.pipe) != 0)
			_exit(9);
		loop_fork_child();
		child(&r);
	}
	loop_fork_parent();
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_int_equal(r.done, 0);
	assert_int_equal(r.bytes, 0);
	end(&r);
}

/* Without clients a child needs no thread until it has one. */
static void test_fork_idle(void **state)
{
	struct reader r = {.wait = 0};
	int status = -1;
	pid_t pid;

	(void)state;
	loop_fork_prepare();
	pid = fork();
	if (pid == 0) {
		loop_fork_child();
		if (threads() != 1)
			_exit(1);
		add(&r);
		_exit(reaches(&r.runs, 1) && threads() == 2 ? 0 : 2);
	}
	loop_fork_parent();
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void *no_memory(size_t n, size_t size)
{
	(void)n;
	(void)size;
	return NULL;
}

static void test_memory_short(void **state)
{
	struct taps_host *host = unit_host();
	void *(*real)(size_t, size_t) = host->calloc;
	struct loop_client client = {.run = run, .done = done};

	(void)state;
	host->calloc = no_memory;
	loop_lock();
	assert_int_equal(loop_add(&client), -ENOMEM);
	loop_unlock();
	host->calloc = real;
	assert_int_equal(count(), 0);
}

static void *no_realloc(void *old, size_t size)
{
	(void)old;
	(void)size;
	return NULL;
}

static void *no_malloc(size_t size)
{
	(void)size;
	return NULL;
}

/* libev would end the process: it must not need any memory once it is there. */
static void test_memory_short_within(void **state)
{
	static struct reader readers[MANY];
	struct taps_host *host = unit_host(), real = *host;
	int i;

	(void)state;
	memset(readers, 0, sizeof(readers));
	host->malloc = no_malloc;
	host->realloc = no_realloc;
	for (i = 0; i < MANY; i++)
		add(&readers[i]);
	for (i = 0; i < MANY; i++)
		assert_true(reaches(&readers[i].runs, 1));
	for (i = 0; i < MANY; i++)
		end(&readers[i]);
	*host = real;
}

/* In a process of its own: nothing runs any more. */
static void test_stop(void **state)
{
	struct reader r = {.wait = 0};
	int status = -1;
	pid_t pid;

	(void)state;
	loop_fork_prepare();
	pid = fork();
	if (pid == 0) {
		loop_fork_child();
		alarm(10);
		add(&r);
		if (!reaches(&r.runs, 1))
			_exit(1);
		usleep(20000);
		loop_stop();
		loop_wake();
		usleep(50000);
		r.runs = 0;
		loop_wake();
		usleep(50000);
		_exit(r.runs != 0);
	}
	loop_fork_parent();
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup(f, setup)
	const struct CMUnitTest tests[] = {
		CASE(test_memory_short_within),
		CASE(test_runs),
		CASE(test_deadline),
		CASE(test_signals_blocked),
		CASE(test_many),
		CASE(test_holder_is_not_interrupted),
		CASE(test_holder_is_not_cancelled),
		CASE(test_fork),
		CASE(test_fork_idle),
		CASE(test_memory_short),
		CASE(test_stop),
	};

	alarm(60);
	return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
