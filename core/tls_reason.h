/* Formatting of reasons: one printable line, whatever a peer put into its certificate. */
#ifndef TAPS_CORE_TLS_REASON_H
#define TAPS_CORE_TLS_REASON_H

#include "core/tls_options.h"

/* printf(3) into the reason; control and non-ASCII bytes become '?', overlong text is cut.  A NULL reason is
 * allowed.  Returns `error`, so that a failing function can return through it. */
int tls_reason_set(struct tls_reason *reason, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
