/* What two sessions with which options agree on, and what they refuse. */
#include "tests/unit/tls_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static struct fixture_world world;

static int setup(void **state)
{
	(void)state;
	fixture_world(&world);
	return 0;
}

static void exchange(struct fixture_pair *pair)
{
	char buf[64];
	struct tls_received received;

	fixture_send(pair->client, &pair->to_server, "hello", 5);
	assert_int_equal(fixture_recv(pair->server, &pair->to_server, buf, sizeof(buf), &received), 5);
	assert_memory_equal(buf, "hello", 5);
	fixture_send(pair->server, &pair->to_client, "welcome", 7);
	assert_int_equal(fixture_recv(pair->client, &pair->to_client, buf, sizeof(buf), &received), 7);
	assert_memory_equal(buf, "welcome", 7);
}

/* Opens, and hands out the facts of the client's side. */
static void expect_open(const struct tls_options *client, const struct tls_options *server,
			const char *name, struct tls_facts *facts)
{
	struct fixture_pair pair;

	fixture_pair_open(&pair, client, server, name, NULL);
	fixture_pair_shake(&pair, 0);
	assert_string_equal(tls_session_reason(pair.client), "");
	assert_string_equal(tls_session_reason(pair.server), "");
	assert_int_equal(pair.client_result, TLS_DONE);
	assert_int_equal(pair.server_result, TLS_DONE);
	exchange(&pair);
	tls_session_facts(pair.client, facts);
	fixture_pair_close(&pair);
}

/* Each of these texts must be in that side's reason; NULL: that side is not looked at. */
static void expect_refusal(const struct tls_options *client, const struct tls_options *server,
			   const char *name, const char *client_says, const char *server_says)
{
	struct fixture_pair pair;
	struct tls_received received;
	char buf[8];

	fixture_pair_open(&pair, client, server, name, NULL);
	fixture_pair_shake(&pair, 0);
	/* In TLS 1.3 a client may be through before the server has refused it. */
	if (pair.client_result == TLS_DONE)
		pair.client_result =
			(int)fixture_recv(pair.client, &pair.to_client, buf, sizeof(buf), &received);
	if (client_says && !strstr(tls_session_reason(pair.client), client_says))
		fail_msg("client says \"%s\", not \"%s\"", tls_session_reason(pair.client), client_says);
	if (server_says && !strstr(tls_session_reason(pair.server), server_says))
		fail_msg("server says \"%s\", not \"%s\"", tls_session_reason(pair.server), server_says);
	assert_int_equal(pair.client_result, -EPROTO);
	if (server_says)
		assert_int_equal(pair.server_result, -EPROTO);
	fixture_pair_close(&pair);
}

static void opens(void **state)
{
	struct tls_facts facts;

	(void)state;
	expect_open(&world.client_options, &world.server_options, "server.example", &facts);
	assert_string_equal(facts.version, "TLS1.3");
	assert_string_equal(facts.cipher, "TLS_AES_128_GCM_SHA256");
	assert_string_equal(facts.group, "X25519");
	assert_false(facts.resumed);
	assert_false(facts.unverified);
}

static void names(void **state)
{
	static const char *const good[] = {"server.example", "SERVER.Example.", "192.0.2.1",
					   "2001:db8::1",    "2001:DB8:0::1",	"::ffff:192.0.2.1"};
	static const char *const bad[] = {"other.example", "www.server.example", "example",
					  "192.0.2.2",	   "2001:db8::2",	 "server.example.org"};
	struct tls_options options = world.client_options;
	struct tls_facts facts;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		expect_open(&options, &world.server_options, good[i], &facts);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		expect_refusal(&options, &world.server_options, bad[i], "certificate", "alert");
	options.peer_name = "server.example";
	expect_open(&options, &world.server_options, "other.example", &facts);
	assert_string_equal(facts.identity, "server.example");
}

static void name_is_needed(void **state)
{
	struct tls_credentials *credentials = fixture_credentials(&world.client_options);
	struct tls_session *session;
	struct tls_reason reason;
	struct tls_peer peer = {.address = "192.0.2.1"}, spaced = {.name = "a b"};

	(void)state;
	assert_int_equal(tls_session_new(&session, credentials, NULL, NULL, &reason), -EINVAL);
	assert_non_null(strstr(reason.text, "no name"));
	assert_int_equal(tls_session_new(&session, credentials, &spaced, NULL, &reason), -EINVAL);
	assert_int_equal(tls_session_new(&session, credentials, &peer, NULL, &reason), 0);
	tls_session_free(session);
	tls_credentials_unref(credentials);
	tls_session_free(NULL);
}

