/* Certificates made on the spot and two TLS sessions over memory. */
#include "tests/unit/tls_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <ftw.h>
#include <gnutls/x509-ext.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define HOUR 3600

static void must(int code)
{
	if (code < 0)
		print_error("GnuTLS: %s\n", gnutls_strerror(code));
	assert_true(code >= 0);
}

/* What lives as long as the program stays reachable, for the leak checker's sake. */
static void *keep(void *memory)
{
	static void **kept;
	static size_t n;

	kept = realloc(kept, (n + 1) * sizeof(*kept));
	assert_non_null(kept);
	kept[n++] = memory;
	return memory;
}

/* --- files --- */

static char directory[64];

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void remove_directory(void)
{
	nftw(directory, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

const char *fixture_path(const char *name)
{
	char *path;

	if (!directory[0]) {
		strcpy(directory, "/tmp/taps-unit-tls-XXXXXX");
		assert_non_null(mkdtemp(directory));
		atexit(remove_directory);
	}
	assert_true(asprintf(&path, "%s/%s", directory, name) > 0);
	return keep(path);
}

const char *fixture_write_text(const char *name, const void *text, size_t size)
{
	const char *path = fixture_path(name);
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, size, file), size);
	assert_int_equal(fclose(file), 0);
	return path;
}

const char *fixture_write(const char *name, const struct fixture_cert *certs, unsigned n,
			  gnutls_x509_privkey_t key)
{
	const char *path = fixture_path(name);
	FILE *file = fopen(path, "w");
	gnutls_datum_t pem;

	assert_non_null(file);
	for (unsigned i = 0; i < n; i++) {
		must(gnutls_x509_crt_export2(certs[i].crt, GNUTLS_X509_FMT_PEM, &pem));
		fwrite(pem.data, 1, pem.size, file);
		gnutls_free(pem.data);
	}
	if (key) {
		must(gnutls_x509_privkey_export2_pkcs8(key, GNUTLS_X509_FMT_PEM, NULL, GNUTLS_PKCS_PLAIN,
						       &pem));
		fwrite(pem.data, 1, pem.size, file);
		gnutls_free(pem.data);
	}
	assert_int_equal(fclose(file), 0);
	return path;
}

/* --- certificates --- */

gnutls_x509_privkey_t fixture_key(enum fixture_key kind)
{
	static const struct {
		gnutls_pk_algorithm_t algorithm;
		unsigned bits;
	} kinds[KEY_KINDS] = {
		[KEY_EC] = {GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1)},
		[KEY_EC2] = {GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1)},
		[KEY_RSA] = {GNUTLS_PK_RSA, 2048},
		[KEY_RSA_WEAK] = {GNUTLS_PK_RSA, 1024},
		[KEY_ED25519] = {GNUTLS_PK_EDDSA_ED25519, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_ED25519)},
	};
	static gnutls_x509_privkey_t keys[KEY_KINDS];

	if (!keys[kind]) {
		must(gnutls_x509_privkey_init(&keys[kind]));
		must(gnutls_x509_privkey_generate(keys[kind], kinds[kind].algorithm, kinds[kind].bits, 0));
	}
	return keys[kind];
}

static void set_names(gnutls_x509_crt_t crt, const struct fixture_spec *spec)
{
	for (int i = 0; i < 8 && spec->dns[i]; i++)
		must(gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_DNSNAME, spec->dns[i],
							  (unsigned)strlen(spec->dns[i]),
							  GNUTLS_FSAN_APPEND));
	for (int i = 0; i < 4 && spec->ip[i]; i++) {
		uint8_t address[16];
		unsigned size = strchr(spec->ip[i], ':') ? 16 : 4;

		assert_int_equal(inet_pton(size == 16 ? AF_INET6 : AF_INET, spec->ip[i], address), 1);
		must(gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_IPADDRESS, address, size,
							  GNUTLS_FSAN_APPEND));
	}
}

/* GeneralNames ::= SEQUENCE { [2] IA5String } (RFC 5280 §4.2.1.6), past GnuTLS' own checks. */
static void set_raw_name(gnutls_x509_crt_t crt, const struct fixture_spec *spec)
{
	uint8_t der[128] = {0x30, (uint8_t)(spec->raw_dns_size + 2), 0x82, (uint8_t)spec->raw_dns_size};

	assert_true(spec->raw_dns_size < 120);
	memcpy(der + 4, spec->raw_dns, spec->raw_dns_size);
	must(gnutls_x509_crt_set_extension_by_oid(crt, GNUTLS_X509EXT_OID_SAN, der, spec->raw_dns_size + 4,
						  0));
}

