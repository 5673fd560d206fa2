/* Clients that try every answer in turn, when none will do: each attempt's error, and the time of all. */
#include "tests/preload/support/net.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static void in_turn(const char *title, enum service service, long limit_s)
{
	say("-- %s", title);
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
	struct timespec begin, end;
	char port[16];

	snprintf(port, sizeof(port), "%d", atoi(net_port()) + (int)service);
	need(getaddrinfo(net_host(), port, &hints, &list) == 0, "getaddrinfo");
	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (struct addrinfo *i = list; i; i = i->ai_next) {
		int fd = socket(i->ai_family, i->ai_socktype, i->ai_protocol);
		SHOW(connect(fd, i->ai_addr, i->ai_addrlen));
		show_error(fd);
		close(fd);
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	say("in time: %d", end.tv_sec - begin.tv_sec <= limit_s);
	freeaddrinfo(list);
}

/* Failures of one port say nothing of another, nor of the next try. */
static void afterwards(void)
{
	say("-- afterwards");
	int fd = net_connect(ECHO);

	show_echo(fd, "a good port of the same name");
	SHOW(close(fd));
}

int main(int argc, char **argv)
{
	net_start(argc, argv);
	in_turn("refused", NOBODY, 1);
	afterwards();
	in_turn("refused again", NOBODY, 1);
	if (net_loses()) {
		in_turn("dead", DEAD, 7);
		afterwards();
	}
	return 0;
}
