/* The constructor, and the lazy loading of the core.
 *
 * The core is opened with RTLD_DEEPBIND, so that its libev and c-ares call the C library and not
 * the shim, and an application's own copies of them cannot hijack it.  Under AddressSanitizer
 * DEEPBIND aborts by design and is dropped. */
#include "shim/load.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shim/epollset.h"
#include "shim/fdtab.h"
#include "shim/flight.h"
#include "shim/life.h"
#include "shim/opt.h"
#include "shim/real.h"
#include "shim/secured.h"

#define CORE_NAME "libtaps-core.so"
#define SHARED_SIZE 32768 /* what children tell their parent */

char *const *load_environment;

/* What is kept of the environment: programs write over the original strings (setproctitle). */
static const char *const kept_names[] = {
	"LD_PRELOAD", "TAPS_CONFIG", "TAPS_OPTIONS", "TAPS_TRACE", "TAPS_VERBOSE",
	"TAPS_USER",  "HOME",	     "XDG_CONFIG_HOME",
};
#define N_KEPT (sizeof(kept_names) / sizeof(kept_names[0]))
static char *kept_environment[N_KEPT + 1];
static char kept_small[2048];

static const struct taps_core *_Atomic core;
static _Atomic bool securing;
static __thread unsigned inside;
static struct stat stderr_at_start;
static pid_t started_as;

static int bare_fcntl(int fd, int cmd, ...)
{
	va_list args;
	long arg;

	va_start(args, cmd);
	arg = va_arg(args, long);
	va_end(args);
	return real.fcntl(fd, cmd, arg);
}

static int bare_ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *arg;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	return real.ioctl(fd, request, arg);
}

/* Above what select(2) users and shells count with, below the limit. */
static int high_base(void)
{
	struct rlimit limit;
	rlim_t base = 1024;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < 2 * base)
		base = limit.rlim_cur / 2;
	return (int)base;
}

int load_keep(int fd)
{
	int high = real.fcntl(fd, F_DUPFD_CLOEXEC, high_base());
	int error = errno;

	if (high < 0)
		high = real.fcntl(fd, F_DUPFD_CLOEXEC, 3);
	real.close(fd);
	if (high < 0)
		return -error;
	fdtab_keep(high);
	return high;
}

void load_drop(int fd)
{
	fdtab_unkeep(fd);
	real.close(fd);
}

#define LINE_MS 50

/* The loop's thread says things, too, and others wait for it: a pipe that nobody reads must not stop it. */
static bool takes_line(int fd)
{
	struct pollfd wanted = {.fd = fd, .events = POLLOUT};

	return real.poll(&wanted, 1, LINE_MS) > 0 && (wanted.revents & POLLOUT);
}

/* Only the standard error that the process began with is written to: the number may have become
 * a socket of the application's since. */
static void log_line(enum taps_log_level level, const char *format, va_list args)
{
	char line[1024];
	struct stat now;
	int n;

	if (level == TAPS_LOG_NOTE && !load_get(load_environment, "TAPS_VERBOSE"))
		return;
	if (fstat(STDERR_FILENO, &now) != 0 || now.st_ino != stderr_at_start.st_ino ||
	    now.st_dev != stderr_at_start.st_dev)
		return;
	n = snprintf(line, sizeof(line) - 1, "tapsrun: ");
	n += vsnprintf(line + n, sizeof(line) - 1 - (size_t)n, format, args);
	if (n > (int)sizeof(line) - 2)
		n = sizeof(line) - 2;
	line[n++] = '\n';
	if (takes_line(STDERR_FILENO) && real.write(STDERR_FILENO, line, (size_t)n) < 0)
		return;
}

static void say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_line(TAPS_LOG_SAY, format, args);
	va_end(args);
}

static struct slot *slot_of(struct taps_slot *slot)
{
	return (struct slot *)slot;
}

static int host_replace(struct taps_slot *slot, int fd, bool take)
{
	return epollset_replace(slot_of(slot), fd, take ? load_drop : NULL);
}

static void host_ref(struct taps_slot *slot)
{
	slot_ref(slot_of(slot));
}

static bool host_hold(struct taps_slot *slot, const void *conn)
{
	uint32_t refs = atomic_load(&slot->refs);

	while (refs && !atomic_compare_exchange_weak(&slot->refs, &refs, refs + 1))
		;
	if (!refs)
		return false;
	if (atomic_load(&slot->conn) == conn)
		return true;
	slot_put(slot_of(slot));
	return false;
}

static bool host_watched(const struct taps_slot *slot)
{
	const struct slot *s = (const struct slot *)slot;

	return s->n_regs > 0 || s->regs_unknown || s->n_fds > 1;
}

static int host_fd(const struct taps_slot *slot)
{
	const struct slot *s = (const struct slot *)slot;
	unsigned i;

	for (i = 0; i < s->n_fds; i++)
		if (fdtab_peek(s->fds[i]) == s)
			return s->fds[i];
	return -1;
}

