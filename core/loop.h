/* The internal thread: one libev loop that drives races behind non-blocking sockets.
 *
 * The thread is made when the first client is added, blocks every signal, and stays.  ev.h is
 * included by loop.c only.  Clients' callbacks run with loop_lock() held. */
#ifndef TAPS_CORE_LOOP_H
#define TAPS_CORE_LOOP_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#define LOOP_FDS_MAX 32

struct loop_watch;

/* Something that is driven.  The client fills in what it waits for; the loop calls run() when one of
 * the descriptors is ready (revents set, 0 elsewhere), at the deadline, and after loop_wake(). */
struct loop_client {
	/* Called on the loop's thread, with the lock.  Returns false when the client is finished: the loop
	 * forgets it and calls done(). */
	bool (*run)(struct loop_client *client, int64_t now);
	void (*done)(struct loop_client *client);
	struct pollfd fds[LOOP_FDS_MAX];
	unsigned n_fds;
	int64_t deadline;          /* ns, monotonic; INT64_MAX: none */
	struct loop_client *next;  /* the loop's list */
	struct loop_client **prev;
	struct loop_watch *watch;  /* the loop's own */
};

/* The lock over all clients and connections that the loop drives.  Never held over a blocking call.
 * Taken before the host's lock where both are needed.  Its holder is neither interrupted by signals nor
 * cancelled (pthread_cancel(3)). */
void loop_lock(void);
void loop_unlock(void);

/* Hands a client to the loop; starts the thread if need be.  With the lock.  Returns 0 or -errno. */
int loop_add(struct loop_client *client);
/* Makes the loop run every client whose state changed from outside (`wanted` decides).
 * Async-signal-safe. */
void loop_wake(void);
/* exit(3): the thread runs no client any more, since libraries that clients use are being ended. */
void loop_stop(void);
/* Calls on(client, arg) for each client.  With the lock. */
void loop_each(void (*on)(struct loop_client *client, void *arg), void *arg);

/* pthread_atfork(3).  The child gets a loop of its own, with a thread if it has clients.  A thread that holds
 * the lock may fork: its child has no clients. */
void loop_fork_prepare(void);
void loop_fork_parent(void);
void loop_fork_child(void);
/* Whether the children that this thread forks are processes of ours, which have no part in the clients. */
void loop_fork_alone(bool on);
bool loop_forks_alone(void);

#endif
