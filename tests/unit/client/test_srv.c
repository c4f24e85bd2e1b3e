/* SRV answers, put together by hand from RFC 1035 and RFC 2782. */
#include "base/buf.h"
#include "base/endian.h"
#include "client/srv.h"
#include "tests/lib/test.h"

enum { TYPE_A = 1, TYPE_SRV = 33, CLASS_IN = 1, POINTER_TO_QUESTION = 0xc00c };

static void u16(struct buf *b, unsigned v)
{
	uint8_t bytes[2];

	be16_put(bytes, (uint16_t)v);
	buf_put(b, bytes, 2);
}

/* "e1.example" as labels. */
static void name(struct buf *b, const char *s)
{
	while (*s) {
		size_t n = strcspn(s, ".");

		buf_put_byte(b, (uint8_t)n);
		buf_put(b, s, n);
		s += n + (s[n] == '.');
	}
	buf_put_byte(b, 0);
}

static void header(struct buf *b, unsigned answers)
{
	buf_init(b, 1 << 16);
	u16(b, 7);
	u16(b, 0x8180);
	u16(b, 1);
	u16(b, answers);
	u16(b, 0);
	u16(b, 0);
	name(b, "_etcd-client._tcp.example");
	u16(b, TYPE_SRV);
	u16(b, CLASS_IN);
}

static void record(struct buf *b, unsigned type, unsigned priority, unsigned weight, unsigned port, const char *target)
{
	size_t length_at;

	u16(b, POINTER_TO_QUESTION);
	u16(b, type);
	u16(b, CLASS_IN);
	u16(b, 0);
	u16(b, 60);
	length_at = b->size;
	u16(b, 0);
	u16(b, priority);
	u16(b, weight);
	u16(b, port);
	name(b, target);
	be16_put(b->data + length_at, (uint16_t)(b->size - length_at - 2));
}

static void test_order(void **state)
{
	struct srv_record out[8];
	struct buf b;

	header(&b, 4);
	record(&b, TYPE_SRV, 20, 0, 1, "last.example");
	record(&b, TYPE_SRV, 10, 1, 2, "light.example");
	record(&b, TYPE_A, 0, 0, 0, "no.srv");
	record(&b, TYPE_SRV, 10, 9, 2379, "heavy.example");
	assert_int_equal(srv_parse(b.data, b.size, out, 8), 3);
	assert_string_equal(out[0].target, "heavy.example");
	assert_int_equal(out[0].port, 2379);
	assert_string_equal(out[1].target, "light.example");
	assert_string_equal(out[2].target, "last.example");
	assert_int_equal(srv_parse(b.data, b.size, out, 1), 1);
	buf_fini(&b);
}

static void test_damaged(void **state)
{
	struct srv_record out[8];
	struct buf b;

	header(&b, 1);
	record(&b, TYPE_SRV, 1, 1, 1, "a.example");
	for (size_t size = 0; size < b.size; size++)
		assert_int_equal(srv_parse(b.data, size, out, 8), 0);
	assert_int_equal(srv_parse(b.data, b.size, out, 8), 1);
	buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_order),
	    cmocka_unit_test(test_damaged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
