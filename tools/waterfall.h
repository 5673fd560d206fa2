/* The picture of a trace: for each connection its lookups and attempts as bars over time, who won, and
 * what happened besides.  Built once, drawn in a terminal or as a page. */
#ifndef TAPS_TOOLS_WATERFALL_H
#define TAPS_TOOLS_WATERFALL_H

#include "tools/tracefile.h"

#include <stdio.h>

enum waterfall_result { RESULT_NONE, RESULT_WON, RESULT_FAILED, RESULT_CANCELLED, RESULT_NOT_STARTED };

/* Something that took time, or an attempt that would have and was not started. */
struct waterfall_bar {
	const char *category; /* "resolve", "attempt", "tls"… */
	const char *name;
	int64_t order;        /* position of an attempt, from 0; -1 for what is none */
	int64_t begin, end;   /* ns */
	enum waterfall_result result;
	const char *error;    /* text, or "" */
	const char *stack;    /* protocols, or "" */
};

/* Something that happened: a pruned candidate, or an event of the connection. */
struct waterfall_mark {
	const char *category, *name;
	const char *reason; /* or "" */
	int64_t when;
};

struct waterfall_race {
	const char *process; /* or "" */
	int64_t pid, connection;
	char title[300];     /* "example.org:80" */
	const char *winner, *error; /* or "" */
	int64_t begin, end;
	bool raced;          /* there were attempts or lookups */
	bool finished;       /* the race itself is in the trace; else the process ended before it */
	struct waterfall_bar *bar;
	size_t n_bars;
	struct waterfall_mark *mark;
	size_t n_marks;
};

/* Strings belong to the trace file, which must stay. */
struct waterfall {
	struct waterfall_race *race; /* in order of begin */
	size_t n;
	bool cut;
	struct waterfall_bar *bars;
	struct waterfall_mark *marks;
};

/* Returns 0 or -ENOMEM; waterfall_fini() in either case. */
int waterfall_build(const struct tracefile *file, struct waterfall *ret);
void waterfall_fini(struct waterfall *waterfall);

/* "won", "failed", "cancelled", "not started", or "". */
const char *waterfall_result_name(enum waterfall_result result);

struct waterfall_style {
	unsigned width; /* columns */
	bool colour;    /* ANSI escapes */
	bool utf8;
};

/* Draws in a terminal, or in text.  Control characters of the trace come out as '?'. */
void waterfall_text(const struct waterfall *waterfall, const struct waterfall_style *style, FILE *out);
/* Writes a page that needs nothing else; `title` is the trace's name. */
void waterfall_html(const struct waterfall *waterfall, const char *title, FILE *out);

#endif
