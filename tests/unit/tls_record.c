/* Receiving: sizes, splits, peeking, ends, and what an enemy may put on the wire. */
#include "core/tls_private.h"
#include "tests/unit/tls_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <gnutls/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct fixture_world world;
static uint8_t pattern[70000];

static int setup(void **state)
{
	(void)state;
	fixture_world(&world);
	for (size_t i = 0; i < sizeof(pattern); i++)
		pattern[i] = (uint8_t)(i * 7 + i / 251);
	return 0;
}

static void open_pair(struct fixture_pair *pair)
{
	struct tls_received received;

	fixture_pair_open(pair, &world.client_options, &world.server_options, "server.example", NULL);
	fixture_pair_shake(pair, 0);
	assert_int_equal(pair->client_result, TLS_DONE);
	/* The tickets, so that tests see their own records only. */
	assert_int_equal(tls_session_fill(pair->client, pair->to_client.data, pair->to_client.size, 1, 0,
					  &received),
			 0);
	assert_int_equal(received.consumed, pair->to_client.size);
	assert_int_equal(received.pending, 0);
	assert_false(received.hold);
	fixture_wire_drop(&pair->to_client, received.consumed);
}

static void length_of_headers(void **state)
{
	static const struct {
		uint8_t header[TLS_HEADER_SIZE];
		ssize_t expected;
	} cases[] = {
		{{23, 3, 3, 0, 1}, 6},
		{{22, 3, 1, 2, 0}, 517},
		{{21, 3, 3, 0, 2}, 7},
		{{20, 3, 3, 0, 1}, 6},
		{{23, 3, 3, 0x41, 0}, 16645},
		{{23, 3, 3, 0x48, 0}, 18437},
		{{23, 3, 3, 0x48, 1}, -EPROTO},
		{{23, 3, 3, 0, 0}, -EPROTO},
		{{24, 3, 3, 0, 1}, -EPROTO},
		{{19, 3, 3, 0, 1}, -EPROTO},
		{{'H', 'T', 'T', 'P', '/'}, -EPROTO},
		{{23, 2, 3, 0, 1}, -EPROTO},
		{{23, 3, 5, 0, 1}, -EPROTO},
		{{23, 3, 3, 255, 255}, -EPROTO},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(tls_record_length(cases[i].header), cases[i].expected);
}

/* Every size at the edges of records, into one buffer and into many reads. */
static void sizes(void **state)
{
	static const size_t sizes[] = {1, 2, 255, 16383, 16384, 16385, 32768, 32769, 65535, 65536, 70000};
	static const size_t reads[] = {70000, 16384, 4096, 1000, 7};
	static uint8_t got[70000];
	struct fixture_pair pair;
	struct tls_received received;

	(void)state;
	open_pair(&pair);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		for (size_t k = 0; k < sizeof(reads) / sizeof(reads[0]); k++) {
			size_t total = 0;

			fixture_send(pair.client, &pair.to_server, pattern, sizes[i]);
			while (total < sizes[i]) {
				ssize_t n = fixture_recv(pair.server, &pair.to_server, got + total,
							 reads[k], &received);

				assert_true(n > 0 && (size_t)n <= reads[k]);
				total += (size_t)n;
				assert_int_equal(received.hold, received.pending > 0);
				assert_int_equal(received.pending, tls_session_pending(pair.server));
			}
			assert_int_equal(total, sizes[i]);
			assert_int_equal(pair.to_server.size, 0);
			assert_memory_equal(got, pattern, sizes[i]);
		}
	}
	fixture_pair_close(&pair);
}

static void vectors(void **state)
{
	uint8_t a[3], b[1], c[100];
	struct iovec iov[] = {{a, 3}, {NULL, 0}, {b, 1}, {c, 100}};
	struct fixture_pair pair;
	struct tls_received received;

	(void)state;
	open_pair(&pair);
	fixture_send(pair.client, &pair.to_server, pattern, 2);
	fixture_send(pair.client, &pair.to_server, pattern + 2, 60);
	assert_int_equal(tls_session_recv(pair.server, pair.to_server.data, pair.to_server.size, iov, 4, 0,
					  &received),
			 0);
	assert_int_equal(received.bytes, 62);
	assert_memory_equal(a, pattern, 3);
	assert_memory_equal(b, pattern + 3, 1);
	assert_memory_equal(c, pattern + 4, 58);
	assert_int_equal(received.consumed, pair.to_server.size);
	fixture_pair_close(&pair);
}

