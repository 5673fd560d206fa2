/* Sends a text over a connection in one of many ways, those included that go round the C library's own calls.
 *
 * usage: clear WAY HOST PORT     connects, and sends "WAY $MARKER" and a newline
 *        clear WAY listen PORT   accepts a connection, and sends the same
 *        clear list              prints the ways
 *        clear halfway WAY HOST PORT  the same while another thread is in connect()
 *        clear pinned WAY HOST PORT   likewise, with a socket that has an option of its own
 *        clear endless HOST PORT sends in all ways that leave the process as it is, again and again
 *
 * Prints "sent", or the error of what failed. */
#include <aio.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef HAVE_LIBURING
#include <liburing.h>
#endif

#include "pass_fd.h"

static char text[512];
static size_t len;
static const struct addrinfo *peer; /* of the connection that is to be made */

static int all(ssize_t n)
{
	return n == (ssize_t)len ? 0 : -1;
}

/* --- calls of the C library --- */

static int by_write(int fd)
{
	return all(write(fd, text, len));
}

static int by_writev(int fd)
{
	struct iovec iov[2] = {{text, 3}, {text + 3, len - 3}};

	return all(writev(fd, iov, 2));
}

static int by_pwritev2(int fd)
{
	struct iovec iov = {text, len};

	return all(pwritev2(fd, &iov, 1, -1, 0));
}

static int by_send(int fd)
{
	return all(send(fd, text, len, MSG_NOSIGNAL));
}

static int by_sendto(int fd)
{
	return all(sendto(fd, text, len, 0, NULL, 0));
}

