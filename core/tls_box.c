/* Places of one size each, in shared memory whose pages are there once they are used. */
#include "core/tls_box.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/host.h"

#define PLACES 16

struct place {
	_Atomic pid_t by;  /* who is at it; 0: nobody */
	_Atomic bool full; /* what follows is whole */
	struct tls_box_label label;
	int64_t expires;
	size_t size;
	uint8_t data[TLS_BOX_TICKET_MAX];
};

struct tls_box {
	struct place place[PLACES];
};

static void *map(void *at, int flags)
{
	flags |= MAP_SHARED | MAP_ANONYMOUS;
	return mmap(at, sizeof(struct tls_box), PROT_READ | PROT_WRITE, flags, -1, 0);
}

int tls_box_new(struct tls_box **ret)
{
	void *p = map(NULL, 0);

	if (p == MAP_FAILED)
		return -ENOMEM;
	*ret = p;
	return 0;
}

/* A signal handler that forks may have interrupted somebody who is at it. */
int tls_box_part(struct tls_box *box)
{
	return map(box, MAP_FIXED) == MAP_FAILED ? -ENOMEM : 0;
}

static bool has_ended(pid_t pid)
{
	int saved = errno;
	bool ended = pid != 0 && kill(pid, 0) != 0 && errno == ESRCH;

	errno = saved;
	return ended;
}

static bool hold(struct place *place)
{
	pid_t by = atomic_load(&place->by);

	if (by != 0 && !has_ended(by))
		return false;
	if (!atomic_compare_exchange_strong(&place->by, &by, taps_host->process()))
		return false;
	if (by != 0)
		place->full = false;
	return true;
}

static void let_go(struct place *place)
{
	atomic_store(&place->by, 0);
}

static void fill(struct place *place, const struct tls_ticket_key *key, unsigned max,
		 const struct tls_ticket *ticket)
{
	place->label = (struct tls_box_label){.port = key->port, .network = key->network, .max = max};
	snprintf(place->label.name, sizeof(place->label.name), "%s", key->name);
	memcpy(place->label.policy, key->policy, TLS_POLICY_SIZE);
	place->expires = ticket->expires;
	place->size = ticket->size;
	memcpy(place->data, ticket->data, ticket->size);
	place->full = true;
}

bool tls_box_put(struct tls_box *box, const struct tls_ticket_key *key, unsigned max,
		 const struct tls_ticket *ticket)
{
	bool done = false;
	unsigned i;

	if (ticket->size > TLS_BOX_TICKET_MAX || strlen(key->name) >= TLS_BOX_NAME_MAX)
		return false;
	for (i = 0; i < PLACES && !done; i++) {
		struct place *place = &box->place[i];

		if (!hold(place))
			continue;
		done = !place->full;
		if (done)
			fill(place, key, max, ticket);
		let_go(place);
	}
	return done;
}

static bool empty(struct place *place, struct tls_box_label *ret_label, struct tls_ticket *ret)
{
	*ret = (struct tls_ticket){malloc(place->size), place->size, place->expires};
	if (!ret->data)
		return false;
	*ret_label = place->label;
	memcpy(ret->data, place->data, ret->size);
	place->full = false;
	explicit_bzero(place->data, ret->size);
	return true;
}

bool tls_box_take(struct tls_box *box, struct tls_box_label *ret_label, struct tls_ticket *ret)
{
	bool done = false;
	unsigned i;

	for (i = 0; i < PLACES && !done; i++) {
		struct place *place = &box->place[i];

		if (!place->full || !hold(place))
			continue;
		done = place->full && empty(place, ret_label, ret);
		let_go(place);
	}
	return done;
}
