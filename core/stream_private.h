/* The inside of a stream, for the files that share it: core/stream.c (bytes, waiting), core/stream_more.c
 * (bytes that wait for more), core/stream_defer.c (a handshake that waits for bytes), core/stream_flush.c
 * (what the kernel did not take), core/stream_linger.c (the end), core/stream_fork.c (processes),
 * core/escape.c (relays). */
#ifndef TAPS_CORE_STREAM_PRIVATE_H
#define TAPS_CORE_STREAM_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "core/handle.h"
#include "core/stream.h"

struct stream_turns;
struct stream_more;

struct stream {
	struct handle handle;
	struct layer *chain;             /* NULL: the bytes are the kernel's alone */
	const struct security *security; /* NULL: a rule has no part in it */
	pthread_mutex_t shaking;         /* held by the one who drives the handshake */
	_Atomic(const void *) shaker;    /* that thread, by an address of its own */
	_Atomic bool new;        /* the handshake is still to come */
	bool deferred;           /* a client's: `new`, though established for the application */
	_Atomic bool ahead;      /* bytes went before the handshake, or wait for it */
	_Atomic bool refused;    /* a call could not send all of its bytes before the handshake */
	_Atomic bool watched;    /* the loop has a part in the handshake (core/stream_defer.c) */
	int watch_fd;            /* its descriptor; with the loop's lock */
	_Atomic bool let_go;     /* the slot let it go */
	_Atomic int error;       /* of the handshake, for good */
	_Atomic bool said;       /* a refusal after the handshake was reported */
	_Atomic pid_t user;      /* the process that made it or used it last */
	_Atomic bool ended;
	_Atomic bool heard;      /* what the peer sends unasked has come; bytes after it have */
	_Atomic bool flushing;   /* the loop sends, on the descriptor `kept_fd`; set with its lock */
	_Atomic bool shut;       /* nothing more is to be sent: the direction ends after what is kept */
	int kept_fd;
	_Atomic bool corked;     /* tcp(7), TCP_CORK */
	_Atomic int lowat;       /* socket(7), SO_RCVLOWAT, of the application's */
	_Atomic(struct stream_more *) more; /* bytes that more will follow; NULL: never had any */
	_Atomic bool leaving;    /* a thread hands it to a relay */
	_Atomic bool taken;      /* the chain is another's; set with `shaking` */
	_Atomic bool relayed;    /* a relay has it */
	_Atomic int own;         /* relayed: the network's socket, kept for its names and options; else -1 */
	struct taps_addr peer, local;

	/* Of core/stream_fork.c. */
	struct stream *next, **prev;
	_Atomic pid_t home;          /* the process whose copy this is */
	struct stream_turns *turns;  /* shared with the other processes that have a copy; NULL: nobody */
	struct stream_region *region;
	uint64_t sent, received;     /* how far this copy has come */
	bool sending;                /* this process has sent since it was forked, or forked */
	bool kept;                   /* at the fork: bytes were still on their way */
	bool held;                   /* at the fork: `shaking` was taken for it */
};

/* Waits until the kernel took all that the layers hold; -EAGAIN at `end`. */
int stream_drain(struct stream *stream, int fd, int64_t end);
/* The same for what the loop sends behind the application. */
int stream_drain_kept(struct stream *stream, int64_t end);
/* Everything that was sent, and the end of the direction: 0 when the kernel has it, -EAGAIN, -errno. */
int stream_say_all(struct stream *stream, int fd);
/* Lets the loop send what the kernel did not take yet. */
void stream_flush_behind(struct stream *stream, int fd);
/* send() of the layer; with `more` (send(2), MSG_MORE) or TCP_CORK, what makes no full record is held for a
 * while, and counts as sent. */
ssize_t stream_more_send(struct stream *stream, int fd, const struct iovec *iov, int n, bool more);
/* flush() of the layer, then what is held. */
int stream_more_push(struct stream *stream, int fd);
/* The same, waiting; -EAGAIN at `end`. */
int stream_more_drain(struct stream *stream, int64_t end);
bool stream_more_holds(const struct stream *stream);
void stream_more_free(struct stream *stream);
/* Around fork(2): a child has nothing of what is held. */
void stream_more_hold(struct stream *stream);
void stream_more_let_go(struct stream *stream, bool child);
void stream_more_lock_list(bool lock);
/* The last copy of the stream ends: says goodbye, and sees to it that the peer gets everything; does not
 * wait.  With `parting` stream_part() comes after it. */
void stream_linger(struct stream *stream, int fd, bool parting);
/* shutdown(2) of both directions makes the kernel reset whoever sends after it, as a peer does with tickets.
 * True: our end of stream waits for them, and the caller is to shut the receiving direction alone. */
bool stream_hold_end(struct stream *stream, int fd);

/* The loop looks after a client's handshake that was deferred: it begins it if the application does not send
 * soon, goes on with it while the application does other things, and has the slot's descriptors report
 * "writable" anew if bytes were refused.  With the loop's lock.  Returns 0 or -errno. */
int stream_watch(struct stream *stream, struct taps_slot *slot);
/* One step of the handshake by the loop: 0 when ready, -EAGAIN with *wants, -EBUSY while another thread is at
 * it, -errno for good. */
int stream_step(struct stream *stream, int fd, struct layer_wants *wants);
/* Ends the handshake in one way or another, or gives up at `end`. */
void stream_make_ready(struct stream *stream, int fd, int64_t end);
/* The same with the loop's lock, before fork(2): of two processes in one handshake only one could go on. */
void stream_settle_deferred(struct stream *stream, int64_t end);

/* Waits for one event; -EAGAIN at the end, -EINTR when the kernel's own call would return so, -ESTALE when
 * the stream went to a relay, or its chain was taken. */
int stream_wait(const struct stream *stream, int fd, short events, int64_t end);

/* Another thread hands the connection to a relay: waits for that.  False if the connection stayed. */
bool stream_await_relay(const struct stream *stream);

/* Was the chain taken?  Not while the caller has `leaving` set, if not before. */
bool stream_is_taken(struct stream *stream);

/* This thread, as stream->shaker has it. */
const void *stream_thread(void);

/* Enters the stream in the list of those that fork(2) must know, and takes it out. */
void stream_fork_enter(struct stream *stream);
void stream_fork_remove(struct stream *stream);

enum stream_direction { STREAM_SENDING, STREAM_RECEIVING };
/* Before a record is made, or one is taken from the kernel: of all the processes that have a copy only one
 * may go on in each direction, the one that did so first (a nonce used twice gives AES-GCM away).  Returns 0,
 * or -EIO in the others for ever. */
int stream_take_turn(struct stream *stream, enum stream_direction direction);
/* This process lets its copy go.  True if nobody else has one. */
bool stream_is_last_copy(struct stream *stream);

#endif
