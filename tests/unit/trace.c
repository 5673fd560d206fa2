/* The trace file: valid JSON whatever happens to its writers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/layer.h"
#include "core/trace.h"
#include "tests/unit/host.h"

#define WRITERS 20
#define ROUNDS 40

static char dir[64], path[128];

static int setup(void **state)
{
	(void)state;
	unit_host();
	snprintf(dir, sizeof(dir), "/tmp/trace-test-%d", (int)getpid());
	if (mkdir(dir, 0700) < 0)
		return -1;
	snprintf(path, sizeof(path), "%s/trace.json", dir);
	return 0;
}

static int teardown(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	return system(command);
}

/* Has python3 say that each file given is JSON, and runs `code` on its value `t` and text `s`. */
static int python(const char *files, const char *code)
{
	char command[PATH_MAX + 4096];

	snprintf(command, sizeof(command),
		 "timeout 60 python3 -c 'import json, sys\n"
		 "for f in sys.argv[1:]:\n"
		 "    s = open(f, encoding=\"utf-8\").read()\n"
		 "    t = json.loads(s)\n"
		 "    assert s.endswith(\"\\n]\\n\")\n"
		 "    %s' %s", code, files);
	return system(command);
}

static char *slurp(size_t *ret_n)
{
	FILE *f = fopen(path, "r");
	struct stat st;
	char *text;

	assert_non_null(f);
	assert_int_equal(fstat(fileno(f), &st), 0);
	text = malloc((size_t)st.st_size + 1);
	assert_non_null(text);
	*ret_n = fread(text, 1, (size_t)st.st_size, f);
	text[*ret_n] = 0;
	fclose(f);
	return text;
}

static void spill(const char *name, const char *text, size_t n)
{
	FILE *f = fopen(name, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, n, f), n);
	fclose(f);
}

static void test_off(void **state)
{
	(void)state;
	assert_false(trace_on());
	trace_event(1, "connection", "Ready", 0, NULL, 0);
	assert_int_equal(trace_open("/nonexistent/dir/trace.json", "x"), -ENOENT);
	assert_int_equal(trace_open("/dev/null", "x"), -EINVAL);
	assert_false(trace_on());
}

static void test_shape(void **state)
{
	const struct trace_arg race[] = { TRACE_TEXT("host", "example.org"), TRACE_NUMBER("port", 80) };
	const struct trace_arg attempt[] = { TRACE_NUMBER("order", 2), TRACE_TEXT("result", "won") };

	(void)state;
	unlink(path);
	assert_int_equal(trace_open(path, "shape"), 0);
	assert_true(trace_on());
	trace_span(7, "race", "race example.org:80", 1000001, 3500000, race, 2);
	trace_span(7, "attempt", "192.0.2.1:80", 2000000, 3000000, attempt, 2);
	trace_event(7, "connection", "Ready", 3500000, NULL, 0);
	assert_int_equal(python(path,
		"m = [e for e in t if e[\"ph\"] == \"M\"]; x = [e for e in t if e[\"ph\"] != \"M\"]\n"
		"    assert m[0][\"args\"][\"name\"] == \"shape\" and m[0][\"name\"] == \"process_name\"\n"
		"    n = [e[\"args\"][\"name\"] for e in m[1:]]\n"
		"    assert n == [\"connection 7\", \"connection 7 attempt 3\"]\n"
		"    assert x[0][\"ts\"] == 1000.001 and x[0][\"dur\"] == 2499.999 and x[0][\"tid\"] == 700\n"
		"    assert x[0][\"args\"] == {\"connection\": 7, \"host\": \"example.org\", \"port\": 80}\n"
		"    assert x[1][\"tid\"] == 703 and x[1][\"cat\"] == \"attempt\" and x[1][\"ph\"] == \"X\"\n"
		"    assert x[2][\"ph\"] == \"i\" and x[2][\"name\"] == \"Ready\" and x[2][\"tid\"] == 700\n"
		"    assert len(x) == 3 and len(m) == 3"), 0);
}

