/* Opening connections. */
#ifndef TAPS_SHIM_OPEN_H
#define TAPS_SHIM_OPEN_H

#include <stdbool.h>
#include <sys/socket.h>

/* The connect that a send with MSG_FASTOPEN implies.  Returns true when the core carried it out: *ret is
 * then connect(2)'s result, with errno; false leaves the whole call to the kernel. */
bool open_for_data(int fd, const struct sockaddr *addr, socklen_t len, int *ret);

#endif
