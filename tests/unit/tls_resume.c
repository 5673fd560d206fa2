/* Tickets and early data. */
#include "tests/unit/tls_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct fixture_world world;
static struct tls_credentials *client, *server;

static int setup(void **state)
{
	(void)state;
	fixture_world(&world);
	world.client_options.early_data_max = 4096;
	world.server_options.early_data_max = 4096;
	client = fixture_credentials(&world.client_options);
	server = fixture_credentials(&world.server_options);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	tls_credentials_unref(client);
	tls_credentials_unref(server);
	return 0;
}

/* Takes all tickets that a full handshake brings; returns how many. */
static unsigned get_tickets(struct tls_credentials *c, struct tls_credentials *s,
			    struct tls_ticket *tickets, unsigned max)
{
	struct fixture_pair pair;
	struct tls_received received;
	unsigned n = 0;

	fixture_pair_with(&pair, c, s, "server.example", NULL);
	fixture_pair_shake(&pair, 0);
	assert_int_equal(pair.client_result, TLS_DONE);
	assert_int_equal(tls_session_fill(pair.client, pair.to_client.data, pair.to_client.size, 1, 0,
					  &received),
			 0);
	while (n < max && tls_session_take_ticket(pair.client, &tickets[n]))
		n++;
	fixture_pair_close(&pair);
	return n;
}

static bool resumes(struct tls_credentials *c, struct tls_credentials *s, const char *name,
		    const struct tls_ticket *ticket)
{
	struct fixture_pair pair;
	struct tls_facts facts;

	fixture_pair_with(&pair, c, s, name, ticket);
	fixture_pair_shake(&pair, 0);
	assert_int_equal(pair.client_result, TLS_DONE);
	assert_int_equal(pair.server_result, TLS_DONE);
	tls_session_facts(pair.client, &facts);
	fixture_pair_close(&pair);
	return facts.resumed;
}

static void two_tickets(void **state)
{
	struct tls_ticket tickets[4];
	int64_t now = time(NULL);

	(void)state;
	assert_int_equal(get_tickets(client, server, tickets, 4), 2);
	for (int i = 0; i < 2; i++) {
		assert_true(tickets[i].expires > now + 3600 && tickets[i].expires <= now + 86400);
		assert_true(resumes(client, server, "server.example", &tickets[i]));
	}
	assert_true(tickets[0].size != tickets[1].size ||
		    memcmp(tickets[0].data, tickets[1].data, tickets[0].size) != 0);
	tls_ticket_free(&tickets[0]);
	tls_ticket_free(&tickets[1]);
}

static void resumed_sessions_bring_tickets(void **state)
{
	struct tls_ticket tickets[2], next;
	struct fixture_pair pair;
	struct tls_received received;
	struct tls_facts facts;

	(void)state;
	assert_int_equal(get_tickets(client, server, tickets, 2), 2);
	fixture_pair_with(&pair, client, server, "server.example", &tickets[0]);
	fixture_pair_shake(&pair, 0);
	assert_int_equal(tls_session_fill(pair.client, pair.to_client.data, pair.to_client.size, 1, 0,
					  &received),
			 0);
	tls_session_facts(pair.client, &facts);
	assert_true(facts.resumed);
	assert_string_equal(facts.peer_subject, "CN=server");
	assert_true(tls_session_take_ticket(pair.client, &next));
	assert_true(resumes(client, server, "server.example", &next));
	fixture_pair_close(&pair);
	tls_ticket_free(&next);
	tls_ticket_free(&tickets[0]);
	tls_ticket_free(&tickets[1]);
}

static void bound_to_name_and_policy(void **state)
{
	struct tls_options stricter = world.client_options;
	struct tls_credentials *other;
	struct tls_ticket tickets[2];

	(void)state;
	assert_int_equal(get_tickets(client, server, tickets, 2), 2);
	assert_false(resumes(client, server, "192.0.2.1", &tickets[0]));
	stricter.sni_off = true;
	stricter.staple = TLS_STAPLE_IGNORED;
	other = fixture_credentials(&stricter);
	assert_memory_not_equal(tls_credentials_policy(other), tls_credentials_policy(client),
				TLS_POLICY_SIZE);
	assert_false(resumes(other, server, "server.example", &tickets[0]));
	assert_true(resumes(client, server, "server.example", &tickets[0]));
	tls_credentials_unref(other);
	tls_ticket_free(&tickets[0]);
	tls_ticket_free(&tickets[1]);
}

