#include "core/tls_file.h"
#include "tests/unit/tls_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void identities(void **state)
{
	const char *path = fixture_write_text("one", "first", 5);
	struct tls_file_id a, b;

	(void)state;
	assert_int_equal(tls_file_identify(path, &a), 0);
	assert_int_equal(tls_file_identify(path, &b), 0);
	assert_true(tls_file_same(&a, &b));
	fixture_write_text("one.new", "other", 5);
	assert_int_equal(rename(fixture_path("one.new"), path), 0);
	assert_int_equal(tls_file_identify(path, &b), 0);
	assert_false(tls_file_same(&a, &b));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(tls_file_identify(path, &b), -ENOENT);
	assert_int_equal(b.inode, 0);
	assert_int_equal(tls_file_identify("pkcs11:object=x", &b), 0);
}

static void reading(void **state)
{
	const char *path = fixture_write_text("two", "0123456789", 10);
	struct tls_file_id id;
	uint8_t *data;
	size_t size;
	char part[4];

	(void)state;
	assert_int_equal(tls_file_read(path, &data, &size, &id), 0);
	assert_int_equal(size, 10);
	assert_string_equal((char *)data, "0123456789");
	free(data);
	assert_int_equal(tls_file_read_at(path, &id, 3, part, 4), 0);
	assert_memory_equal(part, "3456", 4);
	assert_int_equal(tls_file_read_at(path, &id, 8, part, 4), -ESTALE);
	fixture_write_text("two", "abc", 3);
	assert_int_equal(tls_file_read_at(path, &id, 0, part, 1), -ESTALE);
	assert_int_equal(tls_file_read(fixture_path("absent"), &data, &size, NULL), -ENOENT);
	assert_int_equal(tls_file_read(fixture_path(""), &data, &size, NULL), -EISDIR);
	assert_int_equal(mkfifo(fixture_path("fifo"), 0600), 0);
	assert_int_equal(tls_file_read(fixture_path("fifo"), &data, &size, NULL), -EINVAL);
	assert_int_equal(tls_file_read("/dev/zero", &data, &size, NULL), -EINVAL);
}

static int count(void *arg, const char *path)
{
	int *n = arg;

	assert_int_equal(strncmp(strrchr(path, '/'), "/.", 2) == 0, 0);
	return ++*n == 3 ? 42 : 0;
}

static void directories(void **state)
{
	int n = 0;

	(void)state;
	assert_int_equal(mkdir(fixture_path("dir"), 0700), 0);
	fixture_write_text("dir/a", "", 0);
	fixture_write_text("dir/.b", "", 0);
	fixture_write_text("dir/c", "", 0);
	assert_int_equal(tls_file_each(fixture_path("dir"), count, &n), 0);
	assert_int_equal(n, 2);
	assert_int_equal(tls_file_each(fixture_path("dir"), count, &n), 42);
	assert_int_equal(tls_file_each(fixture_path("absent"), count, &n), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(identities),
		cmocka_unit_test(reading),
		cmocka_unit_test(directories),
	};

	return cmocka_run_group_tests_name("tls_file", tests, NULL, NULL);
}
