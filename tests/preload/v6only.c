/* An IPv6 socket that says it has no IPv4: it shows IPv6 names, whatever carries it. */
#include "tests/preload/support/net.h"

#include <netinet/in.h>
#include <unistd.h>

#define PATIENCE_MS 10000

static void connection(int flags)
{
	say("-- %s", flags ? "non-blocking" : "blocking");
	struct peer peer = net_peer(ECHO);
	int fd = net_socket(&peer, flags), on = 1;

	SHOW(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)));
	SHOW(peer_connect(fd, &peer));
	if (flags)
		show_poll(fd, POLLOUT, PATIENCE_MS);
	show_error(fd);
	show_names(fd, ECHO);
	show_option(fd, "IPV6_V6ONLY", IPPROTO_IPV6, IPV6_V6ONLY);
	show_option(fd, "SO_DOMAIN", SOL_SOCKET, SO_DOMAIN);
	show_echo(fd, "only IPv6");
	SHOW(close(fd));
}

int main(int argc, char **argv)
{
	net_start(argc, argv);
	connection(0);
	connection(SOCK_NONBLOCK);
	return 0;
}
