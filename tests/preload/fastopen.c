/* TCP Fast Open: sendto() and sendmsg() that connect, and connect() that waits for the first write. */
#include "tests/preload/support/net.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PATIENCE_MS 10000

static int send_open(int fd, const struct peer *peer, const char *text)
{
	return (int)sendto(fd, text, strlen(text), MSG_FASTOPEN | MSG_NOSIGNAL,
			   (const struct sockaddr *)&peer->addr, peer->len);
}

static void by_sendto(void)
{
	say("-- sendto");
	struct peer peer = net_peer(ECHO);
	int fd = net_socket(&peer, 0);

	SHOW(send_open(fd, &peer, "opened"));
	show_names(fd, ECHO);
	show_read(fd, 6);
	SHOW(send_open(fd, &peer, "again"));
	show_echo(fd, "usual");
	SHOW(close(fd));
}

static void by_sendmsg(void)
{
	say("-- sendmsg");
	struct peer peer = net_peer(ECHO);
	int fd = net_socket(&peer, 0);
	struct iovec iov[2] = {{"mess", 4}, {"age", 3}};
	struct msghdr msg = {
		.msg_name = &peer.addr, .msg_namelen = peer.len, .msg_iov = iov, .msg_iovlen = 2};

	SHOW(sendmsg(fd, &msg, MSG_FASTOPEN));
	show_read(fd, 7);
	show_flags(fd);
	SHOW(peer_connect(fd, &peer));
	SHOW(close(fd));
}

/* Whether bytes went out with the SYN depends on a cookie from before; that all arrive once does not. */
static void nonblocking(void)
{
	say("-- non-blocking");
	struct peer peer = net_peer(ECHO);
	int fd = net_socket(&peer, SOCK_NONBLOCK);
	int sent = send_open(fd, &peer, "opened");

	say("sent: %d", sent == 6 || (sent < 0 && errno == EINPROGRESS));
	show_poll(fd, POLLOUT, PATIENCE_MS);
	show_error(fd);
	if (sent < 0)
		need(write(fd, "opened", 6) == 6, "write");
	show_read(fd, 6);
	SHOW(close(fd));
}

static void by_option(void)
{
	say("-- TCP_FASTOPEN_CONNECT");
	struct peer peer = net_peer(ECHO);
	int fd = net_socket(&peer, 0), on = 1;

	SHOW(setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &on, sizeof(on)));
	show_option(fd, "TCP_FASTOPEN_CONNECT", IPPROTO_TCP, TCP_FASTOPEN_CONNECT);
	SHOW(peer_connect(fd, &peer));
	SHOW(write(fd, "first", 5));
	show_read(fd, 5);
	show_names(fd, ECHO);
	SHOW(close(fd));
}

static void misused(void)
{
	say("-- misuse");
	struct peer peer = net_peer(ECHO);
	int fd = net_socket(&peer, 0);

	SHOW(send(fd, "x", 1, MSG_FASTOPEN));
	SHOW(sendto(fd, "x", 1, MSG_FASTOPEN, (struct sockaddr *)&peer.addr, 3));
	SHOW(sendto(fd, "x", 1, MSG_NOSIGNAL, (struct sockaddr *)&peer.addr, peer.len));
	SHOW(close(fd));
}

int main(int argc, char **argv)
{
	net_start(argc, argv);
	by_sendto();
	by_sendmsg();
	nonblocking();
	by_option();
	misused();
	return 0;
}
