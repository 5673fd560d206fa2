/* The trace: events of connections and their races in the Chrome trace-event JSON form, one file for all
 * processes of a run (docs: "Trace Event Format", JSON array format).  The file is one complete JSON
 * array after every event, whatever is killed when.  Event names are those of RFC 9622. */
#ifndef TAPS_CORE_TRACE_H
#define TAPS_CORE_TRACE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* One argument of an event: text, or a number where text is NULL. */
struct trace_arg {
	const char *name;
	const char *text;
	int64_t number;
};

#define TRACE_TEXT(n, t) ((struct trace_arg){.name = (n), .text = (t)})
#define TRACE_NUMBER(n, v) ((struct trace_arg){.name = (n), .number = (v)})

/* Opens (creates, appends to) the trace file for this process and writes its process_name metadata.
 * `path` is copied.  Returns 0 or -errno.  Later calls write; before it, or after a
 * failure, they do nothing. */
int trace_open(const char *path, const char *program);
bool trace_on(void);

/* This process's events are of the process `pid` from here on, whose trace it has by fork(2). */
void trace_as(pid_t pid);

/* A number for a connection, unique within the process: the events' "id". */
uint64_t trace_new_id(void);

/* An interval: "X" event from begin to end (ns, monotonic) on the connection's own track.
 * `category` is "race", "attempt", "resolve", "tls"… */
void trace_span(uint64_t id, const char *category, const char *name, int64_t begin, int64_t end,
		const struct trace_arg *args, unsigned n_args);
/* A moment: "i" event. */
void trace_event(uint64_t id, const char *category, const char *name, int64_t when,
		 const struct trace_arg *args, unsigned n_args);

/* Is told facts, which are valid during the call. */
typedef void trace_hear(void *context, const struct trace_arg *facts, unsigned n);

struct layer;

/* What the layers of a chain that is ready agreed on, in category "tls": an interval, or with `begin` 0 the
 * moment `end`.  `args` come first. */
void trace_agreed(uint64_t id, struct layer *top, const char *name, int64_t begin, int64_t end,
		  const struct trace_arg *args, unsigned n_args);

/* "ECONNREFUSED" and the like, "unknown" for what is none (strerrorname_np(3)). */
const char *trace_error_name(int error);

struct taps_addr;

/* A connection that failed for `reason` (errno value `error`), in category "connection": `event` is
 * "EstablishmentError" or "ConnectionError" (RFC 9622 §7.2, §10). */
void trace_failed(uint64_t id, const char *event, const struct taps_addr *peer, int error,
		  const char *reason);

/* pthread_atfork(3): keeps the lock over the fork; the child writes on under its own pid. */
void trace_fork_prepare(void);
void trace_fork_parent(void);
void trace_fork_child(void);

#endif