/* Only whole records are taken; the rest stays with the caller, whatever the split. */
static void splits_at_every_byte(void **state)
{
	struct fixture_pair pair;
	struct tls_received received;
	uint8_t got[64];

	(void)state;
	open_pair(&pair);
	for (size_t split = 0;; split++) {
		struct iovec iov = {got, sizeof(got)};
		size_t total, first;
		uint8_t *part;

		fixture_send(pair.client, &pair.to_server, pattern, 20);
		first = pair.to_server.size;
		fixture_send(pair.client, &pair.to_server, pattern + 20, 10);
		total = pair.to_server.size;
		if (split > total)
			break;
		part = malloc(split + 1);
		memcpy(part, pair.to_server.data, split);
		assert_int_equal(tls_session_recv(pair.server, part, split, &iov, 1, 0, &received), 0);
		free(part);
		assert_int_equal(received.consumed, split < first ? 0 : split < total ? first : total);
		assert_int_equal(received.bytes, split < first ? 0 : split < total ? 20 : 30);
		fixture_wire_drop(&pair.to_server, received.consumed);
		iov.iov_base = got + received.bytes;
		iov.iov_len = sizeof(got) - received.bytes;
		fixture_recv(pair.server, &pair.to_server, iov.iov_base, iov.iov_len, &received);
		assert_memory_equal(got, pattern, 30);
		assert_int_equal(pair.to_server.size, 0);
	}
	fixture_pair_close(&pair);
}

/* A receive buffer smaller than a record: bytes are taken as they come, and the missing ones are known. */
static void partial_records(void **state)
{
	static const size_t chunks[] = {1, 2, 3, 5, 7, 100, 4999};
	struct fixture_pair pair;
	struct tls_received received;
	static uint8_t got[20000];

	(void)state;
	open_pair(&pair);
	for (size_t k = 0; k < sizeof(chunks) / sizeof(chunks[0]); k++) {
		size_t total = 0, chunk = chunks[k];

		fixture_send(pair.client, &pair.to_server, pattern, 1000);
		fixture_send(pair.client, &pair.to_server, pattern + 1000, 17000);
		while (pair.to_server.size) {
			size_t len = chunk < pair.to_server.size ? chunk : pair.to_server.size;
			struct iovec iov = {got + total, sizeof(got) - total};

			assert_int_equal(tls_session_recv(pair.server, pair.to_server.data, len, &iov, 1,
							  TLS_RECV_PARTIAL, &received),
					 0);
			assert_int_equal(received.consumed, len);
			fixture_wire_drop(&pair.to_server, len);
			assert_true(received.missing <= pair.to_server.size);
			total += received.bytes;
		}
		assert_int_equal(received.missing, 0);
		assert_int_equal(total, 18000);
		assert_memory_equal(got, pattern, total);
	}
	/* A record begun in part goes on without the flag. */
	fixture_send(pair.client, &pair.to_server, pattern, 10);
	assert_int_equal(tls_session_fill(pair.server, pair.to_server.data, 7, 1, TLS_RECV_PARTIAL,
					  &received),
			 0);
	assert_int_equal(received.missing, pair.to_server.size - 7);
	fixture_wire_drop(&pair.to_server, 7);
	assert_int_equal(fixture_recv(pair.server, &pair.to_server, got, sizeof(got), &received), 10);
	fixture_pair_close(&pair);
}

static void peeking(void **state)
{
	struct fixture_pair pair;
	struct tls_received received;
	uint8_t got[100];
	struct iovec iov = {got, 5};

	(void)state;
	open_pair(&pair);
	for (int i = 0; i < 10; i++)
		fixture_send(pair.client, &pair.to_server, pattern + i, 1);
	for (size_t want = 1; want <= 12; want++) {
		iov.iov_len = want;
		memset(got, 0, sizeof(got));
		assert_int_equal(tls_session_recv(pair.server, pair.to_server.data, pair.to_server.size,
						  &iov, 1, TLS_RECV_PEEK, &received),
				 0);
		fixture_wire_drop(&pair.to_server, received.consumed);
		assert_int_equal(received.bytes, want < 10 ? want : 10);
		assert_memory_equal(got, pattern, received.bytes);
		assert_int_equal(received.pending, received.bytes);
		assert_true(received.hold);
	}
	assert_int_equal(pair.to_server.size, 0);
	iov.iov_len = 4;
	assert_int_equal(tls_session_recv(pair.server, NULL, 0, &iov, 1, 0, &received), 0);
	assert_int_equal(received.bytes, 4);
	assert_int_equal(received.pending, 6);
	iov.iov_len = 100;
	assert_int_equal(tls_session_recv(pair.server, NULL, 0, &iov, 1, 0, &received), 0);
	assert_int_equal(received.bytes, 6);
	assert_memory_equal(got, pattern + 4, 6);
	assert_false(received.hold);
	fixture_pair_close(&pair);
}

