/* TxnRequest {compare 1, success 2, failure 3}; RequestOp is a oneof of four. A txn may hold txns, so whoever sends
 * one chooses the depth: nested ones wait in a list and are parsed by a loop, never by recursion. */
#include "pb/rpc_inl.h"

enum { TXN_COMPARE = 1, TXN_SUCCESS = 2, TXN_FAILURE = 3 };
enum { COMPARE_RESULT = 1, COMPARE_TARGET = 2, COMPARE_KEY = 3, COMPARE_RANGE_END = 64 };

/* A txn whose encoded bytes are known and whose arrays are not yet filled. */
struct pending {
	struct pending *next;
	struct slice bytes;
	struct txn_req *txn;
	unsigned depth;
};

struct txn_parser {
	struct arena *arena;
	struct pending *todo;
	unsigned depth;         /* of the txn being filled; the outermost has 1 */
};

static err_t compare_parse(struct slice s, struct compare *out)
{
	struct pb_reader r = pb_reader_of(s);
	struct pb_field f;

	while (field_read(&r, &f)) {
		switch (field_key(&f)) {
		case FIELD_KEY(COMPARE_RESULT, PB_VARINT): out->result = (int32_t)f.value; break;
		case FIELD_KEY(COMPARE_TARGET, PB_VARINT): out->target = (int32_t)f.value; break;
		case FIELD_KEY(COMPARE_KEY, PB_BYTES): out->key = f.bytes; break;
		case FIELD_KEY(COMPARE_RANGE_END, PB_BYTES): out->range_end = f.bytes; break;
		case FIELD_KEY(CMP_UNION_VERSION, PB_VARINT):
		case FIELD_KEY(CMP_UNION_CREATE, PB_VARINT):
		case FIELD_KEY(CMP_UNION_MOD, PB_VARINT):
		case FIELD_KEY(CMP_UNION_LEASE, PB_VARINT):
			out->which = (enum compare_union)f.number;
			out->number = (int64_t)f.value;
			out->value = (struct slice){0};
			break;
		case FIELD_KEY(CMP_UNION_VALUE, PB_BYTES):
			out->which = CMP_UNION_VALUE;
			out->number = 0;
			out->value = f.bytes;
			break;
		}
	}
	return r.failed ? ERR_MALFORMED : OK;
}

/* The two occurrences of one txn behind each other: parsing that is merging them. The first has to end with a whole field,
 * or its last one would reach into the second. */
static err_t join(struct arena *a, struct slice *first, struct slice second)
{
	struct pb_reader r = pb_reader_of(*first);
	struct pb_field f;
	uint8_t *both;

	while (field_read(&r, &f))
		;
	if (r.failed)
		return ERR_MALFORMED;
	both = arena_alloc(a, first->size + second.size);
	if (!both)
		return ERR_TOO_LARGE;
	if (first->size)
		memcpy(both, first->data, first->size);
	if (second.size)
		memcpy(both + first->size, second.data, second.size);
	*first = slice_of(both, first->size + second.size);
	return OK;
}

static err_t txn_later(struct txn_parser *p, struct slice bytes, struct txn_req **out)
{
	struct pending *n;

	if (p->depth >= RPC_TXN_DEPTH_MAX)
		return ERR_INVALID;
	n = arena_alloc(p->arena, sizeof(*n));
	*out = arena_alloc(p->arena, sizeof(**out));
	if (!n || !*out)
		return ERR_TOO_LARGE;
	*n = (struct pending){.next = p->todo, .bytes = bytes, .txn = *out, .depth = p->depth + 1};
	p->todo = n;
	return OK;
}

static err_t op_merge(struct request_op *op, struct slice bytes)
{
	switch (op->kind) {
	case OP_RANGE: return range_req_merge(bytes, &op->range);
	case OP_PUT: return put_req_merge(bytes, &op->put);
	case OP_DELETE: return delete_req_merge(bytes, &op->del);
	default: return OK;
	}
}

