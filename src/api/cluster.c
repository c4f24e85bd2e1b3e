/* etcdserverpb.Cluster. Headers of its answers never have a revision; the members come from the publication behind the change. */
#include "api/api_impl.h"

#include <stdio.h>

#include "pb/pbc.h"

enum { RESP_MEMBER = 2, RESP_MEMBERS = 2, ADD_RESP_MEMBERS = 3, MEMBERS_BYTES_MAX = 16 << 20 };

static err_t validate(struct api_rpc *r, struct slice body)
{
	return pb_validate(rpc_methods[r->method].request, body);
}

static void put_header(struct api_rpc *r, const struct publication *p, struct buf *out)
{
	struct response_header h = node_header(r->io->node, p);

	h.revision = 0;
	response_header_encode(&h, 1, out);
}

/* Fields `number` from fields of number 2, as publications and calls have them. */
static void put_members(struct slice from, uint32_t number, struct buf *out)
{
	struct pb_reader rd = pb_reader_of(from);
	struct pb_field f;

	while (pb_next(&rd, &f))
		pb_put_bytes_always(out, number, f.bytes);
}

static void reply(struct api_rpc *r, const struct member *added, uint32_t number)
{
	struct node *n = r->io->node;
	const struct publication *p;
	struct slice msg;
	struct buf out;

	buf_init(&out, MEMBERS_BYTES_MAX);
	p = node_view(n);
	put_header(r, p, &out);
	if (added)
		member_encode(added, RESP_MEMBER, &out);
	put_members(r->call.resp.size ? buf_slice(&r->call.resp) : blob_slice(p->members), number, &out);
	node_leave(n);
	msg = buf_slice(&out);
	api_reply(r, &msg, 1);
	buf_fini(&out);
}

/* ---- MemberList ---- */

static void list_serve(struct api_rpc *r)
{
	if (r->call.err)
		api_fail(r, r->call.err);
	else
		reply(r, NULL, RESP_MEMBERS);
}

static void list_message(struct api_rpc *r, struct blob *take_body)
{
	struct pb_reader rd = pb_reader_of(blob_slice(take_body));
	struct pb_field f;
	bool linearizable = false;

	while (pb_next(&rd, &f))
		if (f.number == 1 && f.wire == PB_VARINT)
			linearizable = f.value != 0;
	blob_unref(take_body);
	r->call.err = OK;
	if (rd.failed)
		api_fail(r, ERR_MALFORMED);
	else if (linearizable)
		api_linearizable(r, list_serve);
	else
		list_serve(r);
}

const struct api_row member_list_row = {.name = "MemberList", .message = list_message, .permit_first = true};

/* ---- changes ---- */

static void changed(struct api_rpc *r)
{
	if (r->call.err)
		api_fail(r, r->call.err);
	else
		reply(r, NULL, RESP_MEMBERS);
}

/* m NULL: a removal, without a context. */
static void change(struct api_rpc *r, enum member_change type, uint64_t id, const struct member *m, bool promote, api_step *next)
{
	struct call *c = &r->call;

	c->change = type;
	c->member_id = id;
	c->is_promote = promote;
	c->id = node_next_id(r->io->node);
	if (m) {
		struct member_context ctx = {*m, promote};      /* borrowed */
		struct buf json;

		buf_init(&json, MEMBERS_BYTES_MAX);
		member_context_write(&ctx, &json);
		c->entry = blob_copy(buf_slice(&json));
		buf_fini(&json);
		if (c->entry->size > r->io->api->opts.request_bytes_max) {
			api_fail(r, ERR_REQUEST_TOO_LARGE);
			return;
		}
	}
	api_call(r, CALL_CONF_CHANGE, next);
}

/* The member to be added, till the answer. */
static void add_drop(struct api_rpc *r)
{
	if (!r->state)
		return;
	member_fini(r->state);
	mem_free(r->state);
	r->state = NULL;
}

static void added(struct api_rpc *r)
{
	if (r->call.err)
		api_fail(r, r->call.err);
	else
		reply(r, r->state, ADD_RESP_MEMBERS);
}

