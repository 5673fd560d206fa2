/* tls_server PORT [CERTIFICATE KEY]: answers requests, a thread for each connection.
 * tls_server PORT CERTIFICATE KEY idle COUNT UPDATES: takes COUNT connections and holds them; then changes
 * the keys of all of them UPDATES times; then asks each for a byte.  Prints how many answered. */
#include "tests/bench/tls_link.h"

#include <err.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ROUND_NS 200000000 /* GnuTLS takes at most eight key updates a second */

static void take(struct link *link, char *buf, const struct request *request)
{
	unsigned long long left = request->size;

	while (left > 0) {
		size_t n = link_recv(link, buf, request->chunk);

		if (n == 0)
			errx(1, "a short upload");
		left -= n;
	}
	link_send(link, "", 1);
}

static void give(struct link *link, const char *buf, const struct request *request)
{
	for (unsigned long long left = request->size; left > 0;) {
		size_t n = left < request->chunk ? (size_t)left : request->chunk;

		link_send(link, buf, n);
		left -= n;
	}
}

static void echo(struct link *link, char *buf, const struct request *request)
{
	size_t n;

	while ((n = link_recv(link, buf, request->chunk)) > 0)
		link_send(link, buf, n);
}

static void *serve(void *arg)
{
	struct link *link = link_accepted((int)(intptr_t)arg);
	struct request request;
	char *buf;

	receive_all(link, &request, sizeof(request));
	buf = calloc(1, request.chunk);
	if (!buf)
		err(1, "malloc");
	if (request.what == 'U')
		take(link, buf, &request);
	else if (request.what == 'D')
		give(link, buf, &request);
	else
		echo(link, buf, &request);
	/* Until the client ends it. */
	if (request.what != 'P')
		link_recv(link, buf, 1);
	free(buf);
	link_close(link);
	return NULL;
}

static int listen_on(const char *port)
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(listener, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(listener, 4096) < 0)
		err(1, "port %s", port);
	return listener;
}

static int next(int listener)
{
	int fd = accept(listener, NULL, NULL), on = 1;

	if (fd < 0)
		err(1, "accept");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return fd;
}

static void serve_all(int listener)
{
	pthread_attr_t detached;
	pthread_t thread;

	pthread_attr_init(&detached);
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	for (;;) {
		int error = pthread_create(&thread, &detached, serve, (void *)(intptr_t)next(listener));

		if (error)
			errx(1, "thread: %s", strerror(error));
	}
}

/* What the clients send in answer to key updates is theirs to send when they like: it is only read here. */
static void rekey_all(struct link **links, int count)
{
	struct timespec pause = {0, ROUND_NS};
	char byte;

	for (int i = 0; i < count; i++) {
		while (link_try(links[i], &byte, 1) == 1)
			errx(1, "a byte that nobody asked for");
		link_rekey(links[i]);
	}
	nanosleep(&pause, NULL);
}

static void hold(int listener, int count, int updates)
{
	struct link **links = calloc((size_t)count, sizeof(*links));
	int answers = 0;
	char byte;

	for (int i = 0; i < count; i++) {
		links[i] = link_accepted(next(listener));
		receive_all(links[i], &byte, 1);
		link_send(links[i], &byte, 1);
	}
	/* The last client says when it has looked at its memory. */
	link_recv(links[count - 1], &byte, 1);
	for (int i = 0; i < updates; i++)
		rekey_all(links, count);
	for (int i = 0; i < count; i++)
		link_send(links[i], "?", 1);
	for (int i = 0; i < count; i++)
		answers += link_recv(links[i], &byte, 1) == 1 && byte == '!';
	printf("%d\n", answers);
}

int main(int argc, char **argv)
{
	if (argc != 2 && argc != 4 && argc != 7)
		errx(2, "usage: tls_server PORT [CERTIFICATE KEY [idle COUNT UPDATES]]");
	signal(SIGPIPE, SIG_IGN);
	link_init(NULL, argc > 2 ? argv[2] : NULL, argc > 2 ? argv[3] : NULL);
	if (argc == 7)
		hold(listen_on(argv[1]), atoi(argv[5]), atoi(argv[6]));
	else
		serve_all(listen_on(argv[1]));
	return 0;
}
