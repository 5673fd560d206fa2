/* What lies under the application's descriptor: its own file, a placeholder while a race goes on, the
 * winner's socket.
 *
 * The placeholder is one end of an AF_UNIX socket pair with a full send queue: neither readable nor
 * writable.  Closing its far end, with unread bytes in it, makes it just what a refused TCP socket
 * looks like to poll(2): IN, OUT, ERR, HUP, RDHUP; and wakes whoever sleeps on it. */
#ifndef TAPS_CORE_PLACE_H
#define TAPS_CORE_PLACE_H

#include "core/conn.h"

/* Puts a placeholder under the slot's descriptors and keeps the original file in conn->own_fd; marks the slot
 * CONNECTING with conn as its connection.  The caller holds a reference to the slot.  Returns 0, or -errno
 * with everything as it was. */
int place_hold(struct conn *conn);
/* Puts the winner under the descriptors and wakes sleepers.  Returns 0, or -ENOMEM: nothing was put. */
int place_win(struct conn *conn);
/* Marks the slot FAILED and turns the placeholder into a dead socket. */
void place_fail(struct conn *conn);
/* Puts the application's own file back.  The caller holds a reference to the slot; place_drop is left to
 * whoever drives the race, which may be waiting on the file. */
void place_restore(struct conn *conn);
/* The application dissolved a DISGUISED or LAYERED connection: a new socket of its own family takes the
 * place.  The caller holds a reference to the slot. */
void place_renew(struct taps_slot *slot);
/* Puts a relay's end of its pair under the LAYERED slot's descriptors, which the kernel serves from here on;
 * `own`, the network's socket, answers for options and names.  Returns 0, with `end` closed, or -errno: it
 * is still the caller's. */
int place_relay(struct taps_slot *slot, int end, int own);
/* Closes what conn still holds (own file, far end).  Async-signal-safe. */
void place_drop(struct conn *conn);

#endif
