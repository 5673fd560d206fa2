/* The TLS module's door: credentials per rule, tickets, layers. */
#include "core/tls_layer.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>

#include "core/host.h"
#include "core/tls_box.h"
#include "core/tls_early.h"
#include "core/tls_pin.h"
#include "core/tls_trust.h"
#include "core/tls_verifier.h"

#define TICKETS_PER_KEY 4
#define TICKETS_MAX 1024

const struct taps_host *taps_host;

/* What one rule's security group became in one role.  Never freed: rules are few and live as long as the
 * configuration. */
struct secure_context {
	struct secure_context *next;
	const struct security *security;
	enum secure_role role;
	struct tls_options options;
	struct tls_identity *identities;
	struct tls_psk *psks;
	char **pins;
	struct tls_credentials *credentials;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct secure_context *contexts;
static struct tls_tickets *tickets;
static struct tls_box *box; /* NULL: no session ever went to a relay */

int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

const char *tls_context_verifier(const struct secure_context *context, unsigned *ret_timeout_ms)
{
	*ret_timeout_ms = context->options.verifier_timeout_ms;
	return context->options.verifier;
}

static struct tls_list list_of(const struct security_texts *texts)
{
	return (struct tls_list){texts->item, texts->n};
}

static bool fill_identities(struct secure_context *context, const struct security_certificates *from)
{
	unsigned i;

	context->identities = calloc(from->n + 1, sizeof(*context->identities));
	if (!context->identities)
		return false;
	for (i = 0; i < from->n; i++)
		context->identities[i] = (struct tls_identity){
			.chain = from->item[i].certificate,
			.key = from->item[i].key,
			.staple = from->item[i].staple,
		};
	context->options.certificates = context->identities;
	context->options.n_certificates = from->n;
	return true;
}

/* A key file holds hexadecimal digits; white space around them is dropped. */
static const char *read_key(const char *path)
{
	FILE *file = fopen(path, "re");
	char text[1024], *copy = NULL;
	size_t n;

	if (!file)
		return NULL;
	n = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	text[n] = 0;
	n = strspn(text, "0123456789abcdefABCDEF");
	text[n] = 0;
	if (n > 0)
		copy = strdup(text);
	explicit_bzero(text, sizeof(text));
	return copy;
}

static bool fill_psks(struct secure_context *context, const struct security_psks *from)
{
	unsigned i;

	context->psks = calloc(from->n + 1, sizeof(*context->psks));
	if (!context->psks)
		return false;
	for (i = 0; i < from->n; i++) {
		context->psks[i] = (struct tls_psk){from->item[i].identity, read_key(from->item[i].key)};
		if (!context->psks[i].key)
			return false;
	}
	context->options.psks = context->psks;
	context->options.n_psks = from->n;
	return true;
}

static bool fill_pins(struct secure_context *context, const struct security_pins *from)
{
	unsigned i;

	context->pins = calloc(from->n + 1, sizeof(*context->pins));
	if (!context->pins)
		return false;
	for (i = 0; i < from->n; i++)
		context->pins[i] = from->item[i].sha256 ? strdup(from->item[i].sha256)
							: tls_pin_of_file(from->item[i].file);
	for (i = 0; i < from->n; i++)
		if (!context->pins[i])
			return false;
	context->options.pins = (struct tls_list){(const char *const *)context->pins, from->n};
	return true;
}

static void fill_trust(struct tls_options *o, const char *trust)
{
	struct stat st;

	if (!trust || strcmp(trust, "system") == 0)
		return;
	o->trust = stat(trust, &st) == 0 && S_ISDIR(st.st_mode) ? TLS_TRUST_DIRECTORY : TLS_TRUST_FILE;
	o->trust_path = trust;
}

static const enum tls_staple staples[] = {
	[SECURITY_OCSP_CHECKED] = TLS_STAPLE_CHECKED,
	[SECURITY_OCSP_REQUIRED] = TLS_STAPLE_REQUIRED,
	[SECURITY_OCSP_IGNORED] = TLS_STAPLE_IGNORED,
};

static const enum tls_client_auth client_auths[] = {
	[SECURITY_CLIENT_NONE] = TLS_CLIENT_AUTH_NONE,
	[SECURITY_CLIENT_OPTIONAL] = TLS_CLIENT_AUTH_OPTIONAL,
	[SECURITY_CLIENT_REQUIRED] = TLS_CLIENT_AUTH_REQUIRED,
};

static void fill_plain(struct tls_options *o, const struct security *s)
{
	if (s->allowed_security_protocols)
		o->allowed_security_protocols =
			(s->allowed_security_protocols & SECURITY_TLS_1_2 ? TLS_VERSION_1_2 : 0) |
			(s->allowed_security_protocols & SECURITY_TLS_1_3 ? TLS_VERSION_1_3 : 0);
	fill_trust(o, s->trust);
	o->crl_file = s->crl;
	o->staple = staples[s->ocsp];
	o->verifier = s->verifier;
	if (s->verifier_timeout > 0)
		o->verifier_timeout_ms = (unsigned)(s->verifier_timeout / NS_PER_MS);
	o->insecure_no_verify = s->insecure_no_verify;
	o->alpn = list_of(&s->alpn);
	o->supported_group = list_of(&s->supported_group);
	o->ciphersuite = list_of(&s->ciphersuite);
	o->signature_algorithm = list_of(&s->signature_algorithm);
	o->peer_name = s->peer_name;
	o->sni_off = !s->sni;
	o->client_auth = client_auths[s->client_authentication];
	o->max_cached_sessions = s->max_cached_sessions;
	o->cached_session_lifetime_seconds = s->cached_session_lifetime_seconds;
	o->keylog = s->keylog;
}

static bool fill(struct secure_context *context)
{
	const struct security *s = context->security;

	bool server = context->role != SECURE_CLIENT;

	context->options = (struct tls_options)TLS_OPTIONS_INIT(server ? TLS_SERVER : TLS_CLIENT);
	fill_plain(&context->options, s);
	/* A client's is used where a connection's data is replayable. */
	if (context->role != SECURE_SERVER)
		context->options.early_data_max = TLS_EARLY_MAX;
	return fill_identities(context, server ? &s->server_certificate : &s->client_certificate) &&
	       fill_psks(context, &s->pre_shared_key) && fill_pins(context, &s->pinned_server_certificate);
}

static void free_context(struct secure_context *context)
{
	free(context->identities);
	free(context->psks);
	free(context->pins);
	free(context);
}

static struct secure_context *new_context(const struct security *security, enum secure_role role,
					  struct tls_reason *reason)
{
	struct secure_context *context = calloc(1, sizeof(*context));

