/* spawn COUNT COMMAND… -- COMMAND…: runs two commands in turn, each COUNT times, and prints the median
 * milliseconds of the first, of the second, and of the difference between neighbours.  NAME=VALUE words in
 * front of a command go to its environment. */
#include <err.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#define WARM_UP 3

extern char **environ;

struct command {
	char **argv, **environment;
};

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static struct command command(char **argv)
{
	struct command command = {.argv = argv};
	size_t n = 0, words = 0;

	while (environ[n])
		n++;
	while (argv[words] && strchr(argv[words], '='))
		words++;
	command.environment = calloc(n + words + 1, sizeof(char *));
	if (!command.environment)
		err(1, "calloc");
	memcpy(command.environment, argv, words * sizeof(char *));
	memcpy(command.environment + words, environ, n * sizeof(char *));
	command.argv += words;
	return command;
}

static double run(const struct command *command)
{
	double begin = now();
	int status, error;
	pid_t pid;

	error = posix_spawn(&pid, command->argv[0], NULL, NULL, command->argv, command->environment);
	if (error)
		errx(1, "%s: %s", command->argv[0], strerror(error));
	if (waitpid(pid, &status, 0) != pid || status != 0)
		errx(1, "%s failed", command->argv[0]);
	return now() - begin;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values, int n)
{
	qsort(values, (size_t)n, sizeof(*values), compare);
	return values[n / 2];
}

int main(int argc, char **argv)
{
	int count = argc > 1 ? atoi(argv[1]) : 0, split = 2;
	double *first, *second, *difference;
	struct command a, b;

	while (split < argc && strcmp(argv[split], "--"))
		split++;
	if (count < 1 || split >= argc - 1)
		errx(2, "usage: spawn COUNT COMMAND… -- COMMAND…");
	argv[split] = NULL;
	a = command(argv + 2);
	b = command(argv + split + 1);
	first = calloc((size_t)count * 3, sizeof(*first));
	if (!first)
		err(1, "calloc");
	second = first + count;
	difference = second + count;
	for (int i = -WARM_UP; i < count; i++) {
		double x = run(&a), y = run(&b);

		if (i < 0)
			continue;
		first[i] = x;
		second[i] = y;
		difference[i] = y - x;
	}
	printf("%.3f %.3f %.3f\n", median(first, count), median(second, count), median(difference, count));
	return 0;
}
