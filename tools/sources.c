/* Gathering the places where configuration comes from. */
#include "tools/sources.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int join_path(char ret[PATH_MAX], const char *folder, const char *name)
{
	return snprintf(ret, PATH_MAX, "%s/%s", folder, name) < PATH_MAX ? 0 : -ENAMETOOLONG;
}

int sources_absolute(const char *path, char ret[PATH_MAX])
{
	char here[PATH_MAX];

	if (*path == '/')
		return snprintf(ret, PATH_MAX, "%s", path) < PATH_MAX ? 0 : -ENAMETOOLONG;
	if (!getcwd(here, sizeof(here)))
		return -errno;
	return join_path(ret, strcmp(here, "/") ? here : "", path);
}

/* $XDG_CONFIG_HOME/taps, or ~/.config/taps (XDG Base Directory Specification). */
static void find_user_dir(struct sources *sources)
{
	const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
	int r = -ENOENT;

	if (config && *config == '/')
		r = join_path(sources->user_dir, config, "taps");
	else if (home && *home == '/')
		r = join_path(sources->user_dir, home, ".config/taps");
	if (r < 0)
		sources->user_dir[0] = 0;
}

int sources_init(struct sources *sources)
{
	const char *file = getenv("TAPS_CONFIG"), *options = getenv("TAPS_OPTIONS");
	char *rest, *option;
	int r = 0;

	memset(sources, 0, sizeof(*sources));
	find_user_dir(sources);
	if (file && *file)
		r = sources_set_file(sources, file);
	if (r < 0 || !options || !*options)
		return r;
	rest = sources->inherited = strdup(options);
	if (!rest)
		return -ENOMEM;
	while (r >= 0 && (option = strsep(&rest, "\n")) != NULL)
		r = *option ? sources_add_option(sources, option) : 0;
	return r;
}

void sources_fini(struct sources *sources)
{
	free(sources->inherited);
	sources->inherited = NULL;
}

int sources_set_file(struct sources *sources, const char *path)
{
	return sources_absolute(path, sources->file);
}

int sources_add_option(struct sources *sources, const char *option)
{
	if (strchr(option, '\n'))
		return -EINVAL;
	if (sources->n_options == SOURCES_OPTIONS_MAX)
		return -E2BIG;
	sources->option[sources->n_options++] = option;
	return 0;
}

char *sources_join(const struct sources *sources)
{
	size_t size = 1, used = 0;
	char *text;

	for (unsigned i = 0; i < sources->n_options; i++)
		size += strlen(sources->option[i]) + 1;
	text = calloc(1, size);
	for (unsigned i = 0; text && i < sources->n_options; i++)
		used += (size_t)snprintf(text + used, size - used, "%s%s", i ? "\n" : "", sources->option[i]);
	return text;
}

int sources_load(const struct sources *sources, const char *const *programs, struct conf **ret,
		 struct conf_error *error)
{
	struct conf_sources where = {
		.system_dir = TAPS_SYSCONFDIR,
		.user_dir = sources->user_dir[0] ? sources->user_dir : NULL,
		.programs = programs,
		.file = sources->file[0] ? sources->file : NULL,
		.options = sources->option,
	};

	return conf_load(&where, ret, error);
}
