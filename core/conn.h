/* A connection being established on behalf of one connect() call: its candidates, their attempts, the
 * race among them, and how the winner takes the place of the application's socket.
 *
 * Two drivers exist (drive.h): the calling thread for a blocking socket, the loop's for a non-blocking
 * one.  Only the driver touches the race; other threads go through the functions marked so. */
#ifndef TAPS_CORE_CONN_H
#define TAPS_CORE_CONN_H

#include <stdatomic.h>
#include <stddef.h>

#include "conf/policy.h"
#include "core/api.h"
#include "core/candidate.h"
#include "core/handle.h"
#include "core/layer.h"
#include "core/loop.h"
#include "core/names.h"
#include "core/race.h"

struct resolve;

/* One leaf of the race: a candidate, and the chain of layers that tries it. */
struct attempt {
	struct candidate candidate;
	struct layer *top;         /* NULL until started, and after it ended */
	struct layer_wants wants;
	bool own;                  /* runs on the application's own file */
};

enum conn_state { CONN_RACING, CONN_WON, CONN_LOST };

struct conn {
	struct handle handle;      /* first; references: the slot's, and the driver's */
	struct loop_client client;
	struct taps_slot *slot;    /* valid only between conn_hold_slot and conn_release_slot, or while
	                              a call of the application's holds it */
	_Atomic bool released;     /* the slot let go: nobody is there any more */
	_Atomic bool abandoned;    /* the application got its own file back, or shut it down */

	struct conf *conf;
	struct policy policy;
	char name[NAMES_TEXT_MAX]; /* Remote Endpoint's name; "" if it is known by address alone */
	int family;                /* that the name was looked up for */
	struct taps_addr passed;   /* to connect(), as the application wrote it */
	struct taps_addr asked;    /* the same, seen through v4-mapping */
	const void *thread;        /* which thread asked */

	struct race race;
	struct attempt attempts[RACE_MAX_LEAVES];
	struct resolve *resolve;   /* answers still to come, or NULL */
	_Atomic enum conn_state state;
	unsigned winner;
	bool ticket_used;          /* one attempt resumes a session, the others do not */
	_Atomic int error;         /* LOST: to be reported once */

	int app_fd;           /* the number that the application used, while its own file is there; else -1 */
	_Atomic int own_fd;   /* its original file, while a placeholder is under the number; else -1 */
	_Atomic int peer_fd;  /* the placeholder's far end, or -1 */
	_Atomic bool blocking;
	void *frame;          /* blocking: of the connect() that drives */
	struct conn *outer;   /* blocking: the connect() that a signal handler's interrupted */
	struct conn *next_here, **prev_here; /* blocking: all of them; NULL prev_here: not one of these */
	pid_t home;           /* the process that asked: a session under way has no two drivers */
	bool interrupted;     /* a signal came while the transport blocked */
	int64_t patience_end; /* blocking: by when connect() returns (SO_SNDTIMEO); INT64_MAX: never */

	uint64_t id;  /* in the trace */
	int64_t begun;
	struct taps_addr bound; /* SLOT_BOUND: the local address that the application chose, any port */
	struct taps_addr local; /* DISGUISED: the name that getsockname reports */
	char reason[320]; /* why a candidate failed, the first where a layer has words for it */
	struct taps_addr refused; /* that candidate, or without words the most preferred one */
	const char *identity;      /* a name that the policy gives the peer, or NULL: conn->name */
};

static inline struct conn *conn_of(struct loop_client *client)
{
	return (struct conn *)((char *)client - offsetof(struct conn, client));
}

/* Makes a connection for the call; takes the policy and a reference to conf.  NULL when memory is short. */
struct conn *conn_new(const struct taps_connect_call *call, struct conf *conf, const struct policy *policy,
		      const struct names_entry *entry);
void conn_ref(struct conn *conn);
/* Async-signal-safe. */
void conn_unref(struct conn *conn);

/* Must the connection go through the core, whatever fails?  Secured, or to another remote than asked for. */
bool conn_is_bound_to_core(const struct conn *conn);

/* Fills in the candidates from the answer of a look-up (`addrs`, ports ignored).  Returns their number,
 * or -EPROTONOSUPPORT when no protocol stack has what the policy requires. */
int conn_gather(struct conn *conn, const struct taps_addr *addrs, size_t n);
/* The same without taking them over: for answers that come while the race runs. */
int conn_candidates(const struct conn *conn, const struct taps_addr *addrs, size_t n,
		    struct candidate_set *ret);
/* The application's own file, wherever it is now. */
int conn_original_fd(const struct conn *conn);
/* Begins the race over what was gathered. */
void conn_begin(struct conn *conn, int64_t now);
/* Goes on: feeds what happened to the attempts (revents of `fds`, as conn_pollfds filled them; NULL:
 * nothing is known), carries out what the race decides.  conn->state tells the outcome. */
void conn_step(struct conn *conn, const struct pollfd *fds, unsigned n, int64_t now);
/* What to wait for: descriptors (at most LOOP_FDS_MAX) and a deadline. */
unsigned conn_pollfds(struct conn *conn, struct pollfd *fds, unsigned max);
int64_t conn_deadline(const struct conn *conn);
/* Ends every attempt but the winner's. */
void conn_cancel(struct conn *conn);
/* Writes the race into the trace, once it is over. */
void conn_trace(const struct conn *conn, int64_t now);

/* A blocking race runs without the loop's lock.  It is taken for each step between a descriptor and the
 * attempt that has it, where another thread may fork(2): to the child every descriptor is an attempt's, or
 * not there (drive_fork_child).  Returns whether it was. */
bool conn_lock(const struct conn *conn);
void conn_unlock(bool locked);

/* A reference to the connection's slot, if the application still has the socket. */
bool conn_hold_slot(struct conn *conn);
void conn_release_slot(struct conn *conn);

#endif
