/* Security of a connection as the configuration has it: the `security` group of a rule (RFC 9622 §6.3), as
 * plain data.  It belongs to the configuration, and is as immutable. */
#ifndef TAPS_CONF_SECURITY_H
#define TAPS_CONF_SECURITY_H

#include <stdbool.h>
#include <stdint.h>

/* allowedSecurityProtocols: bits.  Nothing older has one. */
enum security_protocol { SECURITY_TLS_1_2 = 1u << 0, SECURITY_TLS_1_3 = 1u << 1 };

/* What is done about OCSP staples (RFC 6066 §8, RFC 7633). */
enum security_ocsp { SECURITY_OCSP_CHECKED, SECURITY_OCSP_REQUIRED, SECURITY_OCSP_IGNORED };

/* Does a server ask for the client's certificate? */
enum security_client_auth { SECURITY_CLIENT_NONE, SECURITY_CLIENT_OPTIONAL, SECURITY_CLIENT_REQUIRED };

/* Where the bytes are encrypted: in the application's own calls, or in a relay process. */
enum security_data_path { SECURITY_DIRECT, SECURITY_RELAY };

struct security_texts {
	const char *const *item;
	unsigned n;
};

/* A certificate chain and its key.  Files are named by absolute paths, or by PKCS#11 URIs. */
struct security_certificate {
	const char *certificate; /* PEM, leaf first */
	const char *key;         /* NULL: in the same file */
	const char *staple;      /* OCSP response for the leaf, DER; or NULL */
};

struct security_certificates {
	const struct security_certificate *item;
	unsigned n;
};

/* A key that the peer must have: one of the two is set. */
struct security_pin {
	const char *sha256; /* of the SubjectPublicKeyInfo: 64 hexadecimal digits, or 44 letters of base64 */
	const char *file;   /* a certificate with the key */
};

struct security_pins {
	const struct security_pin *item;
	unsigned n;
};

struct security_psk {
	const char *identity;
	const char *key; /* a file with the key in hexadecimal */
};

struct security_psks {
	const struct security_psk *item;
	unsigned n;
};

/* Lists are empty, and texts NULL, where nothing is said.  Times are nanoseconds. */
struct security {
	const char *rule; /* "FILE:LINE" of the rule that secures */

	unsigned allowed_security_protocols; /* enum security_protocol */
	struct security_certificates server_certificate;
	struct security_certificates client_certificate;
	struct security_pins pinned_server_certificate;
	struct security_texts alpn;
	struct security_texts supported_group;
	struct security_texts ciphersuite;
	struct security_texts signature_algorithm;
	unsigned max_cached_sessions; /* 0: none is resumed */
	unsigned cached_session_lifetime_seconds;
	struct security_psks pre_shared_key;

	const char *trust; /* "system", or the absolute path of a file or a directory */
	const char *crl;
	enum security_ocsp ocsp;
	const char *peer_name; /* who the peer must be, instead of the name that was looked up */
	bool sni;
	const char *verifier; /* a command that must agree */
	int64_t verifier_timeout;
	bool insecure_no_verify;

	enum security_client_auth client_authentication;
	int64_t handshake_timeout;
	unsigned max_handshakes; /* unfinished ones of a listener */

	enum security_data_path data_path;
	bool keylog; /* SSLKEYLOGFILE may be followed */
};

#endif
