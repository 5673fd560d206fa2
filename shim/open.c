/* Calls that name an endpoint: bind, connect, listen, shutdown.  The decision is the core's; the
 * shim finds or adopts the slot and turns the answer into errno. */
#include "shim/real.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>

#include "shim/fdtab.h"
#include "shim/load.h"
#include "shim/open.h"
#include "shim/opt.h"
#include "shim/secured.h"

/* Where the core's -errno becomes errno; on success errno is what it was. */
static int edge(int result, int saved)
{
	errno = result < 0 ? -result : saved;
	return result < 0 ? -1 : result;
}

static bool get_int(int fd, int level, int name, int *ret)
{
	socklen_t len = sizeof(*ret);

	return real.getsockopt(fd, level, name, ret, &len) == 0;
}

static bool is_untouched_tcp(int fd)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	return real.getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 && info.tcpi_state == TCP_CLOSE;
}

static uint32_t bound_flags(const struct sockaddr *addr)
{
	bool port;

	if (addr->sa_family == AF_INET)
		port = ((const struct sockaddr_in *)(const void *)addr)->sin_port != 0;
	else
		port = ((const struct sockaddr_in6 *)(const void *)addr)->sin6_port != 0;
	return port ? SLOT_BOUND_PORT : SLOT_BOUND;
}

/* What bind(2) left on a socket that we did not see being bound. */
static uint32_t name_flags(int fd)
{
	struct sockaddr_storage name = {0};
	socklen_t len = sizeof(name);

	if (real.getsockname(fd, (struct sockaddr *)&name, &len) != 0)
		return SLOT_PINNED;
	return bound_flags((struct sockaddr *)&name) & SLOT_BOUND_PORT;
}

static bool is_tcp(int fd, int *domain)
{
	int type, protocol;

	return get_int(fd, SOL_SOCKET, SO_DOMAIN, domain) && (*domain == AF_INET || *domain == AF_INET6) &&
	       get_int(fd, SOL_SOCKET, SO_TYPE, &type) && type == SOCK_STREAM &&
	       get_int(fd, SOL_SOCKET, SO_PROTOCOL, &protocol) && protocol == IPPROTO_TCP;
}

/* A socket that was not made under our eyes (inherited, passed, made by a bare system call) is
 * taken in at its connect: only there, since a question to the kernel about a descriptor that is
 * not ours can cost a sandboxed program its life. */
static struct slot *adopt(int fd)
{
	int domain, saved = errno;
	struct slot *slot = NULL;

	if (is_tcp(fd, &domain) && is_untouched_tcp(fd) && fdtab_new(fd, domain, SOCK_STREAM, IPPROTO_TCP))
		slot = slot_get(fd);
	if (slot) {
		slot->options = OPT_ALL;
		slot->regs_unknown = true;
		slot_set_flags(slot, name_flags(fd) | SLOT_UNSEEN, 0);
	}
	errno = saved;
	return slot;
}

/* The kernel's own connect.  While it is under way, and after it succeeded, the socket is the
 * kernel's alone; a socket that failed may be tried again. */
static int plain_connect(struct slot *slot, int fd, const struct sockaddr *addr, socklen_t len)
{
	int result, error, saved = errno;

	/* A datagram socket may be connected again, elsewhere. */
	if (slot->pub.type == SOCK_DGRAM)
		return real.connect(fd, addr, len);
	slot_set_flags(slot, SLOT_PLAIN, 0);
	result = real.connect(fd, addr, len);
	error = errno;
	if (result != 0 && error != EINPROGRESS && error != EALREADY && error != EINTR && error != EISCONN)
		slot_set_flags(slot, 0, SLOT_PLAIN);
	errno = result == 0 ? saved : error;
	return result;
}

/* Is there anything left to decide?  A socket whose plain connect failed may be tried with another address.
 */
static bool is_fresh(struct slot *slot, int fd)
{
	if (!(slot_flags(slot) & SLOT_PLAIN))
		return true;
	if (!secured_known() || slot->pub.type != SOCK_STREAM || !is_untouched_tcp(fd))
		return false;
	slot_set_flags(slot, 0, SLOT_PLAIN);
	return true;
}

