/* The resolver: the only file that knows c-ares.
 *
 * A name is looked for in /etc/hosts first; then AAAA and A are asked separately for each spelling
 * that ndots and the search list of resolv.conf(5) give.  One spelling at a time, both families
 * together, so that an answer never mixes two domains.  c-ares keeps the retransmissions by its own
 * clock and does its I/O through the host's calls, on descriptors kept out of the application's way;
 * everything that the race depends on is decided here by the `now` that is handed in. */
#include "core/resolve.h"
#include "core/host.h"
#include "core/resolv.h"

#include <ares.h>
#include <arpa/nameser.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define NEVER INT64_MAX
#define TRY_MS 1000              /* first retransmission; doubles */
#define TRIES 4
#define FAMILY_MAX (RESOLVE_ADDRS_MAX / 2) /* one family's long answer must not crowd out the other's */
#define TEXT_MAX 256
#define OTHER_STATUS (-1)

struct query {
	struct resolve *resolve;
	int family; /* AF_UNSPEC: not asked */
	bool waiting;
};

struct resolve {
	ares_channel channel;
	struct ares_options options; /* what c-ares read: the search list and ndots */
	struct query query[2];       /* in the order they are asked: AAAA, A */
	char name[TEXT_MAX];
	uint16_t port;
	int next_spelling;
	bool stop; /* the last failure would befall other spellings too */
	bool done;
	unsigned worst; /* row of outcomes[] */
	int error;      /* EAI_… */
	int64_t now;    /* of the call under way */
	int64_t limit, delay, deadline;
	int64_t first_addr; /* when the first address came */
	size_t n;
	struct taps_addr addrs[RESOLVE_ADDRS_MAX];
};

/* How queries end.  Later rows outrank earlier ones where the outcomes of a name differ; rows with
 * `stop` say nothing about the name, so that trying another spelling of it is no use. */
static const struct outcome {
	int status; /* ARES_… */
	int error;  /* EAI_… */
	bool stop;
} outcomes[] = {
	{ARES_ENOTFOUND, EAI_NONAME, false},
	{ARES_EBADNAME, EAI_NONAME, false},
	{ARES_ENODATA, EAI_NODATA, false},
	{ARES_ECONNREFUSED, EAI_AGAIN, false}, /* also where every server answered SERVFAIL or REFUSED */
	{ARES_ECANCELLED, EAI_AGAIN, true},
	{ARES_ETIMEOUT, EAI_AGAIN, true},
	{ARES_ENOMEM, EAI_MEMORY, true},
	{OTHER_STATUS, EAI_FAIL, true},
};

static void note_outcome(struct resolve *resolve, int status)
{
	unsigned row = 0;

	while (outcomes[row].status != status && outcomes[row].status != OTHER_STATUS)
		row++;
	resolve->stop |= outcomes[row].stop;
	if (row < resolve->worst)
		return;
	resolve->worst = row;
	resolve->error = outcomes[row].error;
}

/* Appends an address of a family that was asked for, once. */
static void add_addr(struct resolve *resolve, struct taps_addr addr)
{
	unsigned of_family = 0;

	addr_set_port(&addr, resolve->port);
	for (size_t i = 0; i < resolve->n; i++) {
		if (addr_equal(&resolve->addrs[i], &addr))
			return;
		of_family += addr_family(&resolve->addrs[i]) == addr_family(&addr);
	}
	if (of_family == FAMILY_MAX || resolve->query[addr_family(&addr) == AF_INET].family == AF_UNSPEC)
		return;
	if (!resolve->n)
		resolve->first_addr = resolve->now;
	resolve->addrs[resolve->n++] = addr;
}

static void add_bytes(struct resolve *resolve, int family, const void *bytes)
{
	struct taps_addr addr;

	if (addr_from_bytes(&addr, family, bytes, 0))
		add_addr(resolve, addr);
}

/* c-ares' I/O.  Descriptors are kept high, and non-blocking from the start: c-ares leaves sockets that
 * it did not make itself as they are. */

static ares_socket_t io_socket(int family, int type, int protocol, void *arg)
{
	int fd = taps_host->socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);

	(void)arg;
	if (fd < 0)
		return ARES_SOCKET_BAD;
	fd = taps_host->fd_keep(fd);
	if (fd >= 0)
		return fd;
	errno = -fd;
	return ARES_SOCKET_BAD;
}

