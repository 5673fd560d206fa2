/* tapsctl trace: draws the races of a trace file. */
#include "tools/command.h"
#include "tools/waterfall.h"

#include <errno.h>
#include <getopt.h>
#include <langinfo.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define WIDTH_DEFAULT 80

static unsigned terminal_width(void)
{
	const char *columns = getenv("COLUMNS");
	struct winsize size;
	int n;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
		return size.ws_col;
	n = columns ? atoi(columns) : 0;
	return n > 0 ? (unsigned)n : WIDTH_DEFAULT;
}

static void find_style(struct waterfall_style *ret)
{
	const char *term = getenv("TERM"), *no_colour = getenv("NO_COLOR");

	ret->width = terminal_width();
	ret->utf8 = !strcmp(nl_langinfo(CODESET), "UTF-8");
	ret->colour = isatty(STDOUT_FILENO) && term && strcmp(term, "dumb") && !(no_colour && *no_colour);
}

static int draw(const struct waterfall *waterfall)
{
	struct waterfall_style style;

	find_style(&style);
	waterfall_text(waterfall, &style, stdout);
	return ferror(stdout) || fflush(stdout) < 0 ? problem("standard output: %m") : 0;
}

static int write_page(const struct waterfall *waterfall, const char *title, const char *path)
{
	bool to_stdout = !strcmp(path, "-");
	FILE *out = to_stdout ? stdout : fopen(path, "we");
	bool bad;

	if (!out)
		return problem("%s: %m", path);
	waterfall_html(waterfall, title, out);
	bad = fflush(out) < 0 || ferror(out);
	if (!to_stdout)
		bad = fclose(out) < 0 || bad;
	return bad ? problem("%s: it could not be written", path) : 0;
}

static int show(const char *path, const char *page)
{
	const char *slash = strrchr(path, '/');
	struct waterfall waterfall = { .n = 0 };
	struct tracefile file;
	int r = tracefile_read(path, &file);

	if (r == 0)
		r = waterfall_build(&file, &waterfall);
	if (r == -EINVAL)
		r = problem("%s is no trace", path);
	else if (r < 0)
		r = problem("%s: %s", path, strerror(-r));
	else
		r = page ? write_page(&waterfall, slash ? slash + 1 : path, page) : draw(&waterfall);
	waterfall_fini(&waterfall);
	tracefile_fini(&file);
	return r;
}

int cmd_trace(int argc, char **argv)
{
	static const struct option options[] = {
		{ "html", required_argument, NULL, 'H' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	const char *page = NULL;
	int option;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) >= 0) {
		if (option == 'h')
			return show_usage(argv[0]);
		if (option == '?')
			return wrong_usage(argv[0]);
		page = optarg;
	}
	return optind + 1 == argc ? show(argv[optind], page) : wrong_usage(argv[0]);
}
