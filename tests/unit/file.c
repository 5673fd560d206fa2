/* conf/file.c: which files are read. */
#include "conf/file.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/confdir.h"

#define NOBODY 65534

static struct arena arena;

/* Reads the file, compares what came of it. */
static void expect(const char *path, int result, const char *problem)
{
	struct conf_file file;

	assert_int_equal(file_read(&arena, path, &file), result);
	assert_string_equal(file.problem, problem);
}

static void test_content(void **state)
{
	struct conf_file file;

	assert_int_equal(file_read(&arena, confdir_write(*state, "a", "one\ntwo"), &file), 0);
	assert_string_equal(file.text, "one\ntwo");
	assert_int_equal(file.len, 7);
	assert_true(file.ino != 0);
	assert_int_equal(file_read(&arena, confdir_write(*state, "empty", ""), &file), 0);
	assert_int_equal(file.len, 0);
	assert_string_equal(file.text, "");
}

static void test_missing(void **state)
{
	expect(confdir_path(*state, "none"), -ENOENT, "cannot be read: No such file or directory");
	confdir_write(*state, "plain", "x");
	expect(confdir_path(*state, "plain/below"), -ENOTDIR, "cannot be read: Not a directory");
}

static void test_other_kinds(void **state)
{
	struct confdir *dir = *state;

	expect(dir->path, -EISDIR, "is a directory: expected a file");
	expect("/dev/null", -EINVAL, "is not a regular file");
	assert_int_equal(mkfifo(confdir_path(dir, "fifo"), 0600), 0);
	expect(confdir_path(dir, "fifo"), -EINVAL, "is not a regular file");
	assert_int_equal(symlink(dir->path, confdir_path(dir, "link")), 0);
	expect(confdir_path(dir, "link"), -EISDIR, "is a directory: expected a file");
	assert_int_equal(symlink("loop", confdir_path(dir, "loop")), 0);
	expect(confdir_path(dir, "loop"), -ELOOP, "cannot be read: Too many levels of symbolic links");
}

static void test_writable(void **state)
{
	static const struct {
		mode_t mode;
		int result;
		const char *problem;
	} rows[] = {
		{0644, 0, ""},
		{0600, 0, ""},
		{0755, 0, ""},
		{0444, 0, ""},
		{0666, -EACCES, "is writable by others (mode 0666)"},
		{0664, -EACCES, "is writable by others (mode 0664)"},
		{0602, -EACCES, "is writable by others (mode 0602)"},
		{01646, -EACCES, "is writable by others (mode 1646)"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *path = confdir_write(*state, "mode", "x");

		assert_int_equal(chmod(path, rows[i].mode), 0);
		expect(path, rows[i].result, rows[i].problem);
		unlink(path);
	}
}

/* What may not be applied can still be searched. */
static void test_refused_text(void **state)
{
	const char *path = confdir_write(*state, "mode", "rules = ( { SecuritY = {}; } );");
	struct conf_file file;

	assert_int_equal(chmod(path, 0666), 0);
	assert_int_equal(file_read(&arena, path, &file), -EACCES);
	assert_true(file_mentions(&file, "security"));
	assert_true(file_mentions(&file, "rules"));
	assert_true(file_mentions(&file, ";"));
	assert_false(file_mentions(&file, "securities"));
	assert_false(file_mentions(&file, "include"));
	assert_int_equal(file_read(&arena, confdir_path(*state, "none"), &file), -ENOENT);
	assert_false(file_mentions(&file, "security"));
}

static void test_too_large(void **state)
{
	const char *path = confdir_write(*state, "large", "");

	assert_int_equal(truncate(path, FILE_SIZE_MAX), 0);
	expect(path, 0, "");
	assert_int_equal(truncate(path, FILE_SIZE_MAX + 1), 0);
	expect(path, -EFBIG, "is larger than 1 MiB");
}

static void test_owner(void **state)
{
	const char *path = confdir_write(*state, "owner", "x");

	if (geteuid() != 0)
		skip();
	assert_int_equal(chown(path, NOBODY, 0), 0);
	expect(path, -EACCES, "belongs to user 65534: expected root or user 0");
}

static bool read_as_nobody(void *arg)
{
	const char *const *paths = arg;
	struct conf_file file;

	if (file_read(&arena, paths[0], &file) != -EACCES ||
	    strcmp(file.problem, "cannot be read: Permission denied") != 0 || file.text)
		return false;
	if (file_read(&arena, paths[1], &file) != -EACCES ||
	    strcmp(file.problem, "belongs to user 12345: expected root or user 65534") != 0)
		return false;
	return file_read(&arena, paths[2], &file) == 0 && file_read(&arena, paths[3], &file) == 0;
}

static void test_unprivileged(void **state)
{
	const char *paths[] = {confdir_write(*state, "secret", "x"), confdir_write(*state, "other", "x"),
			       confdir_write(*state, "root", "x"), confdir_write(*state, "own", "x")};

	if (geteuid() != 0)
		skip();
	assert_int_equal(chmod(paths[0], 0600), 0);
	assert_int_equal(chown(paths[1], 12345, 0), 0);
	assert_int_equal(chown(paths[3], NOBODY, 0), 0);
	assert_true(confdir_as_nobody(read_as_nobody, paths));
}

static void test_no_descriptor_left(void **state)
{
	int before = dup(0), after;

	close(before);
	test_content(state);
	test_other_kinds(state);
	after = dup(0);
	close(after);
	assert_int_equal(before, after);
}

static int teardown(void **state)
{
	arena_fini(&arena);
	return confdir_teardown(state);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, confdir_setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_content),  TEST(test_missing),      TEST(test_other_kinds),
		TEST(test_writable), TEST(test_refused_text), TEST(test_too_large),
		TEST(test_owner),    TEST(test_unprivileged), TEST(test_no_descriptor_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
