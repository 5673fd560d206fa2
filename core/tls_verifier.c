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

/* Returns the pipe's reading end, or -1.  _Fork(3): nobody's handlers are for the children, which do nothing
 * but run a program; ours would start a thread of the loop's in them. */
static int start(const char *command, int chain)
{
	int ends[2], status;
	pid_t child;

	if (pipe2(ends, O_CLOEXEC) != 0)
		return -1;
	child = _Fork();
	if (child == 0) {
		if (_Fork() == 0)
			run(command, chain, ends[1]);
		_exit(0);
	}
	taps_host->close(ends[1]);
	if (child > 0)
		while (waitpid(child, &status, 0) < 0 && errno == EINTR)
			;
	return ends[0];
}

int tls_verifier_ask(struct secure_context *context, const char *chain, struct tls_verifier *ret)
{
	const char *command;
	unsigned timeout;
	int file = chain_file(chain), answer;

	*ret = (struct tls_verifier){.answer = -1};
	command = tls_context_verifier(context, &timeout);
	if (file < 0)
		return -EIO;
	answer = start(command, file);
	taps_host->close(file);
	answer = answer < 0 ? -EIO : taps_host->fd_keep(answer);
	if (answer < 0)
		return answer;
	taps_host->fcntl(answer, F_SETFL, O_NONBLOCK);
	ret->answer = answer;
	ret->end = now_ns() + timeout * NS_PER_MS;
	return 0;
}

/* Whoever still has the pipe's other end is of that group. */
static void end(struct tls_verifier *verifier, bool kill_it)
{
	if (kill_it && verifier->group > 0)
		kill(-verifier->group, SIGKILL);
	taps_host->fd_drop(verifier->answer);
	verifier->answer = -1;
}

void tls_verifier_stop(struct tls_verifier *verifier)
{
	if (verifier->answer >= 0)
		end(verifier, true);
}

static int left_ms(int64_t end)
{
	int64_t left = end - now_ns();

	return left > 0 ? (int)(left / NS_PER_MS) + 1 : 0;
}

/* As read(2), up to the verifier's end if it waits. */
static ssize_t listen_to(const struct tls_verifier *verifier, void *buf, size_t size, bool waits)
{
	struct pollfd answer = {.fd = verifier->answer, .events = POLLIN};
	ssize_t n;

	do
		n = taps_host->read(verifier->answer, buf, size);
	while (n < 0 && (errno == EINTR || (errno == EAGAIN && waits && now_ns() < verifier->end &&
					    taps_host->poll(&answer, 1, left_ms(verifier->end)) != 0)));
	return n;
}

int tls_verifier_hear(struct tls_verifier *verifier, bool waits, char *line, size_t size)
{
	ssize_t n = sizeof(verifier->group);
	char verdict = 0;

	if (verifier->group == 0)
		n = listen_to(verifier, &verifier->group, sizeof(verifier->group), waits);
	if (n == sizeof(verifier->group))
		n = listen_to(verifier, &verdict, 1, waits);
	if (n < 0 && now_ns() < verifier->end)
		return -EAGAIN;
	snprintf(line, size, n < 0 ? "no answer in time" : "not this certificate");
	end(verifier, n < 0);
	return n == 1 && verdict == 'Y';
}
