/* The buffers that ciphertext passes through. */
#include "core/tls_scratch.h"

#include <pthread.h>
#include <stdlib.h>

/* One scratch buffer for each thread that moves bytes. */
static pthread_key_t scratch_key;
static pthread_once_t scratch_once = PTHREAD_ONCE_INIT;

static void make_scratch_key(void)
{
	pthread_key_create(&scratch_key, free);
}

uint8_t *tls_scratch(void)
{
	uint8_t *buf;

	pthread_once(&scratch_once, make_scratch_key);
	buf = pthread_getspecific(scratch_key);
	if (!buf) {
		buf = malloc(TLS_SCRATCH_SIZE);
		pthread_setspecific(scratch_key, buf);
	}
	return buf;
}
