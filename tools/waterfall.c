/* From events to races.
 *
 * Events are sorted by process and connection, and each group becomes one race.  A process that executes
 * another program counts its connections anew under the same pid; its new process_name tells. */
#include "tools/waterfall.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LANES 100 /* tracks of one connection in the trace */

struct process {
	int64_t pid;
	const char *name;
};

/* An event with what it is sorted by. */
struct entry {
	const struct trace_item *item;
	size_t process; /* index, SIZE_MAX: unnamed */
	int64_t connection;
};

struct builder {
	struct waterfall *ret;
	struct process *process;
	size_t n_processes;
	struct entry *entry;
	size_t n_entries;
	size_t n_bars, n_marks;
};

static int order_of(int64_t a, int64_t b)
{
	return (a > b) - (a < b);
}

static size_t find_process(const struct builder *b, int64_t pid)
{
	for (size_t i = b->n_processes; i > 0; i--)
		if (b->process[i - 1].pid == pid)
			return i - 1;
	return SIZE_MAX;
}

static void sort_in(struct builder *b, const struct trace_item *item)
{
	struct entry *entry;

	if (item->phase == 'M' && !strcmp(item->name, "process_name"))
		b->process[b->n_processes++] =
			(struct process){ item->pid, trace_item_text(item, "name", "") };
	if (item->phase != 'X' && item->phase != 'i')
		return;
	entry = &b->entry[b->n_entries++];
	entry->item = item;
	entry->process = find_process(b, item->pid);
	entry->connection = trace_item_number(item, "connection", item->tid / LANES);
}

static int same_group(const struct entry *a, const struct entry *b)
{
	int r = order_of(a->item->pid, b->item->pid);

	if (r == 0)
		r = (a->process > b->process) - (a->process < b->process);
	return r ? r : order_of(a->connection, b->connection);
}

static int compare_entries(const void *x, const void *y)
{
	const struct entry *a = x, *b = y;
	int r = same_group(a, b);

	if (r == 0)
		r = order_of(a->item->begin, b->item->begin);
	return r ? r : order_of(a->item - b->item, 0);
}

static enum waterfall_result result_of(const char *text)
{
	for (enum waterfall_result r = RESULT_WON; r <= RESULT_NOT_STARTED; r++)
		if (!strcmp(text, waterfall_result_name(r)))
			return r;
	return RESULT_NONE;
}

static void add_bar(struct builder *b, struct waterfall_race *race, const struct trace_item *item)
{
	struct waterfall_bar *bar = &b->ret->bars[b->n_bars++];

	*bar = (struct waterfall_bar){
		.category = item->category,
		.name = item->name,
		.order = trace_item_number(item, "order", -1),
		.begin = item->begin,
		.end = item->end,
		.result = result_of(trace_item_text(item, "result", "")),
		.error = trace_item_text(item, "error", ""),
		.stack = trace_item_text(item, "stack", trace_item_text(item, "protocol", "")),
	};
	race->n_bars++;
	race->raced = true;
}

static void set_title(struct waterfall_race *race, const struct trace_item *item)
{
	const char *host = trace_item_text(item, "host", ""), *bracket = strchr(host, ':') ? "[]" : "";

	if (*host)
		snprintf(race->title, sizeof(race->title), "%.1s%.250s%s:%lld", bracket, host,
			 *bracket ? "]" : "", (long long)trace_item_number(item, "port", 0));
}

static void add_race(struct waterfall_race *race, const struct trace_item *item)
{
	set_title(race, item);
	race->winner = trace_item_text(item, "winner", "");
	race->error = trace_item_text(item, "error", "");
	race->raced = race->finished = true;
}

/* Why it failed; of a connection that was accepted, from whom. */
static const char *reason_of(const struct trace_item *item)
{
	static const char *const names[] = {"reason", "error", "peerSubject"};
	const char *text = "";

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && !*text; i++)
		text = trace_item_text(item, names[i], "");
	return text;
}

static void add_mark(struct builder *b, struct waterfall_race *race, const struct trace_item *item)
{
	struct waterfall_mark *mark = &b->ret->marks[b->n_marks++];

	if (!race->title[0])
		set_title(race, item);
	*mark = (struct waterfall_mark){
		.category = item->category,
		.name = item->name,
		.reason = reason_of(item),
		.when = item->begin,
	};
	race->n_marks++;
}

