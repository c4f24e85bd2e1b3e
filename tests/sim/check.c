/* Revisions give the order, so the checks are exact, and made when an answer arrives:
 *
 *   C1  an acknowledged write is in the log, once, and its answer is what the model answered there, byte for byte
 *   C2  real time: what ended before a call began is seen by it (linearizable reads), stands in front of it (writes)
 *   C3  a read at revision R returns what the model had at R; one process does not go back in R
 *   C4  an error that promises that nothing happened is kept; an error of the request is the model's
 *   C5  leases: a renewal is of a lease that lives, and what it promises is kept (model.c); a living one is not called gone
 *   C6  HashKV is what the model has
 *   C7  watch: each message continues exactly where the last one ended: nothing missing, twice, out of order (ordered, unique, reliable), a
 *       revision is never split (atomic), also over streams and members (resumable); progress at R comes behind all up to R (bookmarkable)
 *   C8  in the end all members have the same, and what the model has
 *   C9  with rights: a write is refused exactly if it must be at its place in the log; a read shows nothing of a revision at which who asked
 *       had no right to it, and is refused only in a state in which it must be */
#include "world.h"

#include <stdio.h>

#include "base/crc.h"

struct head {
	uint64_t cluster_id, member_id, term;
	int64_t rev;
	bool present;
};

static void fail(struct world *w, size_t tag, const char *rule, const char *text, int64_t rev)
{
	const struct op *op = &w->ops[tag];

	sim_fail("%s: %s: call %zu (%s), revision %lld, began at %.6f s, floor revision %lld index %llu; store %lld, compacted %lld", rule, text, tag,
		 rpc_methods[op->method].name, (long long)rev, (double)op->start_ns / 1e9, (long long)op->rev_floor,
		 (unsigned long long)op->index_floor, (long long)w->model.twin.rev, (long long)w->model.compact_rev);
}

/* Takes the header out of a message: *rest has the other fields as they were. wrapped: field 1 of each message holds the real one. */
static struct head split(struct slice message, struct buf *rest)
{
	struct pb_reader r = pb_reader_of(message);
	struct pb_field f, g;
	struct head h = {0};
	const uint8_t *from = message.data;

	while (pb_next(&r, &f)) {
		if (f.number == 1 && f.wire == PB_BYTES) {
			struct pb_reader in = pb_reader_of(f.bytes);

			h.present = true;
			while (pb_next(&in, &g)) {
				if (g.number == 1)
					h.cluster_id = g.value;
				else if (g.number == 2)
					h.member_id = g.value;
				else if (g.number == 3)
					h.rev = (int64_t)g.value;
				else if (g.number == 4)
					h.term = g.value;
			}
		} else {
			buf_put(rest, from, (size_t)(r.at - from));
		}
		from = r.at;
	}
	if (r.failed)
		sim_fail("an answer does not parse");
	return h;
}

static void unwrap_stream(struct slice message, struct buf *out)
{
	struct pb_reader r = pb_reader_of(message);
	struct pb_field f;

	while (pb_next(&r, &f))
		if (f.number == 1 && f.wire == PB_BYTES)
			buf_put_slice(out, f.bytes);
}

static uint64_t field(struct slice s, uint32_t number)
{
	struct pb_reader r = pb_reader_of(s);
	struct pb_field f;
	uint64_t v = 0;

	while (pb_next(&r, &f))
		if (f.number == number && f.wire == PB_VARINT)
			v = f.value;
	return v;
}

/* ---- answers ---- */

static void written(struct world *w, const struct op *op, size_t tag, const struct head *h, struct slice rest)
{
	const struct model_result *r = &w->model.results.at[tag];

	if (!r->index)
		fail(w, tag, "C1", "acknowledged, but not committed anywhere", h->rev);
	if (r->err)
		fail(w, tag, "C1", "acknowledged, but it must fail", h->rev);
	if (h->rev != r->rev)
		fail(w, tag, "C1", "another revision than the log gives it", h->rev);
	/* Alarms name what they changed; the model does not answer them. */
	if (op->method != RPC_ALARM && !slice_eq(rest, blob_slice(r->answer)))
		fail(w, tag, "C1", "another answer than the log gives it", h->rev);
	if (r->index <= op->index_floor)
		fail(w, tag, "C2", "stands in the log before a call that ended before it began", h->rev);
	w->index_floor = MAX(w->index_floor, r->index);
}

