#include "core/tls_priority.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <gnutls/gnutls.h>
#include <string.h>

#define LIST(...)                                                                   \
	{                                                                           \
		(const char *const[]){__VA_ARGS__},                                 \
			sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *) \
	}

static void strings(void **state)
{
	const struct {
		struct tls_options options;
		const char *has, *has_not;
	} cases[] = {
		{TLS_OPTIONS_INIT(TLS_CLIENT), "NORMAL:-VERS-ALL:+VERS-TLS1.3:", "TLS1.2"},
		{{.allowed_security_protocols = 3}, ":+VERS-TLS1.3:+VERS-TLS1.2:", "TLS1.1"},
		{{.allowed_security_protocols = 1}, ":+VERS-TLS1.2:", "TLS1.3"},
		{TLS_OPTIONS_INIT(TLS_CLIENT), ":+GROUP-X25519:+GROUP-SECP256R1:", "FFDHE"},
		{TLS_OPTIONS_INIT(TLS_CLIENT), ":+AES-128-GCM:+AES-256-GCM:+CHACHA20-POLY1305:", "CBC"},
		{{.allowed_security_protocols = 2, .supported_group = LIST("X448", "secp521r1")},
		 ":-GROUP-ALL:+GROUP-X448:+GROUP-SECP521R1:",
		 "X25519"},
		{{.allowed_security_protocols = 2, .ciphersuite = LIST("TLS_AES_256_GCM_SHA384")},
		 ":+AEAD:+AES-256-GCM:",
		 "AES-128"},
		{{.allowed_security_protocols = 2,
		  .signature_algorithm = LIST("ed25519", "rsa_pss_rsae_sha256")},
		 ":-SIGN-ALL:+SIGN-EdDSA-Ed25519:+SIGN-RSA-PSS-RSAE-SHA256:",
		 "ECDSA-SHA"},
		{{.allowed_security_protocols = 2, .n_psks = 1}, ":-KX-ALL:+ECDHE-PSK:", "\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[TLS_PRIORITY_MAX];
		gnutls_priority_t priority;
		struct tls_reason reason;

		assert_int_equal(tls_priority_string(&cases[i].options, text, &reason), 0);
		if (!strstr(text, cases[i].has) || strstr(text, cases[i].has_not))
			fail_msg("%s", text);
		assert_int_equal(gnutls_priority_init(&priority, text, NULL), 0);
		gnutls_priority_deinit(priority);
	}
}

/* Every name of the tables is one that GnuTLS takes. */
static void every_name(void **state)
{
	static const char *const suites[] = {
		"TLS_AES_128_GCM_SHA256",
		"TLS_AES_256_GCM_SHA384",
		"TLS_CHACHA20_POLY1305_SHA256",
		"TLS_AES_128_CCM_SHA256",
		"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
		"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
		"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
		"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
		"TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
		"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
	};
	static const char *const groups[] = {"x25519",	  "secp256r1", "secp384r1", "secp521r1",
					     "x448",	  "ffdhe2048", "ffdhe3072", "ffdhe4096",
					     "ffdhe6144", "ffdhe8192"};
	static const char *const signatures[] = {
		"ecdsa_secp256r1_sha256",
		"ecdsa_secp384r1_sha384",
		"ecdsa_secp521r1_sha512",
		"ed25519",
		"ed448",
		"rsa_pss_rsae_sha256",
		"rsa_pss_rsae_sha384",
		"rsa_pss_rsae_sha512",
		"rsa_pss_pss_sha256",
		"rsa_pss_pss_sha384",
		"rsa_pss_pss_sha512",
		"rsa_pkcs1_sha256",
		"rsa_pkcs1_sha384",
		"rsa_pkcs1_sha512",
	};
	struct tls_options options = {.allowed_security_protocols = 3};
	char text[TLS_PRIORITY_MAX];
	gnutls_priority_t priority;
	struct tls_reason reason;

	(void)state;
	options.ciphersuite = (struct tls_list){suites, 10};
	options.supported_group = (struct tls_list){groups, 10};
	options.signature_algorithm = (struct tls_list){signatures, 14};
	assert_int_equal(tls_priority_string(&options, text, &reason), 0);
	assert_int_equal(gnutls_priority_init(&priority, text, NULL), 0);
	gnutls_priority_deinit(priority);
}

static void mistakes(void **state)
{
	const struct {
		struct tls_options options;
		const char *reason;
	} cases[] = {
		{{.allowed_security_protocols = 0}, "allowedSecurityProtocols"},
		{{.allowed_security_protocols = 4}, "allowedSecurityProtocols"},
		{{.allowed_security_protocols = 2, .supported_group = LIST("x25519", "p256")},
		 "supportedGroup: unknown \"p256\", expected one of x25519, secp256r1"},
		{{.allowed_security_protocols = 2, .ciphersuite = LIST("AES")},
		 "ciphersuite: unknown \"AES\""},
		{{.allowed_security_protocols = 2, .signature_algorithm = LIST("rsa_pkcs1_sha1")},
		 "signatureAlgorithm: unknown \"rsa_pkcs1_sha1\""},
		{{.allowed_security_protocols = 3, .ciphersuite = LIST("TLS_AES_128_GCM_SHA256")},
		 "none for TLS 1.2"},
		{{.allowed_security_protocols = 2,
		  .ciphersuite = LIST("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256")},
		 "none for TLS 1.3"},
	};
	static const char *many[200];
	struct tls_options crowd = {.allowed_security_protocols = 2};
	char text[TLS_PRIORITY_MAX];
	struct tls_reason reason;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(tls_priority_string(&cases[i].options, text, &reason), -EINVAL);
		if (!strstr(reason.text, cases[i].reason))
			fail_msg("%s", reason.text);
	}
	for (size_t i = 0; i < 200; i++)
		many[i] = "secp256r1";
	crowd.supported_group = (struct tls_list){many, 200};
	assert_int_equal(tls_priority_string(&crowd, text, &reason), -EINVAL);
	assert_string_equal(reason.text, "too many algorithms");
}

static void suites_are_exact(void **state)
{
	static const char *const items[] = {"TLS_AES_128_GCM_SHA256", "tls_aes_256_gcm_sha384"};
	const struct tls_list list = {items, 2}, none = {NULL, 0};

	(void)state;
	assert_true(tls_priority_allows(&list, "TLS_AES_128_GCM_SHA256"));
	assert_true(tls_priority_allows(&list, "TLS_AES_256_GCM_SHA384"));
	assert_false(tls_priority_allows(&list, "TLS_CHACHA20_POLY1305_SHA256"));
	assert_true(tls_priority_allows(&none, "TLS_CHACHA20_POLY1305_SHA256"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(strings),
		cmocka_unit_test(every_name),
		cmocka_unit_test(mistakes),
		cmocka_unit_test(suites_are_exact),
	};

	return cmocka_run_group_tests_name("tls_priority", tests, NULL, NULL);
}
