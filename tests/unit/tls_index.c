#include "core/tls_index.h"
#include "tests/unit/tls_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t subject_of(const struct fixture_cert *cert)
{
	gnutls_datum_t name;
	uint64_t hash;

	assert_int_equal(gnutls_x509_crt_get_raw_dn(cert->crt, &name), 0);
	hash = tls_index_hash(name.data, name.size);
	gnutls_free(name.data);
	return hash;
}

static void finds_and_reads(void **state)
{
	struct tls_index index = {.n_entries = 0};
	struct fixture_cert certs[50];
	char names[50][100];
	const char *path;

	(void)state;
	for (int i = 0; i < 50; i++) {
		/* Some subjects reach further than the part that is decoded first; two share one. */
		snprintf(names[i], sizeof(names[i]), "%0*d", i % 7 ? 3 : 60, i == 49 ? 1 : i);
		certs[i] = fixture_cert(&(struct fixture_spec){.cn = names[i], .ca = true},
					i ? &certs[i - 1] : NULL);
	}
	path = fixture_write("fifty.pem", certs, 50, fixture_key(KEY_EC));
	assert_int_equal(tls_index_file(&index, path), 0);
	assert_int_equal(index.n_entries, 50);
	for (int i = 0; i < 50; i++) {
		struct tls_index_entry *entry = tls_index_find(&index, subject_of(&certs[i]));
		gnutls_datum_t der = fixture_der(&certs[i]);
		bool found = false;
		uint8_t *data;
		size_t size;

		for (; entry; entry = tls_index_next(&index, entry)) {
			assert_int_equal(tls_index_read(&index, entry, &data, &size), 0);
			found = found || (size == der.size && memcmp(data, der.data, size) == 0);
			free(data);
		}
		assert_true(found);
	}
	assert_null(tls_index_find(&index, 12345));
	tls_index_drop(&index);
	assert_int_equal(index.n_entries, 0);
	assert_null(tls_index_find(&index, 12345));
}

static void long_subject(void **state)
{
	struct tls_index index = {.n_entries = 0};
	struct fixture_cert cert = fixture_cert(&(struct fixture_spec){.cn = "x", .ca = true}, NULL);
	char text[64];

	(void)state;
	/* Many attributes make a subject of more than a kilobyte. */
	memset(text, 'o', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	for (int i = 0; i < 20; i++)
		assert_int_equal(gnutls_x509_crt_set_dn_by_oid(cert.crt,
							       GNUTLS_OID_X520_ORGANIZATIONAL_UNIT_NAME, 0,
							       text, (unsigned)strlen(text)),
				 0);
	assert_int_equal(gnutls_x509_crt_sign2(cert.crt, cert.crt, cert.key, GNUTLS_DIG_SHA256, 0), 0);
	assert_int_equal(tls_index_file(&index, fixture_write("long.pem", &cert, 1, NULL)), 0);
	assert_int_equal(index.n_entries, 1);
	tls_index_drop(&index);
}

static void changed_file(void **state)
{
	struct tls_index index = {.n_entries = 0};
	struct fixture_cert cert = fixture_cert(&(struct fixture_spec){.cn = "x", .ca = true}, NULL);
	uint8_t *data;
	size_t size;

	(void)state;
	assert_int_equal(tls_index_file(&index, fixture_write("x.pem", &cert, 1, NULL)), 0);
	fixture_write_text("x.pem", "nothing", 7);
	assert_int_equal(tls_index_read(&index, index.entries, &data, &size), -ESTALE);
	tls_index_drop(&index);
	assert_int_equal(tls_index_file(&index, fixture_path("absent")), -ENOENT);
	assert_int_equal(tls_index_directory(&index, fixture_path("absent")), -ENOENT);
}

static void damaged_blocks(void **state)
{
	static const char text[] = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
				   "-----BEGIN CERTIFICATE-----\n****\n-----END CERTIFICATE-----\n";
	struct tls_index index = {.n_entries = 0};

	(void)state;
	assert_int_equal(tls_index_file(&index, fixture_write_text("bad.pem", text, sizeof(text))), 0);
	assert_int_equal(index.n_entries, 0);
	tls_index_drop(&index);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_and_reads),
		cmocka_unit_test(long_subject),
		cmocka_unit_test(changed_file),
		cmocka_unit_test(damaged_blocks),
	};

	return cmocka_run_group_tests_name("tls_index", tests, NULL, NULL);
}
