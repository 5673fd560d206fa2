/* The contract between the preloaded shim and the lazily loaded core.
 *
 * This is the only header that the two share.  The shim hands the core a `struct taps_host`:
 * the C library's real functions (never the shim's own wrappers), and the operations on the
 * application's descriptors.  The core hands back a `struct taps_core`.  Both carry a version
 * and a size, so that a shim and a core of different builds refuse each other.
 *
 * Errors: unless said otherwise a function returns a value >= 0, or -errno.  errno itself is
 * set in one place, at the shim's edge. */
#ifndef TAPS_CORE_API_H
#define TAPS_CORE_API_H

#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

#define TAPS_API_VERSION 1u

/* Returned by a core operation that leaves the call to the kernel: the shim then makes the
 * application's own call, unchanged.  It is no errno value. */
#define TAPS_PASS (-4096)

/* Every C library function that the core calls with effect on descriptors or processes.
 * X(return type, name, parameters).  The pointers have the C library's contracts: -1 and errno. */
#define TAPS_HOST_CALLS(X) \
	X(int, socket, (int, int, int)) \
	X(int, socketpair, (int, int, int, int[2])) \
	X(int, connect, (int, const struct sockaddr *, socklen_t)) \
	X(int, bind, (int, const struct sockaddr *, socklen_t)) \
	X(int, shutdown, (int, int)) \
	X(int, getsockopt, (int, int, int, void *, socklen_t *)) \
	X(int, setsockopt, (int, int, int, const void *, socklen_t)) \
	X(int, getsockname, (int, struct sockaddr *, socklen_t *)) \
	X(int, getpeername, (int, struct sockaddr *, socklen_t *)) \
	X(ssize_t, send, (int, const void *, size_t, int)) \
	X(ssize_t, recv, (int, void *, size_t, int)) \
	X(ssize_t, sendto, (int, const void *, size_t, int, const struct sockaddr *, socklen_t)) \
	X(ssize_t, recvfrom, (int, void *, size_t, int, struct sockaddr *, socklen_t *)) \
	X(ssize_t, sendmsg, (int, const struct msghdr *, int)) \
	X(ssize_t, recvmsg, (int, struct msghdr *, int)) \
	X(ssize_t, read, (int, void *, size_t)) \
	X(ssize_t, write, (int, const void *, size_t)) \
	X(int, poll, (struct pollfd *, nfds_t, int)) \
	X(int, ppoll, (struct pollfd *, nfds_t, const struct timespec *, const sigset_t *)) \
	X(int, fcntl, (int, int, ...)) \
	X(int, ioctl, (int, unsigned long, ...)) \
	X(int, dup3, (int, int, int)) \
	X(int, close, (int)) \
	X(int, close_range, (unsigned int, unsigned int, int)) \
	X(int, epoll_create1, (int)) \
	X(int, epoll_ctl, (int, int, int, struct epoll_event *)) \
	X(int, epoll_wait, (int, struct epoll_event *, int, int)) \
	X(pid_t, fork, (void)) \
	X(int, getaddrinfo, (const char *, const char *, const struct addrinfo *, struct addrinfo **)) \
	X(void, freeaddrinfo, (struct addrinfo *)) \
	X(void *, malloc, (size_t)) \
	X(void *, calloc, (size_t, size_t)) \
	X(void *, realloc, (void *, size_t)) \
	X(void, free, (void *)) \
	X(int, posix_memalign, (void **, size_t, size_t)) \
	X(void *, aligned_alloc, (size_t, size_t)) \
	X(void *, memalign, (size_t, size_t)) \
	X(size_t, malloc_usable_size, (void *))

/* What a slot is going through.  A slot without any of these bits costs the application
 * nothing but the look-up. */
