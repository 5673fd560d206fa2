/* The external verifier.  A grandchild runs it, so that the application's wait(2) never sees it; its
 * verdict comes over a pipe: its process group, then a byte for yes, the end of the pipe for no. */
#include "core/tls_verifier.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/host.h"

#define SCRIPT "/bin/sh -c \"$1\" >&2 && printf Y >&3 2>/dev/null"

static int chain_file(const char *chain)
{
	int fd = memfd_create("chain", MFD_CLOEXEC);
	size_t left = strlen(chain);

	while (fd >= 0 && left > 0) {
		ssize_t n = taps_host->write(fd, chain, left);

		if (n <= 0) {
			taps_host->close(fd);
			return -1;
		}
		chain += n;
		left -= (size_t)n;
	}
	if (fd >= 0)
		lseek(fd, 0, SEEK_SET);
	return fd;
}

static void run(const char *command, int chain, int verdict)
{
	pid_t group = getpid();
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setpgid(0, 0);
	if (taps_host->write(verdict, &group, sizeof(group)) != sizeof(group))
		_exit(127);
	/* Above 3 first: either number may be in the other's place. */
	chain = fcntl(chain, F_DUPFD, 10);
	verdict = fcntl(verdict, F_DUPFD, 10);
	taps_host->dup3(chain, STDIN_FILENO, 0);
	taps_host->dup3(STDERR_FILENO, STDOUT_FILENO, 0);
	taps_host->dup3(verdict, 3, 0);
	close_range(4, ~0u, 0);
	execl("/bin/sh", "sh", "-c", SCRIPT, "sh", command, (char *)NULL);
	_exit(127);
}

/* Returns the pipe's reading end, or -1. */
static int start(const char *command, int chain)
{
	int ends[2], status;
	pid_t child;

	if (pipe2(ends, O_CLOEXEC) != 0)
		return -1;
	child = taps_host->fork();
	if (child == 0) {
		if (taps_host->fork() == 0)
			run(command, chain, ends[1]);
		_exit(0);
	}
	taps_host->close(ends[1]);
	if (child > 0)
		while (waitpid(child, &status, 0) < 0 && errno == EINTR)
			;
	return ends[0];
}

/* Its answer within the time, or nothing. */
static int listen_to(int pipe, unsigned timeout, char *verdict)
{
	struct pollfd answer = {.fd = pipe, .events = POLLIN};
	pid_t group;
	int ready;

	if (taps_host->read(pipe, &group, sizeof(group)) != sizeof(group))
		return -1;
	ready = taps_host->poll(&answer, 1, (int)timeout);
	if (ready > 0 && taps_host->read(pipe, verdict, 1) != 1)
		*verdict = 0;
	/* Whoever still has the pipe's other end is of that group. */
	if (ready == 0)
		kill(-group, SIGKILL);
	return ready;
}

bool tls_verifier_ask(struct secure_context *context, const char *chain, char *line, size_t size)
{
	const char *command;
	unsigned timeout;
	char verdict = 0;
	int file, pipe, ready = -1;

	command = tls_context_verifier(context, &timeout);
	file = chain_file(chain);
	if (file < 0) {
		snprintf(line, size, "the verifier cannot be run");
		return false;
	}
	pipe = start(command, file);
	taps_host->close(file);
	if (pipe >= 0) {
		ready = listen_to(pipe, timeout, &verdict);
		taps_host->close(pipe);
	}
	snprintf(line, size, ready == 0 ? "no answer in time" : "not this certificate");
	return verdict == 'Y';
}
