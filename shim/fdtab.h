/* The descriptor table: which of the application's descriptors is which slot.
 *
 * Looking up is two loads and a branch, lock-free, malloc-free and async-signal-safe.  Slots are
 * type-stable: once mapped they are recycled, never unmapped, so a stale pointer may be read.
 * Changes of more than one step (aliases, epoll registrations, replacement) hold fdtab_lock(). */
#ifndef TAPS_SHIM_FDTAB_H
#define TAPS_SHIM_FDTAB_H

#include "core/api.h"

#include <stdatomic.h>
#include <sys/epoll.h>

#define FDTAB_PAGE_BITS 10
#define FDTAB_PAGE (1 << FDTAB_PAGE_BITS)
#define FDTAB_PAGES 1024 /* descriptors beyond a million are the kernel's alone */

#define SLOT_FDS_MAX 8  /* duplicates of one socket that are followed */
#define SLOT_REGS_MAX 4 /* epoll registrations kept; beyond, /proc/self/fdinfo is read */

/* One epoll_ctl(2) registration of one of the slot's descriptors. */
struct epoll_reg {
	int epfd;
	int fd;
	pid_t maker;        /* the process that made it */
	uint32_t delivered; /* epollset_deliveries when it was armed */
	struct epoll_event event;
};

/* The shim's own part of a slot; the core sees `pub` only. */
struct slot {
	struct taps_slot pub;
	uint32_t index;              /* its place in the arena */
	_Atomic uint32_t next_free;  /* index + 1 of the next free slot */
	unsigned n_fds;
	int fds[SLOT_FDS_MAX];
	bool survives[SLOT_FDS_MAX]; /* while SEALED: the application wants it to outlive exec */
	unsigned n_regs;
	struct epoll_reg regs[SLOT_REGS_MAX];
	uint32_t forks;              /* children that had been made when this was */
	uint64_t options;            /* which rows of the option table were set (shim/opt.c) */
	bool regs_unknown;           /* registrations may exist that regs[] does not hold */
};

typedef struct slot *_Atomic slot_entry;
extern slot_entry *_Atomic fdtab_pages[FDTAB_PAGES];

/* How many slots are SPECIAL now: the waiting and reading hooks do nothing while it is 0. */
extern _Atomic int fdtab_special;

static inline bool fdtab_any_special(void)
{
	return __builtin_expect(atomic_load_explicit(&fdtab_special, memory_order_relaxed) != 0, 0);
}

/* The slot behind fd, without a reference: good for testing flags.  A descriptor of the product's
 * own shows as &fdtab_own, which has no flags. */
extern struct slot fdtab_own;
/* A number that gets another file just now, under the lock, shows as this: slot_get() and fdtab_drop() wait
 * for the end of it.  Its flags send every call that moves bytes there. */
extern struct slot fdtab_moving;

static inline struct slot *fdtab_peek(int fd)
{
	slot_entry *page;

	if ((unsigned)fd >= FDTAB_PAGES * FDTAB_PAGE)
		return NULL;
	page = atomic_load_explicit(&fdtab_pages[fd >> FDTAB_PAGE_BITS], memory_order_acquire);
	return page ? atomic_load_explicit(&page[fd & (FDTAB_PAGE - 1)], memory_order_acquire) : NULL;
}

/* The flags as they are when no change is under way. */
uint32_t slot_settled_flags(struct slot *slot);

static inline uint32_t slot_flags(const struct slot *slot)
{
	return atomic_load_explicit(&slot->pub.flags, memory_order_acquire);
}

/* Does fd have any of these flags?  The first test of every hook that moves bytes. */
static inline bool fdtab_has(int fd, uint32_t flags)
{
	struct slot *slot = fdtab_peek(fd);

	return __builtin_expect(slot && (slot_flags(slot) & flags), 0);
}

/* The slot behind fd with a reference, to be given back by slot_put(); NULL for an unmanaged
 * descriptor, for the product's own, and in a signal handler of the thread that moves it. */
struct slot *slot_get(int fd);
void slot_ref(struct slot *slot);
/* Async-signal-safe.  At zero the core's connection is released and the slot recycled. */
void slot_put(struct slot *slot);

/* Makes a slot for a new socket and enters it under fd, throwing out what stood there.  Returns it
 * without a reference of the caller's, or NULL when memory is short (the socket is then the
 * kernel's alone).  Does nothing in a child of vfork(2), whose memory is its parent's. */
struct slot *fdtab_new(int fd, int domain, int type, int protocol);
/* Enters fd as a duplicate of the slot.  With the lock held. */
void fdtab_alias(struct slot *slot, int fd);
/* Has fd show as fdtab_moving, until fdtab_alias() or fdtab_move_end().  With the lock held. */
void fdtab_move(int fd);
void fdtab_move_end(int fd);
/* While a slot is SEALED every descriptor of it is FD_CLOEXEC to the kernel, so that no program ever gets
 * the network's file, whichever way it is executed; what the application set is kept apart.  Sealing reads
 * the flags, unsealing puts them back.  With the lock held. */
void fdtab_seal(struct slot *slot);
void fdtab_unseal(struct slot *slot);
/* FD_CLOEXEC as the application sees it, of a SEALED slot's descriptor. */
bool fdtab_survives(struct slot *slot, int fd);
void fdtab_set_survives(struct slot *slot, int fd, bool survives);
/* Has fd's slot as many descriptors as are followed? */
bool fdtab_is_full(int fd);
/* Is fd the slot's only descriptor? */
bool fdtab_is_last(struct slot *slot, int fd);
/* fd was closed, or is about to be, or turned out to be something new: the table forgets it.
 * Async-signal-safe. */
void fdtab_drop(int fd);
/* Drops first…last.  Async-signal-safe. */
void fdtab_drop_range(unsigned first, unsigned last);
/* Every descriptor of the slot becomes unmanaged.  With the lock held. */
void fdtab_forget(struct slot *slot);

/* Sets and clears flags, and keeps fdtab_special true to them. */
void slot_set_flags(struct slot *slot, uint32_t set, uint32_t clear);

/* Marks and unmarks a descriptor as the product's own. */
bool fdtab_keep(int fd);
void fdtab_unkeep(int fd);
static inline bool fdtab_is_own(int fd)
{
	return __builtin_expect(fdtab_peek(fd) == &fdtab_own, 0);
}
/* The first own descriptor at or after fd, up to last; -1 if there is none. */
int fdtab_next_own(unsigned fd, unsigned last);

/* The lock.  A signal handler of the holder passes through. */
void fdtab_lock(void);
void fdtab_unlock(void);
/* The lock is free whatever it was: the only thread of a new process. */
void fdtab_lock_reset(void);

/* Is this process another than the one whose memory this is: a child of vfork(2)?  One system
 * call; asked only where a managed descriptor is at stake. */
bool fdtab_borrowed(void);
/* The process whose memory this is. */
pid_t fdtab_process(void);
/* This process's memory is its own from here on: the constructor, and each child of fork(2). */
void fdtab_adopt_process(void);
/* The same in a child that no atfork handler ran in; its only thread has the table to itself. */
void fdtab_part_process(void);
/* A child is about to be made that gets a copy of every descriptor. */
void fdtab_note_fork(void);
/* May a child have descriptors of the slot? */
bool fdtab_forked_since(const struct slot *slot);

#endif
