/* A look at the text as libconfig's scanner will see it: white space, comments, strings, names, numbers.
 * Line breaks are kept where they are, so that the lines of later errors are right. */
#include "conf/scan.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "conf/ascii.h"

struct scan {
	const char *at, *end;
	char *out;
	unsigned line;
	unsigned depth, opened[SCAN_DEPTH_MAX]; /* the lines of the brackets that are open */
	bool line_start;                        /* nothing but blanks since the line began */
	const char *problem;
	unsigned problem_line;
};

static void fail(struct scan *scan, unsigned line, const char *problem)
{
	if (scan->problem)
		return;
	scan->problem = problem;
	scan->problem_line = line;
}

static bool is_name_start(char c)
{
	return ascii_letter(c) || c == '*';
}

static bool is_name(char c)
{
	return is_name_start(c) || ascii_digit(c) || c == '-' || c == '_';
}

static bool is_hex(char c)
{
	return ascii_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\f';
}

static bool is_text(char c)
{
	return (unsigned char)c >= ' ' ? c != 0x7f : is_blank(c) || c == '\n';
}

static bool starts(const struct scan *scan, const char *with)
{
	size_t n = strlen(with);

	return (size_t)(scan->end - scan->at) >= n && memcmp(scan->at, with, n) == 0;
}

static void copy(struct scan *scan)
{
	char c = *scan->at++;

	if (!is_text(c))
		fail(scan, scan->line, "is not text: there is a control character");
	scan->line += c == '\n';
	scan->line_start = c == '\n' || (scan->line_start && is_blank(c));
	*scan->out++ = c;
}

static void copy_while(struct scan *scan, bool (*is)(char))
{
	while (scan->at < scan->end && is(*scan->at))
		copy(scan);
}

static void copy_until(struct scan *scan, const char *mark)
{
	while (scan->at < scan->end && !starts(scan, mark))
		copy(scan);
}

/* As many bytes as there are, up to n. */
static void copy_some(struct scan *scan, unsigned n)
{
	for (; n > 0 && scan->at < scan->end; n--)
		copy(scan);
}

/* libconfig takes the end of the file for the end of a comment, and forgets what was meant to follow. */
static void copy_comment(struct scan *scan)
{
	unsigned line = scan->line;

	copy_some(scan, 2);
	copy_until(scan, "*/");
	if (scan->at == scan->end)
		fail(scan, line, "the comment that begins here has no end");
	copy_some(scan, 2);
}

static void copy_string(struct scan *scan)
{
	unsigned line = scan->line;

	copy(scan);
	while (scan->at < scan->end && *scan->at != '"')
		copy_some(scan, *scan->at == '\\' ? 2 : 1);
	if (scan->at == scan->end)
		fail(scan, line, "the string that begins here has no end");
	copy_some(scan, 1);
}

/* Integers of up to 9 digits, and hexadecimal ones of up to 7, fit into 32 bits. */
static void copy_number(struct scan *scan)
{
	const char *begin = scan->at;
	bool fits;

	if (starts(scan, "0x") || starts(scan, "0X")) {
		copy_some(scan, 2);
		copy_while(scan, is_hex);
		fits = scan->at - begin <= 2 + 7;
	} else {
		copy_while(scan, ascii_digit);
		fits = scan->at - begin <= 9;
	}
	if (!fits && (scan->at == scan->end || !strchr(".eEL", *scan->at)))
		*scan->out++ = 'L';
}

static void copy_bracket(struct scan *scan)
{
	bool opens = strchr("{([", *scan->at);

	if (!opens && scan->depth > 0)
		scan->depth--;
	if (opens && scan->depth == SCAN_DEPTH_MAX)
		fail(scan, scan->line, "groups and lists are nested too deeply");
	else if (opens)
		scan->opened[scan->depth++] = scan->line;
	copy(scan);
}

static void copy_token(struct scan *scan)
{
	char c = *scan->at;

	if (c == '@' && scan->line_start && starts(scan, "@include"))
		fail(scan, scan->line, "'@include' is not supported: expected include = [\"FILE\"]");
	if (c == '"')
		copy_string(scan);
	else if (c == '#' || starts(scan, "//"))
		copy_until(scan, "\n");
	else if (starts(scan, "/*"))
		copy_comment(scan);
	else if (is_name_start(c))
		copy_while(scan, is_name);
	else if (ascii_digit(c))
		copy_number(scan);
	else if (c != '\0' && strchr("{}()[]", c))
		copy_bracket(scan);
	else
		copy(scan);
}

int scan_text(struct arena *arena, const char *text, size_t len, struct scan_result *ret)
{
	struct scan scan = {.at = text, .end = text + len, .line = 1, .line_start = true};

	/* Every letter added follows ten others. */
	ret->text = scan.out = arena_alloc(arena, len + len / 8 + 3);
	if (!scan.out)
		return -ENOMEM;
	while (scan.at < scan.end && !scan.problem)
		copy_token(&scan);
	if (scan.depth > 0)
		fail(&scan, scan.opened[scan.depth - 1], "the group or list that begins here has no end");
	/* To libconfig a comment without an end of line is a syntax error. */
	if (len > 0 && text[len - 1] != '\n')
		*scan.out++ = '\n';
	*scan.out = '\0';
	ret->line = scan.problem_line;
	ret->problem = scan.problem;
	return scan.problem ? -EINVAL : 0;
}

bool scan_blank(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!is_blank(text[i]) && text[i] != '\n')
			return false;
	return true;
}

const char *scan_line(const char *text, unsigned line, char *buf, size_t size)
{
	size_t len;

	for (; line > 1 && text; line--) {
		text = strchr(text, '\n');
		text = text ? text + 1 : NULL;
	}
	text = text ? text + strspn(text, " \t") : "";
	len = strcspn(text, "\r\n");
	snprintf(buf, size, "%.*s", (int)(len < size ? len : size - 1), text);
	return buf;
}
