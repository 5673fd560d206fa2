/* Every interposed call once, with arguments that do no harm: the result and errno must be libc's. */
#include "tests/preload/support/net.h"

#include <aio.h>
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CALL(ret, name, params, args) #name,
static const char *const names[] = {
#include "shim/calls.def"
};
#undef CALL

static char buf[1024];
static void *result;
static int number;
static char *const no_strings[] = {NULL};
static const struct timespec at_once;
static struct aiocb nowhere = {.aio_fildes = -1};

/* Arguments for calls that would crash, wait or close everything with {-1, 0…}. */
static const struct arguments {
	const char *name;
	const void *args[7];
} special[] = {
	{"ppoll", {NULL, NULL, &at_once}},
	{"__ppoll_chk", {NULL, NULL, &at_once}},
	{"poll", {NULL}},
	{"__poll_chk", {NULL}},
	{"closefrom", {(void *)1000000}},
	{"fdopen", {(void *)-1, "r"}},
	{"dprintf", {(void *)-1, "x"}},
	{"aio_read", {&nowhere}},
	{"aio_read64", {&nowhere}},
	{"aio_write", {&nowhere}},
	{"aio_write64", {&nowhere}},
	{"lio_listio", {NULL}},
	{"lio_listio64", {NULL}},
	{"backtrace_symbols_fd", {NULL, NULL, (void *)-1}},
	{"vdprintf", {(void *)-1, "x"}},
	{"getaddrinfo", {NULL, NULL, NULL, &result}},
	{"getaddrinfo_a", {NULL}},
	{"getnameinfo", {NULL}},
	{"freeaddrinfo", {NULL}},
	{"gethostbyname", {""}},
	{"gethostbyname2", {"", (void *)77}},
	{"gethostbyname_r", {"", buf, buf + 512, (void *)512, &result, &number}},
	{"gethostbyname2_r", {"", (void *)77, buf, buf + 512, (void *)512, &result, &number}},
	{"gethostbyaddr", {"\x7f\0\0\1", (void *)3, (void *)AF_INET}},
	{"execve", {"/nonexistent", no_strings, no_strings}},
	{"execv", {"/nonexistent", no_strings}},
	{"execvp", {"/nonexistent", no_strings}},
	{"execvpe", {"/nonexistent", no_strings, no_strings}},
	{"execl", {"/nonexistent", NULL}},
	{"execlp", {"/nonexistent", NULL}},
	{"execle", {"/nonexistent", NULL, no_strings}},
	{"fexecve", {(void *)-1, no_strings, no_strings}},
	{"execveat", {(void *)-1, "nonexistent", no_strings, no_strings}},
	{"posix_spawn", {&number, "/nonexistent", NULL, NULL, no_strings, no_strings}},
	{"posix_spawnp", {&number, "/nonexistent", NULL, NULL, no_strings, no_strings}},
	{"system", {"exit 3"}},
	{"popen", {"exit 3", "x"}},
	{"posix_spawn_file_actions_adddup2", {buf, (void *)-1, NULL}},
	{"syscall", {(void *)-1}},
	{"daemon", {(void *)1, (void *)1}},
	{"clone", {NULL}},
	{"_exit", {(void *)3}},
	{"_Exit", {(void *)3}},
};

static const void *const *arguments_of(const char *name)
{
	static const void *const usual[7] = {(void *)-1};

	for (size_t i = 0; i < sizeof(special) / sizeof(special[0]); i++)
		if (strcmp(name, special[i].name) == 0)
			return special[i].args;
	return usual;
}

static void call(const char *name)
{
	long (*function)(const void *, const void *, const void *, const void *, const void *, const void *,
			 const void *);
	const void *const *a = arguments_of(name);

	/* Of a library that is not here. */
	if (strncmp(name, "io_", 3) == 0)
		return;
	*(void **)&function = dlsym(RTLD_DEFAULT, name);
	if (!function) {
		say("%s: not there", name);
		return;
	}
	pid_t before = getpid();
	errno = 0;
	/* Most return an int: the upper half says nothing. */
	int ret = (int)function(a[0], a[1], a[2], a[3], a[4], a[5], a[6]);
	int error = errno;
	if (getpid() != before)
		_exit(0);
	say("%s: %s %s", name,
	    ret < 0   ? "negative"
	    : ret > 0 ? "positive"
		      : "zero",
	    error ? strerrorname_np(error) : "");
}

int main(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		pid_t pid = fork();
		int status = -1;
		if (pid == 0) {
			alarm(10);
			call(names[i]);
			exit(0);
		}
		need(waitpid(pid, &status, 0) == pid, "waitpid");
		if (status != 0)
			say("%s: status %#x", names[i], (unsigned)status);
	}
	return 0;
}
