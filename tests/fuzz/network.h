/* A connection for the TLS layer over a kernel that the input drives.  One end is the layer, behind a host
 * with a receive queue, SO_RCVLOWAT and a send buffer of given sizes; the other a bare session.  What both
 * say is net_patterned() from the beginning on. */
#ifndef TAPS_TESTS_FUZZ_NETWORK_H
#define TAPS_TESTS_FUZZ_NETWORK_H

#include "core/layer.h"
#include "tests/fuzz/world.h"

#define NET_FD 777               /* the layer's socket; every other number is the kernel's own */
#define NET_BYTES_MAX (1u << 20) /* each way */
#define NET_MARKS_MAX 512
#define NET_ROOM (1u << 22) /* more than is ever under way */
#define NET_ROOM_LAST 1024

/* The end of a record, in bytes of both kinds since the handshake. */
struct net_mark {
	size_t cipher, plain;
};

struct network {
	/* The kernel under the layer. */
	struct fixture_wire queue, sent;
	size_t queue_room, sent_room;
	int lowat;
	bool end, cut; /* cut: by the network, without a goodbye */
	bool shut;     /* the layer's side sends no more */
	bool full;     /* it was told so, and wants to hear of room */
	bool edge;     /* epoll(7) would report the socket again */
	unsigned interrupts;

	struct layer *layer;
	struct layer transport;

	/* The peer, and what is on the way from it. */
	struct tls_session *peer;
	struct fixture_wire wire;
	bool peer_closed, peer_dead;
	bool peer_heard_all; /* the layer's goodbye came */
	unsigned rekeys;

	/* What should come of it. */
	struct net_mark mark[NET_MARKS_MAX];
	unsigned n_marks;
	size_t sealed, plain, delivered;
	size_t tampered; /* where, of the sealed bytes; SIZE_MAX: nowhere */
	size_t peer_received;
};
extern struct network net;

#define expect(holds) ((holds) ? (void)0 : net_broken(#holds, __func__, __LINE__))
_Noreturn void net_broken(const char *what, const char *where, int line);

uint8_t *net_patterned(size_t from, size_t size); /* freed by the caller */
void net_expect_pattern(const uint8_t *data, size_t from, size_t size);

/* A connection after its handshake, which passed in pieces of at most `chunk` bytes (0: any). */
void net_begin(bool server, size_t chunk);
void net_finish(void);

/* tcp(7): would poll(2) say so of the layer's socket? */
bool net_readable(void);
/* Plaintext that the layer's user must be able to have by now, and can have at most: not every bit of a
 * header is authenticated (RFC 8446 §5.2). */
size_t net_available(void);
size_t net_possible(void);
/* Has all that the peer sent arrived, as it sent it? */
bool net_arrived(void);

/* What happens on the way.  0 bytes: all there are. */
void net_deliver(size_t size);
void net_tamper(size_t at, unsigned bit);
void net_cut(void);
void net_room(size_t send_buffer);
void net_queue_room(size_t receive_buffer);
/* From here on nothing is in the way. */
void net_make_room(void);

/* What the peer does. */
void net_peer_seal(size_t size);
void net_peer_take(size_t size);
void net_peer_rekey(bool both);
void net_peer_close(void);

#endif
