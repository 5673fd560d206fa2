/* conf/policy.c: what several layers make of one connection. */
#include "conf/policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "core/host.h"
#include "tests/unit/confdir.h"

/* The layers' files by name; NULL: there is none. */
struct layers {
	const char *system, *system_app, *user, *user_app, *file;
	const char *options[8];
};

static struct conf *load(const struct confdir *dir, const struct layers *layers)
{
	static const char *const programs[] = {"app", NULL};
	struct conf_sources sources = {
		.system_dir = confdir_path(dir, "system"),
		.user_dir = confdir_path(dir, "user"),
		.programs = programs,
		.options = layers->options,
	};
	struct conf_error error;
	struct conf *conf;

	if (layers->system)
		confdir_write(dir, "system/system.conf", layers->system);
	if (layers->system_app)
		confdir_write(dir, "system/apps/app.conf", layers->system_app);
	if (layers->user)
		confdir_write(dir, "user/taps.conf", layers->user);
	if (layers->user_app)
		confdir_write(dir, "user/apps/app.conf", layers->user_app);
	if (layers->file)
		sources.file = confdir_write(dir, "file.conf", layers->file);
	if (conf_load(&sources, &conf, &error) < 0)
		fail_msg("%s", error.text);
	return conf;
}

static struct policy ask(const struct conf *conf, const char *host, int socktype, enum policy_role role)
{
	struct taps_addr addr;
	struct policy_query query = confdir_query(host, &addr, "192.0.2.1", 80);
	struct policy policy;

	query.socktype = socktype;
	query.role = role;
	conf_policy(conf, &query, &policy);
	return policy;
}

static struct policy ask_stream(const struct conf *conf, const char *host)
{
	return ask(conf, host, SOCK_STREAM, POLICY_INITIATE);
}

static void test_defaults(void **state)
{
	struct conf *conf = conf_default();
	struct policy policy = ask_stream(conf, "a");

	(void)state;
	assert_true(policy.race.enabled);
	assert_int_equal(policy.race.attempt_delay, 250 * NS_PER_MS);
	assert_int_equal(policy.race.resolution_delay, 50 * NS_PER_MS);
	assert_int_equal(policy.race.max_in_flight, 6);
	assert_int_equal(policy.race.first_family_count, 1);
	assert_null(policy.remote.host);
	assert_int_equal(policy.remote.port, 0);
	assert_int_equal(policy.resolver, RESOLVER_SYSTEM);
	assert_false(policy.secured);
	assert_null(policy.rule);
	assert_int_equal(policy.properties.set, 0);
	assert_int_equal(policy.properties.reliability, PREF_REQUIRE);
	assert_false(conf_has_rules(conf));
	assert_int_equal(conf_resolver(conf), RESOLVER_SYSTEM);
	conf_unref(conf);
}

/* What is built in for programs is a default, and theirs alone. */
static void test_known_programs(void **state)
{
	static const char *const cli[] = {"redis-cli", NULL}, *const other[] = {"curl", NULL};
	static const char *const options[] = {"race.families=asked", NULL};
	struct conf_sources sources = {.programs = cli};
	struct conf_error error;
	struct conf *conf;

	(void)state;
	assert_int_equal(conf_load(&sources, &conf, &error), 0);
	assert_int_equal(ask_stream(conf, "a").race.families, FAMILIES_ANY);
	assert_false(conf_has_rules(conf));
	conf_unref(conf);
	sources.options = options;
	assert_int_equal(conf_load(&sources, &conf, &error), 0);
	assert_int_equal(ask_stream(conf, "a").race.families, FAMILIES_ASKED);
	conf_unref(conf);
	sources = (struct conf_sources){.programs = other};
	assert_int_equal(conf_load(&sources, &conf, &error), 0);
	assert_int_equal(ask_stream(conf, "a").race.families, FAMILIES_ASKED);
	conf_unref(conf);
}

