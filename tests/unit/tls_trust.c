/* The lazy store must judge as GnuTLS' full list does. */
#include "core/tls_trust.h"
#include "tests/unit/tls_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SYSTEM_BUNDLE "/etc/ssl/certs/ca-certificates.crt"
#define POOL_MAX 32

/* Certificates to make chains of, and those among them that are trusted. */
static struct fixture_cert pool[POOL_MAX], trusted[8];
static unsigned n_pool, n_trusted;

static struct fixture_cert *add(const struct fixture_spec *spec, const struct fixture_cert *issuer)
{
	assert_true(n_pool < POOL_MAX);
	pool[n_pool] = fixture_cert(spec, issuer);
	return &pool[n_pool++];
}

static void trust(const struct fixture_cert *cert)
{
	trusted[n_trusted++] = *cert;
}

static void make_pool(void)
{
	static const struct fixture_spec root = {.cn = "Root", .ca = true},
					 twin = {.cn = "Root", .ca = true, .key = KEY_EC2};
	static const struct fixture_spec middle = {.cn = "Middle", .ca = true, .key = KEY_RSA};
	static const struct fixture_spec leaf = {.cn = "leaf", .dns = {"server.example"}, .key = KEY_EC2};
	struct fixture_cert *root1 = add(&root, NULL), *root2 = add(&twin, NULL);
	struct fixture_cert *foreign =
		add(&(struct fixture_spec){.cn = "Foreign", .ca = true, .key = KEY_EC2}, NULL);
	struct fixture_cert *middle1 = add(&middle, root1);

	trust(root1);
	trust(root2);
	add(&middle, root2);
	add(&middle, foreign);
	add(&leaf, middle1);
	add(&leaf, root1);
	add(&leaf, root2);
	add(&leaf, foreign);
	add(&leaf, NULL);
	add(&(struct fixture_spec){.cn = "Middle",
				   .ca = true,
				   .key = KEY_RSA,
				   .from_hours = -9,
				   .to_hours = -1},
	    root1);
	add(&(struct fixture_spec){.cn = "leaf", .from_hours = -9, .to_hours = -1}, middle1);
	add(&(struct fixture_spec){.cn = "leaf", .purpose = {GNUTLS_KP_TLS_WWW_CLIENT}}, middle1);
	add(&(struct fixture_spec){.cn = "Root", .ca = true}, foreign);
	add(&(struct fixture_spec){.cn = "Root", .ca = true, .from_hours = -9, .to_hours = -1}, NULL);
	add(&(struct fixture_spec){.cn = "Narrow",
				   .ca = true,
				   .key = KEY_RSA,
				   .permitted = "other.example"},
	    root1);
	add(&leaf, &pool[n_pool - 1]);
	add(&(struct fixture_spec){.cn = "Short", .ca = true, .key = KEY_RSA, .path_len = 1}, root1);
	add(&middle, &pool[n_pool - 1]);
	add(&leaf, &pool[n_pool - 1]);
	add(&(struct fixture_spec){.cn = "leaf", .digest = GNUTLS_DIG_SHA1}, middle1);
	trust(add(&(struct fixture_spec){.cn = "Weak", .ca = true, .key = KEY_RSA_WEAK}, NULL));
	add(&leaf, &pool[n_pool - 1]);
	trust(add(&(struct fixture_spec){.cn = "Trusted leaf", .dns = {"server.example"}}, foreign));
	trust(add(&(struct fixture_spec){.cn = "Trusted middle", .ca = true, .key = KEY_RSA}, foreign));
	add(&leaf, &pool[n_pool - 1]);
}

/* The pool's trusted certificates behind those of the system. */
static const char *write_bundle(void)
{
	const char *own = fixture_write("own.pem", trusted, n_trusted, NULL),
		   *path = fixture_path("bundle.pem");
	const char *parts[] = {SYSTEM_BUNDLE, own};
	FILE *to = fopen(path, "w");

	for (int i = 0; i < 2; i++) {
		FILE *from = fopen(parts[i], "r");
		int c;

		while (from && (c = getc(from)) != EOF)
			putc(c, to);
		if (from)
			fclose(from);
		fputs("\n# a remark between certificates\n", to);
	}
	fclose(to);
	return path;
}

