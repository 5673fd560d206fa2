/* A configuration's life: read from all its sources, made ready to be asked, shared, freed. */
#include "conf/conf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/match.h"
#include "conf/source.h"
#include "conf/value.h"
#include "core/text.h"

static const struct origin origin_default = {"default", 0};

void values_merge(struct conf_values *values, const struct conf_values *over)
{
	for (int i = 0; i < KEYS_N; i++) {
		const struct conf_key *key = &conf_keys[i];

		if (!over->origin[i])
			continue;
		values->origin[i] = over->origin[i];
		if (key_merges(key))
			memcpy((char *)values + key->offset, (const char *)over + key->offset, key->size);
	}
	properties_merge(&values->policy.properties, &over->policy.properties);
}

static int append(struct arena *arena, void *list, size_t size, const void *more)
{
	struct {
		void *item;
		unsigned n;
	} *to = list;
	const typeof(*to) *from = more;
	char *items = arena_array(arena, to->n + (size_t)from->n, size);

	if (!items)
		return -ENOMEM;
	if (to->n > 0)
		memcpy(items, to->item, to->n * size);
	if (from->n > 0)
		memcpy(items + to->n * size, from->item, from->n * size);
	to->item = items;
	to->n += from->n;
	return 0;
}

int layer_add(struct arena *arena, struct conf_layer *layer, const struct conf_layer *under)
{
	struct conf_values values = under->values;
	int r;

	values_merge(&values, &layer->values);
	layer->values = values;
	r = append(arena, &layer->rules, sizeof(struct conf_rule), &under->rules);
	return r < 0 ? r : append(arena, &layer->hosts, sizeof(struct conf_host), &under->hosts);
}

const char *origin_text(struct arena *arena, const struct origin *origin)
{
	if (origin->line == 0)
		return arena_strdup(arena, origin->file);
	return arena_printf(arena, "%s:%u", origin->file, origin->line);
}

int conf_fail(struct conf_error *error, int code, const struct origin *where, const char *format, ...)
{
	char line[16] = "";
	va_list args;
	int n;

	if (where->line > 0)
		snprintf(line, sizeof(line), ":%u", where->line);
	n = snprintf(error->text, sizeof(error->text), "%.300s%s: ", where->file, line);
	va_start(args, format);
	vsnprintf(error->text + n, sizeof(error->text) - (size_t)n, format, args);
	va_end(args);
	return -code;
}

/* Defaults are written as in a file, and pass the same checks. */
static int set_default(struct conf *conf, const struct conf_key *key, const char *text)
{
	struct value_reader reader = {&conf->arena, ""};
	struct value_input input = {.type = INPUT_TEXT, .text = text};
	const struct value_input *wrong;

	if (strcmp(input.text, "true") == 0 || strcmp(input.text, "false") == 0)
		input = (struct value_input){.type = INPUT_BOOLEAN, .integer = *input.text == 't'};
	else if (text_integer(input.text, &input.integer) == 0)
		input.type = INPUT_INTEGER;
	return value_read(&reader, key, &input, 1, false, &conf->defaults, &wrong);
}

static int set_defaults(struct conf *conf)
{
	properties_default(&conf->defaults.policy.properties);
	for (int i = 0; i < KEYS_N; i++) {
		const struct conf_key *key = &conf_keys[i];
		int r = 0;

		if (key->kind == VALUE_PROPERTY || (key_merges(key) && key->fallback))
			conf->defaults.origin[i] = &origin_default;
		if (key_merges(key) && key->fallback)
			r = set_default(conf, key, key->fallback);
		if (r < 0)
			return r;
	}
	return 0;
}

static const struct program {
	const char *name;
	int key;
	const char *value;
	struct origin origin;
} known[] = {
#define PROGRAM(name, key, value) {name, key, value, {"default of " name, 0}},
#include "conf/programs.def"
#undef PROGRAM
};

static bool is_program(const char *const *programs, const char *name)
{
	while (programs && *programs)
		if (strcmp(*programs++, name) == 0)
			return true;
	return false;
}

static int set_known(struct conf *conf, const char *const *programs)
{
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (!is_program(programs, known[i].name))
			continue;
		conf->defaults.origin[known[i].key] = &known[i].origin;
		if (set_default(conf, &conf_keys[known[i].key], known[i].value) < 0)
			return -ENOMEM;
	}
	return 0;
}

