/* syscall(2) as a door: programs reach sockets and descriptors through it too (libuv closes with
 * SYS_close).  The numbers that concern the table go to the hooks; every other number goes on with
 * its six arguments untouched. */
#include "shim/real.h"

#include <errno.h>
#include <linux/sched.h>
#include <sys/syscall.h>

#include "shim/fdtab.h"
#include "shim/secured.h"

#define P(type, value) ((type)(value))

static long door_socket(const long *a)
{
	return hook_socket((int)a[0], (int)a[1], (int)a[2]);
}

static long door_connect(const long *a)
{
	return hook_connect((int)a[0], P(const struct sockaddr *, a[1]), (socklen_t)a[2]);
}

static long door_bind(const long *a)
{
	return hook_bind((int)a[0], P(const struct sockaddr *, a[1]), (socklen_t)a[2]);
}

static long door_listen(const long *a)
{
	return hook_listen((int)a[0], (int)a[1]);
}

static long door_accept4(const long *a)
{
	return hook_accept4((int)a[0], P(struct sockaddr *, a[1]), P(socklen_t *, a[2]), (int)a[3]);
}

static long door_getsockname(const long *a)
{
	return hook_getsockname((int)a[0], P(struct sockaddr *, a[1]), P(socklen_t *, a[2]));
}

static long door_getpeername(const long *a)
{
	return hook_getpeername((int)a[0], P(struct sockaddr *, a[1]), P(socklen_t *, a[2]));
}

static long door_setsockopt(const long *a)
{
	return hook_setsockopt((int)a[0], (int)a[1], (int)a[2], P(const void *, a[3]), (socklen_t)a[4]);
}

static long door_getsockopt(const long *a)
{
	return hook_getsockopt((int)a[0], (int)a[1], (int)a[2], P(void *, a[3]), P(socklen_t *, a[4]));
}

static long door_shutdown(const long *a)
{
	return hook_shutdown((int)a[0], (int)a[1]);
}

static long door_ioctl(const long *a)
{
	return hook_ioctl((int)a[0], (unsigned long)a[1], P(void *, a[2]));
}

static long door_fcntl(const long *a)
{
	return hook_fcntl((int)a[0], (int)a[1], a[2]);
}

static long door_read(const long *a)
{
	return hook_read((int)a[0], P(void *, a[1]), (size_t)a[2]);
}

static long door_readv(const long *a)
{
	return hook_readv((int)a[0], P(const struct iovec *, a[1]), (int)a[2]);
}

static long door_recvfrom(const long *a)
{
	return hook_recvfrom((int)a[0], P(void *, a[1]), (size_t)a[2], (int)a[3], P(struct sockaddr *, a[4]),
			     P(socklen_t *, a[5]));
}

static long door_recvmsg(const long *a)
{
	return hook_recvmsg((int)a[0], P(struct msghdr *, a[1]), (int)a[2]);
}

static long door_write(const long *a)
{
	return hook_write((int)a[0], P(const void *, a[1]), (size_t)a[2]);
}

static long door_writev(const long *a)
{
	return hook_writev((int)a[0], P(const struct iovec *, a[1]), (int)a[2]);
}

static long door_sendto(const long *a)
{
	return hook_sendto((int)a[0], P(const void *, a[1]), (size_t)a[2], (int)a[3],
			   P(const struct sockaddr *, a[4]), (socklen_t)a[5]);
}

static long door_sendmsg(const long *a)
{
	return hook_sendmsg((int)a[0], P(const struct msghdr *, a[1]), (int)a[2]);
}

static long door_sendmmsg(const long *a)
{
	return hook_sendmmsg((int)a[0], P(struct mmsghdr *, a[1]), (unsigned)a[2], (int)a[3]);
}

static long door_recvmmsg(const long *a)
{
	return hook_recvmmsg((int)a[0], P(struct mmsghdr *, a[1]), (unsigned)a[2], (int)a[3],
			     P(struct timespec *, a[4]));
}

static long door_sendfile(const long *a)
{
	return hook_sendfile((int)a[0], (int)a[1], P(off_t *, a[2]), (size_t)a[3]);
}

static long door_splice(const long *a)
{
	return hook_splice((int)a[0], P(off_t *, a[1]), (int)a[2], P(off_t *, a[3]), (size_t)a[4],
			   (unsigned)a[5]);
}

static long door_epoll_ctl(const long *a)
{
	return hook_epoll_ctl((int)a[0], (int)a[1], (int)a[2], P(struct epoll_event *, a[3]));
}

static long door_dup(const long *a)
{
	return hook_dup((int)a[0]);
}

static long door_dup3(const long *a)
{
	return hook_dup3((int)a[0], (int)a[1], (int)a[2]);
}

static long door_close(const long *a)
{
	return hook_close((int)a[0]);
}

static long door_close_range(const long *a)
{
	return hook_close_range((unsigned)a[0], (unsigned)a[1], (int)a[2]);
}

static long door_execve(const long *a)
{
	return hook_execve(P(const char *, a[0]), P(char *const *, a[1]), P(char *const *, a[2]));
}

