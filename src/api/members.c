/* The answers to other members: statuses and texts are upstream's (etcdserver/api/etcdhttp/peer.go, lease/leasehttp, corrupt.go,
 * v3.7.1). Error texts end with a newline, as Go's http.Error writes them. */
#include "api/members.h"

#include "api/api_impl.h"
#include "obs/log.h"
#include "pb/json.h"

enum { HASH_ROWS = 2000, BODY_MAX = 64 << 20, LEASE_BODY_MAX = 64 * 1024 };

static const char JSON[] = "application/json", PROTOBUF[] = "application/protobuf", PLAIN[] = "text/plain";

struct serving;
typedef void serving_step(struct serving *s);

struct serving {
	struct list link;               /* api_io.members */
	struct api_io *io;
	struct member_request *request;
	struct call call;
	serving_step *next;             /* when call or job is back */
	struct job job;
	struct mvcc_hash hash;
	bool hash_held;
	int64_t held_rev, now_rev;
	err_t hash_err;
};

/* ---- life ---- */

static void serving_free(struct serving *s)
{
	list_remove(&s->link);
	s->io->count--;
	s->io->member_count--;
	if (s->hash_held)
		node_release(s->io->node, s->held_rev);
	mvcc_hash_fini(&s->hash);
	call_fini(&s->call);
	mem_free(s);
}

static void answer(struct serving *s, unsigned status, const char *content_type, struct slice body)
{
	s->request->answer(s->request, status, content_type, body);
	serving_free(s);
}

static void answer_text(struct serving *s, unsigned status, const char *text)
{
	struct buf b;

	buf_init(&b, 4096);
	buf_printf(&b, "%s\n", text);
	answer(s, status, NULL, buf_slice(&b));
	buf_fini(&b);
}

static void ask_core(struct serving *s, enum call_kind kind, serving_step *next)
{
	s->next = next;
	call_post(s->io->node, &s->call, kind);
}

void members_call_back(struct msg *m)
{
	struct serving *s = CONTAINER_OF(CONTAINER_OF(m, struct call, msg), struct serving, call);

	s->next(s);
}

void members_job_back(struct msg *m)
{
	struct serving *s = CONTAINER_OF(CONTAINER_OF(m, struct job, msg), struct serving, job);

	s->next(s);
}

/* The simulator's end: nobody is answered. */
void members_abandon(struct api_io *io)
{
	LIST_EACH_SAFE(l, &io->members) {
		struct serving *s = CONTAINER_OF(l, struct serving, link);

		s->hash_held = false;
		serving_free(s);
	}
}

/* ---- /members, /version, /downgrade/enabled ---- */

static void answer_members(struct serving *s)
{
	const struct publication *p = node_view(s->io->node);
	struct buf b;

	buf_init(&b, BODY_MAX);
	members_json_write_encoded(blob_slice(p->members), &b);
	node_leave(s->io->node);
	buf_put_byte(&b, '\n');
	answer(s, 200, JSON, buf_slice(&b));
	buf_fini(&b);
}

static void version(struct serving *s)
{
	struct buf b;

	buf_init(&b, 4096);
	api_version_json(s->io->node, &b);
	answer(s, 200, JSON, buf_slice(&b));
	buf_fini(&b);
}

static void downgrade_read(struct serving *s)
{
	bool enabled;

	if (s->call.err) {
		char *text = mem_printf("failed linearized read: %s", err_text(s->call.err));

		answer_text(s, 500, text);
		mem_free(text);
		return;
	}
	enabled = node_view(s->io->node)->downgrade.enabled;
	node_leave(s->io->node);
	answer(s, 200, PLAIN, enabled ? SLICE_LIT("true") : SLICE_LIT("false"));
}

/* ---- /members/promote ---- */

static void promoted(struct serving *s)
{
	err_t err = s->call.err;

	if (err)
		LOG_WARN("failed to promote a member", LOG_HEX("member-id", s->request->member_id), LOG_ERR(err));
	switch (err) {
	case OK: answer_members(s); break;
	case ERR_MEMBER_NOT_FOUND: answer_text(s, 404, "membership: ID not found"); break;
	case ERR_MEMBER_NOT_LEARNER: answer_text(s, 412, "membership: can only promote a learner member"); break;
	case ERR_LEARNER_NOT_READY: answer_text(s, 412, err_text(err)); break;
	default: answer(s, 500, JSON, SLICE_LIT("{\"message\":\"Internal Server Error\"}")); break;
	}
}

