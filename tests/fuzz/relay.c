/* The relay's pump between a real socket pair, of which the application has the other end, and the TLS layer
 * over a kernel that the input drives.  It runs when epoll(7) would wake it, and at its deadlines, never
 * else.  The input is a script of what the application does, what the peer says, how it arrives, and what
 * ends too early.  Whatever it says:
 *
 *	bytes arrive unchanged and in order, both ways, without a wake-up that is lost;
 *	the application sees the end of the stream only if the peer said goodbye, the peer a goodbye only if
 *	the application ended its direction;
 *	whatever else ends a relay, kill -9 included, is a reset for the application;
 *	a relay of whom nobody wants anything any more is over. */
#include "tests/fuzz/network.h"

#include "core/host.h"
#include "core/pump.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define RUNS_MAX 100000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct {
	struct pump pump;
	int set, pair, app; /* the relay's epoll set, its end of the pair; the application's */
	bool relay_gone;    /* the relay has ended */
	bool killed;

	size_t sent, received; /* the application's bytes */
	bool ended, deaf;      /* it shut down sending, receiving */
	bool heard_all, reset; /* it saw */
} it;

static int64_t the_time;

/* The linker puts it in the place of now_ns() (tests/fuzz/run). */
int64_t __wrap_now_ns(void);
int64_t __wrap_now_ns(void)
{
	return the_time;
}

/* --- the relay's process (core/relay.c) --- */

static void end_relay(void)
{
	close(it.set);
	close(it.pair);
	it.relay_gone = true;
	net.shut = true;
}

static void hear(void)
{
	struct epoll_event event;

	while (epoll_wait(it.set, &event, 1, 0) > 0) {
		pump_hear(&it.pump, event.events);
		net.edge = true;
	}
}

static void run_relay(void)
{
	for (unsigned i = 0; !it.relay_gone; i++) {
		hear();
		if (!net.edge && the_time < pump_deadline(&it.pump))
			return;
		net.edge = false;
		expect(i < RUNS_MAX);
		pump_run(&it.pump, the_time);
		if (pump_is_over(&it.pump, the_time)) {
			pump_end(&it.pump);
			end_relay();
		}
	}
}

static void kill_relay(void)
{
	if (it.relay_gone)
		return;
	it.killed = true;
	end_relay();
}

