/* Trace files: making one for a run, and reading events back (Chrome's "Trace Event Format"). */
#ifndef TAPS_TOOLS_TRACEFILE_H
#define TAPS_TOOLS_TRACEFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Makes an empty trace at `path` (absolute).  An older trace there is replaced, but not the one that an
 * outer tapsrun writes (`outer`: its path, or NULL).  Returns 0; -EEXIST if the file holds something
 * else; -EINVAL if it is no regular file; or -errno. */
int tracefile_create(const char *path, const char *outer);

/* One argument of an event: text, or a number where text is NULL. */
struct trace_field {
	const char *name;
	const char *text;
	double number;
};

/* One event.  Strings belong to the file; absent ones are "". */
struct trace_item {
	char phase; /* 'X' span, 'i' moment, 'M' metadata */
	const char *category, *name;
	int64_t pid, tid;
	int64_t begin, end; /* ns */
	const struct trace_field *field;
	unsigned n_fields;
};

struct tracefile {
	struct trace_item *item;
	size_t n;
	bool cut; /* the text ended or broke within an event; what came before is there */
	/* Private. */
	char *text;
	struct trace_field **block;
	size_t n_blocks;
};

#define TRACEFILE_SIZE_MAX (512u << 20)
#define TRACEFILE_FIELDS_MAX 32 /* arguments kept of one event */

/* Reads a whole file, under the lock that its writers take.  Returns 0; -EINVAL if it does not begin as
 * a JSON array; -EFBIG above TRACEFILE_SIZE_MAX; -ENOMEM; or -errno.  tracefile_fini() lets go of it in
 * any case. */
int tracefile_read(const char *path, struct tracefile *ret);
/* The same from memory; takes `text` (malloc'ed, `n` bytes and a NUL after them). */
int tracefile_parse(char *text, size_t n, struct tracefile *ret);
void tracefile_fini(struct tracefile *file);

/* The argument of a name: its text, or `otherwise`; its number, or `otherwise`. */
const char *trace_item_text(const struct trace_item *item, const char *name, const char *otherwise);
int64_t trace_item_number(const struct trace_item *item, const char *name, int64_t otherwise);

#endif
