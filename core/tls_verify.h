/* Is this peer the one that the policy means?  Chain, validity, purpose, name, pins, revocation:
 * everything is always checked, and the first thing found wrong is the verdict (RFC 5280 §6, RFC 9525,
 * RFC 6960, RFC 7469 §2.4). */
#ifndef TAPS_CORE_TLS_VERIFY_H
#define TAPS_CORE_TLS_VERIFY_H

#include "core/tls_options.h"
#include "core/tls_trust.h"

#include <gnutls/gnutls.h>

#define TLS_PIN_SIZE 32

/* What verification goes by; belongs to the credentials, immutable. */
struct tls_policy {
	enum tls_role role;      /* our own */
	struct tls_trust *trust;
	enum tls_staple staple;
	gnutls_x509_crl_t *crls;
	unsigned n_crls;
	uint8_t (*pins)[TLS_PIN_SIZE];
	unsigned n_pins;
};

/* What the peer showed. */
struct tls_evidence {
	const gnutls_datum_t *chain; /* DER, leaf first */
	unsigned n;
	const gnutls_datum_t *staples; /* n OCSP responses, empty where there is none; or NULL */
	const char *identity;          /* normalised name or address; NULL for clients, which have none */
};

struct tls_verdict {
	int64_t expires; /* of an accepted leaf: seconds since the epoch */
	int alert; /* gnutls_alert_description_t: what to tell the peer */
	struct tls_reason reason;
};

/* Returns 0 if the peer is accepted, -EPROTO with the verdict if not, or -errno if it could
 * not be checked.  Any thread. */
int tls_verify_peer(const struct tls_policy *policy, const struct tls_evidence *evidence,
		    struct tls_verdict *ret);

/* The SHA-256 of the SubjectPublicKeyInfo.  Returns 0 or -EINVAL. */
int tls_verify_pin(gnutls_x509_crt_t crt, uint8_t ret[TLS_PIN_SIZE]);

#endif
