/* etcdserverpb.Lease */
#include "api/api_impl.h"

enum { LEASE_GRANT_COST = 64 };

/* id 0 is replaced before it enters the log: a positive 63-bit number from the request id generator. */
static void grant_message(struct api_rpc *r, struct blob *take_body)
{
	struct lease_grant_req q;
	struct buf body;
	err_t err = lease_grant_req_parse(blob_slice(take_body), &q);

	blob_unref(take_body);
	if (err) {
		api_fail(r, err);
		return;
	}
	if (api_over_quota(r, LEASE_GRANT_COST))
		return;
	while (!q.id)
		q.id = (int64_t)(node_next_id(r->io->node) & INT64_MAX);
	if (r->trace)
		api_trace_lease_grant(r, &q);
	err = api_permit_now(r);
	if (err) {
		api_fail(r, err);
		return;
	}
	buf_init(&body, 64);
	pb_put_uint(&body, 1, (uint64_t)q.ttl);
	pb_put_uint(&body, 2, (uint64_t)q.id);
	api_propose(r, REQ_LEASE_GRANT, buf_slice(&body), api_step_reply);
	buf_fini(&body);
}

const struct api_row lease_grant_row = {.name = "LeaseGrant", .message = grant_message};

static void revoke_message(struct api_rpc *r, struct blob *take_body)
{
	struct lease_revoke_req q;
	err_t err = lease_revoke_req_parse(blob_slice(take_body), &q);

	if (!err && r->trace)
		api_trace_lease(r, "lease_revoke", q.id);
	if (!err)
		api_propose(r, REQ_LEASE_REVOKE, blob_slice(take_body), api_step_reply);
	blob_unref(take_body);
	if (err)
		api_fail(r, err);
}

const struct api_row lease_revoke_row = {.name = "LeaseRevoke", .message = revoke_message, .permit_first = true};

/* The first two fields of all lease questions: ID 1, keys 2. */
static err_t question_parse(struct slice s, int64_t *id, bool *keys)
{
	struct pb_reader rd = pb_reader_of(s);
	struct pb_field f;

	*id = 0;
	*keys = false;
	while (pb_next(&rd, &f)) {
		if (f.number == 1 && f.wire == PB_VARINT)
			*id = (int64_t)f.value;
		else if (f.number == 2 && f.wire == PB_VARINT)
			*keys = f.value != 0;
	}
	return rd.failed ? ERR_MALFORMED : OK;
}

/* ---- KeepAlive: requests are answered one by one, in order; those that wait are bounded by pausing the reader ---- */

enum { KEEP_ALIVES_WAITING_MAX = 64 };

struct keep_alives {
	int64_t waiting[KEEP_ALIVES_WAITING_MAX];
	size_t first, count;
	bool paused;
};

static void keep_alive_drop(struct api_rpc *r)
{
	mem_free(r->state);
	r->state = NULL;
}

static void keep_alive_next(struct api_rpc *r);

static void keep_alive_answered(struct api_rpc *r)
{
	struct buf out;
	struct slice msg;

	api_trace_op_end(r);
	if (r->call.err) {
		api_fail(r, r->call.err);
		return;
	}
	buf_init(&out, 256);
	response_header_encode(&r->call.header, 1, &out);
	pb_put_uint(&out, 2, (uint64_t)r->call.lease_id);
	pb_put_uint(&out, 3, (uint64_t)r->call.ttl_s);
	msg = buf_slice(&out);
	if (api_send(r, &msg, 1))
		keep_alive_next(r);
	buf_fini(&out);
}

static void keep_alive_next(struct api_rpc *r)
{
	struct keep_alives *k = r->state;
	err_t err;

	if (!k->count) {
		if (r->half_closed)
			api_done(r);
		return;
	}
	r->call.lease_id = k->waiting[k->first];
	k->first = (k->first + 1) % KEEP_ALIVES_WAITING_MAX;
	k->count--;
	if (r->trace)
		api_trace_lease(r, "lease_renew", r->call.lease_id);
	err = api_permit_now(r);
	if (err) {
		api_fail(r, err);
		return;
	}
	r->call.who = r->who;
	api_call(r, CALL_LEASE_RENEW, keep_alive_answered);
	/* Last: what was held back comes at once, from in here. */
	if (k->paused && k->count < KEEP_ALIVES_WAITING_MAX / 2) {
		k->paused = false;
		r->ops->read_pause(r->sink, false);
	}
}

static void keep_alive_message(struct api_rpc *r, struct blob *take_body)
{
	struct keep_alives *k = r->state;
	int64_t id;
	bool keys;
	err_t err = question_parse(blob_slice(take_body), &id, &keys);

	blob_unref(take_body);
	if (!k)
		k = r->state = NEW(struct keep_alives);
	if (!err && k->count == KEEP_ALIVES_WAITING_MAX)
		err = ERR_TOO_MANY_REQUESTS;            /* the reader was paused long before */
	if (err) {
		api_fail(r, err);
		return;
	}
	k->waiting[(k->first + k->count++) % KEEP_ALIVES_WAITING_MAX] = id;
	if (!k->paused && k->count >= KEEP_ALIVES_WAITING_MAX / 2) {
		k->paused = true;
		r->ops->read_pause(r->sink, true);
	}
	if (!r->call_out)
		keep_alive_next(r);
}

static void keep_alive_half_close(struct api_rpc *r)
{
	if (!r->state)
		api_done(r);
	else if (!r->call_out)
		keep_alive_next(r);
}

static void keep_alive_writable(struct api_rpc *r)
{
	if (r->state && !r->call_out)
		keep_alive_next(r);
}

const struct api_row lease_keep_alive_row = {.name = "LeaseKeepAlive", .message = keep_alive_message, .half_close = keep_alive_half_close,
	.writable = keep_alive_writable, .drop = keep_alive_drop};

/* ---- questions ---- */

static void ttl_ask(struct api_rpc *r)
{
	if (r->call.err)
		api_fail(r, r->call.err);
	else {
		r->call.who = r->who;
		api_call(r, CALL_LEASE_TTL, api_step_reply);
	}
}

static void ttl_message(struct api_rpc *r, struct blob *take_body)
{
	err_t err = question_parse(blob_slice(take_body), &r->call.lease_id, &r->call.want_keys);

	blob_unref(take_body);
	if (err)
		api_fail(r, err);
	else
		api_linearizable(r, ttl_ask);
}

const struct api_row lease_ttl_row = {.name = "LeaseTimeToLive", .message = ttl_message, .permit_first = true};

static void leases_message(struct api_rpc *r, struct blob *take_body)
{
	blob_unref(take_body);
	r->call.who = r->who;
	api_call(r, CALL_LEASE_LIST, api_step_reply);
}

const struct api_row lease_leases_row = {.name = "LeaseLeases", .message = leases_message, .permit_first = true};