static void worthless_tickets(void **state)
{
	struct tls_ticket tickets[2], bad;
	struct tls_credentials *stranger;

	(void)state;
	assert_int_equal(get_tickets(client, server, tickets, 2), 2);
	bad = tickets[0];
	bad.expires = time(NULL) - 1;
	assert_false(resumes(client, server, "server.example", &bad));
	bad = tickets[0];
	for (bad.size = 0; bad.size < tickets[0].size; bad.size += bad.size < 50 ? 1 : 97)
		assert_false(resumes(client, server, "server.example", &bad));
	for (size_t i = 0; i < tickets[1].size; i += i < 41 ? 1 : 61) {
		tickets[1].data[i] ^= 0x55;
		assert_false(resumes(client, server, "server.example", &tickets[1]));
		tickets[1].data[i] ^= 0x55;
	}
	/* Another server cannot read it: a full handshake. */
	stranger = fixture_credentials(&world.server_options);
	assert_false(resumes(client, stranger, "server.example", &tickets[0]));
	tls_credentials_unref(stranger);
	tls_ticket_free(&tickets[0]);
	tls_ticket_free(&tickets[1]);
}

static void no_resumption(void **state)
{
	struct tls_options off = world.client_options, server_off = world.server_options;
	struct tls_credentials *c, *s;
	struct tls_ticket tickets[2];

	(void)state;
	off.max_cached_sessions = 0;
	server_off.max_cached_sessions = 0;
	c = fixture_credentials(&off);
	s = fixture_credentials(&server_off);
	assert_int_equal(get_tickets(c, server, tickets, 2), 0);
	assert_int_equal(get_tickets(client, s, tickets, 2), 0);
	tls_credentials_unref(c);
	tls_credentials_unref(s);
}

/* A ticket never outlives the certificate that was verified. */
static void certificate_limits_tickets(void **state)
{
	struct fixture_spec spec = {.cn = "short",
				    .dns = {"server.example"},
				    .from_hours = -1,
				    .to_hours = 1};
	struct fixture_cert leaf = fixture_cert(&spec, &world.ca);
	struct tls_identity identity = {.chain = fixture_write("short.pem", &leaf, 1, leaf.key)};
	struct tls_options options = world.server_options;
	struct tls_credentials *s;
	struct tls_ticket tickets[2];

	(void)state;
	options.certificates = &identity;
	s = fixture_credentials(&options);
	assert_int_equal(get_tickets(client, s, tickets, 2), 2);
	assert_true(tickets[0].expires <= time(NULL) + 3600);
	tls_ticket_free(&tickets[0]);
	tls_ticket_free(&tickets[1]);
	tls_credentials_unref(s);
}

static void tickets_of_1_2(void **state)
{
	struct tls_options c12 = world.client_options, s12 = world.server_options;
	struct tls_credentials *c, *s;
	struct tls_ticket tickets[2];
	struct fixture_pair pair;

	(void)state;
	c12.allowed_security_protocols = s12.allowed_security_protocols = TLS_VERSION_1_2;
	c = fixture_credentials(&c12);
	s = fixture_credentials(&s12);
	assert_int_equal(get_tickets(c, s, tickets, 2), 1);
	assert_true(resumes(c, s, "server.example", &tickets[0]));
	fixture_pair_with(&pair, c, s, "server.example", &tickets[0]);
	assert_int_equal(tls_session_early_room(pair.client), 0);
	fixture_pair_close(&pair);
	tls_ticket_free(&tickets[0]);
	tls_credentials_unref(c);
	tls_credentials_unref(s);
}

