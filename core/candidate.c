/* Gathering: the answers of a look-up become the ordered leaves of a race.  What cannot or must not be
 * tried is left out here, with the reason, so that the race itself has no exceptions. */
#include "core/candidate.h"

#include <errno.h>
#include <string.h>

static const char *const reasons[] = {
	[CANDIDATE_FINE] = "",
	[CANDIDATE_LOOPBACK] = "loopback",
	[CANDIDATE_LINK_LOCAL] = "link-local",
	[CANDIDATE_MULTICAST] = "multicast",
	[CANDIDATE_NOT_ASKED_FOR] = "not of the address family that was looked up",
	[CANDIDATE_V6_ONLY] = "IPv4, and the socket is IPv6 only",
	[CANDIDATE_BOUND] = "not of the family of the local address that the socket is bound to",
	[CANDIDATE_DUPLICATE] = "there twice",
	[CANDIDATE_TOO_MANY] = "more than a race can hold",
	[CANDIDATE_DATAGRAM] = "for datagrams, whose attempts prove nothing",
	[CANDIDATE_NOT_RACED] = "beside an address that is not raced",
	[CANDIDATE_REQUIREMENT] = "without a protocol stack that has what the properties require",
};

const char *candidate_reason(enum candidate_reason reason)
{
	return reasons[reason];
}

#define BIT(property) (UINT64_C(1) << PROP_##property)

/* Protocol stacks, in order of preference.  What a stack gives it gives always; it cannot be prohibited. */
static const struct stack {
	const char *name;
	int socktype;
	uint64_t gives, lacks; /* bits of preferences */
} stacks[] = {
	[STACK_TCP] = {
		.name = "tcp",
		.socktype = SOCK_STREAM,
		.gives = BIT(reliability) | BIT(preserve_order) | BIT(congestion_control) |
			 BIT(full_checksum_send) | BIT(full_checksum_recv),
		.lacks = BIT(preserve_msg_boundaries) | BIT(per_msg_reliability),
	},
	[STACK_UDP] = {
		.name = "udp",
		.socktype = SOCK_DGRAM,
		.gives = BIT(preserve_msg_boundaries) | BIT(full_checksum_send) | BIT(full_checksum_recv),
		.lacks = BIT(reliability) | BIT(preserve_order) | BIT(per_msg_reliability) |
			 BIT(congestion_control),
	},
};

#define STACKS_N (sizeof(stacks) / sizeof(stacks[0]))

const char *candidate_stack_name(enum candidate_stack stack)
{
	return stacks[stack].name;
}

/* Paths, in order of preference. */
static const unsigned paths[] = {PATH_DEFAULT};

#define PATHS_N (sizeof(paths) / sizeof(paths[0]))

/* The endpoints while they are chosen; all with the request's port. */
struct endpoints {
	size_t n;
	struct taps_addr addr[RACE_MAX_LEAVES];
};

static bool is_v4(const struct taps_addr *addr)
{
	struct taps_addr plain = addr_unmap(addr);

	return addr_family(&plain) == AF_INET;
}

static int socktype_of(const struct candidate_request *request)
{
	return request->socktype ? request->socktype : SOCK_STREAM;
}

static void prune(struct candidate_set *set, const struct taps_addr *addr, enum candidate_reason reason)
{
	if (set->n_pruned < CANDIDATE_PRUNED_MAX)
		set->pruned[set->n_pruned++] = (struct candidate_pruned){.addr = *addr, .reason = reason};
}

/* Racing these costs more than it can gain: they answer at once, or one link is all there is to try. */
static enum candidate_reason judge_reach(const struct taps_addr *addr)
{
	if (addr_is_loopback(addr))
		return CANDIDATE_LOOPBACK;
	if (addr_is_linklocal(addr))
		return CANDIDATE_LINK_LOCAL;
	return addr_is_multicast(addr) ? CANDIDATE_MULTICAST : CANDIDATE_FINE;
}

/* May a socket like the application's go there? */
static enum candidate_reason judge_family(const struct candidate_request *request,
					  const struct taps_addr *addr)
{
	int family = is_v4(addr) ? AF_INET : AF_INET6;

	/* A v4-mapped answer is what a look-up for AF_INET6 with AI_V4MAPPED asks for. */
	if (request->lookup_family != AF_UNSPEC && request->lookup_family != family &&
	    request->lookup_family != addr_family(addr))
		return CANDIDATE_NOT_ASKED_FOR;
	if (request->domain == AF_INET6 && request->v6only && family == AF_INET)
		return CANDIDATE_V6_ONLY;
	if (request->bound_family != AF_UNSPEC && request->bound_family != family)
		return CANDIDATE_BOUND;
	return CANDIDATE_FINE;
}

static bool holds(const struct endpoints *endpoints, const struct taps_addr *addr)
{
	for (size_t i = 0; i < endpoints->n; i++)
		if (addr_equal(&endpoints->addr[i], addr))
			return true;
	return false;
}

