/* A connection whose descriptor gets out of sight, and is used there and here.
 *
 * usage: escape CASE HOST PORT      as a client of escape_peer.py; prints what happens
 *        escape list                prints the cases
 *        escape inetd PORT          a server that executes cat(1) on descriptors 0 to 2 for each client
 *        escape lines PORT          a server of processes that read and write with stdio
 *        escape print PORT          a server of threads that answer with dprintf
 *        escape accept              the same, with a listening socket as descriptor 3
 *        escape give PORT CMD…      listens, and executes the command with the socket as descriptor 3
 *        escape unborn CMD…         executes the command with an unconnected socket as descriptor 3 */
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pass_fd.h"

#define BULK (4 << 20)

static const struct addrinfo *peer;
static const char *name;

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
	char line[512];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(line, sizeof(line) - 1, format, args);
	va_end(args);
	line[n++] = '\n';
	if (write(STDOUT_FILENO, line, (size_t)n) != n)
		_exit(1);
}

static const char *error_name(void)
{
	return strerrorname_np(errno);
}

static int dial_by(int flags)
{
	int fd = socket(peer->ai_family, SOCK_STREAM | flags, 0);

	if (connect(fd, peer->ai_addr, peer->ai_addrlen) != 0)
		err(1, "connect");
	return fd;
}

static void put(int fd, const char *format, ...)
{
	char text[512];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (write(fd, text, (size_t)n) != n)
		say("write: %s", error_name());
}

/* A connection that has introduced itself. */
static int meet(const char *mode, int flags)
{
	int fd = dial_by(flags);

	put(fd, "%s %s\n", name, mode);
	return fd;
}

/* Byte by byte: nothing is taken from who reads next. */
static const char *line_of(int fd)
{
	static char line[512];
	size_t n = 0;
	ssize_t got = 1;

	while (n < sizeof(line) - 1 && (got = read(fd, line + n, 1)) == 1 && line[n] != '\n')
		n++;
	line[n] = 0;
	if (got < 0)
		snprintf(line + n, sizeof(line) - n, "(%s)", error_name());
	else if (got == 0)
		snprintf(line + n, sizeof(line) - n, "(end)");
	return line;
}

static void show(const char *who, int fd)
{
	say("%s: %s", who, line_of(fd));
}

/* Out of sight by stdio. */
static FILE *escape(int fd)
{
	FILE *file = fdopen(dup(fd), "w");

	if (!file)
		err(1, "fdopen");
	setvbuf(file, NULL, _IONBF, 0);
	return file;
}

static void finish(int fd)
{
	shutdown(fd, SHUT_WR);
	show("at the end", fd);
	show("then", fd);
	close(fd);
}

/* --- one process --- */

static void with_stdio(void)
{
	int fd = meet("echo", 0);
	FILE *in = fdopen(dup(fd), "r"), *out = escape(fd);
	char line[64];

	fprintf(out, "%s\n", "by fprintf");
	say("fgets: %s", fgets(line, sizeof(line), in) ? line : error_name());
	put(fd, "by write\n");
	show("read", fd);
	fclose(in);
	fclose(out);
	finish(fd);
}

static void before_connect(void)
{
	int fd = socket(peer->ai_family, SOCK_STREAM, 0);
	FILE *out = escape(fd);

	if (connect(fd, peer->ai_addr, peer->ai_addrlen) != 0)
		err(1, "connect");
	put(fd, "%s echo\n", name);
	fprintf(out, "by fprintf\n");
	show("read", fd);
	fclose(out);
	finish(fd);
}

static void in_the_making(void)
{
	int fd = socket(peer->ai_family, SOCK_STREAM | SOCK_NONBLOCK, 0), error;
	struct pollfd wanted = {.fd = fd, .events = POLLOUT};
	socklen_t len = sizeof(error);
	FILE *out;

	connect(fd, peer->ai_addr, peer->ai_addrlen);
	out = escape(fd);
	say("poll: %d", poll(&wanted, 1, 10000));
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
	say("SO_ERROR: %d", error);
	fcntl(fd, F_SETFL, 0);
	put(fd, "%s echo\n", name);
	fprintf(out, "by fprintf\n");
	show("read", fd);
	fclose(out);
	finish(fd);
}

