/* What is written here is again a configuration: the table of keys is walked as by the loader. */
#include "conf/dump.h"

#include <errno.h>
#include <string.h>

#include "conf/conf.h"
#include "conf/value.h"

#define ORIGIN_COLUMN 44

static const char *const layer_names[LAYERS_N] = {
	[LAYER_SYSTEM] = "system",
	[LAYER_SYSTEM_APP] = "system, application",
	[LAYER_USER] = "user",
	[LAYER_USER_APP] = "user, application",
	[LAYER_FILE] = "-c",
	[LAYER_OPTIONS] = "-o",
};

struct dump {
	FILE *out;
	struct arena *arena;
	unsigned indent;
	const struct conf_values *system; /* what the system's layers alone make of it, or NULL */
	bool failed;
};

static void put_indent(struct dump *dump)
{
	for (unsigned i = 0; i < dump->indent; i++)
		fputs("    ", dump->out);
}

static void put_section(struct dump *dump, enum conf_section section, const void *base,
			const struct conf_values *values);

static void open_group(struct dump *dump, const char *name, int name_len)
{
	put_indent(dump);
	fprintf(dump->out, "%.*s = {\n", name_len, name);
	dump->indent++;
}

static void close_group(struct dump *dump, const char *end)
{
	dump->indent--;
	put_indent(dump);
	fprintf(dump->out, "}%s\n", end);
}

static void put_line(struct dump *dump, const char *name, const char *value, const char *origin)
{
	int width = (int)(4 * dump->indent);

	put_indent(dump);
	width += fprintf(dump->out, "%s = %s;", name, value);
	fprintf(dump->out, "%*s# %s\n", width < ORIGIN_COLUMN ? ORIGIN_COLUMN - width : 1, "", origin);
}

/* A prohibition that a lower layer tried to lift was said by the system. */
static const struct origin *find_origin(const struct dump *dump, const struct conf_key *key,
					const struct conf_values *values)
{
	size_t id = (size_t)(key - conf_keys);
	char now[PROPERTY_TEXT_MAX], then[PROPERTY_TEXT_MAX];

	if (!dump->system || key->kind != VALUE_PROPERTY || !dump->system->origin[id] ||
	    !properties_is_set(&dump->system->policy.properties, key_property(key)))
		return values->origin[id];
	properties_format(&values->policy.properties, key_property(key), now, sizeof(now));
	properties_format(&dump->system->policy.properties, key_property(key), then, sizeof(then));
	return strcmp(then, "prohibit") == 0 && strcmp(now, then) == 0 ? dump->system->origin[id]
								       : values->origin[id];
}

static void put_key(struct dump *dump, const struct conf_key *key, const char *name, const void *base,
		    const struct conf_values *values)
{
	const struct origin *origin = values ? find_origin(dump, key, values) : NULL;
	const char *where = origin ? origin_text(dump->arena, origin) : NULL;
	const char *value;

	if (values && !origin)
		return;
	value = value_format(dump->arena, key, base);
	if (!value || (origin && !where)) {
		dump->failed = true;
		return;
	}
	if (*value == '\0')
		return;
	if (where) {
		put_line(dump, name, value, where);
		return;
	}
	put_indent(dump);
	fprintf(dump->out, "%s = %s;\n", name, value);
}

/* Is the key set, and its value one of the section's own lines? */
static bool is_written(const struct conf_key *key, const struct conf_values *values)
{
	return values->origin[key - conf_keys] && (key_merges(key) || key->kind == VALUE_PROPERTY);
}

/* A list of groups that is a value, such as certificates. */
static void put_list(struct dump *dump, const struct conf_key *key, const struct conf_values *values)
{
	const struct {
		const char *item;
		unsigned n;
	} *list = (const void *)((const char *)values + key->offset);
	const struct origin *origin = values->origin[key - conf_keys];
	const char *where = origin_text(dump->arena, origin);

	if (list->n == 0)
		return;
	put_indent(dump);
	fprintf(dump->out, "%s = (   # %s\n", key->name, where ? where : "");
	dump->failed |= !where;
	for (unsigned i = 0; i < list->n; i++) {
		dump->indent++;
		put_indent(dump);
		fputs("{\n", dump->out);
		dump->indent++;
		put_section(dump, key->inner, list->item + i * section_size(key->inner), NULL);
		close_group(dump, i + 1 < list->n ? "," : "");
		dump->indent--;
	}
	put_indent(dump);
	fputs(");\n", dump->out);
}

/* Writes the values of a section; keys with a dot in their names follow one another, in a group. */
static void put_section(struct dump *dump, enum conf_section section, const void *base,
			const struct conf_values *values)
{
	size_t len = 0;

	for (int i = 0; i < KEYS_N; i++) {
		const struct conf_key *key = &conf_keys[i];
		size_t prefix = key_group_length(key);

		if (key->section != section || (values && !is_written(key, values)))
			continue;
		if (key->inner != SECTION_NONE) {
			put_list(dump, key, values);
			continue;
		}
		if (len > 0 && prefix == 0)
			close_group(dump, ";");
		if (len == 0 && prefix > 0)
			open_group(dump, key->name, (int)prefix);
		len = prefix;
		put_key(dump, key, key->name + prefix + (prefix > 0), base, values);
	}
	if (len > 0)
		close_group(dump, ";");
}

static bool any_set(enum conf_section section, const struct conf_values *values)
{
	for (int i = 0; i < KEYS_N; i++)
		if (conf_keys[i].section == section && values->origin[i])
			return true;
	return false;
}

