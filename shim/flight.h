/* Calls that go to the kernel past the core, counted for each descriptor number while they are under way.
 *
 * A hook looks at the table, and then calls the kernel: in between, or while the kernel has the call,
 * another thread may make a secured connection of the number.  Where a rule secures, such calls are counted,
 * and look at the table again once they are; who puts a secured connection under a number first makes the
 * slot one of SLOT_DATA, and then asks here.  Either the call saw the slot, or it is seen here. */
#ifndef TAPS_SHIM_FLIGHT_H
#define TAPS_SHIM_FLIGHT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* A call under way; of who makes it. */
struct flight {
	_Atomic uint32_t *count; /* NULL: it is not counted */
};

extern _Atomic bool flight_counts;

/* Are calls counted?  One load. */
static inline bool flight_counted(void)
{
	return __builtin_expect(atomic_load_explicit(&flight_counts, memory_order_relaxed), 0);
}

/* From here on calls are counted, or not.  What began before is not known: with `late` that is not taken
 * for nothing.  Constructor, and where the core was loaded. */
void flight_count(bool on, bool late);

/* A call on fd is about to go to the kernel, and flight_end() follows.  False, and nothing follows, if the
 * core is to be asked first.  Once the caller's frame is gone, by longjmp(3) or with the thread, the call is
 * taken back.  Async-signal-safe. */
bool flight_begin_at(int fd, const void *frame, struct flight *ret);
static inline __attribute__((always_inline)) bool flight_begin(int fd, struct flight *ret)
{
	return flight_begin_at(fd, __builtin_frame_address(0), ret);
}
void flight_end(struct flight *flight);
/* Is any call on fd under way?  Calls whose number cannot be counted are on all of them.
 * Async-signal-safe. */
bool flight_any(int fd);
/* The only thread of a new process: nothing is under way. */
void flight_part_process(void);

#endif
