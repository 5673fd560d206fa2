/* What all sessions of one rule share: own certificates, trust, revocation lists, pins, priorities, ticket
 * key.  Made once from struct tls_options, immutable, reference counted; changed files make a new one. */
#ifndef TAPS_CORE_TLS_CREDENTIALS_H
#define TAPS_CORE_TLS_CREDENTIALS_H

#include "core/tls_options.h"

struct tls_credentials;

/* Loads everything that the options name (files, PKCS#11 objects); the trusted authorities only on first use.
 * Refuses what cannot work later: unreadable files, a key that does not fit, a certificate whose extended key
 * usage forbids the role, unknown algorithm names, a server with neither certificate nor key.
 * `options` and what it points to must outlive the credentials.  The caller owns one reference to *ret.
 * Returns 0 or -errno, with the reason.  Reads files; does not block otherwise (PKCS#11 modules may). */
int tls_credentials_new(struct tls_credentials **ret, const struct tls_options *options,
			struct tls_reason *reason);
/* Any thread. */
struct tls_credentials *tls_credentials_ref(struct tls_credentials *credentials);
void tls_credentials_unref(struct tls_credentials *credentials);

const struct tls_options *tls_credentials_options(const struct tls_credentials *credentials);
/* TLS_POLICY_SIZE bytes that differ when anything differs that decides whether a peer is accepted: options
 * and the identity of the files they name. */
const uint8_t *tls_credentials_policy(const struct tls_credentials *credentials);

/* Makes *credentials anew when a file it was made from has changed (device, inode, size, times), at most once
 * a second (`now` in ns, monotonic); the old reference is dropped, sessions keep theirs.
 * Returns 1 after a change, 0 without, or -errno with the reason: the old ones stay in place.  The caller
 * guards *credentials against other threads. */
int tls_credentials_refresh(struct tls_credentials **credentials, int64_t now, struct tls_reason *reason);

#endif
