/* See core/text.h.  strtod(3) and printf(3) would obey the application's locale, which may put a comma
 * where the configuration has a point. */
#include "core/text.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Digits from *text on, as a whole number; stops counting beyond the limit, but reads on. */
static int64_t read_digits(const char **text)
{
	int64_t value = 0;

	for (; isdigit((unsigned char)**text); (*text)++)
		if (value <= TEXT_NUMBER_MAX)
			value = value * 10 + (**text - '0');
	return value;
}

int text_integer(const char *text, int64_t *ret)
{
	bool negative = *text == '-';
	int64_t value;

	text += negative;
	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	value = read_digits(&text);
	if (*text != '\0')
		return -EINVAL;
	if (value > TEXT_NUMBER_MAX)
		return -ERANGE;
	*ret = negative ? -value : value;
	return 0;
}

/* ".25" after the whole part: 0.25 is added to *value. */
static int read_fraction(const char **text, double *value)
{
	double unit = 0.1;

	if (**text != '.')
		return 0;
	if (!isdigit((unsigned char)*++*text))
		return -EINVAL;
	for (; isdigit((unsigned char)**text); (*text)++, unit /= 10)
		*value += (**text - '0') * unit;
	return 0;
}

/* "e+3" after the mantissa.  Beyond what is in range anyway the rest of a huge exponent is not worked off. */
static int read_exponent(const char **text, double *value)
{
	bool down;
	int64_t n;

	if (**text != 'e' && **text != 'E')
		return 0;
	down = *++*text == '-';
	if (**text == '-' || **text == '+')
		++*text;
	if (!isdigit((unsigned char)**text))
		return -EINVAL;
	for (n = read_digits(text); n > 0 && *value >= 1e-30 && *value <= 1e30; n--)
		*value = down ? *value / 10 : *value * 10;
	return 0;
}

int text_number(const char *text, double *ret)
{
	bool negative = *text == '-';
	double value;

	text += negative;
	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	value = read_digits(&text);
	if (read_fraction(&text, &value) < 0 || read_exponent(&text, &value) < 0 || *text != '\0')
		return -EINVAL;
	if (value > (double)TEXT_NUMBER_MAX)
		return -ERANGE;
	*ret = negative ? -value : value;
	return 0;
}

void text_format_number(double value, char *buf, size_t size)
{
	double magnitude = value < 0 ? -value : value;
	int64_t whole = (int64_t)magnitude;
	int parts = (int)((magnitude - (double)whole) * TEXT_NUMBER_PARTS + 0.5), digits = 6;
	const char *sign;

	if (parts == TEXT_NUMBER_PARTS) {
		whole++;
		parts = 0;
	}
	sign = value < 0 && (whole != 0 || parts != 0) ? "-" : "";
	if (parts == 0) {
		snprintf(buf, size, "%s%lld", sign, (long long)whole);
		return;
	}
	for (; parts % 10 == 0; digits--)
		parts /= 10;
	snprintf(buf, size, "%s%lld.%0*d", sign, (long long)whole, digits, parts);
}

#define NAME_MAX_LENGTH 63

static bool same_letter(char a, char b)
{
	return tolower((unsigned char)a) == tolower((unsigned char)b);
}

unsigned text_distance(const char *a, const char *b)
{
	unsigned row[NAME_MAX_LENGTH + 1];
	size_t n = strlen(b);

	if (n > NAME_MAX_LENGTH || strlen(a) > NAME_MAX_LENGTH)
		return UINT_MAX;
	for (size_t j = 0; j <= n; j++)
		row[j] = (unsigned)j;
	for (size_t i = 0; a[i] != '\0'; i++) {
		unsigned diagonal = row[0];

		row[0] = (unsigned)i + 1;
		for (size_t j = 0; j < n; j++) {
			unsigned change = diagonal + !same_letter(a[i], b[j]);
			unsigned gap = (row[j] < row[j + 1] ? row[j] : row[j + 1]) + 1;

			diagonal = row[j + 1];
			row[j + 1] = change < gap ? change : gap;
		}
	}
	return row[n];
}

/* More differences than in every third letter, and the likeness is chance. */
unsigned text_tolerance(const char *text)
{
	return (unsigned)strnlen(text, NAME_MAX_LENGTH) / 3;
}
