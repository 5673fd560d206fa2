/* Files that hold a trace: creating, reading, and taking apart.
 *
 * The parser is for JSON in general as far as it skips, and for trace events as far as it keeps.  Strings
 * are decoded in place.  It stops at the first thing that it does not understand, as a file may end
 * anywhere. */
#include "tools/tracefile.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEPTH_MAX 64

struct parser {
	struct tracefile *file;
	char *at, *end;
	size_t capacity;
};

/* The head of a file that this project writes. */
static bool is_trace_head(const char *head, size_t n)
{
	static const char *const heads[] = { "[\n]\n", "[\n{\"ph\":\"M\",\"name\":\"process_name\"" };

	for (unsigned i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
		size_t length = strlen(heads[i]);

		if (!memcmp(head, heads[i], n < length ? n : length))
			return true;
	}
	return false;
}

static int empty_trace(int fd)
{
	char head[64];
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	n = pread(fd, head, sizeof(head), 0);
	if (n < 0)
		return -errno;
	if (!is_trace_head(head, (size_t)n))
		return -EEXIST;
	if (ftruncate(fd, 0) < 0 || pwrite(fd, "[\n]\n", 4, 0) != 4)
		return -errno;
	return 0;
}

int tracefile_create(const char *path, const char *outer)
{
	struct stat mine, theirs;
	int fd, r;

	if (outer && stat(outer, &theirs) == 0 && stat(path, &mine) == 0 && mine.st_dev == theirs.st_dev &&
	    mine.st_ino == theirs.st_ino)
		return 0;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0644);
	if (fd < 0)
		return -errno;
	r = empty_trace(fd);
	close(fd);
	return r;
}

static void skip_space(struct parser *p)
{
	while (p->at < p->end && strchr(" \t\r\n", *p->at) && *p->at)
		p->at++;
}

/* Takes one character of the grammar. */
static bool take(struct parser *p, char c)
{
	skip_space(p);
	if (p->at == p->end || *p->at != c)
		return false;
	p->at++;
	return true;
}

static char *encode_utf8(char *out, unsigned c)
{
	if (c < 0x80) {
		*out++ = (char)c;
	} else if (c < 0x800) {
		*out++ = (char)(0xc0 | c >> 6);
		*out++ = (char)(0x80 | (c & 0x3f));
	} else {
		*out++ = (char)(0xe0 | c >> 12);
		*out++ = (char)(0x80 | (c >> 6 & 0x3f));
		*out++ = (char)(0x80 | (c & 0x3f));
	}
	return out;
}

/* What follows "\u"; surrogates, which no writer of ours makes, become U+FFFD. */
static bool take_code(struct parser *p, unsigned *ret)
{
	static const char digits[] = "0123456789abcdef0123456789ABCDEF";

	*ret = 0;
	for (int i = 0; i < 4; i++, p->at++) {
		const char *digit = p->at < p->end && *p->at ? strchr(digits, *p->at) : NULL;

		if (!digit)
			return false;
		*ret = *ret << 4 | ((unsigned)(digit - digits) & 15);
	}
	if ((*ret >= 0xd800 && *ret < 0xe000) || *ret == 0)
		*ret = 0xfffd;
	return true;
}

static bool take_escape(struct parser *p, char **out)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *found;
	unsigned code;
	char c;

	if (p->at == p->end)
		return false;
	c = *p->at++;
	if (c == 'u') {
		if (!take_code(p, &code))
			return false;
		*out = encode_utf8(*out, code);
		return true;
	}
	found = c ? strchr(from, c) : NULL;
	if (found)
		*(*out)++ = to[found - from];
	return found;
}

/* A string, decoded over itself: escapes only ever get shorter.  NULL where there is none. */
static char *take_string(struct parser *p)
{
	char *start, *out;

	if (!take(p, '"'))
		return NULL;
	start = out = p->at;
	while (p->at < p->end && *p->at != '"') {
		char c = *p->at++;

		if (c == '\\') {
			if (!take_escape(p, &out))
				return NULL;
		} else if (!c) {
			return NULL;
		} else {
			*out++ = c;
		}
	}
	if (p->at == p->end)
		return NULL;
	p->at++;
	*out = 0;
	return start;
}

