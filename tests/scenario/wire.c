/* Watches TCP connection attempts arrive on an interface, before any packet filter sees them, and prints one
 * line for each thing that happens first to one:
 *
 *	MICROSECONDS KIND SOURCE-PORT DESTINATION DESTINATION-PORT
 *
 * KIND is S (SYN), s (SYN again), E (the client's first ACK: established), D (its first data), F (its FIN),
 * R (its RST).  The clock is the kernel's receive time stamp. */
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define FLOWS_MAX 65536

struct segment {
	char to[INET6_ADDRSTRLEN];
	unsigned from_port, to_port;
	unsigned char flags;
	bool data;
};

/* What was printed of the attempt from a source port. */
struct flow {
	char to[INET6_ADDRSTRLEN];
	unsigned to_port;
	bool syn, established, data, fin;
};

static struct flow flows[FLOWS_MAX];

static bool parse_tcp(const unsigned char *at, size_t len, size_t total, struct segment *ret)
{
	struct tcphdr tcp;

	if (len < sizeof(tcp))
		return false;
	memcpy(&tcp, at, sizeof(tcp));
	ret->from_port = ntohs(tcp.source);
	ret->to_port = ntohs(tcp.dest);
	ret->flags = at[13];
	ret->data = total > tcp.doff * 4u;
	return true;
}

static bool parse(const unsigned char *packet, size_t len, int protocol, struct segment *ret)
{
	struct ip6_hdr ip6;
	struct iphdr ip;

	if (protocol == ETH_P_IP && len >= sizeof(ip)) {
		memcpy(&ip, packet, sizeof(ip));
		if (ip.protocol != IPPROTO_TCP || len < ip.ihl * 4u)
			return false;
		inet_ntop(AF_INET, &ip.daddr, ret->to, sizeof(ret->to));
		return parse_tcp(packet + ip.ihl * 4, len - ip.ihl * 4, ntohs(ip.tot_len) - ip.ihl * 4u, ret);
	}
	if (protocol == ETH_P_IPV6 && len >= sizeof(ip6)) {
		memcpy(&ip6, packet, sizeof(ip6));
		if (ip6.ip6_nxt != IPPROTO_TCP)
			return false;
		inet_ntop(AF_INET6, &ip6.ip6_dst, ret->to, sizeof(ret->to));
		return parse_tcp(packet + sizeof(ip6), len - sizeof(ip6), ntohs(ip6.ip6_plen), ret);
	}
	return false;
}

static void print(long long when, char kind, const struct segment *s)
{
	printf("%lld %c %u %s %u\n", when, kind, s->from_port, s->to, s->to_port);
}

static void note(long long when, const struct segment *s)
{
	struct flow *flow = &flows[s->from_port];

	if ((s->flags & TH_SYN) && (!flow->syn || flow->to_port != s->to_port || flow->established ||
				    strcmp(flow->to, s->to) != 0)) {
		memset(flow, 0, sizeof(*flow));
		memcpy(flow->to, s->to, sizeof(flow->to));
		flow->to_port = s->to_port;
		flow->syn = true;
		print(when, 'S', s);
		return;
	}
	if (s->flags & TH_SYN)
		print(when, 's', s);
	else if (s->flags & TH_RST)
		print(when, 'R', s);
	else if (!flow->established)
		print(when, 'E', s);
	if (!(s->flags & (TH_SYN | TH_RST)))
		flow->established = true;
	if (s->data && !flow->data && !(s->flags & TH_SYN)) {
		flow->data = true;
		print(when, 'D', s);
	}
	if ((s->flags & TH_FIN) && !flow->fin) {
		flow->fin = true;
		print(when, 'F', s);
	}
}

static long long stamp(struct msghdr *msg)
{
	struct timespec ts = {0};

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_TIMESTAMPNS)
			memcpy(&ts, CMSG_DATA(c), sizeof(ts));
	return ts.tv_sec * 1000000ll + ts.tv_nsec / 1000;
}

static int watch(const char *interface)
{
	int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, htons(ETH_P_ALL)), on = 1, size = 8 << 20;
	struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};

	at.sll_ifindex = (int)if_nametoindex(interface);
	if (fd < 0 || !at.sll_ifindex || bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	return setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on)) < 0 ? -1 : fd;
}

int main(int argc, char **argv)
{
	int fd = argc == 2 ? watch(argv[1]) : -1;

	if (fd < 0) {
		perror("wire");
		return 1;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("watching %s\n", argv[1]);
	for (;;) {
		unsigned char packet[256], control[128];
		struct sockaddr_ll from;
		struct iovec iov = {packet, sizeof(packet)};
		struct msghdr msg = {&from, sizeof(from), &iov, 1, control, sizeof(control), 0};
		ssize_t n = recvmsg(fd, &msg, 0);
		struct segment segment;

		if (n > 0 && from.sll_pkttype == PACKET_HOST &&
		    parse(packet, (size_t)n, ntohs(from.sll_protocol), &segment))
			note(stamp(&msg), &segment);
	}
}
