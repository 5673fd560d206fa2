/* tapsrun: runs a program with the shim preloaded.
 *
 * Everything that can go wrong is found before the program starts; then this process becomes it. */
#include "tools/hello.h"
#include "tools/launch.h"
#include "tools/preflight.h"
#include "tools/sources.h"
#include "tools/tracefile.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* As env(1), timeout(1) and shells have it. */
#define EXIT_OWN_ERROR 125
#define EXIT_NOT_EXECUTABLE 126
#define EXIT_NOT_FOUND 127

struct run {
	struct sources sources;
	char trace[PATH_MAX]; /* absolute, or "" */
	bool verbose, check, force;
	struct preflight_user user;
	struct preflight program;
	char shim[PATH_MAX];
	char **argv;
};

enum { OPTION_TRACE = 256, OPTION_CHECK, OPTION_FORCE, OPTION_VERSION };

static const struct option long_options[] = {
	{ "trace", required_argument, NULL, OPTION_TRACE },
	{ "verbose", no_argument, NULL, 'v' },
	{ "check", no_argument, NULL, OPTION_CHECK },
	{ "force", no_argument, NULL, OPTION_FORCE },
	{ "version", no_argument, NULL, OPTION_VERSION },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static const char usage[] =
	"usage: tapsrun [OPTION]… [--] COMMAND [ARGUMENT]…\n"
	"Runs COMMAND with Transport Services under its sockets.\n"
	"\n"
	"  -c FILE           use the configuration in FILE as well\n"
	"  -o KEY=VALUE      set one key of it; may be repeated\n"
	"      --trace FILE  record connections and their races (see tapsctl trace)\n"
	"  -v, --verbose     say on standard error what is done\n"
	"      --check       check the configuration and COMMAND, and start nothing\n"
	"      --force       run COMMAND even if it cannot be intercepted\n"
	"      --version     print the version\n"
	"  -h, --help        print this text\n"
	"\n"
	"Exit status: COMMAND's own; 125 if tapsrun fails or refuses, 126 if COMMAND cannot be\n"
	"executed, 127 if it is not found.  See tapsrun(1), taps.conf(5).\n";

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...)
{
	va_list args;

	fputs("tapsrun: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

static int fail(const char *what, int error)
{
	say("%s: %s", what, strerror(-error));
	return EXIT_OWN_ERROR;
}

/* Prints and leaves: the answer of --help and --version. */
static int answer(const char *text)
{
	return fputs(text, stdout) < 0 || fflush(stdout) < 0 ? EXIT_OWN_ERROR : 0;
}

static int add_option(struct run *run, const char *option)
{
	int r = sources_add_option(&run->sources, option);

	if (r == -EINVAL)
		say("-o: a value cannot hold a line break");
	else if (r == -E2BIG)
		say("-o: more than %d options", SOURCES_OPTIONS_MAX);
	return r < 0 ? EXIT_OWN_ERROR : 0;
}

/* Returns an exit status, or -1 to go on. */
static int parse_options(struct run *run, int argc, char **argv)
{
	int option, r = 0;

	while ((option = getopt_long(argc, argv, "+c:o:vh", long_options, NULL)) >= 0 && r == 0) {
		switch (option) {
		case 'c':
			r = sources_set_file(&run->sources, optarg);
			r = r < 0 ? fail(optarg, r) : 0;
			break;
		case 'o':
			r = add_option(run, optarg);
			break;
		case OPTION_TRACE:
			r = sources_absolute(optarg, run->trace);
			r = r < 0 ? fail(optarg, r) : 0;
			break;
		case 'v':
			run->verbose = true;
			break;
		case OPTION_CHECK:
			run->check = true;
			break;
		case OPTION_FORCE:
			run->force = true;
			break;
		case OPTION_VERSION:
			return answer("tapsrun " TAPS_VERSION "\n");
		case 'h':
			return answer(usage);
		default:
			fputs("Try 'tapsrun --help'.\n", stderr);
			return EXIT_OWN_ERROR;
		}
	}
	run->argv = argv + optind;
	return r ? r : -1;
}

static int find_shim(struct run *run)
{
	int r = launch_find_shim(run->shim, &run->user.shim);

	if (r == -EINVAL)
		say("%s: LD_PRELOAD cannot hold a path with a space or a colon", run->shim);
	else if (r < 0)
		say("the shim %s: %s", run->shim, strerror(-r));
	return r < 0 ? EXIT_OWN_ERROR : 0;
}

/* Judges the command.  Returns an exit status, or 0 to go on. */
static int judge(struct run *run)
{
	static const int status[] = {
		[PREFLIGHT_OK] = 0,
		[PREFLIGHT_REFUSED] = EXIT_OWN_ERROR,
		[PREFLIGHT_NOT_EXECUTABLE] = EXIT_NOT_EXECUTABLE,
		[PREFLIGHT_NOT_FOUND] = EXIT_NOT_FOUND,
	};
	const struct preflight *program = &run->program;

	preflight(run->argv[0], &run->user, &run->program);
	if (program->verdict != PREFLIGHT_OK)
		say("%s", program->reason);
	if (program->verdict == PREFLIGHT_REFUSED && run->force) {
		say("%s is run all the same: nothing is intercepted in it", run->argv[0]);
		return 0;
	}
	if (program->verdict == PREFLIGHT_REFUSED)
		say("%s; or --force to run it with nothing intercepted", program->way_out);
	if (program->note[0])
		say("%s", program->note);
	return status[program->verdict];
}

/* Loads the configuration as the core will, so that a broken one starts nothing. */
static int check_configuration(struct run *run)
{
	struct conf_error error = { .text = "" };
	struct conf *conf;

	int r = sources_load(&run->sources, run->program.names, &conf, &error);

	if (r < 0) {
		say("%s", error.text[0] ? error.text : strerror(-r));
		return EXIT_OWN_ERROR;
	}
	if (conf_insecure(conf))
		say("%s: insecureNoVerify: peers are not verified", conf_insecure(conf));
	conf_unref(conf);
	return 0;
}

static int put(const char *variable, const char *value)
{
	return *value && setenv(variable, value, 1) < 0 ? -ENOMEM : 0;
}

/* What the shim and the core are told. */
static int set_environment(struct run *run)
{
	char *options = sources_join(&run->sources);
	int r = options ? put("TAPS_OPTIONS", options) : -ENOMEM;

	free(options);
	if (r == 0)
		r = put("TAPS_CONFIG", run->sources.file);
	if (r == 0)
		r = put("TAPS_TRACE", run->trace);
	if (r == 0 && run->verbose)
		r = put("TAPS_VERBOSE", "1");
	if (r == 0)
		r = launch_preload(run->shim, run->program.asan);
	return r < 0 ? fail("environment", r) : 0;
}

static int make_trace(struct run *run)
{
	int r = run->trace[0] ? tracefile_create(run->trace, getenv("TAPS_TRACE")) : 0;

	if (r == -EEXIST)
		say("%s exists and is no trace; it is left alone", run->trace);
	else if (r < 0)
		say("%s: %s", run->trace, strerror(-r));
	return r < 0 ? EXIT_OWN_ERROR : 0;
}

/* Becomes the program; returns only an exit status of failure. */
static int start(struct run *run)
{
	int hello = -1, r;

	/* A refused program is known not to take the shim; its children may. */
	if (run->program.verdict == PREFLIGHT_OK)
		hello = hello_start(run->argv[0]);
	if (run->verbose)
		say("running %s with %s", run->program.path, run->shim);
	r = launch_exec(run->program.path, run->argv, run->program.shell);
	hello_cancel(hello);
	say("%s: %s", run->argv[0], strerror(-r));
	return r == -ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;
}

static int report_check(const struct run *run)
{
	if (run->argv[0])
		printf("%s: %s, %s be intercepted\n", run->argv[0], run->program.path,
		       run->program.verdict == PREFLIGHT_OK ? "can" : "cannot");
	printf("configuration: in order\n");
	return fflush(stdout) < 0 ? EXIT_OWN_ERROR : 0;
}

static int run_command(struct run *run)
{
	int r;

	if (!run->argv[0] && !run->check) {
		fputs(usage, stderr);
		return EXIT_OWN_ERROR;
	}
	preflight_myself(&run->user);
	r = find_shim(run);
	if (r == 0 && run->argv[0])
		r = judge(run);
	if (r == 0)
		r = check_configuration(run);
	if (r || run->check)
		return r ? r : report_check(run);
	r = make_trace(run);
	if (r == 0)
		r = set_environment(run);
	return r ? r : start(run);
}

int main(int argc, char **argv)
{
	static struct run run;
	int r = sources_init(&run.sources);

	if (r < 0)
		r = fail("TAPS_CONFIG or TAPS_OPTIONS", r);
	else
		r = parse_options(&run, argc, argv);
	if (r < 0)
		r = run_command(&run);
	sources_fini(&run.sources);
	return r;
}