static void test_text(void **state)
{
	char longest[2000], control[40];
	struct trace_arg args[24];

	(void)state;
	unlink(path);
	assert_int_equal(trace_open(path, "text\"\\\n\xff"), 0);
	memset(longest, '\1', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = 0;
	for (size_t i = 0; i < sizeof(args) / sizeof(args[0]); i++)
		args[i] = TRACE_TEXT("argument", longest);
	for (int i = 0; i < 31; i++)
		control[i] = (char)(i + 1);
	control[31] = 0;
	trace_event(1, longest, longest, 1, args, 24);
	trace_event(1, "c", "\xc3\xa4 \xf0\x9f\x98\x80 \xc0\xaf \xed\xa0\x80 \xe2\x82", 1, args, 1);
	args[0] = TRACE_TEXT("a\"b", control);
	args[1] = TRACE_NUMBER("min", INT64_MIN);
	trace_event(1, "c", "n", -5, args, 2);
	assert_int_equal(python(path,
		"x = [e for e in t if e[\"ph\"] == \"i\"]\n"
		"    assert len(x) == 3 and max(map(len, s.split(\"\\n\"))) < 4096\n"
		"    assert t[0][\"args\"][\"name\"] == \"text\\\"\\\\\\n\\ufffd\"\n"
		"    assert x[0][\"name\"].endswith(\"\\u2026\") and x[0][\"args\"][\"connection\"] == 1\n"
		"    assert x[1][\"name\"].startswith(\"\\u00e4 \\U0001f600 \\ufffd\\ufffd \\ufffd\")\n"
		"    assert x[2][\"args\"][\"a\\\"b\"] == \"\".join(map(chr, range(1, 32)))\n"
		"    assert x[2][\"args\"][\"min\"] == -2**63 and x[2][\"ts\"] == 0"), 0);
}

/* A write that ends after any number of bytes is mended by the next writer, and costs one event. */
static void test_cut(void **state)
{
	char name[160], files[PATH_MAX];
	size_t before_n, after_n;
	char *before, *after, *cut;

	(void)state;
	unlink(path);
	assert_int_equal(trace_open(path, "cut"), 0);
	trace_event(1, "c", "first},", 1, NULL, 0);
	before = slurp(&before_n);
	trace_event(1, "c", "},second", 2, &TRACE_TEXT("a", "},"), 1);
	after = slurp(&after_n);
	cut = malloc(after_n);
	assert_non_null(cut);
	for (size_t k = 0; k < after_n - before_n; k++) {
		size_t n = before_n - 3 + k > before_n ? before_n - 3 + k : before_n;

		memcpy(cut, before, before_n);
		memcpy(cut + before_n - 3, after + before_n - 3, k);
		snprintf(name, sizeof(name), "%s/cut-%03zu.json", dir, k);
		spill(name, cut, n);
		assert_int_equal(trace_open(name, "mended"), 0);
	}
	snprintf(files, sizeof(files), "%s/cut-*.json", dir);
	assert_int_equal(python(files,
		"n = [e[\"name\"] for e in t]\n"
		"    assert \"first},\" in n and t[-1][\"args\"][\"name\"] == \"mended\", (f, n)"), 0);
	free(before);
	free(after);
	free(cut);
}

static void test_foreign(void **state)
{
	static const char *const text[] = { "hello\n", "{\"a\": 1}\n", "[1, 2, 3]" };
	static const char *const ours[] = { "", "[", "[\n", "[\n]", "[\n]\n", "[\n{\"ph\":" };

	(void)state;
	for (size_t i = 0; i < sizeof(text) / sizeof(text[0]); i++) {
		size_t n;
		char *now;

		spill(path, text[i], strlen(text[i]));
		assert_int_equal(trace_open(path, "x"), -EINVAL);
		now = slurp(&n);
		assert_string_equal(now, text[i]);
		free(now);
	}
	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++) {
		spill(path, ours[i], strlen(ours[i]));
		assert_int_equal(trace_open(path, "x"), 0);
		assert_int_equal(python(path, "assert len(t) == 1"), 0);
	}
}

/* The application closes our descriptor and opens a file of its own under the number. */
static void test_stolen_descriptor(void **state)
{
	char own[160];
	struct stat st;

	(void)state;
	unlink(path);
	assert_int_equal(trace_open(path, "stolen"), 0);
	snprintf(own, sizeof(own), "%s/own", dir);
	spill(own, "", 0);
	for (int fd = 3; fd < 64; fd++) {
		struct stat ours;

		if (fstat(fd, &st) == 0 && stat(path, &ours) == 0 && st.st_ino == ours.st_ino) {
			int mine = open(own, O_RDWR);

			assert_int_equal(dup2(mine, fd), fd);
			close(mine);
			break;
		}
	}
	trace_event(1, "c", "after", 1, NULL, 0);
	assert_int_equal(stat(own, &st), 0);
	assert_int_equal(st.st_size, 0);
	assert_int_equal(python(path, "assert t[-1][\"name\"] == \"after\""), 0);
}

