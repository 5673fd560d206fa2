/* The trace file.
 *
 * The file ends in "\n]\n" after every event: an event is one pwrite(2) over that tail, made under a
 * POSIX record lock that all processes of a run share (such locks belong to a process, so a mutex
 * keeps the threads apart).  A process killed between two pages of its write may leave half a line;
 * the next writer drops it, and readers of ours take a cut file.
 *
 * Whoever traces runs in the application's threads: signals and cancellation are held off while the
 * lock is, errno is left alone, and nothing is allocated. */
#include "core/trace.h"
#include "core/apart.h"
#include "core/endpoint.h"
#include "core/host.h"
#include "core/layer.h"
#include "core/quiet.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TAIL "\n]\n"
#define TAIL_LEN 3
#define EMPTY "[" TAIL
#define EVENT_MAX 3200   /* bytes of one event; arguments that do not fit are left out */
#define RECORD_MAX 4096  /* an event and the metadata that introduces it */
#define TEXT_MAX 240     /* bytes of a text that are kept */
#define LOOK_BACK 16384  /* where a mend looks for the last whole event */
#define NAMED_MAX 1024

/* Tracks of one connection: events that overlap must not share one. */
#define LANES 100
#define LANE_NAMES 99

/* What is put down in one write; text[0..1] is room for the separator from the event before. */
struct record {
	size_t n, limit;
	bool full;
	char text[RECORD_MAX + TAIL_LEN + 1];
};

static struct {
	pthread_mutex_t mutex;
	_Atomic bool on;
	_Atomic uint64_t last_id;
	int fd;
	dev_t dev;
	ino_t ino;
	pid_t pid;                  /* whose events these are; 0: the process's own */
	pid_t named_pid;            /* process whose metadata is in the file */
	uint64_t named[NAMED_MAX];  /* tracks whose metadata is, by hash */
	char program[64];
	char path[4096];
	struct record record;
	/* Of the thread that holds the mutex. */
	struct quiet quiet;
	int error;
} trace = { .mutex = PTHREAD_MUTEX_INITIALIZER, .fd = -1 };

static void enter(void)
{
	struct quiet quiet;
	int error = errno;

	quiet_begin(&quiet);
	pthread_mutex_lock(&trace.mutex);
	trace.quiet = quiet;
	trace.error = error;
}

static void leave(void)
{
	struct quiet quiet = trace.quiet;
	int error = trace.error;

	pthread_mutex_unlock(&trace.mutex);
	quiet_end(&quiet);
	errno = error;
}

static void put(struct record *r, const char *text, size_t n)
{
	r->full = r->full || r->n + n > r->limit;
	if (r->full)
		return;
	memcpy(r->text + r->n, text, n);
	r->n += n;
}

static void put_format(struct record *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put_format(struct record *r, const char *format, ...)
{
	char text[256];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (n > 0)
		put(r, text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1);
}

/* Length of the UTF-8 sequence at s (RFC 3629), or 0 where there is none. */
static size_t utf8_length(const unsigned char *s)
{
	static const struct {
		unsigned char first_low, first_high, second_low, second_high, length;
	} form[] = {
		{ 0xc2, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 }, { 0xe1, 0xec, 0x80, 0xbf, 3 },
		{ 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 }, { 0xf0, 0xf0, 0x90, 0xbf, 4 },
		{ 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 },
	};

	for (size_t i = 0; i < sizeof(form) / sizeof(form[0]); i++) {
		if (s[0] < form[i].first_low || s[0] > form[i].first_high)
			continue;
		if (s[1] < form[i].second_low || s[1] > form[i].second_high)
			return 0;
		for (size_t k = 2; k < form[i].length; k++)
			if ((s[k] & 0xc0) != 0x80)
				return 0;
		return form[i].length;
	}
	return 0;
}

/* One character of a JSON string; returns how many bytes of `s` it was. */
static size_t put_character(struct record *r, const unsigned char *s)
{
	size_t length;

	if (*s == '"' || *s == '\\') {
		put(r, (const char[]){ '\\', (char)*s }, 2);
		return 1;
	}
	if (*s < 0x20 || *s == 0x7f) {
		put_format(r, "\\u%04x", *s);
		return 1;
	}
	if (*s < 0x80) {
		put(r, (const char *)s, 1);
		return 1;
	}
	length = utf8_length(s);
	if (length)
		put(r, (const char *)s, length);
	else
		put_format(r, "\\ufffd");
	return length ? length : 1;
}

static void put_string(struct record *r, const char *text)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t used = 0;

	put(r, "\"", 1);
	while (s[used] && used < TEXT_MAX)
		used += put_character(r, s + used);
	if (s[used])
		put_format(r, "\\u2026");
	put(r, "\"", 1);
}

