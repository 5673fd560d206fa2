/* RFC 8446 §5.2 and §5.3: the record is header, sealed (content, type, zeros), tag; the nonce is the IV
 * with the sequence number, the header is authenticated. */
#include "core/tls_direct.h"

#include <gnutls/crypto.h>
#include <string.h>

#define TAG_SIZE 16
#define CONTENT_APPLICATION 23
#define SEALED_MAX (TLS_PLAIN_MAX + 256)

/* GnuTLS looks at the last of every 2^24 numbers to change keys in time (RFC 8446 §5.5). */
#define COUNT_MASK UINT64_C(0xffffff)
#define COUNT_NEAR UINT64_C(0xffff00)

static struct tls_direct *direction(struct tls_session *session, bool read)
{
	return read ? &session->opening : &session->sealing;
}

void tls_direct_free(struct tls_direct *direct)
{
	if (direct->aead)
		gnutls_aead_cipher_deinit(direct->aead);
	gnutls_memset(direct, 0, sizeof(*direct));
}

/* A key update has changed the key, or it is the first use. */
static bool rekey(struct tls_direct *direct, gnutls_cipher_algorithm_t cipher, const gnutls_datum_t *key)
{
	tls_direct_free(direct);
	if (key->size > sizeof(direct->key) || gnutls_aead_cipher_init(&direct->aead, cipher, key) < 0) {
		direct->aead = NULL;
		return false;
	}
	memcpy(direct->key, key->data, key->size);
	direct->key_size = key->size;
	return true;
}

bool tls_direct_begin(struct tls_session *session, bool read, size_t size)
{
	struct tls_direct *direct = direction(session, read);
	gnutls_datum_t iv, key;
	uint8_t number[8];

	if (!session->direct || (!direct->aead && size < TLS_DIRECT_WORTH))
		return false;
	if (gnutls_record_get_state(session->tls, read, NULL, &iv, &key, number) < 0 ||
	    iv.size != sizeof(direct->iv))
		return false;
	if ((!direct->aead || direct->key_size != key.size || memcmp(direct->key, key.data, key.size) != 0) &&
	    !rekey(direct, gnutls_cipher_get(session->tls), &key))
		return false;
	memcpy(direct->iv, iv.data, sizeof(direct->iv));
	direct->number = 0;
	for (int i = 0; i < 8; i++)
		direct->number = direct->number << 8 | number[i];
	return true;
}

static void put_number(uint64_t value, uint8_t to[8])
{
	for (int i = 7; i >= 0; i--, value >>= 8)
		to[i] = (uint8_t)value;
}

void tls_direct_end(struct tls_session *session, bool read)
{
	uint8_t number[8];

	put_number(direction(session, read)->number, number);
	gnutls_record_set_state(session->tls, read, number);
}

bool tls_direct_counts(const struct tls_direct *direct)
{
	return (direct->number & COUNT_MASK) >= COUNT_NEAR;
}

static void make_nonce(const struct tls_direct *direct, uint8_t nonce[12])
{
	uint8_t number[8];

	put_number(direct->number, number);
	memcpy(nonce, direct->iv, 12);
	for (int i = 0; i < 8; i++)
		nonce[4 + i] ^= number[i];
}

static const uint8_t content_type = CONTENT_APPLICATION;

static int seal_in_place(struct tls_direct *direct, const uint8_t nonce[12], uint8_t *record, size_t size)
{
	giovec_t authenticated = {record, TLS_HEADER_SIZE}, content = {record + TLS_HEADER_SIZE, size + 1};
	size_t tag = TAG_SIZE;

	record[TLS_HEADER_SIZE + size] = content_type;
	return gnutls_aead_cipher_encryptv2(direct->aead, nonce, 12, &authenticated, 1, &content, 1,
					    record + TLS_HEADER_SIZE + size + 1, &tag);
}

static int seal_from(struct tls_direct *direct, const uint8_t nonce[12], uint8_t *record, const void *plain,
		     size_t size)
{
	giovec_t authenticated = {record, TLS_HEADER_SIZE};
	giovec_t content[] = {{(void *)plain, size}, {(void *)&content_type, 1}};
	size_t sealed = size + 1 + TAG_SIZE;

	return gnutls_aead_cipher_encryptv(direct->aead, nonce, 12, &authenticated, 1, TAG_SIZE, content, 2,
					   record + TLS_HEADER_SIZE, &sealed);
}

ssize_t tls_direct_seal(struct tls_direct *direct, uint8_t *record, const void *plain, size_t size)
{
	size_t sealed = size + 1 + TAG_SIZE;
	const uint8_t header[] = {content_type, 3, 3, (uint8_t)(sealed >> 8), (uint8_t)sealed};
	uint8_t nonce[12];
	int code;

	memcpy(record, header, TLS_HEADER_SIZE);
	make_nonce(direct, nonce);
	if (plain == record + TLS_HEADER_SIZE)
		code = seal_in_place(direct, nonce, record, size);
	else
		code = seal_from(direct, nonce, record, plain, size);
	if (code < 0)
		return code;
	direct->number++;
	return (ssize_t)(TLS_HEADER_SIZE + sealed);
}

/* The content without the type behind it and the zeros behind that; -1 unless it is application data. */
static ssize_t content_size(const uint8_t *inner, size_t size)
{
	while (size && !inner[size - 1])
		size--;
	if (!size || inner[size - 1] != CONTENT_APPLICATION || size - 1 > TLS_PLAIN_MAX)
		return -1;
	return (ssize_t)(size - 1);
}

ssize_t tls_direct_open(struct tls_direct *direct, const uint8_t *record, size_t len, uint8_t *to)
{
	size_t sealed = len - TLS_HEADER_SIZE, size = sealed;
	uint8_t nonce[12];
	ssize_t content;

	if (record[0] != CONTENT_APPLICATION || sealed <= TAG_SIZE || sealed > SEALED_MAX)
		return -1;
	make_nonce(direct, nonce);
	if (gnutls_aead_cipher_decrypt(direct->aead, nonce, sizeof(nonce), record, TLS_HEADER_SIZE, TAG_SIZE,
				       record + TLS_HEADER_SIZE, sealed, to, &size) < 0)
		return -1;
	content = content_size(to, size);
	if (content >= 0)
		direct->number++;
	return content;
}
