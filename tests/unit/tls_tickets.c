#include "core/tls_tickets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t policy_a[TLS_POLICY_SIZE] = {1}, policy_b[TLS_POLICY_SIZE] = {2};
static const struct tls_ticket_key usual = {"server.example", 443, policy_a, 7};

static struct tls_ticket make(char mark, int64_t expires)
{
	struct tls_ticket ticket = {.data = malloc(10), .size = 10, .expires = expires};

	memset(ticket.data, mark, ticket.size);
	return ticket;
}

static void put(struct tls_tickets *store, const struct tls_ticket_key *key, char mark, int64_t expires)
{
	struct tls_ticket ticket = make(mark, expires);

	assert_int_equal(tls_tickets_put(store, key, &ticket, 4, 64, 100), 0);
	assert_null(ticket.data);
}

/* The mark of the ticket taken, 0 for none. */
static char take(struct tls_tickets *store, const struct tls_ticket_key *key, int64_t now)
{
	struct tls_ticket ticket;
	char mark;

	if (!tls_tickets_take(store, key, now, &ticket))
		return 0;
	mark = (char)ticket.data[9];
	tls_ticket_free(&ticket);
	return mark;
}

static void newest_first_and_once(void **state)
{
	struct tls_tickets *store;

	(void)state;
	assert_int_equal(tls_tickets_new(&store, 100), 0);
	put(store, &usual, 'a', 200);
	put(store, &usual, 'b', 200);
	assert_int_equal(take(store, &usual, 100), 'b');
	assert_int_equal(take(store, &usual, 100), 'a');
	assert_int_equal(take(store, &usual, 100), 0);
	assert_int_equal(tls_tickets_count(store), 0);
	tls_tickets_free(store);
	tls_tickets_free(NULL);
}

static void keys_are_apart(void **state)
{
	static const struct tls_ticket_key others[] = {
		{"other.example", 443, policy_a, 7},  {"server.example", 444, policy_a, 7},
		{"server.example", 443, policy_b, 7}, {"server.example", 443, policy_a, 8},
	};
	static const struct tls_ticket_key same = {"SERVER.example", 443, policy_a, 7};
	struct tls_tickets *store;

	(void)state;
	assert_int_equal(tls_tickets_new(&store, 100), 0);
	put(store, &usual, 'u', 200);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		assert_int_equal(take(store, &others[i], 100), 0);
		put(store, &others[i], (char)('0' + i), 200);
	}
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_int_equal(take(store, &others[i], 100), '0' + i);
	assert_int_equal(take(store, &same, 100), 'u');
	tls_tickets_free(store);
}

static void expiry(void **state)
{
	struct tls_tickets *store;
	struct tls_ticket ticket;

	(void)state;
	assert_int_equal(tls_tickets_new(&store, 100), 0);
	put(store, &usual, 'a', 100);
	assert_int_equal(tls_tickets_count(store), 0);
	put(store, &usual, 'b', 101);
	assert_int_equal(take(store, &usual, 101), 0);
	put(store, &usual, 'c', 150);
	put(store, &usual, 'd', 110);
	assert_int_equal(take(store, &usual, 120), 'c');
	put(store, &usual, 'e', 100 + 2 * TLS_TICKET_LIFETIME_MAX);
	assert_true(tls_tickets_take(store, &usual, 100, &ticket));
	assert_int_equal(ticket.expires, 100 + TLS_TICKET_LIFETIME_MAX);
	tls_ticket_free(&ticket);
	tls_tickets_free(store);
}

