/* From plain options to GnuTLS objects. Each load_ function makes one part and gives
 * the reason if it cannot; what is half made is freed in one place. */
#include "core/tls_credentials.h"

#include "core/tls_identity.h"
#include "core/tls_named.h"
#include "core/tls_pem.h"
#include "core/tls_priority.h"
#include "core/tls_reason.h"

#include <errno.h>
#include <gnutls/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define REFRESH_INTERVAL INT64_C(1000000000)

static int gnutls_failed(struct tls_reason *reason, const char *what, int code)
{
	int error = code == GNUTLS_E_MEMORY_ERROR ? -ENOMEM : -EINVAL;

	return tls_reason_set(reason, error, "%s: %s", what, gnutls_strerror(code));
}

/* --- the files behind them --- */

static void watch(struct tls_credentials *credentials, const char *path)
{
	struct tls_watched *watched;

	if (!path)
		return;
	watched = &credentials->watched[credentials->n_watched++];
	watched->path = path;
	tls_file_identify(path, &watched->id);
}

/* Before the files are read: what changes in between shows as a change later. */
static int watch_all(struct tls_credentials *credentials)
{
	const struct tls_options *options = credentials->options;

	credentials->watched = calloc(options->n_certificates * 3 + 3, sizeof(*credentials->watched));
	if (!credentials->watched)
		return -ENOMEM;
	for (size_t i = 0; i < options->n_certificates; i++) {
		watch(credentials, options->certificates[i].chain);
		watch(credentials, options->certificates[i].key);
		watch(credentials, options->certificates[i].staple);
	}
	watch(credentials,
	      options->trust == TLS_TRUST_SYSTEM ? tls_trust_system_path() : options->trust_path);
	watch(credentials, options->crl_file);
	return 0;
}

static bool files_changed(const struct tls_credentials *credentials)
{
	struct tls_file_id id;

	for (unsigned i = 0; i < credentials->n_watched; i++) {
		tls_file_identify(credentials->watched[i].path, &id);
		if (!tls_file_same(&id, &credentials->watched[i].id))
			return true;
	}
	return false;
}

/* --- what peers are judged by --- */

static int load_trust(struct tls_credentials *credentials, struct tls_reason *reason)
{
	const struct tls_options *options = credentials->options;
	bool judges = options->role == TLS_CLIENT || options->client_auth != TLS_CLIENT_AUTH_NONE;

	if (!judges || options->insecure_no_verify || options->n_psks)
		return 0;
	/* Whom all the world's authorities vouch for is no reason to let somebody in. */
	if (options->role == TLS_SERVER && options->trust == TLS_TRUST_SYSTEM)
		return tls_reason_set(reason, -EINVAL, "client certificates need a trust store of their own");
	return tls_trust_new(&credentials->verify.trust, options->trust, options->trust_path, reason);
}

static int load_crls(struct tls_credentials *credentials, struct tls_reason *reason)
{
	const char *path = credentials->options->crl_file;
	gnutls_datum_t text;
	uint8_t *data;
	size_t size;
	int error;

	if (!path)
		return 0;
	error = tls_file_read(path, &data, &size, NULL);
	if (error)
		return tls_reason_set(reason, error, "%s: %s", path, strerror(-error));
	text = (gnutls_datum_t){data, (unsigned)size};
	error = gnutls_x509_crl_list_import2(&credentials->verify.crls, &credentials->verify.n_crls, &text,
					     GNUTLS_X509_FMT_PEM, 0);
	free(data);
	if (error < 0)
		return gnutls_failed(reason, path, error);
	return credentials->verify.n_crls ? 0 : tls_reason_set(reason, -EINVAL, "%s: holds no list", path);
}

static bool decode_hex(const char *text, uint8_t pin[TLS_PIN_SIZE])
{
	gnutls_datum_t hex = {(unsigned char *)text, (unsigned)strlen(text)};
	size_t size = TLS_PIN_SIZE;

	return gnutls_hex_decode(&hex, pin, &size) == 0 && size == TLS_PIN_SIZE;
}

