/* What the process tests start: child VERB FD…
 *
 *	echo FD TEXT    sends TEXT on the connection and prints what comes back
 *	read FD         prints what comes until the end
 *	connect FD HOST PORT  connects the inherited socket to the echo service, and uses it
 *	finish FD       waits until FD is connected, then as echo
 *	count FROM      prints how many descriptors from FROM on are open */
#include "tests/preload/support/net.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int echo(char **args)
{
	show_echo(atoi(args[0]), args[1]);
	return 0;
}

static int read_all(char **args)
{
	show_read(atoi(args[0]), 4000);
	return 0;
}

static int connect_inherited(char **args)
{
	int fd = atoi(args[0]);
	char *as_program[] = {(char *)"/", args[1], args[2]};

	net_start(3, as_program);
	struct peer peer = net_peer(ECHO);
	SHOW(peer_connect(fd, &peer));
	show_names(fd, ECHO);
	show_flags(fd);
	show_echo(fd, "inherited");
	return 0;
}

static int finish(char **args)
{
	int fd = atoi(args[0]);

	show_poll(fd, POLLOUT, 10000);
	show_error(fd);
	show_echo(fd, args[1]);
	return 0;
}

static int count(char **args)
{
	int open = 0;

	for (int fd = atoi(args[0]); fd < 256; fd++)
		open += fcntl(fd, F_GETFD) >= 0;
	say("%d descriptors are open", open);
	return 0;
}

static const struct {
	const char *verb;
	int args;
	int (*run)(char **args);
} verbs[] = {
	{"echo", 2, echo},
	{"read", 1, read_all},
	{"connect", 3, connect_inherited},
	{"finish", 2, finish},
	{"count", 1, count},
};

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t i = 0; argc > 1 && i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (strcmp(argv[1], verbs[i].verb) == 0 && argc - 2 >= verbs[i].args)
			return verbs[i].run(argv + 2);
	return 64;
}
