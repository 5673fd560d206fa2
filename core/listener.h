/* Listening sockets under a rule that secures them (RFC 9622 §7.2): what is accepted gets the server's
 * layers. */
#ifndef TAPS_CORE_LISTENER_H
#define TAPS_CORE_LISTENER_H

#include "conf/policy.h"
#include "core/api.h"
#include "core/handle.h"

/* listen(2) is about to be called on the slot's descriptor.  Returns 0 when it may; the slot is LISTENING if
 * a rule secures it.  -EPROTO, with a line on stderr, when the rule's credentials cannot be had: nothing is
 * accepted in clear. */
int listener_prepare(struct conf *conf, struct taps_slot *slot, int fd);
/* fd was accepted from a LISTENING slot and is `slot` now: its bytes become the core's.  Returns 0, or
 * -errno: the caller closes fd. */
int listener_accepted(struct taps_slot *listener, struct taps_slot *slot, int fd);

/* The descriptor of an accepted connection was made non-blocking: the loop takes over a handshake that is
 * still to come.  Returns 0, or -errno: the connection is lost. */
int listener_unblocked(struct taps_slot *slot, int fd);

#endif
