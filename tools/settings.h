/* The options that `check` and `explain` share with tapsrun. */
#ifndef TAPS_TOOLS_SETTINGS_H
#define TAPS_TOOLS_SETTINGS_H

#include "tools/preflight.h"
#include "tools/sources.h"

#include <stdbool.h>

struct settings {
	struct sources sources;
	struct preflight program; /* its names only, of -p */
	bool datagram;            /* -u */
	bool verbose;             /* -v */
	char **argument;          /* what follows the options; NULL-terminated */
	int n_arguments;
};

/* Reads -c FILE, -o KEY=VALUE, -p PROGRAM, -u, -v and --help of the subcommand argv[0].  Returns 0, or an
 * exit status with the problem told; a status of 0 with ret->argument NULL: --help was answered.
 * settings_fini() in any case. */
int settings_parse(int argc, char **argv, struct settings *ret);
void settings_fini(struct settings *settings);
/* Loads what they name.  The caller owns *ret.  Returns 0, or an exit status with the problem told. */
int settings_load(const struct settings *settings, struct conf **ret);

#endif
