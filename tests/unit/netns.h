/* A network of the test's own: new network and mount namespaces for the calling process, with
 * loopback up.  They end with the process, and whatever was made in them. */
#ifndef TAPS_TESTS_UNIT_NETNS_H
#define TAPS_TESTS_UNIT_NETNS_H

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

static inline bool netns_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return ok;
}

/* Without privilege: root in a user namespace first, where the system allows it. */
static inline bool netns_become_root(void)
{
	char uid[32], gid[32];

	snprintf(uid, sizeof(uid), "0 %u 1", (unsigned)geteuid());
	snprintf(gid, sizeof(gid), "0 %u 1", (unsigned)getegid());
	return unshare(CLONE_NEWUSER) == 0 && netns_write("/proc/self/setgroups", "deny") &&
	       netns_write("/proc/self/uid_map", uid) && netns_write("/proc/self/gid_map", gid);
}

static inline bool netns_up(const char *interface)
{
	struct ifreq request = {.ifr_flags = IFF_UP | IFF_RUNNING};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool ok;

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", interface);
	ok = fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &request) == 0;
	if (fd >= 0)
		close(fd);
	return ok;
}

/* Returns false, with the reason printed, where this is not allowed: the test is then to be skipped. */
static inline bool netns_enter(void)
{
	if ((geteuid() == 0 || netns_become_root()) && unshare(CLONE_NEWNET | CLONE_NEWNS) == 0 &&
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 && netns_up("lo"))
		return true;
	printf("no network namespace: %s\n", strerror(errno));
	return false;
}

/* Puts `text` in the place of a file, for this mount namespace only. */
static inline bool netns_replace_file(const char *path, const char *text)
{
	char copy[] = "/tmp/taps-unit-XXXXXX";
	int fd = mkstemp(copy);
	bool ok;

	if (fd < 0)
		return false;
	close(fd);
	ok = netns_write(copy, text) && mount(copy, path, NULL, MS_BIND, NULL) == 0;
	unlink(copy);
	return ok;
}

#endif
