/* Loading of the core, at the first call that needs it. */
#ifndef TAPS_SHIM_LOAD_H
#define TAPS_SHIM_LOAD_H

#include "core/api.h"

/* The core; opens it (dlopen(3)) at the first call, from connect-, listen- and getaddrinfo-class calls
 * only.  NULL when it cannot be had: pass-through for ever, and the reason was said once. */
const struct taps_core *load_core(void);
/* The core if it is there already, else NULL.  Async-signal-safe. */
const struct taps_core *load_core_if_open(void);

/* Does any rule of the configuration secure connections?  False while the core is not there. */
bool load_secures(void);
/* One line on stderr. */
void load_say(const char *format, va_list args);

/* Is this thread inside the core?  Hooks then pass straight on. */
bool load_inside(void);
void load_enter(void);
void load_leave(void);

/* fd_keep and fd_drop of struct taps_host (core/api.h). */
int load_keep(int fd);
void load_drop(int fd);

/* What the product needs of the environment, copied by the constructor: LD_PRELOAD, TAPS_*, HOME,
 * XDG_CONFIG_HOME.  NULL-terminated; never changes. */
extern char *const *load_environment;

/* Removes the variable `name` from an environment array, in place. */
void load_unset(char **environment, const char *name);
/* The value of `name` in an environment array, or NULL. */
const char *load_get(char *const *environment, const char *name);

#endif
