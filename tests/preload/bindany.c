/* A socket that is bound to the wildcard address connects like one that is not. */
#include "tests/preload/support/net.h"

#include <netinet/in.h>
#include <stdio.h>
#include <unistd.h>

#define PATIENCE_MS 10000

static void bound(int flags, bool late)
{
	say("-- %s, %s", flags ? "non-blocking" : "blocking",
	    late ? "the port comes with connect" : "any port");
	struct peer peer = net_peer(ECHO), any = {.len = peer.len};
	int fd = net_socket(&peer, flags), on = late;

	any.addr.ss_family = peer.addr.ss_family;
	SHOW(setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on)));
	SHOW(bind(fd, (struct sockaddr *)&any.addr, any.len));
	SHOW(peer_connect(fd, &peer));
	if (flags)
		show_poll(fd, POLLOUT, PATIENCE_MS);
	show_names(fd, ECHO);
	show_echo(fd, "bound");
	SHOW(close(fd));
}

int main(int argc, char **argv)
{
	net_start(argc, argv);
	bound(0, false);
	bound(SOCK_NONBLOCK, false);
	bound(0, true);
	bound(SOCK_NONBLOCK, true);
	return 0;
}
