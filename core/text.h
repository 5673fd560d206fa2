/* Texts of configuration: numbers whatever the application's locale, and likeness of names.  Pure. */
#ifndef TAPS_CORE_TEXT_H
#define TAPS_CORE_TEXT_H

#include <stddef.h>
#include <stdint.h>

/* Magnitudes end here; it keeps arithmetic on them exact in an int64_t and in a double. */
#define TEXT_NUMBER_MAX INT64_C(1000000000000000)
/* Numbers are told apart to a millionth. */
#define TEXT_NUMBER_PARTS 1000000

/* "12" or "-12" and nothing else.  Returns 0, -EINVAL, or -ERANGE beyond ±TEXT_NUMBER_MAX. */
int text_integer(const char *text, int64_t *ret);
/* The same with an optional fraction and exponent: "-1.5e+3". */
int text_number(const char *text, double *ret);
/* Writes a number, rounded to a millionth, so that text_number() reads it back: at most 24 bytes. */
void text_format_number(double value, char *buf, size_t size);

/* How many letters to change, add or leave out to make `a` of `b` (Levenshtein), blind to ASCII case;
 * UINT_MAX if one is too long to tell. */
unsigned text_distance(const char *a, const char *b);
/* The greatest distance at which a name of our own may be meant by `text`. */
unsigned text_tolerance(const char *text);

#endif
