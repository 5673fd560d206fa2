/* From a judged command to a running one. */
#include "tools/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SHIM "libtaps-shim.so"
#define ASAN_KEY "verify_asan_link_order=0"

/* Relative to the folder of this program: a build tree, libtool's own copy in it, an installation
 * that was moved as a whole. */
static const char *const places[] = { ".libs/" SHIM, "../.libs/" SHIM, SHIM, "../lib/taps/" SHIM };

static int read_machine(const char *path, struct elf_info *ret)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY), r;

	if (fd < 0)
		return -errno;
	r = elf_read(fd, ret);
	close(fd);
	return r;
}

/* The folder of /proc/self/exe, with the slash; "" where it cannot be told. */
static void own_folder(char ret[PATH_MAX])
{
	ssize_t n = readlink("/proc/self/exe", ret, PATH_MAX - 1);
	char *slash;

	ret[n > 0 ? n : 0] = 0;
	slash = strrchr(ret, '/');
	if (slash)
		slash[1] = 0;
}

static int find_beside(char path[PATH_MAX])
{
	char folder[PATH_MAX], place[2 * PATH_MAX];

	own_folder(folder);
	for (unsigned i = 0; folder[0] && i < sizeof(places) / sizeof(places[0]); i++) {
		snprintf(place, sizeof(place), "%s%s", folder, places[i]);
		if (access(place, F_OK) == 0 && realpath(place, path))
			return 0;
	}
	return -ENOENT;
}

int launch_find_shim(char path[PATH_MAX], struct elf_info *ret)
{
	if (find_beside(path) < 0)
		snprintf(path, PATH_MAX, "%s/%s", TAPS_LIBDIR, SHIM);
	if (access(path, F_OK) < 0)
		return -errno;
	if (strpbrk(path, " :"))
		return -EINVAL;
	return read_machine(path, ret);
}

static bool contains(const char *list, const char *item, const char *separators)
{
	size_t length = strlen(item);

	for (list += strspn(list, separators); *list; list += strspn(list, separators)) {
		size_t n = strcspn(list, separators);

		if (n == length && !memcmp(list, item, n))
			return true;
		list += n;
	}
	return false;
}

char *launch_append(const char *old, const char *item, const char *separators)
{
	char *list;

	if (!old || !*old)
		return strdup(item);
	if (contains(old, item, separators))
		return strdup(old);
	return asprintf(&list, "%s%c%s", old, separators[0], item) < 0 ? NULL : list;
}

static int append_variable(const char *variable, const char *item, const char *separators)
{
	char *list = launch_append(getenv(variable), item, separators);
	int r = list ? setenv(variable, list, 1) : -1;

	free(list);
	return r < 0 ? -ENOMEM : 0;
}

int launch_preload(const char *shim, bool asan)
{
	int r = append_variable("LD_PRELOAD", shim, ": ");

	if (r == 0 && asan)
		r = append_variable("ASAN_OPTIONS", ASAN_KEY, ":, ");
	return r;
}

int launch_exec(const char *path, char **argv, bool shell)
{
	int argc = 0, r;
	char **sh;

	execv(path, argv);
	r = -errno;
	if (r != -ENOEXEC || !shell)
		return r;
	while (argv[argc])
		argc++;
	sh = calloc((size_t)argc + 2, sizeof(*sh));
	if (!sh)
		return -ENOMEM;
	sh[0] = (char *)"/bin/sh";
	sh[1] = (char *)path;
	memcpy(sh + 2, argv + 1, (size_t)argc * sizeof(*sh));
	execv(sh[0], sh);
	r = -errno;
	free(sh);
	return r;
}
