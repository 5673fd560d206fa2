/* As a program is usually written: GnuTLS' own reads and writes, the chain and the name verified. */
#include "tests/bench/tls_link.h"

#include <err.h>
#include <errno.h>
#include <gnutls/gnutls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The algorithms in the order in which tapsrun offers them, for the same work: GnuTLS' own order would begin
 * with AES-256 and P-256, which take longer. */
#define ALGORITHMS "NORMAL:-VERS-ALL:+VERS-TLS1.3:" \
	"-CIPHER-ALL:+AES-128-GCM:+AES-256-GCM:+CHACHA20-POLY1305:" \
	"-GROUP-ALL:+GROUP-X25519:+GROUP-SECP256R1:+GROUP-SECP384R1:+GROUP-SECP521R1:+GROUP-X448"

struct link {
	int fd;
	gnutls_session_t tls;
};

static gnutls_certificate_credentials_t credentials;
static gnutls_priority_t priority;
static gnutls_datum_t ticket_key, ticket;

static int must(int code, const char *what)
{
	if (code < 0)
		errx(1, "%s: %s", what, gnutls_strerror(code));
	return code;
}

void link_init(const char *trust, const char *certificate, const char *key)
{
	must(gnutls_certificate_allocate_credentials(&credentials), "credentials");
	must(gnutls_priority_init(&priority, ALGORITHMS, NULL), "priority");
	if (trust && !strcmp(trust, "system"))
		must(gnutls_certificate_set_x509_system_trust(credentials), "trust");
	else if (trust)
		must(gnutls_certificate_set_x509_trust_file(credentials, trust, GNUTLS_X509_FMT_PEM), trust);
	if (certificate) {
		must(gnutls_certificate_set_x509_key_file(credentials, certificate, key, GNUTLS_X509_FMT_PEM),
		     certificate);
		must(gnutls_session_ticket_key_generate(&ticket_key), "ticket key");
	}
}

static struct link *make(int fd, unsigned flags)
{
	struct link *link = calloc(1, sizeof(*link));

	if (!link)
		err(1, "malloc");
	link->fd = fd;
	must(gnutls_init(&link->tls, flags), "session");
	must(gnutls_priority_set(link->tls, priority), "priority");
	must(gnutls_credentials_set(link->tls, GNUTLS_CRD_CERTIFICATE, credentials), "credentials");
	gnutls_transport_set_int(link->tls, fd);
	gnutls_handshake_set_timeout(link->tls, 20000);
	return link;
}

static struct link *shake(struct link *link)
{
	int code;

	do
		code = gnutls_handshake(link->tls);
	while (code < 0 && !gnutls_error_is_fatal(code));
	must(code, "handshake");
	return link;
}

struct link *link_connect(const struct sockaddr *addr, socklen_t len, const char *host, bool resume)
{
	int fd = socket(addr->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
	struct link *link = make(fd, GNUTLS_CLIENT);

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(fd, addr, len) < 0)
		err(1, "%s", host);
	gnutls_session_set_verify_cert(link->tls, host, 0);
	must(gnutls_server_name_set(link->tls, GNUTLS_NAME_DNS, host, strlen(host)), host);
	if (resume && ticket.size)
		gnutls_session_set_data(link->tls, ticket.data, ticket.size);
	shake(link);
	if (resume && ticket.size && !gnutls_session_is_resumed(link->tls))
		errx(1, "not resumed");
	return link;
}

struct link *link_accepted(int fd)
{
	struct link *link = make(fd, GNUTLS_SERVER);

	gnutls_session_ticket_enable_server(link->tls, &ticket_key);
	return shake(link);
}

int link_fd(const struct link *link)
{
	return link->fd;
}

bool link_pending(const struct link *link)
{
	return gnutls_record_check_pending(link->tls) > 0;
}

void link_send(struct link *link, const void *data, size_t size)
{
	while (size > 0) {
		ssize_t n = gnutls_record_send(link->tls, data, size);

		if (n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED)
			continue;
		must((int)(n < 0 ? n : 0), "send");
		data = (const char *)data + n;
		size -= (size_t)n;
	}
}

size_t link_recv(struct link *link, void *buf, size_t size)
{
	ssize_t n;

	do
		n = gnutls_record_recv(link->tls, buf, size);
	while (n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED);
	must((int)(n < 0 ? n : 0), "recv");
	return (size_t)n;
}

ssize_t link_try(struct link *link, void *buf, size_t size)
{
	struct pollfd pfd = {link->fd, POLLIN, 0};
	ssize_t n;

	if (!link_pending(link) && poll(&pfd, 1, 0) == 0)
		return -1;
	n = gnutls_record_recv(link->tls, buf, size);
	if (n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED)
		return -1;
	must((int)(n < 0 ? n : 0), "recv");
	return n;
}

bool link_rekey(struct link *link)
{
	must(gnutls_session_key_update(link->tls, GNUTLS_KU_PEER), "key update");
	return true;
}

void link_close(struct link *link)
{
	/* Both of a connection's tickets may be used once; the newest is kept. */
	if (gnutls_session_get_flags(link->tls) & GNUTLS_SFLAGS_SESSION_TICKET) {
		gnutls_free(ticket.data);
		ticket = (gnutls_datum_t){NULL, 0};
		must(gnutls_session_get_data2(link->tls, &ticket), "ticket");
	}
	gnutls_bye(link->tls, GNUTLS_SHUT_WR);
	gnutls_deinit(link->tls);
	close(link->fd);
	free(link);
}
