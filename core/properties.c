/* Transport properties as a table: props.def says what there is, property_kinds[] how it is written.
 * Everything here walks these two. */
#include "core/properties.h"

#include "core/text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* How a value is held in memory. */
enum base { BASE_WORD, BASE_BOOLEAN, BASE_INTEGER, BASE_NUMBER, BASE_SELECTION };

struct kind {
	enum base base;
	const char *const *words; /* of a WORD or BOOLEAN, by value; NULL-terminated */
	const char *special;      /* what PROPERTY_SPECIAL is written as, or NULL */
	int64_t least;            /* of an INTEGER */
	const char *expects;
};

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static const char *const preference_words[] = {"require", "prefer", "none", "avoid", "prohibit", NULL};

static const struct kind property_kinds[] = {
	[KIND_PREFERENCE] = {BASE_WORD, preference_words, NULL, 0, "require|prefer|none|avoid|prohibit"},
	[KIND_MULTIPATH] = {BASE_WORD, WORDS("disabled", "active", "passive"), NULL, 0,
			    "disabled|active|passive"},
	[KIND_DIRECTION] = {BASE_WORD, WORDS("bidirectional", "unidirectional-send",
					     "unidirectional-receive"),
			    NULL, 0, "bidirectional|unidirectional-send|unidirectional-receive"},
	[KIND_SCHEDULER] = {BASE_WORD, WORDS("fcfs", "rr", "rr-per-packet", "priority", "fair", "wfq"), NULL,
			    0, "fcfs|rr|rr-per-packet|priority|fair|wfq"},
	[KIND_CAPACITY] = {BASE_WORD,
			   WORDS("default", "scavenger", "low-latency-interactive",
				 "low-latency-non-interactive", "constant-rate", "capacity-seeking"),
			   NULL, 0,
			   "default|scavenger|low-latency-interactive|low-latency-non-interactive|"
			   "constant-rate|capacity-seeking"},
	[KIND_SHARING] = {BASE_WORD, WORDS("handover", "interactive", "aggregate"), NULL, 0,
			  "handover|interactive|aggregate"},
	[KIND_BOOLEAN] = {BASE_BOOLEAN, WORDS("false", "true"), NULL, 0, "true|false"},
	[KIND_PRIORITY] = {BASE_INTEGER, NULL, NULL, 0, "integer from 0"},
	[KIND_LENGTH] = {BASE_INTEGER, NULL, "full", 0, "integer from 0, or \"full\""},
	[KIND_LIMIT] = {BASE_INTEGER, NULL, "unlimited", 1, "integer from 1, or \"unlimited\""},
	[KIND_TCP_SECONDS] = {BASE_INTEGER, NULL, "default", 1, "integer from 1, or \"default\""},
	[KIND_SECONDS] = {BASE_NUMBER, NULL, "disabled", 0, "number above 0, or \"disabled\""},
	[KIND_RATE] = {BASE_NUMBER, NULL, "unlimited", 0, "number above 0, or \"unlimited\""},
	[KIND_LIFETIME] = {BASE_NUMBER, NULL, "infinite", 0, "number above 0, or \"infinite\""},
	[KIND_SELECTION] = {BASE_SELECTION, NULL, NULL, 0,
			    "list of preference and name, as \"prohibit wwan\""},
};

static const struct property_info infos[] = {
#define X(field, name, kind, def, section, doc) [PROP_##field] = {name, section, doc, KIND_##kind},
#include "core/props.def"
#undef X
};

