/* Making a session, its handshake, and what can be asked about it.  Records are in core/tls_record.c. */
#include "core/tls_session.h"

#include "core/tls_direct.h"
#include "core/tls_handshake.h"
#include "core/tls_named.h"
#include "core/tls_reason.h"
#include "core/tls_resume.h"
#include "core/tls_transport.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- making one --- */

static int no_keylog(gnutls_session_t tls, const char *label, const gnutls_datum_t *secret)
{
	(void)tls;
	(void)label;
	(void)secret;
	return 0;
}

static unsigned init_flags(const struct tls_options *options)
{
	unsigned flags = GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL;

	if (options->role == TLS_SERVER)
		flags |= GNUTLS_SERVER;
	else
		flags |= GNUTLS_CLIENT | GNUTLS_KEY_SHARE_TOP | GNUTLS_FORCE_CLIENT_CERT;
	if (!options->max_cached_sessions)
		flags |= GNUTLS_NO_TICKETS;
	/* A client's flag is set with its first early byte; by itself it would announce bytes that do not
	 * come. */
	if (options->role == TLS_SERVER && options->early_data_max)
		flags |= GNUTLS_ENABLE_EARLY_DATA;
	return flags;
}

static int set_credentials(struct tls_session *session)
{
	struct tls_credentials *credentials = session->credentials;

	if (credentials->psk_client)
		return gnutls_credentials_set(session->tls, GNUTLS_CRD_PSK, credentials->psk_client);
	if (credentials->psk_server)
		return gnutls_credentials_set(session->tls, GNUTLS_CRD_PSK, credentials->psk_server);
	return gnutls_credentials_set(session->tls, GNUTLS_CRD_CERTIFICATE, credentials->certificates);
}

#define ALPN_MAX 8 /* GnuTLS' own limit */

static int set_alpn(struct tls_session *session)
{
	const struct tls_options *options = session->credentials->options;
	gnutls_datum_t names[ALPN_MAX];
	unsigned n = 0;

	if (!options->alpn.n)
		return 0;
	for (; n < options->alpn.n && n < ALPN_MAX; n++) {
		names[n].data = (unsigned char *)options->alpn.items[n];
		names[n].size = (unsigned)strlen(options->alpn.items[n]);
	}
	return gnutls_alpn_set_protocols(session->tls, names, n,
					 GNUTLS_ALPN_MANDATORY | GNUTLS_ALPN_SERVER_PRECEDENCE);
}

static int setup_server(struct tls_session *session)
{
	static const gnutls_certificate_request_t request[] = {
		[TLS_CLIENT_AUTH_NONE] = GNUTLS_CERT_IGNORE,
		[TLS_CLIENT_AUTH_OPTIONAL] = GNUTLS_CERT_REQUEST,
		[TLS_CLIENT_AUTH_REQUIRED] = GNUTLS_CERT_REQUIRE,
	};
	const struct tls_credentials *credentials = session->credentials;
	const struct tls_options *options = credentials->options;
	int code = 0;

	tls_named_attach(session);
	gnutls_certificate_server_set_request(session->tls, request[options->client_auth]);
	if (credentials->ticket_key.data) {
		code = gnutls_session_ticket_enable_server(session->tls, &credentials->ticket_key);
		gnutls_db_set_cache_expiration(session->tls, (int)options->cached_session_lifetime_seconds);
	}
	if (credentials->anti_replay) {
		gnutls_anti_replay_enable(session->tls, credentials->anti_replay);
		if (!code)
			code = gnutls_record_set_max_early_data_size(session->tls, options->early_data_max);
	}
	return code;
}

/* Addresses are never sent as a name (RFC 6066 §3; a GnuTLS server breaks off at "::1"). */
static int set_server_name(struct tls_session *session)
{
	const struct tls_options *options = session->credentials->options;
	const char *name = options->sni_name ? options->sni_name : session->identity;
	uint8_t address[16];
	char sent[TLS_NAME_MAX];

	if (options->sni_off || tls_name_address(name, address) || tls_name_normalise(name, sent) < 0)
		return 0;
	return gnutls_server_name_set(session->tls, GNUTLS_NAME_DNS, sent, strlen(sent));
}

