/* Stops a thread between what it found out about a descriptor and its system call, and makes something else
 * of the descriptor meanwhile.  A filter (seccomp(2)) holds the call at the kernel's door until another
 * thread is done.
 *
 * usage: window CASE WAY HOST PORT   prints "held", or "not held" where the call needs no kernel; or why not
 *        window cases, window ways   prints what there is */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define LONGEST_MS 10000
#define SETTLE_US 300000 /* what a held call left behind reaches the wire */

static char text[256];
static size_t len;
static const struct addrinfo *peer;

/* --- ways to send --- */

static ssize_t by_write(int fd)
{
	return write(fd, text, len);
}

static ssize_t by_send(int fd)
{
	return send(fd, text, len, 0);
}

static ssize_t by_writev(int fd)
{
	struct iovec iov = {text, len};

	return writev(fd, &iov, 1);
}

static ssize_t by_pwritev2(int fd)
{
	struct iovec iov = {text, len};

	return pwritev2(fd, &iov, 1, -1, 0);
}

static ssize_t by_sendmsg(int fd)
{
	struct iovec iov = {text, len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	return sendmsg(fd, &msg, 0);
}

static ssize_t by_sendmmsg(int fd)
{
	struct iovec iov = {text, len};
	struct mmsghdr msg = {.msg_hdr = {.msg_iov = &iov, .msg_iovlen = 1}};

	return sendmmsg(fd, &msg, 1, 0);
}

static ssize_t by_sendfile(int fd)
{
	char name[] = "/tmp/window.XXXXXX";
	int file = mkstemp(name);
	off_t start = 0;
	ssize_t n;

	unlink(name);
	if (file < 0 || write(file, text, len) != (ssize_t)len)
		return -1;
	n = sendfile(fd, file, &start, len);
	close(file);
	return n;
}

static ssize_t by_splice(int fd)
{
	int ends[2];

	if (pipe(ends) != 0 || write(ends[1], text, len) != (ssize_t)len)
		return -1;
	return splice(ends[0], NULL, fd, NULL, len, 0);
}

static ssize_t by_dprintf(int fd)
{
	return dprintf(fd, "%s", text);
}

static ssize_t by_syscall(int fd)
{
	return syscall(SYS_write, fd, text, len);
}

static const struct way {
	const char *name;
	ssize_t (*send)(int fd);
} ways[] = {
	{"write", by_write},	 {"send", by_send},	    {"writev", by_writev},
	{"sendmsg", by_sendmsg}, {"sendmmsg", by_sendmmsg}, {"pwritev2", by_pwritev2},
	{"splice", by_splice},	 {"sendfile", by_sendfile}, {"dprintf", by_dprintf},
	{"SYS_write", by_syscall},
};
#define N_WAYS (sizeof(ways) / sizeof(ways[0]))

/* --- the thread that is held --- */

static struct held {
	ssize_t (*call)(int fd);
	int fd;                /* on which the call is held */
	const int *calls;      /* the system calls that are, up to a -1 */
	_Atomic int listener;  /* of the filter; -1: not there yet */
	_Atomic bool done;
} held = {.listener = -1};

static const int sending[] = {SYS_writev,  SYS_pwritev2, SYS_sendto, SYS_sendmsg, SYS_sendmmsg,
			      SYS_sendfile, SYS_splice,	  SYS_write,  -1};
static const int closing_calls[] = {SYS_close, -1};
static const int replacing_calls[] = {
	SYS_dup3,
#ifdef SYS_dup2
	SYS_dup2,
#endif
	-1};
static const int sealing_calls[] = {SYS_fcntl, -1};

#define CALLS_MAX 8
_Static_assert(sizeof(sending) / sizeof(sending[0]) <= CALLS_MAX + 1, "room in the filter");

#define LOAD(offset) (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)(offset))
#define UNLESS(number, skip) \
	(struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)(number), 0, skip)
#define RETURN(what) (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, what)

/* Which argument of the call is the descriptor. */
static size_t argument_of(int call)
{
	if (call == SYS_splice)
		return offsetof(struct seccomp_data, args[2]);
#ifdef SYS_dup2
	if (call == SYS_dup2)
		return offsetof(struct seccomp_data, args[1]);
#endif
	return offsetof(struct seccomp_data, args[call == SYS_dup3 ? 1 : 0]);
}

