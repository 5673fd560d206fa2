/* conf/item.c: every kind of scalar, what it takes and what it refuses. */
#include "conf/item.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "conf/conf.h"
#include "core/host.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define TEXT(t) {.type = INPUT_TEXT, .text = (t)}
#define INTEGER(n) {.type = INPUT_INTEGER, .integer = (n)}
#define BOOLEAN(b) {.type = INPUT_BOOLEAN, .integer = (b)}
#define NUMBER(n) {.type = INPUT_NUMBER, .number = (n)}

static struct arena arena;

/* One scalar of a key; `written` is how it is written again, or NULL if it is refused. */
struct row {
	enum conf_key_id key;
	struct value_input in;
	const char *written;
};

static void check_row(const struct row *row)
{
	const struct conf_key *key = &conf_keys[row->key];
	const struct item_kind *kind = &item_kinds[key->kind];
	struct value_reader reader = {&arena, "/etc/taps"};
	_Alignas(max_align_t) char item[256] = {0};
	char written[600];
	int r = kind->read(&reader, key, &row->in, item);

	assert_int_equal(r, row->written ? 0 : -EINVAL);
	if (!row->written)
		return;
	kind->format(key, item, written, sizeof(written));
	assert_string_equal(written, row->written);
}

static void check_rows(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		check_row(&rows[i]);
}

static void test_booleans(void **state)
{
	static const struct row rows[] = {
		{KEY_RACE_enabled, BOOLEAN(1), "true"},	  {KEY_RACE_enabled, BOOLEAN(0), "false"},
		{KEY_RACE_enabled, INTEGER(1), NULL},	  {KEY_RACE_enabled, TEXT("true"), NULL},
		{KEY_RACE_enabled, NUMBER(1.0), NULL},
	};

	(void)state;
	check_rows(rows, ARRAY_SIZE(rows));
}

static void test_integers(void **state)
{
	static const struct row rows[] = {
		{KEY_RACE_maxInFlight, INTEGER(1), "1"},     {KEY_RACE_maxInFlight, INTEGER(32), "32"},
		{KEY_RACE_maxInFlight, INTEGER(0), NULL},    {KEY_RACE_maxInFlight, INTEGER(33), NULL},
		{KEY_RACE_maxInFlight, INTEGER(-1), NULL},   {KEY_RACE_maxInFlight, INTEGER(INT64_MAX), NULL},
		{KEY_RACE_maxInFlight, INTEGER(4294967297), NULL},
		{KEY_RACE_maxInFlight, NUMBER(2), NULL},     {KEY_RACE_maxInFlight, TEXT("2"), NULL},
		{KEY_REMOTE_port, INTEGER(65535), "65535"},  {KEY_REMOTE_port, INTEGER(65536), NULL},
		{KEY_REMOTE_port, INTEGER(0), NULL},	     {KEY_RACE_attemptDelay, INTEGER(10), "10"},
		{KEY_RACE_attemptDelay, INTEGER(9), NULL},   {KEY_RACE_attemptDelay, INTEGER(2000), "2000"},
		{KEY_RACE_attemptDelay, INTEGER(2001), NULL}, {KEY_RACE_attemptDelay, BOOLEAN(1), NULL},
	};

	(void)state;
	check_rows(rows, ARRAY_SIZE(rows));
}

static void test_milliseconds(void **state)
{
	struct value_input in = INTEGER(250);
	int64_t ns = 0;

	(void)state;
	assert_int_equal(
		item_kinds[VALUE_MILLISECONDS].read(NULL, &conf_keys[KEY_RACE_attemptDelay], &in, &ns), 0);
	assert_int_equal(ns, 250 * NS_PER_MS);
}

static void test_words(void **state)
{
	static const struct row rows[] = {
		{KEY_TOP_resolver, TEXT("system"), "\"system\""},
		{KEY_TOP_resolver, TEXT("taps"), "\"taps\""},
		{KEY_TOP_resolver, TEXT("Taps"), NULL},
		{KEY_TOP_resolver, TEXT(""), NULL},
		{KEY_TOP_resolver, TEXT("tap"), NULL},
		{KEY_TOP_resolver, INTEGER(0), NULL},
		{KEY_MATCH_role, TEXT("listen"), "\"listen\""},
		{KEY_MATCH_type, TEXT("datagram"), "\"datagram\""},
	};

	(void)state;
	check_rows(rows, ARRAY_SIZE(rows));
}

