/* The descriptor table.  Lock-free look-up, a Treiber stack with a tag for free slots (close(2) is
 * allowed in signal handlers, so giving a slot back must not lock), pages and slots mapped once and
 * never given back. */
#include "shim/fdtab.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shim/flight.h"
#include "shim/load.h"
#include "shim/real.h"

#define CHUNK_SLOTS 128
#define CHUNKS 8192

slot_entry *_Atomic fdtab_pages[FDTAB_PAGES];
_Atomic int fdtab_special;
struct slot fdtab_own = {.pub = {.own_fd = -1}};
struct slot fdtab_moving = {.pub = {.flags = SLOT_SECURING, .own_fd = -1}};

static struct slot *_Atomic chunks[CHUNKS];
static _Atomic uint32_t slots_made;
static _Atomic uint64_t free_head; /* tag in the high half, index + 1 in the low */

static _Atomic(const void *) lock_holder;
static unsigned lock_depth;
static __thread char thread_identity;

static _Atomic pid_t process;
static _Atomic uint32_t forks;

static pid_t kernel_pid(void)
{
	return (pid_t)kernel_call(SYS_getpid, 0, 0, 0, 0, 0, 0);
}

bool fdtab_borrowed(void)
{
	return atomic_load(&process) != kernel_pid();
}

pid_t fdtab_process(void)
{
	return atomic_load(&process);
}

void fdtab_adopt_process(void)
{
	atomic_store(&process, kernel_pid());
}

void fdtab_part_process(void)
{
	fdtab_adopt_process();
	fdtab_lock_reset();
	flight_part_process();
}

/* The product's own children close what they do not need. */
void fdtab_note_fork(void)
{
	if (!load_inside())
		atomic_fetch_add(&forks, 1);
}

bool fdtab_forked_since(const struct slot *slot)
{
	return slot->forks != atomic_load(&forks);
}

