/* Layers: a protocol stack is a chain of them, the transport at the bottom (RFC 9623 §3).
 *
 * Each kind of layer is one file with one const ops struct and one row of layers[] (layer.c).  What a
 * kind leaves out passes through to the layer below.  A chain belongs to one attempt until that wins,
 * then to the connection; whoever drives it calls from one thread at a time. */
#ifndef TAPS_CORE_LAYER_H
#define TAPS_CORE_LAYER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "core/endpoint.h"
#include "core/trace.h"

enum layer_traits {
	LAYER_TRANSPORT = 1 << 0, /* owns the kernel's socket */
	LAYER_STREAM = 1 << 1,    /* a reliable byte stream */
	LAYER_DATAGRAM = 1 << 2,  /* messages, unreliable */
	LAYER_SECURE = 1 << 3,    /* what passes below is encrypted and authenticated */
};

/* What a layer waits for before it can go on; `fd` is the transport's, unless secure_peer.any_fd allows
 * another. */
struct layer_wants {
	int fd;
	short events;     /* of poll(2) */
	int64_t deadline; /* ns, monotonic; INT64_MAX: none */
	bool securing;    /* the transport is up, a handshake above it runs */
	bool deferred;    /* with 0: the handshake begins at the next connect(); early() may come before */
};

struct layer;

struct layer_ops {
	const char *name;
	unsigned traits; /* of enum layer_traits */
	/* Goes on with establishment.  Returns 0 once this layer and all below are ready, -EAGAIN with
	 * *wants filled, -EINTR when a signal came while a blocking call of the transport ran (the
	 * attempt goes on), or another -errno: the attempt failed. */
	int (*connect)(struct layer *layer, int64_t now, struct layer_wants *wants);

	/* While a handshake that was deferred is not over: takes bytes that may arrive more than once.  The
	 * first of them go with the handshake's first message, if it was not sent yet, the others behind the
	 * handshake, all by connect().  Returns how many were taken, 0 if none can be.  One thread at a time
	 * for connect() and this. */
	size_t (*early)(struct layer *layer, const struct iovec *iov, int n);

	/* The data path of a layer that changes bytes; a plain transport has none of it: there the
	 * application's descriptor is the kernel's socket.  `fd` is any descriptor of the socket.  Nothing
	 * here blocks, whatever the file's mode; any thread may call. */

	/* Stores received bytes: > 0 how many, 0 at the end, -EAGAIN when none are there, -errno for good.
	 * With `peek` they stay. */
	ssize_t (*recv)(struct layer *layer, int fd, const struct iovec *iov, int n, bool peek);
	/* For the only thread of a process, when recv() had nothing: sleeps in recv(2), as the file's mode
	 * and time limit have it, until there may be something for a recv() of `want` bytes.  0,
	 * -EOPNOTSUPP (wait for POLLIN), -errno as of recv(2). */
	int (*sleep)(struct layer *layer, int fd, size_t want);
	/* Takes bytes to send: how many (all of them up to LAYER_SEND_MAX), -EAGAIN while earlier ones wait
	 * for the kernel, -errno for good.  Taken bytes are sent by flush() if the kernel did not take
	 * them. */
	ssize_t (*send)(struct layer *layer, int fd, const struct iovec *iov, int n);
	/* Sends what was taken: 0 when nothing is left, -EAGAIN (wait for POLLOUT), -errno. */
	int (*flush)(struct layer *layer, int fd);
	/* Would recv() have an answer?  1 or 0; consumes what brings none. */
	int (*readable)(struct layer *layer, int fd);
	/* How many bytes readable() and the descriptor's own readiness need, unless it is the end (socket(7),
	 * SO_RCVLOWAT). */
	void (*lowat)(struct layer *layer, int fd, int bytes);
	/* Received bytes that wait in the layer (ioctl_tty(2), FIONREAD). */
	size_t (*pending)(struct layer *layer);
	/* Says goodbye in the sending direction; flush() sends it. */
	int (*finish)(struct layer *layer, int fd);
	/* The connection was handed to another process (true), or came back: until it does, each call of the
	 * data path that begins after this returns -ESTALE without touching the socket. */
	void (*gone)(struct layer *layer, bool gone);
	/* While quiet, nothing is sent that is not asked for by send() or finish(): answers and what is kept
	 * wait, and flush() returns 0. */
	void (*quiet)(struct layer *layer, bool quiet);
	/* fork(2) is about to happen, or is over: holds every lock of the layer's, lets them go. */
	void (*hold)(struct layer *layer);
	void (*let_go)(struct layer *layer);
	/* What was agreed, once it is ready: for the trace. */
	void (*tell)(struct layer *layer, trace_hear *hear, void *context);
	/* Why it failed, in one line; "" if it did not. */
	const char *(*reason)(struct layer *layer);

	/* Ends the layer and frees it; the chain below is ended by the caller. */
	void (*close)(struct layer *layer);
};

struct layer {
	const struct layer_ops *ops;
	struct layer *below; /* NULL under a transport */
};

/* How many bytes one send() takes whole. */
#define LAYER_SEND_MAX 65536

/* Every kind of layer, in order of preference within a role. */
extern const struct layer_ops *const layers[];

/* Ends a chain from the top down.  NULL is allowed. */
void layer_close_chain(struct layer *top);
/* Is what the chain sends encrypted?  Answered by walking it. */
bool layer_is_secure(const struct layer *top);
/* "tls/tcp": the names from the top down.  Returns `buf`. */
const char *layer_describe(const struct layer *top, char *buf, size_t size);

/* A TCP attempt (core/tcp.c). */
struct tcp_options {
	int fd;               /* the kernel's socket */
	bool keep;            /* fd is the application's own file: close() leaves it alone */
	bool blocking;        /* fd is in blocking mode: connect for at most `patience` */
	int64_t patience;     /* ns */
	bool established;     /* fd is connected already (accept(2)) */
	bool settle;          /* for a blocking connect(): a further one must say EISCONN at once */
	struct taps_addr remote;
};
/* Makes the layer, or NULL when memory is short (fd stays the caller's).  Takes ownership of fd, which
 * fd_keep returned, unless `keep`. */
struct layer *tcp_layer(const struct tcp_options *options);
/* A datagram socket's peer (core/udp.c): names it to the kernel, at once, on the application's own file
 * `fd`, which stays the caller's.  NULL when memory is short. */
struct layer *udp_layer(int fd, const struct taps_addr *remote);

/* After a failure the kernel keeps a socket half-way (connect(2) would say ECONNABORTED once); a disconnect
 * makes it as new, as the kernel's own failing connect leaves it. */
void tcp_disconnect(int fd);
/* The chain's transport lets go of its descriptor, which is the caller's from here on; fd is its new number,
 * or -1. */
void layer_disown(struct layer *top, int fd);
/* The transport's descriptor changed its number (the file is the same): before the next connect step. */
void layer_renumber(struct layer *top, int fd);
/* The kernel's socket at the bottom of a chain, or -1. */
int layer_fd(const struct layer *top);

#endif
