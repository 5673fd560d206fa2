/* tapsrun -o key=value, as text for the loader. */
#ifndef TAPS_CONF_OPTION_H
#define TAPS_CONF_OPTION_H

#include "conf/arena.h"
#include "conf/keys.h"

/* "race.attemptDelay=100" becomes "race = { attemptDelay = 100; };".  A value that does not begin with a
 * bracket or a quote is quoted as its key asks for, and divided at commas where the key takes a list;
 * "hosts.NAME=ADDRESS,…" is an entry of `hosts`.  Returns 0 with *ret in the arena, -EINVAL for what
 * is no key=value, or -ENOMEM. */
int option_text(struct arena *arena, const char *option, const char **ret);
/* The value alone, as its key (NULL: unknown) asks for it to be written in a file; in the arena, or NULL. */
const char *option_value(struct arena *arena, const struct conf_key *key, const char *text);

#endif
