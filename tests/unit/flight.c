/* Calls that go past the core are counted for as long as they last, however they end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <unistd.h>

#include "shim/fdtab.h"
#include "shim/flight.h"

/* The table, as far as it is looked at. */
slot_entry *_Atomic fdtab_pages[FDTAB_PAGES];
static slot_entry page[FDTAB_PAGE];
static struct slot slot;

static int reset(void **state)
{
	(void)state;
	atomic_store(&fdtab_pages[0], page);
	atomic_store(&page[7], &slot);
	atomic_store(&slot.pub.flags, 0);
	flight_part_process();
	flight_count(true, false);
	return 0;
}

static void test_counts_while_it_lasts(void **state)
{
	struct flight flight;

	(void)state;
	assert_false(flight_any(7));
	assert_true(flight_begin(7, &flight));
	assert_true(flight_any(7));
	assert_false(flight_any(8));
	assert_false(flight_any(71));
	flight_end(&flight);
	assert_false(flight_any(7));
}

static void test_counts_nothing_where_no_rule_secures(void **state)
{
	struct flight flight;

	(void)state;
	flight_count(false, false);
	assert_true(flight_begin(7, &flight));
	assert_false(flight_any(7));
	flight_end(&flight);
}

static void test_looks_again(void **state)
{
	struct flight flight;

	(void)state;
	atomic_store(&slot.pub.flags, SLOT_SECURING);
	assert_false(flight_begin(7, &flight));
	assert_false(flight_any(7));
}

static void test_both_ends_of_a_copy(void **state)
{
	const char *frame = __builtin_frame_address(0);
	struct flight ends[2];

	(void)state;
	assert_true(flight_begin_at(7, frame, &ends[0]));
	assert_true(flight_begin_at(8, frame - 1, &ends[1]));
	assert_true(flight_any(7) && flight_any(8));
	flight_end(&ends[1]);
	assert_true(flight_any(7) && !flight_any(8));
	flight_end(&ends[0]);
	assert_false(flight_any(7));
}

static void test_numbers_without_a_counter(void **state)
{
	struct flight flight;

	(void)state;
	assert_true(flight_begin(FDTAB_PAGES * FDTAB_PAGE, &flight));
	assert_true(flight_any(7));
	flight_end(&flight);
	assert_false(flight_any(7));
	assert_true(flight_begin(-1, &flight));
	assert_false(flight_any(7));
	flight_end(&flight);
}

static jmp_buf out;

static __attribute__((noinline)) void leave_by_jump(void)
{
	struct flight flight;

	flight_begin(7, &flight);
	longjmp(out, 1);
}

static __attribute__((noinline)) void call_again(void)
{
	struct flight flight;

	flight_begin(8, &flight);
	flight_end(&flight);
}

static void test_takes_back_what_longjmp_left(void **state)
{
	(void)state;
	if (setjmp(out) == 0)
		leave_by_jump();
	assert_true(flight_any(7));
	call_again();
	assert_false(flight_any(7));
}

static void nested(int sig)
{
	(void)sig;
	call_again();
}

static void test_signal_handlers_leave_it(void **state)
{
	struct flight flight;

	(void)state;
	signal(SIGUSR1, nested);
	flight_begin(7, &flight);
	raise(SIGUSR1);
	assert_true(flight_any(7));
	flight_end(&flight);
	assert_false(flight_any(7));
}

static sem_t begun;

static void *end_in_a_call(void *arg)
{
	struct flight flight;

	(void)arg;
	flight_begin(7, &flight);
	sem_post(&begun);
	while (pause() != 0)
		;
	return NULL;
}

static void test_takes_back_what_a_thread_left(void **state)
{
	pthread_t thread;

	(void)state;
	sem_init(&begun, 0, 0);
	assert_int_equal(pthread_create(&thread, NULL, end_in_a_call, NULL), 0);
	sem_wait(&begun);
	assert_true(flight_any(7));
	pthread_cancel(thread);
	pthread_join(thread, NULL);
	assert_false(flight_any(7));
}

static void test_a_new_process_has_none(void **state)
{
	struct flight flight;

	(void)state;
	flight_begin(7, &flight);
	flight_part_process();
	assert_false(flight_any(7));
	flight_end(&flight);
	assert_false(flight_any(7));
}

/* Last: what began unseen stays. */
static void test_what_began_unseen(void **state)
{
	(void)state;
	flight_count(false, false);
	flight_count(true, true);
	assert_true(flight_any(7));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_counts_while_it_lasts, reset),
		cmocka_unit_test_setup(test_counts_nothing_where_no_rule_secures, reset),
		cmocka_unit_test_setup(test_looks_again, reset),
		cmocka_unit_test_setup(test_both_ends_of_a_copy, reset),
		cmocka_unit_test_setup(test_numbers_without_a_counter, reset),
		cmocka_unit_test_setup(test_takes_back_what_longjmp_left, reset),
		cmocka_unit_test_setup(test_signal_handlers_leave_it, reset),
		cmocka_unit_test_setup(test_takes_back_what_a_thread_left, reset),
		cmocka_unit_test_setup(test_a_new_process_has_none, reset),
		cmocka_unit_test_setup(test_what_began_unseen, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
