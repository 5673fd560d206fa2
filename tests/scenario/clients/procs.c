/* Connections and processes: each mode connects by a loop over the addresses of a name, does something to
 * processes, and prints the body of the reply to an HTTP request for /hello.
 * usage: procs MODE HOST PORT */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 64

extern char **environ;

static const char *host, *port, *self;

static void die(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	_exit(2);
}

static int open_connection(void)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list, *ai;
	int fd = -1;

	if (getaddrinfo(host, port, &hints, &list) != 0)
		die("getaddrinfo");
	for (ai = list; ai; ai = ai->ai_next) {
		fd = socket(ai->ai_family, SOCK_STREAM, 0);
		if (fd >= 0 && connect(fd, ai->ai_addr, ai->ai_addrlen) == 0)
			break;
		close(fd);
		fd = -1;
	}
	freeaddrinfo(list);
	if (fd < 0)
		die("connect");
	return fd;
}

static void request(int fd)
{
	static const char text[] = "GET /hello HTTP/1.0\r\n\r\n";

	if (write(fd, text, sizeof(text) - 1) != sizeof(text) - 1)
		die("write");
}

/* Reads the reply to its end; its body. */
static const char *reply(int fd, char *buf, size_t size)
{
	size_t len = 0;
	ssize_t n;
	char *body;

	while (len + 1 < size && (n = read(fd, buf + len, size - len - 1)) > 0)
		len += (size_t)n;
	buf[len] = 0;
	body = strstr(buf, "\r\n\r\n");
	return body ? body + 4 : "no reply\n";
}

static int fetch(int fd)
{
	char buf[4096];

	request(fd);
	fputs(reply(fd, buf, sizeof(buf)), stdout);
	fflush(stdout);
	return 0;
}

static int status_of(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) < 0)
		die("waitpid");
	return status;
}

static int mode_daemon(void)
{
	int fd = open_connection();

	if (daemon(1, 1) < 0)
		die("daemon");
	return fetch(fd);
}

/* The child shares the parent's memory and closes everything. */
static int mode_vfork(void)
{
	int fd = open_connection(), i;
	pid_t pid = vfork();

	if (pid == 0) {
		for (i = 3; i < 64; i++)
			close(i);
		execl("/bin/sh", "sh", "-c", "exit 5", (char *)NULL);
		_exit(127);
	}
	printf("child %d\n", WEXITSTATUS(status_of(pid)));
	return fetch(fd);
}

static int mode_spawn(void)
{
	char *argv[] = {(char *)"sh", (char *)"-c", (char *)"sed '1,/^\\r*$/d'", NULL};
	posix_spawn_file_actions_t actions;
	int fd = open_connection();
	pid_t pid;

	request(fd);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fd, 0);
	posix_spawn_file_actions_addclose(&actions, fd);
	if (posix_spawn(&pid, "/bin/sh", &actions, NULL, argv, environ) != 0)
		die("posix_spawn");
	posix_spawn_file_actions_destroy(&actions);
	printf("child %d\n", WEXITSTATUS(status_of(pid)));
	return 0;
}

static int mode_exec(void)
{
	int fd = open_connection();

	request(fd);
	dup2(fd, 0);
	close(fd);
	execl("/bin/sh", "sh", "-c", "sed '1,/^\\r*$/d'", (char *)NULL);
	die("execl");
	return 2;
}

/* This program again, with the connection as its third argument. */
static int mode_inherit(void)
{
	char number[16];

	snprintf(number, sizeof(number), "%d", open_connection());
	execl(self, self, "adopt", host, number, (char *)NULL);
	die("execl");
	return 2;
}

static int mode_adopt(void)
{
	int fd = atoi(port), copy = dup(fd);

	close(fd);
	return fetch(copy);
}

static int mode_system(void)
{
	int fd = open_connection();
	FILE *pipe;
	char line[64] = "";

	printf("system %d\n", WEXITSTATUS(system("exit 6")));
	pipe = popen("echo from a child", "r");
	if (!pipe || !fgets(line, sizeof(line), pipe))
		die("popen");
	printf("popen %s", line);
	printf("pclose %d\n", pclose(pipe));
	return fetch(fd);
}

