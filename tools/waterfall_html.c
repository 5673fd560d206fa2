/* The waterfall as a page: one file with its style inside, nothing to load, nothing that runs.
 *
 * Bars are elements placed in per cent of the race's length, so the page fits any window; colours follow
 * the reader's light or dark preference, and every result also stands in words. */
#include "tools/utf8.h"
#include "tools/waterfall.h"

#include <string.h>

static const char head[] =
	"<!DOCTYPE html>\n"
	"<html lang=\"en\">\n"
	"<meta charset=\"utf-8\">\n"
	"<meta http-equiv=\"Content-Security-Policy\"\n"
	" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
	"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
	"<meta name=\"color-scheme\" content=\"light dark\">\n";

static const char style_sheet[] =
	"<style>\n"
	":root { color-scheme: light dark; --page: #fbfbfa; --card: #fff; --ink: #1b1f24; --soft: #57606a;\n"
	"  --line: #d8dce1; --won: #1a7f37; --failed: #cf222e; --cancelled: #8a6100; --names: #0860ca;\n"
	"  --other: #7a3fc4 }\n"
	"@media (prefers-color-scheme: dark) { :root { --page: #14171c; --card: #1c2128; --ink: #e6e9ed;\n"
	"  --soft: #a2abb6; --line: #363d47; --won: #4ac26b; --failed: #ff7b72; --cancelled: #dba83a;\n"
	"  --names: #6cb0ff; --other: #c49bff } }\n"
	"* { box-sizing: border-box }\n"
	"body { margin: 0 auto; padding: 1.5rem 1rem 3rem; max-width: 75rem; background: var(--page);\n"
	"  color: var(--ink); font: 0.95rem/1.5 system-ui, sans-serif }\n"
	"h1 { font-size: 1.4rem; margin: 0 0 .25rem; overflow-wrap: anywhere }\n"
	"h2 { font-size: 1.05rem; margin: 0; overflow-wrap: anywhere }\n"
	"p { margin: 0 }\n"
	".soft { color: var(--soft) }\n"
	"section { background: var(--card); border: 1px solid var(--line); border-radius: .5rem;\n"
	"  padding: .9rem 1rem; margin-top: 1rem }\n"
	".row { display: grid; gap: 0 .75rem; align-items: center; font-size: .88rem;\n"
	"  grid-template-columns: minmax(9rem, 17rem) minmax(6rem, 1fr) minmax(11rem, 20rem) }\n"
	".name, .said { font-variant-numeric: tabular-nums; overflow-wrap: anywhere }\n"
	".name { font-family: ui-monospace, monospace; font-size: .82rem }\n"
	".track { position: relative; height: 100%; min-height: 1.6rem;\n"
	"  border-right: 1px solid var(--line);\n"
	"  background: linear-gradient(to right, var(--line) 1px, transparent 1px) 0 0 / var(--step) 100% }\n"
	".bar { position: absolute; top: .35rem; bottom: .35rem; min-width: 3px; border-radius: 2px;\n"
	"  background: var(--hue) }\n"
	".said b { color: var(--hue); font-weight: 600 }\n"
	".none { --hue: var(--names) } .other { --hue: var(--other) } .won { --hue: var(--won) }\n"
	".failed { --hue: var(--failed) } .cancelled { --hue: var(--cancelled) }\n"
	".idle { --hue: var(--soft) } .idle .bar { display: none }\n"
	".cancelled .bar { border: 1px solid var(--hue);\n"
	"  background: repeating-linear-gradient(45deg, var(--hue) 0 4px, transparent 4px 7px) }\n"
	".axis { position: relative; height: 1.1rem; font-size: .75rem; color: var(--soft) }\n"
	".axis span { position: absolute; transform: translateX(-50%); white-space: nowrap }\n"
	".axis span:first-child { transform: none }\n"
	"ul { margin: .5rem 0 0; padding-left: 1.1rem; font-size: .88rem }\n"
	"li { overflow-wrap: anywhere }\n"
	"@media (max-width: 40rem) { .row { grid-template-columns: 1fr; padding: .35rem 0 }\n"
	"  .blank { display: none } }\n"
	"</style>\n";

