/* core/race.c in virtual time.  The scenarios and their language are in tests/unit/race.def. */
#include "core/race.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MS INT64_C(1000000)

struct scenario {
	const char *name;
	unsigned n; /* leaves at the begin */
	const char *script, *expect;
	int delay, securing; /* ms; 0: as race_init() sees fit */
	unsigned cap;
	bool failover;
	bool more;       /* more answers are expected from the begin */
	int lag;         /* the driver wakes so many ms after each deadline */
	unsigned buffer; /* actions taken at a time; 0: plenty */
};

#define SCENARIO(name_, n_, script_, expect_, ...) \
	{.name = (name_), .n = (n_), .script = (script_), .expect = (expect_), ##__VA_ARGS__},
static const struct scenario scenarios[] = {
#include "tests/unit/race.def"
};
#undef SCENARIO

static const struct {
	const char *name;
	int number;
} errors[] = {
	{"0", 0},
	{"ECONNREFUSED", ECONNREFUSED},
	{"ECONNRESET", ECONNRESET},
	{"EHOSTUNREACH", EHOSTUNREACH},
	{"EIO", EIO},
	{"ENETUNREACH", ENETUNREACH},
	{"EPROTO", EPROTO},
	{"ETIMEDOUT", ETIMEDOUT},
};

static int error_number(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++)
		if (strcmp(errors[i].name, name) == 0)
			return errors[i].number;
	fail_msg("the script says %s", name);
	return 0;
}

static const char *error_name(int number)
{
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++)
		if (errors[i].number == number)
			return errors[i].name;
	return "another";
}

/* A race under way, and what it did. */
struct run {
	const struct scenario *scenario;
	struct race race;
	int64_t now; /* ms */
	unsigned outcomes;
	unsigned starts[RACE_MAX_LEAVES];
	char text[2048];
};

__attribute__((format(printf, 2, 3))) static void record(struct run *run, const char *format, ...)
{
	size_t used = strlen(run->text);
	va_list args;

	used += (size_t)snprintf(run->text + used, sizeof(run->text) - used, "%s", used ? ", " : "");
	va_start(args, format);
	vsnprintf(run->text + used, sizeof(run->text) - used, format, args);
	va_end(args);
}

static unsigned in_flight(const struct race *race)
{
	unsigned n = 0;

	for (unsigned i = 0; i < race->n; i++)
		n += race->leaf[i].state == LEAF_RUNNING || race->leaf[i].state == LEAF_SECURING;
	return n;
}

/* Records an action, and checks what must hold for every race. */
static void take(struct run *run, const struct race_action *action)
{
	static const char *const kinds[] = {"start", "cancel", "won"};

	assert_int_equal(run->outcomes, 0);
	if (action->kind == RACE_LOST) {
		record(run, "%lld lost %s", (long long)run->now, error_name(action->error));
	} else {
		assert_in_range(action->leaf, 0, run->race.n - 1);
		record(run, "%lld %s %u", (long long)run->now, kinds[action->kind], action->leaf);
	}
	if (action->kind == RACE_START)
		assert_int_equal(run->starts[action->leaf]++, 0);
	if (action->kind == RACE_CANCEL)
		assert_int_equal(run->starts[action->leaf], 1);
	if (action->kind == RACE_WON || action->kind == RACE_LOST) {
		run->outcomes++;
		assert_int_equal(in_flight(&run->race), 0);
	}
}

static void step(struct run *run)
{
	struct race_action actions[RACE_MAX_LEAVES + 1];
	unsigned max = run->scenario->buffer ? run->scenario->buffer : ARRAY_SIZE(actions), n;

	do {
		n = race_step(&run->race, run->now * MS, actions, max);
		assert_in_range(n, 0, max);
		for (unsigned i = 0; i < n; i++)
			take(run, &actions[i]);
	} while (n > 0);
	assert_in_range(in_flight(&run->race), 0, run->race.params.max_in_flight);
	assert_true(race_deadline(&run->race) > run->now * MS);
}

static void insert(struct run *run, unsigned at)
{
	int leaf = race_insert(&run->race, at);

	if (leaf < 0)
		record(run, "%lld refused", (long long)run->now);
	else
		assert_int_equal(leaf, at);
}

