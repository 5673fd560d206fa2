/* The address of the test server, and the printing of facts. */
#include "tests/preload/support/net.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char own_port[16];
static const char *host = "localhost";
static const char *port = own_port;
static bool loses;
static char own_path[512];

/* The server of a program that was started by hand; it ends with the program. */
static void start_own_server(void)
{
	int first = serve_find_ports();
	int ready[2];
	pid_t parent = getpid();

	need(pipe(ready) == 0, "pipe");
	snprintf(own_port, sizeof(own_port), "%d", first);
	pid_t pid = fork();
	need(pid >= 0, "fork");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		dup2(ready[1], STDOUT_FILENO);
		close(ready[0]);
		close(ready[1]);
		serve(first);
	}
	close(ready[1]);
	char word[8];
	need(read(ready[0], word, sizeof(word)) > 0, "own server");
	close(ready[0]);
}

void net_start(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	need(realpath(argv[0], own_path) != NULL, argv[0]);
	if (argc >= 3) {
		host = argv[1];
		port = argv[2];
		loses = true;
	} else {
		start_own_server();
	}
}

bool net_loses(void)
{
	return loses;
}

const char *net_host(void)
{
	return host;
}

const char *net_port(void)
{
	return port;
}

const char *net_program(const char *name)
{
	static char path[600];
	int folder = (int)(strrchr(own_path, '/') - own_path);

	snprintf(path, sizeof(path), "%.*s/%s", folder, own_path, name);
	return path;
}

static struct peer look_up(enum service service, int type)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = type};
	struct addrinfo *list;
	struct peer ret = {0};
	char text[16];

	snprintf(text, sizeof(text), "%d", atoi(port) + (int)service);
	int error = getaddrinfo(host, text, &hints, &list);
	if (error) {
		fprintf(stderr, "%s: %s\n", host, gai_strerror(error));
		exit(2);
	}
	memcpy(&ret.addr, list->ai_addr, list->ai_addrlen);
	ret.len = list->ai_addrlen;
	freeaddrinfo(list);
	return ret;
}

struct peer net_peer(enum service service)
{
	return look_up(service, SOCK_STREAM);
}

struct peer net_peer_udp(enum service service)
{
	return look_up(service, SOCK_DGRAM);
}

int net_socket(const struct peer *peer, int flags)
{
	int fd = socket(peer->addr.ss_family, SOCK_STREAM | flags, 0);

	need(fd >= 0, "socket");
	return fd;
}

int peer_connect(int fd, const struct peer *peer)
{
	return connect(fd, (const struct sockaddr *)&peer->addr, peer->len);
}

int net_connect_quiet(enum service service)
{
	struct peer peer = net_peer(service);
	int fd = net_socket(&peer, 0);

	need(peer_connect(fd, &peer) == 0, "connect");
	return fd;
}

int net_connect(enum service service)
{
	struct peer peer = net_peer(service);
	int fd = net_socket(&peer, 0);

	need(SHOW(peer_connect(fd, &peer)) == 0, "connect");
	return fd;
}

int net_listen(struct peer *ret)
{
	struct sockaddr_in *in = (struct sockaddr_in *)&ret->addr;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	*ret = (struct peer){.len = sizeof(*in)};
	in->sin_family = AF_INET;
	in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	need(fd >= 0 && bind(fd, (struct sockaddr *)in, sizeof(*in)) == 0, "bind");
	need(listen(fd, 64) == 0, "listen");
	need(getsockname(fd, (struct sockaddr *)in, &ret->len) == 0, "getsockname");
	return fd;
}

long show(const char *what, long result)
{
	int error = errno;

	if (result < 0)
		printf("%s = %ld %s\n", what, result, strerrorname_np(error));
	else if (error)
		printf("%s = %ld, and errno became %s\n", what, result, strerrorname_np(error));
	else
		printf("%s = %ld\n", what, result);
	errno = error;
	return result;
}

void say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
}

const char *mask_text(uint32_t mask)
{
	static const struct {
		uint32_t bit;
		const char *name;
	} bits[] = {
		{POLLIN, "IN"}, {POLLPRI, "PRI"}, {POLLOUT, "OUT"}, {POLLERR, "ERR"},
		{POLLHUP, "HUP"}, {POLLNVAL, "NVAL"}, {POLLRDNORM, "RDNORM"}, {POLLRDBAND, "RDBAND"},
		{POLLWRNORM, "WRNORM"}, {POLLWRBAND, "WRBAND"}, {POLLMSG, "MSG"}, {POLLRDHUP, "RDHUP"},
	};
	static _Thread_local char texts[4][160];
	static _Thread_local unsigned turn;
	char *text = texts[turn++ % 4];
	const size_t room = sizeof(texts[0]);
	size_t used = 0;

	text[0] = '\0';
	for (size_t i = 0; i < sizeof(bits) / sizeof(bits[0]); i++) {
		if (!(mask & bits[i].bit))
			continue;
		used += (size_t)snprintf(text + used, room - used, "%s%s", used ? "|" : "", bits[i].name);
	}
	return used ? text : "none";
}

