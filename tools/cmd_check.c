/* tapsctl check: reads the configuration as tapsrun would, and says what holds and why. */
#include "tools/command.h"
#include "tools/settings.h"

#include "conf/dump.h"

#include <string.h>

static int check(const struct settings *settings)
{
	struct conf *conf;
	int r;

	if (settings->n_arguments > 0 || settings->datagram || settings->verbose)
		return wrong_usage("check");
	r = settings_load(settings, &conf);
	if (r)
		return r;
	r = conf_dump(conf, stdout);
	if (r == 0 && fflush(stdout) < 0)
		r = problem("standard output: %m");
	else if (r < 0)
		r = problem("%s", strerror(-r));
	conf_unref(conf);
	return r;
}

int cmd_check(int argc, char **argv)
{
	static struct settings settings;
	int r = settings_parse(argc, argv, &settings);

	if (r == 0 && settings.argument)
		r = check(&settings);
	settings_fini(&settings);
	return r;
}
