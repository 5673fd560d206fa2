/* The fake table of slots.  One lock, no recycling of what is still referenced. */
#include "tests/unit/slots.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/drive.h"
#include "tests/unit/host.h"

#define SLOTS_MAX 64
#define FDS_MAX 4
#define KEPT_BASE 300

struct slot {
	struct taps_slot pub;
	int fds[FDS_MAX];
	unsigned n_fds;
};

static struct slot slots[SLOTS_MAX];
static pthread_mutex_t lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static _Atomic unsigned kept;

unsigned slots_replaced, slots_carried;
int slots_replace_error;
bool slots_watched, slots_in_flight;

static void take_lock(void)
{
	pthread_mutex_lock(&lock);
}

/* A recursive lock knows its owner by number: the child of a fork(2) that held it has another one. */
static void leave_lock(void)
{
	static const pthread_mutex_t fresh = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

	if (pthread_mutex_unlock(&lock) == EPERM)
		lock = fresh;
}

static int keep(int fd)
{
	int high = taps_host->fcntl(fd, F_DUPFD_CLOEXEC, KEPT_BASE), error = errno;

	close(fd);
	if (high < 0)
		return -error;
	kept++;
	return high;
}

static void drop(int fd)
{
	close(fd);
	kept--;
}

static int replace(struct taps_slot *pub, int fd, bool take)
{
	struct slot *slot = (struct slot *)pub;
	int replaced = 0;
	unsigned i;

	slots_replaced++;
	if (slots_replace_error)
		return slots_replace_error;
	for (i = 0; i < slot->n_fds; i++) {
		int cloexec = fcntl(slot->fds[i], F_GETFD);

		if (taps_host->dup3(fd, slot->fds[i], cloexec > 0 ? O_CLOEXEC : 0) < 0)
			return -errno;
		replaced++;
	}
	if (replaced && take && fd >= KEPT_BASE)
		drop(fd);
	else if (replaced && take)
		close(fd);
	return replaced ? replaced : -EBADF;
}

/* Two options stand for the table of shim/opt.c. */
static void carry(const struct taps_slot *slot, int from, int fd)
{
	static const int names[] = {SO_KEEPALIVE, SO_REUSEADDR};
	unsigned i;

	(void)slot;
	slots_carried++;
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		int value;
		socklen_t len = sizeof(value);

		if (getsockopt(from, SOL_SOCKET, names[i], &value, &len) == 0)
			setsockopt(fd, SOL_SOCKET, names[i], &value, len);
	}
}

int slots_fd(const struct taps_slot *pub)
{
	const struct slot *slot = (const struct slot *)pub;

	return slot->n_fds ? slot->fds[0] : -1;
}

static bool has(const struct taps_slot *pub, int fd)
{
	const struct slot *slot = (const struct slot *)pub;
	unsigned i;

	for (i = 0; i < slot->n_fds; i++)
		if (slot->fds[i] == fd)
			return true;
	return false;
}

static void ref(struct taps_slot *slot)
{
	atomic_fetch_add(&slot->refs, 1);
}

static void unref(struct taps_slot *slot)
{
	struct handle *handle;

	if (atomic_fetch_sub(&slot->refs, 1) != 1)
		return;
	handle = atomic_exchange(&slot->conn, NULL);
	if (handle && handle->kind == HANDLE_CONN)
		drive_released(handle);
	else if (handle)
		handle_unref(handle);
}

static bool hold(struct taps_slot *slot, const void *conn)
{
	uint32_t refs = atomic_load(&slot->refs);

	while (refs && !atomic_compare_exchange_weak(&slot->refs, &refs, refs + 1))
		;
	if (!refs)
		return false;
	if (atomic_load(&slot->conn) == conn)
		return true;
	unref(slot);
	return false;
}

static void set_flags(struct taps_slot *slot, uint32_t set, uint32_t clear)
{
	uint32_t old = atomic_load(&slot->flags);

	while (!atomic_compare_exchange_weak(&slot->flags, &old, (old | set) & ~clear))
		;
}

/* The application's descriptors become the kernel's alone. */
static void forget(struct taps_slot *pub)
{
	struct slot *slot = (struct slot *)pub;

	while (slot->n_fds > 0) {
		slot->n_fds--;
		unref(pub);
	}
}

static bool in_flight(const struct taps_slot *slot)
{
	(void)slot;
	return slots_in_flight;
}

static bool watched(const struct taps_slot *slot)
{
	(void)slot;
	return slots_watched;
}

static void nothing(void)
{
}

void slots_install(void)
{
	struct taps_host *host = unit_host();

	host->fd_keep = keep;
	host->fd_drop = drop;
	host->lock = take_lock;
	host->unlock = leave_lock;
	host->slot_replace = replace;
	host->slot_options = carry;
	host->slot_fd = slots_fd;
	host->slot_has = has;
	host->slot_ref = ref;
	host->slot_hold = hold;
	host->slot_unref = unref;
	host->slot_flags = set_flags;
	host->slot_forget = forget;
	host->slot_watched = watched;
	host->slot_in_flight = in_flight;
	host->process = getpid;
	host->enter = nothing;
	host->leave = nothing;
	slots_replaced = slots_carried = 0;
	slots_replace_error = 0;
	slots_watched = true;
	slots_in_flight = false;
}

static struct slot *free_slot(void)
{
	unsigned i;

	for (i = 0; i < SLOTS_MAX; i++)
		if (atomic_load(&slots[i].pub.refs) == 0)
			return &slots[i];
	return NULL;
}

struct taps_slot *slots_socket(int domain, int type)
{
	int kind = type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC), fd = socket(domain, type, 0);
	struct slot *slot = free_slot();

	if (fd < 0 || !slot) {
		close(fd);
		return NULL;
	}
	*slot = (struct slot){
		.pub = {.domain = (uint16_t)domain, .type = (uint16_t)kind, .own_fd = -1},
		.fds = {fd},
		.n_fds = 1,
	};
	atomic_store(&slot->pub.refs, 1);
	return &slot->pub;
}

int slots_dup(struct taps_slot *pub)
{
	struct slot *slot = (struct slot *)pub;
	int made;

	take_lock();
	made = slot->n_fds < FDS_MAX ? dup(slot->fds[0]) : -1;
	if (made >= 0) {
		slot->fds[slot->n_fds++] = made;
		ref(pub);
	}
	leave_lock();
	return made;
}

void slots_close(struct taps_slot *pub)
{
	struct slot *slot = (struct slot *)pub;

	take_lock();
	while (slot->n_fds > 0) {
		int fd = slot->fds[--slot->n_fds];

		unref(pub);
		close(fd);
	}
	leave_lock();
}

unsigned slots_live(void)
{
	unsigned i, n = 0;

	for (i = 0; i < SLOTS_MAX; i++)
		n += slots[i].n_fds > 0 || atomic_load(&slots[i].pub.refs) > 0;
	return n;
}

unsigned slots_kept(void)
{
	return kept;
}
