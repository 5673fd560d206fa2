/* Letters as configuration files mean them, whatever the application's locale makes of them. */
#ifndef TAPS_CONF_ASCII_H
#define TAPS_CONF_ASCII_H

#include <stdbool.h>

static inline bool ascii_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline char ascii_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static inline bool ascii_letter(char c)
{
	c = ascii_lower(c);
	return c >= 'a' && c <= 'z';
}

/* Are the first n bytes the same but for case?  Stops at the end of both. */
static inline bool ascii_same(const char *a, const char *b, unsigned long n)
{
	for (; n > 0; a++, b++, n--) {
		if (ascii_lower(*a) != ascii_lower(*b))
			return false;
		if (*a == '\0')
			return true;
	}
	return true;
}

#endif
