/* Which rule is for which connection. */
#ifndef TAPS_CONF_MATCH_H
#define TAPS_CONF_MATCH_H

#include "conf/conf.h"

/* Does the pattern, where * stands for any letters, match all of the text?  `fold`: in any case (ASCII). */
bool match_glob(const char *pattern, const char *text, bool fold);
/* Does everything that is demanded hold of the connection?  What is not known of it (no name, no address)
 * does not fit a demand on it. */
bool match_query(const struct match *match, const struct policy_query *query);
/* Is one of the NULL-terminated names (or NULL: there are none) among those demanded? */
bool match_program(const struct match *match, const char *const *programs);
/* The first rule of the layer that fires, or NULL. */
const struct conf_rule *match_rule(const struct conf_layer *layer, const struct policy_query *query);

#endif
