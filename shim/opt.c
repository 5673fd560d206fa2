/* Socket options, names and shutdown.
 *
 * While a race goes on behind a placeholder, options are read from and set on the application's
 * original file; the winner is given those that the application set.  Which options can be
 * carried over stands in one table: setting any other one pins the socket to the kernel's own
 * connect. */
#include "shim/opt.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>

#include "shim/fdtab.h"
#include "shim/life.h"
#include "shim/load.h"
#include "shim/real.h"

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

enum carry { CARRY, CARRY_HALF, CARRY_NOT };
/* HALF: the kernel doubles what is set (socket(7), SO_RCVBUF).  NOT: of no effect once connected. */

static const struct carried {
	int level;
	int name;
	enum carry how;
} carried[] = {
	{SOL_SOCKET, SO_KEEPALIVE, CARRY},
	{SOL_SOCKET, SO_REUSEADDR, CARRY},
	{SOL_SOCKET, SO_REUSEPORT, CARRY},
	{SOL_SOCKET, SO_LINGER, CARRY},
	{SOL_SOCKET, SO_OOBINLINE, CARRY},
	{SOL_SOCKET, SO_RCVBUF, CARRY_HALF},
	{SOL_SOCKET, SO_SNDBUF, CARRY_HALF},
	{SOL_SOCKET, SO_RCVTIMEO, CARRY},
	{SOL_SOCKET, SO_SNDTIMEO, CARRY},
	{SOL_SOCKET, SO_RCVLOWAT, CARRY},
	{SOL_SOCKET, SO_PRIORITY, CARRY},
	{SOL_SOCKET, SO_MARK, CARRY},
	{SOL_SOCKET, SO_BUSY_POLL, CARRY},
	{SOL_SOCKET, SO_TIMESTAMP, CARRY},
	{SOL_SOCKET, SO_INCOMING_CPU, CARRY},
	{SOL_SOCKET, SO_MAX_PACING_RATE, CARRY},
	{SOL_SOCKET, SO_DONTROUTE, CARRY},
	{SOL_SOCKET, SO_BROADCAST, CARRY},
	{IPPROTO_TCP, TCP_NODELAY, CARRY},
	{IPPROTO_TCP, TCP_CORK, CARRY},
	{IPPROTO_TCP, TCP_KEEPIDLE, CARRY},
	{IPPROTO_TCP, TCP_KEEPINTVL, CARRY},
	{IPPROTO_TCP, TCP_KEEPCNT, CARRY},
	{IPPROTO_TCP, TCP_SYNCNT, CARRY},
	{IPPROTO_TCP, TCP_USER_TIMEOUT, CARRY},
	{IPPROTO_TCP, TCP_QUICKACK, CARRY},
	{IPPROTO_TCP, TCP_MAXSEG, CARRY},
	{IPPROTO_TCP, TCP_WINDOW_CLAMP, CARRY},
	{IPPROTO_TCP, TCP_CONGESTION, CARRY},
	{IPPROTO_TCP, TCP_NOTSENT_LOWAT, CARRY},
	{IPPROTO_TCP, TCP_LINGER2, CARRY},
	{IPPROTO_TCP, TCP_DEFER_ACCEPT, CARRY},
	{IPPROTO_TCP, TCP_FASTOPEN_CONNECT, CARRY_NOT},
	{IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS, CARRY},
	{IPPROTO_IP, IP_TOS, CARRY},
	{IPPROTO_IP, IP_TTL, CARRY},
	{IPPROTO_IP, IP_MTU_DISCOVER, CARRY},
	{IPPROTO_IP, IP_RECVERR, CARRY},
	{IPPROTO_IP, IP_RECVTOS, CARRY},
	{IPPROTO_IP, IP_RECVTTL, CARRY},
	{IPPROTO_IP, IP_PKTINFO, CARRY},
	{IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, CARRY},
	{IPPROTO_IPV6, IPV6_V6ONLY, CARRY},
	{IPPROTO_IPV6, IPV6_TCLASS, CARRY},
	{IPPROTO_IPV6, IPV6_UNICAST_HOPS, CARRY},
	{IPPROTO_IPV6, IPV6_MTU_DISCOVER, CARRY},
	{IPPROTO_IPV6, IPV6_RECVERR, CARRY},
	{IPPROTO_IPV6, IPV6_AUTOFLOWLABEL, CARRY},
	{IPPROTO_IPV6, IPV6_RECVTCLASS, CARRY},
	{IPPROTO_IPV6, IPV6_RECVHOPLIMIT, CARRY},
	{IPPROTO_IPV6, IPV6_RECVPKTINFO, CARRY},
};
#define N_CARRIED (sizeof(carried) / sizeof(carried[0]))
_Static_assert(N_CARRIED <= 64, "one bit for each row");

