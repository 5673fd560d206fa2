/* A number of seats that processes share by fork(2): each is taken by one process, and free again when that
 * leaves it, or has ended without, killed say.  No locks; any thread. */
#ifndef TAPS_CORE_SEATS_H
#define TAPS_CORE_SEATS_H

#include <stdbool.h>

struct seats;

/* All of them free.  Returns 0 or -ENOMEM. */
int seats_new(struct seats **ret, unsigned n);
/* For this process; the seats of others are left as they are.  NULL is no-op. */
void seats_free(struct seats *seats);

/* Takes a seat for the calling process.  Returns its number, or -EAGAIN: none is free. */
int seats_take(struct seats *seats);
/* What another process has taken stays taken: after fork(2) the child's copy of a number is not its seat. */
void seats_leave(struct seats *seats, int seat);
/* Would seats_take() fail? */
bool seats_are_taken(struct seats *seats);

#endif
