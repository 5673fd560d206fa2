/* The kernel's calls by number, through syscall(), mixed with the C library's. */
#include "tests/preload/support/net.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_MS 10000

static int raw_socket(const struct peer *peer, int flags)
{
	return (int)syscall(SYS_socket, peer->addr.ss_family, SOCK_STREAM | flags, 0);
}

static void all_raw(void)
{
	say("-- a whole conversation");
	struct peer peer = net_peer(ECHO);
	int fd = raw_socket(&peer, SOCK_CLOEXEC), on = 1;
	struct sockaddr_storage name;
	socklen_t len = sizeof(name);
	struct iovec out = {"vector", 6};
	struct msghdr msg = {.msg_iov = &out, .msg_iovlen = 1};
	char buf[32] = "";

	SHOW(syscall(SYS_setsockopt, fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)));
	SHOW(syscall(SYS_connect, fd, &peer.addr, peer.len));
	SHOW(syscall(SYS_connect, fd, &peer.addr, peer.len));
	SHOW(syscall(SYS_getpeername, fd, &name, &len));
	say("%u bytes", len);
	SHOW(syscall(SYS_getsockname, fd, &name, &len));
	SHOW(syscall(SYS_write, fd, "write", 5));
	SHOW(syscall(SYS_sendto, fd, "sendto", 6, MSG_NOSIGNAL, NULL, 0));
	SHOW(syscall(SYS_sendmsg, fd, &msg, 0));
	SHOW(syscall(SYS_writev, fd, &out, 1));
	size_t have = 0;
	while (have < 23) {
		long n = syscall(SYS_recvfrom, fd, buf + have, 23 - have, 0, NULL, NULL);
		need(n > 0, "recvfrom");
		have += (size_t)n;
	}
	say("%s", buf);
	SHOW(syscall(SYS_read, fd, buf, 0));
	SHOW(syscall(SYS_recvfrom, fd, buf, 1, MSG_DONTWAIT, NULL, NULL));
	len = sizeof(on);
	SHOW(syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_KEEPALIVE, &on, &len));
	SHOW(syscall(SYS_fcntl, fd, F_GETFD));
	SHOW(syscall(SYS_shutdown, fd, SHUT_WR));
	show_read(fd, 1);
	SHOW(syscall(SYS_close, fd));
	SHOW(syscall(SYS_close, fd));
	SHOW(fcntl(fd, F_GETFD));
}

static void waits(void)
{
	say("-- waits");
	struct peer peer = net_peer(ECHO);
	int fd = raw_socket(&peer, SOCK_NONBLOCK), set = (int)syscall(SYS_epoll_create1, 0);
	struct epoll_event event = {.events = EPOLLOUT | EPOLLET, .data.u64 = 5};
	struct pollfd p = {.fd = fd, .events = POLLOUT};

	SHOW(syscall(SYS_connect, fd, &peer.addr, peer.len));
	SHOW(syscall(SYS_epoll_ctl, set, EPOLL_CTL_ADD, fd, &event));
	SHOW(syscall(SYS_epoll_wait, set, &event, 1, PATIENCE_MS));
	say("%s %d", mask_text(event.events), (int)event.data.u64);
	SHOW(syscall(SYS_poll, &p, 1, PATIENCE_MS));
	say("%s", mask_text((uint16_t)p.revents));
	SHOW(syscall(SYS_epoll_pwait, set, &event, 1, 50, NULL, 8));
	struct timespec limit = {5, 0};
	SHOW(syscall(SYS_ppoll, &p, 1, &limit, NULL, 8));
	show_echo(fd, "by epoll");
	SHOW(syscall(SYS_close, fd));
	SHOW(syscall(SYS_close, set));
}

/* As libuv closes: the number is used again at once. */
static void closed_raw(void)
{
	say("-- made by the library, closed by number, made again");
	struct peer peer = net_peer(ECHO);
	int fd = net_connect(ECHO);

	show_echo(fd, "one");
	SHOW(syscall(SYS_close, fd));
	int pipes[2];
	need(pipe(pipes) == 0, "pipe");
	SHOW(pipes[0] == fd);
	SHOW(write(pipes[1], "pipe", 4));
	show_read(fd, 4);
	SHOW(peer_connect(fd, &peer));
	SHOW(syscall(SYS_close, pipes[0]));
	SHOW(close(pipes[1]));
	int next = net_socket(&peer, SOCK_NONBLOCK);
	SHOW(next == fd);
	SHOW(peer_connect(next, &peer));
	show_poll(next, POLLOUT, PATIENCE_MS);
	show_echo(next, "two");
	SHOW(syscall(SYS_close, next));
	next = raw_socket(&peer, 0);
	SHOW(next == fd);
	SHOW(peer_connect(next, &peer));
	show_echo(next, "three");
	show_flags(next);
	SHOW(close(next));
}

static void closed_raw_while_connecting(void)
{
	say("-- closed by number while connecting");
	struct peer slow = net_peer(SLOW), peer = net_peer(ECHO);
	int fd = net_socket(&slow, SOCK_NONBLOCK);

	SHOW(peer_connect(fd, &slow));
	SHOW(syscall(SYS_close, fd));
	int next = net_socket(&peer, 0);
	SHOW(next == fd);
	SHOW(peer_connect(next, &peer));
	pause_ms(1500);
	show_echo(next, "the next owner");
	show_flags(next);
	SHOW(close(next));
}

static void duplicates(void)
{
	say("-- duplicates");
	struct peer peer = net_peer(ECHO);
	int fd = raw_socket(&peer, SOCK_NONBLOCK), copy = (int)syscall(SYS_dup, fd);

	SHOW(syscall(SYS_dup3, fd, 150, O_CLOEXEC));
	SHOW(syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 160));
	SHOW(syscall(SYS_connect, 150, &peer.addr, peer.len));
	SHOW(syscall(SYS_close, fd));
	show_poll(160, POLLOUT, PATIENCE_MS);
	show_echo(copy, "copy");
	show_echo(150, "150");
	show_flags(160);
	SHOW(syscall(SYS_close_range, 150, 160, 0));
	SHOW(fcntl(150, F_GETFD));
	SHOW(close(copy));
}

/* Six arguments, and calls that have nothing to do with sockets. */
static void others(void)
{
	say("-- other calls");
	long page = syscall(SYS_mmap, NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0L);

	say("mapped: %d", page != -1);
	SHOW(syscall(SYS_munmap, page, 4096));
	SHOW(syscall(SYS_getpid) == getpid());
	SHOW(syscall(99999));
	SHOW(syscall(SYS_read, -1, NULL, 0));
}

int main(int argc, char **argv)
{
	net_start(argc, argv);
	all_raw();
	waits();
	closed_raw();
	duplicates();
	others();
	if (net_loses())
		closed_raw_while_connecting();
	return 0;
}
