/* A directory with configuration files, for the tests of conf/. */
#ifndef TAPS_TESTS_UNIT_CONFDIR_H
#define TAPS_TESTS_UNIT_CONFDIR_H

#include <stdbool.h>

#include "conf/policy.h"

struct confdir {
	char path[256];
};

/* cmocka's setup and teardown: *state is the struct confdir, whose directory goes with all that is in it. */
int confdir_setup(void **state);
int confdir_teardown(void **state);

/* Writes NAME in the directory (making folders on the way), mode 0644.  Returns its path, which holds until
 * 64 more have been asked for. */
const char *confdir_write(const struct confdir *dir, const char *name, const char *text);
/* The path of NAME, which need not be there. */
const char *confdir_path(const struct confdir *dir, const char *name);

/* Loads `text` as -c file; fails the test if it is refused.  Free with conf_unref(). */
struct conf *confdir_load(const struct confdir *dir, const char *text);
/* Runs the function in a child with the user nobody's rights; true if it returned true.  Needs root. */
bool confdir_as_nobody(bool (*run)(void *), void *arg);

/* A query for a stream connection to NAME (or NULL), ADDRESS and port. */
struct policy_query confdir_query(const char *host, struct taps_addr *addr, const char *address,
				  uint16_t port);

#endif
