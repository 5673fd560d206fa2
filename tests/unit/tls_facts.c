#include "tests/unit/tls_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

static struct fixture_world world;

static int setup(void **state)
{
	(void)state;
	fixture_world(&world);
	return 0;
}

/* trace_hear: the context is what the peer's subject must be. */
static void hear(void *context, const struct trace_arg *facts, unsigned n)
{
	unsigned i, found = 0;

	for (i = 0; i < n; i++) {
		if (!strcmp(facts[i].name, "protocol"))
			assert_string_equal(facts[i].text, "TLS1.3");
		if (!strcmp(facts[i].name, "peerSubject"))
			assert_string_equal(facts[i].text, (const char *)context);
		found += !strcmp(facts[i].name, "protocol") || !strcmp(facts[i].name, "peerSubject");
	}
	assert_int_equal(found, 2);
}

static void both_sides(void **state)
{
	static const char *const h2[] = {"h2"};
	struct tls_options client = world.client_options, server = world.server_options;
	struct fixture_pair pair;
	struct tls_facts facts;

	(void)state;
	client.alpn = server.alpn = (struct tls_list){h2, 1};
	client.certificates = &world.client_identity;
	client.n_certificates = 1;
	server.client_auth = TLS_CLIENT_AUTH_REQUIRED;
	fixture_pair_open(&pair, &client, &server, "Server.Example", NULL);
	tls_session_facts(pair.client, &facts);
	assert_string_equal(facts.identity, "server.example");
	assert_string_equal(facts.version, "");
	assert_string_equal(facts.peer_subject, "");
	fixture_pair_shake(&pair, 0);
	tls_session_facts(pair.client, &facts);
	assert_string_equal(facts.version, "TLS1.3");
	assert_string_equal(facts.alpn, "h2");
	assert_string_equal(facts.peer_subject, "CN=server");
	assert_string_equal(facts.peer_issuer, "CN=Unit CA");
	assert_int_equal(strlen(facts.peer_pin), 44);
	assert_string_equal(facts.signature, "ECDSA-SECP256R1-SHA256");
	assert_string_equal(facts.server_name, "");
	tls_session_facts(pair.server, &facts);
	assert_string_equal(facts.identity, "");
	assert_string_equal(facts.server_name, "server.example");
	assert_string_equal(facts.peer_subject, "CN=client");
	tls_session_tell(pair.client, hear, (void *)(uintptr_t) "CN=server");
	tls_session_tell(pair.server, hear, (void *)(uintptr_t) "CN=client");
	fixture_pair_close(&pair);
}

/* Nobody reads of a certificate that was not accepted. */
static void refused_peer(void **state)
{
	struct fixture_pair pair;
	struct tls_facts facts;

	(void)state;
	fixture_pair_open(&pair, &world.client_options, &world.server_options, "other.example", NULL);
	fixture_pair_shake(&pair, 0);
	tls_session_facts(pair.client, &facts);
	assert_string_equal(facts.version, "TLS1.3");
	assert_string_equal(facts.peer_subject, "");
	assert_string_equal(facts.peer_pin, "");
	fixture_pair_close(&pair);
}

static void printable(void **state)
{
	struct fixture_spec spec = {.cn = "a\033b", .dns = {"server.example"}};
	struct fixture_cert leaf = fixture_cert(&spec, &world.ca);
	struct tls_identity identity = {.chain = fixture_write("odd.pem", &leaf, 1, leaf.key)};
	struct tls_options server = world.server_options;
	struct fixture_pair pair;
	struct tls_facts facts;

	(void)state;
	server.certificates = &identity;
	fixture_pair_open(&pair, &world.client_options, &server, "server.example", NULL);
	fixture_pair_shake(&pair, 0);
	assert_int_equal(pair.client_result, TLS_DONE);
	tls_session_facts(pair.client, &facts);
	for (const char *c = facts.peer_subject; *c; c++)
		assert_true(*c >= ' ' && *c <= '~');
	fixture_pair_close(&pair);
}

static void chain_as_pem(void **state)
{
	struct fixture_spec middle_spec = {.cn = "Middle", .ca = true, .key = KEY_RSA};
	struct fixture_spec leaf_spec = {.cn = "leaf", .dns = {"server.example"}};
	struct fixture_cert middle = fixture_cert(&middle_spec, &world.ca);
	struct fixture_cert chain[2] = {fixture_cert(&leaf_spec, &middle), middle};
	struct tls_identity identity = {.chain = fixture_write("two.pem", chain, 2, chain[0].key)};
	struct tls_options server = world.server_options;
	struct fixture_pair pair;
	gnutls_x509_crt_t *list;
	gnutls_datum_t text;
	unsigned n;
	char *pem;

	(void)state;
	server.certificates = &identity;
	fixture_pair_open(&pair, &world.client_options, &server, "server.example", NULL);
	assert_null(tls_session_chain_pem(pair.client));
	fixture_pair_shake(&pair, 0);
	pem = tls_session_chain_pem(pair.client);
	assert_non_null(pem);
	text = (gnutls_datum_t){(unsigned char *)pem, (unsigned)strlen(pem)};
	assert_int_equal(gnutls_x509_crt_list_import2(&list, &n, &text, GNUTLS_X509_FMT_PEM, 0), 0);
	assert_int_equal(n, 2);
	for (unsigned i = 0; i < n; i++) {
		assert_true(gnutls_x509_crt_equals(list[i], chain[i].crt));
		gnutls_x509_crt_deinit(list[i]);
	}
	gnutls_free(list);
	free(pem);
	fixture_pair_close(&pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_sides),
		cmocka_unit_test(refused_peer),
		cmocka_unit_test(printable),
		cmocka_unit_test(chain_as_pem),
	};

	return cmocka_run_group_tests_name("tls_facts", tests, setup, NULL);
}