static void set_constraints(gnutls_x509_crt_t crt, const struct fixture_spec *spec)
{
	gnutls_x509_name_constraints_t constraints;
	gnutls_datum_t name = {(unsigned char *)spec->permitted, 0};

	if (spec->ca)
		must(gnutls_x509_crt_set_basic_constraints(crt, 1, spec->path_len - 1));
	if (!spec->permitted)
		return;
	name.size = (unsigned)strlen(spec->permitted);
	must(gnutls_x509_name_constraints_init(&constraints));
	must(gnutls_x509_name_constraints_add_permitted(constraints, GNUTLS_SAN_DNSNAME, &name));
	must(gnutls_x509_crt_set_name_constraints(crt, constraints, 1));
	gnutls_x509_name_constraints_deinit(constraints);
}

static void set_features(gnutls_x509_crt_t crt, const struct fixture_spec *spec)
{
	gnutls_x509_tlsfeatures_t features;

	if (spec->critical_unknown)
		must(gnutls_x509_crt_set_extension_by_oid(crt, "1.3.6.1.4.1.99999.1", "\x05\x00", 2, 1));
	if (!spec->must_staple)
		return;
	must(gnutls_x509_tlsfeatures_init(&features));
	must(gnutls_x509_tlsfeatures_add(features, 5));
	must(gnutls_x509_crt_set_tlsfeatures(crt, features));
	gnutls_x509_tlsfeatures_deinit(features);
}

static void set_usage(gnutls_x509_crt_t crt, const struct fixture_spec *spec)
{
	unsigned usage =
		spec->ca ? GNUTLS_KEY_KEY_CERT_SIGN | GNUTLS_KEY_CRL_SIGN : GNUTLS_KEY_DIGITAL_SIGNATURE;

	must(gnutls_x509_crt_set_key_usage(crt, spec->usage ? spec->usage : usage));
	for (int i = 0; i < 3 && spec->purpose[i]; i++)
		must(gnutls_x509_crt_set_key_purpose_oid(crt, spec->purpose[i], 0));
}

static void set_identifiers(gnutls_x509_crt_t crt, gnutls_x509_crt_t issuer)
{
	uint8_t id[64];
	size_t size = sizeof(id);

	must(gnutls_x509_crt_get_key_id(crt, 0, id, &size));
	must(gnutls_x509_crt_set_subject_key_id(crt, id, size));
	size = sizeof(id);
	must(gnutls_x509_crt_get_key_id(issuer, 0, id, &size));
	must(gnutls_x509_crt_set_authority_key_id(crt, id, size));
}

/* GnuTLS compares names only of certificates that were parsed. */
static gnutls_x509_crt_t import_again(gnutls_x509_crt_t made)
{
	gnutls_x509_crt_t crt;
	gnutls_datum_t der;

	must(gnutls_x509_crt_export2(made, GNUTLS_X509_FMT_DER, &der));
	must(gnutls_x509_crt_init(&crt));
	must(gnutls_x509_crt_import(crt, &der, GNUTLS_X509_FMT_DER));
	gnutls_free(der.data);
	gnutls_x509_crt_deinit(made);
	return keep(crt);
}

struct fixture_cert fixture_cert(const struct fixture_spec *spec, const struct fixture_cert *issuer)
{
	static unsigned next_serial = 0x1000;
	struct fixture_cert cert = {.key = fixture_key(spec->key)};
	const struct fixture_cert *signer = issuer ? issuer : &cert;
	bool always = !spec->from_hours && !spec->to_hours;
	uint32_t serial = htonl(spec->serial ? spec->serial : next_serial++);
	gnutls_digest_algorithm_t digest =
		spec->digest ? (gnutls_digest_algorithm_t)spec->digest : GNUTLS_DIG_SHA256;
	time_t now = time(NULL);

