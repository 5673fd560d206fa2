/* The checked twins that -D_FORTIFY_SOURCE makes of read, recv, recvfrom, poll and ppoll. */
#include "tests/preload/support/net.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_MS 10000

static void good(void)
{
	int fd = net_connect(ECHO);
	struct sockaddr_storage name;
	socklen_t len = sizeof(name);
	struct pollfd fds[2] = {{.fd = fd, .events = POLLIN}, {.fd = -1}};
	char buf[16] = "";

	SHOW(write(fd, "checked", (size_t)opaque(7)));
	SHOW(poll(fds, (size_t)opaque(2), PATIENCE_MS));
	SHOW(read(fd, buf, (size_t)opaque(2)));
	SHOW(ppoll(fds, (size_t)opaque(1), &(struct timespec){1, 0}, NULL));
	SHOW(recv(fd, buf, (size_t)opaque(2), MSG_PEEK));
	SHOW(recv(fd, buf, (size_t)opaque(2), 0));
	SHOW(recvfrom(fd, buf, (size_t)opaque(16), 0, (struct sockaddr *)&name, &len));
	say("%.3s", buf);
	SHOW(poll(fds, (size_t)opaque(1), 0));
	SHOW(read((int)opaque(-1), buf, (size_t)opaque(2)));
	fd_set set;
	FD_ZERO(&set);
	FD_SET((int)opaque(fd), &set);
	SHOW(FD_ISSET((int)opaque(fd), &set));
	SHOW(close(fd));
}

static void overrun_read(int fd)
{
	char buf[8];

	show("read", read(fd, buf, (size_t)opaque(9)));
}

static void overrun_recv(int fd)
{
	char buf[8];

	show("recv", recv(fd, buf, (size_t)opaque(9), 0));
}

static void overrun_recvfrom(int fd)
{
	char buf[8];

	show("recvfrom", recvfrom(fd, buf, (size_t)opaque(9), 0, NULL, NULL));
}

static void overrun_poll(int fd)
{
	struct pollfd p[1] = {{.fd = fd, .events = POLLOUT}};

	show("poll", poll(p, (size_t)opaque(2), 0));
}

static void overrun_ppoll(int fd)
{
	struct pollfd p[1] = {{.fd = fd, .events = POLLOUT}};

	show("ppoll", ppoll(p, (size_t)opaque(2), NULL, NULL));
}

static void overrun_set(int fd)
{
	fd_set set;

	(void)fd;
	FD_ZERO(&set);
	FD_SET((int)opaque(1024), &set);
}

/* Each must end with "buffer overflow detected" and SIGABRT. */
static void bad(const char *name, void (*overrun)(int))
{
	say("-- %s", name);
	int fd = net_connect_quiet(ECHO);
	pid_t pid = fork();

	need(pid >= 0, "fork");
	if (pid == 0) {
		need(freopen("/dev/null", "w", stderr) != NULL, "stderr");
		overrun(fd);
		_exit(0);
	}
	show_wait(pid);
	SHOW(close(fd));
}

int main(int argc, char **argv)
{
	net_start(argc, argv);
	good();
	bad("read past the end", overrun_read);
	bad("recv past the end", overrun_recv);
	bad("recvfrom past the end", overrun_recvfrom);
	bad("poll past the end", overrun_poll);
	bad("ppoll past the end", overrun_ppoll);
	bad("FD_SET past the end", overrun_set);
	return 0;
}