static void promote(struct serving *s)
{
	struct member_context ctx = {.is_promote = true};
	struct buf json;

	s->call.err = api_token_admin(s->io, slice_str(s->request->token ? s->request->token : ""));
	if (s->call.err) {
		promoted(s);
		return;
	}
	member_init(&ctx.member);
	ctx.member.id = s->request->member_id;
	ctx.member.peer_urls.null = true;
	buf_init(&json, 4096);
	member_context_write(&ctx, &json);
	member_fini(&ctx.member);
	s->call.entry = blob_copy(buf_slice(&json));
	buf_fini(&json);
	s->call.id = node_next_id(s->io->node);
	s->call.change = MEMBER_ADD;
	s->call.is_promote = true;
	s->call.member_id = s->request->member_id;
	s->call.local = true;
	ask_core(s, CALL_CONF_CHANGE, promoted);
}

/* ---- /leases, /leases/internal: by the leader, once it has applied what was committed at the question ---- */

static bool lease_failed(struct serving *s, unsigned status_not_primary)
{
	err_t err = s->call.err;

	if (err == ERR_TIMEOUT_WAIT_APPLIED_INDEX)
		answer_text(s, 408, "waiting for node to catch up its applied index has timed out");
	else if (err)
		answer_text(s, err == ERR_NOT_PRIMARY_LESSOR ? status_not_primary : 400, err_text(err));
	return err != OK;
}

static void renewed(struct serving *s)
{
	struct buf b;

	if (lease_failed(s, 400))
		return;
	if (!s->call.ttl_s) {
		answer_text(s, 404, "lease not found");
		return;
	}
	buf_init(&b, 64);
	pb_put_uint(&b, 2, (uint64_t)s->call.lease_id);
	pb_put_uint(&b, 3, (uint64_t)s->call.ttl_s);
	answer(s, 200, PROTOBUF, buf_slice(&b));
	buf_fini(&b);
}

static void renew(struct serving *s)
{
	if (!lease_failed(s, 400))
		ask_core(s, CALL_LEASE_RENEW, renewed);
}

static void have_ttl(struct serving *s)
{
	struct buf b;

	if (lease_failed(s, 500))
		return;
	if (s->call.unknown_lease) {
		answer_text(s, 404, "lease not found");
		return;
	}
	buf_init(&b, BODY_MAX);
	pb_put_bytes_always(&b, 1, buf_slice(&s->call.resp));
	if (buf_failed(&b))
		answer_text(s, 500, err_text(ERR_TOO_LARGE));
	else
		answer(s, 200, PROTOBUF, buf_slice(&b));
	buf_fini(&b);
}

static void ttl(struct serving *s)
{
	if (!lease_failed(s, 500))
		ask_core(s, CALL_LEASE_TTL, have_ttl);
}

/* LeaseKeepAliveRequest {ID 1}; LeaseTimeToLiveRequest {ID 1, keys 2}. */
static bool lease_parse(struct slice body, struct call *c)
{
	struct pb_reader r = pb_reader_of(body);
	struct pb_field f;

	while (pb_next(&r, &f))
		if (f.number == 1 && f.wire == PB_VARINT)
			c->lease_id = (int64_t)f.value;
		else if (f.number == 2 && f.wire == PB_VARINT)
			c->want_keys = f.value != 0;
	return !r.failed;
}

/* LeaseInternalRequest {1: LeaseTimeToLiveRequest} */
static bool lease_internal_parse(struct slice body, struct call *c)
{
	struct pb_reader r = pb_reader_of(body);
	struct pb_field f;
	struct slice inner = {0};
	bool found = false;

	while (pb_next(&r, &f))
		if (f.number == 1 && f.wire == PB_BYTES) {
			inner = f.bytes;
			found = true;
		}
	return found && !r.failed && lease_parse(inner, c);
}

static void leases(struct serving *s, bool internal)
{
	struct slice body = s->request->body;

	s->call.local = true;
	if (body.size > LEASE_BODY_MAX)
		answer_text(s, 413, "request body too large");
	else if (!(internal ? lease_internal_parse : lease_parse)(body, &s->call))
		answer_text(s, 400, "error unmarshalling request");
	else
		ask_core(s, CALL_CAUGHT_UP, internal ? ttl : renew);
}

/* ---- /members/hashkv: in slices on a worker, at a held revision ---- */

