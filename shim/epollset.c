/* Epoll registrations.  The common case is served from the slot's own record; what the shim cannot
 * know (sockets inherited, more registrations than the record holds, one-shot registrations that
 * fired) is read from /proc/self/fdinfo. */
#include "shim/epollset.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shim/real.h"

#define REGS_MAX 64

/* The bits that a disarmed one-shot registration keeps. */
#define PRIVATE_BITS (EPOLLWAKEUP | EPOLLONESHOT | EPOLLET | EPOLLEXCLUSIVE)

_Atomic bool epollset_any_oneshot;
static _Atomic uint32_t deliveries;

void epollset_count_delivery(void)
{
	atomic_fetch_add(&deliveries, 1);
}

static struct epoll_reg *find(struct slot *slot, int epfd, int fd)
{
	unsigned i;

	for (i = 0; i < slot->n_regs; i++)
		if (slot->regs[i].epfd == epfd && slot->regs[i].fd == fd)
			return &slot->regs[i];
	return NULL;
}

/* Layered descriptors by what epoll reports of them.  Entries are hints: whoever uses one checks the slot.
 * Open addressing without removal: a descriptor that is registered anew takes its old place. */
#define INDEX_SIZE (1u << 17)

struct index_entry {
	uint64_t data;
	int epfd;
	int fd; /* 0: free; else the descriptor + 1 */
	uint32_t events;
};

_Atomic bool epollset_any_layered;
static struct index_entry *_Atomic index_table;
static _Atomic unsigned index_used;

static uint32_t hash(int epfd, uint64_t data)
{
	uint64_t h = (data ^ ((uint64_t)(unsigned)epfd << 40)) * UINT64_C(0x9e3779b97f4a7c15);

	return (uint32_t)(h >> 40) & (INDEX_SIZE - 1);
}

/* The entry of the pair, or the free one where it belongs; NULL when the table is full.  With the lock. */
static struct index_entry *index_place(int epfd, uint64_t data)
{
	struct index_entry *table = atomic_load(&index_table);
	uint32_t at = hash(epfd, data), tries;

	for (tries = 0; table && tries < INDEX_SIZE; tries++, at = (at + 1) & (INDEX_SIZE - 1))
		if (!table[at].fd || (table[at].epfd == epfd && table[at].data == data))
			return &table[at];
	return NULL;
}