#define LABEL "abcdefghijklmnopqrstuvwxyz-0123456789_abcdefghijklmnopqrstuvwxyz"

static void test_host_names(void **state)
{
	static const struct row rows[] = {
		{KEY_HOST_name, TEXT("a"), "\"a\""},
		{KEY_HOST_name, TEXT("DB-1.Example.com."), "\"DB-1.Example.com.\""},
		{KEY_HOST_name, TEXT("_srv._tcp.example"), "\"_srv._tcp.example\""},
		{KEY_HOST_name, TEXT("4chan.example"), "\"4chan.example\""},
		{KEY_HOST_name, TEXT("b\xc3\xbc" "cher.example"), "\"b\xc3\xbc" "cher.example\""},
		{KEY_HOST_name, TEXT(""), NULL},
		{KEY_HOST_name, TEXT("."), NULL},
		{KEY_HOST_name, TEXT(".a"), NULL},
		{KEY_HOST_name, TEXT("a..b"), NULL},
		{KEY_HOST_name, TEXT("a b"), NULL},
		{KEY_HOST_name, TEXT("http://a"), NULL},
		{KEY_HOST_name, TEXT("a:80"), NULL},
		{KEY_HOST_name, TEXT("*.a"), NULL},
		{KEY_HOST_name, TEXT("192.0.2.1"), NULL},
		{KEY_HOST_name, TEXT("::1"), NULL},
		{KEY_HOST_name, INTEGER(5), NULL},
		{KEY_HOST_name, TEXT(LABEL "." LABEL "." LABEL "." LABEL), NULL},
		{KEY_REMOTE_host, TEXT("a.example"), "\"a.example\""},
		{KEY_REMOTE_host, TEXT("192.0.2.1"), "\"192.0.2.1\""},
		{KEY_REMOTE_host, TEXT("2001:db8::1"), "\"2001:db8::1\""},
		{KEY_REMOTE_host, TEXT("192.0.2.256"), NULL},
		{KEY_REMOTE_host, TEXT("a/b"), NULL},
	};

	(void)state;
	check_rows(rows, ARRAY_SIZE(rows));
}

static void test_patterns(void **state)
{
	static const struct row rows[] = {
		{KEY_MATCH_host, TEXT("*"), "\"*\""},
		{KEY_MATCH_host, TEXT("*.example.com"), "\"*.example.com\""},
		{KEY_MATCH_host, TEXT("db*.example.*"), "\"db*.example.*\""},
		{KEY_MATCH_host, TEXT("192.0.2.*"), NULL},
		{KEY_MATCH_host, TEXT("10.0.0.1"), NULL},
		{KEY_MATCH_host, TEXT("*.*"), NULL},
		{KEY_MATCH_host, TEXT("a?b"), NULL},
		{KEY_MATCH_host, TEXT("[ab].example"), NULL},
		{KEY_MATCH_host, TEXT(""), NULL},
		{KEY_MATCH_host, BOOLEAN(1), NULL},
		{KEY_MATCH_program, TEXT("psql"), "\"psql\""},
		{KEY_MATCH_program, TEXT("python3*"), "\"python3*\""},
		{KEY_MATCH_program, TEXT("a \"b\\"), "\"a \\\"b\\\\\""},
		{KEY_MATCH_program, TEXT("tab\there"), "\"tab\\x09here\""},
		{KEY_MATCH_program, TEXT("/usr/bin/psql"), NULL},
		{KEY_MATCH_program, TEXT(""), NULL},
		{KEY_MATCH_program, NUMBER(1.5), NULL},
	};

	(void)state;
	check_rows(rows, ARRAY_SIZE(rows));
}

static void test_paths(void **state)
{
	static const struct row rows[] = {
		{KEY_TOP_include, TEXT("/a/b.conf"), "\"/a/b.conf\""},
		{KEY_TOP_include, TEXT("b.conf"), "\"/etc/taps/b.conf\""},
		{KEY_TOP_include, TEXT("../b.conf"), "\"/etc/taps/../b.conf\""},
		{KEY_TOP_include, TEXT(""), NULL},
		{KEY_TOP_include, INTEGER(1), NULL},
	};
	struct value_reader reader = {&arena, ""};
	struct value_input in = TEXT("b.conf");
	const char *path;

	(void)state;
	check_rows(rows, ARRAY_SIZE(rows));
	assert_int_equal(item_kinds[VALUE_PATHS].read(&reader, &conf_keys[KEY_TOP_include], &in, &path), 0);
	assert_string_equal(path, "b.conf");
}

