/* Values: from what a file says to what a structure holds, and back. */
#ifndef TAPS_CONF_VALUE_H
#define TAPS_CONF_VALUE_H

#include "conf/arena.h"
#include "conf/keys.h"

enum input_type { INPUT_BOOLEAN, INPUT_INTEGER, INPUT_NUMBER, INPUT_TEXT };

/* One scalar as the file has it. */
struct value_input {
	enum input_type type;
	int64_t integer; /* also of a BOOLEAN: 0 or 1 */
	double number;
	const char *text;
};

struct value_reader {
	struct arena *arena; /* what is kept of texts and lists goes here */
	const char *dir;     /* relative paths begin here; "": they stay relative */
};

/* Puts a value, given as n scalars, into the key's field of the structure at `base`.  `listed` says that
 * they stood in a list or an array, which only some kinds take.  The key is not a group's.
 * Returns 0, -ENOMEM, or -EINVAL with *ret_wrong the scalar at fault, NULL if it is their number. */
int value_read(const struct value_reader *reader, const struct conf_key *key, const struct value_input *in,
	       unsigned n, bool listed, void *base, const struct value_input **ret_wrong);
/* Does the kind of key take several values? */
bool value_is_list(const struct conf_key *key);
/* Is everything that the key takes written in quotes? */
bool value_is_text(const struct conf_key *key);
/* What can be written: "an integer from 1 to 32".  Returns `buf`. */
const char *value_expects(const struct conf_key *key, char *buf, size_t size);
/* A scalar as it is written in a file, cut to be shown in a message.  Returns `buf`. */
const char *value_input_format(const struct value_input *in, char *buf, size_t size);
/* Writes the key's value in the structure at `base` so that it can be read back; "" where nothing is set.
 * In the arena; NULL when there is no memory. */
const char *value_format(struct arena *arena, const struct conf_key *key, const void *base);

#endif
