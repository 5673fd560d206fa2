/* sendfile(2) and splice(2): copies in the kernel go through memory where an end is the core's.  At most
 * COPY_MAX bytes a call, which a layer takes whole: nothing that was read is lost. */
#include "shim/real.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "shim/fdtab.h"
#include "shim/flight.h"

#define COPY_MAX 65536

static bool is_gated(int fd)
{
	return fdtab_has(fd, SLOT_DATA);
}

/* The kernel copies from one to the other, past the core: flight_end() for both follows.  Else false. */
static bool goes_past(int in, int out, struct flight ends[2])
{
	const char *frame = __builtin_frame_address(0);

	/* The second is the first one's inner call. */
	if (is_gated(out) || is_gated(in) || !flight_begin_at(out, frame, &ends[0]))
		return false;
	if (flight_begin_at(in, frame - 1, &ends[1]))
		return true;
	flight_end(&ends[0]);
	return false;
}

static ssize_t landed(struct flight ends[2], ssize_t result)
{
	flight_end(&ends[1]);
	flight_end(&ends[0]);
	return result;
}

/* The other end may be a pipe. */
static ssize_t put(int out, const char *buf, size_t len, int flags)
{
	return flags && is_gated(out) ? hook_send(out, buf, len, flags) : hook_write(out, buf, len);
}

static ssize_t copy_out(int out, int in, off_t *offset, size_t len)
{
	char buf[COPY_MAX];
	ssize_t n, sent;

	if (len > sizeof(buf))
		len = sizeof(buf);
	n = offset ? pread(in, buf, len, *offset) : hook_read(in, buf, len);
	if (n <= 0)
		return n;
	sent = hook_write(out, buf, (size_t)n);
	if (sent < n && !offset)
		lseek(in, (sent < 0 ? 0 : sent) - n, SEEK_CUR);
	if (sent > 0 && offset)
		*offset += sent;
	return sent;
}

ssize_t hook_sendfile(int out, int in, off_t *offset, size_t len)
{
	struct flight ends[2];
	ssize_t total = 0, n;

	if (goes_past(in, out, ends))
		return landed(ends, real.sendfile(out, in, offset, len));
	do {
		n = copy_out(out, in, offset, len - (size_t)total);
		if (n > 0)
			total += n;
	} while (n > 0 && (size_t)total < len);
	return total > 0 ? total : n;
}

ssize_t hook_sendfile64(int out, int in, off_t *offset, size_t len)
{
	return hook_sendfile(out, in, offset, len);
}

/* The pipe's end is written or read like any other descriptor. */
ssize_t hook_splice(int in, off_t *off_in, int out, off_t *off_out, size_t len, unsigned int flags)
{
	struct flight ends[2];
	char buf[COPY_MAX];
	ssize_t n;

	if (goes_past(in, out, ends))
		return landed(ends, real.splice(in, off_in, out, off_out, len, flags));
	if (off_in || off_out) {
		errno = ESPIPE;
		return -1;
	}
	if (len > sizeof(buf))
		len = sizeof(buf);
	/* Nothing may be taken out of the pipe that the connection does not take. */
	if (is_gated(out) && (n = hook_write(out, "", 0)) < 0)
		return n;
	n = is_gated(in) ? hook_recv(in, buf, len, flags & SPLICE_F_NONBLOCK ? MSG_DONTWAIT : 0)
			 : hook_read(in, buf, len);
	return n <= 0 ? n : put(out, buf, (size_t)n, flags & SPLICE_F_MORE ? MSG_MORE : 0);
}
