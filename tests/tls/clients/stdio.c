/* An HTTP client on stdio: fdopen(3), fprintf(3), fgets(3).  Prints the body of /hello?$MARKER.
 *
 * usage: stdio HOST PORT */
#include <err.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int dial(const char *host, const char *port)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list, *a;
	int fd = -1;

	if (getaddrinfo(host, port, &hints, &list) != 0)
		errx(1, "%s: no address", host);
	for (a = list; a; a = a->ai_next) {
		fd = socket(a->ai_family, a->ai_socktype, 0);
		if (connect(fd, a->ai_addr, a->ai_addrlen) == 0)
			break;
		close(fd);
		fd = -1;
	}
	if (fd < 0)
		err(1, "connect");
	freeaddrinfo(list);
	return fd;
}

int main(int argc, char **argv)
{
	char line[1024];
	FILE *connection;

	if (argc != 3)
		errx(2, "usage: stdio HOST PORT");
	connection = fdopen(dial(argv[1], argv[2]), "r+");
	if (!connection)
		err(1, "fdopen");
	fprintf(connection, "GET /hello?%s HTTP/1.0\r\n\r\n", getenv("MARKER"));
	fflush(connection);
	while (fgets(line, sizeof(line), connection) && strcmp(line, "\r\n") != 0)
		;
	while (fgets(line, sizeof(line), connection))
		fputs(line, stdout);
	return ferror(connection) != 0;
}
