/* Options of resolv.conf(5) that bound the waiting. */
#include "core/resolv.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "core/host.h"

#define TEXT_MAX 4096
#define TIMEOUT_S 5
#define ATTEMPTS 2
#define MOST_S (TIMEOUT_S * ATTEMPTS)

/* The number behind `name` in a line's words, or `otherwise`. */
static long number_of(const char *line, size_t len, const char *name, long otherwise)
{
	size_t n = strlen(name), at;
	long value;

	for (at = 0; at + n < len; at++) {
		if ((at > 0 && line[at - 1] != ' ' && line[at - 1] != '\t') ||
		    strncmp(line + at, name, n) != 0)
			continue;
		value = strtol(line + at + n, NULL, 10);
		if (value > 0)
			otherwise = value;
	}
	return otherwise;
}

int64_t resolv_patience_of(const char *text)
{
	long timeout = TIMEOUT_S, attempts = ATTEMPTS;

	while (*text) {
		size_t len = strcspn(text, "\n");

		if (strncmp(text, "options", 7) == 0) {
			timeout = number_of(text, len, "timeout:", timeout);
			attempts = number_of(text, len, "attempts:", attempts);
		}
		text += len + (text[len] == '\n');
	}
	if (timeout > MOST_S || attempts > MOST_S || timeout * attempts > MOST_S)
		return MOST_S * NS_PER_S;
	return timeout * attempts * NS_PER_S;
}

int64_t resolv_patience(const char *path)
{
	char text[TEXT_MAX] = {0};
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return MOST_S * NS_PER_S;
	if (taps_host->read(fd, text, sizeof(text) - 1) < 0)
		text[0] = 0;
	taps_host->close(fd);
	return resolv_patience_of(text);
}
