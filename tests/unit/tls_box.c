/* Tickets that one process leaves for another: all of each, once, and nothing of the dead's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/tls_box.h"
#include "tests/unit/host.h"

static const uint8_t policy[TLS_POLICY_SIZE] = {1, 2, 3};
static const struct tls_ticket_key key = {"server.example", 443, policy, 7};

static struct tls_box *box;
static uint8_t secret[TLS_BOX_TICKET_MAX + 1];

static int setup(void **state)
{
	(void)state;
	unit_host();
	return tls_box_new(&box);
}

static bool put(uint8_t mark, size_t size)
{
	const struct tls_ticket ticket = {secret, size, 99};

	memset(secret, mark, sizeof(secret));
	return tls_box_put(box, &key, 5, &ticket);
}

/* The mark of the ticket taken, which is this long; 0 for none. */
static uint8_t take(size_t size)
{
	struct tls_box_label label;
	struct tls_ticket ticket;
	uint8_t mark;

	if (!tls_box_take(box, &label, &ticket))
		return 0;
	assert_string_equal(label.name, key.name);
	assert_int_equal(label.port, key.port);
	assert_memory_equal(label.policy, policy, TLS_POLICY_SIZE);
	assert_int_equal(label.network, key.network);
	assert_int_equal(label.max, 5);
	assert_int_equal(ticket.expires, 99);
	assert_int_equal(ticket.size, size);
	mark = ticket.data[0];
	assert_int_equal(ticket.data[size - 1], mark);
	tls_ticket_free(&ticket);
	return mark;
}

static void await(pid_t child)
{
	int status;

	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void of_another_process(void **state)
{
	pid_t child = fork();

	(void)state;
	if (child == 0)
		_exit(!put(1, 100) || !put(2, 100));
	await(child);
	assert_int_equal(take(100), 1);
	assert_int_equal(take(100), 2);
	assert_int_equal(take(100), 0);
}

/* A child that has parted leaves what its parent had, and is not heard. */
static void parted(void **state)
{
	pid_t child;

	(void)state;
	assert_true(put(1, 100));
	child = fork();
	if (child == 0)
		_exit(tls_box_part(box) < 0 || take(100) || !put(2, 100) || take(100) != 2 || !put(3, 100));
	await(child);
	assert_int_equal(take(100), 1);
	assert_int_equal(take(100), 0);
}

static unsigned fill(void)
{
	unsigned n = 0;

	while (put(1, TLS_BOX_TICKET_MAX))
		n++;
	return n;
}

static void room(void **state)
{
	unsigned n;

	(void)state;
	assert_false(put(1, TLS_BOX_TICKET_MAX + 1));
	n = fill();
	assert_true(n >= 8 && n < 1000);
	assert_int_equal(take(TLS_BOX_TICKET_MAX), 1);
	assert_true(put(2, 10));
	assert_false(put(3, 10));
}

static void names(void **state)
{
	char name[TLS_BOX_NAME_MAX + 1];
	const struct tls_ticket_key longest = {name, 1, policy, 1};
	const struct tls_ticket ticket = {secret, 1, 99};

	(void)state;
	memset(name, 'n', sizeof(name));
	name[TLS_BOX_NAME_MAX] = 0;
	assert_false(tls_box_put(box, &longest, 1, &ticket));
	name[TLS_BOX_NAME_MAX - 1] = 0;
	assert_true(tls_box_put(box, &longest, 1, &ticket));
}

/* Two children leave tickets while the parent takes them: none is lost or torn. */
static void at_once(void **state)
{
	unsigned got = 0, each = 2000, i, n;
	pid_t child[2];

	(void)state;
	for (i = 0; i < 2; i++) {
		child[i] = fork();
		if (child[i] != 0)
			continue;
		for (n = 0; n < each; n++)
			while (!put((uint8_t)(i + 1), 3000))
				usleep(10);
		_exit(0);
	}
	alarm(60);
	while (got < 2 * each)
		got += take(3000) != 0;
	alarm(0);
	for (i = 0; i < 2; i++)
		await(child[i]);
	assert_int_equal(take(3000), 0);
}

/* Nobody who was killed keeps a place, whatever it was at. */
static void killed(void **state)
{
	unsigned all = fill(), i;
	pid_t child;

	(void)state;
	for (i = 0; i < 100; i++) {
		child = fork();
		while (child == 0)
			if (!put(1, TLS_BOX_TICKET_MAX))
				take(TLS_BOX_TICKET_MAX);
		usleep(1000 + 37 * i);
		assert_int_equal(kill(child, SIGKILL), 0);
		assert_int_equal(waitpid(child, NULL, 0), child);
	}
	while (take(TLS_BOX_TICKET_MAX))
		;
	assert_int_equal(fill(), all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(of_another_process, setup),
		cmocka_unit_test_setup(parted, setup),
		cmocka_unit_test_setup(room, setup),
		cmocka_unit_test_setup(names, setup),
		cmocka_unit_test_setup(at_once, setup),
		cmocka_unit_test_setup(killed, setup),
	};

	return cmocka_run_group_tests_name("tls_box", tests, NULL, NULL);
}
