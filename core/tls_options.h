/* What the configuration says about TLS, as plain data (RFC 9622 §6.3.1).  The configuration fills it,
 * core/tls_credentials.c makes GnuTLS objects of it.  Nothing here knows libconfig or GnuTLS. */
#ifndef TAPS_CORE_TLS_OPTIONS_H
#define TAPS_CORE_TLS_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum tls_role { TLS_CLIENT, TLS_SERVER };

/* allowedSecurityProtocols: bits.  Nothing older than TLS 1.2 has a bit. */
enum tls_version_bit {
	TLS_VERSION_1_2 = 1u << 0,
	TLS_VERSION_1_3 = 1u << 1,
};

/* Which authorities are trusted. */
enum tls_trust_kind {
	TLS_TRUST_SYSTEM,    /* the system's bundle; for a server that asks for client certificates: none */
	TLS_TRUST_FILE,      /* a file of certificates, PEM or one in DER */
	TLS_TRUST_DIRECTORY, /* every such file in a directory, not recursive */
};

/* What is done about OCSP staples (RFC 6066 §8, RFC 7633). */
enum tls_staple {
	TLS_STAPLE_CHECKED,  /* a staple must say "good"; a must-staple certificate needs one */
	TLS_STAPLE_REQUIRED, /* no staple, no connection */
	TLS_STAPLE_IGNORED,
};

/* Does a server ask for the client's certificate? */
enum tls_client_auth { TLS_CLIENT_AUTH_NONE, TLS_CLIENT_AUTH_OPTIONAL, TLS_CLIENT_AUTH_REQUIRED };

/* serverCertificate, clientCertificate: one certificate chain with its key. */
struct tls_identity {
	const char *chain;  /* PEM file, leaf first, or a PKCS#11 URI */
	const char *key;    /* PEM file or PKCS#11 URI; NULL: in the same file */
	const char *staple; /* server: DER file with an OCSP response for the leaf, or NULL */
};

/* preSharedKey (RFC 8446 §2.2). */
struct tls_psk {
	const char *identity;
	const char *key; /* hexadecimal */
};

/* A list of strings; the strings belong to the configuration. */
struct tls_list {
	const char *const *items;
	size_t n;
};

/* One `security` group.  Everything it points to must stay as it is for as long as credentials made
 * from it are referenced.  Zero is the default of every field but those that TLS_OPTIONS_INIT sets. */
struct tls_options {
	enum tls_role role;
	unsigned allowed_security_protocols; /* enum tls_version_bit */

	const struct tls_identity *certificates; /* serverCertificate or clientCertificate, by role */
	size_t n_certificates;
	const struct tls_psk *psks; /* preSharedKey: replaces certificates, never accompanies them */
	size_t n_psks;

	enum tls_trust_kind trust;
	const char *trust_path;
	const char *crl_file;         /* PEM; then the leaf's issuer must be covered by a current CRL */
	enum tls_staple staple;
	struct tls_list pins;         /* pinnedServerCertificate: SHA-256 of the leaf's SubjectPublicKeyInfo,
				       * base64 or hexadecimal, with or without "sha256/" */
	const char *verifier;         /* command that must agree, run by /bin/sh, or NULL */
	unsigned verifier_timeout_ms;
	bool insecure_no_verify;      /* insecureNoVerify */

	struct tls_list alpn;
	struct tls_list supported_group;     /* IANA names; empty: x25519, secp256r1, secp384r1, … */
	struct tls_list ciphersuite;         /* IANA names; empty: AEAD suites, AES-GCM first */
	struct tls_list signature_algorithm; /* IANA names; empty: GnuTLS' secure ones */

	const char *peer_name; /* the reference identity instead of the name that was looked up */
	const char *sni_name;  /* the name sent instead of the peer's */
	bool sni_off;

	enum tls_client_auth client_auth;
	unsigned max_cached_sessions;             /* maxCachedSessions; 0: no resumption */
	unsigned cached_session_lifetime_seconds; /* cachedSessionLifetimeSeconds; 7 days at most */
	uint32_t early_data_max; /* bytes of replayable data (safelyReplayable); 0: none */
	bool keylog;             /* SSLKEYLOGFILE is honoured */
};

#define TLS_OPTIONS_INIT(r) \
	{ \
		.role = (r), \
		.allowed_security_protocols = TLS_VERSION_1_3, \
		.verifier_timeout_ms = 5000, \
		.max_cached_sessions = 64, \
		.cached_session_lifetime_seconds = 86400, \
	}

/* Why something was refused: one line, without the peer's name and without the rule. */
struct tls_reason {
	char text[256];
};

#endif
