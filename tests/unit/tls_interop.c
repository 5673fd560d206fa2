/* The engine against openssl(1), over AF_UNIX sockets. */
#include "tests/unit/tls_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE 10000 /* ms */
#define SOCKET "s"     /* openssl cannot print a path of 32 bytes, and gives up */

static struct fixture_world world;

static int setup(void **state)
{
	(void)state;
	fixture_world(&world);
	signal(SIGPIPE, SIG_IGN);
	return chdir(fixture_path(""));
}

/* --- the other program --- */

static pid_t program;
static int program_in; /* what it reads */

/* Runs `openssl` with the words of `format`; its output goes to the file "log". */
static void start(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void start(const char *format, ...)
{
	char *line, *words[64] = {"openssl"}, *rest;
	int n = 1, pipes[2], log = open(fixture_path("log"), O_WRONLY | O_CREAT | O_TRUNC, 0600);
	va_list args;

	va_start(args, format);
	assert_true(vasprintf(&line, format, args) > 0);
	va_end(args);
	for (char *word = strtok_r(line, " ", &rest); word && n < 63; word = strtok_r(NULL, " ", &rest))
		words[n++] = word;
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	program = fork();
	assert_true(program >= 0);
	if (!program) {
		dup2(pipes[0], 0);
		dup2(log, 1);
		dup2(log, 2);
		execvp(words[0], words);
		_exit(127);
	}
	close(pipes[0]);
	close(log);
	program_in = pipes[1];
	free(line);
}

static void stop(void)
{
	kill(program, SIGKILL);
	waitpid(program, NULL, 0);
	close(program_in);
}

static void say(const char *text)
{
	assert_int_equal(write(program_in, text, strlen(text)), strlen(text));
}

/* Is this in the program's output, soon? */
static bool logged(const char *text)
{
	for (int i = 0; i < PATIENCE / 20; i++) {
		static char buf[200000];
		FILE *file = fopen(fixture_path("log"), "r");
		size_t n = fread(buf, 1, sizeof(buf) - 1, file);

		fclose(file);
		buf[n] = '\0';
		if (strstr(buf, text))
			return true;
		poll(NULL, 0, 20);
	}
	return false;
}

/* --- a session on a socket --- */

struct link {
	int fd;
	struct tls_session *session;
	struct fixture_wire in;
	char plain[300000];
	size_t size;
};

static void unix_address(struct sockaddr_un *address)
{
	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	memcpy(address->sun_path, SOCKET, sizeof(SOCKET));
}

static int connect_to_program(void)
{
	struct sockaddr_un address;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	unix_address(&address);
	for (int i = 0; connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0; i++) {
		assert_true(i < PATIENCE / 10);
		poll(NULL, 0, 10);
	}
	return fd;
}

static int listen_for_program(void)
{
	struct sockaddr_un address;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	unix_address(&address);
	unlink(address.sun_path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 1), 0);
	return fd;
}

static int accept_program(int listener)
{
	struct pollfd ready = {.fd = listener, .events = POLLIN};
	int fd;

	assert_int_equal(poll(&ready, 1, PATIENCE), 1);
	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(fd >= 0);
	close(listener);
	return fd;
}

static void send_all(int fd, const uint8_t *data, size_t size)
{
	while (size) {
		ssize_t n = send(fd, data, size, MSG_NOSIGNAL);

		if (n < 0)
			return;
		data += n;
		size -= (size_t)n;
	}
}

static void flush_link(struct link *link)
{
	struct fixture_wire out = {.data = NULL};

	fixture_flush(link->session, &out);
	send_all(link->fd, out.data, out.size);
	free(out.data);
}

/* Waits for more ciphertext; false at the end. */
static bool read_more(struct link *link)
{
	struct pollfd ready = {.fd = link->fd, .events = POLLIN};
	uint8_t buf[20000];
	ssize_t n;

	assert_int_equal(poll(&ready, 1, PATIENCE), 1);
	n = recv(link->fd, buf, sizeof(buf), 0);
	if (n <= 0)
		return false;
	fixture_wire_put(&link->in, buf, (size_t)n);
	return true;
}