/* Each layer overrides those before it, and within a layer the rule overrides the top. */
static void test_precedence(void **state)
{
	struct layers layers = {
		.system =
			"race = { attemptDelay = 11; maxInFlight = 1; firstFamilyCount = 1; "
			"resolutionDelay = 1; };\n"
			"rules = ( { race = { resolutionDelay = 2; } } );",
		.system_app = "race = { attemptDelay = 12; maxInFlight = 2; };",
	};
	struct conf *conf = load(*state, &layers);
	struct policy policy = ask_stream(conf, "a");

	assert_int_equal(policy.race.attempt_delay, 12 * NS_PER_MS);
	assert_int_equal(policy.race.max_in_flight, 2);
	assert_int_equal(policy.race.first_family_count, 1);
	assert_int_equal(policy.race.resolution_delay, 2 * NS_PER_MS);
	conf_unref(conf);
	layers.user = "race = { attemptDelay = 13; maxInFlight = 3; };";
	layers.user_app = "race = { attemptDelay = 14; };";
	conf = load(*state, &layers);
	policy = ask_stream(conf, "a");
	assert_int_equal(policy.race.attempt_delay, 14 * NS_PER_MS);
	assert_int_equal(policy.race.max_in_flight, 3);
	conf_unref(conf);
	layers.file = "race = { attemptDelay = 15; };";
	conf = load(*state, &layers);
	assert_int_equal(ask_stream(conf, "a").race.attempt_delay, 15 * NS_PER_MS);
	conf_unref(conf);
	layers.options[0] = "race.attemptDelay=16";
	layers.options[1] = "race.attemptDelay=17";
	conf = load(*state, &layers);
	assert_int_equal(ask_stream(conf, "a").race.attempt_delay, 17 * NS_PER_MS);
	assert_int_equal(ask_stream(conf, "a").race.max_in_flight, 3);
	conf_unref(conf);
}

static void test_first_rule_of_each_layer(void **state)
{
	struct layers layers = {
		.user = "rules = (\n"
			"{ match = { host = \"a\"; }; remote = { host = \"first\"; port = 1; } },\n"
			"{ match = { host = \"*\"; }; remote = { host = \"second\"; }; "
			"race = { enabled = false; } }\n"
			");",
		.file = "rules = (\n"
			"{ match = { host = \"a\"; }; remote = { port = 2; } } );",
	};
	struct conf *conf = load(*state, &layers);
	struct policy policy = ask_stream(conf, "a");

	assert_true(conf_has_rules(conf));
	assert_string_equal(policy.remote.host, "first");
	assert_int_equal(policy.remote.port, 2);
	assert_true(policy.race.enabled);
	assert_non_null(strstr(policy.rule, "/file.conf:2"));
	policy = ask_stream(conf, "b");
	assert_string_equal(policy.remote.host, "second");
	assert_int_equal(policy.remote.port, 0);
	assert_false(policy.race.enabled);
	assert_non_null(strstr(policy.rule, "/user/taps.conf:3"));
	conf_unref(conf);
}

static void test_prohibition(void **state)
{
	struct layers layers = {
		.system =
			"properties = { keepAlive = \"prohibit\"; zeroRttMsg = \"avoid\"; "
			"interface = \"prohibit wwan\"; };",
		.system_app = "properties = { keepAlive = \"require\"; softErrorNotify = \"prohibit\"; };",
		.user = "properties = { keepAlive = \"prefer\"; softErrorNotify = \"require\"; "
			"zeroRttMsg = \"prefer\";"
			" perMsgReliability = \"prohibit\"; interface = \"require wwan\"; };",
		.file = "rules = ( { properties = { keepAlive = \"require\"; "
			"perMsgReliability = \"prefer\"; } } );",
		.options = {"properties.keepAlive=none"},
	};
	struct conf *conf = load(*state, &layers);
	struct policy policy = ask_stream(conf, "a");

	assert_int_equal(policy.properties.keep_alive, PREF_PROHIBIT);
	assert_int_equal(policy.properties.soft_error_notify, PREF_PROHIBIT);
	assert_int_equal(policy.properties.zero_rtt_msg, PREF_PREFER);
	assert_int_equal(policy.properties.per_msg_reliability, PREF_PREFER);
	for (unsigned i = 0; i < policy.properties.interface.n; i++)
		if (strcmp(policy.properties.interface.item[i].name, "wwan") == 0)
			assert_int_equal(policy.properties.interface.item[i].preference, PREF_PROHIBIT);
	assert_true(policy.properties.interface.n > 0);
	conf_unref(conf);
}

