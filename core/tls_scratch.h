/* Room for ciphertext on its way between kernel and session. */
#ifndef TAPS_CORE_TLS_SCRATCH_H
#define TAPS_CORE_TLS_SCRATCH_H

#include <stdint.h>

#include "core/layer.h"

#define TLS_SCRATCH_SIZE (LAYER_SEND_MAX * 2)

/* A thread's buffers, of which only the pages that are used take memory. */
struct tls_scratch {
	uint64_t filled;               /* another value, at one address for ever, with each filling of `in` */
	uint8_t in[TLS_SCRATCH_SIZE];  /* for core/tls_ahead.c */
	uint8_t out[TLS_SCRATCH_SIZE]; /* for whoever needs room during a call */
};

/* This thread's buffers, given back with the thread; NULL when memory is short. */
struct tls_scratch *tls_scratch_own(void);
/* Its `out`, of TLS_SCRATCH_SIZE bytes. */
uint8_t *tls_scratch(void);

#endif
