/* A configuration as it is kept: layers of values and rules.  Private to conf/. */
#ifndef TAPS_CONF_CONF_H
#define TAPS_CONF_CONF_H

#include "conf/arena.h"
#include "conf/keys.h"
#include "conf/policy.h"

#include <stdatomic.h>

/* Where a value was written. */
struct origin {
	const char *file; /* or "-o", "default" */
	unsigned line;    /* 0: there are none */
};

struct prefix {
	struct taps_addr addr;
	unsigned bits;
};

struct prefixes {
	const struct prefix *item;
	unsigned n;
};

struct port_range {
	uint16_t first, last;
};

struct port_ranges {
	const struct port_range *item;
	unsigned n;
};

struct addresses {
	const struct taps_addr *item;
	unsigned n;
};

enum match_type { MATCH_ANY_TYPE, MATCH_STREAM, MATCH_DATAGRAM };
enum match_role { MATCH_ANY_ROLE, MATCH_INITIATE, MATCH_LISTEN };

/* What must hold of a connection for a rule to fire; an empty list holds always. */
struct match {
	struct security_texts host;
	struct prefixes address;
	struct port_ranges port;
	struct security_texts program;
	enum match_type type;
	enum match_role role;
};

/* What a file's top, or a rule, sets.  A field holds where origin[] of its key is set; properties know
 * by themselves which of them are set. */
struct conf_values {
	struct policy policy;
	struct security security;
	const struct origin *origin[KEYS_N];
};

struct conf_rule {
	struct conf_values values;
	struct match match;
	struct origin origin;
	const char *text; /* "FILE:LINE" */
	bool foreign;     /* for another program: never fires */
	const struct conf_values *secured; /* what its security comes to; NULL: it does not secure */
};

struct conf_host {
	const char *name;
	struct addresses address;
};

struct conf_hosts_list {
	struct conf_host *item;
	unsigned n;
};

struct conf_rules_list {
	struct conf_rule *item;
	unsigned n;
};

/* Later layers override earlier ones; what the system's prohibit stays prohibited. */
enum layer_rank {
	LAYER_SYSTEM,     /* system_dir/system.conf */
	LAYER_SYSTEM_APP, /* system_dir/apps/NAME.conf */
	LAYER_USER,       /* user_dir/taps.conf */
	LAYER_USER_APP,   /* user_dir/apps/NAME.conf */
	LAYER_FILE,       /* -c */
	LAYER_OPTIONS,    /* -o */
	LAYERS_N
};

struct conf_layer {
	struct conf_values values; /* first: keys of the top and of a rule have the same offsets */
	struct conf_rules_list rules;
	struct conf_hosts_list hosts;
	struct security_texts include; /* absolute, or relative to the working directory */
	const char *file;     /* the layer's own file, or "-o"; NULL: the layer is empty */
};

struct conf {
	_Atomic unsigned refs;
	struct arena arena;
	struct conf_values defaults;
	struct conf_layer layer[LAYERS_N];
	enum policy_resolver resolver;
	bool has_rules; /* one that can fire in this program */
};

/* Writes "FILE:LINE: what" into *error; without a line where line is 0.  Returns -code. */
int conf_fail(struct conf_error *error, int code, const struct origin *where, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* Is the layer the system administrator's? */
static inline bool layer_is_system(enum layer_rank rank)
{
	return rank <= LAYER_SYSTEM_APP;
}

/* Takes over from `over` each field whose key is set there, with its origin, and its properties. */
void values_merge(struct conf_values *values, const struct conf_values *over);
/* Adds what `under` says and *layer does not; rules and hosts of `under` come last.  Returns 0 or -ENOMEM. */
int layer_add(struct arena *arena, struct conf_layer *layer, const struct conf_layer *under);

/* "FILE:LINE", or "FILE" where there are no lines; in the arena, or NULL. */
const char *origin_text(struct arena *arena, const struct origin *origin);
/* Writes "FILE:LINE: what" into *error; without a line where it is 0.  Returns -code. */
int conf_fail(struct conf_error *error, int code, const struct origin *where, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* The rule that secures a connection, of those that fired: the system's goes before others.  NULL if none
 * does. */
const struct conf_rule *policy_securing(const struct conf_rule *const fired[LAYERS_N]);
/* What holds for a connection by the layers up to `last`, and which rule of each fired (NULL: none).
 * Without a query, what holds where no rule fires. */
void policy_values(const struct conf *conf, const struct policy_query *query, enum layer_rank last,
		   struct conf_values *ret, const struct conf_rule *ret_fired[LAYERS_N]);

#endif
