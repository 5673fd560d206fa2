/* What the program and its TLS peer share: the schedules, which both make from the same seed, and a board on
 * which the peer writes what it has sent. */
#ifndef TAPS_TESTS_TLS_READY_H
#define TAPS_TESTS_TLS_READY_H

#include <err.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define RECORDS_MAX 24
#define SLICES_MAX 4

enum before { BEFORE_NOTHING, BEFORE_TICKET, BEFORE_UPDATE, BEFORE_UPDATE_BOTH, BEFORES };
enum ending { END_BYE_FIN, END_BYE_LATER, END_FIN, END_RESET, END_FORGED, ENDINGS };
enum waiting { BY_POLL, BY_PPOLL, BY_SELECT, BY_PSELECT, BY_LEVEL, BY_EDGE, BY_ONESHOT, WAITINGS };

/* One record of application data, or none (size 0: padding only). */
struct step {
	uint32_t size;
	enum before before;
	bool held;         /* goes out together with the next one */
	bool idle;         /* not before the program has read everything */
	unsigned slices;   /* pieces in which the ciphertext is sent */
	uint32_t cut[SLICES_MAX]; /* where, in 1/65536 of its length */
	unsigned pause_us; /* between the pieces, and after */
};

struct schedule {
	enum waiting waiting;
	bool blocking;
	bool short_reads;  /* a read of less than asked for means that all is read (epoll(7)) */
	bool both_ways;    /* waits for "writable" too, with edges */
	bool small_buffer; /* SO_RCVBUF */
	unsigned n;
	struct step step[RECORDS_MAX];
	enum ending ending;
	uint64_t seed; /* of what the program decides */
};

/* Before the last byte of a record is sent, `begun` counts its plaintext; afterwards `done` does, and `wire`
 * all bytes that the peer's kernel took for it.  They need not have come here yet. */
struct board {
	_Atomic uint64_t number; /* of the schedule that the program is ready for, plus one */
	_Atomic uint64_t over;   /* of the last one that the peer is done with, plus one */
	_Atomic uint64_t begun, done, read;
	_Atomic uint64_t wire; /* written before `done` and `end_done` */
	_Atomic bool end_begun, end_done;
	_Atomic uint64_t pieces; /* sent, records without data included */
};

static inline uint64_t draw(uint64_t *state)
{
	uint64_t x = *state += 0x9e3779b97f4a7c15u;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

static inline unsigned pick(uint64_t *state, unsigned n)
{
	return (unsigned)(draw(state) % n);
}

static inline bool chance(uint64_t *state, unsigned percent)
{
	return pick(state, 100) < percent;
}

static inline uint32_t pick_size(uint64_t *state)
{
	switch (pick(state, 8)) {
	case 0: return 0;
	case 1: return 1;
	case 2: return 16384;
	case 3: return 16383;
	case 4: return 1 + pick(state, 16384);
	default: return 1 + pick(state, 300);
	}
}

/* GnuTLS takes no more than eight updates a second. */
#define UPDATES_MAX 5

static inline struct step make_step(uint64_t *state, unsigned *updates)
{
	struct step step = {.size = pick_size(state), .slices = 1};
	unsigned i;

	if (chance(state, 30))
		step.before = (enum before)pick(state, BEFORES);
	if (step.before >= BEFORE_UPDATE && ++*updates > UPDATES_MAX)
		step.before = BEFORE_NOTHING;
	step.held = chance(state, 25);
	step.idle = chance(state, 30);
	if (chance(state, 50))
		step.slices = 1 + pick(state, SLICES_MAX);
	for (i = 0; i < step.slices; i++)
		step.cut[i] = chance(state, 30) ? pick(state, 40) : pick(state, 65536);
	step.pause_us = chance(state, 50) ? pick(state, 1500) : 0;
	return step;
}

static inline struct schedule make_schedule(uint64_t seed, uint64_t number)
{
	uint64_t state = seed * 1000003 + number;
	struct schedule s = {0};
	unsigned updates = 0, i;

	s.waiting = (enum waiting)pick(&state, WAITINGS);
	s.blocking = chance(&state, 50) && s.waiting != BY_EDGE;
	s.short_reads = chance(&state, 50);
	s.both_ways = chance(&state, 50);
	s.small_buffer = chance(&state, 15);
	s.n = pick(&state, RECORDS_MAX + 1);
	for (i = 0; i < s.n; i++)
		s.step[i] = make_step(&state, &updates);
	s.ending = (enum ending)pick(&state, ENDINGS);
	s.seed = draw(&state);
	return s;
}

/* The application bytes of a schedule. */
static inline unsigned char byte_at(uint64_t number, uint64_t offset)
{
	return (unsigned char)(number * 31 + offset * 7 + (offset >> 8));
}

static inline struct board *map_board(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	void *p = MAP_FAILED;

	if (fd >= 0 && ftruncate(fd, sizeof(struct board)) == 0)
		p = mmap(NULL, sizeof(struct board), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		err(1, "%s", path);
	close(fd);
	return p;
}

static inline int64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * INT64_C(1000000) + ts.tv_nsec / 1000;
}

#endif
