/* tapsctl: looks into what tapsrun does, would do, and did. */
#include "tools/command.h"

#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *arguments;
	const char *purpose;
} commands[] = {
	{ "check", cmd_check, "[-c FILE] [-o KEY=VALUE]… [-p PROGRAM]",
	  "check the configuration, and show what holds and where it was said" },
	{ "explain", cmd_explain, "[-c FILE] [-o KEY=VALUE]… [-p PROGRAM] [-u] [-v] HOST PORT",
	  "show the rule and the race that a connection would get, without making it" },
	{ "trace", cmd_trace, "FILE [--html OUT]",
	  "draw the races in a trace of tapsrun's, here or as a page" },
};

#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

int problem(const char *format, ...)
{
	va_list args;

	fputs("tapsctl: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	return EXIT_PROBLEM;
}

static const struct command *find(const char *name)
{
	for (size_t i = 0; i < N_COMMANDS; i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

static void print_usage(const char *name, FILE *out)
{
	const struct command *command = find(name);

	fprintf(out, "usage: tapsctl %s %s\n", command->name, command->arguments);
}

int wrong_usage(const char *name)
{
	print_usage(name, stderr);
	return EXIT_USAGE;
}

static int flush(void)
{
	return fflush(stdout) < 0 ? EXIT_PROBLEM : 0;
}

int show_usage(const char *name)
{
	print_usage(name, stdout);
	printf("%s; see tapsctl(1)\n", find(name)->purpose);
	return flush();
}

static void print_commands(FILE *out)
{
	fputs("usage: tapsctl COMMAND [ARGUMENT]…\n\n", out);
	for (size_t i = 0; i < N_COMMANDS; i++)
		fprintf(out, "  %s %s\n      %s\n", commands[i].name, commands[i].arguments,
			commands[i].purpose);
	fputs("\ntapsctl --version prints the version.  See tapsctl(1).\n", out);
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";
	const struct command *command = find(name);

	setlocale(LC_CTYPE, "");
	if (command)
		return command->run(argc - 1, argv + 1);
	if (!strcmp(name, "--help") || !strcmp(name, "-h") || !strcmp(name, "help")) {
		print_commands(stdout);
		return flush();
	}
	if (!strcmp(name, "--version")) {
		puts("tapsctl " TAPS_VERSION);
		return flush();
	}
	if (*name)
		problem("there is no command %s", name);
	print_commands(stderr);
	return EXIT_USAGE;
}