static void pre_shared_keys_resume(void **state)
{
	static const struct tls_psk psk = {"us", "000102030405060708090a0b0c0d0e0f"};
	struct tls_options c12 = TLS_OPTIONS_INIT(TLS_CLIENT), s12 = TLS_OPTIONS_INIT(TLS_SERVER);
	struct tls_credentials *c, *s;
	struct tls_ticket tickets[2];
	unsigned n;

	(void)state;
	c12.psks = s12.psks = &psk;
	c12.n_psks = s12.n_psks = 1;
	c = fixture_credentials(&c12);
	s = fixture_credentials(&s12);
	n = get_tickets(c, s, tickets, 2);
	for (unsigned i = 0; i < n; i++) {
		resumes(c, s, "server.example", &tickets[i]);
		tls_ticket_free(&tickets[i]);
	}
	tls_credentials_unref(c);
	tls_credentials_unref(s);
}

static void early_data(void **state)
{
	struct tls_ticket tickets[2];
	struct tls_received received;
	struct fixture_pair pair;
	struct tls_facts facts;
	char buf[100];

	(void)state;
	assert_int_equal(get_tickets(client, server, tickets, 2), 2);
	fixture_pair_with(&pair, client, server, "server.example", &tickets[0]);
	assert_int_equal(tls_session_early_data(pair.client, "GET / early", 11), 11);
	fixture_pair_shake(&pair, 0);
	assert_int_equal(pair.client_result, TLS_DONE);
	assert_int_equal(pair.server_result, TLS_DONE);
	assert_true(tls_session_early_accepted(pair.client));
	fixture_send(pair.client, &pair.to_server, " late", 5);
	assert_int_equal(tls_session_pending(pair.server), 11);
	assert_int_equal(fixture_recv(pair.server, &pair.to_server, buf, sizeof(buf), &received), 16);
	assert_memory_equal(buf, "GET / early late", 16);
	tls_session_facts(pair.server, &facts);
	assert_true(facts.early_data && facts.resumed);
	fixture_pair_close(&pair);
	tls_ticket_free(&tickets[0]);
	tls_ticket_free(&tickets[1]);
}

/* Somebody repeats the recorded first flight. */
static void early_data_replayed(void **state)
{
	struct tls_ticket tickets[2];
	struct fixture_pair pair, again;
	size_t consumed;

	(void)state;
	assert_int_equal(get_tickets(client, server, tickets, 2), 2);
	fixture_pair_with(&pair, client, server, "server.example", &tickets[0]);
	assert_int_equal(tls_session_early_data(pair.client, "pay twice", 9), 9);
	assert_int_equal(tls_session_handshake(pair.client, NULL, 0, &consumed), TLS_WANT_INPUT);
	fixture_flush(pair.client, &pair.to_server);
	fixture_pair_with(&again, client, server, "server.example", NULL);
	fixture_wire_put(&again.to_server, pair.to_server.data, pair.to_server.size);
	fixture_pair_shake(&pair, 0);
	assert_true(tls_session_early_accepted(pair.client));
	assert_int_equal(tls_session_pending(pair.server), 9);
	assert_int_not_equal(tls_session_handshake(again.server, again.to_server.data, again.to_server.size,
						   &consumed),
			     TLS_DONE);
	assert_int_equal(tls_session_pending(again.server), 0);
	fixture_pair_close(&pair);
	fixture_pair_close(&again);
	tls_ticket_free(&tickets[0]);
	tls_ticket_free(&tickets[1]);
}

static void early_data_rejected(void **state)
{
	struct tls_credentials *stranger = fixture_credentials(&world.server_options);
	struct tls_ticket tickets[2];
	struct tls_received received;
	struct fixture_pair pair;
	char buf[100];

	(void)state;
	assert_int_equal(get_tickets(client, server, tickets, 2), 2);
	fixture_pair_with(&pair, client, stranger, "server.example", &tickets[0]);
	assert_int_equal(tls_session_early_data(pair.client, "GET / early", 11), 11);
	fixture_pair_shake(&pair, 0);
	assert_int_equal(pair.client_result, TLS_DONE);
	assert_int_equal(pair.server_result, TLS_DONE);
	assert_false(tls_session_early_accepted(pair.client));
	fixture_send(pair.client, &pair.to_server, "GET / early", 11);
	assert_int_equal(fixture_recv(pair.server, &pair.to_server, buf, sizeof(buf), &received), 11);
	fixture_pair_close(&pair);
	tls_credentials_unref(stranger);
	tls_ticket_free(&tickets[0]);
	tls_ticket_free(&tickets[1]);
}

