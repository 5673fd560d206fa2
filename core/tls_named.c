/* The choice is made when the client's hello has been read, by putting the right set of certificates in
 * place. */
#include "core/tls_named.h"

#include <stdlib.h>
#include <string.h>

static void patterns_free(struct tls_named *named)
{
	for (unsigned i = 0; i < named->n; i++)
		free(named->patterns[i]);
	free(named->patterns);
	named->patterns = NULL;
	named->n = 0;
}

static bool pattern_add(struct tls_named *named, const char *name, size_t size)
{
	char **more = realloc(named->patterns, (named->n + 1) * sizeof(*more));
	char *copy = strndup(name, size);

	if (more)
		named->patterns = more;
	if (!more || !copy) {
		free(copy);
		return false;
	}
	named->patterns[named->n++] = copy;
	return true;
}

static bool patterns_of(gnutls_x509_crt_t leaf, struct tls_named *named)
{
	char name[TLS_NAME_MAX];

	for (unsigned i = 0;; i++) {
		size_t size = sizeof(name);
		int type = gnutls_x509_crt_get_subject_alt_name(leaf, i, name, &size, NULL);

		if (type == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
			return true;
		if (type == GNUTLS_SAN_DNSNAME && !pattern_add(named, name, size))
			return false;
	}
}

static bool same_patterns(const struct tls_named *a, const struct tls_named *b)
{
	if (a->n != b->n)
		return false;
	for (unsigned i = 0; i < a->n; i++)
		if (strcmp(a->patterns[i], b->patterns[i]) != 0)
			return false;
	return true;
}

struct tls_named *tls_named_for(struct tls_credentials *credentials, gnutls_x509_crt_t leaf)
{
	struct tls_named new = {.certificates = NULL}, *more;

	if (!patterns_of(leaf, &new)) {
		patterns_free(&new);
		return NULL;
	}
	for (unsigned i = 0; i < credentials->n_named; i++)
		if (same_patterns(&credentials->named[i], &new)) {
			patterns_free(&new);
			return &credentials->named[i];
		}
	more = realloc(credentials->named, (credentials->n_named + 1) * sizeof(*more));
	if (!more) {
		patterns_free(&new);
		return NULL;
	}
	credentials->named = more;
	more[credentials->n_named] = new;
	return &more[credentials->n_named++];
}

void tls_named_free(struct tls_credentials *credentials)
{
	for (unsigned i = 0; i < credentials->n_named; i++) {
		patterns_free(&credentials->named[i]);
		if (credentials->named[i].certificates)
			gnutls_certificate_free_credentials(credentials->named[i].certificates);
	}
	free(credentials->named);
}

static bool covers(const struct tls_named *named, const char *name, bool wildcard)
{
	for (unsigned i = 0; i < named->n; i++)
		if ((named->patterns[i][0] == '*') == wildcard &&
		    tls_name_covers(named->patterns[i], strlen(named->patterns[i]), name))
			return true;
	return false;
}

static const struct tls_named *find(const struct tls_credentials *credentials, const char *name)
{
	for (int wildcard = 0; wildcard < 2; wildcard++)
		for (unsigned i = 0; i < credentials->n_named; i++)
			if (covers(&credentials->named[i], name, wildcard))
				return &credentials->named[i];
	return NULL;
}

/* gnutls_handshake_post_client_hello_func */
static int choose(gnutls_session_t tls)
{
	const struct tls_session *session = gnutls_session_get_ptr(tls);
	const struct tls_named *named;
	char asked[TLS_NAME_MAX], name[TLS_NAME_MAX];
	size_t size = sizeof(asked);
	unsigned type;

	if (gnutls_server_name_get(tls, asked, &size, &type, 0) < 0 || tls_name_normalise(asked, name) < 0)
		return 0;
	named = find(session->credentials, name);
	return named ? gnutls_credentials_set(tls, GNUTLS_CRD_CERTIFICATE, named->certificates) : 0;
}

void tls_named_attach(struct tls_session *session)
{
	if (session->credentials->n_named)
		gnutls_handshake_set_post_client_hello_function(session->tls, choose);
}