static void read_at(struct world *w, const struct op *op, size_t tag, const struct head *h, struct slice rest)
{
	struct buf want;
	err_t err = OK;

	buf_init(&want, SIZE_MAX);
	if (op->method == RPC_TXN) {
		struct txn_req q;

		ASSERT(txn_req_parse(&w->model.arena, blob_slice(op->body), &q) == OK);
		err = model_txn_at(&w->model, &q, h->rev, &want);
		if (w->k.rights && !model_read_allowed(&w->model, op->who, NULL, &q, h->rev, op->linearizable ? op->index_floor : 0))
			fail(w, tag, "C9", "a txn showed what its client may not read", h->rev);
		arena_reset(&w->model.arena);
	} else {
		struct range_req q;

		ASSERT(range_req_parse(blob_slice(op->body), &q) == OK);
		err = model_range_at(&w->model, &q, h->rev, &want);
		if (w->k.rights && !model_read_allowed(&w->model, op->who, &q, NULL, h->rev, op->linearizable ? op->index_floor : 0))
			fail(w, tag, "C9", "a read showed what its client may not read", h->rev);
		if (op->linearizable && q.revision > 0 && q.revision < op->compact_floor)
			fail(w, tag, "C3", "a read below a compaction that was acknowledged before", q.revision);
	}
	if (err || !slice_eq(rest, buf_slice(&want)))
		fail(w, tag, "C3", "a read returned what was not there", h->rev);
	buf_fini(&want);
}

static void lease_renewed(struct world *w, const struct op *op, size_t tag, struct slice rest)
{
	struct model_lease *l = model_lease(&w->model, op->lease);
	int64_t ttl = (int64_t)field(rest, 3);

	if (ttl > 0) {
		if (!l || ttl != l->ttl_s)
			fail(w, tag, "C5", "renewed a lease that nobody was granted", ttl);
		if (l->revoked_ns && l->revoked_ns < op->start_ns)
			fail(w, tag, "C5", "renewed a lease that was gone before", ttl);
		l->sure_ns = MAX(l->sure_ns, op->start_ns + (uint64_t)ttl * S);
	} else if (l && !l->revoked_ns && l->granted_ns < op->start_ns && l->sure_ns > now_ns(w)) {
		fail(w, tag, "C5", "a lease that lives was called gone", ttl);
	}
}

static void lease_asked(struct world *w, const struct op *op, size_t tag, struct slice rest)
{
	struct model_lease *l = model_lease(&w->model, op->lease);
	int64_t ttl = (int64_t)field(rest, 3);

	/* With a granted time it is known, and past its end by a second: without a quorum nobody revokes it. */
	if (ttl == -1 && !field(rest, 4) && l && !l->revoked_ns && l->granted_ns < op->start_ns)
		fail(w, tag, "C5", "a lease that lives is not known", ttl);
	if (ttl > 0 && l && l->revoked_ns && l->revoked_ns < op->start_ns && w->k.sites == 1)
		fail(w, tag, "C5", "a lease that is gone is known", ttl);
}

static void hashed(struct world *w, struct site *s, size_t tag, const struct head *h, struct slice rest)
{
	int64_t compact_rev = (int64_t)field(rest, 3), rev = (int64_t)field(rest, 4);

	if (!model_hash_is(&w->model, rev, compact_rev, (uint32_t)field(rest, 2)))
		sim_fail("C6: %s has another hash than the model at revision %lld, compacted at %lld; call %zu", s->name, (long long)rev,
			 (long long)compact_rev, tag);
}

