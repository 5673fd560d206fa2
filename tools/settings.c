/* Options of tapsctl that say which configuration is meant. */
#include "tools/settings.h"
#include "tools/command.h"

#include <errno.h>
#include <getopt.h>
#include <string.h>

/* A program's files are found by its name; if it can be found itself, by those of its interpreters too. */
static void set_program(struct settings *settings, const char *name)
{
	struct preflight_user user = { .path = NULL };
	struct preflight *program = &settings->program;

	preflight_myself(&user);
	preflight(name, &user, program);
	if (program->n_names > 0)
		return;
	if (strrchr(name, '/'))
		name = strrchr(name, '/') + 1;
	strncpy(program->name_text[0], name, NAME_MAX);
	program->names[0] = program->name_text[0];
	program->names[1] = NULL;
}

static int add_option(struct settings *settings, const char *option)
{
	int r = sources_add_option(&settings->sources, option);

	if (r == -EINVAL)
		return problem("-o: a value cannot hold a line break");
	return r < 0 ? problem("-o: more than %d options", SOURCES_OPTIONS_MAX) : 0;
}

int settings_parse(int argc, char **argv, struct settings *ret)
{
	static const struct option options[] = {
		{ "program", required_argument, NULL, 'p' },
		{ "udp", no_argument, NULL, 'u' },
		{ "verbose", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int option, r;

	memset(ret, 0, sizeof(*ret));
	r = sources_init(&ret->sources);
	if (r < 0)
		return problem("TAPS_CONFIG or TAPS_OPTIONS: %s", strerror(-r));
	while (r == 0 && (option = getopt_long(argc, argv, "+c:o:p:uvh", options, NULL)) >= 0) {
		if (option == 'h')
			return show_usage(argv[0]);
		if (option == 'c' && (r = sources_set_file(&ret->sources, optarg)) < 0)
			r = problem("%s: %s", optarg, strerror(-r));
		else if (option == 'o')
			r = add_option(ret, optarg);
		else if (option == 'p')
			set_program(ret, optarg);
		else if (option == 'u')
			ret->datagram = true;
		else if (option == 'v')
			ret->verbose = true;
		else if (option == '?')
			r = wrong_usage(argv[0]);
	}
	ret->argument = argv + optind;
	ret->n_arguments = argc - optind;
	return r;
}

void settings_fini(struct settings *settings)
{
	sources_fini(&settings->sources);
}

int settings_load(const struct settings *settings, struct conf **ret)
{
	struct conf_error error = { .text = "" };
	int r = sources_load(&settings->sources, settings->program.names, ret, &error);

	return r < 0 ? problem("%s", error.text[0] ? error.text : strerror(-r)) : 0;
}
