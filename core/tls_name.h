/* Names in certificates against the reference identity (RFC 6125 §6, RFC 9525).  Pure. */
#ifndef TAPS_CORE_TLS_NAME_H
#define TAPS_CORE_TLS_NAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TLS_NAME_MAX 256

/* An IP address in text as the bytes of an iPAddress (RFC 5280 §4.2.1.6): 4 or 16, v4-mapped ones as 4; a
 * scope ("%eth0") is ignored.  Returns the count, or 0 if the text is no address. */
size_t tls_name_address(const char *text, uint8_t ret[16]);

/* Writes the name as it is compared and sent: lower case, without a trailing dot.  Returns 0, or -EINVAL for
 * what is no host name in ASCII (labels 1…63 long, 253 in all). */
int tls_name_normalise(const char *name, char ret[TLS_NAME_MAX]);

/* Does a dNSName of a certificate cover the normalised name?  A wildcard counts only as the whole
 * leftmost label, stands for exactly one label, and needs two labels after it. */
bool tls_name_covers(const char *pattern, size_t len, const char *name);

#endif