static void header(struct world *w, struct site *s, const struct op *op, size_t tag, const struct head *h)
{
	if (h->member_id != s->member_id)
		fail(w, tag, "C1", "a header of another member", h->rev);
	if (h->rev < 1 || h->rev > w->model.twin.rev)
		fail(w, tag, "C3", "a revision that was never made", h->rev);
	if (op->linearizable && h->rev < op->rev_floor)
		fail(w, tag, "C2", "does not see what was acknowledged before it began", h->rev);
	if (s->life == op->life && h->rev < op->site_floor)
		fail(w, tag, "C3", "the process went back behind what it answered before", h->rev);
	if (op->linearizable)
		w->rev_floor = MAX(w->rev_floor, h->rev);
	s->rev_seen = MAX(s->rev_seen, h->rev);
}

static void answered(struct world *w, struct site *s, const struct op *op, size_t tag, struct slice message)
{
	struct buf rest, whole;
	struct head h;

	buf_init(&rest, SIZE_MAX);
	buf_init(&whole, SIZE_MAX);
	if (op->method == RPC_RANGE_STREAM)
		unwrap_stream(message, &whole);
	else
		buf_put_slice(&whole, message);
	h = split(buf_slice(&whole), &rest);
	if (h.present)
		header(w, s, op, tag, &h);
	if (op->in_log)
		written(w, op, tag, &h, buf_slice(&rest));
	else if (op->method == RPC_RANGE || op->method == RPC_RANGE_STREAM || op->method == RPC_TXN)
		read_at(w, op, tag, &h, buf_slice(&rest));
	else if (op->method == RPC_LEASE_KEEP_ALIVE)
		lease_renewed(w, op, tag, buf_slice(&rest));
	else if (op->method == RPC_LEASE_TIME_TO_LIVE)
		lease_asked(w, op, tag, buf_slice(&rest));
	else if (op->method == RPC_HASH_KV)
		hashed(w, s, tag, &h, buf_slice(&rest));
	if (op->method == RPC_LEASE_GRANT) {
		struct model_lease *l = model_lease(&w->model, op->lease);

		l->sure_ns = MAX(l->sure_ns, op->start_ns + (uint64_t)l->ttl_s * S);
	}
	if (op->method == RPC_COMPACT) {
		struct compact_req q;

		ASSERT(compact_req_parse(blob_slice(op->body), &q) == OK);
		w->compact_floor = MAX(w->compact_floor, q.revision);
	}
	buf_fini(&rest);
	buf_fini(&whole);
}

/* ---- errors ---- */

/* What says nothing of whether it happened. */
static bool leaves_open(err_t err)
{
	switch (err) {
	case ERR_TIMEOUT:
	case ERR_TIMEOUT_DUE_TO_LEADER_FAIL:
	case ERR_TIMEOUT_DUE_TO_CONNECTION_LOST:
	case ERR_TIMEOUT_WAIT_APPLIED_INDEX:
	case ERR_CONTEXT_DEADLINE:
	case ERR_DEADLINE_EXCEEDED:
	case ERR_STOPPED:
	case ERR_LEADER_CHANGED:
	case ERR_NO_LEADER:
	case ERR_NOT_PRIMARY_LESSOR:
		return true;
	default:
		return false;
	}
}

static bool is_of_rights(err_t err)
{
	return err == ERR_PERMISSION_DENIED || err == ERR_USER_EMPTY || err == ERR_AUTH_OLD_REVISION;
}

static void refused_read(struct world *w, const struct op *op, size_t tag, err_t err)
{
	uint64_t floor = op->linearizable ? op->index_floor : 0;
	struct range_req q;
	struct txn_req t;

	if (op->method == RPC_TXN) {
		ASSERT(txn_req_parse(&w->model.arena, blob_slice(op->body), &t) == OK);
		if (!model_read_refused(&w->model, op->who, NULL, &t, floor, err))
			fail(w, tag, "C9", err_text(err), 0);
		arena_reset(&w->model.arena);
	} else if (op->method == RPC_RANGE || op->method == RPC_RANGE_STREAM) {
		ASSERT(range_req_parse(blob_slice(op->body), &q) == OK);
		if (!model_read_refused(&w->model, op->who, &q, NULL, floor, err))
			fail(w, tag, "C9", err_text(err), q.revision);
	}
}

