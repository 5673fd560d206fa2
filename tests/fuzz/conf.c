/* The configuration: any bytes as a file, or, after a leading "-o\n", as options, one a line.  What loads
 * must also be usable: asked for policies, and written out. */
#include "conf/dump.h"
#include "conf/policy.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define OPTIONS_MAX 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__lsan_default_suppressions(void);

/* libconfig's scanner loses a buffer where a text is not closed. */
const char *__lsan_default_suppressions(void)
{
	return "leak:libconfig.so\n";
}

static const char *const hosts[] = {NULL, "db.example.org", "a.b.example", "192.0.2.1", "", "localhost"};
static const char *const addresses[] = {"192.0.2.1", "2001:db8::5", "127.0.0.1", "::1"};

static void ask(const struct conf *conf, const char *host, const char *address, unsigned i)
{
	struct taps_addr addr, found[4];
	struct policy policy;
	struct policy_query query = {
		.host = host,
		.addr = &addr,
		.socktype = i & 1 ? SOCK_DGRAM : SOCK_STREAM,
		.role = i & 2 ? POLICY_LISTEN : POLICY_INITIATE,
	};

	if (addr_parse(&addr, address, i & 4 ? 443 : 80) < 0)
		abort();
	conf_policy(conf, &query, &policy);
	if (policy.secured != (policy.security != NULL) || (policy.secured && !policy.rule))
		abort();
	if (host && conf_hosts(conf, host, found, 4) > 4)
		abort();
}

static void dump(const struct conf *conf)
{
	struct policy_query query = {.host = "db.example.org", .socktype = SOCK_STREAM};
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (!out || conf_dump(conf, out) < 0 || conf_dump_policy(conf, &query, out) < 0)
		abort();
	fclose(out);
	free(text);
}

static void load(const struct conf_sources *sources)
{
	struct conf_error error = {.text = ""};
	struct conf *conf = NULL;

	if (conf_load(sources, &conf, &error) < 0) {
		if (conf || !error.text[0])
			abort();
		return;
	}
	for (unsigned i = 0; i < 8; i++)
		for (size_t h = 0; h < sizeof(hosts) / sizeof(hosts[0]); h++)
			for (size_t a = 0; a < sizeof(addresses) / sizeof(addresses[0]); a++)
				ask(conf, hosts[h], addresses[a], i);
	conf_insecure(conf);
	dump(conf);
	conf_unref(conf);
}

static void load_options(const uint8_t *data, size_t size)
{
	const char *options[OPTIONS_MAX + 1] = {NULL};
	struct conf_sources sources = {.options = options};
	char *text = strndup((const char *)data, size), *rest = text;

	for (int n = 0; n < OPTIONS_MAX && rest; n++)
		options[n] = strsep(&rest, "\n");
	load(&sources);
	free(text);
}

static void load_file(const uint8_t *data, size_t size)
{
	static const char *const programs[] = {"psql", "client", NULL};
	struct conf_sources sources = {.programs = programs};
	int fd = memfd_create("conf", MFD_CLOEXEC);
	char path[32];

	if (fd < 0 || fchmod(fd, 0600) < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	sources.file = path;
	load(&sources);
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size >= 3 && !memcmp(data, "-o\n", 3))
		load_options(data + 3, size - 3);
	else
		load_file(data, size);
	return 0;
}