static void hashed(struct serving *s)
{
	const struct mvcc_hash_result *h = &s->hash.result;
	struct buf b;

	if (s->hash_err) {
		/* The storage's own words, without what clients get in front. */
		const char *text = err_text(s->hash_err), *prefix = "etcdserver: ";

		answer_text(s, 400, strncmp(text, prefix, strlen(prefix)) ? text : text + strlen(prefix));
		return;
	}
	buf_init(&b, 4096);
	buf_printf(&b, "{\"header\":{\"revision\":%lld}", (long long)s->now_rev);
	if (h->crc)
		buf_printf(&b, ",\"hash\":%u", h->crc);
	if (h->compact_rev)
		buf_printf(&b, ",\"compact_revision\":%lld", (long long)h->compact_rev);
	if (h->rev)
		buf_printf(&b, ",\"hash_revision\":%lld", (long long)h->rev);
	buf_put_byte(&b, '}');
	answer(s, 200, JSON, buf_slice(&b));
	buf_fini(&b);
}

static bool hash_run(struct job *j)
{
	struct serving *s = CONTAINER_OF(j, struct serving, job);
	const struct publication *p = node_view(s->io->node);
	bool done = false;

	s->hash_err = mvcc_hash_step(&s->hash, &p->mvcc, api_slice_rows(s->io, HASH_ROWS), &done);
	node_leave(s->io->node);
	return done || s->hash_err;
}

static void hash_held(struct serving *s)
{
	if (s->call.err) {
		s->hash_err = s->call.err;
		hashed(s);
		return;
	}
	s->hash_held = true;
	s->held_rev = s->call.revision;
	s->next = hashed;
	s->job = (struct job){.msg.kind = API_MSG_MEMBER_JOB, .run = hash_run, .reply = s->io->actor};
	sched_run(actor_sched(s->io->actor), &s->job);
}

/* {"revision":N} */
static err_t hash_parse(struct slice body, int64_t *rev)
{
	struct pb_reader r;
	struct pb_field f;
	struct buf encoded;
	err_t err;

	*rev = 0;
	if (!body.size)
		return ERR_INVALID;
	buf_init(&encoded, 1 << 16);
	err = json_parse(rpc_methods[RPC_HASH_KV].request, body, NULL, &encoded);
	if (!err && buf_failed(&encoded))
		err = ERR_TOO_LARGE;
	r = pb_reader_of(buf_slice(&encoded));
	while (!err && pb_next(&r, &f))
		if (f.number == 1 && f.wire == PB_VARINT)
			*rev = (int64_t)f.value;
	buf_fini(&encoded);
	return err;
}

static void hash_kv(struct serving *s)
{
	const struct publication *p;
	int64_t rev;

	if (hash_parse(s->request->body, &rev)) {
		answer_text(s, 400, "error unmarshalling request");
		return;
	}
	p = node_view(s->io->node);
	s->now_rev = p->mvcc.rev;
	s->hash_err = mvcc_hash_init(&s->hash, &p->mvcc, rev);
	node_leave(s->io->node);
	if (s->hash_err || s->hash.stored) {
		hashed(s);
		return;
	}
	s->call.revision = mvcc_hash_hold_rev(&s->hash);
	ask_core(s, CALL_HOLD, hash_held);
}

/* ---- in ---- */

void api_member_request(struct api_io *io, struct member_request *take_r)
{
	struct serving *s;

	if (io->member_count == API_MEMBER_REQUESTS_MAX) {
		take_r->answer(take_r, 503, NULL, SLICE_LIT("too many requests\n"));
		return;
	}
	s = NEW(struct serving);
	s->io = io;
	s->request = take_r;
	call_init(&s->call, io->actor, API_MSG_MEMBER_CALL, BODY_MAX);
	list_push_back(&io->members, &s->link);
	io->count++;
	io->member_count++;
	switch (take_r->endpoint) {
	case MEMBER_LIST: answer_members(s); break;
	case MEMBER_VERSION: version(s); break;
	case MEMBER_DOWNGRADE_ENABLED: ask_core(s, CALL_READ_INDEX, downgrade_read); break;
	case MEMBER_PROMOTE: promote(s); break;
	case MEMBER_LEASES: leases(s, false); break;
	case MEMBER_LEASES_INTERNAL: leases(s, true); break;
	case MEMBER_HASHKV: hash_kv(s); break;
	case MEMBER_ENDPOINT_COUNT: UNREACHABLE();
	}
}
