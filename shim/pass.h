/* Descriptors that are sent to another process (unix(7), SCM_RIGHTS). */
#ifndef TAPS_SHIM_PASS_H
#define TAPS_SHIM_PASS_H

#include <stdbool.h>
#include <sys/socket.h>

/* The message is about to be sent.  False, with errno, when a descriptor in it must not leave. */
bool pass_out(const struct msghdr *msg);

#endif
