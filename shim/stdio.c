/* The C library's stdio writes and reads past the shim.  A stream over a socket gets a relay's pair; what is
 * printed to a descriptor in one call is formatted here and goes the usual way. */
#include "shim/real.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "shim/fdtab.h"
#include "shim/flight.h"
#include "shim/life.h"

extern int __vasprintf_chk(char **text, int flag, const char *format, va_list args);

FILE *hook_fdopen(int fd, const char *mode)
{
	if (fdtab_peek(fd) && !life_escape(fd))
		return NULL;
	return real.fdopen(fd, mode);
}

/* dprintf(3) gives back the whole length, or -1. */
static int print(int fd, char *text, int length)
{
	int done = 0;

	while (done < length) {
		ssize_t n = hook_write(fd, text + done, (size_t)(length - done));

		if (n < 0 && errno != EINTR)
			break;
		done += n > 0 ? (int)n : 0;
	}
	free(text);
	return done < length ? -1 : length;
}

int hook_vdprintf(int fd, const char *format, va_list args)
{
	struct flight flight;
	char *text;
	int length;

	if (!fdtab_has(fd, SLOT_DATA) && flight_begin(fd, &flight)) {
		length = real.vdprintf(fd, format, args);
		flight_end(&flight);
		return length;
	}
	length = vasprintf(&text, format, args);
	return length < 0 ? -1 : print(fd, text, length);
}

int hook_dprintf(int fd, const char *format, ...)
{
	va_list args;
	int length;

	va_start(args, format);
	length = hook_vdprintf(fd, format, args);
	va_end(args);
	return length;
}

int hook___vdprintf_chk(int fd, int flag, const char *format, va_list args)
{
	struct flight flight;
	char *text;
	int length;

	if (!fdtab_has(fd, SLOT_DATA) && flight_begin(fd, &flight)) {
		length = real.__vdprintf_chk(fd, flag, format, args);
		flight_end(&flight);
		return length;
	}
	length = __vasprintf_chk(&text, flag, format, args);
	return length < 0 ? -1 : print(fd, text, length);
}

int hook___dprintf_chk(int fd, int flag, const char *format, ...)
{
	va_list args;
	int length;

	va_start(args, format);
	length = hook___vdprintf_chk(fd, flag, format, args);
	va_end(args);
	return length;
}
