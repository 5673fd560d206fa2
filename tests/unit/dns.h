/* A DNS server that does as it is told: for each name and type, what to answer and how late.  One
 * process, UDP only. */
#ifndef TAPS_TESTS_UNIT_DNS_H
#define TAPS_TESTS_UNIT_DNS_H

#include <arpa/inet.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include "core/host.h"

#define DNS_PENDING_MAX 32

enum dns_type { TYPE_A = 1, TYPE_AAAA = 28 };
enum dns_rcode { NOERROR = 0, SERVFAIL = 2, NXDOMAIN = 3, REFUSED = 5 };

/* What it does with a question: answers `addr` (none: no data) or an error after a while. */
struct dns_line {
	const char *name;
	enum dns_type type;
	int delay_ms; /* below 0: never */
	const char *addr;
	enum dns_rcode rcode;
	int drop;   /* how many questions to leave unanswered first */
	bool noise; /* an empty and a meaningless packet come before the answer */
};

/* An answer that is due later. */
struct dns_pending {
	int64_t when;
	size_t len;
	unsigned char bytes[512];
	struct sockaddr_in to;
};

struct dns_server {
	int fd;
	struct dns_line *script;
	size_t n;
	struct dns_pending pending[DNS_PENDING_MAX];
};

/* Reads the question's name as text.  Returns where it ends. */
static inline size_t dns_read_name(const unsigned char *packet, size_t len, char *name, size_t size)
{
	size_t at = 12, out = 0;

	while (at < len && packet[at]) {
		for (size_t left = packet[at++]; left && at < len && out + 2 < size; left--)
			name[out++] = (char)packet[at++];
		name[out++] = '.';
	}
	name[out ? out - 1 : 0] = '\0';
	return at + 1;
}

/* Turns the question in `bytes`, `len` long, into the answer.  Returns its length. */
static inline size_t dns_make_answer(unsigned char *bytes, size_t len, const struct dns_line *line)
{
	const unsigned char type = line && line->type == TYPE_AAAA ? TYPE_AAAA : TYPE_A;
	const unsigned char size = type == TYPE_AAAA ? 16 : 4;

	bytes[2] |= 0x80;
	bytes[3] = (unsigned char)(0x80 | (line ? line->rcode : NXDOMAIN));
	if (!line || !line->addr)
		return len;
	bytes[7] = 1;
	memcpy(bytes + len, (const unsigned char[]){0xc0, 12, 0, type, 0, 1, 0, 0, 0, 9, 0, size}, 12);
	inet_pton(type == TYPE_AAAA ? AF_INET6 : AF_INET, line->addr, bytes + len + 12);
	return len + 12 + size;
}

static inline struct dns_line *dns_find(const struct dns_server *server, const char *name, int type)
{
	for (size_t i = 0; i < server->n; i++)
		if (!strcmp(server->script[i].name, name) && (int)server->script[i].type == type)
			return &server->script[i];
	return NULL;
}

static inline void dns_send(const struct dns_server *server, const struct dns_pending *answer,
			    const void *data, size_t len)
{
	sendto(server->fd, data, len, 0, (const struct sockaddr *)&answer->to, sizeof(answer->to));
}

/* An empty packet, one with a wrong number, and one that is too short. */
static inline void dns_send_noise(const struct dns_server *server, const struct dns_pending *answer)
{
	unsigned char wrong[12] = {(unsigned char)~answer->bytes[0], answer->bytes[1], 0x80};

	dns_send(server, answer, "", 0);
	dns_send(server, answer, wrong, sizeof(wrong));
	dns_send(server, answer, "?", 1);
}

/* Takes one question and sets the time of its answer. */
static inline void dns_take(const struct dns_server *server, struct dns_pending *answer)
{
	socklen_t to_len = sizeof(answer->to);
	ssize_t len = recvfrom(server->fd, answer->bytes, 256, 0, (struct sockaddr *)&answer->to, &to_len);
	struct dns_line *line;
	char name[256];
	size_t end;

	if (len < 17)
		return;
	end = dns_read_name(answer->bytes, (size_t)len, name, sizeof(name));
	line = dns_find(server, name, answer->bytes[end + 1]);
	if (line && (line->delay_ms < 0 || line->drop-- > 0))
		return;
	if (line && line->noise)
		dns_send_noise(server, answer);
	answer->len = dns_make_answer(answer->bytes, end + 4, line);
	answer->when = now_ns() + (line ? line->delay_ms * NS_PER_MS : 0);
}

static inline struct dns_pending *dns_free_pending(struct dns_server *server)
{
	size_t i = 0;

	while (i < DNS_PENDING_MAX - 1 && server->pending[i].len)
		i++;
	return &server->pending[i];
}

/* Sends what is due.  Returns the milliseconds until more is. */
static inline int dns_send_due(struct dns_server *server)
{
	int64_t now = now_ns(), next = now + NS_PER_S;

	for (size_t i = 0; i < DNS_PENDING_MAX; i++) {
		struct dns_pending *answer = &server->pending[i];

		if (answer->len && answer->when <= now) {
			dns_send(server, answer, answer->bytes, answer->len);
			answer->len = 0;
		}
		if (answer->len && answer->when < next)
			next = answer->when;
	}
	return (int)((next - now + NS_PER_MS - 1) / NS_PER_MS);
}

/* Answers the questions that come to a bound socket, for ever. */
static inline void dns_serve(int fd, struct dns_line *script, size_t n)
{
	static struct dns_server server;
	struct pollfd pfd = {.fd = fd, .events = POLLIN};

	server.fd = fd;
	server.script = script;
	server.n = n;
	for (;;)
		if (poll(&pfd, 1, dns_send_due(&server)) > 0)
			dns_take(&server, dns_free_pending(&server));
}

#endif
