/* Own certificates and keys of the credentials under construction. */
#ifndef TAPS_CORE_TLS_IDENTITY_H
#define TAPS_CORE_TLS_IDENTITY_H

#include "core/tls_credentials.h"

/* Loads the options' certificates with their keys and staples.  Returns 0 or -errno with the reason. */
int tls_identity_load(struct tls_credentials *credentials, struct tls_reason *reason);
/* The same for preSharedKey. */
int tls_identity_load_psks(struct tls_credentials *credentials, struct tls_reason *reason);

#endif
