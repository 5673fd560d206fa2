/* Peers of every kind of badness, each refused for its own reason, beside the good ones they were made
 * from. */
#include "core/tls_verify.h"
#include "tests/unit/tls_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NAME "server.example"

/* The authorities of the tests. */
static struct fixture_cert ca, ca2, expired_ca, weak_ca, no_ca, tight_ca, limited_ca, v1_ca, client_ca;
/* Below the first: an intermediate, and bad ones. */
static struct fixture_cert middle, expired_middle, future_middle, no_middle, sha1_middle, tight_middle,
	client_middle;
static struct fixture_cert middle_cross;
static struct tls_policy policy;

static struct fixture_cert make_ca(const char *cn, const struct fixture_cert *issuer)
{
	return fixture_cert(&(struct fixture_spec){.cn = cn, .ca = true}, issuer);
}

static void make_authorities(void)
{
	ca = make_ca("CA", NULL);
	ca2 = fixture_cert(&(struct fixture_spec){.cn = "Other CA", .ca = true, .key = KEY_EC2}, NULL);
	expired_ca = fixture_cert(
		&(struct fixture_spec){.cn = "Old CA", .ca = true, .from_hours = -100, .to_hours = -1},
		NULL);
	weak_ca = fixture_cert(&(struct fixture_spec){.cn = "Weak CA", .ca = true, .key = KEY_RSA_WEAK},
			       NULL);
	no_ca = fixture_cert(&(struct fixture_spec){.cn = "No CA"}, NULL);
	tight_ca = fixture_cert(&(struct fixture_spec){.cn = "Tight CA", .ca = true, .path_len = 1}, NULL);
	limited_ca = fixture_cert(&(struct fixture_spec){.cn = "Limited CA",
							 .ca = true,
							 .permitted = "allowed.example"},
				  NULL);
	v1_ca = fixture_cert(&(struct fixture_spec){.cn = "Version 1 CA", .version1 = true}, NULL);
	client_ca = fixture_cert(&(struct fixture_spec){.cn = "Client CA",
							.ca = true,
							.purpose = {GNUTLS_KP_TLS_WWW_CLIENT}},
				 NULL);

	middle = fixture_cert(&(struct fixture_spec){.cn = "Middle", .ca = true, .key = KEY_RSA}, &ca);
	expired_middle = fixture_cert(&(struct fixture_spec){.cn = "Old Middle",
							     .ca = true,
							     .key = KEY_RSA,
							     .from_hours = -100,
							     .to_hours = -2},
				      &ca);
	future_middle = fixture_cert(&(struct fixture_spec){.cn = "Future Middle",
							    .ca = true,
							    .key = KEY_RSA,
							    .from_hours = 2,
							    .to_hours = 100},
				     &ca);
	no_middle = fixture_cert(&(struct fixture_spec){.cn = "No Middle", .key = KEY_RSA}, &ca);
	sha1_middle = fixture_cert(&(struct fixture_spec){.cn = "SHA-1 Middle",
							  .ca = true,
							  .key = KEY_RSA,
							  .digest = GNUTLS_DIG_SHA1},
				   &ca);
	tight_middle =
		fixture_cert(&(struct fixture_spec){.cn = "Tight Middle", .ca = true, .key = KEY_RSA},
			     &tight_ca);
	client_middle = fixture_cert(&(struct fixture_spec){.cn = "Client Middle",
							    .ca = true,
							    .key = KEY_RSA,
							    .purpose = {GNUTLS_KP_TLS_WWW_CLIENT}},
				     &ca);
	/* The same name and key as Middle, vouched for by a stranger. */
	middle_cross =
		fixture_cert(&(struct fixture_spec){.cn = "Middle", .ca = true, .key = KEY_RSA}, &ca2);
}

static int setup(void **state)
{
	struct fixture_cert trusted[9];
	struct tls_reason reason;

	(void)state;
	make_authorities();
	trusted[0] = ca;
	trusted[1] = expired_ca;
	trusted[2] = weak_ca;
	trusted[3] = tight_ca;
	trusted[4] = limited_ca;
	trusted[5] = v1_ca;
	trusted[6] = client_ca;
	policy.role = TLS_CLIENT;
	return tls_trust_new(&policy.trust, TLS_TRUST_FILE, fixture_write("trusted.pem", trusted, 7, NULL),
			     &reason);
}

static int teardown(void **state)
{
	(void)state;
	tls_trust_unref(policy.trust);
	return 0;
}

