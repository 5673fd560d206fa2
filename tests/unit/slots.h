/* Slots for unit tests: a plain table that does what shim/fdtab.c, epollset.c and opt.c do for the core,
 * and counts. */
#ifndef TAPS_TESTS_UNIT_SLOTS_H
#define TAPS_TESTS_UNIT_SLOTS_H

#include "core/host.h"

/* Puts the table's operations into unit_host(), empty. */
void slots_install(void);

/* As the application's socket(2): a kernel's socket and its slot.  `type` may have SOCK_NONBLOCK. */
struct taps_slot *slots_socket(int domain, int type);
/* A descriptor of the slot, or -1. */
int slots_fd(const struct taps_slot *slot);
/* As dup(2) of one of the slot's descriptors. */
int slots_dup(struct taps_slot *slot);
/* As close(2) of every descriptor of the slot. */
void slots_close(struct taps_slot *slot);

/* How many slots there are with a descriptor or a reference. */
unsigned slots_live(void);
/* The core's own descriptors that are open now (fd_keep, fd_drop). */
unsigned slots_kept(void);
/* How often slot_replace was called, and what it is to return instead of working (0: it works). */
extern unsigned slots_replaced;
extern int slots_replace_error;
/* What slot_in_flight answers; false after slots_install(). */
extern bool slots_in_flight;
/* What slot_watched answers; true after slots_install(). */
extern bool slots_watched;
/* How often slot_options was called. */
extern unsigned slots_carried;

#endif