static void index_note(const struct epoll_reg *reg)
{
	struct index_entry *entry;

	if (!atomic_load(&index_table)) {
		void *table = mmap(NULL, INDEX_SIZE * sizeof(*entry), PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (table == MAP_FAILED)
			return;
		atomic_store(&index_table, table);
		atomic_store(&epollset_any_layered, true);
	}
	/* Past three quarters look-ups grow long, and old entries are mostly dead: begin anew. */
	if (atomic_load(&index_used) > INDEX_SIZE / 4 * 3) {
		memset(atomic_load(&index_table), 0, INDEX_SIZE * sizeof(*entry));
		atomic_store(&index_used, 0);
	}
	entry = index_place(reg->epfd, reg->event.data.u64);
	if (!entry)
		return;
	if (!entry->fd)
		atomic_fetch_add(&index_used, 1);
	*entry = (struct index_entry){reg->event.data.u64, reg->epfd, reg->fd + 1, reg->event.events};
}

int epollset_find(int epfd, uint64_t data, struct epoll_event *ret_armed)
{
	struct index_entry *entry;
	int fd = -1;

	fdtab_lock();
	entry = index_place(epfd, data);
	if (entry && entry->fd) {
		fd = entry->fd - 1;
		*ret_armed = (struct epoll_event){.events = entry->events, .data.u64 = data};
	}
	fdtab_unlock();
	return fd;
}

void epollset_became_layered(struct slot *slot)
{
	unsigned i;

	for (i = 0; i < slot->n_regs; i++)
		index_note(&slot->regs[i]);
}

void epollset_note(struct slot *slot, int epfd, int op, int fd, const struct epoll_event *event)
{
	struct epoll_reg *reg;

	if (op != EPOLL_CTL_DEL && (event->events & EPOLLONESHOT))
		atomic_store(&epollset_any_oneshot, true);
	reg = find(slot, epfd, fd);
	if (op == EPOLL_CTL_DEL) {
		if (reg)
			*reg = slot->regs[--slot->n_regs];
	} else if (reg) {
		reg->event = *event;
		reg->delivered = atomic_load(&deliveries);
	} else if (slot->n_regs < SLOT_REGS_MAX) {
		slot->regs[slot->n_regs++] = (struct epoll_reg){
			epfd, fd, fdtab_process(), atomic_load(&deliveries), *event};
	} else {
		slot->regs_unknown = true;
	}
	if (op != EPOLL_CTL_DEL && (slot_flags(slot) & SLOT_LAYERED))
		index_note(&(struct epoll_reg){.epfd = epfd, .fd = fd, .event = *event});
}

/* Calls on_line for each line of a small /proc file. */
static void each_line(const char *path, void (*on_line)(const char *line, void *arg), void *arg)
{
	char buf[4096 + 1];
	size_t have = 0;
	int fd = (int)kernel_call(SYS_openat, AT_FDCWD, (long)path, O_RDONLY | O_CLOEXEC, 0, 0, 0);

	if (fd < 0)
		return;
	for (;;) {
		ssize_t n = real.read(fd, buf + have, sizeof(buf) - 1 - have);
		char *line = buf, *end;

		if (n <= 0)
			break;
		have += (size_t)n;
		buf[have] = 0;
		while ((end = strchr(line, '\n'))) {
			*end = 0;
			on_line(line, arg);
			line = end + 1;
		}
		have -= (size_t)(line - buf);
		memmove(buf, line, have);
	}
	real.close(fd);
}

struct scan {
	int epfd;
	const struct slot *slot;
	struct epoll_reg *regs;
	unsigned n;
};

static void registration_line(const char *line, void *arg)
{
	struct scan *scan = arg;
	unsigned long long data;
	unsigned events;
	int fd;

	if (strncmp(line, "tfd:", 4) != 0 || scan->n == REGS_MAX)
		return;
	if (sscanf(line, "tfd: %d events: %x data: %llx", &fd, &events, &data) != 3)
		return;
	if (fdtab_peek(fd) != scan->slot)
		return;
	scan->regs[scan->n++] =
		(struct epoll_reg){
		scan->epfd, fd, fdtab_process(), 0, {.events = events, .data.u64 = data}};
}

static void scan_set(struct scan *scan, int epfd)
{
	char path[64];

	scan->epfd = epfd;
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", epfd);
	each_line(path, registration_line, scan);
}

static bool is_epoll(int fd)
{
	char path[64], target[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, target, sizeof(target) - 1);
	if (n <= 0)
		return false;
	target[n] = 0;
	return strcmp(target, "anon_inode:[eventpoll]") == 0;
}

struct dirent64_head {
	uint64_t ino;
	int64_t off;
	uint16_t len;
	uint8_t type;
	char name[];
};

/* Every epoll set of the process. */
static void scan_all(struct scan *scan)
{
	_Alignas(struct dirent64_head) char buf[4096];
	int dir = (int)kernel_call(SYS_openat, AT_FDCWD, (long)"/proc/self/fd",
				   O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0, 0, 0);
	long n, at;

	if (dir < 0)
		return;
	while ((n = kernel_call(SYS_getdents64, dir, (long)buf, sizeof(buf), 0, 0, 0)) > 0) {
		for (at = 0; at < n; at += ((struct dirent64_head *)(buf + at))->len) {
			const char *name = ((struct dirent64_head *)(buf + at))->name;

			if (name[0] >= '0' && name[0] <= '9' && is_epoll(atoi(name)))
				scan_set(scan, atoi(name));
		}
	}
	real.close(dir);
}

/* A one-shot registration that fired has only its private bits left in the kernel; putting it back
 * as recorded would arm it again. */
static void refresh_oneshot(struct slot *slot, struct epoll_reg *reg)
{
	struct epoll_reg found[REGS_MAX];
	struct scan scan = {.slot = slot, .regs = found};
	unsigned i;

	/* A placeholder is never ready, so behind it nothing fires. */
	if (!(reg->event.events & EPOLLONESHOT) || reg->delivered == atomic_load(&deliveries) ||
	    (slot_flags(slot) & SLOT_CONNECTING))
		return;
	scan_set(&scan, reg->epfd);
	for (i = 0; i < scan.n; i++)
		if (found[i].fd == reg->fd && !(found[i].event.events & ~(uint32_t)PRIVATE_BITS))
			reg->event.events &= PRIVATE_BITS;
}

static unsigned registrations(struct slot *slot, struct epoll_reg regs[REGS_MAX])
{
	struct scan scan = {.slot = slot, .regs = regs};
	unsigned i;

	if (slot->regs_unknown) {
		scan_all(&scan);
		return scan.n;
	}
	for (i = 0; i < slot->n_regs; i++) {
		regs[i] = slot->regs[i];
		refresh_oneshot(slot, &regs[i]);
	}
	return slot->n_regs;
}

/* The registration is taken out first; one that is not there any more (the set was closed) is not
 * put back.  After a fork the set and what is in it are shared with the parent: while that lives the
 * registration is its own. */
static bool take_out(const struct epoll_reg *reg)
{
	struct epoll_event none = {0};

	if (reg->maker != fdtab_process() && kernel_call(SYS_kill, reg->maker, 0, 0, 0, 0, 0) == 0)
		return false;
	return real.epoll_ctl(reg->epfd, EPOLL_CTL_DEL, reg->fd, &none) == 0;
}

static void take_out_all(const struct slot *slot, const struct epoll_reg *regs, unsigned n, bool *out)
{
	unsigned i;

	for (i = 0; i < n; i++)
		out[i] = fdtab_peek(regs[i].fd) == slot && take_out(&regs[i]);
}

static int replace_one(int fd, int new_fd)
{
	int cloexec = real.fcntl(fd, F_GETFD, 0);

	if (cloexec < 0 || real.dup3(new_fd, fd, (cloexec & FD_CLOEXEC) ? O_CLOEXEC : 0) < 0)
		return -errno;
	return 0;
}

int epollset_replace(struct slot *slot, int new_fd, void (*drop)(int fd))
{
	struct epoll_reg regs[REGS_MAX];
	bool out[REGS_MAX];
	unsigned n = registrations(slot, regs), i;
	int replaced = 0, result = -EBADF;

	take_out_all(slot, regs, n, out);
	for (i = 0; i < slot->n_fds; i++) {
		if (fdtab_peek(slot->fds[i]) != slot)
			continue;
		result = replace_one(slot->fds[i], new_fd);
		replaced += result == 0;
	}
	if (replaced && drop)
		drop(new_fd);
	for (i = 0; i < n; i++)
		if (out[i])
			real.epoll_ctl(regs[i].epfd, EPOLL_CTL_ADD, regs[i].fd, &regs[i].event);
	return replaced ? replaced : result;
}

void epollset_leave(struct slot *slot, int fd)
{
	struct epoll_reg regs[REGS_MAX];
	unsigned n, i;

	fdtab_lock();
	n = registrations(slot, regs);
	for (i = 0; i < n; i++)
		if (regs[i].fd == fd)
			take_out(&regs[i]);
	fdtab_unlock();
}
