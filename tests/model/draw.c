#include "draw.h"

#include <stdlib.h>

enum { DRAW_DEPTH_MAX = 3 };

uint64_t draw_below(struct draw *d, uint64_t end)
{
	return rng_below(&d->rng, end);
}

bool draw_one_in(struct draw *d, uint64_t n)
{
	return draw_below(d, n) == 0;
}

static struct slice copy(struct draw *d, const void *data, size_t size)
{
	uint8_t *p = arena_alloc(&d->arena, size + 1);

	ASSERT(p);
	memcpy(p, data, size);
	return slice_of(p, size);
}

/* Keys that share beginnings, long ones too, with zeros and 0xff inside and at the end. */
static struct slice draw_new_key(struct draw *d)
{
	static const char *const roots[] = {
	    "", "a", "/registry/pods/kube-system/", "/registry/pods/", "\xff\xff", "0123456789abcdef"};
	static const uint8_t letters[] = {0, 1, 'a', 'b', 'c', 0xff};
	uint8_t key[64];
	const char *root = roots[draw_below(d, ARRAY_COUNT(roots))];
	size_t size = strlen(root), more = 1 + draw_below(d, draw_one_in(d, 4) ? 20 : 4);

	memcpy(key, root, size);
	while (more--)
		key[size++] = letters[draw_below(d, sizeof(letters))];
	return copy(d, key, size);
}

static int by_slice(const void *a, const void *b)
{
	return slice_cmp(*(const struct slice *)a, *(const struct slice *)b);
}

struct slice draw_key(struct draw *d)
{
	/* some are used much more than others: long histories */
	return d->keys[draw_one_in(d, 3) ? draw_below(d, 6) * 7 : draw_below(d, DRAW_KEYS)];
}

static struct slice draw_value(struct draw *d)
{
	uint8_t value[400];
	size_t size = draw_one_in(d, 20) ? draw_below(d, sizeof(value)) : draw_below(d, 12);

	for (size_t i = 0; i < size; i++)
		value[i] = (uint8_t)('a' + draw_below(d, 3));
	return copy(d, value, size);
}

static struct slice draw_end(struct draw *d)
{
	switch (draw_below(d, 8)) {
	case 0:
		/* rarely: a delete of everything leaves little to compare */
		return draw_one_in(d, 4) ? slice_of("\0", 1) : (struct slice){0};
	case 1:
		return draw_new_key(d);
	case 2:
	case 3:
		return draw_key(d);
	default:
		return (struct slice){0};
	}
}

int64_t draw_rev(struct draw *d)
{
	int64_t low = MAX(d->t->compact_rev, 1) - 1;

	return low + (int64_t)draw_below(d, (uint64_t)(d->t->rev - low + 2));
}

int64_t draw_lease(struct draw *d)
{
	return draw_one_in(d, 4) ? 1 + (int64_t)draw_below(d, (uint64_t)d->lease_count + 1) : 0;
}

struct range_req draw_range(struct draw *d)
{
	struct range_req r = {.key = draw_one_in(d, 6) ? slice_of("\0", 1) : draw_key(d), .range_end = draw_end(d)};

	if (draw_one_in(d, 2))
		r.revision = draw_rev(d);
	if (draw_one_in(d, 3))
		r.limit = (int64_t)draw_below(d, 12) - 1;
	if (draw_one_in(d, 3)) {
		r.sort_order = (int32_t)draw_below(d, 3);
		r.sort_target = (int32_t)draw_below(d, 5);
	}
	r.keys_only = draw_one_in(d, 4);
	r.count_only = draw_one_in(d, 8);
	if (draw_one_in(d, 5)) {
		r.min_mod_rev = draw_one_in(d, 2) ? draw_rev(d) : 0;
		r.max_mod_rev = draw_one_in(d, 2) ? draw_rev(d) : 0;
		r.min_create_rev = draw_one_in(d, 2) ? draw_rev(d) : 0;
		r.max_create_rev = draw_one_in(d, 2) ? draw_rev(d) : 0;
	}
	return r;
}

struct put_req draw_put(struct draw *d)
{
	struct put_req r = {.key = draw_key(d), .prev_kv = draw_one_in(d, 3)};

	r.ignore_value = draw_one_in(d, 10);
	r.ignore_lease = draw_one_in(d, 10);
	if (!r.ignore_value)
		r.value = draw_value(d);
	if (!r.ignore_lease)
		r.lease = draw_lease(d);
	return r;
}

struct delete_req draw_delete(struct draw *d)
{
	return (struct delete_req){
	    .key = draw_key(d), .range_end = draw_one_in(d, 3) ? draw_end(d) : (struct slice){0}, .prev_kv = draw_one_in(d, 3)};
}

static struct compare draw_compare(struct draw *d)
{
	static const enum compare_union members[] = {CMP_UNION_VERSION, CMP_UNION_CREATE, CMP_UNION_MOD,
						     CMP_UNION_VALUE, CMP_UNION_LEASE};
	struct compare c = {.result = (int32_t)draw_below(d, 5), .target = (int32_t)draw_below(d, 6), .key = draw_key(d)};

	c.range_end = draw_one_in(d, 4) ? draw_end(d) : (struct slice){0};
	c.which = draw_one_in(d, 6) ? members[draw_below(d, 5)] : c.target < 5 ? members[c.target] : CMP_UNION_NONE;
	if (c.which == CMP_UNION_VALUE)
		c.value = draw_value(d);
	else if (c.which == CMP_UNION_LEASE)
		c.number = draw_lease(d);
	else
		c.number = c.which == CMP_UNION_VERSION ? (int64_t)draw_below(d, 4) : draw_rev(d);
	return c;
}

