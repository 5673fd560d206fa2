/* tapsctl explain: the race that a connection would get, worked out with the core's own decision code and
 * a clock that is only counted.  Names are looked up; nothing is sent to the host itself. */
#include "tools/command.h"
#include "tools/settings.h"

#include "conf/dump.h"
#include "core/candidate.h"

#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#define ADDRS_MAX 64

struct explain {
	struct conf *conf;
	struct policy_query query;
	struct policy policy;
	struct taps_addr addr[ADDRS_MAX]; /* of the host that is connected to */
	size_t n;
	const char *source;               /* of the addresses */
	struct candidate_set set;
	int64_t start[RACE_MAX_LEAVES];   /* ns; RACE_NEVER: when another fails */
};

static size_t keep_addresses(struct explain *e, const struct addrinfo *list)
{
	size_t n = 0;

	for (; list && n < ADDRS_MAX; list = list->ai_next)
		n += addr_from_sockaddr(&e->addr[n], list->ai_addr, list->ai_addrlen);
	return n;
}

static int resolve(struct explain *e, const char *host)
{
	const struct addrinfo hints = { .ai_socktype = e->query.socktype };
	struct addrinfo *list = NULL;
	int r;

	e->n = conf_hosts(e->conf, host, e->addr, ADDRS_MAX);
	e->source = "the configuration's hosts";
	if (e->n > 0)
		return 0;
	r = getaddrinfo(host, NULL, &hints, &list);
	if (r)
		return problem("%s: %s", host, gai_strerror(r));
	e->n = keep_addresses(e, list);
	e->source = "the system's resolver";
	freeaddrinfo(list);
	return e->n > 0 ? 0 : problem("%s has no address", host);
}

static int parse_port(const char *text, int socktype, uint16_t *ret)
{
	const struct addrinfo hints = {
		.ai_family = AF_INET,
		.ai_socktype = socktype,
		.ai_flags = AI_PASSIVE,
	};
	struct addrinfo *list;
	struct taps_addr addr;
	int r = getaddrinfo(NULL, text, &hints, &list);

	if (r)
		return problem("port %s: %s", text, gai_strerror(r));
	addr_from_sockaddr(&addr, list->ai_addr, list->ai_addrlen);
	*ret = addr_port(&addr);
	freeaddrinfo(list);
	return *ret ? 0 : problem("port %s: it must be from 1 to 65535", text);
}

/* The times at which attempts would start if none of them ever answered. */
static void schedule(struct explain *e)
{
	const struct race_params params = {
		.attempt_delay = e->policy.race.attempt_delay,
		.max_in_flight = e->policy.race.max_in_flight,
	};
	struct race_action action[RACE_MAX_LEAVES];
	struct race race;

	for (unsigned i = 0; i < RACE_MAX_LEAVES; i++)
		e->start[i] = RACE_NEVER;
	race_init(&race, &params, e->set.n);
	for (int64_t now = 0; now != RACE_NEVER; now = race_deadline(&race)) {
		unsigned n = race_step(&race, now, action, RACE_MAX_LEAVES);

		for (unsigned i = 0; i < n; i++)
			if (action[i].kind == RACE_START)
				e->start[action[i].leaf] = now;
	}
}

static int gather(struct explain *e, const struct taps_addr *asked)
{
	const struct candidate_request request = {
		.asked = *asked,
		.addrs = e->addr,
		.n_addrs = e->policy.race.enabled ? e->n : 0,
		.domain = addr_family(asked),
		.socktype = e->query.socktype,
		.port = e->policy.remote.port ? e->policy.remote.port : addr_port(asked),
		.first_family_count = e->policy.race.first_family_count,
		.rewritten = e->policy.remote.host,
		.properties = &e->policy.properties,
	};
	int r = candidate_gather(&request, &e->set);

	if (r < 0)
		return problem("no protocol stack has what the properties require: %s", strerror(-r));
	schedule(e);
	return 0;
}

static void print_start(int64_t start)
{
	if (start == RACE_NEVER)
		puts("when another fails");
	else
		printf("at %lld ms\n", (long long)(start / 1000000));
}

