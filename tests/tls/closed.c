/* Closes connections that an epoll set watches, in several ways, and says what the set still reports of them.
 *
 * usage: closed HOST PORT      a client of escape_peer.py */
#include <err.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static const struct addrinfo *find_peer(const char *host, const char *port)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list;

	if (getaddrinfo(host, port, &hints, &list) != 0)
		errx(1, "%s: no address", host);
	return list;
}

static void by_close(int fd)
{
	close(fd);
}

static void by_range(int fd)
{
	close_range((unsigned)fd, (unsigned)fd, 0);
}

static void by_dup2(int fd)
{
	int null = open("/dev/null", O_RDWR);

	dup2(null, fd);
}

/* The peer gives back what it gets, and that comes after the end. */
static void watch(const struct addrinfo *peer, const char *name, void (*end)(int fd))
{
	struct epoll_event event = {EPOLLIN | EPOLLRDHUP, {.u64 = 7}};
	int fd = socket(peer->ai_family, SOCK_STREAM, 0), set = epoll_create1(0), stale = 0;

	if (connect(fd, peer->ai_addr, peer->ai_addrlen) != 0)
		err(1, "connect");
	epoll_ctl(set, EPOLL_CTL_ADD, fd, &event);
	if (dprintf(fd, "%s echo\n%s", name, "some text") < 0)
		err(1, "write");
	end(fd);
	while (stale < 10 && epoll_wait(set, &event, 1, 300) == 1)
		stale++;
	printf("%s: %d\n", name, stale);
	close(set);
}

int main(int argc, char **argv)
{
	const struct addrinfo *peer;

	if (argc != 3)
		return 1;
	peer = find_peer(argv[1], argv[2]);
	watch(peer, "close", by_close);
	watch(peer, "close_range", by_range);
	watch(peer, "dup2", by_dup2);
	return 0;
}
