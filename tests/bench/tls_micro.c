/* What the engine costs beside GnuTLS itself, in memory: records each way, and handshakes.  Prints one line
 * per measurement: the name, engine and GnuTLS in microseconds (medians of interleaved rounds), and their
 * ratio. */
#include "core/tls_session.h"

#include <errno.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 101
#define HANDSHAKES 3

static void must(int code)
{
	if (code < 0) {
		fprintf(stderr, "tls_micro: %s\n", gnutls_strerror(code));
		exit(1);
	}
}

static double now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

/* --- memory instead of sockets --- */

struct pipe {
	uint8_t *data;
	size_t start, end, room;
};

static void put(struct pipe *pipe, const void *data, size_t size)
{
	if (pipe->room - pipe->end < size) {
		pipe->room = (pipe->end + size) * 2;
		pipe->data = realloc(pipe->data, pipe->room);
	}
	memcpy(pipe->data + pipe->end, data, size);
	pipe->end += size;
}

static void taken(struct pipe *pipe, size_t size)
{
	pipe->start += size;
	if (pipe->start == pipe->end)
		pipe->start = pipe->end = 0;
}

struct native {
	gnutls_session_t tls;
	struct pipe *in, *out;
};

static ssize_t native_push(gnutls_transport_ptr_t ptr, const giovec_t *iov, int n)
{
	struct native *native = ptr;
	ssize_t total = 0;

	for (int i = 0; i < n; i++) {
		put(native->out, iov[i].iov_base, iov[i].iov_len);
		total += (ssize_t)iov[i].iov_len;
	}
	return total;
}

static ssize_t native_pull(gnutls_transport_ptr_t ptr, void *to, size_t max)
{
	struct native *native = ptr;
	size_t n = native->in->end - native->in->start;

	if (!n) {
		errno = EAGAIN;
		return -1;
	}
	if (n > max)
		n = max;
	memcpy(to, native->in->data + native->in->start, n);
	taken(native->in, n);
	return (ssize_t)n;
}

static int native_timeout(gnutls_transport_ptr_t ptr, unsigned ms)
{
	struct native *native = ptr;

	(void)ms;
	return native->in->end > native->in->start;
}

/* --- certificates --- */

static char directory[] = "/tmp/taps-bench-XXXXXX";
static char ca_file[64], server_file[64];
static gnutls_certificate_credentials_t native_client, native_server;
static gnutls_priority_t priority;
static gnutls_datum_t ticket_key;

static void sign(gnutls_x509_crt_t crt, gnutls_x509_privkey_t key, gnutls_x509_crt_t ca,
		 gnutls_x509_privkey_t ca_key, const char *name)
{
	uint8_t id[32];
	size_t size = sizeof(id);

	must(gnutls_x509_crt_set_version(crt, 3));
	must(gnutls_x509_crt_set_serial(crt, name, strlen(name)));
	must(gnutls_x509_crt_set_key(crt, key));
	must(gnutls_x509_crt_set_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, name,
					   (unsigned)strlen(name)));
	must(gnutls_x509_crt_set_activation_time(crt, time(NULL) - 3600));
	must(gnutls_x509_crt_set_expiration_time(crt, time(NULL) + 86400));
	must(gnutls_x509_crt_set_basic_constraints(crt, crt == ca, -1));
	must(gnutls_x509_crt_get_key_id(crt, 0, id, &size));
	must(gnutls_x509_crt_set_subject_key_id(crt, id, size));
	if (crt != ca)
		must(gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_DNSNAME, name,
							  (unsigned)strlen(name), GNUTLS_FSAN_SET));
	must(gnutls_x509_crt_sign2(crt, ca, ca_key, GNUTLS_DIG_SHA256, 0));
}

