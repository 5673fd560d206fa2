/* Threads that wait for bytes alone while another one still connects, and then sends. */
#include "tests/preload/support/net.h"

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/select.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_MS 10000

struct reader {
	int fd;
	long result;
	uint32_t mask;
	pthread_t thread;
	void (*wait)(struct reader *r);
};

static void in_poll(struct reader *r)
{
	struct pollfd p[2] = {{.fd = -1, .events = POLLIN}, {.fd = r->fd, .events = POLLIN}};

	r->result = poll(p, 2, PATIENCE_MS);
	r->mask = (uint16_t)p[1].revents;
}

static void in_ppoll(struct reader *r)
{
	struct pollfd p = {.fd = r->fd, .events = POLLRDNORM | POLLRDHUP};

	r->result = ppoll(&p, 1, NULL, NULL);
	r->mask = (uint16_t)p.revents;
}

static void in_select(struct reader *r)
{
	struct timeval limit = {PATIENCE_MS / 1000, 0};
	fd_set in;

	FD_ZERO(&in);
	FD_SET(r->fd, &in);
	r->result = select(r->fd + 1, &in, NULL, NULL, &limit);
	r->mask = FD_ISSET(r->fd, &in) ? POLLIN : 0;
}

static void in_pselect(struct reader *r)
{
	fd_set in, out, except;

	FD_ZERO(&in);
	FD_ZERO(&out);
	FD_ZERO(&except);
	FD_SET(r->fd, &in);
	FD_SET(r->fd, &except);
	r->result = pselect(r->fd + 1, &in, &out, &except, NULL, NULL);
	r->mask = FD_ISSET(r->fd, &in) ? POLLIN : 0;
}

static void *run(void *arg)
{
	struct reader *r = arg;

	r->wait(r);
	return NULL;
}

static void reads(const char *title, void (*wait)(struct reader *r))
{
	say("-- %s", title);
	struct peer peer = net_peer(ECHO);
	struct reader r = {.fd = net_socket(&peer, SOCK_NONBLOCK), .wait = wait};

	SHOW(peer_connect(r.fd, &peer));
	need(pthread_create(&r.thread, NULL, run, &r) == 0, "thread");
	show_poll(r.fd, POLLOUT, PATIENCE_MS);
	pause_ms(50);
	SHOW(send(r.fd, "bytes", 5, 0));
	pthread_join(r.thread, NULL);
	say("waiter: %ld %s", r.result, mask_text(r.mask));
	show_read(r.fd, 5);
	SHOW(close(r.fd));
}

/* A wait that ends before the connection is there, and one that begins then. */
static void short_wait(void)
{
	say("-- a short wait");
	struct peer peer = net_peer(ECHO);
	int fd = net_socket(&peer, SOCK_NONBLOCK);

	SHOW(peer_connect(fd, &peer));
	show_poll(fd, POLLIN, 20);
	show_poll(fd, POLLIN, 500);
	show_poll(fd, POLLIN | POLLOUT, PATIENCE_MS);
	show_echo(fd, "echo");
	SHOW(close(fd));
}

int main(int argc, char **argv)
{
	net_start(argc, argv);
	reads("poll", in_poll);
	reads("ppoll", in_ppoll);
	reads("select", in_select);
	reads("pselect", in_pselect);
	short_wait();
	return 0;
}