/* Another member of the oneof replaces what op holds. A txn that goes is parsed nevertheless: if it is malformed, so is
 * the whole. */
static err_t op_replace(struct txn_parser *p, enum op_kind kind, struct slice txn, struct request_op *op)
{
	struct txn_req *gone;
	err_t err = op->kind == OP_TXN ? txn_later(p, txn, &gone) : OK;

	*op = (struct request_op){.kind = kind};
	return err;
}

static err_t op_parse(struct txn_parser *p, struct slice s, struct request_op *op)
{
	struct pb_reader r = pb_reader_of(s);
	struct slice txn = {0};
	struct pb_field f;
	err_t err = OK;

	while (!err && field_read(&r, &f)) {
		if (f.wire != PB_BYTES || f.number < OP_RANGE || f.number > OP_TXN)
			continue;
		if ((uint32_t)op->kind != f.number) {
			err = op_replace(p, (enum op_kind)f.number, txn, op);
			txn = f.bytes;
		} else if (op->kind == OP_TXN) {
			err = join(p->arena, &txn, f.bytes);
		}
		if (!err)
			err = op_merge(op, f.bytes);
	}
	if (r.failed)
		err = ERR_MALFORMED;
	if (!err && op->kind == OP_TXN)
		err = txn_later(p, txn, &op->txn);
	return err;
}

/* Allocates the three arrays of t for what bytes hold. */
static err_t txn_make_room(struct txn_parser *p, struct slice bytes, struct txn_req *t)
{
	struct pb_reader r = pb_reader_of(bytes);
	struct pb_field f;

	while (field_read(&r, &f)) {
		t->compare_count += field_is(&f, TXN_COMPARE, PB_BYTES);
		t->success_count += field_is(&f, TXN_SUCCESS, PB_BYTES);
		t->failure_count += field_is(&f, TXN_FAILURE, PB_BYTES);
	}
	if (r.failed)
		return ERR_MALFORMED;
	t->compares = arena_alloc_array(p->arena, t->compare_count, sizeof(*t->compares));
	t->success = arena_alloc_array(p->arena, t->success_count, sizeof(*t->success));
	t->failure = arena_alloc_array(p->arena, t->failure_count, sizeof(*t->failure));
	return t->compares && t->success && t->failure ? OK : ERR_TOO_LARGE;
}

static err_t txn_fill(struct txn_parser *p, struct slice bytes, struct txn_req *t)
{
	struct pb_reader r = pb_reader_of(bytes);
	size_t compares = 0, success = 0, failure = 0;
	err_t err = txn_make_room(p, bytes, t);
	struct pb_field f;

	while (!err && field_read(&r, &f)) {
		if (f.wire != PB_BYTES)
			continue;
		switch (f.number) {
		case TXN_COMPARE: err = compare_parse(f.bytes, &t->compares[compares++]); break;
		case TXN_SUCCESS: err = op_parse(p, f.bytes, &t->success[success++]); break;
		case TXN_FAILURE: err = op_parse(p, f.bytes, &t->failure[failure++]); break;
		}
	}
	return err;
}

err_t txn_req_parse(struct arena *a, struct slice s, struct txn_req *out)
{
	struct txn_parser p = {.arena = a, .depth = 1};
	struct txn_req t = {0};
	err_t err = txn_fill(&p, s, &t);

	while (!err && p.todo) {
		struct pending *n = p.todo;

		p.todo = n->next;
		p.depth = n->depth;
		err = txn_fill(&p, n->bytes, n->txn);
	}
	if (!err)
		*out = t;
	return err;
}

static bool all_ranges(const struct request_op *ops, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (ops[i].kind != OP_RANGE)
			return false;
	return true;
}

bool txn_req_is_read_only(const struct txn_req *t)
{
	return all_ranges(t->success, t->success_count) && all_ranges(t->failure, t->failure_count);
}
