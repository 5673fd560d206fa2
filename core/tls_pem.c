/* Decoding the whole of the system's bundle with GnuTLS costs 10 ms; finding the subjects in it this way a
 * fraction of one (core/tls_trust.c). */
#include "core/tls_pem.h"

#include <errno.h>
#include <string.h>

/* Both labels stand for the same (RFC 7468 §5.1). */
static const char *const begin_lines[] = {"-----BEGIN CERTIFICATE-----", "-----BEGIN X509 CERTIFICATE-----"};

static size_t boundary_length(const uint8_t *text, size_t len)
{
	for (size_t i = 0; i < sizeof(begin_lines) / sizeof(begin_lines[0]); i++) {
		size_t n = strlen(begin_lines[i]);

		if (len >= n && memcmp(text, begin_lines[i], n) == 0)
			return n;
	}
	return 0;
}

bool tls_pem_next(const uint8_t *text, size_t len, size_t *pos, struct tls_pem_block *ret)
{
	const uint8_t *end;

	while (*pos < len) {
		const uint8_t *dash = memmem(text + *pos, len - *pos, "-----BEGIN ", 11);
		size_t boundary;

		if (!dash)
			break;
		*pos = (size_t)(dash - text);
		boundary = boundary_length(dash, len - *pos);
		*pos += boundary ? boundary : 11;
		if (!boundary)
			continue;
		end = memmem(text + *pos, len - *pos, "-----END ", 9);
		if (!end)
			break;
		ret->begin = *pos;
		ret->size = (size_t)(end - text) - *pos;
		*pos += ret->size + 9;
		return true;
	}
	*pos = len;
	return false;
}

/* The values of base64 digits, and what is none. */
enum { BAD = 64, SPC, END };

/* clang-format off */
static const uint8_t digits[128] = {
	BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, SPC, SPC, BAD, BAD, SPC, BAD, BAD,
	BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD,
	SPC, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, 62, BAD, BAD, BAD, 63,
	52, 53, 54, 55, 56, 57, 58, 59, 60, 61, BAD, BAD, BAD, END, BAD, BAD,
	BAD, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,
	15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, BAD, BAD, BAD, BAD, BAD,
	BAD, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40,
	41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, BAD, BAD, BAD, BAD, BAD,
};
/* clang-format on */

ptrdiff_t tls_base64_decode(const uint8_t *text, size_t len, uint8_t *out, size_t cap)
{
	size_t n = 0;
	uint32_t bits = 0;
	unsigned count = 0;

	for (size_t i = 0; i < len && n < cap; i++) {
		unsigned value = text[i] < sizeof(digits) ? digits[text[i]] : BAD;

		if (value == SPC)
			continue;
		if (value == END)
			break;
		if (value == BAD)
			return -EINVAL;
		bits = bits << 6 | value;
		count += 6;
		if (count >= 8) {
			count -= 8;
			out[n++] = (uint8_t)(bits >> count);
		}
	}
	return (ptrdiff_t)n;
}

/* A window on DER. */
struct der {
	const uint8_t *data;
	size_t len, pos;
};

/* Reads the header of the element at pos.  The value may reach past the end of the window. */
static bool der_header(struct der *der, uint8_t *tag, size_t *size)
{
	size_t n, bytes;

	if (der->len - der->pos < 2)
		return false;
	*tag = der->data[der->pos++];
	n = der->data[der->pos++];
	if (n & 0x80) {
		bytes = n & 0x7f;
		if (bytes < 1 || bytes > 4 || der->len - der->pos < bytes)
			return false;
		for (n = 0; bytes; bytes--)
			n = n << 8 | der->data[der->pos++];
	}
	*size = n;
	return true;
}

static bool der_enter(struct der *der, uint8_t tag)
{
	uint8_t found;
	size_t size;

	return der_header(der, &found, &size) && found == tag;
}

static bool der_skip(struct der *der)
{
	uint8_t tag;
	size_t size;

	if (!der_header(der, &tag, &size) || der->len - der->pos < size)
		return false;
	der->pos += size;
	return true;
}

enum { DER_SEQUENCE = 0x30, DER_VERSION = 0xa0 };

/* Certificate ::= { TBSCertificate ::= { [0] version, serial, algorithm, issuer, validity, subject, … } …
 * } */
bool tls_der_subject(const uint8_t *der, size_t len, size_t *ret_offset, size_t *ret_size)
{
	struct der in = {der, len, 0};

	if (!der_enter(&in, DER_SEQUENCE) || !der_enter(&in, DER_SEQUENCE))
		return false;
	if (in.pos < len && der[in.pos] == DER_VERSION && !der_skip(&in))
		return false;
	for (int before_subject = 0; before_subject < 4; before_subject++)
		if (!der_skip(&in))
			return false;
	*ret_offset = in.pos;
	if (in.pos >= len || der[in.pos] != DER_SEQUENCE || !der_skip(&in))
		return false;
	*ret_size = in.pos - *ret_offset;
	return true;
}