static void happen(struct run *run, const char *what, unsigned number, const char *error)
{
	struct race *race = &run->race;
	int64_t now = run->now * MS;

	if (strcmp(what, "fail") == 0)
		race_leaf_failed(race, number, error_number(error), now);
	else if (strcmp(what, "ready") == 0)
		race_leaf_ready(race, number, now);
	else if (strcmp(what, "progress") == 0)
		race_leaf_progress(race, number, now);
	else if (strcmp(what, "insert") == 0)
		insert(run, number);
	else if (strcmp(what, "standdown") == 0)
		race_stand_down(race);
	else if (strcmp(what, "more") == 0 || strcmp(what, "complete") == 0)
		race_expect_more(race, what[0] == 'm');
	else if (strcmp(what, "step") == 0)
		step(run);
	else
		fail_msg("the script says %s", what);
}

/* The time of the next event, or RACE_NEVER. */
static int64_t next_event(const char *script)
{
	long long when;

	return sscanf(script, "%lld", &when) == 1 ? when : RACE_NEVER;
}

/* Lets the events of this moment happen; returns the rest of the script. */
static const char *happen_now(struct run *run, const char *script)
{
	while (next_event(script) == run->now) {
		char what[16], error[16] = "";
		unsigned number = 0;
		int used;

		assert_true(sscanf(script, "%*d %15[a-z]%n", what, &used) == 1);
		sscanf(script + used, "%u %15[A-Z0-9]", &number, error);
		happen(run, what, number, error);
		script += strcspn(script, ",");
		script += strspn(script, ", ");
	}
	return script;
}

static int64_t wake_up(const struct run *run)
{
	int64_t deadline = race_deadline(&run->race);

	return deadline == RACE_NEVER ? RACE_NEVER : (deadline + MS - 1) / MS + run->scenario->lag;
}

static void play(struct run *run)
{
	const char *script = run->scenario->script;

	while (run->now != RACE_NEVER) {
		int64_t event, timer;

		script = happen_now(run, script);
		step(run);
		event = next_event(script);
		timer = wake_up(run);
		assert_true(event > run->now && timer > run->now);
		run->now = event < timer ? event : timer;
	}
	if (!run->race.over)
		record(run, "waits");
	assert_int_equal(run->outcomes, run->race.over);
}

static void test_scenarios(void **state)
{
	(void)state;
	assert_true(ARRAY_SIZE(scenarios) >= 130);
	for (size_t i = 0; i < ARRAY_SIZE(scenarios); i++) {
		const struct scenario *scenario = &scenarios[i];
		struct race_params params = {
			.attempt_delay = scenario->delay * MS,
			.securing_delay = scenario->securing * MS,
			.max_in_flight = scenario->cap,
			.failover = scenario->failover,
		};
		struct run run = {.scenario = scenario};

		race_init(&run.race, &params, scenario->n);
		race_expect_more(&run.race, scenario->more);
		play(&run);
		if (strcmp(run.text, scenario->expect) != 0)
			fail_msg("%s:\n  expected %s\n  but got  %s", scenario->name, scenario->expect,
				 run.text);
	}
}