static int io_close(ares_socket_t fd, void *arg)
{
	(void)arg;
	taps_host->fd_drop(fd);
	return 0;
}

static int io_connect(ares_socket_t fd, const struct sockaddr *addr, ares_socklen_t len, void *arg)
{
	(void)arg;
	return taps_host->connect(fd, addr, len);
}

/* c-ares takes 0 for the end of a stream and gives the server up.  From a datagram socket, where it asks for
 * the sender, an empty packet means nothing (CVE-2023-32067). */
static ares_ssize_t io_recvfrom(ares_socket_t fd, void *data, size_t size, int flags, struct sockaddr *from,
				ares_socklen_t *len, void *arg)
{
	ssize_t n = taps_host->recvfrom(fd, data, size, flags, from, len);

	(void)arg;
	if (n == 0 && from) {
		errno = EAGAIN;
		return -1;
	}
	return n;
}

static ares_ssize_t io_send(ares_socket_t fd, const struct iovec *parts, int n, void *arg)
{
	struct msghdr message = {.msg_iov = (struct iovec *)parts, .msg_iovlen = (size_t)n};

	(void)arg;
	return taps_host->sendmsg(fd, &message, MSG_NOSIGNAL);
}

static const struct ares_socket_functions io = {io_socket, io_close, io_connect, io_recvfrom, io_send};

/* /etc/hosts */

static void on_hosts(void *arg, int status, int timeouts, struct ares_addrinfo *list)
{
	struct resolve *resolve = arg;
	struct taps_addr addr;

	(void)timeouts;
	if (status == ARES_ENOMEM)
		note_outcome(resolve, status);
	if (status != ARES_SUCCESS)
		return;
	for (const struct ares_addrinfo_node *node = list->nodes; node; node = node->ai_next)
		if (addr_from_sockaddr(&addr, node->ai_addr, node->ai_addrlen))
			add_addr(resolve, addr);
	ares_freeaddrinfo(list);
}

/* The channel looks in files only (see open_channel): this calls back before it returns. */
static void look_in_hosts(struct resolve *resolve)
{
	const struct ares_addrinfo_hints hints = {.ai_flags = ARES_AI_NOSORT, .ai_family = AF_UNSPEC};

	ares_getaddrinfo(resolve->channel, resolve->name, NULL, &hints, on_hosts, resolve);
}

/* Is `name` the domain or below it? */
static bool within(const char *name, const char *domain)
{
	size_t len = strlen(name), tail = strlen(domain);

	len -= len && name[len - 1] == '.';
	if (len < tail || strncasecmp(name + len - tail, domain, tail) != 0)
		return false;
	return len == tail || name[len - tail - 1] == '.';
}

/* Names that must not go to the DNS (RFC 6761 §6.3); those of RFC 7686 c-ares itself does not send. */
static void answer_localhost(struct resolve *resolve)
{
	const struct in_addr loopback = {htonl(INADDR_LOOPBACK)};

	if (!within(resolve->name, "localhost"))
		return;
	add_bytes(resolve, AF_INET6, &in6addr_loopback);
	add_bytes(resolve, AF_INET, &loopback);
}

/* The DNS */

/* Takes the addresses out of an answer; c-ares follows the aliases in it.  Returns an ARES_ code. */
static int read_answer(const struct query *query, const unsigned char *answer, int len)
{
	struct hostent *host = NULL;
	int status;

	if (query->family == AF_INET6)
		status = ares_parse_aaaa_reply(answer, len, &host, NULL, NULL);
	else
		status = ares_parse_a_reply(answer, len, &host, NULL, NULL);
	if (status != ARES_SUCCESS)
		return status;
	if (!host->h_addr_list[0])
		status = ARES_ENODATA;
	for (char **bytes = host->h_addr_list; *bytes; bytes++)
		add_bytes(query->resolve, query->family, *bytes);
	ares_free_hostent(host);
	return status;
}

static void on_answer(void *arg, int status, int timeouts, unsigned char *answer, int len)
{
	struct query *query = arg;

	(void)timeouts;
	if (status == ARES_SUCCESS)
		status = read_answer(query, answer, len);
	if (status != ARES_SUCCESS)
		note_outcome(query->resolve, status);
	query->waiting = false;
}

