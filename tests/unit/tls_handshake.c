/* The handshake step by step: every split, what is no handshake, alerts, the external verifier. */
#include "tests/unit/tls_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct fixture_world world;

static int setup(void **state)
{
	(void)state;
	fixture_world(&world);
	return 0;
}

static void small_chunks(void **state)
{
	static const size_t chunks[] = {1, 2, 3, 4, 5, 6, 7, 11, 64, 500};
	struct tls_options both_versions[2] = {world.client_options, world.server_options};

	(void)state;
	for (unsigned version = TLS_VERSION_1_2; version <= TLS_VERSION_1_3; version++) {
		both_versions[0].allowed_security_protocols = version;
		both_versions[1].allowed_security_protocols = version;
		for (size_t i = 0; i < sizeof(chunks) / sizeof(chunks[0]); i++) {
			struct fixture_pair pair;

			fixture_pair_open(&pair, &both_versions[0], &both_versions[1], "server.example",
					  NULL);
			fixture_pair_shake(&pair, chunks[i]);
			assert_int_equal(pair.client_result, TLS_DONE);
			assert_int_equal(pair.server_result, TLS_DONE);
			fixture_pair_close(&pair);
		}
	}
}

/* Cut the server's flight once at every byte. */
static void every_split(void **state)
{
	size_t size = 1;

	(void)state;
	for (size_t cut = 0; cut < size; cut += cut < 200 ? 1 : 13) {
		struct fixture_pair pair;
		size_t consumed, rest;
		uint8_t *part;
		int result;

		fixture_pair_open(&pair, &world.client_options, &world.server_options, "server.example",
				  NULL);
		assert_int_equal(tls_session_handshake(pair.client, NULL, 0, &consumed), TLS_WANT_INPUT);
		fixture_flush(pair.client, &pair.to_server);
		assert_int_equal(tls_session_handshake(pair.server, pair.to_server.data,
						       pair.to_server.size, &consumed),
				 TLS_WANT_INPUT);
		assert_int_equal(consumed, pair.to_server.size);
		fixture_wire_drop(&pair.to_server, consumed);
		fixture_flush(pair.server, &pair.to_client);
		size = pair.to_client.size;
		part = malloc(cut + 1);
		memcpy(part, pair.to_client.data, cut);
		result = tls_session_handshake(pair.client, part, cut, &consumed);
		free(part);
		assert_true(consumed <= cut);
		fixture_wire_drop(&pair.to_client, consumed);
		rest = pair.to_client.size;
		/* The server's tickets end the flight: done before them. */
		if (result != TLS_DONE)
			result = tls_session_handshake(pair.client, pair.to_client.data, rest, &consumed);
		assert_int_equal(result, TLS_DONE);
		fixture_pair_close(&pair);
	}
}

/* Done means done: what follows in the same bytes is left to the record layer, at a boundary. */
static void leaves_what_follows(void **state)
{
	struct fixture_pair pair;
	struct tls_received received;
	char buf[10];
	size_t consumed;

	(void)state;
	fixture_pair_open(&pair, &world.client_options, &world.server_options, "server.example", NULL);
	tls_session_handshake(pair.client, NULL, 0, &consumed);
	fixture_flush(pair.client, &pair.to_server);
	tls_session_handshake(pair.server, pair.to_server.data, pair.to_server.size, &consumed);
	fixture_wire_drop(&pair.to_server, consumed);
	fixture_flush(pair.server, &pair.to_client);
	assert_int_equal(tls_session_handshake(pair.client, pair.to_client.data, pair.to_client.size,
					       &consumed),
			 TLS_DONE);
	fixture_wire_drop(&pair.to_client, consumed);
	fixture_flush(pair.client, &pair.to_server);
	fixture_send(pair.client, &pair.to_server, "early bird", 10);
	assert_int_equal(tls_session_handshake(pair.server, pair.to_server.data, pair.to_server.size,
					       &consumed),
			 TLS_DONE);
	assert_true(consumed < pair.to_server.size);
	fixture_wire_drop(&pair.to_server, consumed);
	assert_int_equal(tls_record_length(pair.to_server.data), pair.to_server.size);
	assert_int_equal(fixture_recv(pair.server, &pair.to_server, buf, sizeof(buf), &received), 10);
	/* Another step changes nothing. */
	assert_int_equal(tls_session_handshake(pair.server, "x", 1, &consumed), TLS_DONE);
	assert_int_equal(consumed, 0);
	fixture_pair_close(&pair);
}