/* The administrator's own rule is more specific than the top of the same file. */
static void test_system_exception(void **state)
{
	struct layers layers = {
		.system =
			"properties = { keepAlive = \"prohibit\"; };\n"
			"rules = ( { match = { host = \"a\"; }; "
			"properties = { keepAlive = \"require\"; } } );",
	};
	struct conf *conf = load(*state, &layers);

	assert_int_equal(ask_stream(conf, "a").properties.keep_alive, PREF_REQUIRE);
	assert_int_equal(ask_stream(conf, "b").properties.keep_alive, PREF_PROHIBIT);
	conf_unref(conf);
}

static void test_adapted(void **state)
{
	struct layers layers = {.file = "properties = { reliability = \"require\"; };"};
	struct conf *conf = load(*state, &layers);
	struct policy policy = ask(conf, "a", SOCK_DGRAM, POLICY_INITIATE);

	assert_int_equal(policy.properties.reliability, PREF_REQUIRE);
	assert_int_equal(policy.properties.preserve_order, PREF_AVOID);
	policy = ask(conf, "a", SOCK_STREAM, POLICY_LISTEN);
	assert_int_equal(policy.properties.multipath, MULTIPATH_PASSIVE);
	conf_unref(conf);
}

static void test_programs(void **state)
{
	struct layers layers = {
		.file = "rules = ( { match = { program = \"other\"; }; race = { enabled = false; } },\n"
			"{ match = { program = \"ap*\"; }; race = { maxInFlight = 2; } } );",
	};
	struct conf *conf = load(*state, &layers);
	struct policy policy = ask_stream(conf, "a");

	assert_true(policy.race.enabled);
	assert_int_equal(policy.race.max_in_flight, 2);
	assert_true(conf_has_rules(conf));
	conf_unref(conf);
	layers.file = "rules = ( { match = { program = \"other\"; }; } );";
	conf = load(*state, &layers);
	assert_false(conf_has_rules(conf));
	conf_unref(conf);
}

static void test_resolver(void **state)
{
	struct layers layers = {.system = "resolver = \"taps\";"};
	struct conf *conf = load(*state, &layers);

	assert_int_equal(conf_resolver(conf), RESOLVER_TAPS);
	assert_int_equal(ask_stream(conf, "a").resolver, RESOLVER_TAPS);
	conf_unref(conf);
	layers.options[0] = "resolver=system";
	conf = load(*state, &layers);
	assert_int_equal(conf_resolver(conf), RESOLVER_SYSTEM);
	conf_unref(conf);
}

/* A rule of the system's that secures is taken whole: nothing below it changes a key, or the rule. */
static void test_security_of_the_system(void **state)
{
	struct layers layers = {
		.system = "security = { trust = \"/corp.pem\"; };\n"
			  "rules = ( { match = { host = \"a\"; }; security = { ocsp = \"required\"; }; } );",
		.user = "security = { sni = false; trust = \"/mine.pem\"; };\n"
			"rules = ( { security = { insecureNoVerify = true; trust = \"/other.pem\"; }; } );",
		.options = {"security.insecureNoVerify=true", "security.crl=/mine.crl"},
	};
	struct conf *conf = load(*state, &layers);
	struct policy policy = ask_stream(conf, "a");

	assert_true(policy.secured);
	assert_string_equal(policy.security->trust, "/corp.pem");
	assert_int_equal(policy.security->ocsp, SECURITY_OCSP_REQUIRED);
	assert_false(policy.security->insecure_no_verify);
	assert_true(policy.security->sni);
	assert_null(policy.security->crl);
	assert_non_null(strstr(policy.rule, "/system/system.conf:2"));
	assert_string_equal(policy.security->rule, policy.rule);
	policy = ask_stream(conf, "b");
	assert_true(policy.secured && policy.security->insecure_no_verify);
	assert_string_equal(policy.security->trust, "/corp.pem");
	assert_string_equal(policy.security->crl, "/mine.crl");
	assert_false(policy.security->sni);
	assert_non_null(strstr(policy.rule, "/user/taps.conf:2"));
	assert_non_null(strstr(conf_insecure(conf), "/user/taps.conf:2"));
	conf_unref(conf);
}

