/* A window of seconds holds few handshakes with early data: a plain table, looked through. */
#include "core/tls_replay.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define KEY_SIZE 32

struct seen {
	uint8_t key[KEY_SIZE];
	int64_t expires; /* 0: free */
};

struct tls_replay {
	pthread_mutex_t lock;
	struct seen seen[TLS_REPLAY_MAX];
};

struct tls_replay *tls_replay_new(void)
{
	struct tls_replay *replay = calloc(1, sizeof(*replay));

	if (replay)
		pthread_mutex_init(&replay->lock, NULL);
	return replay;
}

void tls_replay_free(struct tls_replay *replay)
{
	if (!replay)
		return;
	pthread_mutex_destroy(&replay->lock);
	free(replay);
}

static int add_locked(struct tls_replay *replay, const struct seen *new, int64_t now)
{
	struct seen *room = NULL;

	for (unsigned i = 0; i < TLS_REPLAY_MAX; i++) {
		struct seen *seen = &replay->seen[i];

		if (seen->expires <= now) {
			room = room ? room : seen;
			continue;
		}
		if (memcmp(seen->key, new->key, KEY_SIZE) == 0)
			return -EEXIST;
	}
	if (!room)
		return -ENOSPC;
	*room = *new;
	return 0;
}

int tls_replay_add(struct tls_replay *replay, const uint8_t *key, size_t size, int64_t expires, int64_t now)
{
	struct seen new = {.expires = expires};
	int result;

	if (expires <= now)
		return 0;
	/* The key is a binder, a hash already: its beginning tells as much. */
	memcpy(new.key, key, size < KEY_SIZE ? size : KEY_SIZE);
	pthread_mutex_lock(&replay->lock);
	result = add_locked(replay, &new, now);
	pthread_mutex_unlock(&replay->lock);
	return result;
}
