/* Opening connections. */
#ifndef TAPS_SHIM_OPEN_H
#define TAPS_SHIM_OPEN_H

#include <stdbool.h>
#include <sys/socket.h>

/* The connect that a send with MSG_FASTOPEN implies.  Returns true when the core carried it out: *ret is
 * then connect(2)'s result, with errno; false leaves the whole call to the kernel. */
bool open_for_data(int fd, const struct sockaddr *addr, socklen_t len, int *ret);

/* May data with an address be sent on fd, which is no slot's, as the kernel would: on a stream that is a
 * hidden connect.  False with errno. */
bool open_may_send(int fd, const struct sockaddr *addr, socklen_t len);
/* A socket that listens already, and was not made to under our eyes (inherited, passed), is taken in where a
 * rule may secure what it accepts.  False, with errno, where that is asked for and cannot be. */
bool open_may_accept(int fd);

#endif