static void *write_bulk(void *arg)
{
	int fd = *(int *)arg;
	char piece[10007];
	size_t left = BULK, i;

	for (i = 0; i < sizeof(piece); i++)
		piece[i] = (char)(i * 31);
	while (left > 0) {
		size_t n = left < sizeof(piece) ? left : sizeof(piece);
		ssize_t sent = write(fd, piece, n);

		if (sent < 0)
			err(1, "write");
		left -= (size_t)sent;
	}
	shutdown(fd, SHUT_WR);
	return NULL;
}

static void in_bulk(void)
{
	int fd = meet("echo", 0);
	unsigned long sum = 0, count = 0;
	char buf[65536];
	pthread_t thread;
	ssize_t n, i;

	fclose(escape(fd));
	pthread_create(&thread, NULL, write_bulk, &fd);
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		for (i = 0; i < n; i++, count++)
			sum = sum * 33 + (unsigned char)buf[i];
	say("%lu bytes, sum %lx, then %zd", count, sum, n);
	pthread_join(thread, NULL);
	close(fd);
}

static int int_option(int fd, int level, int option)
{
	int value = -1;
	socklen_t len = sizeof(value);

	return getsockopt(fd, level, option, &value, &len) == 0 ? value : -errno;
}

static void with_names(void)
{
	int fd = meet("echo", 0), one = 1;
	struct sockaddr_storage addr;
	socklen_t len = sizeof(addr);
	char host[64] = "";

	fclose(escape(fd));
	say("getpeername: %d", getpeername(fd, (struct sockaddr *)&addr, &len));
	getnameinfo((struct sockaddr *)&addr, len, host, sizeof(host), NULL, 0, NI_NUMERICHOST);
	say("the peer: %s", host);
	len = sizeof(addr);
	say("getsockname: %d, family %d", getsockname(fd, (struct sockaddr *)&addr, &len), addr.ss_family);
	say("type %d, domain %d, protocol %d", int_option(fd, SOL_SOCKET, SO_TYPE),
	    int_option(fd, SOL_SOCKET, SO_DOMAIN), int_option(fd, SOL_SOCKET, SO_PROTOCOL));
	say("TCP_NODELAY: %d", setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)));
	say("TCP_NODELAY now: %d", int_option(fd, IPPROTO_TCP, TCP_NODELAY));
	say("SO_ERROR: %d", int_option(fd, SOL_SOCKET, SO_ERROR));
	say("connect: %d", connect(fd, peer->ai_addr, peer->ai_addrlen));
	say("that is %s", error_name());
	finish(fd);
}

