/* Foreign text on its way to a terminal or a page. */
#ifndef TAPS_TOOLS_UTF8_H
#define TAPS_TOOLS_UTF8_H

#include <stddef.h>

/* Length in bytes of the character at `s` (NUL-terminated), if it is well-formed UTF-8 (RFC 3629) and
 * does nothing but show itself: no control character, no change of direction, no private use.
 * Else 0. */
size_t utf8_printable(const unsigned char *s);
/* Bytes from `s` (not at its end) to the next character, printable or not. */
size_t utf8_step(const unsigned char *s);

#endif
