#include "tests/fuzz/world.h"

#include <stdlib.h>
#include <string.h>

const struct fixture_world *world(void)
{
	static struct fixture_world made;

	if (!made.ca_file)
		fixture_world(&made);
	return &made;
}

struct tls_session *world_session(enum tls_role role)
{
	static struct tls_credentials *credentials[2];
	struct tls_credentials **ours = &credentials[role == TLS_SERVER];
	struct tls_peer peer = {.name = "server.example"};
	struct tls_session *session;
	struct tls_reason reason;

	if (!*ours)
		*ours = fixture_credentials(role == TLS_SERVER ? &world()->server_options
							       : &world()->client_options);
	if (tls_session_new(&session, *ours, &peer, NULL, &reason) < 0)
		abort();
	return session;
}

uint8_t *world_copy(const void *data, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1);

	if (!copy)
		abort();
	if (size)
		memcpy(copy, data, size);
	return copy;
}
