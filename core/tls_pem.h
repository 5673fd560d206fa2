/* Just enough of PEM and DER to find certificates by subject without importing them (RFC 7468, X.690).
 * Pure; every read is bounded.  Nothing here is trusted: what is found is imported and verified by GnuTLS
 * afterwards. */
#ifndef TAPS_CORE_TLS_PEM_H
#define TAPS_CORE_TLS_PEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The base64 text of one certificate within a PEM text. */
struct tls_pem_block {
	size_t begin; /* of the text between the two boundary lines */
	size_t size;
};

/* Finds the next certificate at or after *pos and moves *pos behind it.  Returns false at the end. */
bool tls_pem_next(const uint8_t *text, size_t len, size_t *pos, struct tls_pem_block *ret);

/* Decodes base64 (white space skipped) until the text, a '=', or the room ends.  Returns the bytes
 * written, or -EINVAL for any other character. */
ptrdiff_t tls_base64_decode(const uint8_t *text, size_t len, uint8_t *out, size_t cap);

/* The subject (the whole Name element) of a DER certificate, of which the end may be missing.  Returns
 * false if the bytes are no certificate, or end before the subject does. */
bool tls_der_subject(const uint8_t *der, size_t len, size_t *ret_offset, size_t *ret_size);

#endif
