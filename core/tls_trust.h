/* Trusted authorities without loading them all.  Importing the system's 140 costs 10 ms and 4 MB; here
 * the bundle is only indexed by subject (well under a millisecond, two kilobytes), and a certificate is
 * imported when a chain names it.
 *
 * The verdict is that of the full list: GnuTLS looks trusted certificates up by the subjects and issuers
 * of the presented chain and by nothing else, and all certificates of those subjects are imported before
 * it verifies. */
#ifndef TAPS_CORE_TLS_TRUST_H
#define TAPS_CORE_TLS_TRUST_H

#include "core/tls_options.h"

#include <gnutls/x509.h>

struct tls_trust;

/* The authorities of a file, a directory or the system; those of the system are one object per process,
 * as long as its files stay the same.  Reads nothing yet but what is needed to say that the path is
 * right.  Returns 0 or -errno with the reason; the caller owns a reference.  Any thread. */
int tls_trust_new(struct tls_trust **ret, enum tls_trust_kind kind, const char *path,
		  struct tls_reason *reason);
struct tls_trust *tls_trust_ref(struct tls_trust *trust);
/* NULL is no-op. */
void tls_trust_unref(struct tls_trust *trust);

/* Where the system keeps its bundle, or NULL.  Static storage. */
const char *tls_trust_system_path(void);

/* The file or directory that stands behind it. */
const char *tls_trust_path(const struct tls_trust *trust);

/* gnutls_x509_trust_list_verify_crt2() of the chain for an extended key usage.  Returns 0 with
 * *ret_status, or -errno if the authorities cannot be read.  Any thread. */
int tls_trust_verify(struct tls_trust *trust, gnutls_x509_crt_t *chain, unsigned n, const char *purpose,
		     unsigned flags, unsigned *ret_status);
/* A copy of the trusted issuer of the certificate, which the caller deinitialises; NULL if there is none. */
gnutls_x509_crt_t tls_trust_issuer(struct tls_trust *trust, gnutls_x509_crt_t crt);

/* Certificates indexed and imported so far, for tests and traces. */
void tls_trust_count(struct tls_trust *trust, unsigned *ret_known, unsigned *ret_imported);

/* pthread_atfork(3) steps; the first waits for verifications under way. */
void tls_trust_fork_prepare(void);
void tls_trust_fork_parent(void);
void tls_trust_fork_child(void);

#endif
