/* Pins from certificate files: the configuration may name the certificate instead of its digest. */
#include "core/tls_pin.h"

#include <gnutls/crypto.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <stdlib.h>

#define PIN_SIZE 32

static gnutls_x509_crt_t load(const char *path)
{
	gnutls_datum_t text;
	gnutls_x509_crt_t crt = NULL;

	if (gnutls_load_file(path, &text) != 0)
		return NULL;
	if (gnutls_x509_crt_init(&crt) == 0 && gnutls_x509_crt_import(crt, &text, GNUTLS_X509_FMT_PEM) != 0) {
		gnutls_x509_crt_deinit(crt);
		crt = NULL;
	}
	gnutls_free(text.data);
	return crt;
}

char *tls_pin_of_file(const char *path)
{
	gnutls_x509_crt_t crt = load(path);
	unsigned char digest[PIN_SIZE];
	size_t size = sizeof(digest), i;
	char *hex = NULL;

	if (!crt)
		return NULL;
	if (gnutls_x509_crt_get_key_id(crt, GNUTLS_KEYID_USE_SHA256, digest, &size) == 0 &&
	    (hex = malloc(2 * PIN_SIZE + 1)))
		for (i = 0; i < size; i++)
			snprintf(hex + 2 * i, 3, "%02x", digest[i]);
	gnutls_x509_crt_deinit(crt);
	return hex;
}
