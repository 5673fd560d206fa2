/* A directory with configuration files, for the tests of conf/. */
#include "tests/unit/confdir.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define NOBODY 65534

int confdir_setup(void **state)
{
	struct confdir *dir = malloc(sizeof(*dir));
	const char *parent = getenv("TMPDIR");

	if (!dir)
		return -1;
	snprintf(dir->path, sizeof(dir->path), "%s/conf.XXXXXX", parent ? parent : P_tmpdir);
	if (!mkdtemp(dir->path) || chmod(dir->path, 0755) < 0)
		return -1;
	*state = dir;
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

int confdir_teardown(void **state)
{
	struct confdir *dir = *state;
	int r = nftw(dir->path, remove_one, 8, FTW_DEPTH | FTW_PHYS);

	free(dir);
	return r;
}

const char *confdir_path(const struct confdir *dir, const char *name)
{
	static char paths[64][512];
	static unsigned next;
	char *path = paths[next++ % 64];

	snprintf(path, sizeof(paths[0]), "%s/%s", dir->path, name);
	return path;
}

const char *confdir_write(const struct confdir *dir, const char *name, const char *text)
{
	const char *path = confdir_path(dir, name);
	FILE *file;

	for (char *slash = strchr(path + strlen(dir->path) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(path, 0755);
		*slash = '/';
	}
	file = fopen(path, "w");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(path, 0644), 0);
	return path;
}

struct conf *confdir_load(const struct confdir *dir, const char *text)
{
	struct conf_sources sources = {.file = confdir_write(dir, "load.conf", text)};
	struct conf_error error;
	struct conf *conf = NULL;

	if (conf_load(&sources, &conf, &error) < 0)
		fail_msg("%s", error.text);
	return conf;
}

bool confdir_as_nobody(bool (*run)(void *), void *arg)
{
	pid_t child = fork();
	int status = -1;

	assert_true(child >= 0);
	if (child == 0)
		_exit(setgid(NOBODY) < 0 || setuid(NOBODY) < 0 ? 2 : !run(arg));
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

struct policy_query confdir_query(const char *host, struct taps_addr *addr, const char *address,
				  uint16_t port)
{
	assert_int_equal(addr_parse(addr, address, port), 0);
	return (struct policy_query){host, addr, SOCK_STREAM, POLICY_INITIATE};
}
