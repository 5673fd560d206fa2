/* Names to addresses.  Answers that come late (AAAA after A) are not lost: an unfinished resolution is
 * kept until the connect that follows takes it along into its race. */
#include "core/lookup.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/conn.h"
#include "core/host.h"
#include "core/names.h"
#include "core/names_shared.h"
#include "core/path.h"
#include "core/resolve.h"

#define PENDING_MAX 16
#define PENDING_NS (5 * NS_PER_S)

struct pending {
	char name[NAMES_TEXT_MAX];
	struct resolve *resolve; /* NULL: free */
	int64_t since;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct pending pending[PENDING_MAX];

void lookup_fork_prepare(void)
{
	pthread_mutex_lock(&lock);
}

void lookup_fork_done(void)
{
	pthread_mutex_unlock(&lock);
}

/* What is taken out of the list is freed without the lock: that closes descriptors, where a thread may be
 * cancelled (pthreads(7)). */
struct removed {
	struct resolve *resolve[PENDING_MAX];
	unsigned n;
};

static void take_out(struct pending *from, struct removed *removed)
{
	if (from->resolve)
		removed->resolve[removed->n++] = from->resolve;
	from->resolve = NULL;
}

static void free_removed(const struct removed *removed)
{
	unsigned i;

	for (i = 0; i < removed->n; i++)
		resolve_free(removed->resolve[i]);
}

/* Keeps an unfinished resolution in a free or the oldest place. */
static void keep_pending(const char *name, struct resolve *resolve, int64_t now)
{
	struct pending *place = &pending[0];
	struct removed removed = {.n = 0};
	unsigned i;

	pthread_mutex_lock(&lock);
	for (i = 0; i < PENDING_MAX; i++) {
		if (now - pending[i].since > PENDING_NS)
			take_out(&pending[i], &removed);
		if (!pending[i].resolve || (place->resolve && pending[i].since < place->since))
			place = &pending[i];
	}
	take_out(place, &removed);
	place->resolve = resolve;
	place->since = now;
	strncpy(place->name, name, sizeof(place->name) - 1);
	pthread_mutex_unlock(&lock);
	free_removed(&removed);
}

static struct resolve *take_pending(const char *name, int64_t now)
{
	struct resolve *found = NULL;
	struct removed removed = {.n = 0};
	unsigned i;

