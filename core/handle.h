/* What every object behind a slot begins with: the slot has one pointer, and it may be any of them.
 * References are counted; the last one is dropped wherever that happens to be, a signal handler
 * included, so objects are only put on a list then, and freed by handle_reap(). */
#ifndef TAPS_CORE_HANDLE_H
#define TAPS_CORE_HANDLE_H

#include <stdatomic.h>

enum handle_kind {
	HANDLE_CONN,     /* being established (core/conn.h) */
	HANDLE_STREAM,   /* established (core/stream.h) */
	HANDLE_LISTENER, /* listening (core/listener.h) */
};

struct handle {
	enum handle_kind kind;
	_Atomic unsigned refs;
	void (*free)(struct handle *handle);
	struct handle *next_grave;
	struct handle *former; /* in taps_slot.former: the one before */
};

/* One reference, the maker's. */
void handle_init(struct handle *handle, enum handle_kind kind, void (*free)(struct handle *handle));
void handle_ref(struct handle *handle);
/* Async-signal-safe. */
void handle_unref(struct handle *handle);
/* Frees what was let go.  From calls that may allocate. */
void handle_reap(void);

#endif