/* MemberAddRequest {peerURLs 1, isLearner 2}. The id comes from the URLs and the time; no token. */
static void add_message(struct api_rpc *r, struct blob *take_body)
{
	struct pb_reader rd = pb_reader_of(blob_slice(take_body));
	struct member *m = NEW(struct member);
	char seconds[24];
	struct pb_field f;
	err_t err = validate(r, blob_slice(take_body));

	r->state = m;
	member_init(m);
	while (!err && pb_next(&rd, &f))
		if (f.number == 1 && f.wire == PB_BYTES && m->peer_urls.list.count <= MEMBER_URLS_MAX)
			member_urls_add(&m->peer_urls, f.bytes);
		else if (f.number == 2 && f.wire == PB_VARINT)
			m->is_learner = f.value != 0;
	blob_unref(take_body);
	if (!err)
		err = m->peer_urls.list.count > MEMBER_URLS_MAX ? ERR_MEMBER_BAD_URLS : member_urls_check(&m->peer_urls, NULL);
	if (!err)
		err = api_permit_now(r);                /* upstream looks at the URLs first */
	if (err) {
		api_fail(r, err);
		return;
	}
	snprintf(seconds, sizeof(seconds), "%lld", (long long)(node_wall_ns(r->io->node) / 1000000000));
	m->id = member_id_compute(&m->peer_urls, slice_str(seconds));
	change(r, m->is_learner ? MEMBER_ADD_LEARNER : MEMBER_ADD, m->id, m, false, added);
}

const struct api_row member_add_row = {.name = "MemberAdd", .message = add_message, .drop = add_drop};

/* {ID 1} */
static err_t id_parse(struct api_rpc *r, struct blob *take_body, uint64_t *id)
{
	struct pb_reader rd = pb_reader_of(blob_slice(take_body));
	struct pb_field f;

	*id = 0;
	while (pb_next(&rd, &f))
		if (f.number == 1 && f.wire == PB_VARINT)
			*id = f.value;
	blob_unref(take_body);
	return rd.failed ? ERR_MALFORMED : OK;
}

static void remove_message(struct api_rpc *r, struct blob *take_body)
{
	uint64_t id;
	err_t err = id_parse(r, take_body, &id);

	if (err)
		api_fail(r, err);
	else
		change(r, MEMBER_REMOVE, id, NULL, false, changed);
}

const struct api_row member_remove_row = {.name = "MemberRemove", .message = remove_message, .permit_first = true};

/* {ID 1, peerURLs 2}; upstream does not look at the URLs. */
static void update_message(struct api_rpc *r, struct blob *take_body)
{
	struct pb_reader rd = pb_reader_of(blob_slice(take_body));
	struct pb_field f;
	struct member m;
	err_t err = validate(r, blob_slice(take_body));

	member_init(&m);
	while (!err && pb_next(&rd, &f))
		if (f.number == 1 && f.wire == PB_VARINT)
			m.id = f.value;
		else if (f.number == 2 && f.wire == PB_BYTES && m.peer_urls.list.count <= MEMBER_URLS_MAX)
			member_urls_add(&m.peer_urls, f.bytes);
	blob_unref(take_body);
	m.peer_urls.null = !m.peer_urls.list.count;
	if (!err && m.peer_urls.list.count > MEMBER_URLS_MAX)
		err = ERR_MEMBER_BAD_URLS;
	if (err)
		api_fail(r, err);
	else
		change(r, MEMBER_UPDATE, m.id, &m, false, changed);
	member_fini(&m);
}

const struct api_row member_update_row = {.name = "MemberUpdate", .message = update_message, .permit_first = true};

static void promote_drop(struct api_rpc *r)
{
	mem_free(r->state);
	r->state = NULL;
}

static void promote_message(struct api_rpc *r, struct blob *take_body)
{
	struct member m;
	uint64_t id;
	err_t err = id_parse(r, take_body, &id);

	if (err) {
		api_fail(r, err);
		return;
	}
	/* The leader, if it is another one, asks the token again. */
	r->state = r->meta.has_token ? mem_printf("%.*s", SLICE_ARG(r->meta.token)) : NULL;
	r->call.token = r->state;
	member_init(&m);
	m.id = id;
	m.peer_urls.null = true;
	change(r, MEMBER_ADD, id, &m, true, changed);
	member_fini(&m);
}

const struct api_row member_promote_row = {.name = "MemberPromote", .message = promote_message, .drop = promote_drop, .permit_first = true};
