/* Which characters may be shown. */
#include "tools/utf8.h"

#include <stdint.h>

/* What is well-formed but not shown: C1 controls, direction and joining, surrogates, private use, the
 * byte order mark and its neighbours. */
static const struct {
	uint32_t first, last;
} hidden[] = {
	{ 0x80, 0x9f },     { 0xad, 0xad },     { 0x61c, 0x61c },   { 0x180e, 0x180e }, { 0x200b, 0x200f },
	{ 0x2028, 0x202e }, { 0x2060, 0x206f }, { 0xd800, 0xf8ff }, { 0xfe00, 0xfe0f }, { 0xfeff, 0xfeff },
	{ 0xfff0, 0xfffc }, { 0xe0000, 0xffffffff },
};

static size_t length_of(unsigned char lead)
{
	if (lead >= 0xc2 && lead < 0xe0)
		return 2;
	if (lead >= 0xe0 && lead < 0xf0)
		return 3;
	return lead >= 0xf0 && lead < 0xf5 ? 4 : 0;
}

size_t utf8_printable(const unsigned char *s)
{
	static const uint32_t least[] = { [2] = 0x80, [3] = 0x800, [4] = 0x10000 };
	size_t length = length_of(*s);
	uint32_t code;

	if (*s < 0x80)
		return *s >= 0x20 && *s < 0x7f;
	if (length == 0)
		return 0;
	code = *s & (0x7fu >> length);
	for (size_t i = 1; i < length; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (s[i] & 0x3fu);
	}
	if (code < least[length])
		return 0;
	for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++)
		if (code >= hidden[i].first && code <= hidden[i].last)
			return 0;
	return length;
}

size_t utf8_step(const unsigned char *s)
{
	size_t n = 1;

	while (n < 4 && (s[n] & 0xc0) == 0x80)
		n++;
	return n;
}
