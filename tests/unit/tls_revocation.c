/* Revocation lists and OCSP staples.  The staples are made by openssl(1). */
#include "core/tls_revocation.h"
#include "tests/unit/tls_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NAME "server.example"

static struct fixture_cert ca, middle, other_ca, leaf, revoked, stapling, below;
static struct tls_policy policy;

static int setup(void **state)
{
	struct tls_reason reason;

	(void)state;
	ca = fixture_cert(&(struct fixture_spec){.cn = "CA", .ca = true}, NULL);
	other_ca = fixture_cert(&(struct fixture_spec){.cn = "CA", .ca = true, .key = KEY_EC2}, NULL);
	middle = fixture_cert(
		&(struct fixture_spec){.cn = "Middle", .ca = true, .key = KEY_RSA, .serial = 77}, &ca);
	leaf = fixture_cert(&(struct fixture_spec){.cn = "leaf", .dns = {NAME}, .serial = 0x1001}, &ca);
	revoked =
		fixture_cert(&(struct fixture_spec){.cn = "revoked", .dns = {NAME}, .serial = 0x1002}, &ca);
	stapling =
		fixture_cert(&(struct fixture_spec){.cn = "stapling", .dns = {NAME}, .must_staple = true},
			     &ca);
	below = fixture_cert(&(struct fixture_spec){.cn = "below", .dns = {NAME}, .serial = 0x1003},
			     &middle);
	policy.role = TLS_CLIENT;
	return tls_trust_new(&policy.trust, TLS_TRUST_FILE, fixture_write("ca.pem", &ca, 1, NULL), &reason);
}

static int teardown(void **state)
{
	(void)state;
	tls_trust_unref(policy.trust);
	return 0;
}

/* This program's clock, for GnuTLS and for us. */
static time_t clock_moved;

time_t time(time_t *ret)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	now.tv_sec += clock_moved;
	if (ret)
		*ret = now.tv_sec;
	return now.tv_sec;
}

/* Judges the chain with the staple; NULL expects acceptance. */
static void expect(const struct fixture_cert *cert, const struct fixture_cert *issuer,
		   const gnutls_datum_t *staple, const char *reason, int alert)
{
	gnutls_datum_t chain[2] = {fixture_der(cert)}, staples[2] = {{NULL, 0}, {NULL, 0}};
	struct tls_evidence evidence = {.chain = chain,
					.n = 1,
					.identity = NAME,
					.staples = staple ? staples : NULL};
	struct tls_verdict verdict = {.alert = 0};
	int result;

	if (issuer)
		chain[evidence.n++] = fixture_der(issuer);
	if (staple)
		staples[0] = *staple;
	result = tls_verify_peer(&policy, &evidence, &verdict);
	if (!reason) {
		if (result)
			fail_msg("refused: %s", verdict.reason.text);
		return;
	}
	if (!result)
		fail_msg("accepted, expected \"%s\"", reason);
	assert_int_equal(result, -EPROTO);
	if (!strstr(verdict.reason.text, reason))
		fail_msg("\"%s\", expected \"%s\"", verdict.reason.text, reason);
	assert_int_equal(verdict.alert, alert);
}

/* --- lists --- */

static void load(const char *const *files)
{
	policy.crls = NULL;
	policy.n_crls = 0;
	for (; *files; files++) {
		gnutls_datum_t text;

		assert_int_equal(gnutls_load_file(*files, &text), 0);
		policy.crls = gnutls_realloc(policy.crls, (policy.n_crls + 1) * sizeof(*policy.crls));
		assert_int_equal(gnutls_x509_crl_init(&policy.crls[policy.n_crls]), 0);
		assert_int_equal(gnutls_x509_crl_import(policy.crls[policy.n_crls++], &text,
							GNUTLS_X509_FMT_PEM),
				 0);
		gnutls_free(text.data);
	}
}

static void unload(void)
{
	for (unsigned i = 0; i < policy.n_crls; i++)
		gnutls_x509_crl_deinit(policy.crls[i]);
	gnutls_free(policy.crls);
	policy.crls = NULL;
	policy.n_crls = 0;
}

