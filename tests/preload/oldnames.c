/* Clients that look up with gethostbyname(3) and its relatives, and connect to the first address. */
#include "tests/preload/support/net.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void connect_to(const char *title, const struct hostent *host)
{
	say("-- %s", title);
	need(host && host->h_addrtype == AF_INET && host->h_addr_list[0], "an address");
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(net_port()))};
	struct peer peer = {.len = sizeof(addr)};

	memcpy(&addr.sin_addr, host->h_addr_list[0], sizeof(addr.sin_addr));
	memcpy(&peer.addr, &addr, sizeof(addr));
	int fd = net_socket(&peer, 0);
	SHOW(peer_connect(fd, &peer));
	show_names(fd, ECHO);
	show_echo(fd, title);
	SHOW(close(fd));
}

int main(int argc, char **argv)
{
	struct hostent space, *host = NULL;
	char buf[2048];
	int error;

	net_start(argc, argv);
	connect_to("gethostbyname", gethostbyname(net_host()));
	connect_to("gethostbyname2", gethostbyname2(net_host(), AF_INET));
	SHOW(gethostbyname_r(net_host(), &space, buf, sizeof(buf), &host, &error));
	connect_to("gethostbyname_r", host);
	SHOW(gethostbyname2_r(net_host(), AF_INET, &space, buf, sizeof(buf), &host, &error));
	connect_to("gethostbyname2_r", host);
	return 0;
}
