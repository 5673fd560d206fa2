/* Loading as a whole, the fingerprint of the policy, and files that change. */
#include "core/tls_private.h"
#include "tests/unit/tls_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECOND INT64_C(1000000000)

static struct fixture_world world;

static int setup(void **state)
{
	(void)state;
	fixture_world(&world);
	return 0;
}

static void expect_refusal(const struct tls_options *options, const char *reason)
{
	struct tls_credentials *credentials;
	struct tls_reason why;

	assert_true(tls_credentials_new(&credentials, options, &why) < 0);
	if (!strstr(why.text, reason))
		fail_msg("\"%s\", expected \"%s\"", why.text, reason);
}

static void mistakes(void **state)
{
	static const char *const short_pin[] = {"sha256/QUJD"}, *const odd_pin[] = {"sha256/*"};
	struct tls_options options = world.client_options;

	(void)state;
	options.pins = (struct tls_list){short_pin, 1};
	expect_refusal(&options, "pinnedServerCertificate: \"sha256/QUJD\" is no SHA-256");
	options.pins = (struct tls_list){odd_pin, 1};
	expect_refusal(&options, "is no SHA-256");
	options = world.client_options;
	options.trust_path = fixture_path("absent.pem");
	expect_refusal(&options, "absent.pem: No such file");
	options = world.client_options;
	options.crl_file = fixture_path("absent.crl");
	expect_refusal(&options, "absent.crl: No such file");
	options.crl_file = world.ca_file;
	expect_refusal(&options, "ca.pem: ");
	options = world.server_options;
	options.client_auth = TLS_CLIENT_AUTH_OPTIONAL;
	options.trust = TLS_TRUST_SYSTEM;
	expect_refusal(&options, "client certificates need a trust store of their own");
	options = world.client_options;
	options.allowed_security_protocols = 0;
	expect_refusal(&options, "allowedSecurityProtocols");
}

static void forms_of_pins(void **state)
{
	uint8_t pin[TLS_PIN_SIZE];
	char hex[65], base64[64];
	const char *items[3] = {hex, base64, base64 + 7};
	gnutls_datum_t raw = {pin, sizeof(pin)}, text;
	struct tls_options options = world.client_options;
	struct fixture_pair pair;

	(void)state;
	assert_int_equal(tls_verify_pin(world.server.crt, pin), 0);
	for (int i = 0; i < TLS_PIN_SIZE; i++)
		snprintf(hex + 2 * i, 3, "%02x", pin[i]);
	assert_int_equal(gnutls_base64_encode2(&raw, &text), 0);
	snprintf(base64, sizeof(base64), "sha256/%.*s", (int)text.size, text.data);
	gnutls_free(text.data);
	for (int i = 0; i < 3; i++) {
		options.pins = (struct tls_list){&items[i], 1};
		fixture_pair_open(&pair, &options, &world.server_options, "server.example", NULL);
		fixture_pair_shake(&pair, 0);
		assert_int_equal(pair.client_result, TLS_DONE);
		fixture_pair_close(&pair);
	}
	hex[0] = hex[0] == '0' ? '1' : '0';
	options.pins = (struct tls_list){items, 1};
	fixture_pair_open(&pair, &options, &world.server_options, "server.example", NULL);
	fixture_pair_shake(&pair, 0);
	assert_int_equal(pair.client_result, -EPROTO);
	assert_non_null(strstr(tls_session_reason(pair.client), "pinned"));
	fixture_pair_close(&pair);
}

static void fingerprint(const struct tls_options *options, uint8_t ret[TLS_POLICY_SIZE])
{
	struct tls_credentials *credentials = fixture_credentials(options);

	memcpy(ret, tls_credentials_policy(credentials), TLS_POLICY_SIZE);
	assert_ptr_equal(tls_credentials_options(credentials), options);
	tls_credentials_unref(credentials);
}

