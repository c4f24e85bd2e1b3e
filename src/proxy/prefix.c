/* Field numbers: rpc.proto, kv.proto. */
#include "proxy/prefix.h"

#include "pb/wire.h"

enum { DEPTH_MAX = 200 };

enum change { CHANGE_NONE, CHANGE_KEY, CHANGE_END, CHANGE_ENTER };

struct shape;

struct field_rule {
	uint32_t number;
	enum change change;
	const struct shape *inner;
};

struct shape {
	struct field_rule rules[4];
	bool has_key; /* a request whose key (the first rule) gets the prefix even when it is empty, and so left out */
};

static const struct shape range_request = {{{1, CHANGE_KEY}, {2, CHANGE_END}}, true};
static const struct shape put_request = {{{1, CHANGE_KEY}}, true};
static const struct shape delete_request = {{{1, CHANGE_KEY}, {2, CHANGE_END}}, true};
static const struct shape compare = {{{3, CHANGE_KEY}, {64, CHANGE_END}}, true};
static const struct shape txn_request;
static const struct shape request_op = {{{1, CHANGE_ENTER, &range_request}, {2, CHANGE_ENTER, &put_request},
					 {3, CHANGE_ENTER, &delete_request}, {4, CHANGE_ENTER, &txn_request}}};
static const struct shape txn_request = {{{1, CHANGE_ENTER, &compare}, {2, CHANGE_ENTER, &request_op}, {3, CHANGE_ENTER, &request_op}}};
static const struct shape watch_create = {{{1, CHANGE_KEY}, {2, CHANGE_END}}, true};
static const struct shape watch_request = {{{1, CHANGE_ENTER, &watch_create}}};

static const struct shape key_value = {{{1, CHANGE_KEY}}};
static const struct shape range_response = {{{2, CHANGE_ENTER, &key_value}}};
static const struct shape put_response = {{{2, CHANGE_ENTER, &key_value}}};
static const struct shape delete_response = {{{3, CHANGE_ENTER, &key_value}}};
static const struct shape txn_response;
static const struct shape response_op = {{{1, CHANGE_ENTER, &range_response}, {2, CHANGE_ENTER, &put_response},
					  {3, CHANGE_ENTER, &delete_response}, {4, CHANGE_ENTER, &txn_response}}};
static const struct shape txn_response = {{{3, CHANGE_ENTER, &response_op}}};
static const struct shape event = {{{2, CHANGE_ENTER, &key_value}, {3, CHANGE_ENTER, &key_value}}};
static const struct shape watch_response = {{{11, CHANGE_ENTER, &event}}};
static const struct shape lease_response = {{{5, CHANGE_KEY}}};

static const struct {
	enum rpc rpc;
	const struct shape *request, *response;
} shapes[] = {
	{RPC_RANGE, &range_request, &range_response},
	{RPC_PUT, &put_request, &put_response},
	{RPC_DELETE_RANGE, &delete_request, &delete_response},
	{RPC_TXN, &txn_request, &txn_response},
	{RPC_WATCH, &watch_request, &watch_response},
	{RPC_LEASE_TIME_TO_LIVE, NULL, &lease_response},
};

void prefix_init(struct prefix *p, struct slice bytes, uint8_t *end)
{
	size_t size = bytes.size;

	p->bytes = bytes;
	memcpy(end, bytes.data, size);
	while (size && end[size - 1] == 0xff)
		size--;
	if (size)
		end[size - 1]++;
	else
		end[size++] = 0; /* all bytes are 0xff: nothing is behind them */
	p->end = slice_of(end, size);
}

static void put_prefixed(const struct prefix *p, uint32_t number, struct slice key, struct buf *out)
{
	pb_put_varint(out, (uint64_t)number << 3 | PB_BYTES);
	pb_put_varint(out, p->bytes.size + key.size);
	buf_put_slice(out, p->bytes);
	buf_put_slice(out, key);
}

static void put_end(const struct prefix *p, uint32_t number, struct slice end, struct buf *out)
{
	if (end.size == 1 && end.data[0] == 0)
		pb_put_bytes(out, number, p->end);
	else if (end.size)
		put_prefixed(p, number, end, out);
}

void prefix_key(const struct prefix *p, struct slice key, struct buf *out)
{
	buf_put_slice(out, p->bytes);
	buf_put_slice(out, key);
}

void prefix_range_end(const struct prefix *p, struct slice end, struct buf *out)
{
	if (end.size == 1 && end.data[0] == 0)
		buf_put_slice(out, p->end);
	else if (end.size)
		prefix_key(p, end, out);
}

static struct slice without(const struct prefix *p, struct slice key)
{
	if (!slice_has_prefix(key, p->bytes))
		return key;
	return slice_of(key.data + p->bytes.size, key.size - p->bytes.size);
}

static const struct field_rule *rule_for(const struct shape *s, const struct pb_field *f)
{
	for (size_t i = 0; f->wire == PB_BYTES && i < ARRAY_COUNT(s->rules); i++)
		if (s->rules[i].number == f->number)
			return &s->rules[i];
	return NULL;
}

static err_t rewrite(const struct prefix *p, const struct shape *s, bool is_request, struct slice in, struct buf *out, int depth)
{
	struct pb_reader r = pb_reader_of(in);
	struct pb_field f;
	const uint8_t *start = r.at;
	bool had_key = false;
	err_t err = OK;
	size_t mark;

	if (depth > DEPTH_MAX)
		return ERR_TOO_MANY_OPS;
	for (; !err && pb_next(&r, &f); start = r.at) {
		const struct field_rule *rule = rule_for(s, &f);

		switch (rule ? rule->change : CHANGE_NONE) {
		case CHANGE_NONE:
			buf_put(out, start, (size_t)(r.at - start));
			break;
		case CHANGE_KEY:
			had_key = true;
			if (is_request)
				put_prefixed(p, f.number, f.bytes, out);
			else
				pb_put_bytes_always(out, f.number, without(p, f.bytes));
			break;
		case CHANGE_END:
			put_end(p, f.number, f.bytes, out);
			break;
		case CHANGE_ENTER:
			mark = pb_begin(out, f.number);
			err = rewrite(p, rule->inner, is_request, f.bytes, out, depth + 1);
			pb_end(out, mark);
			break;
		}
	}
	if (!err && r.failed)
		err = ERR_MALFORMED;
	if (!err && is_request && s->has_key && !had_key)
		put_prefixed(p, s->rules[0].number, (struct slice){0}, out);
	return err;
}

static size_t row_of(enum rpc rpc)
{
	size_t i = 0;

	while (i < ARRAY_COUNT(shapes) && shapes[i].rpc != rpc)
		i++;
	return i;
}

bool prefix_concerns(enum rpc rpc)
{
	return row_of(rpc) < ARRAY_COUNT(shapes);
}

static err_t either(const struct prefix *p, const struct shape *s, bool is_request, struct slice in, struct buf *out)
{
	if (s)
		return rewrite(p, s, is_request, in, out, 0);
	buf_put_slice(out, in);
	return OK;
}

err_t prefix_request(const struct prefix *p, enum rpc rpc, struct slice in, struct buf *out)
{
	return either(p, shapes[row_of(rpc)].request, true, in, out);
}

err_t prefix_response(const struct prefix *p, enum rpc rpc, struct slice in, struct buf *out)
{
	return either(p, shapes[row_of(rpc)].response, false, in, out);
}
