/* Name memory: two bounded tables under one lock.
 *
 * lookups[] holds answers the application got.  A connect() asks it with an address alone, so each
 * lookup carries a filter word with one bit per address: most of the table is ruled out without
 * touching the addresses.  notes[] holds what failed, per name and address; their
 * names' hashes lie apart for the same reason.  Nothing is allocated; the least recent element makes room. */
#include "core/names.h"
#include "core/host.h"

#include <pthread.h>
#include <string.h>

#define NOTES_MAX 256
#define FAILURE_NS (2 * NS_PER_S)

/* What happened to the attempts at one address of a name. */
struct note {
	int64_t failed; /* when an attempt failed */
	int owed;       /* error to report at once, or 0 */
	char name[NAMES_TEXT_MAX];
	struct taps_addr addr;
};

static pthread_mutex_t names_lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t last_stamp; /* grows with every change: the order of events where times are equal */

/* In use from the beginning up to n_lookups: they are replaced, but not taken out. */
static unsigned n_lookups;
static uint64_t filters[NAMES_LOOKUPS_MAX];
static uint32_t hashes[NAMES_LOOKUPS_MAX];
static uint64_t stamps[NAMES_LOOKUPS_MAX];
static struct names_entry lookups[NAMES_LOOKUPS_MAX];

static uint32_t note_hashes[NOTES_MAX];
static uint64_t note_stamps[NOTES_MAX]; /* 0: free */
static struct note notes[NOTES_MAX];

/* Host names compare as in the DNS: ASCII letters without case (RFC 4343), whatever the locale. */
static unsigned char fold(char c)
{
	return c >= 'A' && c <= 'Z' ? (unsigned char)(c - 'A' + 'a') : (unsigned char)c;
}

static bool same_name(const char *a, const char *b)
{
	while (*a && fold(*a) == fold(*b))
		a++, b++;
	return fold(*a) == fold(*b);
}

/* FNV-1a. */
static uint32_t hash_name(const char *name)
{
	uint32_t hash = 2166136261u;

	for (; *name; name++)
		hash = (hash ^ fold(*name)) * 16777619u;
	return hash;
}

/* The filter bit of an address; equal for an IPv4 address and its mapped form. */
static uint64_t filter_bit(const struct taps_addr *addr)
{
	struct taps_addr plain = addr_unmap(addr);
	uint32_t words[4] = {0}, hash;

	if (addr_family(&plain) == AF_INET6)
		memcpy(words, &plain.in6.sin6_addr, sizeof(words));
	else
		words[0] = plain.in4.sin_addr.s_addr;
	hash = (words[0] ^ words[1] * 3 ^ words[2] * 5 ^ words[3] * 7) * 2654435761u;
	return UINT64_C(1) << (hash >> 26);
}

static void copy_name(char *to, const char *name)
{
	memcpy(to, name, strlen(name) + 1);
}

static bool holds(const struct names_entry *entry, const struct taps_addr *addr)
{
	for (unsigned i = 0; i < entry->n; i++)
		if (addr_equal_host(&entry->addrs[i], addr))
			return true;
	return false;
}

/* The place of an equal lookup, or else a free one, or else the least recent one. */
static unsigned lookup_place(const char *name, uint32_t hash, int family, pid_t thread)
{
	unsigned oldest = 0;

	for (unsigned i = 0; i < n_lookups; i++) {
		const struct names_entry *entry = &lookups[i];

		if (hashes[i] == hash && entry->family == family && entry->thread == thread &&
		    same_name(entry->name, name))
			return i;
		if (stamps[i] < stamps[oldest])
			oldest = i;
	}
	return n_lookups < NAMES_LOOKUPS_MAX ? n_lookups++ : oldest;
}

/* Copies the addresses without their ports, each once.  Returns the filter word. */
static uint64_t fill_addrs(struct names_entry *entry, const struct taps_addr *addrs, size_t n)
{
	uint64_t filter = 0;

	entry->n = 0;
	for (size_t i = 0; i < n && entry->n < NAMES_ADDRS_MAX; i++) {
		if (holds(entry, &addrs[i]))
			continue;
		entry->addrs[entry->n] = addrs[i];
		addr_set_port(&entry->addrs[entry->n++], 0);
		filter |= filter_bit(&addrs[i]);
	}
	return filter;
}

static bool fits(const char *name)
{
	return *name && strnlen(name, NAMES_TEXT_MAX) < NAMES_TEXT_MAX;
}

static bool is_numeric(const char *name)
{
	struct taps_addr addr;

	return addr_parse(&addr, name, 0) >= 0;
}