	if (!context)
		return NULL;
	context->security = security;
	context->role = role;
	if (!fill(context)) {
		snprintf(reason->text, sizeof(reason->text), "a key or pin of the rule cannot be read");
		free_context(context);
		return NULL;
	}
	if (tls_credentials_new(&context->credentials, &context->options, reason) < 0) {
		free_context(context);
		return NULL;
	}
	context->next = contexts;
	contexts = context;
	return context;
}

static struct secure_context *find(const struct security *security, enum secure_role role)
{
	struct secure_context *context = contexts;

	while (context && (context->security != security || context->role != role))
		context = context->next;
	return context;
}

static struct secure_context *get_context(const struct security *security, enum secure_role role, char *text)
{
	struct tls_reason reason = {"out of memory"};
	struct secure_context *context;

	pthread_mutex_lock(&lock);
	context = find(security, role);
	if (!context)
		context = new_context(security, role, &reason);
	else if (role != SECURE_CLIENT)
		tls_credentials_refresh(&context->credentials, now_ns(), &reason);
	pthread_mutex_unlock(&lock);
	if (!context)
		snprintf(text, SECURE_REASON_MAX, "%s", reason.text);
	return context;
}

static struct tls_ticket_key key_of(const struct tls_credentials *credentials, const char *name,
				    uint16_t port, uint64_t network)
{
	return (struct tls_ticket_key){
		.name = name,
		.port = port,
		.policy = tls_credentials_policy(credentials),
		.network = network,
	};
}

/* FNV-1a. */
static uint64_t hash_of(const void *data, size_t size)
{
	const uint8_t *byte = data;
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	while (size-- > 0)
		hash = (hash ^ *byte++) * UINT64_C(0x100000001b3);
	return hash;
}

/* Of an IPv6 address the prefix: the rest changes while one stays (RFC 8981). */
uint64_t tls_context_network(int fd)
{
	union {
		struct sockaddr any;
		struct sockaddr_in in4;
		struct sockaddr_in6 in6;
	} name;
	socklen_t len = sizeof(name);

	if (taps_host->getsockname(fd, &name.any, &len) != 0)
		return 0;
	if (name.any.sa_family == AF_INET)
		return hash_of(&name.in4.sin_addr, 4);
	if (name.any.sa_family != AF_INET6)
		return 0;
	if (IN6_IS_ADDR_V4MAPPED(&name.in6.sin6_addr))
		return hash_of(name.in6.sin6_addr.s6_addr + 12, 4);
	return hash_of(&name.in6.sin6_addr, 8);
}

static const char *identity_of(const struct secure_context *context, const struct secure_peer *peer)
{
	if (context->options.peer_name)
		return context->options.peer_name;
	return peer->name ? peer->name : peer->address;
}

static struct tls_credentials *hold_credentials(struct secure_context *context)
{
	struct tls_credentials *held;

