/* conf/conf.c: configurations as a whole, and every broken one of tests/badconf. */
#include "conf/conf.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/race.h"
#include "tests/unit/confdir.h"

static void test_references(void **state)
{
	struct conf *conf = confdir_load(*state, "resolver = \"taps\";");

	assert_ptr_equal(conf_ref(conf), conf);
	conf_unref(conf);
	assert_int_equal(conf_resolver(conf), RESOLVER_TAPS);
	conf_unref(conf);
	conf_unref(NULL);
}

static void test_error_left_clean(void **state)
{
	struct conf_sources sources = {.file = confdir_write(*state, "good", "# security\n")};
	struct conf_error error = {.text = "old", .security = true};
	struct conf *conf = NULL;

	assert_int_equal(conf_load(&sources, &conf, &error), 0);
	assert_string_equal(error.text, "");
	assert_false(error.security);
	conf_unref(conf);
}

/* The race's own constants are the documented defaults. */
static void test_defaults_are_the_races(void **state)
{
	struct conf *conf = conf_default();

	(void)state;
	assert_int_equal(conf->defaults.policy.race.attempt_delay, RACE_DELAY_DEFAULT_MS * INT64_C(1000000));
	assert_int_equal(conf->defaults.policy.race.max_in_flight, RACE_IN_FLIGHT_DEFAULT);
	assert_int_equal(conf_keys[KEY_RACE_attemptDelay].low, RACE_DELAY_FLOOR_MS);
	assert_int_equal(conf_keys[KEY_RACE_attemptDelay].high, RACE_DELAY_MAX_MS);
	assert_true(conf_keys[KEY_RACE_maxInFlight].high <= RACE_MAX_LEAVES);
	for (int i = 0; i < KEYS_N; i++) {
		bool has = key_merges(&conf_keys[i]) && conf_keys[i].fallback;

		assert_int_equal(conf->defaults.origin[i] != NULL,
				 has || conf_keys[i].kind == VALUE_PROPERTY);
	}
	conf_unref(conf);
}

static void test_messages(void **state)
{
	struct conf_error error;
	char file[1000];

	(void)state;
	memset(file, 'f', sizeof(file) - 1);
	file[sizeof(file) - 1] = '\0';
	assert_int_equal(conf_fail(&error, EINVAL, &(struct origin){"F", 3}, "%s", "what"), -EINVAL);
	assert_string_equal(error.text, "F:3: what");
	conf_fail(&error, EINVAL, &(struct origin){"F", 0}, "%d", 5);
	assert_string_equal(error.text, "F: 5");
	conf_fail(&error, EINVAL, &(struct origin){file, 7}, "the reason stays whole");
	assert_non_null(strstr(error.text, ":7: the reason stays whole"));
	conf_fail(&error, EINVAL, &(struct origin){file, 7}, "%s", file);
	assert_int_equal(strlen(error.text), sizeof(error.text) - 1);
}

static void test_layer_add(void **state)
{
	struct origin first = {"first", 1}, second = {"second", 2};
	struct conf_rule rules[2] = {{.text = "a"}, {.text = "b"}};
	struct conf_layer layer = {.rules = {&rules[0], 1}}, under = {.rules = {&rules[1], 1}};
	struct arena arena = {0};

	(void)state;
	layer.values.policy.race.max_in_flight = 1;
	layer.values.origin[KEY_RACE_maxInFlight] = &first;
	under.values.policy.race.max_in_flight = 2;
	under.values.origin[KEY_RACE_maxInFlight] = &second;
	under.values.policy.race.attempt_delay = 3;
	under.values.origin[KEY_RACE_attemptDelay] = &second;
	assert_int_equal(layer_add(&arena, &layer, &under), 0);
	assert_int_equal(layer.values.policy.race.max_in_flight, 1);
	assert_ptr_equal(layer.values.origin[KEY_RACE_maxInFlight], &first);
	assert_int_equal(layer.values.policy.race.attempt_delay, 3);
	assert_int_equal(layer.rules.n, 2);
	assert_string_equal(layer.rules.item[0].text, "a");
	assert_string_equal(layer.rules.item[1].text, "b");
	arena_fini(&arena);
}

static unsigned allowed;

static void *few(size_t size)
{
	return allowed > 0 ? allowed--, malloc(size) : NULL;
}

/* Each allocation of a load fails in turn: out of memory, no crash, no half of a configuration. */
static void test_no_memory(void **state)
{
	struct confdir *dir = *state;
	struct conf_sources sources = {
		.system_dir = dir->path,
		.options = (const char *const[]){"race.enabled=false", "hosts.a=::1", NULL},
	};
	struct conf *conf = NULL;
	unsigned n;

	confdir_write(dir, "inc.conf", "rules = ( { remote = { port = 1; } } );");
	confdir_write(dir, "system.conf",
		      "include = \"inc.conf\"; rules = ( { match = { host = [ \"a\", \"b\" ]; } } );");
	arena_source = few;
	arena_chunk_size = 0;
	for (n = 0; n < 1000 && !conf; n++) {
		struct conf_error error = {0};
		int r;

		allowed = n;
		r = conf_load(&sources, &conf, &error);
		if (r < 0) {
			assert_int_equal(r, -ENOMEM);
			assert_non_null(strstr(error.text, "memory"));
			assert_null(conf);
		}
	}
	arena_source = malloc;
	arena_chunk_size = 8192;
	assert_true(n > 50 && conf);
	conf_unref(conf);
}

