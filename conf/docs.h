/* The sample file and the reference of taps.conf(5), from the table of keys. */
#ifndef TAPS_CONF_DOCS_H
#define TAPS_CONF_DOCS_H

#include <stdio.h>

/* The sample: every key commented out, at its default or with an example.  It is a configuration when the
 * '#' before each setting is taken away.  Returns 0 or -ENOMEM. */
int docs_sample(FILE *out);
/* The keys in man(7) form, section by section. */
int docs_manual(FILE *out);

#endif
