/* Values are one scalar, or a list of scalars; properties go by text, to core/properties.c. */
#include "conf/value.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "conf/conf.h"
#include "conf/item.h"
#include "core/text.h"

#define ITEM_TEXT 512

/* Every list is laid out like this one. */
struct list {
	const void *item;
	unsigned n;
};
_Static_assert(sizeof(struct list) == sizeof(struct security_texts) &&
		       sizeof(struct list) == sizeof(struct prefixes) &&
		       sizeof(struct list) == sizeof(struct port_ranges) &&
		       sizeof(struct list) == sizeof(struct addresses),
	       "lists are read and written as struct list");

static int read_list(const struct value_reader *reader, const struct conf_key *key,
		     const struct value_input *in, unsigned n, void *field,
		     const struct value_input **ret_wrong)
{
	const struct item_kind *kind = &item_kinds[key->kind];
	char *items;
	int r;

	*ret_wrong = NULL;
	if (n < key->low || n > key->high)
		return -EINVAL;
	items = arena_array(reader->arena, n, kind->size);
	if (!items)
		return -ENOMEM;
	for (unsigned i = 0; i < n; i++) {
		*ret_wrong = &in[i];
		r = kind->read(reader, key, &in[i], items + i * kind->size);
		if (r < 0)
			return r;
	}
	*(struct list *)field = (struct list){items, n};
	return 0;
}

/* Several words, each a bit. */
static int read_flags(const struct value_reader *reader, const struct conf_key *key,
		      const struct value_input *in, unsigned n, unsigned *ret,
		      const struct value_input **ret_wrong)
{
	unsigned flags = 0, word;

	for (unsigned i = 0; i < n; i++) {
		*ret_wrong = &in[i];
		if (item_kinds[VALUE_FLAGS].read(reader, key, &in[i], &word) < 0)
			return -EINVAL;
		flags |= 1u << word;
	}
	*ret_wrong = NULL;
	if (flags == 0)
		return -EINVAL;
	*ret = flags;
	return 0;
}

/* Properties are read from text by core/properties.c, whose words and bounds hold. */
static int property_text(const struct value_input *in, char *buf, size_t size)
{
	int n = 0;

	switch (in->type) {
	case INPUT_BOOLEAN:
		n = snprintf(buf, size, "%s", in->integer ? "true" : "false");
		break;
	case INPUT_INTEGER:
		n = snprintf(buf, size, "%lld", (long long)in->integer);
		break;
	case INPUT_NUMBER:
		if (!(in->number > -(double)TEXT_NUMBER_MAX && in->number < (double)TEXT_NUMBER_MAX))
			return -EINVAL;
		text_format_number(in->number, buf, size);
		break;
	case INPUT_TEXT:
		n = snprintf(buf, size, "%s", in->text);
		break;
	}
	return n < 0 || (size_t)n >= size ? -EINVAL : 0;
}

static int read_property(const struct conf_key *key, const struct value_input *in, unsigned n, bool listed,
			 struct properties *props, const struct value_input **ret_wrong)
{
	enum property property = key_property(key);
	char text[PROPERTY_TEXT_MAX];
	size_t used = 0;

	*ret_wrong = NULL;
	if (listed && property_info(property)->kind != KIND_SELECTION)
		return -EINVAL;
	text[0] = '\0';
	for (unsigned i = 0; i < n; i++) {
		*ret_wrong = &in[i];
		if (i > 0 && used + 2 < sizeof(text))
			used += (size_t)snprintf(text + used, sizeof(text) - used, ", ");
		if (property_text(&in[i], text + used, sizeof(text) - used) < 0)
			return -EINVAL;
		used += strlen(text + used);
	}
	return properties_set_one(props, property, text) < 0 ? -EINVAL : 0;
}

int value_read(const struct value_reader *reader, const struct conf_key *key, const struct value_input *in,
	       unsigned n, bool listed, void *base, const struct value_input **ret_wrong)
{
	const struct item_kind *kind = &item_kinds[key->kind];
	void *field = (char *)base + key->offset;

	if (key->kind == VALUE_PROPERTY)
		return read_property(key, in, n, listed, field, ret_wrong);
	if (key->kind == VALUE_FLAGS)
		return read_flags(reader, key, in, n, field, ret_wrong);
	if (kind->size > 0)
		return read_list(reader, key, in, n, field, ret_wrong);
	*ret_wrong = listed ? NULL : in;
	return listed ? -EINVAL : kind->read(reader, key, in, field);
}