static void test_full_disk(void **state)
{
	struct rlimit old, small;
	size_t before;

	(void)state;
	unlink(path);
	assert_int_equal(trace_open(path, "full"), 0);
	free(slurp(&before));
	getrlimit(RLIMIT_FSIZE, &old);
	small = old;
	small.rlim_cur = before + 40;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	for (int i = 0; i < 3; i++)
		trace_event(1, "c", "too much", 1, NULL, 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(python(path, "assert len(t) == 1"), 0);
	trace_event(1, "c", "fits again", 1, NULL, 0);
	assert_int_equal(python(path, "assert t[-1][\"name\"] == \"fits again\""), 0);
}

static void *write_events(void *arg)
{
	for (int i = 0; i < 200; i++)
		trace_event(trace_new_id(), "c", arg, i, NULL, 0);
	return NULL;
}

static void on_alarm(int sig)
{
	(void)sig;
	trace_event(1, "c", "signal", 1, NULL, 0);
}

/* Threads, a signal handler that traces, and forks in between. */
static void test_threads_and_forks(void **state)
{
	struct sigaction action = { .sa_handler = on_alarm, .sa_flags = SA_RESTART }, old;
	struct itimerval tick = { { 0, 500 }, { 0, 500 } }, off = { { 0, 0 }, { 0, 0 } };
	pthread_t thread[4];

	(void)state;
	unlink(path);
	assert_int_equal(trace_open(path, "threads"), 0);
	sigaction(SIGALRM, &action, &old);
	setitimer(ITIMER_REAL, &tick, NULL);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, write_events, (void *)"thread"), 0);
	for (int i = 0; i < 5; i++) {
		pid_t pid;
		int status;

		trace_fork_prepare();
		pid = fork();
		if (pid == 0) {
			trace_fork_child();
			trace_event(1, "c", "child", 1, NULL, 0);
			_exit(0);
		}
		trace_fork_parent();
		assert_int_equal(TEMP_FAILURE_RETRY(waitpid(pid, &status, 0)), pid);
		assert_int_equal(status, 0);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
	setitimer(ITIMER_REAL, &off, NULL);
	sigaction(SIGALRM, &old, NULL);
	alarm(100);
	assert_int_equal(python(path,
		"n = [e[\"name\"] for e in t]\n"
		"    assert n.count(\"thread\") == 800 and n.count(\"child\") == 5\n"
		"    assert n.count(\"signal\") > 0\n"
		"    p = {e[\"pid\"] for e in t if e[\"name\"] == \"process_name\"}\n"
		"    assert p == {e[\"pid\"] for e in t} and len(p) == 6"), 0);
}

static pid_t start_writer(void)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (trace_open(path, "writer") < 0)
		_exit(1);
	for (uint64_t i = 0;; i++) {
		trace_span(i, "attempt", "192.0.2.1:80", (int64_t)i, (int64_t)i + 5,
			   &TRACE_TEXT("error", "Connection refused"), 1);
		usleep(2000);
	}
}

/* A copy made under the lock, as tapsctl reads; a live file may only be read so. */
static void look(int round)
{
	struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET };
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char name[160], *text;
	size_t n;

	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_SETLKW, &lock), 0);
	text = slurp(&n);
	close(fd);
	snprintf(name, sizeof(name), "%s/look-%02d.json", dir, round);
	spill(name, text, n);
	free(text);
}

static void test_kill(void **state)
{
	pid_t pid[WRITERS];
	char files[PATH_MAX];

	(void)state;
	unlink(path);
	srand(1);
	for (int i = 0; i < WRITERS; i++)
		pid[i] = start_writer();
	usleep(20000);
	for (int round = 0; round < ROUNDS; round++) {
		int victim = rand() % WRITERS, status;

		usleep(1000 + (unsigned)rand() % 3000);
		kill(pid[victim], SIGKILL);
		waitpid(pid[victim], &status, 0);
		assert_true(WIFSIGNALED(status));
		look(round);
		pid[victim] = start_writer();
	}
	for (int i = 0; i < WRITERS; i++)
		kill(pid[i], SIGKILL);
	for (int i = 0; i < WRITERS; i++)
		waitpid(pid[i], NULL, 0);
	snprintf(files, sizeof(files), "%s/look-*.json %s", dir, path);
	assert_int_equal(python(files, "assert len({e[\"pid\"] for e in t}) > 1"), 0);
}

static void tell(struct layer *layer, trace_hear *hear, void *context)
{
	const struct trace_arg facts[] = {
		TRACE_TEXT("protocol", "TLS1.3"), TRACE_TEXT("alpn", ""), TRACE_NUMBER("resumed", 0)};

	(void)layer;
	hear(context, facts, 3);
}

/* What does not apply is left out; what knows nothing says nothing. */
static void test_agreed(void **state)
{
	static const struct layer_ops knows = {.name = "tls", .tell = tell}, does_not = {.name = "tcp"};
	struct layer below = {.ops = &does_not}, top = {.ops = &knows, .below = &below};
	struct trace_arg order = TRACE_NUMBER("order", 3);

	(void)state;
	unlink(path);
	assert_int_equal(trace_open(path, "unit"), 0);
	trace_agreed(1, &top, "handshake", 1000, 5000, &order, 1);
	trace_agreed(2, &top, "ConnectionReceived", 0, 5000, NULL, 0);
	trace_agreed(3, &below, "handshake", 1000, 5000, &order, 1);
	assert_int_equal(python(path, "t = [e for e in t if e[\"ph\"] != \"M\"]; assert len(t) == 2; "
				      "assert t[0][\"cat\"] == \"tls\" and t[0][\"dur\"] == 4; "
				      "assert t[0][\"args\"] == {\"connection\": 1, \"order\": 3, "
				      "\"protocol\": \"TLS1.3\", \"resumed\": 0}; "
				      "assert t[1][\"ph\"] == \"i\"; "
				      "assert t[1][\"name\"] == \"ConnectionReceived\""),
			 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_off),
		cmocka_unit_test(test_shape),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_agreed),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_foreign),
		cmocka_unit_test(test_stolen_descriptor),
		cmocka_unit_test(test_full_disk),
		cmocka_unit_test(test_threads_and_forks),
		cmocka_unit_test(test_kill),
	};

	alarm(120);
	return cmocka_run_group_tests(tests, setup, teardown);
}