void fdtab_lock(void)
{
	const void *me = &thread_identity;
	const void *free_now = NULL;
	unsigned tries = 0;

	if (atomic_load(&lock_holder) == me) {
		lock_depth++;
		return;
	}
	while (!atomic_compare_exchange_weak(&lock_holder, &free_now, me)) {
		struct timespec rest = {.tv_nsec = 20000};

		free_now = NULL;
		if (++tries < 50)
			kernel_call(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
		else
			kernel_call(SYS_nanosleep, (long)&rest, 0, 0, 0, 0, 0);
	}
	lock_depth = 1;
}

void fdtab_unlock(void)
{
	if (--lock_depth == 0)
		atomic_store(&lock_holder, NULL);
}

void fdtab_lock_reset(void)
{
	lock_depth = 0;
	atomic_store(&lock_holder, NULL);
}

/* What moves now is where it belongs when the lock was free once.  False to who moves it himself. */
static bool await_move(void)
{
	if (atomic_load(&lock_holder) == &thread_identity)
		return false;
	fdtab_lock();
	fdtab_unlock();
	return true;
}

static void *map(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static slot_entry *page_of(int fd)
{
	slot_entry *page, *none = NULL;
	size_t size = FDTAB_PAGE * sizeof(*page);

	if ((unsigned)fd >= FDTAB_PAGES * FDTAB_PAGE)
		return NULL;
	page = atomic_load(&fdtab_pages[fd >> FDTAB_PAGE_BITS]);
	if (page)
		return page;
	page = map(size);
	if (!page)
		return NULL;
	if (atomic_compare_exchange_strong(&fdtab_pages[fd >> FDTAB_PAGE_BITS], &none, page))
		return page;
	munmap(page, size);
	return none;
}

static struct slot *slot_at(uint32_t index)
{
	return &atomic_load(&chunks[index / CHUNK_SLOTS])[index % CHUNK_SLOTS];
}

static struct slot *pop_free(void)
{
	uint64_t head = atomic_load(&free_head);

	while ((uint32_t)head) {
		struct slot *slot = slot_at((uint32_t)head - 1);
		uint64_t next = ((head >> 32) + 1) << 32 | atomic_load(&slot->next_free);

		if (atomic_compare_exchange_weak(&free_head, &head, next))
			return slot;
	}
	return NULL;
}

static void push_free(struct slot *slot)
{
	uint64_t head = atomic_load(&free_head), next;

	do {
		atomic_store(&slot->next_free, (uint32_t)head);
		next = ((head >> 32) + 1) << 32 | (slot->index + 1);
	} while (!atomic_compare_exchange_weak(&free_head, &head, next));
}

static struct slot *new_slot(void)
{
	struct slot *slot = pop_free(), *chunk, *none = NULL;
	uint32_t index;

	if (slot)
		return slot;
	index = atomic_fetch_add(&slots_made, 1);
	if (index >= CHUNKS * CHUNK_SLOTS)
		return NULL;
	if (!atomic_load(&chunks[index / CHUNK_SLOTS])) {
		chunk = map(CHUNK_SLOTS * sizeof(*chunk));
		if (!chunk)
			return NULL;
		if (!atomic_compare_exchange_strong(&chunks[index / CHUNK_SLOTS], &none, chunk))
			munmap(chunk, CHUNK_SLOTS * sizeof(*chunk));
	}
	slot = slot_at(index);
	slot->index = index;
	return slot;
}

uint32_t slot_settled_flags(struct slot *slot)
{
	uint32_t flags;

	fdtab_lock();
	flags = slot_flags(slot);
	fdtab_unlock();
	return flags;
}

void slot_set_flags(struct slot *slot, uint32_t set, uint32_t clear)
{
	uint32_t old = atomic_load(&slot->pub.flags), next;

	do
		next = (old | set) & ~clear;
	while (!atomic_compare_exchange_weak(&slot->pub.flags, &old, next));
	if (!(old & SLOT_SPECIAL) && (next & SLOT_SPECIAL))
		atomic_fetch_add(&fdtab_special, 1);
	if ((old & SLOT_SPECIAL) && !(next & SLOT_SPECIAL))
		atomic_fetch_sub(&fdtab_special, 1);
}

struct slot *slot_get(int fd)
{
	for (;;) {
		struct slot *slot = fdtab_peek(fd);
		uint32_t refs;

		if (!slot || slot == &fdtab_own || (slot == &fdtab_moving && !await_move()))
			return NULL;
		if (slot == &fdtab_moving)
			continue;
		refs = atomic_load(&slot->pub.refs);
		while (refs && !atomic_compare_exchange_weak(&slot->pub.refs, &refs, refs + 1))
			;
		if (!refs)
			continue;
		if (fdtab_peek(fd) == slot)
			return slot;
		slot_put(slot);
	}
}

void slot_ref(struct slot *slot)
{
	atomic_fetch_add(&slot->pub.refs, 1);
}

void slot_put(struct slot *slot)
{
	void *conn;

	if (atomic_fetch_sub(&slot->pub.refs, 1) != 1)
		return;
	slot_set_flags(slot, 0, SLOT_SPECIAL);
	conn = atomic_exchange(&slot->pub.conn, NULL);
	if (conn)
		load_core_if_open()->released(conn);
	if (slot->pub.former)
		load_core_if_open()->released(slot->pub.former);
	slot->pub.former = NULL;
	push_free(slot);
}

static void reset(struct slot *slot)
{
	atomic_store(&slot->pub.flags, 0);
	atomic_store(&slot->pub.conn, NULL);
	slot->pub.own_fd = -1;
	slot->n_fds = 0;
	slot->n_regs = 0;
	slot->forks = atomic_load(&forks);
	slot->options = 0;
	slot->regs_unknown = false;
}

/* The C library's stdio is behind the first three numbers. */
static void note_standard(struct slot *slot, int fd)
{
	if (fd <= STDERR_FILENO)
		slot_set_flags(slot, SLOT_RELAY, 0);
}

struct slot *fdtab_new(int fd, int domain, int type, int protocol)
{
	slot_entry *page = page_of(fd);
	struct slot *slot;

	if (!page || fdtab_borrowed())
		return NULL;
	fdtab_drop(fd);
	slot = new_slot();
	if (!slot)
		return NULL;
	reset(slot);
	slot->pub.domain = (uint16_t)domain;
	slot->pub.type = (uint16_t)type;
	slot->pub.protocol = (uint16_t)protocol;
	slot->fds[0] = fd;
	slot->n_fds = 1;
	atomic_store(&slot->pub.refs, 1);
	note_standard(slot, fd);
	atomic_store(&page[fd & (FDTAB_PAGE - 1)], slot);
	return slot;
}

/* Keeps only the names that still are the slot's, and drops `gone` (-1: none). */
static void compact(struct slot *slot, int gone)
{
	unsigned i, kept = 0;

	for (i = 0; i < slot->n_fds; i++)
		if (slot->fds[i] != gone && fdtab_peek(slot->fds[i]) == slot) {
			slot->survives[kept] = slot->survives[i];
			slot->fds[kept++] = slot->fds[i];
		}
	slot->n_fds = kept;
}

static void seal(struct slot *slot, unsigned at)
{
	int flags = real.fcntl(slot->fds[at], F_GETFD, 0);

	slot->survives[at] = flags >= 0 && !(flags & FD_CLOEXEC);
	if (slot->survives[at])
		real.fcntl(slot->fds[at], F_SETFD, flags | FD_CLOEXEC);
}

void fdtab_seal(struct slot *slot)
{
	unsigned i;

	compact(slot, -1);
	for (i = 0; i < slot->n_fds; i++)
		seal(slot, i);
}

void fdtab_unseal(struct slot *slot)
{
	unsigned i;

	for (i = 0; i < slot->n_fds; i++)
		if (slot->survives[i] && fdtab_peek(slot->fds[i]) == slot)
			real.fcntl(slot->fds[i], F_SETFD, real.fcntl(slot->fds[i], F_GETFD, 0) & ~FD_CLOEXEC);
}

static bool *survival(struct slot *slot, int fd)
{
	static bool nowhere;
	unsigned i;

	for (i = 0; i < slot->n_fds; i++)
		if (slot->fds[i] == fd)
			return &slot->survives[i];
	return &nowhere;
}

bool fdtab_survives(struct slot *slot, int fd)
{
	bool survives;

	fdtab_lock();
	survives = *survival(slot, fd);
	fdtab_unlock();
	return survives;
}

void fdtab_set_survives(struct slot *slot, int fd, bool survives)
{
	fdtab_lock();
	*survival(slot, fd) = survives;
	fdtab_unlock();
}

bool fdtab_is_full(int fd)
{
	struct slot *slot = slot_get(fd);
	bool full = false;

	if (!slot)
		return false;
	fdtab_lock();
	compact(slot, -1);
	full = slot->n_fds == SLOT_FDS_MAX;
	fdtab_unlock();
	slot_put(slot);
	return full;
}

bool fdtab_is_last(struct slot *slot, int fd)
{
	bool last;

	fdtab_lock();
	compact(slot, -1);
	last = slot->n_fds == 0 || (slot->n_fds == 1 && slot->fds[0] == fd);
	fdtab_unlock();
	return last;
}

void fdtab_alias(struct slot *slot, int fd)
{
	slot_entry *page = page_of(fd);

	if (!page)
		return;
	fdtab_drop(fd);
	compact(slot, -1);
	if (slot->n_fds == SLOT_FDS_MAX) {
		/* A socket with more names than we follow cannot be replaced under all of them. */
		slot_set_flags(slot, SLOT_PINNED | SLOT_UNSEEN, 0);
		return;
	}
	slot_ref(slot);
	slot->fds[slot->n_fds++] = fd;
	if (slot_flags(slot) & SLOT_SEALED)
		seal(slot, slot->n_fds - 1);
	note_standard(slot, fd);
	atomic_store(&page[fd & (FDTAB_PAGE - 1)], slot);
}

/* A slot that nobody replaces (no SPECIAL flag) is dropped without the lock: only the thread that
 * wins the exchange lets the reference go, and a stale name in fds[] is checked against the table
 * wherever it is used. */
void fdtab_drop(int fd)
{
	slot_entry *page;
	struct slot *slot;
	bool special;

	while ((slot = fdtab_peek(fd)) == &fdtab_moving)
		if (!await_move())
			return;
	if (!slot || slot == &fdtab_own || fdtab_borrowed())
		return;
	special = slot_flags(slot) & SLOT_SPECIAL;
	if (special)
		fdtab_lock();
	page = page_of(fd);
	if (atomic_compare_exchange_strong(&page[fd & (FDTAB_PAGE - 1)], &slot, NULL)) {
		/* A call that goes on has the file, whatever becomes of the number. */
		if (flight_any(fd))
			slot_set_flags(slot, SLOT_SHARED, 0);
		if (special)
			compact(slot, fd);
		slot_put(slot);
	}
	if (special)
		fdtab_unlock();
}

void fdtab_move(int fd)
{
	slot_entry *page = page_of(fd);

	fdtab_drop(fd);
	if (page)
		atomic_store(&page[fd & (FDTAB_PAGE - 1)], &fdtab_moving);
}

void fdtab_move_end(int fd)
{
	struct slot *moving = &fdtab_moving;
	slot_entry *page = page_of(fd);

	if (page)
		atomic_compare_exchange_strong(&page[fd & (FDTAB_PAGE - 1)], &moving, NULL);
}

void fdtab_drop_range(unsigned first, unsigned last)
{
	unsigned limit = FDTAB_PAGES * FDTAB_PAGE - 1, fd;

	if (last > limit)
		last = limit;
	for (fd = first; fd <= last; fd++) {
		if (!atomic_load(&fdtab_pages[fd >> FDTAB_PAGE_BITS])) {
			fd |= FDTAB_PAGE - 1;
			continue;
		}
		fdtab_drop((int)fd);
	}
}

void fdtab_forget(struct slot *slot)
{
	int fds[SLOT_FDS_MAX];
	unsigned n = slot->n_fds, i;

	for (i = 0; i < n; i++)
		fds[i] = slot->fds[i];
	for (i = 0; i < n; i++)
		if (fdtab_peek(fds[i]) == slot)
			fdtab_drop(fds[i]);
}

bool fdtab_keep(int fd)
{
	slot_entry *page = page_of(fd);

	if (!page)
		return false;
	fdtab_drop(fd);
	atomic_store(&page[fd & (FDTAB_PAGE - 1)], &fdtab_own);
	return true;
}

void fdtab_unkeep(int fd)
{
	struct slot *own = &fdtab_own;
	slot_entry *page = page_of(fd);

	if (page)
		atomic_compare_exchange_strong(&page[fd & (FDTAB_PAGE - 1)], &own, NULL);
}

int fdtab_next_own(unsigned fd, unsigned last)
{
	unsigned limit = FDTAB_PAGES * FDTAB_PAGE - 1;

	if (last > limit)
		last = limit;
	for (; fd <= last; fd++) {
		if (!atomic_load(&fdtab_pages[fd >> FDTAB_PAGE_BITS]))
			fd |= FDTAB_PAGE - 1;
		else if (fdtab_is_own((int)fd))
			return (int)fd;
	}
	return -1;
}
