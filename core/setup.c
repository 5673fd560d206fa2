/* What the environment and the files say about this process: its configuration. */
#include "core/setup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/host.h"
#include "core/wait.h"

const char *setup_variable(const char *name)
{
	char *const *at;
	size_t n = strlen(name);

	for (at = taps_host->environment; at && *at; at++)
		if (strncmp(*at, name, n) == 0 && (*at)[n] == '=')
			return *at + n + 1;
	return NULL;
}

/* TAPS_OPTIONS holds the launcher's -o arguments, one on a line. Returns them with their text in
 * one piece, to be freed, or NULL when memory is short. */
static const char **split_options(const char *text)
{
	size_t lines = 1, len = strlen(text) + 1, n = 0;
	const char *at = text, **options;
	char *copy, *save = NULL, *line;

	while ((at = strchr(at, '\n'))) {
		lines++;
		at++;
	}
	options = taps_host->malloc((lines + 1) * sizeof(*options) + len);
	if (!options)
		return NULL;
	copy = memcpy(options + lines + 1, text, len);
	for (line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		options[n++] = line;
	options[n] = NULL;
	return options;
}

static const char *user_dir(char *buf, size_t size)
{
	const char *base = setup_variable("XDG_CONFIG_HOME"), *home = setup_variable("HOME");
	int n = -1;

	if (base && *base == '/')
		n = snprintf(buf, size, "%s/taps", base);
	else if (home && *home == '/')
		n = snprintf(buf, size, "%s/.config/taps", home);
	return n > 0 && (size_t)n < size ? buf : NULL;
}

/* The shim found so when the process, or the one that executed it, began. */
static bool is_known_to_secure(const char *dir)
{
	const char *known = setup_variable("TAPS_USER");

	return known && strcmp(known, dir) == 0;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* Reads at most size - 1 bytes of a small file; the rest of buf is zero. */
static ssize_t read_start(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	memset(buf, 0, size);
	if (fd < 0)
		return -1;
	n = taps_host->read(fd, buf, size - 1);
	taps_host->close(fd);
	return n;
}

/* Is the file a script whose first line names the interpreter that runs here? */
static bool is_script_of(const char *path, const char *interpreter)
{
	char line[256], *save, *word;
	bool found = false;

	if (read_start(path, line, sizeof(line)) < 2 || line[0] != '#' || line[1] != '!')
		return false;
	line[strcspn(line, "\n")] = 0;
	for (word = strtok_r(line + 2, " \t", &save); word; word = strtok_r(NULL, " \t", &save))
		found |= strcmp(base_name(word), interpreter) == 0;
	return found;
}

/* The script that this process runs, as execve(2) hands it to the interpreter: its second argument. */
static const char *script_name(char *arguments, size_t size)
{
	const char *second;

	if (read_start("/proc/self/cmdline", arguments, size) <= 0)
		return NULL;
	second = arguments + strlen(arguments) + 1;
	if (second >= arguments + size - 1 || !strchr(second, '/'))
		return NULL;
	return is_script_of(second, program_invocation_short_name) ? base_name(second) : NULL;
}

#define NAMES_MAX 3

/* The names that an application's configuration goes by: the script's, the name that it was called by, its
 * file's. */
static void program_names(char *exe, char *arguments, size_t size, const char *names[NAMES_MAX + 1])
{
	ssize_t n = readlink("/proc/self/exe", exe, size - 1);
	const char *script = script_name(arguments, size);
	unsigned count = 0;

	if (script)
		names[count++] = script;
	names[count++] = program_invocation_short_name;
	if (n > 0) {
		exe[n] = 0;
		if (strcmp(base_name(exe), program_invocation_short_name) != 0)
			names[count++] = base_name(exe);
	}
	names[count] = NULL;
}

static int read_configuration(struct conf **ret, struct conf_error *problem)
{
	const char *text = setup_variable("TAPS_OPTIONS"), **options = split_options(text ? text : "");
	const char *names[NAMES_MAX + 1];
	char dir[PATH_MAX], exe[PATH_MAX], arguments[PATH_MAX];
	const char *user = user_dir(dir, sizeof(dir));
	struct conf_sources sources = {
		.system_dir = TAPS_SYSCONFDIR,
		.user_dir = user,
		.user_secures = user && is_known_to_secure(user),
		.programs = names,
		.file = setup_variable("TAPS_CONFIG"),
		.options = options,
	};

	int result;

	if (!options) {
		*problem = (struct conf_error){"out of memory", true};
		return -ENOMEM;
	}
	program_names(exe, arguments, sizeof(exe), names);
	result = conf_load(&sources, ret, problem);
	taps_host->free(options);
	return result;
}

struct conf *setup_configuration(bool *ret_fail_closed)
{
	struct conf_error problem = {0};
	struct conf *conf = NULL;

	*ret_fail_closed = false;
	if (read_configuration(&conf, &problem) == 0)
		return conf;
	*ret_fail_closed = problem.security;
	wait_say("%s: %s", problem.text,
		 problem.security ? "no connection is made" : "configuration ignored");
	return conf_default();
}
