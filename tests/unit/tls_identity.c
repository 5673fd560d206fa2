/* Own certificates and keys: what loads, and what is refused with which words. */
#include "core/tls_private.h"
#include "tests/unit/tls_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <gnutls/pkcs11.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct fixture_world world;

static int setup(void **state)
{
	(void)state;
	fixture_world(&world);
	return 0;
}

static void expect(const struct tls_options *options, const char *reason)
{
	struct tls_credentials *credentials;
	struct tls_reason why;
	int error = tls_credentials_new(&credentials, options, &why);

	if (!reason) {
		if (error)
			fail_msg("refused: %s", why.text);
		tls_credentials_unref(credentials);
		return;
	}
	assert_true(error < 0);
	if (!strstr(why.text, reason))
		fail_msg("\"%s\", expected \"%s\"", why.text, reason);
}

static void roles_are_apart(void **state)
{
	struct tls_options server = world.server_options, client = world.client_options;

	(void)state;
	server.certificates = &world.client_identity;
	expect(&server, "client.pem: its extended key usage forbids use as a server");
	client.certificates = &world.server_identity;
	client.n_certificates = 1;
	expect(&client, "server.pem: its extended key usage forbids use as a client");
	client.certificates = &world.client_identity;
	expect(&client, NULL);
}

static void any_purpose(void **state)
{
	struct fixture_spec any = {.cn = "any", .purpose = {GNUTLS_KP_ANY}}, none = {.cn = "none"};
	struct fixture_cert a = fixture_cert(&any, NULL), b = fixture_cert(&none, NULL);
	struct tls_identity identities[] = {{.chain = fixture_write("any.pem", &a, 1, a.key)},
					    {.chain = fixture_write("none.pem", &b, 1, b.key)}};
	struct tls_options server = world.server_options;

	(void)state;
	server.certificates = identities;
	server.n_certificates = 2;
	expect(&server, NULL);
}

static void mistakes(void **state)
{
	struct tls_options server = world.server_options;
	struct tls_identity identity = {.chain = fixture_path("absent.pem")};

	(void)state;
	server.certificates = &identity;
	expect(&server, "absent.pem: ");
	identity.chain = world.ca_file;
	expect(&server, "ca.pem: ");
	identity.chain = world.server_file;
	identity.key = fixture_write("other-key.pem", NULL, 0, fixture_key(KEY_RSA));
	expect(&server, "server.pem: does not fit the key in ");
	identity.key = fixture_write("right-key.pem", NULL, 0, fixture_key(KEY_EC2));
	expect(&server, NULL);
	identity.staple = fixture_write_text("bad.ocsp", "x", 1);
	expect(&server, "bad.ocsp: ");
	server.n_certificates = 0;
	expect(&server, "a server needs serverCertificate or preSharedKey");
}

static void pre_shared_keys(void **state)
{
	struct tls_psk psks[2] = {{"us", "000102030405060708090a0b0c0d0e0f"}, {"them", "0f0e"}};
	struct tls_options client = TLS_OPTIONS_INIT(TLS_CLIENT), server = TLS_OPTIONS_INIT(TLS_SERVER);

	(void)state;
	client.psks = server.psks = psks;
	client.n_psks = server.n_psks = 1;
	expect(&client, NULL);
	expect(&server, NULL);
	server.n_psks = 2;
	expect(&server, "expected an identity and 16 bytes in hex");
	psks[1].key = "this is no hexadecimal text at all";
	expect(&server, "in hex");
	psks[1].key = "";
	expect(&server, "in hex");
	psks[1] = psks[0];
	client.n_psks = 2;
	expect(&client, "a client has one");
	psks[1].identity = "";
	expect(&server, "expected an identity");
	server = world.server_options;
	server.psks = psks;
	server.n_psks = 1;
	expect(&server, "exclude each other");
}

#define SOFTHSM "/usr/lib/softhsm/libsofthsm2.so"

/* A token in this test's directory with the server's key and certificate; NULL if the tools are missing. */
static const char *make_token(void)
{
	const char *tokens = fixture_path("tokens"), *conf = fixture_path("softhsm2.conf"), *command;
	char text[300], *line;

	if (access(SOFTHSM, R_OK) < 0 || system("command -v softhsm2-util p11tool >/dev/null 2>&1"))
		return NULL;
	assert_int_equal(mkdir(tokens, 0700), 0);
	snprintf(text, sizeof(text),
		 "directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n", tokens);
	fixture_write_text("softhsm2.conf", text, strlen(text));
	setenv("SOFTHSM2_CONF", conf, 1);
	command = "softhsm2-util --init-token --free --label unit --pin 1234 --so-pin 1234 >/dev/null"
		  " && softhsm2-util --import %s --token unit --label key --id 01 --pin 1234 >/dev/null"
		  " && GNUTLS_PIN=1234 p11tool --provider " SOFTHSM " --login --write --load-certificate %s"
		  " --label cert --id 01 'pkcs11:token=unit' >/dev/null 2>&1";
	assert_true(asprintf(&line, command, fixture_write("token-key.pem", NULL, 0, fixture_key(KEY_EC2)),
			     world.server_file) > 0);
	assert_int_equal(system(line), 0);
	free(line);
	return "pkcs11:token=unit;object=key;type=private?pin-value=1234";
}

static void pkcs11(void **state)
{
	struct tls_identity identity = {.chain = world.server_file, .key = make_token()};
	struct tls_options server = world.server_options;
	struct fixture_pair pair;

	(void)state;
	if (!identity.key)
		skip();
	assert_int_equal(gnutls_pkcs11_init(GNUTLS_PKCS11_FLAG_MANUAL, NULL), 0);
	assert_int_equal(gnutls_pkcs11_add_provider(SOFTHSM, NULL), 0);
	server.certificates = &identity;
	for (int i = 0; i < 2; i++) {
		fixture_pair_open(&pair, &world.client_options, &server, "server.example", NULL);
		fixture_pair_shake(&pair, 0);
		assert_int_equal(pair.client_result, TLS_DONE);
		fixture_pair_close(&pair);
		identity.chain = "pkcs11:token=unit;object=cert;type=cert";
	}
	identity.key = "pkcs11:token=unit;object=absent;type=private?pin-value=1234";
	expect(&server, "pkcs11:");
	gnutls_pkcs11_deinit();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(roles_are_apart), cmocka_unit_test(any_purpose),
		cmocka_unit_test(mistakes),	   cmocka_unit_test(pre_shared_keys),
		cmocka_unit_test(pkcs11),
	};

	return cmocka_run_group_tests_name("tls_identity", tests, setup, NULL);
}