static bool host_in_flight(const struct taps_slot *slot)
{
	const struct slot *s = (const struct slot *)slot;
	unsigned i;

	for (i = 0; i < s->n_fds; i++)
		if (fdtab_peek(s->fds[i]) == s && flight_any(s->fds[i]))
			return true;
	return false;
}

static bool host_has(const struct taps_slot *slot, int fd)
{
	return fdtab_peek(fd) == (const struct slot *)slot;
}

static void host_unref(struct taps_slot *slot)
{
	slot_put(slot_of(slot));
}

static void host_forget(struct taps_slot *slot)
{
	fdtab_forget(slot_of(slot));
}

static void host_flags(struct taps_slot *slot, uint32_t set, uint32_t clear)
{
	bool was = atomic_load(&slot->flags) & SLOT_SEALED, is;

	slot_set_flags(slot_of(slot), set, clear);
	is = atomic_load(&slot->flags) & SLOT_SEALED;
	if (set & SLOT_LAYERED)
		epollset_became_layered(slot_of(slot));
	if (!was && is)
		fdtab_seal(slot_of(slot));
	if (was && !is)
		fdtab_unseal(slot_of(slot));
}

static void host_options(const struct taps_slot *slot, int from, int fd)
{
	opt_carry(((const struct slot *)slot)->options, from, fd);
}

static struct taps_host host = {
	.version = TAPS_API_VERSION,
	.size = sizeof(host),
	/* Complete before any library of the core's is initialised: their constructors allocate
	 * through these pointers (core/alloc.c). */
	.malloc = malloc,
	.calloc = calloc,
	.realloc = realloc,
	.free = free,
	.posix_memalign = posix_memalign,
	.aligned_alloc = aligned_alloc,
	.memalign = memalign,
	.malloc_usable_size = malloc_usable_size,
	.fcntl = bare_fcntl,
	.ioctl = bare_ioctl,
	.fork = fork,
	.epoll_create1 = epoll_create1,
	.freeaddrinfo = freeaddrinfo,
	.fd_keep = load_keep,
	.fd_drop = load_drop,
	.lock = fdtab_lock,
	.unlock = fdtab_unlock,
	.slot_replace = host_replace,
	.slot_watched = host_watched,
	.slot_fd = host_fd,
	.slot_in_flight = host_in_flight,
	.slot_has = host_has,
	.slot_ref = host_ref,
	.slot_hold = host_hold,
	.slot_unref = host_unref,
	.slot_forget = host_forget,
	.slot_flags = host_flags,
	.slot_options = host_options,
	.process = fdtab_process,
	.enter = load_enter,
	.leave = load_leave,
	.log = log_line,
};

/* The allocator that the core's own definitions of the malloc family forward to; found by name. */
HOOKED const struct taps_host *taps_shim_host(void);
const struct taps_host *taps_shim_host(void)
{
	return &host;
}

static void fill_host(void)
{
#define BARE(name) host.name = real.name
	BARE(socket);
	BARE(socketpair);
	BARE(connect);
	BARE(bind);
	BARE(shutdown);
	BARE(getsockopt);
	BARE(setsockopt);
	BARE(getsockname);
	BARE(getpeername);
	BARE(send);
	BARE(recv);
	BARE(sendto);
	BARE(recvfrom);
	BARE(sendmsg);
	BARE(recvmsg);
	BARE(read);
	BARE(write);
	BARE(poll);
	BARE(ppoll);
	BARE(dup3);
	BARE(close);
	BARE(close_range);
	BARE(epoll_ctl);
	BARE(epoll_wait);
	BARE(getaddrinfo);
#undef BARE
	host.environment = load_environment;
	host.started_as = started_as;
}

const struct taps_core *load_core_if_open(void)
{
	return atomic_load_explicit(&core, memory_order_acquire);
}

static void *open_core(void)
{
	bool sanitized = dlsym(RTLD_DEFAULT, "__asan_init") != NULL;
	char path[PATH_MAX];
	const char *slash;
	Dl_info self;

	if (!dladdr((void *)open_core, &self))
		return NULL;
	slash = strrchr(self.dli_fname, '/');
	if (snprintf(path, sizeof(path), "%.*s%s", slash ? (int)(slash - self.dli_fname + 1) : 0,
		     self.dli_fname, CORE_NAME) >= (int)sizeof(path))
		return NULL;
	return dlopen(path, RTLD_NOW | RTLD_LOCAL | (sanitized ? 0 : RTLD_DEEPBIND));
}

/* Registered first, the child's step runs before that of any allocator: it must not allocate.  The core
 * registers steps of its own, which do. */
static void fork_prepare(void)
{
	fdtab_note_fork();
	fdtab_lock();
}

static void fork_child(void)
{
	fdtab_adopt_process();
	flight_part_process();
	fdtab_unlock();
}

static void load(void)
{
	const struct taps_core *(*core_open)(const struct taps_host *);
	const struct taps_core *found = NULL;
	void *handle;
	int saved = errno;

	load_enter();
	fill_host();
	handle = open_core();
	if (handle) {
		core_open = (const struct taps_core *(*)(const struct taps_host *))dlsym(handle,
											 "taps_core_open");
		if (core_open)
			found = core_open(&host);
	} else {
		const char *why = dlerror();

		say("%s: nothing is intercepted in this process", why ? why : CORE_NAME " cannot be loaded");
	}
	if (found && (found->version != TAPS_API_VERSION || found->size != sizeof(*found)))
		found = NULL;
	atomic_store(&securing, found && found->secures());
	flight_count(load_secures(), true);
	atomic_store(&core, found);
	load_leave();
	errno = saved;
}

