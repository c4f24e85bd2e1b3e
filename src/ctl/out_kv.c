/* Printing what put, get, del, txn and watch return, in each form. */
#include <inttypes.h>

#include "ctl/ctl_impl.h"

int out_unsupported(struct ctl *c, const char *format)
{
	return ctl_fail(EXIT_FEATURE, "%s not supported as output format", format);
}

void out_protobuf(struct ctl *c)
{
	fwrite(c->response.data, 1, c->response.size, stdout);
}

void out_protobuf_message(const ProtobufCMessage *m)
{
	struct buf b;

	buf_init(&b, SIZE_MAX / 2);
	pb_pack(m, &b);
	fwrite(b.data, 1, b.size, stdout);
	buf_fini(&b);
}

bool out_plain(struct ctl *c, const ProtobufCMessage *m, const Etcdserverpb__ResponseHeader *h)
{
	if (c->format == FORMAT_JSON)
		json_print_message(m);
	else if (c->format == FORMAT_PROTOBUF)
		out_protobuf(c);
	else if (c->format == FORMAT_FIELDS && h)
		fields_header(c, h);
	else
		return false;
	return true;
}

static void print_bytes(struct ctl *c, struct slice s)
{
	for (size_t i = 0; c->hex && i < s.size; i++)
		printf("\\x%02x", s.data[i]);
	if (!c->hex && s.size)
		fwrite(s.data, 1, s.size, stdout);
	putchar('\n');
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
	if (c->format == FORMAT_FIELDS) {
		fields_header(c, r->header);
		if (r->prev_kv)
			fields_kv(c, "Prev", r->prev_kv);
		return;
	}
	printf("OK\n");
	if (r->prev_kv)
		print_kv(c, r->prev_kv);
}

static void get_text(struct ctl *c, const Etcdserverpb__RangeResponse *r)
{
	if (c->format == FORMAT_FIELDS)
		fields_header(c, r->header);
	for (size_t i = 0; i < r->n_kvs; i++) {
		if (c->format == FORMAT_FIELDS)
			fields_kv(c, "", r->kvs[i]);
		else
			print_kv(c, r->kvs[i]);
	}
	if (c->format == FORMAT_FIELDS)
		printf("\"More\" : %s\n\"Count\" : %" PRId64 "\n", r->more ? "true" : "false", r->count);
}

static void del_text(struct ctl *c, const Etcdserverpb__DeleteRangeResponse *r)
{
	if (c->format == FORMAT_FIELDS) {
		fields_header(c, r->header);
		printf("\"Deleted\" : %" PRId64 "\n", r->deleted);
	} else {
		printf("%" PRId64 "\n", r->deleted);
	}
	for (size_t i = 0; i < r->n_prev_kvs; i++) {
		if (c->format == FORMAT_FIELDS)
			fields_kv(c, "Prev", r->prev_kvs[i]);
		else
			print_kv(c, r->prev_kvs[i]);
	}
}

int out_put(struct ctl *c, const Etcdserverpb__PutResponse *r)
{
	if (c->format == FORMAT_TABLE)
		return out_unsupported(c, "table");
	if (!out_plain(c, &r->base, NULL))
		put_text(c, r);
	return EXIT_OK;
}

int out_get(struct ctl *c, const Etcdserverpb__RangeResponse *r)
{
	if (c->format == FORMAT_TABLE)
		return out_unsupported(c, "table");
	if (c->format == FORMAT_PROTOBUF)
		out_protobuf_message(&r->base);
	else if (!out_plain(c, &r->base, NULL))
		get_text(c, r);
	return EXIT_OK;
}

int out_del(struct ctl *c, const Etcdserverpb__DeleteRangeResponse *r)
{
	if (c->format == FORMAT_TABLE)
		return out_unsupported(c, "table");
	if (!out_plain(c, &r->base, NULL))
		del_text(c, r);
	return EXIT_OK;
}

/* --- txn --- */

static void txn_json(struct buf *b, const Etcdserverpb__TxnResponse *r);

static void op_json(struct buf *b, const Etcdserverpb__ResponseOp *op)
{
	bool first = true;

	buf_printf(b, "{\"Response\":{");
	switch (op->response_case) {
	case ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_TXN:
		json_key(b, "response_txn", &first);
		txn_json(b, op->response_txn);
		break;
	default:
		json_fields(b, &op->base, &first);
	}
	buf_printf(b, "}}");
}

