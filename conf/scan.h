/* What has to be known of a text before libconfig parses it. */
#ifndef TAPS_CONF_SCAN_H
#define TAPS_CONF_SCAN_H

#include "conf/arena.h"

#include <stdbool.h>

#define SCAN_DEPTH_MAX 16

struct scan_result {
	char *text;          /* ready for libconfig, lines as in the original; in the arena */
	unsigned line;       /* of the problem */
	const char *problem; /* what is wrong, after -EINVAL */
};

/* Refuses bytes that are no text, nesting beyond SCAN_DEPTH_MAX, comments, strings and brackets that are not
 * closed, and libconfig's @include, which would read files unchecked.  Marks integers beyond 32 bits as long:
 * libconfig 1.5 cuts them silently. Returns 0, -EINVAL, or -ENOMEM. */
int scan_text(struct arena *arena, const char *text, size_t len, struct scan_result *ret);
/* Is there nothing but white space? */
bool scan_blank(const char *text, size_t len);
/* Copies the line, counted from 1, without leading blanks and cut to `size`; returns `buf`. */
const char *scan_line(const char *text, unsigned line, char *buf, size_t size);

#endif
