/* The race: which attempt starts when, who wins, what is cancelled (RFC 8305, RFC 9623 §4.3).
 *
 * Pure decision code.  It never reads a clock, opens a socket or allocates: the driver tells what
 * happened and when, asks race_step() what to do, carries it out, and sleeps until
 * race_deadline().  Leaves are numbered 0…n-1 in order of preference.  Times are nanoseconds of
 * any monotonic clock. */
#ifndef TAPS_CORE_RACE_H
#define TAPS_CORE_RACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RACE_MAX_LEAVES 32
#define RACE_NEVER INT64_MAX

/* Constants of reference RFC 8305 §8, in milliseconds. */
#define RACE_DELAY_DEFAULT_MS 250
#define RACE_DELAY_MIN_MS 100
#define RACE_DELAY_FLOOR_MS 10 /* RFC 8305: MUST NOT be below */
#define RACE_DELAY_MAX_MS 2000
#define RACE_IN_FLIGHT_DEFAULT 6
/* What others get after a refusal, in milliseconds: a lost SYN is repeated after a second (RFC 6298 §2). */
#define RACE_REFUSED_PATIENCE_MS 2000

enum race_leaf_state {
	LEAF_IDLE,     /* not started */
	LEAF_RUNNING,  /* transport being established */
	LEAF_SECURING, /* transport is up, a handshake above it runs */
	LEAF_WON,
	LEAF_FAILED,
	LEAF_CANCELLED,
};

struct race_leaf {
	enum race_leaf_state state;
	int error;        /* errno value once FAILED */
	int64_t started;  /* RACE_NEVER until started */
	int64_t progress; /* when SECURING began, or RACE_NEVER */
	int64_t ended;    /* RACE_NEVER until it ended */
};

struct race_params {
	int64_t attempt_delay;  /* ns between starts; clamped to FLOOR…MAX by race_init; 0: the default */
	int64_t securing_delay; /* ns from progress to the next start; likewise; 0: attempt_delay */
	unsigned max_in_flight; /* 0: RACE_IN_FLIGHT_DEFAULT */
	bool failover;          /* start the next only when one fails (RFC 9623 §4.3.3) */
};

struct race {
	struct race_params params;
	unsigned n;
	int64_t next_start;  /* earliest time of the next start, if none is owed */
	unsigned owed;       /* starts due at once: the first, and one for each failure */
	bool more_expected;  /* answers may still come: not lost while this holds */
	bool stood_down;     /* no more leaves are taken */
	bool timed_out;      /* the most preferred leaf timed out, and there was nothing left to start */
	bool over;
	int winner; /* leaf, or -1 */
	struct race_leaf leaf[RACE_MAX_LEAVES];
};

enum race_action_kind {
	RACE_START,  /* begin the attempt of `leaf` */
	RACE_CANCEL, /* end the attempt of `leaf`: it lost */
	RACE_WON,    /* `leaf` is the connection; comes after every CANCEL */
	RACE_LOST,   /* all failed; `error` is that of the most preferred leaf */
};

struct race_action {
	enum race_action_kind kind;
	unsigned leaf;
	int error;
};

/* Starts a race of n leaves (at most RACE_MAX_LEAVES; 0 is allowed while more are expected). */
void race_init(struct race *race, const struct race_params *params, unsigned n);
/* Adds an idle leaf at position `at` of the order, which must not be before a started leaf (late DNS
 * answers are merged by re-sorting the unstarted tail); the numbers from `at` on move up by one.
 * Returns its number or -1 when there is no such place, full, stood down or over. */
int race_insert(struct race *race, unsigned at);
/* Says whether more leaves may come.  Clearing it may lose the race at the next step. */
void race_expect_more(struct race *race, bool more);

/* What happened to a started leaf.  Calls for leaves that ended already are ignored. */
void race_leaf_progress(struct race *race, unsigned leaf, int64_t now);
void race_leaf_failed(struct race *race, unsigned leaf, int error, int64_t now);
void race_leaf_ready(struct race *race, unsigned leaf, int64_t now);

/* Drops every leaf that has not started (the application races by itself), but for the first where none
 * has, and takes no more. */
void race_stand_down(struct race *race);

/* What to do at `now`; at most `max` actions (a later call gives the rest).  Exactly one RACE_WON
 * or RACE_LOST comes in a race's life, as its last action.  A leaf that timed out in the kernel
 * (ETIMEDOUT) while it was the most preferred and every leaf had been started ends the race:
 * nothing may take longer than the bare call.  Where a peer was reached and refused (a leaf failed while
 * SECURING), leaves that have reached nobody do not keep the race for longer than PATIENCE after that, and
 * after the last of them was started: it is lost with the refusal, or with the
 * first leaf's own error.  Of leaves that became ready at the same time the most
 * preferred wins.  A race without leaves is lost with ENETUNREACH. */
unsigned race_step(struct race *race, int64_t now, struct race_action *actions, unsigned max);
/* When race_step() must be called again without an event; 0 if at once, RACE_NEVER if only events matter. */
int64_t race_deadline(const struct race *race);

/* The delay between attempts from a known round-trip time, by RFC 8305 §5: the time of the first
 * SYN retransmit, within MIN…MAX; the default where rtt_ns is 0. */
int64_t race_attempt_delay(int64_t rtt_ns);

#endif
