/* Counters by descriptor number, in pages that are mapped when they are needed.  Each thread knows its own
 * calls, so that those that were left without an end are taken back. */
#include "shim/flight.h"

#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>

#include "shim/fdtab.h"

#define NESTED_MAX 4 /* calls of one thread: those of signal handlers in others */

typedef _Atomic uint32_t counter;

_Atomic bool flight_counts;

static counter *_Atomic pages[FDTAB_PAGES];
static counter elsewhere; /* of numbers that have no counter, and of what began unseen */

static __thread struct own {
	counter *count;
	const char *frame;
} own[NESTED_MAX];
static __thread unsigned depth;
static __thread bool watched;
static pthread_key_t key;
static bool keyed;

static counter *new_page(unsigned number)
{
	void *page = mmap(NULL, FDTAB_PAGE * sizeof(counter), PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	counter *none = NULL;

	if (page == MAP_FAILED)
		return NULL;
	if (atomic_compare_exchange_strong(&pages[number], &none, page))
		return page;
	munmap(page, FDTAB_PAGE * sizeof(counter));
	return none;
}

/* Neighbours, which are often different threads', lie in different cache lines. */
static unsigned place(int fd)
{
	return ((unsigned)fd & 63) << 4 | ((unsigned)fd >> 6 & 15);
}
_Static_assert(FDTAB_PAGE == 64 << 4, "place() is one to one");

static counter *counter_of(int fd)
{
	unsigned number = (unsigned)fd >> FDTAB_PAGE_BITS;
	counter *page;

	if (number >= FDTAB_PAGES)
		return &elsewhere;
	page = atomic_load_explicit(&pages[number], memory_order_acquire);
	if (!page)
		page = new_page(number);
	return page ? &page[place(fd)] : &elsewhere;
}

static bool on_signal_stack(void)
{
	stack_t stack;

	return sigaltstack(NULL, &stack) == 0 && (stack.ss_flags & SS_ONSTACK);
}

static void take_back(void)
{
	counter *count = own[--depth].count;

	atomic_signal_fence(memory_order_seq_cst);
	atomic_fetch_sub(count, 1);
}

/* The calls of frames that are gone: longjmp(3) out of a signal handler left them. */
static void take_back_stale(const char *frame)
{
	while (depth && frame >= own[depth - 1].frame && !on_signal_stack())
		take_back();
}

/* The thread ends in the middle of a call. */
static void take_back_all(void *unused)
{
	(void)unused;
	while (depth)
		take_back();
}

static void watch_thread(void)
{
	watched = true;
	if (keyed)
		pthread_setspecific(key, own);
}

/* Whatever is interrupted between two steps, a call counts for too long and never too short. */
static void note(counter *count, const char *frame)
{
	atomic_fetch_add(count, 1);
	if (depth == NESTED_MAX)
		return;
	own[depth] = (struct own){count, frame};
	atomic_signal_fence(memory_order_seq_cst);
	depth++;
}

static bool is_special(int fd)
{
	struct slot *slot = fdtab_peek(fd);

	return slot && (atomic_load(&slot->pub.flags) & SLOT_DATA);
}

bool flight_begin_at(int fd, const void *frame, struct flight *ret)
{
	ret->count = NULL;
	if (!flight_counted() || fd < 0)
		return true;
	if (!watched)
		watch_thread();
	take_back_stale(frame);
	ret->count = counter_of(fd);
	note(ret->count, frame);
	atomic_thread_fence(memory_order_seq_cst);
	if (!is_special(fd))
		return true;
	flight_end(ret);
	return false;
}

void flight_end(struct flight *flight)
{
	if (!flight->count)
		return;
	if (depth && own[depth - 1].count == flight->count)
		take_back();
	else
		atomic_fetch_sub(flight->count, 1);
}

bool flight_any(int fd)
{
	unsigned number = (unsigned)fd >> FDTAB_PAGE_BITS;
	counter *page = number < FDTAB_PAGES ? atomic_load(&pages[number]) : NULL;

	return atomic_load(&elsewhere) || (page && atomic_load(&page[place(fd)]));
}

void flight_count(bool on, bool late)
{
	if (on && !keyed)
		keyed = pthread_key_create(&key, take_back_all) == 0;
	if (on && late && !flight_counted())
		atomic_fetch_add(&elsewhere, 1);
	atomic_store(&flight_counts, on);
}

/* A page is left as it is: this thread may be in a signal handler, with a call of its own below. */
void flight_part_process(void)
{
	unsigned i;

	for (i = 0; i < FDTAB_PAGES; i++)
		if (atomic_load_explicit(&pages[i], memory_order_relaxed))
			atomic_store(&pages[i], NULL);
}
