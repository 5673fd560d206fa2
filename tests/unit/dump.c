/* conf/dump.c: configuration written again, with origins. */
#include "conf/dump.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "conf/conf.h"
#include "tests/unit/confdir.h"

/* Freed by the caller. */
static char *dump(const struct conf *conf, const struct policy_query *query)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	assert_int_equal(query ? conf_dump_policy(conf, query, out) : conf_dump(conf, out), 0);
	fclose(out);
	return text;
}

/* Is there a line with the setting and the origin, whatever is between them? */
static void expect_line(const char *text, const char *setting, const char *origin)
{
	for (const char *at = strstr(text, setting); at; at = strstr(at + 1, setting)) {
		const char *mark = strstr(at, origin), *end = strchr(at, '\n');

		if (mark && mark < end)
			return;
	}
	fail_msg("no line has %s and %s:\n%s", setting, origin, text);
}

static struct conf *load(const struct confdir *dir, const char *system, const char *file, const char *option)
{
	struct conf_sources sources = {
		.system_dir = dir->path,
		.file = confdir_write(dir, "c.conf", file),
		.options = (const char *const[]){option, NULL},
	};
	struct conf_error error;
	struct conf *conf = NULL;

	confdir_write(dir, "system.conf", system);
	if (conf_load(&sources, &conf, &error) < 0)
		fail_msg("%s", error.text);
	return conf;
}

static void test_defaults(void **state)
{
	struct conf *conf = conf_default();
	char *text = dump(conf, NULL);

	(void)state;
	expect_line(text, "resolver = \"system\";", "# default");
	expect_line(text, "attemptDelay = 250;", "# default");
	expect_line(text, "userTimeoutEnabled = false;", "# default");
	assert_non_null(strstr(text, "no configuration was found"));
	assert_null(strstr(text, "rules"));
	free(text);
	conf_unref(conf);
}

static void test_origins(void **state)
{
	struct conf *conf =
		load(*state, "\nproperties = { keepAlive = \"prohibit\"; multipath = \"active\"; };",
		     "race = {\nattemptDelay = 99; };\n"
		     "properties = { keepAlive = \"require\"; multipath = \"passive\"; };",
		     "resolver=taps");
	char *text = dump(conf, NULL);

	expect_line(text, "resolver = \"taps\";", "# -o");
	expect_line(text, "attemptDelay = 99;", "/c.conf:2");
	expect_line(text, "maxInFlight = 6;", "# default");
	expect_line(text, "keepAlive = \"prohibit\";", "/system.conf:2");
	expect_line(text, "multipath = \"passive\";", "/c.conf:3");
	expect_line(text, "/system.conf", "(system)");
	expect_line(text, "/c.conf", "(-c)");
	free(text);
	conf_unref(conf);
}

static const char everything[] =
	"resolver = \"taps\";\n"
	"hosts = ( { name = \"a\"; address = [ \"::1\", \"192.0.2.1\" ]; }, { name = \"b\"; "
	"address = \"::2\"; } );\n"
	"race = { enabled = false; attemptDelay = 11; resolutionDelay = 12; maxInFlight = 3; "
	"firstFamilyCount = 2; };\n"
	"properties = { maxSendRate = 3000000000; connTimeout = 2.5; "
	"interface = [ \"prohibit wwan\", \"prefer eth0\" ];\n"
	"  tcp = { userTimeoutValue = 7; }; isolateSession = true; connScheduler = \"fcfs\"; };\n"
	"rules = ( { match = { host = [ \"a*\", \"b\" ]; address = [ \"10.0.0.0/8\", \"::1\" ]; "
	"port = ( 1, \"2-3\" );\n"
	"  type = \"stream\"; role = \"listen\"; program = \"p\\\"q\"; };\n"
	"  remote = { host = \"::1\"; port = 8; }; race = { enabled = true; };\n"
	"  properties = { tcp = { userTimeoutEnabled = true; }; };\n"
	"  security = { serverCertificate = ( { certificate = \"/a\"; }, { certificate = \"/b\"; "
	"key = \"/c\"; } );\n"
	"    allowedSecurityProtocols = [ \"TLS1.3\", \"TLS1.2\" ]; alpn = \"h2\"; "
	"ocsp = \"ignored\"; trust = \"system\";\n"
	"    pinnedServerCertificate = [ \"/d\", \"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\" ]; }; },\n"
	"  { match = { port = 1; }; security = { }; } );\n"
	"security = { preSharedKey = { identity = \"i\"; key = \"/k\"; }; };\n";