static void with_waits(void)
{
	int fd = meet("echo", 0), set = epoll_create1(0);
	struct epoll_event event = {EPOLLIN, {.u64 = 77}}, got = {0};
	struct pollfd wanted = {.fd = fd, .events = POLLIN | POLLOUT};
	FILE *out;

	fcntl(fd, F_SETFL, O_NONBLOCK);
	epoll_ctl(set, EPOLL_CTL_ADD, fd, &event);
	out = escape(fd);
	say("non-blocking: %d", (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
	say("epoll: %d", epoll_wait(set, &got, 1, 50));
	say("poll: %d %x", poll(&wanted, 1, 50), wanted.revents);
	show("read", fd);
	fprintf(out, "by fprintf\n");
	say("epoll: %d, %lu", epoll_wait(set, &got, 1, 10000), (unsigned long)got.data.u64);
	fcntl(fd, F_SETFL, 0);
	show("read", fd);
	fclose(out);
	finish(fd);
	close(set);
}

static void many_copies(void)
{
	int fd = meet("echo", 0), copies[20], i;

	for (i = 0; i < 20; i++)
		copies[i] = dup(fd);
	for (i = 0; i < 20; i++) {
		put(copies[i], "by copy %d\n", i);
		show("read", fd);
		close(copies[i]);
	}
	finish(fd);
}

static void cut_off(void)
{
	int fd = meet("cut", 0);

	show("first", fd);
	show("then", fd);
	close(fd);
}

static void cut_off_relayed(void)
{
	int fd = meet("cut", 0);

	fclose(escape(fd));
	show("first", fd);
	show("then", fd);
	close(fd);
}

/* --- several processes --- */

static int wait_status(pid_t child)
{
	int status = -1;

	waitpid(child, &status, 0);
	return status;
}

static void go_on(int fd)
{
	show("read", fd);
	put(fd, "again\n");
	show("read", fd);
	finish(fd);
}

static void by_system(void)
{
	int fd = meet("echo", 0);
	char command[64];

	snprintf(command, sizeof(command), "echo by system >&%d", fd);
	say("system: %d", system(command));
	go_on(fd);
}

static void by_popen(void)
{
	int fd = meet("echo", 0);
	char command[64];
	FILE *pipe;

	snprintf(command, sizeof(command), "cat >&%d", fd);
	pipe = popen(command, "w");
	fprintf(pipe, "by popen\n");
	say("pclose: %d", pclose(pipe));
	go_on(fd);
}

static void by_spawn(void)
{
	int fd = meet("echo", SOCK_CLOEXEC);
	char *argv[] = {"echo", "by posix_spawn", NULL};
	posix_spawn_file_actions_t actions;
	pid_t child;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fd, STDOUT_FILENO);
	say("posix_spawnp: %d", posix_spawnp(&child, "echo", &actions, NULL, argv, environ));
	say("child: %d", wait_status(child));
	go_on(fd);
}

static void shell_on(int fd)
{
	char command[128];

	snprintf(command, sizeof(command), "echo by exec >&%d; read line <&%d; echo the shell: $line", fd,
		 fd);
	execl("/bin/sh", "sh", "-c", command, NULL);
	err(127, "exec");
}

static void by_exec(void)
{
	shell_on(meet("echo", 0));
}

static void by_dup2_exec(void)
{
	int fd = meet("echo", SOCK_CLOEXEC);
	pid_t child = fork();

	if (child == 0) {
		dup2(fd, STDIN_FILENO);
		dup2(fd, STDOUT_FILENO);
		execl("/bin/sh", "sh", "-c", "echo by child; read line; echo $line", NULL);
		_exit(127);
	}
	close(fd);
	say("child: %d", wait_status(child));
}

static void by_vfork(void)
{
	int fd = meet("echo", SOCK_CLOEXEC);
	pid_t child = vfork();

	if (child == 0) {
		dup2(fd, STDOUT_FILENO);
		execl("/bin/echo", "echo", "by a child of vfork", NULL);
		_exit(127);
	}
	say("child: %d", wait_status(child));
	close(fd);
}

static void by_passing(void)
{
	int pair[2], fd;
	pid_t child;

	socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
	child = fork();
	if (child == 0) {
		fd = receive_fd(pair[0]);
		put(fd, "by another process\n");
		show("another process", fd);
		_exit(0);
	}
	fd = meet("echo", 0);
	if (pass_fd(pair[1], fd) != 1)
		say("sendmsg: %s", error_name());
	say("child: %d", wait_status(child));
	put(fd, "by this one\n");
	go_on(fd);
}

/* --- fork --- */

/* The child reads, the parent writes, and ends. */
static void both_ways(void)
{
	int fd = meet("echo", 0), i;
	pid_t child = fork();

	if (child == 0) {
		unsigned lines = 0;

		while (strcmp(line_of(fd), "end") != 0 && lines < 1000)
			lines++;
		say("the child read %u lines", lines);
		_exit(0);
	}
	for (i = 0; i < 100; i++)
		put(fd, "line %d\n", i);
	shutdown(fd, SHUT_WR);
	say("child: %d", wait_status(child));
	close(fd);
}

/* Children that have nothing to do with it. */
static void idle_children(void)
{
	int fd = meet("echo", 0);
	pid_t child = fork();

	if (child == 0)
		exit(0);
	say("child: %d", wait_status(child));
	child = fork();
	if (child == 0) {
		execl("/bin/true", "true", NULL);
		_exit(127);
	}
	say("child: %d", wait_status(child));
	child = fork();
	if (child == 0) {
		close(fd);
		_exit(0);
	}
	say("child: %d", wait_status(child));
	put(fd, "still here\n");
	show("read", fd);
	close(fd);
}

/* The child has it all, the parent lets go at once. */
static void handed_down(void)
{
	int fd = meet("echo", 0);
	pid_t child = fork();

	if (child == 0) {
		usleep(100000);
		put(fd, "by the child\n");
		show("read", fd);
		close(fd);
		_exit(0);
	}
	close(fd);
	say("child: %d", wait_status(child));
}

/* Both send: the second one must not. */
static void both_send(void)
{
	int fd = meet("echo", 0);
	pid_t child = fork();

	if (child == 0) {
		put(fd, "by the child\n");
		_exit(0);
	}
	say("child: %d", wait_status(child));
	show("read", fd);
	put(fd, "by the parent\n");
	close(fd);
}

/* --- nothing left behind --- */

static volatile sig_atomic_t signals;

static void count_signal(int sig)
{
	(void)sig;
	signals = signals + 1;
}

static void no_children(void)
{
	int fd;

	signal(SIGCHLD, count_signal);
	fd = meet("echo", 0);
	fclose(escape(fd));
	say("SIGCHLD: %d", (int)signals);
	say("wait: %d", (int)waitpid(-1, NULL, WNOHANG));
	say("that is %s", error_name());
	finish(fd);
}

/* A child of the application's that dies meanwhile is not forgotten. */
static void own_child(void)
{
	struct timespec patience = {.tv_sec = 5};
	sigset_t only;
	pid_t child;
	int fd;

	sigemptyset(&only);
	sigaddset(&only, SIGCHLD);
	sigprocmask(SIG_BLOCK, &only, NULL);
	fd = meet("echo", 0);
	child = fork();
	if (child == 0)
		_exit(0);
	usleep(100000);
	fclose(escape(fd));
	say("SIGCHLD: %d", sigtimedwait(&only, NULL, &patience) == SIGCHLD);
	say("the child: %d", waitpid(-1, NULL, WNOHANG) == child);
	finish(fd);
}

static void kill_relays(void)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;

	while ((entry = readdir(dir))) {
		char path[300], comm[32] = "";
		FILE *file;

		snprintf(path, sizeof(path), "/proc/%s/comm", entry->d_name);
		file = fopen(path, "r");
		if (file && fgets(comm, sizeof(comm), file) && strcmp(comm, "taps-relay\n") == 0)
			kill(atoi(entry->d_name), SIGKILL);
		if (file)
			fclose(file);
	}
	closedir(dir);
}