const struct taps_core *load_core(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	const struct taps_core *now = load_core_if_open();

	if (now)
		return now;
	if (inside || fdtab_borrowed())
		return NULL;
	pthread_once(&once, load);
	return load_core_if_open();
}

bool load_secures(void)
{
	return atomic_load_explicit(&securing, memory_order_relaxed);
}

void load_say(const char *format, va_list args)
{
	log_line(TAPS_LOG_SAY, format, args);
}

bool load_inside(void)
{
	return inside != 0;
}

void load_enter(void)
{
	inside++;
}

void load_leave(void)
{
	inside--;
}

static bool names(const char *entry, const char *name)
{
	size_t n = strlen(name);

	return strncmp(entry, name, n) == 0 && entry[n] == '=';
}

const char *load_get(char *const *environment, const char *name)
{
	for (; environment && *environment; environment++)
		if (names(*environment, name))
			return *environment + strlen(name) + 1;
	return NULL;
}

void load_unset(char **environment, const char *name)
{
	char **to = environment;

	for (; *environment; environment++)
		if (!names(*environment, name))
			*to++ = *environment;
	*to = NULL;
}

/* A process that gives up the user it was started by, or is executed after that, cannot read the user's files
 * any more: it must know that there were some. */
static void note_user(void)
{
	static const char name[] = "TAPS_USER=";
	static char text[sizeof(name) + PATH_MAX];
	size_t n = 0;

	if (!load_environment || load_get(load_environment, "TAPS_USER") ||
	    !secured_by_user(text + sizeof(name) - 1, PATH_MAX))
		return;
	memcpy(text, name, sizeof(name) - 1);
	while (kept_environment[n])
		n++;
	kept_environment[n] = text;
}

/* Decimal digits at *text; leaves *text behind them and one separator. */
static unsigned long number(const char **text)
{
	unsigned long value = 0;

	while (**text >= '0' && **text <= '9')
		value = value * 10 + (unsigned long)(*(*text)++ - '0');
	if (**text)
		(*text)++;
	return value;
}

/* Tells tapsrun that the shim is in: one byte into the pipe that TAPS_HELLO names as FD:INODE. */
static void hello(char **environment)
{
	const char *where = load_get(environment, "TAPS_HELLO");
	struct stat pipe_now;
	unsigned long inode;
	int fd;

	if (!where)
		return;
	fd = (int)number(&where);
	inode = number(&where);
	if (fstat(fd, &pipe_now) == 0 && S_ISFIFO(pipe_now.st_mode) && pipe_now.st_ino == inode) {
		if (real.write(fd, "!", 1) < 0)
			errno = 0;
		real.close(fd);
	}
	load_unset(environment, "TAPS_HELLO");
}

static size_t kept_size(char *const *environment)
{
	size_t size = 0, i;

	for (i = 0; i < N_KEPT; i++) {
		const char *value = load_get(environment, kept_names[i]);

		if (value)
			size += strlen(kept_names[i]) + strlen(value) + 2;
	}
	return size;
}

static void keep_environment(char *const *environment)
{
	size_t size = kept_size(environment), n = 0, i;
	char *to = kept_small;

	if (size > sizeof(kept_small)) {
		to = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (to == MAP_FAILED)
			return;
	}
	load_environment = kept_environment;
	for (i = 0; i < N_KEPT; i++) {
		const char *value = load_get(environment, kept_names[i]);

		if (!value)
			continue;
		kept_environment[n++] = to;
		to = stpcpy(stpcpy(stpcpy(to, kept_names[i]), "="), value) + 1;
	}
}

/* exit(3): what is still open says goodbye. */
__attribute__((destructor)) static void end(void)
{
	const struct taps_core *opened = load_core_if_open();

	life_end_all();
	if (opened && !fdtab_borrowed())
		opened->exiting();
}

/* Runs before every other constructor of the process (-z initfirst), possibly before the C library
 * has its environment: hence envp.  No malloc, no stdio, no lock, no thread.  errno is left at 0. */
__attribute__((constructor)) static void start(int argc, char **argv, char **envp)
{
	(void)argc;
	(void)argv;
	real_bind();
	fdtab_adopt_process();
	hello(envp);
	keep_environment(envp);
	note_user();
	flight_count(secured_maybe(), false);
	host.shared = mmap(NULL, SHARED_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	host.shared_size = host.shared == MAP_FAILED ? 0 : SHARED_SIZE;
	started_as = fdtab_process();
	if (fstat(STDERR_FILENO, &stderr_at_start) != 0)
		memset(&stderr_at_start, 0, sizeof(stderr_at_start));
	pthread_atfork(fork_prepare, fdtab_unlock, fork_child);
	errno = 0;
}
