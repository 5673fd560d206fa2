/* What a rule secures must not get past the core. */
#ifndef TAPS_SHIM_SECURED_H
#define TAPS_SHIM_SECURED_H

#include <stdbool.h>
#include <sys/socket.h>

/* Does a rule secure connections in this process?  Loads the core to know; where that cannot be, a
 * configuration that may say so counts. */
bool secured_by_rule(void);
/* May a rule do so, for all that can be seen without the core?  No memory, no lock. */
bool secured_maybe(void);
/* The same as far as the core, if it is there, has said.  One load. */
bool secured_known(void);

/* The user's folder of configurations, if one of them may lead to a rule that secures: for those that will
 * not be able to read it.  NULL otherwise.  For the constructor. */
const char *secured_by_user(char *buf, size_t size);

enum secured_act { SECURED_CONNECT, SECURED_LISTEN };
/* The kernel is about to connect to addr, or to listen on the address of fd (addr NULL), without the core
 * having a part in it.  False, with errno EPROTO and a line on stderr, where a rule secures that. */
bool secured_may_pass(int fd, enum secured_act act, const struct sockaddr *addr, socklen_t len);

#endif