static void test_addresses(void **state)
{
	static const struct row rows[] = {
		{KEY_HOST_address, TEXT("192.0.2.1"), "\"192.0.2.1\""},
		{KEY_HOST_address, TEXT("2001:DB8::1"), "\"2001:db8::1\""},
		{KEY_HOST_address, TEXT("192.0.2.1:80"), NULL},
		{KEY_HOST_address, TEXT("192.0.2"), NULL},
		{KEY_HOST_address, TEXT("localhost"), NULL},
		{KEY_HOST_address, TEXT(""), NULL},
		{KEY_HOST_address, INTEGER(1), NULL},
		{KEY_MATCH_address, TEXT("192.0.2.0/24"), "\"192.0.2.0/24\""},
		{KEY_MATCH_address, TEXT("192.0.2.1"), "\"192.0.2.1/32\""},
		{KEY_MATCH_address, TEXT("0.0.0.0/0"), "\"0.0.0.0/0\""},
		{KEY_MATCH_address, TEXT("2001:db8::/32"), "\"2001:db8::/32\""},
		{KEY_MATCH_address, TEXT("::1"), "\"::1/128\""},
		{KEY_MATCH_address, TEXT("192.0.2.0/33"), NULL},
		{KEY_MATCH_address, TEXT("2001:db8::/129"), NULL},
		{KEY_MATCH_address, TEXT("192.0.2.0/"), NULL},
		{KEY_MATCH_address, TEXT("192.0.2.0/-1"), NULL},
		{KEY_MATCH_address, TEXT("192.0.2.0/24/24"), NULL},
		{KEY_MATCH_address, TEXT("192.0.2.0/255.255.255.0"), NULL},
		{KEY_MATCH_address, TEXT("::ffff:192.0.2.0/120"), NULL},
		{KEY_MATCH_address, TEXT("/24"), NULL},
		{KEY_MATCH_address, TEXT("example.com"), NULL},
		{KEY_MATCH_address, TEXT(LABEL LABEL), NULL},
		{KEY_MATCH_address, INTEGER(10), NULL},
	};

	(void)state;
	check_rows(rows, ARRAY_SIZE(rows));
}

static void test_ports(void **state)
{
	static const struct row rows[] = {
		{KEY_MATCH_port, INTEGER(1), "1"},
		{KEY_MATCH_port, INTEGER(65535), "65535"},
		{KEY_MATCH_port, TEXT("80"), "80"},
		{KEY_MATCH_port, TEXT("8000-8099"), "\"8000-8099\""},
		{KEY_MATCH_port, TEXT("80-80"), "80"},
		{KEY_MATCH_port, INTEGER(0), NULL},
		{KEY_MATCH_port, INTEGER(65536), NULL},
		{KEY_MATCH_port, INTEGER(-80), NULL},
		{KEY_MATCH_port, TEXT("8099-8000"), NULL},
		{KEY_MATCH_port, TEXT("80-"), NULL},
		{KEY_MATCH_port, TEXT("-80"), NULL},
		{KEY_MATCH_port, TEXT("80-90-99"), NULL},
		{KEY_MATCH_port, TEXT("80 - 90"), NULL},
		{KEY_MATCH_port, TEXT("http"), NULL},
		{KEY_MATCH_port, TEXT(""), NULL},
		{KEY_MATCH_port, TEXT("1-65536"), NULL},
		{KEY_MATCH_port, TEXT("4294967376"), NULL},
		{KEY_MATCH_port, NUMBER(80), NULL},
		{KEY_MATCH_port, BOOLEAN(1), NULL},
	};

	(void)state;
	check_rows(rows, ARRAY_SIZE(rows));
}