/* Whatever decides about peers is in the fingerprint; what does not, is not. */
static void fingerprints(void **state)
{
	static const char *const pins[] = {"sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="};
	static const char *const one[] = {"ab", "c"}, *const other[] = {"a", "bc"};
	struct tls_options base = world.client_options, changed[9];
	uint8_t first[TLS_POLICY_SIZE], next[TLS_POLICY_SIZE];

	(void)state;
	fingerprint(&base, first);
	for (size_t i = 0; i < 9; i++)
		changed[i] = base;
	changed[0].allowed_security_protocols = 3;
	changed[1].staple = TLS_STAPLE_REQUIRED;
	changed[2].insecure_no_verify = true;
	changed[3].verifier = "true";
	changed[4].pins = (struct tls_list){pins, 1};
	changed[5].alpn = (struct tls_list){one, 2};
	changed[6].trust_path = fixture_write("same.pem", &world.ca, 1, NULL);
	changed[7].certificates = &world.client_identity;
	changed[7].n_certificates = 1;
	changed[8].sni_name = "front.example";
	for (size_t i = 0; i < 9; i++) {
		fingerprint(&changed[i], next);
		assert_memory_not_equal(first, next, TLS_POLICY_SIZE);
	}
	fingerprint(&changed[5], first);
	changed[5].alpn = (struct tls_list){other, 2};
	fingerprint(&changed[5], next);
	assert_memory_not_equal(first, next, TLS_POLICY_SIZE);
	fingerprint(&base, first);
	changed[0] = base;
	changed[0].max_cached_sessions = 5;
	changed[0].keylog = true;
	fingerprint(&changed[0], next);
	assert_memory_equal(first, next, TLS_POLICY_SIZE);
}

static void refresh(void **state)
{
	struct fixture_cert second =
		fixture_cert(&(struct fixture_spec){.cn = "second", .dns = {"server.example"}}, &world.ca);
	struct tls_identity identity = {
		.chain = fixture_write("live.pem", &world.server, 1, world.server.key)};
	struct tls_options options = world.server_options;
	struct tls_credentials *live, *old;
	struct fixture_pair before, after;
	struct tls_facts facts;
	struct tls_reason reason;
	struct tls_credentials *client = fixture_credentials(&world.client_options);

	(void)state;
	options.certificates = &identity;
	live = old = fixture_credentials(&options);
	assert_int_equal(tls_credentials_refresh(&live, 10 * SECOND, &reason), 0);
	fixture_pair_with(&before, client, live, "server.example", NULL);

	/* Half a change: the key does not fit yet, so the old pair serves on. */
	fixture_write("live.new", &second, 1, world.server.key);
	assert_int_equal(rename(fixture_path("live.new"), identity.chain), 0);
	assert_int_equal(tls_credentials_refresh(&live, 10 * SECOND + 1, &reason), 0);
	assert_int_equal(tls_credentials_refresh(&live, 11 * SECOND, &reason), -EINVAL);
	assert_non_null(strstr(reason.text, "does not fit the key"));
	assert_ptr_equal(live, old);

	fixture_write("live.new", &second, 1, second.key);
	assert_int_equal(rename(fixture_path("live.new"), identity.chain), 0);
	assert_int_equal(tls_credentials_refresh(&live, 11 * SECOND + 5, &reason), 0);
	assert_int_equal(tls_credentials_refresh(&live, 12 * SECOND, &reason), 1);
	assert_ptr_not_equal(live, old);
	assert_int_equal(tls_credentials_refresh(&live, 13 * SECOND, &reason), 0);

	/* A session begun before goes on with what it began with. */
	fixture_pair_shake(&before, 0);
	tls_session_facts(before.client, &facts);
	assert_string_equal(facts.peer_subject, "CN=server");
	fixture_pair_with(&after, client, live, "server.example", NULL);
	fixture_pair_shake(&after, 0);
	tls_session_facts(after.client, &facts);
	assert_string_equal(facts.peer_subject, "CN=second");
	fixture_pair_close(&before);
	fixture_pair_close(&after);

	assert_int_equal(unlink(identity.chain), 0);
	assert_true(tls_credentials_refresh(&live, 14 * SECOND, &reason) < 0);
	tls_credentials_unref(live);
	tls_credentials_unref(client);
	tls_credentials_unref(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mistakes),
		cmocka_unit_test(forms_of_pins),
		cmocka_unit_test(fingerprints),
		cmocka_unit_test(refresh),
	};

	return cmocka_run_group_tests_name("tls_credentials", tests, setup, NULL);
}
