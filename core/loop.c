/* The loop.  libev with its poll backend: that one opens no descriptor behind our back, so that an
 * application which closes everything (closefrom) cannot pull the ground away; the wake-up is an
 * eventfd of our own, kept out of its way. */
#include "core/loop.h"

#include <errno.h>
#include <ev.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include "core/host.h"
#include "core/quiet.h"

#define STACK_SIZE (256 * 1024)

struct loop_watch {
	struct loop_client *client;
	unsigned n;
	ev_io io[LOOP_FDS_MAX];
	ev_timer timer;
	bool ready; /* something happened since the last run */
};

/* libev ends the process when it gets no memory.  Its arrays grow with the highest descriptor and the number
 * of watchers, so they are cut from a piece of address space that is had before the loop is: enough for some
 * ten thousand descriptors; beyond, libev takes what malloc(3) has.  Freed is nothing, arrays double. */
#define ARENA_SIZE (4 << 20)

static char *arena;
static size_t arena_used;
static __thread bool is_ours; /* the application may use the same library: its loops are none of this */

static bool is_in_arena(const char *p)
{
	return arena && p >= arena && p < arena + ARENA_SIZE;
}

static void *cut(void *old, size_t size)
{
	size_t room = (size + sizeof(size_t) + 63) & ~(size_t)63;
	size_t *piece;

	if (!arena || room > ARENA_SIZE - arena_used)
		return NULL;
	piece = (size_t *)(void *)(arena + arena_used);
	arena_used += room;
	/* The size stands before the piece. */
	*piece++ = size;
	if (old)
		memcpy(piece, old, ((size_t *)old)[-1] < size ? ((size_t *)old)[-1] : size);
	return piece;
}

static void *outgrow(void *old, size_t size)
{
	size_t old_size = ((size_t *)old)[-1];
	void *p = taps_host->malloc(size);

	return p ? memcpy(p, old, old_size < size ? old_size : size) : NULL;
}

static void *allocate(void *old, long size)
{
	bool in_arena = is_in_arena(old);
	void *p = NULL;

	if (size == 0) {
		if (!in_arena)
			taps_host->free(old);
		return NULL;
	}
	if (is_ours && (in_arena || !old))
		p = cut(old, (size_t)size);
	if (p)
		return p;
	return in_arena ? outgrow(old, (size_t)size) : taps_host->realloc(old, (size_t)size);
}

