/* Memory that lives and ends together: what a configuration is made of. */
#ifndef TAPS_CONF_ARENA_H
#define TAPS_CONF_ARENA_H

#include <stdarg.h>
#include <stddef.h>

struct arena_chunk;

/* All zero is an empty arena. */
struct arena {
	struct arena_chunk *chunk; /* the newest; NULL: nothing was allocated */
};

/* Where every arena has its memory from, and how much it takes at a time: malloc(3) and some pages, unless a
 * unit test lets each allocation fail in turn. */
extern void *(*arena_source)(size_t size);
extern size_t arena_chunk_size;

/* Zeroed memory, aligned for any type, valid until arena_fini(); NULL when there is none left. */
void *arena_alloc(struct arena *arena, size_t size);
/* The same for n elements; NULL also where n * size overflows. */
void *arena_array(struct arena *arena, size_t n, size_t size);
char *arena_strndup(struct arena *arena, const char *text, size_t len);
char *arena_strdup(struct arena *arena, const char *text);
char *arena_printf(struct arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Frees everything; the arena is empty again. */
void arena_fini(struct arena *arena);

#endif
