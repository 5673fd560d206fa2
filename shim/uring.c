/* liburing and libaio make their system calls by themselves: where a rule secures, there are neither rings
 * nor contexts.  Their functions return -errno.  Nor can a descriptor be copied out of a process by its
 * pidfd: the table would not know of it. */
#include "shim/real.h"

#include <dlfcn.h>
#include <errno.h>

#include "shim/fdtab.h"
#include "shim/secured.h"

#define LIBURING "liburing.so.2"
#define LIBAIO "libaio.so.1"

/* The library's own function.  It may have been loaded after the shim was bound, and for some alone. */
static void *allowed(const char *file, const char *name)
{
	void *found, *library;

	if (secured_by_rule())
		return NULL;
	found = dlsym(RTLD_NEXT, name);

	if (!found && (library = dlopen(file, RTLD_LAZY | RTLD_NOLOAD)))
		found = dlsym(library, name);
	return found;
}

int hook_io_uring_queue_init(unsigned entries, void *ring, unsigned flags)
{
	int (*next)(unsigned, void *, unsigned) = allowed(LIBURING, "io_uring_queue_init");

	return next ? next(entries, ring, flags) : -ENOSYS;
}

int hook_io_uring_queue_init_params(unsigned entries, void *ring, void *params)
{
	int (*next)(unsigned, void *, void *) = allowed(LIBURING, "io_uring_queue_init_params");

	return next ? next(entries, ring, params) : -ENOSYS;
}

int hook_io_setup(int events, void *context)
{
	int (*next)(int, void *) = allowed(LIBAIO, "io_setup");

	return next ? next(events, context) : -ENOSYS;
}

int hook_io_queue_init(int events, void *context)
{
	int (*next)(int, void *) = allowed(LIBAIO, "io_queue_init");

	return next ? next(events, context) : -ENOSYS;
}

int hook_pidfd_getfd(int process, int fd, unsigned int flags)
{
	int made;

	if (secured_by_rule()) {
		errno = ENOSYS;
		return -1;
	}
	made = real.pidfd_getfd(process, fd, flags);
	if (made >= 0)
		fdtab_drop(made);
	return made;
}
