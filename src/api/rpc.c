/* The life of a call: begun by a transport, perhaps out at core, over when its status was given to the sink and nothing of it is
 * under way any more. */
#include "api/api_impl.h"
#include "pb/pbc.h"

static void rpc_unlink(struct api_rpc *r)
{
	list_remove(&r->link);
	r->io->count--;
	if (r->row->drop)
		r->row->drop(r);
	call_fini(&r->call);
	for (size_t i = 0; i < r->early.count; i++)
		blob_unref(r->early.at[i]);
	VEC_FREE(&r->early);
	buf_fini(&r->who_name);
	blob_unref(r->body);
	mem_free(r->content);
	api_trace_free(r);
	arena_fini(&r->arena);
	mem_free(r);
}

void api_settle(struct api_rpc *r)
{
	if (!r->sink && !r->call_out && !r->more_out && !r->job_out && !r->held && !r->stopping && !r->delivering)
		rpc_unlink(r);
}

struct api *api_new(struct node *n, const struct api_opts *o)
{
	struct api *a = NEW(struct api);

	a->node = n;
	a->opts = *o;
	api_series_make(a);
	return a;
}

void api_free(struct api *a)
{
	mem_free(a);
}

struct api_io *api_io_new(struct api *a, struct actor *actor, uint32_t port)
{
	struct api_io *io = NEW(struct api_io);

	io->api = a;
	io->node = a->node;
	io->actor = actor;
	io->port = port;
	io->calls_tail = &io->calls;
	io->calls_msg.kind = API_MSG_CALLS;
	list_init(&io->rpcs);
	api_watchdog_init(io);
	list_init(&io->passwords);
	list_init(&io->members);
	return io;
}

bool api_io_idle(const struct api_io *io)
{
	return io->count == 0;
}

static void io_free(struct api_io *io)
{
	for (size_t i = 0; io && i < CLIENT_VERSIONS_KEPT; i++)
		mem_free(io->versions[i].version);
	if (io) {
		timer_cancel(&io->tick);
		api_jwts_free(io);
	}
	mem_free(io);
}

void api_io_free(struct api_io *io)
{
	ASSERT(!io || io->count == 0);
	io_free(io);
}

/* The order of upstream's interceptors: learner, client version, leader. */
static err_t admit(struct api_rpc *r)
{
	const struct publication *p = node_view(r->io->node);
	err_t err = OK;

	if (p->is_learner && !r->row->learner_ok)
		err = ERR_NOT_SUPPORTED_FOR_LEARNER;
	else if (r->meta.client_version_bad)
		err = ERR_INVALID_CLIENT_API_VERSION;
	else if (r->meta.has_leader && !p->leader && !r->row->any_leader)
		err = ERR_NO_LEADER;
	node_leave(r->io->node);
	return err;
}

const struct api_row *const api_rows[RPC__COUNT] = {
	[RPC_RANGE] = &kv_range_row,
	[RPC_RANGE_STREAM] = &kv_range_stream_row,
	[RPC_PUT] = &kv_put_row,
	[RPC_DELETE_RANGE] = &kv_delete_row,
	[RPC_TXN] = &kv_txn_row,
	[RPC_COMPACT] = &kv_compact_row,
	[RPC_WATCH] = &watch_row,
	[RPC_LEASE_GRANT] = &lease_grant_row,
	[RPC_LEASE_REVOKE] = &lease_revoke_row,
	[RPC_LEASE_KEEP_ALIVE] = &lease_keep_alive_row,
	[RPC_LEASE_TIME_TO_LIVE] = &lease_ttl_row,
	[RPC_LEASE_LEASES] = &lease_leases_row,
	[RPC_MEMBER_LIST] = &member_list_row,
	[RPC_MEMBER_ADD] = &member_add_row,
	[RPC_MEMBER_REMOVE] = &member_remove_row,
	[RPC_MEMBER_UPDATE] = &member_update_row,
	[RPC_MEMBER_PROMOTE] = &member_promote_row,
	[RPC_MOVE_LEADER] = &move_leader_row,
	[RPC_DOWNGRADE] = &downgrade_row,
	[RPC_ALARM] = &alarm_row,
	[RPC_STATUS] = &status_row,
	[RPC_DEFRAGMENT] = &defragment_row,
	[RPC_HASH] = &hash_row,
	[RPC_HASH_KV] = &hash_kv_row,
	[RPC_SNAPSHOT] = &snapshot_row,
	[RPC_LOCK_LOCK] = &lock_lock_row,
	[RPC_LOCK_UNLOCK] = &lock_unlock_row,
	[RPC_ELECTION_CAMPAIGN] = &election_campaign_row,
	[RPC_ELECTION_PROCLAIM] = &election_proclaim_row,
	[RPC_ELECTION_LEADER] = &election_leader_row,
	[RPC_ELECTION_OBSERVE] = &election_observe_row,
	[RPC_ELECTION_RESIGN] = &election_resign_row,
	[RPC_AUTHENTICATE] = &authenticate_row,
	[RPC_USER_ADD] = &user_add_row,
	[RPC_USER_CHANGE_PASSWORD] = &user_change_password_row,
	[RPC_AUTH_ENABLE] = &auth_log_row,
	[RPC_AUTH_DISABLE] = &auth_log_row,
	[RPC_AUTH_STATUS] = &auth_log_row,
	[RPC_USER_GET] = &auth_log_row,
	[RPC_USER_LIST] = &auth_log_row,
	[RPC_USER_DELETE] = &auth_log_row,
	[RPC_USER_GRANT_ROLE] = &auth_log_row,
	[RPC_USER_REVOKE_ROLE] = &auth_log_row,
	[RPC_ROLE_ADD] = &auth_log_row,
	[RPC_ROLE_GET] = &auth_log_row,
	[RPC_ROLE_LIST] = &auth_log_row,
	[RPC_ROLE_DELETE] = &auth_log_row,
	[RPC_ROLE_GRANT_PERMISSION] = &auth_log_row,
	[RPC_ROLE_REVOKE_PERMISSION] = &auth_log_row,
	[RPC_HEALTH_CHECK] = &health_check_row,
	[RPC_HEALTH_LIST] = &health_list_row,
	[RPC_HEALTH_WATCH] = &health_watch_row,
};

