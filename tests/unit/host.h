/* The host that unit tests hand to the code under test. */
#ifndef TAPS_TESTS_UNIT_HOST_H
#define TAPS_TESTS_UNIT_HOST_H

#include "core/host.h"

/* The libc-backed host; a test may replace single functions (a countdown allocator, a failing
 * socket) and puts them back itself.  Also reached as `taps_host`. */
struct taps_host *unit_host(void);

#endif
