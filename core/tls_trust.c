/* A trust list that grows by what chains ask for.  It is changed under the write lock and verified against
 * under the read lock, so verifications run side by side. */
#include "core/tls_trust.h"

#include "core/tls_file.h"
#include "core/tls_index.h"
#include "core/tls_reason.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* Where systems keep their bundle, first found first. */
static const char *const system_bundles[] = {
	"/etc/ssl/certs/ca-certificates.crt",
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
	"/etc/pki/tls/certs/ca-bundle.crt",
	"/etc/ssl/ca-bundle.pem",
	"/etc/ssl/cert.pem",
};

struct tls_trust {
	atomic_uint refs;
	enum tls_trust_kind kind;
	char *path;
	struct tls_file_id id; /* of path, when the object was made */
	bool indexed;
	struct tls_index index;
	gnutls_x509_trust_list_t list; /* exists while indexed */
};

/* One lock for all stores, so that fork(2) has few to hold. */
static pthread_rwlock_t trust_lock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_mutex_t system_lock = PTHREAD_MUTEX_INITIALIZER;
static struct tls_trust *system_trust;

static void trust_clear(struct tls_trust *trust)
{
	if (trust->indexed)
		gnutls_x509_trust_list_deinit(trust->list, 1);
	tls_index_drop(&trust->index);
	trust->indexed = false;
}

static int trust_index(struct tls_trust *trust)
{
	int error = trust->kind == TLS_TRUST_DIRECTORY ? tls_index_directory(&trust->index, trust->path)
						       : tls_index_file(&trust->index, trust->path);

	if (!error && gnutls_x509_trust_list_init(&trust->list, 0) < 0) {
		tls_index_drop(&trust->index);
		error = -ENOMEM;
	}
	trust->indexed = !error;
	return error;
}

static int add_certificate(struct tls_trust *trust, const gnutls_datum_t *der)
{
	gnutls_x509_crt_t crt;
	int error = gnutls_x509_crt_init(&crt);

	if (error < 0)
		return -ENOMEM;
	error = gnutls_x509_crt_import(crt, der, GNUTLS_X509_FMT_DER);
	if (!error && gnutls_x509_trust_list_add_cas(trust->list, &crt, 1, GNUTLS_TL_NO_DUPLICATES) == 1)
		return 0;
	gnutls_x509_crt_deinit(crt);
	/* What GnuTLS cannot parse is not trusted, as in the full list. */
	return !error || error == GNUTLS_E_MEMORY_ERROR ? -ENOMEM : 0;
}

static int import_entry(struct tls_trust *trust, const struct tls_index_entry *entry)
{
	uint8_t *data;
	size_t size;
	int error = tls_index_read(&trust->index, entry, &data, &size);

	if (error)
		return error == -EINVAL ? 0 : error;
	error = add_certificate(trust, &(gnutls_datum_t){data, (unsigned)size});
	free(data);
	return error;
}

/* Returns whether something of this subject is still to be imported; with `import`, imports it. */
static int subject_missing(struct tls_trust *trust, uint64_t subject, bool import)
{
	struct tls_index_entry *entry = tls_index_find(&trust->index, subject);

	for (; entry; entry = tls_index_next(&trust->index, entry)) {
		int error;

		if (entry->imported)
			continue;
		if (!import)
			return 1;
		error = import_entry(trust, entry);
		if (error)
			return error;
		entry->imported = true;
	}
	return 0;
}

static int names_missing(struct tls_trust *trust, const uint64_t *names, unsigned n, bool import)
{
	int missing = trust->indexed ? 0 : 1;

	for (unsigned i = 0; i < n && !missing; i++)
		missing = subject_missing(trust, names[i], import);
	return missing;
}

/* Under the write lock.  A file that changed since it was indexed makes a new index, once. */
static int import_names(struct tls_trust *trust, const uint64_t *names, unsigned n)
{
	int error = -ESTALE;

	for (int attempt = 0; attempt < 2 && (error == -ESTALE || error == -ENOENT); attempt++) {
		if (attempt)
			trust_clear(trust);
		error = trust->indexed ? 0 : trust_index(trust);
		if (!error)
			error = names_missing(trust, names, n, true);
	}
	return error;
}

static uint64_t name_of(gnutls_x509_crt_t crt, bool issuer)
{
	gnutls_datum_t name = {NULL, 0};
	uint64_t hash;

	if ((issuer ? gnutls_x509_crt_get_raw_issuer_dn : gnutls_x509_crt_get_raw_dn)(crt, &name) < 0)
		return 0;
	hash = tls_index_hash(name.data, name.size);
	gnutls_free(name.data);
	return hash;
}

#define CHAIN_MAX 64

/* Returns 0 with the read lock held and everything imported that the chain could lead to, or -errno. */
static int lock_for_chain(struct tls_trust *trust, gnutls_x509_crt_t *chain, unsigned n)
{
	uint64_t names[2 * CHAIN_MAX];
	unsigned n_names = 0;
	int error;

	if (n > CHAIN_MAX)
		return -E2BIG;
	for (unsigned i = 0; i < n; i++) {
		names[n_names++] = name_of(chain[i], true);
		names[n_names++] = name_of(chain[i], false);
	}
	pthread_rwlock_rdlock(&trust_lock);
	while (names_missing(trust, names, n_names, false)) {
		pthread_rwlock_unlock(&trust_lock);
		pthread_rwlock_wrlock(&trust_lock);
		error = import_names(trust, names, n_names);
		pthread_rwlock_unlock(&trust_lock);
		if (error)
			return error;
		pthread_rwlock_rdlock(&trust_lock);
	}
	return 0;
}