static int make_arena(void)
{
	void *p;

	arena_used = 0;
	if (arena)
		return 0;
	p = mmap(NULL, ARENA_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
		 0);
	if (p == MAP_FAILED)
		return -ENOMEM;
	arena = p;
	ev_set_allocator(allocate);
	return 0;
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct ev_loop *loop;
static struct loop_client *clients;
static ev_io wake_io;
static _Atomic int wake_fd = -1;
static bool running, stopped;

/* Of the application's thread that holds the lock: a handler that came in would find it held by the very
 * thread it runs on (shutdown(2) is allowed there), a cancelled thread would leave it held. */
static struct quiet holder;
static __thread bool holds;  /* this thread has the lock */
static __thread bool nested; /* it had it before it forked */
static __thread bool alone;  /* its children have no part in the clients */

void loop_lock(void)
{
	struct quiet quiet;

	quiet_begin(&quiet);
	pthread_mutex_lock(&lock);
	holds = true;
	holder = quiet;
}

void loop_unlock(void)
{
	struct quiet quiet = holder;

	holds = false;
	pthread_mutex_unlock(&lock);
	quiet_end(&quiet);
}

void loop_wake(void)
{
	uint64_t one = 1;
	int fd = atomic_load(&wake_fd), saved = errno;

	if (fd >= 0 && taps_host->write(fd, &one, sizeof(one)) < 0)
		errno = saved;
}

static short to_poll(int events)
{
	return (short)((events & EV_READ ? POLLIN : 0) | (events & EV_WRITE ? POLLOUT : 0));
}

static int to_ev(short events)
{
	return (events & POLLIN ? EV_READ : 0) | (events & POLLOUT ? EV_WRITE : 0);
}

static void on_io(EV_P_ ev_io *io, int events)
{
	struct loop_watch *watch = io->data;
	ptrdiff_t at = io - watch->io;

	(void)loop;
	watch->client->fds[at].revents = to_poll(events);
	watch->ready = true;
}

static void on_timer(EV_P_ ev_timer *timer, int events)
{
	struct loop_watch *watch = timer->data;

	(void)loop;
	(void)events;
	watch->ready = true;
}

static void stop(struct loop_watch *watch)
{
	unsigned i;

	for (i = 0; i < watch->n; i++)
		ev_io_stop(loop, &watch->io[i]);
	watch->n = 0;
	ev_timer_stop(loop, &watch->timer);
}

static void start(struct loop_watch *watch, int64_t now)
{
	struct loop_client *client = watch->client;
	unsigned i;

	watch->ready = false;
	for (i = 0; i < client->n_fds; i++) {
		ev_io_init(&watch->io[i], on_io, client->fds[i].fd, to_ev(client->fds[i].events));
		watch->io[i].data = watch;
		client->fds[i].revents = 0;
		ev_io_start(loop, &watch->io[i]);
	}
	watch->n = client->n_fds;
	if (client->deadline == INT64_MAX)
		return;
	ev_timer_init(&watch->timer, on_timer,
		      client->deadline > now ? (double)(client->deadline - now) / 1e9 : 0., 0.);
	watch->timer.data = watch;
	ev_timer_start(loop, &watch->timer);
}

static void unlink_client(struct loop_client *client)
{
	*client->prev = client->next;
	if (client->next)
		client->next->prev = client->prev;
}

static void run_client(struct loop_client *client)
{
	struct loop_watch *watch = client->watch;

	stop(watch);
	if (client->run(client, now_ns())) {
		ev_now_update(loop);
		start(watch, now_ns());
		return;
	}
	unlink_client(client);
	taps_host->free(watch);
	client->watch = NULL;
	client->done(client);
}

/* After a wake-up from outside every client looks for itself whether it is concerned. */
static void on_wake(EV_P_ ev_io *io, int events)
{
	struct loop_client *client;
	uint64_t count;

	(void)loop;
	(void)events;
	if (taps_host->read(io->fd, &count, sizeof(count)) < 0)
		return;
	for (client = clients; client; client = client->next)
		client->watch->ready = true;
}

static void run_ready(void)
{
	struct loop_client *client, *next;

	for (client = clients; client; client = next) {
		next = client->next;
		if (client->watch->ready)
			run_client(client);
	}
}

static void before_waiting(EV_P)
{
	(void)loop;
	holds = false;
	pthread_mutex_unlock(&lock);
}

static void after_waiting(EV_P)
{
	(void)loop;
	pthread_mutex_lock(&lock);
	holds = true;
}

static void *thread_main(void *unused)
{
	(void)unused;
	is_ours = true;
	pthread_mutex_lock(&lock);
	holds = true;
	while (!stopped) {
		run_ready();
		ev_run(loop, EVRUN_ONCE);
	}
	pthread_mutex_unlock(&lock);
	return NULL;
}

void loop_stop(void)
{
	loop_lock();
	stopped = true;
	loop_unlock();
}

static bool make_ev_loop(int fd)
{
	is_ours = true;
	loop = ev_loop_new(EVBACKEND_POLL | EVFLAG_NOENV);
	if (loop) {
		ev_set_loop_release_cb(loop, before_waiting, after_waiting);
		ev_io_init(&wake_io, on_wake, fd, EV_READ);
		ev_io_start(loop, &wake_io);
	}
	is_ours = false;
	return loop;
}

static int make_loop(void)
{
	int fd, result = make_arena();

	if (result < 0)
		return result;
	fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	fd = taps_host->fd_keep(fd);
	if (fd < 0)
		return fd;
	if (!make_ev_loop(fd)) {
		taps_host->fd_drop(fd);
		return -ENOMEM;
	}
	atomic_store(&wake_fd, fd);
	return 0;
}

/* Signals are the application's: its handlers never run on our thread. */
static int start_thread(void)
{
	struct quiet quiet;
	pthread_attr_t attr;
	pthread_t thread;
	int error;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	quiet_begin(&quiet);
	error = pthread_create(&thread, &attr, thread_main, NULL);
	quiet_end(&quiet);
	pthread_attr_destroy(&attr);
	if (!error) {
		pthread_setname_np(thread, "taps-loop");
		running = true;
	}
	return -error;
}

static int ensure_running(void)
{
	int result = 0;

	if (!loop)
		result = make_loop();
	if (result == 0 && !running)
		result = start_thread();
	return result;
}

int loop_add(struct loop_client *client)
{
	int result = ensure_running();

	if (result < 0)
		return result;
	client->watch = taps_host->calloc(1, sizeof(*client->watch));
	if (!client->watch)
		return -ENOMEM;
	client->watch->client = client;
	client->watch->ready = true;
	client->next = clients;
	client->prev = &clients;
	if (clients)
		clients->prev = &client->next;
	clients = client;
	loop_wake();
	return 0;
}

void loop_each(void (*on)(struct loop_client *client, void *arg), void *arg)
{
	struct loop_client *client;

	for (client = clients; client; client = client->next)
		on(client, arg);
}

void loop_fork_alone(bool on)
{
	alone = on;
}

bool loop_forks_alone(void)
{
	return alone || nested;
}

void loop_fork_prepare(void)
{
	nested = holds;
	if (!nested)
		loop_lock();
}

void loop_fork_parent(void)
{
	if (!nested)
		loop_unlock();
}

/* The parent's thread is not here, and its loop was caught waiting: the child makes a new one.  The old
 * one's memory is given up (it holds no descriptor). */
void loop_fork_child(void)
{
	struct loop_client *client;

	running = false;
	loop = NULL;
	if (atomic_load(&wake_fd) >= 0) {
		taps_host->fd_drop(atomic_load(&wake_fd));
		atomic_store(&wake_fd, -1);
	}
	if (loop_forks_alone())
		clients = NULL;
	for (client = clients; client; client = client->next) {
		client->watch->n = 0;
		client->watch->ready = true;
		ev_init(&client->watch->timer, on_timer);
	}
	if (clients)
		ensure_running();
	if (!nested)
		loop_unlock();
}
