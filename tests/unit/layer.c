/* Chains of layers: made up of layers that only take note. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "core/layer.h"
#include "tests/unit/host.h"

static char closed[64];

static void note_close(struct layer *layer)
{
	strcat(closed, layer->ops->name);
}

static const struct layer_ops framer = {.name = "frame", .close = note_close};
static const struct layer_ops security = {.name = "sec", .traits = LAYER_SECURE, .close = note_close};
static const struct layer_ops transport = {
	.name = "wire",
	.traits = LAYER_TRANSPORT | LAYER_STREAM,
	.close = note_close,
};

static void test_chain(void **state)
{
	struct layer wire = {.ops = &transport}, sec = {&security, &wire}, frame = {&framer, &sec};
	char text[32];

	(void)state;
	unit_host();
	assert_string_equal(layer_describe(&frame, text, sizeof(text)), "frame/sec/wire");
	assert_string_equal(layer_describe(&wire, text, sizeof(text)), "wire");
	assert_string_equal(layer_describe(NULL, text, sizeof(text)), "");
	assert_string_equal(layer_describe(&frame, text, 8), "frame/s");
	assert_string_equal(layer_describe(&frame, text, 1), "");
	assert_true(layer_is_secure(&frame));
	assert_true(layer_is_secure(&sec));
	assert_false(layer_is_secure(&wire));
	assert_false(layer_is_secure(NULL));
}

static void test_close_from_the_top(void **state)
{
	struct layer wire = {.ops = &transport}, sec = {&security, &wire}, frame = {&framer, &sec};

	(void)state;
	closed[0] = 0;
	layer_close_chain(&frame);
	assert_string_equal(closed, "framesecwire");
	layer_close_chain(NULL);
	assert_string_equal(closed, "framesecwire");
}

/* Each row can be driven and ended, and says what it is. */
static void test_rows(void **state)
{
	size_t i, j;

	(void)state;
	for (i = 0; layers[i]; i++) {
		unsigned kinds = layers[i]->traits & (LAYER_STREAM | LAYER_DATAGRAM);

		assert_non_null(layers[i]->connect);
		assert_non_null(layers[i]->close);
		if (layers[i]->traits & LAYER_TRANSPORT)
			assert_true(kinds == LAYER_STREAM || kinds == LAYER_DATAGRAM);
		for (j = 0; j < i; j++)
			assert_string_not_equal(layers[i]->name, layers[j]->name);
	}
	assert_in_range(i, 2, 32);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_chain),
		cmocka_unit_test(test_close_from_the_top),
		cmocka_unit_test(test_rows),
	};

	return cmocka_run_group_tests_name("layer", tests, NULL, NULL);
}
