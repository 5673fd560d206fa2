/* The malloc family, forwarded to the application's own.
 *
 * Under RTLD_DEEPBIND the core's free() would be the C library's while the C library's strdup() uses
 * the application's malloc (jemalloc, tcmalloc): the core therefore has these names itself, first in
 * its own scope.  Loaded without DEEPBIND they are not reached and do no harm.  Not linked into tools
 * and unit tests. */
#include <dlfcn.h>
#include <malloc.h>
#include <stdlib.h>

#include "core/api.h"

/* Exported by the shim; its allocator pointers are there before any constructor of the core's. */
extern const struct taps_host *taps_shim_host(void);

#define LOCAL __attribute__((visibility("default")))

LOCAL void *malloc(size_t size)
{
	return taps_shim_host()->malloc(size);
}

LOCAL void *calloc(size_t n, size_t size)
{
	return taps_shim_host()->calloc(n, size);
}

LOCAL void *realloc(void *p, size_t size)
{
	return taps_shim_host()->realloc(p, size);
}

LOCAL void free(void *p)
{
	taps_shim_host()->free(p);
}

LOCAL int posix_memalign(void **ret, size_t alignment, size_t size)
{
	return taps_shim_host()->posix_memalign(ret, alignment, size);
}

LOCAL void *aligned_alloc(size_t alignment, size_t size)
{
	return taps_shim_host()->aligned_alloc(alignment, size);
}

LOCAL void *memalign(size_t alignment, size_t size)
{
	return taps_shim_host()->memalign(alignment, size);
}

LOCAL size_t malloc_usable_size(void *p)
{
	return taps_shim_host()->malloc_usable_size(p);
}
