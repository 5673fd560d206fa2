/* clone(2) without a signal at its end: the child is waited for by __WALL alone, so neither wait(2) of the
 * application's nor its SIGCHLD tells of it. */
#include "core/apart.h"

#include <errno.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#define STACK_SIZE (16 * 1024)

struct errand {
	int (*call)(void *arg);
	void *arg;
	int result;
};

static int run(void *arg)
{
	struct errand *errand = arg;

	setsid();
	errand->result = errand->call(errand->arg);
	return 0;
}

int apart_call(int (*call)(void *arg), void *arg)
{
	static char stack[STACK_SIZE] __attribute__((aligned(64)));
	struct errand errand = {.call = call, .arg = arg};
	pid_t child = clone(run, stack + STACK_SIZE, CLONE_VM | CLONE_FILES | CLONE_VFORK, &errand);

	if (child < 0)
		return call(arg);
	while (waitpid(child, NULL, __WALL) < 0 && errno == EINTR)
		;
	return errand.result;
}
