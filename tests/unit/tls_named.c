/* Which of several certificates a server shows to whom. */
#include "core/tls_named.h"
#include "tests/unit/tls_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

static struct fixture_world world;
static struct tls_identity identities[5];
static struct tls_credentials *server;

static void add(int i, const char *file, const struct fixture_spec *spec)
{
	struct fixture_cert leaf = fixture_cert(spec, &world.ca);

	identities[i].chain = fixture_write(file, &leaf, 1, leaf.key);
}

static int setup(void **state)
{
	(void)state;
	fixture_world(&world);
	add(0, "0.pem", &(struct fixture_spec){.cn = "first", .dns = {"a.example", "b.example"}});
	add(1, "1.pem", &(struct fixture_spec){.cn = "wild", .dns = {"*.wild.example"}, .key = KEY_EC2});
	add(2, "2.pem",
	    &(struct fixture_spec){.cn = "literal", .dns = {"www.wild.example"}, .key = KEY_EC2});
	add(3, "3.pem", &(struct fixture_spec){.cn = "both-ec", .dns = {"Both.example"}, .key = KEY_EC2});
	add(4, "4.pem", &(struct fixture_spec){.cn = "both-rsa", .dns = {"Both.example"}, .key = KEY_RSA});
	world.server_options.certificates = identities;
	world.server_options.n_certificates = 5;
	server = fixture_credentials(&world.server_options);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	tls_credentials_unref(server);
	return 0;
}

/* The common name of what is shown to a client that looks for `name` and offers the signatures. */
static void shown(const char *name, const char *const *signatures, size_t n, bool sni, const char *expected)
{
	struct tls_options options = world.client_options;
	struct tls_credentials *client;
	struct fixture_pair pair;
	struct tls_facts facts;
	char text[80] = "";

	options.signature_algorithm = (struct tls_list){signatures, n};
	options.insecure_no_verify = true;
	options.sni_off = !sni;
	client = fixture_credentials(&options);
	fixture_pair_with(&pair, client, server, name, NULL);
	fixture_pair_shake(&pair, 0);
	assert_int_equal(pair.client_result, TLS_DONE);
	gnutls_x509_crt_t crt;
	unsigned count;
	size_t size = sizeof(text);
	const gnutls_datum_t *chain = gnutls_certificate_get_peers(pair.client->tls, &count);

	gnutls_x509_crt_init(&crt);
	gnutls_x509_crt_import(crt, chain, GNUTLS_X509_FMT_DER);
	gnutls_x509_crt_get_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, 0, text, &size);
	gnutls_x509_crt_deinit(crt);
	assert_string_equal(text, expected);
	tls_session_facts(pair.server, &facts);
	assert_int_equal(facts.server_name[0] != '\0', sni);
	fixture_pair_close(&pair);
	tls_credentials_unref(client);
}

static void by_name(void **state)
{
	static const char *const rsa[] = {"rsa_pss_rsae_sha256"}, *const ecdsa[] = {
									  "ecdsa_secp256r1_sha256"};

	(void)state;
	assert_int_equal(server->n_named, 4);
	shown("a.example", NULL, 0, true, "first");
	shown("b.example", NULL, 0, true, "first");
	shown("x.wild.example", NULL, 0, true, "wild");
	shown("www.wild.example", NULL, 0, true, "literal");
	shown("both.example", ecdsa, 1, true, "both-ec");
	shown("BOTH.example", rsa, 1, true, "both-rsa");
}

/* Better any certificate than none: the client judges it. */
static void by_nothing(void **state)
{
	static const char *const rsa[] = {"rsa_pss_rsae_sha256"};

	(void)state;
	shown("unknown.example", NULL, 0, true, "first");
	shown("a.example", NULL, 0, false, "first");
	shown("unknown.example", rsa, 1, true, "both-rsa");
}

static void one_needs_no_choice(void **state)
{
	struct tls_options one = world.server_options;
	struct tls_credentials *credentials;

	(void)state;
	one.n_certificates = 1;
	credentials = fixture_credentials(&one);
	assert_int_equal(credentials->n_named, 0);
	tls_credentials_unref(credentials);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(by_name),
		cmocka_unit_test(by_nothing),
		cmocka_unit_test(one_needs_no_choice),
	};

	return cmocka_run_group_tests_name("tls_named", tests, setup, teardown);
}