enum taps_slot_flag {
	SLOT_CONNECTING = 1u << 0, /* a placeholder is under the descriptor, the race goes on behind it */
	SLOT_FAILED = 1u << 1,     /* the race failed; the dead placeholder is under the descriptor */
	SLOT_LAYERED = 1u << 2,    /* bytes pass through layers of the core (TLS, framers) */
	SLOT_DISGUISED = 1u << 3,  /* names and domain are answered by the core, not by the kernel */
	SLOT_BOUND = 1u << 4,      /* the application bound an address, leaving the port open */
	SLOT_BOUND_PORT = 1u << 5, /* the application bound a port */
	SLOT_PINNED = 1u << 6,     /* an option that cannot be carried over was set: never race */
	SLOT_PLAIN = 1u << 9,      /* connecting or connected: the kernel's alone from here on */
	SLOT_OPTIONS = 1u << 7,    /* an option was set since the candidates were made */
	SLOT_BUSY = 1u << 10,      /* a thread is inside connect() on it, racing */
	SLOT_UNSEEN = 1u << 12,    /* there may be descriptors of it that the shim does not know */
	SLOT_SHARED = 1u << 14,    /* another process may have descriptors of it */
	SLOT_SECURING = 1u << 13,  /* a blocking connect() is in its handshake: no byte passes */
	SLOT_LISTENING = 1u << 8,  /* a listener whose connections the core layers */
	SLOT_RELAY = 1u << 11,     /* bytes may move where the shim does not see: once layered, by a relay */
};
#define SLOT_SPECIAL (SLOT_CONNECTING | SLOT_FAILED | SLOT_LAYERED | SLOT_DISGUISED | SLOT_SECURING)
/* Calls that move bytes or shut down must ask the core. */
#define SLOT_DATA (SLOT_CONNECTING | SLOT_FAILED | SLOT_LAYERED | SLOT_SECURING)
/* The network's file must not get into another program. */
#define SLOT_SEALED (SLOT_LAYERED | SLOT_SECURING)

/* One socket of the application, shared by all of its duplicates in this process.
 * Memory is type-stable: a slot is reused but never unmapped, so flags may be read without a
 * reference.  Everything but `flags` is changed under the host's lock. */
struct taps_slot {
	_Atomic uint32_t flags;      /* bits of enum taps_slot_flag */
	_Atomic uint32_t refs;       /* one for each descriptor and each call under way */
	uint16_t domain;             /* as the application asked for it: AF_INET or AF_INET6 */
	uint16_t type;               /* SOCK_STREAM or SOCK_DGRAM, without flags */
	uint16_t protocol;           /* as given to socket(); 0 is the type's default */
	int own_fd; /* while CONNECTING or FAILED: the application's original file; else -1 */
	void *_Atomic conn;          /* the core's connection, or NULL; the slot holds one reference */
	void *former;                /* likewise: those it had before, which calls may still be in */
};

/* Log levels: SAY is always printed on stderr (refusals), NOTE under --verbose. */
enum taps_log_level { TAPS_LOG_SAY, TAPS_LOG_NOTE };

/* What the shim gives to the core. */
struct taps_host {
	uint32_t version; /* TAPS_API_VERSION */
	uint32_t size;    /* sizeof(struct taps_host) */

#define TAPS_FIELD(ret, name, params) ret(*name) params;
	TAPS_HOST_CALLS(TAPS_FIELD)
#undef TAPS_FIELD

	/* The process's environment as the constructor saw it; not to be modified. */
	char *const *environment;

	/* Memory that is shared with the children this process forks (mmap(2)), zeroed at start; or NULL. */
	void *shared;
	size_t shared_size;
	pid_t started_as; /* the process that the memory was made in */

	/* Moves a descriptor of the core's out of the application's way: to a high number, with
	 * FD_CLOEXEC, and remembers it as the product's own, so that closefrom and close_range
	 * spare it.  Takes ownership of fd; returns the new number, or -errno with fd closed. */
	int (*fd_keep)(int fd);
	/* Closes a descriptor that fd_keep returned.  Any thread. */
	void (*fd_drop)(int fd);

	/* The one lock over slots' descriptors, registrations and states: taken for every change
	 * that more than one step makes up.  Re-entrant for a signal handler of its holder.  Never
	 * held over a blocking call. */
	void (*lock)(void);
	void (*unlock)(void);

