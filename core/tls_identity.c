/* Own certificates and keys, and keys agreed beforehand.  Each is for one role: a certificate whose
 * extended key usage names another is refused when the rule is loaded, not when the first peer comes. */
#include "core/tls_identity.h"

#include "core/tls_named.h"
#include "core/tls_reason.h"

#include <errno.h>
#include <string.h>

#define PSK_MIN 16 /* bytes */

static int gnutls_failed(struct tls_reason *reason, const char *what, int code)
{
	int error = code == GNUTLS_E_MEMORY_ERROR ? -ENOMEM : -EINVAL;

	return tls_reason_set(reason, error, "%s: %s", what, gnutls_strerror(code));
}

/* May the certificate be used in our role?  One without extended key usage may in any (RFC 5280
 * §4.2.1.12). */
static bool purpose_fits(gnutls_x509_crt_t crt, enum tls_role role)
{
	const char *wanted = role == TLS_SERVER ? GNUTLS_KP_TLS_WWW_SERVER : GNUTLS_KP_TLS_WWW_CLIENT;
	char oid[128];

	for (unsigned i = 0;; i++) {
		size_t size = sizeof(oid);
		int error = gnutls_x509_crt_get_key_purpose_oid(crt, i, oid, &size, NULL);

		if (error == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
			return i == 0;
		if (error >= 0 && (strcmp(oid, wanted) == 0 || strcmp(oid, GNUTLS_KP_ANY) == 0))
			return true;
	}
}

static int check_role(enum tls_role role, gnutls_x509_crt_t leaf, const char *file, struct tls_reason *reason)
{
	if (purpose_fits(leaf, role))
		return 0;
	return tls_reason_set(reason, -EINVAL, "%s: its extended key usage forbids use as a %s", file,
			      role == TLS_SERVER ? "server" : "client");
}

/* Returns the number of the pair within `to`, or -errno. */
static int load_pair(gnutls_certificate_credentials_t to, const struct tls_identity *identity,
		     struct tls_reason *reason)
{
	const char *key = identity->key ? identity->key : identity->chain;
	int i, error;

	i = gnutls_certificate_set_x509_key_file2(to, identity->chain, key, GNUTLS_X509_FMT_PEM, NULL, 0);
	if (i == GNUTLS_E_CERTIFICATE_KEY_MISMATCH)
		return tls_reason_set(reason, -EINVAL, "%s: does not fit the key in %s", identity->chain,
				      key);
	if (i < 0)
		return gnutls_failed(reason, identity->chain, i);
	if (!identity->staple)
		return i;
	error = gnutls_certificate_set_ocsp_status_request_file2(to, identity->staple, (unsigned)i,
								 GNUTLS_X509_FMT_DER);
	return error < 0 ? gnutls_failed(reason, identity->staple, error) : i;
}

static gnutls_certificate_credentials_t new_set(void)
{
	gnutls_certificate_credentials_t set;

	if (gnutls_certificate_allocate_credentials(&set) < 0)
		return NULL;
	gnutls_certificate_set_flags(set, GNUTLS_CERTIFICATE_API_V2);
	return set;
}

/* Also into the set of its names, if there is a choice of names at all. */
static int load_named(struct tls_credentials *credentials, const struct tls_identity *identity,
		      gnutls_x509_crt_t leaf, struct tls_reason *reason)
{
	struct tls_named *named;
	int i;

	if (credentials->options->role != TLS_SERVER || credentials->options->n_certificates < 2)
		return 0;
	named = tls_named_for(credentials, leaf);
	if (!named)
		return -ENOMEM;
	if (!named->certificates)
		named->certificates = new_set();
	if (!named->certificates)
		return -ENOMEM;
	i = load_pair(named->certificates, identity, reason);
	return i < 0 ? i : 0;
}

static int load_identity(struct tls_credentials *credentials, const struct tls_identity *identity,
			 struct tls_reason *reason)
{
	gnutls_x509_crt_t *chain;
	unsigned n;
	int error, i = load_pair(credentials->certificates, identity, reason);

	if (i < 0)
		return i;
	error = gnutls_certificate_get_x509_crt(credentials->certificates, (unsigned)i, &chain, &n);
	if (error < 0)
		return gnutls_failed(reason, identity->chain, error);
	error = check_role(credentials->options->role, chain[0], identity->chain, reason);
	if (!error)
		error = load_named(credentials, identity, chain[0], reason);
	for (unsigned k = 0; k < n; k++)
		gnutls_x509_crt_deinit(chain[k]);
	gnutls_free(chain);
	return error;
}

int tls_identity_load(struct tls_credentials *credentials, struct tls_reason *reason)
{
	const struct tls_options *options = credentials->options;
	int error = 0;

	if (options->role == TLS_SERVER && !options->n_certificates && !options->n_psks)
		return tls_reason_set(reason, -EINVAL, "a server needs serverCertificate or preSharedKey");
	if (options->n_certificates && options->n_psks)
		return tls_reason_set(reason, -EINVAL, "preSharedKey and certificates exclude each other");
	credentials->certificates = new_set();
	if (!credentials->certificates)
		return -ENOMEM;
	for (size_t i = 0; i < options->n_certificates && !error; i++)
		error = load_identity(credentials, &options->certificates[i], reason);
	return error;
}

/* --- keys agreed beforehand --- */

/* *ret is freed with gnutls_free(). */
static int psk_key(const struct tls_psk *psk, gnutls_datum_t *ret)
{
	gnutls_datum_t hex = {(unsigned char *)psk->key, (unsigned)strlen(psk->key)};

	return hex.size ? gnutls_hex_decode2(&hex, ret) : GNUTLS_E_PARSING_ERROR;
}

static int psk_lookup(gnutls_session_t tls, const char *identity, gnutls_datum_t *ret)
{
	const struct tls_session *session = gnutls_session_get_ptr(tls);
	const struct tls_options *options = session->credentials->options;

	for (size_t i = 0; i < options->n_psks; i++)
		if (strcmp(options->psks[i].identity, identity) == 0)
			return psk_key(&options->psks[i], ret) < 0 ? -1 : 0;
	return -1;
}

static int check_psks(const struct tls_options *options, struct tls_reason *reason)
{
	for (size_t i = 0; i < options->n_psks; i++) {
		gnutls_datum_t key = {NULL, 0};
		int error = psk_key(&options->psks[i], &key);

		gnutls_free(key.data);
		if (error < 0 || key.size < PSK_MIN || !options->psks[i].identity[0])
			return tls_reason_set(reason, -EINVAL,
					      "preSharedKey: expected an identity and %u bytes in hex",
					      PSK_MIN);
	}
	return 0;
}

int tls_identity_load_psks(struct tls_credentials *credentials, struct tls_reason *reason)
{
	const struct tls_options *options = credentials->options;
	gnutls_datum_t key;
	int error = check_psks(options, reason);

	if (error || !options->n_psks)
		return error;
	if (options->role == TLS_SERVER) {
		if (gnutls_psk_allocate_server_credentials(&credentials->psk_server) < 0)
			return -ENOMEM;
		gnutls_psk_set_server_credentials_function(credentials->psk_server, psk_lookup);
		return 0;
	}
	if (options->n_psks > 1)
		return tls_reason_set(reason, -EINVAL, "preSharedKey: a client has one");
	if (gnutls_psk_allocate_client_credentials(&credentials->psk_client) < 0)
		return -ENOMEM;
	key.data = (unsigned char *)options->psks[0].key;
	key.size = (unsigned)strlen(options->psks[0].key);
	error = gnutls_psk_set_client_credentials(credentials->psk_client, options->psks[0].identity, &key,
						  GNUTLS_PSK_KEY_HEX);
	return error < 0 ? gnutls_failed(reason, "preSharedKey", error) : 0;
}