static bool take_number(struct parser *p, double *ret)
{
	char *end;

	skip_space(p);
	if (p->at == p->end || !strchr("-0123456789", *p->at) || !*p->at)
		return false;
	*ret = strtod(p->at, &end); /* the text has a NUL at its end */
	if (end == p->at || !isfinite(*ret))
		return false;
	p->at = end;
	return true;
}

static bool skip_value(struct parser *p, unsigned depth);

static bool skip_members(struct parser *p, char close, unsigned depth)
{
	if (take(p, close))
		return true;
	do {
		if (close == '}' && (!take_string(p) || !take(p, ':')))
			return false;
		if (!skip_value(p, depth + 1))
			return false;
	} while (take(p, ','));
	return take(p, close);
}

static bool skip_value(struct parser *p, unsigned depth)
{
	static const char *const words[] = { "true", "false", "null" };
	double number;

	if (depth > DEPTH_MAX)
		return false;
	skip_space(p);
	if (p->at < p->end && *p->at == '"')
		return take_string(p) != NULL;
	if (take(p, '{'))
		return skip_members(p, '}', depth);
	if (take(p, '['))
		return skip_members(p, ']', depth);
	for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		size_t n = strlen(words[i]);

		if ((size_t)(p->end - p->at) >= n && !memcmp(p->at, words[i], n)) {
			p->at += n;
			return true;
		}
	}
	return take_number(p, &number);
}

static bool is_string_next(struct parser *p)
{
	skip_space(p);
	return p->at < p->end && *p->at == '"';
}

static bool take_field(struct parser *p, struct trace_field *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->name = take_string(p);
	if (!ret->name || !take(p, ':'))
		return false;
	if (is_string_next(p)) {
		ret->text = take_string(p);
		return ret->text;
	}
	if (take_number(p, &ret->number))
		return true;
	ret->text = "";
	return skip_value(p, 0);
}

static bool keep_fields(struct parser *p, struct trace_item *item, const struct trace_field *field,
			unsigned n)
{
	struct tracefile *file = p->file;
	struct trace_field **block, *copy;

	if (n == 0)
		return true;
	copy = malloc(n * sizeof(*copy));
	block = file->block;
	if ((file->n_blocks & (file->n_blocks - 1)) == 0)
		block = realloc(block, (file->n_blocks ? 2 * file->n_blocks : 1) * sizeof(*block));
	if (block)
		file->block = block;
	if (!copy || !block) {
		free(copy);
		return false;
	}
	memcpy(copy, field, n * sizeof(*copy));
	file->block[file->n_blocks++] = copy;
	item->field = copy;
	item->n_fields = n;
	return true;
}

static bool take_fields(struct parser *p, struct trace_item *item)
{
	struct trace_field field[TRACEFILE_FIELDS_MAX], extra;
	unsigned n = 0;

	if (!take(p, '{'))
		return skip_value(p, 0);
	if (!take(p, '}')) {
		do {
			if (!take_field(p, n < TRACEFILE_FIELDS_MAX ? &field[n] : &extra))
				return false;
			n += n < TRACEFILE_FIELDS_MAX;
		} while (take(p, ','));
		if (!take(p, '}'))
			return false;
	}
	return keep_fields(p, item, field, n);
}

/* Microseconds of the file to nanoseconds; out of range becomes 0. */
static int64_t to_ns(double us)
{
	return fabs(us) < 9e15 ? (int64_t)llround(us * 1000) : 0;
}

static void keep_number(struct trace_item *item, const char *key, double number)
{
	if (!strcmp(key, "ts"))
		item->begin = to_ns(number);
	else if (!strcmp(key, "dur"))
		item->end = to_ns(number < 0 ? 0 : number);
	else if (!strcmp(key, "pid"))
		item->pid = to_ns(number) / 1000;
	else if (!strcmp(key, "tid"))
		item->tid = to_ns(number) / 1000;
}