	pthread_mutex_lock(&lock);
	for (i = 0; i < PENDING_MAX; i++) {
		if (!pending[i].resolve || strcmp(pending[i].name, name) != 0)
			continue;
		if (!found && now - pending[i].since <= PENDING_NS) {
			found = pending[i].resolve;
			pending[i].resolve = NULL;
		} else {
			take_out(&pending[i], &removed);
		}
	}
	pthread_mutex_unlock(&lock);
	free_removed(&removed);
	return found;
}

/* RFC 6724 order by this machine's own addresses. */
static void sort(struct taps_addr *addrs, size_t n)
{
	struct local_address local[PATH_LOCAL_MAX];
	int n_local = path_local_addresses(local, PATH_LOCAL_MAX);

	endpoint_sort(addrs, n, local, n_local > 0 ? (size_t)n_local : 0);
}

static void wait_usable(struct resolve *resolve)
{
	struct pollfd fds[RESOLVE_FDS_MAX];
	int64_t now = now_ns();

	while (!resolve_usable(resolve, now) && !resolve_complete(resolve)) {
		unsigned n = resolve_pollfds(resolve, fds, RESOLVE_FDS_MAX);
		int64_t left = resolve_deadline(resolve) - now;
		int ms = left < 0                 ? 0
			 : left > 3600 * NS_PER_S ? -1
						  : (int)((left + NS_PER_MS - 1) / NS_PER_MS);

		if (taps_host->poll(fds, n, ms) < 0)
			n = 0;
		now = now_ns();
		resolve_step(resolve, fds, n, now);
	}
}

/* Resolves with the resolver of our own.  Returns how many addresses, or a negative EAI_ code. */
static int resolve_name(const char *name, int family, struct taps_addr *ret, size_t max)
{
	int64_t delay = RESOLVE_DELAY_MS * NS_PER_MS;
	struct resolve *resolve;
	const struct taps_addr *addrs;
	size_t n;
	int error;

	if (resolve_new(&resolve, name, family, 0, delay, now_ns()) < 0)
		return EAI_MEMORY;
	wait_usable(resolve);
	addrs = resolve_addrs(resolve, &n);
	if (n > max)
		n = max;
	memcpy(ret, addrs, n * sizeof(*ret));
	error = resolve_error(resolve);
	if (resolve_complete(resolve) || n == 0)
		resolve_free(resolve);
	else
		keep_pending(name, resolve, now_ns());
	return n > 0 ? (int)n : error ? error : EAI_FAIL;
}

static size_t of_family(struct taps_addr *addrs, size_t n, int family)
{
	size_t i, kept = 0;

	for (i = 0; i < n; i++)
		if (family == AF_UNSPEC || addr_family(&addrs[i]) == family)
			addrs[kept++] = addrs[i];
	return kept;
}

static void learn(const char *name, int family, pid_t thread, const struct taps_addr *addrs, size_t n)
{
	int64_t now = now_ns();

	names_learn(name, family, thread, now, addrs, n);
	names_shared_learn(name, family, taps_host->process(), now, addrs, n);
}

/* What the product itself has to say about a name: the number of addresses, an EAI_ code (negative), or
 * TAPS_PASS. */
static int answer(const struct conf *conf, const char *name, int family, struct taps_addr *ret, size_t max)
{
	size_t n = conf_hosts(conf, name, ret, max);
	struct taps_addr numeric;
	int count;

	if (n > 0) {
		n = of_family(ret, n, family);
		return n > 0 ? (int)n : EAI_NODATA;
	}
	if (conf_resolver(conf) != RESOLVER_TAPS || addr_parse(&numeric, name, 0) == 0)
		return TAPS_PASS;
	count = resolve_name(name, family, ret, max);
	if (count > 1)
		sort(ret, (size_t)count);
	return count;
}

static int to_h_errno(int eai)
{
	switch (eai) {
	case EAI_AGAIN:
		return TRY_AGAIN;
	case EAI_NONAME:
		return HOST_NOT_FOUND;
	case EAI_NODATA:
		return NO_DATA;
	default:
		return NO_RECOVERY;
	}
}

int lookup_hostaddrs(const struct conf *conf, const char *name, int family, void *addrs, int max,
		     pid_t thread)
{
	struct taps_addr found[NAMES_ADDRS_MAX];
	size_t width = family == AF_INET ? sizeof(struct in_addr) : sizeof(struct in6_addr);
	int n = answer(conf, name, family, found, NAMES_ADDRS_MAX), i;

	if (n == TAPS_PASS)
		return n;
	if (n <= 0)
		return -to_h_errno(n);
	learn(name, family, thread, found, (size_t)n);
	for (i = 0; i < n && i < max; i++)
		memcpy((char *)addrs + (size_t)i * width,
		       family == AF_INET ? (void *)&found[i].in4.sin_addr : (void *)&found[i].in6.sin6_addr,
		       width);
	return i;
}

/* Ports and socket types as the C library derives them from `service` and the hints: its own
 * getaddrinfo for no host is asked. */
static int services(const char *service, const struct addrinfo *hints, struct addrinfo **ret)
{
	struct addrinfo ask = hints ? *hints : (struct addrinfo){0};

	ask.ai_flags = (ask.ai_flags & AI_NUMERICSERV) | AI_PASSIVE;
	ask.ai_family = AF_INET;
	return taps_host->getaddrinfo(NULL, service ? service : "0", &ask, ret);
}

/* One element, in one piece, as the C library frees it. */
static struct addrinfo *element(const struct addrinfo *kind, const struct taps_addr *addr, const char *name)
{
	socklen_t len = addr_len(addr);
	struct addrinfo *ai = taps_host->malloc(sizeof(*ai) + len);

