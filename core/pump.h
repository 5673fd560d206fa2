/* What a relay does: bytes from the application's end of a pair into a chain of layers over the network, and
 * back, with both half-closes; until both directions are over.
 *
 * The relay's end of the pair holds at least one byte from its first moment on, which whoever makes the pair
 * puts there.  A socket that is closed with unread bytes resets its peer (unix(7), ECONNRESET): so whatever
 * ends a relay before its time, kill -9 included, the application never takes the loss for the end of the
 * stream. */
#ifndef TAPS_CORE_PUMP_H
#define TAPS_CORE_PUMP_H

#include "core/layer.h"

struct pump {
	struct layer *chain; /* ready to send and receive */
	int net;             /* the chain's socket */
	int app;             /* the relay's end of the pair; never blocks, whatever its mode */
	bool ended;          /* the application sends no more */
	bool gone;           /* no descriptor of the application's end is left, or it has no use for one */
	bool halves;         /* the latter, maybe: both its directions were ended one by one */
	bool finished;       /* its end was passed on, all of it is in the kernel */
	bool heard_all;      /* the network's end was passed on */
	bool deaf;           /* the application receives no more */
	bool broken;         /* one side failed: the other is reset */
	bool heard;          /* the network had bytes for the application */
	int error;           /* `broken` by the network's receiving side: why, -errno */
	char *up, *down;     /* buffers */
	size_t from, to;     /* in `down`: what the application did not take yet */
	int64_t moved;       /* ns, monotonic: when something last went on */
	int64_t left;        /* since when `gone` and `finished` */
};

/* Returns 0, or -ENOMEM. */
int pump_init(struct pump *pump, struct layer *chain, int net, int app);
void pump_fini(struct pump *pump);

/* What epoll(7) said of the application's end. */
void pump_hear(struct pump *pump, uint32_t events);
/* Moves what can be moved, without waiting, in both directions. */
void pump_run(struct pump *pump, int64_t now);
/* Is there nothing left to do? */
bool pump_is_over(const struct pump *pump, int64_t now);
/* By when pump_run() must be called, whatever happens; INT64_MAX: not at all. */
int64_t pump_deadline(const struct pump *pump);
/* Lets both sides see the end as it was: clean, or a reset.  The descriptors stay the caller's to close. */
void pump_end(struct pump *pump);

#endif
