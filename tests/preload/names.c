/* Look-ups of names and addresses: the same answers, in the same order, and the same failures. */
#include "tests/preload/support/net.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void show_address(const struct sockaddr *sa)
{
	char text[INET6_ADDRSTRLEN];
	const void *at = sa->sa_family == AF_INET
				 ? (const void *)&((const struct sockaddr_in *)sa)->sin_addr
				 : (const void *)&((const struct sockaddr_in6 *)sa)->sin6_addr;

	say("    %s port %d", inet_ntop(sa->sa_family, at, text, sizeof(text)),
	    ntohs(((const struct sockaddr_in *)sa)->sin_port));
}

static void look_up(const char *node, const char *service, int family, int type, int flags)
{
	struct addrinfo hints = {.ai_family = family, .ai_socktype = type, .ai_flags = flags}, *list = NULL;

	errno = 0;
	int error = getaddrinfo(node, service, &hints, &list);
	say("getaddrinfo(%s, %s, family %d, type %d, flags %#x) = %s", node ? node : "NULL",
	    service ? service : "NULL", family, type, (unsigned)flags, error ? gai_strerror(error) : "0");
	for (struct addrinfo *i = error ? NULL : list; i; i = i->ai_next) {
		say("  family %d type %d protocol %d flags %#x length %u name %s", i->ai_family,
		    i->ai_socktype, i->ai_protocol, (unsigned)i->ai_flags, i->ai_addrlen,
		    i->ai_canonname ? i->ai_canonname : "none");
		show_address(i->ai_addr);
	}
	if (!error)
		freeaddrinfo(list);
}

static void all_ways(const char *node)
{
	say("-- %s", node);
	look_up(node, NULL, AF_UNSPEC, 0, 0);
	look_up(node, "80", AF_UNSPEC, SOCK_STREAM, 0);
	look_up(node, "7000", AF_INET, SOCK_STREAM, AI_CANONNAME);
	look_up(node, "7000", AF_INET6, SOCK_DGRAM, AI_ADDRCONFIG);
	look_up(node, NULL, AF_INET6, SOCK_STREAM, AI_V4MAPPED | AI_ALL);
	look_up(node, "7000", AF_UNSPEC, SOCK_STREAM, AI_NUMERICHOST | AI_NUMERICSERV);
}

static void show_host(const char *call, const struct hostent *host, int error)
{
	char text[INET6_ADDRSTRLEN];

	if (!host) {
		say("%s: %s", call, hstrerror(error));
		return;
	}
	say("%s: %s, family %d, %d bytes", call, host->h_name, host->h_addrtype, host->h_length);
	for (char **alias = host->h_aliases; *alias; alias++)
		say("  also %s", *alias);
	for (char **addr = host->h_addr_list; *addr; addr++)
		say("  %s", inet_ntop(host->h_addrtype, *addr, text, sizeof(text)));
}

static void old_ways(const char *node)
{
	struct hostent *host, space;
	char buf[2048], tiny[8];
	int error = 0;

	say("-- %s, the old ways", node);
	host = gethostbyname(node);
	show_host("gethostbyname", host, h_errno);
	host = gethostbyname2(node, AF_INET);
	show_host("gethostbyname2 inet", host, h_errno);
	host = gethostbyname2(node, AF_INET6);
	show_host("gethostbyname2 inet6", host, h_errno);
	host = NULL;
	int status = gethostbyname_r(node, &space, buf, sizeof(buf), &host, &error);
	say("status %d", status);
	show_host("gethostbyname_r", host, error);
	status = gethostbyname2_r(node, AF_INET6, &space, buf, sizeof(buf), &host, &error);
	say("status %d", status);
	show_host("gethostbyname2_r", host, error);
	status = gethostbyname_r(node, &space, tiny, sizeof(tiny), &host, &error);
	say("status %d %d", status, host == NULL);
}

static void backwards(const char *address, int family)
{
	struct sockaddr_storage addr = {.ss_family = (sa_family_t)family};
	socklen_t len = family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
	void *at = family == AF_INET ? (void *)&((struct sockaddr_in *)&addr)->sin_addr
				     : (void *)&((struct sockaddr_in6 *)&addr)->sin6_addr;
	char node[256], service[32], buf[2048];
	struct hostent *host, space;
	int error = 0;

	need(inet_pton(family, address, at) == 1, "inet_pton");
	((struct sockaddr_in *)&addr)->sin_port = htons(7000);
	say("-- %s, backwards", address);
	error = getnameinfo((struct sockaddr *)&addr, len, node, sizeof(node), service, sizeof(service), 0);
	say("getnameinfo: %s %s", error ? gai_strerror(error) : node, error ? "" : service);
	error = getnameinfo((struct sockaddr *)&addr, len, node, sizeof(node), service, sizeof(service),
			    NI_NUMERICHOST | NI_NUMERICSERV);
	say("numeric: %s %s", error ? gai_strerror(error) : node, error ? "" : service);
	error = getnameinfo((struct sockaddr *)&addr, len, node, sizeof(node), NULL, 0, NI_NAMEREQD);
	say("required: %s", error ? gai_strerror(error) : node);
	error = getnameinfo((struct sockaddr *)&addr, 3, node, sizeof(node), NULL, 0, 0);
	say("short: %s", error ? gai_strerror(error) : node);
	host = gethostbyaddr(at, family == AF_INET ? 4 : 16, family);
	show_host("gethostbyaddr", host, h_errno);
	int status = gethostbyaddr_r(at, family == AF_INET ? 4 : 16, family, &space, buf, sizeof(buf), &host,
				     &error);
	say("status %d", status);
	show_host("gethostbyaddr_r", host, error);
}

static void bad_arguments(void)
{
	say("-- bad arguments");
	look_up(NULL, NULL, AF_UNSPEC, 0, 0);
	look_up(NULL, "7000", AF_UNSPEC, SOCK_STREAM, AI_PASSIVE);
	look_up(NULL, "7000", AF_UNSPEC, SOCK_STREAM, 0);
	look_up("192.0.2.1", "no-such-service", AF_UNSPEC, SOCK_STREAM, 0);
	look_up("192.0.2.1", "7000", 77, SOCK_STREAM, 0);
	look_up("192.0.2.1", "7000", AF_INET, 77, 0);
	look_up("192.0.2.1", "7000", AF_INET, SOCK_STREAM, 0x40000000);
	look_up("2001:db8::5", "7000", AF_INET, SOCK_STREAM, 0);
	look_up("::1%lo", "7000", AF_INET6, SOCK_STREAM, AI_NUMERICHOST);
	look_up("", "7000", AF_UNSPEC, SOCK_STREAM, 0);
	freeaddrinfo(NULL);
}

int main(int argc, char **argv)
{
	net_start(argc, argv);
	all_ways("localhost");
	old_ways("localhost");
	if (net_loses()) {
		static const char *const nodes[] = {"well.test",   "mixed.test", "dead4.test",
						    "filed.test",  "alias.test", "WELL.test.",
						    "nobody.test", "192.0.2.77", "2001:db8::77"};
		for (size_t i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++) {
			all_ways(nodes[i]);
			old_ways(nodes[i]);
		}
	}
	backwards("127.0.0.1", AF_INET);
	backwards("::1", AF_INET6);
	backwards("192.0.2.99", AF_INET);
	backwards("192.0.2.98", AF_INET);
	bad_arguments();
	return 0;
}
