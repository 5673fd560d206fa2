/* One row for each way of writing a scalar: how to read it, how to write it, and what was expected. */
#include "conf/item.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "conf/ascii.h"
#include "conf/conf.h"
#include "core/host.h"
#include "core/text.h"

#define HOST_NAME_LENGTH 253 /* RFC 1035 §2.3.4 */

static void store_integer(void *ret, size_t size, int64_t value)
{
	switch (size) {
	case 1:
		*(uint8_t *)ret = (uint8_t)value;
		break;
	case 2:
		*(uint16_t *)ret = (uint16_t)value;
		break;
	case 4:
		*(uint32_t *)ret = (uint32_t)value;
		break;
	default:
		*(int64_t *)ret = value;
	}
}

static int64_t fetch_integer(const void *item, size_t size)
{
	switch (size) {
	case 1:
		return *(const uint8_t *)item;
	case 2:
		return *(const uint16_t *)item;
	case 4:
		return *(const uint32_t *)item;
	default:
		return *(const int64_t *)item;
	}
}

static int read_boolean(const struct value_reader *reader, const struct conf_key *key,
			const struct value_input *in, void *ret)
{
	(void)reader;
	(void)key;
	if (in->type != INPUT_BOOLEAN)
		return -EINVAL;
	*(bool *)ret = in->integer;
	return 0;
}

static void format_boolean(const struct conf_key *key, const void *item, char *buf, size_t size)
{
	(void)key;
	snprintf(buf, size, "%s", *(const bool *)item ? "true" : "false");
}

static int read_integer(const struct value_reader *reader, const struct conf_key *key,
			const struct value_input *in, void *ret)
{
	(void)reader;
	if (in->type != INPUT_INTEGER || in->integer < key->low || in->integer > key->high)
		return -EINVAL;
	store_integer(ret, key->size, in->integer);
	return 0;
}

static void format_integer(const struct conf_key *key, const void *item, char *buf, size_t size)
{
	snprintf(buf, size, "%lld", (long long)fetch_integer(item, key->size));
}

static int read_milliseconds(const struct value_reader *reader, const struct conf_key *key,
			     const struct value_input *in, void *ret)
{
	int r = read_integer(reader, key, in, ret);

	if (r == 0)
		*(int64_t *)ret *= NS_PER_MS;
	return r;
}

static void format_milliseconds(const struct conf_key *key, const void *item, char *buf, size_t size)
{
	(void)key;
	snprintf(buf, size, "%lld", (long long)(*(const int64_t *)item / NS_PER_MS));
}

static int find_word(const struct conf_key *key, const char *text)
{
	for (int i = 0; key->words && key->words[i]; i++)
		if (strcmp(key->words[i], text) == 0)
			return i;
	return -EINVAL;
}

static int read_word(const struct value_reader *reader, const struct conf_key *key,
		     const struct value_input *in, void *ret)
{
	int word = in->type == INPUT_TEXT ? find_word(key, in->text) : -EINVAL;

	(void)reader;
	if (word >= 0)
		*(unsigned *)ret = (unsigned)word;
	return word < 0 ? word : 0;
}

static void format_word(const struct conf_key *key, const void *item, char *buf, size_t size)
{
	snprintf(buf, size, "\"%s\"", key->words[*(const unsigned *)item]);
}

static int keep(const struct value_reader *reader, const char *text, void *ret)
{
	const char *kept = arena_strdup(reader->arena, text);

	*(const char **)ret = kept;
	return kept ? 0 : -ENOMEM;
}

/* Within quotes, as libconfig reads it. */
void item_format_text(const struct conf_key *key, const void *item, char *buf, size_t size)
{
	const char *text = *(const char *const *)item;
	size_t used = 0;

	(void)key;
	buf[used++] = '"';
	for (; *text != '\0' && used + 6 < size; text++) {
		if ((unsigned char)*text < ' ') {
			used += (size_t)snprintf(buf + used, size - used, "\\x%02x", (unsigned char)*text);
			continue;
		}
		if (*text == '"' || *text == '\\')
			buf[used++] = '\\';
		buf[used++] = *text;
	}
	snprintf(buf + used, size - used, "\"");
}

/* Letters, digits, hyphens and underscores, and what is not ASCII: the C library may know better. */
static bool is_host_letter(char c)
{
	return ascii_letter(c) || ascii_digit(c) || c == '-' || c == '_' || (unsigned char)c >= 0x80;
}

/* Labels with single dots between, perhaps one at the end; not the looks of an IPv4 address. */
static bool is_host(const char *text, bool wild)
{
	size_t len = strlen(text);
	bool dot = true;

	if (len == 0 || len > HOST_NAME_LENGTH ||
	    (strspn(text, "0123456789.*") == len && strcmp(text, "*") != 0))
		return false;
	for (; *text != '\0'; text++) {
		if (*text == '.' ? dot : !is_host_letter(*text) && !(wild && *text == '*'))
			return false;
		dot = *text == '.';
	}
	return true;
}

