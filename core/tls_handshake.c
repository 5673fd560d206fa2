/* One step of the handshake at a time, the judgement of the peer within it, and the tickets that come
 * after. */
#include "core/tls_handshake.h"

#include "core/tls_priority.h"
#include "core/tls_reason.h"
#include "core/tls_resume.h"
#include "core/tls_transport.h"

#include <errno.h>
#include <string.h>

/* --- failing --- */

/* Where gnutls_strerror() says too little about whose fault it is. */
static const struct {
	int code;
	const char *text;
} failures[] = {
	{GNUTLS_E_UNSUPPORTED_VERSION_PACKET, "the peer has no TLS version that the policy allows"},
	{GNUTLS_E_NO_CIPHER_SUITES, "no cipher suite in common with the peer"},
	{GNUTLS_E_UNKNOWN_CIPHER_SUITE, "no cipher suite in common with the peer"},
	{GNUTLS_E_NO_COMMON_KEY_SHARE, "no key exchange group in common with the peer"},
	{GNUTLS_E_NO_APPLICATION_PROTOCOL, "no application protocol in common with the peer (ALPN)"},
	{GNUTLS_E_DECRYPTION_FAILED, "a record of the peer could not be decrypted"},
	{GNUTLS_E_RECORD_OVERFLOW, "the peer sent an oversized record"},
	{GNUTLS_E_UNEXPECTED_PACKET, "the peer broke the TLS protocol (unexpected record)"},
	{GNUTLS_E_UNEXPECTED_PACKET_LENGTH, "the peer broke the TLS protocol (wrong length)"},
	{GNUTLS_E_UNEXPECTED_HANDSHAKE_PACKET, "the peer broke the TLS protocol (unexpected message)"},
	{GNUTLS_E_NO_CERTIFICATE_FOUND, "the peer showed no certificate, and the policy requires one"},
	{GNUTLS_E_CERTIFICATE_REQUIRED, "the peer showed no certificate, and the policy requires one"},
	{GNUTLS_E_TOO_MANY_HANDSHAKE_PACKETS, "the peer changes its keys too often"},
};

static const char *failure_text(int code)
{
	for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++)
		if (failures[i].code == code)
			return failures[i].text;
	return gnutls_strerror(code);
}

static void give_reason(struct tls_session *session, int code)
{
	if (session->reason.text[0])
		return;
	if (code == GNUTLS_E_FATAL_ALERT_RECEIVED) {
		gnutls_alert_description_t alert = gnutls_alert_get(session->tls);
		const char *name = gnutls_alert_get_name(alert);

		tls_reason_set(&session->reason, 0, "the peer refused with alert %u: %s", alert,
			       name ? name : "unknown");
		return;
	}
	tls_reason_set(&session->reason, 0, "%s", failure_text(code));
}

int tls_handshake_fail(struct tls_session *session, int code)
{
	give_reason(session, code);
	if (session->refusal_alert)
		gnutls_alert_send(session->tls, GNUTLS_AL_FATAL,
				  (gnutls_alert_description_t)session->refusal_alert);
	else if (code != GNUTLS_E_FATAL_ALERT_RECEIVED)
		gnutls_alert_send_appropriate(session->tls, code);
	session->state = TLS_FAILED;
	session->error = code == GNUTLS_E_MEMORY_ERROR ? -ENOMEM : -EPROTO;
	return session->error;
}

static int refuse(struct tls_session *session, int alert, const char *text)
{
	session->refusal_alert = alert;
	tls_reason_set(&session->reason, 0, "%s", text);
	return GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR;
}

/* --- the peer's certificate --- */