	/* Puts the file behind `fd` under every descriptor of the slot: takes the descriptors out of
	 * every epoll set, duplicates, puts them back (epoll_ctl(2), dup(2)); carries over
	 * FD_CLOEXEC of each.  With `take` fd, which may be one of fd_keep's, is closed on success before
	 * they are put back: who hears of the new file may close its own at once, and must not hear of it
	 * any more (epoll(7), Q6).  Else, and on failure, it stays open and the caller's.  With the lock
	 * held.  Returns the number of descriptors replaced, or -errno. */
	int (*slot_replace)(struct taps_slot *slot, int fd, bool take);
	/* Sets on `fd` the socket options that the application set on the slot, reading them from the
	 * file behind `from` (the slot's original file).  Best effort: an option that the other family's
	 * socket lacks is left out. */
	void (*slot_options)(const struct taps_slot *slot, int from, int fd);
	/* Is any descriptor of the slot in an epoll set, for all that is known? */
	bool (*slot_watched)(const struct taps_slot *slot);
	/* One of the slot's descriptors, or -1.  With the lock held. */
	int (*slot_fd)(const struct taps_slot *slot);
	/* Is a call under way on one of the slot's descriptors that went past the core, and may land on
	 * whatever file is under the number, or was?  With a flag of SLOT_DATA set before, none begins any
	 * more.  With the lock held. */
	bool (*slot_in_flight)(const struct taps_slot *slot);
	/* Is fd a descriptor of the slot? */
	bool (*slot_has)(const struct taps_slot *slot, int fd);
	/* Reference counting; the last reference lets the core's connection go
	 * (taps_core.released) and recycles the slot.  Async-signal-safe. */
	void (*slot_ref)(struct taps_slot *slot);
	/* A reference, unless the slot is on its way out or was recycled for another socket: it must still
	 * hold `conn`. */
	bool (*slot_hold)(struct taps_slot *slot, const void *conn);
	void (*slot_unref)(struct taps_slot *slot);
	/* Sets and clears bits of slot->flags; the only way to change them. */
	void (*slot_flags)(struct taps_slot *slot, uint32_t set, uint32_t clear);
	/* Makes the slot's descriptors unmanaged: from here on they are the kernel's alone.
	 * With the lock held. */
	void (*slot_forget)(struct taps_slot *slot);

	/* The process that this memory belongs to: getpid(2) without the call. */
	pid_t (*process)(void);

	/* Whether this thread is inside the core: connects of signal handlers then go straight to the
	 * kernel, since a lock may be held.  A driver that waits without any lock leaves meanwhile. */
	void (*enter)(void);
	void (*leave)(void);

	/* One line on stderr, or in the trace; never into a descriptor of the application's. */
	void (*log)(enum taps_log_level level, const char *format, va_list args);
};

/* What a connect() call is about. */
struct taps_connect_call {
	struct taps_slot *slot; /* referenced by the caller for the length of the call */
	int fd;                 /* the descriptor that the application named */
	const struct sockaddr *addr;
	socklen_t len;
};

/* What the core gives to the shim. */
struct taps_core {
	uint32_t version; /* TAPS_API_VERSION */
	uint32_t size;    /* sizeof(struct taps_core) */

	/* connect(2) on a stream or datagram socket.  Returns 0, -errno (-EINPROGRESS for a
	 * non-blocking socket), or TAPS_PASS.  Blocks as the application's own call would. */
	int (*connect)(const struct taps_connect_call *call);
	/* A second connect(2) while CONNECTING, BUSY or DISGUISED, or after FAILED. */
	int (*reconnect)(const struct taps_connect_call *call);

	/* Waits until the race behind a CONNECTING, BUSY or SECURING slot is over; for a blocking call on
	 * its descriptor fd.  Returns 0 (the slot is none of these any more), or -errno: -EINTR, -EALREADY
	 * when the time limit (SO_SNDTIMEO) is over, or at once where this very thread is in the connect(),
	 * below a signal handler, -EIO where that is another process's. */
	int (*settle)(struct taps_slot *slot, int fd);
	/* The pending error of a FAILED slot, once: an errno value, then 0 (socket(7), SO_ERROR). */
	int (*take_error)(struct taps_slot *slot);
	/* Gives up the race and puts the application's own file back under its descriptors, with an attempt
	 * to the address that the application passed under way.  For shutdown, exec, passing,
	 * connect(AF_UNSPEC); of a DISGUISED slot for the last alone: a new socket of the application's
	 * family takes the place. */
	void (*restore)(struct taps_slot *slot);
	/* The last descriptor is gone, or the slot was forgotten.  Takes the slot's reference to
	 * `conn`, or those to `former`.  Async-signal-safe: it only marks and wakes. */
	void (*released)(void *conn);

