/* A local address or port of the program's choice. */
#include "tests/preload/support/net.h"

#include <netinet/in.h>
#include <netinet/ip.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PATIENCE_MS 10000

static struct peer wildcard(const struct peer *peer, in_port_t port)
{
	struct peer ret = {.len = peer->len};

	ret.addr.ss_family = peer->addr.ss_family;
	((struct sockaddr_in *)&ret.addr)->sin_port = port;
	return ret;
}

static in_port_t local_port(int fd)
{
	struct sockaddr_storage addr;
	socklen_t len = sizeof(addr);

	need(getsockname(fd, (struct sockaddr *)&addr, &len) == 0, "getsockname");
	return ((struct sockaddr_in *)&addr)->sin_port;
}

static int peer_bind(int fd, const struct peer *at)
{
	return bind(fd, (const struct sockaddr *)&at->addr, at->len);
}

static void any_port(int flags)
{
	say("-- any address, any port, %s", flags ? "non-blocking" : "blocking");
	struct peer peer = net_peer(ECHO), at = wildcard(&peer, 0);
	int fd = net_socket(&peer, flags);

	SHOW(peer_bind(fd, &at));
	in_port_t port = local_port(fd);
	say("a port: %d", port != 0);
	SHOW(peer_connect(fd, &peer));
	if (flags)
		show_poll(fd, POLLOUT, PATIENCE_MS);
	say("the same port: %d", local_port(fd) == port);
	show_names(fd, ECHO);
	show_echo(fd, "bound");
	SHOW(peer_bind(fd, &at));
	SHOW(close(fd));
}

static void chosen_port(void)
{
	say("-- a chosen port");
	struct peer peer = net_peer(ECHO), at = wildcard(&peer, 0);
	int probe = net_socket(&peer, 0), fd = net_socket(&peer, 0), on = 1;

	need(peer_bind(probe, &at) == 0, "bind");
	at = wildcard(&peer, local_port(probe));
	SHOW(peer_bind(fd, &at));
	SHOW(close(probe));
	SHOW(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)));
	SHOW(peer_bind(fd, &at));
	SHOW(peer_connect(fd, &peer));
	say("the chosen port: %d", local_port(fd) == ((struct sockaddr_in *)&at.addr)->sin_port);
	show_echo(fd, "from a chosen port");
	SHOW(close(fd));
}

static void late_port(void)
{
	say("-- the port is chosen by connect");
	struct peer peer = net_peer(ECHO), at = wildcard(&peer, 0);
	int fd = net_socket(&peer, 0), on = 1;

	SHOW(setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on)));
	SHOW(peer_bind(fd, &at));
	SHOW(peer_connect(fd, &peer));
	show_names(fd, ECHO);
	show_echo(fd, "from any port");
	SHOW(close(fd));
}

static void impossible(void)
{
	say("-- impossible addresses");
	struct peer peer = net_peer(ECHO), at = wildcard(&peer, 0);
	int fd = net_socket(&peer, 0);
	struct sockaddr_in foreign = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0xc6336401)};
	int other = socket(AF_INET, SOCK_STREAM, 0);

	SHOW(bind(other, (struct sockaddr *)&foreign, sizeof(foreign)));
	SHOW(bind(other, (struct sockaddr *)&foreign, 3));
	SHOW(bind(other, NULL, 16));
	SHOW(bind(-1, (struct sockaddr *)&foreign, sizeof(foreign)));
	SHOW(peer_connect(fd, &peer));
	SHOW(peer_bind(fd, &at));
	show_echo(fd, "none the worse");
	SHOW(close(fd));
	SHOW(close(other));
}

int main(int argc, char **argv)
{
	net_start(argc, argv);
	any_port(0);
	any_port(SOCK_NONBLOCK);
	chosen_port();
	late_port();
	impossible();
	return 0;
}