bool api_serves(enum rpc m)
{
	return api_rows[m] != NULL;
}

struct api_rpc *api_begin(struct api_io *io, enum rpc m, const struct api_sink_ops *ops, void *sink, const struct api_meta *meta)
{
	struct api_rpc *r = NEW(struct api_rpc);

	r->io = io;
	r->method = m;
	r->row = api_rows[m];
	r->ops = ops;
	r->sink = sink;
	r->meta = *meta;
	arena_init(&r->arena, API_ARENA_MAX);
	call_init(&r->call, io->actor, API_MSG_CALL, API_RESP_MAX);
	buf_init(&r->who_name, JWT_SIZE_MAX);
	api_token_keep(r);
	list_push_back(&io->rpcs, &r->link);
	io->count++;
	if (io->api->opts.traces)
		api_trace_begin(r);
	api_watchdog_wake(r);           /* a stream that wants a leader ends without one, though nothing was said on it */
	return r;
}

static void message(struct api_rpc *r, struct blob *take_body)
{
	err_t err = OK;

	if (!r->started_ns) {           /* upstream's interceptors look at a stream once, when it begins */
		r->started_ns = api_now(r);
		err = admit(r);
		if (!r->meta.internal && (!err || err == ERR_NO_LEADER))
			api_count_client(r);
		api_watchdog_wake(r);
	}
	if (!err && !rpc_methods[r->method].request->n_fields)
		err = pb_validate(rpc_methods[r->method].request, blob_slice(take_body));       /* nobody else looks at it */
	if (!err && r->row->permit_first) {
		r->asked = blob_slice(take_body);
		err = api_permit_now(r);
		r->asked = (struct slice){0};
	}
	if (err) {
		blob_unref(take_body);
		api_fail(r, err);
		return;
	}
	r->row->message(r, take_body);
}

/* The entry that made the token is applied, if there is one: what came meanwhile, in order. */
static void token_waited(struct api_rpc *r)
{
	size_t count = r->early.count;
	struct blob **early = r->early.at;

	r->early.at = NULL;
	r->early.count = r->early.room = 0;
	r->delivering = true;                           /* not freed, though it may end in one of them */
	for (size_t i = 0; i < count; i++) {
		if (r->sink)
			message(r, early[i]);
		else
			blob_unref(early[i]);
	}
	if (r->sink && r->half_closed && r->row->half_close)
		r->row->half_close(r);
	r->token_wait = false;
	if (r->sink && rpc_methods[r->method].stream == RPC_BIDI)
		r->ops->read_pause(r->sink, false);     /* what was held back comes at once, and may end the call */
	r->delivering = false;
	mem_free(early);
	api_settle(r);
}

void api_message(struct api_rpc *r, struct blob *take_body)
{
	if (!r->started_ns && !r->token_wait && r->meta.has_token && api_token_ahead(r)) {
		r->token_wait = true;
		if (rpc_methods[r->method].stream == RPC_BIDI)
			r->ops->read_pause(r->sink, true);
		VEC_PUSH(&r->early, take_body);
		api_call(r, CALL_READ_INDEX, token_waited);
	} else if (r->token_wait) {
		VEC_PUSH(&r->early, take_body);
	} else {
		message(r, take_body);
	}
}

