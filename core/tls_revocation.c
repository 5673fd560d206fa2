/* Lists and staples are believed only when the issuer signed them and they are current; where the policy
 * asks for one, none is as bad as a revocation. */
#include "core/tls_revocation.h"

#include "core/tls_reason.h"

#include <errno.h>
#include <gnutls/ocsp.h>
#include <string.h>
#include <time.h>

#define CLOCK_SKEW 300              /* seconds that a responder's clock may be ahead */
#define STAPLE_AGE_MAX (7 * 86400)  /* of a response that does not say when the next one comes */
#define VERIFY_FLAGS GNUTLS_PROFILE_TO_VFLAGS(GNUTLS_PROFILE_MEDIUM)
#define SINGLES_MAX 64
#define FEATURE_STATUS_REQUEST 5    /* RFC 7633 */
#define ALERT_BAD_STATUS_RESPONSE 113 /* RFC 6066 §8; GnuTLS has no name for it */

static int refuse(struct tls_verdict *ret, int alert, const char *text)
{
	ret->alert = alert;
	return tls_reason_set(&ret->reason, -EPROTO, "%s", text);
}

static int bad_staple(struct tls_verdict *ret, const char *text)
{
	return refuse(ret, ALERT_BAD_STATUS_RESPONSE, text);
}

/* --- lists --- */

static bool same_name(int (*of_crl)(gnutls_x509_crl_t, gnutls_datum_t *), gnutls_x509_crl_t crl,
		      gnutls_x509_crt_t issuer)
{
	gnutls_datum_t a = {NULL, 0}, b = {NULL, 0};
	bool same = of_crl(crl, &a) == 0 && gnutls_x509_crt_get_raw_dn(issuer, &b) == 0 && a.size == b.size &&
		    memcmp(a.data, b.data, a.size) == 0;

	gnutls_free(a.data);
	gnutls_free(b.data);
	return same;
}

/* Time is looked at separately, for its own reason. */
static bool signed_by(gnutls_x509_crl_t crl, gnutls_x509_crt_t issuer)
{
	const unsigned time_faults = GNUTLS_CERT_REVOCATION_DATA_SUPERSEDED |
				     GNUTLS_CERT_REVOCATION_DATA_ISSUED_IN_FUTURE;
	unsigned status = GNUTLS_CERT_INVALID;

	if (gnutls_x509_crl_verify(crl, &issuer, 1, VERIFY_FLAGS, &status) < 0)
		return false;
	return !status || ((status & time_faults) && !(status & ~(time_faults | GNUTLS_CERT_INVALID)));
}

static bool current(gnutls_x509_crl_t crl, time_t now)
{
	time_t next = gnutls_x509_crl_get_next_update(crl);

	if (gnutls_x509_crl_get_this_update(crl) > now + CLOCK_SKEW)
		return false;
	return next == (time_t)-1 || now <= next;
}

static int check_lists_of(const struct tls_policy *policy, gnutls_x509_crt_t crt, gnutls_x509_crt_t issuer,
			  bool required, struct tls_verdict *ret)
{
	time_t now = time(NULL);
	bool expired = false, covered = false;

	for (unsigned i = 0; i < policy->n_crls; i++) {
		gnutls_x509_crl_t crl = policy->crls[i];

		if (!same_name(gnutls_x509_crl_get_raw_issuer_dn, crl, issuer) || !signed_by(crl, issuer))
			continue;
		/* A revocation stands even in a list that is out of date. */
		if (gnutls_x509_crt_check_revocation(crt, &crl, 1) != 0)
			return refuse(ret, GNUTLS_A_CERTIFICATE_REVOKED, "the certificate is revoked (CRL)");
		if (current(crl, now))
			covered = true;
		else
			expired = true;
	}
	if (covered || (!required && !expired))
		return 0;
	return refuse(ret, GNUTLS_A_BAD_CERTIFICATE,
		      expired ? "the issuer's revocation list is out of date"
			      : "there is no revocation list of the certificate's issuer");
}

int tls_revocation_lists(const struct tls_policy *policy, const struct tls_path *path,
			 struct tls_verdict *ret)
{
	if (!policy->n_crls)
		return 0;
	if (path->n < 2)
		return refuse(ret, GNUTLS_A_BAD_CERTIFICATE,
			      "there is no revocation list of the certificate's issuer");
	for (unsigned i = 0; i + 1 < path->n; i++) {
		int error = check_lists_of(policy, path->crts[i], path->crts[i + 1], i == 0, ret);

		if (error)
			return error;
	}
	return 0;
}

