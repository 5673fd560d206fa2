/* What the layers say about one connection, put together. */
#include "conf/policy.h"

#include <string.h>

#include "conf/ascii.h"
#include "conf/conf.h"
#include "conf/match.h"

/* In each layer the rule that fires goes before the layer's own settings.  What is prohibited by one of the
 * system's layers stays so through all that follow. */
void policy_values(const struct conf *conf, const struct policy_query *query, enum layer_rank last,
		   struct conf_values *ret, const struct conf_rule *ret_fired[LAYERS_N])
{
	struct properties *props = &ret->policy.properties;
	struct properties system = {0};

	*ret = conf->defaults;
	for (unsigned rank = 0; rank <= last; rank++) {
		const struct conf_rule *rule = query ? match_rule(&conf->layer[rank], query) : NULL;

		ret_fired[rank] = rule;
		values_merge(ret, &conf->layer[rank].values);
		if (rule)
			values_merge(ret, &rule->values);
		properties_enforce(props, &system);
		if (layer_is_system(rank))
			system = *props;
	}
}

const struct conf_rule *policy_securing(const struct conf_rule *const fired[LAYERS_N])
{
	const struct conf_rule *ret = NULL;
	bool system = false;

	for (unsigned rank = 0; rank < LAYERS_N; rank++)
		if (fired[rank] && fired[rank]->secured && (layer_is_system(rank) || !system)) {
			ret = fired[rank];
			system = layer_is_system(rank);
		}
	return ret;
}

void conf_policy(const struct conf *conf, const struct policy_query *query, struct policy *ret)
{
	const struct conf_rule *fired[LAYERS_N];
	const struct conf_rule *securing;
	struct conf_values values;

	policy_values(conf, query, LAYER_OPTIONS, &values, fired);
	securing = policy_securing(fired);
	*ret = values.policy;
	ret->resolver = conf->resolver;
	for (unsigned rank = 0; rank < LAYERS_N; rank++)
		if (fired[rank])
			ret->rule = fired[rank]->text;
	if (securing) {
		ret->security = &securing->secured->security;
		ret->secured = true;
		ret->rule = securing->text;
	}
	properties_adapt(&ret->properties, query->socktype, query->role == POLICY_LISTEN);
}

enum policy_resolver conf_resolver(const struct conf *conf)
{
	return conf->resolver;
}

/* The same name but for case and a dot at the end. */
static bool same_name(const char *a, const char *b)
{
	size_t len_a = strlen(a), len_b = strlen(b);

	len_a -= len_a > 0 && a[len_a - 1] == '.';
	len_b -= len_b > 0 && b[len_b - 1] == '.';
	return len_a == len_b && ascii_same(a, b, len_a);
}

static const struct conf_host *find_host(const struct conf *conf, const char *name)
{
	for (int rank = LAYERS_N - 1; rank >= 0; rank--)
		for (unsigned i = 0; i < conf->layer[rank].hosts.n; i++)
			if (same_name(conf->layer[rank].hosts.item[i].name, name))
				return &conf->layer[rank].hosts.item[i];
	return NULL;
}

size_t conf_hosts(const struct conf *conf, const char *name, struct taps_addr *ret, size_t max)
{
	const struct conf_host *host = find_host(conf, name);
	size_t n = host ? host->address.n : 0;

	n = n < max ? n : max;
	if (n > 0)
		memcpy(ret, host->address.item, n * sizeof(*ret));
	return n;
}

const char *conf_insecure(const struct conf *conf)
{
	for (unsigned rank = 0; rank < LAYERS_N; rank++)
		for (unsigned i = 0; i < conf->layer[rank].rules.n; i++) {
			const struct conf_rule *rule = &conf->layer[rank].rules.item[i];

			if (!rule->foreign && rule->secured && rule->secured->security.insecure_no_verify)
				return rule->text;
		}
	return NULL;
}

bool conf_secures(const struct conf *conf)
{
	for (unsigned rank = 0; rank < LAYERS_N; rank++)
		for (unsigned i = 0; i < conf->layer[rank].rules.n; i++) {
			const struct conf_rule *rule = &conf->layer[rank].rules.item[i];

			if (!rule->foreign && rule->secured)
				return true;
		}
	return false;
}

bool conf_has_rules(const struct conf *conf)
{
	return conf->has_rules;
}
