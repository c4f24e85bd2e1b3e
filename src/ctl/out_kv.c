/* Printing what put, get, del, txn and watch return, in each form. */
#include <inttypes.h>

#include "ctl/ctl_impl.h"

int out_unsupported(const char *format)
{
	return ctl_fail(EXIT_FEATURE, "%s not supported as output format", format);
}

void out_protobuf(struct ctl *c, const ProtobufCMessage *m)
{
	pb_pack(m, &c->out);
}

int out_plain(struct ctl *c, const ProtobufCMessage *m, const Etcdserverpb__ResponseHeader *h, bool *done)
{
	*done = true;
	switch (c->format) {
	case OUT_TABLE:
		return out_unsupported("table");
	case OUT_JSON:
		json_print_message(c, m);
		break;
	case OUT_PROTOBUF:
		out_protobuf(c, m);
		break;
	case OUT_FIELDS:
		fields_header(c, h);
		break;
	default:
		*done = false;
	}
	return EXIT_OK;
}

/* True: the form is one of text, that is simple or fields. */
static bool is_text(struct ctl *c, const ProtobufCMessage *m, int *code)
{
	bool done;

	*code = EXIT_OK;
	if (c->format == OUT_FIELDS)
		return true;
	*code = out_plain(c, m, NULL, &done);
	return !done;
}

static void print_bytes(struct ctl *c, struct slice s)
{
	for (size_t i = 0; c->o.hex && i < s.size; i++)
		put(c, "\\x%02x", s.data[i]);
	if (!c->o.hex)
		buf_put_slice(&c->out, s);
	buf_put_byte(&c->out, '\n');
}

static void print_kv(struct ctl *c, const Mvccpb__KeyValue *kv)
{
	if (!c->value_only)
		print_bytes(c, pb_slice(kv->key));
	print_bytes(c, pb_slice(kv->value));
}

/* --- simple and fields, also as part of a txn --- */

static void put_text(struct ctl *c, const Etcdserverpb__PutResponse *r)
{
	if (c->format == OUT_FIELDS) {
		fields_header(c, r->header);
		if (r->prev_kv)
			fields_kv(c, "Prev", r->prev_kv);
		return;
	}
	put(c, "OK\n");
	if (r->prev_kv)
		print_kv(c, r->prev_kv);
}

static void get_text(struct ctl *c, const Etcdserverpb__RangeResponse *r)
{
	if (c->format == OUT_FIELDS)
		fields_header(c, r->header);
	for (size_t i = 0; i < r->n_kvs; i++) {
		if (c->format == OUT_FIELDS)
			fields_kv(c, "", r->kvs[i]);
		else
			print_kv(c, r->kvs[i]);
	}
	if (c->format == OUT_FIELDS)
		put(c, "\"More\" : %s\n\"Count\" : %" PRId64 "\n", r->more ? "true" : "false", r->count);
}

static void del_text(struct ctl *c, const Etcdserverpb__DeleteRangeResponse *r)
{
	if (c->format == OUT_FIELDS) {
		fields_header(c, r->header);
		put(c, "\"Deleted\" : %" PRId64 "\n", r->deleted);
	} else {
		put(c, "%" PRId64 "\n", r->deleted);
	}
	for (size_t i = 0; i < r->n_prev_kvs; i++) {
		if (c->format == OUT_FIELDS)
			fields_kv(c, "Prev", r->prev_kvs[i]);
		else
			print_kv(c, r->prev_kvs[i]);
	}
}

int out_put(struct ctl *c, const Etcdserverpb__PutResponse *r)
{
	int code;

	if (is_text(c, &r->base, &code))
		put_text(c, r);
	return code;
}

int out_get(struct ctl *c, const Etcdserverpb__RangeResponse *r)
{
	int code;

	if (is_text(c, &r->base, &code))
		get_text(c, r);
	return code;
}

int out_del(struct ctl *c, const Etcdserverpb__DeleteRangeResponse *r)
{
	int code;

	if (is_text(c, &r->base, &code))
		del_text(c, r);
	return code;
}

/* --- txn --- */

