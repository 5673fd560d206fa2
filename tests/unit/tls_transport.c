/* The queue of output and the lending of input. */
#include "core/tls_transport.h"
#include "tests/unit/tls_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

static struct fixture_world world;

static int setup(void **state)
{
	(void)state;
	fixture_world(&world);
	return 0;
}

/* Taken in pieces of any size, the output is the same, and the empty queue keeps no memory. */
static void output_in_pieces(void **state)
{
	struct fixture_pair pair;
	uint8_t whole[2000], piece[2000];
	size_t consumed, size;

	(void)state;
	fixture_pair_open(&pair, &world.client_options, &world.server_options, "server.example", NULL);
	assert_int_equal(tls_session_handshake(pair.client, NULL, 0, &consumed), TLS_WANT_INPUT);
	size = tls_session_output_size(pair.client);
	assert_true(size > 100 && size < sizeof(whole));
	assert_int_equal(tls_transport_queued(pair.client), size);
	memcpy(whole, pair.client->out.data + pair.client->out.start, size);
	for (size_t got = 0, step = 1; got < size; step += 3) {
		size_t n = tls_session_take_output(pair.client, piece, step);

		assert_int_equal(n, step < size - got ? step : size - got);
		assert_memory_equal(piece, whole + got, n);
		got += n;
		assert_int_equal(tls_session_output_size(pair.client), size - got);
	}
	assert_null(pair.client->out.data);
	assert_int_equal(tls_session_take_output(pair.client, piece, sizeof(piece)), 0);
	fixture_pair_close(&pair);
}

static void queue_grows(void **state)
{
	struct fixture_pair pair;
	size_t before = 0;

	(void)state;
	fixture_pair_open(&pair, &world.client_options, &world.server_options, "server.example", NULL);
	fixture_pair_shake(&pair, 0);
	for (int i = 0; i < 500; i++) {
		uint8_t bit[7];

		assert_int_equal(tls_session_rekey(pair.client, false), 0);
		assert_true(tls_session_output_size(pair.client) > before);
		/* Taking from the front meanwhile. */
		fixture_wire_put(&pair.to_server, bit,
				 tls_session_take_output(pair.client, bit, sizeof(bit)));
		before = tls_session_output_size(pair.client);
	}
	assert_true(before > 5000);
	fixture_flush(pair.client, &pair.to_server);
	for (size_t at = 0; at < pair.to_server.size;) {
		ssize_t length = tls_record_length(pair.to_server.data + at);

		assert_int_equal(length, 27);
		at += (size_t)length;
	}
	fixture_pair_close(&pair);
}

static void lends_input(void **state)
{
	struct fixture_pair pair;

	(void)state;
	fixture_pair_open(&pair, &world.client_options, &world.server_options, "server.example", NULL);
	tls_transport_open(pair.client, "abc", 3);
	assert_int_equal(tls_transport_close(pair.client), 0);
	assert_null(pair.client->in);
	assert_int_equal(pair.client->in_len, 0);
	fixture_pair_close(&pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(output_in_pieces),
		cmocka_unit_test(queue_grows),
		cmocka_unit_test(lends_input),
	};

	return cmocka_run_group_tests_name("tls_transport", tests, setup, NULL);
}
