/* Room for ciphertext on its way between kernel and session. */
#ifndef TAPS_CORE_TLS_SCRATCH_H
#define TAPS_CORE_TLS_SCRATCH_H

#include <stdint.h>

#include "core/layer.h"

#define TLS_SCRATCH_SIZE (LAYER_SEND_MAX * 2)

/* This thread's buffer of TLS_SCRATCH_SIZE bytes, freed with the thread; NULL when memory is short. */
uint8_t *tls_scratch(void);

#endif