struct conf *conf_default(void)
{
	struct arena arena = {0};
	struct conf *conf = arena_alloc(&arena, sizeof(*conf));

	if (!conf)
		return NULL;
	conf->arena = arena;
	atomic_init(&conf->refs, 1);
	if (set_defaults(conf) == 0)
		return conf;
	conf_unref(conf);
	return NULL;
}

/* What the security of a rule comes to.  Layers override one another as ever, but a rule of the system's sees
 * the system's layers only, and what these set at their top holds for every rule. */
static void secure(const struct conf *conf, enum layer_rank of, const struct conf_rule *rule,
		   struct conf_values *ret)
{
	*ret = conf->defaults;
	for (unsigned rank = 0; rank < LAYERS_N; rank++) {
		if (layer_is_system(rank) || !layer_is_system(of))
			values_merge(ret, &conf->layer[rank].values);
		if (rank == of)
			values_merge(ret, &rule->values);
	}
	for (unsigned rank = 0; !layer_is_system(of) && rank < LAYERS_N; rank++)
		if (layer_is_system(rank))
			values_merge(ret, &conf->layer[rank].values);
	ret->security.rule = rule->text;
}

static int settle_security(struct conf *conf, enum layer_rank rank, struct conf_rule *rule,
			   struct conf_error *error)
{
	struct conf_values *secured;

	if (!rule->values.origin[KEY_RULE_security])
		return 0;
	secured = arena_alloc(&conf->arena, sizeof(*secured));
	error->security = true;
	if (!secured)
		return conf_fail(error, ENOMEM, &rule->origin, "out of memory");
	secure(conf, rank, rule, secured);
	rule->secured = secured;
	if (rule->match.role == MATCH_LISTEN && secured->security.server_certificate.n == 0 &&
	    secured->security.pre_shared_key.n == 0)
		return conf_fail(error, EINVAL, &rule->origin,
				 "secured listeners need a 'serverCertificate' or a 'preSharedKey'");
	error->security = false;
	return 0;
}

static int settle_rule(struct conf *conf, enum layer_rank rank, struct conf_rule *rule,
		       const char *const *programs, struct conf_error *error)
{
	rule->foreign = !match_program(&rule->match, programs);
	conf->has_rules |= !rule->foreign;
	return settle_security(conf, rank, rule, error);
}

/* What does not depend on the connection is settled here. */
static int settle(struct conf *conf, const char *const *programs, struct conf_error *error)
{
	struct conf_values top = conf->defaults;

	for (unsigned rank = 0; rank < LAYERS_N; rank++) {
		struct conf_layer *layer = &conf->layer[rank];

		values_merge(&top, &layer->values);
		for (unsigned i = 0; i < layer->rules.n; i++) {
			int r = settle_rule(conf, rank, &layer->rules.item[i], programs, error);

			if (r < 0)
				return r;
		}
	}
	conf->resolver = top.policy.resolver;
	return 0;
}

int conf_load(const struct conf_sources *sources, struct conf **ret, struct conf_error *error)
{
	struct conf *conf = conf_default();
	int r;

	*error = (struct conf_error){.security = true};
	if (!conf || set_known(conf, sources->programs) < 0) {
		conf_unref(conf);
		return conf_fail(error, ENOMEM, &(struct origin){"configuration", 0}, "out of memory");
	}
	error->security = false;
	r = source_read(sources, &conf->arena, conf->layer, error);
	if (r == 0)
		r = settle(conf, sources->programs, error);
	if (r < 0) {
		conf_unref(conf);
		return r;
	}
	*ret = conf;
	return 0;
}

struct conf *conf_ref(struct conf *conf)
{
	atomic_fetch_add_explicit(&conf->refs, 1, memory_order_relaxed);
	return conf;
}

/* The configuration lies in its own arena, which therefore is taken out first. */
void conf_unref(struct conf *conf)
{
	struct arena arena;

	if (!conf || atomic_fetch_sub_explicit(&conf->refs, 1, memory_order_acq_rel) > 1)
		return;
	arena = conf->arena;
	arena_fini(&arena);
}