static int shake(struct link *link)
{
	for (;;) {
		size_t consumed;
		int result = tls_session_handshake(link->session, link->in.data, link->in.size, &consumed);

		fixture_wire_drop(&link->in, consumed);
		flush_link(link);
		if (result != TLS_WANT_INPUT)
			return result;
		if (!read_more(link))
			return tls_session_truncated(link->session);
	}
}

static struct link *open_link(int fd, const struct tls_options *options, const struct tls_ticket *ticket)
{
	struct tls_credentials *credentials = fixture_credentials(options);
	struct tls_peer peer = {.name = "server.example"};
	struct link *link = calloc(1, sizeof(*link));
	struct tls_reason reason;

	link->fd = fd;
	if (tls_session_new(&link->session, credentials, &peer, ticket, &reason))
		fail_msg("%s", reason.text);
	tls_credentials_unref(credentials);
	return link;
}

static void close_link(struct link *link)
{
	close(link->fd);
	tls_session_free(link->session);
	free(link->in.data);
	free(link);
}

static void say_to(struct link *link, const char *text)
{
	struct fixture_wire out = {.data = NULL};

	fixture_send(link->session, &out, text, strlen(text));
	send_all(link->fd, out.data, out.size);
	free(out.data);
}

/* Reads plaintext until `text` is there or the peer ends. */
static bool hear(struct link *link, const char *text)
{
	for (;;) {
		struct tls_received got;
		ssize_t n = fixture_recv(link->session, &link->in, link->plain + link->size,
					 sizeof(link->plain) - 1 - link->size, &got);

		if (n < 0)
			return false;
		link->size += (size_t)n;
		link->plain[link->size] = '\0';
		flush_link(link);
		if (text && strstr(link->plain, text))
			return true;
		if (got.closed || !read_more(link))
			return !text && got.closed;
	}
}

static void expect_open(struct link *link)
{
	int result = shake(link);

	if (result != TLS_DONE)
		fail_msg("%d: %s", result, tls_session_reason(link->session));
}

/* --- the engine as client --- */

static void start_server(const char *more)
{
	unlink(SOCKET);
	start("s_server -unix " SOCKET " -cert %s -key %s %s", world.server_file, world.server_file, more);
}

static void client_of_openssl(void **state)
{
	static const struct {
		const char *flags, *version, *group;
		unsigned versions;
	} cases[] = {
		{"-rev -tls1_3", "TLS1.3", "X25519", TLS_VERSION_1_3},
		{"-rev -tls1_3 -ciphersuites TLS_AES_256_GCM_SHA384", "TLS1.3", "X25519", TLS_VERSION_1_3},
		{"-rev -tls1_3 -ciphersuites TLS_CHACHA20_POLY1305_SHA256", "TLS1.3", "X25519",
		 TLS_VERSION_1_3},
		/* Another group than the one key share: HelloRetryRequest. */
		{"-rev -tls1_3 -groups P-256", "TLS1.3", "SECP256R1", TLS_VERSION_1_3},
		{"-rev -tls1_3 -groups P-384", "TLS1.3", "SECP384R1", TLS_VERSION_1_3},
		{"-rev -tls1_2", "TLS1.2", "X25519", TLS_VERSION_1_2 | TLS_VERSION_1_3},
		{"-rev", "TLS1.3", "X25519", TLS_VERSION_1_2 | TLS_VERSION_1_3},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct tls_options options = world.client_options;
		struct tls_facts facts;
		struct link *link;

		options.allowed_security_protocols = cases[i].versions;
		start_server(cases[i].flags);
		link = open_link(connect_to_program(), &options, NULL);
		expect_open(link);
		tls_session_facts(link->session, &facts);
		assert_string_equal(facts.version, cases[i].version);
		assert_string_equal(facts.group, cases[i].group);
		say_to(link, "stressed\n");
		assert_true(hear(link, "desserts"));
		close_link(link);
		stop();
	}
}