static void lists(void **state)
{
	const char *by_ca = fixture_write_crl("ca.crl", &ca, &revoked, 1, 24);
	const char *old = fixture_write_crl("old.crl", &ca, &revoked, 1, -24);
	const char *forged = fixture_write_crl("forged.crl", &other_ca, &leaf, 1, 24);
	const char *clean = fixture_write_crl("middle.crl", &middle, NULL, 0, 24);
	const char *stale = fixture_write_crl("stale.crl", &middle, NULL, 0, -24);
	const char *bad_middle = fixture_write_crl("bad-middle.crl", &ca, &middle, 1, 24);

	(void)state;
	load((const char *[]){by_ca, NULL});
	expect(&leaf, NULL, NULL, NULL, 0);
	expect(&revoked, NULL, NULL, "revoked (CRL)", GNUTLS_A_CERTIFICATE_REVOKED);
	/* Middle's own list is missing. */
	expect(&below, &middle, NULL, "no revocation list", GNUTLS_A_BAD_CERTIFICATE);
	unload();
	load((const char *[]){clean, NULL});
	expect(&below, &middle, NULL, NULL, 0);
	unload();
	load((const char *[]){clean, bad_middle, NULL});
	expect(&below, &middle, NULL, "revoked (CRL)", GNUTLS_A_CERTIFICATE_REVOKED);
	unload();
	load((const char *[]){clean, old, NULL});
	expect(&below, &middle, NULL, "out of date", GNUTLS_A_BAD_CERTIFICATE);
	unload();
	load((const char *[]){old, NULL});
	expect(&leaf, NULL, NULL, "out of date", GNUTLS_A_BAD_CERTIFICATE);
	expect(&revoked, NULL, NULL, "revoked (CRL)", GNUTLS_A_CERTIFICATE_REVOKED);
	unload();
	/* The same name, another key: not the issuer's word. */
	load((const char *[]){forged, NULL});
	expect(&leaf, NULL, NULL, "no revocation list", GNUTLS_A_BAD_CERTIFICATE);
	unload();
	load((const char *[]){forged, by_ca, stale, NULL});
	expect(&leaf, NULL, NULL, NULL, 0);
	expect(&below, &middle, NULL, "out of date", GNUTLS_A_BAD_CERTIFICATE);
	unload();
}

/* --- staples --- */

/* A response for `subject` as `status` ("V", "R" or nothing) by `signer`, whose issuer is `issuer`. */
static gnutls_datum_t staple(const struct fixture_cert *subject, const char *status,
			     const struct fixture_cert *issuer, const struct fixture_cert *signer,
			     const char *times)
{
	char serial[41], index[300], *command;
	uint8_t bytes[20];
	size_t size = sizeof(bytes);
	gnutls_datum_t der;
	int n = 0;

	assert_int_equal(gnutls_x509_crt_get_serial(subject->crt, bytes, &size), 0);
	for (size_t i = 0; i < size; i++)
		snprintf(serial + 2 * i, 3, "%02X", bytes[i]);
	if (status[0])
		n = snprintf(index, sizeof(index), "%s\t491231235959Z\t%s\t%s\tunknown\t/CN=x\n", status,
			     status[0] == 'R' ? "200101000000Z" : "", serial);
	fixture_write_text("index.txt", index, (size_t)n);
	fixture_write("signer.pem", signer, 1, signer->key);
	fixture_write("issuer.pem", issuer, 1, NULL);
	fixture_write("subject.pem", subject, 1, NULL);
	assert_true(asprintf(&command,
			     "cd %s && openssl ocsp -issuer issuer.pem -cert subject.pem -no_nonce -reqout "
			     "req.der"
			     " >/dev/null 2>&1 && openssl ocsp -index index.txt -CA issuer.pem -rsigner "
			     "signer.pem"
			     " -rkey signer.pem -reqin req.der -respout resp.der %s >/dev/null 2>&1",
			     fixture_path(""), times) > 0);
	assert_int_equal(system(command), 0);
	free(command);
	assert_int_equal(gnutls_load_file(fixture_path("resp.der"), &der), 0);
	return der;
}

#define FRESH "-ndays 3"

static void drop(gnutls_datum_t *der)
{
	gnutls_free(der->data);
	*der = (gnutls_datum_t){NULL, 0};
}

static void good_staples(void **state)
{
	gnutls_datum_t good = staple(&leaf, "V", &ca, &ca, FRESH);
	struct fixture_spec delegate = {.cn = "OCSP", .purpose = {GNUTLS_KP_OCSP_SIGNING}};
	struct fixture_cert responder = fixture_cert(&delegate, &ca);

	(void)state;
	expect(&leaf, NULL, &good, NULL, 0);
	policy.staple = TLS_STAPLE_REQUIRED;
	expect(&leaf, NULL, &good, NULL, 0);
	policy.staple = TLS_STAPLE_CHECKED;
	drop(&good);
	good = staple(&leaf, "V", &ca, &responder, FRESH);
	expect(&leaf, NULL, &good, NULL, 0);
	drop(&good);
	good = staple(&below, "V", &middle, &middle, FRESH);
	expect(&below, &middle, &good, NULL, 0);
	drop(&good);
	good = staple(&stapling, "V", &ca, &ca, FRESH);
	expect(&stapling, NULL, &good, NULL, 0);
	drop(&good);
}