static void keep_text(struct trace_item *item, const char *key, const char *text)
{
	if (!strcmp(key, "ph"))
		item->phase = *text;
	else if (!strcmp(key, "cat"))
		item->category = text;
	else if (!strcmp(key, "name"))
		item->name = text;
}

static bool take_member(struct parser *p, struct trace_item *item)
{
	const char *key = take_string(p);
	double number;

	if (!key || !take(p, ':'))
		return false;
	if (!strcmp(key, "args"))
		return take_fields(p, item);
	if (is_string_next(p)) {
		const char *text = take_string(p);

		if (text)
			keep_text(item, key, text);
		return text;
	}
	if (!take_number(p, &number))
		return skip_value(p, 0);
	keep_number(item, key, number);
	return true;
}

static bool take_item(struct parser *p, struct trace_item *item)
{
	memset(item, 0, sizeof(*item));
	item->category = item->name = "";
	if (!take(p, '{'))
		return false;
	do {
		if (!take_member(p, item))
			return false;
	} while (take(p, ','));
	item->end += item->begin; /* held the duration until here */
	return take(p, '}');
}

static int grow(struct parser *p)
{
	struct tracefile *file = p->file;
	struct trace_item *item;

	if (file->n < p->capacity)
		return 0;
	item = realloc(file->item, (p->capacity + 1024) * 2 * sizeof(*item));
	if (!item)
		return -ENOMEM;
	file->item = item;
	p->capacity = (p->capacity + 1024) * 2;
	return 0;
}

int tracefile_parse(char *text, size_t n, struct tracefile *ret)
{
	struct parser p = { .file = ret, .at = text, .end = text + n };

	memset(ret, 0, sizeof(*ret));
	ret->text = text;
	if (!take(&p, '['))
		return -EINVAL;
	if (take(&p, ']'))
		return 0;
	do {
		if (grow(&p) < 0)
			return -ENOMEM;
		if (!take_item(&p, &ret->item[ret->n])) {
			ret->cut = true;
			return 0;
		}
		ret->n++;
	} while (take(&p, ','));
	ret->cut = !take(&p, ']');
	return 0;
}

/* Writers hold the lock over a write; without it half an event could be seen. */
static void lock_for_reading(int fd)
{
	struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET };

	while (fcntl(fd, F_SETLKW, &lock) < 0 && errno == EINTR)
		continue;
}

static int read_all(int fd, char **ret, size_t *ret_n)
{
	size_t size, n = 0;
	struct stat st;
	ssize_t got;
	char *text;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if (st.st_size > TRACEFILE_SIZE_MAX)
		return -EFBIG;
	size = (size_t)st.st_size;
	text = malloc(size + 1);
	if (!text)
		return -ENOMEM;
	while (n < size && (got = read(fd, text + n, size - n)) > 0)
		n += (size_t)got;
	text[n] = 0;
	*ret = text;
	*ret_n = n;
	return 0;
}

int tracefile_read(const char *path, struct tracefile *ret)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), r;
	char *text = NULL;
	size_t n = 0;

	memset(ret, 0, sizeof(*ret));
	if (fd < 0)
		return -errno;
	lock_for_reading(fd);
	r = read_all(fd, &text, &n);
	close(fd);
	return r < 0 ? r : tracefile_parse(text, n, ret);
}

void tracefile_fini(struct tracefile *file)
{
	for (size_t i = 0; i < file->n_blocks; i++)
		free(file->block[i]);
	free(file->block);
	free(file->item);
	free(file->text);
	memset(file, 0, sizeof(*file));
}

static const struct trace_field *find_field(const struct trace_item *item, const char *name)
{
	for (unsigned i = 0; i < item->n_fields; i++)
		if (!strcmp(item->field[i].name, name))
			return &item->field[i];
	return NULL;
}

const char *trace_item_text(const struct trace_item *item, const char *name, const char *otherwise)
{
	const struct trace_field *field = find_field(item, name);

	return field && field->text ? field->text : otherwise;
}

int64_t trace_item_number(const struct trace_item *item, const char *name, int64_t otherwise)
{
	const struct trace_field *field = find_field(item, name);

	return field && !field->text && fabs(field->number) < 9e15 ? (int64_t)field->number : otherwise;
}
