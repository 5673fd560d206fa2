/* The decisions of a race, by adding numbers.  Leaves start in order, so the started ones are always the
 * first of the array; what has neither ended nor is idle is live.  A winner is known from
 * race_leaf_ready() on, but is announced by race_step() only when every other live leaf has been
 * cancelled, however small the caller's buffer. */
#include "core/race.h"

#include <errno.h>
#include <string.h>

#define NS_PER_MS INT64_C(1000000)
#define AT_ONCE 0

static int64_t clamp(int64_t value, int64_t least_ms, int64_t most_ms)
{
	if (value < least_ms * NS_PER_MS)
		return least_ms * NS_PER_MS;
	return value > most_ms * NS_PER_MS ? most_ms * NS_PER_MS : value;
}

static int64_t clamp_delay(int64_t delay, int64_t otherwise)
{
	return clamp(delay ? delay : otherwise, RACE_DELAY_FLOOR_MS, RACE_DELAY_MAX_MS);
}

static const struct race_leaf idle_leaf = {
	.state = LEAF_IDLE,
	.started = RACE_NEVER,
	.progress = RACE_NEVER,
	.ended = RACE_NEVER,
};

void race_init(struct race *race, const struct race_params *params, unsigned n)
{
	memset(race, 0, sizeof(*race));
	race->params = *params;
	race->params.attempt_delay = clamp_delay(params->attempt_delay, RACE_DELAY_DEFAULT_MS * NS_PER_MS);
	race->params.securing_delay = clamp_delay(params->securing_delay, race->params.attempt_delay);
	if (params->max_in_flight == 0)
		race->params.max_in_flight = RACE_IN_FLIGHT_DEFAULT;
	race->n = n < RACE_MAX_LEAVES ? n : RACE_MAX_LEAVES;
	race->next_start = RACE_NEVER;
	race->owed = 1;
	race->winner = -1;
	for (unsigned i = 0; i < RACE_MAX_LEAVES; i++)
		race->leaf[i] = idle_leaf;
}

static bool live(const struct race_leaf *leaf)
{
	return leaf->state == LEAF_RUNNING || leaf->state == LEAF_SECURING;
}

static unsigned count_live(const struct race *race)
{
	unsigned n = 0;

	for (unsigned i = 0; i < race->n; i++)
		n += live(&race->leaf[i]);
	return n;
}

static unsigned count_started(const struct race *race)
{
	unsigned n = 0;

	while (n < race->n && race->leaf[n].state != LEAF_IDLE)
		n++;
	return n;
}

int race_insert(struct race *race, unsigned at)
{
	if (race->over || race->stood_down || race->n == RACE_MAX_LEAVES)
		return -1;
	if (at < count_started(race) || at > race->n)
		return -1;
	/* What moves is idle, and idle leaves are all alike. */
	race->leaf[race->n++] = idle_leaf;
	return (int)at;
}

void race_expect_more(struct race *race, bool more)
{
	race->more_expected = more && !race->stood_down;
}

void race_stand_down(struct race *race)
{
	unsigned started = count_started(race);

	if (race->n > 0)
		race->n = started > 0 ? started : 1;
	race->stood_down = true;
	race->more_expected = false;
}

/* The leaf, if events still matter to it. */
static struct race_leaf *live_leaf(struct race *race, unsigned leaf)
{
	if (leaf >= race->n || !live(&race->leaf[leaf]))
		return NULL;
	return &race->leaf[leaf];
}

void race_leaf_progress(struct race *race, unsigned leaf, int64_t now)
{
	struct race_leaf *l = live_leaf(race, leaf);

	if (!l || l->state == LEAF_SECURING)
		return;
	l->state = LEAF_SECURING;
	l->progress = now;
	if (race->next_start < now + race->params.securing_delay)
		race->next_start = now + race->params.securing_delay;
}

/* One start for each failure, but never a burst for failures of long ago when answers come late. */
static void owe_start(struct race *race)
{
	unsigned idle = race->n - count_started(race);

	if (race->owed < idle || race->owed == 0)
		race->owed++;
}

void race_leaf_failed(struct race *race, unsigned leaf, int error, int64_t now)
{
	struct race_leaf *l = live_leaf(race, leaf);

	if (!l)
		return;
	if (leaf == 0 && error == ETIMEDOUT && l->state == LEAF_RUNNING && !race->more_expected)
		race->timed_out = count_started(race) == race->n;
	l->state = LEAF_FAILED;
	l->error = error > 0 ? error : EIO;
	l->ended = now;
	owe_start(race);
}

/* Of two at the same time the more preferred wins, whatever order the driver found them in. */
static bool beats_winner(const struct race *race, unsigned leaf, int64_t now)
{
	if (race->winner < 0)
		return true;
	return now <= race->leaf[race->winner].ended && leaf < (unsigned)race->winner;
}

/* Back to live, so that it is cancelled as any other. */
static void dethrone(struct race_leaf *leaf)
{
	leaf->state = leaf->progress == RACE_NEVER ? LEAF_RUNNING : LEAF_SECURING;
	leaf->ended = RACE_NEVER;
}