/* The verdict on a leaf made to `spec` by `issuers[0]`, shown with all the issuers. */
static int judge(const struct fixture_spec *spec, const struct fixture_cert *const *issuers,
		 const char *identity, struct tls_verdict *verdict)
{
	gnutls_datum_t chain[8];
	struct tls_evidence evidence = {.chain = chain, .identity = identity};
	struct fixture_cert leaf = fixture_cert(spec, issuers[0]);

	chain[evidence.n++] = fixture_der(&leaf);
	for (; *issuers; issuers++)
		chain[evidence.n++] = fixture_der(*issuers);
	*verdict = (struct tls_verdict){.alert = -1};
	return tls_verify_peer(&policy, &evidence, verdict);
}

static const struct fixture_cert *const by_ca[] = {&ca, NULL}, *const by_middle[] = {&middle, NULL},
					*const by_middle_and_ca[] = {&middle, &ca, NULL};

struct peer {
	const char *what;
	struct fixture_spec spec;
	const struct fixture_cert *const *issuers;
	const char *identity; /* NULL: NAME */
	const char *reason;   /* NULL: accepted */
	int alert;
};

#define BY(...) ((const struct fixture_cert *const[]){__VA_ARGS__, NULL})
#define SELF ((const struct fixture_cert *const[]){NULL})

static void check(const struct peer *peers, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct tls_verdict verdict;
		int result = judge(&peers[i].spec, peers[i].issuers,
				   peers[i].identity ? peers[i].identity : NAME, &verdict);

		if (!peers[i].reason) {
			if (result)
				fail_msg("%s: refused: %s", peers[i].what, verdict.reason.text);
			assert_true(verdict.expires > 0);
			continue;
		}
		if (result != -EPROTO)
			fail_msg("%s: result %d", peers[i].what, result);
		if (!strstr(verdict.reason.text, peers[i].reason))
			fail_msg("%s: \"%s\", expected \"%s\"", peers[i].what, verdict.reason.text,
				 peers[i].reason);
		if (peers[i].alert && verdict.alert != peers[i].alert)
			fail_msg("%s: alert %d, expected %d", peers[i].what, verdict.alert, peers[i].alert);
		assert_true(verdict.alert > 0);
	}
}

static void good_peers(void **state)
{
	const struct peer peers[] = {
		{"plain", {.dns = {NAME}, .key = KEY_EC2}, by_ca, NULL, NULL, 0},
		{"RSA", {.dns = {NAME}, .key = KEY_RSA}, by_ca, NULL, NULL, 0},
		{"Ed25519", {.dns = {NAME}, .key = KEY_ED25519}, by_ca, NULL, NULL, 0},
		{"intermediate", {.dns = {NAME}}, by_middle, NULL, NULL, 0},
		{"root shown too", {.dns = {NAME}}, by_middle_and_ca, NULL, NULL, 0},
		{"wrong order", {.dns = {NAME}}, BY(&middle, &ca2, &ca), NULL, NULL, 0},
		{"cross-signed by a stranger too",
		 {.dns = {NAME}},
		 BY(&middle, &middle_cross),
		 NULL,
		 NULL,
		 0},
		{"server purpose",
		 {.dns = {NAME}, .purpose = {GNUTLS_KP_TLS_WWW_SERVER}},
		 by_ca,
		 NULL,
		 NULL,
		 0},
		{"both purposes",
		 {.dns = {NAME}, .purpose = {GNUTLS_KP_TLS_WWW_CLIENT, GNUTLS_KP_TLS_WWW_SERVER}},
		 by_ca,
		 NULL,
		 NULL,
		 0},
		{"second name", {.dns = {"a.example", NAME}}, by_ca, NULL, NULL, 0},
		{"upper case", {.dns = {"SERVER.Example"}}, by_ca, NULL, NULL, 0},
		{"wildcard", {.dns = {"*.server.example"}}, by_ca, "www.server.example", NULL, 0},
		{"address", {.ip = {"192.0.2.7"}}, by_ca, "192.0.2.7", NULL, 0},
		{"mapped address", {.ip = {"192.0.2.7"}}, by_ca, "::ffff:192.0.2.7", NULL, 0},
		{"IPv6 address", {.ip = {"192.0.2.7", "2001:db8::7"}}, by_ca, "2001:db8:0:0::7", NULL, 0},
		{"within constraints",
		 {.dns = {"www.allowed.example"}},
		 BY(&limited_ca),
		 "www.allowed.example",
		 NULL,
		 0},
		{"below a tight CA", {.dns = {NAME}}, BY(&tight_ca), NULL, NULL, 0},
		{"version 1 root", {.dns = {NAME}}, BY(&v1_ca), NULL, NULL, 0},
		{"common name besides", {.cn = "other.example", .dns = {NAME}}, by_ca, NULL, NULL, 0},
	};

	(void)state;
	check(peers, sizeof(peers) / sizeof(peers[0]));
}