static void write_pem(const char *path, gnutls_x509_crt_t crt, gnutls_x509_privkey_t key)
{
	FILE *file = fopen(path, "w");
	gnutls_datum_t pem;

	must(gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &pem));
	fwrite(pem.data, 1, pem.size, file);
	gnutls_free(pem.data);
	must(gnutls_x509_privkey_export2(key, GNUTLS_X509_FMT_PEM, &pem));
	fwrite(pem.data, 1, pem.size, file);
	gnutls_free(pem.data);
	fclose(file);
}

static void make_certificates(void)
{
	gnutls_x509_crt_t crt[2];
	gnutls_x509_privkey_t key[2];

	if (!mkdtemp(directory))
		exit(1);
	snprintf(ca_file, sizeof(ca_file), "%s/ca.pem", directory);
	snprintf(server_file, sizeof(server_file), "%s/server.pem", directory);
	for (int i = 0; i < 2; i++) {
		must(gnutls_x509_crt_init(&crt[i]));
		must(gnutls_x509_privkey_init(&key[i]));
		must(gnutls_x509_privkey_generate(key[i], GNUTLS_PK_ECDSA,
						  GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0));
	}
	sign(crt[0], key[0], crt[0], key[0], "Bench CA");
	sign(crt[1], key[1], crt[0], key[0], "server.example");
	write_pem(ca_file, crt[0], key[0]);
	write_pem(server_file, crt[1], key[1]);
	must(gnutls_certificate_allocate_credentials(&native_client));
	must(gnutls_certificate_allocate_credentials(&native_server));
	must(gnutls_certificate_set_x509_trust_file(native_client, ca_file, GNUTLS_X509_FMT_PEM));
	must(gnutls_certificate_set_x509_key_file(native_server, server_file, server_file,
						  GNUTLS_X509_FMT_PEM));
	must(gnutls_priority_init(&priority, "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-128-GCM",
				  NULL));
	must(gnutls_session_ticket_key_generate(&ticket_key));
}

/* --- pairs --- */

/* Both sides: sessions of the engine, or of GnuTLS. */
struct pair {
	struct tls_session *client, *server;
	struct native native_client, native_server;
	struct pipe to_client, to_server;
};

static struct tls_credentials *engine_client, *engine_server;

static void native_open(struct native *native, unsigned flags, struct pipe *in, struct pipe *out)
{
	native->in = in;
	native->out = out;
	must(gnutls_init(&native->tls, flags | GNUTLS_NONBLOCK));
	must(gnutls_priority_set(native->tls, priority));
	gnutls_transport_set_ptr(native->tls, native);
	gnutls_transport_set_vec_push_function(native->tls, native_push);
	gnutls_transport_set_pull_function(native->tls, native_pull);
	gnutls_transport_set_pull_timeout_function(native->tls, native_timeout);
}

static void open_native(struct pair *pair, const gnutls_datum_t *ticket)
{
	int a = GNUTLS_E_AGAIN, b = GNUTLS_E_AGAIN;

	native_open(&pair->native_client, GNUTLS_CLIENT, &pair->to_client, &pair->to_server);
	native_open(&pair->native_server, GNUTLS_SERVER, &pair->to_server, &pair->to_client);
	must(gnutls_credentials_set(pair->native_client.tls, GNUTLS_CRD_CERTIFICATE, native_client));
	must(gnutls_credentials_set(pair->native_server.tls, GNUTLS_CRD_CERTIFICATE, native_server));
	must(gnutls_session_ticket_enable_server(pair->native_server.tls, &ticket_key));
	must(gnutls_server_name_set(pair->native_client.tls, GNUTLS_NAME_DNS, "server.example", 14));
	gnutls_session_set_verify_cert(pair->native_client.tls, "server.example", 0);
	if (ticket)
		must(gnutls_session_set_data(pair->native_client.tls, ticket->data, ticket->size));
	while (a || b) {
		if (a)
			a = gnutls_handshake(pair->native_client.tls);
		if (b)
			b = gnutls_handshake(pair->native_server.tls);
		if ((a && a != GNUTLS_E_AGAIN) || (b && b != GNUTLS_E_AGAIN))
			must(a ? a : b);
	}
}

