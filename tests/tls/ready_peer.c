/* A TLS peer that sends by a schedule: it says where records begin and end on the wire, and what stands
 * between them.
 *
 * usage: ready_peer connect|listen ADDRESS PORT BOARD SEED FIRST COUNT [CERTIFICATE KEY]
 *
 * Without a certificate it does the same in clear. */
#include <arpa/inet.h>
#include <errno.h>
#include <gnutls/gnutls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>

#include "ready.h"

#define PATIENCE_US 3000000
#define CIPHERTEXT_MAX (1 << 20)

struct peer {
	int fd;
	gnutls_session_t tls; /* NULL: in clear */
	bool collecting; /* what GnuTLS sends goes into `out` */
	size_t n;
	unsigned records; /* among them */
	unsigned char out[CIPHERTEXT_MAX];
	struct board *board;
	uint64_t number, offset; /* of the schedule; of the application bytes */
};

static uint64_t given; /* bytes of this connection that the kernel took */

static void write_all(int fd, const unsigned char *data, size_t size)
{
	while (size > 0) {
		ssize_t n = send(fd, data, size, MSG_NOSIGNAL);

		if (n < 0)
			return;
		data += n;
		size -= (size_t)n;
		given += (uint64_t)n;
	}
}

static ssize_t push(gnutls_transport_ptr_t pointer, const void *data, size_t size)
{
	struct peer *peer = pointer;

	if (!peer->collecting) {
		write_all(peer->fd, data, size);
		return (ssize_t)size;
	}
	if (peer->n + size > sizeof(peer->out))
		errx(1, "too much ciphertext");
	memcpy(peer->out + peer->n, data, size);
	peer->n += size;
	return (ssize_t)size;
}

static ssize_t pull(gnutls_transport_ptr_t pointer, void *to, size_t max)
{
	struct peer *peer = pointer;
	ssize_t n = recv(peer->fd, to, max, peer->collecting ? MSG_DONTWAIT : 0);

	if (n < 0)
		gnutls_transport_set_errno(peer->tls, errno);
	return n;
}

static int pull_timeout(gnutls_transport_ptr_t pointer, unsigned ms)
{
	(void)pointer;
	(void)ms;
	return 1;
}

/* Waits for the program to have read everything, for a while. */
static void let_idle(const struct peer *peer)
{
	int64_t end = now_us() + 100000;

	while (atomic_load(&peer->board->read) < atomic_load(&peer->board->done) && now_us() < end)
		usleep(50);
	usleep(200);
}

static void do_before(struct peer *peer, enum before before, bool server)
{
	if (before == BEFORE_TICKET && server)
		gnutls_session_ticket_send(peer->tls, 1, 0);
	else if (before == BEFORE_UPDATE)
		gnutls_session_key_update(peer->tls, 0);
	else if (before == BEFORE_UPDATE_BOTH)
		gnutls_session_key_update(peer->tls, GNUTLS_KU_PEER);
}

/* GnuTLS gives up on a peer whose own updates nobody reads. */
static void listen_a_moment(struct peer *peer)
{
	unsigned char byte[64];

	while (gnutls_record_recv(peer->tls, byte, sizeof(byte)) > 0)
		;
}

