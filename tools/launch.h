/* The environment in which a program gets the shim. */
#ifndef TAPS_TOOLS_LAUNCH_H
#define TAPS_TOOLS_LAUNCH_H

#include "tools/elf.h"

#include <limits.h>
#include <stdbool.h>

/* Finds libtaps-shim.so: beside this program in a build tree, else where it was installed; reads its
 * machine.  Returns 0, -ENOENT, -EINVAL if LD_PRELOAD cannot hold its path (a space or colon in it), or
 * -errno of reading it; `path` then holds the last place that was looked at. */
int launch_find_shim(char path[PATH_MAX], struct elf_info *ret);

/* Appends the shim to LD_PRELOAD, behind what is there, unless it is in it; and where the program is
 * linked with AddressSanitizer's runtime, tells that not to insist on being first.  Returns 0 or -ENOMEM. */
int launch_preload(const char *shim, bool asan);

/* The list of `old` (NULL: none) with `item` at its end, unless one of its items is the same; items are
 * separated by any of `separators`, the first of which joins.  The caller frees it; NULL: no memory. */
char *launch_append(const char *old, const char *item, const char *separators);

/* execve(2) as execvp(3) does it: text that the kernel does not know goes to /bin/sh if `shell` holds.
 * Returns -errno only. */
int launch_exec(const char *path, char **argv, bool shell);

#endif
