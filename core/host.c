/* The clock of drivers, a vDSO call: no descriptor and no process is touched, so it needs no way through the
 * host; and short ways to what it has. */
#include "core/host.h"

#include <errno.h>
#include <fcntl.h>
#include <time.h>

int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * NS_PER_S + now.tv_nsec;
}

int host_copy(int fd)
{
	int copy = taps_host->fcntl(fd, F_DUPFD_CLOEXEC, 3);

	return copy < 0 ? -errno : taps_host->fd_keep(copy);
}

bool host_peer(int fd, struct taps_addr *ret)
{
	struct sockaddr_storage name;
	socklen_t len = sizeof(name);
	bool known;

	*ret = (struct taps_addr){.in4 = {.sin_family = AF_INET}};
	known = taps_host->getpeername(fd, (struct sockaddr *)&name, &len) == 0 &&
		addr_from_sockaddr(ret, (struct sockaddr *)&name, len);
	*ret = addr_unmap(ret);
	return known;
}