static void test_security(void **state)
{
	struct layers layers = {
		.user = "security = { keylog = true; };\n"
			"rules = ( { match = { port = 81; }; security = { }; },\n"
			"{ match = { host = \"clear\"; }; },\n"
			"{ security = { alpn = [ \"h2\", \"http/1.1\" ]; handshakeTimeout = 500;\n"
			"  allowedSecurityProtocols = [ \"TLS1.2\", \"TLS1.3\" ]; }; } );",
		.file = "rules = ( { match = { host = \"a\"; }; remote = { port = 443; }; } );",
	};
	struct conf *conf = load(*state, &layers);
	struct policy policy = ask_stream(conf, "a");

	assert_true(policy.secured && policy.security);
	assert_non_null(strstr(policy.rule, "/user/taps.conf:4"));
	assert_int_equal(policy.remote.port, 443);
	assert_int_equal(policy.security->allowed_security_protocols, SECURITY_TLS_1_2 | SECURITY_TLS_1_3);
	assert_int_equal(policy.security->alpn.n, 2);
	assert_string_equal(policy.security->alpn.item[1], "http/1.1");
	assert_int_equal(policy.security->handshake_timeout, 500 * NS_PER_MS);
	assert_true(policy.security->keylog);
	policy = ask_stream(conf, "clear");
	assert_false(policy.secured);
	assert_null(policy.security);
	assert_null(conf_insecure(conf));
	conf_unref(conf);
}

static void test_security_defaults(void **state)
{
	struct layers layers = {.file = "rules = ( { security = { }; } );"};
	struct conf *conf = load(*state, &layers);
	const struct security *security = ask_stream(conf, "a").security;

	assert_non_null(security);
	assert_int_equal(security->allowed_security_protocols, SECURITY_TLS_1_3);
	assert_string_equal(security->trust, "system");
	assert_int_equal(security->ocsp, SECURITY_OCSP_CHECKED);
	assert_int_equal(security->client_authentication, SECURITY_CLIENT_NONE);
	assert_int_equal(security->data_path, SECURITY_DIRECT);
	assert_int_equal(security->max_cached_sessions, 64);
	assert_int_equal(security->cached_session_lifetime_seconds, 86400);
	assert_int_equal(security->handshake_timeout, 10 * NS_PER_S);
	assert_true(security->sni);
	assert_false(security->insecure_no_verify);
	assert_false(security->keylog);
	assert_int_equal(security->server_certificate.n, 0);
	assert_null(security->peer_name);
	conf_unref(conf);
}

/* By itself the group at the top secures nothing; a rule that fires later does not take security away. */
static void test_security_is_a_rules(void **state)
{
	struct layers layers = {.user = "security = { sni = false; };"};
	struct conf *conf = load(*state, &layers);

	assert_false(ask_stream(conf, "a").secured);
	conf_unref(conf);
	layers.user = "rules = ( { security = { sni = false; }; } );";
	layers.file = "rules = ( { match = { host = \"a\"; }; race = { enabled = false; }; } );";
	layers.options[0] = "security.sni=true";
	conf = load(*state, &layers);
	assert_true(ask_stream(conf, "a").secured);
	assert_true(ask_stream(conf, "a").security->sni);
	conf_unref(conf);
	layers.file = "rules = ( { match = { host = \"a\"; }; security = { ocsp = \"ignored\"; }; } );";
	layers.options[0] = NULL;
	conf = load(*state, &layers);
	assert_true(ask_stream(conf, "a").security->sni);
	assert_int_equal(ask_stream(conf, "a").security->ocsp, SECURITY_OCSP_IGNORED);
	assert_false(ask_stream(conf, "b").security->sni);
	conf_unref(conf);
}

