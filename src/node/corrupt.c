/* Does everybody have the same data? The leader hashes its own, asks the others for theirs at the same revision, and raises CORRUPT for
 * who differs (upstream: etcdserver/corrupt.go, v3.7.1).
 *
 *	periodic    own hash ─> others' at its revision ─> a linearizable read ─> own hash again ─> judged
 *	compaction  for each kept hash of a compaction, newest first: others' ─> judged; ends at the first that all could answer
 *
 * One check at a time; hashing is on a worker, in slices, at a held revision. A check that meets the end of leadership just ends. */
#include "node/corrupt.h"

#include "pb/json.h"
#include "pb/methods.h"

enum { HASH_ROWS = 2000, KEPT_MAX = 10 };

struct hash_check {
	struct node *node;
	VEC(struct peer_hash) peers;
	size_t waiting;                         /* answers */
	void (*answered)(struct node *n, struct hash_check *c);
	/* own hash */
	struct job job;
	bool hashing;
	struct mvcc_hash hash;
	err_t hash_err;
	int64_t held_rev;
	int64_t now_rev;                        /* when the last hash began */
	_Atomic bool given_up;
	bool again;                             /* it is the second one */
	struct mvcc_hash_result first;
	/* compactions */
	struct mvcc_hash_result kept[KEPT_MAX]; /* newest first */
	size_t kept_count, at;
};

/* ---- answers ---- */

void corrupt_question(int64_t rev, struct buf *out)
{
	if (rev)
		buf_printf(out, "{\"revision\":%lld}", (long long)rev);
	else
		buf_printf(out, "{}");
}

/* HashKVResponse {header 1 {revision 3}, hash 2, compact_revision 3, hash_revision 4} */
static err_t answer_read(struct slice json, struct peer_hash *out)
{
	struct pb_reader r, in;
	struct pb_field f, g;
	struct buf b;
	err_t err;

	buf_init(&b, 1 << 16);
	err = json_parse(rpc_methods[RPC_HASH_KV].response, json, NULL, &b);
	r = pb_reader_of(buf_slice(&b));
	while (!err && pb_next(&r, &f))
		switch (f.number) {
		case 1:
			in = pb_reader_of(f.bytes);
			while (pb_next(&in, &g))
				if (g.number == 3)
					out->rev = (int64_t)g.value;
			break;
		case 2:
			out->crc = (uint32_t)f.value;
			break;
		case 3:
			out->compact_rev = (int64_t)f.value;
			break;
		default:
			break;
		}
	buf_fini(&b);
	return err;
}

static bool contains(struct slice s, const char *text)
{
	return s.size && memmem(s.data, s.size, text, strlen(text));
}

void corrupt_answer(const struct member_question *q, struct peer_hash *out)
{
	struct slice body = buf_slice(&q->answer);

	out->err = q->err;
	if (out->err)
		return;
	if (q->status == 200)
		out->err = answer_read(body, out);
	else if (q->status == 400 && contains(body, "mvcc: required revision has been compacted"))
		out->err = ERR_COMPACTED;
	else if (q->status == 400 && contains(body, "mvcc: required revision is a future revision"))
		out->err = ERR_FUTURE_REV;
	else if (q->status == 412)
		out->err = ERR_CLUSTER_ID_MISMATCH;
	else
		out->err = ERR_IO;
}

/* ---- the others ---- */

static void check_end(struct node *n, struct hash_check *c)
{
	VEC_FREE(&c->peers);
	mvcc_hash_fini(&c->hash);
	mem_free(c);
	n->hash_check = NULL;
}

static bool still_leads(const struct node *n)
{
	return n->role == RAFT_LEADER && !n->stopping;
}

static void have_answer(struct node *n, struct core_question *q)
{
	struct hash_check *c = n->hash_check;

	for (size_t i = 0; i < c->peers.count; i++)
		if (c->peers.at[i].id == q->member_id)
			corrupt_answer(&q->q, &c->peers.at[i]);
	if (--c->waiting)
		return;
	if (still_leads(n))
		c->answered(n, c);
	else
		check_end(n, c);
}

