/* Seats, as the gate gives them out. */
#include "core/tls_seat.h"

static void leave(struct tls_seat *seat)
{
	int number = atomic_exchange(&seat->number, -1);

	if (number >= 0)
		seat->gate->leave(seat->gate, number);
}

bool tls_seat_take(struct tls_seat *seat)
{
	if (!seat->gate)
		return true;
	atomic_store(&seat->number, seat->gate->enter(seat->gate));
	return atomic_load(&seat->number) >= 0;
}

void tls_seat_gone(struct tls_seat *seat, bool gone)
{
	if (gone)
		leave(seat);
	else
		tls_seat_take(seat);
}

void tls_seat_done(struct tls_seat *seat)
{
	if (!seat->gate)
		return;
	leave(seat);
	seat->gate->done(seat->gate);
	seat->gate = NULL;
}