static void test_certificates(void **state)
{
	struct layers layers = {
		.file = "rules = ( { match = { role = \"listen\"; }; security = {\n"
			"  serverCertificate = ( { certificate = \"a.pem\"; }, "
			"{ certificate = \"/b.pem\"; key = \"pkcs11:x\"; } );\n"
			"  preSharedKey = { identity = \"i\"; key = \"k.hex\"; };\n"
			"  pinnedServerCertificate = [ \"pin.pem\",\n"
			"    \"sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\" ]; }; } );",
	};
	struct conf *conf = load(*state, &layers);
	const struct security *security = ask(conf, "a", SOCK_STREAM, POLICY_LISTEN).security;

	assert_non_null(security);
	assert_int_equal(security->server_certificate.n, 2);
	assert_string_equal(security->server_certificate.item[0].certificate, confdir_path(*state, "a.pem"));
	assert_null(security->server_certificate.item[0].key);
	assert_string_equal(security->server_certificate.item[1].key, "pkcs11:x");
	assert_int_equal(security->pre_shared_key.n, 1);
	assert_string_equal(security->pre_shared_key.item[0].identity, "i");
	assert_string_equal(security->pinned_server_certificate.item[0].file,
			    confdir_path(*state, "pin.pem"));
	assert_null(security->pinned_server_certificate.item[0].sha256);
	assert_string_equal(security->pinned_server_certificate.item[1].sha256,
			    "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
	conf_unref(conf);
}

static void test_hosts(void **state)
{
	struct layers layers = {
		.system =
			"hosts = ( { name = \"db.example\"; address = [ \"192.0.2.1\", "
			"\"2001:db8::1\" ]; },\n"
			"{ name = \"db.example\"; address = \"192.0.2.99\"; },\n"
			"{ name = \"web.example.\"; address = \"192.0.2.2\"; } );",
		.user = "hosts = ( { name = \"WEB.example\"; address = \"192.0.2.3\"; } );",
		.options = {"hosts.opt.example=192.0.2.4,::1", "hosts.opt.example=192.0.2.5"},
	};
	struct conf *conf = load(*state, &layers);
	struct taps_addr addrs[4];
	char text[ADDR_TEXT_MAX];

	assert_int_equal(conf_hosts(conf, "db.example", addrs, 4), 2);
	assert_string_equal(addr_format(&addrs[0], text), "192.0.2.1:0");
	assert_string_equal(addr_format(&addrs[1], text), "[2001:db8::1]:0");
	assert_int_equal(conf_hosts(conf, "DB.EXAMPLE.", addrs, 1), 1);
	assert_int_equal(conf_hosts(conf, "web.example", addrs, 4), 1);
	assert_string_equal(addr_format_host(&addrs[0], text), "192.0.2.3");
	assert_int_equal(conf_hosts(conf, "opt.example", addrs, 4), 1);
	assert_string_equal(addr_format_host(&addrs[0], text), "192.0.2.5");
	assert_int_equal(conf_hosts(conf, "example", addrs, 4), 0);
	assert_int_equal(conf_hosts(conf, "", addrs, 4), 0);
	assert_int_equal(conf_hosts(conf, ".", addrs, 4), 0);
	assert_int_equal(conf_hosts(conf, "db.example", addrs, 0), 0);
	conf_unref(conf);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, confdir_setup, confdir_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_defaults),	     TEST(test_precedence), TEST(test_first_rule_of_each_layer),
		TEST(test_known_programs),
		TEST(test_prohibition),	     TEST(test_system_exception), TEST(test_adapted),
		TEST(test_programs),	     TEST(test_resolver),	  TEST(test_hosts),
		TEST(test_security),	     TEST(test_security_defaults), TEST(test_security_of_the_system),
		TEST(test_security_is_a_rules), TEST(test_certificates),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