static bool decode_pin(const char *text, uint8_t pin[TLS_PIN_SIZE])
{
	uint8_t room[TLS_PIN_SIZE + 1];

	if (strncmp(text, "sha256/", 7) == 0)
		text += 7;
	if (strlen(text) == TLS_PIN_SIZE * 2)
		return decode_hex(text, pin);
	if (tls_base64_decode((const uint8_t *)text, strlen(text), room, sizeof(room)) != TLS_PIN_SIZE)
		return false;
	memcpy(pin, room, TLS_PIN_SIZE);
	return true;
}

static int load_pins(struct tls_credentials *credentials, struct tls_reason *reason)
{
	const struct tls_list *pins = &credentials->options->pins;
	struct tls_policy *verify = &credentials->verify;

	if (!pins->n)
		return 0;
	verify->pins = calloc(pins->n, sizeof(*verify->pins));
	if (!verify->pins)
		return -ENOMEM;
	for (; verify->n_pins < pins->n; verify->n_pins++)
		if (!decode_pin(pins->items[verify->n_pins], verify->pins[verify->n_pins]))
			return tls_reason_set(reason, -EINVAL,
					      "pinnedServerCertificate: \"%s\" is no SHA-256",
					      pins->items[verify->n_pins]);
	return 0;
}

/* --- how the handshake goes --- */

static int load_priority(struct tls_credentials *credentials, struct tls_reason *reason)
{
	char text[TLS_PRIORITY_MAX];
	int error = tls_priority_string(credentials->options, text, reason);

	if (error)
		return error;
	error = gnutls_priority_init(&credentials->priority, text, NULL);
	return error < 0 ? gnutls_failed(reason, "algorithms", error) : 0;
}

/* GnuTLS asks: was this handshake's early data seen before?  (gnutls_db_add_func) */
static int replay_add(void *arg, time_t expires, const gnutls_datum_t *key, const gnutls_datum_t *data)
{
	(void)data;
	return tls_replay_add(arg, key->data, key->size, expires, time(NULL)) ? GNUTLS_E_DB_ENTRY_EXISTS : 0;
}

static int load_resumption(struct tls_credentials *credentials, struct tls_reason *reason)
{
	const struct tls_options *options = credentials->options;

	(void)reason;
	if (options->role != TLS_SERVER || !options->max_cached_sessions)
		return 0;
	if (gnutls_session_ticket_key_generate(&credentials->ticket_key) < 0)
		return -ENOMEM;
	if (!options->early_data_max)
		return 0;
	credentials->replay = tls_replay_new();
	if (!credentials->replay || gnutls_anti_replay_init(&credentials->anti_replay) < 0)
		return -ENOMEM;
	gnutls_anti_replay_set_ptr(credentials->anti_replay, credentials->replay);
	gnutls_anti_replay_set_add_function(credentials->anti_replay, replay_add);
	return 0;
}

/* --- the fingerprint of the policy --- */

static void hash_bytes(gnutls_hash_hd_t hash, const void *data, size_t size)
{
	uint64_t length = size;

	/* Lengths first, or neighbours could flow into each other. */
	gnutls_hash(hash, &length, sizeof(length));
	if (size)
		gnutls_hash(hash, data, size);
}

static void hash_text(gnutls_hash_hd_t hash, const char *text)
{
	hash_bytes(hash, text ? text : "", text ? strlen(text) + 1 : 0);
}

static void hash_list(gnutls_hash_hd_t hash, const struct tls_list *list)
{
	hash_bytes(hash, &list->n, sizeof(list->n));
	for (size_t i = 0; i < list->n; i++)
		hash_text(hash, list->items[i]);
}

static void hash_numbers(gnutls_hash_hd_t hash, const struct tls_options *options)
{
	const unsigned numbers[] = {
		options->role, options->allowed_security_protocols, options->trust, options->staple,
		options->client_auth, options->insecure_no_verify, options->verifier_timeout_ms,
	};

	hash_bytes(hash, numbers, sizeof(numbers));
}