static void close_native(struct pair *pair)
{
	gnutls_deinit(pair->native_client.tls);
	gnutls_deinit(pair->native_server.tls);
	free(pair->to_client.data);
	free(pair->to_server.data);
}

static int step(struct tls_session *session, struct pipe *in, struct pipe *out)
{
	uint8_t buf[8192];
	size_t n;
	int result = tls_session_handshake(session, in->data + in->start, in->end - in->start, &n);

	taken(in, n);
	while ((n = tls_session_take_output(session, buf, sizeof(buf))))
		put(out, buf, n);
	if (result < 0) {
		fprintf(stderr, "tls_micro: %s\n", tls_session_reason(session));
		exit(1);
	}
	return result;
}

static void open_engine(struct pair *pair, const struct tls_ticket *ticket)
{
	struct tls_peer peer = {.name = "server.example"};
	struct tls_reason reason;
	int a = 1, b = 1;

	if (tls_session_new(&pair->client, engine_client, &peer, ticket, &reason) ||
	    tls_session_new(&pair->server, engine_server, NULL, NULL, &reason))
		exit(1);
	while (a || b) {
		if (a)
			a = step(pair->client, &pair->to_client, &pair->to_server);
		if (b)
			b = step(pair->server, &pair->to_server, &pair->to_client);
	}
}

static void close_engine(struct pair *pair)
{
	tls_session_free(pair->client);
	tls_session_free(pair->server);
	free(pair->to_client.data);
	free(pair->to_server.data);
}

/* --- measuring --- */

static int by_value(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return left < right ? -1 : left > right;
}

static void report(const char *name, double *engine, double *native)
{
	double ratios[ROUNDS];

	for (int i = 0; i < ROUNDS; i++)
		ratios[i] = engine[i] / native[i];
	qsort(engine, ROUNDS, sizeof(double), by_value);
	qsort(native, ROUNDS, sizeof(double), by_value);
	qsort(ratios, ROUNDS, sizeof(double), by_value);
	printf("%-18s engine %9.3f us  gnutls %9.3f us  ratio %.3f\n", name, engine[ROUNDS / 2],
	       native[ROUNDS / 2], ratios[ROUNDS / 2]);
}

static uint8_t plain[65536], sealed[80000];

static void native_send(struct pair *pair, size_t size)
{
	for (size_t done = 0; done < size;) {
		ssize_t n = gnutls_record_send(pair->native_client.tls, plain + done, size - done);

		must((int)n);
		done += (size_t)n;
	}
}

static void native_receive(struct pair *pair, size_t size)
{
	for (size_t done = 0; done < size;) {
		ssize_t n = gnutls_record_recv(pair->native_server.tls, plain, sizeof(plain));

		must((int)n);
		done += (size_t)n;
	}
}

/* With the copy into what stands for the network, as on the other side. */
static void engine_send(struct pair *pair, size_t size)
{
	struct iovec iov = {plain, size};
	size_t out;

	if (tls_session_seal(pair->client, &iov, 1, sealed, sizeof(sealed), &out) != (ssize_t)size)
		exit(1);
	put(&pair->to_server, sealed, out);
}

static void engine_receive(struct pair *pair, size_t size)
{
	struct pipe *in = &pair->to_server;
	struct tls_received got;

	for (size_t done = 0; done < size; done += got.bytes) {
		struct iovec iov = {plain, size - done};

		if (tls_session_recv(pair->server, in->data + in->start, in->end - in->start, &iov, 1, 0,
				     &got))
			exit(1);
		taken(in, got.consumed);
	}
}

typedef void transfer(struct pair *pair, size_t size);

/* Sends a batch, then receives it; each timed by itself. */
static void timed(struct pair *pair, transfer *send, transfer *receive, size_t size, int n,
		  double *ret_send, double *ret_receive)
{
	double a = now_us(), b, c;

	for (int i = 0; i < n; i++)
		send(pair, size);
	b = now_us();
	for (int i = 0; i < n; i++)
		receive(pair, size);
	c = now_us();
	*ret_send = (b - a) / n;
	*ret_receive = (c - b) / n;
}

