/* Pure comparison; called for each connection, so nothing is allocated or parsed here. */
#include "conf/match.h"

#include <string.h>

#include "conf/ascii.h"

static bool same_letter(char a, char b, bool fold)
{
	return fold ? ascii_lower(a) == ascii_lower(b) : a == b;
}

/* Each * first stands for nothing, and for one letter more whenever the rest does not fit. */
bool match_glob(const char *pattern, const char *text, bool fold)
{
	const char *star = NULL, *resume = NULL;

	while (*text != '\0') {
		if (*pattern == '*') {
			star = pattern++;
			resume = text;
		} else if (same_letter(*pattern, *text, fold)) {
			pattern++;
			text++;
		} else if (star) {
			pattern = star + 1;
			text = ++resume;
		} else {
			return false;
		}
	}
	return pattern[strspn(pattern, "*")] == '\0';
}

/* A copy without the dot that makes a name absolute; false if it is too long to be one. */
static bool trim_name(const char *name, char *buf, size_t size)
{
	size_t len = strlen(name);

	len -= len > 0 && name[len - 1] == '.';
	if (len >= size)
		return false;
	memcpy(buf, name, len);
	buf[len] = '\0';
	return true;
}

static bool match_host(const struct security_texts *patterns, const char *host)
{
	char name[256], pattern[256];

	if (patterns->n == 0)
		return true;
	if (!host || !trim_name(host, name, sizeof(name)))
		return false;
	for (unsigned i = 0; i < patterns->n; i++)
		if (trim_name(patterns->item[i], pattern, sizeof(pattern)) && match_glob(pattern, name, true))
			return true;
	return false;
}

static bool match_address(const struct prefixes *prefixes, const struct taps_addr *addr)
{
	struct taps_addr plain;

	if (prefixes->n == 0)
		return true;
	if (!addr)
		return false;
	plain = addr_unmap(addr);
	for (unsigned i = 0; i < prefixes->n; i++)
		if (addr_family(&prefixes->item[i].addr) == addr_family(&plain) &&
		    addr_in_prefix(&plain, &prefixes->item[i].addr, prefixes->item[i].bits))
			return true;
	return false;
}

static bool match_port(const struct port_ranges *ranges, const struct taps_addr *addr)
{
	if (ranges->n == 0)
		return true;
	for (unsigned i = 0; addr && i < ranges->n; i++)
		if (addr_port(addr) >= ranges->item[i].first && addr_port(addr) <= ranges->item[i].last)
			return true;
	return false;
}

static bool match_type(enum match_type type, int socktype)
{
	return type == MATCH_ANY_TYPE || (type == MATCH_DATAGRAM) == (socktype == SOCK_DGRAM);
}

static bool match_role(enum match_role role, enum policy_role actual)
{
	return role == MATCH_ANY_ROLE || (role == MATCH_LISTEN) == (actual == POLICY_LISTEN);
}

bool match_query(const struct match *match, const struct policy_query *query)
{
	return match_type(match->type, query->socktype) && match_role(match->role, query->role) &&
	       match_port(&match->port, query->addr) && match_host(&match->host, query->host) &&
	       match_address(&match->address, query->addr);
}

bool match_program(const struct match *match, const char *const *programs)
{
	if (match->program.n == 0)
		return true;
	for (; programs && *programs; programs++)
		for (unsigned i = 0; i < match->program.n; i++)
			if (match_glob(match->program.item[i], *programs, false))
				return true;
	return false;
}

const struct conf_rule *match_rule(const struct conf_layer *layer, const struct policy_query *query)
{
	for (unsigned i = 0; i < layer->rules.n; i++)
		if (!layer->rules.item[i].foreign && match_query(&layer->rules.item[i].match, query))
			return &layer->rules.item[i];
	return NULL;
}