/* Who has the listener is told of held.calls on held.fd. */
static int hold(void)
{
	struct sock_filter code[8 * (CALLS_MAX + 1) + 1];
	struct sock_fprog program = {.filter = code};
	const int *call;
	unsigned n = 0;

	for (call = held.calls; *call >= 0; call++) {
		code[n++] = LOAD(offsetof(struct seccomp_data, nr));
		code[n++] = UNLESS(*call, *call == SYS_fcntl ? 6 : 4);
		if (*call == SYS_fcntl) {
			code[n++] = LOAD(offsetof(struct seccomp_data, args[1]));
			code[n++] = UNLESS(F_GETFD, 3);
		}
		code[n++] = LOAD(argument_of(*call));
		code[n++] = UNLESS(held.fd, 1);
		code[n++] = RETURN(SECCOMP_RET_USER_NOTIF);
		code[n++] = RETURN(SECCOMP_RET_ALLOW);
	}
	code[n++] = RETURN(SECCOMP_RET_ALLOW);
	program.len = (unsigned short)n;
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
}

static void *run_held(void *arg)
{
	int listener = hold();

	(void)arg;
	if (listener < 0)
		err(2, "seccomp");
	held.listener = listener;
	held.call(held.fd);
	held.done = true;
	return NULL;
}

static struct seccomp_notif caught;
static pthread_t sender; /* of the case's; 0: none */

/* Returns true once the call is at the door; false if it came back without. */
static bool await_held(void)
{
	int waited;

	for (waited = 0; waited < LONGEST_MS && !held.done; waited++) {
		struct pollfd door = {.fd = held.listener, .events = POLLIN};

		if (door.fd >= 0 && poll(&door, 1, 1) > 0)
			return ioctl(door.fd, SECCOMP_IOCTL_NOTIF_RECV, &caught) == 0;
		if (door.fd < 0)
			usleep(1000);
	}
	return false;
}

static void let_go(void)
{
	struct seccomp_notif_resp go = {.id = caught.id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};

	ioctl(held.listener, SECCOMP_IOCTL_NOTIF_SEND, &go);
}

/* Whatever else comes to the door goes through. */
static void *keep_open(void *arg)
{
	(void)arg;
	for (;;) {
		struct pollfd door = {.fd = held.listener, .events = POLLIN};

		if (poll(&door, 1, -1) < 0 || (door.revents & (POLLHUP | POLLERR)))
			return NULL;
		memset(&caught, 0, sizeof(caught));
		if (ioctl(held.listener, SECCOMP_IOCTL_NOTIF_RECV, &caught) == 0)
			let_go();
	}
}

/* Holds those of `calls` that call(fd) makes on fd, does meanwhile(fd), and lets them go on.  Prints how that
 * went. */
static int between(ssize_t (*call)(int fd), const int *calls, int fd, int (*meanwhile)(int fd))
{
	pthread_t thread, door;
	bool was_held;
	int result, error;

	held.call = call;
	held.calls = calls;
	held.fd = fd;
	if (pthread_create(&thread, NULL, run_held, NULL) != 0)
		return -1;
	was_held = await_held();
	result = meanwhile(fd);
	error = errno;
	if (was_held)
		let_go();
	if (pthread_create(&door, NULL, keep_open, NULL) != 0)
		return -1;
	pthread_join(thread, NULL);
	if (sender)
		pthread_join(sender, NULL);
	usleep(SETTLE_US);
	printf("%s%s%s\n", was_held ? "held" : "not held", result ? ", " : "", result ? strerror(error) : "");
	return result;
}

/* --- cases --- */

static const struct way *way;
static int spare; /* another descriptor of the case's */

static int new_socket(int flags)
{
	return socket(peer->ai_family, SOCK_STREAM | flags, 0);
}

static int connect_it(int fd)
{
	return connect(fd, peer->ai_addr, peer->ai_addrlen);
}

static int connected(void)
{
	int fd = new_socket(0);

	return connect_it(fd) == 0 ? fd : -1;
}

static int unconnected(void)
{
	return between(way->send, sending, new_socket(0), connect_it);
}

static int bound(void)
{
	struct sockaddr_in addr = {.sin_family = AF_INET};
	int fd = new_socket(0);

	addr.sin_port = htons((uint16_t)(20000 + getpid() % 10000));
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0)
		return -1;
	return between(way->send, sending, fd, connect_it);
}

/* A port where nobody is, by no rule: the socket was the kernel's once. */
static int refused(void)
{
	struct sockaddr_in nobody;
	int fd = new_socket(0);

	memcpy(&nobody, peer->ai_addr, sizeof(nobody));
	nobody.sin_port = htons(9);
	connect(fd, (struct sockaddr *)&nobody, sizeof(nobody));
	return between(way->send, sending, fd, connect_it);
}

static int connect_spare(int fd)
{
	(void)fd;
	return connect_it(spare);
}

static int duplicate(void)
{
	spare = new_socket(0);
	return between(way->send, sending, dup(spare), connect_spare);
}

/* The number is closed and used again. */
static int reuse(int fd)
{
	close(fd);
	if (new_socket(0) != fd) {
		errno = EBADF;
		return -1;
	}
	return connect_it(fd);
}

static int reused(void)
{
	return between(way->send, sending, open("/dev/null", O_WRONLY), reuse);
}

