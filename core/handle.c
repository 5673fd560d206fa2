/* Reference counting of the objects behind slots. */
#include "core/handle.h"

#include <stddef.h>

static struct handle *_Atomic graves;

void handle_init(struct handle *handle, enum handle_kind kind, void (*free)(struct handle *handle))
{
	handle->kind = kind;
	handle->free = free;
	atomic_store(&handle->refs, 1);
}

void handle_ref(struct handle *handle)
{
	atomic_fetch_add(&handle->refs, 1);
}

void handle_unref(struct handle *handle)
{
	struct handle *head;

	if (atomic_fetch_sub(&handle->refs, 1) != 1)
		return;
	head = atomic_load(&graves);
	do
		handle->next_grave = head;
	while (!atomic_compare_exchange_weak(&graves, &head, handle));
}

void handle_reap(void)
{
	struct handle *handle = atomic_exchange(&graves, NULL), *next;

	for (; handle; handle = next) {
		next = handle->next_grave;
		handle->free(handle);
	}
}
