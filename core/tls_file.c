/* Plain open(2) and pread(2): configuration files are no descriptors of the application's, and these
 * calls bind to the C library and not to the shim (the module is opened with RTLD_DEEPBIND; elsewhere the
 * shim passes them on). */
#include "core/tls_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SIZE_LIMIT (64u << 20)

static int64_t ns(const struct timespec *t)
{
	return (int64_t)t->tv_sec * 1000000000 + t->tv_nsec;
}

static struct tls_file_id id_of(const struct stat *st)
{
	return (struct tls_file_id){
		.device = st->st_dev,
		.inode = st->st_ino,
		.size = (uint64_t)st->st_size,
		.modified = ns(&st->st_mtim),
		.changed = ns(&st->st_ctim),
	};
}

int tls_file_identify(const char *path, struct tls_file_id *ret)
{
	struct stat st;

	memset(ret, 0, sizeof(*ret));
	if (strncmp(path, "pkcs11:", 7) == 0)
		return 0;
	if (stat(path, &st) < 0)
		return -errno;
	*ret = id_of(&st);
	return 0;
}

bool tls_file_same(const struct tls_file_id *a, const struct tls_file_id *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

/* O_NONBLOCK, for a FIFO in a certificate directory must not stop the program. */
static int open_regular(const char *path, struct tls_file_id *ret)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	int error = 0;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		error = -errno;
	else if (!S_ISREG(st.st_mode))
		error = S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	if (error) {
		close(fd);
		return error;
	}
	*ret = id_of(&st);
	return fd;
}

static int read_exactly(int fd, uint64_t offset, void *buf, size_t size)
{
	for (size_t got = 0; got < size;) {
		ssize_t n = pread(fd, (char *)buf + got, size - got, (off_t)(offset + got));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -ESTALE;
		got += (size_t)n;
	}
	return 0;
}

int tls_file_read(const char *path, uint8_t **ret, size_t *ret_size, struct tls_file_id *id)
{
	struct tls_file_id now;
	int fd = open_regular(path, &now);
	int error = -EFBIG;
	uint8_t *data = NULL;

	if (fd < 0)
		return fd;
	if (now.size <= SIZE_LIMIT) {
		data = malloc(now.size + 1);
		error = data ? read_exactly(fd, 0, data, now.size) : -ENOMEM;
	}
	close(fd);
	if (error < 0) {
		free(data);
		return error;
	}
	data[now.size] = 0;
	*ret = data;
	*ret_size = now.size;
	if (id)
		*id = now;
	return 0;
}

int tls_file_read_at(const char *path, const struct tls_file_id *id, uint64_t offset, void *buf, size_t size)
{
	struct tls_file_id now;
	int fd = open_regular(path, &now);
	int error;

	if (fd < 0)
		return fd;
	error = tls_file_same(&now, id) ? read_exactly(fd, offset, buf, size) : -ESTALE;
	close(fd);
	return error;
}

int tls_file_each(const char *directory, int (*each)(void *arg, const char *path), void *arg)
{
	DIR *dir = opendir(directory);
	struct dirent *entry;
	int result = 0;

	if (!dir)
		return -errno;
	while (!result && (entry = readdir(dir))) {
		char path[4096];
		int n = snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);

		if (entry->d_name[0] != '.' && n > 0 && (size_t)n < sizeof(path))
			result = each(arg, path);
	}
	closedir(dir);
	return result;
}
