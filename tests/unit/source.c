/* conf/source.c: which files are read, in which order, and what is feared of those that are not. */
#include "conf/source.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/confdir.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

static struct arena arena;
static struct conf_layer layer[LAYERS_N];
static struct conf_error error;

static int read_sources(const struct conf_sources *sources)
{
	memset(layer, 0, sizeof(layer));
	error = (struct conf_error){0};
	return source_read(sources, &arena, layer, &error);
}

static int read_text(const struct confdir *dir, const char *text)
{
	struct conf_sources sources = {.file = confdir_write(dir, "main.conf", text)};

	return read_sources(&sources);
}

/* The message without the directory that it begins with. */
static const char *message(const struct confdir *dir)
{
	size_t n = strlen(dir->path);

	return strncmp(error.text, dir->path, n) == 0 ? error.text + n + 1 : error.text;
}

static void test_nothing(void **state)
{
	struct confdir *dir = *state;
	struct conf_sources sources = {.system_dir = confdir_path(dir, "none"),
				       .user_dir = confdir_path(dir, "none")};

	assert_int_equal(read_sources(&(struct conf_sources){0}), 0);
	assert_int_equal(read_sources(&sources), 0);
	for (unsigned i = 0; i < LAYERS_N; i++)
		assert_null(layer[i].file);
}

static void test_layers(void **state)
{
	static const char *const programs[] = {"script.py", ".hidden", "a/b", "", "python3", NULL};
	struct confdir *dir = *state;
	struct conf_sources sources = {
		.system_dir = confdir_path(dir, "sys"),
		.user_dir = confdir_path(dir, "usr"),
		.programs = programs,
		.file = confdir_write(dir, "c.conf", "# c"),
		.options = (const char *const[]){"race.maxInFlight=2", NULL},
	};

	confdir_write(dir, "sys/system.conf", "# s");
	confdir_write(dir, "sys/apps/python3.conf", "race = { maxInFlight = 3; };");
	confdir_write(dir, "sys/apps/.hidden.conf", "nonsense");
	confdir_write(dir, "sys/apps/a/b.conf", "nonsense");
	confdir_write(dir, "sys/apps/.conf", "nonsense");
	confdir_write(dir, "usr/taps.conf", "# u");
	confdir_write(dir, "usr/apps/python3.conf", "race = { maxInFlight = 4; };");
	confdir_write(dir, "usr/apps/script.py.conf", "race = { maxInFlight = 5; };");
	assert_int_equal(read_sources(&sources), 0);
	assert_string_equal(layer[LAYER_SYSTEM].file, confdir_path(dir, "sys/system.conf"));
	assert_string_equal(layer[LAYER_SYSTEM_APP].file, confdir_path(dir, "sys/apps/python3.conf"));
	assert_string_equal(layer[LAYER_USER].file, confdir_path(dir, "usr/taps.conf"));
	assert_string_equal(layer[LAYER_USER_APP].file, confdir_path(dir, "usr/apps/script.py.conf"));
	assert_string_equal(layer[LAYER_FILE].file, confdir_path(dir, "c.conf"));
	assert_string_equal(layer[LAYER_OPTIONS].file, "-o");
	assert_int_equal(layer[LAYER_USER_APP].values.policy.race.max_in_flight, 5);
}

/* What a file says goes before what it includes, and the first of its includes before the others. */
static void test_includes(void **state)
{
	struct confdir *dir = *state;

	confdir_write(dir, "sub/a.conf",
		      "include = \"b.conf\"; race = { attemptDelay = 20; maxInFlight = 2; };\n"
		      "rules = ( { remote = { port = 2; } } );\n"
		      "hosts = ( { name = \"a\"; address = \"::2\"; } );");
	confdir_write(dir, "sub/b.conf",
		      "race = { attemptDelay = 30; maxInFlight = 3; firstFamilyCount = 3; };\n"
		      "rules = ( { remote = { port = 3; } } );");
	confdir_write(dir, "c.conf", "race = { firstFamilyCount = 4; resolutionDelay = 4; };\n"
				     "rules = ( { remote = { port = 4; } } );");
	assert_int_equal(read_text(dir, "race = { attemptDelay = 10; };\n"
					"include = [ \"sub/a.conf\", \"c.conf\" ];\n"
					"rules = ( { remote = { port = 1; } } );\n"
					"hosts = ( { name = \"a\"; address = \"::1\"; } );"), 0);
	assert_int_equal(layer[LAYER_FILE].values.policy.race.attempt_delay, 10000000);
	assert_int_equal(layer[LAYER_FILE].values.policy.race.max_in_flight, 2);
	assert_int_equal(layer[LAYER_FILE].values.policy.race.first_family_count, 3);
	assert_int_equal(layer[LAYER_FILE].values.policy.race.resolution_delay, 4000000);
	assert_int_equal(layer[LAYER_FILE].rules.n, 4);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(layer[LAYER_FILE].rules.item[i].values.policy.remote.port, i + 1);
	assert_int_equal(layer[LAYER_FILE].hosts.n, 2);
	assert_string_equal(layer[LAYER_FILE].values.origin[KEY_RACE_firstFamilyCount]->file,
			    confdir_path(dir, "sub/b.conf"));
}

