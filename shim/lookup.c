/* Names: what the application looks up is remembered by the core, so that a later connect to one of
 * the addresses is known to mean the name.  The configuration may answer instead of the C library
 * (`hosts`, `resolver = "taps"`). */
#include "shim/real.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "shim/fdtab.h"
#include "shim/load.h"

#define HOST_ADDRS_MAX 35 /* as many as the C library's own table of addresses holds */

/* The core, where a look-up of this name concerns it. */
static const struct taps_core *core_for(const char *name)
{
	if (!name || !*name || load_inside() || fdtab_borrowed())
		return NULL;
	return load_core();
}

int hook_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
		     struct addrinfo **ret)
{
	const struct taps_core *core =
		hints && (hints->ai_flags & AI_NUMERICHOST) ? NULL : core_for(node);
	int result = TAPS_PASS;

	if (core) {
		load_enter();
		result = core->getaddrinfo(node, service, hints, ret);
		load_leave();
	}
	if (result != TAPS_PASS)
		return result;
	result = real.getaddrinfo(node, service, hints, ret);
	if (core && result == 0)
		core->learned(node, hints, *ret);
	return result;
}

struct answer {
	int family;
	int n;
	unsigned char addrs[HOST_ADDRS_MAX * sizeof(struct in6_addr)];
};

static size_t width(int family)
{
	return family == AF_INET ? sizeof(struct in_addr) : sizeof(struct in6_addr);
}

/* Lays a hostent out in the caller's buffer, as gethostbyname_r(3) does. */
static int lay_out(const char *name, const struct answer *answer, struct hostent *ret, char *buf, size_t len)
{
	size_t pointers = ((size_t)answer->n + 2) * sizeof(char *), each = width(answer->family);
	size_t pad = (size_t)(-(uintptr_t)buf & (sizeof(char *) - 1)), need;
	char **list, *at;
	int i;

	need = pad + pointers + (size_t)answer->n * each + strlen(name) + 1;
	if (need > len)
		return ERANGE;
	list = (char **)(void *)(buf + pad);
	at = buf + pad + pointers;
	for (i = 0; i < answer->n; i++, at += each)
		list[i] = memcpy(at, answer->addrs + (size_t)i * each, each);
	list[answer->n] = NULL;
	list[answer->n + 1] = NULL;
	*ret = (struct hostent){
		.h_name = memcpy(at, name, strlen(name) + 1),
		.h_aliases = &list[answer->n + 1],
		.h_addrtype = answer->family,
		.h_length = (int)each,
		.h_addr_list = list,
	};
	return 0;
}

/* Returns true when the core has the answer: answer->n addresses, or -h_errno. */
static bool ask(const struct taps_core *core, const char *name, struct answer *answer)
{
	if (!core || (answer->family != AF_INET && answer->family != AF_INET6))
		return false;
	load_enter();
	answer->n = core->hostaddrs(name, answer->family, answer->addrs, HOST_ADDRS_MAX);
	load_leave();
	return answer->n != TAPS_PASS;
}

static struct hostent *static_answer(const char *name, const struct answer *answer)
{
	static __thread struct hostent host;
	static __thread char buf[2048];

	if (answer->n <= 0 || lay_out(name, answer, &host, buf, sizeof(buf)) != 0) {
		h_errno = answer->n < 0 ? -answer->n : NO_RECOVERY;
		return NULL;
	}
	return &host;
}

static struct hostent *remember(const struct taps_core *core, const char *name, struct hostent *host)
{
	if (core && host)
		core->learned_host(name, host);
	return host;
}

struct hostent *hook_gethostbyname(const char *name)
{
	const struct taps_core *core = core_for(name);
	struct answer answer = {.family = AF_INET};

	if (ask(core, name, &answer))
		return static_answer(name, &answer);
	return remember(core, name, real.gethostbyname(name));
}

struct hostent *hook_gethostbyname2(const char *name, int family)
{
	const struct taps_core *core = core_for(name);
	struct answer answer = {.family = family};

	if (ask(core, name, &answer))
		return static_answer(name, &answer);
	return remember(core, name, real.gethostbyname2(name, family));
}

static int answer_r(const char *name, const struct answer *answer, struct hostent *ret, char *buf, size_t len,
		    struct hostent **result, int *herr)
{
	int error;

	*result = NULL;
	if (answer->n <= 0) {
		*herr = -answer->n;
		return 0;
	}
	error = lay_out(name, answer, ret, buf, len);
	if (error) {
		*herr = NETDB_INTERNAL;
		return error;
	}
	*result = ret;
	return 0;
}

int hook_gethostbyname2_r(const char *name, int family, struct hostent *ret, char *buf, size_t len,
			  struct hostent **result, int *herr)
{
	const struct taps_core *core = core_for(name);
	struct answer answer = {.family = family};
	int error;

	if (ask(core, name, &answer))
		return answer_r(name, &answer, ret, buf, len, result, herr);
	error = real.gethostbyname2_r(name, family, ret, buf, len, result, herr);
	if (error == 0)
		remember(core, name, *result);
	return error;
}

int hook_gethostbyname_r(const char *name, struct hostent *ret, char *buf, size_t len,
			 struct hostent **result, int *herr)
{
	const struct taps_core *core = core_for(name);
	struct answer answer = {.family = AF_INET};
	int error;

	if (ask(core, name, &answer))
		return answer_r(name, &answer, ret, buf, len, result, herr);
	error = real.gethostbyname_r(name, ret, buf, len, result, herr);
	if (error == 0)
		remember(core, name, *result);
	return error;
}
