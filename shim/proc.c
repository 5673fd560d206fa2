/* Processes: the preload and its policy stay with the tree.  A program that hands its child an
 * environment without them (a cleared one, say) gets them put back: what a policy forbids must
 * not be lifted by `env -i`.  Each function of the family is a door of its own: in the C library
 * they do not call one another through the PLT.  Everything here may run in a child of vfork(2):
 * no allocation but the stack's, no change of the table. */
#include "shim/real.h"

#include <alloca.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "shim/fdtab.h"
#include "shim/life.h"
#include "shim/load.h"

extern char **environ;

static const char *const inherited[] = {"TAPS_CONFIG", "TAPS_OPTIONS", "TAPS_TRACE", "TAPS_VERBOSE"};
#define N_INHERITED (sizeof(inherited) / sizeof(inherited[0]))

#define SHIM_NAME "libtaps-shim.so"

/* The shim's own entry of the LD_PRELOAD that this process began with. */
static const char *own_entry(size_t *len)
{
	const char *at = load_get(load_environment, "LD_PRELOAD");

	while (at && *at) {
		size_t n = strcspn(at, " :");
		size_t name = strlen(SHIM_NAME);

		if (n >= name && memcmp(at + n - name, SHIM_NAME, name) == 0) {
			*len = n;
			return at;
		}
		at += n + strspn(at + n, " :");
	}
	return NULL;
}

static size_t count(char *const *list)
{
	size_t n = 0;

	while (list && list[n])
		n++;
	return n;
}

static bool has_shim(char *const *envp)
{
	const char *preload = load_get(envp, "LD_PRELOAD");

	return preload && strstr(preload, SHIM_NAME);
}

/* Is anything missing that this process was given? */
static bool is_complete(char *const *envp)
{
	size_t len, i;

	if (!own_entry(&len))
		return true;
	if (!has_shim(envp))
		return false;
	for (i = 0; i < N_INHERITED; i++)
		if (load_get(load_environment, inherited[i]) && !load_get(envp, inherited[i]))
			return false;
	return true;
}

static size_t preload_room(char *const *envp)
{
	const char *old = load_get(envp, "LD_PRELOAD");
	size_t len = 0;

	own_entry(&len);
	return sizeof("LD_PRELOAD=") + (old ? strlen(old) + 1 : 0) + len + 1;
}

/* Copies envp into `to` (room for count + N_INHERITED + 2), completed; `preload` takes the new
 * LD_PRELOAD: what the program set, then the shim. */
static void complete(char *const *envp, char **to, char *preload)
{
	const char *old = load_get(envp, "LD_PRELOAD"), *entry;
	size_t len = 0, i;
	char *at;

	entry = own_entry(&len);
	for (; envp && *envp; envp++)
		if (has_shim((char *const[]){*envp, NULL}) || strncmp(*envp, "LD_PRELOAD=", 11) != 0)
			*to++ = *envp;
	if (!old || !strstr(old, SHIM_NAME)) {
		at = stpcpy(preload, "LD_PRELOAD=");
		if (old && *old)
			at = stpcpy(stpcpy(at, old), ":");
		memcpy(at, entry, len);
		at[len] = 0;
		*to++ = preload;
	}
	for (i = 0; i < N_INHERITED; i++) {
		const char *value = load_get(load_environment, inherited[i]);

		if (value && !load_get(envp, inherited[i]))
			*to++ = (char *)(uintptr_t)(value - strlen(inherited[i]) - 1);
	}
	*to = NULL;
}

/* A complete environment for the new program, on the caller's stack where it must be made. */
#define COMPLETED(envp) \
	(is_complete(envp) ? (char *const *)(envp) \
			   : completed(envp, alloca((count(envp) + N_INHERITED + 2) * sizeof(char *)), \
				       alloca(preload_room(envp))))

static char *const *completed(char *const *envp, char **to, char *preload)
{
	complete(envp, to, preload);
	return to;
}

