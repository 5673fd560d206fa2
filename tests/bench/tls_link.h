/* A byte stream, as a program uses it: over a plain socket (tls_link_plain.c), to be run under tapsrun, or
 * written against GnuTLS (tls_link_native.c).  All else of the TLS benchmarks is the same source.  A call
 * that fails ends the program. */
#ifndef TAPS_TESTS_BENCH_TLS_LINK_H
#define TAPS_TESTS_BENCH_TLS_LINK_H

#include <err.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>

struct link;

/* Whom to trust ("system" or a file), or what to show; either may be NULL. */
void link_init(const char *trust, const char *certificate, const char *key);
/* Connects, and checks that the peer is `host`; with `resume` by a ticket of an earlier connection. */
struct link *link_connect(const struct sockaddr *addr, socklen_t len, const char *host, bool resume);
struct link *link_accepted(int fd);
int link_fd(const struct link *link);
/* Are there bytes that were taken out of the kernel? */
bool link_pending(const struct link *link);
/* Sends everything. */
void link_send(struct link *link, const void *data, size_t size);
/* Some bytes; 0 at the end. */
size_t link_recv(struct link *link, void *buf, size_t size);
/* Some bytes, or -1: none yet. */
ssize_t link_try(struct link *link, void *buf, size_t size);
/* Changes the keys of both directions; returns false where there are none. */
bool link_rekey(struct link *link);
void link_close(struct link *link);

/* What a client asks of the server, in front of everything. */
struct request {
	char what; /* 'U': takes `size` bytes and answers one; 'D': sends them; 'P': echoes; */
	unsigned chunk; /* bytes a call */
	unsigned long long size;
};

/* All of them. */
static inline void receive_all(struct link *link, void *buf, size_t size)
{
	size_t got = 0, n;

	for (; got < size; got += n) {
		n = link_recv(link, (char *)buf + got, size - got);
		if (n == 0)
			errx(1, "the end came early");
	}
}

#endif
