/* The tree that libconfig makes of a file is walked along the table of keys: a group leads to the keys of its
 * section, a value is read by its kind.  libconfig.h is included here only.
 *
 * libconfig 1.5 does not survive a failing malloc; what is its own to allocate is bounded by the size of a
 * file. */
#include "conf/load.h"

#include <errno.h>
#include <libconfig.h>
#include <stdio.h>
#include <string.h>

#include "conf/scan.h"
#include "conf/value.h"

#define KEY_NAME_MAX 128

struct load {
	const struct load_source *source;
	struct arena *arena, *scratch;
	struct conf_error *error;
};

/* A group of the file, and the structure that it fills. */
struct group {
	enum conf_section section;
	void *base;
	struct conf_values *values; /* where origins are kept, or NULL */
	const char *prefix;         /* "tcp." within tcp = { } */
};

static int load_group(const struct load *load, const config_setting_t *node, const struct group *group);

static struct origin where(const struct load *load, unsigned line)
{
	return (struct origin){load->source->label, load->source->has_lines ? line : 0};
}

#define FAIL(load, line, ...)                                                                                \
	({                                                                                                   \
		struct origin fail_at = where(load, line);                                                   \
		conf_fail((load)->error, EINVAL, &fail_at, __VA_ARGS__);                                     \
	})

static int fail_memory(const struct load *load)
{
	struct origin at = where(load, 0);

	return conf_fail(load->error, ENOMEM, &at, "out of memory");
}

static const char *node_format(const config_setting_t *node, char *buf, size_t size);

/* Scalars as value.c takes them; false for groups, lists and arrays. */
static bool node_input(const config_setting_t *node, struct value_input *ret)
{
	switch (config_setting_type(node)) {
	case CONFIG_TYPE_BOOL:
		*ret = (struct value_input){.type = INPUT_BOOLEAN,
					    .integer = config_setting_get_bool(node) != 0};
		return true;
	case CONFIG_TYPE_INT:
		*ret = (struct value_input){.type = INPUT_INTEGER, .integer = config_setting_get_int(node)};
		return true;
	case CONFIG_TYPE_INT64:
		*ret = (struct value_input){.type = INPUT_INTEGER, .integer = config_setting_get_int64(node)};
		return true;
	case CONFIG_TYPE_FLOAT:
		*ret = (struct value_input){.type = INPUT_NUMBER, .number = config_setting_get_float(node)};
		return true;
	case CONFIG_TYPE_STRING:
		*ret = (struct value_input){.type = INPUT_TEXT, .text = config_setting_get_string(node)};
		return true;
	default:
		return false;
	}
}

/* What a node is, for messages. */
static const char *node_format(const config_setting_t *node, char *buf, size_t size)
{
	struct value_input input;

	if (node_input(node, &input))
		return value_input_format(&input, buf, size);
	snprintf(buf, size, "%s",
		 config_setting_is_group(node)         ? "a group { }"
		 : config_setting_length(node) == 0    ? "empty"
		 : config_setting_is_list(node)        ? "a list ( )"
						       : "an array [ ]");
	return buf;
}

/* Elements have no line of their own that could be relied on: the scanner has read on by then. */
static int fail_value(const struct load *load, const struct conf_key *key, const config_setting_t *setting,
		      const config_setting_t *node)
{
	char is[64], expects[256];

	return FAIL(load, setting->line, "'%s' is %s: expected %s", key->name,
		    node_format(node, is, sizeof(is)), value_expects(key, expects, sizeof(expects)));
}

static int fail_unknown(const struct load *load, const config_setting_t *node, const struct group *group,
			const char *name)
{
	char near[KEY_NAME_MAX];

	if (!key_nearest(group->section, name, near, sizeof(near)))
		return FAIL(load, node->line, "unknown key '%s'", name);
	load->error->security |= strcmp(near, "security") == 0;
	return FAIL(load, node->line, "unknown key '%s' (did you mean '%s'?)", name, near);
}