static void nothing_to_do(void **state)
{
	struct fixture_pair pair;
	struct tls_received received;
	uint8_t got[10];
	struct iovec iov = {got, 0};

	(void)state;
	open_pair(&pair);
	fixture_send(pair.client, &pair.to_server, pattern, 3);
	assert_int_equal(tls_session_recv(pair.server, pair.to_server.data, pair.to_server.size, &iov, 1, 0,
					  &received),
			 0);
	assert_int_equal(received.consumed, 0);
	iov.iov_len = sizeof(got);
	assert_int_equal(tls_session_recv(pair.server, NULL, 0, &iov, 1, 0, &received), 0);
	assert_int_equal(received.bytes, 0);
	assert_false(received.hold);
	fixture_pair_close(&pair);
}

/* Tickets and key updates in front of data, in one buffer: GnuTLS 3.7 says "again" between them. */
static void data_behind_messages(void **state)
{
	struct fixture_pair pair;
	struct tls_received received;
	uint8_t got[10];

	(void)state;
	fixture_pair_open(&pair, &world.client_options, &world.server_options, "server.example", NULL);
	fixture_pair_shake(&pair, 0);
	assert_true(pair.to_client.size > 0);
	assert_int_equal(tls_session_rekey(pair.server, true), 0);
	fixture_send(pair.server, &pair.to_client, pattern, 5);
	assert_int_equal(fixture_recv(pair.client, &pair.to_client, got, sizeof(got), &received), 5);
	assert_int_equal(pair.to_client.size, 0);
	/* The answer to the key update comes with the next record. */
	fixture_send(pair.client, &pair.to_server, pattern, 6);
	assert_int_equal(fixture_recv(pair.server, &pair.to_server, got, sizeof(got), &received), 6);
	fixture_pair_close(&pair);
}

/* GnuTLS counts the peer's key updates per second of this clock; its own tests move it likewise. */
extern void _gnutls_global_set_gettime_function(void (*function)(struct timespec *));

static struct timespec virtual_now;

static void virtual_time(struct timespec *ret)
{
	*ret = virtual_now;
}

static void many_key_updates(void **state)
{
	struct fixture_pair pair;
	struct tls_received received;
	uint8_t got[100];

	(void)state;
	clock_gettime(CLOCK_REALTIME, &virtual_now);
	_gnutls_global_set_gettime_function(virtual_time);
	open_pair(&pair);
	for (int i = 0; i < 10000; i++) {
		virtual_now.tv_sec++;
		assert_int_equal(tls_session_rekey(i % 2 ? pair.client : pair.server, i % 3 == 0), 0);
		fixture_send(pair.client, &pair.to_server, pattern, 50);
		fixture_send(pair.server, &pair.to_client, pattern + 50, 50);
		assert_int_equal(fixture_recv(pair.server, &pair.to_server, got, sizeof(got), &received),
				 50);
		assert_memory_equal(got, pattern, 50);
		assert_int_equal(fixture_recv(pair.client, &pair.to_client, got, sizeof(got), &received),
				 50);
		assert_memory_equal(got, pattern + 50, 50);
	}
	fixture_pair_close(&pair);
}

static void too_many_key_updates(void **state)
{
	struct fixture_pair pair;
	struct tls_received received;
	uint8_t got[10];
	ssize_t n = 0;

	(void)state;
	_gnutls_global_set_gettime_function(virtual_time);
	open_pair(&pair);
	for (int i = 0; i < 20 && n >= 0; i++) {
		assert_int_equal(tls_session_rekey(pair.client, false), 0);
		fixture_flush(pair.client, &pair.to_server);
		n = fixture_recv(pair.server, &pair.to_server, got, sizeof(got), &received);
	}
	assert_int_equal(n, -EPROTO);
	assert_non_null(strstr(tls_session_reason(pair.server), "keys too often"));
	fixture_pair_close(&pair);
}

