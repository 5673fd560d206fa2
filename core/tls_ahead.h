/* The front of the kernel's queue of a connection, looked at before it is taken (recv(2), MSG_PEEK).  What a
 * look brings beyond the records that are used stays in the thread's buffer: the thread's next look at the
 * same connection finds it there without a system call, unless the buffer was filled from another since. */
#ifndef TAPS_CORE_TLS_AHEAD_H
#define TAPS_CORE_TLS_AHEAD_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct tls_scratch;

/* Zeroed for a new connection; all calls with the connection's receiving lock, but tls_ahead_sleep(). */
struct tls_ahead {
	struct tls_scratch *at; /* whose bytes from…size are the first of the kernel's; NULL: nobody's */
	uint64_t filled;        /* they are, as long as the buffer has this value */
	size_t from, size;
	uint64_t taken;         /* bytes, ever */
	unsigned modest;        /* so many looks shall not reach beyond what is asked for: it was in vain */
	bool fresh;             /* they have come by a call that nobody looked at yet */
	bool full;              /* that call brought as many as it could */
	bool far;               /* it reached beyond what was asked for */
};

/* The first bytes of the queue, of which the first `used` (they are there) were used up before.  At least a
 * whole record follows if the kernel has one and `room` is large enough.  Returns how many and where, valid
 * until the thread's next look; *ret_more: the kernel may have more.  0 at the end, -EAGAIN, -errno. */
ssize_t tls_ahead_look(struct tls_ahead *ahead, int fd, size_t room, size_t used, const uint8_t **ret_data,
		       bool *ret_more);
/* What to ask for: a whole record, or as many as bring `want` bytes, behind `used`. */
size_t tls_ahead_room(size_t want, size_t used);
/* Has the peer ended its direction, or the connection?  Whatever lies in the queue. */
bool tls_ahead_has_ended(int fd);
/* Takes that many bytes from the kernel's queue. */
void tls_ahead_take(struct tls_ahead *ahead, int fd, size_t size);
/* For the only thread of a process: sleeps in recv(2) as the file's mode, its time limit and signals have it.
 * Takes `lock`, the receiving lock, but not for that time: a signal handler may read meanwhile.  Returns 0
 * when there is something, if only part of a record, or the end; -errno as of recv(2). */
int tls_ahead_sleep(struct tls_ahead *ahead, pthread_mutex_t *lock, int fd, size_t room);

/* The same past the buffer: -EAGAIN, 0, -errno, or how many bytes were copied; and their removal. */
ssize_t tls_ahead_peek(int fd, void *buf, size_t size);
void tls_ahead_discard(int fd, size_t size);

/* The bytes that the record beginning at `data` still lacks to be whole; 0 if it is, or is none. */
size_t tls_ahead_lacks(const uint8_t *data, size_t size);

#endif