static void bad_times_and_chains(void **state)
{
	const struct peer peers[] = {
		{"expired",
		 {.dns = {NAME}, .from_hours = -50, .to_hours = -1},
		 by_ca,
		 NULL,
		 "certificate expired on ",
		 45},
		{"not yet valid",
		 {.dns = {NAME}, .from_hours = 1, .to_hours = 9},
		 by_ca,
		 NULL,
		 "is not valid before ",
		 45},
		{"expired, intermediate",
		 {.dns = {NAME}, .from_hours = -50, .to_hours = -1},
		 by_middle,
		 NULL,
		 "certificate expired",
		 45},
		{"old intermediate",
		 {.dns = {NAME}},
		 BY(&expired_middle),
		 NULL,
		 "issuer's certificate expired",
		 45},
		{"future intermediate",
		 {.dns = {NAME}},
		 BY(&future_middle),
		 NULL,
		 "issuer's certificate is not valid",
		 45},
		{"old root", {.dns = {NAME}}, BY(&expired_ca), NULL, "expired", 45},
		{"self-signed", {.cn = NAME, .dns = {NAME}}, SELF, NULL, "self-signed", 48},
		{"self-signed CA", {.cn = NAME, .dns = {NAME}, .ca = true}, SELF, NULL, "self-signed", 48},
		{"wrong CA", {.dns = {NAME}}, BY(&ca2), NULL, "no trusted authority", 48},
		{"issuer nobody knows", {.dns = {NAME}}, BY(&no_ca), NULL, "no trusted authority", 48},
		{"issuer is a leaf", {.dns = {NAME}}, BY(&no_middle), NULL, "no certificate authority", 42},
		{"path too long", {.dns = {NAME}}, BY(&tight_middle, &tight_ca), NULL, "constraints", 42},
		{"outside name constraints", {.dns = {NAME}}, BY(&limited_ca), NULL, "constraints", 42},
		{"partly outside",
		 {.dns = {"www.allowed.example", NAME}},
		 BY(&limited_ca),
		 NULL,
		 "constraints",
		 42},
		{"critical extension",
		 {.dns = {NAME}, .critical_unknown = true},
		 by_ca,
		 NULL,
		 "critical extension",
		 43},
	};

	(void)state;
	check(peers, sizeof(peers) / sizeof(peers[0]));
}

static void missing_intermediate(void **state)
{
	struct fixture_cert leaf = fixture_cert(&(struct fixture_spec){.dns = {NAME}}, &middle);
	struct tls_verdict verdict = {.alert = 0};
	gnutls_datum_t chain[2] = {fixture_der(&leaf)};
	struct tls_evidence evidence = {.chain = chain, .n = 1, .identity = NAME};

	(void)state;
	assert_int_equal(tls_verify_peer(&policy, &evidence, &verdict), -EPROTO);
	assert_non_null(strstr(verdict.reason.text, "issuer CN=Middle"));
	/* The stranger's is as good as none. */
	chain[evidence.n++] = fixture_der(&middle_cross);
	assert_int_equal(tls_verify_peer(&policy, &evidence, &verdict), -EPROTO);
	assert_int_equal(verdict.alert, GNUTLS_A_UNKNOWN_CA);
}

static void bad_keys_and_purposes(void **state)
{
	const struct peer peers[] = {
		{"weak key", {.dns = {NAME}, .key = KEY_RSA_WEAK}, by_ca, NULL, "weak key", 71},
		{"SHA-1",
		 {.dns = {NAME}, .digest = GNUTLS_DIG_SHA1},
		 by_ca,
		 NULL,
		 "weak key or signature",
		 71},
		{"MD5",
		 {.dns = {NAME}, .digest = GNUTLS_DIG_MD5},
		 by_middle,
		 NULL,
		 "weak key or signature",
		 71},
		{"SHA-1 intermediate",
		 {.dns = {NAME}},
		 BY(&sha1_middle),
		 NULL,
		 "weak key or signature",
		 71},
		{"weak root", {.dns = {NAME}}, BY(&weak_ca), NULL, "weak key or signature", 71},
		{"client purpose",
		 {.dns = {NAME}, .purpose = {GNUTLS_KP_TLS_WWW_CLIENT}},
		 by_ca,
		 NULL,
		 "another purpose",
		 43},
		{"mail purpose",
		 {.dns = {NAME}, .purpose = {GNUTLS_KP_EMAIL_PROTECTION}},
		 by_ca,
		 NULL,
		 "another purpose",
		 43},
		{"code purpose",
		 {.dns = {NAME}, .purpose = {GNUTLS_KP_CODE_SIGNING}},
		 by_ca,
		 NULL,
		 "another purpose",
		 43},
		{"client intermediate", {.dns = {NAME}}, BY(&client_middle), NULL, "another purpose", 43},
	};

	(void)state;
	check(peers, sizeof(peers) / sizeof(peers[0]));
}