int tls_trust_verify(struct tls_trust *trust, gnutls_x509_crt_t *chain, unsigned n, const char *purpose,
		     unsigned flags, unsigned *ret_status)
{
	gnutls_typed_vdata_st data = {.type = GNUTLS_DT_KEY_PURPOSE_OID, .data = (unsigned char *)purpose};
	int error = lock_for_chain(trust, chain, n);

	if (error)
		return error;
	error = gnutls_x509_trust_list_verify_crt2(trust->list, chain, n, &data, purpose ? 1 : 0, flags,
						   ret_status, NULL);
	pthread_rwlock_unlock(&trust_lock);
	if (error == GNUTLS_E_MEMORY_ERROR)
		return -ENOMEM;
	if (error < 0)
		*ret_status = GNUTLS_CERT_INVALID;
	return 0;
}

gnutls_x509_crt_t tls_trust_issuer(struct tls_trust *trust, gnutls_x509_crt_t crt)
{
	gnutls_x509_crt_t issuer = NULL;

	if (lock_for_chain(trust, &crt, 1))
		return NULL;
	if (gnutls_x509_trust_list_get_issuer(trust->list, crt, &issuer, GNUTLS_TL_GET_COPY) < 0)
		issuer = NULL;
	pthread_rwlock_unlock(&trust_lock);
	return issuer;
}

void tls_trust_count(struct tls_trust *trust, unsigned *ret_known, unsigned *ret_imported)
{
	pthread_rwlock_rdlock(&trust_lock);
	*ret_known = trust->index.n_entries;
	*ret_imported = 0;
	for (unsigned i = 0; i < trust->index.n_entries; i++)
		*ret_imported += trust->index.entries[i].imported;
	pthread_rwlock_unlock(&trust_lock);
}

static void trust_free(struct tls_trust *trust)
{
	trust_clear(trust);
	free(trust->path);
	free(trust);
}

static struct tls_trust *trust_make(enum tls_trust_kind kind, const char *path, const struct tls_file_id *id)
{
	struct tls_trust *trust = calloc(1, sizeof(*trust));

	if (!trust)
		return NULL;
	atomic_init(&trust->refs, 1);
	trust->kind = kind;
	trust->id = *id;
	trust->path = strdup(path);
	if (!trust->path) {
		free(trust);
		return NULL;
	}
	return trust;
}

struct tls_trust *tls_trust_ref(struct tls_trust *trust)
{
	atomic_fetch_add(&trust->refs, 1);
	return trust;
}

void tls_trust_unref(struct tls_trust *trust)
{
	if (trust && atomic_fetch_sub(&trust->refs, 1) == 1)
		trust_free(trust);
}

const char *tls_trust_path(const struct tls_trust *trust)
{
	return trust->path;
}

static const char *system_find(struct tls_file_id *ret)
{
	for (size_t i = 0; i < sizeof(system_bundles) / sizeof(system_bundles[0]); i++)
		if (tls_file_identify(system_bundles[i], ret) == 0)
			return system_bundles[i];
	return NULL;
}

const char *tls_trust_system_path(void)
{
	struct tls_file_id id;

	return system_find(&id);
}

/* Under system_lock.  The object keeps a reference of its own, so that the next rule finds it. */
static int system_get(struct tls_trust **ret)
{
	struct tls_file_id id;
	const char *path = system_find(&id);

	if (!path)
		return -ENOENT;
	if (!system_trust || !tls_file_same(&system_trust->id, &id)) {
		tls_trust_unref(system_trust);
		system_trust = trust_make(TLS_TRUST_SYSTEM, path, &id);
	}
	if (!system_trust)
		return -ENOMEM;
	*ret = tls_trust_ref(system_trust);
	return 0;
}

/* A store of one's own is indexed at once: a mistake in it should show when the rule is loaded. */
static int check_store(struct tls_trust *trust, struct tls_reason *reason)
{
	int error = trust_index(trust);

	if (error)
		return tls_reason_set(reason, error, "%s: %s", trust->path, strerror(-error));
	if (!trust->index.n_entries)
		return tls_reason_set(reason, -EINVAL, "%s: holds no certificate", trust->path);
	return 0;
}

static int own_get(struct tls_trust **ret, enum tls_trust_kind kind, const char *path,
		   struct tls_reason *reason)
{
	struct tls_file_id id;
	struct tls_trust *trust;
	int error = path ? tls_file_identify(path, &id) : -ENOENT;

	if (error)
		return tls_reason_set(reason, error, "%s: %s", path ? path : "trust store", strerror(-error));
	trust = trust_make(kind, path, &id);
	if (!trust)
		return -ENOMEM;
	error = check_store(trust, reason);
	if (error)
		trust_free(trust);
	else
		*ret = trust;
	return error;
}

int tls_trust_new(struct tls_trust **ret, enum tls_trust_kind kind, const char *path,
		  struct tls_reason *reason)
{
	int error;

	if (kind != TLS_TRUST_SYSTEM)
		return own_get(ret, kind, path, reason);
	pthread_mutex_lock(&system_lock);
	error = system_get(ret);
	pthread_mutex_unlock(&system_lock);
	if (error)
		tls_reason_set(reason, error, "the system has no bundle of trusted certificates");
	return error;
}

void tls_trust_fork_prepare(void)
{
	pthread_mutex_lock(&system_lock);
	pthread_rwlock_wrlock(&trust_lock);
}

void tls_trust_fork_parent(void)
{
	pthread_rwlock_unlock(&trust_lock);
	pthread_mutex_unlock(&system_lock);
}

void tls_trust_fork_child(void)
{
	/* The C library knows the holder of a write lock by its thread id, which is another one here. */
	trust_lock = (pthread_rwlock_t)PTHREAD_RWLOCK_INITIALIZER;
	pthread_mutex_unlock(&system_lock);
}
