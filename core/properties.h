/* Transport properties (RFC 9622 §4.2, §6.2, §8, §9.1.3): what a connection must, should and must not
 * be.  Values, freely copied; pure: no I/O, no lock, no allocation. */
#ifndef TAPS_CORE_PROPERTIES_H
#define TAPS_CORE_PROPERTIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* RFC 9622 §6.2. */
enum preference { PREF_REQUIRE, PREF_PREFER, PREF_NONE, PREF_AVOID, PREF_PROHIBIT };

enum multipath { MULTIPATH_DISABLED, MULTIPATH_ACTIVE, MULTIPATH_PASSIVE };

enum direction { DIRECTION_BIDIRECTIONAL, DIRECTION_UNIDIR_SEND, DIRECTION_UNIDIR_RECV };

/* RFC 8260 §3. */
enum scheduler {
	SCHEDULER_FCFS,
	SCHEDULER_RR,
	SCHEDULER_RR_PER_PACKET,
	SCHEDULER_PRIORITY,
	SCHEDULER_FAIR,
	SCHEDULER_WFQ,
};

enum capacity {
	CAPACITY_DEFAULT,
	CAPACITY_SCAVENGER,
	CAPACITY_LOW_LATENCY_INTERACTIVE,
	CAPACITY_LOW_LATENCY_NON_INTERACTIVE,
	CAPACITY_CONSTANT_RATE,
	CAPACITY_SEEKING,
};

/* multipathPolicy, RFC 9622 §8.1.7. */
enum sharing { SHARING_HANDOVER, SHARING_INTERACTIVE, SHARING_AGGREGATE };

#define SELECTION_MAX 8
#define SELECTION_NAME_MAX 32

/* Preferences on named things (interfaces, provisioning domains), one per name. */
struct selection {
	unsigned n;
	struct {
		enum preference preference;
		char name[SELECTION_NAME_MAX];
	} item[SELECTION_MAX];
};
#define SELECTION_EMPTY {0}

/* The value "full", "disabled", "unlimited", "infinite" or "default" of a numeric property. */
#define PROPERTY_SPECIAL (-1)

/* How a property is written and kept. */
enum property_kind {
	KIND_PREFERENCE,
	KIND_MULTIPATH,
	KIND_DIRECTION,
	KIND_SCHEDULER,
	KIND_CAPACITY,
	KIND_SHARING,
	KIND_BOOLEAN,
	KIND_PRIORITY,    /* integer ≥ 0 */
	KIND_LENGTH,      /* integer ≥ 0, or "full" */
	KIND_LIMIT,       /* integer ≥ 1, or "unlimited" */
	KIND_TCP_SECONDS, /* integer ≥ 1, or "default" */
	KIND_SECONDS,     /* number > 0, or "disabled" */
	KIND_RATE,        /* number > 0, or "unlimited" */
	KIND_LIFETIME,    /* number > 0, or "infinite" */
	KIND_SELECTION,
};

typedef enum preference prop_PREFERENCE;
typedef enum multipath prop_MULTIPATH;
typedef enum direction prop_DIRECTION;
typedef enum scheduler prop_SCHEDULER;
typedef enum capacity prop_CAPACITY;
typedef enum sharing prop_SHARING;
typedef bool prop_BOOLEAN;
typedef int64_t prop_PRIORITY, prop_LENGTH, prop_LIMIT, prop_TCP_SECONDS;
typedef double prop_SECONDS, prop_RATE, prop_LIFETIME;
typedef struct selection prop_SELECTION;

/* PROP_reliability, … in the order of props.def. */
enum property {
#define X(field, name, kind, def, section, doc) PROP_##field,
#include "core/props.def"
#undef X
	PROPERTIES_N
};

struct properties {
	uint64_t set; /* bit 1 << PROP_x: given explicitly, not by default */
#define X(field, name, kind, def, section, doc) prop_##kind field;
#include "core/props.def"
#undef X
};

/* What props.def says of a property. */
struct property_info {
	const char *name;    /* RFC 9622's */
	const char *section; /* of RFC 9622 */
	const char *doc;
	enum property_kind kind;
};

/* `property` is below PROPERTIES_N. */
const struct property_info *property_info(enum property property);
/* The number of a name (an enum property), or -ENOENT.  Names are spelt exactly as in RFC 9622. */
int property_find(const char *name);
/* The known name most like `name`, for error messages; NULL if none is near. */
const char *property_nearest(const char *name);
/* What can be written: "require|prefer|none|avoid|prohibit", "integer ≥ 0 or \"full\"", … */
const char *property_expects(enum property property);

/* The defaults of RFC 9622 for a reliable byte stream that is initiated; nothing counts as set. */
void properties_default(struct properties *ret);
/* Gives what is not set the default for the kind of socket (SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM: the
 * profiles of RFC 9622 appendix B.2), for the role (§6.2.13, §6.2.14), and by the properties that others
 * follow (§9.1.3.3, §9.1.3.7, §9.1.3.8, §8.2.3).  The last thing done to merged properties. */
void properties_adapt(struct properties *props, int socktype, bool listening);

/* Parses `text` into the property and marks it as set.  A selection is written "require eth0, avoid
 * wwan" and replaces the former one.  Returns 0, -ENOENT for an unknown name, -EINVAL for text that is
 * not of the property's kind, or -ERANGE for a number out of range; on failure nothing changed. */
int properties_set(struct properties *props, const char *name, const char *text);
/* The same by number. */
int properties_set_one(struct properties *props, enum property property, const char *text);
bool properties_is_set(const struct properties *props, enum property property);
/* What is preferred of a property of KIND_PREFERENCE; PREF_NONE of any other. */
enum preference properties_preference(const struct properties *props, enum property property);

/* Takes over from `over` whatever is set there. */
void properties_merge(struct properties *props, const struct properties *over);
/* Puts the prohibitions that are set in `system` (preferences, and names in selections) back into `props`:
 * what lies below the system cannot lift them. */
void properties_enforce(struct properties *props, const struct properties *system);

/* Writes one property so that properties_set() reads it back; cut to `size`.  Returns `buf`.
 * PROPERTY_TEXT_MAX is always enough. */
#define PROPERTY_TEXT_MAX 400
const char *properties_format(const struct properties *props, enum property property, char *buf, size_t size);

#endif