bool value_is_list(const struct conf_key *key)
{
	return item_kinds[key->kind].size > 0 ||
	       (key->kind == VALUE_PROPERTY && property_info(key_property(key))->kind == KIND_SELECTION);
}

bool value_is_text(const struct conf_key *key)
{
	return key->kind != VALUE_BOOLEAN && key->kind != VALUE_INTEGER && key->kind != VALUE_MILLISECONDS &&
	       key->kind != VALUE_PORTS && key->kind != VALUE_PROPERTY;
}

/* The words, and what else the kind takes. */
static const char *expects_one(const struct conf_key *key, char *buf, size_t size)
{
	const char *other = item_kinds[key->kind].expects;
	size_t used = 0;

	for (unsigned i = 0; key->words && key->words[i] && used < size; i++) {
		bool last = !key->words[i + 1] && *other == '\0';

		used += (size_t)snprintf(buf + used, size - used, "%s\"%s\"",
					 i == 0 ? ""
					 : last ? " or "
						: ", ",
					 key->words[i]);
	}
	if (used < size)
		snprintf(buf + used, size - used, "%s%s", used > 0 && *other != '\0' ? " or " : "", other);
	return buf;
}

const char *value_expects(const struct conf_key *key, char *buf, size_t size)
{
	const struct item_kind *kind = &item_kinds[key->kind];
	char one[128];

	if (key->kind == VALUE_PROPERTY)
		snprintf(buf, size, "%s", property_expects(key_property(key)));
	else if (kind->size > 0)
		snprintf(buf, size, "%s; or a list of up to %lld", expects_one(key, one, sizeof(one)),
			 (long long)key->high);
	else if (key->high > 0)
		snprintf(buf, size, "%s from %lld to %lld", kind->expects, (long long)key->low,
			 (long long)key->high);
	else
		expects_one(key, buf, size);
	return buf;
}

const char *value_input_format(const struct value_input *in, char *buf, size_t size)
{
	switch (in->type) {
	case INPUT_BOOLEAN:
		snprintf(buf, size, "%s", in->integer ? "true" : "false");
		break;
	case INPUT_INTEGER:
		snprintf(buf, size, "%lld", (long long)in->integer);
		break;
	case INPUT_NUMBER:
		snprintf(buf, size, "%g", in->number);
		break;
	case INPUT_TEXT:
		item_format_text(NULL, &in->text, buf, size);
		break;
	}
	return buf;
}

static const char *format_property(struct arena *arena, const struct conf_key *key,
				   const struct properties *props)
{
	char text[PROPERTY_TEXT_MAX], quoted[PROPERTY_TEXT_MAX + 8];
	const char *plain = properties_format(props, key_property(key), text, sizeof(text));
	double number;

	if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0 || text_number(text, &number) == 0)
		return arena_strdup(arena, text);
	item_format_text(key, &plain, quoted, sizeof(quoted));
	return arena_strdup(arena, quoted);
}

static const char *format_list(struct arena *arena, const struct conf_key *key, const struct list *list)
{
	const struct item_kind *kind = &item_kinds[key->kind];
	const char *text = list->n > 1 ? "( " : "";
	char item[ITEM_TEXT];

	for (unsigned i = 0; text && i < list->n; i++) {
		kind->format(key, (const char *)list->item + i * kind->size, item, sizeof(item));
		text = arena_printf(arena, "%s%s%s", text, i == 0 ? "" : ", ", item);
	}
	return text && list->n > 1 ? arena_printf(arena, "%s )", text) : text;
}

static const char *format_flags(struct arena *arena, const struct conf_key *key, unsigned flags)
{
	unsigned words[32], n = 0;

	for (unsigned i = 0; i < 32; i++)
		if (flags >> i & 1)
			words[n++] = i;
	return format_list(arena, key, &(struct list){words, n});
}

const char *value_format(struct arena *arena, const struct conf_key *key, const void *base)
{
	const struct item_kind *kind = &item_kinds[key->kind];
	const void *field = (const char *)base + key->offset;
	char item[ITEM_TEXT] = "";

	if (key->kind == VALUE_PROPERTY)
		return format_property(arena, key, field);
	if (key->kind == VALUE_FLAGS)
		return format_flags(arena, key, *(const unsigned *)field);
	if (kind->size > 0)
		return format_list(arena, key, field);
	if (kind->format != item_format_text || *(const char *const *)field)
		kind->format(key, field, item, sizeof(item));
	return arena_strdup(arena, item);
}
