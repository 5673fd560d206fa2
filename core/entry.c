/* The core's door: configuration, and what each call of the application's leads to. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf/policy.h"
#include "core/conn.h"
#include "core/drive.h"
#include "core/host.h"
#include "core/listener.h"
#include "core/lookup.h"
#include "core/names.h"
#include "core/names_shared.h"
#include "core/secure.h"
#include "core/setup.h"
#include "core/stream.h"
#include "core/trace.h"

const struct taps_host *taps_host;

static struct conf *conf;
static bool fail_closed; /* a security rule could not be read: nothing connects */

static __thread char thread_mark;

static pid_t thread_number(void)
{
	return (pid_t)((uintptr_t)&thread_mark >> 4);
}

static void say(enum taps_log_level level, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	taps_host->log(level, format, args);
	va_end(args);
}

/* The policy for a call, with the name that the address was looked up by. */
static bool find_policy(const struct taps_connect_call *call, const struct taps_addr *addr,
			struct names_entry *entry, struct policy *policy, bool *ret_ambiguous)
{
	bool named = names_find(addr, thread_number(), entry, ret_ambiguous);
	bool shared = !named && names_shared_find(addr, entry);
	struct policy_query query = {
		.host = named || shared ? entry->name : NULL,
		.addr = addr,
		.socktype = call->slot->type,
		.role = POLICY_INITIATE,
	};

	conf_policy(conf, &query, policy);
	/* A child's word is good for a race, not for whom to trust. */
	return named || (shared && !policy->security);
}

static bool never_raced(const struct taps_addr *addr)
{
	return addr_is_loopback(addr) || addr_is_multicast(addr) || addr_is_linklocal(addr);
}

static bool is_pinned(const struct taps_connect_call *call)
{
	return atomic_load(&call->slot->flags) & (SLOT_PINNED | SLOT_BOUND_PORT);
}

static bool is_non_blocking(int fd)
{
	int status = taps_host->fcntl(fd, F_GETFL);

	return status >= 0 && (status & O_NONBLOCK);
}

/* Where the policy says that the connection is the core's, it is never left to the kernel. */
static int kernels(const struct policy *policy, int error)
{
	return policy->security || policy->remote.host || policy->remote.port ? -error : TAPS_PASS;
}

static int fail_again(struct conn *conn, int fd, int error)
{
	if (is_non_blocking(fd))
		return drive_failed(conn, error);
	conn_unref(conn);
	return -error;
}

/* Races, with the name's remembered answer or with what the policy puts in its place. */
static int race(const struct taps_connect_call *call, const struct policy *policy,
		const struct names_entry *entry, const struct taps_addr *asked)
{
	bool alone = kernels(policy, EINVAL) == TAPS_PASS;
	struct conn *conn;
	int64_t now = now_ns();
	int error = entry ? names_take_failure(asked, entry->name, now) : 0, found;

	if (!error && entry && alone && drive_stand_down(entry->name, asked, &thread_mark, now))
		return TAPS_PASS;
	conn = conn_new(call, conf, policy, entry);
	if (!conn)
		return kernels(policy, ENOMEM);
	if (error)
		return fail_again(conn, call->fd, error);
	conn->thread = &thread_mark;
	/* What cannot be carried over to another socket stays on the one that has it. */
	found = lookup_candidates(conn, is_pinned(call) ? NULL : entry, now);
	if (found < 0 || (alone && !conn->resolve && conn->race.n <= 1)) {
		conn_unref(conn);
		return found < 0 ? found : TAPS_PASS;
	}
	return is_non_blocking(call->fd) ? drive_behind(conn) : drive_here(conn);
}

/* The certificate is checked against the name that was looked up; where several names share the address
 * and this thread looked up none of them last, there is no telling which was meant. */
static bool is_ambiguous(const struct policy *policy, const struct names_entry *entry, bool ambiguous)
{
	if (!policy->security || policy->security->peer_name || !ambiguous ||
	    entry->thread == thread_number())
		return false;
	say(TAPS_LOG_SAY,
	    "%s: several names were looked up for this address; peerName must say which (rule %s)",
	    entry->name, policy->security->rule);
	return true;
}

