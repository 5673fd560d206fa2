/* The TLS layer over a kernel that the input drives.  One end is the layer, behind a host with a receive
 * queue, SO_RCVLOWAT and a send buffer of given sizes; the other a bare session.  The input is a script:
 * what the peer seals, in which pieces it arrives, what the application reads, and what an enemy changes on
 * the way.  Whatever it says:
 *
 *	bytes arrive unchanged, in order, or not at all;
 *	while plaintext, an end or an error is to be had, the kernel says readable;
 *	once readable() says no, so does the kernel, after at most one look more;
 *	an error stays an error, and never comes without a cause. */
#include "core/host.h"
#include "core/layer.h"
#include "core/secure.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tests/fuzz/world.h"

#define FD 77
#define MARKS_MAX 512
#define BYTES_MAX (1u << 20) /* each way */
#define REKEYS_MAX 4         /* GnuTLS takes eight a second */
#define ROOM (1u << 22)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The end of a record, in bytes of both kinds since the handshake. */
struct mark {
	size_t cipher, plain;
};

static struct {
	/* The kernel under the layer. */
	struct fixture_wire queue, sent;
	size_t queue_room, sent_room;
	int lowat;
	bool end, cut; /* cut: by the network, without a goodbye */
	unsigned interrupts;

	struct layer *layer;
	struct layer transport;

	/* The peer, and what is on the way from it. */
	struct tls_session *peer;
	struct fixture_wire wire;
	bool peer_closed, peer_dead;
	unsigned rekeys;

	/* What should come of it. */
	struct mark mark[MARKS_MAX];
	unsigned n_marks;
	size_t sealed, plain, delivered;
	size_t tampered; /* where, of the sealed bytes; SIZE_MAX: nowhere */
	size_t received, taken, peer_received;
	bool finished;
	int failed;
} it;

#define expect(holds) ((holds) ? (void)0 : broken(#holds, __func__, __LINE__))

static void broken(const char *what, const char *where, int line)
{
	fprintf(stderr, "%s, line %d: not so: %s\n", where, line, what);
	abort();
}

/* --- the kernel --- */

static ssize_t refuse(int error)
{
	errno = error;
	return -1;
}

static bool interrupted(void)
{
	if (!it.interrupts)
		return false;
	it.interrupts--;
	return true;
}

static ssize_t fake_recv(int fd, void *buf, size_t size, int flags)
{
	size_t n = size < it.queue.size ? size : it.queue.size;

	expect(fd == FD && (flags & MSG_DONTWAIT));
	if (interrupted())
		return refuse(EINTR);
	if (n == 0)
		return it.end || size == 0 ? 0 : refuse(EAGAIN);
	if (!(flags & MSG_TRUNC))
		memcpy(buf, it.queue.data, n);
	if (!(flags & MSG_PEEK))
		fixture_wire_drop(&it.queue, n);
	return (ssize_t)n;
}

static ssize_t fake_send(int fd, const void *buf, size_t size, int flags)
{
	size_t room = it.sent_room > it.sent.size ? it.sent_room - it.sent.size : 0;

	expect(fd == FD && (flags & MSG_DONTWAIT) && (flags & MSG_NOSIGNAL));
	if (interrupted())
		return refuse(EINTR);
	if (room == 0)
		return refuse(EAGAIN);
	if (size > room)
		size = room;
	fixture_wire_put(&it.sent, buf, size);
	return (ssize_t)size;
}

static int fake_setsockopt(int fd, int level, int option, const void *value, socklen_t len)
{
	expect(fd == FD);
	if (level == SOL_SOCKET && option == SO_RCVLOWAT) {
		expect(len == sizeof(int));
		memcpy(&it.lowat, value, sizeof(it.lowat));
	}
	return 0;
}

/* The layer ends its receiving direction when the peer has said goodbye, or nonsense. */
static int fake_shutdown(int fd, int how)
{
	expect(fd == FD && how == SHUT_RD && (it.peer_closed || it.tampered != SIZE_MAX));
	it.end = true;
	return 0;
}