static int by_sendmsg(int fd)
{
	struct iovec iov = {text, len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	return all(sendmsg(fd, &msg, 0));
}

static int by_sendmmsg(int fd)
{
	struct iovec iov[2] = {{text, 4}, {text + 4, len - 4}};
	struct mmsghdr msgs[2] = {{.msg_hdr = {.msg_iov = iov, .msg_iovlen = 1}},
				  {.msg_hdr = {.msg_iov = iov + 1, .msg_iovlen = 1}}};

	return sendmmsg(fd, msgs, 2, 0) == 2 ? 0 : -1;
}

static int by_more(int fd)
{
	if (send(fd, text, 5, MSG_MORE) != 5)
		return -1;
	return send(fd, text + 5, len - 5, 0) == (ssize_t)len - 5 ? 0 : -1;
}

static int file_with_text(void)
{
	FILE *file = tmpfile();

	if (!file || fwrite(text, 1, len, file) != len || fflush(file) != 0)
		err(1, "temporary file");
	return fileno(file);
}

static int by_sendfile(int fd)
{
	off_t from = 0;

	return all(sendfile(fd, file_with_text(), &from, len));
}

static int by_splice(int fd)
{
	int ends[2];

	if (pipe(ends) != 0 || write(ends[1], text, len) != (ssize_t)len)
		return -1;
	return all(splice(ends[0], NULL, fd, NULL, len, 0));
}

static int by_vmsplice(int fd)
{
	struct iovec iov = {text, len};
	int ends[2];

	if (pipe(ends) != 0 || vmsplice(ends[1], &iov, 1, 0) != (ssize_t)len)
		return -1;
	return all(splice(ends[0], NULL, fd, NULL, len, 0));
}

static int by_dup(int fd)
{
	return all(write(dup(fd), text, len));
}

static int by_dupfd(int fd)
{
	return all(write(fcntl(fd, F_DUPFD_CLOEXEC, 100), text, len));
}

static void *thread(void *arg)
{
	return (void *)(intptr_t)by_write((int)(intptr_t)arg);
}

static int by_thread(int fd)
{
	void *result = (void *)-1;
	pthread_t id;

	pthread_create(&id, NULL, thread, (void *)(intptr_t)fd);
	pthread_join(id, &result);
	return (int)(intptr_t)result;
}

static int handler_fd, handler_result;

static void handler(int sig)
{
	(void)sig;
	handler_result = by_write(handler_fd);
}

static int by_handler(int fd)
{
	handler_fd = fd;
	signal(SIGUSR1, handler);
	raise(SIGUSR1);
	return handler_result;
}

static int by_aio(int fd)
{
	struct aiocb cb = {.aio_fildes = fd, .aio_buf = text, .aio_nbytes = len};
	const struct aiocb *list[1] = {&cb};

	if (aio_write(&cb) != 0 || aio_suspend(list, 1, NULL) != 0)
		return -1;
	errno = aio_error(&cb);
	return errno ? -1 : 0;
}

/* --- behind the C library's back --- */

static int by_syscall_write(int fd)
{
	return all(syscall(SYS_write, fd, text, len));
}

static int by_syscall_writev(int fd)
{
	struct iovec iov = {text, len};

	return all(syscall(SYS_writev, fd, &iov, 1));
}

static int by_syscall_pwritev2(int fd)
{
	struct iovec iov = {text, len};

	return all(syscall(SYS_pwritev2, fd, &iov, 1, -1L, -1L, 0));
}

static int by_io_submit(int fd)
{
	struct iocb cb = {.aio_lio_opcode = IOCB_CMD_PWRITE,
			  .aio_fildes = (uint32_t)fd,
			  .aio_buf = (uintptr_t)text,
			  .aio_nbytes = len};
	struct iocb *list[1] = {&cb};
	aio_context_t context = 0;

	if (syscall(SYS_io_setup, 1, &context) != 0)
		return -1;
	return syscall(SYS_io_submit, context, 1, list) == 1 ? 0 : -1;
}

static int by_pidfd(int fd)
{
	int self = (int)syscall(SYS_pidfd_open, getpid(), 0);
	int copy = pidfd_getfd(self, fd, 0);

	return copy < 0 ? -1 : all(write(copy, text, len));
}

static int by_syscall_sendto(int fd)
{
	return all(syscall(SYS_sendto, fd, text, len, 0, NULL, 0));
}

static int by_syscall_sendmsg(int fd)
{
	struct iovec iov = {text, len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	return all(syscall(SYS_sendmsg, fd, &msg, 0));
}

static int by_syscall_sendfile(int fd)
{
	off_t from = 0;

	return all(syscall(SYS_sendfile, fd, file_with_text(), &from, len));
}

static int by_syscall_dup(int fd)
{
	int copy = (int)syscall(SYS_dup, fd);

	return copy < 0 ? -1 : all(write(copy, text, len));
}

/* The whole connection made by bare system calls. */
static int by_syscalls(int fd)
{
	int own = (int)syscall(SYS_socket, peer->ai_family, SOCK_STREAM, 0);

	(void)fd;
	if (syscall(SYS_connect, own, peer->ai_addr, peer->ai_addrlen) != 0)
		return -1;
	return all(syscall(SYS_write, own, text, len));
}

static int by_fastopen(int fd)
{
	int own = socket(peer->ai_family, SOCK_STREAM, 0);

	(void)fd;
	return all(sendto(own, text, len, MSG_FASTOPEN, peer->ai_addr, peer->ai_addrlen));
}

#ifdef HAVE_LIBURING
static int by_io_uring(int fd)
{
	struct io_uring ring;
	struct io_uring_cqe *cqe;
	int result = io_uring_queue_init(4, &ring, 0);

	if (result < 0) {
		errno = -result;
		return -1;
	}
	io_uring_prep_send(io_uring_get_sqe(&ring), fd, text, len, 0);
	io_uring_submit(&ring);
	io_uring_wait_cqe(&ring, &cqe);
	errno = cqe->res < 0 ? -cqe->res : 0;
	return all(cqe->res);
}
#endif

/* --- in the C library's inside --- */

static int by_fdopen(int fd)
{
	FILE *file = fdopen(fd, "r+");

	if (!file || fputs(text, file) < 0)
		return -1;
	return fclose(file);
}

static int by_dprintf(int fd)
{
	return all(dprintf(fd, "%s", text));
}

static int print_to(int fd, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vdprintf(fd, format, args);
	va_end(args);
	return n;
}

static int by_vdprintf(int fd)
{
	return all(print_to(fd, "%s", text));
}

/* printf(3) into the connection, and standard output back in its place. */
static int by_printf(int fd)
{
	int out = dup(STDOUT_FILENO), result = -1;

	fflush(stdout);
	if (dup2(fd, STDOUT_FILENO) == STDOUT_FILENO) {
		fputs(text, stdout);
		result = fflush(stdout);
	}
	dup2(out, STDOUT_FILENO);
	close(out);
	return result;
}

static int by_printf_closed(int fd)
{
	int out = dup(STDOUT_FILENO), result = -1;

	fflush(stdout);
	close(STDOUT_FILENO);
	if (dup(fd) == STDOUT_FILENO) {
		fputs(text, stdout);
		result = fflush(stdout);
	}
	dup2(out, STDOUT_FILENO);
	close(out);
	return result;
}

/* --- in other processes --- */

static int outcome(pid_t child)
{
	int status = -1;

	if (child < 0 || waitpid(child, &status, 0) != child)
		return -1;
	errno = WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
	return status == 0 ? 0 : -1;
}

static int by_child(int fd)
{
	pid_t child = fork();

	if (child == 0)
		_exit(by_write(fd) == 0 ? 0 : errno);
	return outcome(child);
}

static int by_grandchild(int fd)
{
	pid_t child = fork();

	if (child == 0)
		_exit(by_child(fd) == 0 ? 0 : errno);
	return outcome(child);
}

static int write_and_leave(void *arg)
{
	_exit(by_write((int)(intptr_t)arg) == 0 ? 0 : errno);
}

static int by_clone(int fd)
{
	static char stack[1 << 16] __attribute__((aligned(16)));

	return outcome(clone(write_and_leave, stack + sizeof(stack), SIGCHLD, (void *)(intptr_t)fd));
}

/* The child has had the socket since before it was connected. */
static int by_heir(int fd)
{
	int own = socket(peer->ai_family, SOCK_STREAM, 0), ends[2];
	char byte = 0;
	pid_t child;

	(void)fd;
	if (pipe(ends) != 0 || (child = fork()) < 0)
		return -1;
	if (child == 0)
		_exit(read(ends[0], &byte, 1) == 1 && by_write(own) == 0 ? 0 : errno);
	if (connect(own, peer->ai_addr, peer->ai_addrlen) != 0 || write(ends[1], &byte, 1) != 1)
		return -1;
	return outcome(child);
}

static int by_bare_fork(int fd)
{
	pid_t child = (pid_t)syscall(SYS_fork);

	if (child == 0)
		_exit(by_write(fd) == 0 ? 0 : errno);
	return outcome(child);
}

static const char *shell_command(int fd)
{
	static char command[1024];

	snprintf(command, sizeof(command), "printf '%%s' '%s' >&%d", text, fd);
	return command;
}

static int by_exec(int fd)
{
	pid_t child = fork();

	if (child == 0) {
		execl("/bin/sh", "sh", "-c", shell_command(fd), NULL);
		_exit(127);
	}
	return outcome(child);
}

static int by_exec_out(int fd)
{
	pid_t child = fork();

	if (child == 0) {
		dup2(fd, STDOUT_FILENO);
		execl("/bin/sh", "sh", "-c", shell_command(STDOUT_FILENO), NULL);
		_exit(127);
	}
	return outcome(child);
}

static int by_vfork(int fd)
{
	const char *command = shell_command(fd);
	pid_t child = vfork();

	if (child == 0) {
		execl("/bin/sh", "sh", "-c", command, NULL);
		_exit(127);
	}
	return outcome(child);
}

static int by_spawn(int fd)
{
	char *argv[] = {"sh", "-c", (char *)(uintptr_t)shell_command(STDOUT_FILENO), NULL};
	posix_spawn_file_actions_t actions;
	pid_t child = -1;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fd, STDOUT_FILENO);
	errno = posix_spawn(&child, "/bin/sh", &actions, NULL, argv, environ);
	return errno ? -1 : outcome(child);
}

static int by_system(int fd)
{
	int status = system(shell_command(fd));

	errno = WEXITSTATUS(status);
	return status == 0 ? 0 : -1;
}

static int by_popen(int fd)
{
	char command[32];
	FILE *pipe;
	int status;

	snprintf(command, sizeof(command), "cat >&%d", fd);
	pipe = popen(command, "w");
	if (!pipe)
		return -1;
	fputs(text, pipe);
	status = pclose(pipe);
	errno = WEXITSTATUS(status);
	return status == 0 ? 0 : -1;
}

/* The helper was there before the connection: it knows nothing of it. */
static int helper = -1;
static pid_t helper_pid;

static void start_helper(void)
{
	int pair[2], fd;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0)
		err(1, "socketpair");
	helper_pid = fork();
	if (helper_pid == 0) {
		close(pair[1]);
		fd = receive_fd(pair[0]);
		_exit(fd >= 0 && by_syscall_write(fd) == 0 ? 0 : fd < 0 ? EBADF : errno);
	}
	close(pair[0]);
	helper = pair[1];
}