static void begin_relay(void)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET};
	int ends[2], small = 4608;

	expect(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
	it.app = ends[0];
	it.pair = ends[1];
	setsockopt(it.app, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	setsockopt(it.pair, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	expect(send(it.app, "", 1, 0) == 1);
	it.set = epoll_create1(0);
	expect(it.set >= 0 && epoll_ctl(it.set, EPOLL_CTL_ADD, it.pair, &event) == 0);
	expect(pump_init(&it.pump, net.layer, NET_FD, it.pair) == 0);
	net.edge = true;
	run_relay();
}

/* --- the application --- */

static bool has_app(void)
{
	return it.app >= 0;
}

static void app_sends(size_t size)
{
	uint8_t *data;
	ssize_t n;

	if (!has_app() || it.ended || it.sent + size > NET_BYTES_MAX)
		return;
	data = net_patterned(it.sent, size);
	n = send(it.app, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
	free(data);
	expect(n >= 0 || errno == EAGAIN || it.relay_gone);
	if (n > 0 && !it.relay_gone)
		it.sent += (size_t)n;
}

/* The network took nothing for longer than the relay waits. */
static bool is_impatient(void)
{
	return it.relay_gone && !it.killed && it.pump.gone && !it.pump.finished;
}

/* Is there a reason for a reset? */
static bool is_lost(void)
{
	return it.killed || is_impatient() || net.tampered != SIZE_MAX ||
	       (net.cut && !(net.peer_closed && net_arrived()));
}

static ssize_t app_receives(size_t size)
{
	static uint8_t data[65536];
	ssize_t n;

	if (!has_app() || it.deaf)
		return -1;
	n = recv(it.app, data, size, MSG_DONTWAIT);
	if (n > 0) {
		expect(!it.heard_all && !it.reset && it.received + (size_t)n <= net_possible());
		net_expect_pattern(data, it.received, (size_t)n);
		it.received += (size_t)n;
	} else if (n == 0 && !it.reset) {
		expect(net.peer_closed && it.received == net.plain);
		it.heard_all = true;
	} else if (n < 0 && errno != EAGAIN) {
		expect(errno == ECONNRESET && is_lost());
		it.reset = true;
	}
	return n;
}

static void app_shuts(int how)
{
	if (!has_app())
		return;
	shutdown(it.app, how);
	it.ended |= how != SHUT_RD;
	it.deaf |= how != SHUT_WR;
}

static void app_closes(void)
{
	if (!has_app())
		return;
	close(it.app);
	it.app = -1;
	it.ended = it.deaf = true;
}

/* --- the script --- */

static void pass_time(size_t ms)
{
	the_time += (int64_t)ms * NS_PER_MS;
	net.edge |= the_time >= pump_deadline(&it.pump);
}

static void step(unsigned op, size_t n)
{
	static const int hows[] = {SHUT_WR, SHUT_RD, SHUT_RDWR, SHUT_WR};

	switch (op & 15) {
	case 0: net_peer_seal(n); break;
	case 1: net_deliver(n); break;
	case 2: app_receives(n ? n : 65536); break;
	case 3: app_sends(n); break;
	case 4: net_peer_take(n); break;
	case 5: net_room(n); break;
	case 6: net_peer_rekey(n & 1); break;
	case 7: net_peer_close(); break;
	case 8: net_cut(); break;
	case 9: net_tamper(n, op >> 4 & 7); break;
	case 10: app_shuts(hows[n & 3]); break;
	case 11: app_closes(); break;
	case 12: net_queue_room(n + 16); break;
	case 13: net.interrupts = n & 3; break;
	case 14: pass_time(n); break;
	case 15: kill_relay(); break;
	}
	run_relay();
	expect(!net.peer_heard_all || it.ended);
	expect(net.peer_received <= it.sent);
}

static size_t progress(void)
{
	return it.received + net.peer_received + 2 * net.delivered - net.queue.size + it.heard_all +
	       it.reset + net.peer_heard_all + it.relay_gone;
}

/* Whatever is on the way arrives, and whoever still listens hears it. */
static void settle(void)
{
	size_t before, left;

	net_make_room();
	do {
		before = progress();
		left = net.sent.size;
		net_deliver(0);
		run_relay();
		while (app_receives(65536) > 0)
			run_relay();
		net_peer_take(0);
		run_relay();
	} while (progress() != before || net.sent.size != left);
}

/* What must have come of it where nothing was lost and no patience ended. */
static void check_whole(void)
{
	expect(it.deaf || it.received == net.plain);
	expect(it.deaf || it.heard_all == net.peer_closed);
	expect(net.peer_received == it.sent);
	expect(net.peer_heard_all == it.ended);
	if (it.ended && net.peer_closed)
		expect(it.relay_gone);
}

static void check_end(bool impatient)
{
	if (it.relay_gone && is_lost() && !it.deaf)
		expect(it.reset || it.heard_all);
	if (it.killed && !it.deaf)
		expect(it.reset);
	if (!is_lost() && !impatient)
		check_whole();
	if (has_app())
		return;
	the_time = pump_deadline(&it.pump);
	run_relay();
	expect(it.relay_gone);
}

static void begin(const uint8_t *data)
{
	memset(&it, 0, sizeof(it));
	the_time = NS_PER_S;
	net_begin(data[0] & 1, data[1] ? (size_t)data[1] * 8 : 0);
	begin_relay();
}

static void finish(void)
{
	app_closes();
	if (!it.relay_gone)
		end_relay();
	pump_fini(&it.pump);
	net_finish();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool impatient;

	if (size < 2 || size > 600)
		return 0;
	begin(data);
	for (size_t i = 2; i + 3 <= size; i += 3)
		step(data[i], (size_t)data[i + 1] << 8 | data[i + 2]);
	impatient = it.relay_gone && !it.killed;
	settle();
	check_end(impatient);
	finish();
	return 0;
}