	if (!ai)
		return NULL;
	*ai = (struct addrinfo){
		.ai_family = addr_family(addr),
		.ai_socktype = kind->ai_socktype,
		.ai_protocol = kind->ai_protocol,
		.ai_addrlen = len,
		.ai_addr = (struct sockaddr *)(ai + 1),
	};
	memcpy(ai->ai_addr, &addr->sa, len);
	if (name) {
		ai->ai_canonname = taps_host->malloc(strlen(name) + 1);
		if (!ai->ai_canonname) {
			taps_host->free(ai);
			return NULL;
		}
		memcpy(ai->ai_canonname, name, strlen(name) + 1);
	}
	return ai;
}

static int lay_out(const char *node, const struct addrinfo *hints, const struct addrinfo *kinds,
		   const struct taps_addr *addrs, size_t n, struct addrinfo **ret)
{
	const char *name = hints && (hints->ai_flags & AI_CANONNAME) ? node : NULL;
	struct addrinfo **tail = ret;
	const struct addrinfo *kind;
	size_t i;

	*ret = NULL;
	for (i = 0; i < n; i++) {
		for (kind = kinds; kind; kind = kind->ai_next) {
			struct taps_addr addr = addrs[i];

			addr_set_port(&addr, ntohs(((struct sockaddr_in *)(void *)kind->ai_addr)->sin_port));
			*tail = element(kind, &addr, name);
			if (!*tail) {
				if (*ret)
					taps_host->freeaddrinfo(*ret);
				return EAI_MEMORY;
			}
			(*tail)->ai_flags = hints ? hints->ai_flags : AI_V4MAPPED | AI_ADDRCONFIG;
			name = NULL;
			tail = &(*tail)->ai_next;
		}
	}
	return 0;
}

/* Whose answer it is: the configuration's or our resolver's, before anything is asked. */
static bool is_ours(const struct conf *conf, const char *name)
{
	struct taps_addr addr;

	if (conf_hosts(conf, name, &addr, 1) > 0)
		return true;
	return conf_resolver(conf) == RESOLVER_TAPS && addr_parse(&addr, name, 0) != 0;
}

static int answered(const struct conf *conf, const char *node, const struct addrinfo *hints,
		    const struct addrinfo *kinds, struct addrinfo **ret, pid_t thread)
{
	int family = hints ? hints->ai_family : AF_UNSPEC, n;
	struct taps_addr found[NAMES_ADDRS_MAX];

	n = answer(conf, node, family, found, NAMES_ADDRS_MAX);
	if (n <= 0)
		return n;
	learn(node, family, thread, found, (size_t)n);
	return lay_out(node, hints, kinds, found, (size_t)n, ret);
}

/* The service comes first, as in the C library: an unknown one is said before the name is looked up. */
int lookup_getaddrinfo(const struct conf *conf, const char *node, const char *service,
		       const struct addrinfo *hints, struct addrinfo **ret, pid_t thread)
{
	struct addrinfo *kinds;
	int result;

	if (!is_ours(conf, node))
		return TAPS_PASS;
	result = services(service, hints, &kinds);
	if (result != 0)
		return result;
	result = answered(conf, node, hints, kinds, ret, thread);
	taps_host->freeaddrinfo(kinds);
	return result;
}

void lookup_learned(const char *node, const struct addrinfo *hints, const struct addrinfo *list, pid_t thread)
{
	struct taps_addr addrs[NAMES_ADDRS_MAX];
	size_t n = 0;

	for (; list && n < NAMES_ADDRS_MAX; list = list->ai_next) {
		if (!addr_from_sockaddr(&addrs[n], list->ai_addr, list->ai_addrlen))
			continue;
		addr_set_port(&addrs[n], 0);
		if (n == 0 || !addr_equal(&addrs[n], &addrs[n - 1]))
			n++;
	}
	if (n > 0)
		learn(node, hints ? hints->ai_family : AF_UNSPEC, thread, addrs, n);
}

void lookup_learned_host(const char *name, const struct hostent *host, pid_t thread)
{
	struct taps_addr addrs[NAMES_ADDRS_MAX];
	size_t n = 0;
	char **at;

	for (at = host->h_addr_list; *at && n < NAMES_ADDRS_MAX; at++)
		n += addr_from_bytes(&addrs[n], host->h_addrtype, *at, 0);
	if (n > 0)
		learn(name, host->h_addrtype, thread, addrs, n);
}

/* The policy's own remote host: from `hosts`, as an address, or by a resolution that runs on within
 * the race. */
static int remote_candidates(struct conn *conn, int64_t now)
{
	const char *host = conn->policy.remote.host;
	struct taps_addr addrs[NAMES_ADDRS_MAX];
	size_t n = conf_hosts(conn->conf, host, addrs, NAMES_ADDRS_MAX);

	strncpy(conn->name, host, sizeof(conn->name) - 1);
	if (n == 0 && addr_parse(&addrs[0], host, 0) == 0)
		n = 1;
	if (n > 0)
		return conn_gather(conn, addrs, n);
	return resolve_new(&conn->resolve, host, AF_UNSPEC, 0, conn->policy.race.resolution_delay, now);
}

/* Leaves out, beside the address asked for, what was waited for in vain a moment ago: a loop over the answer
 * must not wait for it once more with every other address. */
static size_t drop_failed(const struct conn *conn, const struct names_entry *entry, struct taps_addr *ret,
			  int64_t now)
{
	size_t n = 0;
	unsigned i;

	for (i = 0; i < entry->n; i++) {
		ret[n] = entry->addrs[i];
		addr_set_port(&ret[n], addr_port(&conn->asked));
		if (addr_equal(&ret[n], &conn->asked) || !names_failed_lately(&ret[n], entry->name, now))
			n++;
	}
	return n;
}

static bool may_widen(const struct conn *conn, const struct names_entry *entry)
{
	return conn->policy.race.families == FAMILIES_ANY && entry->family != AF_UNSPEC &&
	       conn->slot->type == SOCK_STREAM;
}

/* Adds the addresses of the family that the application did not look up: what `hosts` has at once, others as
 * they come.  Where they cannot be had, the race goes without. */
static size_t widen(struct conn *conn, const struct names_entry *entry, struct taps_addr *addrs, size_t n,
		    int64_t now)
{
	size_t hosts = conf_hosts(conn->conf, entry->name, addrs + n, NAMES_ADDRS_MAX - n);

	if (hosts == 0 && !conn->resolve)
		resolve_new(&conn->resolve, entry->name, entry->family == AF_INET ? AF_INET6 : AF_INET, 0,
			    conn->policy.race.resolution_delay, now);
	return n + hosts;
}

int lookup_candidates(struct conn *conn, const struct names_entry *entry, int64_t now)
{
	struct taps_addr addrs[NAMES_ADDRS_MAX];
	size_t n;

	if (conn->policy.remote.host)
		return remote_candidates(conn, now);
	if (!entry)
		return conn_gather(conn, &conn->asked, 1);
	conn->resolve = take_pending(entry->name, now);
	n = drop_failed(conn, entry, addrs, now);
	if (may_widen(conn, entry))
		n = widen(conn, entry, addrs, n, now);
	return conn_gather(conn, addrs, n);
}

int lookup_datagram(struct conn *conn, int64_t now)
{
	struct taps_addr addrs[NAMES_ADDRS_MAX];
	const struct taps_addr *found;
	int result;
	size_t n;

	if (conn->slot->domain == AF_INET)
		conn->family = AF_INET;
	result = lookup_candidates(conn, NULL, now);
	if (result < 0 || !conn->resolve)
		return result;
	wait_usable(conn->resolve);
	found = resolve_addrs(conn->resolve, &n);
	if (n > NAMES_ADDRS_MAX)
		n = NAMES_ADDRS_MAX;
	memcpy(addrs, found, n * sizeof(*addrs));
	resolve_free(conn->resolve);
	conn->resolve = NULL;
	sort(addrs, n);
	return conn_gather(conn, addrs, n);
}
