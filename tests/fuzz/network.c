#include "tests/fuzz/network.h"

#include "core/host.h"
#include "core/secure.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define REKEYS_MAX 4 /* GnuTLS takes eight a second */

struct network net;

void net_broken(const char *what, const char *where, int line)
{
	fprintf(stderr, "%s, line %d: not so: %s\n", where, line, what);
	abort();
}

static uint8_t pattern(size_t i)
{
	return (uint8_t)(i * 7 + i / 251);
}

uint8_t *net_patterned(size_t from, size_t size)
{
	uint8_t *data = malloc(size ? size : 1);

	expect(data != NULL);
	for (size_t i = 0; i < size; i++)
		data[i] = pattern(from + i);
	return data;
}

void net_expect_pattern(const uint8_t *data, size_t from, size_t size)
{
	for (size_t i = 0; i < size; i++)
		expect(data[i] == pattern(from + i));
}

/* --- the kernel --- */

static ssize_t refuse(int error)
{
	errno = error;
	return -1;
}

static bool interrupted(void)
{
	if (!net.interrupts)
		return false;
	net.interrupts--;
	return true;
}

static ssize_t fake_recv(int fd, void *buf, size_t size, int flags)
{
	size_t n = size < net.queue.size ? size : net.queue.size;

	expect(flags & MSG_DONTWAIT);
	if (fd != NET_FD)
		return recv(fd, buf, size, flags);
	if (interrupted())
		return refuse(EINTR);
	if (n == 0)
		return net.end || size == 0 ? 0 : refuse(EAGAIN);
	if (!(flags & MSG_TRUNC))
		memcpy(buf, net.queue.data, n);
	if (!(flags & MSG_PEEK))
		fixture_wire_drop(&net.queue, n);
	return (ssize_t)n;
}

static ssize_t fake_send(int fd, const void *buf, size_t size, int flags)
{
	size_t room = net.sent_room > net.sent.size ? net.sent_room - net.sent.size : 0;

	expect((flags & MSG_DONTWAIT) && (flags & MSG_NOSIGNAL));
	if (fd != NET_FD)
		return send(fd, buf, size, flags);
	if (interrupted())
		return refuse(EINTR);
	if (net.shut)
		return refuse(EPIPE);
	net.full |= room < size;
	if (room == 0)
		return refuse(EAGAIN);
	if (size > room)
		size = room;
	fixture_wire_put(&net.sent, buf, size);
	return (ssize_t)size;
}

static int fake_setsockopt(int fd, int level, int option, const void *value, socklen_t len)
{
	expect(fd == NET_FD);
	if (level == SOL_SOCKET && option == SO_RCVLOWAT) {
		expect(len == sizeof(int));
		memcpy(&net.lowat, value, sizeof(net.lowat));
		net.edge |= net_readable();
	}
	return 0;
}

/* The layer ends its receiving direction when the peer has said goodbye, or nonsense. */
static int fake_shutdown(int fd, int how)
{
	if (fd != NET_FD)
		return shutdown(fd, how);
	expect(how != SHUT_RD || net.peer_closed || net.tampered != SIZE_MAX);
	if (how != SHUT_WR)
		net.end = net.edge = true;
	if (how != SHUT_RD)
		net.shut = true;
	return 0;
}

/* tcp(7): enough, or no room for more, or the end. */
bool net_readable(void)
{
	size_t low = net.lowat > 0 ? (size_t)net.lowat : 1;

	return net.queue.size >= low || net.queue.size >= net.queue_room || net.end;
}

static pid_t process(void)
{
	return 1;
}

static void nothing(void)
{
}

static void quiet(enum taps_log_level level, const char *format, va_list args)
{
	(void)level;
	(void)format;
	(void)args;
}

static struct taps_host host = {
	.version = TAPS_API_VERSION,
	.size = sizeof(host),
#define TAPS_FIELD(ret, name, params) .name = name,
	TAPS_HOST_CALLS(TAPS_FIELD)
#undef TAPS_FIELD
	.process = process,
	.lock = nothing,
	.unlock = nothing,
	.enter = nothing,
	.leave = nothing,
	.log = quiet,
};