static void test_delay_from_round_trip(void **state)
{
	static const struct {
		int64_t rtt_us, delay_us;
	} rows[] = {
		{0, 250000},       {-1, 250000},      {1, 100000},        {33333, 100000}, {33334, 100002},
		{50000, 150000},   {83000, 249000},   {300000, 900000},   {666666, 1999998},
		{666667, 2000000}, {5000000, 2000000}, {INT64_MAX / 1000, 2000000},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_true(race_attempt_delay(rows[i].rtt_us * 1000) == rows[i].delay_us * 1000);
}

static const struct race_params fast = {.attempt_delay = 10 * MS, .max_in_flight = 100};

static void test_as_many_leaves_as_there_is_room_for(void **state)
{
	struct race_action actions[RACE_MAX_LEAVES + 1];
	struct race race;

	(void)state;
	race_init(&race, &fast, RACE_MAX_LEAVES + 8);
	assert_int_equal(race.n, RACE_MAX_LEAVES);
	assert_int_equal(race_insert(&race, RACE_MAX_LEAVES), -1);
	for (unsigned i = 0; i < RACE_MAX_LEAVES; i++) {
		assert_int_equal(race_step(&race, i * 10 * MS, actions, ARRAY_SIZE(actions)), 1);
		assert_int_equal(actions[0].leaf, i);
	}
	race_leaf_ready(&race, RACE_MAX_LEAVES - 1, 400 * MS);
	assert_int_equal(race_step(&race, 400 * MS, actions, ARRAY_SIZE(actions)), RACE_MAX_LEAVES);
	assert_int_equal(actions[RACE_MAX_LEAVES - 1].kind, RACE_WON);
	assert_int_equal(actions[RACE_MAX_LEAVES - 1].leaf, RACE_MAX_LEAVES - 1);
}

static void test_no_room_for_actions_changes_nothing(void **state)
{
	struct race_action action;
	struct race race, before;

	(void)state;
	race_init(&race, &fast, 2);
	before = race;
	assert_int_equal(race_step(&race, 0, &action, 0), 0);
	assert_memory_equal(&race, &before, sizeof(race));
	assert_true(race_deadline(&race) == 0);
}

/* The trace is drawn from these. */
static void test_what_leaves_remember(void **state)
{
	struct race_action actions[RACE_MAX_LEAVES + 1];
	struct race race;

	(void)state;
	race_init(&race, &fast, 4);
	race_step(&race, 1000 * MS, actions, ARRAY_SIZE(actions));
	race_leaf_failed(&race, 0, ECONNREFUSED, 1004 * MS);
	race_step(&race, 1004 * MS, actions, ARRAY_SIZE(actions));
	race_step(&race, 1014 * MS, actions, ARRAY_SIZE(actions));
	race_leaf_progress(&race, 1, 1015 * MS);
	race_leaf_ready(&race, 1, 1020 * MS);
	race_step(&race, 1021 * MS, actions, ARRAY_SIZE(actions));
	assert_int_equal(race.leaf[0].state, LEAF_FAILED);
	assert_int_equal(race.leaf[0].error, ECONNREFUSED);
	assert_true(race.leaf[0].started == 1000 * MS && race.leaf[0].ended == 1004 * MS);
	assert_int_equal(race.leaf[1].state, LEAF_WON);
	assert_true(race.leaf[1].started == 1004 * MS && race.leaf[1].ended == 1020 * MS);
	assert_true(race.leaf[1].progress == 1015 * MS);
	assert_int_equal(race.leaf[2].state, LEAF_CANCELLED);
	assert_true(race.leaf[2].ended == 1021 * MS && race.leaf[2].progress == RACE_NEVER);
	assert_int_equal(race.leaf[3].state, LEAF_IDLE);
	assert_true(race.leaf[3].started == RACE_NEVER && race.leaf[3].ended == RACE_NEVER);
	assert_int_equal(race.winner, 1);
	assert_true(race.over);
}

static unsigned dice(unsigned *seed, unsigned sides)
{
	*seed = *seed * 1103515245u + 12345u;
	return (*seed >> 16) % sides;
}

static void random_event(struct run *run, unsigned *seed)
{
	static const char *const what[] = {"fail",     "fail",   "fail",      "ready",
					   "progress", "insert", "standdown", "more"};
	static const char *const reasons[] = {"ECONNREFUSED", "ETIMEDOUT"};

	/* Two of three times nothing, so that timers have their say. */
	for (unsigned i = dice(seed, 3); i == 0; i = dice(seed, 3))
		happen(run, what[dice(seed, ARRAY_SIZE(what))], dice(seed, run->race.n + 2),
		       reasons[dice(seed, 2)]);
}

/* Whatever happens, the checks in take() and step() hold, and a race comes to an end once all has failed. */
static void test_random_races(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= 3000; seed++) {
		unsigned s = seed;
		struct scenario scenario = {.buffer = dice(&s, 4)};
		struct race_params params = {.max_in_flight = dice(&s, 8), .failover = dice(&s, 4) == 0};
		struct run run = {.scenario = &scenario};

		race_init(&run.race, &params, dice(&s, 12));
		for (; run.now < 3000; run.now += 50) {
			random_event(&run, &s);
			step(&run);
			run.text[0] = '\0';
		}
		race_expect_more(&run.race, false);
		for (unsigned i = 0; i < run.race.n; i++) {
			race_leaf_failed(&run.race, i, ECONNREFUSED, run.now * MS);
			step(&run);
			run.text[0] = '\0';
		}
		assert_true(run.race.over);
		assert_int_equal(run.outcomes, 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scenarios),
		cmocka_unit_test(test_delay_from_round_trip),
		cmocka_unit_test(test_as_many_leaves_as_there_is_room_for),
		cmocka_unit_test(test_no_room_for_actions_changes_nothing),
		cmocka_unit_test(test_what_leaves_remember),
		cmocka_unit_test(test_random_races),
	};

	return cmocka_run_group_tests_name("race", tests, NULL, NULL);
}
