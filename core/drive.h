/* The two drivers of a connection: the calling thread, and the loop. */
#ifndef TAPS_CORE_DRIVE_H
#define TAPS_CORE_DRIVE_H

#include "core/conn.h"

/* Races in the calling thread, as a blocking connect(2): returns 0, -errno, -EINTR after a signal
 * whose handler does not restart calls, -EINPROGRESS when patience (SO_SNDTIMEO) ran out; after the
 * last two the loop goes on with the race.  Takes the caller's reference to conn.  Safe against
 * pthread_cancel(3). */
int drive_here(struct conn *conn);
/* Puts a placeholder under the descriptor and lets the loop race: returns -EINPROGRESS, or what went
 * wrong at once (every candidate failed, no descriptors left).  Takes the caller's reference. */
int drive_behind(struct conn *conn);

/* The accepted connection fd, of a stream that is new, is non-blocking: the loop does its handshake behind a
 * placeholder.  Returns -EINPROGRESS, also where another thread was quicker, or the handshake is over; or
 * -errno: the connection is lost. */
int drive_accepted(struct taps_slot *slot, int fd, const struct security *security);

/* A candidate that failed a moment ago fails again: a non-blocking connect() is told so as the kernel
 * tells it, by an event.  Returns -EINPROGRESS or -error.  Takes the caller's reference to conn. */
int drive_failed(struct conn *conn, int error);
/* connect(2) of a datagram socket: done at once, on the application's own file; 0 or -errno.  Takes the
 * caller's reference to conn. */
int drive_datagram(struct conn *conn);

/* In the child of fork(2), with the loop's lock: lets go of what other threads' blocking races had open.
 * These threads are not here, and nobody else would. */
void drive_fork_child(void);

/* The application races by itself: conn's name is being connected to at another address by the same
 * thread right now.  True if so; every race of that name then starts no further attempt. */
bool drive_stand_down(const char *name, const struct taps_addr *addr, const void *thread, int64_t now);

/* Gives up the race behind a slot and puts the application's own file back (taps_core.restore). */
void drive_restore(struct taps_slot *slot);
/* The slot let its connection go (taps_core.released).  Async-signal-safe. */
void drive_released(void *conn);
/* Waits until the race behind the slot's descriptor fd is over (taps_core.settle). */
int drive_settle(struct taps_slot *slot, int fd);
/* Is the calling thread in the slot's blocking connect() itself, below a signal handler? */
bool drive_is_mine(const struct taps_slot *slot);

#endif
