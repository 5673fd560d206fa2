/* Certificates made on the spot and two TLS sessions over memory, for the tests of the TLS module. */
#ifndef TAPS_TESTS_UNIT_TLS_FIXTURE_H
#define TAPS_TESTS_UNIT_TLS_FIXTURE_H

#include "core/tls_session.h"

#include <gnutls/x509.h>

/* --- certificates --- */

enum fixture_key { KEY_EC, KEY_EC2, KEY_RSA, KEY_RSA_WEAK, KEY_ED25519, KEY_KINDS };

/* What a certificate says.  Zero: an EC leaf, valid from yesterday for ten days, SHA-256, any purpose. */
struct fixture_spec {
	const char *cn;
	const char *dns[8];
	const char *ip[4];       /* text */
	const char *raw_dns;     /* a dNSName byte for byte, instead of the others */
	unsigned raw_dns_size;
	int from_hours, to_hours; /* from now; both 0: valid */
	bool ca;
	int path_len;            /* of a CA: N+1 for N, 0 for no limit */
	enum fixture_key key;
	int digest;              /* gnutls_digest_algorithm_t; 0: SHA-256 */
	const char *purpose[3];  /* OIDs */
	const char *permitted;   /* name constraint, dNSName */
	unsigned usage;          /* key usage; 0: fits */
	bool must_staple, critical_unknown, version1;
	unsigned serial;         /* 0: the next one */
};

struct fixture_cert {
	gnutls_x509_crt_t crt;
	gnutls_x509_privkey_t key; /* of the kind's one key, not to be freed */
};

/* Signed by `issuer`, or by itself.  Fails the test if it cannot be made. */
struct fixture_cert fixture_cert(const struct fixture_spec *spec, const struct fixture_cert *issuer);
gnutls_x509_privkey_t fixture_key(enum fixture_key kind);

/* DER of a certificate; freed at the end of the program. */
gnutls_datum_t fixture_der(const struct fixture_cert *cert);

/* A directory of this process's own, removed at exit; and a path in it, in static storage that stays. */
const char *fixture_path(const char *name);
/* Writes certificates (n of them) and, if `key` is set, that key, as PEM; returns the path. */
const char *fixture_write(const char *name, const struct fixture_cert *certs, unsigned n,
			  gnutls_x509_privkey_t key);
const char *fixture_write_text(const char *name, const void *text, size_t size);
/* A CRL by `issuer` with the revoked certificates, out of date if `hours` is negative. */
const char *fixture_write_crl(const char *name, const struct fixture_cert *issuer,
			      const struct fixture_cert *revoked, unsigned n, int hours);

/* The usual world: a CA in ca.pem, a server for server.example, a client. */
struct fixture_world {
	struct fixture_cert ca, server, client;
	const char *ca_file, *server_file, *client_file;
	struct tls_identity server_identity, client_identity;
	struct tls_options client_options, server_options;
};
void fixture_world(struct fixture_world *ret);

/* --- sessions --- */

struct tls_credentials *fixture_credentials(const struct tls_options *options);

/* Bytes under way in one direction. */
struct fixture_wire {
	uint8_t *data;
	size_t size, room;
};
void fixture_wire_put(struct fixture_wire *wire, const void *data, size_t size);
void fixture_wire_drop(struct fixture_wire *wire, size_t size);

struct fixture_pair {
	struct tls_session *client, *server;
	struct fixture_wire to_client, to_server;
	int client_result, server_result; /* of the handshake */
};

/* Sessions with these options; the credentials are the sessions' own. */
void fixture_pair_open(struct fixture_pair *pair, const struct tls_options *client,
		       const struct tls_options *server, const char *name, const struct tls_ticket *ticket);
/* The same from credentials that stay the caller's. */
void fixture_pair_with(struct fixture_pair *pair, struct tls_credentials *client,
		       struct tls_credentials *server, const char *name, const struct tls_ticket *ticket);
/* Runs the handshake, handing over at most `chunk` bytes at a time (0: all). */
void fixture_pair_shake(struct fixture_pair *pair, size_t chunk);
void fixture_pair_close(struct fixture_pair *pair);

/* Moves queued output of a session onto the wire. */
void fixture_flush(struct tls_session *session, struct fixture_wire *wire);
/* Seals everything onto the wire. */
void fixture_send(struct tls_session *session, struct fixture_wire *wire, const void *data, size_t size);
/* Receives up to `size` bytes from the wire; returns what tls_session_recv returned, or the count. */
ssize_t fixture_recv(struct tls_session *session, struct fixture_wire *wire, void *data, size_t size,
		     struct tls_received *ret);

#endif
