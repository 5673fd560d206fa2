/* Sending: how much is taken into how much room, gathering, and the end. */
#include "tests/unit/tls_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct fixture_world world;
static uint8_t pattern[70000], got[70000];

static int setup(void **state)
{
	(void)state;
	fixture_world(&world);
	for (size_t i = 0; i < sizeof(pattern); i++)
		pattern[i] = (uint8_t)(i * 13 + i / 253);
	return 0;
}

static void open_pair(struct fixture_pair *pair)
{
	fixture_pair_open(pair, &world.client_options, &world.server_options, "server.example", NULL);
	fixture_pair_shake(pair, 0);
	assert_int_equal(pair->client_result, TLS_DONE);
}

static size_t count_records(const struct fixture_wire *wire)
{
	size_t n = 0;

	for (size_t at = 0; at < wire->size; n++) {
		ssize_t length = tls_record_length(wire->data + at);

		assert_true(length > 0);
		at += (size_t)length;
		assert_true(at <= wire->size);
	}
	return n;
}

static void full_records(void **state)
{
	static const struct {
		size_t size, records;
	} cases[] = {{1, 1}, {16383, 1}, {16384, 1}, {16385, 2}, {32768, 2}, {65536, 4}, {70000, 5}};
	struct fixture_pair pair;

	(void)state;
	open_pair(&pair);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct iovec iov = {pattern, cases[i].size};
		size_t cap = tls_session_sealed_size(pair.client, iov.iov_len), out;
		uint8_t *room = malloc(cap);
		struct tls_received received;

		assert_int_equal(tls_session_seal(pair.client, &iov, 1, room, cap, &out), iov.iov_len);
		fixture_wire_put(&pair.to_server, room, out);
		free(room);
		assert_int_equal(count_records(&pair.to_server), cases[i].records);
		assert_int_equal(fixture_recv(pair.server, &pair.to_server, got, sizeof(got), &received),
				 iov.iov_len);
		assert_memory_equal(got, pattern, iov.iov_len);
	}
	fixture_pair_close(&pair);
}

/* Whatever the room: never beyond it, never nothing while something fits, and all arrives. */
static void little_room(void **state)
{
	struct fixture_pair pair;

	(void)state;
	open_pair(&pair);
	for (size_t cap = 0; cap < 400; cap++) {
		struct iovec iov = {pattern, 300};
		uint8_t *room = malloc(cap + 1);
		struct tls_received received;
		size_t out;
		ssize_t n;

		room[cap] = 0xa5;
		n = tls_session_seal(pair.client, &iov, 1, room, cap, &out);
		assert_true(n >= 0 && out <= cap);
		assert_int_equal(room[cap], 0xa5);
		assert_int_equal(n > 0, cap > 86);
		fixture_wire_put(&pair.to_server, room, out);
		free(room);
		if (n)
			assert_int_equal(fixture_recv(pair.server, &pair.to_server, got, sizeof(got),
						      &received),
					 n);
		assert_memory_equal(got, pattern, (size_t)n);
	}
	fixture_pair_close(&pair);
}

static void gathers_small_pieces(void **state)
{
	struct iovec iov[64];
	struct fixture_pair pair;
	struct tls_received received;
	size_t used = 0, cap, out;
	uint8_t *room;
	static const size_t lengths[] = {0, 1, 700, 3, 0, 5000, 17000, 2, 1, 20000};
	int n = 0;

	(void)state;
	open_pair(&pair);
	for (; n < 20; n++) {
		iov[n].iov_base = pattern + used;
		iov[n].iov_len = lengths[n % 10] / (n >= 10 ? 2 : 1);
		used += iov[n].iov_len;
	}
	cap = tls_session_sealed_size(pair.client, used);
	room = malloc(cap);
	assert_int_equal(tls_session_seal(pair.client, iov, n, room, cap, &out), used);
	fixture_wire_put(&pair.to_server, room, out);
	free(room);
	assert_int_equal(count_records(&pair.to_server), (used + 16383) / 16384);
	assert_int_equal(fixture_recv(pair.server, &pair.to_server, got, sizeof(got), &received), used);
	assert_memory_equal(got, pattern, used);
	fixture_pair_close(&pair);
}

