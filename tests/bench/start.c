/* start ROUNDS SHIM TAPSRUN: how long /bin/true takes from its start to its end: bare, with the shim
 * preloaded, and through tapsrun, in turn.  Prints the three medians in milliseconds. */
#include <err.h>
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#define PROGRAM "/bin/true"
#define MAX_ROUNDS 2000

extern char **environ;

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

/* A copy of the environment with one more line, or without. */
static char **environment(const char *line)
{
	size_t n = 0;
	char **copy;

	while (environ[n])
		n++;
	copy = calloc(n + 2, sizeof(*copy));
	if (!copy)
		err(1, "calloc");
	memcpy(copy, environ, n * sizeof(*copy));
	copy[n] = (char *)line;
	return copy;
}

static double run(char *const *args, char *const *env)
{
	double begin = now();
	int status, r;
	pid_t pid;

	r = posix_spawn(&pid, args[0], NULL, NULL, args, env);
	if (r != 0 || waitpid(pid, &status, 0) != pid) {
		errno = r ? r : errno;
		err(1, "%s", args[0]);
	}
	if (status != 0)
		errx(1, "%s: status %d", args[0], status);
	return now() - begin;
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	static double samples[3][MAX_ROUNDS];
	char *bare[] = {PROGRAM, NULL}, *launched[] = {argv[3], PROGRAM, NULL};
	char **plain, **preloading, line[4096];
	int rounds = argc == 4 ? atoi(argv[1]) : 0;

	if (rounds < 1 || rounds > MAX_ROUNDS)
		errx(2, "usage: start ROUNDS SHIM TAPSRUN");
	unsetenv("LD_PRELOAD");
	snprintf(line, sizeof(line), "LD_PRELOAD=%s", argv[2]);
	plain = environment(NULL);
	preloading = environment(line);
	for (int i = -5; i < rounds; i++) {
		int at = i < 0 ? 0 : i;

		samples[0][at] = run(bare, plain);
		samples[1][at] = run(bare, preloading);
		samples[2][at] = run(launched, plain);
	}
	for (int i = 0; i < 3; i++) {
		qsort(samples[i], (size_t)rounds, sizeof(double), ascending);
		printf("%.4f%c", samples[i][rounds / 2], i < 2 ? ' ' : '\n');
	}
	return 0;
}
