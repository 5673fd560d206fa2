/* A TLS 1.3 server that takes, refuses or cannot read tickets and early data, written against GnuTLS itself.
 *
 *	early_peer ADDRESS PORT MODES CERTIFICATE KEY BAD-CERTIFICATE BAD-KEY
 *
 * The Nth connection is served by the Nth letter of MODES, all others by the last:
 *
 *	a  takes tickets and early data, gives tickets    n  the same, but gives no tickets
 *	r  takes tickets, refuses early data              f  cannot read tickets
 *	b  cannot read tickets, shows the bad certificate g  as a, and speaks first
 *	h  hangs up when the first message has come       s  says nothing
 *	p  answers in clear                               w  as a, after a while
 *
 * A message is a number of eight digits, the length of all of it, and its bytes; it comes back whole.  For
 * each connection a line: "N MODE resumed R early E total T". */
#include <arpa/inet.h>
#include <gnutls/gnutls.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MESSAGE_MAX 4000000

static gnutls_certificate_credentials_t good, bad;
static gnutls_datum_t key, foreign;
static gnutls_anti_replay_t anti_replay;
static char message[MESSAGE_MAX];

static void must(int yes, const char *what)
{
	if (yes)
		return;
	fprintf(stderr, "early_peer: %s\n", what);
	exit(1);
}

static gnutls_certificate_credentials_t load(const char *certificate, const char *key_file)
{
	gnutls_certificate_credentials_t ret;

	must(gnutls_certificate_allocate_credentials(&ret) == 0, "memory");
	must(gnutls_certificate_set_x509_key_file(ret, certificate, key_file, GNUTLS_X509_FMT_PEM) >= 0,
	     certificate);
	return ret;
}

/* Each ticket is new to a server that nobody plays tricks on. */
static int never_seen(void *arg, time_t expires, const gnutls_datum_t *id, const gnutls_datum_t *data)
{
	(void)arg;
	(void)expires;
	(void)id;
	(void)data;
	return 0;
}

static int is_one_of(char mode, const char *modes)
{
	return strchr(modes, mode) != NULL;
}

static gnutls_session_t make(int fd, char mode)
{
	unsigned flags = GNUTLS_SERVER | (is_one_of(mode, "rfb") ? 0 : GNUTLS_ENABLE_EARLY_DATA);
	gnutls_session_t tls;

	if (is_one_of(mode, "nr"))
		flags |= GNUTLS_NO_AUTO_SEND_TICKET;
	must(gnutls_init(&tls, flags) == 0, "init");
	must(gnutls_priority_set_direct(tls, "NORMAL:-VERS-ALL:+VERS-TLS1.3", NULL) == 0, "priority");
	gnutls_credentials_set(tls, GNUTLS_CRD_CERTIFICATE, mode == 'b' ? bad : good);
	gnutls_session_ticket_enable_server(tls, is_one_of(mode, "fb") ? &foreign : &key);
	if (!is_one_of(mode, "rfb"))
		gnutls_anti_replay_enable(tls, anti_replay);
	gnutls_transport_set_int(tls, fd);
	gnutls_handshake_set_timeout(tls, 10000);
	return tls;
}

static size_t receive_early(gnutls_session_t tls)
{
	size_t size = 0;
	ssize_t n;

	while ((n = gnutls_record_recv_early_data(tls, message + size, sizeof(message) - size)) > 0)
		size += (size_t)n;
	return size;
}

static size_t wanted(size_t size)
{
	char text[9] = "";

	if (size < 8)
		return 8;
	memcpy(text, message, 8);
	return (size_t)strtoul(text, NULL, 10);
}

/* Returns how many bytes came. */
static size_t receive_rest(gnutls_session_t tls, size_t size)
{
	while (size < wanted(size) && size < sizeof(message)) {
		ssize_t n = gnutls_record_recv(tls, message + size, sizeof(message) - size);

		if (n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED)
			continue;
		if (n <= 0)
			break;
		size += (size_t)n;
	}
	return size;
}

static void send_all(gnutls_session_t tls, const char *data, size_t size)
{
	while (size > 0) {
		ssize_t n = gnutls_record_send(tls, data, size);

		if (n < 0)
			return;
		data += n;
		size -= (size_t)n;
	}
}

static void serve(int fd, unsigned number, char mode)
{
	gnutls_session_t tls = make(fd, mode);
	size_t early = 0, total = 0;
	int result;

	if (mode == 'w')
		usleep(400000);
	do
		result = gnutls_handshake(tls);
	while (result < 0 && !gnutls_error_is_fatal(result));
	if (result == 0) {
		early = receive_early(tls);
		if (mode == 'g')
			send_all(tls, "greetings", 9);
		total = receive_rest(tls, early);
		if (total == wanted(total))
			send_all(tls, message, total);
	}
	printf("%u %c resumed %d early %zu total %zu%s%s\n", number, mode, gnutls_session_is_resumed(tls),
	       early, total, result ? " " : "", result ? gnutls_strerror(result) : "");
	fflush(stdout);
	gnutls_bye(tls, GNUTLS_SHUT_WR);
	/* What is there unread would reset the connection. */
	shutdown(fd, SHUT_WR);
	while (read(fd, message, sizeof(message)) > 0)
		;
}

static void misbehave(int fd, unsigned number, char mode)
{
	if (mode == 'h' || mode == 'p')
		(void)!read(fd, message, 1);
	if (mode == 'p')
		(void)!write(fd, "220 welcome to clear text\r\n", 27);
	if (mode == 's')
		sleep(30);
	printf("%u %c resumed 0 early 0 total 0\n", number, mode);
}

static int listen_at(const char *address, const char *port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	must(inet_pton(AF_INET, address, &at.sin_addr) == 1, address);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	must(bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0 && listen(fd, 100) == 0, "listen");
	return fd;
}

int main(int argc, char **argv)
{
	unsigned number = 0;
	int listener;

	must(argc == 8, "early_peer ADDRESS PORT MODES CERTIFICATE KEY BAD-CERTIFICATE BAD-KEY");
	signal(SIGCHLD, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	good = load(argv[4], argv[5]);
	bad = load(argv[6], argv[7]);
	must(gnutls_session_ticket_key_generate(&key) == 0, "ticket key");
	must(gnutls_session_ticket_key_generate(&foreign) == 0, "ticket key");
	must(gnutls_anti_replay_init(&anti_replay) == 0, "anti-replay");
	gnutls_anti_replay_set_add_function(anti_replay, never_seen);
	listener = listen_at(argv[1], argv[2]);
	for (;;) {
		int fd = accept(listener, NULL, NULL);
		char mode = argv[3][number < strlen(argv[3]) ? number : strlen(argv[3]) - 1];

		number++;
		if (fork() == 0) {
			close(listener);
			if (is_one_of(mode, "hps"))
				misbehave(fd, number, mode);
			else
				serve(fd, number, mode);
			exit(0);
		}
		close(fd);
	}
}