void race_leaf_ready(struct race *race, unsigned leaf, int64_t now)
{
	struct race_leaf *l = live_leaf(race, leaf);

	if (!l || !beats_winner(race, leaf, now))
		return;
	if (race->winner >= 0)
		dethrone(&race->leaf[race->winner]);
	race->winner = (int)leaf;
	l->state = LEAF_WON;
	l->ended = now;
}

/* It was reached, and failed then. */
static bool refused(const struct race_leaf *leaf)
{
	return leaf->state == LEAF_FAILED && leaf->progress != RACE_NEVER;
}

/* Until when leaves that have reached nobody are waited for; RACE_NEVER: as long as they take. */
static int64_t patience_end(const struct race *race)
{
	int64_t since = INT64_MIN;
	bool any = false;

	if (race->more_expected || count_started(race) < race->n)
		return RACE_NEVER;
	for (unsigned i = 0; i < race->n; i++) {
		const struct race_leaf *leaf = &race->leaf[i];
		int64_t last = refused(leaf) ? leaf->ended : leaf->started;

		if (leaf->state == LEAF_SECURING)
			return RACE_NEVER;
		any = any || refused(leaf);
		if (last > since)
			since = last;
	}
	return any ? since + RACE_REFUSED_PATIENCE_MS * NS_PER_MS : RACE_NEVER;
}

static bool lost(const struct race *race)
{
	if (race->timed_out)
		return true;
	return !race->more_expected && count_started(race) == race->n && count_live(race) == 0;
}

static bool decided(const struct race *race)
{
	return race->winner >= 0 || lost(race);
}

static bool may_start(const struct race *race)
{
	return count_started(race) < race->n && count_live(race) < race->params.max_in_flight;
}

static bool start_due(const struct race *race, int64_t now)
{
	return race->owed > 0 || (!race->params.failover && now >= race->next_start);
}

static unsigned start_leaves(struct race *race, int64_t now, struct race_action *actions, unsigned max)
{
	unsigned n = 0;

	while (n < max && may_start(race) && start_due(race, now)) {
		unsigned leaf = count_started(race);

		race->leaf[leaf].state = LEAF_RUNNING;
		race->leaf[leaf].started = now;
		race->next_start = now + race->params.attempt_delay;
		race->owed -= race->owed > 0;
		actions[n++] = (struct race_action){.kind = RACE_START, .leaf = leaf};
	}
	return n;
}

/* The first leaf's; if that reached nobody, the refusal. */
static int error_of(const struct race *race)
{
	const struct race_leaf *leaf = race->leaf, *last = leaf + race->n - 1;

	if (leaf->state == LEAF_FAILED)
		return leaf->error;
	while (leaf < last && !refused(leaf))
		leaf++;
	return leaf->error;
}

static struct race_action outcome(const struct race *race)
{
	if (race->winner >= 0)
		return (struct race_action){.kind = RACE_WON, .leaf = (unsigned)race->winner};
	if (race->n == 0)
		return (struct race_action){.kind = RACE_LOST, .error = ENETUNREACH};
	return (struct race_action){.kind = RACE_LOST, .error = error_of(race)};
}

/* Cancels what is live, and then says how it ended. */
static unsigned finish(struct race *race, int64_t now, struct race_action *actions, unsigned max)
{
	unsigned n = 0;

	for (unsigned i = 0; i < race->n && n < max; i++) {
		if (!live(&race->leaf[i]))
			continue;
		race->leaf[i].state = LEAF_CANCELLED;
		race->leaf[i].ended = now;
		actions[n++] = (struct race_action){.kind = RACE_CANCEL, .leaf = i};
	}
	if (n < max) {
		actions[n++] = outcome(race);
		race->over = true;
	}
	return n;
}

unsigned race_step(struct race *race, int64_t now, struct race_action *actions, unsigned max)
{
	if (race->over)
		return 0;
	if (decided(race) || now >= patience_end(race))
		return finish(race, now, actions, max);
	return start_leaves(race, now, actions, max);
}

int64_t race_deadline(const struct race *race)
{
	if (race->over)
		return RACE_NEVER;
	if (decided(race))
		return AT_ONCE;
	if (!may_start(race))
		return patience_end(race);
	if (race->owed > 0)
		return AT_ONCE;
	return race->params.failover ? RACE_NEVER : race->next_start;
}

/* Before a first sample of its own a sender takes half the RTT for its variance, and so retransmits
 * after three (RFC 6298 §2.2). */
int64_t race_attempt_delay(int64_t rtt_ns)
{
	if (rtt_ns <= 0)
		return RACE_DELAY_DEFAULT_MS * NS_PER_MS;
	if (rtt_ns > RACE_DELAY_MAX_MS * NS_PER_MS)
		return RACE_DELAY_MAX_MS * NS_PER_MS;
	return clamp(3 * rtt_ns, RACE_DELAY_MIN_MS, RACE_DELAY_MAX_MS);
}