/* The scalars of a value: itself, or what is in the list. */
static int collect_inputs(const struct load *load, const struct conf_key *key, const config_setting_t *node,
			  struct value_input *inputs, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		const config_setting_t *item =
			config_setting_is_scalar(node) ? node : config_setting_get_elem(node, i);

		if (!node_input(item, &inputs[i]))
			return fail_value(load, key, node, item);
	}
	return 0;
}

static int load_value(const struct load *load, const struct conf_key *key, const config_setting_t *node,
		      void *base)
{
	bool listed = config_setting_is_list(node) || config_setting_is_array(node);
	unsigned n = listed ? (unsigned)config_setting_length(node) : 1;
	struct value_reader reader = {load->arena, load->source->dir};
	struct value_input *inputs = arena_array(load->scratch, n, sizeof(*inputs));
	const struct value_input *wrong;
	int r;

	if (!inputs)
		return fail_memory(load);
	if (config_setting_is_group(node) || (listed && !value_is_list(key)))
		return fail_value(load, key, node, node);
	r = collect_inputs(load, key, node, inputs, n);
	if (r < 0)
		return r;
	r = value_read(&reader, key, inputs, n, listed, base, &wrong);
	if (r == -EINVAL)
		return fail_value(load, key, node,
				  listed && wrong ? config_setting_get_elem(node, (unsigned)(wrong - inputs))
						  : node);
	return r < 0 ? fail_memory(load) : 0;
}

static int load_inner(const struct load *load, const struct conf_key *key, const config_setting_t *node,
		      const struct group *outer)
{
	struct group inner = {.section = key->inner, .base = (char *)outer->base + key->offset, .prefix = ""};

	if (!config_setting_is_group(node))
		return fail_value(load, key, node, node);
	if (section_has_values(key->inner))
		inner.values = outer->values;
	return load_group(load, node, &inner);
}

/* Every list of groups is laid out like this one. */
struct group_list {
	void *item;
	unsigned n;
};
_Static_assert(sizeof(struct group_list) == sizeof(struct conf_rules_list) &&
	       sizeof(struct group_list) == sizeof(struct conf_hosts_list) &&
	       sizeof(struct group_list) == sizeof(struct security_certificates) &&
	       sizeof(struct group_list) == sizeof(struct security_psks),
	       "lists of groups are filled as struct group_list");

static int load_element(const struct load *load, const struct conf_key *key, const config_setting_t *node,
			void *base)
{
	struct group group = {.section = key->inner, .base = base, .prefix = ""};

	if (key->inner == SECTION_RULE) {
		struct conf_rule *rule = base;

		group.values = &rule->values;
		rule->origin = (struct origin){load->source->file, where(load, node->line).line};
		rule->text = origin_text(load->arena, &rule->origin);
		if (!rule->text)
			return fail_memory(load);
	}
	return load_group(load, node, &group);
}

/* One group alone will do for a list of one. */
static int load_list(const struct load *load, const struct conf_key *key, const config_setting_t *node,
		     const struct group *outer)
{
	bool listed = config_setting_is_list(node);
	unsigned n = listed ? (unsigned)config_setting_length(node) : 1;
	size_t size = section_size(key->inner);
	char *items = arena_array(load->arena, n, size);
	int r = 0;

	if (!listed && !config_setting_is_group(node))
		return fail_value(load, key, node, node);
	if (!items)
		return fail_memory(load);
	for (unsigned i = 0; i < n && r == 0; i++) {
		const config_setting_t *item = listed ? config_setting_get_elem(node, i) : node;

		r = config_setting_is_group(item) ? load_element(load, key, item, items + i * size)
						  : fail_value(load, key, node, item);
	}
	*(struct group_list *)((char *)outer->base + key->offset) = (struct group_list){items, n};
	return r;
}

static int mark_origin(const struct load *load, const struct conf_key *key, unsigned line,
		       struct conf_values *values)
{
	struct origin *origin;

