/* What a race leaves in the trace: its candidates, their attempts, its outcome. */
#include <stdio.h>
#include <string.h>

#include "core/conn.h"
#include "core/trace.h"

static const char *const results[] = {
	[LEAF_IDLE] = "not started", [LEAF_RUNNING] = "cancelled",    [LEAF_SECURING] = "cancelled",
	[LEAF_WON] = "won",	     [LEAF_FAILED] = "failed",	      [LEAF_CANCELLED] = "cancelled",
};

static void trace_attempt(const struct conn *conn, unsigned leaf, int64_t now)
{
	const struct race_leaf *l = &conn->race.leaf[leaf];
	char text[ADDR_TEXT_MAX];
	struct taps_addr shown = addr_unmap(&conn->attempts[leaf].candidate.remote);
	struct trace_arg args[4];
	char stack[32];
	unsigned n = 0;

	snprintf(stack, sizeof(stack), "%s%s", conn->policy.security ? "tls/" : "",
		 candidate_stack_name(conn->attempts[leaf].candidate.stack));
	args[n++] = TRACE_NUMBER("order", leaf);
	args[n++] = TRACE_TEXT("result", results[l->state]);
	args[n++] = TRACE_TEXT("stack", stack);
	if (l->state == LEAF_FAILED)
		args[n++] = TRACE_TEXT("error", trace_error_name(l->error));
	if (l->started == RACE_NEVER)
		trace_event(conn->id, "attempt", addr_format(&shown, text), now, args, n);
	else
		trace_span(conn->id, "attempt", addr_format(&shown, text), l->started,
			   l->ended == RACE_NEVER ? now : l->ended, args, n);
}

/* A handshake that is still to come tells by itself. */
static void trace_winner(const struct conn *conn, int64_t now)
{
	const struct race_leaf *l = &conn->race.leaf[conn->winner];
	const struct attempt *winner = &conn->attempts[conn->winner];
	struct trace_arg order = TRACE_NUMBER("order", conn->winner);

	if (!winner->wants.deferred)
		trace_agreed(conn->id, winner->top, "handshake",
			     l->progress == RACE_NEVER ? l->started : l->progress,
			     l->ended == RACE_NEVER ? now : l->ended, &order, 1);
}

/* RFC 9622; an accepted connection has no configuration of its own (drive_accepted). */
static const char *outcome(const struct conn *conn)
{
	if (conn->state != CONN_WON)
		return "EstablishmentError";
	return conn->conf ? "Ready" : "ConnectionReceived";
}

void conn_trace(const struct conn *conn, int64_t now)
{
	char host[ADDR_TEXT_MAX], winner[ADDR_TEXT_MAX];
	struct trace_arg args[4];
	unsigned leaf, n = 0;
	int error = atomic_load(&conn->error);

	if (!trace_on())
		return;
	for (leaf = 0; leaf < conn->race.n; leaf++)
		trace_attempt(conn, leaf, now);
	args[n++] = TRACE_TEXT("host", conn->name[0] ? conn->name : addr_format_host(&conn->asked, host));
	args[n++] = TRACE_NUMBER("port", addr_port(&conn->asked));
	if (conn->state == CONN_WON) {
		struct taps_addr won = addr_unmap(&conn->attempts[conn->winner].candidate.remote);

		args[n++] = TRACE_TEXT("winner", addr_format(&won, winner));
		trace_winner(conn, now);
	} else if (conn->state == CONN_LOST) {
		args[n++] = TRACE_TEXT("error", trace_error_name(error));
		if (conn->reason[0])
			args[n++] = TRACE_TEXT("reason", conn->reason);
	}
	trace_span(conn->id, "race", "race", conn->begun, now, args, n);
	trace_event(conn->id, "connection", outcome(conn), now, args, n);
}
