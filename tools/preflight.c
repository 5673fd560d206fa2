/* The judgement on a command before it is started.
 *
 * The chain that execve(2) would follow is walked: scripts to their interpreters, `env` to the program
 * that it looks up, down to the ELF file whose loader would have to take the shim. */
#include "tools/preflight.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#define SHELL "/bin/sh"
#define DEFAULT_PATH "/bin:/usr/bin" /* confstr(3), _CS_PATH */
#define HEAD_MAX 256                 /* what the kernel looks at of a script's first line */
#define LEVELS_MAX 5                 /* interpreters of interpreters that the kernel follows */
#define CHAIN_MAX 12                 /* the same with `env` in between */

struct walk {
	const struct preflight_user *user;
	struct preflight *ret;
	const char *command;
	unsigned levels; /* scripts so far */
	unsigned length; /* files so far */
	bool nameless;   /* the next file only leads to another: no configuration goes by its name */
};

static void look_at(struct walk *walk, const char *path);

/* Sets the verdict and its reason; the first one stands. */
static void judge(struct walk *walk, enum preflight_verdict verdict, const char *way_out,
		  const char *format, ...)
	__attribute__((format(printf, 4, 5)));
static void judge(struct walk *walk, enum preflight_verdict verdict, const char *way_out,
		  const char *format, ...)
{
	struct preflight *ret = walk->ret;
	size_t used;
	va_list args;

	if (ret->verdict != PREFLIGHT_OK)
		return;
	ret->verdict = verdict;
	va_start(args, format);
	vsnprintf(ret->reason, sizeof(ret->reason), format, args);
	va_end(args);
	used = strlen(ret->reason);
	if (walk->length > 1)
		snprintf(ret->reason + used, sizeof(ret->reason) - used, " (it is what %s runs in)",
			 walk->command);
	snprintf(ret->way_out, sizeof(ret->way_out), "%s", way_out);
}

static void add_name(struct preflight *ret, const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;

	for (unsigned i = 0; i < ret->n_names; i++)
		if (!strcmp(ret->names[i], name))
			return;
	if (ret->n_names == PREFLIGHT_NAMES_MAX || !*name || strlen(name) > NAME_MAX)
		return;
	memcpy(ret->name_text[ret->n_names], name, strlen(name) + 1);
	ret->names[ret->n_names] = ret->name_text[ret->n_names];
	ret->n_names++;
}

static int executable(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EACCES;
	return faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0 ? -errno : 0;
}

/* Finds a name in PATH as execvp(3) does.  A file that may not be executed is passed over, but
 * remembered: -EACCES then, else -ENOENT. */
static int look_up(const char *name, const char *path, char ret[PATH_MAX])
{
	int result = -ENOENT;

	if (strchr(name, '/')) {
		if (snprintf(ret, PATH_MAX, "%s", name) >= PATH_MAX)
			return -ENAMETOOLONG;
		return executable(ret);
	}
	for (const char *at = path ? path : DEFAULT_PATH, *end; *name; at = end + 1) {
		const char *slash;

		end = strchrnul(at, ':');
		slash = end > at ? "/" : ""; /* an empty element is the current folder */
		if (snprintf(ret, PATH_MAX, "%.*s%s%s", (int)(end - at), at, slash, name) < PATH_MAX) {
			int r = executable(ret);

			if (r == 0)
				return 0;
			if (r == -EACCES)
				result = r;
		}
		if (!*end)
			break;
	}
	return result;
}

/* Is the file's set-id bit or capability honoured where it lies? */
static bool honoured(const char *path)
{
	struct statvfs fs;

	return statvfs(path, &fs) < 0 || !(fs.f_flag & ST_NOSUID);
}

/* File capabilities that would raise the privileges of a user who is not root (capabilities(7)). */
static bool has_capabilities(const char *path)
{
	struct vfs_ns_cap_data data = { 0 };
	ssize_t n = getxattr(path, "security.capability", &data, sizeof(data));
	bool permitted;

	if (n < (ssize_t)sizeof(uint32_t))
		return false;
	permitted = data.data[0].permitted || data.data[1].permitted;
	return permitted || (le32toh(data.magic_etc) & VFS_CAP_FLAGS_EFFECTIVE);
}

