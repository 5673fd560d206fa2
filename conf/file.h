/* Reading a configuration file: who may have written it, and how much of it. */
#ifndef TAPS_CONF_FILE_H
#define TAPS_CONF_FILE_H

#include "conf/arena.h"

#include <stdbool.h>
#include <sys/types.h>

#define FILE_SIZE_MAX (1 << 20)

struct conf_file {
	char *text; /* NUL-terminated, in the arena; NULL if nothing could be read */
	size_t len;
	dev_t dev;
	ino_t ino;
	char problem[80]; /* what is wrong with the file, after a failure */
};

/* Reads the file whole, at most FILE_SIZE_MAX bytes.  It must be a regular file of root's or the user's
 * that nobody else can write (checked on the open descriptor).  Returns 0, or -errno with `problem` set;
 * `text` may be there all the same, so that it can be searched.  Never blocks on a FIFO or a device. */
int file_read(struct arena *arena, const char *path, struct conf_file *ret);
/* Does the word, in lower case, occur in the text in any case? */
bool file_mentions(const struct conf_file *file, const char *word);

#endif