static void seal(struct peer *peer, uint32_t size)
{
	static unsigned char plain[16384];
	uint32_t i;
	ssize_t n;

	for (i = 0; i < size; i++)
		plain[i] = byte_at(peer->number, peer->offset + i);
	n = peer->tls ? gnutls_record_send2(peer->tls, plain, size, size ? 0 : 20, 0)
		      : push(peer, plain, size);
	if (n < 0 && size)
		warnx("schedule %llu: sending: %s", (unsigned long long)peer->number,
		      gnutls_strerror((int)n));
	peer->offset += size;
	peer->records++;
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* In pieces; the last byte makes the record whole. */
static void send_out(struct peer *peer, const struct step *step)
{
	size_t at = 0, to;
	uint32_t cut[SLICES_MAX];
	unsigned i;

	memcpy(cut, step->cut, sizeof(cut));
	qsort(cut, step->slices, sizeof(*cut), compare);
	for (i = 0; i <= step->slices; i++) {
		to = i == step->slices ? peer->n : peer->n * cut[i] / 65536;
		if (step->slices == 1)
			to = peer->n;
		if (to == peer->n || peer->records > 1 || !peer->tls)
			atomic_store(&peer->board->begun, peer->offset);
		if (to > at) {
			write_all(peer->fd, peer->out + at, to - at);
			atomic_fetch_add(&peer->board->pieces, 1);
		}
		at = to;
		if (at < peer->n && step->pause_us)
			usleep(step->pause_us);
	}
	atomic_store(&peer->board->wire, given);
	atomic_store(&peer->board->done, peer->offset);
	peer->n = peer->records = 0;
	if (step->pause_us)
		usleep(step->pause_us);
}

static void send_step(struct peer *peer, const struct step *step, bool last, bool server)
{
	if (step->idle && peer->n == 0)
		let_idle(peer);
	if (peer->tls) {
		listen_a_moment(peer);
		do_before(peer, step->before, server);
	}
	seal(peer, step->size);
	atomic_fetch_add(&peer->board->pieces, 2);
	if (!step->held || last)
		send_out(peer, step);
}

static void reset(int fd)
{
	struct linger linger = {1, 0};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

static void forge(struct peer *peer)
{
	seal(peer, 100);
	peer->offset -= 100;
	peer->out[peer->n - 1] ^= 1;
	write_all(peer->fd, peer->out, peer->n);
}

static void finish(struct peer *peer, enum ending ending)
{
	atomic_store(&peer->board->end_begun, true);
	peer->n = 0;
	if (peer->tls && (ending == END_BYE_FIN || ending == END_BYE_LATER)) {
		gnutls_bye(peer->tls, GNUTLS_SHUT_WR);
		write_all(peer->fd, peer->out, peer->n);
	}
	if (peer->tls && ending == END_FORGED)
		forge(peer);
	if (ending == END_BYE_LATER)
		usleep(1000);
	if (ending == END_RESET)
		reset(peer->fd);
	else if (ending != END_FORGED || !peer->tls)
		shutdown(peer->fd, SHUT_WR);
}

/* Until the program closes; it is done with this schedule then. */
static void wait_for_close(const struct peer *peer)
{
	struct timeval patience = {5, 0};
	char waste[4096];

	setsockopt(peer->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	while (recv(peer->fd, waste, sizeof(waste), 0) > 0)
		;
}

static void run(struct peer *peer, const struct schedule *schedule, bool server)
{
	unsigned i;

	peer->collecting = true;
	for (i = 0; i < schedule->n; i++)
		send_step(peer, &schedule->step[i], i + 1 == schedule->n, server);
	if (chance(&(uint64_t){schedule->seed}, 50))
		let_idle(peer);
	finish(peer, schedule->ending);
	if (schedule->ending == END_RESET)
		close(peer->fd);
	atomic_store(&peer->board->wire, given);
	atomic_store(&peer->board->end_done, true);
	if (schedule->ending != END_RESET) {
		wait_for_close(peer);
		close(peer->fd);
	}
}

static bool shake(struct peer *peer, gnutls_certificate_credentials_t credentials, bool server)
{
	int code;

	gnutls_init(&peer->tls,
		    (server ? GNUTLS_SERVER | GNUTLS_NO_AUTO_SEND_TICKET : GNUTLS_CLIENT) | GNUTLS_NO_SIGNAL);
	gnutls_priority_set_direct(peer->tls, "NORMAL:-VERS-ALL:+VERS-TLS1.3:-GROUP-ALL:+GROUP-X25519", NULL);
	gnutls_credentials_set(peer->tls, GNUTLS_CRD_CERTIFICATE, credentials);
	if (server) {
		static gnutls_datum_t key;

		if (!key.data)
			gnutls_session_ticket_key_generate(&key);
		gnutls_session_ticket_enable_server(peer->tls, &key);
	}
	gnutls_transport_set_ptr(peer->tls, peer);
	gnutls_transport_set_push_function(peer->tls, push);
	gnutls_transport_set_pull_function(peer->tls, pull);
	gnutls_transport_set_pull_timeout_function(peer->tls, pull_timeout);
	peer->collecting = false;
	do
		code = gnutls_handshake(peer->tls);
	while (code < 0 && !gnutls_error_is_fatal(code));
	if (code < 0)
		warnx("schedule %llu: handshake: %s", (unsigned long long)peer->number,
		      gnutls_strerror(code));
	return code == 0;
}

static struct sockaddr_in address_of(const char *address, const char *port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};

	inet_pton(AF_INET, address, &at.sin_addr);
	return at;
}

static int listen_at(struct sockaddr_in at)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0 || listen(fd, 16) != 0)
		err(1, "listen");
	return fd;
}

static int connect_to(struct sockaddr_in at)
{
	int64_t end = now_us() + PATIENCE_US;
	int fd;

	do {
		fd = socket(AF_INET, SOCK_STREAM, 0);
		if (connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0)
			return fd;
		close(fd);
		usleep(10000);
	} while (now_us() < end);
	err(1, "connect");
}

/* The program says which schedule it is at. */
static bool wait_for_turn(const struct board *board, uint64_t number)
{
	int64_t end = now_us() + 10 * PATIENCE_US;

	while (atomic_load(&board->number) != number + 1 && now_us() < end)
		usleep(50);
	return atomic_load(&board->number) == number + 1;
}

int main(int argc, char **argv)
{
	static struct peer peer;
	gnutls_certificate_credentials_t credentials;
	bool server = argc > 1 && strcmp(argv[1], "listen") == 0;
	uint64_t first, last;
	struct sockaddr_in at;
	int listener = -1, one = 1;

	if (argc != 8 && argc != 10)
		errx(2, "usage: ready_peer connect|listen ADDRESS PORT BOARD SEED FIRST COUNT [CERTIFICATE "
			"KEY]");
	signal(SIGPIPE, SIG_IGN);
	gnutls_certificate_allocate_credentials(&credentials);
	if (argc == 10 &&
	    gnutls_certificate_set_x509_key_file(credentials, argv[8], argv[9], GNUTLS_X509_FMT_PEM) < 0)
		errx(1, "%s, %s: no certificate", argv[8], argv[9]);
	at = address_of(argv[2], argv[3]);
	peer.board = map_board(argv[4]);
	first = strtoull(argv[6], NULL, 0);
	last = first + strtoull(argv[7], NULL, 0);
	if (server)
		listener = listen_at(at);
	for (peer.number = first; peer.number < last; peer.number++) {
		struct schedule schedule = make_schedule(strtoull(argv[5], NULL, 0), peer.number);

		if (!wait_for_turn(peer.board, peer.number))
			errx(1, "schedule %llu: the program does not come", (unsigned long long)peer.number);
		peer.offset = peer.n = peer.records = 0;
		given = 0;
		peer.fd = server ? accept(listener, NULL, NULL) : connect_to(at);
		setsockopt(peer.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		if (argc == 8 || shake(&peer, credentials, server))
			run(&peer, &schedule, server);
		else
			close(peer.fd);
		if (peer.tls)
			gnutls_deinit(peer.tls);
		atomic_store(&peer.board->over, peer.number + 1);
	}
	return 0;
}
