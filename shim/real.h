/* The C library's own functions, and the declarations of the hooks that stand before them.
 *
 * real.NAME(...) is always callable, from the first instruction of the process on: until the
 * constructor has bound the table each entry is a stub that binds it and calls on. */
#ifndef TAPS_SHIM_REAL_H
#define TAPS_SHIM_REAL_H

#include <aio.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

struct real {
#define CALL(ret, name, params, args) ret(*name) params;
#include "shim/calls.def"
#undef CALL
};

extern struct real real;

/* Binds every entry with dlsym(3), RTLD_NEXT.  Idempotent; allocates nothing when every function
 * exists (glibc 2.36); a function that the C library lacks answers ENOSYS. */
void real_bind(void);

/* A hook has a C name of its own and the libc function's name as its symbol, so that neither the
 * headers' attributes (nonnull) nor their transparent unions reach it. */
#define HOOKED __attribute__((visibility("default")))
#define CALL(ret, name, params, args) HOOKED ret hook_##name params __asm__(#name);
#include "shim/calls.def"
#undef CALL

/* The kernel directly, past the C library and every hook: for code that must neither bind nor
 * be cancelled.  Returns the kernel's value: -errno on failure. */
long kernel_call(long number, long a, long b, long c, long d, long e, long f);

#endif
