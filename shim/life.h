/* Ends and changes of layered descriptors. */
#ifndef TAPS_SHIM_LIFE_H
#define TAPS_SHIM_LIFE_H

/* Says goodbye on every layered connection of first…last that has no other descriptor; bounded. */
void life_end_range(unsigned first, unsigned last);
/* A layered descriptor was made non-blocking. */
void life_unblocked(int fd);

#endif
