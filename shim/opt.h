/* Socket options of managed descriptors. */
#ifndef TAPS_SHIM_OPT_H
#define TAPS_SHIM_OPT_H

#include <stdint.h>

struct slot;

#define OPT_ALL UINT64_MAX

/* Sets on `to` the options of the carried set `which` (one bit for each row of the table), reading
 * them from `from`.  An option that fails on either is left out. */
void opt_carry(uint64_t which, int from, int to);

/* The pending error of a FAILED slot's descriptor, once; takes it from the kernel's dead socket as well, so
 * that poll(2) stops saying POLLERR. */
int opt_take_error(struct slot *slot, int fd);

#endif
