/* Alarms: rows as in a data directory of Go etcd v3.7.1 ("alarms": NOSPACE of the member, CORRUPT of member deadbeef).
 */
#include "../../lib/test.h"
#include "../../lib/store_map.h"
#include "alarm/alarm.h"

static const uint8_t nospace_row[] = {0x08, 0x96, 0xab, 0xc5, 0xdf, 0xf6, 0x99, 0xdd, 0xd0, 0xee, 0x01, 0x10, 0x01};
static const uint8_t corrupt_row[] = {0x08, 0xef, 0xfd, 0xb6, 0xf5, 0x0d, 0x10, 0x02};
#define NOSPACE_ROW slice_of(nospace_row, sizeof(nospace_row))
#define CORRUPT_ROW slice_of(corrupt_row, sizeof(corrupt_row))

static void rows_are_those_of_go(void **state)
{
	struct store_map m;
	struct alarms a;
	struct alarm al;

	store_map_init(&m);
	alarms_init(&a, &m.store);
	assert_false(alarm_activate(&a, 7, ALARM_NONE, &al));
	assert_int_equal(m.writes, 0);
	assert_true(alarm_activate(&a, 0xdeadbeef, ALARM_CORRUPT, &al));
	assert_true(alarm_activate(&a, 0xeea174cf6bf15596, ALARM_NOSPACE, &al));
	assert_int_equal(m.rows.count, 2);
	assert_string_equal(store_map_text(&m, BUCKET_ALARM, NOSPACE_ROW), "");
	assert_string_equal(store_map_text(&m, BUCKET_ALARM, CORRUPT_ROW), "");

	/* again: returned, not written */
	assert_true(alarm_activate(&a, 0xdeadbeef, ALARM_CORRUPT, &al));
	assert_true(al.member == 0xdeadbeef && al.type == ALARM_CORRUPT);
	assert_int_equal(m.writes, 2);

	assert_false(alarm_deactivate(&a, 0xdeadbeef, ALARM_NOSPACE, &al));
	assert_true(alarm_present(&a, ALARM_CORRUPT));
	assert_true(alarm_deactivate(&a, 0xdeadbeef, ALARM_CORRUPT, &al));
	assert_false(alarm_present(&a, ALARM_CORRUPT));
	assert_true(alarm_present(&a, ALARM_NOSPACE));
	assert_null(store_map_text(&m, BUCKET_ALARM, CORRUPT_ROW));
	assert_int_equal(m.rows.count, 1);
	alarms_fini(&a);
	store_map_fini(&m);
}

static void loads_and_lists(void **state)
{
	struct alarms a;
	struct buf b;

	alarms_init(&a, NULL);
	buf_init(&b, 1000);
	assert_ok(alarms_load(&a, CORRUPT_ROW));
	assert_ok(alarms_load(&a, NOSPACE_ROW));
	assert_ok(alarms_load(&a, NOSPACE_ROW));
	assert_err(ERR_CORRUPT_FILE, alarms_load(&a, slice_of(nospace_row, 5)));
	assert_int_equal(a.list.count, 2);

	alarms_encode(&a, ALARM_CORRUPT, 2, &b);
	assert_int_equal(b.size, 2 + sizeof(corrupt_row));
	assert_int_equal(b.data[0], 0x12);
	assert_int_equal(b.data[1], sizeof(corrupt_row));
	assert_memory_equal(b.data + 2, corrupt_row, sizeof(corrupt_row));
	buf_clear(&b);
	alarms_encode(&a, ALARM_NONE, 2, &b);
	assert_int_equal(b.size, 4 + sizeof(corrupt_row) + sizeof(nospace_row));

	alarms_clear(&a);
	assert_false(alarm_present(&a, ALARM_NOSPACE));
	buf_fini(&b);
	alarms_fini(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(rows_are_those_of_go), cmocka_unit_test(loads_and_lists)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
