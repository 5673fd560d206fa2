/* Ends and changes of layered descriptors. */
#ifndef TAPS_SHIM_LIFE_H
#define TAPS_SHIM_LIFE_H

#include <stdbool.h>

/* The process is about to end, or to become another program: every layered connection says goodbye. */
void life_end_all(void);
/* Bytes of fd, or the descriptor itself, are about to get out of the shim's sight: a layered connection goes
 * to a relay, now or once it is layered; the end of another thread's handshake is waited for.  False, with
 * errno, if that cannot be. */
bool life_escape(int fd);
/* A layered descriptor was made non-blocking. */
void life_unblocked(int fd);

#endif