/* False: there is nobody. */
static bool ask_peers(struct node *n, struct hash_check *c, int64_t rev, void (*answered)(struct node *n, struct hash_check *c))
{
	c->peers.count = 0;
	c->answered = answered;
	for (size_t i = 0; i < members_count(n->members); i++) {
		const struct member *m = members_at(n->members, i);
		struct core_question *q;

		if (m->id == n->member_id || !m->peer_urls.list.count)
			continue;
		VEC_PUSH(&c->peers, ((struct peer_hash){.id = m->id, .err = ERR_IO}));
		q = core_question_new(MEMBER_HASHKV, &m->peer_urls, have_answer);
		q->member_id = m->id;
		corrupt_question(rev, &q->body);
		c->waiting++;
		core_ask(n, q);
	}
	return c->peers.count > 0;
}

static void alarm(struct node *n, uint64_t id)
{
	struct buf body;

	buf_init(&body, 64);
	pb_put_uint(&body, 1, 1);               /* ACTIVATE */
	pb_put_uint(&body, 2, id);
	pb_put_uint(&body, 3, ALARM_CORRUPT);
	LOG_WARN("alarm raised", LOG_STR("alarm", "CORRUPT"), LOG_HEX("from", id));
	core_own_propose(n, OWN_ALARM_CORRUPT, REQ_ALARM, buf_slice(&body), 0);
	buf_fini(&body);
}

/* ---- own hash ---- */

static bool hash_run(struct job *j)
{
	struct hash_check *c = CONTAINER_OF(j, struct hash_check, job);
	const struct publication *p = node_view(c->node);
	bool done = false;

	c->hash_err = c->given_up ? ERR_STOPPED : mvcc_hash_step(&c->hash, &p->mvcc, HASH_ROWS, &done);
	node_leave(c->node);
	return done || c->hash_err;
}

/* Of the newest published revision. */
static err_t hash_begin(struct node *n, struct hash_check *c)
{
	const struct publication *p = node_view(n);
	err_t err;

	mvcc_hash_fini(&c->hash);
	c->now_rev = p->mvcc.rev;
	err = mvcc_hash_init(&c->hash, &p->mvcc, 0);
	node_leave(n);
	if (err)
		return err;
	c->held_rev = mvcc_hash_hold_rev(&c->hash);
	if (!mvcc_hold(n->mvcc, c->held_rev))
		return ERR_COMPACTED;
	c->job = (struct job){.msg.kind = CORE_CORRUPT_HASH, .run = hash_run, .reply = n->core};
	c->hashing = true;
	n->jobs++;
	VEC_PUSH(&n->jobs_ready, &c->job);
	return OK;
}

/* ---- periodic ---- */

static void judge_peer(struct node *n, const struct hash_check *c, const struct peer_hash *p, bool *alarmed)
{
	const struct mvcc_hash_result *own = &c->first;
	const char *text = NULL;

	/* now_rev and the second hash are later than the answer: nobody may be ahead of them. */
	if (p->rev > c->now_rev)
		text = "revision from follower must be less than or equal to leader's";
	else if (p->compact_rev > c->hash.result.compact_rev)
		text = "compact revision from follower must be less than or equal to leader's";
	else if (p->compact_rev == own->compact_rev && p->crc != own->crc)
		text = "same compact revision then hashes must match";
	if (!text)
		return;
	LOG_WARN(text, LOG_HEX("follower-peer-id", p->id), LOG_INT("leader-revision", c->now_rev), LOG_INT("follower-revision", p->rev),
		 LOG_INT("leader-compact-revision", c->hash.result.compact_rev), LOG_INT("follower-compact-revision", p->compact_rev),
		 LOG_UINT("leader-hash", own->crc), LOG_UINT("follower-hash", p->crc));
	if (!*alarmed)
		alarm(n, p->id);
	*alarmed = true;
}

static void judge_periodic(struct node *n, struct hash_check *c)
{
	const struct mvcc_hash_result *a = &c->first, *b = &c->hash.result;
	bool alarmed = false;
	size_t checked = 0;

	if (b->crc != a->crc && b->rev == a->rev && b->compact_rev == a->compact_rev) {
		LOG_WARN("found hash mismatch", LOG_INT("revision-1", a->rev), LOG_INT("compact-revision-1", a->compact_rev),
			 LOG_UINT("hash-1", a->crc), LOG_INT("revision-2", b->rev), LOG_INT("compact-revision-2", b->compact_rev),
			 LOG_UINT("hash-2", b->crc));
		alarm(n, n->member_id);
		alarmed = true;
	}
	for (size_t i = 0; i < c->peers.count; i++) {
		if (c->peers.at[i].err)
			continue;
		checked++;
		judge_peer(n, c, &c->peers.at[i], &alarmed);
	}
	LOG_INFO("finished peer corruption check", LOG_UINT("number-of-peers-checked", checked));
	check_end(n, c);
}

