/* 64 threads that connect at once, and threads that are cancelled. */
#include "tests/preload/support/net.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define N_THREADS 64
#define PATIENCE_MS 20000

static pthread_barrier_t barrier;
static struct peer shared_peer;
static atomic_int connected, echoed, named;

static bool echo(int fd, long number)
{
	char text[16], back[16] = "";
	int n = snprintf(text, sizeof(text), "thread %ld", number);

	return send(fd, text, (size_t)n, MSG_NOSIGNAL) == n && recv(fd, back, (size_t)n, MSG_WAITALL) == n &&
	       strcmp(text, back) == 0;
}

static bool wait_connected(int fd)
{
	int error = -1;
	socklen_t len = sizeof(error);

	return poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, PATIENCE_MS) == 1 &&
	       getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error == 0;
}

/* Every second one is non-blocking. */
static void *connect_one(void *arg)
{
	long number = (long)arg;
	int fd = net_socket(&shared_peer, number % 2 ? SOCK_NONBLOCK : 0);

	pthread_barrier_wait(&barrier);
	int result = peer_connect(fd, &shared_peer);
	bool good = number % 2 ? result < 0 && errno == EINPROGRESS && wait_connected(fd) : result == 0;
	connected += good;
	struct sockaddr_storage name;
	socklen_t len = sizeof(name);
	named += getpeername(fd, (struct sockaddr *)&name, &len) == 0 &&
		 name.ss_family == shared_peer.addr.ss_family;
	if (number % 2)
		poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 0);
	echoed += good && (number % 2 || echo(fd, number));
	close(fd);
	return NULL;
}

static void at_once(void)
{
	say("-- %d threads", N_THREADS);
	pthread_t threads[N_THREADS];

	shared_peer = net_peer(ECHO);
	connected = echoed = named = 0;
	pthread_barrier_init(&barrier, NULL, N_THREADS);
	for (long i = 0; i < N_THREADS; i++)
		need(pthread_create(&threads[i], NULL, connect_one, (void *)i) == 0, "thread");
	for (int i = 0; i < N_THREADS; i++)
		pthread_join(threads[i], NULL);
	say("%d connected, %d named, %d echoed", connected, named, echoed);
	pthread_barrier_destroy(&barrier);
}

/* Each thread looks the name up for itself. */
static void *look_up_and_connect(void *arg)
{
	int fd = net_connect_quiet(ECHO);

	connected++;
	echoed += echo(fd, (long)arg);
	close(fd);
	return NULL;
}

static void each_alone(void)
{
	say("-- 16 threads, a look-up each");
	pthread_t threads[16];

	connected = echoed = 0;
	for (long i = 0; i < 16; i++)
		need(pthread_create(&threads[i], NULL, look_up_and_connect, (void *)i) == 0, "thread");
	for (int i = 0; i < 16; i++)
		pthread_join(threads[i], NULL);
	say("%d connected, %d echoed", connected, echoed);
}

struct job {
	int fd;
	struct peer peer;
};

static void *block_in_connect(void *arg)
{
	struct job *job = arg;

	peer_connect(job->fd, &job->peer);
	return NULL;
}

static void *block_in_read(void *arg)
{
	struct job *job = arg;
	char byte;

	return read(job->fd, &byte, 1) == 1 ? arg : NULL;
}

static void *block_in_poll(void *arg)
{
	struct job *job = arg;

	poll(&(struct pollfd){.fd = job->fd, .events = POLLIN}, 1, -1);
	return NULL;
}

static void cancel(const char *title, void *(*body)(void *), struct job *job)
{
	pthread_t thread;
	void *result;

	need(pthread_create(&thread, NULL, body, job) == 0, "thread");
	pause_ms(150);
	SHOW(pthread_cancel(thread));
	SHOW(pthread_join(thread, &result));
	say("%s was cancelled: %d", title, result == PTHREAD_CANCELED);
}

static void cancelled(void)
{
	say("-- cancelled threads");
	struct job job = {.fd = net_connect(ECHO)};

	cancel("read", block_in_read, &job);
	cancel("poll", block_in_poll, &job);
	show_echo(job.fd, "read after the cancelled one");
	SHOW(close(job.fd));
	if (net_loses()) {
		job.peer = net_peer(SLOW);
		job.fd = net_socket(&job.peer, 0);
		cancel("connect", block_in_connect, &job);
		SHOW(close(job.fd));
	}
	int fd = net_connect(ECHO);
	show_echo(fd, "none the worse");
	SHOW(close(fd));
}

int main(int argc, char **argv)
{
	net_start(argc, argv);
	at_once();
	each_alone();
	cancelled();
	at_once();
	return 0;
}
