/* keys.def as a table, and the ways to find a key in it. */
#include "conf/keys.h"

#include <stdio.h>
#include <string.h>

#include "conf/conf.h"
#include "core/text.h"

/* What the fields of a section's keys are fields of. */
#define STRUCT_TOP struct conf_layer
#define STRUCT_RULE struct conf_rule
#define STRUCT_HOST struct conf_host
#define STRUCT_MATCH struct match
#define STRUCT_REMOTE struct valued
#define STRUCT_RACE struct valued
#define STRUCT_PROPERTIES struct valued
#define STRUCT_SECURITY struct valued
#define STRUCT_CERTIFICATE struct security_certificate
#define STRUCT_PSK struct security_psk

/* Stands for a layer or a rule: both begin with their values. */
struct valued {
	struct conf_values values;
};
_Static_assert(offsetof(struct conf_layer, values) == 0, "a layer begins with its values");
_Static_assert(offsetof(struct conf_rule, values) == 0, "a rule begins with its values");

#define FIELD(section, field) \
	offsetof(STRUCT_##section, field), sizeof(((STRUCT_##section *)NULL)->field)
#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

#define REQUIRED KEY_REQUIRED

const char KEY_REQUIRED[] = "required";

const struct conf_key conf_keys[KEYS_N] = {
#define KEY(section, name, kind, field, def, example, low, high, words, doc) \
	{#name, SECTION_##section, SECTION_NONE, VALUE_##kind, FIELD(section, field), def, \
	 example, low, high, words, doc},
#define GROUP(section, name, kind, inner, field, doc) \
	{#name, SECTION_##section, SECTION_##inner, VALUE_##kind, FIELD(section, field), NULL, \
	 NULL, 0, 0, NULL, doc},
#define PROPERTY(field, name, doc)                                                                           \
	{name,                                                                                               \
	 SECTION_PROPERTIES,                                                                                 \
	 SECTION_NONE,                                                                                       \
	 VALUE_PROPERTY,                                                                                     \
	 FIELD(PROPERTIES, values.policy.properties),                                                        \
	 NULL,                                                                                               \
	 NULL,                                                                                               \
	 0,                                                                                                  \
	 0,                                                                                                  \
	 NULL,                                                                                               \
	 doc},
#include "conf/keys.def"
#undef KEY
#undef GROUP
#undef PROPERTY
};

/* How a key's place is spelt, the size of its structure, and whether that is, or begins with, struct
 * conf_values. */
static const struct {
	const char *path;
	size_t size;
	bool values;
} sections[SECTIONS_N] = {
	[SECTION_TOP] = {"", sizeof(STRUCT_TOP), true},
	[SECTION_HOST] = {"hosts", sizeof(STRUCT_HOST), false},
	[SECTION_RULE] = {"rules", sizeof(STRUCT_RULE), true},
	[SECTION_MATCH] = {"rules.match", sizeof(STRUCT_MATCH), false},
	[SECTION_REMOTE] = {"rules.remote", sizeof(STRUCT_REMOTE), true},
	[SECTION_RACE] = {"race", sizeof(STRUCT_RACE), true},
	[SECTION_PROPERTIES] = {"properties", sizeof(STRUCT_PROPERTIES), true},
	[SECTION_SECURITY] = {"security", sizeof(STRUCT_SECURITY), true},
	[SECTION_CERTIFICATE] = {"security.serverCertificate", sizeof(STRUCT_CERTIFICATE), false},
	[SECTION_PSK] = {"security.preSharedKey", sizeof(STRUCT_PSK), false},
};

const struct conf_key *key_find(enum conf_section section, const char *name)
{
	for (int i = 0; i < KEYS_N; i++)
		if (conf_keys[i].section == section && strcmp(conf_keys[i].name, name) == 0)
			return &conf_keys[i];
	return NULL;
}

bool key_has_prefix(enum conf_section section, const char *group)
{
	size_t len = strlen(group);

	for (int i = 0; i < KEYS_N; i++)
		if (conf_keys[i].section == section && strncmp(conf_keys[i].name, group, len) == 0 &&
		    conf_keys[i].name[len] == '.')
			return true;
	return false;
}

size_t key_group_length(const struct conf_key *key)
{
	const char *dot = strchr(key->name, '.');

	return dot ? (size_t)(dot - key->name) : 0;
}

/* The likest key whose section is, or is not, the given one. */
static const struct conf_key *nearest(enum conf_section section, bool same, const char *name)
{
	unsigned best = text_tolerance(name) + 1;
	const struct conf_key *ret = NULL;

	for (int i = 0; i < KEYS_N; i++) {
		unsigned distance = text_distance(name, conf_keys[i].name);

		if ((conf_keys[i].section == section) == same && distance < best) {
			best = distance;
			ret = &conf_keys[i];
		}
	}
	return ret;
}

const char *key_nearest(enum conf_section section, const char *name, char *buf, size_t size)
{
	const struct conf_key *key = nearest(section, true, name);
	const char *path = "";

	if (!key) {
		key = nearest(section, false, name);
		path = key ? section_path(key->section) : "";
	}
	if (!key)
		return NULL;
	snprintf(buf, size, "%s%s%s", path, *path ? "." : "", key->name);
	return buf;
}

const char *section_path(enum conf_section section)
{
	return sections[section].path;
}

size_t section_size(enum conf_section section)
{
	return sections[section].size;
}

bool section_has_values(enum conf_section section)
{
	return sections[section].values;
}

enum property key_property(const struct conf_key *key)
{
	return (enum property)(key - &conf_keys[KEY_PROPERTIES_reliability]);
}

bool key_merges(const struct conf_key *key)
{
	return sections[key->section].values && key->kind != VALUE_PROPERTY &&
	       !(key->inner != SECTION_NONE && sections[key->inner].values) &&
	       key->offset + key->size <= sizeof(struct conf_values);
}
