/* POSIX AIO reads and writes by threads of the C library's, past the shim: a layered connection gets a
 * relay's pair first. So does one that a backtrace is written to. */
#include "shim/real.h"

#include <errno.h>

#include "shim/fdtab.h"
#include "shim/life.h"

static bool may_go(int fd)
{
	return !fdtab_peek(fd) || life_escape(fd);
}

int hook_aio_read(struct aiocb *cb)
{
	return cb && !may_go(cb->aio_fildes) ? -1 : real.aio_read(cb);
}

int hook_aio_read64(struct aiocb64 *cb)
{
	return cb && !may_go(cb->aio_fildes) ? -1 : real.aio_read64(cb);
}

int hook_aio_write(struct aiocb *cb)
{
	return cb && !may_go(cb->aio_fildes) ? -1 : real.aio_write(cb);
}

int hook_aio_write64(struct aiocb64 *cb)
{
	return cb && !may_go(cb->aio_fildes) ? -1 : real.aio_write64(cb);
}

int hook_lio_listio(int mode, struct aiocb *const list[], int n, struct sigevent *event)
{
	int i;

	for (i = 0; i < n; i++)
		if (list[i] && !may_go(list[i]->aio_fildes))
			return -1;
	return real.lio_listio(mode, list, n, event);
}

int hook_lio_listio64(int mode, struct aiocb64 *const list[], int n, struct sigevent *event)
{
	int i;

	for (i = 0; i < n; i++)
		if (list[i] && !may_go(list[i]->aio_fildes))
			return -1;
	return real.lio_listio64(mode, list, n, event);
}

void hook_backtrace_symbols_fd(void *const *frames, int n, int fd)
{
	if (may_go(fd))
		real.backtrace_symbols_fd(frames, n, fd);
}
