/* The subcommands of tapsctl. */
#ifndef TAPS_TOOLS_COMMAND_H
#define TAPS_TOOLS_COMMAND_H

/* Exit statuses. */
#define EXIT_PROBLEM 1 /* a broken configuration, an unreadable trace… */
#define EXIT_USAGE 2

/* Each is given its own arguments, argv[0] being its name, and returns an exit status. */
int cmd_check(int argc, char **argv);
int cmd_explain(int argc, char **argv);
int cmd_trace(int argc, char **argv);

/* "tapsctl: …" on stderr; returns EXIT_PROBLEM. */
int problem(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Prints how the subcommand of that name is called, on stderr; returns EXIT_USAGE. */
int wrong_usage(const char *name);
/* The same as an answer to --help, on stdout; returns 0, or EXIT_PROBLEM if that fails. */
int show_usage(const char *name);

#endif
