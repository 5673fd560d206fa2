/* Configuration as text again: what holds, and where that was said.  For tools. */
#ifndef TAPS_CONF_DUMP_H
#define TAPS_CONF_DUMP_H

#include "conf/policy.h"

#include <stdio.h>

/* Writes the files that were read, and what holds where no rule fires, then the rules of each layer; every
 * value with its origin as a comment: "FILE:LINE", "-o" or "default".  Returns 0, -ENOMEM or -EIO. */
int conf_dump(const struct conf *conf, FILE *out);
/* The same for one connection: the rule of each layer that fires, and what holds then. */
int conf_dump_policy(const struct conf *conf, const struct policy_query *query, FILE *out);

#endif