static enum candidate_reason judge(const struct candidate_request *request, const struct candidate_set *set,
				   const struct endpoints *endpoints, const struct taps_addr *addr)
{
	enum candidate_reason reason = judge_family(request, addr);

	if (reason == CANDIDATE_FINE && endpoints->n > 0)
		reason = judge_reach(addr);
	if (reason == CANDIDATE_FINE && holds(endpoints, addr))
		reason = CANDIDATE_DUPLICATE;
	if (reason == CANDIDATE_FINE && set->alone != CANDIDATE_FINE)
		reason = CANDIDATE_NOT_RACED;
	if (reason == CANDIDATE_FINE && endpoints->n == RACE_MAX_LEAVES)
		reason = CANDIDATE_TOO_MANY;
	return reason;
}

/* The first endpoint says whether there is a race at all. */
static void add_endpoint(const struct candidate_request *request, struct candidate_set *set,
			 struct endpoints *endpoints, const struct taps_addr *addr)
{
	struct taps_addr *added = &endpoints->addr[endpoints->n++];

	*added = *addr;
	addr_set_port(added, request->port);
	if (endpoints->n == 1)
		set->alone = judge_reach(addr);
	if (set->alone == CANDIDATE_FINE && socktype_of(request) == SOCK_DGRAM)
		set->alone = CANDIDATE_DATAGRAM;
}

static void add_answer(const struct candidate_request *request, struct candidate_set *set,
		       struct endpoints *endpoints, const struct taps_addr *answer)
{
	struct taps_addr addr = *answer;
	enum candidate_reason reason;

	addr_set_port(&addr, request->port);
	reason = judge(request, set, endpoints, &addr);
	if (reason == CANDIDATE_FINE)
		add_endpoint(request, set, endpoints, &addr);
	else if (request->rewritten || !addr_equal_host(&addr, &request->asked))
		prune(set, &addr, reason);
}

static void gather_endpoints(const struct candidate_request *request, struct candidate_set *set,
			     struct endpoints *endpoints)
{
	struct taps_addr answers[ENDPOINT_SORT_MAX];
	size_t n = request->n_addrs < ENDPOINT_SORT_MAX ? request->n_addrs : ENDPOINT_SORT_MAX;

	if (n > 0)
		memcpy(answers, request->addrs, n * sizeof(*answers));
	if (request->local)
		endpoint_sort(answers, n, request->local, request->n_local);
	if (!request->rewritten)
		add_endpoint(request, set, endpoints, &request->asked);
	for (size_t i = 0; i < n; i++)
		add_answer(request, set, endpoints, &answers[i]);
	endpoints->n = endpoint_interleave(endpoints->addr, endpoints->n, request->first_family_count);
}

static bool stack_has_it(const struct stack *stack, enum property property, enum preference preference)
{
	uint64_t bit = UINT64_C(1) << property;

	if (preference == PREF_REQUIRE)
		return !(stack->lacks & bit);
	return preference != PREF_PROHIBIT || !(stack->gives & bit);
}

static bool stack_suits(const struct stack *stack, const struct candidate_request *request)
{
	const struct properties *props = request->properties;

	if (stack->socktype != socktype_of(request))
		return false;
	for (int i = 0; props && i < PROPERTIES_N; i++)
		if (!stack_has_it(stack, i, properties_preference(props, i)))
			return false;
	return true;
}

/* As connect(2) needs it on a socket like the application's, or on one of the other family. */
static struct candidate make_candidate(const struct candidate_request *request,
				       const struct taps_addr *endpoint)
{
	struct candidate candidate = {.remote = addr_unmap(endpoint)};

	candidate.mapped = request->domain == AF_INET6 && addr_family(&candidate.remote) == AF_INET;
	if (candidate.mapped)
		candidate.remote = addr_map(&candidate.remote);
	return candidate;
}

/* The leaves below one path and one stack. */
static void add_leaves(const struct candidate_request *request, const struct endpoints *endpoints,
		       unsigned path, enum candidate_stack stack, struct candidate_set *ret)
{
	for (size_t i = 0; i < endpoints->n; i++) {
		struct candidate candidate = make_candidate(request, &endpoints->addr[i]);

		candidate.path = path;
		candidate.stack = stack;
		if (ret->n < RACE_MAX_LEAVES)
			ret->candidate[ret->n++] = candidate;
		else
			prune(ret, &candidate.remote, CANDIDATE_TOO_MANY);
	}
}

/* The leaves below one path; returns how many stacks were fit for the connection. */
static unsigned add_stacks(const struct candidate_request *request, const struct endpoints *endpoints,
			   unsigned path, struct candidate_set *ret)
{
	unsigned fit = 0;

	for (size_t stack = 0; stack < STACKS_N; stack++) {
		if (!stack_suits(&stacks[stack], request))
			continue;
		add_leaves(request, endpoints, path, (enum candidate_stack)stack, ret);
		fit++;
	}
	return fit;
}

int candidate_gather(const struct candidate_request *request, struct candidate_set *ret)
{
	struct endpoints endpoints = {0};
	unsigned fit = 0;

	memset(ret, 0, sizeof(*ret));
	gather_endpoints(request, ret, &endpoints);
	for (size_t path = 0; path < PATHS_N; path++)
		fit += add_stacks(request, &endpoints, paths[path], ret);
	if (fit > 0)
		return (int)ret->n;
	for (size_t i = 0; i < endpoints.n; i++)
		prune(ret, &endpoints.addr[i], CANDIDATE_REQUIREMENT);
	return -EPROTONOSUPPORT;
}