static void failed_read(struct world *w, const struct op *op, size_t tag, err_t err)
{
	struct range_req q;

	if (is_of_rights(err)) {
		if (!w->k.rights)
			fail(w, tag, "C9", err_text(err), 0);
		refused_read(w, op, tag, err);
		return;
	}

	if (op->method == RPC_HASH_KV && err == ERR_COMPACTED && !field(blob_slice(op->body), 1))
		fail(w, tag, "C6", "the newest revision cannot be hashed", 0);
	if (op->method != RPC_RANGE || range_req_parse(blob_slice(op->body), &q))
		return;
	if ((err == ERR_COMPACTED || err == ERR_FUTURE_REV) && q.revision <= 0)
		fail(w, tag, "C3", "the newest revision cannot be read", q.revision);
	if (err == ERR_COMPACTED && (size_t)(q.revision + 1) >= w->model.compacted_ns.count)
		fail(w, tag, "C3", "called compacted, and is not", q.revision);
	if (err == ERR_FUTURE_REV && op->linearizable && q.revision <= op->rev_floor)
		fail(w, tag, "C2", "called a future revision, and was acknowledged before", q.revision);
}

/* What rights say of these is said at their place in the log; others are asked in front of it. */
static bool judged_in_log(enum rpc method)
{
	return method == RPC_PUT || method == RPC_DELETE_RANGE || method == RPC_TXN;
}

static void failed(struct world *w, struct op *op, size_t tag, err_t err)
{
	const struct model_result *r = &w->model.results.at[tag];

	if (leaves_open(err))
		return;
	if (!op->in_log) {
		failed_read(w, op, tag, err);
		return;
	}
	switch (err) {
	case ERR_NO_SPACE:      /* also of one that was applied: the quota is each member's own */
		if (!w->k.quota_bytes)
			fail(w, tag, "C4", "no space, and there is no quota", 0);
		return;
	case ERR_LEASE_NOT_FOUND:
	case ERR_KEY_NOT_FOUND:
	case ERR_COMPACTED:
	case ERR_FUTURE_REV:
	case ERR_LEASE_EXIST:
		if (!r->index || r->err != err)
			fail(w, tag, "C4", err_text(err), (int64_t)r->index);
		w->index_floor = MAX(w->index_floor, r->index);
		return;
	default:
		if (r->index && (!w->k.rights || r->err != err))
			fail(w, tag, "C4", err_text(err), (int64_t)r->index);
		if (r->index)
			w->index_floor = MAX(w->index_floor, r->index);
		else if (is_of_rights(err) && judged_in_log(op->method))
			fail(w, tag, "C9", err_text(err), 0);
		else
			op->refused = true;
	}
}

void check_answer(struct world *w, struct site *s, const struct op *op, size_t tag, struct slice message, err_t err)
{
	if (err)
		failed(w, &w->ops[tag], tag, err);
	else
		answered(w, s, op, tag, message);
}

/* ---- watch ---- */

static void watch_fail(const struct watcher_client *c, const char *text, int64_t rev)
{
	const struct model_event *e = c->at < c->w->model.events.count ? &c->w->model.events.at[c->at] : NULL;

	sim_fail("C7: %s: watcher %u at %s from [%.*s, %.*s) start %lld, owed from %lld; revision %lld; next in the model: %.*s at %lld", text, c->id,
		 c->site->name, (int)c->key_size, c->key, (int)c->end_size, c->end, (long long)c->start, (long long)c->next, (long long)rev,
		 e ? (int)e->key.size : 0, e ? (const char *)e->key.data : "", e ? (long long)e->rev : 0);
}