static int by_passing(int fd)
{
	if (pass_fd(helper, fd) != 1)
		return -1;
	return outcome(helper_pid);
}

static const struct way {
	const char *name;
	int (*send)(int fd);
	bool stays; /* leaves the descriptor as it is, and can be done again */
	bool dials; /* makes a connection of its own */
} ways[] = {
	{"write", by_write, true, false},
	{"writev", by_writev, true, false},
	{"pwritev2", by_pwritev2, true, false},
	{"send", by_send, true, false},
	{"sendto", by_sendto, true, false},
	{"sendmsg", by_sendmsg, true, false},
	{"sendmmsg", by_sendmmsg, true, false},
	{"MSG_MORE", by_more, true, false},
	{"sendfile", by_sendfile, true, false},
	{"splice", by_splice, true, false},
	{"vmsplice", by_vmsplice, true, false},
	{"dup", by_dup, true, false},
	{"F_DUPFD", by_dupfd, true, false},
	{"thread", by_thread, true, false},
	{"handler", by_handler, true, false},
	{"aio_write", by_aio, false, false},
	{"io_submit", by_io_submit, false, false},
	{"pidfd_getfd", by_pidfd, false, false},
	{"SYS_pwritev2", by_syscall_pwritev2, true, false},
	{"SYS_write", by_syscall_write, true, false},
	{"SYS_writev", by_syscall_writev, true, false},
	{"SYS_sendto", by_syscall_sendto, true, false},
	{"SYS_sendmsg", by_syscall_sendmsg, true, false},
	{"SYS_sendfile", by_syscall_sendfile, true, false},
	{"SYS_dup", by_syscall_dup, true, false},
	{"SYS_connect", by_syscalls, false, true},
	{"MSG_FASTOPEN", by_fastopen, false, true},
#ifdef HAVE_LIBURING
	{"io_uring", by_io_uring, false, false},
#endif
	{"fdopen", by_fdopen, false, false},
	{"dprintf", by_dprintf, false, false},
	{"vdprintf", by_vdprintf, false, false},
	{"printf", by_printf, false, false},
	{"close-dup-printf", by_printf_closed, false, false},
	{"fork", by_child, false, false},
	{"fork-fork", by_grandchild, false, false},
	{"SYS_fork", by_bare_fork, false, false},
	{"clone", by_clone, false, false},
	{"heir", by_heir, false, true},
	{"exec", by_exec, false, false},
	{"dup2-exec", by_exec_out, false, false},
	{"vfork-exec", by_vfork, false, false},
	{"posix_spawn", by_spawn, false, false},
	{"system", by_system, false, false},
	{"popen", by_popen, false, false},
	{"SCM_RIGHTS", by_passing, false, false},
};
#define WAYS (sizeof(ways) / sizeof(*ways))