static void clear_text(void **state)
{
	static const struct {
		const char *text, *reason;
	} cases[] = {
		{"HTTP/1.1 400 Bad Request\r\n",
		 "does not speak TLS: it sent \"HTTP/1.1 400 Bad Request??\""},
		{"220 mail.example ESMTP\r\n", "does not speak TLS: it sent \"220 mail.example ESMTP"},
		{"-ERR unknown\r\n", "does not speak TLS"},
		{"\x80\x2e\x01\x00\x02", "does not speak TLS"},
		{"\x16\x03\x03\x48\x01", ""},
		{"\x16\x09\x09\x00\x10", ""},
		{"\x15\x03\x03\x00\x02\x02\x46", "alert 70"},
		{"\x15\x03\x01\x00\x02\x02\x28", "alert 40"},
		{"\x16\x03\x03\x00\x04\x02\x00\x00\x00", ""},
		{"\x16\x03\x03\x00\x05\xff\x00\x00\x01\x00", ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixture_pair pair;
		size_t consumed, len = i < 3   ? strlen(cases[i].text)
				       : i < 6 ? 5
				       : i < 8 ? 7
				       : i < 9 ? 9
					       : 10;

		fixture_pair_open(&pair, &world.client_options, &world.server_options, "server.example",
				  NULL);
		tls_session_handshake(pair.client, NULL, 0, &consumed);
		assert_int_equal(tls_session_handshake(pair.client, cases[i].text, len, &consumed),
				 -EPROTO);
		if (!strstr(tls_session_reason(pair.client), cases[i].reason))
			fail_msg("\"%s\"", tls_session_reason(pair.client));
		assert_true(tls_session_reason(pair.client)[0]);
		/* For good. */
		assert_int_equal(tls_session_handshake(pair.client, "\x16", 1, &consumed), -EPROTO);
		fixture_pair_close(&pair);
	}
}

static void server_hears_clear_text(void **state)
{
	struct fixture_pair pair;
	size_t consumed;
	uint8_t out[100];

	(void)state;
	fixture_pair_open(&pair, &world.client_options, &world.server_options, "server.example", NULL);
	assert_int_equal(tls_session_handshake(pair.server, "GET / HTTP/1.0\r\n", 16, &consumed), -EPROTO);
	assert_non_null(strstr(tls_session_reason(pair.server), "GET / HTTP/1.0"));
	assert_int_equal(tls_session_take_output(pair.server, out, sizeof(out)), 7);
	assert_int_equal(out[0], 21);
	fixture_pair_close(&pair);
}

static void random_bytes(void **state)
{
	unsigned seed = 1;

	(void)state;
	for (int round = 0; round < 300; round++) {
		struct fixture_pair pair;
		uint8_t noise[600];
		size_t consumed;
		int result;

		fixture_pair_open(&pair, &world.client_options, &world.server_options, "server.example",
				  NULL);
		for (size_t i = 0; i < sizeof(noise); i++)
			noise[i] = (uint8_t)(rand_r(&seed) >> 7);
		memcpy(noise, "\x16\x03\x03\x02\x00", 5);
		if (round % 2)
			noise[5] = 1;
		tls_session_handshake(pair.client, NULL, 0, &consumed);
		result = tls_session_handshake(round % 2 ? pair.server : pair.client, noise, sizeof(noise),
					       &consumed);
		assert_true(result == -EPROTO || result == TLS_WANT_INPUT);
		fixture_pair_close(&pair);
	}
}

/* A change of any byte of the server's flight ends the handshake. */
static void forged_flight(void **state)
{
	size_t size = 1;

	(void)state;
	for (size_t at = 5; at < size; at += 17) {
		struct fixture_pair pair;
		struct tls_received received;
		char buf[8];

		fixture_pair_open(&pair, &world.client_options, &world.server_options, "server.example",
				  NULL);
		pair.client_result = TLS_WANT_INPUT;
		for (int i = 0; i < 2; i++) {
			size_t consumed;
			struct tls_session *one = i ? pair.server : pair.client;
			struct fixture_wire *in = i ? &pair.to_server : &pair.to_client;

			tls_session_handshake(one, in->data, in->size, &consumed);
			fixture_wire_drop(in, consumed);
			fixture_flush(one, i ? &pair.to_client : &pair.to_server);
		}
		size = pair.to_client.size;
		pair.to_client.data[at] ^= 1;
		fixture_pair_shake(&pair, 0);
		/* The dummy change_cipher_spec is no part of what is authenticated. */
		if (pair.client_result == TLS_DONE) {
			assert_int_equal(fixture_recv(pair.client, &pair.to_client, buf, 8, &received), 0);
			assert_int_equal(pair.server_result, TLS_DONE);
		} else {
			assert_true(pair.client_result == -EPROTO || pair.client_result == TLS_WANT_INPUT);
			assert_int_not_equal(pair.server_result, TLS_DONE);
		}
		fixture_pair_close(&pair);
	}
}

static void open_with_verifier(struct fixture_pair *pair)
{
	struct tls_options options = world.client_options;
	static struct tls_options kept;

	options.verifier = "true";
	kept = options;
	fixture_pair_open(pair, &kept, &world.server_options, "server.example", NULL);
	fixture_pair_shake(pair, 0);
	assert_int_equal(pair->client_result, TLS_WANT_VERIFIER);
	assert_int_equal(pair->server_result, TLS_WANT_INPUT);
}

static void verifier_accepts(void **state)
{
	struct fixture_pair pair;
	size_t consumed;
	char *pem;

	(void)state;
	open_with_verifier(&pair);
	pem = tls_session_chain_pem(pair.client);
	assert_non_null(pem);
	assert_memory_equal(pem, "-----BEGIN CERTIFICATE-----", 27);
	free(pem);
	assert_int_equal(tls_session_handshake(pair.client, NULL, 0, &consumed), TLS_WANT_VERIFIER);
	tls_session_verifier_said(pair.client, true, NULL);
	pair.client_result = TLS_WANT_INPUT;
	fixture_pair_shake(&pair, 0);
	assert_int_equal(pair.client_result, TLS_DONE);
	assert_int_equal(pair.server_result, TLS_DONE);
	fixture_pair_close(&pair);
}

static void verifier_refuses(void **state)
{
	struct fixture_pair pair;

	(void)state;
	open_with_verifier(&pair);
	tls_session_verifier_said(pair.client, false, "not on\nthe list");
	pair.client_result = TLS_WANT_INPUT;
	fixture_pair_shake(&pair, 0);
	assert_int_equal(pair.client_result, -EPROTO);
	assert_string_equal(tls_session_reason(pair.client), "the verifier refused: not on?the list");
	assert_int_equal(pair.server_result, -EPROTO);
	assert_non_null(strstr(tls_session_reason(pair.server), "alert 49"));
	/* Too late. */
	tls_session_verifier_said(pair.client, true, NULL);
	assert_string_equal(tls_session_reason(pair.client), "the verifier refused: not on?the list");
	fixture_pair_close(&pair);
}

/* The verifier has no say where the checks of our own have failed. */
static void verifier_is_not_asked(void **state)
{
	static struct tls_options options;
	struct fixture_pair pair;

	(void)state;
	options = world.client_options;
	options.verifier = "true";
	fixture_pair_open(&pair, &options, &world.server_options, "other.example", NULL);
	fixture_pair_shake(&pair, 0);
	assert_int_equal(pair.client_result, -EPROTO);
	fixture_pair_close(&pair);
}

/* A kernel that takes at most `most` bytes, of each message but every third. */
struct kernel {
	struct fixture_wire *wire;
	size_t most, messages, bytes;
};

static size_t kernel_takes(void *context, const struct iovec *iov, int n)
{
	struct kernel *kernel = context;
	size_t room = kernel->messages++ % 3 == 2 ? 0 : kernel->most, taken = 0;

	for (int i = 0; i < n && room > taken; i++) {
		size_t len = iov[i].iov_len < room - taken ? iov[i].iov_len : room - taken;

		fixture_wire_put(kernel->wire, iov[i].iov_base, len);
		taken += len;
	}
	kernel->bytes += taken;
	return taken;
}

/* Messages that are sent as they are made, whole or in part, and the rest behind them. */
static void sent_at_once(void **state)
{
	static const size_t most[] = {100000, 1, 50, 0};

	(void)state;
	for (size_t i = 0; i < sizeof(most) / sizeof(most[0]); i++) {
		struct fixture_pair pair;
		struct kernel client = {&pair.to_server, most[i], 0, 0},
			      server = {&pair.to_client, most[i], 0, 0};

		fixture_pair_open(&pair, &world.client_options, &world.server_options, "server.example",
				  NULL);
		tls_session_set_sender(pair.client, kernel_takes, &client);
		tls_session_set_sender(pair.server, kernel_takes, &server);
		fixture_pair_shake(&pair, 0);
		assert_int_equal(pair.client_result, TLS_DONE);
		assert_int_equal(pair.server_result, TLS_DONE);
		/* The server's hello went ahead of the rest, unless it was held up. */
		assert_true(most[i] < 1000 ? server.messages >= 1 : server.messages >= 2);
		assert_true(most[i] == 0 ? !server.bytes : server.bytes >= 1);
		fixture_pair_close(&pair);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(small_chunks),
		cmocka_unit_test(every_split),
		cmocka_unit_test(leaves_what_follows),
		cmocka_unit_test(clear_text),
		cmocka_unit_test(server_hears_clear_text),
		cmocka_unit_test(random_bytes),
		cmocka_unit_test(forged_flight),
		cmocka_unit_test(verifier_accepts),
		cmocka_unit_test(verifier_refuses),
		cmocka_unit_test(verifier_is_not_asked),
		cmocka_unit_test(sent_at_once),
	};

	return cmocka_run_group_tests_name("tls_handshake", tests, setup, NULL);
}
