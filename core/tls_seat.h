/* A handshake's place among those of its listener that are under way (secure_gate). */
#ifndef TAPS_CORE_TLS_SEAT_H
#define TAPS_CORE_TLS_SEAT_H

#include <stdatomic.h>
#include <stdbool.h>

#include "core/secure.h"

struct tls_seat {
	struct secure_gate *gate; /* NULL: none is asked, or the handshake is over */
	_Atomic int number;       /* -1: none */
};

#define TLS_SEAT(g) ((struct tls_seat){.gate = (g), .number = -1})

/* The handshake begins.  False: as many as there may be are under way. */
bool tls_seat_take(struct tls_seat *seat);
/* Another process goes on with the handshake (true): it takes a seat of its own with false.  That the
 * handshake began when there was one is enough. */
void tls_seat_gone(struct tls_seat *seat, bool gone);
/* The handshake is over; no-op if it was. */
void tls_seat_done(struct tls_seat *seat);

#endif