static long door_execveat(const long *a)
{
	return hook_execveat((int)a[0], P(const char *, a[1]), P(char *const *, a[2]), P(char *const *, a[3]),
			     (int)a[4]);
}

#ifdef SYS_accept
static long door_accept(const long *a)
{
	return hook_accept((int)a[0], P(struct sockaddr *, a[1]), P(socklen_t *, a[2]));
}
#endif

#ifdef SYS_dup2
static long door_dup2(const long *a)
{
	return hook_dup2((int)a[0], (int)a[1]);
}
#endif

#ifdef SYS_poll
static long door_poll(const long *a)
{
	return hook_poll(P(struct pollfd *, a[0]), (nfds_t)a[1], (int)a[2]);
}
#endif

/* A child made past the C library has a table of its own. */
static long in_child(long result)
{
	if (result == 0)
		fdtab_part_process();
	return result;
}

static long door_clone(const long *a)
{
	fdtab_note_fork();
	return in_child(real.syscall(SYS_clone, a[0], a[1], a[2], a[3], a[4], a[5]));
}

#ifdef SYS_fork
static long door_fork(const long *a)
{
	(void)a;
	fdtab_note_fork();
	return in_child(real.syscall(SYS_fork, 0, 0, 0, 0, 0, 0));
}
#endif

/* The kernel takes the offset in two halves, of which 64-bit machines use the first. */
static long door_preadv2(const long *a)
{
	return hook_preadv2((int)a[0], P(const struct iovec *, a[1]), (int)a[2], (off_t)a[3], (int)a[5]);
}

static long door_pwritev2(const long *a)
{
	return hook_pwritev2((int)a[0], P(const struct iovec *, a[1]), (int)a[2], (off_t)a[3], (int)a[5]);
}

static long door_pidfd_getfd(const long *a)
{
	return hook_pidfd_getfd((int)a[0], (int)a[1], (unsigned)a[2]);
}

/* Rings and contexts move bytes past every call. */
static long past_every_call(long number, const long *a)
{
	if (secured_by_rule()) {
		errno = ENOSYS;
		return -1;
	}
	return real.syscall(number, a[0], a[1], 0, 0, 0, 0);
}

static long door_io_uring_setup(const long *a)
{
	return past_every_call(SYS_io_uring_setup, a);
}

static long door_io_setup(const long *a)
{
	return past_every_call(SYS_io_setup, a);
}

#define DOORS 512

static long (*const doors[DOORS])(const long *a) = {
	[SYS_socket] = door_socket,	      [SYS_connect] = door_connect,
	[SYS_bind] = door_bind,		      [SYS_listen] = door_listen,
	[SYS_accept4] = door_accept4,	      [SYS_getsockname] = door_getsockname,
	[SYS_getpeername] = door_getpeername, [SYS_setsockopt] = door_setsockopt,
	[SYS_getsockopt] = door_getsockopt,   [SYS_shutdown] = door_shutdown,
	[SYS_ioctl] = door_ioctl,	      [SYS_fcntl] = door_fcntl,
	[SYS_read] = door_read,		      [SYS_readv] = door_readv,
	[SYS_recvfrom] = door_recvfrom,	      [SYS_recvmsg] = door_recvmsg,
	[SYS_recvmmsg] = door_recvmmsg,	      [SYS_write] = door_write,
	[SYS_writev] = door_writev,	      [SYS_sendto] = door_sendto,
	[SYS_sendmsg] = door_sendmsg,	      [SYS_sendmmsg] = door_sendmmsg,
	[SYS_sendfile] = door_sendfile,	      [SYS_splice] = door_splice,
	[SYS_epoll_ctl] = door_epoll_ctl,     [SYS_dup] = door_dup,
	[SYS_dup3] = door_dup3,		      [SYS_close] = door_close,
	[SYS_close_range] = door_close_range, [SYS_execve] = door_execve,
	[SYS_execveat] = door_execveat,       [SYS_clone] = door_clone,
	[SYS_io_uring_setup] = door_io_uring_setup, [SYS_io_setup] = door_io_setup,
	[SYS_preadv2] = door_preadv2,	      [SYS_pwritev2] = door_pwritev2,
	[SYS_pidfd_getfd] = door_pidfd_getfd,
#ifdef SYS_accept
	[SYS_accept] = door_accept,
#endif
#ifdef SYS_dup2
	[SYS_dup2] = door_dup2,
#endif
#ifdef SYS_poll
	[SYS_poll] = door_poll,
#endif
#ifdef SYS_fork
	[SYS_fork] = door_fork,
#endif
};

static long through_door(long number, long a, long b, long c, long d, long e, long f)
{
	const long args[] = {a, b, c, d, e, f};

	return doors[number](args);
}

/* A child that shares the memory must not come back through frames of ours: such a call is passed
 * on as a jump. */
long hook_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	if (number < 0 || number >= DOORS || !doors[number] || (number == SYS_clone && (a & CLONE_VM)))
		return real.syscall(number, a, b, c, d, e, f);
	return through_door(number, a, b, c, d, e, f);
}
