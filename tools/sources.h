/* Which configuration holds: -c and -o of the command line, over those of an outer tapsrun (TAPS_CONFIG,
 * TAPS_OPTIONS), over the user's and the system's files.  One answer for tapsrun and tapsctl. */
#ifndef TAPS_TOOLS_SOURCES_H
#define TAPS_TOOLS_SOURCES_H

#include "conf/policy.h"

#include <limits.h>
#include <stddef.h>

#define SOURCES_OPTIONS_MAX 64 /* as many as the core takes from TAPS_OPTIONS */

struct sources {
	char file[PATH_MAX];     /* -c, absolute; or "" */
	char user_dir[PATH_MAX]; /* or "" */
	const char *option[SOURCES_OPTIONS_MAX + 1]; /* -o, the outer ones first; NULL-terminated */
	unsigned n_options;
	char *inherited;         /* what the outer ones point into */
};

/* Begins with the environment.  Returns 0, -E2BIG or -ENOMEM.  sources_fini() lets go of it. */
int sources_init(struct sources *sources);
void sources_fini(struct sources *sources);
/* -c: takes the place of the outer one.  Returns 0 or -errno of getcwd(3). */
int sources_set_file(struct sources *sources, const char *path);
/* -o: `option` is kept by reference.  Returns 0; -EINVAL if it holds a newline; -E2BIG. */
int sources_add_option(struct sources *sources, const char *option);
/* The options as TAPS_OPTIONS carries them, joined by newlines; the caller frees it.  NULL: no memory. */
char *sources_join(const struct sources *sources);
/* conf_load() of them for the programs named (NULL-terminated, most specific first). */
int sources_load(const struct sources *sources, const char *const *programs, struct conf **ret,
		 struct conf_error *error);
/* Makes a path absolute without following links.  Returns 0, -ENAMETOOLONG or -errno of getcwd(3). */
int sources_absolute(const char *path, char ret[PATH_MAX]);

#endif
