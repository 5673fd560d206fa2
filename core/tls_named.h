/* Several certificates of a server, chosen by the name that the client asks for (RFC 6066 §3).  GnuTLS
 * 3.7 looks for the literal name only, so a wildcard certificate would never be found. */
#ifndef TAPS_CORE_TLS_NAMED_H
#define TAPS_CORE_TLS_NAMED_H

#include "core/tls_private.h"

/* Certificates that hold the same names, such as an RSA and an ECDSA one. */
struct tls_named {
	gnutls_certificate_credentials_t certificates;
	char **patterns; /* dNSNames */
	unsigned n;
};

/* The set with exactly the names of this certificate, made if need be; NULL if memory is short. */
struct tls_named *tls_named_for(struct tls_credentials *credentials, gnutls_x509_crt_t leaf);
void tls_named_free(struct tls_credentials *credentials);

/* Lets the session choose: the literal name first, then a wildcard, else all certificates as they stand. */
void tls_named_attach(struct tls_session *session);

#endif
