/* A descriptor that leaves the process takes its own file along, not the placeholder; a layered one goes as a
 * relay's pair. */
#include "shim/pass.h"

#include <errno.h>

#include "shim/fdtab.h"
#include "shim/life.h"
#include "shim/load.h"

static bool pass_one(int fd)
{
	struct slot *slot = slot_get(fd);

	if (!slot)
		return true;
	if (slot_flags(slot) & SLOT_CONNECTING)
		load_core_if_open()->restore(&slot->pub);
	slot_set_flags(slot, SLOT_SHARED, 0);
	slot_put(slot);
	return !fdtab_has(fd, SLOT_SEALED) || life_escape(fd);
}

static bool pass_all(const struct cmsghdr *cmsg)
{
	size_t n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int), i;

	for (i = 0; i < n; i++) {
		int fd;

		__builtin_memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(fd), sizeof(fd));
		if (!pass_one(fd))
			return false;
	}
	return true;
}

bool pass_out(const struct msghdr *msg)
{
	struct msghdr *all = (struct msghdr *)(uintptr_t)msg;
	struct cmsghdr *cmsg;

	if (!msg || !msg->msg_control)
		return true;
	for (cmsg = CMSG_FIRSTHDR(all); cmsg; cmsg = CMSG_NXTHDR(all, cmsg))
		if (cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_RIGHTS && !pass_all(cmsg))
			return false;
	return true;
}