/* Text of the trace as text of the page.  Whatever is not a printable character or not UTF-8 becomes
 * U+FFFD; so do the controls of direction. */
static void put_text(FILE *out, const char *text)
{
	static const struct {
		char c;
		const char *entity;
	} entities[] = {
		{ '&', "&amp;" }, { '<', "&lt;" }, { '>', "&gt;" }, { '"', "&quot;" }, { '\'', "&#39;" },
	};
	const unsigned char *s = (const unsigned char *)text;

	while (*s) {
		size_t length = utf8_printable(s);
		const char *entity = NULL;

		for (size_t i = 0; i < sizeof(entities) / sizeof(entities[0]); i++)
			if (entities[i].c == (char)*s)
				entity = entities[i].entity;
		if (entity)
			fputs(entity, out);
		else if (length)
			fwrite(s, 1, length, out);
		else
			fputs("&#xfffd;", out);
		s += utf8_step(s);
	}
}

static double ms(int64_t ns)
{
	return (double)ns / 1e6;
}

static double percent(const struct waterfall_race *race, int64_t ns)
{
	return race->end > race->begin ? (double)ns * 100 / (double)(race->end - race->begin) : 0;
}

/* A round distance between ticks, so that there are two to six: 1, 2 or 5 times a power of ten. */
static double tick_step(double whole)
{
	static const double factor[] = { 2, 2.5, 2 };
	double step = 1e-3;

	for (unsigned i = 0; whole / step > 6 && i < 60; i++)
		step *= factor[i % 3];
	return step;
}

static void put_axis(FILE *out, const struct waterfall_race *race)
{
	double whole = ms(race->end - race->begin), step = tick_step(whole);

	if (whole <= 0)
		return;
	fputs("<div class=\"row\" aria-hidden=\"true\"><div class=\"blank\"></div><div class=\"axis\">", out);
	for (unsigned i = 0; i <= 6 && i * step <= whole; i++)
		fprintf(out, "<span style=\"left:%.3f%%\">%g%s</span>", i * step * 100 / whole, i * step,
			i ? "" : " ms");
	fputs("</div><div class=\"blank\"></div></div>\n", out);
}

static const char *bar_class(const struct waterfall_bar *bar)
{
	if (bar->result == RESULT_NOT_STARTED)
		return "idle";
	if (bar->result != RESULT_NONE)
		return waterfall_result_name(bar->result);
	return strcmp(bar->category, "resolve") ? "other" : "none";
}

static void put_label(FILE *out, const struct waterfall_bar *bar)
{
	if (!strcmp(bar->category, "attempt"))
		fprintf(out, "%lld&ensp;", (long long)bar->order + 1);
	else if (!strcmp(bar->category, "resolve"))
		fputs("names&ensp;", out);
	else {
		put_text(out, bar->category);
		fputs("&ensp;", out);
	}
	put_text(out, bar->name);
}

static void put_said(FILE *out, const struct waterfall_race *race, const struct waterfall_bar *bar)
{
	const char *result = waterfall_result_name(bar->result);

	if (bar->result != RESULT_NOT_STARTED)
		fprintf(out, "%.1f–%.1f ms ", ms(bar->begin - race->begin), ms(bar->end - race->begin));
	fprintf(out, "<b>%s</b>", result);
	if (bar->error[0]) {
		fputs(*result ? ": " : "", out);
		put_text(out, bar->error);
	}
	if (bar->stack[0]) {
		fputs(" <span class=\"soft\">", out);
		put_text(out, bar->stack);
		fputs("</span>", out);
	}
}

