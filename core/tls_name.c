/* Strict on purpose: no common names, no partial wildcards, no wildcard over a whole top-level domain. */
#include "core/tls_name.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#define LABEL_MAX 63
#define HOST_MAX 253

static bool mapped(const uint8_t address[16])
{
	static const uint8_t prefix[12] = {[10] = 0xff, [11] = 0xff};

	return memcmp(address, prefix, sizeof(prefix)) == 0;
}

size_t tls_name_address(const char *text, uint8_t ret[16])
{
	char bare[INET6_ADDRSTRLEN];
	size_t len = strcspn(text, "%");

	if (len >= sizeof(bare))
		return 0;
	memcpy(bare, text, len);
	bare[len] = '\0';
	if (inet_pton(AF_INET, bare, ret) == 1)
		return text[len] ? 0 : 4;
	if (inet_pton(AF_INET6, bare, ret) != 1)
		return 0;
	if (!mapped(ret))
		return 16;
	memmove(ret, ret + 12, 4);
	return 4;
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static bool label_valid(const char *label, size_t len)
{
	if (len < 1 || len > LABEL_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = label[i];

		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '_')
			return false;
	}
	return true;
}

int tls_name_normalise(const char *name, char ret[TLS_NAME_MAX])
{
	size_t len = strlen(name);

	if (len && name[len - 1] == '.')
		len--;
	if (!len || len > HOST_MAX)
		return -EINVAL;
	for (size_t i = 0; i < len; i++)
		ret[i] = lower(name[i]);
	ret[len] = '\0';
	for (char *label = ret; *label;) {
		size_t n = strcspn(label, ".");

		if (!label_valid(label, n))
			return -EINVAL;
		label += n;
		if (*label && !*++label)
			return -EINVAL;
	}
	return 0;
}

/* Is "*.rest" good for anything?  `rest` begins after the "*.". */
static bool wide_enough(const char *rest, size_t len)
{
	const char *dot = memchr(rest, '.', len);

	return dot && dot > rest && dot < rest + len - 1 && !memchr(rest, '*', len);
}

bool tls_name_covers(const char *pattern, size_t len, const char *name)
{
	if (len && pattern[len - 1] == '.')
		len--;
	if (!len || memchr(pattern, '\0', len))
		return false;
	if (len > 2 && pattern[0] == '*' && pattern[1] == '.') {
		const char *dot = strchr(name, '.');

		if (!dot || dot == name || !wide_enough(pattern + 2, len - 2))
			return false;
		pattern += 2;
		len -= 2;
		name = dot + 1;
	}
	return strlen(name) == len && strncasecmp(pattern, name, len) == 0;
}