/* Nothing but another remote is the core's: datagrams are not raced, and no layer secures them. */
static int datagram(const struct taps_connect_call *call, const struct policy *policy,
		    const struct names_entry *entry)
{
	struct conn *conn;
	int found;

	if (policy->security || kernels(policy, EINVAL) == TAPS_PASS)
		return TAPS_PASS;
	conn = conn_new(call, conf, policy, entry);
	if (!conn)
		return -ENOMEM;
	found = lookup_datagram(conn, now_ns());
	if (found >= 0)
		return drive_datagram(conn);
	conn_unref(conn);
	return found;
}

/* A connection that is secured must be the only way to its peer: no descriptor of the socket may be unknown,
 * and what was set for this very socket must hold for the peer that the rule names. */
static bool can_secure(const struct taps_connect_call *call, const struct policy *policy,
		       const struct taps_addr *asked)
{
	uint32_t flags = atomic_load(&call->slot->flags);
	bool pinned = is_pinned(call), unseen = (flags & SLOT_UNSEEN) || (pinned && (flags & SLOT_SHARED));
	char text[ADDR_TEXT_MAX];

	if (!unseen && !(pinned && policy->remote.host))
		return true;
	say(TAPS_LOG_SAY, "%s: this socket cannot be secured: %s (rule %s)", addr_format(asked, text),
	    unseen ? "it may have descriptors that are not known"
		   : "it is bound, and the rule names another peer",
	    policy->security->rule);
	return false;
}

static int core_connect(const struct taps_connect_call *call)
{
	struct names_entry entry;
	struct policy policy;
	struct taps_addr addr;
	bool named, ambiguous = false, free_choice;

	if (fail_closed)
		return -ECONNABORTED;
	if (!addr_from_sockaddr(&addr, call->addr, call->len))
		return TAPS_PASS;
	addr = addr_unmap(&addr);
	handle_reap();
	if (!conf_has_rules(conf) && (never_raced(&addr) || call->slot->type == SOCK_DGRAM))
		return TAPS_PASS;
	named = find_policy(call, &addr, &entry, &policy, &ambiguous);
	free_choice = kernels(&policy, EINVAL) == TAPS_PASS;
	if (call->slot->type == SOCK_DGRAM)
		return datagram(call, &policy, named ? &entry : NULL);
	if (free_choice && (is_pinned(call) || never_raced(&addr) || !named || !policy.race.enabled))
		return TAPS_PASS;
	if (named && is_ambiguous(&policy, &entry, ambiguous))
		return -EPROTO;
	if (policy.security && !can_secure(call, &policy, &addr))
		return -EPROTO;
	return race(call, &policy, named ? &entry : NULL, &addr);
}

static struct conn *conn_behind(struct taps_slot *slot)
{
	return atomic_load(&slot->conn);
}

static int core_take_error(struct taps_slot *slot)
{
	struct conn *conn = conn_behind(slot);

	return conn ? atomic_exchange(&conn->error, 0) : 0;
}

/* As the kernel: the error of the failed attempt, once; after SO_ERROR took it, ECONNABORTED once; then
 * the socket may be tried again. */
static int reconnect_failed(const struct taps_connect_call *call)
{
	int error = core_take_error(call->slot);

	drive_restore(call->slot);
	return error ? -error : -ECONNABORTED;
}

/* To the kernel the winner's connect is under way until it is asked again: 0, then EISCONN. */
static int connect_again(const struct taps_connect_call *call)
{
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);

	if (taps_host->getpeername(call->fd, (struct sockaddr *)&peer, &len) != 0)
		return -errno;
	return taps_host->connect(call->fd, (struct sockaddr *)&peer, len) == 0 ? 0 : -errno;
}

static struct stream *stream_behind(struct taps_slot *slot)
{
	struct handle *handle = atomic_load(&slot->conn);

	return handle && handle->kind == HANDLE_STREAM ? (struct stream *)handle : NULL;
}

static bool is_relayed(struct taps_slot *slot)
{
	struct stream *stream = stream_behind(slot);

	return stream && stream_own(stream) >= 0;
}

static int core_reconnect(const struct taps_connect_call *call)
{
	uint32_t flags = atomic_load(&call->slot->flags);
	int result;

	if (is_relayed(call->slot))
		return -EISCONN;
	if (flags & (SLOT_DISGUISED | SLOT_LAYERED))
		return connect_again(call);
	if (flags & SLOT_FAILED)
		return reconnect_failed(call);
	if (is_non_blocking(call->fd))
		return -EALREADY;
	result = drive_settle(call->slot, call->fd);
	if (result < 0)
		return result;
	flags = atomic_load(&call->slot->flags);
	if (flags & SLOT_FAILED)
		return reconnect_failed(call);
	/* Nothing came of it: the socket is as new. */
	if (!(flags & (SLOT_PLAIN | SLOT_LAYERED | SLOT_DISGUISED)))
		return core_connect(call);
	connect_again(call);
	return 0;
}

