/* The file is opened once and judged by what was opened, so that nobody can put another one in its place
 * between the look and the reading. */
#include "conf/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/ascii.h"

static int refuse(struct conf_file *file, int error, const char *problem)
{
	snprintf(file->problem, sizeof(file->problem), "%s", problem);
	return -error;
}

static int refuse_errno(struct conf_file *file, int error)
{
	char text[64];

	snprintf(file->problem, sizeof(file->problem), "cannot be read: %s",
		 strerror_r(error, text, sizeof(text)));
	return -error;
}

static int check_kind(struct conf_file *file, const struct stat *st)
{
	if (S_ISDIR(st->st_mode))
		return refuse(file, EISDIR, "is a directory: expected a file");
	if (!S_ISREG(st->st_mode))
		return refuse(file, EINVAL, "is not a regular file");
	if (st->st_size > FILE_SIZE_MAX)
		return refuse(file, EFBIG, "is larger than 1 MiB");
	return 0;
}

static int check_owner(struct conf_file *file, const struct stat *st)
{
	if (st->st_uid != 0 && st->st_uid != geteuid()) {
		snprintf(file->problem, sizeof(file->problem), "belongs to user %u: expected root or user %u",
			 (unsigned)st->st_uid, (unsigned)geteuid());
		return -EACCES;
	}
	if (st->st_mode & (S_IWGRP | S_IWOTH)) {
		snprintf(file->problem, sizeof(file->problem), "is writable by others (mode %04o)",
			 (unsigned)st->st_mode & 07777);
		return -EACCES;
	}
	return 0;
}

/* Reads on to the end, whatever the size was said to be: the file may be growing. */
static int read_text(struct arena *arena, int fd, size_t size, struct conf_file *file)
{
	char *text = arena_alloc(arena, size + 2);
	size_t len = 0;
	ssize_t n = 1;

	if (!text)
		return refuse(file, ENOMEM, "cannot be read: out of memory");
	while (n > 0 && len <= size) {
		n = read(fd, text + len, size + 1 - len);
		if (n < 0 && errno != EINTR)
			return refuse_errno(file, errno);
		len += n > 0 ? (size_t)n : 0;
		n = n < 0 ? 1 : n;
	}
	if (len > size)
		return refuse(file, EAGAIN, "grew while it was read");
	text[len] = '\0';
	file->text = text;
	file->len = len;
	return 0;
}

static int read_open(struct arena *arena, int fd, struct conf_file *file)
{
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return refuse_errno(file, errno);
	file->dev = st.st_dev;
	file->ino = st.st_ino;
	r = check_kind(file, &st);
	if (r == 0)
		r = read_text(arena, fd, (size_t)st.st_size, file);
	return r < 0 ? r : check_owner(file, &st);
}

int file_read(struct arena *arena, const char *path, struct conf_file *ret)
{
	int fd, r;

	*ret = (struct conf_file){0};
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return refuse_errno(ret, errno);
	r = read_open(arena, fd, ret);
	close(fd);
	return r;
}

bool file_mentions(const struct conf_file *file, const char *word)
{
	size_t n = strlen(word);

	for (size_t i = 0; file->text && i + n <= file->len; i++)
		if (ascii_same(file->text + i, word, n))
			return true;
	return false;
}
