#include "tests/bench/tls_link.h"

#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

struct link {
	int fd;
};

void link_init(const char *trust, const char *certificate, const char *key)
{
	(void)trust;
	(void)certificate;
	(void)key;
}

struct link *link_accepted(int fd)
{
	struct link *link = malloc(sizeof(*link));

	if (!link)
		err(1, "malloc");
	link->fd = fd;
	return link;
}

struct link *link_connect(const struct sockaddr *addr, socklen_t len, const char *host, bool resume)
{
	int fd = socket(addr->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	(void)resume;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(fd, addr, len) < 0)
		err(1, "%s", host);
	return link_accepted(fd);
}

int link_fd(const struct link *link)
{
	return link->fd;
}

bool link_pending(const struct link *link)
{
	(void)link;
	return false;
}

void link_send(struct link *link, const void *data, size_t size)
{
	while (size > 0) {
		ssize_t n = send(link->fd, data, size, MSG_NOSIGNAL);

		if (n < 0)
			err(1, "send");
		data = (const char *)data + n;
		size -= (size_t)n;
	}
}

size_t link_recv(struct link *link, void *buf, size_t size)
{
	ssize_t n = recv(link->fd, buf, size, 0);

	if (n < 0)
		err(1, "recv");
	return (size_t)n;
}

ssize_t link_try(struct link *link, void *buf, size_t size)
{
	ssize_t n = recv(link->fd, buf, size, MSG_DONTWAIT);

	if (n < 0 && errno != EAGAIN)
		err(1, "recv");
	return n;
}

bool link_rekey(struct link *link)
{
	(void)link;
	return false;
}

void link_close(struct link *link)
{
	close(link->fd);
	free(link);
}