/* Moves on to the next event that is owed; NULL: none yet. */
static const struct model_event *next_event(struct watcher_client *c)
{
	const struct model *m = &c->w->model;

	for (; c->at < m->events.count; c->at++) {
		const struct model_event *e = &m->events.at[c->at];

		if (e->rev >= c->next && model_key_in(e->key, slice_of(c->key, c->key_size), slice_of(c->end, c->end_size)) &&
		    !(e->type == EVENT_PUT ? c->no_put : c->no_delete))
			return e;
	}
	return NULL;
}

/* A compaction at the very revision of an event takes its row away if another event of that revision has the same key: who watches from
 * there sees the last one only, upstream too. */
static bool may_be_gone(const struct world *w, const struct model_event *e)
{
	const struct model_event *end = w->model.events.at + w->model.events.count;

	for (const struct model_event *later = e + 1; e->rev <= w->model.compact_rev && later < end && later->rev == e->rev; later++)
		if (slice_eq(later->key, e->key))
			return true;
	return false;
}

static int64_t take_event(struct watcher_client *c, struct slice got, int64_t header_rev)
{
	const struct model_event *e = next_event(c);
	struct world *w = c->w;

	while (e && e->rev == c->start && !slice_eq(got, blob_slice(e->plain)) && !(e->with_prev && slice_eq(got, blob_slice(e->with_prev))) &&
	       may_be_gone(w, e)) {
		c->at++;
		e = next_event(c);
	}
	if (!e)
		watch_fail(c, "an event that nobody made, or a second time", header_rev);
	if (c->prev_kv && e->with_prev) {
		bool compacted = e->rev - 1 < w->model.compact_rev;

		if (!slice_eq(got, blob_slice(e->with_prev)) && !(compacted && slice_eq(got, blob_slice(e->plain))))
			watch_fail(c, "another event is owed", header_rev);
	} else if (!slice_eq(got, blob_slice(e->plain))) {
		watch_fail(c, "another event is owed", header_rev);
	}
	if (header_rev < e->rev)
		watch_fail(c, "an event above its message's revision", header_rev);
	w->count.events++;
	c->at++;
	return e->rev;
}

struct watch_head {
	int64_t rev, watch_id, compact_rev;
	bool created, canceled, fragment, reason;
	unsigned events;
};

static struct watch_head watch_head(struct slice message)
{
	struct pb_reader r = pb_reader_of(message);
	struct watch_head h = {0};
	struct pb_field f, g;

	while (pb_next(&r, &f)) {
		switch (f.number) {
		case 1: {
			struct pb_reader in = pb_reader_of(f.bytes);

			while (pb_next(&in, &g))
				if (g.number == 3)
					h.rev = (int64_t)g.value;
			break;
		}
		case 2: h.watch_id = (int64_t)f.value; break;
		case 3: h.created = f.value; break;
		case 4: h.canceled = f.value; break;
		case 5: h.compact_rev = (int64_t)f.value; break;
		case 6: h.reason = true; break;
		case 7: h.fragment = f.value; break;
		case 11: h.events++; break;
		}
	}
	return h;
}

static void watch_created(struct watcher_client *c, const struct watch_head *h)
{
	if (h->rev > c->w->model.twin.rev || h->rev < 1)
		watch_fail(c, "created at a revision that was never made", h->rev);
	c->created = true;
	if (!c->begun) {
		c->begun = true;
		c->next = h->rev + 1;
		c->at = model_event_from(&c->w->model, c->next);
	}
}

static void watch_events(struct watcher_client *c, struct slice message, const struct watch_head *h)
{
	struct pb_reader r = pb_reader_of(message);
	const struct model_event *after;
	struct pb_field f;
	int64_t last = 0;

	while (pb_next(&r, &f))
		if (f.number == 11)
			last = take_event(c, f.bytes, h->rev);
	after = next_event(c);
	if (!h->fragment && after && after->rev == last)
		watch_fail(c, "a revision was split", last);
	if (!h->fragment)
		c->next = last + 1;
}