static void put_time(struct record *r, const char *key, int64_t ns)
{
	if (ns < 0)
		ns = 0;
	put_format(r, ",\"%s\":%lld.%03d", key, (long long)(ns / 1000), (int)(ns % 1000));
}

static void put_args(struct record *r, uint64_t id, const struct trace_arg *args, unsigned n_args)
{
	put_format(r, ",\"args\":{\"connection\":%llu", (unsigned long long)id);
	r->limit -= 2; /* the closing braces have their place */
	for (unsigned i = 0; i < n_args && !r->full; i++) {
		size_t before = r->n;

		put(r, ",", 1);
		put_string(r, args[i].name);
		put(r, ":", 1);
		if (args[i].text)
			put_string(r, args[i].text);
		else
			put_format(r, "%lld", (long long)args[i].number);
		if (r->full)
			r->n = before;
	}
	r->limit += 2;
	r->full = false;
	put(r, "}}", 2);
}

static void put_metadata(struct record *r, const char *kind, pid_t pid, uint64_t tid, const char *name)
{
	put_format(r, "{\"ph\":\"M\",\"name\":\"%s\",\"pid\":%d,\"tid\":%llu,\"args\":{\"name\":", kind,
		   (int)pid, (unsigned long long)tid);
	put_string(r, name);
	put_format(r, "}},\n");
}

static void name_process(struct record *r, pid_t pid)
{
	if (trace.named_pid == pid)
		return;
	trace.named_pid = pid;
	memset(trace.named, 0, sizeof(trace.named));
	put_metadata(r, "process_name", pid, 0, trace.program);
}

static void name_track(struct record *r, pid_t pid, uint64_t id, unsigned lane)
{
	uint64_t tid = id * LANES + lane;
	uint64_t *seen = &trace.named[tid % NAMED_MAX];
	char name[64];

	if (*seen == tid)
		return;
	*seen = tid;
	if (lane == 0)
		snprintf(name, sizeof(name), "connection %llu", (unsigned long long)id);
	else if (lane == LANE_NAMES)
		snprintf(name, sizeof(name), "connection %llu names", (unsigned long long)id);
	else
		snprintf(name, sizeof(name), "connection %llu attempt %u", (unsigned long long)id, lane);
	put_metadata(r, "thread_name", pid, tid, name);
}

/* Attempts run at the same time, so each has a track, known by its "order"; so have the lookups. */
static unsigned lane_of(const char *category, const struct trace_arg *args, unsigned n_args)
{
	if (!strcmp(category, "resolve"))
		return LANE_NAMES;
	for (unsigned i = 0; i < n_args; i++)
		if (!args[i].text && !strcmp(args[i].name, "order"))
			return 1 + (unsigned)((uint64_t)args[i].number % (LANE_NAMES - 1));
	return 0;
}

static int whole_file_lock(int fd, short type)
{
	struct flock lock = { .l_type = type, .l_whence = SEEK_SET };
	int r;

	do
		r = fcntl(fd, F_SETLKW, &lock);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}

static bool is_event_end(const char *s, size_t left)
{
	return *s == '}' && ((left > 1 && s[1] == '\n') || (left > 2 && s[1] == ',' && s[2] == '\n') ||
			     (left == 4 && !memcmp(s, "},]\n", 4)));
}

/* The end of the last whole event in a damaged file; 1 where there is none, 0 in an empty file. */
static off_t last_event_end(int fd, off_t size)
{
	static char back[LOOK_BACK];
	off_t from = size > LOOK_BACK ? size - LOOK_BACK : 0;
	ssize_t n;

	n = pread(fd, back, TAIL_LEN, 0);
	if (n > 0 && memcmp(back, EMPTY, n > 1 ? 2 : 1))
		return -EINVAL; /* not a trace */
	n = pread(fd, back, sizeof(back), from);
	for (ssize_t i = n - 1; i >= 0; i--)
		if (is_event_end(back + i, (size_t)(n - i)))
			return from + i + 1;
	return from > 0 ? -EINVAL : size > 0;
}

