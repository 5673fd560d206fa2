/* Single scalars of each kind.  Private to conf/value.c, which makes values of them. */
#ifndef TAPS_CONF_ITEM_H
#define TAPS_CONF_ITEM_H

#include "conf/value.h"

/* Reads one scalar into `ret`: the key's field, or an element of its list.  0, -EINVAL or -ENOMEM. */
typedef int item_read(const struct value_reader *reader, const struct conf_key *key,
		      const struct value_input *in, void *ret);
/* Writes one scalar so that it can be read back; cut to `size`. */
typedef void item_format(const struct conf_key *key, const void *item, char *buf, size_t size);

struct item_kind {
	const char *expects;
	item_read *read;
	item_format *format;
	size_t size; /* of an element; 0: the kind is no list */
};

/* Indexed by enum value_kind.  Groups and properties have no functions. */
extern const struct item_kind item_kinds[VALUES_N];

/* A `const char *` within quotes.  `key` is not looked at. */
item_format item_format_text;

#endif
