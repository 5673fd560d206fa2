/* Start from nothing and add: NORMAL in GnuTLS 3.7 still holds TLS 1.0, CBC and SHA-1. */
#include "core/tls_priority.h"

#include "core/tls_reason.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* A name of the registry, and what it adds to the priority string. */
struct algorithm {
	const char *name;
	const char *adds;
	unsigned versions; /* that it can be used with */
};

#define V12 TLS_VERSION_1_2
#define V13 TLS_VERSION_1_3
#define BOTH (V12 | V13)

static const struct algorithm suites[] = {
	{"TLS_AES_128_GCM_SHA256", ":+AES-128-GCM", V13},
	{"TLS_AES_256_GCM_SHA384", ":+AES-256-GCM", V13},
	{"TLS_CHACHA20_POLY1305_SHA256", ":+CHACHA20-POLY1305", V13},
	{"TLS_AES_128_CCM_SHA256", ":+AES-128-CCM", V13},
	{"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", ":+AES-128-GCM:+ECDHE-ECDSA", V12},
	{"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", ":+AES-256-GCM:+ECDHE-ECDSA", V12},
	{"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", ":+CHACHA20-POLY1305:+ECDHE-ECDSA", V12},
	{"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", ":+AES-128-GCM:+ECDHE-RSA", V12},
	{"TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", ":+AES-256-GCM:+ECDHE-RSA", V12},
	{"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", ":+CHACHA20-POLY1305:+ECDHE-RSA", V12},
	{NULL, NULL, 0},
};

static const struct algorithm groups[] = {
	{"x25519", ":+GROUP-X25519", BOTH},
	{"secp256r1", ":+GROUP-SECP256R1", BOTH},
	{"secp384r1", ":+GROUP-SECP384R1", BOTH},
	{"secp521r1", ":+GROUP-SECP521R1", BOTH},
	{"x448", ":+GROUP-X448", BOTH},
	{"ffdhe2048", ":+GROUP-FFDHE2048", BOTH},
	{"ffdhe3072", ":+GROUP-FFDHE3072", BOTH},
	{"ffdhe4096", ":+GROUP-FFDHE4096", BOTH},
	{"ffdhe6144", ":+GROUP-FFDHE6144", BOTH},
	{"ffdhe8192", ":+GROUP-FFDHE8192", BOTH},
	{NULL, NULL, 0},
};

/* GnuTLS has two names for an ECDSA algorithm: of TLS 1.2, any curve, and of TLS 1.3, that curve. */
static const struct algorithm signatures[] = {
	{"ecdsa_secp256r1_sha256", ":+SIGN-ECDSA-SECP256R1-SHA256:+SIGN-ECDSA-SHA256", BOTH},
	{"ecdsa_secp384r1_sha384", ":+SIGN-ECDSA-SECP384R1-SHA384:+SIGN-ECDSA-SHA384", BOTH},
	{"ecdsa_secp521r1_sha512", ":+SIGN-ECDSA-SECP521R1-SHA512:+SIGN-ECDSA-SHA512", BOTH},
	{"ed25519", ":+SIGN-EdDSA-Ed25519", BOTH},
	{"ed448", ":+SIGN-EdDSA-Ed448", BOTH},
	{"rsa_pss_rsae_sha256", ":+SIGN-RSA-PSS-RSAE-SHA256", BOTH},
	{"rsa_pss_rsae_sha384", ":+SIGN-RSA-PSS-RSAE-SHA384", BOTH},
	{"rsa_pss_rsae_sha512", ":+SIGN-RSA-PSS-RSAE-SHA512", BOTH},
	{"rsa_pss_pss_sha256", ":+SIGN-RSA-PSS-SHA256", BOTH},
	{"rsa_pss_pss_sha384", ":+SIGN-RSA-PSS-SHA384", BOTH},
	{"rsa_pss_pss_sha512", ":+SIGN-RSA-PSS-SHA512", BOTH},
	{"rsa_pkcs1_sha256", ":+SIGN-RSA-SHA256", BOTH},
	{"rsa_pkcs1_sha384", ":+SIGN-RSA-SHA384", BOTH},
	{"rsa_pkcs1_sha512", ":+SIGN-RSA-SHA512", BOTH},
	{NULL, NULL, 0},
};

/* One of the lists: its key, its names, and what stands for it when it is empty. */
struct part {
	const char *key;
	const struct algorithm *algorithms;
	const char *clear, *otherwise;
};

static const struct part suite_part = {
	.key = "ciphersuite",
	.algorithms = suites,
	.clear = ":-CIPHER-ALL:-KX-ALL:-MAC-ALL:+AEAD",
	.otherwise = ":+AES-128-GCM:+AES-256-GCM:+CHACHA20-POLY1305:+ECDHE-ECDSA:+ECDHE-RSA",
};

