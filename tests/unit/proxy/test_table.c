#include "proxy/table.h"
#include "tests/lib/test.h"

struct item {
	struct entry entry;
	uint32_t number;
};

enum { ITEMS = 5000 };

static struct slice key_of(const struct item *i)
{
	return slice_of(&i->number, sizeof(i->number));
}

static void test_finds_what_is_in_and_nothing_else(void **state)
{
	struct item *items = NEW_ARRAY(struct item, ITEMS);
	struct table t;

	table_init(&t);
	for (uint32_t i = 0; i < ITEMS; i++) {
		items[i].number = i;
		assert_null(table_find(&t, key_of(&items[i])));
		table_add(&t, &items[i].entry, key_of(&items[i]));
	}
	for (uint32_t i = 0; i < ITEMS; i += 2)
		table_remove(&t, &items[i].entry);
	assert_int_equal(t.count, ITEMS / 2);
	for (uint32_t i = 0; i < ITEMS; i++)
		assert_ptr_equal(table_find(&t, key_of(&items[i])), i % 2 ? &items[i].entry : NULL);
	while (t.count)
		table_remove(&t, table_any(&t));
	assert_null(table_any(&t));
	table_fini(&t);
	mem_free(items);
}

static void test_the_empty_key_is_a_key(void **state)
{
	struct entry e;
	struct table t;

	table_init(&t);
	assert_null(table_find(&t, (struct slice){0}));
	table_add(&t, &e, (struct slice){0});
	assert_ptr_equal(table_find(&t, (struct slice){0}), &e);
	assert_null(table_find(&t, SLICE_LIT("\0")));
	table_fini(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_finds_what_is_in_and_nothing_else),
		cmocka_unit_test(test_the_empty_key_is_a_key),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
