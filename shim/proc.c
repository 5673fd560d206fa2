/* Processes: the preload and its policy stay with the tree.  A program that hands its child an
 * environment without them (a cleared one, say) gets them put back: what a policy forbids must
 * not be lifted by `env -i`.  Each function of the family is a door of its own: in the C library
 * they do not call one another through the PLT.  Everything here may run in a child of vfork(2):
 * no allocation but the stack's, no change of the table. */
#include "shim/real.h"

#include <alloca.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shim/fdtab.h"
#include "shim/life.h"
#include "shim/load.h"
#include "shim/secured.h"

extern char **environ;

static const char *const inherited[] = {"TAPS_CONFIG", "TAPS_OPTIONS", "TAPS_TRACE", "TAPS_VERBOSE",
					"TAPS_USER"};
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

/* Calls on(fd, slot) for each descriptor with one of the flags. */
static void each_special(uint32_t flags, void (*on)(int fd, struct slot *slot))
{
	unsigned limit = FDTAB_PAGES * FDTAB_PAGE, fd;

	if (!atomic_load(&fdtab_special) || fdtab_borrowed())
		return;
	for (fd = 0; fd < limit; fd++) {
		struct slot *slot;

		if (!atomic_load(&fdtab_pages[fd >> FDTAB_PAGE_BITS])) {
			fd |= FDTAB_PAGE - 1;
			continue;
		}
		slot = fdtab_has((int)fd, flags) ? slot_get((int)fd) : NULL;
		if (!slot)
			continue;
		on((int)fd, slot);
		slot_put(slot);
	}
}

static void restore(int fd, struct slot *slot)
{
	(void)fd;
	load_core_if_open()->restore(&slot->pub);
}

/* A layered connection that outlives exec goes on as a relay's, unless this process only inherited it and had
 * nothing to do with it: the relay would take the bytes away from the one who has. */
static void escape_if_used(int fd, struct slot *slot)
{
	if (!fdtab_survives(slot, fd))
		return;
	load_enter();
	load_core_if_open()->escape(&slot->pub, true);
	load_leave();
}

/* A socket that is still racing goes to the new program as the application's own file.  What does not outlive
 * exec ends here, if there will be one. */
static void settle_before_exec(bool certain)
{
	int saved = errno;

	each_special(SLOT_CONNECTING, restore);
	each_special(SLOT_LAYERED, escape_if_used);
	if (certain)
		life_end_all();
	errno = saved;
}

static bool is_program(const char *path)
{
	return path && faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) == 0;
}

/* execvp(3): a name without a slash is looked for in PATH. */
static bool is_found(const char *file)
{
	const char *at = getenv("PATH");
	char path[PATH_MAX];

	if (!file || strchr(file, '/'))
		return is_program(file);
	for (; at && *at; at += strspn(at, ":")) {
		size_t n = strcspn(at, ":");

		if (snprintf(path, sizeof(path), "%.*s/%s", (int)n, at, file) < (int)sizeof(path) &&
		    is_program(path))
			return true;
		at += n;
	}
	return false;
}

/* Descriptors that somebody ever named for a child's (posix_spawn(3)): by number; a hint that stays. */
static _Atomic uint64_t named_low[FDTAB_PAGE / 64];
static _Atomic bool named_high;

int hook_posix_spawn_file_actions_adddup2(posix_spawn_file_actions_t *actions, int from, int to)
{
	if (from >= FDTAB_PAGE)
		atomic_store(&named_high, true);
	else if (from >= 0)
		atomic_fetch_or(&named_low[from / 64], UINT64_C(1) << (from % 64));
	return real.posix_spawn_file_actions_adddup2(actions, from, to);
}

static bool is_named(int fd)
{
	if (fd >= FDTAB_PAGE)
		return atomic_load(&named_high);
	return atomic_load(&named_low[fd / 64]) & UINT64_C(1) << (fd % 64);
}

/* Connections that a child inherits by accident are common, and a relay each has its price: beyond a few they
 * are closed to it. */
#define SPAWN_RELAYS 4

static __thread unsigned surviving;

static void count_surviving(int fd, struct slot *slot)
{
	surviving += fdtab_survives(slot, fd);
}

static void escape_named(int fd, struct slot *slot)
{
	(void)slot;
	if (is_named(fd))
		life_escape(fd);
}

static __thread bool all_escaped;

static void check_named(int fd, struct slot *slot)
{
	(void)slot;
	all_escaped &= !is_named(fd);
}

static void escape_surviving(int fd, struct slot *slot)
{
	if (fdtab_survives(slot, fd))
		life_escape(fd);
}

