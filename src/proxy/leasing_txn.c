#include "proxy/leasing_txn.h"

#include "pb/wire.h"
#include "proxy/interval.h"

static void put_key(const struct prefix *p, struct slice key, uint32_t number, struct buf *out)
{
	pb_put_varint(out, (uint64_t)number << 3 | PB_BYTES);
	pb_put_varint(out, p->bytes.size + key.size);
	prefix_key(p, key, out);
}

static void put_end(const struct prefix *p, struct slice end, uint32_t number, struct buf *out)
{
	if (interval_is_open(end))
		pb_put_bytes(out, number, p->end);
	else if (end.size)
		put_key(p, end, number, out);
}

enum { TXN_COMPARE = 1, COMPARE_RESULT = 1, COMPARE_TARGET = 2, COMPARE_KEY = 3, COMPARE_END = 64, PUT_KEY = 1, PUT_VALUE = 2, PUT_LEASE = 3,
       PUT_IGNORE_LEASE = 6 };

void leasing_txn_compare(const struct prefix *p, struct buf *out, bool of_leasing_key, struct slice key, struct slice end,
			enum compare_result result, enum compare_target target, enum compare_union which, int64_t number)
{
	size_t mark = pb_begin(out, TXN_COMPARE);

	pb_put_uint(out, COMPARE_RESULT, result);
	pb_put_uint(out, COMPARE_TARGET, target);
	if (of_leasing_key) {
		put_key(p, key, COMPARE_KEY, out);
		put_end(p, end, COMPARE_END, out);
	} else {
		pb_put_bytes(out, COMPARE_KEY, key);
	}
	pb_put_uint_always(out, which, (uint64_t)number);
	pb_end(out, mark);
}

void leasing_txn_op(struct buf *out, uint32_t branch, enum op_kind kind, struct slice request)
{
	size_t mark = pb_begin(out, branch);

	pb_put_bytes_always(out, kind, request);
	pb_end(out, mark);
}

void leasing_txn_put(const struct prefix *p, struct buf *out, uint32_t branch, struct slice key, struct slice value, int64_t lease)
{
	size_t op = pb_begin(out, branch), put = pb_begin(out, OP_PUT);

	put_key(p, key, PUT_KEY, out);
	pb_put_bytes(out, PUT_VALUE, value);
	pb_put_uint(out, PUT_LEASE, (uint64_t)lease);
	pb_put_uint(out, PUT_IGNORE_LEASE, !lease);
	pb_end(out, put);
	pb_end(out, op);
}

void leasing_txn_range(const struct prefix *p, struct buf *out, uint32_t branch, struct slice key, struct slice end)
{
	size_t op = pb_begin(out, branch), range = pb_begin(out, OP_RANGE);

	put_key(p, key, 1, out);
	put_end(p, end, 2, out);
	pb_end(out, range);
	pb_end(out, op);
}

void leasing_txn_delete(const struct prefix *p, struct buf *out, uint32_t branch, struct slice key)
{
	size_t op = pb_begin(out, branch), del = pb_begin(out, OP_DELETE);

	put_key(p, key, 1, out);
	pb_end(out, del);
	pb_end(out, op);
}

struct leasing_answer leasing_answer_read(struct slice body)
{
	struct pb_reader r = pb_reader_of(body);
	struct leasing_answer t = {.rest = body};
	struct pb_field f;

	while (pb_next(&r, &f)) {
		if (f.number == 1 && f.wire == PB_BYTES)
			t.header = f.bytes;
		else if (f.number == 2 && f.wire == PB_VARINT)
			t.succeeded = f.value;
	}
	return t;
}

struct slice leasing_answer_at(const struct leasing_answer *t, size_t i)
{
	struct pb_reader r = pb_reader_of(t->rest), inner;
	struct pb_field f;

	while (pb_next(&r, &f)) {
		if (f.number != 3 || f.wire != PB_BYTES || i--)
			continue;
		inner = pb_reader_of(f.bytes);
		if (pb_next(&inner, &f) && f.wire == PB_BYTES)
			return f.bytes;
		break;
	}
	return (struct slice){0};
}

struct kv leasing_kv(struct slice body)
{
	struct kv kv = {0};

	err_ignore(kv_decode(body, &kv));
	return kv;
}

bool leasing_next_kv(struct pb_reader *r, struct slice *out)
{
	struct pb_field f;

	while (pb_next(r, &f)) {
		if (f.number == 2 && f.wire == PB_BYTES) {
			*out = f.bytes;
			return true;
		}
	}
	return false;
}

struct slice leasing_first_kv(struct slice range_response)
{
	struct pb_reader r = pb_reader_of(range_response);
	struct slice kv = {0};

	leasing_next_kv(&r, &kv);
	return kv;
}

struct slice leasing_without_prefix(const struct prefix *p, struct slice key)
{
	return slice_has_prefix(key, p->bytes) ? slice_of(key.data + p->bytes.size, key.size - p->bytes.size) : key;
}

void leasing_range_answer(const struct range_req *q, struct slice header, struct slice kv_bytes, struct buf *out)
{
	enum { KV_VALUE = 5 };
	struct kv kv = leasing_kv(kv_bytes);
	struct pb_reader r = pb_reader_of(kv_bytes);
	bool shown = kv_bytes.size && !q->count_only && kv.mod_rev >= q->min_mod_rev && kv.create_rev >= q->min_create_rev &&
		     (!q->max_mod_rev || kv.mod_rev <= q->max_mod_rev) && (!q->max_create_rev || kv.create_rev <= q->max_create_rev);
	const uint8_t *start = r.at;
	struct pb_field f;
	size_t mark;

	pb_put_bytes_always(out, 1, header);
	if (shown) {
		mark = pb_begin(out, 2);
		for (; pb_next(&r, &f); start = r.at)
			if (!q->keys_only || f.number != KV_VALUE)
				buf_put(out, start, (size_t)(r.at - start));
		pb_end(out, mark);
	}
	pb_put_uint(out, 4, kv_bytes.size > 0);
}
