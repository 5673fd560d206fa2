/* What c-ares does not read of resolv.conf(5). */
#ifndef TAPS_CORE_RESOLV_H
#define TAPS_CORE_RESOLV_H

#include <stdint.h>

/* How long the C library would ask in all, in ns: `timeout` times `attempts` of the file's options,
 * 5 s twice by default, never more.  Reads the file. */
int64_t resolv_patience(const char *path);
/* The same of the file's text.  Pure. */
int64_t resolv_patience_of(const char *text);

#endif