	if (!values)
		return 0;
	origin = arena_alloc(load->arena, sizeof(*origin));
	if (!origin)
		return fail_memory(load);
	*origin = (struct origin){load->source->file, where(load, line).line};
	values->origin[key - conf_keys] = origin;
	return 0;
}

static int load_key(const struct load *load, const struct conf_key *key, const config_setting_t *node,
		    const struct group *group)
{
	int r;

	if (key->kind == VALUE_GROUP)
		r = load_inner(load, key, node, group);
	else if (key->kind == VALUE_GROUPS)
		r = load_list(load, key, node, group);
	else
		r = load_value(load, key, node, group->base);
	return r < 0 ? r : mark_origin(load, key, node->line, group->values);
}

/* A key may have dots in its name, where libconfig has groups within groups. */
static int load_member(const struct load *load, const config_setting_t *node, const struct group *group)
{
	char name[KEY_NAME_MAX], prefix[KEY_NAME_MAX];
	struct group inner = *group;
	const struct conf_key *key;

	snprintf(name, sizeof(name), "%s%s", group->prefix, config_setting_name(node));
	key = key_find(group->section, name);
	if (key)
		return load_key(load, key, node, group);
	if (!config_setting_is_group(node) || !key_has_prefix(group->section, name))
		return fail_unknown(load, node, group, name);
	snprintf(prefix, sizeof(prefix), "%s%s.", group->prefix, config_setting_name(node));
	inner.prefix = prefix;
	return load_group(load, node, &inner);
}

static int check_required(const struct load *load, const config_setting_t *node, enum conf_section section)
{
	for (int i = 0; i < KEYS_N; i++)
		if (conf_keys[i].section == section && conf_keys[i].fallback == KEY_REQUIRED &&
		    !config_setting_get_member(node, conf_keys[i].name))
			return FAIL(load, node->line, "'%s' is missing", conf_keys[i].name);
	return 0;
}

static int load_group(const struct load *load, const config_setting_t *node, const struct group *group)
{
	int n = config_setting_length(node);

	for (int i = 0; i < n; i++) {
		int r = load_member(load, config_setting_get_elem(node, (unsigned)i), group);

		if (r < 0)
			return r;
	}
	return check_required(load, node, group->section);
}

/* libconfig's own message, made to say where. */
static int fail_parse(const struct load *load, const config_t *config, const char *text)
{
	unsigned line = (unsigned)config_error_line(config);
	const char *what = config_error_text(config);
	char context[48];

	if (strcmp(what, "mismatched element type in array") == 0)
		what = "values of different types in an array [ ]: expected a list ( )";
	scan_line(text, line, context, sizeof(context));
	if (*context == '\0')
		return FAIL(load, line, "%s", what);
	return FAIL(load, line, "%s, here or before: %s", what, context);
}

static int load_tree(const struct load *load, config_t *config, const char *text, struct conf_layer *layer)
{
	struct group top = {.section = SECTION_TOP, .base = layer, .values = &layer->values, .prefix = ""};

	/* What scan_text() should not see, libconfig must not find. */
	config_set_include_dir(config, "/dev/null");
	if (config_read_string(config, text) != CONFIG_TRUE)
		return fail_parse(load, config, text);
	return load_group(load, config_root_setting(config), &top);
}

int load_text(const struct load_source *source, struct arena *arena, struct arena *scratch,
	      struct conf_layer *layer, struct conf_error *error)
{
	struct load load = {source, arena, scratch, error};
	struct scan_result scanned;
	config_t config;
	int r;

	if (scan_blank(source->text, source->len))
		return FAIL(&load, 1,
			    "is empty: expected settings, or a comment that says why there are none");
	r = scan_text(scratch, source->text, source->len, &scanned);
	if (r == -EINVAL)
		return FAIL(&load, scanned.line, "%s", scanned.problem);
	if (r < 0)
		return fail_memory(&load);
	config_init(&config);
	r = load_tree(&load, &config, scanned.text, layer);
	config_destroy(&config);
	return r;
}