/* More than a record, up to what the server allows. */
static void much_early_data(void **state)
{
	struct tls_options c = world.client_options, s = world.server_options;
	struct tls_credentials *big_client, *big_server;
	struct tls_ticket tickets[2];
	struct tls_received received;
	struct fixture_pair pair;
	static uint8_t sent[60000], got[60000];

	(void)state;
	c.early_data_max = 50000;
	s.early_data_max = 40000 + 3 * 32; /* room for what the records add */
	big_client = fixture_credentials(&c);
	big_server = fixture_credentials(&s);
	memset(sent, 0x5a, sizeof(sent));
	assert_int_equal(get_tickets(big_client, big_server, tickets, 2), 2);
	fixture_pair_with(&pair, big_client, big_server, "server.example", &tickets[0]);
	assert_int_equal(tls_session_early_data(pair.client, sent, sizeof(sent)), 40000);
	fixture_pair_shake(&pair, 0);
	assert_int_equal(pair.server_result, TLS_DONE);
	assert_true(tls_session_early_accepted(pair.client));
	assert_int_equal(fixture_recv(pair.server, &pair.to_server, got, sizeof(got), &received), 40000);
	assert_memory_equal(got, sent, 40000);
	fixture_pair_close(&pair);
	tls_credentials_unref(big_client);
	tls_credentials_unref(big_server);
	tls_ticket_free(&tickets[0]);
	tls_ticket_free(&tickets[1]);
}

static void server_without_early_data(void **state)
{
	struct tls_options s = world.server_options;
	struct tls_credentials *plain;
	struct tls_ticket tickets[2];
	struct fixture_pair pair;

	(void)state;
	s.early_data_max = 0;
	plain = fixture_credentials(&s);
	assert_int_equal(get_tickets(client, plain, tickets, 2), 2);
	fixture_pair_with(&pair, client, plain, "server.example", &tickets[0]);
	assert_int_equal(tls_session_early_data(pair.client, "x", 1), 0);
	fixture_pair_shake(&pair, 0);
	assert_int_equal(pair.client_result, TLS_DONE);
	fixture_pair_close(&pair);
	tls_credentials_unref(plain);
	tls_ticket_free(&tickets[0]);
	tls_ticket_free(&tickets[1]);
}

static void early_data_only_with_ticket(void **state)
{
	struct tls_options none = world.client_options;
	struct tls_credentials *c;
	struct tls_ticket tickets[2];
	struct fixture_pair pair;

	(void)state;
	fixture_pair_with(&pair, client, server, "server.example", NULL);
	assert_int_equal(tls_session_early_data(pair.client, "x", 1), 0);
	assert_int_equal(tls_session_early_data(pair.server, "x", 1), 0);
	fixture_pair_close(&pair);
	none.early_data_max = 0;
	c = fixture_credentials(&none);
	assert_int_equal(get_tickets(c, server, tickets, 2), 2);
	fixture_pair_with(&pair, c, server, "server.example", &tickets[0]);
	assert_int_equal(tls_session_early_data(pair.client, "x", 1), 0);
	fixture_pair_close(&pair);
	tls_credentials_unref(c);
	tls_ticket_free(&tickets[0]);
	tls_ticket_free(&tickets[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_tickets),
		cmocka_unit_test(resumed_sessions_bring_tickets),
		cmocka_unit_test(bound_to_name_and_policy),
		cmocka_unit_test(worthless_tickets),
		cmocka_unit_test(no_resumption),
		cmocka_unit_test(certificate_limits_tickets),
		cmocka_unit_test(tickets_of_1_2),
		cmocka_unit_test(pre_shared_keys_resume),
		cmocka_unit_test(early_data),
		cmocka_unit_test(early_data_replayed),
		cmocka_unit_test(early_data_rejected),
		cmocka_unit_test(much_early_data),
		cmocka_unit_test(server_without_early_data),
		cmocka_unit_test(early_data_only_with_ticket),
	};

	return cmocka_run_group_tests_name("tls_resume", tests, setup, teardown);
}