static void ask(struct resolve *resolve, const char *name)
{
	for (unsigned i = 0; i < 2; i++) {
		struct query *query = &resolve->query[i];

		if (query->family == AF_UNSPEC)
			continue;
		query->waiting = true;
		ares_query(resolve->channel, name, ns_c_in, query->family == AF_INET6 ? ns_t_aaaa : ns_t_a,
			   on_answer, query);
	}
}

/* Writes spelling `at` of the name: as it stands, and with each domain of the search list; as it stands
 * first where it has ndots dots (resolv.conf(5)).  Returns 0, -ENOENT behind the last, or -ENAMETOOLONG. */
static int spell(const struct resolve *resolve, int at, char text[TEXT_MAX])
{
	const size_t len = strlen(resolve->name);
	int domains = resolve->name[len - 1] == '.' ? 0 : resolve->options.ndomains;
	int dots = 0, as_is;
	const char *domain = "";

	for (size_t i = 0; i < len; i++)
		dots += resolve->name[i] == '.';
	as_is = dots >= resolve->options.ndots ? 0 : domains;
	if (at > domains)
		return -ENOENT;
	if (at != as_is)
		domain = resolve->options.domains[at - (as_is == 0)];
	if (snprintf(text, TEXT_MAX, "%s%s%s", resolve->name, *domain ? "." : "", domain) >= TEXT_MAX)
		return -ENAMETOOLONG;
	return 0;
}

static bool all_answered(const struct resolve *resolve)
{
	return !resolve->query[0].waiting && !resolve->query[1].waiting;
}

/* Goes on to the next spelling while one has ended without an address. */
static void advance(struct resolve *resolve)
{
	char text[TEXT_MAX];
	int r;

	while (!resolve->done && all_answered(resolve)) {
		r = resolve->n || resolve->stop ? -ENOENT : spell(resolve, resolve->next_spelling++, text);
		if (r == 0)
			ask(resolve, text);
		else if (r == -ENOENT)
			resolve->done = true;
	}
}

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* The next time at which something happens by itself: c-ares retransmits, the resolution delay is
 * over, or the limit is reached. */
static int64_t next_deadline(const struct resolve *resolve)
{
	struct timeval left, *found;
	int64_t next = resolve->limit;

	if (resolve->done)
		return NEVER;
	if (resolve->n && !resolve_usable(resolve, resolve->now))
		next = earlier(next, resolve->first_addr + resolve->delay);
	found = ares_timeout(resolve->channel, NULL, &left);
	/* c-ares rounds down to milliseconds: one more keeps the caller from spinning through the last. */
	if (found)
		next = earlier(next, resolve->now + left.tv_sec * NS_PER_S + left.tv_usec * 1000 + NS_PER_MS);
	return next;
}

static void finish_call(struct resolve *resolve)
{
	advance(resolve);
	resolve->deadline = next_deadline(resolve);
}

static pthread_once_t library_once = PTHREAD_ONCE_INIT;

static void library_init(void)
{
	ares_library_init(ARES_LIB_INIT_ALL);
}

/* Opens the channel and reads what c-ares made of resolv.conf. */
static int open_channel(struct resolve *resolve)
{
	struct ares_options options = {.timeout = TRY_MS, .tries = TRIES, .lookups = (char *)"f"};
	int status, mask = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS;

	pthread_once(&library_once, library_init);
	status = ares_init_options(&resolve->channel, &options, mask);
	if (status != ARES_SUCCESS) {
		resolve->channel = NULL;
		return status == ARES_ENOMEM ? -ENOMEM : -EIO;
	}
	ares_set_socket_functions(resolve->channel, &io, NULL);
	status = ares_save_options(resolve->channel, &resolve->options, &mask);
	return status == ARES_ENOMEM ? -ENOMEM : status == ARES_SUCCESS ? 0 : -EIO;
}

static int begin(struct resolve *resolve, const char *name)
{
	int r = open_channel(resolve);

	if (r < 0)
		return r;
	memcpy(resolve->name, name, strlen(name) + 1);
	look_in_hosts(resolve);
	if (!resolve->n)
		answer_localhost(resolve);
	finish_call(resolve);
	return 0;
}