static void txn_json(struct buf *b, const Etcdserverpb__TxnResponse *r)
{
	bool first = true;

	buf_put_byte(b, '{');
	if (r->header) {
		json_key(b, "header", &first);
		json_message(b, &r->header->base);
	}
	if (r->succeeded) {
		json_key(b, "succeeded", &first);
		buf_printf(b, "true");
	}
	for (size_t i = 0; i < r->n_responses; i++) {
		if (i)
			buf_put_byte(b, ',');
		else
			json_key(b, "responses", &first);
		buf_printf(b, i ? "" : "[");
		op_json(b, r->responses[i]);
	}
	buf_printf(b, r->n_responses ? "]}" : "}");
}

static void txn_text(struct ctl *c, const Etcdserverpb__TxnResponse *r)
{
	if (c->format == FORMAT_FIELDS) {
		fields_header(c, r->header);
		printf("\"Succeeded\" : %s\n", r->succeeded ? "true" : "false");
	} else {
		printf("%s\n", r->succeeded ? "SUCCESS" : "FAILURE");
	}
	for (size_t i = 0; i < r->n_responses; i++) {
		const Etcdserverpb__ResponseOp *op = r->responses[i];

		if (c->format == FORMAT_SIMPLE)
			printf("\n");
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
	struct buf b;

	switch (c->format) {
	case FORMAT_TABLE:
		return out_unsupported(c, "table");
	case FORMAT_PROTOBUF:
		out_protobuf(c);
		break;
	case FORMAT_JSON:
		buf_init(&b, SIZE_MAX / 2);
		txn_json(&b, r);
		json_print(&b);
		break;
	default:
		txn_text(c, r);
	}
	return EXIT_OK;
}

/* --- watch --- */

static void watch_json(const Etcdserverpb__WatchResponse *r)
{
	struct buf b;

	buf_init(&b, SIZE_MAX / 2);
	buf_printf(&b, "{\"Header\":");
	if (r->header)
		json_message(&b, &r->header->base);
	else
		buf_printf(&b, "null");
	buf_printf(&b, ",\"Events\":%s", r->n_events ? "[" : "[]");
	for (size_t i = 0; i < r->n_events; i++) {
		buf_printf(&b, i ? "," : "");
		json_message(&b, &r->events[i]->base);
	}
	buf_printf(&b, "%s,\"CompactRevision\":%" PRId64 ",\"Canceled\":%s,\"Created\":%s,\"CancelReason\":", r->n_events ? "]" : "",
		   r->compact_revision, r->canceled ? "true" : "false", r->created ? "true" : "false");
	json_string(&b, slice_str(r->cancel_reason));
	buf_put_byte(&b, '}');
	json_print(&b);
}

static void watch_fields(struct ctl *c, const Etcdserverpb__WatchResponse *r)
{
	fields_header(c, r->header);
	for (size_t i = 0; i < r->n_events; i++) {
		const Mvccpb__Event *e = r->events[i];

		printf("\"Type\" : %s\n", e->type == MVCCPB__EVENT__EVENT_TYPE__DELETE ? "DELETE" : "PUT");
		if (e->prev_kv)
			fields_kv(c, "Prev", e->prev_kv);
		fields_kv(c, "", e->kv);
	}
}

int out_watch(struct ctl *c, const Etcdserverpb__WatchResponse *r)
{
	switch (c->format) {
	case FORMAT_TABLE:
		return out_unsupported(c, "table");
	case FORMAT_JSON:
		watch_json(r);
		break;
	case FORMAT_FIELDS:
		watch_fields(c, r);
		break;
	case FORMAT_PROTOBUF: {
		/* As upstream puts it together: without id, fragment and reason. */
		Etcdserverpb__WatchResponse m = *r;

		m.watch_id = 0;
		m.fragment = false;
		m.cancel_reason = "";
		out_protobuf_message(&m.base);
		break;
	}
	default:
		for (size_t i = 0; i < r->n_events; i++) {
			const Mvccpb__Event *e = r->events[i];

			printf("%s\n", e->type == MVCCPB__EVENT__EVENT_TYPE__DELETE ? "DELETE" : "PUT");
			if (e->prev_kv)
				print_kv(c, e->prev_kv);
			print_kv(c, e->kv);
		}
	}
	return EXIT_OK;
}
