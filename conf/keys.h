/* The keys of the configuration as a table (conf/keys.def). */
#ifndef TAPS_CONF_KEYS_H
#define TAPS_CONF_KEYS_H

#include "core/properties.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A group's kind: which keys it may hold. */
enum conf_section {
	SECTION_NONE,
	SECTION_TOP,
	SECTION_HOST,
	SECTION_RULE,
	SECTION_MATCH,
	SECTION_REMOTE,
	SECTION_RACE,
	SECTION_PROPERTIES,
	SECTION_SECURITY,
	SECTION_CERTIFICATE,
	SECTION_PSK,
	SECTIONS_N
};

/* How a value is written (conf/value.c). */
enum value_kind {
	VALUE_GROUP,
	VALUE_GROUPS,
	VALUE_PROPERTY,
	VALUE_BOOLEAN,
	VALUE_INTEGER,
	VALUE_MILLISECONDS,
	VALUE_WORD,
	VALUE_FLAGS,
	VALUE_TEXT,
	VALUE_TEXTS,
	VALUE_NAMES,
	VALUE_HOSTNAME,
	VALUE_ENDPOINT,
	VALUE_PATH,
	VALUE_PATHS,
	VALUE_PINS,
	VALUE_ADDRESSES,
	VALUE_PATTERNS,
	VALUE_PROGRAMS,
	VALUE_PREFIXES,
	VALUE_PORTS,
	VALUES_N
};

/* KEY_RACE_attemptDelay, …, KEY_PROPERTIES_reliability, …: in the order of keys.def. */
enum conf_key_id {
#define KEY(section, name, kind, field, def, example, low, high, words, doc) KEY_##section##_##name,
#define GROUP(section, name, kind, inner, field, doc) KEY_##section##_##name,
#define PROPERTY(field, name, doc) KEY_PROPERTIES_##field,
#include "conf/keys.def"
#undef KEY
#undef GROUP
#undef PROPERTY
	KEYS_N
};

struct conf_key {
	const char *name;
	enum conf_section section; /* where it may stand */
	enum conf_section inner;   /* of a group: what it holds; else SECTION_NONE */
	enum value_kind kind;
	size_t offset, size;       /* of the field in the section's structure */
	const char *fallback;      /* the default, KEY_REQUIRED, or NULL */
	const char *example;       /* for the sample, or NULL */
	int64_t low, high;
	const char *const *words;  /* NULL-terminated, or NULL */
	const char *doc;
};

/* Stands for a default where there cannot be one. */
extern const char KEY_REQUIRED[];

/* Indexed by enum conf_key_id. */
extern const struct conf_key conf_keys[KEYS_N];

/* The key of that name in the section, or NULL.  Names with a dot are reached through a group. */
const struct conf_key *key_find(enum conf_section section, const char *name);
/* Is there a key in the section whose name begins with "group."? */
bool key_has_prefix(enum conf_section section, const char *group);
/* The length of that group's name; 0 for a name without a dot. */
size_t key_group_length(const struct conf_key *key);
/* The key meant by a misspelt name, written as from the section ("attemptDelay"), or in full when it belongs
 * elsewhere ("race.attemptDelay").  Returns `buf`, or NULL if none is near. */
const char *key_nearest(enum conf_section section, const char *name, char *buf, size_t size);
/* "race", "rules.match", …; "" for the top of a file. */
const char *section_path(enum conf_section section);
/* Of the structure that a group of the section fills. */
size_t section_size(enum conf_section section);
/* Are the section's values fields of struct conf_values, of which it is known where they were set? */
bool section_has_values(enum conf_section section);
/* The property of a key of SECTION_PROPERTIES. */
enum property key_property(const struct conf_key *key);
/* Does the key's value belong to struct conf_values, where layers override one another field by field?
 * False for groups, for lists that add up, and for properties, which have their own ways. */
bool key_merges(const struct conf_key *key);

#endif
