/* The places where configuration is read from, each into its layer. */
#ifndef TAPS_CONF_SOURCE_H
#define TAPS_CONF_SOURCE_H

#include "conf/conf.h"

/* Reads every layer.  Files that are not there are left out, but for `file` and includes.  Returns 0, or
 * -errno with *error, and the layers half done. */
int source_read(const struct conf_sources *sources, struct arena *arena, struct conf_layer layer[LAYERS_N],
		struct conf_error *error);

#endif
