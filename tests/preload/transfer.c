/* sendfile and splice between a connection, a file and a pipe. */
#include "tests/preload/support/net.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <unistd.h>

static int make_file(const char *text)
{
	char name[] = "transfer.XXXXXX";
	int fd = mkstemp(name);

	need(fd >= 0 && unlink(name) == 0, "file");
	need(write(fd, text, strlen(text)) == (ssize_t)strlen(text), "write");
	return fd;
}

static void send_file(void)
{
	say("-- sendfile");
	int fd = net_connect(ECHO), file = make_file("the contents of the file");
	off_t at = 4;

	SHOW(sendfile(fd, file, &at, 8));
	say("at %ld", (long)at);
	show_read(fd, 8);
	SHOW(lseek(file, 16, SEEK_SET));
	SHOW(sendfile(fd, file, NULL, 100));
	show_read(fd, 8);
	SHOW(sendfile(fd, file, NULL, 100));
	SHOW(sendfile64(fd, file, &at, 0));
	SHOW(sendfile(fd, -1, NULL, 1));
	SHOW(sendfile(-1, file, NULL, 1));
	at = -1;
	SHOW(sendfile(fd, file, &at, 1));
	SHOW(sendfile(file, fd, NULL, 1));
	SHOW(shutdown(fd, SHUT_WR));
	at = 0;
	show_read(fd, 10);
	SHOW(close(file));
	SHOW(close(fd));
}

static void spliced(void)
{
	say("-- splice");
	int fd = net_connect(ECHO), pipes[2];
	char buf[16] = "";

	need(pipe(pipes) == 0, "pipe");
	SHOW(write(pipes[1], "by the pipe", 11));
	SHOW(splice(pipes[0], NULL, fd, NULL, 11, SPLICE_F_MOVE | SPLICE_F_MORE));
	size_t have = 0;
	while (have < 11) {
		ssize_t n = splice(fd, NULL, pipes[1], NULL, 11 - have, 0);
		need(n > 0, "splice");
		have += (size_t)n;
	}
	SHOW(read(pipes[0], buf, 16));
	say("%s", buf);
	SHOW(fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK));
	SHOW(splice(fd, NULL, pipes[1], NULL, 5, SPLICE_F_NONBLOCK));
	SHOW(fcntl(fd, F_SETFL, O_RDWR));
	SHOW(splice(fd, NULL, fd, NULL, 5, 0));
	off_t at = 0;
	SHOW(splice(fd, &at, pipes[1], NULL, 5, 0));
	SHOW(splice(-1, NULL, pipes[1], NULL, 5, 0));
	SHOW(shutdown(fd, SHUT_WR));
	SHOW(splice(fd, NULL, pipes[1], NULL, 5, 0));
	SHOW(close(fd));
	SHOW(close(pipes[0]));
	SHOW(close(pipes[1]));
}

static void much(void)
{
	say("-- a quarter of a megabyte through splice");
	int fd = net_connect(FLOOD), pipes[2];
	unsigned char buf[8192];
	size_t total = 0, wrong = 0;
	ssize_t n, m = 0;

	need(pipe(pipes) == 0, "pipe");
	while ((n = splice(fd, NULL, pipes[1], NULL, sizeof(buf), 0)) > 0) {
		for (ssize_t left = n; left > 0; left -= m) {
			m = read(pipes[0], buf, (size_t)left);
			need(m > 0, "read");
			for (ssize_t i = 0; i < m; i++)
				wrong += buf[i] != flood_byte(total + (size_t)i);
			total += (size_t)m;
		}
	}
	say("%zu bytes, %zu wrong, end %zd", total, wrong, n);
	SHOW(close(fd));
	close(pipes[0]);
	close(pipes[1]);
}

static void counted(void)
{
	say("-- half a megabyte through sendfile");
	int fd = net_connect(COUNT), file = make_file("");
	off_t at = 0;
	ssize_t n;

	need(ftruncate(file, 524288) == 0, "ftruncate");
	while ((n = sendfile(fd, file, &at, 100000)) > 0)
		continue;
	say("end %zd at %ld", n, (long)at);
	SHOW(shutdown(fd, SHUT_WR));
	show_read(fd, 100);
	SHOW(close(fd));
	SHOW(close(file));
}

static void unconnected(void)
{
	say("-- without a connection");
	struct peer peer = net_peer(ECHO);
	int fd = net_socket(&peer, 0), file = make_file("text"), pipes[2];

	need(pipe(pipes) == 0, "pipe");
	SHOW(sendfile(fd, file, NULL, 4));
	SHOW(splice(fd, NULL, pipes[1], NULL, 5, 0));
	SHOW(peer_connect(fd, &peer));
	SHOW(lseek(file, 0, SEEK_SET));
	SHOW(sendfile(fd, file, NULL, 4));
	show_read(fd, 4);
	SHOW(close(fd));
	close(file);
	close(pipes[0]);
	close(pipes[1]);
}

int main(int argc, char **argv)
{
	net_start(argc, argv);
	signal(SIGPIPE, SIG_IGN);
	send_file();
	spliced();
	much();
	counted();
	unconnected();
	return 0;
}
