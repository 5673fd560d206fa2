/* The machine's addresses by rtnetlink(7): one dump of RTM_GETADDR, then one of RTM_GETLINK to drop
 * those of interfaces that cannot carry packets now.  The kernel answers a dump from within the
 * calls themselves; the time limit is for a kernel that is stuck, and nothing waits longer. */
#include "core/path.h"
#include "core/host.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>

#define PATH_LIMIT_NS (200 * NS_PER_MS)
#define PATH_BUFFER 8192 /* the kernel splits a dump to fit; a link without statistics takes some 1 KiB */
#define PATH_ATTEMPTS 3  /* a dump during which the tables changed is repeated */

/* A dump under way: the socket, the limit, and what has been gathered. */
struct dump {
	int fd;
	int64_t limit;
	uint32_t sequence;
	bool interrupted;
	struct local_address *addrs;
	size_t n, max;
};

typedef void (*dump_visit)(struct dump *dump, const struct nlmsghdr *message);

static int dump_request(struct dump *dump, uint16_t type)
{
	/* The families' header structures all begin with the family; a dump takes any of them. */
	struct {
		struct nlmsghdr header;
		struct ifinfomsg body;
		struct rtattr attr;
		uint32_t filter;
	} request = {
		.header = {
			.nlmsg_len = sizeof(request),
			.nlmsg_type = type,
			.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
			.nlmsg_seq = ++dump->sequence,
		},
		.attr = {RTA_LENGTH(sizeof(uint32_t)), IFLA_EXT_MASK},
		.filter = RTEXT_FILTER_SKIP_STATS,
	};
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};

	if (type == RTM_GETADDR)
		request.header.nlmsg_len = NLMSG_LENGTH(sizeof(struct ifaddrmsg));
	if (taps_host->sendto(dump->fd, &request, request.header.nlmsg_len, MSG_NOSIGNAL,
			      (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
		return -errno;
	return 0;
}

/* Waits until the socket is readable: 0, -ETIMEDOUT once the limit is reached, or -errno. */
static int dump_wait(const struct dump *dump)
{
	struct pollfd pfd = {.fd = dump->fd, .events = POLLIN};
	int64_t left = dump->limit - now_ns();
	int n;

	if (left <= 0)
		return -ETIMEDOUT;
	n = taps_host->poll(&pfd, 1, (int)((left + NS_PER_MS - 1) / NS_PER_MS));
	return n < 0 && errno != EINTR ? -errno : 0;
}

/* One datagram of the kernel's: its length, or -errno. */
static ssize_t dump_receive(const struct dump *dump, void *buffer, size_t size)
{
	struct sockaddr_nl from = {0};
	struct iovec part = {buffer, size};
	struct msghdr message = {.msg_name = &from, .msg_iov = &part, .msg_iovlen = 1};
	ssize_t n;
	int r;

	for (;;) {
		message.msg_namelen = sizeof(from);
		n = taps_host->recvmsg(dump->fd, &message, MSG_DONTWAIT);
		if (n >= 0 && from.nl_pid == 0)
			return message.msg_flags & MSG_TRUNC ? -EMSGSIZE : n;
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		r = dump_wait(dump);
		if (r < 0)
			return r;
	}
}

/* Works off one datagram.  Returns 1 at the end of the dump, 0 if more follows, or -errno. */
static int dump_datagram(struct dump *dump, const struct nlmsghdr *message, size_t left, dump_visit visit)
{
	for (; NLMSG_OK(message, left); message = NLMSG_NEXT(message, left)) {
		if (message->nlmsg_seq != dump->sequence)
			continue;
		if (message->nlmsg_flags & NLM_F_DUMP_INTR)
			dump->interrupted = true;
		if (message->nlmsg_type == NLMSG_DONE)
			return 1;
		if (message->nlmsg_type == NLMSG_ERROR) {
			const struct nlmsgerr *error = NLMSG_DATA(message);

			return message->nlmsg_len < NLMSG_LENGTH(sizeof(*error)) ? -EPROTO : error->error;
		}
		visit(dump, message);
	}
	return 0;
}

static int dump_run(struct dump *dump, uint16_t type, dump_visit visit)
{
	_Alignas(struct nlmsghdr) char buffer[PATH_BUFFER];
	int r = dump_request(dump, type);

	while (r == 0) {
		ssize_t n = dump_receive(dump, buffer, sizeof(buffer));

		r = n < 0 ? (int)n : dump_datagram(dump, (const struct nlmsghdr *)buffer, (size_t)n, visit);
	}
	return r < 0 ? r : 0;
}

/* What one RTM_NEWADDR says. */
struct address_message {
	const void *local;   /* IFA_LOCAL: ours, where IFA_ADDRESS is the peer's (point-to-point links) */
	const void *address; /* IFA_ADDRESS */
	uint32_t flags;
};

static void read_attributes(struct address_message *ret, const struct ifaddrmsg *body, size_t left)
{
	const struct rtattr *attr = IFA_RTA(body);
	size_t bytes = body->ifa_family == AF_INET ? 4 : 16;

	*ret = (struct address_message){.flags = body->ifa_flags};
	for (; RTA_OK(attr, left); attr = RTA_NEXT(attr, left)) {
		if (attr->rta_type == IFA_LOCAL && RTA_PAYLOAD(attr) >= bytes)
			ret->local = RTA_DATA(attr);
		else if (attr->rta_type == IFA_ADDRESS && RTA_PAYLOAD(attr) >= bytes)
			ret->address = RTA_DATA(attr);
		else if (attr->rta_type == IFA_FLAGS && RTA_PAYLOAD(attr) >= sizeof(ret->flags))
			memcpy(&ret->flags, RTA_DATA(attr), sizeof(ret->flags));
	}
}

/* Optimistic addresses (RFC 4429) may be used before duplicate address detection is over. */
static bool flags_usable(uint32_t flags)
{
	if (flags & IFA_F_DADFAILED)
		return false;
	return !(flags & IFA_F_TENTATIVE) || flags & IFA_F_OPTIMISTIC;
}

static void visit_address(struct dump *dump, const struct nlmsghdr *message)
{
	const struct ifaddrmsg *body = NLMSG_DATA(message);
	struct local_address found = {0};
	struct address_message parts;

	if (message->nlmsg_type != RTM_NEWADDR || message->nlmsg_len < NLMSG_LENGTH(sizeof(*body)) ||
	    (body->ifa_family != AF_INET && body->ifa_family != AF_INET6) || dump->n == dump->max)
		return;
	read_attributes(&parts, body, message->nlmsg_len - NLMSG_LENGTH(sizeof(*body)));
	if (!parts.local)
		parts.local = parts.address;
	if (!parts.local || !flags_usable(parts.flags) ||
	    !addr_from_bytes(&found.addr, body->ifa_family, parts.local, 0))
		return;
	found.prefix_bits = body->ifa_prefixlen;
	found.ifindex = body->ifa_index;
	found.deprecated = parts.flags & IFA_F_DEPRECATED;
	/* The same bit means "secondary" for IPv4. */
	found.temporary = body->ifa_family == AF_INET6 && parts.flags & IFA_F_TEMPORARY;
	if (body->ifa_family == AF_INET6 && addr_is_linklocal(&found.addr))
		found.addr.in6.sin6_scope_id = body->ifa_index;
	dump->addrs[dump->n++] = found;
}

static void drop_interface(struct dump *dump, unsigned ifindex)
{
	size_t kept = 0;

	for (size_t i = 0; i < dump->n; i++)
		if (dump->addrs[i].ifindex != ifindex)
			dump->addrs[kept++] = dump->addrs[i];
	dump->n = kept;
}

/* An interface keeps its addresses when it is taken down, or up without a carrier. */
static void visit_link(struct dump *dump, const struct nlmsghdr *message)
{
	const struct ifinfomsg *body = NLMSG_DATA(message);

	if (message->nlmsg_type != RTM_NEWLINK || message->nlmsg_len < NLMSG_LENGTH(sizeof(*body)))
		return;
	if (!(body->ifi_flags & IFF_RUNNING))
		drop_interface(dump, (unsigned)body->ifi_index);
}

static int dump_both(struct dump *dump)
{
	int r = 0;

	for (int i = 0; i < PATH_ATTEMPTS; i++) {
		dump->n = 0;
		dump->interrupted = false;
		r = dump_run(dump, RTM_GETADDR, visit_address);
		if (r == 0)
			r = dump_run(dump, RTM_GETLINK, visit_link);
		if (r < 0 || !dump->interrupted)
			break;
	}
	return r;
}

int path_local_addresses(struct local_address *ret, size_t max)
{
	struct dump dump = {.addrs = ret, .max = max, .limit = now_ns() + PATH_LIMIT_NS};
	int r;

	r = taps_host->socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	if (r < 0)
		return -errno;
	dump.fd = taps_host->fd_keep(r);
	if (dump.fd < 0)
		return dump.fd;
	r = dump_both(&dump);
	taps_host->fd_drop(dump.fd);
	return r < 0 ? r : (int)dump.n;
}