static int read_hostname(const struct value_reader *reader, const struct conf_key *key,
			 const struct value_input *in, void *ret)
{
	(void)key;
	return in->type == INPUT_TEXT && is_host(in->text, false) ? keep(reader, in->text, ret) : -EINVAL;
}

static int read_endpoint(const struct value_reader *reader, const struct conf_key *key,
			 const struct value_input *in, void *ret)
{
	struct taps_addr addr;

	if (in->type == INPUT_TEXT && addr_parse(&addr, in->text, 0) == 0)
		return keep(reader, in->text, ret);
	return read_hostname(reader, key, in, ret);
}

static int read_pattern(const struct value_reader *reader, const struct conf_key *key,
			const struct value_input *in, void *ret)
{
	(void)key;
	return in->type == INPUT_TEXT && is_host(in->text, true) ? keep(reader, in->text, ret) : -EINVAL;
}

static int read_program(const struct value_reader *reader, const struct conf_key *key,
			const struct value_input *in, void *ret)
{
	(void)key;
	if (in->type != INPUT_TEXT || *in->text == '\0' || strchr(in->text, '/'))
		return -EINVAL;
	return keep(reader, in->text, ret);
}

static int read_path(const struct value_reader *reader, const struct conf_key *key,
		     const struct value_input *in, void *ret)
{
	if (in->type != INPUT_TEXT || *in->text == '\0')
		return -EINVAL;
	if (*in->text == '/' || *reader->dir == '\0' || find_word(key, in->text) >= 0 ||
	    strncmp(in->text, "pkcs11:", 7) == 0)
		return keep(reader, in->text, ret);
	*(const char **)ret = arena_printf(reader->arena, "%s/%s", reader->dir, in->text);
	return *(const char **)ret ? 0 : -ENOMEM;
}

static int read_text(const struct value_reader *reader, const struct conf_key *key,
		     const struct value_input *in, void *ret)
{
	(void)key;
	return in->type == INPUT_TEXT && *in->text != '\0' ? keep(reader, in->text, ret) : -EINVAL;
}

/* As IANA spells groups, suites and algorithms. */
static int read_name(const struct value_reader *reader, const struct conf_key *key,
		     const struct value_input *in, void *ret)
{
	if (in->type == INPUT_TEXT)
		for (const char *c = in->text; *c != '\0'; c++)
			if (!ascii_letter(*c) && !ascii_digit(*c) && !strchr("-_.", *c))
				return -EINVAL;
	return read_text(reader, key, in, ret);
}

static bool is_hex_digest(const char *text)
{
	return strlen(text) == 64 && strspn(text, "0123456789abcdefABCDEF") == 64;
}

/* 32 bytes in base64: 43 letters and the padding. */
static bool is_base64_digest(const char *text)
{
	return strlen(text) == 44 && text[43] == '=' &&
	       strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") == 43;
}

#define PIN_MARK "sha256/"

/* What looks like a digest is one; what is marked as one must look so; the rest are files. */
static int read_pin(const struct value_reader *reader, const struct conf_key *key,
		    const struct value_input *in, void *ret)
{
	struct security_pin *pin = ret;
	const char *text = in->text;
	bool marked;

	if (in->type != INPUT_TEXT)
		return -EINVAL;
	marked = strncmp(text, PIN_MARK, strlen(PIN_MARK)) == 0;
	text += marked ? strlen(PIN_MARK) : 0;
	if (is_hex_digest(text) || is_base64_digest(text))
		return keep(reader, text, &pin->sha256);
	return marked ? -EINVAL : read_path(reader, key, in, &pin->file);
}

static void format_pin(const struct conf_key *key, const void *item, char *buf, size_t size)
{
	const struct security_pin *pin = item;

	if (pin->sha256)
		snprintf(buf, size, "\"" PIN_MARK "%s\"", pin->sha256);
	else
		item_format_text(key, &pin->file, buf, size);
}

static int read_address(const struct value_reader *reader, const struct conf_key *key,
			const struct value_input *in, void *ret)
{
	(void)reader;
	(void)key;
	return in->type == INPUT_TEXT ? addr_parse(ret, in->text, 0) : -EINVAL;
}

static void format_address(const struct conf_key *key, const void *item, char *buf, size_t size)
{
	char text[ADDR_TEXT_MAX];

	(void)key;
	snprintf(buf, size, "\"%s\"", addr_format_host(item, text));
}

static int read_bits(const char *text, unsigned limit, unsigned *ret)
{
	int64_t bits;

	if (text_integer(text, &bits) < 0 || bits < 0 || bits > limit)
		return -EINVAL;
	*ret = (unsigned)bits;
	return 0;
}

