#include "model.h"

#include <stdio.h>

#include "alarm/alarm.h"
#include "lease/lease.h"
#include "mvcc/mvcc.h"

enum { LEASE_TTL_S_MIN = 2 };          /* election 1,000 ms, heartbeat 100 ms: semantics of LeaseGrant */

void model_init(struct model *m, uint64_t seed)
{
	*m = (struct model){.seed = seed, .compact_rev = -1};
	twin_init(&m->twin);
	rights_init(&m->rights);
	VEC_PUSH(&m->rights_log, ((struct model_rights){0, m->rights}));
	arena_init(&m->arena, 64 << 20);
}

void model_fini(struct model *m)
{
	for (size_t i = 0; i < m->log.count; i++)
		blob_unref(m->log.at[i].data);
	for (size_t i = 0; i < m->results.count; i++)
		blob_unref(m->results.at[i].answer);
	for (size_t i = 0; i < m->events.count; i++) {
		blob_unref(m->events.at[i].plain);
		blob_unref(m->events.at[i].with_prev);
	}
	VEC_FREE(&m->leaders);
	VEC_FREE(&m->votes);
	VEC_FREE(&m->begun_ns);
	VEC_FREE(&m->log);
	VEC_FREE(&m->results);
	VEC_FREE(&m->events);
	VEC_FREE(&m->leases);
	VEC_FREE(&m->alive);
	VEC_FREE(&m->compacted_ns);
	VEC_FREE(&m->nospace);
	VEC_FREE(&m->rights_log);
	twin_fini(&m->twin);
	arena_fini(&m->arena);
}

bool model_key_in(struct slice key, struct slice begin, struct slice end)
{
	if (!end.size)
		return slice_eq(key, begin);
	return slice_cmp(key, begin) >= 0 && (slice_eq(end, slice_of("", 1)) || slice_cmp(key, end) < 0);
}

struct model_lease *model_lease(struct model *m, int64_t id)
{
	for (size_t i = m->leases.count; i-- > 0;)
		if (m->leases.at[i].id == id)
			return &m->leases.at[i];
	return NULL;
}

void model_gap(struct model *m, uint64_t from_ns, uint64_t to_ns)
{
	for (size_t i = 0; i < m->leases.count; i++) {
		struct model_lease *l = &m->leases.at[i];

		if (!l->revoked_ns && l->sure_ns > from_ns)
			l->sure_ns = MAX(l->sure_ns, to_ns + (uint64_t)l->ttl_s * 1000000000u);
	}
}

