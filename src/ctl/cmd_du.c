/* du: what is stored below a prefix, at one revision, which a count of the keys fixes first. Rows come by RangeStream; a
 * server without it (before 3.7) is asked page by page, and a page has as many rows as make up PAGE_BYTES with the sizes
 * seen so far. Nothing of the rows is kept. */
#include <inttypes.h>

#include "ctl/ctl_impl.h"
#include "ctl/du.h"

enum { PAGE_BYTES = 1 << 20, PAGE_ROWS_FIRST = 16, PAGE_ROWS_MAX = 512, PART_MAX = 1 << 30 };

struct usage {
	struct ctl *c;
	struct du du;
	struct arena part; /* of one message or page */
	Etcdserverpb__RangeRequest req;
	bool any_row;
	struct out_table *table;
	struct out_json j;
};

/* --- reading --- */

static void take_rows(struct usage *u, const Etcdserverpb__RangeResponse *r)
{
	for (size_t i = 0; i < r->n_kvs; i++)
		du_add(&u->du, pb_slice(r->kvs[i]->key), r->kvs[i]->value.len);
	u->any_row |= r->n_kvs > 0;
}

static bool unpack(struct usage *u, const ProtobufCMessageDescriptor *type, void *out)
{
	arena_reset(&u->part);
	if (!pb_unpack(&u->part, type, buf_slice(&u->c->response), out))
		return true;
	u->c->status = (struct client_status){GRPC_INTERNAL, false, "grpc: the answer cannot be read"};
	return false;
}

static bool fix_revision(struct usage *u)
{
	Etcdserverpb__RangeRequest count = u->req;
	Etcdserverpb__RangeResponse *r;

	count.count_only = true;
	if (!ctl_call(u->c, RPC_RANGE, &count.base, 0, &r))
		return false;
	if (!u->req.revision && r->header)
		u->req.revision = r->header->revision;
	return true;
}

static bool read_stream(struct usage *u)
{
	struct ctl *c = u->c;
	struct client_stream *s;
	bool ok = true;

	buf_clear(&c->request);
	pb_pack(&u->req.base, &c->request);
	s = client_open(c->client, RPC_RANGE_STREAM, buf_slice(&c->request), NULL);
	while (ok && client_recv(s, 0, &c->response, &c->status) == CLIENT_MESSAGE) {
		Etcdserverpb__RangeStreamResponse *part;

		ok = unpack(u, &etcdserverpb__range_stream_response__descriptor, &part);
		if (ok && part->range_response)
			take_rows(u, part->range_response);
	}
	client_stream_close(s);
	return ok && c->status.code == GRPC_OK;
}

static Etcdserverpb__RangeResponse *read_page(struct usage *u)
{
	struct ctl *c = u->c;
	struct client_call_opts opts = {.timeout_ms = MAX(ms_of(c->o.command_timeout), (uint64_t)1)};
	Etcdserverpb__RangeResponse *r;

	buf_clear(&c->request);
	pb_pack(&u->req.base, &c->request);
	if (!client_unary(c->client, RPC_RANGE, buf_slice(&c->request), &opts, &c->response, &c->status))
		return NULL;
	return unpack(u, &etcdserverpb__range_response__descriptor, &r) ? r : NULL;
}

static bool read_pages(struct usage *u)
{
	Etcdserverpb__RangeResponse *r;
	uint64_t rows = PAGE_ROWS_FIRST;
	struct buf next;

	buf_init(&next, PART_MAX);
	do {
		u->req.limit = (int64_t)rows;
		r = read_page(u);
		if (!r || !r->n_kvs)
			break;
		take_rows(u, r);
		buf_clear(&next);
		buf_put(&next, r->kvs[r->n_kvs - 1]->key.data, r->kvs[r->n_kvs - 1]->key.len);
		buf_put_byte(&next, 0);
		u->req.key = pb_binary(buf_slice(&next));
		rows = MIN(MIN(rows * 2, (uint64_t)PAGE_ROWS_MAX), PAGE_BYTES / (u->c->response.size / r->n_kvs + 1) + 1);
	} while (r->more);
	buf_fini(&next);
	return r;
}

/* --- printing --- */

static struct slice shown_path(struct ctl *c, struct slice path)
{
	struct buf hex;
	struct slice out;

	if (!c->o.hex)
		return path;
	buf_init(&hex, SIZE_MAX / 2);
	for (size_t i = 0; i < path.size; i++)
		buf_printf(&hex, "\\x%02x", path.data[i]);
	ASSERT(arena_copy(&c->arena, buf_slice(&hex), &out));
	buf_fini(&hex);
	return out;
}

