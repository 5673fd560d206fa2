/* Records past GnuTLS and through it are the same records: each way of sealing with each way of opening. */
#include "core/tls_direct.h"
#include "tests/unit/tls_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <gnutls/crypto.h>
#include <stdlib.h>
#include <string.h>

static struct fixture_world world;
static uint8_t pattern[50000], got[50000];

static int setup(void **state)
{
	(void)state;
	fixture_world(&world);
	for (size_t i = 0; i < sizeof(pattern); i++)
		pattern[i] = (uint8_t)(i * 11 + i / 257);
	return 0;
}

static void open_pair(struct fixture_pair *pair, const struct tls_options *client)
{
	struct tls_received received;

	fixture_pair_open(pair, client, &world.server_options, "server.example", NULL);
	fixture_pair_shake(pair, 0);
	assert_int_equal(pair->client_result, TLS_DONE);
	assert_int_equal(tls_session_fill(pair->client, pair->to_client.data, pair->to_client.size, 1, 0,
					  &received),
			 0);
	fixture_wire_drop(&pair->to_client, received.consumed);
}

static void exchange(struct fixture_pair *pair, size_t size)
{
	struct tls_received received;

	fixture_send(pair->client, &pair->to_server, pattern, size);
	assert_int_equal(fixture_recv(pair->server, &pair->to_server, got, sizeof(got), &received), size);
	assert_memory_equal(got, pattern, size);
	fixture_send(pair->server, &pair->to_client, pattern + 1, size);
	assert_int_equal(fixture_recv(pair->client, &pair->to_client, got, sizeof(got), &received), size);
	assert_memory_equal(got, pattern + 1, size);
	assert_int_equal(pair->to_client.size + pair->to_server.size, 0);
}

/* Both ways, one, none; changed in the middle; with key updates between. */
static void either_way(void **state)
{
	static const char *const suites[] = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
					     "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_CCM_SHA256"};
	static const size_t sizes[] = {1, 100, 16384, 16384, 16385, 100, 40000, 49999};

	(void)state;
	for (size_t s = 0; s < sizeof(suites) / sizeof(suites[0]); s++) {
		struct tls_options client = world.client_options;
		struct fixture_pair pair;

		client.ciphersuite = (struct tls_list){&suites[s], 1};
		if (s == 3)
			world.server_options.ciphersuite = client.ciphersuite;
		open_pair(&pair, &client);
		for (unsigned round = 0; round < 32; round++) {
			pair.client->direct = round & 1;
			pair.server->direct = (round & 2) != 0;
			exchange(&pair, sizes[round % 8]);
			if (round % 5 == 0) {
				assert_int_equal(tls_session_rekey(pair.client, round % 2), 0);
				fixture_flush(pair.client, &pair.to_server);
			}
		}
		fixture_pair_close(&pair);
	}
	world.server_options.ciphersuite = (struct tls_list){NULL, 0};
}

static void is_used(void **state)
{
	struct tls_options old = world.client_options, server = world.server_options;
	struct fixture_pair pair;

	(void)state;
	open_pair(&pair, &world.client_options);
	exchange(&pair, TLS_DIRECT_WORTH - 1 - TLS_DIRECT_OVERHEAD);
	assert_null(pair.client->sealing.aead);
	assert_null(pair.server->opening.aead);
	exchange(&pair, 20000);
	exchange(&pair, 20000);
	assert_non_null(pair.client->sealing.aead);
	assert_non_null(pair.server->opening.aead);
	assert_int_equal(pair.client->sendable, TLS_PLAIN_MAX);
	fixture_pair_close(&pair);
	old.allowed_security_protocols = server.allowed_security_protocols = TLS_VERSION_1_2;
	fixture_pair_open(&pair, &old, &server, "server.example", NULL);
	fixture_pair_shake(&pair, 0);
	exchange(&pair, 20000);
	assert_null(pair.client->sealing.aead);
	fixture_pair_close(&pair);
}

/* At 2^24 records GnuTLS changes the keys by itself; no record is lost on the way. */
static void keys_wear_out(void **state)
{
	static const uint8_t near[8] = {[5] = 0xff, [6] = 0xfe, [7] = 0x80};
	struct fixture_pair pair;
	uint8_t number[8];

	(void)state;
	open_pair(&pair, &world.client_options);
	exchange(&pair, 1000);
	assert_int_equal(gnutls_record_set_state(pair.client->tls, 0, near), 0);
	assert_int_equal(gnutls_record_set_state(pair.server->tls, 1, near), 0);
	for (int i = 0; i < 600; i++)
		exchange(&pair, 100);
	assert_int_equal(gnutls_record_get_state(pair.client->tls, 0, NULL, NULL, NULL, number), 0);
	assert_int_equal(number[5], 0);
	fixture_pair_close(&pair);
}

