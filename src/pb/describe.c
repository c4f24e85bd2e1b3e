#include "pb/describe.h"

#include <inttypes.h>

enum { TXN_DEPTH_SHOWN = 8 };

/* A byte string as protobuf's text format quotes it. */
static void put_quoted(struct buf *out, const char *name, struct slice s)
{
	buf_printf(out, "%s:\"", name);
	for (size_t i = 0; i < s.size && !buf_failed(out); i++) {
		uint8_t c = s.data[i];

		if (c == '\n')
			buf_printf(out, "\\n");
		else if (c == '\r')
			buf_printf(out, "\\r");
		else if (c == '\t')
			buf_printf(out, "\\t");
		else if (c == '"' || c == '\\')
			buf_printf(out, "\\%c", c);
		else if (c >= 0x20 && c < 0x7f)
			buf_put_byte(out, c);
		else
			buf_printf(out, "\\%03o", c);
	}
	buf_put_byte(out, '"');
}

/* Fields stand one blank apart; the first has none in front. */
struct fields {
	struct buf *out;
	bool any;
};

static void gap(struct fields *f)
{
	if (f->any)
		buf_put_byte(f->out, ' ');
	f->any = true;
}

static void field_bytes(struct fields *f, const char *name, struct slice s)
{
	if (!s.size)
		return;
	gap(f);
	put_quoted(f->out, name, s);
}

static void field_int(struct fields *f, const char *name, int64_t v)
{
	if (!v)
		return;
	gap(f);
	buf_printf(f->out, "%s:%" PRId64, name, v);
}

static void field_true(struct fields *f, const char *name, bool v)
{
	if (!v)
		return;
	gap(f);
	buf_printf(f->out, "%s:true", name);
}

/* 0 is left out; a number without a name is shown as it is. */
static void field_enum(struct fields *f, const char *name, const char *const *names, size_t count, int32_t v)
{
	if (v > 0 && (size_t)v < count) {
		gap(f);
		buf_printf(f->out, "%s:%s", name, names[v]);
	} else {
		field_int(f, name, v);
	}
}

void describe_range(const struct range_req *q, struct buf *out)
{
	static const char *const orders[] = {"NONE", "ASCEND", "DESCEND"};
	static const char *const targets[] = {"KEY", "VERSION", "CREATE", "MOD", "VALUE"};
	struct fields f = {out, false};

	field_bytes(&f, "key", q->key);
	field_bytes(&f, "range_end", q->range_end);
	field_int(&f, "limit", q->limit);
	field_int(&f, "revision", q->revision);
	field_enum(&f, "sort_order", orders, ARRAY_COUNT(orders), q->sort_order);
	field_enum(&f, "sort_target", targets, ARRAY_COUNT(targets), q->sort_target);
	field_true(&f, "serializable", q->serializable);
	field_true(&f, "keys_only", q->keys_only);
	field_true(&f, "count_only", q->count_only);
	field_int(&f, "min_mod_revision", q->min_mod_rev);
	field_int(&f, "max_mod_revision", q->max_mod_rev);
	field_int(&f, "min_create_revision", q->min_create_rev);
	field_int(&f, "max_create_revision", q->max_create_rev);
}

/* Upstream's shape for what it redacts: a blank behind each field. */
void describe_put(const struct put_req *q, struct buf *out)
{
	struct fields f = {out, false};

	field_bytes(&f, "key", q->key);
	field_int(&f, "value_size", (int64_t)q->value.size);
	field_int(&f, "lease", q->lease);
	field_true(&f, "prev_kv", q->prev_kv);
	field_true(&f, "ignore_value", q->ignore_value);
	field_true(&f, "ignore_lease", q->ignore_lease);
	buf_put_byte(out, ' ');
}

void describe_delete(const struct delete_req *q, struct buf *out)
{
	struct fields f = {out, false};

	field_bytes(&f, "key", q->key);
	field_bytes(&f, "range_end", q->range_end);
	field_true(&f, "prev_kv", q->prev_kv);
}

static void describe_compare(const struct compare *c, struct buf *out)
{
	static const char *const results[] = {"EQUAL", "GREATER", "LESS", "NOT_EQUAL"};
	static const char *const targets[] = {"VERSION", "CREATE", "MOD", "VALUE", "LEASE"};
	static const char *const numbers[] = {[CMP_UNION_VERSION] = "version", [CMP_UNION_CREATE] = "create_revision",
					      [CMP_UNION_MOD] = "mod_revision", [CMP_UNION_LEASE] = "lease"};
	struct fields f = {out, false};

	field_enum(&f, "result", results, ARRAY_COUNT(results), c->result);
	field_enum(&f, "target", targets, ARRAY_COUNT(targets), c->target);
	field_bytes(&f, "key", c->key);
	if (c->which == CMP_UNION_VALUE) {
		field_int(&f, "value_size", (int64_t)c->value.size);
		field_bytes(&f, "range_end", c->range_end);
		buf_put_byte(out, ' ');
		return;
	}
	if (c->which != CMP_UNION_NONE) {
		gap(&f);
		buf_printf(out, "%s:%" PRId64, numbers[c->which], c->number);
	}
	field_bytes(&f, "range_end", c->range_end);
}

