/* Tickets that let a later session skip the handshake's weight, and the early data that rides on them. */
#include "core/tls_resume.h"

#include <gnutls/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A ticket's blob: what it is bound to, the end of the peer's certificate, whether early data may ride on it,
 * GnuTLS' own data. */
#define BLOB_VERSION 2
#define BLOB_BINDING 1
#define BLOB_EXPIRES (BLOB_BINDING + TLS_POLICY_SIZE)
#define BLOB_EARLY (BLOB_EXPIRES + 8)
#define BLOB_DATA (BLOB_EARLY + 1)

/* The policy and the identity under which the peer was judged, for resumption skips the judgement; and
 * the rest of the blob, for GnuTLS 3.7 may crash on data that was damaged while it was stored. */
static int binding(const struct tls_session *session, const struct tls_ticket *ticket,
		   uint8_t ret[TLS_POLICY_SIZE])
{
	gnutls_hash_hd_t hash;
	int error = gnutls_hash_init(&hash, GNUTLS_DIG_SHA256);

	if (error < 0)
		return error;
	gnutls_hash(hash, session->credentials->policy, TLS_POLICY_SIZE);
	gnutls_hash(hash, session->identity, strlen(session->identity) + 1);
	gnutls_hash(hash, ticket->data + BLOB_EXPIRES, ticket->size - BLOB_EXPIRES);
	gnutls_hash_deinit(hash, ret);
	return 0;
}

static void put_number(uint8_t to[8], uint64_t number)
{
	for (int i = 7; i >= 0; i--, number >>= 8)
		to[i] = (uint8_t)number;
}

static uint64_t get_number(const uint8_t *from, unsigned n)
{
	uint64_t number = 0;

	while (n--)
		number = number << 8 | *from++;
	return number;
}

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t ticket_end(const struct tls_session *session)
{
	int64_t lifetime = session->credentials->options->cached_session_lifetime_seconds;
	int64_t now = time(NULL);
	int64_t end = now + earlier(lifetime, TLS_TICKET_LIFETIME_MAX);

	if (session->ticket_lifetime)
		end = earlier(end, now + session->ticket_lifetime);
	return session->peer_expires ? earlier(end, session->peer_expires) : end;
}

static void keep_ticket(struct tls_session *session, const struct tls_ticket *ticket)
{
	if (session->n_tickets == TLS_TICKETS_HELD) {
		tls_ticket_free(&session->tickets[0]);
		session->n_tickets--;
		memmove(session->tickets, session->tickets + 1, session->n_tickets * sizeof(*ticket));
	}
	session->tickets[session->n_tickets++] = *ticket;
}

/* GnuTLS 3.7 cannot go on when the server asks for another group (RFC 8446 §4.1.4) after early data: none is
 * sent to a server that would ask again. */
static bool guessed_group(const struct tls_session *session)
{
	const unsigned *groups;

	return gnutls_priority_group_list(session->credentials->priority, &groups) > 0 &&
	       gnutls_group_get(session->tls) == (gnutls_group_t)groups[0];
}

/* A ticket that cannot be kept is one round trip lost some day, and no reason to fail. */
void tls_resume_make_ticket(struct tls_session *session)
{
	gnutls_datum_t data = {NULL, 0};
	struct tls_ticket ticket = {.expires = ticket_end(session)};

	if (gnutls_session_get_data2(session->tls, &data) < 0)
		return;
	ticket.size = BLOB_DATA + data.size;
	ticket.data = malloc(ticket.size);
	if (ticket.data) {
		ticket.data[0] = BLOB_VERSION;
		put_number(ticket.data + BLOB_EXPIRES, (uint64_t)session->peer_expires);
		ticket.data[BLOB_EARLY] = guessed_group(session);
		memcpy(ticket.data + BLOB_DATA, data.data, data.size);
		if (binding(session, &ticket, ticket.data + BLOB_BINDING) == 0)
			keep_ticket(session, &ticket);
		else
			tls_ticket_free(&ticket);
	}
	gnutls_memset(data.data, 0, data.size);
	gnutls_free(data.data);
}

void tls_resume_use_ticket(struct tls_session *session, const struct tls_ticket *ticket)
{
	uint8_t bound[TLS_POLICY_SIZE];

	if (!ticket || ticket->size <= BLOB_DATA || ticket->expires <= time(NULL))
		return;
	if (ticket->data[0] != BLOB_VERSION || binding(session, ticket, bound) < 0 ||
	    gnutls_memcmp(bound, ticket->data + BLOB_BINDING, TLS_POLICY_SIZE) != 0)
		return;
	if (gnutls_session_set_data(session->tls, ticket->data + BLOB_DATA, ticket->size - BLOB_DATA) < 0)
		return;
	session->peer_expires = (int64_t)get_number(ticket->data + BLOB_EXPIRES, 8);
	session->resuming = true;
	session->early_usable = ticket->data[BLOB_EARLY];
}