static void txn_json(struct out_json *j, const Etcdserverpb__TxnResponse *r)
{
	out_json_open(j, '{');
	if (r->header) {
		out_json_key(j, "header");
		json_message(j, &r->header->base);
	}
	if (r->succeeded) {
		out_json_key(j, "succeeded");
		out_json_bool(j, true);
	}
	if (r->n_responses) {
		out_json_key(j, "responses");
		out_json_open(j, '[');
	}
	for (size_t i = 0; i < r->n_responses; i++) {
		const Etcdserverpb__ResponseOp *op = r->responses[i];

		out_json_open(j, '{');
		out_json_key(j, "Response");
		out_json_open(j, '{');
		if (op->response_case == ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_TXN) {
			out_json_key(j, "response_txn");
			txn_json(j, op->response_txn);
		} else {
			json_fields(j, &op->base);
		}
		out_json_close(j, '}');
		out_json_close(j, '}');
	}
	if (r->n_responses)
		out_json_close(j, ']');
	out_json_close(j, '}');
}

static void txn_text(struct ctl *c, const Etcdserverpb__TxnResponse *r)
{
	if (c->format == OUT_FIELDS) {
		fields_header(c, r->header);
		put(c, "\"Succeeded\" : %s\n", r->succeeded ? "true" : "false");
	} else {
		put(c, "%s\n", r->succeeded ? "SUCCESS" : "FAILURE");
	}
	for (size_t i = 0; i < r->n_responses; i++) {
		const Etcdserverpb__ResponseOp *op = r->responses[i];

		if (c->format == OUT_SIMPLE)
			put(c, "\n");
		if (op->response_case == ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_PUT)
			put_text(c, op->response_put);
		else if (op->response_case == ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_RANGE)
			get_text(c, op->response_range);
		else if (op->response_case == ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_DELETE_RANGE)
			del_text(c, op->response_delete_range);
		else if (op->response_case == ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_TXN)
			txn_text(c, op->response_txn);
	}
}

int out_txn(struct ctl *c, const Etcdserverpb__TxnResponse *r)
{
	struct out_json j = {.out = &c->out};
	int code = EXIT_OK;

	if (c->format == OUT_JSON) {
		txn_json(&j, r);
		put(c, "\n");
	} else if (is_text(c, &r->base, &code)) {
		txn_text(c, r);
	}
	return code;
}

/* --- watch --- */

static void watch_json(struct ctl *c, const Etcdserverpb__WatchResponse *r)
{
	struct out_json j = {.out = &c->out};

	out_json_open(&j, '{');
	out_json_key(&j, "Header");
	if (r->header)
		json_message(&j, &r->header->base);
	else
		out_json_null(&j);
	out_json_key(&j, "Events");
	if (r->n_events)
		out_json_open(&j, '[');
	else
		out_json_null(&j);
	for (size_t i = 0; i < r->n_events; i++)
		json_message(&j, &r->events[i]->base);
	if (r->n_events)
		out_json_close(&j, ']');
	out_json_key(&j, "CompactRevision");
	out_json_int(&j, r->compact_revision);
	out_json_key(&j, "Canceled");
	out_json_bool(&j, r->canceled);
	out_json_key(&j, "Created");
	out_json_bool(&j, r->created);
	out_json_key(&j, "CancelReason");
	out_json_str(&j, slice_str(r->cancel_reason));
	out_json_close(&j, '}');
	put(c, "\n");
}

static void watch_fields(struct ctl *c, const Etcdserverpb__WatchResponse *r)
{
	fields_header(c, r->header);
	for (size_t i = 0; i < r->n_events; i++) {
		const Mvccpb__Event *e = r->events[i];

		put(c, "\"Type\" : %s\n", e->type == MVCCPB__EVENT__EVENT_TYPE__DELETE ? "DELETE" : "PUT");
		if (e->prev_kv)
			fields_kv(c, "Prev", e->prev_kv);
		fields_kv(c, "", e->kv);
	}
}

int out_watch(struct ctl *c, const Etcdserverpb__WatchResponse *r)
{
	switch (c->format) {
	case OUT_TABLE:
		return out_unsupported("table");
	case OUT_JSON:
		watch_json(c, r);
		break;
	case OUT_FIELDS:
		watch_fields(c, r);
		break;
	case OUT_PROTOBUF: {
		/* As upstream puts it together: without id, fragment and reason. */
		Etcdserverpb__WatchResponse m = *r;

		m.watch_id = 0;
		m.fragment = false;
		m.cancel_reason = "";
		out_protobuf(c, &m.base);
		break;
	}
	default:
		for (size_t i = 0; i < r->n_events; i++) {
			const Mvccpb__Event *e = r->events[i];

			put(c, "%s\n", e->type == MVCCPB__EVENT__EVENT_TYPE__DELETE ? "DELETE" : "PUT");
			if (e->prev_kv)
				print_kv(c, e->prev_kv);
			print_kv(c, e->kv);
		}
	}
	return EXIT_OK;
}
