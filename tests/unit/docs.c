/* conf/docs.c: the sample, the manual page and the examples are what the table of keys says.
 *
 * With an argument, "sample" or "manual", writes the text that the files have to hold. */
#include "conf/docs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "conf/conf.h"
#include "tests/unit/confdir.h"

#define MADE "\n.\\\" From here on made of conf/keys.def: tests/unit/docs manual\n"
#define END ".\\\" End of what is made of conf/keys.def\n"

/* A file of the source tree; freed by the caller. */
static char *read_source(const char *name)
{
	const char *dir = getenv("srcdir");
	char path[512], *text = malloc(1 << 18);
	size_t n;
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", dir ? dir : ".", name);
	file = fopen(path, "r");
	if (!file || !text)
		fail_msg("%s: %m (run from the top of the source tree, or set srcdir)", path);
	n = fread(text, 1, (1 << 18) - 1, file);
	fclose(file);
	text[n] = '\0';
	return text;
}

/* What a generator writes; freed by the caller. */
static char *generate(int (*write)(FILE *))
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	assert_int_equal(write(out), 0);
	fclose(out);
	return text;
}

static void expect_same(const char *name, const char *is, const char *should)
{
	unsigned line = 1;

	for (; *is != '\0' && *is == *should; is++, should++)
		line += *is == '\n';
	if (*is != *should)
		fail_msg("%s differs from conf/keys.def, %u lines into the part that is made of it:\n"
			 "is:     %.60s\nshould: %.60s",
			 name, line, is, should);
}

static void test_sample(void **state)
{
	char *is = read_source("conf/taps.conf.sample"), *should = generate(docs_sample);

	(void)state;
	expect_same("conf/taps.conf.sample", is, should);
	free(is);
	free(should);
}

static void test_manual(void **state)
{
	char *page = read_source("conf/taps.conf.5"), *should = generate(docs_manual);
	char *begin = strstr(page, MADE), *end = strstr(page, END);

	(void)state;
	assert_true(begin && end && begin < end);
	*end = '\0';
	expect_same("conf/taps.conf.5", begin + strlen(MADE), should);
	free(page);
	free(should);
}

/* A table of keys without prose would make empty documents. */
static void test_every_key_documented(void **state)
{
	char *sample = generate(docs_sample), *manual = generate(docs_manual);

	(void)state;
	for (int i = 0; i < KEYS_N; i++) {
		const struct conf_key *key = &conf_keys[i];
		const char *name = key->name + key_group_length(key) + (key_group_length(key) > 0);
		char setting[128], entry[128];

		snprintf(setting, sizeof(setting), "#%s = ", name);
		snprintf(entry, sizeof(entry), ".TP\n.B %s\n", key->name);
		if (!strstr(sample, setting) || !strstr(manual, entry))
			fail_msg("%s is not documented", key->name);
	}
	free(sample);
	free(manual);
}

/* As shipped the sample changes nothing; with each '#' before a setting taken away it is right as well. */
static void test_sample_is_configuration(void **state)
{
	char *text = generate(docs_sample), *out = text;
	struct conf *conf = confdir_load(*state, text);

	for (int i = 0; i < KEYS_N; i++)
		assert_null(conf->layer[LAYER_FILE].values.origin[i]);
	conf_unref(conf);
	confdir_write(*state, "apps/common.conf", "# included by the sample\n");
	for (const char *at = text; *at != '\0'; at++)
		if (*at != '#' || at[1] == ' ')
			*out++ = *at;
	*out = '\0';
	conf = confdir_load(*state, text);
	for (int i = 0; i < KEYS_N; i++) {
		bool at_top = conf_keys[i].section == SECTION_TOP || conf_keys[i].section == SECTION_RACE ||
			      conf_keys[i].section == SECTION_PROPERTIES ||
			      conf_keys[i].section == SECTION_SECURITY;

		if (at_top && !conf->layer[LAYER_FILE].values.origin[i])
			fail_msg("%s is not set by the sample", conf_keys[i].name);
	}
	assert_int_equal(conf->layer[LAYER_FILE].rules.n, 1);
	assert_int_equal(conf->layer[LAYER_FILE].hosts.n, 1);
	conf_unref(conf);
	free(text);
}

static void test_examples(void **state)
{
	static const char *const examples[] = {"conf/apps/psql.conf", "conf/apps/legacy-client.conf"};

	for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
		char *text = read_source(examples[i]);
		struct conf *conf = confdir_load(*state, text);

		assert_true(conf_has_rules(conf));
		conf_unref(conf);
		free(text);
	}
}

static void *no_memory(size_t size)
{
	(void)size;
	return NULL;
}

static void test_no_memory(void **state)
{
	FILE *null = fopen("/dev/null", "w");

	(void)state;
	assert_non_null(null);
	arena_source = no_memory;
	assert_true(docs_sample(null) < 0);
	assert_true(docs_manual(null) < 0);
	arena_source = malloc;
	fclose(null);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, confdir_setup, confdir_teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sample),
		cmocka_unit_test(test_manual),
		cmocka_unit_test(test_every_key_documented),
		TEST(test_sample_is_configuration),
		TEST(test_examples),
		cmocka_unit_test(test_no_memory),
	};

	if (argc > 1)
		return (strcmp(argv[1], "sample") == 0 ? docs_sample(stdout) : docs_manual(stdout)) < 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