static void txn_at(const struct txn_req *t, struct buf *out, unsigned depth);

static void describe_op(const struct request_op *op, struct buf *out, unsigned depth)
{
	switch (op->kind) {
	case OP_RANGE:
		buf_printf(out, "request_range:{");
		describe_range(&op->range, out);
		buf_put_byte(out, '}');
		break;
	case OP_PUT:
		buf_printf(out, "request_put:<");
		describe_put(&op->put, out);
		buf_put_byte(out, '>');
		break;
	case OP_DELETE:
		buf_printf(out, "request_delete_range:{");
		describe_delete(&op->del, out);
		buf_put_byte(out, '}');
		break;
	case OP_TXN:
		buf_printf(out, "request_txn:<");
		if (depth < TXN_DEPTH_SHOWN)
			txn_at(op->txn, out, depth + 1);
		else
			buf_printf(out, "...");
		buf_put_byte(out, '>');
		break;
	case OP_NONE:
		break;
	}
}

static void describe_ops(const char *name, const struct request_op *ops, size_t count, struct buf *out, unsigned depth)
{
	buf_printf(out, " %s:<", name);
	for (size_t i = 0; i < count && !buf_failed(out); i++) {
		if (i)
			buf_put_byte(out, ' ');
		describe_op(&ops[i], out, depth);
	}
	buf_put_byte(out, '>');
}

static void txn_at(const struct txn_req *t, struct buf *out, unsigned depth)
{
	buf_printf(out, "compare:<");
	for (size_t i = 0; i < t->compare_count && !buf_failed(out); i++) {
		if (i)
			buf_put_byte(out, ' ');
		describe_compare(&t->compares[i], out);
	}
	buf_put_byte(out, '>');
	describe_ops("success", t->success, t->success_count, out, depth);
	describe_ops("failure", t->failure, t->failure_count, out, depth);
}

void describe_txn(const struct txn_req *t, struct buf *out)
{
	txn_at(t, out, 0);
}

/* ---- log entries ---- */

static void describe_header(const struct internal_req *r, char open, char close, struct buf *out)
{
	buf_printf(out, "header:%cID:%" PRIu64, open, r->id);
	if (r->username.size)
		put_quoted(out, " username", r->username);
	if (r->auth_revision)
		buf_printf(out, " auth_revision:%" PRIu64, r->auth_revision);
	buf_printf(out, "%c ", close);
}

void describe_entry(struct arena *a, struct slice entry, const char *name, struct buf *out)
{
	struct internal_req r;
	union {
		struct put_req put;
		struct delete_req del;
		struct txn_req txn;
		struct compact_req compact;
		struct lease_grant_req grant;
		struct lease_revoke_req revoke;
	} q;

	if (internal_req_parse(entry, &r))
		return;
	switch (r.field) {
	case REQ_PUT:
		if (put_req_parse(r.body, &q.put))
			return;
		describe_header(&r, '<', '>', out);
		buf_printf(out, "put:<");
		describe_put(&q.put, out);
		buf_put_byte(out, '>');
		break;
	case REQ_DELETE_RANGE:
		if (delete_req_parse(r.body, &q.del))
			return;
		describe_header(&r, '{', '}', out);
		buf_printf(out, "delete_range:{");
		describe_delete(&q.del, out);
		buf_put_byte(out, '}');
		break;
	case REQ_TXN:
		if (txn_req_parse(a, r.body, &q.txn))
			return;
		describe_header(&r, '<', '>', out);
		buf_printf(out, "txn:<");
		describe_txn(&q.txn, out);
		buf_put_byte(out, '>');
		break;
	case REQ_COMPACTION:
		if (compact_req_parse(r.body, &q.compact))
			return;
		describe_header(&r, '{', '}', out);
		buf_printf(out, "compaction:{revision:%" PRId64 "%s}", q.compact.revision, q.compact.physical ? " physical:true" : "");
		break;
	case REQ_LEASE_GRANT:
		if (lease_grant_req_parse(r.body, &q.grant))
			return;
		describe_header(&r, '<', '>', out);
		buf_printf(out, "lease_grant:<ttl:%" PRId64 "-second id:%016" PRIx64 ">", q.grant.ttl, (uint64_t)q.grant.id);
		break;
	case REQ_LEASE_REVOKE:
		if (lease_revoke_req_parse(r.body, &q.revoke))
			return;
		describe_header(&r, '<', '>', out);
		buf_printf(out, "lease_revoke:<id:%016" PRIx64 ">", (uint64_t)q.revoke.id);
		break;
	default:
		/* Names, passwords and the like stay out. */
		describe_header(&r, '{', '}', out);
		buf_printf(out, "%s:{size:%zu}", name, r.body.size);
		break;
	}
}
