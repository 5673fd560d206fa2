/* What the socket programs of this folder share: the address of the test server, and the printing of facts.
 *
 * A program is called as `NAME HOST PORT`, and prints only what must be the same in every run: results, the
 * names of errors, event masks, bytes, flags; no times, no ephemeral ports, no numbers of descriptors but
 * those that POSIX fixes.  Without arguments it starts a server of its own on loopback. */
#ifndef TESTS_PRELOAD_NET_H
#define TESTS_PRELOAD_NET_H

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

/* What the server does, by port: the first port plus this. */
enum service {
	ECHO,   /* sends back what it gets, until end of file; also over UDP */
	COUNT,  /* reads until end of file, then says how many bytes came */
	GREET,  /* says "hello\n" and sends end of file at once */
	RESET,  /* resets at once */
	FLOOD,  /* sends FLOOD_SIZE bytes of flood_byte(), then end of file */
	DRIP,   /* sends "0123456789", a byte every 10 ms, then end of file */
	SINK,   /* never reads */
	URGENT, /* sends "ab", out of band "!", "cd"; then waits for end of file */
	SLOW,   /* ECHO; the first SYN of each connection is lost, so that connecting takes a second */
	DEAD,   /* every packet is lost */
	NOBODY, /* nothing listens */
	SERVICES
};

#define FLOOD_SIZE 262144u

static inline unsigned char flood_byte(size_t at)
{
	return (unsigned char)(at * 7 + at / 256);
}

/* A remote address with its length. */
struct peer {
	struct sockaddr_storage addr;
	socklen_t len;
};

/* Sets up output and remembers where the server is; starts one where there are no arguments.  Call it first.
 */
void net_start(int argc, char **argv);
/* Whether packets to SLOW and DEAD are lost; not so with the program's own server. */
bool net_loses(void);
/* The arguments that net_start saw or made up, for a program that starts itself again. */
const char *net_host(void);
const char *net_port(void);

/* The path of a program in the folder of this one, in a buffer of its own. */
const char *net_program(const char *name);

/* Looks the server up, as programs do before each connect, and takes the first answer. */
struct peer net_peer(enum service service);
/* The same for datagrams. */
struct peer net_peer_udp(enum service service);
/* A stream socket of the peer's family; flags are SOCK_NONBLOCK, SOCK_CLOEXEC. */
int net_socket(const struct peer *peer, int flags);
/* Connects and prints; leaves the process when that fails. */
int net_connect(enum service service);
/* The same, silently. */
int net_connect_quiet(enum service service);
/* Connect on an open socket. */
int peer_connect(int fd, const struct peer *peer);
/* A socket that listens on a loopback port which the kernel chooses; its address in *ret. */
int net_listen(struct peer *ret);

/* Runs the call with errno cleared, and prints "CALL = RESULT", with the error's name. */
#define SHOW(call) (errno = 0, show(#call, (long)(call)))
long show(const char *what, long result);
/* A line of output, or a title. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* "POLLIN|POLLOUT", in one of four buffers of the thread's own, used in turn; epoll's bits have the same
 * names. */
const char *mask_text(uint32_t mask);
/* Waits at most `ms` for the events on one descriptor by poll(2), and prints what came. */
int show_poll(int fd, short events, int ms);
/* Reads once or more, until `len` bytes or the end are there, and prints them as text. */
void show_read(int fd, size_t len);
/* Sends the text and prints what comes back. */
void show_echo(int fd, const char *text);
/* Prints an int option; bool-like when the kernel's number depends on the machine. */
void show_option(int fd, const char *title, int level, int name);
/* Prints SO_ERROR by name. */
void show_error(int fd);
/* Prints F_GETFL and F_GETFD by names. */
void show_flags(int fd);
/* Prints the family of both ends, whether the peer's port is the server's, and whether the local one is set.
 */
void show_names(int fd, enum service service);
/* A number of which the compiler knows nothing: it would warn of some arguments, or check fewer. */
static inline long opaque(long value)
{
	volatile long hidden = value;

	return hidden;
}
/* Milliseconds of sleep. */
void pause_ms(int ms);
/* Leaves the process with a message on standard error unless the condition holds. */
void need(bool condition, const char *what);
/* Waits for a child and prints how it ended. */
void show_wait(pid_t pid);

/* Runs the services on ports first…first+SERVICES-1 of every local address; never returns. */
void serve(int first_port);
/* A port such that it and the following SERVICES-1 are free. */
int serve_find_ports(void);

#endif