static struct request_op draw_op(struct draw *d, unsigned depth, bool writes)
{
	struct request_op op = {.kind = OP_RANGE};
	uint64_t dice = writes ? draw_below(d, 10) : 0;

	if (dice < 3)
		op.range = draw_range(d);
	else if (dice < 7)
		op = (struct request_op){.kind = OP_PUT, .put = draw_put(d)};
	else if (dice < 9 || depth == DRAW_DEPTH_MAX)
		op = (struct request_op){.kind = OP_DELETE, .del = draw_delete(d)};
	else
		op = (struct request_op){.kind = OP_TXN, .txn = draw_txn(d, depth + 1, writes)};
	return op;
}

struct txn_req *draw_txn(struct draw *d, unsigned depth, bool writes)
{
	struct txn_req *t = arena_alloc(&d->arena, sizeof(*t));

	t->compare_count = draw_below(d, 3);
	t->success_count = draw_below(d, 5);
	t->failure_count = draw_below(d, 4);
	t->compares = arena_alloc(&d->arena, 8 * sizeof(t->compares[0]));
	t->success = arena_alloc(&d->arena, 8 * sizeof(t->success[0]));
	t->failure = arena_alloc(&d->arena, 8 * sizeof(t->failure[0]));
	for (size_t i = 0; i < t->compare_count; i++)
		t->compares[i] = draw_compare(d);
	for (size_t i = 0; i < t->success_count; i++)
		t->success[i] = draw_op(d, depth, writes);
	for (size_t i = 0; i < t->failure_count; i++)
		t->failure[i] = draw_op(d, depth, writes);
	return t;
}

/* ---- the keys ---- */

void draw_init(struct draw *d, uint64_t seed, const struct twin *t, int64_t lease_count)
{
	*d = (struct draw){.t = t, .lease_count = lease_count};
	rng_init(&d->rng, seed);
	arena_init(&d->arena, 1 << 20);
	for (size_t n = 0; n < DRAW_KEYS;) {
		bool known = false;

		d->keys[n] = draw_new_key(d);
		for (size_t i = 0; i < n; i++)
			known |= slice_eq(d->keys[i], d->keys[n]);
		n += !known;
	}
	qsort(d->keys, DRAW_KEYS, sizeof(d->keys[0]), by_slice);
	d->keys_arena = d->arena;
	arena_init(&d->arena, 16 << 20);
}

void draw_fini(struct draw *d)
{
	arena_fini(&d->arena);
	arena_fini(&d->keys_arena);
}

/* ---- as a client sends them ---- */

void draw_encode_range(const struct range_req *r, struct buf *out)
{
	pb_put_bytes(out, 1, r->key);
	pb_put_bytes(out, 2, r->range_end);
	pb_put_uint(out, 3, (uint64_t)r->limit);
	pb_put_uint(out, 4, (uint64_t)r->revision);
	pb_put_uint(out, 5, (uint64_t)r->sort_order);
	pb_put_uint(out, 6, (uint64_t)r->sort_target);
	pb_put_uint(out, 7, r->serializable);
	pb_put_uint(out, 8, r->keys_only);
	pb_put_uint(out, 9, r->count_only);
	pb_put_uint(out, 10, (uint64_t)r->min_mod_rev);
	pb_put_uint(out, 11, (uint64_t)r->max_mod_rev);
	pb_put_uint(out, 12, (uint64_t)r->min_create_rev);
	pb_put_uint(out, 13, (uint64_t)r->max_create_rev);
}

void draw_encode_put(const struct put_req *r, struct buf *out)
{
	pb_put_bytes(out, 1, r->key);
	pb_put_bytes(out, 2, r->value);
	pb_put_uint(out, 3, (uint64_t)r->lease);
	pb_put_uint(out, 4, r->prev_kv);
	pb_put_uint(out, 5, r->ignore_value);
	pb_put_uint(out, 6, r->ignore_lease);
}

void draw_encode_delete(const struct delete_req *r, struct buf *out)
{
	pb_put_bytes(out, 1, r->key);
	pb_put_bytes(out, 2, r->range_end);
	pb_put_uint(out, 3, r->prev_kv);
}

static void encode_compare(const struct compare *c, struct buf *out)
{
	pb_put_uint(out, 1, (uint64_t)c->result);
	pb_put_uint(out, 2, (uint64_t)c->target);
	pb_put_bytes(out, 3, c->key);
	if (c->which == CMP_UNION_VALUE)
		pb_put_bytes_always(out, CMP_UNION_VALUE, c->value);
	else if (c->which != CMP_UNION_NONE)
		pb_put_uint_always(out, (uint32_t)c->which, (uint64_t)c->number);
	pb_put_bytes(out, 64, c->range_end);
}

static void encode_ops(uint32_t number, const struct request_op *ops, size_t count, struct buf *out)
{
	for (size_t i = 0; i < count; i++) {
		size_t outer = pb_begin(out, number), inner = pb_begin(out, (uint32_t)ops[i].kind);

		switch (ops[i].kind) {
		case OP_RANGE: draw_encode_range(&ops[i].range, out); break;
		case OP_PUT: draw_encode_put(&ops[i].put, out); break;
		case OP_DELETE: draw_encode_delete(&ops[i].del, out); break;
		case OP_TXN: draw_encode_txn(ops[i].txn, out); break;
		case OP_NONE: UNREACHABLE();
		}
		pb_end(out, inner);
		pb_end(out, outer);
	}
}

void draw_encode_txn(const struct txn_req *t, struct buf *out)
{
	for (size_t i = 0; i < t->compare_count; i++) {
		size_t mark = pb_begin(out, 1);

		encode_compare(&t->compares[i], out);
		pb_end(out, mark);
	}
	encode_ops(2, t->success, t->success_count, out);
	encode_ops(3, t->failure, t->failure_count, out);
}