/* Would the kernel set AT_SECURE (getauxval(3))?  ld.so then ignores the shim. */
static void check_privileges(struct walk *walk, const char *path)
{
	const struct preflight_user *user = walk->user;
	uid_t euid = user->euid;
	gid_t egid = user->egid;
	bool raised = honoured(path);
	struct stat st;

	if (stat(path, &st) < 0)
		return;
	if (raised && !user->no_new_privs && (st.st_mode & S_ISUID))
		euid = st.st_uid;
	if (raised && !user->no_new_privs && (st.st_mode & S_ISGID) && (st.st_mode & S_IXGRP))
		egid = st.st_gid;
	if (user->euid != user->uid || user->egid != user->gid)
		judge(walk, PREFLIGHT_REFUSED, "start tapsrun with equal real and effective user and group",
		      "%s would start with real and effective IDs that differ: its loader preloads nothing",
		      path);
	else if (euid != user->uid)
		judge(walk, PREFLIGHT_REFUSED, "run tapsrun as that user, or use a copy without the bit",
		      "%s is set-user-ID (to user %u): its loader preloads nothing", path, (unsigned)euid);
	else if (egid != user->gid)
		judge(walk, PREFLIGHT_REFUSED, "run tapsrun with that group, or use a copy without the bit",
		      "%s is set-group-ID (to group %u): its loader preloads nothing", path, (unsigned)egid);
	else if (raised && user->uid != 0 && has_capabilities(path))
		judge(walk, PREFLIGHT_REFUSED, "run tapsrun as root, or use a copy without them (setcap -r)",
		      "%s has file capabilities: its loader preloads nothing", path);
}

static void check_loader(struct walk *walk, const char *path, const struct elf_info *elf)
{
	static const char other_libc[] = "use a build of it that is linked with the GNU C library";

	if (!elf->interpreter[0])
		return;
	if (access(elf->interpreter, F_OK) < 0)
		judge(walk, PREFLIGHT_NOT_EXECUTABLE, "", "%s needs the loader %s, which is not there", path,
		      elf->interpreter);
	else if (strstr(elf->interpreter, "/ld-musl"))
		judge(walk, PREFLIGHT_REFUSED, other_libc,
		      "%s is linked with musl, and the shim with the GNU C library", path);
	else if (strstr(elf->interpreter, "/ld-uClibc"))
		judge(walk, PREFLIGHT_REFUSED, other_libc,
		      "%s is linked with uClibc, and the shim with the GNU C library", path);
}

static void check_elf(struct walk *walk, const char *path, const struct elf_info *elf)
{
	const struct elf_info *shim = &walk->user->shim;
	char program[64], own[64];

	if (shim->class && !elf_same_machine(elf, shim)) {
		judge(walk, PREFLIGHT_REFUSED, "use a build of it, or of tapsrun, for the same machine",
			"%s is for %s, and the shim for %s", path, elf_machine_name(elf, program),
			elf_machine_name(shim, own));
	} else if (!elf->dynamic) {
		judge(walk, PREFLIGHT_REFUSED, "use a dynamically linked build of it",
			"%s is statically linked%s: no loader runs that could preload the shim", path,
			elf->go ? " (a Go program)" : "");
	}
	check_loader(walk, path, elf);
	check_privileges(walk, path);
	walk->ret->asan = elf->asan;
	if (elf->go)
		snprintf(walk->ret->note, sizeof(walk->ret->note),
			 "%s is a Go program: only sockets of C libraries in it are intercepted", path);
}

/* Takes the first word off `text`; NULL at its end. */
static char *next_word(char **text)
{
	char *word = *text + strspn(*text, " \t");

	*text = word + strcspn(word, " \t");
	if (**text)
		*(*text)++ = 0;
	return *word ? word : NULL;
}

/* The program in the one argument that the kernel gives to env(1): the whole of it, or with -S the
 * first word that is neither an option nor an assignment. */
static char *env_operand(char *argument)
{
	bool split = !strncmp(argument, "-S", 2) || !strncmp(argument, "-vS", 3);
	char *word;

	if (!split)
		return *argument && *argument != '-' && !strchr(argument, '=') ? argument : NULL;
	argument += strcspn(argument, "S") + 1;
	while ((word = next_word(&argument)) != NULL) {
		if (!strcmp(word, "-u") || !strcmp(word, "-C"))
			next_word(&argument);
		else if (*word != '-' && !strchr(word, '='))
			return word;
	}
	return NULL;
}