/* The loss of a relay is no end of the stream. */
static void lost_relay(void)
{
	int fd = meet("echo", 0);

	fclose(escape(fd));
	put(fd, "before\n");
	show("read", fd);
	kill_relays();
	show("read", fd);
	close(fd);
}

/* --- what must not be --- */

static void refused(int fd, const char *what)
{
	if (connect(fd, peer->ai_addr, peer->ai_addrlen) == 0) {
		put(fd, "%s %s\n", name, getenv("MARKER"));
		say("%s: connected", what);
	} else {
		say("%s: %s", what, error_name());
	}
	close(fd);
}

static void by_mptcp(void)
{
	int fd = socket(peer->ai_family, SOCK_STREAM, 262);

	if (fd < 0)
		say("MPTCP: EPROTO"); /* the kernel has none: nothing can go wrong */
	else
		refused(fd, "MPTCP");
}

static void bound(void)
{
	struct sockaddr_in6 local = {.sin6_family = AF_INET6, .sin6_port = htons(5555)};
	struct sockaddr_in local4 = {.sin_family = AF_INET, .sin_port = htons(5555)};
	int fd = socket(peer->ai_family, SOCK_STREAM, 0), on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (peer->ai_family == AF_INET)
		say("bind: %d", bind(fd, (struct sockaddr *)&local4, sizeof(local4)));
	else
		say("bind: %d", bind(fd, (struct sockaddr *)&local, sizeof(local)));
	if (connect(fd, peer->ai_addr, peer->ai_addrlen) != 0)
		err(1, "connect");
	put(fd, "%s echo\nmine\n", name);
	show("read", fd);
	finish(fd);
}

/* As few descriptors as there can be: whatever fails, fails closed. */
static void few_descriptors(void)
{
	struct rlimit limit;
	int fd = socket(peer->ai_family, SOCK_STREAM, 0), room;

	for (room = 0; room < 12; room++) {
		limit.rlim_cur = limit.rlim_max = (rlim_t)fd + 1 + (rlim_t)room;
		if (fork() == 0) {
			setrlimit(RLIMIT_NOFILE, &limit);
			if (connect(fd, peer->ai_addr, peer->ai_addrlen) == 0) {
				FILE *file = fdopen(fd, "w");

				if (file)
					fprintf(file, "%s %s\n", name, getenv("MARKER"));
				_exit(write(fd, getenv("MARKER"), strlen(getenv("MARKER"))) < 0);
			}
			_exit(1);
		}
		wait(NULL);
	}
	say("done");
}

