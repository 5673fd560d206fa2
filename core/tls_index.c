/* Two kilobytes and a fraction of a millisecond for the system's bundle (core/tls_trust.h says what for). */
#include "core/tls_index.h"

#include "core/tls_file.h"
#include "core/tls_pem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct tls_index_source {
	char *path;
	struct tls_file_id id;
};

/* FNV-1a: equal hashes cost an import too many, never a wrong verdict. */
uint64_t tls_index_hash(const uint8_t *name, size_t size)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	while (size--)
		hash = (hash ^ *name++) * UINT64_C(0x100000001b3);
	return hash;
}

static int entry_add(struct tls_index *index, const struct tls_index_entry *entry)
{
	if (index->n_entries == index->room) {
		unsigned room = index->room ? index->room * 2 : 64;
		struct tls_index_entry *more = realloc(index->entries, room * sizeof(*more));

		if (!more)
			return -ENOMEM;
		index->entries = more;
		index->room = room;
	}
	index->entries[index->n_entries++] = *entry;
	return 0;
}

#define SUBJECT_TEXT 512 /* of base64, within which nearly every subject ends */

/* Hashes the subject of one PEM block, decoding the rest of it only if the subject reaches that far. */
static bool block_subject(const uint8_t *text, size_t size, uint64_t *ret)
{
	uint8_t head[SUBJECT_TEXT / 4 * 3];
	size_t cap = size / 4 * 3 + 3;
	size_t offset, length;
	uint8_t *whole;
	ptrdiff_t n = tls_base64_decode(text, size, head, sizeof(head));
	bool found;

	if (n < 0)
		return false;
	if (tls_der_subject(head, (size_t)n, &offset, &length)) {
		*ret = tls_index_hash(head + offset, length);
		return true;
	}
	whole = malloc(cap);
	if (!whole)
		return false;
	n = tls_base64_decode(text, size, whole, cap);
	found = n > 0 && tls_der_subject(whole, (size_t)n, &offset, &length);
	if (found)
		*ret = tls_index_hash(whole + offset, length);
	free(whole);
	return found;
}

static int index_text(struct tls_index *index, unsigned source, const uint8_t *text, size_t size)
{
	struct tls_index_entry entry = {.source = source};
	struct tls_pem_block block;
	size_t pos = 0, offset, length;
	int error = 0;

	if (tls_der_subject(text, size, &offset, &length)) {
		entry.subject = tls_index_hash(text + offset, length);
		entry.size = (uint32_t)size;
		entry.der = true;
		return entry_add(index, &entry);
	}
	while (!error && tls_pem_next(text, size, &pos, &block)) {
		entry.offset = (uint32_t)block.begin;
		entry.size = (uint32_t)block.size;
		if (block_subject(text + block.begin, block.size, &entry.subject))
			error = entry_add(index, &entry);
	}
	return error;
}

static bool seen_file(const struct tls_index *index, const struct tls_file_id *id)
{
	for (unsigned i = 0; i < index->n_sources; i++)
		if (tls_file_same(&index->sources[i].id, id))
			return true;
	return false;
}

static int source_add(struct tls_index *index, const char *path, const struct tls_file_id *id)
{
	struct tls_index_source *more = realloc(index->sources, (index->n_sources + 1) * sizeof(*more));
	char *copy = strdup(path);

	if (more)
		index->sources = more;
	if (!more || !copy) {
		free(copy);
		return -ENOMEM;
	}
	index->sources[index->n_sources++] = (struct tls_index_source){.path = copy, .id = *id};
	return 0;
}

static int add_file(struct tls_index *index, const char *path)
{
	struct tls_file_id id;
	uint8_t *text;
	size_t size;
	int error = tls_file_read(path, &text, &size, &id);

	if (error < 0)
		return error;
	/* A hashed directory holds each certificate under two names. */
	if (!seen_file(index, &id)) {
		error = source_add(index, path, &id);
		if (!error)
			error = index_text(index, index->n_sources - 1, text, size);
	}
	free(text);
	return error;
}

/* What cannot be read is not trusted, and no reason to trust the rest less. */
static int add_directory_file(void *arg, const char *path)
{
	int error = add_file(arg, path);

	return error == -ENOMEM ? error : 0;
}

static int by_subject(const void *a, const void *b)
{
	const struct tls_index_entry *left = a, *right = b;

	return left->subject < right->subject ? -1 : left->subject > right->subject;
}

static int finish(struct tls_index *index, int error)
{
	if (error)
		tls_index_drop(index);
	else if (index->n_entries)
		qsort(index->entries, index->n_entries, sizeof(*index->entries), by_subject);
	return error;
}

int tls_index_file(struct tls_index *index, const char *path)
{
	return finish(index, add_file(index, path));
}

int tls_index_directory(struct tls_index *index, const char *path)
{
	return finish(index, tls_file_each(path, add_directory_file, index));
}

void tls_index_drop(struct tls_index *index)
{
	for (unsigned i = 0; i < index->n_sources; i++)
		free(index->sources[i].path);
	free(index->sources);
	free(index->entries);
	*index = (struct tls_index){0};
}

struct tls_index_entry *tls_index_find(const struct tls_index *index, uint64_t subject)
{
	unsigned low = 0, high = index->n_entries;

	while (low < high) {
		unsigned middle = low + (high - low) / 2;

		if (index->entries[middle].subject < subject)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == index->n_entries || index->entries[low].subject != subject)
		return NULL;
	return &index->entries[low];
}

struct tls_index_entry *tls_index_next(const struct tls_index *index, const struct tls_index_entry *entry)
{
	size_t next = (size_t)(entry - index->entries) + 1;

	if (next == index->n_entries || index->entries[next].subject != entry->subject)
		return NULL;
	return &index->entries[next];
}

/* Decodes in place: base64 only ever shrinks. */
static int decode(uint8_t *text, size_t *size)
{
	ptrdiff_t n = tls_base64_decode(text, *size, text, *size);

	if (n < 0)
		return (int)n;
	*size = (size_t)n;
	return 0;
}

int tls_index_read(const struct tls_index *index, const struct tls_index_entry *entry, uint8_t **ret,
		   size_t *ret_size)
{
	const struct tls_index_source *source = &index->sources[entry->source];
	size_t size = entry->size;
	uint8_t *data = malloc(size + 1);
	int error = -ENOMEM;

	if (data)
		error = tls_file_read_at(source->path, &source->id, entry->offset, data, size);
	if (!error && !entry->der)
		error = decode(data, &size);
	if (error) {
		free(data);
		return error;
	}
	*ret = data;
	*ret_size = size;
	return 0;
}
