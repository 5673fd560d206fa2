/* An option is rewritten as a small file, so that it passes the same checks. */
#include "conf/option.h"

#include <errno.h>
#include <string.h>

#include "conf/ascii.h"
#include "conf/value.h"
#include "core/text.h"

#define HOSTS "hosts."

static const char *quote(struct arena *arena, const char *text)
{
	struct value_input input = {.type = INPUT_TEXT, .text = text};
	size_t size = 4 * strlen(text) + 16;
	char *buf = arena_alloc(arena, size);

	return buf ? value_input_format(&input, buf, size) : NULL;
}

static bool is_plain(const char *text)
{
	int64_t integer;

	return strcmp(text, "true") == 0 || strcmp(text, "false") == 0 || text_integer(text, &integer) == 0;
}

static const char *scalar(struct arena *arena, const struct conf_key *key, const char *text)
{
	return !key || value_is_text(key) || !is_plain(text) ? quote(arena, text) : arena_strdup(arena, text);
}

static const char *list(struct arena *arena, const struct conf_key *key, const char *text)
{
	const char *ret = "( ";

	for (;;) {
		size_t len = strcspn(text, ",");
		char *item = arena_strndup(arena, text, len);
		const char *written = item ? scalar(arena, key, item) : NULL;

		ret = written ? arena_printf(arena, "%s%s%s", ret, written, text[len] == ',' ? ", " : " )")
			      : NULL;
		if (!ret || text[len] == '\0')
			return ret;
		text += len + 1;
	}
}

const char *option_value(struct arena *arena, const struct conf_key *key, const char *text)
{
	if (*text != '\0' && strchr("{([\"", *text))
		return arena_strdup(arena, text);
	if (key && key->kind != VALUE_PROPERTY && value_is_list(key) && strchr(text, ','))
		return list(arena, key, text);
	return scalar(arena, key, text);
}

/* The key at the end of a dotted path, or NULL. */
static const struct conf_key *find(enum conf_section section, const char *path)
{
	const struct conf_key *key = key_find(section, path);
	char group[64];
	size_t len = strcspn(path, ".");

	if (key || path[len] == '\0' || len >= sizeof(group))
		return key;
	memcpy(group, path, len);
	group[len] = '\0';
	key = key_find(section, group);
	return key && key->kind == VALUE_GROUP ? find(key->inner, path + len + 1) : NULL;
}

/* Names between dots, each as libconfig takes it. */
static bool is_path(const char *path)
{
	bool start = true;

	for (; *path != '\0'; path++) {
		bool more = ascii_digit(*path) || *path == '-' || *path == '_';

		if (*path == '.' ? start : !ascii_letter(*path) && (start || !more))
			return false;
		start = *path == '.';
	}
	return !start;
}

static int write_path(struct arena *arena, const char *path, const char *written, const char **ret)
{
	const char *dot;

	*ret = written ? arena_printf(arena, "= %s;", written) : NULL;
	while (*ret && (dot = memrchr(path, '.', strlen(path)))) {
		char *rest = arena_strndup(arena, path, (size_t)(dot - path));

		*ret = rest ? arena_printf(arena, "= { %s %s };", dot + 1, *ret) : NULL;
		path = rest;
	}
	*ret = *ret ? arena_printf(arena, "%s %s", path, *ret) : NULL;
	return *ret ? 0 : -ENOMEM;
}

static int write_host(struct arena *arena, const char *name, const char *text, const char **ret)
{
	const char *quoted = quote(arena, name);
	const char *written = option_value(arena, &conf_keys[KEY_HOST_address], text);

	*ret = quoted && written
		       ? arena_printf(arena, "hosts = ( { name = %s; address = %s; } );", quoted, written)
		       : NULL;
	return *ret ? 0 : -ENOMEM;
}

int option_text(struct arena *arena, const char *option, const char **ret)
{
	const char *equals = strchr(option, '=');
	char *path = equals ? arena_strndup(arena, option, (size_t)(equals - option)) : NULL;

	if (!equals)
		return -EINVAL;
	if (!path)
		return -ENOMEM;
	if (strncmp(path, HOSTS, strlen(HOSTS)) == 0)
		return write_host(arena, path + strlen(HOSTS), equals + 1, ret);
	if (!is_path(path))
		return -EINVAL;
	return write_path(arena, path, option_value(arena, find(SECTION_TOP, path), equals + 1), ret);
}
