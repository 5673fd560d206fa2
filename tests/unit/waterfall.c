/* Reading traces, and drawing their races. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/trace.h"
#include "tests/unit/host.h"
#include "tools/tracefile.h"
#include "tools/utf8.h"
#include "tools/waterfall.h"

static char path[64];

/* Two processes under one pid (the second by exec), a race won, one lost, one cut off, one without.
 * Quotation marks are apostrophes here; setup() puts them right. */
static char sample[] =
	"[\n"
	"{'ph':'M','name':'process_name','pid':7,'tid':0,'args':{'name':'curl'}},\n"
	"{'ph':'X','cat':'resolve','name':'A, AAAA','pid':7,'tid':199,'ts':1000000.000,'dur':12400.000,"
	"'args':{'connection':1}},\n"
	"{'ph':'i','s':'t','cat':'pruned','name':'198.51.100.7:80','pid':7,'tid':100,'ts':1012400.000,"
	"'args':{'connection':1,'reason':'loopback'}},\n"
	"{'ph':'X','cat':'attempt','name':'192.0.2.1:80','pid':7,'tid':102,'ts':1262500.000,'dur':3100.000,"
	"'args':{'connection':1,'order':1,'result':'won','stack':'tcp'}},\n"
	"{'ph':'X','cat':'attempt','name':'[2001:db8::1]:80','pid':7,'tid':101,'ts':1012500.000,"
	"'dur':253100.000,'args':{'connection':1,'order':0,'result':'cancelled','stack':'tcp'}},\n"
	"{'ph':'i','s':'t','cat':'attempt','name':'192.0.2.2:80','pid':7,'tid':103,'ts':1265600.000,"
	"'args':{'connection':1,'order':2,'result':'not started'}},\n"
	"{'ph':'X','cat':'race','name':'race','pid':7,'tid':100,'ts':1012500.000,'dur':253100.000,"
	"'args':{'connection':1,'host':'example.org','port':80,'winner':'192.0.2.1:80'}},\n"
	"{'ph':'i','s':'t','cat':'connection','name':'Ready','pid':7,'tid':100,'ts':1265600.000,"
	"'args':{'connection':1}},\n"
	"{'ph':'M','name':'process_name','pid':7,'tid':0,"
	"'args':{'name':'a<b>&\\u0022\\u001b[31m\\u202e\\u00e9'}},\n"
	"{'ph':'X','cat':'attempt','name':'[2001:db8::2]:443','pid':7,'tid':101,'ts':2000000.000,"
	"'dur':800.000,'args':{'connection':1,'order':0,'result':'failed','error':'ECONNREFUSED',"
	"'stack':'tls/tcp'}},\n"
	"{'ph':'X','cat':'race','name':'race','pid':7,'tid':100,'ts':2000000.000,'dur':900.000,"
	"'args':{'connection':1,'host':'2001:db8::2','port':443,'error':'ECONNREFUSED'}},\n"
	"{'ph':'X','cat':'attempt','name':'203.0.113.5:22','pid':7,'tid':201,'ts':2500000.000,"
	"'dur':900000.000,'args':{'connection':2,'order':0,'result':'cancelled'}},\n"
	"{'ph':'i','s':'t','cat':'connection','name':'Ready','pid':7,'tid':300,'ts':2600000.000,"
	"'args':{'connection':3}}\n"
	"]\n";

static struct tracefile file;
static struct waterfall waterfall;

static int parse(const char *text, size_t n)
{
	char *copy = malloc(n + 1);

	assert_non_null(copy);
	memcpy(copy, text, n);
	copy[n] = 0;
	return tracefile_parse(copy, n, &file);
}

static void load_sample(void)
{
	assert_int_equal(parse(sample, sizeof(sample) - 1), 0);
	assert_int_equal(waterfall_build(&file, &waterfall), 0);
}

static int release(void **state)
{
	(void)state;
	waterfall_fini(&waterfall);
	tracefile_fini(&file);
	return 0;
}

static char *drawn(unsigned width, bool colour, bool utf8)
{
	const struct waterfall_style style = { .width = width, .colour = colour, .utf8 = utf8 };
	char *text;
	size_t n;
	FILE *out = open_memstream(&text, &n);

	assert_non_null(out);
	waterfall_text(&waterfall, &style, out);
	fclose(out);
	return text;
}

static char *page(void)
{
	char *text;
	size_t n;
	FILE *out = open_memstream(&text, &n);

	assert_non_null(out);
	waterfall_html(&waterfall, "<trace> & \xff", out);
	fclose(out);
	return text;
}

