/* tapsctl trace: any bytes as a trace file, drawn in every style and as a page.  Nothing of the trace may
 * reach the terminal as a control character, or the page as markup. */
#include "tools/tracefile.h"
#include "tools/waterfall.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (((uint8_t)text[i] < ' ' && text[i] != '\n') || text[i] == 0x7f)
			abort();
}

static void draw_text(const struct waterfall *waterfall, unsigned width, bool utf8)
{
	struct waterfall_style style = {.width = width, .utf8 = utf8};
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		abort();
	waterfall_text(waterfall, &style, out);
	fclose(out);
	check_text(text, len);
	free(text);
}

static void draw_page(const struct waterfall *waterfall)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		abort();
	waterfall_html(waterfall, "<trace>", out);
	fclose(out);
	if (strstr(text, "<trace") || strstr(text, "<script"))
		abort();
	free(text);
}

static void draw(const struct tracefile *file)
{
	struct waterfall waterfall = {.n = 0};

	if (waterfall_build(file, &waterfall) == 0) {
		draw_text(&waterfall, 80, true);
		draw_text(&waterfall, 1, false);
		draw_text(&waterfall, 400, false);
		draw_page(&waterfall);
	}
	waterfall_fini(&waterfall);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tracefile file = {.n = 0};
	char *text = malloc(size + 1);

	if (!text)
		abort();
	memcpy(text, data, size);
	text[size] = '\0';
	if (tracefile_parse(text, size, &file) == 0)
		draw(&file);
	tracefile_fini(&file);
	return 0;
}
