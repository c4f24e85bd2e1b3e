/* Expected messages are put together from the field numbers of rpc.proto. */
#include "pb/wire.h"
#include "proxy/prefix.h"
#include "tests/lib/test.h"

struct fixture {
	struct prefix p;
	uint8_t end[8];
	struct buf in, out, want;
};

static void begin(struct fixture *f, const char *prefix)
{
	prefix_init(&f->p, slice_str(prefix), f->end);
	buf_init(&f->in, 1 << 20);
	buf_init(&f->out, 1 << 20);
	buf_init(&f->want, 1 << 20);
}

static void end(struct fixture *f)
{
	buf_fini(&f->in);
	buf_fini(&f->out);
	buf_fini(&f->want);
}

static void check(struct fixture *f)
{
	assert_int_equal(f->out.size, f->want.size);
	assert_memory_equal(f->out.data, f->want.data, f->want.size);
}

static void test_the_end_of_a_prefix(void **state)
{
	static const struct {
		const char *prefix, *end;
		size_t size;
	} cases[] = {{"ns/", "ns0", 3}, {"a\xff", "b", 1}, {"\xff\xff", "\0", 1}};

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct fixture f;

		begin(&f, cases[i].prefix);
		assert_int_equal(f.p.end.size, cases[i].size);
		assert_memory_equal(f.p.end.data, cases[i].end, cases[i].size);
		end(&f);
	}
}

static void put_range(struct buf *b, const char *key, struct slice range_end)
{
	pb_put_bytes(b, 1, slice_str(key));
	pb_put_bytes(b, 2, range_end);
	pb_put_uint(b, 3, 7);
	pb_put_uint(b, 99, 1); /* not known here: passed on */
}

static void test_requests(void **state)
{
	static const struct {
		struct slice end, want;
	} cases[] = {{{0}, {0}}, {SLICE_LIT("z"), SLICE_LIT("ns/z")}, {SLICE_LIT("\0"), SLICE_LIT("ns0")}};

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct fixture f;

		begin(&f, "ns/");
		put_range(&f.in, "a", cases[i].end);
		put_range(&f.want, "ns/a", cases[i].want);
		assert_int_equal(prefix_request(&f.p, RPC_RANGE, buf_slice(&f.in), &f.out), OK);
		check(&f);
		end(&f);
	}
}

/* A txn within a txn: compare, put, delete. */
static void put_txn(struct buf *b, const char *key, int depth)
{
	size_t mark = pb_begin(b, 1), op;

	pb_put_uint(b, 1, 2);
	pb_put_bytes(b, 3, slice_str(key));
	pb_put_bytes(b, 7, SLICE_LIT("value"));
	pb_end(b, mark);
	mark = pb_begin(b, 2);
	op = pb_begin(b, 2);
	pb_put_bytes(b, 1, slice_str(key));
	pb_put_bytes(b, 2, SLICE_LIT("a value longer than what one byte of length could tell, so that the length of what is around it has to "
				     "move the bytes: a value longer than that"));
	pb_end(b, op);
	pb_end(b, mark);
	if (!depth)
		return;
	mark = pb_begin(b, 3);
	op = pb_begin(b, 4);
	put_txn(b, key, depth - 1);
	pb_end(b, op);
	pb_end(b, mark);
}

static void test_a_txn_at_every_depth(void **state)
{
	struct fixture f;

	begin(&f, "ns/");
	put_txn(&f.in, "k", 3);
	put_txn(&f.want, "ns/k", 3);
	assert_int_equal(prefix_request(&f.p, RPC_TXN, buf_slice(&f.in), &f.out), OK);
	check(&f);
	end(&f);
	begin(&f, "ns/");
	put_txn(&f.in, "k", 300);
	assert_int_equal(prefix_request(&f.p, RPC_TXN, buf_slice(&f.in), &f.out), ERR_TOO_MANY_OPS);
	end(&f);
}

static void test_an_empty_key_gets_the_prefix(void **state)
{
	struct fixture f;
	size_t mark;

	begin(&f, "ns/");
	mark = pb_begin(&f.in, 1);
	pb_put_bytes(&f.in, 2, SLICE_LIT("\0"));
	pb_end(&f.in, mark);
	mark = pb_begin(&f.want, 1);
	pb_put_bytes(&f.want, 2, SLICE_LIT("ns0"));
	pb_put_bytes(&f.want, 1, SLICE_LIT("ns/"));
	pb_end(&f.want, mark);
	assert_int_equal(prefix_request(&f.p, RPC_WATCH, buf_slice(&f.in), &f.out), OK);
	check(&f);
	end(&f);
}

static void put_watch_response(struct buf *b, const char *key, const char *before)
{
	size_t event, kv;

	pb_put_uint(b, 2, 3);
	event = pb_begin(b, 11);
	kv = pb_begin(b, 2);
	pb_put_bytes_always(b, 1, slice_str(key));
	pb_put_uint(b, 3, 9);
	pb_end(b, kv);
	kv = pb_begin(b, 3);
	pb_put_bytes_always(b, 1, slice_str(before));
	pb_end(b, kv);
	pb_end(b, event);
}

static void test_responses(void **state)
{
	struct fixture f;

	begin(&f, "ns/");
	put_watch_response(&f.in, "ns/a", "ns/");
	put_watch_response(&f.want, "a", "");
	assert_int_equal(prefix_response(&f.p, RPC_WATCH, buf_slice(&f.in), &f.out), OK);
	check(&f);
	end(&f);
}

static void test_broken_bytes(void **state)
{
	struct fixture f;

	begin(&f, "ns/");
	assert_int_equal(prefix_request(&f.p, RPC_PUT, SLICE_LIT("\x0a\x05"), &f.out), ERR_MALFORMED);
	assert_int_equal(prefix_response(&f.p, RPC_TXN, SLICE_LIT("\x1a\x02\x0a\x05"), &f.out), ERR_MALFORMED);
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_end_of_a_prefix),
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_a_txn_at_every_depth),
		cmocka_unit_test(test_an_empty_key_gets_the_prefix),
		cmocka_unit_test(test_responses),
		cmocka_unit_test(test_broken_bytes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