static void test_relative_includes(void **state)
{
	struct confdir *dir = *state;
	char *before = getcwd(NULL, 0);

	confdir_write(dir, "b.conf", "race = { maxInFlight = 9; };");
	confdir_write(dir, "main.conf", "include = \"b.conf\";");
	assert_non_null(before);
	assert_int_equal(chdir(dir->path), 0);
	assert_int_equal(read_sources(&(struct conf_sources){.file = "main.conf"}), 0);
	assert_int_equal(layer[LAYER_FILE].values.policy.race.max_in_flight, 9);
	assert_int_equal(read_sources(&(struct conf_sources){
				 .options = (const char *const[]){"include=b.conf", NULL}}), 0);
	assert_int_equal(layer[LAYER_OPTIONS].values.policy.race.max_in_flight, 9);
	assert_int_equal(chdir(before), 0);
	free(before);
}

static void test_refused_includes(void **state)
{
	static const struct {
		const char *text, *message;
	} rows[] = {
		{"# 1\ninclude = \"none.conf\";",
		 "main.conf:2: 'DIR/none.conf' cannot be read: No such file or directory"},
		{"include = \"main.conf\";",
		 "main.conf:1: include loop: 'DIR/main.conf' is being read already"},
		{"\n\ninclude = \"loop.conf\";",
		 "loop.conf:2: include loop: 'DIR/main.conf' is being read already"},
		{"include = \"bad.conf\";", "bad.conf:2: unknown key 'foo'"},
		{"include = \"empty.conf\";",
		 "empty.conf:1: is empty: expected settings, or a comment that says why "
		 "there are none"},
		{"include = \".\";", "/.:1: is a directory: expected a file"},
		{"include = \"\";",
		 "main.conf:1: 'include' is \"\": expected the name of a file; or a list of up to 64"},
	};
	struct confdir *dir = *state;

	confdir_write(dir, "loop.conf", "#\ninclude = \"main.conf\";");
	confdir_write(dir, "bad.conf", "\nfoo = 1;");
	confdir_write(dir, "empty.conf", "");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *mark = strstr(rows[i].message, "DIR");
		char expected[512];

		assert_true(read_text(dir, rows[i].text) < 0);
		snprintf(expected, sizeof(expected), "%.*s%s%s", mark ? (int)(mark - rows[i].message) : 511,
			 rows[i].message, mark ? dir->path : "", mark ? mark + 3 : "");
		if (strcmp(message(dir), expected) != 0 && !strstr(error.text, expected))
			fail_msg("%s, expected %s", error.text, expected);
	}
}

static void test_include_bounds(void **state)
{
	struct confdir *dir = *state;
	char name[32], text[64];

	for (int i = 0; i < 12; i++) {
		snprintf(name, sizeof(name), "%d.conf", i);
		snprintf(text, sizeof(text), "include = \"%d.conf\";", i + 1);
		confdir_write(dir, name, text);
	}
	assert_int_equal(read_sources(&(struct conf_sources){.file = confdir_path(dir, "0.conf")}), -ELOOP);
	assert_non_null(strstr(error.text, "8.conf:1: includes are nested more than 8 deep"));
	confdir_write(dir, "leaf.conf", "#");
	confdir_write(dir, "twice.conf", "include = [ \"leaf.conf\", \"leaf.conf\" ];");
	assert_int_equal(read_sources(&(struct conf_sources){.file = confdir_path(dir, "twice.conf")}), 0);
	for (int i = 0; i < 7; i++) {
		snprintf(name, sizeof(name), "wide%d.conf", i);
		snprintf(text, sizeof(text), "include = [ \"wide%d.conf\", \"wide%d.conf\" ];", i + 1, i + 1);
		confdir_write(dir, name, text);
	}
	confdir_write(dir, "wide7.conf", "#");
	assert_int_equal(read_sources(&(struct conf_sources){.file = confdir_path(dir, "wide0.conf")}),
			 -EMFILE);
	assert_non_null(strstr(error.text, "more than 64 files"));
}