static void failed(struct node *n, struct hash_check *c, err_t err)
{
	LOG_WARN("failed to check hash KV", LOG_ERR(err));
	check_end(n, c);
}

/* The read makes sure that whatever the others had when they answered is here as well. */
static void periodic_answered(struct node *n, struct hash_check *c)
{
	core_own_read(n, OWN_READ_CORRUPT);
}

void core_corrupt_read(struct node *n, err_t err)
{
	struct hash_check *c = n->hash_check;

	if (!c)
		return;
	c->again = true;
	if (!err)
		err = hash_begin(n, c);
	if (err)
		failed(n, c, err);
}

static void periodic_hashed(struct node *n, struct hash_check *c)
{
	if (c->again) {
		judge_periodic(n, c);
		return;
	}
	c->first = c->hash.result;
	if (!ask_peers(n, c, c->first.rev, periodic_answered))
		periodic_answered(n, c);
}

void core_corrupt_hashed(struct node *n, struct job *j)
{
	struct hash_check *c = CONTAINER_OF(j, struct hash_check, job);

	n->jobs--;
	c->hashing = false;
	node_release(n, c->held_rev);
	if (c->hash_err || !still_leads(n))
		failed(n, c, c->hash_err ? c->hash_err : ERR_NOT_LEADER);
	else
		periodic_hashed(n, c);
}

static struct hash_check *check_new(struct node *n)
{
	struct hash_check *c = NEW(struct hash_check);

	c->node = n;
	n->hash_check = c;
	return c;
}

static void periodic_start(struct node *n)
{
	struct hash_check *c = check_new(n);
	err_t err = hash_begin(n, c);

	if (err)
		failed(n, c, err);
}

/* ---- hashes of compactions ---- */

/* How many, leader included, have this hash. */
static size_t with_hash(const struct hash_check *c, const struct mvcc_hash_result *own, uint32_t crc)
{
	size_t count = own->crc == crc;

	for (size_t i = 0; i < c->peers.count; i++)
		count += !c->peers.at[i].err && c->peers.at[i].compact_rev == own->compact_rev && c->peers.at[i].crc == crc;
	return count;
}

static bool found_majority(const struct hash_check *c, const struct mvcc_hash_result *own, uint32_t *crc)
{
	size_t quorum = (c->peers.count + 1) / 2 + 1;

	*crc = own->crc;
	if (with_hash(c, own, own->crc) >= quorum)
		return true;
	for (size_t i = 0; i < c->peers.count; i++) {
		*crc = c->peers.at[i].crc;
		if (!c->peers.at[i].err && c->peers.at[i].compact_rev == own->compact_rev && with_hash(c, own, *crc) >= quorum)
			return true;
	}
	return false;
}

static void mismatch_line(const struct node *n, const struct mvcc_hash_result *own, uint64_t id, uint32_t crc, bool quorum)
{
	LOG_ERROR("Detected compaction hash mismatch", LOG_HEX("leader-id", n->member_id), LOG_INT("leader-revision", own->rev),
		  LOG_INT("leader-compact-revision", own->compact_rev), LOG_UINT("leader-hash", own->crc), LOG_UINT("peer-hash", crc),
		  LOG_HEX("peer-ids", id), LOG_BOOL("quorum-exist", quorum));
}

/* Everybody outside the majority gets an alarm; without one, the cluster as a whole (member 0). */
static void judge_mismatch(struct node *n, const struct hash_check *c, const struct mvcc_hash_result *own)
{
	uint32_t right;
	bool quorum = found_majority(c, own, &right);

	if (!quorum) {
		LOG_ERROR("Detected compaction hash mismatch but cannot identify the corrupted members, so intentionally set the memberID as 0",
			  LOG_HEX("leader-id", n->member_id), LOG_INT("leader-revision", own->rev),
			  LOG_INT("leader-compact-revision", own->compact_rev), LOG_UINT("leader-hash", own->crc));
		alarm(n, 0);
	}
	if (!quorum || own->crc != right) {
		if (quorum)
			alarm(n, n->member_id);
		mismatch_line(n, own, n->member_id, own->crc, quorum);
	}
	for (size_t i = 0; i < c->peers.count; i++) {
		const struct peer_hash *p = &c->peers.at[i];

		if (p->err || p->compact_rev != own->compact_rev || (quorum && p->crc == right))
			continue;
		if (quorum)
			alarm(n, p->id);
		mismatch_line(n, own, p->id, p->crc, quorum);
	}
}