	must(gnutls_x509_crt_init(&cert.crt));
	must(gnutls_x509_crt_set_version(cert.crt, spec->version1 ? 1 : 3));
	must(gnutls_x509_crt_set_key(cert.crt, cert.key));
	must(gnutls_x509_crt_set_serial(cert.crt, &serial, sizeof(serial)));
	must(gnutls_x509_crt_set_activation_time(cert.crt, now + (always ? -24 : spec->from_hours) * HOUR));
	must(gnutls_x509_crt_set_expiration_time(cert.crt, now + (always ? 240 : spec->to_hours) * HOUR));
	if (spec->cn)
		must(gnutls_x509_crt_set_dn_by_oid(cert.crt, GNUTLS_OID_X520_COMMON_NAME, 0, spec->cn,
						   (unsigned)strlen(spec->cn)));
	if (!spec->version1) {
		if (spec->raw_dns)
			set_raw_name(cert.crt, spec);
		else
			set_names(cert.crt, spec);
		set_constraints(cert.crt, spec);
		set_features(cert.crt, spec);
		set_usage(cert.crt, spec);
		set_identifiers(cert.crt, signer->crt);
	}
	must(gnutls_x509_crt_sign2(cert.crt, signer->crt, signer->key, digest, 0));
	cert.crt = import_again(cert.crt);
	return cert;
}

gnutls_datum_t fixture_der(const struct fixture_cert *cert)
{
	gnutls_datum_t der;

	must(gnutls_x509_crt_export2(cert->crt, GNUTLS_X509_FMT_DER, &der));
	keep(der.data);
	return der;
}

const char *fixture_write_crl(const char *name, const struct fixture_cert *issuer,
			      const struct fixture_cert *revoked, unsigned n, int hours)
{
	gnutls_x509_crl_t crl;
	gnutls_datum_t pem;
	time_t now = time(NULL);
	const char *path;

	must(gnutls_x509_crl_init(&crl));
	must(gnutls_x509_crl_set_version(crl, 2));
	must(gnutls_x509_crl_set_this_update(crl, now - 48 * HOUR));
	must(gnutls_x509_crl_set_next_update(crl, now + hours * HOUR));
	must(gnutls_x509_crl_set_number(crl, "\x01", 1));
	for (unsigned i = 0; i < n; i++)
		must(gnutls_x509_crl_set_crt(crl, revoked[i].crt, now - 48 * HOUR));
	must(gnutls_x509_crl_sign2(crl, issuer->crt, issuer->key, GNUTLS_DIG_SHA256, 0));
	must(gnutls_x509_crl_export2(crl, GNUTLS_X509_FMT_PEM, &pem));
	path = fixture_write_text(name, pem.data, pem.size);
	gnutls_free(pem.data);
	gnutls_x509_crl_deinit(crl);
	return path;
}

void fixture_world(struct fixture_world *ret)
{
	struct fixture_world world = {
		.ca = fixture_cert(&(struct fixture_spec){.cn = "Unit CA", .ca = true}, NULL),
		.client_options = TLS_OPTIONS_INIT(TLS_CLIENT),
		.server_options = TLS_OPTIONS_INIT(TLS_SERVER),
	};

	world.server = fixture_cert(&(struct fixture_spec){.cn = "server",
							   .key = KEY_EC2,
							   .dns = {"server.example"},
							   .ip = {"192.0.2.1", "2001:db8::1"},
							   .purpose = {GNUTLS_KP_TLS_WWW_SERVER}},
				    &world.ca);
	world.client = fixture_cert(&(struct fixture_spec){.cn = "client",
							   .key = KEY_EC2,
							   .purpose = {GNUTLS_KP_TLS_WWW_CLIENT}},
				    &world.ca);
	world.ca_file = fixture_write("ca.pem", &world.ca, 1, NULL);
	world.server_file = fixture_write("server.pem", &world.server, 1, world.server.key);
	world.client_file = fixture_write("client.pem", &world.client, 1, world.client.key);
	*ret = world;
	ret->server_identity.chain = ret->server_file;
	ret->client_identity.chain = ret->client_file;
	ret->client_options.trust = ret->server_options.trust = TLS_TRUST_FILE;
	ret->client_options.trust_path = ret->server_options.trust_path = ret->ca_file;
	ret->server_options.certificates = &ret->server_identity;
	ret->server_options.n_certificates = 1;
}

/* --- sessions --- */

void fixture_wire_put(struct fixture_wire *wire, const void *data, size_t size)
{
	if (wire->room - wire->size < size) {
		wire->room = (wire->size + size) * 2;
		wire->data = realloc(wire->data, wire->room);
		assert_non_null(wire->data);
	}
	if (size)
		memcpy(wire->data + wire->size, data, size);
	wire->size += size;
}

