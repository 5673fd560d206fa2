/* From libconfig's text to a layer of values and rules.  The only user of libconfig. */
#ifndef TAPS_CONF_LOAD_H
#define TAPS_CONF_LOAD_H

#include "conf/conf.h"

struct load_source {
	const char *text; /* NUL-terminated */
	size_t len;
	const char *file;  /* as origins name it; kept, so it must last as long as the arena */
	const char *label; /* as messages name it */
	const char *dir;   /* of relative paths; "": the working directory */
	bool has_lines;
};

/* Parses and checks the text, and sets in *layer what it says, over what is set there; rules and hosts
 * are replaced.  What is kept goes to `arena`, the rest to `scratch`.  Returns 0, or -EINVAL or -ENOMEM
 * with *error (whose `security` is set if a misspelt key seems to mean it), and *layer half done. */
int load_text(const struct load_source *source, struct arena *arena, struct arena *scratch,
	      struct conf_layer *layer, struct conf_error *error);

#endif