static void test_options(void **state)
{
	static const struct {
		const char *option, *message;
	} rows[] = {
		{"race", "-o race: expected KEY=VALUE"},
		{"race.attemptDelay=9",
		 "-o race.attemptDelay=9: 'attemptDelay' is 9: expected milliseconds from 10 to 2000"},
		{"attemptDelay=9",
		 "-o attemptDelay=9: unknown key 'attemptDelay' (did you mean 'race.attemptDelay'?)"},
		{"rules=({", "-o rules=({: the group or list that begins here has no end"},
		{"resolver=", "-o resolver=: 'resolver' is \"\": expected \"system\" or \"taps\""},
		{"hosts.a b=::1", "-o hosts.a b=::1: 'name' is \"a b\": expected a host name"},
		{"race.enabled=true; foo = 1",
		 "-o race.enabled=true; foo = 1: 'enabled' is \"true; foo = 1\": "
		 "expected true or false"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct conf_sources sources = {.options = (const char *const[]){rows[i].option, NULL}};

		assert_int_equal(read_sources(&sources), -EINVAL);
		assert_string_equal(error.text, rows[i].message);
	}
}

/* A failure tells whether clear text may be what the configuration forbids. */
static void test_security(void **state)
{
	static const char broken[] = "nonsense = 1;", plain[] = "# plain";
	static const struct {
		const char *system, *user, *file, *option;
		bool security;
	} rows[] = {
		{broken, NULL, NULL, NULL, false},
		{"rules = ( { security = { } ; nonsense", NULL, NULL, NULL, true},
		{"# SECURITY\nnonsense", NULL, NULL, NULL, true},
		{broken, plain, plain, "race.enabled=true", false},
		{broken, "rules = ( { security = { }; } );", NULL, NULL, true},
		{broken, NULL, "security", NULL, true},
		{broken, NULL, NULL, "rules=({security={};})", true},
		{broken, "include = \"x\";", NULL, NULL, true},
		{"include = \"sub.conf\";", broken, NULL, NULL, true},
		{plain, "include = \"x\";", NULL, NULL, true},
		{plain, plain, "x", NULL, false},
		{plain, plain, plain, "x", false},
		{"rules = ( { securty = { }; } );", NULL, NULL, NULL, true},
		{"rules = ( { sceurity = { }; } );", NULL, NULL, NULL, true},
		{"rules = ( { scrutiny = { }; } );", NULL, NULL, NULL, false},
	};
	struct confdir *dir = *state;

	confdir_write(dir, "sys/sub.conf", "# security\n");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct conf_sources sources = {
			.system_dir = confdir_path(dir, "sys"),
			.user_dir = confdir_path(dir, "usr"),
			.options = (const char *const[]){rows[i].option, NULL},
		};

		confdir_write(dir, "sys/system.conf", rows[i].system);
		unlink(confdir_path(dir, "usr/taps.conf"));
		if (rows[i].user)
			confdir_write(dir, "usr/taps.conf", rows[i].user);
		if (rows[i].file)
			sources.file = confdir_write(dir, "file.conf", rows[i].file);
		assert_true(read_sources(&sources) < 0);
		if (error.security != rows[i].security)
			fail_msg("row %zu: %s", i, error.text);
	}
}

/* What cannot be read may hold anything. */
static void test_security_unread(void **state)
{
	struct confdir *dir = *state;
	struct conf_sources sources = {.system_dir = confdir_path(dir, "sys")};

	assert_int_equal(read_sources(&(struct conf_sources){.file = confdir_path(dir, "none")}), -ENOENT);
	assert_string_equal(message(dir), "none:1: cannot be read: No such file or directory");
	assert_true(error.security);
	confdir_write(dir, "sys/apps/x", "");
	assert_int_equal(mkdir(confdir_path(dir, "sys/system.conf"), 0755), 0);
	assert_int_equal(read_sources(&sources), -EISDIR);
	assert_true(error.security);
	sources.file = confdir_write(dir, "c", "broken");
	assert_int_equal(rmdir(confdir_path(dir, "sys/system.conf")), 0);
	assert_int_equal(read_sources(&sources), -EINVAL);
	assert_false(error.security);
	confdir_write(dir, "sys/system.conf", "rules = ();");
	assert_int_equal(chmod(confdir_path(dir, "sys/system.conf"), 0666), 0);
	assert_int_equal(read_sources(&sources), -EACCES);
	assert_string_equal(message(dir), "sys/system.conf:1: is writable by others (mode 0666)");
	assert_false(error.security);
}

static bool read_unprivileged(void *arg)
{
	struct conf_sources *sources = arg;

	if (read_sources(sources) != 0 || layer[LAYER_USER].file)
		return false;
	sources->system_dir = sources->user_dir;
	return read_sources(sources) == -EACCES && error.security;
}

/* Another user's home, into which this one cannot look, is no configuration of this user's; but the
 * system's must be readable. */
static void test_foreign_home(void **state)
{
	struct confdir *dir = *state;
	struct conf_sources sources = {.user_dir = confdir_path(dir, "home")};

	if (geteuid() != 0)
		skip();
	confdir_write(dir, "home/taps.conf", "nonsense");
	assert_int_equal(chmod(confdir_path(dir, "home"), 0700), 0);
	assert_true(confdir_as_nobody(read_unprivileged, &sources));
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
		TEST(test_nothing),	      TEST(test_layers),	   TEST(test_includes),
		TEST(test_relative_includes), TEST(test_refused_includes), TEST(test_include_bounds),
		TEST(test_options),	      TEST(test_security),	   TEST(test_security_unread),
		TEST(test_foreign_home),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