/* The tree: path, protocol stack, endpoint (RFC 9623 §4.1.2). */
static void print_candidates(const struct explain *e)
{
	const struct candidate *before = NULL;
	char text[ADDR_TEXT_MAX];

	puts("\ncandidates:");
	for (unsigned i = 0; i < e->set.n; before = &e->set.candidate[i++]) {
		const struct candidate *c = &e->set.candidate[i];
		struct taps_addr remote = addr_unmap(&c->remote);
		bool new_path = !before || before->path != c->path;

		if (new_path && c->path == PATH_DEFAULT)
			puts("  path by the machine's routes");
		else if (new_path)
			printf("  path %u\n", c->path);
		if (new_path || before->stack != c->stack)
			printf("    %s\n", candidate_stack_name(c->stack));
		printf("      %-2u %-28s ", i + 1, addr_format(&remote, text));
		print_start(e->start[i]);
	}
}

static void print_pruned(const struct explain *e)
{
	char text[ADDR_TEXT_MAX];

	if (e->set.n_pruned)
		puts("pruned:");
	for (unsigned i = 0; i < e->set.n_pruned; i++)
		printf("         %-28s %s\n", addr_format_host(&e->set.pruned[i].addr, text),
		       candidate_reason(e->set.pruned[i].reason));
}

static void print_race(const struct explain *e)
{
	if (!e->policy.race.enabled)
		puts("race:     switched off");
	else if (e->set.alone != CANDIDATE_FINE)
		printf("race:     none: %s\n", candidate_reason(e->set.alone));
	else if (e->set.n < 2)
		puts("race:     none: there is one candidate");
	else
		printf("race:     next attempt after %lld ms, or when one fails; %u at a time at most\n",
		       (long long)(e->policy.race.attempt_delay / 1000000), e->policy.race.max_in_flight);
}

static void print_head(const struct explain *e, const char *host)
{
	printf("host:     %s, %s\n", host, e->query.socktype == SOCK_DGRAM ? "datagrams" : "stream");
	printf("rule:     %s\n", e->policy.rule ? e->policy.rule : "none fires");
	if (e->policy.remote.host)
		printf("remote:   rewritten to %s\n", e->policy.remote.host);
	printf("names:    %zu address%s from %s\n", e->n, e->n == 1 ? "" : "es", e->source);
	printf("security: %s\n", e->policy.secured ? "required; never in clear" : "the program's own");
	print_race(e);
}

static int print(const struct explain *e, const char *host, bool verbose)
{
	int r = 0;

	print_head(e, host);
	print_candidates(e);
	print_pruned(e);
	if (verbose) {
		puts("\npolicy:");
		r = conf_dump_policy(e->conf, &e->query, stdout);
	}
	if (r < 0)
		return problem("%s", strerror(-r));
	return fflush(stdout) < 0 ? problem("standard output: %m") : 0;
}

static int explain_host(struct explain *e, const char *host, uint16_t port, bool verbose)
{
	struct taps_addr asked, numeric;
	int r = resolve(e, host);

	if (r)
		return r;
	asked = e->addr[0];
	addr_set_port(&asked, port);
	e->query.addr = &asked;
	e->query.host = addr_parse(&numeric, host, 0) == 0 ? NULL : host;
	conf_policy(e->conf, &e->query, &e->policy);
	if (e->policy.remote.host)
		r = resolve(e, e->policy.remote.host);
	if (r == 0)
		r = gather(e, &asked);
	return r ? r : print(e, host, verbose);
}

static int explain(const struct settings *settings)
{
	static struct explain e;
	uint16_t port;
	int r;

	if (settings->n_arguments != 2)
		return wrong_usage("explain");
	e.query.role = POLICY_INITIATE;
	e.query.socktype = settings->datagram ? SOCK_DGRAM : SOCK_STREAM;
	r = parse_port(settings->argument[1], e.query.socktype, &port);
	if (r == 0)
		r = settings_load(settings, &e.conf);
	if (r)
		return r;
	r = explain_host(&e, settings->argument[0], port, settings->verbose);
	conf_unref(e.conf);
	return r;
}

int cmd_explain(int argc, char **argv)
{
	static struct settings settings;
	int r = settings_parse(argc, argv, &settings);

	if (r == 0 && settings.argument)
		r = explain(&settings);
	settings_fini(&settings);
	return r;
}
