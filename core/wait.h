/* Waiting on the calling thread, for the drivers and for streams. */
#ifndef TAPS_CORE_WAIT_H
#define TAPS_CORE_WAIT_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

/* ppoll(2) until `end` (ns, monotonic; INT64_MAX: for ever).  0 or -errno.  Signal handlers that run
 * meanwhile may connect: the thread counts as outside the core. */
int wait_fds(struct pollfd *fds, unsigned n, int64_t end, int64_t now);
/* By when a blocking call on fd gives up (socket(7), `option` SO_RCVTIMEO or SO_SNDTIMEO); INT64_MAX:
 * never. */
int64_t wait_limit(int fd, int option, int64_t now);
/* After -EINTR: would the kernel's own call have returned EINTR?  Calls with a time limit always do; others
 * are restarted after handlers with SA_RESTART (signal(7)). */
bool wait_interrupted(bool timed);

/* A line that is always printed on stderr (TAPS_LOG_SAY). */
__attribute__((format(printf, 1, 2))) void wait_say(const char *format, ...);

#endif
