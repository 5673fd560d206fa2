/* Connections after the environment was cleared, replaced, and the folder changed. */
#include "tests/preload/support/net.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

extern char **environ;

static void connection(const char *title)
{
	say("-- %s", title);
	int fd = net_connect(ECHO);

	show_names(fd, ECHO);
	show_echo(fd, title);
	SHOW(close(fd));
}

int main(int argc, char **argv)
{
	static char *replaced[] = {(char *)"ONE=1", (char *)"TWO=2", NULL};

	net_start(argc, argv);
	SHOW(clearenv());
	SHOW(chdir("/"));
	connection("a cleared environment");
	environ = replaced;
	connection("another environment");
	SHOW(setenv("LD_PRELOAD", "/nonexistent.so", 1));
	SHOW(setenv("HOME", "/nonexistent", 1));
	connection("a misleading environment");
	SHOW(close(0));
	SHOW(close(2));
	connection("standard streams closed");
	environ = NULL;
	connection("no environment");
	return 0;
}
