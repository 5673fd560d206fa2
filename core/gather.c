/* Gathering: from what is known of the application's socket and of the name to candidates
 * (RFC 9623 §4.1). */
#include <netinet/in.h>

#include "core/conn.h"
#include "core/host.h"
#include "core/trace.h"

int conn_original_fd(const struct conn *conn)
{
	return conn->own_fd >= 0 ? conn->own_fd : conn->app_fd;
}

/* Asked only where the application set options: the kernel's default may be changed by them alone. */
static bool is_v6only(const struct conn *conn)
{
	int on = 0;
	socklen_t len = sizeof(on);

	if (conn->slot->domain != AF_INET6 || !(atomic_load(&conn->slot->flags) & SLOT_OPTIONS))
		return false;
	return taps_host->getsockopt(conn_original_fd(conn), IPPROTO_IPV6, IPV6_V6ONLY, &on, &len) == 0 && on;
}

/* What the application bound, before an attempt of the socket's own fills the wildcard in. */
static void note_bound(struct conn *conn)
{
	struct sockaddr_storage name;
	socklen_t len = sizeof(name);

	if (!(atomic_load(&conn->slot->flags) & SLOT_BOUND))
		return;
	if (taps_host->getsockname(conn->app_fd, (struct sockaddr *)&name, &len) == 0)
		addr_from_sockaddr(&conn->bound, (struct sockaddr *)&name, len);
	addr_set_port(&conn->bound, 0);
}

/* The family of peers that the bound address leaves: any for a wildcard. */
static int bound_family(const struct conn *conn)
{
	struct taps_addr local = addr_unmap(&conn->bound);

	return addr_is_wildcard(&local) ? AF_UNSPEC : addr_family(&local);
}

/* What gathering must know of the application's socket.  The remote that a rule names is the rule's: which
 * addresses the application looked up says nothing about it.  (A datagram socket stays the one it is.) */
static struct candidate_request request_of(const struct conn *conn, const struct taps_addr *addrs, size_t n)
{
	bool rewritten = conn->policy.remote.host != NULL;
	bool any_family = (rewritten || conn->policy.race.families == FAMILIES_ANY) &&
			  conn->slot->type == SOCK_STREAM;

	return (struct candidate_request){
		.asked = conn->asked,
		.addrs = addrs,
		.n_addrs = n,
		.lookup_family = any_family ? AF_UNSPEC : conn->family,
		.domain = conn->slot->domain,
		.v6only = is_v6only(conn),
		.socktype = conn->slot->type,
		.bound_family = conn->bound.sa.sa_family == AF_UNSPEC ? AF_UNSPEC : bound_family(conn),
		.port = conn->policy.remote.port ? conn->policy.remote.port : addr_port(&conn->asked),
		.first_family_count = conn->policy.race.first_family_count,
		.rewritten = rewritten,
		.properties = &conn->policy.properties,
	};
}

static void trace_pruned(const struct conn *conn, const struct candidate_set *set)
{
	char text[ADDR_TEXT_MAX];
	unsigned i;

	for (i = 0; trace_on() && i < set->n_pruned; i++) {
		struct trace_arg why = TRACE_TEXT("reason", candidate_reason(set->pruned[i].reason));

		trace_event(conn->id, "pruned", addr_format(&set->pruned[i].addr, text), now_ns(), &why, 1);
	}
}

int conn_candidates(const struct conn *conn, const struct taps_addr *addrs, size_t n,
		    struct candidate_set *ret)
{
	struct candidate_request request = request_of(conn, addrs, n);

	return candidate_gather(&request, ret);
}

int conn_gather(struct conn *conn, const struct taps_addr *addrs, size_t n)
{
	struct candidate_set set;
	unsigned i;
	int result;

	note_bound(conn);
	result = conn_candidates(conn, addrs, n, &set);
	if (result < 0)
		return result;
	for (i = 0; i < set.n; i++)
		conn->attempts[i].candidate = set.candidate[i];
	trace_pruned(conn, &set);
	conn->race.n = set.n;
	return (int)set.n;
}