void api_half_close(struct api_rpc *r)
{
	r->half_closed = true;
	if (r->row->half_close && !r->token_wait)
		r->row->half_close(r);
}

void api_writable(struct api_rpc *r)
{
	r->blocked_ns = 0;
	if (r->row->writable)
		r->row->writable(r);
}

static void stop(struct api_rpc *r)
{
	if (r->row->stop) {
		r->stopping = true;
		r->row->stop(r);
		r->stopping = false;
	}
	api_settle(r);
}

void api_cancel_as(struct api_rpc *r, enum grpc_status status, struct slice text)
{
	if (r->trace)
		api_trace_end(r, status, text);
	r->sink = NULL;
	stop(r);
}

void api_cancel(struct api_rpc *r)
{
	api_cancel_as(r, GRPC_CANCELLED, (struct slice){0});
}

void api_fail_text(struct api_rpc *r, err_t err, const char *text)
{
	void *sink = r->sink;

	if (!sink)
		return;
	api_log_stats(r);
	if (r->trace)
		api_trace_end(r, err_status(err), slice_str(text ? text : err_text(err)));
	r->sink = NULL;
	r->ops->finish(sink, err, text);
	stop(r);
}

void api_fail(struct api_rpc *r, err_t err)
{
	/* grpc-go's words for what its decoder refuses. */
	const char *malformed = rpc_methods[r->method].stream == RPC_UNARY
					? "grpc: error unmarshalling request: proto: cannot parse invalid wire-format data"
					: "grpc: failed to unmarshal the received message: proto: cannot parse invalid wire-format data";

	api_fail_text(r, err, err == ERR_MALFORMED ? malformed : NULL);
}

void api_done(struct api_rpc *r)
{
	api_fail_text(r, OK, NULL);
}

bool api_send(struct api_rpc *r, const struct slice *parts, size_t count)
{
	for (size_t i = 0; i < count; i++)
		r->sent_bytes += parts[i].size;
	return r->ops->send(r->sink, parts, count);
}

void api_reply(struct api_rpc *r, const struct slice *parts, size_t count)
{
	api_send(r, parts, count);
	api_done(r);
}

/* What one turn of the actor makes (a look at all sockets) reaches core as one batch: one proposal to raft, one write. */
void api_call(struct api_rpc *r, enum call_kind kind, api_step *next)
{
	struct api_io *io = r->io;
	struct msg *m = &r->call.msg;

	ASSERT(!r->call_out);
	r->call_out = true;
	r->call_kind = kind;
	r->next = next;
	m->kind = kind;
	m->next = NULL;
	if (!io->calls)
		actor_post(io->actor, &io->calls_msg);
	*io->calls_tail = m;
	io->calls_tail = &m->next;
}

static void calls_leave(struct api_io *io)
{
	struct msg *first = io->calls;

	io->calls = NULL;
	io->calls_tail = &io->calls;
	call_post_all(io->node, first);
}

void api_propose(struct api_rpc *r, enum internal_field field, struct slice request, api_step *next)
{
	struct internal_req in = {.id = node_next_id(r->io->node), .field = field, .body = request};
	struct buf over;
	size_t size;
	err_t err = OK;

	if (field != REQ_AUTHENTICATE) {                /* who asks is in the entry: it is judged when applied */
		err = api_who(r, node_view(r->io->node));
		node_leave(r->io->node);
		in.username = r->who.user;
		in.auth_revision = r->who.revision;
	}
	if (err) {
		api_fail(r, err);
		return;
	}
	size = internal_req_size(&in);
	if (size > r->io->api->opts.request_bytes_max) {
		api_fail(r, ERR_REQUEST_TOO_LARGE);
		return;
	}
	r->call.id = in.id;
	r->call.field = field;
	r->call.entry = blob_new(size);
	over = (struct buf){.data = r->call.entry->data, .room = size, .size_max = size};       /* written in place */
	internal_req_encode(&in, &over);
	ASSERT(over.size == size && !over.failed);
	api_call(r, CALL_PROPOSE, next);
}

void api_later(struct api_rpc *r, api_step *more)
{
	ASSERT(!r->more_out);
	r->more_out = true;
	r->more = more;
	r->more_msg.kind = API_MSG_MORE;
	actor_post(r->io->actor, &r->more_msg);
}

void api_job(struct api_rpc *r, bool (*run)(struct job *j), api_step *next)
{
	api_job_on(r, NULL, run, next);
}

void api_job_on(struct api_rpc *r, struct sched *s, bool (*run)(struct job *j), api_step *next)
{
	ASSERT(!r->job_out);
	r->job_out = true;
	r->next = next;
	r->job = (struct job){.msg.kind = API_MSG_JOB, .run = run, .reply = r->io->actor};
	sched_run(s ? s : actor_sched(r->io->actor), &r->job);
}

