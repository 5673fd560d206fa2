/* Datagrams as the kernel offers them (udp(7)).  connect(2) sends nothing: it only names the peer, at once
 * and on the application's own file, so there is nothing to race, to wait for or to replace. */
#include <errno.h>

#include "core/host.h"
#include "core/layer.h"

struct udp {
	struct layer layer;
	int fd;
	struct taps_addr remote;
};

extern const struct layer_ops udp_ops;

static int udp_connect(struct layer *layer, int64_t now, struct layer_wants *wants)
{
	const struct udp *udp = (const struct udp *)layer;

	(void)now;
	*wants = (struct layer_wants){.fd = -1, .deadline = INT64_MAX};
	return taps_host->connect(udp->fd, &udp->remote.sa, addr_len(&udp->remote)) == 0 ? 0 : -errno;
}

static void udp_close(struct layer *layer)
{
	taps_host->free(layer);
}

const struct layer_ops udp_ops = {
	.name = "udp",
	.traits = LAYER_TRANSPORT | LAYER_DATAGRAM,
	.connect = udp_connect,
	.close = udp_close,
};

struct layer *udp_layer(int fd, const struct taps_addr *remote)
{
	struct udp *udp = taps_host->calloc(1, sizeof(*udp));

	if (!udp)
		return NULL;
	*udp = (struct udp){.layer = {.ops = &udp_ops}, .fd = fd, .remote = *remote};
	return &udp->layer;
}
