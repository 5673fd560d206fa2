/* An array of process numbers in shared memory, 0 where nobody sits.  Who has ended is found when all are
 * taken; a zombie counts until it is reaped, and so does a process that has got the number meanwhile. */
#include "core/seats.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "core/host.h"

struct seats {
	_Atomic pid_t *by;
	unsigned n;
};

int seats_new(struct seats **ret, unsigned n)
{
	struct seats *seats = taps_host->calloc(1, sizeof(*seats));
	void *by;

	if (!seats)
		return -ENOMEM;
	by = mmap(NULL, n * sizeof(*seats->by), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (by == MAP_FAILED) {
		taps_host->free(seats);
		return -ENOMEM;
	}
	seats->by = by;
	seats->n = n;
	*ret = seats;
	return 0;
}

void seats_free(struct seats *seats)
{
	if (!seats)
		return;
	munmap(seats->by, seats->n * sizeof(*seats->by));
	taps_host->free(seats);
}

static int take_free(struct seats *seats)
{
	pid_t nobody;
	unsigned i;

	for (i = 0; i < seats->n; i++) {
		nobody = 0;
		if (atomic_load(&seats->by[i]) == 0 &&
		    atomic_compare_exchange_strong(&seats->by[i], &nobody, taps_host->process()))
			return (int)i;
	}
	return -EAGAIN;
}

/* The seats of one process lie side by side, mostly: it is asked for once. */
static bool free_left(struct seats *seats)
{
	pid_t alive = taps_host->process();
	bool any = false;
	unsigned i;

	for (i = 0; i < seats->n; i++) {
		pid_t by = atomic_load(&seats->by[i]);

		if (by == 0)
			any = true;
		else if (by != alive && kill(by, 0) != 0 && errno == ESRCH)
			any |= atomic_compare_exchange_strong(&seats->by[i], &by, 0);
		else
			alive = by;
	}
	return any;
}

int seats_take(struct seats *seats)
{
	int saved = errno, seat = take_free(seats);

	if (seat < 0 && free_left(seats))
		seat = take_free(seats);
	errno = saved;
	return seat;
}

void seats_leave(struct seats *seats, int seat)
{
	pid_t mine = taps_host->process();

	atomic_compare_exchange_strong(&seats->by[seat], &mine, 0);
}

bool seats_are_taken(struct seats *seats)
{
	int seat = seats_take(seats);

	if (seat >= 0)
		seats_leave(seats, seat);
	return seat < 0;
}
