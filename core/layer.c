/* The table of layers, and what is asked of a whole chain. */
#include "core/layer.h"

#include <stdio.h>
#include <string.h>

extern const struct layer_ops tcp_ops, udp_ops;

const struct layer_ops *const layers[] = {
	&tcp_ops,
	&udp_ops,
	NULL,
};

void layer_close_chain(struct layer *top)
{
	while (top) {
		struct layer *below = top->below;

		top->ops->close(top);
		top = below;
	}
}

bool layer_is_secure(const struct layer *top)
{
	for (; top; top = top->below)
		if (top->ops->traits & LAYER_SECURE)
			return true;
	return false;
}

const char *layer_describe(const struct layer *top, char *buf, size_t size)
{
	size_t at = 0;

	buf[0] = 0;
	for (; top && at < size; top = top->below)
		at += (size_t)snprintf(buf + at, size - at, "%s%s", at ? "/" : "", top->ops->name);
	return buf;
}
