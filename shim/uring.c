/* liburing makes its system calls by itself: where a rule secures, there are no rings.  Its functions return
 * -errno. */
#include "shim/real.h"

#include <dlfcn.h>
#include <errno.h>

#include "shim/secured.h"

#define LIBRARY "liburing.so.2"

/* The library's own function.  It may have been loaded after the shim was bound, and for some alone. */
static void *find(const char *name)
{
	void *found = dlsym(RTLD_NEXT, name), *library;

	if (!found && (library = dlopen(LIBRARY, RTLD_LAZY | RTLD_NOLOAD)))
		found = dlsym(library, name);
	return found;
}

int hook_io_uring_queue_init(unsigned entries, void *ring, unsigned flags)
{
	int (*next)(unsigned, void *, unsigned) = secured_by_rule() ? NULL : find("io_uring_queue_init");

	return next ? next(entries, ring, flags) : -ENOSYS;
}

int hook_io_uring_queue_init_params(unsigned entries, void *ring, void *params)
{
	int (*next)(unsigned, void *, void *) = secured_by_rule() ? NULL : find("io_uring_queue_init_params");

	return next ? next(entries, ring, params) : -ENOSYS;
}