/* X25519 first makes handshakes 1.1 to 1.3 times as fast as two key shares do. */
static const struct part group_part = {
	.key = "supportedGroup",
	.algorithms = groups,
	.clear = ":-GROUP-ALL",
	.otherwise = ":+GROUP-X25519:+GROUP-SECP256R1:+GROUP-SECP384R1:+GROUP-SECP521R1:+GROUP-X448",
};

static const struct part signature_part = {
	.key = "signatureAlgorithm",
	.algorithms = signatures,
	.clear = ":-SIGN-ALL",
	.otherwise = ":+SIGN-ALL:-SIGN-RSA-SHA1:-SIGN-ECDSA-SHA1",
};

/* The string under construction; `full` once something did not fit. */
struct builder {
	char *text;
	size_t used;
	bool full;
};

static void append(struct builder *builder, const char *text)
{
	size_t len = strlen(text);

	if (builder->full || len >= TLS_PRIORITY_MAX - builder->used) {
		builder->full = true;
		return;
	}
	memcpy(builder->text + builder->used, text, len + 1);
	builder->used += len;
}

static const struct algorithm *find(const struct algorithm *table, const char *name)
{
	for (; table->name; table++)
		if (strcasecmp(table->name, name) == 0)
			return table;
	return NULL;
}

static int unknown(const struct part *part, const char *name, struct tls_reason *reason)
{
	char known[200] = "";
	size_t used = 0;

	for (const struct algorithm *a = part->algorithms; a->name && used < sizeof(known); a++)
		used += (size_t)snprintf(known + used, sizeof(known) - used, "%s%s", used ? ", " : "",
					 a->name);
	return tls_reason_set(reason, -EINVAL, "%s: unknown \"%s\", expected one of %s", part->key, name,
			      known);
}

/* Adds one list.  *ret_versions gets the versions that something in it serves. */
static int append_list(struct builder *builder, const struct part *part, const struct tls_list *list,
		       unsigned *ret_versions, struct tls_reason *reason)
{
	append(builder, part->clear);
	*ret_versions = list->n ? 0 : BOTH;
	if (!list->n)
		append(builder, part->otherwise);
	for (size_t i = 0; i < list->n; i++) {
		const struct algorithm *algorithm = find(part->algorithms, list->items[i]);

		if (!algorithm)
			return unknown(part, list->items[i], reason);
		append(builder, algorithm->adds);
		*ret_versions |= algorithm->versions;
	}
	return 0;
}

static int append_versions(struct builder *builder, unsigned versions, struct tls_reason *reason)
{
	if (!versions || (versions & ~(unsigned)BOTH))
		return tls_reason_set(reason, -EINVAL, "allowedSecurityProtocols: none is supported");
	append(builder, "NORMAL:-VERS-ALL");
	if (versions & TLS_VERSION_1_3)
		append(builder, ":+VERS-TLS1.3");
	if (versions & TLS_VERSION_1_2)
		append(builder, ":+VERS-TLS1.2");
	return 0;
}

int tls_priority_string(const struct tls_options *options, char ret[TLS_PRIORITY_MAX],
			struct tls_reason *reason)
{
	struct builder builder = {.text = ret};
	unsigned wanted = options->allowed_security_protocols, served, ignored;
	int error = append_versions(&builder, wanted, reason);

	if (!error)
		error = append_list(&builder, &suite_part, &options->ciphersuite, &served, reason);
	if (!error && (wanted & ~served))
		error = tls_reason_set(reason, -EINVAL, "ciphersuite: none for %s",
				       wanted & ~served & TLS_VERSION_1_3 ? "TLS 1.3" : "TLS 1.2");
	if (!error)
		error = append_list(&builder, &group_part, &options->supported_group, &ignored, reason);
	if (!error)
		error = append_list(&builder, &signature_part, &options->signature_algorithm, &ignored,
				    reason);
	if (error)
		return error;
	if (options->n_psks)
		append(&builder, ":-KX-ALL:+ECDHE-PSK");
	append(&builder, ":%PROFILE_MEDIUM");
	return builder.full ? tls_reason_set(reason, -EINVAL, "too many algorithms") : 0;
}

bool tls_priority_allows(const struct tls_list *ciphersuite, const char *negotiated)
{
	for (size_t i = 0; i < ciphersuite->n; i++)
		if (strcasecmp(ciphersuite->items[i], negotiated) == 0)
			return true;
	return ciphersuite->n == 0;
}