/* tcp(7): enough, or no room for more, or the end. */
static bool kernel_readable(void)
{
	size_t low = it.lowat > 0 ? (size_t)it.lowat : 1;

	return it.queue.size >= low || it.queue.size >= it.queue_room || it.end;
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
	wants->fd = FD;
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

static uint8_t pattern(size_t i)
{
	return (uint8_t)(i * 7 + i / 251);
}

static uint8_t *patterned(size_t from, size_t size)
{
	uint8_t *data = malloc(size ? size : 1);

	expect(data != NULL);
	for (size_t i = 0; i < size; i++)
		data[i] = pattern(from + i);
	return data;
}

static void expect_pattern(const uint8_t *data, size_t from, size_t size)
{
	for (size_t i = 0; i < size; i++)
		expect(data[i] == pattern(from + i));
}

static void deliver(size_t size)
{
	size_t room = it.queue_room > it.queue.size ? it.queue_room - it.queue.size : 0;

	if (it.cut)
		return;
	if (size == 0 || size > it.wire.size)
		size = it.wire.size;
	if (size > room)
		size = room;
	fixture_wire_put(&it.queue, it.wire.data, size);
	fixture_wire_drop(&it.wire, size);
	it.delivered += size;
}

static void peer_flush(void)
{
	size_t before = it.wire.size;

	fixture_flush(it.peer, &it.wire);
	it.sealed += it.wire.size - before;
}

static int peer_shake(void)
{
	size_t used = 0;
	int result = tls_session_handshake(it.peer, it.sent.data, it.sent.size, &used);

	fixture_wire_drop(&it.sent, used);
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
			ours = it.layer->ops->connect(it.layer, 1, &wants);
		expect(ours == 0 || ours == -EAGAIN);
		theirs = peer_shake();
		expect(theirs >= 0);
		deliver(chunk);
	}
	expect(ours == 0 && theirs == TLS_DONE);
}

static void begin(bool server, size_t chunk)
{
	struct secure_peer who = {"server.example", "192.0.2.1", 443};
	char reason[SECURE_REASON_MAX];

	memset(&it, 0, sizeof(it));
	it.queue_room = it.sent_room = ROOM;
	it.tampered = SIZE_MAX;
	it.transport.ops = &transport_ops;
	it.layer = module()->layer(context(server), &who, &it.transport, reason);
	expect(it.layer != NULL);
	it.peer = world_session(server ? TLS_CLIENT : TLS_SERVER);
	shake(chunk);
}

static void finish(void)
{
	it.layer->ops->close(it.layer);
	tls_session_free(it.peer);
	free(it.queue.data);
	free(it.sent.data);
	free(it.wire.data);
}

/* --- what must hold --- */

/* Plaintext in the records that end within so many bytes. */
static size_t plain_in(size_t cipher)
{
	size_t plain = 0;

	for (unsigned i = 0; i < it.n_marks && it.mark[i].cipher <= cipher; i++)
		plain = it.mark[i].plain;
	return plain;
}

/* What the application must be able to have by now, and what it can have at most: not every bit of a header
 * is authenticated (RFC 8446 §5.2). */
static size_t available(void)
{
	return plain_in(it.delivered < it.tampered ? it.delivered : it.tampered);
}

static size_t possible(void)
{
	return plain_in(it.delivered);
}

static bool arrived(void)
{
	return it.wire.size == 0 && it.tampered == SIZE_MAX;
}

static void check(void)
{
	if (available() > it.received || it.failed)
		expect(kernel_readable());
	if (it.peer_closed && arrived())
		expect(kernel_readable());
}

/* A reason for an error: the enemy, or the end of the connection without the end of the stream. */
static void check_failure(int error)
{
	bool cut = it.cut && !(it.peer_closed && arrived());

	expect(it.tampered != SIZE_MAX ? error == -EPROTO || error == -ECONNRESET
				       : cut && error == -ECONNRESET);
	if (it.tampered == SIZE_MAX)
		expect(it.received == available());
	it.failed = error;
}

static void receive(size_t size, bool peek)
{
	uint8_t *first = malloc(size / 3 + 1), *second = malloc(size - size / 3 + 1);
	struct iovec iov[2] = {{first, size / 3}, {second, size - size / 3}};
	ssize_t n = it.layer->ops->recv(it.layer, FD, iov, 2, peek);

	if (n > 0) {
		size_t head = (size_t)n < size / 3 ? (size_t)n : size / 3;

		expect(!it.failed && (size_t)n <= size && it.received + (size_t)n <= possible());
		expect_pattern(first, it.received, head);
		expect_pattern(second, it.received + head, (size_t)n - head);
		it.received += peek ? 0 : (size_t)n;
	} else if (n == 0) {
		expect(it.peer_closed && it.received == it.plain && !it.failed);
	} else if (n == -EAGAIN) {
		expect(!it.failed && it.received >= available());
	} else {
		check_failure((int)n);
	}
	free(first);
	free(second);
}

/* What poll(2) does: it asks again while the kernel says readable and the layer says no. */
static bool look(void)
{
	for (int i = 0; i < 4 && kernel_readable(); i++)
		if (it.layer->ops->readable(it.layer, FD))
			return true;
	expect(!kernel_readable());
	return false;
}

static void read_if_readable(size_t size)
{
	size_t before = it.received;

	if (!look())
		return;
	receive(size, false);
	/* Readable was the truth: bytes, the end or an error. */
	expect(it.received > before || it.failed || it.peer_closed);
}