static int reused_socket(void)
{
	return between(way->send, sending, new_socket(0), reuse);
}

static int accept_as(int fd)
{
	close(fd);
	if (accept(spare, NULL, NULL) == fd)
		return 0;
	errno = EBADF;
	return -1;
}

static int accepted(void)
{
	struct sockaddr_in any = {.sin_family = AF_INET};
	int on = 1, fd;

	memcpy(&any.sin_port, &((const struct sockaddr_in *)(const void *)peer->ai_addr)->sin_port,
	       sizeof(any.sin_port));
	spare = new_socket(0);
	fd = open("/dev/null", O_WRONLY);
	setsockopt(spare, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(spare, (struct sockaddr *)&any, sizeof(any)) != 0 || listen(spare, 8) != 0)
		return -1;
	return between(way->send, sending, fd, accept_as);
}

static int put_spare(int fd)
{
	return dup2(spare, fd) == fd ? 0 : -1;
}

static int dup2_onto(void)
{
	spare = connected();
	return spare < 0 ? -1 : between(way->send, sending, open("/dev/null", O_WRONLY), put_spare);
}

static int await_connection(int fd)
{
	struct pollfd wanted = {.fd = fd, .events = POLLOUT};

	return poll(&wanted, 1, LONGEST_MS) == 1 ? 0 : -1;
}

static int connecting(void)
{
	int fd = new_socket(SOCK_NONBLOCK);

	if (connect_it(fd) != 0 && errno != EINPROGRESS)
		return -1;
	return between(way->send, sending, fd, await_connection);
}

static void *send_on(void *arg)
{
	way->send((int)(intptr_t)arg);
	return NULL;
}

/* Here the other call is held, and the application sends meanwhile; that may fail, or wait for it. */
static int send_now(int fd)
{
	if (pthread_create(&sender, NULL, send_on, (void *)(intptr_t)fd) != 0)
		return -1;
	usleep(SETTLE_US);
	return 0;
}

static ssize_t close_it(int fd)
{
	return close(fd);
}

static int closing(void)
{
	int fd = connected();

	return fd < 0 ? -1 : between(close_it, closing_calls, fd, send_now);
}

static ssize_t put_null(int fd)
{
	return dup2(spare, fd);
}

static int replacing(void)
{
	int fd = connected();

	spare = open("/dev/null", O_WRONLY);
	return fd < 0 ? -1 : between(put_null, replacing_calls, fd, send_now);
}

static ssize_t put_secured(int fd)
{
	return dup2(spare, fd);
}

static int putting(void)
{
	spare = connected();
	return spare < 0 ? -1 : between(put_secured, sealing_calls, open("/dev/null", O_WRONLY), send_now);
}

static const struct {
	const char *name;
	int (*run)(void);
} cases[] = {
	{"unconnected", unconnected}, {"bound", bound},	      {"refused", refused},
	{"duplicate", duplicate},     {"reused", reused},     {"reused-socket", reused_socket},
	{"dup2-onto", dup2_onto},     {"connecting", connecting}, {"closing", closing},
	{"replacing", replacing},     {"putting", putting},
};
#define ACCEPTED "accepted" /* not among them, since its peer is a client */
#define N_CASES (sizeof(cases) / sizeof(cases[0]))

static int list(bool of_ways)
{
	unsigned i;

	for (i = 0; i < (of_ways ? N_WAYS : N_CASES); i++)
		puts(of_ways ? ways[i].name : cases[i].name);
	return 0;
}

static const struct addrinfo *look_up(const char *host, const char *port)
{
	struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found;

	if (getaddrinfo(host, port, &hints, &found) != 0)
		errx(2, "%s", host);
	return found;
}

int main(int argc, char **argv)
{
	const char *marker = getenv("MARKER");
	unsigned i, at;

	if (argc == 2)
		return list(strcmp(argv[1], "ways") == 0);
	if (argc != 5 || !marker)
		errx(2, "usage: window CASE WAY HOST PORT");
	signal(SIGPIPE, SIG_IGN);
	peer = look_up(argv[3], argv[4]);
	len = (size_t)snprintf(text, sizeof(text), "%s-%s %s\n", argv[1], argv[2], marker);
	for (at = 0; at < N_WAYS && strcmp(ways[at].name, argv[2]) != 0; at++)
		;
	for (i = 0; i < N_CASES && strcmp(cases[i].name, argv[1]) != 0; i++)
		;
	if (at == N_WAYS || (i == N_CASES && strcmp(argv[1], ACCEPTED) != 0))
		errx(2, "%s %s", argv[1], argv[2]);
	way = &ways[at];
	if ((i < N_CASES ? cases[i].run : accepted)() == 0)
		return 0;
	warn("%s", argv[1]);
	return 1;
}