static int transport_connect(struct layer *layer, int64_t now, struct layer_wants *wants)
{
	(void)layer;
	(void)now;
	wants->fd = NET_FD;
	return 0;
}

static const struct layer_ops transport_ops = {
	.name = "wire",
	.traits = LAYER_TRANSPORT | LAYER_STREAM,
	.connect = transport_connect,
};

/* --- the two ends --- */

static const struct secure_module *module(void)
{
	static const struct secure_module *opened;

	if (!opened) {
		host.recv = fake_recv;
		host.send = fake_send;
		host.setsockopt = fake_setsockopt;
		host.shutdown = fake_shutdown;
		opened = taps_tls_open(&host);
	}
	return opened;
}

static struct secure_context *context(bool server)
{
	static struct security_certificate certificate;
	static struct security security = {
		.rule = "fuzz:1",
		.sni = true,
		.server_certificate = {.item = &certificate, .n = 1},
		.handshake_timeout = NS_PER_S,
	};
	static struct secure_context *made[2];
	char reason[SECURE_REASON_MAX];

	if (!made[server]) {
		certificate.certificate = world()->server_file;
		security.trust = world()->ca_file;
		made[server] = module()->context(&security, server, reason);
		expect(made[server] != NULL);
	}
	return made[server];
}

void net_deliver(size_t size)
{
	size_t room = net.queue_room > net.queue.size ? net.queue_room - net.queue.size : 0;

	if (net.cut)
		return;
	if (size == 0 || size > net.wire.size)
		size = net.wire.size;
	if (size > room)
		size = room;
	if (size == 0)
		return;
	fixture_wire_put(&net.queue, net.wire.data, size);
	fixture_wire_drop(&net.wire, size);
	net.delivered += size;
	net.edge |= net_readable();
}

/* tcp(7): who was told that the buffer is full hears when there is room again. */
static void say_room(void)
{
	if (!net.full || net.sent.size >= net.sent_room)
		return;
	net.full = false;
	net.edge = true;
}

static void drop_sent(size_t size)
{
	fixture_wire_drop(&net.sent, size);
	say_room();
}

void net_room(size_t send_buffer)
{
	net.sent_room = send_buffer;
	say_room();
}

void net_queue_room(size_t receive_buffer)
{
	net.queue_room = receive_buffer;
	net.edge |= net_readable();
}

/* Small rooms have been seen by then, and take long. */
void net_make_room(void)
{
	net.interrupts = 0;
	net_room(NET_ROOM);
	if (net.queue_room < NET_ROOM_LAST)
		net_queue_room(NET_ROOM_LAST);
}

static void peer_flush(void)
{
	size_t before = net.wire.size;

	fixture_flush(net.peer, &net.wire);
	net.sealed += net.wire.size - before;
}

static int peer_shake(void)
{
	size_t used = 0;
	int result = tls_session_handshake(net.peer, net.sent.data, net.sent.size, &used);

	drop_sent(used);
	peer_flush();
	return result;
}

/* The handshake, in pieces of at most `chunk` bytes; it must come about. */
static void shake(size_t chunk)
{
	struct layer_wants wants;
	int ours = -EAGAIN, theirs = TLS_WANT_INPUT;

	for (unsigned i = 0; i < 20000 && (ours != 0 || theirs != TLS_DONE); i++) {
		if (ours == -EAGAIN)
			ours = net.layer->ops->connect(net.layer, 1, &wants);
		expect(ours == 0 || ours == -EAGAIN);
		theirs = peer_shake();
		expect(theirs >= 0);
		net_deliver(chunk);
	}
	expect(ours == 0 && theirs == TLS_DONE);
}

