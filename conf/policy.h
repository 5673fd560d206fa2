/* Configuration and policy: what the files say, and what that means for one connection.
 *
 * A `struct conf` is immutable once loaded and reference counted; no lock guards it.  Reading follows
 * taps.conf(5).  Nothing here includes libconfig (conf/load.c only). */
#ifndef TAPS_CONF_POLICY_H
#define TAPS_CONF_POLICY_H

#include "conf/security.h"
#include "core/endpoint.h"
#include "core/properties.h"

#include <stdbool.h>
#include <stdint.h>

struct conf;

/* Where to look.  NULL members are skipped. */
struct conf_sources {
	const char *system_dir;      /* $sysconfdir/taps */
	const char *user_dir;        /* $XDG_CONFIG_HOME/taps or ~/.config/taps */
	bool user_secures;           /* it is known to be there and to hold rules that secure */
	const char *const *programs; /* names of the application, most specific first; NULL-terminated */
	const char *file;            /* tapsrun -c */
	const char *const *options;  /* tapsrun -o key=value; NULL-terminated */
};

/* A problem: "FILE:LINE: what, and what was expected", ready to print. */
struct conf_error {
	char text[512];
	bool security; /* the file at fault holds, or may hold, a security rule: fail closed */
};

/* Reads all layers: system, user, application, command line.  On success the caller owns *ret.
 * Never half-applies: returns 0, or -EINVAL (-EACCES, -ENOMEM…) with the first problem in *error. */
int conf_load(const struct conf_sources *sources, struct conf **ret, struct conf_error *error);
/* Empty configuration: the built-in defaults. */
struct conf *conf_default(void);
struct conf *conf_ref(struct conf *conf);
void conf_unref(struct conf *conf);

enum policy_role { POLICY_INITIATE, POLICY_LISTEN };

struct policy_query {
	const char *host;             /* name that the application looked up, or NULL */
	const struct taps_addr *addr; /* address and port that it connects to or listens on */
	int socktype;                 /* SOCK_STREAM or SOCK_DGRAM */
	enum policy_role role;
};

/* Which addresses race for a connection whose application looked up those of one family. */
enum policy_families { FAMILIES_ASKED, FAMILIES_ANY };

enum policy_resolver { RESOLVER_SYSTEM, RESOLVER_TAPS };

/* What holds for one connection.  Strings belong to the conf, which must stay referenced. */
struct policy {
	struct properties properties; /* RFC 9622 §6, merged */
	struct {
		bool enabled;
		int64_t attempt_delay;    /* ns */
		int64_t resolution_delay; /* ns */
		unsigned max_in_flight;
		unsigned first_family_count;
		enum policy_families families;
	} race;
	struct {
		const char *host; /* NULL: the application's own */
		uint16_t port;    /* 0: the application's own */
	} remote;
	enum policy_resolver resolver;
	const struct security *security; /* never clear text; NULL: nothing is said of security */
	bool secured;                    /* security != NULL */
	const char *rule; /* "FILE:LINE" of the rule that fired (that secures, if one does), or NULL */
};

/* The policy for one connection; the first matching rule of each layer, merged by precedence. */
void conf_policy(const struct conf *conf, const struct policy_query *query, struct policy *ret);

/* Which resolver names go to (the configuration's `resolver`), asked before there is a connection. */
enum policy_resolver conf_resolver(const struct conf *conf);
/* Addresses that `hosts` maps a name to (case-insensitive): copies at most `max`, ports zero; 0 if none. */
size_t conf_hosts(const struct conf *conf, const char *name, struct taps_addr *ret, size_t max);
/* Is there any rule that may fire in this program?  Lets hot paths return early. */
bool conf_has_rules(const struct conf *conf);
/* May any rule secure a connection of this program? */
bool conf_secures(const struct conf *conf);
/* "FILE:LINE" of a rule that switches verification off (insecureNoVerify) and may fire in this program, for a
 * warning on each run; NULL if there is none. */
const char *conf_insecure(const struct conf *conf);

#endif