	/* LAYERED slots.  recvmsg(2) and sendmsg(2) with their flags, shutdown(2), FIONREAD; -errno.  The
	 * caller raises SIGPIPE. */
	ssize_t (*recv)(struct taps_slot *slot, int fd, struct msghdr *msg, int flags);
	ssize_t (*send)(struct taps_slot *slot, int fd, const struct msghdr *msg, int flags);
	int (*shutdown)(struct taps_slot *slot, int fd, int how);
	size_t (*pending)(struct taps_slot *slot, int fd);
	/* setsockopt(2) of what the core has a part in: 0, -errno, or TAPS_PASS: the kernel is asked too. */
	int (*setsockopt)(struct taps_slot *slot, int fd, int level, int name, const void *value,
			  socklen_t len);
	/* SO_RCVLOWAT of the application's (socket(7)). */
	int (*lowat)(struct taps_slot *slot);
	/* The kernel says that fd is readable: is it, to the application?  1 or 0. */
	int (*readable)(struct taps_slot *slot, int fd);
	/* The slot's last descriptor is about to be closed: says goodbye to the peer; what the kernel did not
	 * take yet goes on behind.  `parting`: since the process ends; then parting() comes after all of
	 * them, and sees to it that peers get everything. */
	void (*ending)(struct taps_slot *slot, int fd, bool parting);
	void (*parting)(void);
	/* exit(3), after that: nothing goes on behind the application. */
	void (*exiting)(void);
	/* A LAYERED descriptor is about to get out of the shim's sight: a relay takes the connection over,
	 * the slot is only DISGUISED then.  With `if_used`, only where this process made or used the
	 * connection: -EPERM else.  0, or -errno: the caller must not let it out. */
	int (*escape)(struct taps_slot *slot, bool if_used);
	/* Does any rule secure connections?  And may the kernel connect to addr (listening: accept at it) a
	 * stream in clear that the core has no part in?  0, or -EPROTO after a line on stderr. */
	bool (*secures)(void);
	int (*permits)(const struct sockaddr *addr, socklen_t len, bool listening);
	/* listen(2) is about to be called: 0 or -errno. */
	int (*listening)(struct taps_slot *slot, int fd);
	/* fd was accepted from a LISTENING slot and is `slot`: 0, or -errno (the caller closes it). */
	int (*accepted)(struct taps_slot *listener, struct taps_slot *slot, int fd);
	/* A LAYERED descriptor was made non-blocking. */
	void (*unblocked)(struct taps_slot *slot, int fd);

	/* getsockname(2), getpeername(2) of a DISGUISED slot. */
	int (*name)(struct taps_slot *slot, bool peer, struct sockaddr *addr, socklen_t *len);

	/* getaddrinfo(3): an EAI_ code with *ret set, or TAPS_PASS.  A list that comes from here is
	 * laid out as the C library's own, so that freeaddrinfo(3) frees it. */
	int (*getaddrinfo)(const char *node, const char *service, const struct addrinfo *hints,
			   struct addrinfo **ret);
	/* The answer of the C library's getaddrinfo, to remember; `list` stays the application's. */
	void (*learned)(const char *node, const struct addrinfo *hints, const struct addrinfo *list);
	/* The same for gethostbyname(3) and relatives. */
	void (*learned_host)(const char *name, const struct hostent *host);
	/* gethostbyname(3) and relatives from the configuration's `hosts` or the core's resolver.
	 * Fills at most `max` addresses of `family` (4 or 16 bytes each) at `addrs`.  Returns how
	 * many, -h_errno (netdb.h) on failure, or TAPS_PASS. */
	int (*hostaddrs)(const char *name, int family, void *addrs, int max);

};

/* The core's only exported symbol.  Reads the configuration.  Returns NULL when the versions
 * differ or memory is short; the reason has been logged.  Not async-signal-safe. */
const struct taps_core *taps_core_open(const struct taps_host *host);

#endif