static void nothing_to_send(void **state)
{
	struct iovec none = {NULL, 0};
	struct fixture_pair pair;
	uint8_t room[100];
	size_t out;

	(void)state;
	open_pair(&pair);
	assert_int_equal(tls_session_seal(pair.client, &none, 1, room, sizeof(room), &out), 0);
	assert_int_equal(out, 0);
	assert_int_equal(tls_session_seal(pair.client, NULL, 0, room, sizeof(room), &out), 0);
	fixture_pair_close(&pair);
}

/* Queued messages go out before data, even if the room is only enough for them. */
static void queue_first(void **state)
{
	struct iovec iov = {pattern, 10};
	struct fixture_pair pair;
	struct tls_received received;
	uint8_t room[200];
	size_t out, queued;

	(void)state;
	open_pair(&pair);
	assert_int_equal(tls_session_rekey(pair.client, false), 0);
	queued = tls_session_output_size(pair.client);
	assert_true(queued > 0);
	assert_int_equal(tls_session_seal(pair.client, &iov, 1, room, 10, &out), 0);
	assert_int_equal(out, 10);
	fixture_wire_put(&pair.to_server, room, out);
	assert_int_equal(tls_session_output_size(pair.client), queued - 10);
	assert_int_equal(tls_session_seal(pair.client, &iov, 1, room, sizeof(room), &out), 10);
	fixture_wire_put(&pair.to_server, room, out);
	assert_int_equal(fixture_recv(pair.server, &pair.to_server, got, sizeof(got), &received), 10);
	assert_memory_equal(got, pattern, 10);
	fixture_pair_close(&pair);
}

static void after_the_end(void **state)
{
	struct iovec iov = {pattern, 10};
	struct fixture_pair pair;
	uint8_t room[200];
	size_t out;

	(void)state;
	fixture_pair_open(&pair, &world.client_options, &world.server_options, "server.example", NULL);
	assert_int_equal(tls_session_seal(pair.client, &iov, 1, room, sizeof(room), &out), -ENOTCONN);
	assert_int_equal(tls_session_close(pair.client), -ENOTCONN);
	fixture_pair_shake(&pair, 0);
	assert_int_equal(tls_session_close(pair.client), 0);
	assert_int_equal(tls_session_close(pair.client), 0);
	assert_int_equal(tls_session_seal(pair.client, &iov, 1, room, sizeof(room), &out), -EPIPE);
	assert_int_equal(tls_session_rekey(pair.client, false), -EPIPE);
	fixture_pair_close(&pair);
}

static void no_rekey_before_1_3(void **state)
{
	struct tls_options client = world.client_options, server = world.server_options;
	struct fixture_pair pair;

	(void)state;
	client.allowed_security_protocols = server.allowed_security_protocols = TLS_VERSION_1_2;
	fixture_pair_open(&pair, &client, &server, "server.example", NULL);
	fixture_pair_shake(&pair, 0);
	assert_int_equal(tls_session_rekey(pair.client, false), -EOPNOTSUPP);
	fixture_send(pair.client, &pair.to_server, pattern, 40000);
	assert_int_equal(count_records(&pair.to_server), 3);
	fixture_pair_close(&pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(full_records),		cmocka_unit_test(little_room),
		cmocka_unit_test(gathers_small_pieces), cmocka_unit_test(nothing_to_send),
		cmocka_unit_test(queue_first),		cmocka_unit_test(after_the_end),
		cmocka_unit_test(no_rekey_before_1_3),
	};

	return cmocka_run_group_tests_name("tls_seal", tests, setup, NULL);
}