/* Drops what a killed writer left of its event.  Returns where the tail now is. */
static off_t mend(int fd, off_t size)
{
	off_t end = last_event_end(fd, size);

	if (end < 0)
		return end;
	if (ftruncate(fd, end) < 0)
		return -errno;
	if (end == 0)
		return pwrite(fd, EMPTY, sizeof(EMPTY) - 1, 0) == sizeof(EMPTY) - 1 ? 1 : -EIO;
	return pwrite(fd, TAIL, TAIL_LEN, end) == TAIL_LEN ? end : -EIO;
}

/* Where the closing "\n]\n" of the file begins; makes one where there is none. */
static off_t tail_offset(int fd)
{
	char text[TAIL_LEN];
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size > TAIL_LEN && pread(fd, text, TAIL_LEN, st.st_size - TAIL_LEN) == TAIL_LEN &&
	    !memcmp(text, TAIL, TAIL_LEN))
		return st.st_size - TAIL_LEN;
	return mend(fd, st.st_size);
}

/* A limit on file size (setrlimit(2)) is no reason for the application to die of SIGXFSZ. */
static void take_back_sigxfsz(void)
{
	struct timespec at_once = { 0 };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGXFSZ);
	sigtimedwait(&set, NULL, &at_once);
}

struct piece {
	int fd;
	const char *text;
	size_t n;
	off_t at;
};

static int put_down(void *arg)
{
	const struct piece *piece = arg;
	ssize_t written = pwrite(piece->fd, piece->text, piece->n, piece->at);

	return written < 0 ? -errno : written == (ssize_t)piece->n ? 0 : -ENOSPC;
}

/* SIGKILL ends a write(2) between two pages, and the file would end within an event. */
static int put_down_whole(struct piece *piece)
{
	size_t page = (size_t)getpagesize();

	return (size_t)piece->at % page + piece->n > page ? apart_call(put_down, piece) : put_down(piece);
}

static int append_locked(int fd, const char *text, size_t n)
{
	off_t at = tail_offset(fd);
	int r;

	if (at < 0)
		return (int)at;
	if (at == 1) { /* the first event follows no comma */
		text++;
		n--;
	}
	r = put_down_whole(&(struct piece){fd, text, n, at});
	if (r == 0)
		return 0;
	if (r == -EFBIG)
		take_back_sigxfsz();
	if (pwrite(fd, TAIL, TAIL_LEN, at) == TAIL_LEN && ftruncate(fd, at + TAIL_LEN) == 0)
		return r;
	return -EIO;
}

/* Is the descriptor still our file?  An application may close what it does not know. */
static bool is_ours(int fd)
{
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 && st.st_dev == trace.dev && st.st_ino == trace.ino;
}

static int open_file(void)
{
	struct stat st;
	int fd = open(trace.path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0644);

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		taps_host->close(fd);
		return -EINVAL;
	}
	trace.dev = st.st_dev;
	trace.ino = st.st_ino;
	trace.fd = taps_host->fd_keep(fd);
	return trace.fd < 0 ? trace.fd : 0;
}

/* Puts the record into the file; its first two bytes are the separator. */
static int append(struct record *r)
{
	int result = 0;

	memcpy(r->text, ",\n", 2);
	memcpy(r->text + r->n, TAIL, TAIL_LEN);
	if (!is_ours(trace.fd))
		result = open_file();
	if (result >= 0)
		result = whole_file_lock(trace.fd, F_WRLCK);
	if (result < 0)
		return result;
	result = append_locked(trace.fd, r->text, r->n + TAIL_LEN);
	whole_file_lock(trace.fd, F_UNLCK);
	return result;
}

static struct record *begin_record(void)
{
	struct record *r = &trace.record;

	r->n = 2;
	r->full = false;
	r->limit = RECORD_MAX;
	return r;
}

