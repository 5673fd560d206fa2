/* Epoll registrations of managed descriptors, and the replacement of a file under its descriptors.
 *
 * dup3(2) over a registered descriptor loses the registration silently, or leaves a stale one where
 * the old file has other names.  So registrations are remembered, and a replacement is always
 * EPOLL_CTL_DEL, dup3, EPOLL_CTL_ADD (epoll(7)). */
#ifndef TAPS_SHIM_EPOLLSET_H
#define TAPS_SHIM_EPOLLSET_H

#include "shim/fdtab.h"

extern _Atomic bool epollset_any_oneshot, epollset_any_layered;

void epollset_count_delivery(void);

/* Counts the returns of epoll_wait(2) with events, once a one-shot registration was seen: one that saw no
 * return since it was armed cannot have fired. */
static inline void epollset_delivered(void)
{
	if (__builtin_expect(atomic_load_explicit(&epollset_any_oneshot, memory_order_relaxed), 0))
		epollset_count_delivery();
}

/* Records a successful epoll_ctl(2) on a descriptor of the slot.  With the lock held. */
void epollset_note(struct slot *slot, int epfd, int op, int fd, const struct epoll_event *event);
/* The slot became layered: what is registered of it is found from here on.  With the lock held. */
void epollset_became_layered(struct slot *slot);
/* Are there layered descriptors in any epoll set?  One load. */
static inline bool epollset_layered(void)
{
	return __builtin_expect(atomic_load_explicit(&epollset_any_layered, memory_order_relaxed), 0);
}

/* The layered descriptor that is registered in the set with this data, or -1; *ret_armed is its registration.
 * Where several share the data, the last one registered. */
int epollset_find(int epfd, uint64_t data, struct epoll_event *ret_armed);
/* Puts the file behind new_fd under every descriptor of the slot, with the lock held.  FD_CLOEXEC of
 * each and every epoll registration stay.  Once it is there, and before the registrations are, drop (or
 * NULL) is called with new_fd.  Returns how many descriptors were replaced, or -errno when none could
 * be. */
int epollset_replace(struct slot *slot, int new_fd, void (*drop)(int fd));
/* fd, the slot's last, is about to be closed, and its file may stay open: takes it out of every set. */
void epollset_leave(struct slot *slot, int fd);

#endif