#define BASE64 "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
#define HEX "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static void test_security(void **state)
{
	static const struct row rows[] = {
		{KEY_SECURITY_pinnedServerCertificate, TEXT("sha256/" BASE64), "\"sha256/" BASE64 "\""},
		{KEY_SECURITY_pinnedServerCertificate, TEXT(BASE64), "\"sha256/" BASE64 "\""},
		{KEY_SECURITY_pinnedServerCertificate, TEXT(HEX), "\"sha256/" HEX "\""},
		{KEY_SECURITY_pinnedServerCertificate, TEXT("sha256/" HEX), "\"sha256/" HEX "\""},
		{KEY_SECURITY_pinnedServerCertificate, TEXT("a.pem"), "\"/etc/taps/a.pem\""},
		{KEY_SECURITY_pinnedServerCertificate, TEXT("sha256/a.pem"), NULL},
		{KEY_SECURITY_pinnedServerCertificate, TEXT("sha256/" HEX "0"), NULL},
		{KEY_SECURITY_pinnedServerCertificate, TEXT(""), NULL},
		{KEY_SECURITY_pinnedServerCertificate, INTEGER(1), NULL},
		{KEY_SECURITY_supportedGroup, TEXT("x25519"), "\"x25519\""},
		{KEY_SECURITY_supportedGroup, TEXT("x25519:P-256"), NULL},
		{KEY_SECURITY_supportedGroup, TEXT(""), NULL},
		{KEY_SECURITY_alpn, TEXT("http/1.1"), "\"http/1.1\""},
		{KEY_SECURITY_alpn, TEXT(""), NULL},
		{KEY_SECURITY_alpn, BOOLEAN(1), NULL},
		{KEY_SECURITY_verifier, TEXT("a b"), "\"a b\""},
		{KEY_SECURITY_trust, TEXT("system"), "\"system\""},
		{KEY_SECURITY_trust, TEXT("ca.pem"), "\"/etc/taps/ca.pem\""},
		{KEY_SECURITY_trust, TEXT(""), NULL},
		{KEY_CERTIFICATE_key, TEXT("pkcs11:token=a"), "\"pkcs11:token=a\""},
		{KEY_SECURITY_allowedSecurityProtocols, TEXT("TLS1.2"), "\"TLS1.2\""},
		{KEY_SECURITY_allowedSecurityProtocols, TEXT("tls1.2"), NULL},
		{KEY_SECURITY_allowedSecurityProtocols, TEXT("SSL3"), NULL},
	};

	(void)state;
	check_rows(rows, ARRAY_SIZE(rows));
}

static void test_every_kind(void **state)
{
	(void)state;
	for (int i = 0; i < VALUES_N; i++) {
		bool plain = i != VALUE_GROUP && i != VALUE_GROUPS && i != VALUE_PROPERTY;

		assert_non_null(item_kinds[i].expects);
		assert_int_equal(item_kinds[i].read != NULL, plain);
		assert_int_equal(item_kinds[i].format != NULL, plain);
	}
}

static void test_cut_text(void **state)
{
	const char *text = "0123456789\"0123456789";
	char buf[16];

	(void)state;
	item_format_text(NULL, &text, buf, sizeof(buf));
	assert_true(strlen(buf) < sizeof(buf));
	assert_true(buf[0] == '"' && buf[strlen(buf) - 1] == '"');
	assert_memory_equal(buf + 1, text, strlen(buf) - 2);
}

static void *no_memory(size_t size)
{
	(void)size;
	return NULL;
}

static void test_no_memory(void **state)
{
	struct value_reader reader = {&(struct arena){0}, "/etc"};
	struct value_input in = TEXT("a");
	const char *text;

	(void)state;
	arena_source = no_memory;
	assert_int_equal(item_kinds[VALUE_HOSTNAME].read(&reader, &conf_keys[KEY_HOST_name], &in, &text),
			 -ENOMEM);
	assert_int_equal(item_kinds[VALUE_PATHS].read(&reader, &conf_keys[KEY_TOP_include], &in, &text),
			 -ENOMEM);
	arena_source = malloc;
}

static int teardown(void **state)
{
	(void)state;
	arena_fini(&arena);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_booleans),     cmocka_unit_test(test_integers),
		cmocka_unit_test(test_milliseconds), cmocka_unit_test(test_words),
		cmocka_unit_test(test_host_names),   cmocka_unit_test(test_patterns),
		cmocka_unit_test(test_paths),	     cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_ports),	     cmocka_unit_test(test_security),
		cmocka_unit_test(test_every_kind),   cmocka_unit_test(test_cut_text),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, teardown);
}