static void bad_staples(void **state)
{
	struct fixture_spec stranger = {.cn = "stranger", .purpose = {GNUTLS_KP_OCSP_SIGNING}};
	struct fixture_spec no_delegate = {.cn = "no delegate"};
	struct fixture_cert foreign = fixture_cert(&stranger, &other_ca),
			    plain = fixture_cert(&no_delegate, &ca);
	const struct {
		const struct fixture_cert *subject, *signer;
		const char *status, *times, *reason;
		int alert;
	} cases[] = {
		{&revoked, &ca, "R", FRESH, "revoked (OCSP", GNUTLS_A_CERTIFICATE_REVOKED},
		{&leaf, &ca, "", FRESH, "does not know", 113},
		{&revoked, &ca, "V", FRESH, "for another certificate", 113},
		{&leaf, &other_ca, "V", FRESH, "not signed by", 113},
		{&leaf, &foreign, "V", FRESH, "not signed by", 113},
		{&leaf, &plain, "V", FRESH, "not signed by", 113},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		gnutls_datum_t der =
			staple(cases[i].subject, cases[i].status, &ca, cases[i].signer, cases[i].times);

		expect(i == 2 ? &leaf : cases[i].subject, NULL, &der, cases[i].reason, cases[i].alert);
		policy.staple = TLS_STAPLE_IGNORED;
		expect(i == 2 ? &leaf : cases[i].subject, NULL, &der, NULL, 0);
		policy.staple = TLS_STAPLE_CHECKED;
		drop(&der);
	}
}

static void damaged_staples(void **state)
{
	gnutls_datum_t good = staple(&leaf, "V", &ca, &ca, FRESH " -resp_no_certs"), part = good;
	/* OCSPResponse { tryLater } (RFC 6960 §4.2.1). */
	gnutls_datum_t later = {(unsigned char *)"\x30\x03\x0a\x01\x03", 5};

	(void)state;
	for (part.size = 1; part.size < good.size; part.size += 29)
		expect(&leaf, NULL, &part, "", 113);
	for (unsigned at = 0; at < good.size; at += 11) {
		good.data[at] ^= 1;
		expect(&leaf, NULL, &good, "", 113);
		good.data[at] ^= 1;
	}
	expect(&leaf, NULL, &later, "responder's error", 113);
	drop(&good);
}

static void missing_staples(void **state)
{
	gnutls_datum_t none = {NULL, 0};

	(void)state;
	expect(&leaf, NULL, NULL, NULL, 0);
	expect(&leaf, NULL, &none, NULL, 0);
	expect(&stapling, NULL, &none, "its certificate requires one", 113);
	policy.staple = TLS_STAPLE_REQUIRED;
	expect(&leaf, NULL, &none, "the policy requires one", 113);
	policy.staple = TLS_STAPLE_IGNORED;
	expect(&stapling, NULL, NULL, NULL, 0);
	policy.staple = TLS_STAPLE_CHECKED;
}

static void staples_out_of_time(void **state)
{
	gnutls_datum_t der = staple(&leaf, "V", &ca, &ca, FRESH),
		       endless = staple(&leaf, "V", &ca, &ca, "");

	(void)state;
	clock_moved = 2 * 86400;
	expect(&leaf, NULL, &der, NULL, 0);
	clock_moved = 4 * 86400;
	expect(&leaf, NULL, &der, "out of date", 113);
	expect(&leaf, NULL, &endless, NULL, 0);
	clock_moved = 8 * 86400;
	expect(&leaf, NULL, &endless, "out of date", 113);
	clock_moved = -60;
	expect(&leaf, NULL, &der, NULL, 0);
	clock_moved = -3600;
	expect(&leaf, NULL, &der, "from the future", 113);
	clock_moved = 0;
	drop(&der);
	drop(&endless);
}

/* Through a handshake: the server loads its staple from a file. */
static void in_a_handshake(void **state)
{
	gnutls_datum_t der = staple(&stapling, "V", &ca, &ca, FRESH);
	struct tls_identity identity = {.chain = fixture_write("stapling.pem", &stapling, 1, stapling.key)};
	struct tls_options client = TLS_OPTIONS_INIT(TLS_CLIENT), server = TLS_OPTIONS_INIT(TLS_SERVER);

	(void)state;
	client.trust = TLS_TRUST_FILE;
	client.trust_path = fixture_path("ca.pem");
	client.staple = TLS_STAPLE_REQUIRED;
	server.certificates = &identity;
	server.n_certificates = 1;
	for (int with = 0; with < 2; with++) {
		struct fixture_pair pair;

		identity.staple = with ? fixture_write_text("stapling.ocsp", der.data, der.size) : NULL;
		fixture_pair_open(&pair, &client, &server, NAME, NULL);
		fixture_pair_shake(&pair, 0);
		assert_int_equal(pair.client_result, with ? TLS_DONE : -EPROTO);
		if (!with)
			assert_non_null(strstr(tls_session_reason(pair.client), "no OCSP staple"));
		fixture_pair_close(&pair);
	}
	drop(&der);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lists),	   cmocka_unit_test(good_staples),
		cmocka_unit_test(bad_staples),	   cmocka_unit_test(damaged_staples),
		cmocka_unit_test(missing_staples), cmocka_unit_test(staples_out_of_time),
		cmocka_unit_test(in_a_handshake),
	};

	return cmocka_run_group_tests_name("tls_revocation", tests, setup, teardown);
}