static void bad_names(void **state)
{
	const struct peer peers[] = {
		{"other name",
		 {.dns = {"other.example"}},
		 by_ca,
		 NULL,
		 "is for other.example, not for " NAME,
		 42},
		{"several",
		 {.dns = {"a.example", "b.example", "c.example", "d.example"}},
		 by_ca,
		 NULL,
		 "c.example, not",
		 42},
		{"only a common name",
		 {.cn = NAME},
		 by_ca,
		 NULL,
		 "no subject alternative name for " NAME,
		 42},
		{"only a common name, server purpose",
		 {.cn = NAME, .purpose = {GNUTLS_KP_TLS_WWW_SERVER}},
		 by_ca,
		 NULL,
		 "no subject alternative name",
		 42},
		{"subdomain", {.dns = {"www." NAME}}, by_ca, NULL, "not for", 42},
		{"parent", {.dns = {"example"}}, by_ca, NULL, "not for", 42},
		{"wildcard too wide", {.dns = {"*.example"}}, by_ca, NULL, "not for", 42},
		{"wildcard alone", {.dns = {"*"}}, by_ca, NULL, "not for", 42},
		{"wildcard within a label",
		 {.dns = {"s*.server.example"}},
		 by_ca,
		 "sub.server.example",
		 "not for",
		 42},
		{"wildcard not leftmost",
		 {.dns = {"www.*.example"}},
		 by_ca,
		 "www.server.example",
		 "not for",
		 42},
		{"two wildcards", {.dns = {"*.*.example"}}, by_ca, "www.server.example", "not for", 42},
		{"wildcard over two labels",
		 {.dns = {"*.server.example"}},
		 by_ca,
		 "a.b.server.example",
		 "not for",
		 42},
		{"wildcard for the parent", {.dns = {"*.server.example"}}, by_ca, NULL, "not for", 42},
		{"address without SAN", {.dns = {NAME}}, by_ca, "192.0.2.7", "not for 192.0.2.7", 42},
		{"address as a name", {.dns = {"192.0.2.7"}}, by_ca, "192.0.2.7", "not for", 42},
		{"address in the common name", {.cn = "192.0.2.7"}, by_ca, "192.0.2.7", "no subject", 42},
		{"other address", {.ip = {"192.0.2.8"}}, by_ca, "192.0.2.7", "no subject", 42},
		{"other family", {.ip = {"2001:db8::7"}}, by_ca, "192.0.2.7", "no subject", 42},
		{"name, but only address", {.ip = {"192.0.2.7"}}, by_ca, NULL, "no subject", 42},
		{"wildcard for an address", {.dns = {"*.0.2.7"}}, by_ca, "192.0.2.7", "not for", 42},
		{"name with a null",
		 {.raw_dns = NAME "\0.evil.example", .raw_dns_size = sizeof(NAME) + 13},
		 by_ca,
		 NULL,
		 "not for",
		 42},
		{"name that ends in a null",
		 {.raw_dns = NAME, .raw_dns_size = sizeof(NAME)},
		 by_ca,
		 NULL,
		 "not for",
		 42},
	};

	(void)state;
	check(peers, sizeof(peers) / sizeof(peers[0]));
}

