/* The waterfall in a terminal.
 *
 *   example.org:80  curl[4711] connection 1: won by 192.0.2.1:80 after 253.1 ms
 *     1 [2001:db8::1]:80 -------------------------   0.0 - 253.1 ms cancelled
 *     2 192.0.2.1:80                            ## 250.2 - 253.1 ms won
 *
 * A trace is foreign text: nothing in it may reach the terminal as an escape sequence. */
#include "tools/utf8.h"
#include "tools/waterfall.h"

#include <stdlib.h>
#include <string.h>

#define INDENT 2
#define BAR_MIN 10 /* narrower bars tell nothing and are left out */
#define TEXT_MAX 512

enum colour { PLAIN, BOLD, DIM, GREEN, RED, YELLOW, CYAN };

static const char *const escapes[] = {
	[BOLD] = "\033[1m",    [DIM] = "\033[2m",     [GREEN] = "\033[32m",
	[RED] = "\033[31m",    [YELLOW] = "\033[33m", [CYAN] = "\033[36m",
};

/* How the bars of a result look; they differ without colour too. */
static const struct {
	const char *utf8, *ascii;
	enum colour colour;
} looks[] = {
	[RESULT_NONE] = { "▓", "=", CYAN },
	[RESULT_WON] = { "█", "#", GREEN },
	[RESULT_FAILED] = { "▒", "x", RED },
	[RESULT_CANCELLED] = { "░", "-", YELLOW },
	[RESULT_NOT_STARTED] = { "", "", DIM },
};

struct columns {
	unsigned label, bar;
	unsigned time; /* digits of the longest */
};

static void put(const struct waterfall_style *style, FILE *out, enum colour colour, const char *text)
{
	if (style->colour && colour != PLAIN)
		fprintf(out, "%s%s\033[0m", escapes[colour], text);
	else
		fputs(text, out);
}

/* Writes a text's first `max` characters as one line of harmless ones; returns how many they are. */
static unsigned clean(const struct waterfall_style *style, const char *text, unsigned max, char buf[TEXT_MAX])
{
	const unsigned char *s = (const unsigned char *)text;
	unsigned n = 0;
	size_t used = 0;

	while (*s && n < max && used + 4 < TEXT_MAX) {
		size_t length = utf8_printable(s);

		if (length == 1 || (length && style->utf8)) {
			memcpy(buf + used, s, length);
			used += length;
		} else {
			buf[used++] = '?';
		}
		s += utf8_step(s);
		n++;
	}
	buf[used] = 0;
	return n;
}

static void put_clean(const struct waterfall_style *style, FILE *out, enum colour colour, const char *text)
{
	char buf[TEXT_MAX];

	clean(style, text, TEXT_MAX, buf);
	put(style, out, colour, buf);
}

static double ms(int64_t ns)
{
	return (double)ns / 1e6;
}

static void bar_label(const struct waterfall_bar *bar, char buf[TEXT_MAX])
{
	if (!strcmp(bar->category, "attempt"))
		snprintf(buf, TEXT_MAX, "%lld %s", (long long)bar->order + 1, bar->name);
	else if (!strcmp(bar->category, "resolve"))
		snprintf(buf, TEXT_MAX, "names %s", bar->name);
	else
		snprintf(buf, TEXT_MAX, "  %s %s", bar->category, bar->name);
}

/* "failed: ECONNREFUSED (tls/tcp)"; plain TCP, the usual stack, goes without saying. */
static void put_result(const struct waterfall_style *style, FILE *out, const struct waterfall_bar *bar)
{
	put(style, out, looks[bar->result].colour, waterfall_result_name(bar->result));
	if (bar->error[0] && bar->result != RESULT_NONE)
		fputs(": ", out);
	put_clean(style, out, PLAIN, bar->error);
	if (bar->stack[0] && strcmp(bar->stack, "tcp")) {
		fputs(" (", out);
		put_clean(style, out, PLAIN, bar->stack);
		fputc(')', out);
	}
	fputc('\n', out);
}

/* How many columns that takes. */
static unsigned result_width(const struct waterfall_style *style, const struct waterfall_bar *bar)
{
	unsigned n = (unsigned)strlen(waterfall_result_name(bar->result));
	char buf[TEXT_MAX];

	if (bar->error[0])
		n += clean(style, bar->error, TEXT_MAX, buf) + (bar->result ? 2 : 0);
	if (bar->stack[0] && strcmp(bar->stack, "tcp"))
		n += clean(style, bar->stack, TEXT_MAX, buf) + 3;
	return n;
}

/* The times of all but "ms", columns.time digits each and the dash. */
static unsigned times_width(struct columns columns)
{
	return 2 * columns.time + 3;
}

static void put_times(const struct waterfall_style *style, FILE *out, const struct waterfall_race *race,
		      const struct waterfall_bar *bar, struct columns columns)
{
	if (bar->result == RESULT_NOT_STARTED)
		fprintf(out, " %*s    ", (int)times_width(columns), "");
	else
		fprintf(out, " %*.1f %s %*.1f ms ", (int)columns.time, ms(bar->begin - race->begin),
			style->utf8 ? "–" : "-", (int)columns.time, ms(bar->end - race->begin));
}

