/* Finding and loading the configuration of the process that the core was loaded into. */
#ifndef TAPS_CORE_SETUP_H
#define TAPS_CORE_SETUP_H

#include <stdbool.h>

#include "conf/policy.h"

/* The value of one of the variables that the shim kept of the environment, or NULL. */
const char *setup_variable(const char *name);
/* Loads system, user and application files and the launcher's options (taps.conf(5)).  After a problem,
 * which is said on stderr, the defaults hold, unless a security rule may be among what could not be
 * read: then *ret_fail_closed says that nothing may connect.  NULL when memory is short. */
struct conf *setup_configuration(bool *ret_fail_closed);

#endif
