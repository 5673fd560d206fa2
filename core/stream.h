/* An established connection whose bytes the core handles, or whose names it answers for: what a slot holds
 * once it is LAYERED or DISGUISED.  Waiting, time limits, flags of recv(2) and send(2), and the end are
 * here; the bytes are the layers'.  Any thread may call. */
#ifndef TAPS_CORE_STREAM_H
#define TAPS_CORE_STREAM_H

#include <stdatomic.h>

#include "conf/security.h"
#include "core/api.h"
#include "core/handle.h"
#include "core/layer.h"

/* Makes a stream with one reference, for the slot.  Takes the chain (NULL: the kernel's own bytes).  NULL
 * when memory is short. */
struct stream *stream_new(struct layer *take_chain, const struct taps_addr *peer,
			  const struct taps_addr *local);
/* Who secured it, for messages. */
void stream_secured_by(struct stream *stream, const struct security *security);
/* The same for an accepted connection whose handshake is still to come, at first use. */
struct stream *stream_accepted(struct layer *take_chain, const struct security *security,
			       const struct taps_addr *peer);
/* The same for a client whose handshake was deferred (core/layer.h): the first bytes that are sent begin it,
 * or the first use, or the loop after a short time.  With the loop's lock; `slot` is to have the stream.  On
 * failure (NULL) the chain stays the caller's. */
struct stream *stream_deferred(struct layer *take_chain, const struct security *security,
			       const struct taps_addr *peer, const struct taps_addr *local,
			       struct taps_slot *slot);
/* Whose handshake it is; NULL for a stream that came with its handshake done. */
const struct security *stream_security(const struct stream *stream);

/* recv(2), send(2) and relatives of taps_core; -errno, or TAPS_PASS when a relay took the connection over
 * meanwhile, or the loop the handshake.  Block as the descriptor's mode says. */
ssize_t stream_recv(struct stream *stream, int fd, struct msghdr *msg, int flags);
ssize_t stream_send(struct stream *stream, int fd, const struct msghdr *msg, int flags);
int stream_shutdown(struct stream *stream, int fd, int how);
/* tcp(7), TCP_CORK is about to be set: before it is taken away, what is held is sent. */
void stream_cork(struct stream *stream, int fd, bool on);
/* socket(7), SO_RCVLOWAT of the application's, about its own bytes. */
void stream_set_lowat(struct stream *stream, int fd, int bytes);
int stream_lowat(const struct stream *stream);
/* The application may have set options on `from` while the kernel had the socket alone: takes those over that
 * are about its bytes. */
void stream_take_options(struct stream *stream, int fd, int from);
/* Would a read have an answer?  1 or 0. */
int stream_readable(struct stream *stream, int fd);
/* Bytes that can be read (ioctl_tty(2), FIONREAD). */
size_t stream_pending(struct stream *stream, int fd);
/* The last descriptor of this process is about to be closed: says goodbye; what the kernel did not take yet
 * goes on behind.  With `parting` the process is about to end, and stream_part() comes after all of these. */
void stream_end(struct stream *stream, int fd, bool parting);
/* Waits a moment for the peers of what has ended; for the others a process is made that goes on.  Not called
 * in a child of vfork(2). */
void stream_part(void);

/* What getsockname(2) and getpeername(2) of a DISGUISED stream report; its port is 0 if the kernel is to say.
 */
const struct taps_addr *stream_name(const struct stream *stream, bool peer);

/* A relay has the connection from the beginning on.  `take_own`: the network's socket, kept (fd_keep) for its
 * options and, where `peer` is NULL, its names. */
struct stream *stream_relayed(int take_own, const struct taps_addr *peer, const struct taps_addr *local);
/* Hands the slot's LAYERED stream to a relay (core/relay.h) and puts the relay's pair under its descriptors.
 * With `if_used`, only where this process made or used it: -EPERM else.  Returns 0, also when it was done
 * before, or -errno: it goes on as it was. */
int stream_escape(struct taps_slot *slot, bool if_used);
/* The slot let it go.  Async-signal-safe. */
void stream_released(struct stream *stream);
/* The slot has another connection, and keeps its reference all the same.  Async-signal-safe. */
void stream_retire(struct stream *stream);
/* The network's socket of a relayed stream, or -1. */
int stream_own(const struct stream *stream);

/* pthread_atfork(3): both processes have a copy of each stream then, and may go on in one direction each. */
void stream_fork_prepare(void);
void stream_fork_parent(void);
void stream_fork_child(void);

/* An accepted connection whose handshake is not over, as before its first use? */
bool stream_is_new(const struct stream *stream);
/* The chain of such a connection, taken out to be driven by the loop; with the loop's lock.  Other threads
 * may be in calls on the stream: those answer TAPS_PASS, then and from then on.  NULL, and nothing is
 * changed, if its handshake is over, or if this very thread is in it, below a signal handler. */
struct layer *stream_take_chain(struct stream *stream);

/* The chain's socket is under the application's descriptors now: its own number is given up. */
void stream_placed(struct stream *stream);

#endif