/* Columns from `from` to `to` of the bar's place; at least one is drawn. */
static void put_bar(const struct waterfall_style *style, FILE *out, const struct waterfall_race *race,
		    const struct waterfall_bar *bar, unsigned width)
{
	double whole = race->end > race->begin ? (double)(race->end - race->begin) : 1;
	bool drawn = bar->result != RESULT_NOT_STARTED;
	unsigned from = (unsigned)((double)(bar->begin - race->begin) / whole * width);
	unsigned to = (unsigned)((double)(bar->end - race->begin) / whole * width + 0.999);
	enum colour colour = looks[bar->result].colour;

	from = !drawn ? 0 : from < width ? from : width - 1;
	to = !drawn ? 0 : to > width ? width : to > from ? to : from + 1;
	fprintf(out, " %*s", (int)from, "");
	if (style->colour && drawn)
		fputs(escapes[colour], out);
	for (unsigned i = from; i < to; i++)
		fputs(style->utf8 ? looks[bar->result].utf8 : looks[bar->result].ascii, out);
	if (style->colour && drawn)
		fputs("\033[0m", out);
	fprintf(out, "%*s", (int)(width - to), "");
}

static void put_bar_row(const struct waterfall_style *style, FILE *out, const struct waterfall_race *race,
			const struct waterfall_bar *bar, struct columns columns)
{
	char label[TEXT_MAX], buf[TEXT_MAX];
	unsigned n;

	bar_label(bar, label);
	n = clean(style, label, columns.label, buf);
	fprintf(out, "%*s%s%*s", INDENT, "", buf, (int)(columns.label - n), "");
	if (columns.bar)
		put_bar(style, out, race, bar, columns.bar);
	put_times(style, out, race, bar, columns);
	put_result(style, out, bar);
}

/* The width that remains for bars when labels, times and results have theirs. */
static struct columns lay_out(const struct waterfall_style *style, const struct waterfall_race *race)
{
	unsigned width = style->width < 40 ? 40 : style->width > 400 ? 400 : style->width;
	struct columns columns = { .label = 0 };
	char label[TEXT_MAX], buf[TEXT_MAX];
	unsigned result = 0, used, n;

	for (size_t i = 0; i < race->n_bars; i++) {
		bar_label(&race->bar[i], label);
		n = clean(style, label, width / 2, buf);
		columns.label = n > columns.label ? n : columns.label;
		n = result_width(style, &race->bar[i]);
		result = n > result ? n : result;
	}
	columns.time = (unsigned)snprintf(buf, sizeof(buf), "%.1f", ms(race->end - race->begin));
	used = INDENT + columns.label + 1 + 1 + times_width(columns) + 4 + result;
	columns.bar = width > used ? width - used : 0;
	if (columns.bar < BAR_MIN)
		columns.bar = 0;
	return columns;
}

static void put_outcome(const struct waterfall_style *style, FILE *out, const struct waterfall_race *race)
{
	char when[64];

	snprintf(when, sizeof(when), " after %.1f ms", ms(race->end - race->begin));
	if (!race->finished) {
		put(style, out, YELLOW, race->raced ? "unfinished" : "no race");
		return;
	}
	if (race->winner[0]) {
		put(style, out, GREEN, "won");
		fputs(" by ", out);
		put_clean(style, out, PLAIN, race->winner);
	} else {
		put(style, out, RED, "failed");
		fputs(race->error[0] ? ": " : "", out);
		put_clean(style, out, PLAIN, race->error);
	}
	fputs(when, out);
}

static void put_mark(const struct waterfall_style *style, FILE *out, const struct waterfall_race *race,
		     const struct waterfall_mark *mark)
{
	bool pruned = !strcmp(mark->category, "pruned");

	fprintf(out, "%*s", INDENT, "");
	if (pruned)
		put(style, out, DIM, "pruned ");
	put_clean(style, out, PLAIN, mark->name);
	if (!pruned && race->raced)
		fprintf(out, " at %.1f ms", ms(mark->when - race->begin));
	if (mark->reason[0]) {
		fputs(": ", out);
		put_clean(style, out, PLAIN, mark->reason);
	}
	fputc('\n', out);
}

static void put_race(const struct waterfall_style *style, FILE *out, const struct waterfall_race *race)
{
	struct columns columns = lay_out(style, race);
	char buf[64];

	put_clean(style, out, BOLD, race->title[0] ? race->title : "connection");
	fputs("  ", out);
	put_clean(style, out, PLAIN, race->process);
	snprintf(buf, sizeof(buf), "[%lld] connection %lld: ", (long long)race->pid,
		 (long long)race->connection);
	put(style, out, DIM, buf);
	put_outcome(style, out, race);
	fputc('\n', out);
	for (size_t i = 0; i < race->n_bars; i++)
		put_bar_row(style, out, race, &race->bar[i], columns);
	for (size_t i = 0; i < race->n_marks; i++)
		put_mark(style, out, race, &race->mark[i]);
}

void waterfall_text(const struct waterfall *waterfall, const struct waterfall_style *style, FILE *out)
{
	for (size_t i = 0; i < waterfall->n; i++) {
		if (i > 0)
			fputc('\n', out);
		put_race(style, out, &waterfall->race[i]);
	}
	if (waterfall->n == 0)
		fputs("no connections\n", out);
	if (waterfall->cut)
		fputs("(the file ends within an event)\n", out);
}
