/* GnuTLS judges the chain; the name, the pins and revocation are judged here, more strictly than GnuTLS' own
 * verification does (it falls back to the common name, and takes a missing revocation list for approval). */
#include "core/tls_verify.h"

#include "core/tls_name.h"
#include "core/tls_reason.h"
#include "core/tls_revocation.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define CHAIN_MAX 16
#define VERIFY_FLAGS GNUTLS_PROFILE_TO_VFLAGS(GNUTLS_PROFILE_MEDIUM)
#define DN_MAX 160

/* The certificates under judgement. */
struct judged {
	gnutls_x509_crt_t crts[CHAIN_MAX];
	unsigned n;
};

static int refuse(struct tls_verdict *ret, int alert, const char *text)
{
	ret->alert = alert;
	return tls_reason_set(&ret->reason, -EPROTO, "%s", text);
}

static void judged_free(struct judged *judged)
{
	for (unsigned i = 0; i < judged->n; i++)
		gnutls_x509_crt_deinit(judged->crts[i]);
	judged->n = 0;
}

static int judged_import(struct judged *judged, const struct tls_evidence *evidence, struct tls_verdict *ret)
{
	if (!evidence->n)
		return refuse(ret, GNUTLS_A_CERTIFICATE_REQUIRED, "the peer showed no certificate");
	if (evidence->n > CHAIN_MAX)
		return refuse(ret, GNUTLS_A_BAD_CERTIFICATE, "the certificate chain is too long");
	while (judged->n < evidence->n) {
		gnutls_x509_crt_t *crt = &judged->crts[judged->n];

		if (gnutls_x509_crt_init(crt) < 0)
			return -ENOMEM;
		judged->n++;
		if (gnutls_x509_crt_import(*crt, &evidence->chain[judged->n - 1], GNUTLS_X509_FMT_DER) < 0)
			return refuse(ret, GNUTLS_A_BAD_CERTIFICATE, "the certificate is malformed");
	}
	return 0;
}

/* --- the chain --- */

static void dn_text(gnutls_x509_crt_t crt, bool issuer, char text[DN_MAX])
{
	gnutls_datum_t dn = {NULL, 0};
	int error = (issuer ? gnutls_x509_crt_get_issuer_dn3 : gnutls_x509_crt_get_dn3)(crt, &dn, 0);

	snprintf(text, DN_MAX, "%s", error < 0 ? "?" : (const char *)dn.data);
	gnutls_free(dn.data);
}

