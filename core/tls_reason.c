/* Reasons go to terminals and traces, and parts of them come from strangers: nothing but printable ASCII. */
#include "core/tls_reason.h"

#include <stdarg.h>
#include <stdio.h>

int tls_reason_set(struct tls_reason *reason, int error, const char *format, ...)
{
	va_list args;

	if (!reason)
		return error;
	va_start(args, format);
	vsnprintf(reason->text, sizeof(reason->text), format, args);
	va_end(args);
	for (char *c = reason->text; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
	return error;
}
