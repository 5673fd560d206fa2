/* clone(2) without a signal at its end: the child is waited for by __WALL alone, so neither wait(2) of the
 * application's nor its SIGCHLD tells of it. */
#include "core/apart.h"

#include <errno.h>
#include <sched.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/host.h"

#define CALL_STACK (16 * 1024)
#define FORK_STACK (1024 * 1024) /* the new process stays on it, and runs whatever PKCS#11 modules ask */
#define GUARD (64 * 1024)

struct errand {
	int (*call)(void *arg);
	void *arg;
	int result;
};

static int run_errand(void *arg)
{
	struct errand *errand = arg;

	setsid();
	errand->result = errand->call(errand->arg);
	return 0;
}

/* Returns 0 once the errand is done, or -errno: it was not begun. */
static int run_apart(struct errand *errand, char *stack_end, int flags)
{
	pid_t child = clone(run_errand, stack_end, CLONE_VM | CLONE_VFORK | flags, errand);

	if (child < 0)
		return -errno;
	while (waitpid(child, NULL, __WALL) < 0 && errno == EINTR)
		;
	return 0;
}

int apart_call(int (*call)(void *arg), void *arg)
{
	static char stack[CALL_STACK] __attribute__((aligned(64)));
	struct errand errand = {.call = call, .arg = arg};

	if (run_apart(&errand, stack + CALL_STACK, CLONE_FILES) < 0)
		return call(arg);
	return errand.result;
}

struct birth {
	void (*run)(void *arg);
	void *arg;
};

static int give_birth(void *arg)
{
	const struct birth *birth = arg;
	pid_t child = taps_host->fork();

	if (child == 0) {
		birth->run(birth->arg);
		/* Not _exit(3): AddressSanitizer looks for the stack of a thread first. */
		syscall(SYS_exit_group, 0);
	}
	return child < 0 ? -errno : 0;
}

int apart_fork(void (*run)(void *arg), void *arg)
{
	struct birth birth = {.run = run, .arg = arg};
	struct errand errand = {.call = give_birth, .arg = &birth};
	char *stack = mmap(NULL, GUARD + FORK_STACK, PROT_NONE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
	int result;

	if (stack == MAP_FAILED)
		return -errno;
	if (mprotect(stack + GUARD, FORK_STACK, PROT_READ | PROT_WRITE) == 0)
		result = run_apart(&errand, stack + GUARD + FORK_STACK, 0);
	else
		result = -errno;
	munmap(stack, GUARD + FORK_STACK);
	return result < 0 ? result : errand.result;
}
