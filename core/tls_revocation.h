/* Has the issuer taken a certificate back?  Revocation lists (RFC 5280 §5) and OCSP staples (RFC 6960). */
#ifndef TAPS_CORE_TLS_REVOCATION_H
#define TAPS_CORE_TLS_REVOCATION_H

#include "core/tls_verify.h"

/* A verified path: each certificate's issuer follows it. */
struct tls_path {
	gnutls_x509_crt_t *crts;
	unsigned n;
};

/* Checks every certificate of the path whose issuer follows in it against the lists.  The leaf's issuer must
 * have a current list; others may.  Without lists: accepted.  Returns 0 or -EPROTO with the verdict. */
int tls_revocation_lists(const struct tls_policy *policy, const struct tls_path *path,
			 struct tls_verdict *ret);

/* Checks the staple of the leaf by the policy; an empty one is a missing one.  Returns 0 or -EPROTO with the
 * verdict. */
int tls_revocation_staple(const struct tls_policy *policy, const struct tls_path *path,
			  const gnutls_datum_t *staple, struct tls_verdict *ret);

#endif