static void broken_certificates(void **state)
{
	struct fixture_cert leaf = fixture_cert(&(struct fixture_spec){.dns = {NAME}}, &ca);
	gnutls_datum_t der = fixture_der(&leaf), chain[20];
	struct tls_evidence evidence = {.chain = chain, .identity = NAME};
	struct tls_verdict verdict = {.alert = 0};
	uint8_t *copy = malloc(der.size);

	(void)state;
	assert_int_equal(tls_verify_peer(&policy, &evidence, &verdict), -EPROTO);
	assert_non_null(strstr(verdict.reason.text, "no certificate"));
	for (evidence.n = 0; evidence.n < 17; evidence.n++)
		chain[evidence.n] = der;
	assert_int_equal(tls_verify_peer(&policy, &evidence, &verdict), -EPROTO);
	assert_non_null(strstr(verdict.reason.text, "too long"));
	evidence.n = 1;
	for (unsigned size = 0; size < der.size; size += size < 40 ? 1 : 23) {
		memcpy(copy, der.data, size);
		chain[0] = (gnutls_datum_t){copy, size};
		assert_int_equal(tls_verify_peer(&policy, &evidence, &verdict), -EPROTO);
	}
	for (unsigned at = 0; at < der.size; at++) {
		memcpy(copy, der.data, der.size);
		copy[at] ^= 1;
		chain[0] = (gnutls_datum_t){copy, der.size};
		assert_int_equal(tls_verify_peer(&policy, &evidence, &verdict), -EPROTO);
	}
	free(copy);
}

static void pins(void **state)
{
	struct fixture_cert leaf = fixture_cert(&(struct fixture_spec){.dns = {NAME}, .key = KEY_EC2}, &ca);
	uint8_t pinned[2][TLS_PIN_SIZE] = {{0}};
	const struct peer good = {"pinned", {.dns = {NAME}, .key = KEY_EC2}, by_ca, NULL, NULL, 0};
	const struct peer bad = {"other key", {.dns = {NAME}}, by_ca, NULL, "none of the pinned", 42};
	const struct peer still[] = {
		{"pinned and expired",
		 {.dns = {NAME}, .key = KEY_EC2, .from_hours = -9, .to_hours = -1},
		 by_ca,
		 NULL,
		 "expired",
		 45},
		{"pinned and of another name",
		 {.dns = {"a.example"}, .key = KEY_EC2},
		 by_ca,
		 NULL,
		 "not for",
		 42},
		{"pinned and self-signed", {.dns = {NAME}, .key = KEY_EC2}, SELF, NULL, "", 48},
	};

	(void)state;
	assert_int_equal(tls_verify_pin(leaf.crt, pinned[1]), 0);
	policy.pins = pinned;
	policy.n_pins = 2;
	check(&good, 1);
	check(&bad, 1);
	check(still, 3);
	policy.n_pins = 0;
	policy.pins = NULL;
}

static void clients(void **state)
{
	const struct peer good = {"client", {.cn = "c", .purpose = {GNUTLS_KP_TLS_WWW_CLIENT}},
				  by_ca,    "",
				  NULL,	    0};
	const struct peer bad = {"server",  {.cn = "s", .purpose = {GNUTLS_KP_TLS_WWW_SERVER}},
				 by_ca,	    "",
				 "purpose", 43};
	gnutls_datum_t chain[1];
	struct tls_evidence evidence = {.chain = chain, .n = 1};
	struct tls_verdict verdict;
	struct fixture_cert leaf;

	(void)state;
	policy.role = TLS_SERVER;
	leaf = fixture_cert(&good.spec, &ca);
	chain[0] = fixture_der(&leaf);
	assert_int_equal(tls_verify_peer(&policy, &evidence, &verdict), 0);
	leaf = fixture_cert(&bad.spec, &ca);
	chain[0] = fixture_der(&leaf);
	assert_int_equal(tls_verify_peer(&policy, &evidence, &verdict), -EPROTO);
	assert_non_null(strstr(verdict.reason.text, bad.reason));
	policy.role = TLS_CLIENT;
}

/* A peer chooses what its certificate says; the reason stays one printable line. */
static void hostile_text(void **state)
{
	const struct peer peers[] = {
		{"escape",
		 {.raw_dns = "a\033[2J\nb.example", .raw_dns_size = 15},
		 by_ca,
		 NULL,
		 "is for a?[2J?b.example, not for",
		 42},
	};
	struct fixture_cert loud =
		fixture_cert(&(struct fixture_spec){.cn = "Loud\r\nCA", .ca = true}, NULL);
	const struct peer unknown = {"unknown", {.dns = {NAME}}, BY(&loud), NULL, "Loud", 48};

	(void)state;
	check(peers, 1);
	check(&unknown, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_peers),
		cmocka_unit_test(bad_times_and_chains),
		cmocka_unit_test(missing_intermediate),
		cmocka_unit_test(bad_keys_and_purposes),
		cmocka_unit_test(bad_names),
		cmocka_unit_test(broken_certificates),
		cmocka_unit_test(pins),
		cmocka_unit_test(clients),
		cmocka_unit_test(hostile_text),
	};

	return cmocka_run_group_tests_name("tls_verify", tests, setup, teardown);
}
