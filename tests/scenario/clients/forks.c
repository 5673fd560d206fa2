/* Servers made of processes.  `forks prefork PORT` shares a listener among four children that accept;
 * `forks each PORT` forks for each connection; `forks exec PORT` also executes cat(1) on it.  Each connection
 * is sent "hello\n" and then echoed to its end.  SIGTERM ends it: the children are reaped and how many were
 * is printed. */
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILDREN 4

static volatile sig_atomic_t stop;

static void on_term(int number)
{
	(void)number;
	stop = 1;
}

static int listen_on(int port)
{
	struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_port = htons((unsigned short)port)};
	int fd = socket(AF_INET6, SOCK_STREAM, 0), on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, 128) < 0) {
		perror("listen");
		exit(2);
	}
	return fd;
}

static void serve(int fd)
{
	char buf[4096];
	ssize_t n = write(fd, "hello\n", 6);

	while (n > 0 && (n = read(fd, buf, sizeof(buf))) > 0)
		n = write(fd, buf, (size_t)n);
	close(fd);
}

static void prefork(int listener)
{
	int i, reaped = 0;
	pid_t child[CHILDREN];

	for (i = 0; i < CHILDREN; i++) {
		child[i] = fork();
		if (child[i] == 0) {
			signal(SIGTERM, SIG_DFL);
			for (;;)
				serve(accept(listener, NULL, NULL));
		}
	}
	while (!stop)
		pause();
	for (i = 0; i < CHILDREN; i++)
		kill(child[i], SIGTERM);
	while (wait(NULL) > 0)
		reaped++;
	printf("%d children\n", reaped);
}

static void child_of(int listener, int fd, int execute)
{
	close(listener);
	signal(SIGTERM, SIG_DFL);
	if (!execute) {
		serve(fd);
		_exit(0);
	}
	if (write(fd, "hello\n", 6) != 6)
		_exit(1);
	dup2(fd, 0);
	dup2(fd, 1);
	close(fd);
	execlp("cat", "cat", (char *)NULL);
	_exit(127);
}

static void fork_each(int listener, int execute)
{
	int reaped = 0, fd;
	pid_t pid;

	while (!stop) {
		fd = accept(listener, NULL, NULL);
		if (fd < 0)
			continue;
		pid = fork();
		if (pid == 0)
			child_of(listener, fd, execute);
		close(fd);
		while (waitpid(-1, NULL, WNOHANG) > 0)
			reaped++;
	}
	while (wait(NULL) > 0)
		reaped++;
	printf("%d children%s\n", reaped, errno == ECHILD ? "" : ", and an error");
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = on_term};
	int listener;

	if (argc != 3)
		return 2;
	sigaction(SIGTERM, &action, NULL);
	listener = listen_on(atoi(argv[2]));
	if (strcmp(argv[1], "prefork") == 0)
		prefork(listener);
	else
		fork_each(listener, strcmp(argv[1], "exec") == 0);
	return 0;
}