/* GnuTLS sends no such record: sealed by hand with the session's own write key (RFC 8446 §5.2). */
static void send_empty(struct tls_session *session, struct fixture_wire *wire)
{
	uint8_t record[TLS_HEADER_SIZE + 17] = {23, 3, 3, 0, 17}, nonce[12], seq[8];
	gnutls_datum_t iv, key;
	gnutls_aead_cipher_hd_t aead;
	size_t size = 17;

	assert_int_equal(gnutls_record_get_state(session->tls, 0, NULL, &iv, &key, seq), 0);
	memcpy(nonce, iv.data, sizeof(nonce));
	for (int i = 0; i < 8; i++)
		nonce[4 + i] ^= seq[i];
	assert_int_equal(gnutls_aead_cipher_init(&aead, GNUTLS_CIPHER_AES_128_GCM, &key), 0);
	assert_int_equal(gnutls_aead_cipher_encrypt(aead, nonce, sizeof(nonce), record, TLS_HEADER_SIZE, 16,
						    "\x17", 1, record + TLS_HEADER_SIZE, &size),
			 0);
	gnutls_aead_cipher_deinit(aead);
	for (int i = 7; i >= 0 && ++seq[i] == 0; i--)
		;
	assert_int_equal(gnutls_record_set_state(session->tls, 0, seq), 0);
	fixture_wire_put(wire, record, sizeof(record));
}

/* Records without a byte (RFC 8446 §5.1 allows them) are no end, however many; data behind them arrives. */
static void empty_records(void **state)
{
	struct fixture_pair pair;
	struct tls_received received;
	uint8_t got[10];

	(void)state;
	open_pair(&pair);
	for (int i = 0; i < 500; i++)
		send_empty(pair.client, &pair.to_server);
	assert_int_equal(fixture_recv(pair.server, &pair.to_server, got, sizeof(got), &received), 0);
	assert_int_equal(pair.to_server.size, 0);
	assert_false(received.closed || received.hold);
	send_empty(pair.client, &pair.to_server);
	fixture_send(pair.client, &pair.to_server, pattern, 3);
	assert_int_equal(fixture_recv(pair.server, &pair.to_server, got, sizeof(got), &received), 3);
	fixture_pair_close(&pair);
}

static void end_of_stream(void **state)
{
	struct fixture_pair pair;
	struct tls_received received;
	uint8_t got[10];

	(void)state;
	open_pair(&pair);
	fixture_send(pair.client, &pair.to_server, pattern, 3);
	assert_int_equal(tls_session_close(pair.client), 0);
	fixture_flush(pair.client, &pair.to_server);
	assert_int_equal(fixture_recv(pair.server, &pair.to_server, got, 3, &received), 3);
	assert_false(received.closed);
	assert_int_equal(fixture_recv(pair.server, &pair.to_server, got, sizeof(got), &received), 0);
	assert_true(received.closed);
	assert_true(received.hold);
	assert_int_equal(tls_session_truncated(pair.server), 0);
	/* The other direction goes on. */
	fixture_send(pair.server, &pair.to_client, pattern, 4);
	assert_int_equal(fixture_recv(pair.client, &pair.to_client, got, sizeof(got), &received), 4);
	assert_int_equal(tls_session_close(pair.client), 0);
	/* Nothing counts behind the end. */
	fixture_wire_put(&pair.to_server, "\x17\x03\x03\x00\x01x", 6);
	assert_int_equal(fixture_recv(pair.server, &pair.to_server, got, sizeof(got), &received), 0);
	assert_int_equal(received.consumed, 0);
	fixture_pair_close(&pair);
}

static void end_with_data(void **state)
{
	struct fixture_pair pair;
	struct tls_received received;
	uint8_t got[10];

	(void)state;
	open_pair(&pair);
	fixture_send(pair.client, &pair.to_server, pattern, 3);
	assert_int_equal(tls_session_close(pair.client), 0);
	fixture_flush(pair.client, &pair.to_server);
	assert_int_equal(fixture_recv(pair.server, &pair.to_server, got, sizeof(got), &received), 3);
	assert_true(received.closed);
	assert_true(received.hold);
	assert_int_equal(pair.to_server.size, 0);
	fixture_pair_close(&pair);
}

static void truncation(void **state)
{
	struct fixture_pair pair;

	(void)state;
	open_pair(&pair);
	assert_int_equal(tls_session_truncated(pair.client), -ECONNRESET);
	assert_non_null(strstr(tls_session_reason(pair.client), "without ending TLS"));
	fixture_pair_close(&pair);
}