static void measure_records(void)
{
	static const size_t sizes[] = {1, 64, 1024, 4096, 16384, 65536};
	struct pair engine = {.client = NULL}, native = {.client = NULL};
	double e[2][ROUNDS], g[2][ROUNDS];
	char name[40];

	open_engine(&engine, NULL);
	open_native(&native, NULL);
	for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
		int n = sizes[s] > 4096 ? 4 : 100; /* what stays in the cache */

		for (int i = 0; i < ROUNDS; i++) {
			timed(&engine, engine_send, engine_receive, sizes[s], n, &e[0][i], &e[1][i]);
			timed(&native, native_send, native_receive, sizes[s], n, &g[0][i], &g[1][i]);
		}
		snprintf(name, sizeof(name), "send %zu", sizes[s]);
		report(name, e[0], g[0]);
		snprintf(name, sizeof(name), "receive %zu", sizes[s]);
		report(name, e[1], g[1]);
	}
	close_engine(&engine);
	close_native(&native);
}

static void engine_ticket(struct tls_ticket *ret)
{
	struct pair pair = {.client = NULL};
	struct tls_received got;

	open_engine(&pair, NULL);
	tls_session_fill(pair.client, pair.to_client.data + pair.to_client.start,
			 pair.to_client.end - pair.to_client.start, 1, 0, &got);
	if (!tls_session_take_ticket(pair.client, ret))
		exit(1);
	close_engine(&pair);
}

static void native_ticket(gnutls_datum_t *ret)
{
	struct pair pair = {.client = NULL};
	char buf[10];

	open_native(&pair, NULL);
	gnutls_record_recv(pair.native_client.tls, buf, sizeof(buf));
	must(gnutls_session_get_data2(pair.native_client.tls, ret));
	close_native(&pair);
}

static void measure_handshakes(bool resumed)
{
	struct tls_ticket ticket = {.data = NULL};
	gnutls_datum_t data = {NULL, 0};
	double e[ROUNDS], g[ROUNDS];

	if (resumed) {
		engine_ticket(&ticket);
		native_ticket(&data);
	}
	for (int i = 0; i < ROUNDS; i++) {
		double a = now_us(), b;

		for (int k = 0; k < HANDSHAKES; k++) {
			struct pair pair = {.client = NULL};

			open_engine(&pair, resumed ? &ticket : NULL);
			close_engine(&pair);
		}
		b = now_us();
		for (int k = 0; k < HANDSHAKES; k++) {
			struct pair pair = {.client = NULL};

			open_native(&pair, resumed ? &data : NULL);
			close_native(&pair);
		}
		e[i] = (b - a) / HANDSHAKES;
		g[i] = (now_us() - b) / HANDSHAKES;
	}
	report(resumed ? "resumed handshake" : "full handshake", e, g);
	tls_ticket_free(&ticket);
	gnutls_free(data.data);
}

int main(void)
{
	struct tls_options client = TLS_OPTIONS_INIT(TLS_CLIENT), server = TLS_OPTIONS_INIT(TLS_SERVER);
	struct tls_identity identity = {.chain = server_file};
	struct tls_reason reason;

	make_certificates();
	client.trust = TLS_TRUST_FILE;
	client.trust_path = ca_file;
	server.certificates = &identity;
	server.n_certificates = 1;
	if (tls_credentials_new(&engine_client, &client, &reason) ||
	    tls_credentials_new(&engine_server, &server, &reason)) {
		fprintf(stderr, "tls_micro: %s\n", reason.text);
		return 1;
	}
	measure_records();
	measure_handshakes(false);
	measure_handshakes(true);
	unlink(ca_file);
	unlink(server_file);
	rmdir(directory);
	return 0;
}
