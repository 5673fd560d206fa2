/* The TLS layer over a kernel that the input drives.  One end is the layer, behind a host with a receive
 * queue, SO_RCVLOWAT and a send buffer of given sizes; the other a bare session.  The input is a script:
 * what the peer seals, in which pieces it arrives, what the application reads, and what an enemy changes on
 * the way.  Whatever it says:
 *
 *	bytes arrive unchanged, in order, or not at all;
 *	while plaintext, an end or an error is to be had, the kernel says readable;
 *	once readable() says no, so does the kernel, after at most one look more;
 *	an error stays an error, and never comes without a cause. */
#include "tests/fuzz/network.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct {
	size_t received, taken;
	bool finished;
	int failed;
} it;

/* --- what must hold --- */

static void check(void)
{
	if (net_available() > it.received || it.failed)
		expect(net_readable());
	if (net.peer_closed && net_arrived())
		expect(net_readable());
}

/* A reason for an error: the enemy, or the end of the connection without the end of the stream. */
static void check_failure(int error)
{
	bool cut = net.cut && !(net.peer_closed && net_arrived());

	expect(net.tampered != SIZE_MAX ? error == -EPROTO || error == -ECONNRESET
				       : cut && error == -ECONNRESET);
	if (net.tampered == SIZE_MAX)
		expect(it.received == net_available());
	it.failed = error;
}

static void receive(size_t size, bool peek)
{
	uint8_t *first = malloc(size / 3 + 1), *second = malloc(size - size / 3 + 1);
	struct iovec iov[2] = {{first, size / 3}, {second, size - size / 3}};
	ssize_t n = net.layer->ops->recv(net.layer, NET_FD, iov, 2, peek);

	if (n > 0) {
		size_t head = (size_t)n < size / 3 ? (size_t)n : size / 3;

		expect(!it.failed && (size_t)n <= size && it.received + (size_t)n <= net_possible());
		net_expect_pattern(first, it.received, head);
		net_expect_pattern(second, it.received + head, (size_t)n - head);
		it.received += peek ? 0 : (size_t)n;
	} else if (n == 0) {
		expect(net.peer_closed && it.received == net.plain && !it.failed);
	} else if (n == -EAGAIN) {
		expect(!it.failed && it.received >= net_available());
	} else {
		check_failure((int)n);
	}
	free(first);
	free(second);
}

/* What poll(2) does: it asks again while the kernel says readable and the layer says no. */
static bool look(void)
{
	for (int i = 0; i < 4 && net_readable(); i++)
		if (net.layer->ops->readable(net.layer, NET_FD))
			return true;
	expect(!net_readable());
	return false;
}

static void read_if_readable(size_t size)
{
	size_t before = it.received;

	if (!look())
		return;
	receive(size, false);
	/* Readable was the truth: bytes, the end or an error. */
	expect(it.received > before || it.failed || net.peer_closed);
}

static void send_bytes(size_t size)
{
	uint8_t *data;
	struct iovec iov;
	ssize_t n;

	if (it.taken + size > NET_BYTES_MAX || size == 0)
		return;
	data = net_patterned(it.taken, size);
	iov = (struct iovec){data, size};
	n = net.layer->ops->send(net.layer, NET_FD, &iov, 1);
	free(data);
	if (n > 0)
		it.taken += (size_t)n;
	expect(n > 0 ? (size_t)n <= size
		     : n == -EAGAIN || it.finished || it.failed || net.tampered != SIZE_MAX);
}

/* --- the script --- */

static void step(unsigned op, size_t n)
{
	switch (op & 15) {
	case 0: net_peer_seal(n); break;
	case 1: net_deliver(n); break;
	case 2: receive(n ? n : 65536, false); break;
	case 3: receive(n ? n : 65536, true); break;
	case 4: read_if_readable(n ? n : 65536); break;
	case 5: send_bytes(n); break;
	case 6: net_peer_take(n); break;
	case 7: net_room(n); break;
	case 8: net_peer_rekey(n & 1); break;
	case 9: net_peer_close(); break;
	case 10: net_cut(); break;
	case 11: net_tamper(n, op >> 4 & 7); break;
	case 12:
		net.layer->ops->finish(net.layer, NET_FD);
		it.finished = true;
		break;
	case 13: net.layer->ops->flush(net.layer, NET_FD); break;
	case 14: net_queue_room(n + 16); break;
	case 15: net.interrupts = n & 3; break;
	}
	check();
}

/* Grows with each byte that goes any step further. */
static size_t progress(void)
{
	return it.received + net.peer_received + 2 * net.delivered - net.queue.size;
}

/* Whatever is on the way arrives, and whatever arrives is read. */
static void settle(void)
{
	net_make_room();
	for (unsigned i = 0; i < 100000 && !it.failed; i++) {
		size_t before = progress();

		net.layer->ops->flush(net.layer, NET_FD);
		net_deliver(0);
		check();
		if (net_readable())
			read_if_readable(40000);
		net_peer_take(0);
		if (progress() == before && net.sent.size == 0)
			break;
	}
	if (net.tampered != SIZE_MAX)
		return;
	expect(it.received == net.plain || it.failed == -ECONNRESET);
	expect(it.failed || net.peer_received == it.taken);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2 || size > 600)
		return 0;
	memset(&it, 0, sizeof(it));
	net_begin(data[0] & 1, data[1] ? (size_t)data[1] * 8 : 0);
	for (size_t i = 2; i + 3 <= size; i += 3)
		step(data[i], (size_t)data[i + 1] << 8 | data[i + 2]);
	settle();
	net_finish();
	return 0;
}