/* True: nothing more to be learnt from older ones. */
static bool judge_compaction(struct node *n, struct hash_check *c, const struct mvcc_hash_result *own)
{
	size_t checked = 0;
	bool differs = false;

	for (size_t i = 0; i < c->peers.count; i++) {
		const struct peer_hash *p = &c->peers.at[i];

		if (p->err || p->compact_rev != own->compact_rev) {
			LOG_WARN("Skipped peer's hash", LOG_UINT("number-of-peers", c->peers.count), LOG_HEX("leader-id", n->member_id),
				 LOG_HEX("peer-id", p->id), LOG_STR("reason", p->err ? "no response" :
				 "the peer's CompactRevision doesn't match leader's CompactRevision"));
			continue;
		}
		checked++;
		differs = differs || p->crc != own->crc;
	}
	if (differs) {
		judge_mismatch(n, c, own);
		return true;
	}
	if (checked == c->peers.count) {
		LOG_INFO("successfully checked hash on whole cluster", LOG_UINT("number-of-peers-checked", checked),
			 LOG_INT("revision", own->rev), LOG_INT("compactRevision", own->compact_rev));
		n->compact_checked_rev = MAX(n->compact_checked_rev, own->rev);
		return true;
	}
	LOG_WARN("skipped revision in compaction hash check; was not able to check all peers", LOG_UINT("number-of-peers-checked", checked),
		 LOG_UINT("number-of-peers", c->peers.count), LOG_INT("revision", own->rev), LOG_INT("compactRevision", own->compact_rev));
	return false;
}

static void compaction_next(struct node *n, struct hash_check *c);

static void compaction_answered(struct node *n, struct hash_check *c)
{
	if (judge_compaction(n, c, &c->kept[c->at++]))
		c->kept_count = c->at;
	compaction_next(n, c);
}

static void compaction_next(struct node *n, struct hash_check *c)
{
	if (c->at < c->kept_count && c->kept[c->at].rev > n->compact_checked_rev &&
	    ask_peers(n, c, c->kept[c->at].rev, compaction_answered))
		return;
	LOG_INFO("finished compaction hash check", LOG_UINT("number-of-hashes-checked", c->at));
	check_end(n, c);
}

static void compaction_start(struct node *n)
{
	struct hash_check *c = check_new(n);
	struct mvcc_hash_result kept[KEPT_MAX];
	const struct publication *p = node_view(n);

	c->kept_count = mvcc_hashes_kept(&p->mvcc, kept);
	node_leave(n);
	for (size_t i = 0; i < c->kept_count; i++)
		c->kept[i] = kept[c->kept_count - 1 - i];
	LOG_INFO("starting compact hash check", LOG_HEX("local-member-id", n->member_id), LOG_DURATION("timeout", (int64_t)n->time_limit_ns));
	compaction_next(n, c);
}

/* ---- when ---- */

static bool due(uint64_t now_ns, uint64_t every_ns, uint64_t *next_ns)
{
	if (!every_ns)
		return false;
	if (!*next_ns)
		*next_ns = now_ns + every_ns;
	if (now_ns < *next_ns)
		return false;
	*next_ns = now_ns + every_ns;
	return true;
}

void core_corrupt_tick(struct node *n, uint64_t now_ns)
{
	bool periodic, compaction;

	if (n->stopping && n->hash_check)
		n->hash_check->given_up = true;
	if (n->stopping || n->hash_check)
		return;
	periodic = due(now_ns, n->cfg.corrupt_check_ns, &n->next_corrupt_ns);
	compaction = due(now_ns, n->cfg.compact_hash_check_ns, &n->next_compact_hash_ns);
	if (n->role != RAFT_LEADER)
		return;
	if (periodic)
		periodic_start(n);
	if (compaction && !n->hash_check)
		compaction_start(n);
}

void core_corrupt_stop(struct node *n)
{
	if (n->hash_check)
		check_end(n, n->hash_check);
}