static void note_shared(struct slot *slot)
{
	if (fdtab_forked_since(slot))
		slot_set_flags(slot, SLOT_SHARED, 0);
}

static int managed_connect(struct slot *slot, int fd, const struct sockaddr *addr, socklen_t len)
{
	struct taps_connect_call call = {&slot->pub, fd, addr, len};
	const struct taps_core *core;
	/* Who was just told that the socket is writable finds the race over. */
	uint32_t flags = slot_settled_flags(slot);
	int result = TAPS_PASS, saved = errno;

	if (addr->sa_family == AF_UNSPEC) {
		if (flags & SLOT_SPECIAL)
			load_core_if_open()->restore(&slot->pub);
		slot_set_flags(slot, 0, SLOT_PLAIN);
		errno = saved;
		return real.connect(fd, addr, len);
	}
	if (flags & (SLOT_SPECIAL | SLOT_BUSY)) {
		load_enter();
		result = load_core_if_open()->reconnect(&call);
		load_leave();
	} else if (is_fresh(slot, fd) && (core = load_core())) {
		note_shared(slot);
		load_enter();
		result = core->connect(&call);
		load_leave();
	}
	if (result != TAPS_PASS)
		return edge(result, saved);
	errno = saved;
	if (!(flags & SLOT_SPECIAL) && !load_core_if_open() &&
	    !secured_may_pass(fd, SECURED_CONNECT, addr, len))
		return -1;
	return plain_connect(slot, fd, addr, len);
}

static bool is_internet(const struct sockaddr *addr, socklen_t len)
{
	return addr && len >= sizeof(addr->sa_family) &&
	       (addr->sa_family == AF_INET || addr->sa_family == AF_INET6);
}

/* A connect in disguise: MSG_FASTOPEN (tcp(7)).  Where the core races, the data is sent afterwards;
 * Fast Open itself never takes part in a race, since it proves nothing of the peer. */
bool open_for_data(int fd, const struct sockaddr *addr, socklen_t len, int *ret)
{
	struct slot *slot = is_internet(addr, len) && !fdtab_borrowed() ? slot_get(fd) : NULL;
	struct taps_connect_call call = {slot ? &slot->pub : NULL, fd, addr, len};
	const struct taps_core *core;
	int result = TAPS_PASS, saved = errno;

	if (!slot) {
		*ret = -1;
		return is_internet(addr, len) && !secured_may_pass(fd, SECURED_CONNECT, addr, len);
	}
	if (!(slot_flags(slot) & (SLOT_SPECIAL | SLOT_BUSY)) && is_fresh(slot, fd) && (core = load_core())) {
		note_shared(slot);
		load_enter();
		result = core->connect(&call);
		load_leave();
	}
	if (result == TAPS_PASS && !load_core_if_open() && !secured_may_pass(fd, SECURED_CONNECT, addr, len))
		result = -EPROTO;
	if (result == TAPS_PASS)
		slot_set_flags(slot, SLOT_PLAIN, 0);
	else
		*ret = edge(result, saved);
	slot_put(slot);
	return result != TAPS_PASS;
}

bool open_may_send(int fd, const struct sockaddr *addr, socklen_t len)
{
	return !is_internet(addr, len) || load_inside() || secured_may_pass(fd, SECURED_CONNECT, addr, len);
}

/* The kernel's connect, if no rule has anything against it. */
static int unmanaged_connect(int fd, const struct sockaddr *addr, socklen_t len)
{
	if (!is_internet(addr, len) || fdtab_is_own(fd) || secured_may_pass(fd, SECURED_CONNECT, addr, len))
		return real.connect(fd, addr, len);
	return -1;
}

