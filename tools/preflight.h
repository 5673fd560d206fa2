/* Looking before leaping: finds the command as execvp(3) does, and says whether the shim can work in it.
 *
 * Reads files, starts nothing, prints nothing. */
#ifndef TAPS_TOOLS_PREFLIGHT_H
#define TAPS_TOOLS_PREFLIGHT_H

#include "tools/elf.h"

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

/* Names under which the program may have a configuration file of its own. */
#define PREFLIGHT_NAMES_MAX 8

enum preflight_verdict {
	PREFLIGHT_OK,
	PREFLIGHT_REFUSED,        /* it can run, but not with the shim in it */
	PREFLIGHT_NOT_EXECUTABLE, /* it cannot run at all */
	PREFLIGHT_NOT_FOUND,
};

/* Who runs the command, and with what. */
struct preflight_user {
	const char *path;      /* the environment's PATH, or NULL */
	uid_t uid, euid;
	gid_t gid, egid;
	bool no_new_privs;     /* prctl(2), PR_SET_NO_NEW_PRIVS: set-id bits have no effect */
	struct elf_info shim;  /* what is to be preloaded; class 0 where it is not known */
};

struct preflight {
	enum preflight_verdict verdict;
	char path[PATH_MAX];  /* the file to execute */
	bool shell;           /* text that the kernel does not know: execvp(3) gives it to /bin/sh */
	bool asan;            /* the program is linked with AddressSanitizer's shared runtime */
	char reason[PATH_MAX + 512];  /* why not, unless OK; begins with the file at fault */
	char way_out[256];    /* what to do about a refusal */
	char note[PATH_MAX + 256];    /* what the user should know though it runs, or "" */
	/* Names of the command, its interpreters and the final file, most specific first; NULL-terminated. */
	const char *names[PREFLIGHT_NAMES_MAX + 1];
	char name_text[PREFLIGHT_NAMES_MAX][NAME_MAX + 1];
	unsigned n_names;
};

/* Fills in `uid`…`no_new_privs` and `path` from this process. */
void preflight_myself(struct preflight_user *ret);

/* Judges `command` (a path, or a name to look up in user->path).  The result is in ret->verdict. */
void preflight(const char *command, const struct preflight_user *user, struct preflight *ret);

#endif
