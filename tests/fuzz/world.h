/* What the TLS targets have in common: one CA and one server, made at the start, and sessions of them. */
#ifndef TAPS_TESTS_FUZZ_WORLD_H
#define TAPS_TESTS_FUZZ_WORLD_H

#include "tests/unit/tls_fixture.h"

/* Made at the first call. */
const struct fixture_world *world(void);
/* A session in its first state, with server.example. */
struct tls_session *world_session(enum tls_role role);
/* A copy of exactly that size, so that the sanitizer sees a byte too many; freed by the caller. */
uint8_t *world_copy(const void *data, size_t size);

#endif