void api_step_reply(struct api_rpc *r)
{
	struct slice resp = buf_slice(&r->call.resp);

	if (r->call.err)
		api_fail(r, r->call.err);
	else
		api_reply(r, &resp, 1);
}

/* lone_leader is loaded after decoding and before the publication is taken (DESIGN section 4): what it promises then
 * holds for that publication. */
void api_linearizable(struct api_rpc *r, api_step *next)
{
	if (node_lone_leader(r->io->node)) {
		r->call.err = OK;
		next(r);
	} else {
		api_call(r, CALL_READ_INDEX, next);
	}
}

static void quota_refused(struct api_rpc *r)
{
	api_fail(r, ERR_NO_SPACE);
}

bool api_over_quota(struct api_rpc *r, uint64_t cost)
{
	struct node *n = r->io->node;
	const struct publication *p = node_view(n);
	bool admitted = node_quota_admits(n, p, cost);
	struct buf body;

	node_leave(n);
	if (admitted)
		return false;
	buf_init(&body, 64);
	pb_put_uint(&body, 1, 1);                       /* AlarmRequest {action ACTIVATE, memberID, alarm NOSPACE} */
	pb_put_uint(&body, 2, node_member_id(n));
	pb_put_uint(&body, 3, ALARM_NOSPACE);
	api_propose(r, REQ_ALARM, buf_slice(&body), quota_refused);
	buf_fini(&body);
	return true;
}

struct slice api_header(struct api_rpc *r, const struct publication *p, uint8_t out[64])
{
	struct response_header h = node_header(r->io->node, p);
	struct buf over = {.data = out, .room = 64, .size_max = 64};

	response_header_encode(&h, 1, &over);
	ASSERT(!over.failed);
	return slice_of(out, over.size);
}

static void call_came_back(struct api_rpc *r)
{
	r->call_out = false;
	if (r->sink) {
		r->next(r);
		return;
	}
	if (r->call_kind == CALL_HOLD && !r->call.err)
		node_release(r->io->node, r->call.revision);    /* nobody is there to use it */
	api_settle(r);
}

void api_receive(struct api_io *io, struct msg *m)
{
	struct api_rpc *r;

	switch (m->kind) {
	case API_MSG_CALL:
		call_came_back(CONTAINER_OF(CONTAINER_OF(m, struct call, msg), struct api_rpc, call));
		break;
	case API_MSG_MORE:
		r = CONTAINER_OF(m, struct api_rpc, more_msg);
		r->more_out = false;
		if (r->sink)
			r->more(r);
		else
			api_settle(r);
		break;
	case API_MSG_JOB:
		r = CONTAINER_OF(CONTAINER_OF(m, struct job, msg), struct api_rpc, job);
		r->job_out = false;
		api_job_was_password(r);
		if (r->sink)
			r->next(r);
		else
			api_settle(r);
		break;
	case API_MSG_CALLS:
		calls_leave(io);
		break;
	case API_MSG_MEMBER_CALL:
		members_call_back(m);
		break;
	case API_MSG_MEMBER_JOB:
		members_job_back(m);
		break;
	case API_MSG_TICK:
		api_watchdog_tick(io);
		break;
	case API_MSG_WATCH_CLOSED:
		watch_closed(io, m);
		break;
	case API_MSG_WATCH_BATCH:
		watch_batch_received(io, m);
		break;
	default:
		UNREACHABLE();
	}
}

void api_end_some(struct api_io *io, err_t (*verdict)(const struct api_rpc *r, const void *arg), const void *arg)
{
	struct list seen;

	list_init(&seen);
	while (!list_empty(&io->rpcs)) {
		struct api_rpc *r = CONTAINER_OF(io->rpcs.next, struct api_rpc, link);
		err_t err;

		list_remove(&r->link);
		list_push_back(&seen, &r->link);
		err = r->sink ? verdict(r, arg) : OK;
		if (err)
			api_fail(r, err);
	}
	while (!list_empty(&seen)) {
		struct list *l = seen.next;

		list_remove(l);
		list_push_back(&io->rpcs, l);
	}
}

static err_t at_stop(const struct api_rpc *r, const void *arg)
{
	return r->call_out ? OK : ERR_STOPPED;
}

void api_io_stop(struct api_io *io)
{
	api_end_some(io, at_stop, NULL);
}

void api_io_abandon(struct api_io *io)
{
	members_abandon(io);
	LIST_EACH_SAFE(l, &io->rpcs)
		rpc_unlink(CONTAINER_OF(l, struct api_rpc, link));
	io_free(io);
}