static int explain_time(const struct judged *judged, bool expired, struct tls_verdict *ret)
{
	time_t now = time(NULL);
	struct tm tm;
	char date[32];

	for (unsigned i = 0; i < judged->n; i++) {
		time_t limit = expired ? gnutls_x509_crt_get_expiration_time(judged->crts[i])
				       : gnutls_x509_crt_get_activation_time(judged->crts[i]);

		if ((expired ? limit >= now : limit <= now) || !gmtime_r(&limit, &tm) ||
		    !strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S UTC", &tm))
			continue;
		return tls_reason_set(&ret->reason, -EPROTO, "the %s %s %s",
				      i ? "issuer's certificate" : "certificate",
				      expired ? "expired on" : "is not valid before", date);
	}
	return tls_reason_set(&ret->reason, -EPROTO, "a certificate of the chain %s",
			      expired ? "has expired" : "is not valid yet");
}

static int explain_unknown(const struct judged *judged, struct tls_verdict *ret)
{
	char issuer[DN_MAX];

	if (gnutls_x509_crt_check_issuer(judged->crts[0], judged->crts[0]))
		return refuse(ret, ret->alert, "the certificate is self-signed and not trusted");
	dn_text(judged->crts[judged->n - 1], true, issuer);
	return tls_reason_set(&ret->reason, -EPROTO,
			      "no trusted authority issued the certificate (issuer %s)", issuer);
}

/* Most telling first; EXPIRED and its like come with INVALID, which alone says nothing. */
static const struct {
	unsigned status;
	int alert;
	const char *text; /* NULL: an explain_ function knows more */
} chain_faults[] = {
	{GNUTLS_CERT_SIGNER_NOT_FOUND, GNUTLS_A_UNKNOWN_CA, NULL},
	{GNUTLS_CERT_NOT_ACTIVATED, GNUTLS_A_CERTIFICATE_EXPIRED, NULL},
	{GNUTLS_CERT_EXPIRED, GNUTLS_A_CERTIFICATE_EXPIRED, NULL},
	{GNUTLS_CERT_REVOKED, GNUTLS_A_CERTIFICATE_REVOKED, "the certificate is distrusted"},
	{GNUTLS_CERT_INSECURE_ALGORITHM, GNUTLS_A_INSUFFICIENT_SECURITY,
	 "the chain has a weak key or signature algorithm"},
	{GNUTLS_CERT_SIGNER_NOT_CA, GNUTLS_A_BAD_CERTIFICATE, "the issuer is no certificate authority"},
	{GNUTLS_CERT_SIGNER_CONSTRAINTS_FAILURE, GNUTLS_A_BAD_CERTIFICATE,
	 "the issuer may not issue this certificate (constraints)"},
	{GNUTLS_CERT_PURPOSE_MISMATCH, GNUTLS_A_UNSUPPORTED_CERTIFICATE,
	 "the certificate is for another purpose (extended key usage)"},
	{GNUTLS_CERT_UNKNOWN_CRIT_EXTENSIONS, GNUTLS_A_UNSUPPORTED_CERTIFICATE,
	 "the certificate has a critical extension that is not understood"},
	{GNUTLS_CERT_SIGNATURE_FAILURE, GNUTLS_A_BAD_CERTIFICATE, "a signature in the chain is wrong"},
};

static int explain_chain(const struct judged *judged, unsigned status, struct tls_verdict *ret)
{
	for (size_t i = 0; i < sizeof(chain_faults) / sizeof(chain_faults[0]); i++) {
		unsigned fault = status & chain_faults[i].status;

		if (!fault)
			continue;
		ret->alert = chain_faults[i].alert;
		if (fault == GNUTLS_CERT_SIGNER_NOT_FOUND)
			return explain_unknown(judged, ret);
		if (!chain_faults[i].text)
			return explain_time(judged, fault == GNUTLS_CERT_EXPIRED, ret);
		return refuse(ret, ret->alert, chain_faults[i].text);
	}
	return refuse(ret, GNUTLS_A_BAD_CERTIFICATE, "the certificate chain is invalid");
}

static int check_chain(const struct tls_policy *policy, struct judged *judged, struct tls_verdict *ret)
{
	bool server = policy->role == TLS_CLIENT;
	unsigned status = GNUTLS_CERT_INVALID;
	int error = tls_trust_verify(policy->trust, judged->crts, judged->n,
				     server ? GNUTLS_KP_TLS_WWW_SERVER : GNUTLS_KP_TLS_WWW_CLIENT,
				     VERIFY_FLAGS, &status);

	if (error) {
		ret->alert = GNUTLS_A_INTERNAL_ERROR;
		return tls_reason_set(&ret->reason, error, "%s: %s", tls_trust_path(policy->trust),
				      strerror(-error));
	}
	return status ? explain_chain(judged, status, ret) : 0;
}

/* --- the name --- */

/* One alternative name of the kind looked for. */
struct alternative {
	uint8_t data[TLS_NAME_MAX];
	size_t size;
};

/* Returns false behind the last name.  Others than the kind asked for, and overlong ones, are empty. */
static bool alternative_at(gnutls_x509_crt_t crt, unsigned i, unsigned kind, struct alternative *ret)
{
	unsigned type = 0;
	size_t size = sizeof(ret->data);
	int error = gnutls_x509_crt_get_subject_alt_name2(crt, i, ret->data, &size, &type, NULL);

	ret->size = 0;
	if (error == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
		return false;
	/* A positive error code is the type itself. */
	if (error >= 0 && type == kind)
		ret->size = size;
	return true;
}

#define ALTERNATIVES_MAX 4096

static bool name_covered(gnutls_x509_crt_t crt, const char *identity)
{
	struct alternative name;
	uint8_t address[16];
	size_t size = tls_name_address(identity, address);
	unsigned kind = size ? GNUTLS_SAN_IPADDRESS : GNUTLS_SAN_DNSNAME;

	for (unsigned i = 0; i < ALTERNATIVES_MAX && alternative_at(crt, i, kind, &name); i++) {
		if (!name.size)
			continue;
		if (size ? name.size == size && memcmp(name.data, address, size) == 0
			 : tls_name_covers((const char *)name.data, name.size, identity))
			return true;
	}
	return false;
}

/* Appends the first few DNS names to the text. */
static void list_names(gnutls_x509_crt_t crt, char *text, size_t cap)
{
	struct alternative name;
	size_t used = 0;
	unsigned listed = 0;

	text[0] = '\0';
	for (unsigned i = 0; listed < 3 && i < ALTERNATIVES_MAX; i++) {
		int n;

		if (!alternative_at(crt, i, GNUTLS_SAN_DNSNAME, &name))
			return;
		if (!name.size)
			continue;
		n = snprintf(text + used, cap - used, "%s%.*s", used ? ", " : "", (int)name.size,
			     (char *)name.data);
		if (n < 0 || (size_t)n >= cap - used)
			return;
		used += (size_t)n;
		listed++;
	}
}

static int check_name(gnutls_x509_crt_t leaf, const char *identity, struct tls_verdict *ret)
{
	char names[100];

	if (!identity || name_covered(leaf, identity))
		return 0;
	list_names(leaf, names, sizeof(names));
	ret->alert = GNUTLS_A_BAD_CERTIFICATE;
	if (!names[0])
		return tls_reason_set(&ret->reason, -EPROTO,
				      "the certificate has no subject alternative name for %s", identity);
	return tls_reason_set(&ret->reason, -EPROTO, "the certificate is for %s, not for %s", names,
			      identity);
}

/* --- pins --- */

int tls_verify_pin(gnutls_x509_crt_t crt, uint8_t ret[TLS_PIN_SIZE])
{
	size_t size = TLS_PIN_SIZE;
	int error = gnutls_x509_crt_get_key_id(crt, GNUTLS_KEYID_USE_SHA256, ret, &size);

	return error < 0 || size != TLS_PIN_SIZE ? -EINVAL : 0;
}

static int check_pins(const struct tls_policy *policy, gnutls_x509_crt_t leaf, struct tls_verdict *ret)
{
	uint8_t pin[TLS_PIN_SIZE];

	if (!policy->n_pins)
		return 0;
	if (tls_verify_pin(leaf, pin) == 0)
		for (unsigned i = 0; i < policy->n_pins; i++)
			if (memcmp(pin, policy->pins[i], TLS_PIN_SIZE) == 0)
				return 0;
	return refuse(ret, GNUTLS_A_BAD_CERTIFICATE, "the certificate's key is none of the pinned ones");
}

/* --- revocation --- */

static gnutls_x509_crt_t shown_issuer(const struct judged *judged, gnutls_x509_crt_t crt)
{
	for (unsigned i = 1; i < judged->n; i++)
		if (judged->crts[i] != crt && gnutls_x509_crt_check_issuer(crt, judged->crts[i]))
			return judged->crts[i];
	return NULL;
}

/* From the leaf by way of what was shown to the first trusted issuer, which is a copy: returned, or NULL. */
static gnutls_x509_crt_t path_make(const struct tls_policy *policy, const struct judged *judged,
				   struct tls_path *path)
{
	gnutls_x509_crt_t crt = judged->crts[0];

	path->crts[path->n++] = crt;
	while (path->n < CHAIN_MAX) {
		gnutls_x509_crt_t anchor = tls_trust_issuer(policy->trust, crt);

		if (anchor) {
			path->crts[path->n++] = anchor;
			return anchor;
		}
		crt = shown_issuer(judged, crt);
		if (!crt)
			break;
		path->crts[path->n++] = crt;
	}
	return NULL;
}

static int check_revocation(const struct tls_policy *policy, const struct judged *judged,
			    const struct tls_evidence *evidence, struct tls_verdict *ret)
{
	const gnutls_datum_t *staple = evidence->staples ? &evidence->staples[0] : NULL;
	gnutls_x509_crt_t crts[CHAIN_MAX] = {judged->crts[0]};
	struct tls_path path = {.crts = crts};
	gnutls_x509_crt_t anchor = NULL;
	int error;

	/* Issuers cost a copy: only when there is something of theirs to check. */
	if (policy->n_crls || (staple && staple->size))
		anchor = path_make(policy, judged, &path);
	else
		path.n = 1;
	error = tls_revocation_lists(policy, &path, ret);
	/* Clients staple nothing. */
	if (!error && policy->role == TLS_CLIENT)
		error = tls_revocation_staple(policy, &path, staple, ret);
	if (anchor)
		gnutls_x509_crt_deinit(anchor);
	return error;
}

int tls_verify_peer(const struct tls_policy *policy, const struct tls_evidence *evidence,
		    struct tls_verdict *ret)
{
	struct judged judged = {.n = 0};
	int error = judged_import(&judged, evidence, ret);

	if (!error)
		error = check_chain(policy, &judged, ret);
	if (!error)
		error = check_name(judged.crts[0], evidence->identity, ret);
	if (!error)
		error = check_pins(policy, judged.crts[0], ret);
	if (!error)
		error = check_revocation(policy, &judged, evidence, ret);
	if (!error)
		ret->expires = gnutls_x509_crt_get_expiration_time(judged.crts[0]);
	judged_free(&judged);
	return error;
}
