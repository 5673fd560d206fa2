/* Names of the registries (IANA "TLS Parameters") to what GnuTLS calls them.  Pure. */
#ifndef TAPS_CORE_TLS_PRIORITY_H
#define TAPS_CORE_TLS_PRIORITY_H

#include "core/tls_options.h"

#define TLS_PRIORITY_MAX 1024

/* Writes GnuTLS' priority string for the options: exactly the versions allowed, forward secrecy and AEAD
 * only, nothing signed with SHA-1, the lists in their order.  Returns 0, or -EINVAL with the reason for
 * an unknown name, for no version, or for a list that leaves a version without cipher suite. */
int tls_priority_string(const struct tls_options *options, char ret[TLS_PRIORITY_MAX],
			struct tls_reason *reason);

/* GnuTLS enables TLS 1.2 suites as a product of ciphers and key exchanges: is the negotiated one, by the name
 * that gnutls_ciphersuite_get() has for it, really in the list?  Every suite is in an empty list. */
bool tls_priority_allows(const struct tls_list *ciphersuite, const char *negotiated);

#endif