/* Asking for the ticket here neither waits, as gnutls_session_get_data2() would elsewhere, nor misses the
 * first of two that come in one record.  Before GnuTLS has parsed the message its first four bytes are
 * the lifetime (RFC 8446 §4.6.1, RFC 5077 §3.3). */
void tls_resume_ticket_arrives(struct tls_session *session, bool parsed, const gnutls_datum_t *message)
{
	const struct tls_options *options = session->credentials->options;
	bool tls13 = gnutls_protocol_get_version(session->tls) == GNUTLS_TLS1_3;

	if (options->role != TLS_CLIENT || !options->max_cached_sessions)
		return;
	if (!parsed && message->size >= 4)
		session->ticket_lifetime = (uint32_t)get_number(message->data, 4);
	/* A lifetime of zero means: throw it away; before TLS 1.3: unknown, and the end of the handshake
	 * asks. */
	if (parsed && tls13 && session->ticket_lifetime)
		tls_resume_make_ticket(session);
}

bool tls_session_take_ticket(struct tls_session *session, struct tls_ticket *ret)
{
	bool found;

	pthread_mutex_lock(&session->lock);
	found = session->n_tickets > 0;
	if (found) {
		*ret = session->tickets[0];
		session->n_tickets--;
		memmove(session->tickets, session->tickets + 1, session->n_tickets * sizeof(*ret));
	}
	pthread_mutex_unlock(&session->lock);
	return found;
}

/* --- early data --- */

#define EARLY_OVERHEAD 32 /* header, content type and tag of a record, at most */

/* What the ticket allows, less what records add: servers that refuse it count that, too (GnuTLS), and break
 * off at more than they had allowed.  GnuTLS has "no limit" where the server allows none at all. */
static size_t early_data_max(const struct tls_session *session)
{
	size_t max = gnutls_record_get_max_early_data_size(session->tls), records;
	size_t own = session->credentials->options->early_data_max;

	if (!session->early_usable || session->state != TLS_HANDSHAKING || max >= UINT32_MAX)
		return 0;
	records = max / TLS_PLAIN_MAX + 1;
	max = max > records * EARLY_OVERHEAD ? max - records * EARLY_OVERHEAD : 0;
	return max < own ? max : own;
}

void tls_session_resume(struct tls_session *session, const struct tls_ticket *ticket)
{
	pthread_mutex_lock(&session->lock);
	if (session->credentials->options->max_cached_sessions && session->state == TLS_HANDSHAKING)
		tls_resume_use_ticket(session, ticket);
	pthread_mutex_unlock(&session->lock);
}

size_t tls_session_early_room(struct tls_session *session)
{
	size_t max;

	pthread_mutex_lock(&session->lock);
	max = early_data_max(session);
	pthread_mutex_unlock(&session->lock);
	return max;
}

ssize_t tls_session_early_data(struct tls_session *session, const void *data, size_t size)
{
	size_t max;

	pthread_mutex_lock(&session->lock);
	max = early_data_max(session);
	if (size > max)
		size = max;
	/* Returns 0 where its manual says the size. */
	if (size && gnutls_record_send_early_data(session->tls, data, size) < 0)
		size = 0;
	pthread_mutex_unlock(&session->lock);
	return (ssize_t)size;
}

/* What a server took as early data comes before everything else. */
int tls_resume_fetch_early_data(struct tls_session *session)
{
	const struct tls_options *options = session->credentials->options;
	struct tls_pending *pending;
	ssize_t n;

	if (options->role != TLS_SERVER || !session->credentials->anti_replay ||
	    !(gnutls_session_get_flags(session->tls) & GNUTLS_SFLAGS_EARLY_DATA))
		return 0;
	pending = malloc(sizeof(*pending) + options->early_data_max);
	if (!pending)
		return GNUTLS_E_MEMORY_ERROR;
	*pending = (struct tls_pending){.data = pending->copy};
	while ((n = gnutls_record_recv_early_data(session->tls, pending->copy + pending->size,
						  options->early_data_max - pending->size)) > 0)
		pending->size += (size_t)n;
	*session->pending_end = pending;
	session->pending_end = &pending->next;
	session->pending_size += pending->size;
	return 0;
}

bool tls_session_early_accepted(struct tls_session *session)
{
	bool accepted;

	pthread_mutex_lock(&session->lock);
	accepted = session->state == TLS_OPEN &&
		   (gnutls_session_get_flags(session->tls) & GNUTLS_SFLAGS_EARLY_DATA);
	pthread_mutex_unlock(&session->lock);
	return accepted;
}
