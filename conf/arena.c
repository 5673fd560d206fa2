/* A configuration is built once and freed as a whole, so its parts are cut from chunks: no part has an
 * owner of its own, and a load that fails half way leaves nothing behind. */
#include "conf/arena.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct arena_chunk {
	struct arena_chunk *next;
	size_t used, size;
	_Alignas(max_align_t) char data[];
};

void *(*arena_source)(size_t size) = malloc;
size_t arena_chunk_size = 8192;

static struct arena_chunk *add_chunk(struct arena *arena, size_t least)
{
	size_t size = least > arena_chunk_size ? least : arena_chunk_size;
	struct arena_chunk *chunk = arena_source(sizeof(*chunk) + size);

	if (!chunk)
		return NULL;
	*chunk = (struct arena_chunk){.next = arena->chunk, .size = size};
	arena->chunk = chunk;
	return chunk;
}

void *arena_alloc(struct arena *arena, size_t size)
{
	struct arena_chunk *chunk = arena->chunk;
	size_t align = _Alignof(max_align_t);
	void *ret;

	if (size > SIZE_MAX / 2)
		return NULL;
	size = (size + align - 1) / align * align;
	if (!chunk || chunk->size - chunk->used < size)
		chunk = add_chunk(arena, size);
	if (!chunk)
		return NULL;
	ret = memset(chunk->data + chunk->used, 0, size);
	chunk->used += size;
	return ret;
}

void *arena_array(struct arena *arena, size_t n, size_t size)
{
	size_t total;

	return __builtin_mul_overflow(n, size, &total) ? NULL : arena_alloc(arena, total);
}

char *arena_strndup(struct arena *arena, const char *text, size_t len)
{
	char *ret = arena_alloc(arena, len + 1);

	return ret ? memcpy(ret, text, len) : NULL;
}

char *arena_strdup(struct arena *arena, const char *text)
{
	return arena_strndup(arena, text, strlen(text));
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
	va_list args;
	char *ret;
	int len;

	va_start(args, format);
	len = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (len < 0)
		return NULL;
	ret = arena_alloc(arena, (size_t)len + 1);
	if (!ret)
		return NULL;
	va_start(args, format);
	vsnprintf(ret, (size_t)len + 1, format, args);
	va_end(args);
	return ret;
}

void arena_fini(struct arena *arena)
{
	while (arena->chunk) {
		struct arena_chunk *next = arena->chunk->next;

		free(arena->chunk);
		arena->chunk = next;
	}
}
