/* Bytes before the handshake: what goes ahead, what waits, what is sent again. */
#include "core/tls_early.h"

#include "tests/unit/tls_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#define SERVER_MAX 400
#define AHEAD_MAX (SERVER_MAX - 32) /* what a record adds is counted */

static struct fixture_world world;
static struct tls_credentials *client, *server;
static uint8_t sent[2 * TLS_EARLY_KEPT], got[2 * TLS_EARLY_KEPT];

static int setup(void **state)
{
	(void)state;
	fixture_world(&world);
	world.client_options.early_data_max = TLS_EARLY_MAX;
	world.server_options.early_data_max = SERVER_MAX;
	client = fixture_credentials(&world.client_options);
	server = fixture_credentials(&world.server_options);
	for (size_t i = 0; i < sizeof(sent); i++)
		sent[i] = (uint8_t)(i * 31 + (i >> 8));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	tls_credentials_unref(client);
	tls_credentials_unref(server);
	return 0;
}

static struct tls_ticket get_ticket(struct tls_credentials *from)
{
	struct fixture_pair pair;
	struct tls_received received;
	struct tls_ticket ticket = {0};

	fixture_pair_with(&pair, client, from, "server.example", NULL);
	fixture_pair_shake(&pair, 0);
	assert_int_equal(pair.client_result, TLS_DONE);
	assert_int_equal(tls_session_fill(pair.client, pair.to_client.data, pair.to_client.size, 1, 0,
					  &received),
			 0);
	assert_true(tls_session_take_ticket(pair.client, &ticket));
	fixture_pair_close(&pair);
	return ticket;
}

/* Sessions of the client and `with`, the client's with a ticket of `from`'s, had after it was made. */
static void open_pair(struct fixture_pair *pair, struct tls_credentials *from, struct tls_credentials *with)
{
	struct tls_ticket ticket = get_ticket(from);

	fixture_pair_with(pair, client, with, "server.example", NULL);
	assert_int_equal(tls_session_early_room(pair->client), 0);
	tls_session_resume(pair->client, &ticket);
	tls_ticket_free(&ticket);
}

static size_t take(struct tls_early *early, struct fixture_pair *pair, size_t at, size_t size, bool begun)
{
	struct iovec iov[] = {{sent + at, size / 3}, {sent + at + size / 3, size - size / 3}};

	return tls_early_take(early, pair->client, iov, 2, begun);
}

/* Ends the handshake; the server must then have these bytes, the first of them by itself. */
static void finish(struct tls_early *early, struct fixture_pair *pair, size_t ahead, size_t all)
{
	struct tls_received received;
	struct tls_out out = {0};
	size_t n = 0;

	fixture_pair_shake(pair, 0);
	assert_string_equal(tls_session_reason(pair->server), "");
	assert_string_equal(tls_session_reason(pair->client), "");
	assert_int_equal(pair->client_result, TLS_DONE);
	assert_int_equal(pair->server_result, TLS_DONE);
	assert_int_equal(tls_session_pending(pair->server), ahead);
	fixture_flush(pair->client, &pair->to_server);
	assert_int_equal(tls_early_settle(early, pair->client, &out), 0);
	assert_false(early->open);
	assert_null(early->data);
	fixture_wire_put(&pair->to_server, out.data, tls_out_left(&out));
	tls_out_free(&out);
	while (n < all) {
		ssize_t more = fixture_recv(pair->server, &pair->to_server, got + n, sizeof(got) - n,
					    &received);

		assert_true(more > 0);
		n += (size_t)more;
	}
	assert_int_equal(n, all);
	assert_memory_equal(got, sent, all);
	fixture_pair_close(pair);
}

static void all_ahead(void **state)
{
	struct tls_early early = {0};
	struct fixture_pair pair;

	(void)state;
	open_pair(&pair, server, server);
	assert_int_equal(tls_session_early_room(pair.client), AHEAD_MAX);
	assert_true(tls_early_open(&early, pair.client));
	assert_int_equal(take(&early, &pair, 0, 100, false), 100);
	assert_int_equal(early.ahead, 100);
	finish(&early, &pair, 100, 100);
}