static int load_policy(struct tls_credentials *credentials, struct tls_reason *reason)
{
	const struct tls_options *options = credentials->options;
	const struct tls_list *const lists[] = {&options->pins, &options->alpn, &options->supported_group,
						&options->ciphersuite, &options->signature_algorithm};
	gnutls_hash_hd_t hash;

	(void)reason;
	if (gnutls_hash_init(&hash, GNUTLS_DIG_SHA256) < 0)
		return -ENOMEM;
	hash_numbers(hash, options);
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		hash_list(hash, lists[i]);
	hash_text(hash, options->verifier);
	hash_text(hash, options->sni_off ? NULL : options->sni_name);
	for (size_t i = 0; i < options->n_psks; i++)
		hash_text(hash, options->psks[i].identity);
	for (size_t i = 0; i < options->n_psks; i++)
		hash_text(hash, options->psks[i].key);
	for (unsigned i = 0; i < credentials->n_watched; i++) {
		hash_text(hash, credentials->watched[i].path);
		hash_bytes(hash, &credentials->watched[i].id, sizeof(credentials->watched[i].id));
	}
	gnutls_hash_deinit(hash, credentials->policy);
	return 0;
}

/* --- life --- */

static void credentials_free(struct tls_credentials *credentials)
{
	struct tls_policy *verify = &credentials->verify;

	if (credentials->certificates)
		gnutls_certificate_free_credentials(credentials->certificates);
	tls_named_free(credentials);
	if (credentials->psk_client)
		gnutls_psk_free_client_credentials(credentials->psk_client);
	if (credentials->psk_server)
		gnutls_psk_free_server_credentials(credentials->psk_server);
	if (credentials->priority)
		gnutls_priority_deinit(credentials->priority);
	if (credentials->anti_replay)
		gnutls_anti_replay_deinit(credentials->anti_replay);
	if (credentials->ticket_key.data)
		gnutls_memset(credentials->ticket_key.data, 0, credentials->ticket_key.size);
	gnutls_free(credentials->ticket_key.data);
	tls_replay_free(credentials->replay);
	tls_trust_unref(verify->trust);
	for (unsigned i = 0; i < verify->n_crls; i++)
		gnutls_x509_crl_deinit(verify->crls[i]);
	gnutls_free(verify->crls);
	free(verify->pins);
	free(credentials->watched);
	free(credentials);
}

typedef int load_function(struct tls_credentials *credentials, struct tls_reason *reason);

static load_function *const parts[] = {
	load_priority, tls_identity_load, tls_identity_load_psks, load_trust, load_crls,
	load_pins,     load_resumption,   load_policy,
};

int tls_credentials_new(struct tls_credentials **ret, const struct tls_options *options,
			struct tls_reason *reason)
{
	struct tls_credentials *credentials = calloc(1, sizeof(*credentials));
	int error = 0;

	tls_reason_set(reason, 0, "%s", strerror(ENOMEM));
	if (!credentials)
		return -ENOMEM;
	atomic_init(&credentials->refs, 1);
	credentials->options = options;
	credentials->verify.role = options->role;
	credentials->verify.staple = options->staple;
	error = watch_all(credentials);
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]) && !error; i++)
		error = parts[i](credentials, reason);
	if (error) {
		credentials_free(credentials);
		return error;
	}
	tls_reason_set(reason, 0, "%s", "");
	*ret = credentials;
	return 0;
}

struct tls_credentials *tls_credentials_ref(struct tls_credentials *credentials)
{
	atomic_fetch_add(&credentials->refs, 1);
	return credentials;
}

void tls_credentials_unref(struct tls_credentials *credentials)
{
	if (credentials && atomic_fetch_sub(&credentials->refs, 1) == 1)
		credentials_free(credentials);
}

const struct tls_options *tls_credentials_options(const struct tls_credentials *credentials)
{
	return credentials->options;
}

const uint8_t *tls_credentials_policy(const struct tls_credentials *credentials)
{
	return credentials->policy;
}

int tls_credentials_refresh(struct tls_credentials **credentials, int64_t now, struct tls_reason *reason)
{
	struct tls_credentials *old = *credentials, *new;
	int error;

	if (now - old->checked < REFRESH_INTERVAL)
		return 0;
	old->checked = now;
	if (!files_changed(old))
		return 0;
	error = tls_credentials_new(&new, old->options, reason);
	if (error)
		return error;
	new->checked = now;
	*credentials = new;
	tls_credentials_unref(old);
	return 1;
}
