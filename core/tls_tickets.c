/* A list, newest first.  Stores are small (maxCachedSessions) and asked once per connection. */
#include "core/tls_tickets.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct kept {
	struct kept *next;
	struct tls_ticket ticket;
	uint8_t policy[TLS_POLICY_SIZE];
	uint64_t network;
	uint16_t port;
	char name[];
};

struct tls_tickets {
	pthread_mutex_t lock;
	struct kept *first;
	unsigned n, max;
};

void tls_ticket_free(struct tls_ticket *ticket)
{
	if (ticket->data)
		explicit_bzero(ticket->data, ticket->size);
	free(ticket->data);
	*ticket = (struct tls_ticket){.data = NULL};
}

int tls_tickets_new(struct tls_tickets **ret, unsigned max)
{
	struct tls_tickets *store = calloc(1, sizeof(*store));

	if (!store)
		return -ENOMEM;
	pthread_mutex_init(&store->lock, NULL);
	store->max = max;
	*ret = store;
	return 0;
}

static void kept_free(struct kept *kept)
{
	tls_ticket_free(&kept->ticket);
	free(kept);
}

void tls_tickets_free(struct tls_tickets *store)
{
	if (!store)
		return;
	while (store->first) {
		struct kept *kept = store->first;

		store->first = kept->next;
		kept_free(kept);
	}
	pthread_mutex_destroy(&store->lock);
	free(store);
}

static struct kept *kept_new(const struct tls_ticket_key *key, const struct tls_ticket *ticket)
{
	size_t name = strlen(key->name) + 1;
	struct kept *kept = malloc(sizeof(*kept) + name);

	if (!kept)
		return NULL;
	*kept = (struct kept){.ticket = *ticket, .network = key->network, .port = key->port};
	memcpy(kept->policy, key->policy, TLS_POLICY_SIZE);
	memcpy(kept->name, key->name, name);
	return kept;
}

static bool same_policy(const struct kept *kept, const struct tls_ticket_key *key)
{
	return memcmp(kept->policy, key->policy, TLS_POLICY_SIZE) == 0;
}

static bool matches(const struct kept *kept, const struct tls_ticket_key *key)
{
	return kept->port == key->port && kept->network == key->network && same_policy(kept, key) &&
	       strcasecmp(kept->name, key->name) == 0;
}

static void drop(struct tls_tickets *store, struct kept **at)
{
	struct kept *kept = *at;

	*at = kept->next;
	store->n--;
	kept_free(kept);
}

/* What is beyond the limits, from the old end; and what has expired. */
static void trim(struct tls_tickets *store, const struct tls_ticket_key *key, unsigned max_per_key,
		 unsigned max_per_policy, int64_t now)
{
	unsigned all = 0, of_key = 0, of_policy = 0;

	for (struct kept **at = &store->first; *at;) {
		bool mine = matches(*at, key), ours = same_policy(*at, key);

		if ((*at)->ticket.expires <= now || all == store->max || (mine && of_key == max_per_key) ||
		    (ours && of_policy == max_per_policy)) {
			drop(store, at);
			continue;
		}
		all++;
		of_key += mine;
		of_policy += ours;
		at = &(*at)->next;
	}
}

int tls_tickets_put(struct tls_tickets *store, const struct tls_ticket_key *key, struct tls_ticket *take,
		    unsigned max_per_key, unsigned max_per_policy, int64_t now)
{
	struct kept *kept;

	if (!take->size || take->size > TLS_TICKET_SIZE_MAX || take->expires <= now) {
		tls_ticket_free(take);
		return 0;
	}
	if (take->expires > now + TLS_TICKET_LIFETIME_MAX)
		take->expires = now + TLS_TICKET_LIFETIME_MAX;
	kept = kept_new(key, take);
	if (!kept) {
		tls_ticket_free(take);
		return -ENOMEM;
	}
	*take = (struct tls_ticket){.data = NULL};
	pthread_mutex_lock(&store->lock);
	kept->next = store->first;
	store->first = kept;
	store->n++;
	trim(store, key, max_per_key, max_per_policy, now);
	pthread_mutex_unlock(&store->lock);
	return 0;
}

static bool take_locked(struct tls_tickets *store, const struct tls_ticket_key *key, int64_t now,
			struct tls_ticket *ret)
{
	for (struct kept **at = &store->first; *at; at = &(*at)->next) {
		if ((*at)->ticket.expires <= now || !matches(*at, key))
			continue;
		*ret = (*at)->ticket;
		(*at)->ticket = (struct tls_ticket){.data = NULL};
		drop(store, at);
		return true;
	}
	return false;
}

bool tls_tickets_take(struct tls_tickets *store, const struct tls_ticket_key *key, int64_t now,
		      struct tls_ticket *ret)
{
	bool found;

	pthread_mutex_lock(&store->lock);
	found = take_locked(store, key, now, ret);
	pthread_mutex_unlock(&store->lock);
	return found;
}

unsigned tls_tickets_forget(struct tls_tickets *store, const char *name)
{
	unsigned before, gone;

	pthread_mutex_lock(&store->lock);
	before = store->n;
	for (struct kept **at = &store->first; *at;) {
		if (!name || strcasecmp((*at)->name, name) == 0)
			drop(store, at);
		else
			at = &(*at)->next;
	}
	gone = before - store->n;
	pthread_mutex_unlock(&store->lock);
	return gone;
}

unsigned tls_tickets_keep_network(struct tls_tickets *store, uint64_t network)
{
	unsigned before, gone;

	pthread_mutex_lock(&store->lock);
	before = store->n;
	for (struct kept **at = &store->first; *at;) {
		if ((*at)->network != network)
			drop(store, at);
		else
			at = &(*at)->next;
	}
	gone = before - store->n;
	pthread_mutex_unlock(&store->lock);
	return gone;
}

unsigned tls_tickets_count(struct tls_tickets *store)
{
	unsigned n;

	pthread_mutex_lock(&store->lock);
	n = store->n;
	pthread_mutex_unlock(&store->lock);
	return n;
}

void tls_tickets_fork_prepare(struct tls_tickets *store)
{
	pthread_mutex_lock(&store->lock);
}

void tls_tickets_fork_done(struct tls_tickets *store)
{
	pthread_mutex_unlock(&store->lock);
}