/* The ticket's maximum goes ahead, the rest behind, with what comes while the handshake runs. */
static void rest_behind(void **state)
{
	struct tls_early early = {0};
	struct fixture_pair pair;
	size_t used;

	(void)state;
	open_pair(&pair, server, server);
	assert_true(tls_early_open(&early, pair.client));
	assert_int_equal(take(&early, &pair, 0, 1000, false), 1000);
	assert_int_equal(early.ahead, AHEAD_MAX);
	assert_int_equal(tls_session_handshake(pair.client, NULL, 0, &used), TLS_WANT_INPUT);
	assert_int_equal(take(&early, &pair, 1000, 30000, true), 30000);
	assert_int_equal(take(&early, &pair, 31000, sizeof(sent) - 31000, true), TLS_EARLY_KEPT - 31000);
	assert_int_equal(take(&early, &pair, TLS_EARLY_KEPT, 1, true), 0);
	finish(&early, &pair, AHEAD_MAX, TLS_EARLY_KEPT);
}

/* Another server cannot read the ticket: all is sent once more. */
static void not_taken(void **state)
{
	struct tls_credentials *stranger = fixture_credentials(&world.server_options);
	struct tls_early early = {0};
	struct fixture_pair pair;

	(void)state;
	open_pair(&pair, server, stranger);
	assert_true(tls_early_open(&early, pair.client));
	assert_int_equal(take(&early, &pair, 0, 1000, false), 1000);
	assert_int_equal(early.ahead, AHEAD_MAX);
	finish(&early, &pair, 0, 1000);
	tls_credentials_unref(stranger);
}

/* A server that asks for another group than the first (RFC 8446 §4.1.4) would do so after early data, too. */
static void other_group(void **state)
{
	struct tls_options options = world.server_options;
	struct tls_credentials *strict;
	struct tls_early early = {0};
	struct fixture_pair pair;

	(void)state;
	options.supported_group = (struct tls_list){(const char *const[]){"secp384r1"}, 1};
	strict = fixture_credentials(&options);
	open_pair(&pair, strict, strict);
	assert_false(tls_early_open(&early, pair.client));
	finish(&early, &pair, 0, 0);
	tls_credentials_unref(strict);
}

/* Without a ticket that allows it nothing is taken, nor once the handshake has begun without bytes. */
static void never_ahead(void **state)
{
	struct tls_options options = world.server_options;
	struct tls_credentials *plain;
	struct tls_early early = {0};
	struct fixture_pair pair;
	size_t used;

	(void)state;
	fixture_pair_with(&pair, client, server, "server.example", NULL);
	assert_false(tls_early_open(&early, pair.client));
	assert_int_equal(take(&early, &pair, 0, 10, false), 0);
	fixture_pair_close(&pair);
	options.early_data_max = 0;
	plain = fixture_credentials(&options);
	open_pair(&pair, plain, plain);
	assert_false(tls_early_open(&early, pair.client));
	assert_int_equal(take(&early, &pair, 0, 10, false), 0);
	fixture_pair_close(&pair);
	tls_credentials_unref(plain);
	open_pair(&pair, server, server);
	assert_true(tls_early_open(&early, pair.client));
	assert_int_equal(tls_session_handshake(pair.client, NULL, 0, &used), TLS_WANT_INPUT);
	assert_int_equal(take(&early, &pair, 0, 10, true), 10);
	assert_int_equal(early.ahead, 0);
	finish(&early, &pair, 0, 10);
}

static void given_up(void **state)
{
	struct tls_early early = {0};
	struct fixture_pair pair;

	(void)state;
	open_pair(&pair, server, server);
	assert_true(tls_early_open(&early, pair.client));
	assert_int_equal(take(&early, &pair, 0, 100, false), 100);
	tls_early_free(&early);
	assert_null(early.data);
	assert_false(early.open);
	tls_early_free(&early);
	fixture_pair_close(&pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_ahead),    cmocka_unit_test(rest_behind), cmocka_unit_test(not_taken),
		cmocka_unit_test(other_group), cmocka_unit_test(never_ahead), cmocka_unit_test(given_up),
	};

	return cmocka_run_group_tests_name("tls_early", tests, setup, teardown);
}