static const char *bundle;
static gnutls_x509_trust_list_t full;

static int setup(void **state)
{
	(void)state;
	make_pool();
	bundle = write_bundle();
	gnutls_x509_trust_list_init(&full, 0);
	assert_true(gnutls_x509_trust_list_add_trust_file(full, bundle, NULL, GNUTLS_X509_FMT_PEM, 0, 0) >
		    0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	gnutls_x509_trust_list_deinit(full, 1);
	return 0;
}

static unsigned full_verdict(gnutls_x509_crt_t *chain, unsigned n, const char *purpose, unsigned flags)
{
	gnutls_typed_vdata_st data = {.type = GNUTLS_DT_KEY_PURPOSE_OID, .data = (unsigned char *)purpose};
	unsigned status = GNUTLS_CERT_INVALID;

	if (gnutls_x509_trust_list_verify_crt2(full, chain, n, &data, purpose ? 1 : 0, flags, &status,
					       NULL) < 0)
		return GNUTLS_CERT_INVALID;
	return status;
}

static struct tls_trust *open_store(enum tls_trust_kind kind, const char *path)
{
	struct tls_trust *store;
	struct tls_reason reason;

	if (tls_trust_new(&store, kind, path, &reason))
		fail_msg("%s", reason.text);
	return store;
}

static unsigned lazy_verdict(struct tls_trust *store, gnutls_x509_crt_t *chain, unsigned n,
			     const char *purpose, unsigned flags)
{
	unsigned status = 0;

	assert_int_equal(tls_trust_verify(store, chain, n, purpose, flags, &status), 0);
	return status;
}

/* Chains drawn at random from the pool, good, bad and absurd, judged by a fresh store and by one in use. */
static void same_verdicts(void **state)
{
	static const unsigned flag_sets[] = {0, GNUTLS_PROFILE_TO_VFLAGS(GNUTLS_PROFILE_MEDIUM),
					     GNUTLS_VERIFY_DISABLE_TIME_CHECKS};
	struct tls_trust *used = open_store(TLS_TRUST_FILE, bundle);
	unsigned seed = 7, accepted = 0, kinds = 0, seen[64];

	(void)state;
	for (int round = 0; round < 3000; round++) {
		gnutls_x509_crt_t chain[6];
		unsigned n = 1 + (unsigned)rand_r(&seed) % 5, flags = flag_sets[round % 3], expected, i;
		const char *purpose = round % 5 ? GNUTLS_KP_TLS_WWW_SERVER : NULL;

		for (i = 0; i < n; i++)
			chain[i] = pool[(unsigned)rand_r(&seed) % n_pool].crt;
		expected = full_verdict(chain, n, purpose, flags);
		if (lazy_verdict(used, chain, n, purpose, flags) != expected)
			fail_msg("round %d: other than %x", round, expected);
		if (round % 50 == 0) {
			struct tls_trust *fresh = open_store(TLS_TRUST_FILE, bundle);

			assert_int_equal(lazy_verdict(fresh, chain, n, purpose, flags), expected);
			tls_trust_unref(fresh);
		}
		accepted += expected == 0;
		for (i = 0; i < kinds && seen[i] != expected; i++)
			;
		if (i == kinds && kinds < 64)
			seen[kinds++] = expected;
	}
	/* The draw was worth it. */
	assert_true(accepted > 100);
	assert_true(kinds > 6);
	tls_trust_unref(used);
}

/* Every authority of the system, alone and shown by a stranger. */
static void system_authorities(void **state)
{
	struct tls_trust *store = open_store(TLS_TRUST_FILE, bundle);
	gnutls_x509_trust_list_iter_t iter = NULL;
	gnutls_x509_crt_t chain[2];
	unsigned n = 0, known, imported;

	(void)state;
	while (gnutls_x509_trust_list_iter_get_ca(full, &iter, &chain[0]) == 0) {
		chain[1] = chain[0];
		assert_int_equal(lazy_verdict(store, chain, 1, NULL, 0), full_verdict(chain, 1, NULL, 0));
		chain[0] = pool[5].crt;
		assert_int_equal(lazy_verdict(store, chain, 2, NULL, 0), full_verdict(chain, 2, NULL, 0));
		gnutls_x509_crt_deinit(chain[1]);
		n++;
	}
	tls_trust_count(store, &known, &imported);
	assert_int_equal(known, n);
	assert_int_equal(imported, n);
	tls_trust_unref(store);
}

static void imports_what_is_named(void **state)
{
	struct tls_trust *store = open_store(TLS_TRUST_FILE, bundle);
	unsigned known, imported;
	gnutls_x509_crt_t issuer;

	(void)state;
	tls_trust_count(store, &known, &imported);
	assert_true(known >= n_trusted);
	assert_int_equal(imported, 0);
	assert_int_equal(lazy_verdict(store, &pool[7].crt, 1, NULL, 0), 0);
	tls_trust_count(store, &known, &imported);
	/* The two roots of one name. */
	assert_int_equal(imported, 2);
	issuer = tls_trust_issuer(store, pool[7].crt);
	assert_non_null(issuer);
	gnutls_x509_crt_deinit(issuer);
	assert_null(tls_trust_issuer(store, pool[9].crt));
	tls_trust_unref(store);
}

static void the_system(void **state)
{
	struct tls_trust *store, *again;
	struct tls_reason reason;

	(void)state;
	if (access(SYSTEM_BUNDLE, R_OK) < 0) {
		assert_int_equal(tls_trust_new(&store, TLS_TRUST_SYSTEM, NULL, &reason), -ENOENT);
		return;
	}
	store = open_store(TLS_TRUST_SYSTEM, NULL);
	again = open_store(TLS_TRUST_SYSTEM, NULL);
	assert_ptr_equal(store, again);
	assert_string_equal(tls_trust_path(store), SYSTEM_BUNDLE);
	assert_true(lazy_verdict(store, &pool[6].crt, 1, NULL, 0) & GNUTLS_CERT_SIGNER_NOT_FOUND);
	tls_trust_unref(store);
	tls_trust_unref(again);
	tls_trust_unref(NULL);
}

static void directories(void **state)
{
	const char *dir = fixture_path("trust.d");
	gnutls_datum_t der = fixture_der(&pool[0]);
	struct tls_trust *store;
	struct tls_reason reason;
	unsigned known, imported;

	(void)state;
	assert_int_equal(mkdir(dir, 0700), 0);
	assert_int_equal(tls_trust_new(&store, TLS_TRUST_DIRECTORY, dir, &reason), -EINVAL);
	fixture_write("trust.d/root.pem", &pool[0], 1, NULL);
	fixture_write("trust.d/.hidden.pem", &pool[2], 1, NULL);
	fixture_write_text("trust.d/root.der", der.data, der.size);
	fixture_write_text("trust.d/notes.txt", "no certificate\n", 15);
	assert_int_equal(symlink("root.pem", fixture_path("trust.d/12345678.0")), 0);
	assert_int_equal(mkfifo(fixture_path("trust.d/fifo"), 0600), 0);
	assert_int_equal(mkdir(fixture_path("trust.d/sub"), 0700), 0);
	store = open_store(TLS_TRUST_DIRECTORY, dir);
	tls_trust_count(store, &known, &imported);
	assert_int_equal(known, 2);
	assert_int_equal(lazy_verdict(store, &pool[7].crt, 1, NULL, 0), 0);
	assert_true(lazy_verdict(store, &pool[9].crt, 1, NULL, 0) & GNUTLS_CERT_SIGNER_NOT_FOUND);
	tls_trust_unref(store);
}

static void mistakes(void **state)
{
	struct tls_trust *store;
	struct tls_reason reason;

	(void)state;
	assert_int_equal(tls_trust_new(&store, TLS_TRUST_FILE, NULL, &reason), -ENOENT);
	assert_int_equal(tls_trust_new(&store, TLS_TRUST_FILE, fixture_path("absent.pem"), &reason),
			 -ENOENT);
	assert_non_null(strstr(reason.text, "absent.pem: No such file"));
	assert_int_equal(tls_trust_new(&store, TLS_TRUST_FILE, fixture_write_text("empty.pem", "", 0),
				       &reason),
			 -EINVAL);
	assert_non_null(strstr(reason.text, "holds no certificate"));
	assert_int_equal(tls_trust_new(&store, TLS_TRUST_DIRECTORY, fixture_path("absent.d"), &reason),
			 -ENOENT);
	assert_int_equal(tls_trust_new(&store, TLS_TRUST_FILE, fixture_path(""), &reason), -EISDIR);
}

/* The file is replaced between the index and the first use: the new one counts, and nothing is read askew.
 */
static void replaced_file(void **state)
{
	const char *path = fixture_write("replaced.pem", &pool[2], 1, NULL);
	struct tls_trust *store = open_store(TLS_TRUST_FILE, path);
	unsigned status;

	(void)state;
	fixture_write("replaced.new", &pool[0], 1, NULL);
	assert_int_equal(rename(fixture_path("replaced.new"), path), 0);
	/* Named by the old index, so it notices. */
	assert_true(lazy_verdict(store, &pool[9].crt, 1, NULL, 0) & GNUTLS_CERT_SIGNER_NOT_FOUND);
	assert_int_equal(lazy_verdict(store, &pool[7].crt, 1, NULL, 0), 0);
	tls_trust_unref(store);
	store = open_store(TLS_TRUST_FILE, path);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(tls_trust_verify(store, &pool[7].crt, 1, NULL, 0, &status), -ENOENT);
	tls_trust_unref(store);
}

struct worker {
	struct tls_trust *store;
	unsigned seed, wrong;
};

static void *verify_many(void *arg)
{
	struct worker *worker = arg;

	for (int i = 0; i < 150; i++) {
		gnutls_x509_crt_t crt = pool[(unsigned)rand_r(&worker->seed) % n_pool].crt;
		unsigned status = 0;

		if (tls_trust_verify(worker->store, &crt, 1, NULL, 0, &status) ||
		    status != full_verdict(&crt, 1, NULL, 0))
			worker->wrong++;
	}
	return NULL;
}

static void side_by_side(void **state)
{
	struct tls_trust *store = open_store(TLS_TRUST_FILE, bundle);
	struct worker workers[4];
	pthread_t threads[4];

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		workers[i] = (struct worker){.store = tls_trust_ref(store), .seed = i};
		assert_int_equal(pthread_create(&threads[i], NULL, verify_many, &workers[i]), 0);
	}
	for (unsigned i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(workers[i].wrong, 0);
		tls_trust_unref(store);
	}
	tls_trust_fork_prepare();
	tls_trust_fork_parent();
	tls_trust_fork_prepare();
	tls_trust_fork_child();
	assert_int_equal(lazy_verdict(store, &pool[7].crt, 1, NULL, 0), 0);
	tls_trust_unref(store);
}

static void long_chains(void **state)
{
	struct tls_trust *store = open_store(TLS_TRUST_FILE, bundle);
	gnutls_x509_crt_t chain[65];
	unsigned status = 0;

	(void)state;
	for (int i = 0; i < 65; i++)
		chain[i] = pool[0].crt;
	assert_int_equal(tls_trust_verify(store, chain, 65, NULL, 0, &status), -E2BIG);
	tls_trust_unref(store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_verdicts),	 cmocka_unit_test(system_authorities),
		cmocka_unit_test(imports_what_is_named), cmocka_unit_test(the_system),
		cmocka_unit_test(directories),		 cmocka_unit_test(mistakes),
		cmocka_unit_test(replaced_file),	 cmocka_unit_test(side_by_side),
		cmocka_unit_test(long_chains),
	};

	return cmocka_run_group_tests_name("tls_trust", tests, setup, teardown);
}
