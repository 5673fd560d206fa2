/* What was agreed, gathered only when somebody asks: the trace, the external verifier. */
#include "core/tls_private.h"
#include "core/tls_reason.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Copies printable text; the peer chose some of it. */
static void copy_text(char *to, size_t room, const void *from, size_t len)
{
	size_t n = len < room - 1 ? len : room - 1;

	for (size_t i = 0; i < n; i++) {
		char c = ((const char *)from)[i];

		to[i] = c < ' ' || c > '~' ? '?' : c;
	}
	to[n] = '\0';
}

static void copy_name(char *to, size_t room, const char *name)
{
	copy_text(to, room, name ? name : "", name ? strlen(name) : 0);
}

static void agreed_facts(gnutls_session_t tls, struct tls_facts *ret)
{
	gnutls_datum_t alpn = {NULL, 0};
	gnutls_protocol_t version = gnutls_protocol_get_version(tls);
	int signature = gnutls_sign_algorithm_get(tls);

	copy_name(ret->version, sizeof(ret->version), gnutls_protocol_get_name(version));
	copy_name(ret->cipher, sizeof(ret->cipher), gnutls_ciphersuite_get(tls));
	copy_name(ret->group, sizeof(ret->group), gnutls_group_get_name(gnutls_group_get(tls)));
	copy_name(ret->signature, sizeof(ret->signature), gnutls_sign_get_name(signature));
	if (gnutls_alpn_get_selected_protocol(tls, &alpn) == 0)
		copy_text(ret->alpn, sizeof(ret->alpn), alpn.data, alpn.size);
}

static void name_facts(const struct tls_session *session, struct tls_facts *ret)
{
	char name[TLS_NAME_MAX];
	size_t size = sizeof(name);
	unsigned type;

	copy_name(ret->identity, sizeof(ret->identity), session->identity);
	if (session->credentials->options->role == TLS_SERVER &&
	    gnutls_server_name_get(session->tls, name, &size, &type, 0) == 0 && type == GNUTLS_NAME_DNS)
		copy_text(ret->server_name, sizeof(ret->server_name), name, size);
}

typedef int dn_function(gnutls_x509_crt_t crt, gnutls_datum_t *ret, unsigned flags);

static void dn_fact(gnutls_x509_crt_t crt, dn_function *get, char *to, size_t room)
{
	gnutls_datum_t dn = {NULL, 0};

	if (get(crt, &dn, 0) == 0)
		copy_text(to, room, dn.data, dn.size);
	gnutls_free(dn.data);
}

static void pin_fact(gnutls_x509_crt_t crt, struct tls_facts *ret)
{
	uint8_t pin[TLS_PIN_SIZE];
	gnutls_datum_t raw = {pin, sizeof(pin)}, text = {NULL, 0};

	if (tls_verify_pin(crt, pin) == 0 && gnutls_base64_encode2(&raw, &text) == 0)
		copy_text(ret->peer_pin, sizeof(ret->peer_pin), text.data, text.size);
	gnutls_free(text.data);
}

static void peer_facts(gnutls_session_t tls, struct tls_facts *ret)
{
	unsigned n = 0;
	const gnutls_datum_t *chain = gnutls_certificate_get_peers(tls, &n);
	gnutls_x509_crt_t crt;

	if (!chain || !n || gnutls_x509_crt_init(&crt) < 0)
		return;
	if (gnutls_x509_crt_import(crt, &chain[0], GNUTLS_X509_FMT_DER) == 0) {
		dn_fact(crt, gnutls_x509_crt_get_dn3, ret->peer_subject, sizeof(ret->peer_subject));
		dn_fact(crt, gnutls_x509_crt_get_issuer_dn3, ret->peer_issuer, sizeof(ret->peer_issuer));
		pin_fact(crt, ret);
	}
	gnutls_x509_crt_deinit(crt);
}

void tls_session_facts(struct tls_session *session, struct tls_facts *ret)
{
	*ret = (struct tls_facts){.resumed = false};
	pthread_mutex_lock(&session->lock);
	name_facts(session, ret);
	if (session->state == TLS_OPEN || session->error) {
		agreed_facts(session->tls, ret);
		ret->resumed = gnutls_session_is_resumed(session->tls) != 0;
		ret->early_data = (gnutls_session_get_flags(session->tls) & GNUTLS_SFLAGS_EARLY_DATA) != 0;
		ret->unverified = session->unverified;
	}
	if (session->state == TLS_OPEN && !session->unverified)
		peer_facts(session->tls, ret);
	pthread_mutex_unlock(&session->lock);
}

void tls_session_tell(struct tls_session *session, trace_hear *hear, void *context)
{
	struct tls_facts facts;

	tls_session_facts(session, &facts);
	hear(context,
	     (const struct trace_arg[]){
		     TRACE_TEXT("protocol", facts.version),
		     TRACE_TEXT("ciphersuite", facts.cipher),
		     TRACE_TEXT("group", facts.group),
		     TRACE_TEXT("signature", facts.signature),
		     TRACE_TEXT("alpn", facts.alpn),
		     TRACE_NUMBER("resumed", facts.resumed),
		     TRACE_NUMBER("earlyData", facts.early_data),
		     TRACE_TEXT("identity", facts.identity),
		     TRACE_TEXT("serverName", facts.server_name),
		     TRACE_TEXT("peerSubject", facts.peer_subject),
		     TRACE_TEXT("peerIssuer", facts.peer_issuer),
		     TRACE_TEXT("peerKey", facts.peer_pin),
		     TRACE_TEXT("verified", facts.unverified ? "no" : ""),
	     },
	     13);
}

/* --- the chain, for the verifier --- */

static char *append_pem(char *text, const gnutls_datum_t *der)
{
	gnutls_datum_t pem = {NULL, 0};
	size_t used = text ? strlen(text) : 0;
	char *more;

	if (gnutls_pem_base64_encode2("CERTIFICATE", der, &pem) < 0) {
		free(text);
		return NULL;
	}
	more = realloc(text, used + pem.size + 1);
	if (more) {
		memcpy(more + used, pem.data, pem.size);
		more[used + pem.size] = '\0';
	} else {
		free(text);
	}
	gnutls_free(pem.data);
	return more;
}

char *tls_session_chain_pem(struct tls_session *session)
{
	const gnutls_datum_t *chain;
	unsigned n = 0;
	char *text = NULL;

	pthread_mutex_lock(&session->lock);
	chain = gnutls_certificate_get_peers(session->tls, &n);
	for (unsigned i = 0; chain && i < n; i++) {
		text = append_pem(text, &chain[i]);
		if (!text)
			break;
	}
	pthread_mutex_unlock(&session->lock);
	return text;
}
