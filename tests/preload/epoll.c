/* epoll sets and a connection that is being made: triggers, order of registration, several sets. */
#include "tests/preload/support/net.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_MS 10000
#define QUIET_MS 60

static void add(int set, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event event = {.events = events, .data.u64 = data};

	SHOW(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event));
}

/* Prints at most four events in the order of their data. */
static int show_events(int set, int ms)
{
	struct epoll_event events[4];
	int n = epoll_wait(set, events, 4, ms);

	printf("epoll_wait = %d", n);
	for (uint64_t data = 0; data < 16; data++)
		for (int i = 0; i < n; i++)
			if (events[i].data.u64 == data)
				printf(" [%d: %s]", (int)data, mask_text(events[i].events));
	printf("\n");
	return n;
}

struct client {
	int set;
	int fd;
	struct peer peer;
};

static struct client client(const char *title, enum service service)
{
	say("-- %s", title);
	struct client c = {.set = epoll_create1(EPOLL_CLOEXEC), .peer = net_peer(service)};

	c.fd = net_socket(&c.peer, SOCK_NONBLOCK);
	return c;
}

static void finish(struct client *c)
{
	SHOW(close(c->fd));
	show_events(c->set, 0);
	SHOW(close(c->set));
}

/* Talks once, and prints the events on the way. */
static void talk(struct client *c)
{
	char buf[16];

	SHOW(write(c->fd, "ping", 4));
	show_poll(c->fd, POLLIN, PATIENCE_MS);
	show_events(c->set, PATIENCE_MS);
	SHOW(read(c->fd, buf, sizeof(buf)));
	show_events(c->set, QUIET_MS);
}

static void registered_after(uint32_t trigger, const char *title)
{
	struct client c = client(title, ECHO);

	SHOW(peer_connect(c.fd, &c.peer));
	add(c.set, c.fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | trigger, 1);
	show_events(c.set, PATIENCE_MS);
	show_events(c.set, QUIET_MS);
	show_error(c.fd);
	talk(&c);
	finish(&c);
}

static void registered_before(uint32_t trigger, const char *title)
{
	struct client c = client(title, ECHO);

	add(c.set, c.fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | trigger, 2);
	show_events(c.set, 0);
	SHOW(peer_connect(c.fd, &c.peer));
	show_events(c.set, PATIENCE_MS);
	show_events(c.set, QUIET_MS);
	show_error(c.fd);
	talk(&c);
	finish(&c);
}

static void one_shot(void)
{
	struct client c = client("one shot", ECHO);
	struct epoll_event event = {.events = EPOLLOUT | EPOLLONESHOT, .data.u64 = 3};

	SHOW(peer_connect(c.fd, &c.peer));
	add(c.set, c.fd, EPOLLOUT | EPOLLONESHOT, 3);
	show_events(c.set, PATIENCE_MS);
	show_events(c.set, QUIET_MS);
	SHOW(epoll_ctl(c.set, EPOLL_CTL_MOD, c.fd, &event));
	show_events(c.set, PATIENCE_MS);
	show_events(c.set, 0);
	event.events = EPOLLIN | EPOLLONESHOT;
	SHOW(epoll_ctl(c.set, EPOLL_CTL_MOD, c.fd, &event));
	SHOW(write(c.fd, "ping", 4));
	show_poll(c.fd, POLLIN, PATIENCE_MS);
	show_events(c.set, PATIENCE_MS);
	SHOW(epoll_ctl(c.set, EPOLL_CTL_ADD, c.fd, &event));
	SHOW(epoll_ctl(c.set, EPOLL_CTL_DEL, c.fd, NULL));
	SHOW(epoll_ctl(c.set, EPOLL_CTL_DEL, c.fd, NULL));
	SHOW(epoll_ctl(c.set, EPOLL_CTL_MOD, c.fd, &event));
	finish(&c);
}