static void test_parse(void **state)
{
	const struct trace_item *item;

	(void)state;
	load_sample();
	assert_int_equal(file.n, 13);
	assert_false(file.cut);
	item = &file.item[3];
	assert_int_equal(item->phase, 'X');
	assert_string_equal(item->category, "attempt");
	assert_int_equal(item->begin, 1262500000);
	assert_int_equal(item->end, 1265600000);
	assert_string_equal(trace_item_text(item, "result", "?"), "won");
	assert_int_equal(trace_item_number(item, "order", -1), 1);
	assert_int_equal(trace_item_number(item, "result", -1), -1);
	assert_string_equal(trace_item_text(item, "none", "?"), "?");
	assert_string_equal(trace_item_text(&file.item[8], "name", ""), "a<b>&\"\033[31m\u202e\u00e9");
}

static void test_parse_others(void **state)
{
	static const struct {
		const char *text;
		int result;
		size_t n;
		bool cut;
	} cases[] = {
		{ "", -EINVAL, 0, false },
		{ "{}", -EINVAL, 0, false },
		{ "hello", -EINVAL, 0, false },
		{ "[]", 0, 0, false },
		{ " [ ] ", 0, 0, false },
		{ "[\n", 0, 0, true },
		{ "[{\"ph\":\"X\"}", 0, 1, true },
		{ "[{\"ph\":\"X\"},", 0, 1, true },
		{ "[{\"ph\":\"X\"},{\"ph\"", 0, 1, true },
		{ "[{\"a\":[1,{\"b\":[true,false,null,-1.5e3]}],\"ph\":\"i\"}]", 0, 1, false },
		{ "[{\"args\":{\"x\":{\"y\":1},\"z\":[]}}]", 0, 1, false },
		{ "[{\"args\":null,\"ts\":1e300,\"pid\":\"x\"}]", 0, 1, false },
		{ "[{\"a\":\"\\ud800\\u0000\\u20ac\"}]", 0, 1, false },
		{ "[{\"a\":\"\\x\"}]", 0, 0, true },
		{ "[{\"a\":nul}]", 0, 0, true },
		{ "[1]", 0, 0, true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(parse(cases[i].text, strlen(cases[i].text)), cases[i].result);
		assert_int_equal(file.n, cases[i].n);
		assert_int_equal(file.cut, cases[i].cut);
		tracefile_fini(&file);
	}
}

/* Deep nesting is refused, many arguments are kept in part. */
static void test_parse_bounds(void **state)
{
	char text[4096], *at = text;

	(void)state;
	at += sprintf(at, "[{\"a\":");
	for (int i = 0; i < 1000; i++)
		*at++ = '[';
	assert_int_equal(parse(text, (size_t)(at - text)), 0);
	assert_true(file.cut);
	tracefile_fini(&file);
	at = text + sprintf(text, "[{\"args\":{\"a0\":0");
	for (int i = 1; i < 60; i++)
		at += sprintf(at, ",\"a%d\":%d", i, i);
	at += sprintf(at, "}}]");
	assert_int_equal(parse(text, (size_t)(at - text)), 0);
	assert_false(file.cut);
	assert_int_equal(file.item[0].n_fields, TRACEFILE_FIELDS_MAX);
}

static void test_build(void **state)
{
	const struct waterfall_race *race;

	(void)state;
	load_sample();
	assert_int_equal(waterfall.n, 4);
	race = &waterfall.race[0];
	assert_string_equal(race->title, "example.org:80");
	assert_string_equal(race->process, "curl");
	assert_string_equal(race->winner, "192.0.2.1:80");
	assert_true(race->finished);
	assert_int_equal(race->begin, 1000000000);
	assert_int_equal(race->end, 1265600000);
	assert_int_equal(race->n_bars, 4);
	assert_string_equal(race->bar[0].category, "resolve");
	assert_string_equal(race->bar[1].name, "[2001:db8::1]:80");
	assert_int_equal(race->bar[1].result, RESULT_CANCELLED);
	assert_int_equal(race->bar[2].result, RESULT_WON);
	assert_int_equal(race->bar[3].result, RESULT_NOT_STARTED);
	assert_int_equal(race->n_marks, 2);
	assert_string_equal(race->mark[0].reason, "loopback");

	/* The same pid and connection number, after an exec. */
	race = &waterfall.race[1];
	assert_string_equal(race->title, "[2001:db8::2]:443");
	assert_string_equal(race->error, "ECONNREFUSED");
	assert_int_equal(race->n_bars, 1);
	assert_string_equal(race->bar[0].stack, "tls/tcp");

	race = &waterfall.race[2];
	assert_string_equal(race->title, "203.0.113.5:22");
	assert_true(race->raced);
	assert_false(race->finished);
	assert_false(waterfall.race[3].raced);
}

static void test_text(void **state)
{
	static const char want[] =
		"example.org:80  curl[7] connection 1: won by 192.0.2.1:80 after 265.6 ms\n"
		"  names A, AAAA      ==                               0.0 -  12.4 ms \n"
		"  1 [2001:db8::1]:80  -----------------------------  12.5 - 265.6 ms cancelled\n"
		"  2 192.0.2.1:80                                  # 262.5 - 265.6 ms won\n"
		"  3 192.0.2.2:80                                                     not started\n"
		"  pruned 198.51.100.7:80: loopback\n"
		"  Ready at 265.6 ms\n";
	char *text;

	(void)state;
	load_sample();
	text = drawn(80, false, false);
	assert_int_equal(strncmp(text, want, sizeof(want) - 1), 0);
	assert_non_null(strstr(text, "failed: ECONNREFUSED after 0.9 ms"));
	assert_non_null(strstr(text, "failed: ECONNREFUSED (tls/tcp)"));
	assert_non_null(strstr(text, "a<b>&\"?[31m??[7]"));
	assert_non_null(strstr(text, "unfinished"));
	assert_non_null(strstr(text, "no race"));
	free(text);

	text = drawn(100, false, true);
	assert_null(strchr(text, '\033'));
	assert_non_null(strstr(text, "\u2591\u2591\u2591"));
	assert_non_null(strstr(text, "[31m?\u00e9[7]"));
	free(text);

	text = drawn(100, true, true);
	assert_non_null(strstr(text, "\033[32mwon\033[0m"));
	assert_null(strstr(text, "\033[31m["));
	free(text);
}

/* No line is wider than asked for, once there is room for the bars at all. */
static void test_widths(void **state)
{
	(void)state;
	load_sample();
	for (unsigned width = 1; width < 500; width += 3) {
		char *text = drawn(width, false, false);

		for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
			if (width >= 80 && line[0] == ' ' && strstr(line, " ms "))
				assert_true(strlen(line) <= width);
		free(text);
	}
}

static void test_page(void **state)
{
	static const char *const absent[] = {
		"<script", "<trace>", "<b>&", "http:", "https:", "src=", "url(", "\033", "\u202e",
	};
	static const char *const present[] = {
		"<!DOCTYPE html>", "prefers-color-scheme: dark", "default-src 'none'",
		"&lt;trace&gt; &amp; &#xfffd;", "a&lt;b&gt;&amp;&quot;&#xfffd;[31m&#xfffd;\u00e9",
		"left:4.706%;width:95.294%", "example.org:80", "<b>won</b></span> by",
		"4 connections, 3 raced: 1 won, 1 failed", "pruned <span", "</html>",
	};
	char *text;

	(void)state;
	load_sample();
	text = page();
	for (size_t i = 0; i < sizeof(absent) / sizeof(absent[0]); i++)
		if (strstr(text, absent[i]))
			fail_msg("the page holds %s", absent[i]);
	for (size_t i = 0; i < sizeof(present) / sizeof(present[0]); i++)
		if (!strstr(text, present[i]))
			fail_msg("the page lacks %s", present[i]);
	free(text);
}

/* Every prefix of a trace, and traces with bytes changed, are read and drawn without harm. */
static void test_damage(void **state)
{
	static const char bytes[] = "\"\\{}[]:,0-9eu.x\xff\n";
	char text[sizeof(sample)];
	unsigned seed = 1;

	(void)state;
	for (size_t n = 1; n < sizeof(sample) - 3; n += 3) {
		assert_int_equal(parse(sample, n), 0);
		assert_true(file.cut);
		assert_int_equal(waterfall_build(&file, &waterfall), 0);
		free(drawn(90, true, true));
		release(NULL);
	}
	for (int i = 0; i < 2000; i++) {
		memcpy(text, sample, sizeof(text));
		for (int k = 0; k < 4; k++)
			text[(size_t)rand_r(&seed) % (sizeof(text) - 1)] =
				bytes[(size_t)rand_r(&seed) % (sizeof(bytes) - 1)];
		text[0] = '[';
		assert_int_equal(parse(text, sizeof(text) - 1), 0);
		assert_int_equal(waterfall_build(&file, &waterfall), 0);
		free(drawn(90, true, true));
		free(page());
		release(NULL);
	}
}

static void test_nothing(void **state)
{
	char *text;

	(void)state;
	assert_int_equal(parse("[\n]\n", 4), 0);
	assert_int_equal(waterfall_build(&file, &waterfall), 0);
	text = drawn(80, false, true);
	assert_string_equal(text, "no connections\n");
	free(text);
}

static void test_utf8(void **state)
{
	static const struct {
		const char *text;
		size_t length;
	} cases[] = {
		{ "a", 1 }, { "", 0 }, { "\n", 0 }, { "\x7f", 0 }, { "\u00e9", 2 }, { "\xc2\x85", 0 },
		{ "\u20ac", 3 }, { "\u202e", 0 }, { "\u200b", 0 }, { "\ufeff", 0 }, { "\U0001f600", 4 },
		{ "\U000e0041", 0 },
		{ "\xc0\x80", 0 }, { "\xe0\x80\x80", 0 }, { "\xed\xa0\x80", 0 }, { "\xf4\x90\x80\x80", 0 },
		{ "\xe2\x82", 0 }, { "\x80", 0 }, { "\xff", 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(utf8_printable((const unsigned char *)cases[i].text), cases[i].length);
}

/* What core/trace.c writes is what is read here. */
static void test_round_trip(void **state)
{
	const struct trace_arg race[] = {
		TRACE_TEXT("host", "h"), TRACE_NUMBER("port", 1), TRACE_TEXT("winner", "w"),
	};

	(void)state;
	unit_host();
	unlink(path);
	assert_int_equal(tracefile_create(path, NULL), 0);
	assert_int_equal(trace_open(path, "program"), 0);
	trace_span(5, "race", "race", 1000000, 2000000, race, 3);
	assert_int_equal(tracefile_read(path, &file), 0);
	assert_false(file.cut);
	assert_int_equal(waterfall_build(&file, &waterfall), 0);
	assert_int_equal(waterfall.n, 1);
	assert_string_equal(waterfall.race[0].title, "h:1");
	assert_string_equal(waterfall.race[0].process, "program");
	assert_int_equal(waterfall.race[0].connection, 5);
	assert_int_equal(waterfall.race[0].end - waterfall.race[0].begin, 1000000);
}

static void test_create(void **state)
{
	struct stat st;
	FILE *f;

	(void)state;
	unlink(path);
	assert_int_equal(tracefile_create(path, NULL), 0);
	assert_int_equal(trace_open(path, "x"), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_true(st.st_size > 4);
	assert_int_equal(tracefile_create(path, path), 0); /* an outer run's: left as it is */
	assert_int_equal(stat(path, &st), 0);
	assert_true(st.st_size > 4);
	assert_int_equal(tracefile_create(path, NULL), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 4);

	f = fopen(path, "w");
	assert_non_null(f);
	fputs("[1, 2]\n", f);
	fclose(f);
	assert_int_equal(tracefile_create(path, NULL), -EEXIST);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 7);
	assert_int_equal(tracefile_create("/dev/null", NULL), -EINVAL);
	assert_int_equal(tracefile_create("/nonexistent/x", NULL), -ENOENT);
	assert_int_equal(tracefile_read("/dev/null", &file), -EINVAL);
	assert_int_equal(tracefile_read("/nonexistent/x", &file), -ENOENT);
}

static int setup(void **state)
{
	(void)state;
	for (char *at = sample; (at = strchr(at, '\'')) != NULL; at++)
		*at = '"';
	snprintf(path, sizeof(path), "/tmp/waterfall-test-%d.json", (int)getpid());
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_parse, release),
		cmocka_unit_test_teardown(test_parse_others, release),
		cmocka_unit_test_teardown(test_parse_bounds, release),
		cmocka_unit_test_teardown(test_build, release),
		cmocka_unit_test_teardown(test_text, release),
		cmocka_unit_test_teardown(test_widths, release),
		cmocka_unit_test_teardown(test_page, release),
		cmocka_unit_test_teardown(test_damage, release),
		cmocka_unit_test_teardown(test_nothing, release),
		cmocka_unit_test(test_utf8),
		cmocka_unit_test_teardown(test_round_trip, release),
		cmocka_unit_test_teardown(test_create, release),
	};

	alarm(60);
	return cmocka_run_group_tests(tests, setup, teardown);
}