static void refusals_of_openssl(void **state)
{
	static const struct {
		const char *flags, *reason;
	} cases[] = {
		{"-rev -tls1_2", "alert 70"},
		{"-rev -tls1_1 -cipher ALL:@SECLEVEL=0", "alert 70"},
		{"-rev -tls1_3 -groups ffdhe2048", "alert 40"},
		{"-rev -tls1_3 -alpn foo", "alert 120"},
		{"-rev -tls1_3", "ALPN"},
	};
	static const char *const h2[] = {"h2"};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct tls_options options = world.client_options;
		struct link *link;

		options.alpn = (struct tls_list){h2, i >= 3};
		start_server(cases[i].flags);
		link = open_link(connect_to_program(), &options, NULL);
		assert_int_equal(shake(link), -EPROTO);
		if (!strstr(tls_session_reason(link->session), cases[i].reason))
			fail_msg("%s: \"%s\"", cases[i].flags, tls_session_reason(link->session));
		close_link(link);
		stop();
	}
}

/* In TLS 1.3 the server's refusal of a client comes after the client's handshake. */
static void client_certificates(void **state)
{
	struct tls_options options = world.client_options;
	struct link *link;
	char flags[300];

	(void)state;
	snprintf(flags, sizeof(flags), "-rev -tls1_3 -Verify 1 -verify_return_error -CAfile %s",
		 world.ca_file);
	for (int with = 0; with < 2; with++) {
		options.certificates = &world.client_identity;
		options.n_certificates = (size_t)with;
		start_server(flags);
		link = open_link(connect_to_program(), &options, NULL);
		expect_open(link);
		say_to(link, "stressed\n");
		assert_int_equal(hear(link, "desserts"), with);
		if (!with)
			assert_non_null(strstr(tls_session_reason(link->session), "alert 116"));
		close_link(link);
		stop();
	}
}

/* Opens a session that leaves a ticket behind. */
static struct tls_ticket get_ticket(const struct tls_options *options)
{
	struct link *link = open_link(connect_to_program(), options, NULL);
	struct tls_ticket ticket;

	expect_open(link);
	while (!tls_session_take_ticket(link->session, &ticket)) {
		struct tls_received got;

		assert_true(read_more(link));
		fixture_recv(link->session, &link->in, link->plain, sizeof(link->plain), &got);
	}
	tls_session_close(link->session);
	flush_link(link);
	close_link(link);
	return ticket;
}

static void resumption(void **state)
{
	struct tls_ticket ticket;
	struct tls_facts facts;
	struct link *link;

	(void)state;
	start_server("-rev -tls1_3");
	ticket = get_ticket(&world.client_options);
	link = open_link(connect_to_program(), &world.client_options, &ticket);
	expect_open(link);
	tls_session_facts(link->session, &facts);
	assert_true(facts.resumed);
	say_to(link, "stressed\n");
	assert_true(hear(link, "desserts"));
	tls_ticket_free(&ticket);
	close_link(link);
	stop();
}

static void early_data(void **state)
{
	struct tls_options options = world.client_options;
	struct tls_ticket ticket;
	struct link *link;

	(void)state;
	options.early_data_max = 1000;
	start_server("-tls1_3 -early_data -max_early_data 500");
	ticket = get_ticket(&options);
	link = open_link(connect_to_program(), &options, &ticket);
	assert_int_equal(tls_session_early_data(link->session, "sent early\n", 11), 11);
	expect_open(link);
	assert_true(tls_session_early_accepted(link->session));
	say_to(link, "sent late\n");
	assert_true(logged("sent early"));
	assert_true(logged("sent late"));
	tls_ticket_free(&ticket);
	close_link(link);
	stop();
}

