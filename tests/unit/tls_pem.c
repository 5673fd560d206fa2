#include "core/tls_pem.h"
#include "tests/unit/tls_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void blocks(void **state)
{
	static const char text[] =
		"# remark\n-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
		"-----BEGIN PRIVATE KEY-----\nBBBB\n-----END PRIVATE KEY-----\n"
		"-----BEGIN X509 CERTIFICATE-----CC==-----END X509 CERTIFICATE-----"
		"-----BEGIN CERTIFICATE-----\nDDDD\n";
	static const char *const bodies[] = {"\nAAAA\n", "CC=="};
	const uint8_t *bytes = (const uint8_t *)text;
	struct tls_pem_block block;
	size_t pos = 0;

	(void)state;
	for (int i = 0; i < 2; i++) {
		assert_true(tls_pem_next(bytes, strlen(text), &pos, &block));
		assert_int_equal(block.size, strlen(bodies[i]));
		assert_memory_equal(text + block.begin, bodies[i], block.size);
	}
	assert_false(tls_pem_next(bytes, strlen(text), &pos, &block));
	assert_int_equal(pos, strlen(text));
	/* Cut anywhere, it never reads beyond. */
	for (size_t len = 0; len < strlen(text); len++) {
		uint8_t *copy = malloc(len ? len : 1);

		memcpy(copy, text, len);
		for (pos = 0; tls_pem_next(copy, len, &pos, &block);)
			assert_true(block.begin + block.size <= len);
		free(copy);
	}
}

static void base64(void **state)
{
	static const struct {
		const char *text, *bytes;
		ptrdiff_t size;
	} cases[] = {
		{"", "", 0},
		{"QQ==", "A", 1},
		{"QUI=", "AB", 2},
		{"QUJD", "ABC", 3},
		{"QU\nJD\r\n", "ABC", 3},
		{"Q U J D", "ABC", 3},
		{"QUI", "AB", 2},
		{"+/+/", "\xfb\xff\xbf", 3},
		{"QQ==QQ==", "A", 1},
		{"QU*D", NULL, -EINVAL},
		{"QU\xc3\xa4", NULL, -EINVAL},
		{"Q-_D", NULL, -EINVAL},
	};
	uint8_t out[16];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t len = strlen(cases[i].text);

		assert_int_equal(tls_base64_decode((const uint8_t *)cases[i].text, len, out, sizeof(out)),
				 cases[i].size);
		if (cases[i].size > 0)
			assert_memory_equal(out, cases[i].bytes, (size_t)cases[i].size);
	}
	assert_int_equal(tls_base64_decode((const uint8_t *)"QUJDREVG", 8, out, 4), 4);
	assert_memory_equal(out, "ABCD", 4);
}

static void subjects(void **state)
{
	struct fixture_spec spec = {.cn = "Some subject", .dns = {"a.example"}};
	struct fixture_cert ca =
		fixture_cert(&(struct fixture_spec){.cn = "Some issuer", .ca = true}, NULL);
	struct fixture_cert cert = fixture_cert(&spec, &ca), old;
	gnutls_datum_t der = fixture_der(&cert), name;
	size_t offset, size, enough = 0;

	(void)state;
	assert_true(tls_der_subject(der.data, der.size, &offset, &size));
	assert_int_equal(gnutls_x509_crt_get_raw_dn(cert.crt, &name), 0);
	assert_int_equal(size, name.size);
	assert_memory_equal(der.data + offset, name.data, size);
	gnutls_free(name.data);
	/* The beginning is enough, and less is noticed. */
	for (size_t len = 0; len <= der.size; len++) {
		uint8_t *copy = malloc(len ? len : 1);

		memcpy(copy, der.data, len);
		if (tls_der_subject(copy, len, &offset, &size) && !enough)
			enough = len;
		assert_true(!enough || offset + size <= len);
		free(copy);
	}
	assert_int_equal(enough, offset + size);
	spec = (struct fixture_spec){.cn = "Old", .version1 = true};
	old = fixture_cert(&spec, NULL);
	der = fixture_der(&old);
	assert_true(tls_der_subject(der.data, der.size, &offset, &size));
}

static void noise(void **state)
{
	unsigned seed = 3;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		size_t len = (size_t)rand_r(&seed) % 64, offset, size;
		uint8_t *bytes = malloc(len ? len : 1);

		for (size_t i = 0; i < len; i++)
			bytes[i] = i < 8 && round % 2 ? "\x30\x3e\x30\x3c\x02\x01\x30\x00"[i]
						      : (uint8_t)(rand_r(&seed) >> 5);
		if (tls_der_subject(bytes, len, &offset, &size))
			assert_true(offset + size <= len);
		free(bytes);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blocks),
		cmocka_unit_test(base64),
		cmocka_unit_test(subjects),
		cmocka_unit_test(noise),
	};

	return cmocka_run_group_tests_name("tls_pem", tests, NULL, NULL);
}