size_t model_event_from(const struct model *m, int64_t rev)
{
	size_t lo = 0, hi = m->events.count;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (m->events.at[mid].rev < rev)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* ---- events of the revision that was just made ---- */

struct made {
	const struct twin_key *key;
	size_t row;
};

static struct blob *event_bytes(enum event_type type, struct slice kv, struct slice prev)
{
	struct buf b;
	struct blob *blob;

	buf_init(&b, SIZE_MAX);
	event_encode(type, kv, prev, &b);
	blob = blob_copy(buf_slice(&b));
	buf_fini(&b);
	return blob;
}

/* The live value in front of the revision. */
static struct slice value_before(const struct twin_key *k, int64_t rev)
{
	for (size_t i = k->rows.count; i-- > 0;)
		if (k->rows.at[i].rev.main < rev)
			return k->rows.at[i].tombstone ? (struct slice){0} : blob_slice(k->rows.at[i].bytes);
	return (struct slice){0};
}

static void event_add(struct model *m, const struct made *e)
{
	const struct twin_row *r = &e->key->rows.at[e->row];
	struct slice key = blob_slice(e->key->key), prev = value_before(e->key, r->rev.main);
	struct model_event out = {.rev = r->rev.main, .key = key, .type = r->tombstone ? EVENT_DELETE : EVENT_PUT};
	struct slice kv = blob_slice(r->bytes);
	struct buf deleted;

	buf_init(&deleted, SIZE_MAX);
	if (r->tombstone) {
		kv_encode(&(struct kv){.key = key, .mod_rev = r->rev.main}, &deleted);
		kv = buf_slice(&deleted);
	}
	out.plain = event_bytes(out.type, kv, (struct slice){0});
	if (prev.size && (r->tombstone || r->create != r->rev.main))
		out.with_prev = event_bytes(out.type, kv, prev);
	buf_fini(&deleted);
	VEC_PUSH(&m->events, out);
}

static void events_add(struct model *m, int64_t rev)
{
	VEC(struct made) made = {0};

	for (size_t i = 0; i < m->twin.keys.count; i++) {
		const struct twin_key *k = &m->twin.keys.at[i];

		for (size_t j = k->rows.count; j-- > 0 && k->rows.at[j].rev.main == rev;)
			VEC_PUSH(&made, ((struct made){k, j}));
	}
	for (size_t sub = 0; sub < made.count; sub++) {
		size_t i = 0;

		while (made.at[i].key->rows.at[made.at[i].row].rev.sub != (int64_t)sub)
			ASSERT(++i < made.count);
		event_add(m, &made.at[i]);
	}
	VEC_FREE(&made);
}

/* ---- one entry ---- */

static struct slice field_of(struct slice body, uint32_t number)
{
	struct pb_reader r = pb_reader_of(body);
	struct pb_field f;
	struct slice s = {0};

	while (pb_next(&r, &f))
		if (f.number == number && f.wire == PB_BYTES)
			s = f.bytes;
	return s;
}

static uint64_t tag_of(struct slice body)
{
	struct pb_reader r = pb_reader_of(body);
	struct pb_field f;
	uint64_t tag = 0;

	while (pb_next(&r, &f))
		if (f.number == MODEL_TAG_FIELD && f.wire == PB_VARINT)
			tag = f.value;
	return tag;
}

/* Whose right, looked at in which revision of users and roles. */
struct claim {
	const struct rights *r;
	unsigned who;
	uint64_t revision;
};

static err_t may(const struct claim *c, unsigned right, struct slice key, struct slice end)
{
	return rights_range(c->r, c->who, c->revision, right, key, end);
}

/* Every key of the lease. */
static err_t may_lease(const struct model *m, const struct claim *c, int64_t lease)
{
	err_t err = OK;

	if (!c->r->enabled || rights_is_root(c->r, c->who))
		return OK;
	for (size_t i = 0; !err && i < m->twin.keys.count; i++)
		if (lease && twin_lease(&m->twin, blob_slice(m->twin.keys.at[i].key)) == lease)
			err = may(c, RIGHTS_WRITE, blob_slice(m->twin.keys.at[i].key), (struct slice){0});
	return err;
}

static err_t may_put(const struct model *m, const struct claim *c, const struct put_req *r)
{
	err_t err = may(c, RIGHTS_WRITE, r->key, (struct slice){0});

	if (!err)
		err = may_lease(m, c, r->lease);
	if (!err && r->prev_kv)
		err = may(c, RIGHTS_READ, r->key, (struct slice){0});
	return err;
}

static err_t may_delete(const struct claim *c, const struct delete_req *r)
{
	err_t err = may(c, RIGHTS_WRITE, r->key, r->range_end);

	return err || !r->prev_kv ? err : may(c, RIGHTS_READ, r->key, r->range_end);
}

static err_t may_txn(const struct model *m, const struct claim *c, const struct txn_req *r)
{
	err_t err = OK;

	for (size_t i = 0; !err && i < r->compare_count; i++)
		err = may(c, RIGHTS_READ, r->compares[i].key, r->compares[i].range_end);
	for (size_t i = 0; !err && i < r->success_count + r->failure_count; i++) {
		const struct request_op *op = i < r->success_count ? &r->success[i] : &r->failure[i - r->success_count];

		if (op->kind == OP_RANGE)
			err = may(c, RIGHTS_READ, op->range.key, op->range.range_end);
		else if (op->kind == OP_PUT)
			err = may_put(m, c, &op->put);
		else if (op->kind == OP_DELETE)
			err = may_delete(c, &op->del);
		else if (op->kind == OP_TXN)
			err = may_txn(m, c, op->txn);
	}
	return err;
}

static err_t do_txn(struct model *m, const struct claim *c, struct slice body, struct buf *answer)
{
	struct txn_req r;
	err_t err = txn_req_parse(&m->arena, body, &r);

	ASSERT(err == OK);
	if (mvcc_txn_cost(&r) && m->nospace.count)
		return ERR_NO_SPACE;
	err = may_txn(m, c, &r);
	return err ? err : twin_txn(&m->twin, &r, answer);
}

static err_t do_compact(struct model *m, struct slice body, uint64_t now_ns)
{
	struct compact_req r;

	ASSERT(compact_req_parse(body, &r) == OK);
	if (r.revision <= m->compact_rev)
		return ERR_COMPACTED;
	if (r.revision > m->twin.rev)
		return ERR_FUTURE_REV;
	/* The twin keeps its history: answers are asked for at any revision. */
	m->compact_rev = m->twin.compact_rev = r.revision;
	while ((int64_t)m->compacted_ns.count <= r.revision)
		VEC_PUSH(&m->compacted_ns, now_ns);
	return OK;
}

static err_t do_grant(struct model *m, struct slice body, uint64_t now_ns, struct buf *answer)
{
	struct lease_grant_req r;
	struct model_lease *old;

	ASSERT(lease_grant_req_parse(body, &r) == OK);
	if (m->nospace.count)
		return ERR_NO_SPACE;
	if (r.ttl > LEASE_TTL_S_MAX)
		return ERR_LEASE_TTL_TOO_LARGE;
	old = model_lease(m, r.id);
	if (old && !old->revoked_ns)
		return ERR_LEASE_EXIST;
	r.ttl = MAX(r.ttl, LEASE_TTL_S_MIN);
	VEC_PUSH(&m->leases, ((struct model_lease){.id = r.id, .ttl_s = r.ttl, .granted_ns = now_ns}));
	VEC_PUSH(&m->alive, r.id);
	pb_put_uint(answer, 2, (uint64_t)r.id);
	pb_put_uint(answer, 3, (uint64_t)r.ttl);
	return OK;
}

/* A new leader gives every lease its whole time again: none ends by itself before that is over. */
static void expires(struct model *m, const struct model_lease *l, uint64_t term, uint64_t now_ns)
{
	uint64_t begun_ns = term < m->begun_ns.count ? m->begun_ns.at[term] : 0;

	if (now_ns < l->sure_ns)
		sim_fail("lease %lld expired at %.3f s although its holder was promised time up to %.3f s", (long long)l->id, (double)now_ns / 1e9,
			 (double)l->sure_ns / 1e9);
	if (l->granted_ns < begun_ns && now_ns < begun_ns + (uint64_t)l->ttl_s * 1000000000u)
		sim_fail("lease %lld of %lld s expired at %.3f s, in term %llu, whose leader began at %.3f s", (long long)l->id, (long long)l->ttl_s,
			 (double)now_ns / 1e9, (unsigned long long)term, (double)begun_ns / 1e9);
	m->expired++;
}

static err_t do_revoke(struct model *m, const struct claim *c, struct slice body, bool by_client, uint64_t term, uint64_t now_ns)
{
	struct lease_revoke_req r;
	struct model_lease *l;
	VEC(struct slice) keys = {0};
	size_t n = 0;
	err_t err;

	ASSERT(lease_revoke_req_parse(body, &r) == OK);
	err = may_lease(m, c, r.id);
	if (err)
		return err;
	l = model_lease(m, r.id);
	if (!l || l->revoked_ns)
		return ERR_LEASE_NOT_FOUND;
	if (!by_client)
		expires(m, l, term, now_ns);
	l->revoked_ns = now_ns;
	for (size_t i = 0; i < m->alive.count; i++)
		if (m->alive.at[i] != r.id)
			m->alive.at[n++] = m->alive.at[i];
	m->alive.count = n;
	for (size_t i = 0; i < m->twin.keys.count; i++)
		if (twin_lease(&m->twin, blob_slice(m->twin.keys.at[i].key)) == r.id)
			VEC_PUSH(&keys, blob_slice(m->twin.keys.at[i].key));
	twin_delete_keys(&m->twin, keys.at, keys.count);
	VEC_FREE(&keys);
	return OK;
}

static void do_alarm(struct model *m, struct slice body)
{
	struct pb_reader r = pb_reader_of(body);
	struct pb_field f;
	uint64_t action = 0, member = 0, type = 0;
	size_t n = 0;

	while (pb_next(&r, &f)) {
		if (f.number == 1)
			action = f.value;
		else if (f.number == 2)
			member = f.value;
		else if (f.number == 3)
			type = f.value;
	}
	if (type == ALARM_CORRUPT && action)
		sim_fail("a member raised the alarm CORRUPT");
	if (type != ALARM_NOSPACE || !action)
		return;
	for (size_t i = 0; i < m->nospace.count; i++)
		if (m->nospace.at[i] != member)
			m->nospace.at[n++] = m->nospace.at[i];
	m->nospace.count = n;
	if (action == 1)
		VEC_PUSH(&m->nospace, member);
}

static err_t request(struct model *m, const struct internal_req *r, uint64_t tag, uint64_t term, uint64_t now_ns, struct buf *answer)
{
	struct claim c = {&m->rights, rights_who(r->username), r->auth_revision};
	struct put_req put;
	struct delete_req del;
	err_t err;

	if (m->with_rights && rights_apply(&m->rights, r, &err))
		return err;
	m->twin.leases = m->alive.at;
	m->twin.lease_count = m->alive.count;
	switch (r->field) {
	case REQ_PUT:
		ASSERT(put_req_parse(r->body, &put) == OK);
		if (m->nospace.count)
			return ERR_NO_SPACE;
		err = may_put(m, &c, &put);
		return err ? err : twin_put(&m->twin, &put, answer);
	case REQ_DELETE_RANGE:
		ASSERT(delete_req_parse(r->body, &del) == OK);
		err = may_delete(&c, &del);
		if (!err)
			twin_delete(&m->twin, &del, answer);
		return err;
	case REQ_TXN:
		return do_txn(m, &c, r->body, answer);
	case REQ_COMPACTION:
		return do_compact(m, r->body, now_ns);
	case REQ_LEASE_GRANT:
		return do_grant(m, r->body, now_ns, answer);
	case REQ_LEASE_REVOKE:
		return do_revoke(m, &c, r->body, tag != 0, term, now_ns);
	case REQ_ALARM:
		do_alarm(m, r->body);
		return OK;
	default:
		return OK;
	}
}

/* A grant is encoded anew by the server, without the tag: its id is the client's number. Of a new user the options are kept. */
static uint64_t request_tag(const struct internal_req *r)
{
	struct lease_grant_req grant;

	if (r->field == REQ_USER_ADD)
		return tag_of(field_of(r->body, 3));
	if (r->field != REQ_LEASE_GRANT)
		return tag_of(r->body);
	ASSERT(lease_grant_req_parse(r->body, &grant) == OK);
	return (uint64_t)grant.id;
}

static void normal(struct model *m, struct model_entry *e, uint64_t index)
{
	struct internal_req r;
	struct buf answer;
	struct rights rights = m->rights;
	int64_t rev = m->twin.rev;
	uint64_t tag;
	err_t err;

	if (!e->data || !e->data->size) {
		while (m->begun_ns.count <= e->term)
			VEC_PUSH(&m->begun_ns, e->first_ns);
		return;
	}
	if (internal_req_parse(blob_slice(e->data), &r))
		sim_fail("entry %llu does not parse", (unsigned long long)index);
	buf_init(&answer, SIZE_MAX);
	tag = request_tag(&r);
	err = request(m, &r, tag, e->term, e->first_ns, &answer);
	if (m->rights.revision != rights.revision || m->rights.enabled != rights.enabled)
		VEC_PUSH(&m->rights_log, ((struct model_rights){index, m->rights}));
	if (m->twin.rev != rev)
		events_add(m, m->twin.rev);
	if (tag) {
		struct model_result *res;

		if (tag >= m->results.count)
			sim_fail("entry %llu is of request %llu, which nobody made", (unsigned long long)index, (unsigned long long)tag);
		res = &m->results.at[tag];
		if (res->index)
			sim_fail("request %llu is in the log twice: entries %llu and %llu", (unsigned long long)tag, (unsigned long long)res->index,
				 (unsigned long long)index);
		if (r.auth_revision > rights.revision || (r.username.size ? rights_who(r.username) != res->who : r.auth_revision))
			sim_fail("entry %llu claims to be of %.*s, auth revision %llu; request %llu was made by %s", (unsigned long long)index,
				 (int)r.username.size, (const char *)r.username.data, (unsigned long long)r.auth_revision,
				 (unsigned long long)tag, rights_user(res->who) ? rights_user(res->who) : "nobody");
		*res = (struct model_result){index, m->twin.rev, err, blob_copy(buf_slice(&answer)), res->who};
	}
	buf_fini(&answer);
	arena_reset(&m->arena);
}

void model_applying(struct model *m, const struct raft_entry *e, const char *who, uint64_t now_ns)
{
	struct model_entry *have;

	if (e->index > m->log.count + 1)
		sim_fail("%s applies entry %llu, but %zu is not committed yet", who, (unsigned long long)e->index, m->log.count + 1);
	if (e->index == m->log.count + 1) {
		VEC_PUSH(&m->log, ((struct model_entry){e->term, e->type, blob_ref(e->data), now_ns, 0}));
		have = &m->log.at[e->index - 1];
		if (e->type == ENTRY_NORMAL)
			normal(m, have, e->index);
		have->rev = m->twin.rev;
		return;
	}
	have = &m->log.at[e->index - 1];
	if (have->term != e->term || have->type != e->type || !slice_eq(blob_slice(have->data), blob_slice(e->data)))
		sim_fail("%s applies at index %llu an entry of term %llu, where one of term %llu was applied at %.3f s", who,
			 (unsigned long long)e->index, (unsigned long long)e->term, (unsigned long long)have->term, (double)have->first_ns / 1e9);
}

void model_leads(struct model *m, uint64_t term, uint64_t member)
{
	while (m->leaders.count <= term)
		VEC_PUSH(&m->leaders, 0);
	if (m->leaders.at[term] && m->leaders.at[term] != member)
		sim_fail("two leaders in term %llu: %llx and %llx", (unsigned long long)term, (unsigned long long)m->leaders.at[term],
			 (unsigned long long)member);
	m->leaders.at[term] = member;
}

void model_voted(struct model *m, uint64_t term, uint64_t member, uint64_t candidate)
{
	for (size_t i = m->votes.count; i-- > 0;) {
		const struct model_vote *v = &m->votes.at[i];

		if (v->term != term || v->member != member)
			continue;
		if (v->candidate != candidate)
			sim_fail("%llx voted twice in term %llu: for %llx and for %llx", (unsigned long long)member, (unsigned long long)term,
				 (unsigned long long)v->candidate, (unsigned long long)candidate);
		return;
	}
	VEC_PUSH(&m->votes, ((struct model_vote){term, member, candidate}));
}

/* ---- reads ---- */

struct as_of {
	int64_t rev, compact_rev;
};

static struct as_of as_of(struct model *m, int64_t rev)
{
	struct as_of now = {m->twin.rev, m->twin.compact_rev};

	m->twin.rev = rev;
	m->twin.compact_rev = -1;
	return now;
}

static void back(struct model *m, struct as_of now)
{
	m->twin.rev = now.rev;
	m->twin.compact_rev = now.compact_rev;
}

err_t model_range_at(struct model *m, const struct range_req *r, int64_t rev, struct buf *out)
{
	struct as_of now = as_of(m, rev);
	err_t err = twin_range(&m->twin, r, out);

	back(m, now);
	return err;
}

err_t model_txn_at(struct model *m, const struct txn_req *r, int64_t rev, struct buf *out)
{
	struct as_of now = as_of(m, rev);
	err_t err = twin_txn(&m->twin, r, out);

	back(m, now);
	return err;
}

/* The state of users and roles in front of index_end, by place in rights_log. */
static bool in_force(const struct model *m, size_t i, uint64_t floor, uint64_t end)
{
	return m->rights_log.at[i].index < end && (i + 1 == m->rights_log.count || m->rights_log.at[i + 1].index > floor);
}

static err_t may_read(struct model *m, const struct rights *rights, unsigned who, const struct range_req *r, const struct txn_req *txn)
{
	struct claim c = {rights, who, 0};

	return txn ? may_txn(m, &c, txn) : may(&c, RIGHTS_READ, r->key, r->range_end);
}

bool model_read_allowed(struct model *m, unsigned who, const struct range_req *r, const struct txn_req *txn, int64_t rev, uint64_t floor)
{
	uint64_t from = m->log.count + 1, end = 0;

	for (size_t i = m->log.count; i-- > 0 && m->log.at[i].rev >= rev;)
		if (m->log.at[i].rev == rev) {
			from = i + 1;
			end = MAX(end, i + 2);
		}
	if (rev == 1)
		from = 0;
	for (size_t i = 0; i < m->rights_log.count; i++)
		if (in_force(m, i, MAX(from, floor), MAX(end, 1)) && may_read(m, &m->rights_log.at[i].r, who, r, txn) == OK)
			return true;
	return false;
}

bool model_read_refused(struct model *m, unsigned who, const struct range_req *r, const struct txn_req *txn, uint64_t floor, err_t err)
{
	if (err == ERR_AUTH_OLD_REVISION)
		return m->rights_log.count > 1;
	for (size_t i = 0; i < m->rights_log.count; i++)
		if (in_force(m, i, floor, UINT64_MAX) && may_read(m, &m->rights_log.at[i].r, who, r, txn) == err)
			return true;
	return false;
}

bool model_hash_is(struct model *m, int64_t rev, int64_t compact_rev, uint32_t hash)
{
	return twin_hash(&m->twin, rev, compact_rev, false) == hash || (rev > compact_rev && twin_hash(&m->twin, rev, compact_rev, true) == hash);
}
