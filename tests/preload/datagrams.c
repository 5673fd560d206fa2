/* UDP, connected and not. */
#include "tests/preload/support/net.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define PATIENCE_MS 10000

static int datagram_socket(const struct peer *peer, int flags)
{
	int fd = socket(peer->addr.ss_family, SOCK_DGRAM | flags, 0);

	need(fd >= 0, "socket");
	return fd;
}

static int send_to(int fd, const struct peer *peer, const char *text, int flags)
{
	return (int)sendto(fd, text, strlen(text), flags, (const struct sockaddr *)&peer->addr, peer->len);
}

static void show_from(const struct peer *want, const struct sockaddr_storage *from, socklen_t len)
{
	say("from the server: %d", len == want->len && memcmp(from, &want->addr, 8) == 0);
}

static void connected(void)
{
	say("-- connected");
	struct peer peer = net_peer_udp(ECHO);
	int fd = datagram_socket(&peer, SOCK_CLOEXEC);
	char buf[16] = "";

	SHOW(peer_connect(fd, &peer));
	show_names(fd, ECHO);
	show_flags(fd);
	show_option(fd, "SO_TYPE", SOL_SOCKET, SO_TYPE);
	show_option(fd, "SO_PROTOCOL", SOL_SOCKET, SO_PROTOCOL);
	SHOW(write(fd, "one", 3));
	SHOW(send(fd, "two!", 4, 0));
	show_poll(fd, POLLIN, PATIENCE_MS);
	SHOW(recv(fd, buf, 2, MSG_PEEK | MSG_TRUNC));
	SHOW(recv(fd, buf, 2, 0));
	say("%.2s", buf);
	SHOW(read(fd, buf, sizeof(buf)));
	say("%.4s", buf);
	SHOW(recv(fd, buf, 1, MSG_DONTWAIT));
	SHOW(send(fd, "", 0, 0));
	SHOW(recv(fd, buf, 8, 0));
	SHOW(send_to(fd, &peer, "addressed", 0));
	SHOW(recv(fd, buf, 16, 0));
	SHOW(peer_connect(fd, &peer));
	SHOW(connect(fd, &(struct sockaddr){.sa_family = AF_UNSPEC}, sizeof(struct sockaddr)));
	show_names(fd, ECHO);
	SHOW(send(fd, "x", 1, 0));
	SHOW(shutdown(fd, SHUT_RDWR));
	SHOW(close(fd));
}

static void unconnected(void)
{
	say("-- not connected");
	struct peer peer = net_peer_udp(ECHO);
	int fd = datagram_socket(&peer, SOCK_NONBLOCK);
	struct sockaddr_storage from;
	socklen_t len = sizeof(from);
	char buf[16] = "";

	SHOW(recv(fd, buf, 16, 0));
	SHOW(send(fd, "x", 1, 0));
	SHOW(send_to(fd, &peer, "question", MSG_DONTWAIT));
	show_poll(fd, POLLIN, PATIENCE_MS);
	SHOW(recvfrom(fd, buf, 16, 0, (struct sockaddr *)&from, &len));
	say("%.8s", buf);
	show_from(&peer, &from, len);
	SHOW(listen(fd, 1));
	SHOW(accept(fd, NULL, NULL));
	SHOW(close(fd));
}

static void several(void)
{
	say("-- sendmmsg and recvmmsg");
	struct peer peer = net_peer_udp(ECHO);
	int fd = datagram_socket(&peer, 0);
	struct sockaddr_storage from = {0};
	char a[8] = "", b[8] = "";
	struct iovec out[2] = {{"first", 5}, {"other", 5}}, in[2] = {{a, 8}, {b, 8}};
	struct mmsghdr messages[2] = {0};

	for (int i = 0; i < 2; i++)
		messages[i].msg_hdr = (struct msghdr){.msg_name = &peer.addr, .msg_namelen = peer.len,
						      .msg_iov = &out[i], .msg_iovlen = 1};
	SHOW(sendmmsg(fd, messages, 2, 0));
	for (int i = 0; i < 2; i++)
		messages[i].msg_hdr = (struct msghdr){.msg_name = &from, .msg_namelen = sizeof(from),
						      .msg_iov = &in[i], .msg_iovlen = 1};
	SHOW(recvmmsg(fd, messages, 2, 0, NULL));
	say("%.5s %.5s", a, b);
	show_from(&peer, &from, messages[0].msg_hdr.msg_namelen);
	SHOW(close(fd));
}

static void watched(void)
{
	say("-- watched by epoll");
	struct peer peer = net_peer_udp(ECHO);
	int fd = datagram_socket(&peer, 0), set = epoll_create1(0);
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET};
	char buf[8];

	SHOW(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event));
	SHOW(epoll_wait(set, &event, 1, 0));
	say("%s", mask_text(event.events));
	SHOW(peer_connect(fd, &peer));
	SHOW(send(fd, "ping", 4, 0));
	show_poll(fd, POLLIN, PATIENCE_MS);
	SHOW(epoll_wait(set, &event, 1, PATIENCE_MS));
	say("%s", mask_text(event.events));
	SHOW(recv(fd, buf, 8, 0));
	SHOW(close(fd));
	SHOW(close(set));
}

static void refused(void)
{
	say("-- nobody listens");
	struct peer peer = net_peer_udp(NOBODY);
	int fd = datagram_socket(&peer, 0);
	char byte;

	SHOW(peer_connect(fd, &peer));
	SHOW(send(fd, "x", 1, 0));
	show_poll(fd, POLLIN, PATIENCE_MS);
	SHOW(recv(fd, &byte, 1, MSG_DONTWAIT));
	SHOW(recv(fd, &byte, 1, MSG_DONTWAIT));
	show_error(fd);
	SHOW(close(fd));
}

/* As resolvers do. */
static void bound(void)
{
	say("-- bound, with a broadcast address and options");
	struct peer peer = net_peer_udp(ECHO);
	int fd = socket(AF_INET, SOCK_DGRAM, IPPROTO_UDP), on = 1;
	struct sockaddr_in any = {.sin_family = AF_INET};

	SHOW(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)));
	SHOW(setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof(on)));
	SHOW(bind(fd, (struct sockaddr *)&any, sizeof(any)));
	SHOW(bind(fd, (struct sockaddr *)&any, sizeof(any)));
	show_option(fd, "SO_BROADCAST", SOL_SOCKET, SO_BROADCAST);
	if (peer.addr.ss_family == AF_INET) {
		SHOW(send_to(fd, &peer, "from a port", 0));
		show_poll(fd, POLLIN, PATIENCE_MS);
	}
	SHOW(close(fd));
}

int main(int argc, char **argv)
{
	net_start(argc, argv);
	connected();
	unconnected();
	several();
	watched();
	refused();
	bound();
	return 0;
}
