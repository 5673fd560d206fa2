/* Binding of the real functions.  A preloaded object may be called before its own constructor
 * (jemalloc's and libselinux' constructors open and close files), so the table starts out with
 * stubs that bind on first use; `-z initfirst` makes that rare. */
#include "shim/real.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <sys/syscall.h>

long kernel_call(long number, long a, long b, long c, long d, long e, long f)
{
#if defined(__x86_64__)
	long result;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;

	__asm__ volatile("svc 0"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
			 : "memory");
	return x0;
#else
#error "kernel_call() knows x86-64 and aarch64"
#endif
}

/* First use of an entry before the constructor: bind, then call the real one.  Returning from a
 * stub through a pointer of the same type keeps every argument, variadic ones included. */
#define CALL(ret, name, params, args) static ret early_##name params;
#include "shim/calls.def"
#undef CALL

struct real real = {
#define CALL(ret, name, params, args) .name = early_##name,
#include "shim/calls.def"
#undef CALL
};

static long missing(void)
{
	errno = ENOSYS;
	return -1;
}

/* A failed look-up allocates, which must not be here: another library's functions are looked up by who calls
 * them (shim/uring.c). */
static bool is_libc(const char *name)
{
	return __builtin_strncmp(name, "io_", 3) != 0;
}

static void bind_one(void **entry, const char *name)
{
	void *found = is_libc(name) ? dlsym(RTLD_NEXT, name) : NULL;

	*entry = found ? found : (void *)missing;
}

void real_bind(void)
{
	static bool bound;
	int saved = errno;

	if (__atomic_load_n(&bound, __ATOMIC_ACQUIRE))
		return;
#define CALL(ret, name, params, args) bind_one((void **)&real.name, #name);
#include "shim/calls.def"
#undef CALL
	__atomic_store_n(&bound, true, __ATOMIC_RELEASE);
	errno = saved;
}

#pragma GCC diagnostic ignored "-Wunused-parameter"
#define CALL(ret, name, params, args) \
	static ret early_##name params \
	{ \
		real_bind(); \
		return real.name args; \
	}
#include "shim/calls.def"
#undef CALL
