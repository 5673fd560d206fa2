/* A ring of entries in shared memory.  Each has a sequence number that is odd while it is written; a
 * reader takes a copy and checks that the number did not change, and trusts nothing in the copy: the
 * writer is another process. */
#include "core/names_shared.h"

#include <stdatomic.h>
#include <string.h>

struct shared_entry {
	_Atomic uint32_t sequence;
	struct names_entry entry;
};

struct shared {
	_Atomic uint32_t next;
	struct shared_entry entry[];
};

static struct shared *shared;
static unsigned n_entries;
static pid_t maker_process;

void names_shared_init(void *memory, size_t size, pid_t maker)
{
	if (!memory || size < sizeof(struct shared) + sizeof(struct shared_entry))
		return;
	shared = memory;
	n_entries = (unsigned)((size - sizeof(struct shared)) / sizeof(struct shared_entry));
	maker_process = maker;
}

void names_shared_learn(const char *name, int family, pid_t process, int64_t now,
			const struct taps_addr *addrs, size_t n)
{
	struct shared_entry *to;
	uint32_t sequence;

	if (!shared || process == maker_process || strlen(name) >= NAMES_TEXT_MAX)
		return;
	if (n > NAMES_ADDRS_MAX)
		n = NAMES_ADDRS_MAX;
	to = &shared->entry[atomic_fetch_add(&shared->next, 1) % n_entries];
	sequence = atomic_load(&to->sequence);
	/* Another child writes here, or died doing so: this answer is not worth waiting for. */
	if ((sequence & 1) || !atomic_compare_exchange_strong(&to->sequence, &sequence, sequence + 1))
		return;
	to->entry = (struct names_entry){.family = family, .when = now, .thread = process, .n = (unsigned)n};
	memcpy(to->entry.name, name, strlen(name) + 1);
	memcpy(to->entry.addrs, addrs, n * sizeof(*addrs));
	atomic_store(&to->sequence, sequence + 2);
}

static bool is_sound(struct names_entry *entry)
{
	unsigned i;

	if (!memchr(entry->name, 0, sizeof(entry->name)) || entry->n > NAMES_ADDRS_MAX)
		return false;
	for (i = 0; i < entry->n; i++)
		if (addr_family(&entry->addrs[i]) != AF_INET && addr_family(&entry->addrs[i]) != AF_INET6)
			return false;
	return entry->name[0] != 0;
}

static bool holds(const struct names_entry *entry, const struct taps_addr *addr)
{
	unsigned i;

	for (i = 0; i < entry->n; i++)
		if (addr_equal_host(&entry->addrs[i], addr))
			return true;
	return false;
}

static bool copy_entry(const struct shared_entry *from, struct names_entry *ret)
{
	uint32_t before = atomic_load(&from->sequence);

	if (before == 0 || (before & 1))
		return false;
	memcpy(ret, (const void *)&from->entry, sizeof(*ret));
	atomic_thread_fence(memory_order_acquire);
	return atomic_load(&from->sequence) == before && is_sound(ret);
}

bool names_shared_find(const struct taps_addr *addr, struct names_entry *ret)
{
	struct names_entry entry;
	bool found = false;
	unsigned i;

	for (i = 0; shared && i < n_entries; i++) {
		if (!copy_entry(&shared->entry[i], &entry) || !holds(&entry, addr))
			continue;
		if (!found || entry.when > ret->when)
			*ret = entry;
		found = true;
	}
	return found;
}