/* The groups of a section that are part of struct conf_values, as far as something is set in them. */
static void put_groups(struct dump *dump, enum conf_section section, const struct conf_values *values)
{
	for (int i = 0; i < KEYS_N; i++) {
		const struct conf_key *key = &conf_keys[i];

		if (key->section != section || key->kind != VALUE_GROUP || !section_has_values(key->inner) ||
		    (!any_set(key->inner, values) && !values->origin[i]))
			continue;
		open_group(dump, key->name, (int)strlen(key->name));
		put_section(dump, key->inner, values, values);
		close_group(dump, ";");
	}
}

static void put_hosts(struct dump *dump, const struct conf *conf)
{
	bool any = false;

	for (int rank = LAYERS_N - 1; rank >= 0; rank--)
		for (unsigned i = 0; i < conf->layer[rank].hosts.n; i++) {
			const struct conf_host *host = &conf->layer[rank].hosts.item[i];
			const char *name = value_format(dump->arena, &conf_keys[KEY_HOST_name], host);
			const char *address = value_format(dump->arena, &conf_keys[KEY_HOST_address], host);

			dump->failed |= !name || !address;
			if (!name || !address)
				return;
			fprintf(dump->out, "%s    { name = %s; address = %s; }", any ? ",\n" : "hosts = (\n",
				name, address);
			any = true;
		}
	if (any)
		fputs("\n);\n", dump->out);
}

static void put_rule(struct dump *dump, const struct conf_rule *rule)
{
	fprintf(dump->out, "    {   # %s%s\n", rule->text, rule->foreign ? " (for other programs)" : "");
	dump->indent = 2;
	open_group(dump, "match", 5);
	put_section(dump, SECTION_MATCH, &rule->match, NULL);
	close_group(dump, ";");
	put_groups(dump, SECTION_RULE, &rule->values);
	dump->indent = 1;
	fputs("    }", dump->out);
}

static void put_rules(struct dump *dump, const struct conf *conf)
{
	bool any = false;

	for (int rank = LAYERS_N - 1; rank >= 0; rank--)
		for (unsigned i = 0; i < conf->layer[rank].rules.n; i++) {
			fputs(any ? ",\n" : "rules = (\n", dump->out);
			put_rule(dump, &conf->layer[rank].rules.item[i]);
			any = true;
		}
	dump->indent = 0;
	if (any)
		fputs("\n);\n", dump->out);
}

static void put_layers(struct dump *dump, const struct conf *conf)
{
	bool any = false;

	for (unsigned rank = 0; rank < LAYERS_N; rank++) {
		if (!conf->layer[rank].file)
			continue;
		if (!any)
			fputs("# read, the last one goes before the others:\n", dump->out);
		fprintf(dump->out, "#   %s (%s)\n", conf->layer[rank].file, layer_names[rank]);
		any = true;
	}
	if (!any)
		fputs("# no configuration was found: these are the defaults\n", dump->out);
}

static int finish(struct dump *dump)
{
	arena_fini(dump->arena);
	if (dump->failed)
		return -ENOMEM;
	return ferror(dump->out) ? -EIO : 0;
}

int conf_dump(const struct conf *conf, FILE *out)
{
	const struct conf_rule *fired[LAYERS_N];
	struct conf_values values, system;
	struct arena arena = {0};
	struct dump dump = {.out = out, .arena = &arena, .system = &system};

	policy_values(conf, NULL, LAYER_SYSTEM_APP, &system, fired);
	policy_values(conf, NULL, LAYER_OPTIONS, &values, fired);
	put_layers(&dump, conf);
	put_section(&dump, SECTION_TOP, &values, &values);
	put_hosts(&dump, conf);
	put_groups(&dump, SECTION_TOP, &values);
	put_rules(&dump, conf);
	return finish(&dump);
}

static void put_fired(struct dump *dump, const struct conf_rule *const fired[LAYERS_N])
{
	bool any = false;

	for (unsigned rank = 0; rank < LAYERS_N; rank++)
		if (fired[rank]) {
			fprintf(dump->out, "# rule %s (%s)\n", fired[rank]->text, layer_names[rank]);
			any = true;
		}
	if (!any)
		fputs("# no rule is for this connection\n", dump->out);
}

/* Shows the security that was worked out for the rule, or none. */
static void take_security(struct conf_values *values, const struct conf_rule *rule)
{
	for (int i = 0; i < KEYS_N; i++)
		if (conf_keys[i].section == SECTION_SECURITY || i == KEY_RULE_security)
			values->origin[i] = rule ? rule->secured->origin[i] : NULL;
	if (rule)
		values->security = rule->secured->security;
}

int conf_dump_policy(const struct conf *conf, const struct policy_query *query, FILE *out)
{
	const struct conf_rule *fired[LAYERS_N];
	struct conf_values values, system;
	struct arena arena = {0};
	struct dump dump = {.out = out, .arena = &arena, .system = &system};

	policy_values(conf, query, LAYER_SYSTEM_APP, &system, fired);
	policy_values(conf, query, LAYER_OPTIONS, &values, fired);
	properties_adapt(&values.policy.properties, query->socktype, query->role == POLICY_LISTEN);
	take_security(&values, policy_securing(fired));
	put_fired(&dump, fired);
	put_section(&dump, SECTION_TOP, &values, &values);
	put_groups(&dump, SECTION_RULE, &values);
	return finish(&dump);
}