/* `path` was named by a script as env(1): the program that it will look up comes next. */
static void follow_env(struct walk *walk, char *argument)
{
	char *operand = env_operand(argument), path[PATH_MAX];

	/* What env cannot find or understand is env's to report. */
	if (operand && look_up(operand, walk->user->path, path) == 0)
		look_at(walk, path);
}

/* A file that begins with "#!"; `line` holds what follows. */
static void follow_script(struct walk *walk, const char *script, char *line)
{
	char *interpreter, *argument, *end;
	bool is_env;

	line[strcspn(line, "\n")] = 0;
	for (end = line + strlen(line); end > line && (end[-1] == ' ' || end[-1] == '\t'); end--)
		end[-1] = 0;
	interpreter = next_word(&line);
	if (!interpreter) {
		walk->ret->shell = true;
		look_at(walk, SHELL);
		return;
	}
	argument = line + strspn(line, " \t");
	if (++walk->levels > LEVELS_MAX) {
		judge(walk, PREFLIGHT_NOT_EXECUTABLE, "", "%s: too many levels of interpreters", script);
		return;
	}
	if (executable(interpreter) < 0) {
		judge(walk, PREFLIGHT_NOT_EXECUTABLE, "", "%s: its interpreter %s: %s", script, interpreter,
			strerror(-executable(interpreter)));
		return;
	}
	end = strrchr(interpreter, '/');
	is_env = !strcmp(end ? end + 1 : interpreter, "env");
	walk->nameless = is_env;
	look_at(walk, interpreter);
	if (is_env)
		follow_env(walk, argument);
}

/* Text as bash(1) and others see it: no NUL in the first line. */
static bool is_text(const char *head, size_t n)
{
	const char *end = memchr(head, '\n', n);

	return !memchr(head, 0, end ? (size_t)(end - head) : n);
}

static void look_into(struct walk *walk, const char *path, int fd)
{
	struct elf_info elf;
	char head[HEAD_MAX];
	ssize_t n = pread(fd, head, sizeof(head) - 1, 0);
	int r = elf_read(fd, &elf);

	head[n > 0 ? n : 0] = 0;
	if (n > 2 && !memcmp(head, "#!", 2))
		follow_script(walk, path, head + 2);
	else if (r == 0)
		check_elf(walk, path, &elf);
	else if (r == -EBADMSG)
		judge(walk, PREFLIGHT_REFUSED, "use an undamaged copy of it", "%s is a damaged ELF file",
		      path);
	else if (n >= 0 && is_text(head, (size_t)n)) {
		walk->ret->shell = true;
		look_at(walk, SHELL);
	}
	/* Anything else is the kernel's to know (binfmt_misc), or to refuse. */
}

static void look_at(struct walk *walk, const char *path)
{
	char real[PATH_MAX];
	int fd;

	if (++walk->length > CHAIN_MAX) {
		judge(walk, PREFLIGHT_NOT_EXECUTABLE, "", "%s: too many levels of interpreters", path);
		return;
	}
	if (!walk->nameless)
		add_name(walk->ret, path);
	if (!walk->nameless && realpath(path, real))
		add_name(walk->ret, real);
	walk->nameless = false;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0) { /* a file may be executable without being readable */
		check_privileges(walk, path);
		return;
	}
	look_into(walk, path, fd);
	close(fd);
}

void preflight_myself(struct preflight_user *ret)
{
	ret->path = getenv("PATH");
	ret->uid = getuid();
	ret->euid = geteuid();
	ret->gid = getgid();
	ret->egid = getegid();
	ret->no_new_privs = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;
}

void preflight(const char *command, const struct preflight_user *user, struct preflight *ret)
{
	struct walk walk = { .user = user, .ret = ret, .command = command };
	int r;

	memset(ret, 0, sizeof(*ret));
	r = look_up(command, user->path, ret->path);
	if (r == -ENOENT || r == -ENOTDIR || r == -ENAMETOOLONG)
		judge(&walk, PREFLIGHT_NOT_FOUND, "", "%s: %s", command,
			strchr(command, '/') ? strerror(-r) : "command not found");
	else if (r < 0)
		judge(&walk, PREFLIGHT_NOT_EXECUTABLE, "", "%s: %s", command, strerror(-r));
	else
		look_at(&walk, ret->path);
}