static void send_bytes(size_t size)
{
	uint8_t *data;
	struct iovec iov;
	ssize_t n;

	if (it.taken + size > BYTES_MAX || size == 0)
		return;
	data = patterned(it.taken, size);
	iov = (struct iovec){data, size};
	n = it.layer->ops->send(it.layer, FD, &iov, 1);
	free(data);
	if (n > 0)
		it.taken += (size_t)n;
	expect(n > 0 ? (size_t)n <= size
		     : n == -EAGAIN || it.finished || it.failed || it.tampered != SIZE_MAX);
}

/* --- the peer --- */

static void peer_seal(size_t size)
{
	static uint8_t out[TLS_RECORD_MAX * 2];

	while (size > 0 && it.n_marks < MARKS_MAX && it.plain < BYTES_MAX && !it.peer_closed &&
	       !it.peer_dead) {
		size_t piece = size < TLS_PLAIN_MAX ? size : TLS_PLAIN_MAX, cipher;
		uint8_t *data = patterned(it.plain, piece);
		struct iovec iov = {data, piece};
		ssize_t n = tls_session_seal(it.peer, &iov, 1, out, sizeof(out), &cipher);

		free(data);
		expect(n == (ssize_t)piece);
		fixture_wire_put(&it.wire, out, cipher);
		it.sealed += cipher;
		it.plain += piece;
		it.mark[it.n_marks++] = (struct mark){it.sealed, it.plain};
		size -= piece;
	}
}

static void peer_take(size_t size)
{
	uint8_t *data, plain[4096];
	struct iovec iov = {plain, sizeof(plain)};
	struct tls_received got;
	int result;

	if (size == 0 || size > it.sent.size)
		size = it.sent.size;
	data = world_copy(it.sent.data, size);
	result = tls_session_recv(it.peer, data, size, &iov, 1, 0, &got);
	free(data);
	fixture_wire_drop(&it.sent, got.consumed);
	expect_pattern(plain, it.peer_received, got.bytes);
	it.peer_received += got.bytes;
	expect(result == 0 || it.tampered != SIZE_MAX);
	it.peer_dead |= result < 0;
	peer_flush();
}

static void peer_rekey(bool both)
{
	if (it.peer_closed || it.peer_dead || it.rekeys++ >= REKEYS_MAX)
		return;
	expect(tls_session_rekey(it.peer, both) == 0);
	peer_flush();
}

static void peer_close(void)
{
	if (it.peer_closed || it.peer_dead)
		return;
	expect(tls_session_close(it.peer) == 0);
	it.peer_closed = true;
	peer_flush();
}

static void tamper(size_t at, unsigned bit)
{
	if (it.wire.size == 0)
		return;
	at %= it.wire.size;
	it.wire.data[at] ^= (uint8_t)(1u << bit);
	at += it.delivered;
	if (at < it.tampered)
		it.tampered = at;
}

static void cut(void)
{
	if (it.wire.size == 0)
		it.cut = it.end = true;
}

/* --- the script --- */

static void step(unsigned op, size_t n)
{
	switch (op & 15) {
	case 0: peer_seal(n); break;
	case 1: deliver(n); break;
	case 2: receive(n ? n : 65536, false); break;
	case 3: receive(n ? n : 65536, true); break;
	case 4: read_if_readable(n ? n : 65536); break;
	case 5: send_bytes(n); break;
	case 6: peer_take(n); break;
	case 7: it.sent_room = n; break;
	case 8: peer_rekey(n & 1); break;
	case 9: peer_close(); break;
	case 10: cut(); break;
	case 11: tamper(n, op >> 4 & 7); break;
	case 12:
		it.layer->ops->finish(it.layer, FD);
		it.finished = true;
		break;
	case 13: it.layer->ops->flush(it.layer, FD); break;
	case 14: it.queue_room = n + 16; break;
	case 15: it.interrupts = n & 3; break;
	}
	check();
}

/* Grows with each byte that goes any step further. */
static size_t progress(void)
{
	return it.received + it.peer_received + 2 * it.delivered - it.queue.size;
}

/* Whatever is on the way arrives, and whatever arrives is read. */
static void settle(void)
{
	it.sent_room = ROOM;
	it.interrupts = 0;
	for (unsigned i = 0; i < 100000 && !it.failed; i++) {
		size_t before = progress();

		it.layer->ops->flush(it.layer, FD);
		deliver(0);
		check();
		if (kernel_readable())
			read_if_readable(40000);
		peer_take(0);
		if (progress() == before && it.sent.size == 0)
			break;
	}
	if (it.tampered != SIZE_MAX)
		return;
	expect(it.received == it.plain || it.failed == -ECONNRESET);
	expect(it.failed || it.peer_received == it.taken);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2 || size > 600)
		return 0;
	begin(data[0] & 1, data[1] ? (size_t)data[1] * 8 : 0);
	for (size_t i = 2; i + 3 <= size; i += 3)
		step(data[i], (size_t)data[i + 1] << 8 | data[i + 2]);
	settle();
	finish();
	return 0;
}