static void add_item(struct builder *b, struct waterfall_race *race, const struct trace_item *item)
{
	/* What a connection does after it was established does not stretch the picture. */
	if (item->phase == 'X' || !strcmp(item->category, "attempt")) {
		race->begin = item->begin < race->begin ? item->begin : race->begin;
		race->end = item->end > race->end ? item->end : race->end;
	}
	if (!strcmp(item->category, "race"))
		add_race(race, item);
	else if (item->phase == 'X' || !strcmp(item->category, "attempt"))
		add_bar(b, race, item);
	else
		add_mark(b, race, item);
}

/* Lookups stand before attempts, which stand in order with what belongs to them. */
static int compare_bars(const void *x, const void *y)
{
	const struct waterfall_bar *a = x, *b = y;
	int r = order_of(a->order, b->order);

	return r ? r : order_of(a->begin, b->begin);
}

/* A race that is not in the trace goes by what was tried first. */
static void make_title(struct waterfall_race *race)
{
	const struct waterfall_bar *bar = race->bar, *end = race->bar + race->n_bars;

	if (race->title[0] || bar == end)
		return;
	while (bar + 1 < end && bar->order < 0)
		bar++;
	snprintf(race->title, sizeof(race->title), "%s", bar->name);
}

static void build_race(struct builder *b, size_t first, size_t end)
{
	const struct entry *entry = &b->entry[first];
	struct waterfall_race *race = &b->ret->race[b->ret->n++];

	*race = (struct waterfall_race){
		.process = entry->process == SIZE_MAX ? "" : b->process[entry->process].name,
		.pid = entry->item->pid,
		.connection = entry->connection,
		.winner = "", .error = "",
		.begin = INT64_MAX, .end = INT64_MIN,
		.bar = &b->ret->bars[b->n_bars],
		.mark = &b->ret->marks[b->n_marks],
	};
	for (size_t i = first; i < end; i++)
		add_item(b, race, b->entry[i].item);
	if (race->begin > race->end)
		race->begin = race->end = entry->item->begin;
	if (race->n_bars)
		qsort(race->bar, race->n_bars, sizeof(*race->bar), compare_bars);
	make_title(race);
}

static int compare_races(const void *x, const void *y)
{
	const struct waterfall_race *a = x, *b = y;
	int r = order_of(a->begin, b->begin);

	if (r == 0)
		r = order_of(a->pid, b->pid);
	return r ? r : order_of(a->connection, b->connection);
}

static void build(struct builder *b, const struct tracefile *file)
{
	size_t first = 0;

	for (size_t i = 0; i < file->n; i++)
		sort_in(b, &file->item[i]);
	if (b->n_entries == 0)
		return;
	qsort(b->entry, b->n_entries, sizeof(*b->entry), compare_entries);
	for (size_t i = 1; i <= b->n_entries; i++) {
		if (i < b->n_entries && same_group(&b->entry[first], &b->entry[i]) == 0)
			continue;
		build_race(b, first, i);
		first = i;
	}
	qsort(b->ret->race, b->ret->n, sizeof(*b->ret->race), compare_races);
}

int waterfall_build(const struct tracefile *file, struct waterfall *ret)
{
	struct builder b = { .ret = ret };
	size_t n = file->n + 1; /* nothing below is of size 0 */
	int r = -ENOMEM;

	memset(ret, 0, sizeof(*ret));
	ret->cut = file->cut;
	ret->race = calloc(n, sizeof(*ret->race));
	ret->bars = calloc(n, sizeof(*ret->bars));
	ret->marks = calloc(n, sizeof(*ret->marks));
	b.process = calloc(n, sizeof(*b.process));
	b.entry = calloc(n, sizeof(*b.entry));
	if (ret->race && ret->bars && ret->marks && b.process && b.entry) {
		build(&b, file);
		r = 0;
	}
	free(b.process);
	free(b.entry);
	return r;
}

void waterfall_fini(struct waterfall *waterfall)
{
	free(waterfall->race);
	free(waterfall->bars);
	free(waterfall->marks);
	memset(waterfall, 0, sizeof(*waterfall));
}

const char *waterfall_result_name(enum waterfall_result result)
{
	static const char *const names[] = {
		[RESULT_NONE] = "",
		[RESULT_WON] = "won",
		[RESULT_FAILED] = "failed",
		[RESULT_CANCELLED] = "cancelled",
		[RESULT_NOT_STARTED] = "not started",
	};

	return names[result];
}