void net_begin(bool server, size_t chunk)
{
	struct secure_peer who = {"server.example", "192.0.2.1", 443};
	char reason[SECURE_REASON_MAX];

	memset(&net, 0, sizeof(net));
	net.queue_room = net.sent_room = NET_ROOM;
	net.tampered = SIZE_MAX;
	net.transport.ops = &transport_ops;
	net.layer = module()->layer(context(server), &who, &net.transport, reason);
	expect(net.layer != NULL);
	net.peer = world_session(server ? TLS_CLIENT : TLS_SERVER);
	shake(chunk);
}

void net_finish(void)
{
	net.layer->ops->close(net.layer);
	tls_session_free(net.peer);
	free(net.queue.data);
	free(net.sent.data);
	free(net.wire.data);
}

/* --- what must hold --- */

/* Plaintext in the records that end within so many bytes. */
static size_t plain_in(size_t cipher)
{
	size_t plain = 0;

	for (unsigned i = 0; i < net.n_marks && net.mark[i].cipher <= cipher; i++)
		plain = net.mark[i].plain;
	return plain;
}

size_t net_available(void)
{
	return plain_in(net.delivered < net.tampered ? net.delivered : net.tampered);
}

size_t net_possible(void)
{
	return plain_in(net.delivered);
}

bool net_arrived(void)
{
	return net.wire.size == 0 && net.tampered == SIZE_MAX;
}

/* --- the peer --- */

void net_peer_seal(size_t size)
{
	static uint8_t out[TLS_RECORD_MAX * 2];

	while (size > 0 && net.n_marks < NET_MARKS_MAX && net.plain < NET_BYTES_MAX && !net.peer_closed &&
	       !net.peer_dead) {
		size_t piece = size < TLS_PLAIN_MAX ? size : TLS_PLAIN_MAX, cipher;
		uint8_t *data = net_patterned(net.plain, piece);
		struct iovec iov = {data, piece};
		ssize_t n = tls_session_seal(net.peer, &iov, 1, out, sizeof(out), &cipher);

		free(data);
		/* What the layer thinks of nonsense may have come, behind its bytes. */
		net.peer_dead |= n < 0 && net.tampered != SIZE_MAX;
		if (net.peer_dead)
			return;
		expect(n == (ssize_t)piece);
		fixture_wire_put(&net.wire, out, cipher);
		net.sealed += cipher;
		net.plain += piece;
		net.mark[net.n_marks++] = (struct net_mark){net.sealed, net.plain};
		size -= piece;
	}
}

void net_peer_take(size_t size)
{
	uint8_t *data, plain[4096];
	struct iovec iov = {plain, sizeof(plain)};
	struct tls_received got;
	int result;

	if (size == 0 || size > net.sent.size)
		size = net.sent.size;
	data = world_copy(net.sent.data, size);
	result = tls_session_recv(net.peer, data, size, &iov, 1, 0, &got);
	free(data);
	drop_sent(got.consumed);
	net_expect_pattern(plain, net.peer_received, got.bytes);
	net.peer_received += got.bytes;
	expect(result == 0 || net.tampered != SIZE_MAX);
	net.peer_dead |= result < 0;
	net.peer_heard_all |= got.closed;
	peer_flush();
}

void net_peer_rekey(bool both)
{
	if (net.peer_closed || net.peer_dead || net.rekeys++ >= REKEYS_MAX)
		return;
	expect(tls_session_rekey(net.peer, both) == 0 || net.tampered != SIZE_MAX);
	peer_flush();
}

void net_peer_close(void)
{
	if (net.peer_closed || net.peer_dead)
		return;
	if (tls_session_close(net.peer) < 0) {
		expect(net.tampered != SIZE_MAX);
		net.peer_dead = true;
		return;
	}
	net.peer_closed = true;
	peer_flush();
}

void net_tamper(size_t at, unsigned bit)
{
	if (net.wire.size == 0)
		return;
	at %= net.wire.size;
	net.wire.data[at] ^= (uint8_t)(1u << bit);
	at += net.delivered;
	if (at < net.tampered)
		net.tampered = at;
}

void net_cut(void)
{
	if (net.wire.size == 0)
		net.cut = net.end = net.edge = true;
}