static int row_of(int level, int name)
{
	unsigned i;

	for (i = 0; i < N_CARRIED; i++)
		if (carried[i].level == level && carried[i].name == name)
			return (int)i;
	return -1;
}

void opt_carry(uint64_t which, int from, int to)
{
	int saved = errno;
	unsigned i;

	for (i = 0; i < N_CARRIED; i++) {
		char value[64] = {0}, there[64] = {0};
		socklen_t len = sizeof(value), there_len = sizeof(there);

		if (!(which & (UINT64_C(1) << i)) || carried[i].how == CARRY_NOT)
			continue;
		if (real.getsockopt(from, carried[i].level, carried[i].name, value, &len) != 0 ||
		    real.getsockopt(to, carried[i].level, carried[i].name, there, &there_len) != 0 ||
		    __builtin_memcmp(value, there, sizeof(value)) == 0)
			continue;
		if (carried[i].how == CARRY_HALF)
			*(int *)(void *)value /= 2;
		real.setsockopt(to, carried[i].level, carried[i].name, value, len);
	}
	errno = saved;
}

/* Runs the call on the file that stands for the application's socket now: its own number, or the
 * original file while a placeholder is in its place. */
#define ON_ORIGINAL(result, slot, fd, call) \
	do { \
		fdtab_lock(); \
		int at = (slot)->pub.own_fd >= 0 ? (slot)->pub.own_fd : (fd); \
		result = (call); \
		fdtab_unlock(); \
	} while (0)

/* Options that mean the application's bytes, not the network's. */
static bool row_is_layered(int level, int name)
{
	return (level == IPPROTO_TCP && name == TCP_CORK) || (level == SOL_SOCKET && name == SO_RCVLOWAT);
}

/* With a relay, calls wait at its pair. */
static bool is_waiting(const struct slot *slot, int level, int name)
{
	uint32_t flags = atomic_load(&slot->pub.flags);

	return level == SOL_SOCKET && (flags & SLOT_DISGUISED) &&
	       !(flags & (SLOT_CONNECTING | SLOT_FAILED)) &&
	       (name == SO_RCVLOWAT || name == SO_RCVTIMEO || name == SO_SNDTIMEO);
}

static int set_on_original(struct slot *slot, int fd, int level, int name, const void *value, socklen_t len)
{
	int result;

	ON_ORIGINAL(result, slot, fd,
		    real.setsockopt(is_waiting(slot, level, name) ? fd : at, level, name, value, len));
	return result;
}

/* Returns false if the kernel is to be asked. */
static bool layered_setsockopt(struct slot *slot, int fd, int level, int name, const void *value,
			       socklen_t len, int *ret)
{
	int saved = errno, result;

	if (!(slot_flags(slot) & SLOT_LAYERED) || !row_is_layered(level, name))
		return false;
	load_enter();
	result = load_core_if_open()->setsockopt(&slot->pub, fd, level, name, value, len);
	load_leave();
	errno = result < 0 && result != TAPS_PASS ? -result : saved;
	*ret = result < 0 ? -1 : 0;
	return result != TAPS_PASS;
}

int hook_setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	struct slot *slot = slot_get(fd);
	int result, row;

	if (!slot)
		return real.setsockopt(fd, level, name, value, len);
	row = row_of(level, name);
	if (level == IPPROTO_IPV6 && name == IPV6_V6ONLY && (slot_flags(slot) & SLOT_CONNECTING)) {
		/* A socket that has a local port (ipv6(7)), whatever the original file has by now. */
		slot_put(slot);
		errno = EINVAL;
		return -1;
	}
	if (layered_setsockopt(slot, fd, level, name, value, len, &result)) {
		slot_put(slot);
		return result;
	}
	result = set_on_original(slot, fd, level, name, value, len);
	if (result == 0 && row >= 0) {
		__atomic_or_fetch(&slot->options, UINT64_C(1) << row, __ATOMIC_RELAXED);
		slot_set_flags(slot, SLOT_OPTIONS, 0);
	} else if (result == 0) {
		slot_set_flags(slot, SLOT_PINNED, 0);
	}
	slot_put(slot);
	return result;
}

static int answer_int(void *value, socklen_t *len, int answer)
{
	socklen_t n = *len < sizeof(answer) ? *len : (socklen_t)sizeof(answer);

	__builtin_memcpy(value, &answer, n);
	*len = n;
	return 0;
}

int opt_take_error(struct slot *slot, int fd)
{
	int kernels;
	socklen_t len = sizeof(kernels);

	real.getsockopt(fd, SOL_SOCKET, SO_ERROR, &kernels, &len);
	return load_core_if_open()->take_error(&slot->pub);
}