/* The peer's limit (RFC 8449) is known to GnuTLS alone, and kept. */
static void small_records_for_the_peer(void **state)
{
	struct fixture_pair pair;
	size_t largest = 0;

	(void)state;
	fixture_pair_open(&pair, &world.client_options, &world.server_options, "server.example", NULL);
	assert_int_equal(gnutls_record_set_max_recv_size(pair.server->tls, 1000), 0);
	fixture_pair_shake(&pair, 0);
	assert_int_equal(pair.server_result, TLS_DONE);
	for (int i = 0; i < 3; i++)
		fixture_send(pair.client, &pair.to_server, pattern, 5000);
	for (size_t at = 0; at < pair.to_server.size;) {
		size_t length = (size_t)tls_record_length(pair.to_server.data + at);

		largest = length > largest ? length : largest;
		at += length;
	}
	assert_in_range(largest, 900, 1000 + TLS_DIRECT_OVERHEAD);
	fixture_pair_close(&pair);
}

static void records_by_hand(void **state)
{
	struct fixture_pair pair;
	uint8_t record[300], inner[300];
	ssize_t length;

	(void)state;
	open_pair(&pair, &world.client_options);
	for (size_t size = 0; size <= 200; size++) {
		assert_true(tls_direct_begin(pair.client, false, SIZE_MAX));
		assert_true(tls_direct_begin(pair.server, true, SIZE_MAX));
		memcpy(record + TLS_HEADER_SIZE, pattern, size);
		/* In place, and from elsewhere. */
		length = tls_direct_seal(&pair.client->sealing, record,
					 size % 2 ? record + TLS_HEADER_SIZE : pattern, size);
		assert_int_equal(length, size + TLS_DIRECT_OVERHEAD);
		assert_int_equal(tls_record_length(record), length);
		record[length - 1] ^= 1;
		assert_int_equal(tls_direct_open(&pair.server->opening, record, (size_t)length, inner), -1);
		record[length - 1] ^= 1;
		assert_int_equal(tls_direct_open(&pair.server->opening, record, (size_t)length, inner),
				 size);
		assert_memory_equal(inner, pattern, size);
		/* Not twice. */
		assert_int_equal(tls_direct_open(&pair.server->opening, record, (size_t)length, inner), -1);
		tls_direct_end(pair.client, false);
		tls_direct_end(pair.server, true);
	}
	exchange(&pair, 10);
	fixture_pair_close(&pair);
}

/* Padded records, and ones of nothing but padding or of another kind, sealed with the session's own keys.
 */
static void padding(void **state)
{
	struct fixture_pair pair;
	struct tls_received received;

	(void)state;
	open_pair(&pair, &world.client_options);
	for (size_t zeros = 1; zeros < 300; zeros += 37) {
		/* gnutls_record_send2 pads. */
		assert_int_equal(gnutls_record_send2(pair.client->tls, pattern, 50, zeros, 0), 50);
		fixture_flush(pair.client, &pair.to_server);
		assert_int_equal(fixture_recv(pair.server, &pair.to_server, got, sizeof(got), &received),
				 50);
		assert_memory_equal(got, pattern, 50);
	}
	/* A record whose content is zeros ends in a type that is zero: no type at all. */
	for (int round = 0; round < 2; round++) {
		uint8_t record[TLS_HEADER_SIZE + 40 + 17] = {23, 3, 3, 0, 57};
		uint8_t nonce[12];
		size_t sealed = sizeof(record) - TLS_HEADER_SIZE;
		uint8_t inner[41] = {0};

		inner[0] = round ? 99 : 0;
		assert_true(tls_direct_begin(pair.client, false, SIZE_MAX));
		memcpy(nonce, pair.client->sealing.iv, 12);
		for (int i = 0; i < 8; i++)
			nonce[11 - i] ^= (uint8_t)(pair.client->sealing.number >> (8 * i));
		assert_int_equal(gnutls_aead_cipher_encrypt(pair.client->sealing.aead, nonce, 12, record,
							    TLS_HEADER_SIZE, 16, inner, sizeof(inner),
							    record + TLS_HEADER_SIZE, &sealed),
				 0);
		fixture_wire_put(&pair.to_server, record, sizeof(record));
		assert_int_equal(fixture_recv(pair.server, &pair.to_server, got, sizeof(got), &received),
				 -EPROTO);
		fixture_pair_close(&pair);
		open_pair(&pair, &world.client_options);
	}
	fixture_pair_close(&pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(either_way),	   cmocka_unit_test(is_used),
		cmocka_unit_test(keys_wear_out),   cmocka_unit_test(small_records_for_the_peer),
		cmocka_unit_test(records_by_hand), cmocka_unit_test(padding),
	};

	return cmocka_run_group_tests_name("tls_direct", tests, setup, NULL);
}