static void exclusive(void)
{
	struct client c = client("exclusive", ECHO);
	struct epoll_event event = {.events = EPOLLOUT, .data.u64 = 4};

	add(c.set, c.fd, EPOLLOUT | EPOLLIN | EPOLLEXCLUSIVE, 4);
	SHOW(peer_connect(c.fd, &c.peer));
	show_events(c.set, PATIENCE_MS);
	SHOW(epoll_ctl(c.set, EPOLL_CTL_MOD, c.fd, &event));
	SHOW(epoll_ctl(c.set, EPOLL_CTL_DEL, c.fd, NULL));
	add(c.set, c.fd, EPOLLOUT | EPOLLONESHOT | EPOLLEXCLUSIVE, 4);
	finish(&c);
}

static void two_sets(void)
{
	struct client c = client("two sets", ECHO);
	int second = epoll_create(1);

	add(c.set, c.fd, EPOLLOUT | EPOLLET, 5);
	SHOW(peer_connect(c.fd, &c.peer));
	add(second, c.fd, EPOLLOUT | EPOLLIN, 6);
	show_events(c.set, PATIENCE_MS);
	show_events(second, PATIENCE_MS);
	show_events(c.set, QUIET_MS);
	show_events(second, 0);
	SHOW(write(c.fd, "ping", 4));
	show_poll(c.fd, POLLIN, PATIENCE_MS);
	show_events(second, PATIENCE_MS);
	SHOW(close(second));
	finish(&c);
}

static void nested(void)
{
	struct client c = client("nested", ECHO);
	int outer = epoll_create1(0);

	add(outer, c.set, EPOLLIN, 7);
	add(c.set, c.fd, EPOLLOUT | EPOLLONESHOT, 8);
	SHOW(peer_connect(c.fd, &c.peer));
	show_events(outer, PATIENCE_MS);
	show_poll(c.set, POLLIN, 0);
	show_events(c.set, 0);
	show_events(outer, QUIET_MS);
	SHOW(close(outer));
	finish(&c);
}

/* Both descriptors of one socket in one set, with other masks. */
static void duplicate(void)
{
	struct client c = client("a duplicate", ECHO);
	int copy = dup(c.fd);

	add(c.set, c.fd, EPOLLOUT | EPOLLET, 9);
	SHOW(peer_connect(c.fd, &c.peer));
	add(c.set, copy, EPOLLOUT, 10);
	uint32_t masks[2] = {0, 0};
	struct epoll_event event;
	while ((!masks[0] || !masks[1]) && epoll_wait(c.set, &event, 1, PATIENCE_MS) == 1)
		masks[event.data.u64 - 9] |= event.events;
	say("%s, %s", mask_text(masks[0]), mask_text(masks[1]));
	show_events(c.set, 0);
	SHOW(close(c.fd));
	show_events(c.set, 0);
	c.fd = copy;
	show_echo(c.fd, "by the copy");
	finish(&c);
}

/* What happens to the registration while the connection is being made. */
static void changed_while_connecting(void)
{
	struct client c = client("changed while connecting", SLOW);
	struct epoll_event event = {.events = EPOLLOUT, .data.u64 = 12};

	add(c.set, c.fd, EPOLLIN, 11);
	SHOW(peer_connect(c.fd, &c.peer));
	show_events(c.set, 0);
	SHOW(epoll_ctl(c.set, EPOLL_CTL_ADD, c.fd, &event));
	SHOW(epoll_ctl(c.set, EPOLL_CTL_MOD, c.fd, &event));
	show_events(c.set, 50);
	SHOW(epoll_ctl(c.set, EPOLL_CTL_DEL, c.fd, NULL));
	SHOW(epoll_ctl(c.set, EPOLL_CTL_MOD, c.fd, &event));
	add(c.set, c.fd, EPOLLOUT | EPOLLIN | EPOLLET, 13);
	show_events(c.set, 50);
	show_events(c.set, PATIENCE_MS);
	show_events(c.set, QUIET_MS);
	talk(&c);
	finish(&c);
}