/* Both processes go on with the connection: the child asks, the parent reads. */
static int mode_fork(void)
{
	int fd = open_connection();
	char buf[4096];
	pid_t pid = fork();

	if (pid == 0) {
		request(fd);
		_exit(3);
	}
	printf("child %d\n", WEXITSTATUS(status_of(pid)));
	fputs(reply(fd, buf, sizeof(buf)), stdout);
	return 0;
}

static void *connect_only(void *unused)
{
	(void)unused;
	open_connection();
	return NULL;
}

static int count_sockets(void)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;
	char link[64];
	int n = 0;

	while (dir && (entry = readdir(dir))) {
		memset(link, 0, sizeof(link));
		n += readlinkat(dirfd(dir), entry->d_name, link, sizeof(link) - 1) > 0 &&
		     strncmp(link, "socket:", 7) == 0;
	}
	return n;
}

/* Another thread is in connect(); what a child has of that.  Ends the process while it is. */
static int mode_beside(void)
{
	pthread_t thread;
	pid_t pid;

	if (pthread_create(&thread, NULL, connect_only, NULL) != 0)
		die("pthread_create");
	usleep(600000);
	pid = fork();
	if (pid == 0)
		_exit(count_sockets());
	printf("child has %d sockets\n", WEXITSTATUS(status_of(pid)));
	fflush(stdout);
	_exit(0);
}

/* A child is made, and closes its copy, while the connection is still being established. */
static int mode_midway(void)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list;
	struct pollfd wait = {.events = POLLOUT};
	int error = 0;
	socklen_t len = sizeof(error);
	pid_t pid;

	if (getaddrinfo(host, port, &hints, &list) != 0)
		die("getaddrinfo");
	wait.fd = socket(list->ai_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (connect(wait.fd, list->ai_addr, list->ai_addrlen) < 0 && errno != EINPROGRESS)
		die("connect");
	pid = fork();
	if (pid == 0) {
		close(wait.fd);
		_exit(4);
	}
	printf("child %d\n", WEXITSTATUS(status_of(pid)));
	printf("poll %d", poll(&wait, 1, 5000));
	getsockopt(wait.fd, SOL_SOCKET, SO_ERROR, &error, &len);
	printf(" %s\n", strerror(error));
	fcntl(wait.fd, F_SETFL, 0);
	freeaddrinfo(list);
	return fetch(wait.fd);
}

static void *thread_fetch(void *ret)
{
	char buf[4096];
	int fd = open_connection();

	request(fd);
	*(int *)ret = strcmp(reply(fd, buf, sizeof(buf)), "the right bytes\n") == 0;
	close(fd);
	return NULL;
}

static int mode_threads(void)
{
	pthread_t thread[THREADS];
	int right[THREADS] = {0}, i, sum = 0;

	for (i = 0; i < THREADS; i++)
		if (pthread_create(&thread[i], NULL, thread_fetch, &right[i]) != 0)
			die("pthread_create");
	for (i = 0; i < THREADS; i++) {
		pthread_join(thread[i], NULL);
		sum += right[i];
	}
	printf("%d threads of %d got the right bytes\n", sum, THREADS);
	return 0;
}

static const struct {
	const char *name;
	int (*run)(void);
} modes[] = {
	{"daemon", mode_daemon}, {"vfork", mode_vfork},   {"spawn", mode_spawn},   {"exec", mode_exec},
	{"inherit", mode_inherit}, {"adopt", mode_adopt}, {"system", mode_system}, {"fork", mode_fork},
	{"beside", mode_beside}, {"midway", mode_midway}, {"threads", mode_threads},
};

int main(int argc, char **argv)
{
	size_t i;

	if (argc != 4)
		return 2;
	self = argv[0];
	host = argv[2];
	port = argv[3];
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		if (strcmp(argv[1], modes[i].name) == 0)
			return modes[i].run();
	return 2;
}