static int special_getsockopt(struct slot *slot, int fd, int level, int name, void *value, socklen_t *len)
{
	uint32_t flags = slot_settled_flags(slot);
	int result;

	if (level == SOL_SOCKET && name == SO_ERROR && (flags & SLOT_FAILED) && value && len)
		return answer_int(value, len, opt_take_error(slot, fd));
	if (level == SOL_SOCKET && name == SO_RCVLOWAT && (flags & SLOT_LAYERED) && value && len)
		return answer_int(value, len, load_core_if_open()->lowat(&slot->pub));
	if (level == SOL_SOCKET && name == SO_DOMAIN && (flags & SLOT_DISGUISED) && value && len)
		return answer_int(value, len, slot->pub.domain);
	if (level == SOL_SOCKET && name == SO_ERROR && (flags & SLOT_CONNECTING) && value && len)
		return answer_int(value, len, 0);
	ON_ORIGINAL(result, slot, fd,
		    real.getsockopt(is_waiting(slot, level, name) ? fd : at, level, name, value, len));
	return result;
}

int hook_getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
	struct slot *slot;
	int result;

	if (!fdtab_has(fd, SLOT_SPECIAL))
		return real.getsockopt(fd, level, name, value, len);
	slot = slot_get(fd);
	if (!slot)
		return real.getsockopt(fd, level, name, value, len);
	result = special_getsockopt(slot, fd, level, name, value, len);
	slot_put(slot);
	return result;
}

static int special_name(struct slot *slot, int fd, struct sockaddr *addr, socklen_t *len, bool peer)
{
	int result;

	if (slot_settled_flags(slot) & SLOT_DISGUISED) {
		result = load_core_if_open()->name(&slot->pub, peer, addr, len);
		if (result < 0) {
			errno = -result;
			return -1;
		}
		return 0;
	}
	ON_ORIGINAL(result, slot, fd,
		    peer ? real.getpeername(at, addr, len) : real.getsockname(at, addr, len));
	return result;
}

int hook_getsockname(int fd, struct sockaddr *addr, socklen_t *len)
{
	struct slot *slot = fdtab_has(fd, SLOT_SPECIAL) ? slot_get(fd) : NULL;
	int result;

	if (!slot)
		return real.getsockname(fd, addr, len);
	result = special_name(slot, fd, addr, len, false);
	slot_put(slot);
	return result;
}

int hook_getpeername(int fd, struct sockaddr *addr, socklen_t *len)
{
	struct slot *slot = fdtab_has(fd, SLOT_SPECIAL) ? slot_get(fd) : NULL;
	int result;

	if (!slot)
		return real.getpeername(fd, addr, len);
	result = special_name(slot, fd, addr, len, true);
	slot_put(slot);
	return result;
}

/* What the file status and the queue of bytes say belongs to the file under the number; all else
 * is asked of the socket. */
static bool is_file_request(unsigned long request)
{
	return request == FIONBIO || request == FIOASYNC || request == FIONREAD || request == FIOCLEX ||
	       request == FIONCLEX;
}

/* FIONREAD counts the application's bytes, as far as they are decrypted; looking decrypts. */
static int layered_ioctl(int fd, unsigned long request, void *arg)
{
	struct slot *slot = slot_get(fd);
	int result;

	if (slot && (request == FIOCLEX || request == FIONCLEX)) {
		fdtab_set_survives(slot, fd, request == FIONCLEX);
		result = 0;
	} else if (!slot || request != FIONREAD || !arg) {
		result = real.ioctl(fd, request, arg);
		if (result == 0 && request == FIONBIO && *(int *)arg)
			life_unblocked(fd);
	} else {
		load_core_if_open()->readable(&slot->pub, fd);
		*(int *)arg = (int)load_core_if_open()->pending(&slot->pub, fd);
		result = 0;
	}
	if (slot)
		slot_put(slot);
	return result;
}

int hook_ioctl(int fd, unsigned long request, void *arg)
{
	struct slot *slot;
	int result;

	if (fdtab_has(fd, SLOT_LAYERED))
		return layered_ioctl(fd, request, arg);
	if (fdtab_has(fd, SLOT_SECURING) && (request == FIOCLEX || request == FIONCLEX))
		return hook_fcntl(fd, F_SETFD, request == FIOCLEX ? FD_CLOEXEC : 0);
	if (!fdtab_has(fd, SLOT_CONNECTING | SLOT_FAILED) || is_file_request(request))
		return real.ioctl(fd, request, arg);
	slot = slot_get(fd);
	if (!slot)
		return real.ioctl(fd, request, arg);
	ON_ORIGINAL(result, slot, fd, real.ioctl(at, request, arg));
	slot_put(slot);
	return result;
}