static const char *shown_bytes(struct ctl *c, uint64_t bytes, char out[TEXT_BYTES_SIZE])
{
	if (c->o.human)
		return text_bytes(out, bytes);
	snprintf(out, TEXT_BYTES_SIZE, "%" PRIu64, bytes);
	return out;
}

static void print_level(void *user, struct slice path, struct du_sums sums)
{
	struct usage *u = user;
	struct ctl *c = u->c;
	struct slice shown = shown_path(c, path);
	char bytes[TEXT_BYTES_SIZE];

	if (c->format == OUT_SIMPLE) {
		put(c, "%s\t%" PRIu64 "\t", shown_bytes(c, sums.bytes, bytes), sums.keys);
		buf_put(&c->out, shown.data, shown.size);
		put(c, "\n");
		if (c->out.size > PAGE_BYTES)
			ctl_flush(c);
	} else if (c->format == OUT_TABLE) {
		out_table_cell_slice(u->table, shown);
		out_table_cell(u->table, "%" PRIu64, sums.keys);
		out_table_cell(u->table, "%s", shown_bytes(c, sums.bytes, bytes));
	} else {
		out_json_open(&u->j, '{');
		out_json_key(&u->j, "path");
		out_json_str(&u->j, shown);
		out_json_key(&u->j, "keys");
		out_json_uint(&u->j, sums.keys);
		out_json_key(&u->j, "bytes");
		out_json_uint(&u->j, sums.bytes);
		out_json_close(&u->j, '}');
	}
}

/* --- the command --- */

static int check_args(struct ctl *c)
{
	if (c->arg_count > 1)
		return ctl_fail(EXIT_ARGS, "du takes one prefix at most");
	if (c->o.depth < 0 || c->o.depth > DU_DEPTH_MAX)
		return ctl_fail(EXIT_ARGS, "bad depth %lld, expecting 0 to %d", (long long)c->o.depth, DU_DEPTH_MAX);
	if (strlen(c->o.delimiter) != 1)
		return ctl_fail(EXIT_ARGS, "the delimiter is one byte");
	return 0;
}

static int run(struct usage *u, struct slice prefix)
{
	static const char *const titles[] = {"path", "keys", "bytes"};
	struct ctl *c = u->c;
	bool ok;

	u->table = c->format == OUT_TABLE ? out_table_new(titles, ARRAY_COUNT(titles)) : NULL;
	u->j.out = &c->out;
	if (c->format == OUT_JSON) {
		out_json_open(&u->j, '{');
		out_json_key(&u->j, "levels");
		out_json_open(&u->j, '[');
	}
	du_init(&u->du, prefix, c->o.delimiter[0], (size_t)c->o.depth, print_level, u);
	ok = fix_revision(u) && read_stream(u);
	if (!ok && c->status.code == GRPC_UNIMPLEMENTED && !u->any_row)
		ok = read_pages(u);
	du_end(&u->du);
	if (c->format == OUT_JSON) {
		out_json_close(&u->j, ']');
		out_json_key(&u->j, "revision");
		out_json_int(&u->j, u->req.revision);
		out_json_close(&u->j, '}');
		put(c, "\n");
	}
	if (u->table && ok)
		out_table_box(u->table, &c->out);
	if (u->table)
		out_table_free(u->table);
	if (ok)
		return EXIT_OK;
	buf_clear(&c->out);
	return ctl_call_failed(c, EXIT_ERROR, "", "");
}

RUN(du)
{
	struct ctl *c = cli->user;
	struct slice prefix = c->arg_count ? ctl_arg(c, 0) : SLICE_LIT("");
	struct usage u = {.c = c, .req = ETCDSERVERPB__RANGE_REQUEST__INIT};
	int code = check_args(c);

	if (!code)
		code = parse_serializable(c, &u.req.serializable);
	if (!code)
		code = ctl_connect(c);
	if (code)
		return code;
	if (c->format == OUT_FIELDS || c->format == OUT_PROTOBUF)
		return out_unsupported(out_format_name(c->format));
	u.req.key = pb_binary(prefix.size ? prefix : slice_of((const uint8_t *)"\0", 1));
	u.req.range_end = pb_binary(prefix_end(c, prefix));
	u.req.revision = MAX(c->o.rev, (int64_t)0);
	arena_init(&u.part, PART_MAX);
	code = run(&u, prefix);
	arena_fini(&u.part);
	return code;
}