static void international_names(void **state)
{
	struct fixture_spec spec = {.cn = "idn", .dns = {"xn--bcher-kva.example"}};
	struct fixture_cert leaf = fixture_cert(&spec, &world.ca);
	struct tls_identity identity = {.chain = fixture_write("idn.pem", &leaf, 1, leaf.key)};
	struct tls_options server = world.server_options;
	struct tls_facts facts;

	(void)state;
	server.certificates = &identity;
	expect_open(&world.client_options, &server,
		    "b\xc3\xbc"
		    "cher.example",
		    &facts);
	assert_string_equal(facts.identity, "xn--bcher-kva.example");
}

static void server_name(void **state)
{
	struct tls_options options = world.client_options;
	struct fixture_pair pair;
	struct tls_facts facts;
	static const struct {
		const char *peer, *sni, *expected;
		bool off;
	} cases[] = {
		{"server.example.", NULL, "server.example", false},
		{"192.0.2.1", NULL, "", false},
		{"2001:db8::1", NULL, "", false},
		{"server.example", "front.example", "front.example", false},
		{"server.example", NULL, "", true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		options.sni_name = cases[i].sni;
		options.sni_off = cases[i].off;
		fixture_pair_open(&pair, &options, &world.server_options, cases[i].peer, NULL);
		fixture_pair_shake(&pair, 0);
		assert_int_equal(pair.client_result, TLS_DONE);
		tls_session_facts(pair.server, &facts);
		assert_string_equal(facts.server_name, cases[i].expected);
		fixture_pair_close(&pair);
	}
}

static void versions(void **state)
{
	struct tls_options client = world.client_options, server = world.server_options;
	struct tls_facts facts;

	(void)state;
	server.allowed_security_protocols = TLS_VERSION_1_2;
	expect_refusal(&client, &server, "server.example", "alert", "in common");
	client.allowed_security_protocols = TLS_VERSION_1_2 | TLS_VERSION_1_3;
	expect_open(&client, &server, "server.example", &facts);
	assert_string_equal(facts.version, "TLS1.2");
	server.allowed_security_protocols = TLS_VERSION_1_3;
	expect_open(&client, &server, "server.example", &facts);
	assert_string_equal(facts.version, "TLS1.3");
	client.allowed_security_protocols = TLS_VERSION_1_2;
	expect_refusal(&client, &server, "server.example", "alert", "in common");
}

static void algorithms(void **state)
{
	static const char *const chacha[] = {"TLS_CHACHA20_POLY1305_SHA256"};
	static const char *const p384[] = {"secp384r1"};
	static const char *const x25519[] = {"x25519"};
	static const char *const rsa[] = {"rsa_pss_rsae_sha256"};
	static const char *const ecdsa12[] = {"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"};
	struct tls_options client = world.client_options, server = world.server_options;
	struct tls_facts facts;

	(void)state;
	client.ciphersuite = (struct tls_list){chacha, 1};
	client.supported_group = (struct tls_list){p384, 1};
	expect_open(&client, &server, "server.example", &facts);
	assert_string_equal(facts.cipher, "TLS_CHACHA20_POLY1305_SHA256");
	assert_string_equal(facts.group, "SECP384R1");
	server.supported_group = (struct tls_list){x25519, 1};
	expect_refusal(&client, &server, "server.example", "", "in common");
	client.supported_group = (struct tls_list){NULL, 0};
	client.signature_algorithm = (struct tls_list){rsa, 1};
	expect_refusal(&client, &server, "server.example", "alert", "");
	client = world.client_options;
	server = world.server_options;
	client.allowed_security_protocols = server.allowed_security_protocols = TLS_VERSION_1_2;
	client.ciphersuite = (struct tls_list){ecdsa12, 1};
	expect_open(&client, &server, "server.example", &facts);
	assert_string_equal(facts.cipher, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384");
}

static void alpn(void **state)
{
	static const char *const h2_first[] = {"h2", "http/1.1"}, *const old[] = {"http/1.1"};
	static const char *const redis[] = {"redis"};
	struct tls_options client = world.client_options, server = world.server_options;
	struct tls_facts facts;

	(void)state;
	client.alpn = (struct tls_list){h2_first, 2};
	server.alpn = (struct tls_list){old, 1};
	expect_open(&client, &server, "server.example", &facts);
	assert_string_equal(facts.alpn, "http/1.1");
	server.alpn = (struct tls_list){redis, 1};
	expect_refusal(&client, &server, "server.example", "", "ALPN");
	server.alpn = (struct tls_list){NULL, 0};
	expect_refusal(&client, &server, "server.example", "ALPN", NULL);
	client.alpn = (struct tls_list){NULL, 0};
	server.alpn = (struct tls_list){redis, 1};
	expect_open(&client, &server, "server.example", &facts);
	assert_string_equal(facts.alpn, "");
}

static void client_certificates(void **state)
{
	struct tls_options client = world.client_options, server = world.server_options;
	struct fixture_cert other_ca =
		fixture_cert(&(struct fixture_spec){.cn = "Other", .ca = true}, NULL);
	struct fixture_cert stranger =
		fixture_cert(&(struct fixture_spec){.cn = "stranger", .key = KEY_EC2}, &other_ca);
	struct tls_identity wrong = {.chain = fixture_write("stranger.pem", &stranger, 1, stranger.key)};
	struct fixture_pair pair;
	struct tls_facts facts;

	(void)state;
	server.client_auth = TLS_CLIENT_AUTH_REQUIRED;
	expect_refusal(&client, &server, "server.example", "alert", "no certificate");
	client.certificates = &wrong;
	client.n_certificates = 1;
	expect_refusal(&client, &server, "server.example", "alert", "no trusted authority");
	server.client_auth = TLS_CLIENT_AUTH_OPTIONAL;
	expect_refusal(&client, &server, "server.example", "alert", "no trusted authority");
	client.n_certificates = 0;
	expect_open(&client, &server, "server.example", &facts);
	client.certificates = &world.client_identity;
	client.n_certificates = 1;
	server.client_auth = TLS_CLIENT_AUTH_REQUIRED;
	fixture_pair_open(&pair, &client, &server, "server.example", NULL);
	fixture_pair_shake(&pair, 0);
	assert_int_equal(pair.server_result, TLS_DONE);
	tls_session_facts(pair.server, &facts);
	assert_string_equal(facts.peer_subject, "CN=client");
	assert_string_equal(facts.peer_issuer, "CN=Unit CA");
	fixture_pair_close(&pair);
}

static void certificate_by_name(void **state)
{
	struct fixture_spec spec = {.cn = "second", .key = KEY_RSA, .dns = {"*.second.example"}};
	struct fixture_cert second = fixture_cert(&spec, &world.ca);
	struct tls_identity both[] = {
		world.server_identity,
		{.chain = fixture_write("second.pem", &second, 1, second.key)},
	};
	struct tls_options server = world.server_options;
	struct tls_facts facts;

	(void)state;
	server.certificates = both;
	server.n_certificates = 2;
	expect_open(&world.client_options, &server, "server.example", &facts);
	assert_string_equal(facts.peer_subject, "CN=server");
	expect_open(&world.client_options, &server, "www.second.example", &facts);
	assert_string_equal(facts.peer_subject, "CN=second");
}

static void pre_shared_keys(void **state)
{
	static const struct tls_psk right[] = {{"other", "ffffffffffffffffffffffffffffffff"},
					       {"us", "000102030405060708090a0b0c0d0e0f"}};
	static const struct tls_psk wrong = {"us", "100102030405060708090a0b0c0d0e0f"};
	static const struct tls_psk nobody = {"them", "000102030405060708090a0b0c0d0e0f"};
	struct tls_options client = TLS_OPTIONS_INIT(TLS_CLIENT), server = TLS_OPTIONS_INIT(TLS_SERVER);
	struct tls_facts facts;

	(void)state;
	server.psks = right;
	server.n_psks = 2;
	client.psks = &right[1];
	client.n_psks = 1;
	expect_open(&client, &server, "server.example", &facts);
	assert_string_equal(facts.peer_subject, "");
	client.psks = &wrong;
	expect_refusal(&client, &server, "server.example", "", "");
	client.psks = &nobody;
	expect_refusal(&client, &server, "server.example", "", "");
	client.psks = &right[1];
	expect_refusal(&client, &world.server_options, "server.example", "", "");
	expect_refusal(&world.client_options, &server, "server.example", "", "");
}

static void insecure_is_seen(void **state)
{
	struct tls_options client = TLS_OPTIONS_INIT(TLS_CLIENT);
	struct tls_facts facts;

	(void)state;
	client.insecure_no_verify = true;
	expect_open(&client, &world.server_options, "quite.other.example", &facts);
	assert_true(facts.unverified);
	assert_string_equal(facts.peer_subject, "");
}

/* SSLKEYLOGFILE is read by GnuTLS once per process: the order of the two halves matters. */
static void keylog_only_if_allowed(void **state)
{
	struct tls_options client = world.client_options, server = world.server_options;
	const char *path = fixture_path("keylog");
	struct tls_facts facts;
	struct stat st;

	(void)state;
	setenv("SSLKEYLOGFILE", path, 1);
	expect_open(&client, &server, "server.example", &facts);
	assert_int_equal(stat(path, &st), -1);
	client.keylog = true;
	expect_open(&client, &server, "server.example", &facts);
	assert_int_equal(stat(path, &st), 0);
	assert_true(st.st_size > 0);
	unsetenv("SSLKEYLOGFILE");
}

/* --- a reader and a writer at each side, with key updates --- */

#define MESSAGES 3000

extern void _gnutls_global_set_gettime_function(void (*function)(struct timespec *));

/* GnuTLS allows eight key updates a second: let every look at the clock be a second later. */
static void hasty_time(struct timespec *ret)
{
	static _Atomic long seconds;

	*ret = (struct timespec){.tv_sec = 1600000000 + seconds++};
}

struct stream {
	pthread_mutex_t lock;
	struct fixture_wire wire;
	struct tls_session *from, *to;
	bool asks, failed; /* the peer for new keys too; if both did, GnuTLS 3.7 would call it an error */
};

static void *write_stream(void *arg)
{
	struct stream *stream = arg;
	uint8_t room[2000];
	size_t out;

	for (unsigned i = 0; i < MESSAGES; i++) {
		uint8_t text[200];
		struct iovec iov = {text, sizeof(text)};

		memset(text, (int)i, sizeof(text));
		if (i % 50 == 0 && tls_session_rekey(stream->from, stream->asks))
			stream->failed = true;
		if (tls_session_seal(stream->from, &iov, 1, room, sizeof(room), &out) != sizeof(text))
			stream->failed = true;
		pthread_mutex_lock(&stream->lock);
		fixture_wire_put(&stream->wire, room, out);
		pthread_mutex_unlock(&stream->lock);
	}
	return NULL;
}

static void *read_stream(void *arg)
{
	struct stream *stream = arg;
	uint8_t got[200 * 64];

	for (size_t total = 0; total < 200 * MESSAGES && !stream->failed;) {
		struct fixture_wire copy = {.data = NULL};
		struct tls_received received;
		ssize_t n;

		pthread_mutex_lock(&stream->lock);
		fixture_wire_put(&copy, stream->wire.data, stream->wire.size);
		pthread_mutex_unlock(&stream->lock);
		n = fixture_recv(stream->to, &copy, got, sizeof(got), &received);
		free(copy.data);
		pthread_mutex_lock(&stream->lock);
		fixture_wire_drop(&stream->wire, received.consumed);
		pthread_mutex_unlock(&stream->lock);
		for (ssize_t i = 0; i < n; i++)
			stream->failed |= got[i] != (uint8_t)((total + (size_t)i) / 200);
		if (n < 0)
			stream->failed = true;
		else
			total += (size_t)n;
		if (!n)
			sched_yield();
	}
	return NULL;
}

/* GnuTLS 3.7.9 alone breaks here at the first key update. */
static void both_ways_at_once(void **state)
{
	struct fixture_pair pair;
	struct stream streams[2] = {{.asks = true}, {.asks = false}};
	pthread_t threads[4];

	(void)state;
	_gnutls_global_set_gettime_function(hasty_time);
	fixture_pair_open(&pair, &world.client_options, &world.server_options, "server.example", NULL);
	fixture_pair_shake(&pair, 0);
	streams[0].from = streams[1].to = pair.client;
	streams[0].to = streams[1].from = pair.server;
	streams[0].wire = pair.to_server;
	streams[1].wire = pair.to_client;
	for (int i = 0; i < 2; i++) {
		pthread_mutex_init(&streams[i].lock, NULL);
		assert_int_equal(pthread_create(&threads[2 * i], NULL, write_stream, &streams[i]), 0);
		assert_int_equal(pthread_create(&threads[2 * i + 1], NULL, read_stream, &streams[i]), 0);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_string_equal(tls_session_reason(pair.client), "");
	assert_string_equal(tls_session_reason(pair.server), "");
	assert_false(streams[0].failed || streams[1].failed);
	pair.to_server = streams[0].wire;
	pair.to_client = streams[1].wire;
	fixture_pair_close(&pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keylog_only_if_allowed),
		cmocka_unit_test(opens),
		cmocka_unit_test(names),
		cmocka_unit_test(name_is_needed),
		cmocka_unit_test(international_names),
		cmocka_unit_test(server_name),
		cmocka_unit_test(both_ways_at_once),
		cmocka_unit_test(versions),
		cmocka_unit_test(algorithms),
		cmocka_unit_test(alpn),
		cmocka_unit_test(client_certificates),
		cmocka_unit_test(certificate_by_name),
		cmocka_unit_test(pre_shared_keys),
		cmocka_unit_test(insecure_is_seen),
	};

	return cmocka_run_group_tests_name("tls_session", tests, setup, NULL);
}