/* Before a child that the C library makes, past every hook.  What could not be handed to a relay is closed in
 * the new program (fdtab_seal). */
static void settle_before_spawn(bool actions)
{
	int saved = errno;

	fdtab_note_fork();
	if (actions)
		each_special(SLOT_SEALED, escape_named);
	surviving = 0;
	each_special(SLOT_LAYERED, count_surviving);
	if (surviving <= SPAWN_RELAYS)
		each_special(SLOT_LAYERED, escape_surviving);
	errno = saved;
}

int hook_execve(const char *path, char *const argv[], char *const envp[])
{
	settle_before_exec(is_program(path));
	return real.execve(path, argv, COMPLETED(envp));
}

int hook_execv(const char *path, char *const argv[])
{
	return hook_execve(path, argv, environ);
}

int hook_execvpe(const char *file, char *const argv[], char *const envp[])
{
	settle_before_exec(is_found(file));
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
	settle_before_exec(true);
	return real.fexecve(fd, argv, COMPLETED(envp));
}

int hook_execveat(int dirfd, const char *path, char *const argv[], char *const envp[], int flags)
{
	settle_before_exec(faccessat(dirfd, path, X_OK, AT_EACCESS) == 0);
	return real.execveat(dirfd, path, argv, COMPLETED(envp), flags);
}

static bool may_spawn(const posix_spawn_file_actions_t *actions)
{
	settle_before_spawn(actions);
	all_escaped = true;
	if (actions)
		each_special(SLOT_SEALED, check_named);
	return all_escaped;
}

int hook_posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
		     const posix_spawnattr_t *attr, char *const argv[], char *const envp[])
{
	if (!may_spawn(actions))
		return EIO;
	return real.posix_spawn(pid, path, actions, attr, argv, COMPLETED(envp));
}

int hook_posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
		      const posix_spawnattr_t *attr, char *const argv[], char *const envp[])
{
	if (!may_spawn(actions))
		return EIO;
	return real.posix_spawnp(pid, file, actions, attr, argv, COMPLETED(envp));
}

int hook_system(const char *command)
{
	if (command)
		settle_before_spawn(false);
	return real.system(command);
}

FILE *hook_popen(const char *command, const char *mode)
{
	settle_before_spawn(false);
	return real.popen(command, mode);
}

/* A child of vfork(2) has no memory of its own to make a relay or a connection in: where one may be asked
 * for, it gets some.  Called by the symbol itself, which returns nowhere but to the application. */
__attribute__((used)) static void *vfork_target(void) __asm__("shim_vfork_target");
static void *vfork_target(void)
{
	bool layered = atomic_load(&fdtab_special) != 0 || secured_known();

	fdtab_note_fork();
	return layered ? (void *)fork : (void *)real.vfork;
}

#if defined(__x86_64__)
__asm__(".text\n.globl vfork\n.type vfork, @function\n"
	"vfork:\n\tendbr64\n\tsubq $8, %rsp\n\tcall shim_vfork_target\n\taddq $8, %rsp\n\tjmp *%rax\n"
	".size vfork, .-vfork\n");
#elif defined(__aarch64__)
__asm__(".text\n.globl vfork\n.type vfork, @function\n"
	"vfork:\n\tstp x29, x30, [sp, #-16]!\n\tbl shim_vfork_target\n\tldp x29, x30, [sp], #16\n\tmov x16, "
	"x0\n"
	"\tbr x16\n.size vfork, .-vfork\n");
#endif

/* A layered connection that the process leaves open says goodbye: the peer would take its end for an attack
 * otherwise (RFC 8446 §6.1). */
void hook__exit(int status)
{
	life_end_all();
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
	pid_t child;

	fdtab_note_fork();
	child = real._Fork();
	if (child == 0)
		fdtab_part_process();
	return child;
}

struct child_start {
	int (*run)(void *arg);
	void *arg;
};

static int start_child(void *arg)
{
	struct child_start start = *(struct child_start *)arg;

	fdtab_part_process();
	return start.run(start.arg);
}

/* clone(2) of the C library: where the child's memory is its own, so is its table. */
int hook_clone(int (*run)(void *), void *stack, int flags, void *arg, void *parent_tid, void *tls,
	       void *child_tid)
{
	struct child_start start = {run, arg};

	fdtab_note_fork();
	if (!run || (flags & CLONE_VM))
		return real.clone(run, stack, flags, arg, parent_tid, tls, child_tid);
	return real.clone(start_child, stack, flags, &start, parent_tid, tls, child_tid);
}