/* Every byte of a record matters: whichever is changed, the record is refused and no byte of it delivered.
 */
static void forgery(void **state)
{
	size_t size = 1;

	(void)state;
	for (size_t at = 0; at < size; at++) {
		struct fixture_pair pair;
		struct tls_received received;
		uint8_t got[64] = {0};
		ssize_t n;

		open_pair(&pair);
		fixture_send(pair.client, &pair.to_server, pattern, 20);
		size = pair.to_server.size;
		pair.to_server.data[at] ^= 0x40;
		/* A longer record than there is only waits for more. */
		fixture_wire_put(&pair.to_server, pattern, 20000);
		n = fixture_recv(pair.server, &pair.to_server, got, sizeof(got), &received);
		assert_true(n == -EPROTO);
		assert_int_equal(got[0], 0);
		assert_true(received.hold);
		assert_true(tls_session_reason(pair.server)[0]);
		/* It stays so, and sending is over too. */
		assert_int_equal(fixture_recv(pair.server, &pair.to_server, got, sizeof(got), &received),
				 -EPROTO);
		assert_int_equal(tls_session_close(pair.server), -EPROTO);
		fixture_pair_close(&pair);
	}
}

static void replayed_record(void **state)
{
	struct fixture_pair pair;
	struct tls_received received;
	uint8_t got[64], copy[64];
	size_t size;

	(void)state;
	open_pair(&pair);
	fixture_send(pair.client, &pair.to_server, pattern, 8);
	size = pair.to_server.size;
	memcpy(copy, pair.to_server.data, size);
	fixture_wire_put(&pair.to_server, copy, size);
	/* What was genuine is delivered first. */
	assert_int_equal(fixture_recv(pair.server, &pair.to_server, got, sizeof(got), &received), 8);
	assert_true(received.hold);
	assert_int_equal(fixture_recv(pair.server, &pair.to_server, got, sizeof(got), &received), -EPROTO);
	assert_non_null(strstr(tls_session_reason(pair.server), "decrypted"));
	/* The peer is told. */
	fixture_flush(pair.server, &pair.to_client);
	assert_int_equal(fixture_recv(pair.client, &pair.to_client, got, sizeof(got), &received), -EPROTO);
	assert_non_null(strstr(tls_session_reason(pair.client), "alert 20"));
	fixture_pair_close(&pair);
}

static void garbage(void **state)
{
	static const char *const lines[] = {"HTTP/1.1 400 Bad Request\r\n\r\n",
					    "\x15\x03\x03\x00\x02\x02\x28", "\x16\x03\x03\x00\x01\x00",
					    "\x17\x03\x03\xff\xff\x01"};

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct fixture_pair pair;
		struct tls_received received;
		uint8_t got[64];

		open_pair(&pair);
		fixture_wire_put(&pair.to_client, lines[i], i ? 7 : strlen(lines[i]));
		assert_int_equal(fixture_recv(pair.client, &pair.to_client, got, sizeof(got), &received),
				 -EPROTO);
		fixture_pair_close(&pair);
	}
}

static void too_early(void **state)
{
	struct fixture_pair pair;
	struct tls_received received;
	uint8_t got[10];

	(void)state;
	fixture_pair_open(&pair, &world.client_options, &world.server_options, "server.example", NULL);
	assert_int_equal(fixture_recv(pair.client, &pair.to_client, got, sizeof(got), &received),
			 -ENOTCONN);
	assert_int_equal(tls_session_truncated(pair.client), -ECONNRESET);
	assert_non_null(strstr(tls_session_reason(pair.client), "during the handshake"));
	fixture_pair_close(&pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(length_of_headers), cmocka_unit_test(sizes),
		cmocka_unit_test(vectors),	     cmocka_unit_test(splits_at_every_byte),
		cmocka_unit_test(partial_records),   cmocka_unit_test(peeking),
		cmocka_unit_test(nothing_to_do),     cmocka_unit_test(data_behind_messages),
		cmocka_unit_test(empty_records),     cmocka_unit_test(end_of_stream),
		cmocka_unit_test(end_with_data),     cmocka_unit_test(truncation),
		cmocka_unit_test(forgery),	     cmocka_unit_test(replayed_record),
		cmocka_unit_test(garbage),	     cmocka_unit_test(too_early),
		cmocka_unit_test(many_key_updates),  cmocka_unit_test(too_many_key_updates),
	};

	return cmocka_run_group_tests_name("tls_record", tests, setup, NULL);
}