static int dial(const struct addrinfo *a)
{
	int fd = socket(a->ai_family, a->ai_socktype, 0);

	if (connect(fd, a->ai_addr, a->ai_addrlen) != 0)
		err(1, "connect");
	return fd;
}

static int listen_on(const char *port)
{
	struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)atoi(port))};
	int fd = socket(AF_INET6, SOCK_STREAM, 0), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&any, sizeof(any)) != 0 || listen(fd, 1) != 0)
		err(1, "port %s", port);
	return fd;
}

static const struct addrinfo *find_peer(const char *host, const char *port)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list;

	if (getaddrinfo(host, port, &hints, &list) != 0)
		errx(1, "%s: no address", host);
	return list;
}

static void prepare(const char *name)
{
	const char *marker = getenv("MARKER");

	len = (size_t)snprintf(text, sizeof(text), "%s %s\n", name, marker ? marker : "");
}

static void once(const struct way *way, int listener)
{
	int fd = -1;

	prepare(way->name);
	start_helper();
	if (listener >= 0)
		fd = accept(listener, NULL, NULL);
	else if (!way->dials)
		fd = dial(peer);
	errno = 0;
	if (way->send(fd) == 0)
		puts("sent");
	else
		puts(strerrorname_np(errno) ? strerrorname_np(errno) : "failed");
}

static void *connect_slowly(void *arg)
{
	connect((int)(intptr_t)arg, peer->ai_addr, peer->ai_addrlen);
	return NULL;
}

static void halfway(const struct way *way, bool pinned)
{
	int fd = socket(peer->ai_family, peer->ai_socktype, 0), one = 1;
	pthread_t id;

	if (way->dials)
		return;
	prepare(way->name);
	start_helper();
	if (pinned && setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one)) != 0)
		err(1, "SO_ZEROCOPY");
	pthread_create(&id, NULL, connect_slowly, (void *)(intptr_t)fd);
	usleep(200000);
	puts(way->send(fd) == 0 ? "sent" : "not sent");
}

static void endless(void)
{
	int fd = dial(peer);
	size_t i;

	puts("connected");
	fflush(stdout);
	for (i = 0;; i = (i + 1) % WAYS) {
		prepare(ways[i].name);
		if (ways[i].stays && ways[i].send(fd) != 0)
			err(1, "%s", ways[i].name);
	}
}

static const struct way *way_of(const char *name)
{
	size_t i;

	for (i = 0; i < WAYS; i++)
		if (strcmp(name, ways[i].name) == 0)
			return &ways[i];
	errx(1, "%s: no such way", name);
}

int main(int argc, char **argv)
{
	int listener = -1;
	size_t i;

	signal(SIGPIPE, SIG_IGN);
	if (argc == 2)
		for (i = 0; i < WAYS; i++)
			puts(ways[i].name);
	if (argc < 4)
		return argc != 2;
	if (strcmp(argv[argc - 2], "listen") == 0)
		listener = listen_on(argv[argc - 1]);
	else
		peer = find_peer(argv[argc - 2], argv[argc - 1]);
	if (strcmp(argv[1], "endless") == 0)
		endless();
	if (argc == 5)
		halfway(way_of(argv[2]), strcmp(argv[1], "pinned") == 0);
	else
		once(way_of(argv[1]), listener);
	return 0;
}