static void limits(void **state)
{
	struct tls_tickets *store;
	struct tls_ticket_key key = usual;
	struct tls_ticket big = {.data = malloc(1), .size = TLS_TICKET_SIZE_MAX + 1, .expires = 200};
	struct tls_ticket empty = {.data = NULL, .expires = 200};

	(void)state;
	assert_int_equal(tls_tickets_new(&store, 6), 0);
	for (char mark = 'a'; mark <= 'z'; mark++)
		put(store, &key, mark, 200);
	assert_int_equal(tls_tickets_count(store), 4);
	for (key.port = 1; key.port <= 20; key.port++)
		put(store, &key, 'p', 200);
	assert_int_equal(tls_tickets_count(store), 6);
	assert_int_equal(take(store, &usual, 100), 0);
	/* Too big: wiping would touch memory that is not there. */
	big.data = realloc(big.data, big.size);
	assert_int_equal(tls_tickets_put(store, &usual, &big, 4, 64, 100), 0);
	assert_null(big.data);
	assert_int_equal(tls_tickets_put(store, &usual, &empty, 4, 64, 100), 0);
	assert_int_equal(tls_tickets_count(store), 6);
	put(store, &usual, 'n', 200);
	assert_int_equal(take(store, &usual, 100), 'n');
	tls_tickets_free(store);
	assert_int_equal(tls_tickets_new(&store, 0), 0);
	put(store, &usual, 'x', 200);
	assert_int_equal(tls_tickets_count(store), 0);
	tls_tickets_free(store);
}

/* maxCachedSessions counts what one policy keeps, whatever the names. */
static void limit_of_policy(void **state)
{
	struct tls_ticket_key key = usual, other = usual;
	struct tls_tickets *store;

	(void)state;
	other.policy = policy_b;
	assert_int_equal(tls_tickets_new(&store, 100), 0);
	put(store, &other, 'o', 200);
	for (key.port = 1; key.port <= 5; key.port++) {
		struct tls_ticket ticket = make((char)('0' + key.port), 200);

		assert_int_equal(tls_tickets_put(store, &key, &ticket, 4, 3, 100), 0);
	}
	assert_int_equal(tls_tickets_count(store), 4);
	for (key.port = 1; key.port <= 5; key.port++)
		assert_int_equal(take(store, &key, 100), key.port > 2 ? '0' + key.port : 0);
	assert_int_equal(take(store, &other, 100), 'o');
	tls_tickets_free(store);
}

static void forgetting(void **state)
{
	struct tls_tickets *store;
	struct tls_ticket_key other = usual;

	(void)state;
	other.name = "other.example";
	other.network = 9;
	assert_int_equal(tls_tickets_new(&store, 100), 0);
	put(store, &usual, 'a', 200);
	put(store, &usual, 'b', 200);
	put(store, &other, 'c', 200);
	assert_int_equal(tls_tickets_forget(store, "Server.Example"), 2);
	assert_int_equal(tls_tickets_forget(store, "server.example"), 0);
	put(store, &usual, 'd', 200);
	assert_int_equal(tls_tickets_keep_network(store, 9), 1);
	assert_int_equal(take(store, &usual, 100), 0);
	put(store, &usual, 'e', 200);
	assert_int_equal(tls_tickets_forget(store, NULL), 2);
	assert_int_equal(tls_tickets_count(store), 0);
	tls_tickets_fork_prepare(store);
	tls_tickets_fork_done(store);
	tls_tickets_free(store);
}

static struct tls_tickets *shared;
static _Atomic int taken;

static void *put_and_take(void *arg)
{
	(void)arg;
	for (int i = 0; i < 2000; i++) {
		put(shared, &usual, 'a', 200);
		taken += take(shared, &usual, 100) == 'a';
	}
	return NULL;
}

/* Whoever takes a ticket has it alone. */
static void threads(void **state)
{
	pthread_t thread[4];

	(void)state;
	taken = 0;
	assert_int_equal(tls_tickets_new(&shared, 1000), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, put_and_take, NULL), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(taken, 8000);
	assert_int_equal(tls_tickets_count(shared), 0);
	tls_tickets_free(shared);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(newest_first_and_once),
		cmocka_unit_test(keys_are_apart),
		cmocka_unit_test(expiry),
		cmocka_unit_test(limits),
		cmocka_unit_test(limit_of_policy),
		cmocka_unit_test(forgetting),
		cmocka_unit_test(threads),
	};

	return cmocka_run_group_tests_name("tls_tickets", tests, NULL, NULL);
}
