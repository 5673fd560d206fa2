/* recv and send with their flags, one message or several, with and without ancillary data. */
#include "tests/preload/support/net.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_MS 10000

/* Waits until exactly `want` bytes are there to read. */
static void await(int fd, int want)
{
	int unread = 0;

	for (int ms = 0; ms < PATIENCE_MS && unread < want; ms++) {
		need(ioctl(fd, FIONREAD, &unread) == 0, "FIONREAD");
		if (unread < want)
			pause_ms(1);
	}
	say("%d unread", unread);
}

static void peek(void)
{
	say("-- MSG_PEEK, MSG_DONTWAIT, MSG_TRUNC");
	int fd = net_connect(ECHO);
	char buf[16] = "";

	SHOW(recv(fd, buf, 4, MSG_DONTWAIT));
	SHOW(recv(fd, buf, 4, MSG_DONTWAIT | MSG_PEEK));
	SHOW(send(fd, "abcdefgh", 8, MSG_NOSIGNAL));
	await(fd, 8);
	SHOW(recv(fd, buf, 4, MSG_PEEK));
	say("%.4s", buf);
	SHOW(recv(fd, buf, 16, MSG_PEEK));
	say("%.8s", buf);
	SHOW(recv(fd, NULL, 2, MSG_TRUNC));
	SHOW(recv(fd, buf, 3, MSG_DONTWAIT));
	say("%.3s", buf);
	SHOW(recv(fd, buf, 0, 0));
	SHOW(recv(fd, buf, 16, 0));
	say("%.3s", buf);
	SHOW(recv(fd, buf, 1, MSG_DONTWAIT));
	SHOW(recv(fd, buf, 1, MSG_OOB));
	SHOW(recv(fd, NULL, 1, MSG_DONTWAIT));
	SHOW(send(fd, NULL, 0, 0));
	SHOW(send(fd, NULL, 1, 0));
	SHOW(close(fd));
}

static void wait_all(void)
{
	say("-- MSG_WAITALL");
	int fd = net_connect(DRIP);
	char buf[16] = "";

	SHOW(recv(fd, buf, 6, MSG_WAITALL));
	say("%.6s", buf);
	SHOW(recv(fd, buf, 9, MSG_WAITALL));
	say("%.4s", buf);
	SHOW(recv(fd, buf, 1, MSG_WAITALL));
	SHOW(close(fd));
}

static void low_water(void)
{
	say("-- SO_RCVLOWAT");
	int fd = net_connect(DRIP), low = 5;
	char buf[16] = "";

	SHOW(setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &low, sizeof(low)));
	show_poll(fd, POLLIN, PATIENCE_MS);
	SHOW(recv(fd, buf, 5, 0));
	say("%.5s", buf);
	SHOW(recv(fd, buf, 5, 0));
	say("%.5s", buf);
	show_poll(fd, POLLIN, PATIENCE_MS);
	SHOW(recv(fd, buf, 5, 0));
	SHOW(close(fd));
}

static void more(void)
{
	say("-- MSG_MORE");
	int fd = net_connect(ECHO);

	SHOW(send(fd, "held ", 5, MSG_MORE));
	SHOW(send(fd, "back", 4, MSG_EOR | MSG_CONFIRM | MSG_DONTROUTE));
	show_read(fd, 9);
	SHOW(sendto(fd, "address", 7, 0, NULL, 0));
	show_read(fd, 7);
	struct sockaddr_in other = {.sin_family = AF_INET, .sin_port = htons(1)};
	SHOW(sendto(fd, "ignored", 7, 0, (struct sockaddr *)&other, sizeof(other)));
	show_read(fd, 7);
	SHOW(close(fd));
}

static void urgent(void)
{
	say("-- urgent data");
	int fd = net_connect(URGENT);
	char buf[16] = "";

	await(fd, 2);
	/* The urgent byte comes behind them, by itself. */
	pause_ms(200);
	show_poll(fd, POLLPRI | POLLIN, PATIENCE_MS);
	SHOW(sockatmark(fd));
	SHOW(recv(fd, buf, 16, 0));
	say("%.2s", buf);
	SHOW(sockatmark(fd));
	SHOW(recv(fd, buf, 1, MSG_OOB));
	say("%.1s", buf);
	SHOW(recv(fd, buf, 16, 0));
	say("%.2s", buf);
	SHOW(send(fd, "!", 1, MSG_OOB));
	SHOW(close(fd));
}

