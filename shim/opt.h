/* Socket options of managed descriptors. */
#ifndef TAPS_SHIM_OPT_H
#define TAPS_SHIM_OPT_H

#include <stdint.h>

#define OPT_ALL UINT64_MAX

/* Sets on `to` the options of the carried set `which` (one bit for each row of the table), reading
 * them from `from`.  An option that fails on either is left out. */
void opt_carry(uint64_t which, int from, int to);

#endif