int hook_connect(int fd, const struct sockaddr *addr, socklen_t len)
{
	bool unspec = addr && len >= sizeof(addr->sa_family) && addr->sa_family == AF_UNSPEC;
	struct slot *slot;
	int result;

	if ((!is_internet(addr, len) && !unspec) || load_inside() || fdtab_is_own(fd))
		return unmanaged_connect(fd, addr, len);
	slot = slot_get(fd);
	if (!slot && !unspec && !fdtab_borrowed())
		slot = adopt(fd);
	if (!slot)
		return unmanaged_connect(fd, addr, len);
	if (fdtab_borrowed())
		result = unmanaged_connect(fd, addr, len);
	else
		result = managed_connect(slot, fd, addr, len);
	slot_put(slot);
	return result;
}

int hook_bind(int fd, const struct sockaddr *addr, socklen_t len)
{
	struct slot *slot = slot_get(fd);
	int result, at;

	if (!slot)
		return real.bind(fd, addr, len);
	fdtab_lock();
	at = slot->pub.own_fd >= 0 ? slot->pub.own_fd : fd;
	result = real.bind(at, addr, len);
	fdtab_unlock();
	if (result == 0 && is_internet(addr, len))
		slot_set_flags(slot, bound_flags(addr), 0);
	slot_put(slot);
	return result;
}

/* A call that the race cannot stand beside: the application gets its own file back first. */
static void restore(int fd)
{
	struct slot *slot = slot_get(fd);

	if (!slot)
		return;
	load_core_if_open()->restore(&slot->pub);
	slot_put(slot);
}

static bool is_internet_socket(int fd)
{
	int domain, saved = errno;
	bool internet =
		get_int(fd, SOL_SOCKET, SO_DOMAIN, &domain) && (domain == AF_INET || domain == AF_INET6);

	errno = saved;
	return internet;
}

/* A rule may secure what the listener will accept. */
static int secure_listen(int fd)
{
	struct slot *slot = fdtab_borrowed() ? NULL : slot_get(fd);
	const struct taps_core *core;
	int result = 0, domain, saved = errno;

	if (!slot && !fdtab_borrowed() && is_tcp(fd, &domain) &&
	    fdtab_new(fd, domain, SOCK_STREAM, IPPROTO_TCP))
		slot = slot_get(fd);
	errno = saved;
	if (!slot)
		return !is_internet_socket(fd) || secured_may_pass(fd, SECURED_LISTEN, NULL, 0) ? 0 : -1;
	core = load_core();
	if (core && slot->pub.type == SOCK_STREAM) {
		load_enter();
		result = core->listening(&slot->pub, fd);
		load_leave();
	}
	slot_put(slot);
	result = edge(result, saved);
	return result < 0 || core || secured_may_pass(fd, SECURED_LISTEN, NULL, 0) ? result : -1;
}

bool open_may_accept(int fd)
{
	int listens;

	if (load_core_if_open() && !secured_known())
		return true;
	return !is_internet_socket(fd) || !get_int(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens) || !listens ||
	       secure_listen(fd) == 0;
}

int hook_listen(int fd, int backlog)
{
	if (fdtab_has(fd, SLOT_CONNECTING | SLOT_FAILED)) {
		errno = EINVAL;
		return -1;
	}
	if (!fdtab_is_own(fd) && !load_inside() && secure_listen(fd) != 0)
		return -1;
	return real.listen(fd, backlog);
}

static int layered_shutdown(int fd, int how)
{
	struct slot *slot = slot_get(fd);
	int result, saved = errno;

	if (!slot)
		return real.shutdown(fd, how);
	load_enter();
	result = load_core_if_open()->shutdown(&slot->pub, fd, how);
	load_leave();
	slot_put(slot);
	return result == TAPS_PASS ? real.shutdown(fd, how) : edge(result, saved);
}

int hook_shutdown(int fd, int how)
{
	if (fdtab_has(fd, SLOT_LAYERED))
		return layered_shutdown(fd, how);
	if (fdtab_has(fd, SLOT_CONNECTING | SLOT_FAILED | SLOT_BUSY))
		restore(fd);
	return real.shutdown(fd, how);
}
