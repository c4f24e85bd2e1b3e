#include "pb_test.h"

#include "pb/wire.h"

static void test_varints(void **state)
{
	static const struct {
		uint64_t v;
		const char *bytes;
	} cases[] = {
		{0, "00"}, {1, "01"}, {127, "7f"}, {128, "8001"}, {300, "ac02"}, {16383, "ff7f"}, {16384, "808001"},
		{(1ull << 32) - 1, "ffffffff0f"}, {1ull << 56, "808080808080808001"}, {1ull << 63, "80808080808080808001"},
		{UINT64_MAX, "ffffffffffffffffff01"},
	};

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct slice want = hex(cases[i].bytes);
		struct pb_reader r = pb_reader_of(want);
		uint8_t out[10];
		uint64_t got = 0;

		assert_int_equal(pb_varint_size(cases[i].v), want.size);
		assert_bytes(slice_of(out, (size_t)(pb_varint_write(out, cases[i].v) - out)), want);
		assert_true(pb_get_varint(&r, &got));
		assert_true(got == cases[i].v && r.at == r.end && !r.failed);
		for (size_t cut = 0; cut < want.size; cut++) {
			r = pb_reader_of(slice_of(want.data, cut));
			assert_false(pb_get_varint(&r, &got));
			assert_true(r.failed);
		}
	}
	for (unsigned bit = 0; bit < 64; bit++)
		assert_int_equal(pb_varint_size(1ull << bit), bit / 7 + 1);
}

/* As a field with more input behind it: the reader takes eight bytes at once there. */
static void test_varints_amid_input(void **state)
{
	for (unsigned bits = 0; bits <= 64; bits++) {
		uint64_t v = bits == 64 ? UINT64_MAX : (1ull << bits) - 1;

		for (size_t behind = 0; behind < 12; behind++) {
			uint8_t bytes[40] = {0x08};
			uint8_t *end = pb_varint_write(bytes + 1, v);
			struct pb_reader r = pb_reader_of(slice_of(bytes, (size_t)(end - bytes) + behind));
			struct pb_field f;

			memset(end, 0xff, behind);
			assert_true(pb_next(&r, &f) && f.number == 1 && f.wire == PB_VARINT && f.value == v && r.at == end);
		}
	}
}

static void test_varint_beyond_64_bits(void **state)
{
	static const char *const cases[] = {"ffffffffffffffffff02", "ffffffffffffffffff7f", "8080808080808080808001", "ffffffffffffffffffff01"};
	uint64_t v;

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct pb_reader r = pb_reader_of(hex(cases[i]));

		assert_false(pb_get_varint(&r, &v));
		assert_true(r.failed);
	}
	/* not minimal, yet 64 bits: accepted */
	struct pb_reader r = pb_reader_of(hex("81808080808080808000"));
	assert_true(pb_get_varint(&r, &v) && v == 1);
}

/* Number of fields until the end, -1 if malformed. */
static int fields(const char *bytes)
{
	struct pb_reader r = pb_reader_of(hex(bytes));
	struct pb_field f;
	int count = 0;

	while (pb_next(&r, &f))
		count++;
	return r.failed ? -1 : count;
}

static void test_fields(void **state)
{
	static const struct {
		const char *bytes;
		int want;
	} cases[] = {
		{"", 0}, {"0801", 1}, {"0a00", 1}, {"0a0161 1001", 2}, {"0d01020304", 1}, {"090102030405060708", 1},
		{"8a7d 00", 1},                                 /* number 2001 */
		{"f8ffffff0f 01", 1},                           /* 2^29-1 */
		{"8080808010 01", -1}, {"00 00", -1}, {"02 00", -1},    /* 2^29; number 0 */
		{"08", -1}, {"0a", -1}, {"0a02 61", -1}, {"0d010203", -1}, {"0901020304050607", -1},
		{"0affffffffffffffffff01", -1},                 /* length 2^64-1 */
		{"0e", -1}, {"0f", -1},                         /* reserved wire types */
		{"0b 0c", 0}, {"0b 0801 0c 0801", 1},           /* a group is skipped */
		{"0b 13 1a01ff 14 0c", 0}, {"0b", -1}, {"0b 14", -1}, {"0c", -1}, {"0b 0b 0c", -1}, {"0b 08 0c", -1},
	};

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
		if (fields(cases[i].bytes) != cases[i].want)
			fail_msg("%s: %d fields, want %d", cases[i].bytes, fields(cases[i].bytes), cases[i].want);
}

static void test_group_depth(void **state)
{
	static uint8_t bytes[2 * 10001];
	struct pb_field f;

	for (size_t depth = 9999; depth <= 10001; depth++) {
		struct pb_reader r = pb_reader_of(slice_of(bytes, 2 * depth));

		memset(bytes, 0x0b, depth);
		memset(bytes + depth, 0x0c, depth);
		assert_false(pb_next(&r, &f));
		assert_int_equal(r.failed, depth > 10000);
	}
}

static void test_writers(void **state)
{
	struct buf b;
	size_t mark;

	buf_init(&b, 1 << 20);
	pb_put_uint(&b, 1, 0);
	pb_put_bytes(&b, 2, (struct slice){0});
	assert_int_equal(b.size, 0);
	pb_put_uint_always(&b, 1, 0);
	pb_put_bytes_always(&b, 2, (struct slice){0});
	pb_put_uint(&b, 100, 300);
	pb_put_bytes(&b, 1, SLICE_LIT("ab"));
	assert_bytes(buf_slice(&b), hex("0800 1200 a006ac02 0a026162"));

	buf_clear(&b);
	mark = pb_begin(&b, 3);
	pb_end(&b, mark);
	assert_bytes(buf_slice(&b), hex("1a00"));
	buf_fini(&b);
}

static void test_nested_length_grows(void **state)
{
	static const size_t sizes[] = {1, 127, 128, 16383, 16384, 2097152};
	static uint8_t bytes[2097152];

	memset(bytes, 'x', sizeof(bytes));
	for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
		struct pb_reader r;
		struct pb_field f;
		struct buf b;
		size_t mark;

		buf_init(&b, 4 << 20);
		mark = pb_begin(&b, 100);
		buf_put(&b, bytes, sizes[i]);
		pb_end(&b, mark);
		pb_put_uint(&b, 1, 7);
		r = pb_reader_of(buf_slice(&b));
		assert_true(pb_next(&r, &f) && f.number == 100 && f.wire == PB_BYTES);
		assert_true(f.bytes.size == sizes[i] && memcmp(f.bytes.data, bytes, sizes[i]) == 0);
		assert_true(pb_next(&r, &f) && f.number == 1 && f.value == 7);
		assert_false(pb_next(&r, &f) || r.failed);
		buf_fini(&b);
	}
}

static void test_full_buffer_keeps_its_error(void **state)
{
	struct buf b;
	size_t mark;

	buf_init(&b, 3);
	mark = pb_begin(&b, 1);
	pb_put_bytes(&b, 2, SLICE_LIT("long"));
	pb_end(&b, mark);
	assert_true(buf_failed(&b));
	buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_varints), cmocka_unit_test(test_varints_amid_input),
		cmocka_unit_test(test_varint_beyond_64_bits),
		cmocka_unit_test(test_fields), cmocka_unit_test(test_group_depth), cmocka_unit_test(test_writers),
		cmocka_unit_test(test_nested_length_grows), cmocka_unit_test(test_full_buffer_keeps_its_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