/* An IPv4-mapped prefix would never match: what is matched has been unmapped. */
static int read_prefix(const struct value_reader *reader, const struct conf_key *key,
		       const struct value_input *in, void *ret)
{
	struct prefix *prefix = ret;
	char text[ADDR_TEXT_MAX];
	struct taps_addr plain;
	unsigned limit;
	char *slash;

	(void)reader;
	(void)key;
	if (in->type != INPUT_TEXT || strlen(in->text) >= sizeof(text))
		return -EINVAL;
	memcpy(text, in->text, strlen(in->text) + 1);
	slash = strchr(text, '/');
	if (slash)
		*slash = '\0';
	if (addr_parse(&prefix->addr, text, 0) < 0)
		return -EINVAL;
	plain = addr_unmap(&prefix->addr);
	if (addr_family(&plain) != addr_family(&prefix->addr))
		return -EINVAL;
	limit = addr_family(&plain) == AF_INET ? 32 : 128;
	prefix->bits = limit;
	return slash ? read_bits(slash + 1, limit, &prefix->bits) : 0;
}

static void format_prefix(const struct conf_key *key, const void *item, char *buf, size_t size)
{
	const struct prefix *prefix = item;
	char text[ADDR_TEXT_MAX];

	(void)key;
	snprintf(buf, size, "\"%s/%u\"", addr_format_host(&prefix->addr, text), prefix->bits);
}

static int read_port_number(const char *text, size_t len, int64_t *ret)
{
	char digits[8];

	if (len == 0 || len >= sizeof(digits))
		return -EINVAL;
	snprintf(digits, sizeof(digits), "%.*s", (int)len, text);
	return text_integer(digits, ret);
}

static int read_port(const struct value_reader *reader, const struct conf_key *key,
		     const struct value_input *in, void *ret)
{
	int64_t first = in->integer, last = in->integer;

	(void)reader;
	(void)key;
	if (in->type == INPUT_TEXT) {
		size_t n = strcspn(in->text, "-");
		const char *rest = in->text[n] == '-' ? in->text + n + 1 : in->text;

		if (read_port_number(in->text, n, &first) < 0 ||
		    read_port_number(rest, strlen(rest), &last) < 0)
			return -EINVAL;
	} else if (in->type != INPUT_INTEGER) {
		return -EINVAL;
	}
	if (first < 1 || last > UINT16_MAX || first > last)
		return -EINVAL;
	*(struct port_range *)ret = (struct port_range){(uint16_t)first, (uint16_t)last};
	return 0;
}

static void format_port(const struct conf_key *key, const void *item, char *buf, size_t size)
{
	const struct port_range *range = item;

	(void)key;
	if (range->first == range->last)
		snprintf(buf, size, "%u", range->first);
	else
		snprintf(buf, size, "\"%u-%u\"", range->first, range->last);
}

const struct item_kind item_kinds[VALUES_N] = {
	[VALUE_GROUP] = {"a group { }", NULL, NULL, 0},
	[VALUE_GROUPS] = {"a group { }, or a list ( ) of groups", NULL, NULL, 0},
	[VALUE_PROPERTY] = {"", NULL, NULL, 0},
	[VALUE_BOOLEAN] = {"true or false", read_boolean, format_boolean, 0},
	[VALUE_INTEGER] = {"an integer", read_integer, format_integer, 0},
	[VALUE_MILLISECONDS] = {"milliseconds", read_milliseconds, format_milliseconds, 0},
	[VALUE_WORD] = {"", read_word, format_word, 0},
	[VALUE_FLAGS] = {"", read_word, format_word, sizeof(unsigned)},
	[VALUE_TEXT] = {"a text", read_text, item_format_text, 0},
	[VALUE_TEXTS] = {"a text", read_text, item_format_text, sizeof(const char *)},
	[VALUE_NAMES] = {"a name", read_name, item_format_text, sizeof(const char *)},
	[VALUE_HOSTNAME] = {"a host name", read_hostname, item_format_text, 0},
	[VALUE_ENDPOINT] = {"a host name or an address", read_endpoint, item_format_text, 0},
	[VALUE_PATH] = {"the name of a file", read_path, item_format_text, 0},
	[VALUE_PINS] = {"\"sha256/DIGEST\" or the name of a file", read_pin, format_pin,
			sizeof(struct security_pin)},
	[VALUE_PATHS] = {"the name of a file", read_path, item_format_text, sizeof(const char *)},
	[VALUE_ADDRESSES] = {"an address", read_address, format_address, sizeof(struct taps_addr)},
	[VALUE_PATTERNS] = {"a host name, with * for any letters", read_pattern, item_format_text,
			    sizeof(const char *)},
	[VALUE_PROGRAMS] = {"the name of a program, with * for any letters", read_program, item_format_text,
			    sizeof(const char *)},
	[VALUE_PREFIXES] = {"an address or ADDRESS/BITS", read_prefix, format_prefix, sizeof(struct prefix)},
	[VALUE_PORTS] = {"a port, or \"FIRST-LAST\"", read_port, format_port, sizeof(struct port_range)},
};