static int judge(struct tls_session *session)
{
	struct tls_verdict verdict = {.alert = GNUTLS_A_INTERNAL_ERROR};
	struct tls_evidence evidence = {.identity = session->identity[0] ? session->identity : NULL};
	gnutls_datum_t staple = {NULL, 0};
	int error;

	evidence.chain = gnutls_certificate_get_peers(session->tls, &evidence.n);
	if (gnutls_ocsp_status_request_get2(session->tls, 0, &staple) == 0)
		evidence.staples = &staple;
	error = tls_verify_peer(&session->credentials->verify, &evidence, &verdict);
	if (!error) {
		session->peer_expires = verdict.expires;
		session->checked = true;
		return 0;
	}
	return refuse(session, verdict.alert,
		      verdict.reason.text[0] ? verdict.reason.text : strerror(-error));
}

/* gnutls_certificate_verify_function: called again after each GNUTLS_E_AGAIN. */
static int verify_callback(gnutls_session_t tls)
{
	struct tls_session *session = gnutls_session_get_ptr(tls);
	const struct tls_options *options = session->credentials->options;
	unsigned n = 0;
	int code;

	/* A client that has no certificate to show; GnuTLS refuses it itself where one is required. */
	if (options->role == TLS_SERVER && !gnutls_certificate_get_peers(tls, &n))
		return 0;
	if (options->insecure_no_verify) {
		session->unverified = true;
		return 0;
	}
	code = session->checked ? 0 : judge(session);
	if (code)
		return code;
	if (options->verifier && !session->verifier_accepted) {
		session->asks_verifier = !session->refusal_alert;
		return session->asks_verifier ? GNUTLS_E_AGAIN : GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR;
	}
	session->verified = true;
	return 0;
}

void tls_session_verifier_said(struct tls_session *session, bool accepted, const char *line)
{
	pthread_mutex_lock(&session->lock);
	if (session->asks_verifier) {
		session->asks_verifier = false;
		session->verifier_accepted = accepted;
		if (!accepted) {
			session->refusal_alert = GNUTLS_A_ACCESS_DENIED;
			tls_reason_set(&session->reason, 0, "the verifier refused: %s",
				       line ? line : "no reason");
		}
	}
	pthread_mutex_unlock(&session->lock);
}

/* --- what was agreed --- */

static bool suite_allowed(struct tls_session *session)
{
	const char *suite = gnutls_ciphersuite_get(session->tls);

	return suite && tls_priority_allows(&session->credentials->options->ciphersuite, suite);
}

/* A client with ALPN in its policy means it; a server takes clients that know nothing of ALPN (RFC 7301
 * §3.2). */
static bool alpn_agreed(struct tls_session *session)
{
	const struct tls_options *options = session->credentials->options;
	gnutls_datum_t selected = {NULL, 0};

	if (options->role == TLS_SERVER || !options->alpn.n)
		return true;
	return gnutls_alpn_get_selected_protocol(session->tls, &selected) == 0 && selected.size;
}

/* Belt and braces: nothing is open whose peer was not judged by this policy, now or when the ticket came. */
static bool peer_authenticated(struct tls_session *session)
{
	const struct tls_options *options = session->credentials->options;

	if (options->n_psks)
		return gnutls_auth_get_type(session->tls) == GNUTLS_CRD_PSK;
	if (options->role == TLS_SERVER && options->client_auth != TLS_CLIENT_AUTH_REQUIRED)
		return true;
	return session->verified || session->unverified || gnutls_session_is_resumed(session->tls);
}

static int check_agreement(struct tls_session *session)
{
	if (!peer_authenticated(session))
		return refuse(session, GNUTLS_A_CERTIFICATE_REQUIRED, "the peer did not prove who it is");
	if (!suite_allowed(session))
		return refuse(session, GNUTLS_A_INSUFFICIENT_SECURITY,
			      "the cipher suite is not one that the policy allows");
	if (!alpn_agreed(session))
		return refuse(session, GNUTLS_A_NO_APPLICATION_PROTOCOL,
			      "the server chose no application protocol (ALPN)");
	return 0;
}