static int kernels_name(int fd, bool peer, struct sockaddr *addr, socklen_t *len)
{
	int result = peer ? taps_host->getpeername(fd, addr, len) : taps_host->getsockname(fd, addr, len);

	return result == 0 ? 0 : -errno;
}

static int core_name(struct taps_slot *slot, bool peer, struct sockaddr *addr, socklen_t *len)
{
	struct stream *stream = stream_behind(slot);
	const struct taps_addr *name;
	socklen_t size;

	if (!stream)
		return -ENOTCONN;
	name = stream_name(stream, peer);
	if (stream_own(stream) >= 0 && stream_name(stream, false)->sa.sa_family == AF_UNSPEC)
		return kernels_name(stream_own(stream), peer, addr, len);
	size = addr_len(name);
	if (!addr || !len)
		return -EFAULT;
	memcpy(addr, &name->sa, *len < size ? *len : size);
	*len = size;
	return 0;
}

static ssize_t core_recv(struct taps_slot *slot, int fd, struct msghdr *msg, int flags)
{
	struct stream *stream = stream_behind(slot);

	return stream ? stream_recv(stream, fd, msg, flags) : TAPS_PASS;
}

static ssize_t core_send(struct taps_slot *slot, int fd, const struct msghdr *msg, int flags)
{
	struct stream *stream = stream_behind(slot);

	return stream ? stream_send(stream, fd, msg, flags) : TAPS_PASS;
}

static int core_shutdown(struct taps_slot *slot, int fd, int how)
{
	struct stream *stream = stream_behind(slot);

	return stream ? stream_shutdown(stream, fd, how) : -EIO;
}

static size_t core_pending(struct taps_slot *slot, int fd)
{
	struct stream *stream = stream_behind(slot);

	return stream ? stream_pending(stream, fd) : 0;
}

static int core_setsockopt(struct taps_slot *slot, int fd, int level, int name, const void *value,
			   socklen_t len)
{
	struct stream *stream = stream_behind(slot);
	int number;

	if (!stream || !value || len < sizeof(number))
		return TAPS_PASS;
	memcpy(&number, value, sizeof(number));
	if (level == IPPROTO_TCP && name == TCP_CORK)
		stream_cork(stream, fd, number);
	if (level != SOL_SOCKET || name != SO_RCVLOWAT)
		return TAPS_PASS;
	stream_set_lowat(stream, fd, number);
	return 0;
}

static int core_lowat(struct taps_slot *slot)
{
	struct stream *stream = stream_behind(slot);

	return stream ? stream_lowat(stream) : 1;
}

static int core_readable(struct taps_slot *slot, int fd)
{
	struct stream *stream = stream_behind(slot);

	return stream ? stream_readable(stream, fd) : 1;
}

static void core_ending(struct taps_slot *slot, int fd, bool parting)
{
	struct stream *stream = stream_behind(slot);

	if (stream)
		stream_end(stream, fd, parting);
}

static int core_listening(struct taps_slot *slot, int fd)
{
	if (fail_closed)
		return -ECONNABORTED;
	return conf_has_rules(conf) && slot->type == SOCK_STREAM ? listener_prepare(conf, slot, fd) : 0;
}

static void core_unblocked(struct taps_slot *slot, int fd)
{
	if (stream_behind(slot))
		listener_unblocked(slot, fd);
}

static bool core_secures(void)
{
	return fail_closed || conf_secures(conf);
}

/* What the rules say of a connection that the core does not see being made. */
static int core_permits(const struct sockaddr *address, socklen_t len, bool listening)
{
	struct taps_addr addr;
	struct names_entry entry;
	struct policy policy;
	struct policy_query query = {.addr = &addr, .socktype = SOCK_STREAM};
	char text[ADDR_TEXT_MAX];
	bool ambiguous;

	if (fail_closed)
		return -EPROTO;
	if (!conf_secures(conf) || !addr_from_sockaddr(&addr, address, len))
		return 0;
	addr = addr_unmap(&addr);
	query.role = listening ? POLICY_LISTEN : POLICY_INITIATE;
	if (!listening && names_find(&addr, thread_number(), &entry, &ambiguous))
		query.host = entry.name;
	conf_policy(conf, &query, &policy);
	if (!policy.security)
		return 0;
	say(TAPS_LOG_SAY, "%s: this socket cannot be secured (rule %s)", addr_format(&addr, text),
	    policy.security->rule);
	return -EPROTO;
}