/* A socket that is still racing goes to the new program as the application's own file. */
static void settle_before_exec(void)
{
	int fd, last = FDTAB_PAGE - 1;

	if (!atomic_load(&fdtab_special) || fdtab_borrowed())
		return;
	for (fd = 0; fd <= last; fd++) {
		struct slot *slot = fdtab_has(fd, SLOT_CONNECTING) ? slot_get(fd) : NULL;

		if (!slot)
			continue;
		load_core_if_open()->restore(&slot->pub);
		slot_put(slot);
	}
}

int hook_execve(const char *path, char *const argv[], char *const envp[])
{
	settle_before_exec();
	return real.execve(path, argv, COMPLETED(envp));
}

int hook_execv(const char *path, char *const argv[])
{
	return hook_execve(path, argv, environ);
}

int hook_execvpe(const char *file, char *const argv[], char *const envp[])
{
	settle_before_exec();
	return real.execvpe(file, argv, COMPLETED(envp));
}

int hook_execvp(const char *file, char *const argv[])
{
	return hook_execvpe(file, argv, environ);
}

static size_t count_args(va_list args)
{
	size_t n = 1;

	while (va_arg(args, char *))
		n++;
	return n;
}

/* The arguments of execl and relatives as an array of the caller's stack. */
#define GATHER(argv, first, args) \
	do { \
		va_list counting; \
		size_t n, i; \
		va_copy(counting, args); \
		n = (first) ? count_args(counting) : 0; \
		va_end(counting); \
		argv = alloca((n + 1) * sizeof(char *)); \
		if (n) \
			argv[0] = (char *)(uintptr_t)(first); \
		for (i = 1; i <= n; i++) \
			argv[i] = va_arg(args, char *); \
		if (!n) \
			argv[0] = NULL; \
	} while (0)

int hook_execl(const char *path, const char *arg, ...)
{
	va_list args;
	char **argv;

	va_start(args, arg);
	GATHER(argv, arg, args);
	va_end(args);
	return hook_execve(path, argv, environ);
}

int hook_execlp(const char *file, const char *arg, ...)
{
	va_list args;
	char **argv;

	va_start(args, arg);
	GATHER(argv, arg, args);
	va_end(args);
	return hook_execvpe(file, argv, environ);
}

int hook_execle(const char *path, const char *arg, ...)
{
	char *const *envp;
	va_list args;
	char **argv;

	va_start(args, arg);
	GATHER(argv, arg, args);
	envp = va_arg(args, char *const *);
	va_end(args);
	return hook_execve(path, argv, envp);
}

int hook_fexecve(int fd, char *const argv[], char *const envp[])
{
	settle_before_exec();
	return real.fexecve(fd, argv, COMPLETED(envp));
}

int hook_execveat(int dirfd, const char *path, char *const argv[], char *const envp[], int flags)
{
	settle_before_exec();
	return real.execveat(dirfd, path, argv, COMPLETED(envp), flags);
}

int hook_posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
		     const posix_spawnattr_t *attr, char *const argv[], char *const envp[])
{
	return real.posix_spawn(pid, path, actions, attr, argv, COMPLETED(envp));
}

int hook_posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
		      const posix_spawnattr_t *attr, char *const argv[], char *const envp[])
{
	return real.posix_spawnp(pid, file, actions, attr, argv, COMPLETED(envp));
}

/* A layered connection that the process leaves open says goodbye: the peer would take its end for an attack
 * otherwise (RFC 8446 §6.1). */
void hook__exit(int status)
{
	if (atomic_load(&fdtab_special) && !fdtab_borrowed())
		life_end_range(0, ~0u);
	real._exit(status);
	__builtin_unreachable();
}

void hook__Exit(int status)
{
	hook__exit(status);
}

/* _Fork(3) runs no atfork handlers: the child's table is its own all the same. */
pid_t hook__Fork(void)
{
	pid_t child = real._Fork();

	if (child == 0) {
		fdtab_adopt_process();
		fdtab_lock_reset();
	}
	return child;
}
