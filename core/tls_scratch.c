/* The buffers that ciphertext passes through. */
#include "core/tls_scratch.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

/* Threads that live as long as a connection need not fetch their pages from the kernel each. */
#define SPARE_MAX 4

static pthread_key_t scratch_key;
static pthread_once_t scratch_once = PTHREAD_ONCE_INIT;
static struct tls_scratch *_Atomic spare[SPARE_MAX];
static _Atomic uint32_t made;

static void give_back(void *memory)
{
	for (int i = 0; i < SPARE_MAX; i++) {
		struct tls_scratch *none = NULL;

		if (atomic_compare_exchange_strong(&spare[i], &none, memory))
			return;
	}
	free(memory);
}

static struct tls_scratch *take_spare(void)
{
	struct tls_scratch *scratch = NULL;

	for (int i = 0; i < SPARE_MAX && !scratch; i++)
		scratch = atomic_exchange(&spare[i], NULL);
	return scratch;
}

static struct tls_scratch *make(void)
{
	struct tls_scratch *scratch = malloc(sizeof(*scratch));

	if (scratch)
		scratch->filled = (uint64_t)atomic_fetch_add(&made, 1) << 32;
	return scratch;
}

static void make_scratch_key(void)
{
	pthread_key_create(&scratch_key, give_back);
}

struct tls_scratch *tls_scratch_own(void)
{
	struct tls_scratch *scratch;

	pthread_once(&scratch_once, make_scratch_key);
	scratch = pthread_getspecific(scratch_key);
	if (scratch)
		return scratch;
	scratch = take_spare();
	if (!scratch)
		scratch = make();
	pthread_setspecific(scratch_key, scratch);
	return scratch;
}

uint8_t *tls_scratch(void)
{
	struct tls_scratch *scratch = tls_scratch_own();

	return scratch ? scratch->out : NULL;
}