/* gnutls_handshake_hook_func: what the peer sends after the handshake. */
static int message_hook(gnutls_session_t tls, unsigned type, unsigned when, unsigned incoming,
			const gnutls_datum_t *message)
{
	struct tls_session *session = gnutls_session_get_ptr(tls);

	if (!incoming)
		return 0;
	if (type == GNUTLS_HANDSHAKE_NEW_SESSION_TICKET)
		tls_resume_ticket_arrives(session, when == GNUTLS_HOOK_POST, message);
	/* update_requested (RFC 8446 §4.6.3) */
	if (type == GNUTLS_HANDSHAKE_KEY_UPDATE && message->size && message->data[0] == 1)
		session->update_due = true;
	return 0;
}

void tls_handshake_attach(struct tls_session *session)
{
	gnutls_session_set_verify_function(session->tls, verify_callback);
	gnutls_handshake_set_hook_function(session->tls, GNUTLS_HANDSHAKE_ANY, GNUTLS_HOOK_BOTH,
					   message_hook);
}

/* --- going on --- */

static int finish(struct tls_session *session)
{
	int code = check_agreement(session);

	if (!code)
		code = tls_resume_fetch_early_data(session);
	if (code)
		return code;
	session->state = TLS_OPEN;
	session->record_max = (unsigned)gnutls_record_get_max_size(session->tls);
	session->overhead = (unsigned)gnutls_record_overhead_size(session->tls);
	session->direct = gnutls_protocol_get_version(session->tls) == GNUTLS_TLS1_3;
	if (session->credentials->options->role == TLS_CLIENT &&
	    session->credentials->options->max_cached_sessions &&
	    gnutls_protocol_get_version(session->tls) != GNUTLS_TLS1_3)
		tls_resume_make_ticket(session);
	return 0;
}

#define RECORD_ALERT 21
#define RECORD_HANDSHAKE 22

static bool begins_tls(const uint8_t *in)
{
	return in[0] == RECORD_HANDSHAKE || in[0] == RECORD_ALERT;
}

/* The commonest mistake, a peer that speaks clear text, deserves a better word than "unexpected packet". */
static int hear(struct tls_session *session, const uint8_t *in, size_t len)
{
	if (session->heard || !len)
		return 0;
	session->heard = true;
	if (begins_tls(in))
		return 0;
	tls_reason_set(&session->reason, 0, "the peer does not speak TLS: it sent \"%.*s\"",
		       (int)(len < 40 ? len : 40), (const char *)in);
	return GNUTLS_E_UNEXPECTED_PACKET;
}

/* GNUTLS_E_AGAIN may mean one message only: go on while bytes are used up and there are more. */
static int shake(struct tls_session *session)
{
	size_t before;
	int code, warnings = 0;

	do {
		before = session->in_pos;
		code = gnutls_handshake(session->tls);
		if (code == GNUTLS_E_WARNING_ALERT_RECEIVED && ++warnings > 16)
			return GNUTLS_E_TOO_MANY_HANDSHAKE_PACKETS;
	} while (code < 0 && !gnutls_error_is_fatal(code) && !session->asks_verifier &&
		 session->in_pos > before);
	return code;
}

static int step(struct tls_session *session, const void *in, size_t len, size_t *ret_consumed)
{
	int code = hear(session, in, len);

	if (!code) {
		tls_transport_open(session, in, len);
		code = shake(session);
		*ret_consumed = tls_transport_close(session);
	}
	if (!code)
		code = finish(session);
	if (!code)
		return TLS_DONE;
	if (gnutls_error_is_fatal(code))
		return tls_handshake_fail(session, code);
	return session->asks_verifier ? TLS_WANT_VERIFIER : TLS_WANT_INPUT;
}

int tls_session_handshake(struct tls_session *session, const void *in, size_t len, size_t *ret_consumed)
{
	int result;

	*ret_consumed = 0;
	pthread_mutex_lock(&session->lock);
	if (session->state == TLS_FAILED)
		result = session->error;
	else if (session->state == TLS_OPEN)
		result = TLS_DONE;
	else if (session->asks_verifier)
		result = TLS_WANT_VERIFIER;
	else
		result = step(session, in, len, ret_consumed);
	pthread_mutex_unlock(&session->lock);
	return result;
}