	pthread_mutex_lock(&lock);
	held = tls_credentials_ref(context->credentials);
	pthread_mutex_unlock(&lock);
	return held;
}

static void keep(const struct tls_ticket_key *key, unsigned max, struct tls_ticket *take_ticket)
{
	tls_tickets_put(tickets, key, take_ticket, max < TICKETS_PER_KEY ? max : TICKETS_PER_KEY, max,
			time(NULL));
}

static struct tls_box *get_box(void)
{
	struct tls_box *found;

	pthread_mutex_lock(&lock);
	found = box;
	pthread_mutex_unlock(&lock);
	return found;
}

/* What relays have left is as good as what came here. */
static void empty_box(void)
{
	struct tls_box *from = get_box();
	struct tls_box_label label;
	struct tls_ticket ticket;

	while (from && tls_box_take(from, &label, &ticket)) {
		const struct tls_ticket_key key = {label.name, label.port, label.policy, label.network};

		keep(&key, label.max, &ticket);
	}
}

void tls_context_send_away(const struct secure_context *context)
{
	if (context->role != SECURE_CLIENT || !context->options.max_cached_sessions)
		return;
	pthread_mutex_lock(&lock);
	if (!box && tls_box_new(&box) < 0)
		box = NULL;
	pthread_mutex_unlock(&lock);
}

bool tls_context_resume(struct secure_context *context, const char *name, uint16_t port, uint64_t network,
			struct tls_session *session)
{
	struct tls_credentials *credentials;
	struct tls_ticket ticket = {0};
	struct tls_ticket_key key;
	bool found;

	if (context->role != SECURE_CLIENT || !context->options.max_cached_sessions || !tickets)
		return false;
	empty_box();
	credentials = hold_credentials(context);
	key = key_of(credentials, name, port, network);
	found = tls_tickets_take(tickets, &key, time(NULL), &ticket);
	if (found)
		tls_session_resume(session, &ticket);
	tls_ticket_free(&ticket);
	tls_credentials_unref(credentials);
	return found;
}

void tls_context_forget(const char *name)
{
	empty_box();
	tls_tickets_forget(tickets, name);
}

void tls_context_tickets(struct secure_context *context, const char *name, uint16_t port, uint64_t network,
			 struct tls_session *session, bool away)
{
	unsigned max = context->options.max_cached_sessions;
	struct tls_box *to = away ? get_box() : NULL;
	struct tls_credentials *credentials;
	struct tls_ticket ticket;

	if (context->role != SECURE_CLIENT || !max || !tickets)
		return;
	credentials = hold_credentials(context);
	while (tls_session_take_ticket(session, &ticket)) {
		struct tls_ticket_key key = key_of(credentials, name, port, network);

		if (to)
			tls_box_put(to, &key, max, &ticket);
		else
			keep(&key, max, &ticket);
		tls_ticket_free(&ticket);
	}
	tls_credentials_unref(credentials);
}

static struct layer *new_layer(struct secure_context *context, const struct secure_peer *peer,
			       struct layer *below, char *text)
{
	struct tls_credentials *credentials = hold_credentials(context);
	struct tls_peer who = {peer->name, peer->address};
	struct secure_peer named = *peer;
	struct tls_reason reason = {"out of memory"};
	struct tls_session *session = NULL;
	struct layer *layer = NULL;

	named.name = identity_of(context, peer);
	if (tls_session_new(&session, credentials, &who, NULL, &reason) == 0)
		layer = tls_layer(session, below, context->security->handshake_timeout, context, &named);
	tls_credentials_unref(credentials);
	if (!layer)
		snprintf(text, SECURE_REASON_MAX, "%s", reason.text);
	return layer;
}

static void fork_prepare(void)
{
	pthread_mutex_lock(&lock);
	tls_trust_fork_prepare();
	if (tickets)
		tls_tickets_fork_prepare(tickets);
}

static void fork_parent(void)
{
	if (tickets)
		tls_tickets_fork_done(tickets);
	tls_trust_fork_parent();
	pthread_mutex_unlock(&lock);
}

/* The box is for relays.  Other children may have fewer rights than their parent has, whose word on a peer a
 * ticket is. */
static void fork_child(bool ours)
{
	if (!ours && box && tls_box_part(box) < 0)
		box = NULL;
	if (tickets)
		tls_tickets_fork_done(tickets);
	tls_trust_fork_child();
	pthread_mutex_unlock(&lock);
}

static const struct secure_module tls_module = {
	.version = SECURE_VERSION,
	.context = get_context,
	.layer = new_layer,
	.fork_prepare = fork_prepare,
	.fork_parent = fork_parent,
	.fork_child = fork_child,
};

__attribute__((visibility("default"))) const struct secure_module *taps_tls_open(const struct taps_host *host)
{
	taps_host = host;
	if (tls_tickets_new(&tickets, TICKETS_MAX) < 0)
		return NULL;
	return &tls_module;
}
