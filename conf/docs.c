/* Kept in conf/taps.conf.sample and conf/taps.conf.5; tests/unit/docs.c sees that they are up to date. */
#include "conf/docs.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "conf/conf.h"
#include "conf/option.h"
#include "conf/value.h"

#define EXPECTS_MAX 256
#define SAMPLE_COLUMNS 100

struct docs {
	FILE *out;
	struct arena *arena;
	struct properties defaults;
	unsigned indent;
	bool done[SECTIONS_N]; /* the section has been written: it is not repeated in full */
	bool failed;
};

static const char *checked(struct docs *docs, const char *text)
{
	docs->failed |= !text;
	return text ? text : "";
}

static const char *written(struct docs *docs, const struct conf_key *key, const char *text)
{
	return checked(docs, option_value(docs->arena, key, text));
}

/* What holds where the key is not set, as it is written in a file; "" if there is nothing to write. */
static const char *default_value(struct docs *docs, const struct conf_key *key)
{
	char text[PROPERTY_TEXT_MAX];

	if (key->kind == VALUE_PROPERTY) {
		properties_format(&docs->defaults, key_property(key), text, sizeof(text));
		return *text != '\0' ? written(docs, key, text) : "";
	}
	return key->fallback && key->fallback != KEY_REQUIRED ? written(docs, key, key->fallback) : "";
}

static const char *sample_value(struct docs *docs, const struct conf_key *key)
{
	const char *value = default_value(docs, key);

	if (*value != '\0')
		return value;
	return written(docs, key, key->example ? key->example : "prohibit wwan");
}

static void put(struct docs *docs, const char *mark, const char *text)
{
	for (unsigned i = 0; i < docs->indent; i++)
		fputs("    ", docs->out);
	fprintf(docs->out, "%s%s\n", mark, text);
}

/* Prose over as many lines as it takes. */
static void put_prose(struct docs *docs, const char *text)
{
	size_t width = SAMPLE_COLUMNS - 2 - 4 * docs->indent;

	while (strlen(text) > width) {
		const char *blank = memrchr(text, ' ', width + 1);

		if (!blank)
			break;
		put(docs, "# ", checked(docs, arena_strndup(docs->arena, text, (size_t)(blank - text))));
		text = blank + 1;
	}
	put(docs, "# ", text);
}

static void sample_section(struct docs *docs, enum conf_section section);

static void sample_group(struct docs *docs, const struct conf_key *key)
{
	bool many = key->kind == VALUE_GROUPS;

	put_prose(docs, key->doc);
	if (docs->done[key->inner]) {
		put(docs, "#",
		    checked(docs, arena_printf(docs->arena, "%s = %s;", key->name, many ? "( )" : "{ }")));
		return;
	}
	put(docs, "#", checked(docs, arena_printf(docs->arena, "%s = %s", key->name, many ? "( {" : "{")));
	docs->indent++;
	sample_section(docs, key->inner);
	docs->indent--;
	put(docs, "#", many ? "} );" : "};");
}

static void sample_key(struct docs *docs, const struct conf_key *key)
{
	char expects[EXPECTS_MAX];
	const char *name = key->name + key_group_length(key);

	name += *name == '.';
	value_expects(key, expects, sizeof(expects));
	put_prose(docs, checked(docs, arena_printf(docs->arena, "%s (%s)", key->doc, expects)));
	put(docs, "#", checked(docs, arena_printf(docs->arena, "%s = %s;", name, sample_value(docs, key))));
}

/* Keys with a dot in their names follow one another, in a group of their own. */
static void sample_section(struct docs *docs, enum conf_section section)
{
	size_t open = 0;

	docs->done[section] = true;
	for (int i = 0; i < KEYS_N; i++) {
		const struct conf_key *key = &conf_keys[i];
		size_t group = key_group_length(key);

		if (key->section != section)
			continue;
		if (open > 0 && group == 0)
			put(docs, "#", "};");
		if (open == 0 && group > 0)
			put(docs, "#",
			    checked(docs, arena_printf(docs->arena, "%.*s = {", (int)group, key->name)));
		open = group;
		if (key->inner != SECTION_NONE)
			sample_group(docs, key);
		else
			sample_key(docs, key);
		if (section == SECTION_TOP)
			fputc('\n', docs->out);
	}
}

static int finish(struct docs *docs)
{
	arena_fini(docs->arena);
	return docs->failed ? -ENOMEM : 0;
}

int docs_sample(FILE *out)
{
	struct arena arena = {0};
	struct docs docs = {.out = out, .arena = &arena};

	properties_default(&docs.defaults);
	fputs("# Configuration of tapsrun.  taps.conf(5) explains it; tapsctl check says what holds.\n"
	      "# Every key is here, commented out, at its default or with an example.\n\n",
	      out);
	sample_section(&docs, SECTION_TOP);
	return finish(&docs);
}

/* Text in roff: backslashes and hyphens are escaped.  No text here begins with a control character. */
static void put_roff(struct docs *docs, const char *text)
{
	for (; *text != '\0'; text++)
		if (*text == '\\')
			fputs("\\e", docs->out);
		else if (*text == '-')
			fputs("\\-", docs->out);
		else
			fputc(*text, docs->out);
}

static void manual_key(struct docs *docs, const struct conf_key *key)
{
	char expects[EXPECTS_MAX];
	const char *value = key->inner == SECTION_NONE ? default_value(docs, key) : "";

	fputs(".TP\n.B ", docs->out);
	put_roff(docs, key->name);
	fprintf(docs->out, "\n%c", *key->doc >= 'a' && *key->doc <= 'z' ? *key->doc - 'a' + 'A' : *key->doc);
	put_roff(docs, key->doc + 1);
	if (key->kind == VALUE_PROPERTY)
		fprintf(docs->out, " (RFC 9622, section %s)", property_info(key_property(key))->section);
	fputs(".\n", docs->out);
	fputs("Expected: ", docs->out);
	put_roff(docs, value_expects(key, expects, sizeof(expects)));
	fputs(".\n", docs->out);
	if (key->fallback == KEY_REQUIRED)
		fputs("Required.\n", docs->out);
	if (*value == '\0')
		return;
	fputs("Default: ", docs->out);
	put_roff(docs, value);
	fputs(".\n", docs->out);
}

int docs_manual(FILE *out)
{
	struct arena arena = {0};
	struct docs docs = {.out = out, .arena = &arena};

	properties_default(&docs.defaults);
	for (unsigned section = SECTION_TOP; section < SECTIONS_N; section++) {
		const char *path = section_path(section);

		fprintf(out, ".SS %s%s\n", *path != '\0' ? "In " : "At the top of a file", path);
		for (int i = 0; i < KEYS_N; i++)
			if (conf_keys[i].section == section)
				manual_key(&docs, &conf_keys[i]);
	}
	return finish(&docs);
}