static const struct escape_case {
	const char *name;
	void (*run)(void);
	const char *kind; /* like: as bare; only: under a rule */
} cases[] = {
	{"stdio", with_stdio, "like"},
	{"before-connect", before_connect, "like"},
	{"in-the-making", in_the_making, "like"},
	{"bulk", in_bulk, "like"},
	{"names", with_names, "like"},
	{"waits", with_waits, "like"},
	{"copies", many_copies, "like"},
	{"system", by_system, "like"},
	{"popen", by_popen, "like"},
	{"posix_spawn", by_spawn, "like"},
	{"exec", by_exec, "like"},
	{"dup2-exec", by_dup2_exec, "like"},
	{"vfork", by_vfork, "like"},
	{"SCM_RIGHTS", by_passing, "like"},
	{"both-ways", both_ways, "like"},
	{"idle-children", idle_children, "like"},
	{"handed-down", handed_down, "like"},
	{"no-children", no_children, "like"},
	{"own-child", own_child, "like"},
	{"bound", bound, "like"},
	{"cut", cut_off, "only"},
	{"cut-relayed", cut_off_relayed, "only"},
	{"both-send", both_send, "only"},
	{"lost-relay", lost_relay, "only"},
	{"mptcp", by_mptcp, "only"},
	{"few-descriptors", few_descriptors, "only"},
};
#define CASES (sizeof(cases) / sizeof(*cases))

/* --- servers --- */

static int listen_on(const char *port)
{
	struct sockaddr_in6 addr = {.sin6_family = AF_INET6, .sin6_port = htons((in_port_t)atoi(port))};
	int fd = socket(AF_INET6, SOCK_STREAM, 0), on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0 || listen(fd, 64) != 0)
		err(1, "port %s", port);
	return fd;
}

static void be_cat(int fd)
{
	dup2(fd, STDIN_FILENO);
	dup2(fd, STDOUT_FILENO);
	dup2(fd, STDERR_FILENO);
	close(fd);
	execlp("cat", "cat", NULL);
	_exit(127);
}

static void be_stdio(int fd)
{
	FILE *in = fdopen(fd, "r"), *out = fdopen(dup(fd), "w");
	char line[4096];

	while (in && out && fgets(line, sizeof(line), in)) {
		fputs(line, out);
		fflush(out);
	}
	exit(0);
}

static void serve_by_processes(int listener, void (*child)(int fd))
{
	signal(SIGCHLD, SIG_IGN);
	for (;;) {
		int fd = accept(listener, NULL, NULL);

		if (fd >= 0 && fork() == 0) {
			close(listener);
			child(fd);
		}
		if (fd >= 0)
			close(fd);
	}
}

static void *print_back(void *arg)
{
	int fd = (int)(intptr_t)arg;
	const char *line;
	char own[512];

	while (strcmp(line = line_of(fd), "(end)") != 0 && !strstr(line, "(E")) {
		snprintf(own, sizeof(own), "%s", line);
		dprintf(fd, "%s\n", own);
	}
	close(fd);
	return NULL;
}

static void serve_by_printing(int listener)
{
	for (;;) {
		int fd = accept(listener, NULL, NULL);

		if (fd >= 0)
			print_back((void *)(intptr_t)fd);
	}
}

static void give(int fd, char **argv)
{
	dup2(fd, 3);
	if (fd != 3)
		close(fd);
	execvp(argv[0], argv);
	err(127, "%s", argv[0]);
}

static int find_peer(const char *host, const char *port)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list;

	if (getaddrinfo(host, port, &hints, &list) != 0)
		errx(1, "%s: no address", host);
	peer = list;
	return 0;
}

static int run_case(char **argv)
{
	size_t i;

	find_peer(argv[2], argv[3]);
	name = argv[1];
	if (strcmp(name, "unconnected") == 0) {
		refused(3, name);
		return 0;
	}
	for (i = 0; i < CASES; i++)
		if (strcmp(name, cases[i].name) == 0)
			cases[i].run();
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	size_t i;

	signal(SIGPIPE, SIG_IGN);
	for (i = 0; strcmp(what, "list") == 0 && i < CASES; i++)
		printf("%s/%s\n", cases[i].kind, cases[i].name);
	if (strcmp(what, "inetd") == 0)
		serve_by_processes(listen_on(argv[2]), be_cat);
	if (strcmp(what, "lines") == 0)
		serve_by_processes(listen_on(argv[2]), be_stdio);
	if (strcmp(what, "print") == 0)
		serve_by_printing(listen_on(argv[2]));
	if (strcmp(what, "accept") == 0)
		serve_by_processes(3, be_stdio);
	if (strcmp(what, "give") == 0)
		give(listen_on(argv[2]), argv + 3);
	if (strcmp(what, "unborn") == 0)
		give(socket(AF_INET, SOCK_STREAM, 0), argv + 2);
	return argc == 4 ? run_case(argv) : 0;
}
