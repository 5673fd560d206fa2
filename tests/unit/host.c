/* The host of the unit tests: the C library itself. */
#include "core/host.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tests/unit/host.h"

extern int dup3(int, int, int);
extern char **environ;

static int keep(int fd)
{
	return fd;
}

static void drop(int fd)
{
	close(fd);
}

static void nothing(void)
{
}

static void quiet(enum taps_log_level level, const char *format, va_list args)
{
	(void)level;
	(void)format;
	(void)args;
}

static struct taps_host libc_host = {
	.version = TAPS_API_VERSION,
	.size = sizeof(libc_host),
#define TAPS_FIELD(ret, name, params) .name = name,
	TAPS_HOST_CALLS(TAPS_FIELD)
#undef TAPS_FIELD
	.fd_keep = keep,
	.fd_drop = drop,
	.lock = nothing,
	.unlock = nothing,
	.process = getpid,
	.log = quiet,
};

/* A program that has the core's own door in it has this from there. */
__attribute__((weak)) const struct taps_host *taps_host = &libc_host;

struct taps_host *unit_host(void)
{
	libc_host.environment = environ;
	return &libc_host;
}