void fixture_wire_drop(struct fixture_wire *wire, size_t size)
{
	assert_true(size <= wire->size);
	wire->size -= size;
	if (wire->size)
		memmove(wire->data, wire->data + size, wire->size);
}

struct tls_credentials *fixture_credentials(const struct tls_options *options)
{
	struct tls_credentials *credentials;
	struct tls_reason reason;

	if (tls_credentials_new(&credentials, options, &reason) < 0)
		fail_msg("credentials: %s", reason.text);
	return credentials;
}

void fixture_pair_with(struct fixture_pair *pair, struct tls_credentials *client,
		       struct tls_credentials *server, const char *name, const struct tls_ticket *ticket)
{
	struct tls_peer peer = {.name = name};
	struct tls_reason reason;

	*pair = (struct fixture_pair){.client_result = TLS_WANT_INPUT, .server_result = TLS_WANT_INPUT};
	if (tls_session_new(&pair->client, client, &peer, ticket, &reason) < 0)
		fail_msg("client: %s", reason.text);
	if (tls_session_new(&pair->server, server, NULL, NULL, &reason) < 0)
		fail_msg("server: %s", reason.text);
}

void fixture_pair_open(struct fixture_pair *pair, const struct tls_options *client,
		       const struct tls_options *server, const char *name, const struct tls_ticket *ticket)
{
	struct tls_credentials *c = fixture_credentials(client), *s = fixture_credentials(server);

	fixture_pair_with(pair, c, s, name, ticket);
	tls_credentials_unref(c);
	tls_credentials_unref(s);
}

void fixture_flush(struct tls_session *session, struct fixture_wire *wire)
{
	uint8_t buf[1000];
	size_t n;

	while ((n = tls_session_take_output(session, buf, sizeof(buf))))
		fixture_wire_put(wire, buf, n);
	assert_int_equal(tls_session_output_size(session), 0);
}

static int side(struct tls_session *session, struct fixture_wire *in, struct fixture_wire *out,
		size_t chunk)
{
	int result;

	do {
		size_t len = chunk && chunk < in->size ? chunk : in->size, consumed;
		/* A copy of the exact size lets the sanitizer see a byte too many. */
		uint8_t *bytes = malloc(len ? len : 1);

		if (len)
			memcpy(bytes, in->data, len);
		result = tls_session_handshake(session, bytes, len, &consumed);
		free(bytes);
		fixture_wire_drop(in, consumed);
		fixture_flush(session, out);
		if (!consumed)
			break;
	} while (result == TLS_WANT_INPUT && in->size);
	return result;
}

void fixture_pair_shake(struct fixture_pair *pair, size_t chunk)
{
	for (int i = 0; i < 20; i++) {
		if (pair->client_result == TLS_WANT_INPUT)
			pair->client_result = side(pair->client, &pair->to_client, &pair->to_server, chunk);
		if (pair->server_result == TLS_WANT_INPUT)
			pair->server_result = side(pair->server, &pair->to_server, &pair->to_client, chunk);
		if (pair->client_result != TLS_WANT_INPUT && pair->server_result != TLS_WANT_INPUT)
			break;
	}
}

void fixture_pair_close(struct fixture_pair *pair)
{
	tls_session_free(pair->client);
	tls_session_free(pair->server);
	free(pair->to_client.data);
	free(pair->to_server.data);
	*pair = (struct fixture_pair){.client = NULL};
}

void fixture_send(struct tls_session *session, struct fixture_wire *wire, const void *data, size_t size)
{
	size_t done = 0;

	while (done < size) {
		struct iovec iov = {(char *)data + done, size - done};
		size_t cap = tls_session_sealed_size(session, iov.iov_len), out;
		uint8_t *room = malloc(cap);
		ssize_t n = tls_session_seal(session, &iov, 1, room, cap, &out);

		assert_true(n > 0);
		assert_true(out <= cap);
		fixture_wire_put(wire, room, out);
		free(room);
		done += (size_t)n;
	}
}

ssize_t fixture_recv(struct tls_session *session, struct fixture_wire *wire, void *data, size_t size,
		     struct tls_received *ret)
{
	struct iovec iov = {data, size};
	int error = tls_session_recv(session, wire->data, wire->size, &iov, 1, 0, ret);

	fixture_wire_drop(wire, ret->consumed);
	return error ? error : (ssize_t)ret->bytes;
}
