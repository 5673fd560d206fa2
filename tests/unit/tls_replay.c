#include "core/tls_replay.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

static void once_only(void **state)
{
	struct tls_replay *replay = tls_replay_new();

	(void)state;
	assert_int_equal(tls_replay_add(replay, (const uint8_t *)"key", 3, 110, 100), 0);
	assert_int_equal(tls_replay_add(replay, (const uint8_t *)"key", 3, 110, 100), -EEXIST);
	assert_int_equal(tls_replay_add(replay, (const uint8_t *)"kez", 3, 110, 100), 0);
	assert_int_equal(tls_replay_add(replay, (const uint8_t *)"key", 3, 120, 109), -EEXIST);
	assert_int_equal(tls_replay_add(replay, (const uint8_t *)"key", 3, 120, 110), 0);
	tls_replay_free(replay);
	tls_replay_free(NULL);
}

static void long_keys(void **state)
{
	struct tls_replay *replay = tls_replay_new();
	uint8_t key[48];

	(void)state;
	memset(key, 1, sizeof(key));
	assert_int_equal(tls_replay_add(replay, key, sizeof(key), 110, 100), 0);
	assert_int_equal(tls_replay_add(replay, key, sizeof(key), 110, 100), -EEXIST);
	key[0] = 2;
	assert_int_equal(tls_replay_add(replay, key, sizeof(key), 110, 100), 0);
	tls_replay_free(replay);
}

/* Full of fresh keys it refuses rather than forget one. */
static void no_room(void **state)
{
	struct tls_replay *replay = tls_replay_new();

	(void)state;
	for (uint32_t i = 0; i < TLS_REPLAY_MAX; i++)
		assert_int_equal(tls_replay_add(replay, (const uint8_t *)&i, sizeof(i), 110 + i, 100), 0);
	assert_int_equal(tls_replay_add(replay, (const uint8_t *)"more", 5, 200, 100), -ENOSPC);
	assert_int_equal(tls_replay_add(replay, (const uint8_t *)"more", 5, 200, 110), 0);
	assert_int_equal(tls_replay_add(replay, (const uint8_t *)"late", 5, 90, 100), 0);
	tls_replay_free(replay);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(once_only),
		cmocka_unit_test(long_keys),
		cmocka_unit_test(no_room),
	};

	return cmocka_run_group_tests_name("tls_replay", tests, NULL, NULL);
}
