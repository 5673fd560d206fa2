/* The last guard before the kernel's own connect(2), listen(2) and accept(2): of sockets that the core cannot
 * manage, and of calls where it must not be asked (a child of vfork(2), a signal handler inside the core). */
#include "shim/secured.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "shim/fdtab.h"
#include "shim/load.h"
#include "shim/real.h"

/* Words of a configuration that may lead to a rule that secures. */
static bool may_secure(const char *text)
{
	return strstr(text, "security") || strstr(text, "include");
}

/* A file that is there and cannot be read may say anything.  Whether one is there cannot be known where a
 * folder may not be looked into: then `unknown` is the answer. */
static bool file_may_secure(const char *path, bool unknown)
{
	char buf[8192 + 1];
	struct stat st;
	ssize_t n = 0;
	int fd;

	if (stat(path, &st) != 0)
		return errno == EACCES ? unknown : errno != ENOENT && errno != ENOTDIR;
	if (S_ISDIR(st.st_mode))
		return true;
	fd = (int)kernel_call(SYS_openat, AT_FDCWD, (long)path, O_RDONLY | O_CLOEXEC, 0, 0, 0);
	if (fd < 0)
		return true;
	/* A word on the edge of two pieces is not missed: files longer than one piece count as found. */
	n = real.read(fd, buf, sizeof(buf) - 1);
	real.close(fd);
	if (n < 0 || n == sizeof(buf) - 1)
		return true;
	buf[n] = 0;
	return may_secure(buf);
}

static bool below_may_secure(const char *folder, const char *name, bool unknown)
{
	char path[PATH_MAX];

	return snprintf(path, sizeof(path), "%s%s", folder, name) >= (int)sizeof(path) ||
	       file_may_secure(path, unknown);
}

/* The user's folder (core/setup.c reads its files).  Returns false if there is none. */
static bool user_folder(char *buf, size_t size)
{
	const char *base = load_get(load_environment, "XDG_CONFIG_HOME");
	const char *home = load_get(load_environment, "HOME");

	if (base && *base == '/')
		return snprintf(buf, size, "%s/taps", base) < (int)size;
	return home && *home == '/' && snprintf(buf, size, "%s/.config/taps", home) < (int)size;
}

static bool user_may_secure(void)
{
	char folder[PATH_MAX];

	if (load_get(load_environment, "TAPS_USER"))
		return true;
	return user_folder(folder, sizeof(folder)) && (below_may_secure(folder, "/taps.conf", false) ||
						       below_may_secure(folder, "/apps", false));
}

const char *secured_by_user(char *buf, size_t size)
{
	return user_may_secure() && user_folder(buf, size) ? buf : NULL;
}

bool secured_maybe(void)
{
	const char *file = load_get(load_environment, "TAPS_CONFIG");
	const char *options = load_get(load_environment, "TAPS_OPTIONS");

	return (file && file_may_secure(file, true)) || (options && may_secure(options)) ||
	       below_may_secure(TAPS_SYSCONFDIR, "/system.conf", true) ||
	       below_may_secure(TAPS_SYSCONFDIR, "/apps", true) || user_may_secure();
}

/* Afterwards the files may be out of reach, and what they say is still the policy. */
static void read_before(void)
{
	int saved = errno;

	if (!load_core_if_open() && !load_inside() && secured_maybe())
		load_core();
	errno = saved;
}

int hook_chroot(const char *path)
{
	read_before();
	return real.chroot(path);
}

int hook_setuid(uid_t user)
{
	read_before();
	return real.setuid(user);
}

int hook_seteuid(uid_t user)
{
	read_before();
	return real.seteuid(user);
}

int hook_setreuid(uid_t user, uid_t effective)
{
	read_before();
	return real.setreuid(user, effective);
}

int hook_setresuid(uid_t user, uid_t effective, uid_t saved)
{
	read_before();
	return real.setresuid(user, effective, saved);
}

static void say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	load_say(format, args);
	va_end(args);
}

bool secured_known(void)
{
	return load_secures();
}

bool secured_by_rule(void)
{
	return load_core() ? load_secures() : secured_maybe();
}

static bool is_stream(int fd)
{
	int type = SOCK_STREAM, saved = errno;
	socklen_t len = sizeof(type);

	real.getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len);
	errno = saved;
	return type == SOCK_STREAM || type == SOCK_SEQPACKET;
}

static bool refuse(const char *why)
{
	say("%s", why);
	errno = EPROTO;
	return false;
}

bool secured_may_pass(int fd, enum secured_act act, const struct sockaddr *addr, socklen_t len)
{
	const struct taps_core *core = load_core_if_open();
	struct sockaddr_storage name;
	socklen_t size = sizeof(name);
	int saved = errno, result;

	if ((core && !load_secures()) || !is_stream(fd))
		return true;
	if (!secured_by_rule())
		return true;
	core = load_core_if_open();
	if (!core || load_inside() || fdtab_borrowed())
		return refuse("this socket cannot be secured here, and a rule may ask for that");
	if (!addr && real.getsockname(fd, (struct sockaddr *)&name, &size) == 0) {
		addr = (struct sockaddr *)&name;
		len = size;
	}
	load_enter();
	result = addr ? core->permits(addr, len, act == SECURED_LISTEN) : -EPROTO;
	load_leave();
	errno = result < 0 ? -result : saved;
	return result >= 0;
}
