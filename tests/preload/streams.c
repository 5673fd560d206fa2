/* stdio on a connection: its reads and writes happen inside the C library. */
#include "tests/preload/support/net.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void show_line(FILE *stream)
{
	char line[100];

	if (fgets(line, sizeof(line), stream))
		say("line \"%.*s\"", (int)strcspn(line, "\n"), line);
	else
		say("no line: %s%s", feof(stream) ? "end" : "", ferror(stream) ? "error" : "");
}

static void one_stream(void)
{
	say("-- one stream");
	int fd = net_connect(ECHO);
	FILE *stream = fdopen(fd, "r+");

	need(stream != NULL, "fdopen");
	setvbuf(stream, NULL, _IOLBF, 0);
	SHOW(fprintf(stream, "a line of %s\n", "text"));
	SHOW(fflush(stream));
	show_line(stream);
	SHOW(fputs("another\n", stream));
	SHOW(fflush(stream));
	show_line(stream);
	SHOW(fileno(stream) == fd);
	SHOW(fseek(stream, 0, SEEK_SET));
	SHOW(shutdown(fileno(stream), SHUT_WR));
	show_line(stream);
	SHOW(fclose(stream));
	SHOW(fcntl(fd, F_GETFD));
}

/* As ftp and inetd's children do: one stream for each direction. */
static void two_streams(void)
{
	say("-- two streams");
	int fd = net_connect(ECHO);
	FILE *in = fdopen(fd, "r"), *out = fdopen(dup(fd), "w");

	need(in && out, "fdopen");
	for (int i = 0; i < 100; i++)
		fprintf(out, "line %d\n", i);
	SHOW(fflush(out));
	int matched = 0;
	char line[32], want[32];
	for (int i = 0; i < 100 && fgets(line, sizeof(line), in); i++) {
		snprintf(want, sizeof(want), "line %d\n", i);
		matched += strcmp(line, want) == 0;
	}
	say("%d lines", matched);
	SHOW(shutdown(fileno(out), SHUT_WR));
	SHOW(fclose(out));
	show_line(in);
	SHOW(fclose(in));
}

static void mixed(void)
{
	say("-- stdio and plain calls");
	int fd = net_connect(ECHO);
	char *text = NULL;
	size_t room = 0;

	SHOW(dprintf(fd, "%s %d\n", "number", 42));
	show_read(fd, 10);
	FILE *stream = fdopen(fd, "r");
	need(stream != NULL, "fdopen");
	SHOW(write(fd, "half ", 5));
	SHOW(write(fd, "and half\n", 9));
	SHOW(getline(&text, &room, stream));
	say("%.13s", text);
	SHOW(shutdown(fd, SHUT_WR));
	SHOW(getc(stream));
	SHOW(feof(stream));
	free(text);
	SHOW(fclose(stream));
}

static void standard_output(void)
{
	say("-- standard output on a connection");
	int fd = net_connect(ECHO), saved = dup(STDOUT_FILENO);

	fflush(stdout);
	dup2(fd, STDOUT_FILENO);
	printf("printed onto the connection\n");
	fflush(stdout);
	dup2(saved, STDOUT_FILENO);
	show_read(fd, 28);
	SHOW(close(fd));
	SHOW(close(saved));
}

static void greeting(void)
{
	say("-- reading only");
	int fd = net_connect(GREET);
	FILE *stream = fdopen(fd, "rb");

	need(stream != NULL, "fdopen");
	show_line(stream);
	show_line(stream);
	SHOW(fclose(stream));
}

int main(int argc, char **argv)
{
	net_start(argc, argv);
	one_stream();
	two_streams();
	mixed();
	standard_output();
	greeting();
	return 0;
}