void check_watch(struct watcher_client *c, struct slice message)
{
	struct watch_head h = watch_head(message);
	const struct model_event *owed;

	if (h.canceled && h.compact_rev) {
		if (c->next >= h.compact_rev || h.compact_rev > c->w->model.compact_rev)
			watch_fail(c, "cancelled by a compaction that does not concern it", h.compact_rev);
		c->begun = false;
		return;
	}
	if (h.canceled || h.reason)
		watch_fail(c, "cancelled", h.rev);
	if (h.created) {
		if (c->created)
			watch_fail(c, "created twice", h.rev);
		watch_created(c, &h);
		return;
	}
	if (!c->created)
		watch_fail(c, "something came before the created reply", h.rev);
	if (h.events) {
		watch_events(c, message, &h);
		return;
	}
	owed = next_event(c);
	if (owed && owed->rev <= h.rev)
		watch_fail(c, "progress in front of an event", h.rev);
	c->next = MAX(c->next, h.rev + 1);
}

static bool has_all(struct watcher_client *c)
{
	return c->call && c->created && !next_event(c);
}

bool watchers_have_all(struct world *w)
{
	for (unsigned i = 0; i < w->k.watchers; i++)
		if (!has_all(&w->watchers[i]))
			return false;
	return true;
}

void watchers_check(struct world *w)
{
	for (unsigned i = 0; i < w->k.watchers; i++) {
		struct watcher_client *c = &w->watchers[i];

		if (!has_all(c))
			watch_fail(c, !c->call ? "does not find a member" : !c->created ? "is never created" : "does not get what is owed", 0);
	}
}

/* ---- the end ---- */

struct probe {
	struct buf message;
	bool done, lost;
	err_t err;
};

static void probe_message(void *arg, struct sim_call *c, struct slice message)
{
	buf_put_slice(&((struct probe *)arg)->message, message);
}

static void probe_end(void *arg, struct sim_call *c, err_t err, bool lost)
{
	struct probe *p = arg;

	p->done = true;
	p->lost = lost;
	p->err = err;
}

static const struct call_handler probe_handler = {probe_message, probe_end};

static err_t ask(struct site *s, enum rpc method, struct slice body, struct buf *rest, struct head *h)
{
	struct world *w = s->w;
	struct probe p = {0};
	uint64_t until = now_ns(w) + 30 * S;

	buf_init(&p.message, SIZE_MAX);
	call_begin(s, method, body, &probe_handler, &p);
	while (!p.done)
		if (!world_step(w, until))
			sim_fail("%s does not answer %s", s->name, rpc_methods[method].name);
	buf_clear(rest);
	if (!p.err)
		*h = split(buf_slice(&p.message), rest);
	buf_fini(&p.message);
	return p.err;
}

static void check_site(struct site *s)
{
	struct world *w = s->w;
	struct range_req all = {.key = slice_of("", 1), .range_end = slice_of("", 1)};
	struct buf b, rest, want;
	struct head h = {0};
	uint64_t until = now_ns(w) + 60 * S;
	err_t err;

	buf_init(&b, 1024);
	buf_init(&rest, SIZE_MAX);
	buf_init(&want, SIZE_MAX);
	pb_put_bytes(&b, 1, all.key);
	pb_put_bytes(&b, 2, all.range_end);
	pb_put_uint(&b, 7, 1);
	for (;;) {
		err = ask(s, RPC_RANGE, buf_slice(&b), &rest, &h);
		if (err)
			sim_fail("C8: %s does not answer a local read: %s", s->name, err_text(err));
		if (h.rev == w->model.twin.rev)
			break;
		if (now_ns(w) > until)
			sim_fail("C8: %s stays at revision %lld of %lld", s->name, (long long)h.rev, (long long)w->model.twin.rev);
		world_run(w, 100 * MS);
	}
	ASSERT(model_range_at(&w->model, &all, h.rev, &want) == OK);
	if (!slice_eq(buf_slice(&rest), buf_slice(&want)))
		sim_fail("C8: %s has other keys than the model at revision %lld", s->name, (long long)h.rev);
	buf_clear(&b);
	err = ask(s, RPC_HASH_KV, buf_slice(&b), &rest, &h);
	if (err != ERR_NOT_SUPPORTED_FOR_LEARNER && (err || !model_hash_is(&w->model, (int64_t)field(buf_slice(&rest), 4), (int64_t)field(buf_slice(&rest), 3),
				  (uint32_t)field(buf_slice(&rest), 2))))
		sim_fail("C8: %s has another hash than the model at revision %lld", s->name, (long long)h.rev);
	buf_fini(&b);
	buf_fini(&rest);
	buf_fini(&want);
}