int show_poll(int fd, short events, int ms)
{
	struct pollfd p = {.fd = fd, .events = events};
	int n = poll(&p, 1, ms);

	printf("poll(%s) = %d %s\n", mask_text((uint16_t)events), n,
	       n < 0 ? strerrorname_np(errno) : mask_text((uint16_t)p.revents));
	return n;
}

void show_read(int fd, size_t len)
{
	char buf[4096];
	size_t have = 0;
	ssize_t n = 1;

	need(len < sizeof(buf), "a smaller read");
	while (have < len && n > 0) {
		n = read(fd, buf + have, len - have);
		if (n > 0)
			have += (size_t)n;
		if (n < 0 && errno == EAGAIN)
			n = poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 10000);
	}
	buf[have] = '\0';
	for (size_t i = 0; i < have; i++)
		if ((unsigned char)buf[i] < ' ')
			buf[i] = '.';
	printf("read \"%s\"%s%s\n", buf, n == 0 ? " then end" : "", n < 0 ? strerrorname_np(errno) : "");
}

void show_echo(int fd, const char *text)
{
	ssize_t n = write(fd, text, strlen(text));

	if (n != (ssize_t)strlen(text))
		printf("write = %zd %s\n", n, n < 0 ? strerrorname_np(errno) : "");
	else
		show_read(fd, strlen(text));
}

void show_option(int fd, const char *title, int level, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	if (getsockopt(fd, level, name, &value, &len) < 0)
		printf("%s: %s\n", title, strerrorname_np(errno));
	else
		printf("%s: %d (%u bytes)\n", title, value, len);
}

void show_error(int fd)
{
	int value = -1;
	socklen_t len = sizeof(value);

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &value, &len) < 0)
		printf("SO_ERROR: failed with %s\n", strerrorname_np(errno));
	else
		printf("SO_ERROR: %s\n", value ? strerrorname_np(value) : "0");
}

void show_flags(int fd)
{
	int status = fcntl(fd, F_GETFL);
	int flags = fcntl(fd, F_GETFD);

	printf("flags:%s%s%s%s%s\n", (status & O_ACCMODE) == O_RDWR ? " RDWR" : "",
	       status & O_NONBLOCK ? " NONBLOCK" : "", status & O_ASYNC ? " ASYNC" : "",
	       status & O_APPEND ? " APPEND" : "", flags & FD_CLOEXEC ? " CLOEXEC" : "");
}

static const char *family_name(int family)
{
	return family == AF_INET    ? "inet"
	       : family == AF_INET6 ? "inet6"
	       : family == AF_UNIX  ? "unix"
				    : "other";
}

/* sockaddr_in and sockaddr_in6 have the port in the same place. */
static int port_of(const struct sockaddr_storage *addr)
{
	return ntohs(((const struct sockaddr_in *)addr)->sin_port);
}

void show_names(int fd, enum service service)
{
	struct sockaddr_storage addr;
	socklen_t len = sizeof(addr);

	if (getpeername(fd, (struct sockaddr *)&addr, &len) < 0)
		printf("peer: %s", strerrorname_np(errno));
	else
		printf("peer: %s, %u bytes, %s port", family_name(addr.ss_family), len,
		       port_of(&addr) == atoi(port) + (int)service ? "the server's" : "another");
	len = sizeof(addr);
	if (getsockname(fd, (struct sockaddr *)&addr, &len) < 0)
		printf("; self: %s\n", strerrorname_np(errno));
	else
		printf("; self: %s, %u bytes, %s\n", family_name(addr.ss_family), len,
		       port_of(&addr) ? "a port" : "no port");
}

void pause_ms(int ms)
{
	struct timespec left = {ms / 1000, ms % 1000 * 1000000L};

	while (nanosleep(&left, &left) < 0 && errno == EINTR)
		continue;
}

void need(bool condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(2);
}

void show_wait(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		printf("waitpid: %s\n", strerrorname_np(errno));
	else if (WIFEXITED(status))
		printf("the child exited with %d\n", WEXITSTATUS(status));
	else
		printf("the child died of signal %d\n", WTERMSIG(status));
}