/* Everything of an event from its phase to its arguments; `end` < 0 makes it a moment. */
static void emit(uint64_t id, const char *category, const char *name, int64_t begin, int64_t end,
		 const struct trace_arg *args, unsigned n_args)
{
	unsigned lane = lane_of(category, args, n_args);
	pid_t pid = trace.pid ? trace.pid : getpid();
	struct record *r;

	enter();
	r = begin_record();
	name_process(r, pid);
	name_track(r, pid, id, lane);
	if (r->limit > r->n + EVENT_MAX)
		r->limit = r->n + EVENT_MAX;
	put_format(r, "{\"ph\":\"%s\",\"cat\":", end < 0 ? "i\",\"s\":\"t" : "X");
	put_string(r, category);
	put_format(r, ",\"name\":");
	put_string(r, name);
	put_format(r, ",\"pid\":%d,\"tid\":%llu", (int)pid, (unsigned long long)(id * LANES + lane));
	put_time(r, "ts", begin);
	if (end >= 0)
		put_time(r, "dur", end - begin);
	put_args(r, id, args, n_args);
	append(r);
	leave();
}

int trace_open(const char *path, const char *program)
{
	struct record *r;
	int result;

	if (strlen(path) >= sizeof(trace.path))
		return -ENAMETOOLONG;
	enter();
	if (trace.fd >= 0 && is_ours(trace.fd))
		taps_host->fd_drop(trace.fd);
	trace.fd = -1;
	memcpy(trace.path, path, strlen(path) + 1);
	snprintf(trace.program, sizeof(trace.program), "%s", program);
	trace.named_pid = 0;
	r = begin_record();
	name_process(r, getpid());
	r->n -= 2; /* metadata ends in a separator; here nothing follows */
	result = append(r);
	atomic_store(&trace.on, result >= 0);
	leave();
	return result;
}

bool trace_on(void)
{
	return atomic_load_explicit(&trace.on, memory_order_relaxed);
}

void trace_as(pid_t pid)
{
	enter();
	trace.pid = pid;
	leave();
}

uint64_t trace_new_id(void)
{
	return atomic_fetch_add(&trace.last_id, 1) + 1;
}

void trace_span(uint64_t id, const char *category, const char *name, int64_t begin, int64_t end,
		const struct trace_arg *args, unsigned n_args)
{
	if (trace_on())
		emit(id, category, name, begin, end < begin ? begin : end, args, n_args);
}

void trace_event(uint64_t id, const char *category, const char *name, int64_t when,
		 const struct trace_arg *args, unsigned n_args)
{
	if (trace_on())
		emit(id, category, name, when, -1, args, n_args);
}

#define AGREED_MAX 24

struct agreed {
	uint64_t id;
	const char *name;
	int64_t begin, end;
	struct trace_arg args[AGREED_MAX];
	unsigned n;
};

/* trace_hear: texts that do not apply are empty. */
static void agree(void *context, const struct trace_arg *facts, unsigned n)
{
	struct agreed agreed = *(const struct agreed *)context;

	for (unsigned i = 0; i < n && agreed.n < AGREED_MAX; i++)
		if (!facts[i].text || facts[i].text[0])
			agreed.args[agreed.n++] = facts[i];
	if (agreed.begin)
		trace_span(agreed.id, "tls", agreed.name, agreed.begin, agreed.end, agreed.args, agreed.n);
	else
		trace_event(agreed.id, "tls", agreed.name, agreed.end, agreed.args, agreed.n);
}

void trace_agreed(uint64_t id, struct layer *top, const char *name, int64_t begin, int64_t end,
		  const struct trace_arg *args, unsigned n_args)
{
	struct agreed agreed = {.id = id, .name = name, .begin = begin, .end = end};

	if (!trace_on())
		return;
	while (agreed.n < n_args && agreed.n < AGREED_MAX) {
		agreed.args[agreed.n] = args[agreed.n];
		agreed.n++;
	}
	for (; top; top = top->below)
		if (top->ops->tell)
			top->ops->tell(top, agree, &agreed);
}

const char *trace_error_name(int error)
{
	const char *name = strerrorname_np(error);

	return name ? name : "unknown";
}

void trace_failed(uint64_t id, const char *event, const struct taps_addr *peer, int error,
		  const char *reason)
{
	char host[ADDR_TEXT_MAX];
	const struct trace_arg args[] = {
		TRACE_TEXT("host", addr_format_host(peer, host)),
		TRACE_NUMBER("port", addr_port(peer)),
		TRACE_TEXT("error", trace_error_name(error)),
		TRACE_TEXT("reason", reason),
	};

	trace_event(id, "connection", event, now_ns(), args, 4);
}

void trace_fork_prepare(void)
{
	enter();
}

void trace_fork_parent(void)
{
	leave();
}

void trace_fork_child(void)
{
	leave();
}