/* Everything about users and roles, as a member tells it. */
static uint64_t auth_digest(struct site *s)
{
	static const enum rpc methods[] = {RPC_AUTH_STATUS, RPC_USER_LIST, RPC_ROLE_LIST, RPC_USER_GET, RPC_ROLE_GET};
	uint64_t digest = 0;
	struct buf b, rest;
	struct head h;

	buf_init(&b, 64);
	buf_init(&rest, SIZE_MAX);
	for (size_t i = 0; i < ARRAY_COUNT(methods); i++)
		for (char n = '0'; n < (methods[i] == RPC_USER_GET || methods[i] == RPC_ROLE_GET ? '4' : '1'); n++) {
			char name[2] = {methods[i] == RPC_USER_GET ? 'u' : 'r', n};
			err_t err;

			buf_clear(&b);
			if (methods[i] == RPC_USER_GET || methods[i] == RPC_ROLE_GET)
				pb_put_bytes(&b, 1, slice_of(name, 2));
			err = ask(s, methods[i], buf_slice(&b), &rest, &h);
			digest = hash64(digest, &err, sizeof(err));
			digest = hash64(digest, rest.data, rest.size);
		}
	buf_fini(&b);
	buf_fini(&rest);
	return digest;
}

static uint64_t members_digest(struct site *s)
{
	const struct publication *p = node_view(s->node);
	uint64_t digest = hash64(0, p->members->data, p->members->size);

	digest = hash64(digest, p->cluster_version, strlen(p->cluster_version));
	node_leave(s->node);
	return digest;
}

static bool has_rights(struct site *s)
{
	const struct auth_state *a = node_view(s->node)->auth;
	bool has = a->revision == s->w->model.rights.revision && a->enabled == s->w->model.rights.enabled;

	node_leave(s->node);
	return has;
}

static bool is_learner(struct site *s)
{
	bool is = node_view(s->node)->is_learner;

	node_leave(s->node);
	return is;
}

static void check_machines(struct world *w)
{
	struct site *first = NULL;
	uint64_t auth = 0;

	for (unsigned i = 0; i < w->site_count; i++) {
		struct site *s = &w->sites[i];
		uint64_t mine;

		if (!s->exists || is_learner(s))
			continue;
		mine = auth_digest(s);
		if (w->k.rights && !has_rights(s))
			sim_fail("C8: %s has another auth revision than the model, or authentication on where it is off there", s->name);
		if (first && mine != auth)
			sim_fail("C8: %s and %s have other users or roles", s->name, first->name);
		first = s;
		auth = mine;
	}
	for (unsigned i = 0; first && i < w->site_count; i++)
		if (w->sites[i].exists && members_digest(&w->sites[i]) != members_digest(first))
			sim_fail("C8: %s and %s know other members", w->sites[i].name, first->name);
}

void check_final(struct world *w)
{
	for (size_t i = 1; i < w->op_count; i++)
		if (w->ops[i].refused && w->model.results.at[i].index)
			fail(w, i, "C4", "refused, and in the log", 0);
	for (unsigned i = 0; i < w->site_count; i++)
		if (w->sites[i].exists)
			check_site(&w->sites[i]);
	check_machines(w);
}