static void put_bar_row(FILE *out, const struct waterfall_race *race, const struct waterfall_bar *bar)
{
	fprintf(out, "<div class=\"row %s\"><div class=\"name\">", bar_class(bar));
	put_label(out, bar);
	fputs("</div><div class=\"track\">", out);
	fprintf(out, "<div class=\"bar\" style=\"left:%.3f%%;width:%.3f%%\"></div></div>",
		percent(race, bar->begin - race->begin), percent(race, bar->end - bar->begin));
	fputs("<div class=\"said\">", out);
	put_said(out, race, bar);
	fputs("</div></div>\n", out);
}

static void put_mark(FILE *out, const struct waterfall_race *race, const struct waterfall_mark *mark)
{
	bool pruned = !strcmp(mark->category, "pruned");

	fputs(pruned ? "<li>pruned <span class=\"name\">" : "<li>", out);
	put_text(out, mark->name);
	fputs(pruned ? "</span>" : "", out);
	if (!pruned && race->raced)
		fprintf(out, " at %.1f ms", ms(mark->when - race->begin));
	if (mark->reason[0]) {
		fputs(": ", out);
		put_text(out, mark->reason);
	}
	fputs("</li>\n", out);
}

static void put_outcome(FILE *out, const struct waterfall_race *race)
{
	if (!race->finished) {
		fprintf(out, "<span class=\"said cancelled\"><b>%s</b></span>",
			race->raced ? "unfinished" : "no race");
		return;
	}
	if (race->winner[0]) {
		fputs("<span class=\"said won\"><b>won</b></span> by <span class=\"name\">", out);
		put_text(out, race->winner);
		fputs("</span>", out);
	} else {
		fputs("<span class=\"said failed\"><b>failed</b></span>", out);
		fputs(race->error[0] ? ": " : "", out);
		put_text(out, race->error);
	}
	fprintf(out, " after %.1f ms", ms(race->end - race->begin));
}

static void put_race(FILE *out, const struct waterfall_race *race)
{
	double whole = ms(race->end - race->begin);

	fputs("<section>\n<h2>", out);
	put_text(out, race->title[0] ? race->title : "connection");
	fputs("</h2>\n<p><span class=\"soft\">", out);
	put_text(out, race->process);
	fprintf(out, "[%lld] connection %lld:</span> ", (long long)race->pid, (long long)race->connection);
	put_outcome(out, race);
	fprintf(out, "</p>\n<div style=\"--step:%.3f%%\">\n",
		whole > 0 ? tick_step(whole) * 100 / whole : 100);
	for (size_t i = 0; i < race->n_bars; i++)
		put_bar_row(out, race, &race->bar[i]);
	if (race->n_bars)
		put_axis(out, race);
	fputs("</div>\n", out);
	if (race->n_marks) {
		fputs("<ul>\n", out);
		for (size_t i = 0; i < race->n_marks; i++)
			put_mark(out, race, &race->mark[i]);
		fputs("</ul>\n", out);
	}
	fputs("</section>\n", out);
}

static void put_summary(FILE *out, const struct waterfall *waterfall)
{
	size_t races = 0, won = 0, failed = 0;

	for (size_t i = 0; i < waterfall->n; i++) {
		const struct waterfall_race *race = &waterfall->race[i];

		races += race->raced;
		won += race->finished && race->winner[0];
		failed += race->finished && !race->winner[0];
	}
	fprintf(out, "<p class=\"soft\">%zu connection%s, %zu raced: %zu won, %zu failed%s</p>\n",
		waterfall->n, waterfall->n == 1 ? "" : "s", races, won, failed,
		waterfall->cut ? ". The file ends within an event; what came before is shown." : "");
}

void waterfall_html(const struct waterfall *waterfall, const char *title, FILE *out)
{
	fputs(head, out);
	fputs("<title>", out);
	put_text(out, title);
	fputs("</title>\n", out);
	fputs(style_sheet, out);
	fputs("<h1>", out);
	put_text(out, title);
	fputs("</h1>\n", out);
	put_summary(out, waterfall);
	for (size_t i = 0; i < waterfall->n; i++)
		put_race(out, &waterfall->race[i]);
	fputs("</html>\n", out);
}