/* The text without its comments, where origins are. */
static void strip(char *text)
{
	char *out = text;

	for (char *at = text; *at != '\0';) {
		size_t len = strcspn(at, "#\n");
		char *end = out + len;

		memmove(out, at, len);
		while (end > out && end[-1] == ' ')
			end--;
		at += len;
		at += strcspn(at, "\n");
		out = end;
		if (*at == '\n')
			*out++ = *at++;
	}
	*out = '\0';
}

/* What is written can be read, and is written the same. */
static void test_round_trip(void **state)
{
	struct conf *conf = confdir_load(*state, everything);
	char *first = dump(conf, NULL), *second;

	conf_unref(conf);
	conf = confdir_load(*state, first);
	second = dump(conf, NULL);
	conf_unref(conf);
	strip(first);
	strip(second);
	assert_string_equal(first, second);
	assert_non_null(strstr(first, "program = \"p\\\"q\";"));
	assert_non_null(strstr(first, "maxSendRate = 3000000000;"));
	assert_non_null(strstr(first, "port = ( 1, \"2-3\" );"));
	assert_non_null(strstr(first, "allowedSecurityProtocols = ( \"TLS1.2\", \"TLS1.3\" );"));
	assert_non_null(
		strstr(first, "( \"/d\", \"sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\" );"));
	free(first);
	free(second);
}

static void test_policy(void **state)
{
	struct conf *conf =
		load(*state, "rules = ( { match = { port = 80; };\n race = { maxInFlight = 2; }; } );",
		     "#\nrules = ( { match = { host = \"a\"; };\n remote = { host = \"b\"; }; } );",
		     "properties.keepAlive=avoid");
	struct taps_addr addr;
	struct policy_query query = confdir_query("a", &addr, "::1", 80);
	char *text = dump(conf, &query);

	expect_line(text, "# rule ", "/system.conf:1 (system)");
	expect_line(text, "# rule ", "/c.conf:2 (-c)");
	expect_line(text, "maxInFlight = 2;", "/system.conf:2");
	expect_line(text, "host = \"b\";", "/c.conf:3");
	expect_line(text, "keepAlive = \"avoid\";", "# -o");
	expect_line(text, "reliability = \"require\";", "# default");
	free(text);
	query = confdir_query("b", &addr, "::1", 81);
	query.socktype = SOCK_DGRAM;
	text = dump(conf, &query);
	assert_non_null(strstr(text, "# no rule is for this connection"));
	assert_null(strstr(text, "remote"));
	expect_line(text, "reliability = \"avoid\";", "# default");
	free(text);
	conf_unref(conf);
}

/* What a securing rule comes to, with what was set elsewhere; and nothing of it where no rule secures. */
static void test_secured_policy(void **state)
{
	struct conf *conf = load(*state, "security = { ocsp = \"required\"; };",
				 "rules = ( { match = { port = 80; };\n security = { sni = false; }; } );",
				 "security.maxHandshakes=7");
	struct taps_addr addr;
	struct policy_query query = confdir_query("a", &addr, "::1", 80);
	char *text = dump(conf, &query);

	expect_line(text, "ocsp = \"required\";", "/system.conf:1");
	expect_line(text, "sni = false;", "/c.conf:2");
	expect_line(text, "maxHandshakes = 7;", "# -o");
	expect_line(text, "keylog = false;", "# default");
	free(text);
	query = confdir_query("a", &addr, "::1", 81);
	text = dump(conf, &query);
	assert_null(strstr(text, "security"));
	free(text);
	conf_unref(conf);
}

static void test_foreign_rules(void **state)
{
	struct conf *conf = confdir_load(*state, "rules = ( { match = { program = \"x\"; }; } );");
	char *text = dump(conf, NULL);

	assert_non_null(strstr(text, "load.conf:1 (for other programs)"));
	free(text);
	conf_unref(conf);
}

static void *no_memory(size_t size)
{
	(void)size;
	return NULL;
}

static void test_failures(void **state)
{
	struct conf *conf = conf_default();
	FILE *full = fopen("/dev/full", "w"), *null = fopen("/dev/null", "w");

	(void)state;
	assert_non_null(full);
	assert_non_null(null);
	setbuf(full, NULL);
	assert_int_equal(conf_dump(conf, full), -EIO);
	arena_source = no_memory;
	assert_int_equal(conf_dump(conf, null), -ENOMEM);
	arena_source = malloc;
	fclose(full);
	fclose(null);
	conf_unref(conf);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, confdir_setup, confdir_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_defaults), TEST(test_origins),       TEST(test_round_trip),
		TEST(test_policy),   TEST(test_foreign_rules), TEST(test_failures),
		TEST(test_secured_policy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
