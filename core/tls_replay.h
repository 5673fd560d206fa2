/* Early data seen lately, so that a server takes none twice (RFC 8446 §8.2).  Locks inside; any thread. */
#ifndef TAPS_CORE_TLS_REPLAY_H
#define TAPS_CORE_TLS_REPLAY_H

#include <stddef.h>
#include <stdint.h>

#define TLS_REPLAY_MAX 1024 /* handshakes remembered; while all are fresh, no more early data is taken */

struct tls_replay;

struct tls_replay *tls_replay_new(void);
/* NULL is no-op. */
void tls_replay_free(struct tls_replay *replay);

/* Remembers a key until `expires` (same clock as `now`).  Returns 0, -EEXIST if it is known, -ENOSPC if there
 * is no room. */
int tls_replay_add(struct tls_replay *replay, const uint8_t *key, size_t size, int64_t expires, int64_t now);

#endif