void names_learn(const char *name, int family, pid_t thread, int64_t now,
		 const struct taps_addr *addrs, size_t n)
{
	uint32_t hash;
	unsigned at;

	if (!n || !fits(name) || is_numeric(name))
		return;
	hash = hash_name(name);
	pthread_mutex_lock(&names_lock);
	at = lookup_place(name, hash, family, thread);
	copy_name(lookups[at].name, name);
	lookups[at].family = family;
	lookups[at].when = now;
	lookups[at].thread = thread;
	filters[at] = fill_addrs(&lookups[at], addrs, n);
	hashes[at] = hash;
	stamps[at] = ++last_stamp;
	pthread_mutex_unlock(&names_lock);
}

/* Is lookup `a` the better answer for the thread than `b` (-1: none yet)? */
static bool better(int a, int b, pid_t thread)
{
	if (b < 0)
		return true;
	if ((lookups[a].thread == thread) != (lookups[b].thread == thread))
		return lookups[a].thread == thread;
	return stamps[a] > stamps[b];
}

/* The best lookup that holds the address, or -1. */
static int find_lookup(const struct taps_addr *addr, pid_t thread, bool *ret_ambiguous)
{
	uint64_t bit = filter_bit(addr);
	int best = -1, seen = -1;

	for (int i = 0; i < (int)n_lookups; i++) {
		if (!(filters[i] & bit) || !holds(&lookups[i], addr))
			continue;
		if (seen >= 0 && !same_name(lookups[seen].name, lookups[i].name))
			*ret_ambiguous = true;
		seen = i;
		if (better(i, best, thread))
			best = i;
	}
	return best;
}

bool names_find(const struct taps_addr *addr, pid_t thread, struct names_entry *ret, bool *ret_ambiguous)
{
	bool ambiguous = false;
	int at;

	pthread_mutex_lock(&names_lock);
	at = find_lookup(addr, thread, &ambiguous);
	if (at >= 0)
		*ret = lookups[at];
	pthread_mutex_unlock(&names_lock);
	if (ret_ambiguous)
		*ret_ambiguous = ambiguous;
	return at >= 0;
}

static bool note_is(unsigned at, uint32_t hash, const char *name)
{
	return note_hashes[at] == hash && note_stamps[at] && same_name(notes[at].name, name);
}

/* The place of the note on an address of a name, or -1. */
static int find_note(const struct taps_addr *addr, uint32_t hash, const char *name)
{
	for (unsigned i = 0; i < NOTES_MAX; i++)
		if (note_is(i, hash, name) && addr_equal(&notes[i].addr, addr))
			return (int)i;
	return -1;
}

/* A free place, or that of the least recent note. */
static int oldest_note(void)
{
	int oldest = 0;

	for (int i = 0; i < NOTES_MAX && note_stamps[oldest]; i++)
		if (note_stamps[i] < note_stamps[oldest])
			oldest = i;
	return oldest;
}

/* The note on an address of a name, made if there is none. */
static struct note *make_note(const struct taps_addr *addr, const char *name)
{
	uint32_t hash = hash_name(name);
	int at = find_note(addr, hash, name);

	if (at < 0) {
		at = oldest_note();
		note_hashes[at] = hash;
		notes[at].addr = *addr;
		copy_name(notes[at].name, name);
	}
	note_stamps[at] = ++last_stamp;
	return &notes[at];
}

void names_note_failure(const struct taps_addr *addr, const char *name, int error, int64_t now)
{
	struct note *note;

	if (!fits(name))
		return;
	pthread_mutex_lock(&names_lock);
	note = make_note(addr, name);
	note->failed = now;
	note->owed = error;
	pthread_mutex_unlock(&names_lock);
}

void names_note_success(const char *name)
{
	uint32_t hash = hash_name(name);

	pthread_mutex_lock(&names_lock);
	for (unsigned i = 0; i < NOTES_MAX; i++)
		if (note_is(i, hash, name))
			note_stamps[i] = 0;
	pthread_mutex_unlock(&names_lock);
}

int names_take_failure(const struct taps_addr *addr, const char *name, int64_t now)
{
	int error = 0, at;

	pthread_mutex_lock(&names_lock);
	at = find_note(addr, hash_name(name), name);
	if (at >= 0) {
		if (notes[at].owed && now - notes[at].failed <= FAILURE_NS)
			error = notes[at].owed;
		notes[at].owed = 0;
	}
	pthread_mutex_unlock(&names_lock);
	return error;
}

bool names_failed_lately(const struct taps_addr *addr, const char *name, int64_t now)
{
	bool lately;
	int at;

	pthread_mutex_lock(&names_lock);
	at = find_note(addr, hash_name(name), name);
	lately = at >= 0 && now - notes[at].failed <= FAILURE_NS;
	pthread_mutex_unlock(&names_lock);
	return lately;
}

void names_fork_prepare(void)
{
	pthread_mutex_lock(&names_lock);
}

void names_fork_done(void)
{
	pthread_mutex_unlock(&names_lock);
}

void names_clear(void)
{
	pthread_mutex_lock(&names_lock);
	n_lookups = 0;
	memset(note_stamps, 0, sizeof(note_stamps));
	pthread_mutex_unlock(&names_lock);
}