/* --- staples --- */

static bool must_staple(gnutls_x509_crt_t crt)
{
	gnutls_x509_tlsfeatures_t features;
	unsigned feature, critical;
	bool must = false;

	if (gnutls_x509_tlsfeatures_init(&features) < 0)
		return true;
	if (gnutls_x509_crt_get_tlsfeatures(crt, features, 0, &critical) == 0)
		for (unsigned i = 0; !must && gnutls_x509_tlsfeatures_get(features, i, &feature) == 0; i++)
			must = feature == FEATURE_STATUS_REQUEST;
	gnutls_x509_tlsfeatures_deinit(features);
	return must;
}

static int check_time(time_t made, time_t next, struct tls_verdict *ret)
{
	time_t now = time(NULL);

	if (made == (time_t)-1 || made > now + CLOCK_SKEW)
		return bad_staple(ret, "the OCSP staple is from the future");
	if (next == (time_t)-1 ? now - made > STAPLE_AGE_MAX : now > next)
		return bad_staple(ret, "the OCSP staple is out of date");
	return 0;
}

/* A response may speak of several certificates; returns which part is about this one, or -ENOENT. */
static int single_of(gnutls_ocsp_resp_t response, gnutls_x509_crt_t leaf)
{
	for (unsigned i = 0; i < SINGLES_MAX; i++) {
		int found = gnutls_ocsp_resp_check_crt(response, i, leaf);

		if (found == 0)
			return (int)i;
		if (found == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
			break;
	}
	return -ENOENT;
}

static int check_single(gnutls_ocsp_resp_t response, gnutls_x509_crt_t leaf, struct tls_verdict *ret)
{
	unsigned status;
	time_t made, next;
	int i = single_of(response, leaf);

	if (i < 0)
		return bad_staple(ret, "the OCSP staple is for another certificate");
	if (gnutls_ocsp_resp_get_single(response, (unsigned)i, NULL, NULL, NULL, NULL, &status, &made, &next,
					NULL, NULL) < 0)
		return bad_staple(ret, "the OCSP staple is malformed");
	if (status == GNUTLS_OCSP_CERT_REVOKED)
		return refuse(ret, GNUTLS_A_CERTIFICATE_REVOKED, "the certificate is revoked (OCSP staple)");
	if (status != GNUTLS_OCSP_CERT_GOOD)
		return bad_staple(ret, "the OCSP responder does not know the certificate");
	return check_time(made, next, ret);
}

static int check_response(gnutls_ocsp_resp_t response, const gnutls_datum_t *der, const struct tls_path *path,
			  struct tls_verdict *ret)
{
	unsigned status = GNUTLS_OCSP_VERIFY_SIGNER_NOT_FOUND;
	/* A self-signed leaf vouches for itself. */
	gnutls_x509_crt_t issuer = path->crts[path->n > 1 ? 1 : 0];

	if (gnutls_ocsp_resp_import(response, der) < 0)
		return bad_staple(ret, "the OCSP staple is malformed");
	if (gnutls_ocsp_resp_get_status(response) != GNUTLS_OCSP_RESP_SUCCESSFUL)
		return bad_staple(ret, "the OCSP staple is a responder's error message");
	if (gnutls_ocsp_resp_verify_direct(response, issuer, &status, VERIFY_FLAGS) < 0 || status != 0)
		return bad_staple(ret, "the OCSP staple is not signed by the certificate's issuer");
	return check_single(response, path->crts[0], ret);
}

int tls_revocation_staple(const struct tls_policy *policy, const struct tls_path *path,
			  const gnutls_datum_t *staple, struct tls_verdict *ret)
{
	gnutls_ocsp_resp_t response;
	int error;

	if (policy->staple == TLS_STAPLE_IGNORED)
		return 0;
	if (!staple || !staple->size) {
		if (policy->staple == TLS_STAPLE_REQUIRED)
			return bad_staple(ret, "the server sent no OCSP staple, and the policy requires one");
		if (must_staple(path->crts[0]))
			return bad_staple(ret,
					  "the server sent no OCSP staple, and its certificate requires one");
		return 0;
	}
	if (gnutls_ocsp_resp_init(&response) < 0)
		return -ENOMEM;
	error = check_response(response, staple, path, ret);
	gnutls_ocsp_resp_deinit(response);
	return error;
}
