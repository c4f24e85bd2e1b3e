#include "pb_test.h"

#include "pb/kv.h"

static void test_encode(void **state)
{
	static const struct {
		struct kv kv;
		const char *bytes;
	} cases[] = {
		{{.lease = 0}, ""},
		/* rows of bucket key, written by etcd v3.7.1 */
		{{SLICE_LIT("k01"), 2, 2, 1, SLICE_LIT("v1-01"), 0}, "0a036b3031 1002 1802 2001 2a0576312d3031"},
		{{SLICE_LIT("k"), 300, 70000, 128, {0}, -1},
		 "0a016b 10ac02 18f0a204 208001 30ffffffffffffffffff01"},
	};

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct slice want = hex(cases[i].bytes);
		struct kv back;
		struct buf b;

		buf_init(&b, 1 << 16);
		kv_encode(&cases[i].kv, &b);
		assert_bytes(buf_slice(&b), want);
		assert_int_equal(kv_size(&cases[i].kv), want.size);
		assert_ok(kv_decode(want, &back));
		assert_true(slice_eq(back.key, cases[i].kv.key) && slice_eq(back.value, cases[i].kv.value));
		assert_true(back.create_rev == cases[i].kv.create_rev && back.mod_rev == cases[i].kv.mod_rev);
		assert_true(back.version == cases[i].kv.version && back.lease == cases[i].kv.lease);
		buf_fini(&b);
	}
}

static void test_decode_is_lenient_where_go_is(void **state)
{
	struct kv kv;

	/* last one wins; unknown fields, groups and known numbers under another wire type are skipped; any order */
	assert_ok(kv_decode(hex("2a0161 0a0162 0a0163 3b 0801 3c 50ff01 0801 1005 1006"), &kv));
	assert_true(slice_eq(kv.key, SLICE_LIT("c")) && slice_eq(kv.value, SLICE_LIT("a")) && kv.create_rev == 6);
	/* last empty one wins too */
	assert_ok(kv_decode(hex("0a0162 0a00"), &kv));
	assert_int_equal(kv.key.size, 0);
}

static void test_decode_malformed_leaves_output(void **state)
{
	static const char *const cases[] = {"0a", "0a0261", "10", "1080", "07", "0c", "00", "0a0161 2aff"};
	struct kv kv = {.lease = 77};

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
		assert_err(ERR_MALFORMED, kv_decode(hex(cases[i]), &kv));
	assert_true(kv.lease == 77);
}

static void test_event(void **state)
{
	struct buf b;

	buf_init(&b, 1 << 16);
	event_encode(EVENT_PUT, hex("0a0161"), (struct slice){0}, &b);
	assert_bytes(buf_slice(&b), hex("1203 0a0161"));
	buf_clear(&b);
	event_encode(EVENT_DELETE, hex("0a0161 1805"), hex("0a0161 1002"), &b);
	assert_bytes(buf_slice(&b), hex("0801 1205 0a0161 1805 1a05 0a0161 1002"));
	buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_encode), cmocka_unit_test(test_decode_is_lenient_where_go_is),
		cmocka_unit_test(test_decode_malformed_leaves_output), cmocka_unit_test(test_event),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