static int setup_client(struct tls_session *session, const struct tls_ticket *ticket)
{
	int code = set_server_name(session);

	if (!code && session->credentials->options->max_cached_sessions)
		tls_resume_use_ticket(session, ticket);
	return code;
}

static int setup(struct tls_session *session, const struct tls_ticket *ticket)
{
	const struct tls_options *options = session->credentials->options;
	int code = gnutls_init(&session->tls, init_flags(options));

	if (code < 0) {
		session->tls = NULL;
		return code;
	}
	gnutls_session_set_ptr(session->tls, session);
	gnutls_handshake_set_timeout(session->tls, 0);
	if (!options->keylog)
		gnutls_session_set_keylog_function(session->tls, no_keylog);
	tls_transport_attach(session);
	tls_handshake_attach(session);
	code = gnutls_priority_set(session->tls, session->credentials->priority);
	if (!code)
		code = set_credentials(session);
	if (!code)
		code = set_alpn(session);
	if (code)
		return code;
	return options->role == TLS_SERVER ? setup_server(session) : setup_client(session, ticket);
}

/* As DNS has it: a name in other letters than ASCII is mapped (RFC 5891). */
static int set_host_name(struct tls_session *session, const char *name)
{
	gnutls_datum_t mapped;
	int error = tls_name_normalise(name, session->identity);

	if (!error || gnutls_idna_map(name, (unsigned)strlen(name), &mapped, 0) < 0)
		return error;
	error = tls_name_normalise((const char *)mapped.data, session->identity);
	gnutls_free(mapped.data);
	return error;
}

/* Names are compared as host names; whatever is an address stays one. */
static int set_identity(struct tls_session *session, const struct tls_peer *peer, struct tls_reason *reason)
{
	const struct tls_options *options = session->credentials->options;
	const char *name = options->peer_name;
	uint8_t address[16];

	if (options->role == TLS_SERVER)
		return 0;
	if (!name && peer)
		name = peer->name ? peer->name : peer->address;
	if (!name || !*name)
		return tls_reason_set(reason, -EINVAL, "there is no name to check the certificate against");
	if (tls_name_address(name, address) && strlen(name) < sizeof(session->identity)) {
		memcpy(session->identity, name, strlen(name) + 1);
		return 0;
	}
	if (set_host_name(session, name) < 0)
		return tls_reason_set(reason, -EINVAL, "\"%s\" is no host name", name);
	return 0;
}

int tls_session_new(struct tls_session **ret, struct tls_credentials *credentials,
		    const struct tls_peer *peer, const struct tls_ticket *ticket, struct tls_reason *reason)
{
	struct tls_session *session = calloc(1, sizeof(*session));
	int error, code;

	if (!session)
		return tls_reason_set(reason, -ENOMEM, "%s", strerror(ENOMEM));
	pthread_mutex_init(&session->lock, NULL);
	session->pending_end = &session->pending;
	session->credentials = tls_credentials_ref(credentials);
	error = set_identity(session, peer, reason);
	code = error ? 0 : setup(session, ticket);
	if (code < 0)
		error = tls_reason_set(reason, code == GNUTLS_E_MEMORY_ERROR ? -ENOMEM : -EINVAL, "TLS: %s",
				       gnutls_strerror(code));
	if (error)
		tls_session_free(session);
	else
		*ret = session;
	return error;
}

static void pending_free(struct tls_session *session)
{
	while (session->pending) {
		struct tls_pending *pending = session->pending;

		session->pending = pending->next;
		gnutls_packet_deinit(pending->packet);
		free(pending);
	}
}

void tls_session_free(struct tls_session *session)
{
	if (!session)
		return;
	pending_free(session);
	tls_direct_free(&session->sealing);
	tls_direct_free(&session->opening);
	for (unsigned i = 0; i < session->n_tickets; i++)
		tls_ticket_free(&session->tickets[i]);
	if (session->tls)
		gnutls_deinit(session->tls);
	free(session->out.data);
	tls_credentials_unref(session->credentials);
	pthread_mutex_destroy(&session->lock);
	free(session);
}

/* --- asking --- */

const char *tls_session_reason(const struct tls_session *session)
{
	return session->reason.text;
}

void tls_session_lock(struct tls_session *session)
{
	pthread_mutex_lock(&session->lock);
}

void tls_session_unlock(struct tls_session *session)
{
	pthread_mutex_unlock(&session->lock);
}