/* --- tests/badconf ------------------------------------------------------------------------------- */

static const char *source_dir(void)
{
	const char *dir = getenv("srcdir");

	return dir ? dir : ".";
}

static FILE *open_source(const char *name)
{
	char path[512];
	FILE *file;

	snprintf(path, sizeof(path), "%s/tests/badconf/%s", source_dir(), name);
	file = fopen(path, "r");
	if (!file)
		fail_msg("%s: %m (run from the top of the source tree, or set srcdir)", path);
	return file;
}

static void copy_file(const struct confdir *dir, const char *name)
{
	FILE *from = open_source(name), *to = fopen(confdir_path(dir, name), "w");
	char buf[4096];
	size_t n;

	assert_non_null(to);
	while ((n = fread(buf, 1, sizeof(buf), from)) > 0)
		assert_int_equal(fwrite(buf, 1, n, to), n);
	fclose(from);
	assert_int_equal(fclose(to), 0);
	assert_int_equal(chmod(confdir_path(dir, name), 0644), 0);
}

/* Puts the file there as the table asks for it. */
static void prepare(const struct confdir *dir, const char *name, const char *setup)
{
	const char *path = confdir_path(dir, name);
	int r = 0;

	if (strcmp(setup, "folder") == 0)
		r = mkdir(path, 0755);
	else if (strcmp(setup, "fifo") == 0)
		r = mkfifo(path, 0644);
	else if (strcmp(setup, "loop") == 0)
		r = symlink(name, path);
	else if (strcmp(setup, "missing") != 0)
		copy_file(dir, name);
	if (strncmp(setup, "mode=", 5) == 0)
		r = chmod(path, (mode_t)strtoul(setup + 5, NULL, 8));
	else if (strncmp(setup, "size=", 5) == 0)
		r = truncate(path, (off_t)strtoul(setup + 5, NULL, 10));
	else if (strncmp(setup, "owner=", 6) == 0)
		r = chown(path, (uid_t)strtoul(setup + 6, NULL, 10), 0);
	else if (strcmp(setup, "unreadable") == 0)
		r = chmod(path, 0);
	assert_int_equal(r, 0);
}

/* "@/" in the table is the folder. */
static void expand(const struct confdir *dir, const char *text, char *buf, size_t size)
{
	size_t used = 0;

	for (; *text != '\0' && used + 1 < size; text++)
		if (text[0] == '@' && text[1] == '/')
			used += (size_t)snprintf(buf + used, size - used, "%s", dir->path);
		else
			buf[used++] = *text;
	buf[used] = '\0';
}

struct bad {
	const char *path;
	char message[512];
	char got[512];
};

static bool is_refused(void *arg)
{
	struct bad *bad = arg;
	struct conf_sources sources = {.file = bad->path};
	struct conf_error error = {0};
	struct conf *conf = NULL;
	int r = conf_load(&sources, &conf, &error);

	memcpy(bad->got, error.text, sizeof(bad->got));
	return r < 0 && !conf && strcmp(error.text, bad->message) == 0;
}

static void check_bad(const struct confdir *dir, const char *name, const char *setup, const char *message)
{
	struct bad bad = {.path = confdir_path(dir, name)};
	bool refused;

	if (geteuid() != 0 && strncmp(setup, "owner=", 6) == 0)
		return;
	prepare(dir, name, setup);
	expand(dir, message, bad.message, sizeof(bad.message));
	refused = geteuid() == 0 && strcmp(setup, "unreadable") == 0 ? confdir_as_nobody(is_refused, &bad)
								     : is_refused(&bad);
	if (!refused)
		fail_msg("%s: %s\nexpected %s", name, bad.got, bad.message);
}

static void test_broken_files(void **state)
{
	static const char *const included[] = {"inc-good.conf", "inc-loop.conf", "inc-broken.conf",
					       "inc-empty.conf"};
	FILE *table = open_source("expected");
	char line[1024];
	unsigned n = 0;

	for (size_t i = 0; i < sizeof(included) / sizeof(included[0]); i++)
		copy_file(*state, included[i]);
	while (fgets(line, sizeof(line), table)) {
		char *name = line, *setup = strchr(line, '\t'),
		     *message = setup ? strchr(setup + 1, '\t') : NULL;

		if (*line == '#')
			continue;
		assert_non_null(message);
		*setup++ = *message++ = '\0';
		message[strcspn(message, "\n")] = '\0';
		check_bad(*state, name, setup, message);
		n++;
	}
	fclose(table);
	assert_true(n >= 45);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, confdir_setup, confdir_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_references),	 TEST(test_error_left_clean), TEST(test_defaults_are_the_races),
		TEST(test_messages),	 TEST(test_layer_add),	      TEST(test_no_memory),
		TEST(test_broken_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