static const struct {
	size_t offset, size;
} places[] = {
#define X(field, name, kind, def, section, doc) \
	[PROP_##field] = {offsetof(struct properties, field), sizeof(prop_##kind)},
#include "core/props.def"
#undef X
};

static const struct properties defaults = {
#define X(field, name, kind, def, section, doc) .field = def,
#include "core/props.def"
#undef X
};

_Static_assert(PROPERTIES_N <= 64, "struct properties has a bit per property");
_Static_assert(sizeof(enum preference) == sizeof(unsigned), "words are read and written as unsigned");

const struct property_info *property_info(enum property property)
{
	return &infos[property];
}

static const struct kind *kind_of(enum property property)
{
	return &property_kinds[infos[property].kind];
}

const char *property_expects(enum property property)
{
	return kind_of(property)->expects;
}

static void *place(struct properties *props, enum property property)
{
	return (char *)props + places[property].offset;
}

static const void *place_const(const struct properties *props, enum property property)
{
	return (const char *)props + places[property].offset;
}

static void copy_one(struct properties *to, const struct properties *from, enum property property)
{
	memcpy(place(to, property), place_const(from, property), places[property].size);
}

static void mark(struct properties *props, enum property property)
{
	props->set |= UINT64_C(1) << property;
}

bool properties_is_set(const struct properties *props, enum property property)
{
	return props->set >> property & 1;
}

enum preference properties_preference(const struct properties *props, enum property property)
{
	if (infos[property].kind != KIND_PREFERENCE)
		return PREF_NONE;
	return *(const enum preference *)place_const(props, property);
}

int property_find(const char *name)
{
	for (int i = 0; i < PROPERTIES_N; i++)
		if (strcmp(infos[i].name, name) == 0)
			return i;
	return -ENOENT;
}

const char *property_nearest(const char *name)
{
	unsigned best = text_tolerance(name) + 1;
	const char *nearest = NULL;

	for (int i = 0; i < PROPERTIES_N; i++) {
		unsigned distance = text_distance(name, infos[i].name);

		if (distance < best) {
			best = distance;
			nearest = infos[i].name;
		}
	}
	return nearest;
}

void properties_default(struct properties *ret)
{
	*ret = defaults;
}

/* The profiles of RFC 9622 appendix B.2, where they differ from the defaults. */
static void default_for_socktype(struct properties *ret, int socktype)
{
	if (socktype == SOCK_SEQPACKET)
		ret->preserve_msg_boundaries = PREF_REQUIRE;
	if (socktype != SOCK_DGRAM)
		return;
	ret->reliability = PREF_AVOID;
	ret->preserve_order = PREF_AVOID;
	ret->congestion_control = PREF_NONE;
	ret->preserve_msg_boundaries = PREF_REQUIRE;
	ret->safely_replayable = true;
}

static void default_for_listener(struct properties *ret)
{
	ret->use_temporary_local_address = PREF_AVOID;
	ret->multipath = MULTIPATH_PASSIVE;
}

static bool wanted(enum preference preference)
{
	return preference == PREF_REQUIRE || preference == PREF_PREFER;
}

static void default_from_others(struct properties *ret, const struct properties *props)
{
	ret->msg_ordered = wanted(props->preserve_order);
	ret->msg_reliable = wanted(props->reliability);
	ret->msg_capacity_profile = props->conn_capacity_profile;
	ret->tcp_user_timeout_changeable = props->conn_timeout == PROPERTY_SPECIAL;
}

static void fill_unset(struct properties *props, const struct properties *from)
{
	for (int i = 0; i < PROPERTIES_N; i++)
		if (!properties_is_set(props, i))
			copy_one(props, from, i);
}

void properties_adapt(struct properties *props, int socktype, bool listening)
{
	struct properties suited = defaults;

	default_for_socktype(&suited, socktype);
	if (listening)
		default_for_listener(&suited);
	fill_unset(props, &suited);
	default_from_others(&suited, props);
	fill_unset(props, &suited);
}

static int parse_word(const char *const *words, const char *text, size_t len)
{
	for (int i = 0; words[i]; i++)
		if (strlen(words[i]) == len && memcmp(words[i], text, len) == 0)
			return i;
	return -EINVAL;
}

static int parse_integer(const struct kind *kind, const char *text, int64_t *ret)
{
	int64_t value;
	int r = text_integer(text, &value);

	if (r == 0 && value < kind->least)
		r = -ERANGE;
	if (r == 0)
		*ret = value;
	return r;
}

static int parse_number(const char *text, double *ret)
{
	double value;
	int r = text_number(text, &value);

	if (r == 0 && value < 1.0 / TEXT_NUMBER_PARTS)
		r = -ERANGE;
	if (r == 0)
		*ret = value;
	return r;
}

#define BLANK " \t\r\n"

/* "prohibit wwan", of `len` bytes, becomes one more item. */
static int parse_item(const char *text, size_t len, struct selection *ret)
{
	size_t word = strcspn(text, BLANK ","), gap, name;
	int preference = parse_word(preference_words, text, word);

	gap = strspn(text + word, BLANK);
	name = strcspn(text + word + gap, BLANK ",");
	if (preference < 0 || word + gap >= len || name == 0)
		return -EINVAL;
	text += word + gap;
	if (strspn(text + name, BLANK) != len - word - gap - name)
		return -EINVAL;
	for (unsigned i = 0; i < ret->n; i++)
		if (strlen(ret->item[i].name) == name && memcmp(ret->item[i].name, text, name) == 0)
			return -EINVAL;
	if (ret->n == SELECTION_MAX || name >= SELECTION_NAME_MAX)
		return -ERANGE;
	ret->item[ret->n].preference = preference;
	memcpy(ret->item[ret->n++].name, text, name);
	return 0;
}

static int parse_selection(const char *text, struct selection *ret)
{
	struct selection parsed = SELECTION_EMPTY;

	text += strspn(text, BLANK);
	while (*text != '\0') {
		size_t len = strcspn(text, ",");
		int r = parse_item(text, len, &parsed);

		if (r < 0)
			return r;
		text += len;
		if (*text == ',') {
			text += 1 + strspn(text + 1, BLANK);
			if (*text == '\0')
				return -EINVAL;
		}
	}
	*ret = parsed;
	return 0;
}

static int parse_words(const struct kind *kind, const char *text, void *ret)
{
	int word = parse_word(kind->words, text, strlen(text));

	if (word < 0)
		return word;
	if (kind->base == BASE_BOOLEAN)
		*(bool *)ret = word;
	else
		*(unsigned *)ret = word;
	return 0;
}

static int parse_special(const struct kind *kind, void *ret)
{
	if (kind->base == BASE_NUMBER)
		*(double *)ret = PROPERTY_SPECIAL;
	else
		*(int64_t *)ret = PROPERTY_SPECIAL;
	return 0;
}

static int parse_value(const struct kind *kind, const char *text, void *ret)
{
	if (kind->special && strcmp(kind->special, text) == 0)
		return parse_special(kind, ret);
	switch (kind->base) {
	case BASE_INTEGER:
		return parse_integer(kind, text, ret);
	case BASE_NUMBER:
		return parse_number(text, ret);
	case BASE_SELECTION:
		return parse_selection(text, ret);
	default:
		return parse_words(kind, text, ret);
	}
}

int properties_set_one(struct properties *props, enum property property, const char *text)
{
	int r = parse_value(kind_of(property), text, place(props, property));

	if (r == 0)
		mark(props, property);
	return r;
}

int properties_set(struct properties *props, const char *name, const char *text)
{
	int property = property_find(name);

	return property < 0 ? property : properties_set_one(props, property, text);
}

void properties_merge(struct properties *props, const struct properties *over)
{
	for (int i = 0; i < PROPERTIES_N; i++)
		if (properties_is_set(over, i))
			copy_one(props, over, i);
	props->set |= over->set;
}

static bool selection_has(const struct selection *selection, const char *name)
{
	for (unsigned i = 0; i < selection->n; i++)
		if (strcmp(selection->item[i].name, name) == 0)
			return true;
	return false;
}

/* Prohibitions go first, so that they are never what there was no room for. */
static bool enforce_selection(struct selection *selection, const struct selection *system)
{
	struct selection result = SELECTION_EMPTY;

	for (unsigned i = 0; i < system->n; i++)
		if (system->item[i].preference == PREF_PROHIBIT)
			result.item[result.n++] = system->item[i];
	if (result.n == 0)
		return false;
	for (unsigned i = 0; i < selection->n && result.n < SELECTION_MAX; i++)
		if (!selection_has(&result, selection->item[i].name))
			result.item[result.n++] = selection->item[i];
	*selection = result;
	return true;
}

static bool enforce_preference(enum preference *preference, enum preference system)
{
	if (system != PREF_PROHIBIT)
		return false;
	*preference = PREF_PROHIBIT;
	return true;
}

void properties_enforce(struct properties *props, const struct properties *system)
{
	for (int i = 0; i < PROPERTIES_N; i++) {
		void *to = place(props, i);
		const void *from = place_const(system, i);
		bool enforced = false;

		if (!properties_is_set(system, i))
			continue;
		if (infos[i].kind == KIND_PREFERENCE)
			enforced = enforce_preference(to, *(const enum preference *)from);
		else if (infos[i].kind == KIND_SELECTION)
			enforced = enforce_selection(to, from);
		if (enforced)
			mark(props, i);
	}
}

static void format_selection(const struct selection *selection, char *buf, size_t size)
{
	size_t used = 0;

	snprintf(buf, size, "%s", "");
	for (unsigned i = 0; i < selection->n && used < size; i++)
		used += (size_t)snprintf(buf + used, size - used, "%s%s %s", i ? ", " : "",
					 preference_words[selection->item[i].preference],
					 selection->item[i].name);
}

const char *properties_format(const struct properties *props, enum property property, char *buf, size_t size)
{
	const struct kind *kind = kind_of(property);
	const void *value = place_const(props, property);

	switch (kind->base) {
	case BASE_WORD:
		snprintf(buf, size, "%s", kind->words[*(const unsigned *)value]);
		break;
	case BASE_BOOLEAN:
		snprintf(buf, size, "%s", kind->words[*(const bool *)value]);
		break;
	case BASE_INTEGER:
		if (*(const int64_t *)value == PROPERTY_SPECIAL)
			snprintf(buf, size, "%s", kind->special);
		else
			snprintf(buf, size, "%lld", (long long)*(const int64_t *)value);
		break;
	case BASE_NUMBER:
		if (*(const double *)value < 0)
			snprintf(buf, size, "%s", kind->special);
		else
			text_format_number(*(const double *)value, buf, size);
		break;
	case BASE_SELECTION:
		format_selection(value, buf, size);
		break;
	}
	return buf;
}