static void much_data(void **state)
{
	static char text[250001];
	struct link *link;

	(void)state;
	for (size_t i = 0; i < sizeof(text) - 1; i++)
		text[i] = (char)('a' + i * i % 23);
	fixture_write_text("much", text, sizeof(text) - 1);
	unlink(SOCKET);
	start_server("-WWW -tls1_3");
	link = open_link(connect_to_program(), &world.client_options, NULL);
	expect_open(link);
	say_to(link, "GET /much HTTP/1.0\r\n\r\n");
	assert_true(hear(link, NULL));
	assert_true(link->size > sizeof(text) - 1);
	assert_string_equal(link->plain + link->size - (sizeof(text) - 1), text);
	close_link(link);
	stop();
}

/* --- the engine as server --- */

static struct link *serve(const struct tls_options *options, const char *format, const char *word)
{
	int listener = listen_for_program();
	char flags[400];

	snprintf(flags, sizeof(flags), format, word);
	start("s_client -unix " SOCKET
	      " -CAfile %s -servername server.example -verify_hostname server.example"
	      " -verify_return_error %s",
	      world.ca_file, flags);
	return open_link(accept_program(listener), options, NULL);
}

static void server_for_openssl(void **state)
{
	static const char *const flags[] = {"-tls1_3", "-tls1_3 -groups P-256",
					    "-tls1_3 -groups P-521:X25519",
					    "-tls1_3 -ciphersuites TLS_CHACHA20_POLY1305_SHA256"};

	(void)state;
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		struct link *link = serve(&world.server_options, "%s", flags[i]);

		expect_open(link);
		say("hello engine\n");
		assert_true(hear(link, "hello engine\n"));
		say_to(link, "hello openssl\n");
		assert_true(logged("hello openssl"));
		assert_true(logged("Verification: OK"));
		assert_int_equal(tls_session_close(link->session), 0);
		flush_link(link);
		assert_true(logged("closed"));
		close_link(link);
		stop();
	}
}

/* "K" on a line of its own makes s_client update its keys and ask for ours, "k" only its own. */
static void key_updates_of_openssl(void **state)
{
	struct link *link = serve(&world.server_options, "%s", "-tls1_3");

	(void)state;
	expect_open(link);
	for (int i = 0; i < 6; i++) {
		char text[40];

		say(i % 2 ? "K\n" : "k\n");
		poll(NULL, 0, 200);
		snprintf(text, sizeof(text), "after update %d\n", i);
		say(text);
		assert_true(hear(link, text));
		snprintf(text, sizeof(text), "answer to update %d\n", i);
		say_to(link, text);
		assert_true(logged(text));
	}
	assert_int_equal(tls_session_rekey(link->session, true), 0);
	flush_link(link);
	say_to(link, "our own update\n");
	assert_true(logged("our own update"));
	say("well received\n");
	assert_true(hear(link, "well received"));
	close_link(link);
	stop();
}

static void openssl_clients_refused(void **state)
{
	struct tls_options options = world.server_options;
	struct link *link = serve(&options, "%s", "-tls1_2");

	(void)state;
	assert_int_equal(shake(link), -EPROTO);
	assert_true(logged("alert"));
	close_link(link);
	stop();
	options.client_auth = TLS_CLIENT_AUTH_REQUIRED;
	link = serve(&options, "%s", "-tls1_3");
	assert_int_equal(shake(link), -EPROTO);
	assert_non_null(strstr(tls_session_reason(link->session), "no certificate"));
	close_link(link);
	stop();
	link = serve(&options, "-tls1_3 -cert %s", world.client_file);
	expect_open(link);
	close_link(link);
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(client_of_openssl),
		cmocka_unit_test(refusals_of_openssl),
		cmocka_unit_test(client_certificates),
		cmocka_unit_test(resumption),
		cmocka_unit_test(early_data),
		cmocka_unit_test(server_for_openssl),
		cmocka_unit_test(key_updates_of_openssl),
		cmocka_unit_test(openssl_clients_refused),
		cmocka_unit_test(much_data),
	};

	/* Whatever hangs, the test ends. */
	alarm(120);
	return cmocka_run_group_tests_name("tls_interop", tests, setup, NULL);
}