static void message(void)
{
	say("-- sendmsg and recvmsg");
	int fd = net_connect(ECHO);
	char one[4] = "", two[16] = "";
	struct iovec out[3] = {{"first, ", 7}, {NULL, 0}, {"second", 6}};
	struct iovec in[2] = {{one, 4}, {two, sizeof(two)}};
	struct sockaddr_storage name;
	char control[64];
	struct msghdr msg = {.msg_iov = out, .msg_iovlen = 3};

	SHOW(sendmsg(fd, &msg, 0));
	await(fd, 13);
	msg = (struct msghdr){.msg_name = &name, .msg_namelen = sizeof(name), .msg_iov = in, .msg_iovlen = 2,
			      .msg_control = control, .msg_controllen = sizeof(control)};
	SHOW(recvmsg(fd, &msg, MSG_PEEK));
	SHOW(recvmsg(fd, &msg, MSG_CMSG_CLOEXEC));
	say("%.4s|%.9s, name %u, control %zu, flags %d", one, two, msg.msg_namelen, msg.msg_controllen,
	    msg.msg_flags);
	SHOW(recvmsg(fd, &msg, MSG_DONTWAIT));
	SHOW(sendmsg(fd, NULL, 0));
	SHOW(recvmsg(fd, NULL, 0));
	msg = (struct msghdr){.msg_iov = out, .msg_iovlen = 3000};
	SHOW(sendmsg(fd, &msg, 0));
	SHOW(close(fd));
}

static void several_messages(void)
{
	say("-- sendmmsg and recvmmsg");
	int fd = net_connect(ECHO);
	struct iovec out[2] = {{"one ", 4}, {"two", 3}};
	char a[4] = "", b[8] = "";
	struct iovec in[2] = {{a, 4}, {b, 8}};
	struct mmsghdr messages[2] = {{.msg_hdr = {.msg_iov = &out[0], .msg_iovlen = 1}},
				      {.msg_hdr = {.msg_iov = &out[1], .msg_iovlen = 1}}};
	struct timespec limit = {1, 0};

	SHOW(sendmmsg(fd, messages, 2, MSG_NOSIGNAL));
	say("%u %u", messages[0].msg_len, messages[1].msg_len);
	await(fd, 7);
	messages[0].msg_hdr.msg_iov = &in[0];
	messages[1].msg_hdr.msg_iov = &in[1];
	SHOW(recvmmsg(fd, messages, 2, MSG_WAITFORONE, &limit));
	say("%u %.4s %u %.3s", messages[0].msg_len, a, messages[1].msg_len, b);
	SHOW(recvmmsg(fd, messages, 2, MSG_DONTWAIT, NULL));
	SHOW(sendmmsg(fd, NULL, 0, 0));
	SHOW(close(fd));
}

static void vectors(void)
{
	say("-- readv and writev, preadv2 and pwritev2");
	int fd = net_connect(ECHO);
	char a[3] = "", b[16] = "";
	struct iovec out[2] = {{"vec", 3}, {"tored", 5}}, in[2] = {{a, 3}, {b, 16}};

	SHOW(writev(fd, out, 2));
	await(fd, 8);
	SHOW(readv(fd, in, 2));
	say("%.3s %.5s", a, b);
	SHOW(pwritev2(fd, out, 2, -1, 0));
	await(fd, 8);
	SHOW(preadv2(fd, in, 2, -1, 0));
	say("%.3s %.5s", a, b);
	SHOW(preadv2(fd, in, 2, -1, RWF_NOWAIT));
	SHOW(preadv2(fd, in, 2, 0, 0));
	SHOW(pwritev2(fd, out, 2, 0, 0));
	SHOW(pread(fd, a, 1, 0));
	SHOW(pwrite(fd, a, 1, 0));
	SHOW(preadv(fd, in, 1, 0));
	SHOW(lseek(fd, 0, SEEK_SET));
	SHOW(writev(fd, out, 0));
	SHOW(readv(fd, in, 0));
	SHOW(writev(fd, out, (int)opaque(5000)));
	SHOW(writev(fd, out, (int)opaque(-1)));
	SHOW(close(fd));
}

static void addresses(void)
{
	say("-- recvfrom on a stream");
	int fd = net_connect(ECHO);
	struct sockaddr_storage name = {0};
	socklen_t len = sizeof(name);
	char buf[8] = "";

	SHOW(write(fd, "from", 4));
	SHOW(recvfrom(fd, buf, 8, 0, (struct sockaddr *)&name, &len));
	say("%.4s, length %u", buf, len);
	SHOW(recvfrom(fd, buf, 8, MSG_DONTWAIT, NULL, NULL));
	SHOW(read(fd, buf, 0));
	SHOW(write(fd, buf, 0));
	SHOW(fsync(fd));
	SHOW(ftruncate(fd, 0));
	SHOW(close(fd));
}

static void backpressure(void)
{
	say("-- a peer that does not read");
	int fd = net_connect(SINK);
	static char block[65536];
	ssize_t n = 1;

	SHOW(fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK));
	for (int quiet = 0; quiet < 3;) {
		n = send(fd, block, sizeof(block), MSG_NOSIGNAL);
		quiet = n < 0 ? quiet + 1 : 0;
		if (n < 0)
			pause_ms(30);
	}
	SHOW(send(fd, block, sizeof(block), 0));
	show_poll(fd, POLLOUT, 0);
	SHOW(close(fd));
}

int main(int argc, char **argv)
{
	net_start(argc, argv);
	peek();
	wait_all();
	low_water();
	more();
	urgent();
	message();
	several_messages();
	vectors();
	addresses();
	backpressure();
	return 0;
}