/* Names that nobody needs to be asked about: numeric ones, and what cannot be a host name. */
static bool answer_at_once(struct resolve *resolve, const char *name)
{
	struct taps_addr addr;

	if (addr_parse(&addr, name, 0) >= 0) {
		add_addr(resolve, addr);
		resolve->error = EAI_ADDRFAMILY;
	} else if (*name && strnlen(name, TEXT_MAX) < TEXT_MAX) {
		return false;
	}
	resolve->done = true;
	return true;
}

static struct resolve *make(int family, uint16_t port, int64_t resolution_delay, int64_t now)
{
	struct resolve *resolve = taps_host->calloc(1, sizeof(*resolve));

	if (!resolve)
		return NULL;
	resolve->query[0] = (struct query){resolve, family == AF_INET ? AF_UNSPEC : AF_INET6, false};
	resolve->query[1] = (struct query){resolve, family == AF_INET6 ? AF_UNSPEC : AF_INET, false};
	resolve->port = port;
	resolve->delay = resolution_delay;
	resolve->now = now;
	resolve->limit = now + resolv_patience("/etc/resolv.conf");
	resolve->deadline = NEVER;
	resolve->error = EAI_NONAME;
	return resolve;
}

int resolve_new(struct resolve **ret, const char *name, int family, uint16_t port, int64_t resolution_delay,
		int64_t now)
{
	struct resolve *resolve = make(family, port, resolution_delay, now);
	int r = 0;

	if (!resolve)
		return -ENOMEM;
	if (!answer_at_once(resolve, name))
		r = begin(resolve, name);
	if (r < 0)
		resolve_free(resolve);
	else
		*ret = resolve;
	return r;
}

void resolve_free(struct resolve *resolve)
{
	if (!resolve)
		return;
	if (resolve->channel)
		ares_destroy(resolve->channel);
	ares_destroy_options(&resolve->options);
	taps_host->free(resolve);
}

unsigned resolve_pollfds(const struct resolve *resolve, struct pollfd *fds, unsigned max)
{
	ares_socket_t sockets[ARES_GETSOCK_MAXNUM];
	unsigned n = 0;
	unsigned bits;

	if (!resolve->channel)
		return 0;
	bits = (unsigned)ares_getsock(resolve->channel, sockets, ARES_GETSOCK_MAXNUM);
	for (unsigned i = 0; i < ARES_GETSOCK_MAXNUM && n < max; i++) {
		/* As ARES_GETSOCK_READABLE and _WRITABLE, which shift into the sign. */
		bool in = bits & 1u << i, out = bits & 1u << (i + ARES_GETSOCK_MAXNUM);

		if (in || out)
			fds[n++] = (struct pollfd){sockets[i], (in ? POLLIN : 0) | (out ? POLLOUT : 0), 0};
	}
	return n;
}

int64_t resolve_deadline(const struct resolve *resolve)
{
	return resolve->deadline;
}

void resolve_step(struct resolve *resolve, const struct pollfd *fds, unsigned n, int64_t now)
{
	const short failure = POLLERR | POLLHUP | POLLNVAL;

	if (resolve->done)
		return;
	resolve->now = now;
	for (unsigned i = 0; i < n; i++)
		if (fds[i].revents)
			ares_process_fd(resolve->channel,
					fds[i].revents & (POLLIN | failure) ? fds[i].fd : ARES_SOCKET_BAD,
					fds[i].revents & (POLLOUT | failure) ? fds[i].fd : ARES_SOCKET_BAD);
	ares_process_fd(resolve->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	if (now >= resolve->limit)
		ares_cancel(resolve->channel);
	finish_call(resolve);
}

bool resolve_usable(const struct resolve *resolve, int64_t now)
{
	const struct query *preferred = &resolve->query[resolve->query[0].family == AF_UNSPEC];

	if (resolve->done)
		return true;
	if (!resolve->n)
		return false;
	return !preferred->waiting || now >= resolve->first_addr + resolve->delay;
}

bool resolve_complete(const struct resolve *resolve)
{
	return resolve->done;
}

const struct taps_addr *resolve_addrs(const struct resolve *resolve, size_t *ret_n)
{
	*ret_n = resolve->n;
	return resolve->addrs;
}

int resolve_error(const struct resolve *resolve)
{
	return resolve->done && !resolve->n ? resolve->error : 0;
}