/* Closed while connecting: the set forgets it. */
static void closed_while_connecting(void)
{
	struct client c = client("closed while connecting", SLOW);

	add(c.set, c.fd, EPOLLOUT, 14);
	SHOW(peer_connect(c.fd, &c.peer));
	SHOW(close(c.fd));
	show_events(c.set, 1500);
	struct peer other = net_peer(ECHO);
	c.fd = net_socket(&other, SOCK_NONBLOCK);
	SHOW(epoll_ctl(c.set, EPOLL_CTL_DEL, c.fd, NULL));
	add(c.set, c.fd, EPOLLOUT | EPOLLONESHOT, 15);
	SHOW(peer_connect(c.fd, &other));
	while (show_events(c.set, PATIENCE_MS) == 0)
		continue;
	finish(&c);
}

static void other_waits(void)
{
	struct client c = client("epoll_pwait and epoll_pwait2", ECHO);
	struct epoll_event event;
	sigset_t none;

	sigemptyset(&none);
	SHOW(peer_connect(c.fd, &c.peer));
	add(c.set, c.fd, EPOLLOUT | EPOLLET, 1);
	SHOW(epoll_pwait(c.set, &event, 1, PATIENCE_MS, &none));
	say("%s", mask_text(event.events));
	add(epoll_create1(0), c.fd, EPOLLOUT, 1);
	struct epoll_event again = {.events = EPOLLOUT | EPOLLET, .data.u64 = 2};
	SHOW(epoll_ctl(c.set, EPOLL_CTL_MOD, c.fd, &again));
	SHOW(epoll_pwait2(c.set, &event, 1, &(struct timespec){5, 0}, &none));
	say("%s %d", mask_text(event.events), (int)event.data.u64);
	SHOW(epoll_pwait2(c.set, &event, 1, &(struct timespec){0, 1000}, NULL));
	finish(&c);
}

static void bad_arguments(void)
{
	struct client c = client("bad arguments", ECHO);
	struct epoll_event event = {.events = EPOLLIN};

	SHOW(epoll_ctl(c.set, EPOLL_CTL_ADD, c.set, &event));
	SHOW(epoll_ctl(c.set, EPOLL_CTL_ADD, -1, &event));
	SHOW(epoll_ctl(c.set, EPOLL_CTL_ADD, c.fd, NULL));
	SHOW(epoll_ctl(c.set, 99, c.fd, &event));
	SHOW(epoll_ctl(c.fd, EPOLL_CTL_ADD, c.set, &event));
	SHOW(epoll_ctl(-1, EPOLL_CTL_ADD, c.fd, &event));
	SHOW(epoll_wait(c.set, &event, 0, 0));
	SHOW(epoll_wait(c.fd, &event, 1, 0));
	SHOW(epoll_create(0));
	SHOW(epoll_create1(77));
	finish(&c);
}

#define MANY 64

/* Who closes a connection at once hears of it no more. */
static void closed_at_once(void)
{
	struct client c = client("closed at once", ECHO);
	struct epoll_event event = {.events = EPOLLOUT};
	bool closed[MANY] = {false};
	int fds[MANY], i, left = MANY, stale = 0;

	for (i = 0; i < MANY; i++) {
		fds[i] = net_socket(&c.peer, SOCK_NONBLOCK);
		connect(fds[i], (struct sockaddr *)&c.peer.addr, c.peer.len);
		event.data.u64 = (uint64_t)i;
		epoll_ctl(c.set, EPOLL_CTL_ADD, fds[i], &event);
	}
	while (left > 0 && epoll_wait(c.set, &event, 1, PATIENCE_MS) == 1) {
		i = (int)event.data.u64;
		stale += closed[i];
		left -= !closed[i];
		if (!closed[i])
			close(fds[i]);
		closed[i] = true;
	}
	say("left %d, stale %d", left, stale);
	finish(&c);
}

int main(int argc, char **argv)
{
	net_start(argc, argv);
	registered_after(0, "level, registered after connect");
	registered_after(EPOLLET, "edge, registered after connect");
	registered_before(0, "level, registered before connect");
	registered_before(EPOLLET, "edge, registered before connect");
	one_shot();
	exclusive();
	two_sets();
	nested();
	duplicate();
	other_waits();
	bad_arguments();
	closed_at_once();
	if (net_loses()) {
		changed_while_connecting();
		closed_while_connecting();
	}
	return 0;
}