static void release(struct handle *handle)
{
	if (handle->kind == HANDLE_CONN)
		drive_released(handle);
	else if (handle->kind == HANDLE_STREAM)
		stream_released((struct stream *)handle);
	else
		handle_unref(handle);
}

static void core_released(void *arg)
{
	struct handle *handle = arg, *former;

	for (; handle; handle = former) {
		former = handle->former;
		release(handle);
	}
}

static int core_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
			    struct addrinfo **ret)
{
	return conf ? lookup_getaddrinfo(conf, node, service, hints, ret, thread_number()) : TAPS_PASS;
}

static void core_learned(const char *node, const struct addrinfo *hints, const struct addrinfo *list)
{
	lookup_learned(node, hints, list, thread_number());
}

static void core_learned_host(const char *name, const struct hostent *host)
{
	lookup_learned_host(name, host, thread_number());
}

static int core_hostaddrs(const char *name, int family, void *addrs, int max)
{
	return conf ? lookup_hostaddrs(conf, name, family, addrs, max, thread_number()) : TAPS_PASS;
}

static void fork_prepare(void)
{
	loop_fork_prepare();
	names_fork_prepare();
	lookup_fork_prepare();
	stream_fork_prepare();
	secure_fork_prepare();
	trace_fork_prepare();
	/* Last of ours, and before an allocator's own: nobody is between two steps of a replacement. */
	taps_host->lock();
}

static void fork_parent(void)
{
	taps_host->unlock();
	trace_fork_parent();
	secure_fork_parent();
	stream_fork_parent();
	lookup_fork_done();
	names_fork_done();
	loop_fork_parent();
}

static void fork_child(void)
{
	taps_host->unlock();
	trace_fork_child();
	secure_fork_child(loop_forks_alone());
	stream_fork_child();
	lookup_fork_done();
	names_fork_done();
	drive_fork_child();
	loop_fork_child();
}

static const struct taps_core core = {
	.version = TAPS_API_VERSION,
	.size = sizeof(core),
	.connect = core_connect,
	.reconnect = core_reconnect,
	.settle = drive_settle,
	.take_error = core_take_error,
	.restore = drive_restore,
	.released = core_released,
	.recv = core_recv,
	.send = core_send,
	.shutdown = core_shutdown,
	.pending = core_pending,
	.setsockopt = core_setsockopt,
	.lowat = core_lowat,
	.readable = core_readable,
	.ending = core_ending,
	.parting = stream_part,
	.exiting = loop_stop,
	.escape = stream_escape,
	.secures = core_secures,
	.permits = core_permits,
	.listening = core_listening,
	.accepted = listener_accepted,
	.unblocked = core_unblocked,
	.name = core_name,
	.getaddrinfo = core_getaddrinfo,
	.learned = core_learned,
	.learned_host = core_learned_host,
	.hostaddrs = core_hostaddrs,
};

__attribute__((visibility("default"))) const struct taps_core *taps_core_open(const struct taps_host *host)
{
	const char *trace;

	if (host->version != TAPS_API_VERSION || host->size != sizeof(*host))
		return NULL;
	taps_host = host;
	if (host->shared_size)
		names_shared_init(host->shared, host->shared_size, host->started_as);
	conf = setup_configuration(&fail_closed);
	if (!conf && !fail_closed)
		return NULL;
	/* Now, and not in the shim's constructor: handlers registered before (an allocator's) take their
	 * locks after ours, and the child may allocate when its turn comes (pthread_atfork(3)). */
	pthread_atfork(fork_prepare, fork_parent, fork_child);
	trace = setup_variable("TAPS_TRACE");
	if (trace) {
		int result = trace_open(trace, program_invocation_short_name);

		if (result < 0)
			say(TAPS_LOG_SAY, "%s: the trace cannot be written: %s", trace, strerror(-result));
	}
	return &core;
}
