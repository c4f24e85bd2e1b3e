/* The hand-written codecs against protobuf-c, on random messages and on damaged ones: what we write it reads, what it
 * writes we read, and both mean the same. Damaged bytes are read by pb_unpack for comparison, which has Go's rules
 * (and is itself compared with protobuf-c in test_pbc.c). */
#include "pb_test.h"
#include "random_message.h"

#include "pb/raftpb.h"
#include "pb/rpc.h"

#include "pb/kv.pb-c.h"
#include "pb/raft.pb-c.h"
#include "pb/raft_internal.pb-c.h"
#include "pb/record.pb-c.h"

static bool same_bytes(struct slice ours, ProtobufCBinaryData theirs)
{
	return slice_eq(ours, pb_slice(theirs));
}

static bool same_kv(const struct kv *o, const Mvccpb__KeyValue *t)
{
	return same_bytes(o->key, t->key) && same_bytes(o->value, t->value) && o->create_rev == t->create_revision &&
	       o->mod_rev == t->mod_revision && o->version == t->version && o->lease == t->lease;
}

static bool same_range(const struct range_req *o, const Etcdserverpb__RangeRequest *t)
{
	return same_bytes(o->key, t->key) && same_bytes(o->range_end, t->range_end) && o->limit == t->limit &&
	       o->revision == t->revision && o->sort_order == (int32_t)t->sort_order &&
	       o->sort_target == (int32_t)t->sort_target && o->serializable == t->serializable &&
	       o->keys_only == t->keys_only && o->count_only == t->count_only && o->min_mod_rev == t->min_mod_revision &&
	       o->max_mod_rev == t->max_mod_revision && o->min_create_rev == t->min_create_revision &&
	       o->max_create_rev == t->max_create_revision;
}

static bool same_put(const struct put_req *o, const Etcdserverpb__PutRequest *t)
{
	return same_bytes(o->key, t->key) && same_bytes(o->value, t->value) && o->lease == t->lease &&
	       o->prev_kv == t->prev_kv && o->ignore_value == t->ignore_value && o->ignore_lease == t->ignore_lease;
}

static bool same_delete(const struct delete_req *o, const Etcdserverpb__DeleteRangeRequest *t)
{
	return same_bytes(o->key, t->key) && same_bytes(o->range_end, t->range_end) && o->prev_kv == t->prev_kv;
}

static bool same_compare(const struct compare *o, const Etcdserverpb__Compare *t)
{
	if (o->result != (int32_t)t->result || o->target != (int32_t)t->target || !same_bytes(o->key, t->key) ||
	    !same_bytes(o->range_end, t->range_end) || (unsigned)o->which != (unsigned)t->target_union_case)
		return false;
	switch (o->which) {
	case CMP_UNION_NONE: return o->number == 0 && o->value.size == 0;
	case CMP_UNION_VALUE: return o->number == 0 && same_bytes(o->value, t->value);
	default: return o->value.size == 0 && o->number == t->version;  /* one union, one place */
	}
}

static bool same_txn(const struct txn_req *o, const Etcdserverpb__TxnRequest *t);

static bool same_op(const struct request_op *o, const Etcdserverpb__RequestOp *t)
{
	if ((unsigned)o->kind != (unsigned)t->request_case)
		return false;
	switch (o->kind) {
	case OP_NONE: return true;
	case OP_RANGE: return same_range(&o->range, t->request_range);
	case OP_PUT: return same_put(&o->put, t->request_put);
	case OP_DELETE: return same_delete(&o->del, t->request_delete_range);
	case OP_TXN: return same_txn(o->txn, t->request_txn);
	}
	return false;
}

static bool same_txn(const struct txn_req *o, const Etcdserverpb__TxnRequest *t)
{
	bool same = o->compare_count == t->n_compare && o->success_count == t->n_success && o->failure_count == t->n_failure;

	for (size_t i = 0; same && i < o->compare_count; i++)
		same = same_compare(&o->compares[i], t->compare[i]);
	for (size_t i = 0; same && i < o->success_count; i++)
		same = same_op(&o->success[i], t->success[i]);
	for (size_t i = 0; same && i < o->failure_count; i++)
		same = same_op(&o->failure[i], t->failure[i]);
	return same;
}

static uint32_t filter_bits(const Etcdserverpb__WatchCreateRequest *t)
{
	uint32_t bits = 0;

	for (size_t i = 0; i < t->n_filters; i++)
		if (t->filters[i] == 0 || t->filters[i] == 1)
			bits |= 1u << t->filters[i];
	return bits;
}

static bool same_watch(const struct watch_req *o, const Etcdserverpb__WatchRequest *t)
{
	const Etcdserverpb__WatchCreateRequest *c = t->create_request;

	if ((unsigned)o->kind != (unsigned)t->request_union_case)
		return false;
	if (o->kind == WATCH_REQ_CANCEL)
		return o->watch_id == t->cancel_request->watch_id;
	if (o->kind != WATCH_REQ_CREATE)
		return true;
	return same_bytes(o->key, c->key) && same_bytes(o->range_end, c->range_end) && o->start_revision == c->start_revision &&
	       o->progress_notify == c->progress_notify && o->filters == filter_bits(c) && o->prev_kv == c->prev_kv &&
	       o->watch_id == c->watch_id && o->fragment == c->fragment;
}

/* Reads s with our parser for kind and compares with the message theirs; an err of our parser is returned. */
enum kind { KV, RANGE, PUT, DELETE, TXN, COMPACT, GRANT, REVOKE, WATCH, KIND_COUNT };

static const ProtobufCMessageDescriptor *const descriptors[KIND_COUNT] = {
	[KV] = &mvccpb__key_value__descriptor, [RANGE] = &etcdserverpb__range_request__descriptor,
	[PUT] = &etcdserverpb__put_request__descriptor, [DELETE] = &etcdserverpb__delete_range_request__descriptor,
	[TXN] = &etcdserverpb__txn_request__descriptor, [COMPACT] = &etcdserverpb__compaction_request__descriptor,
	[GRANT] = &etcdserverpb__lease_grant_request__descriptor, [REVOKE] = &etcdserverpb__lease_revoke_request__descriptor,
	[WATCH] = &etcdserverpb__watch_request__descriptor,
};

static err_t parse(struct arena *a, enum kind kind, struct slice s, const void *t, bool *same)
{
	union {
		struct kv kv;
		struct range_req range;
		struct put_req put;
		struct delete_req del;
		struct txn_req txn;
		struct compact_req compact;
		struct lease_grant_req grant;
		struct lease_revoke_req revoke;
		struct watch_req watch;
	} o;
	const Etcdserverpb__CompactionRequest *c = t;
	const Etcdserverpb__LeaseGrantRequest *g = t;
	err_t err = OK;

	switch (kind) {
	case KV: err = kv_decode(s, &o.kv); *same = !err && t && same_kv(&o.kv, t); break;
	case RANGE: err = range_req_parse(s, &o.range); *same = !err && t && same_range(&o.range, t); break;
	case PUT: err = put_req_parse(s, &o.put); *same = !err && t && same_put(&o.put, t); break;
	case DELETE: err = delete_req_parse(s, &o.del); *same = !err && t && same_delete(&o.del, t); break;
	case TXN: err = txn_req_parse(a, s, &o.txn); *same = !err && t && same_txn(&o.txn, t); break;
	case WATCH: err = watch_req_parse(s, &o.watch); *same = !err && t && same_watch(&o.watch, t); break;
	case COMPACT:
		err = compact_req_parse(s, &o.compact);
		*same = !err && t && o.compact.revision == c->revision && o.compact.physical == c->physical;
		break;
	case GRANT:
		err = lease_grant_req_parse(s, &o.grant);
		*same = !err && t && o.grant.ttl == g->ttl && o.grant.id == g->id;
		break;
	case REVOKE:
		err = lease_revoke_req_parse(s, &o.revoke);
		*same = !err && t && o.revoke.id == ((const Etcdserverpb__LeaseRevokeRequest *)t)->id;
		break;
	default: break;
	}
	return err;
}

static void test_requests(void **state)
{
	struct rng r;

	rng_init(&r, 4);
	for (int i = 0; i < 400; i++) {
		for (enum kind kind = 0; kind < KIND_COUNT; kind++) {
			ProtobufCMessage *m;
			struct slice packed;
			struct arena a;
			bool same;

			arena_init(&a, 16 << 20);
			m = random_message(&r, &a, descriptors[kind], 6);
			packed = oracle_pack(&a, m);
			assert_ok(parse(&a, kind, packed, m, &same));
			if (!same)
				print_bytes(descriptors[kind]->name, packed);
			assert_true(same);
			arena_fini(&a);
		}
	}
}

static void test_damaged_requests(void **state)
{
	struct rng r;

	rng_init(&r, 5);
	for (int i = 0; i < 1500; i++) {
		for (enum kind kind = 0; kind < KIND_COUNT; kind++) {
			void *m = NULL;
			struct slice bytes;
			struct arena a;
			bool same;
			err_t err;

			arena_init(&a, 16 << 20);
			bytes = damage(&r, &a, oracle_pack(&a, random_message(&r, &a, descriptors[kind], 4)));
			err = pb_unpack(&a, descriptors[kind], bytes, &m);
			if (parse(&a, kind, bytes, m, &same) != err || (!err && !same)) {
				print_bytes(descriptors[kind]->name, bytes);
				fail_msg("read differently");
			}
			arena_fini(&a);
		}
	}
}

static void test_kv_and_event_encoding(void **state)
{
	struct rng r;

	rng_init(&r, 6);
	for (int i = 0; i < 2000; i++) {
		Mvccpb__Event *e;
		struct slice kv_packed, prev_packed = {0};
		struct kv kv;
		struct arena a;
		struct buf b;

		arena_init(&a, 1 << 20);
		buf_init(&b, 1 << 20);
		e = (Mvccpb__Event *)random_message(&r, &a, &mvccpb__event__descriptor, 0);
		e->type = (Mvccpb__Event__EventType)rng_below(&r, 2);
		e->kv = (Mvccpb__KeyValue *)random_message(&r, &a, &mvccpb__key_value__descriptor, 0);
		kv_packed = oracle_pack(&a, &e->kv->base);
		if (rng_below(&r, 2)) {
			e->prev_kv = (Mvccpb__KeyValue *)random_message(&r, &a, &mvccpb__key_value__descriptor, 0);
			prev_packed = oracle_pack(&a, &e->prev_kv->base);
			if (!prev_packed.size)          /* absent and empty are one for us */
				e->prev_kv = NULL;
		}
		event_encode((enum event_type)e->type, kv_packed, prev_packed, &b);
		assert_bytes(buf_slice(&b), oracle_pack(&a, &e->base));
		/* what we write of a row is, to the byte, what Go and protobuf-c write */
		buf_clear(&b);
		assert_ok(kv_decode(kv_packed, &kv));
		kv_encode(&kv, &b);
		assert_bytes(buf_slice(&b), kv_packed);
		assert_int_equal(kv_size(&kv), kv_packed.size);
		buf_fini(&b);
		arena_fini(&a);
	}
}

static void test_internal_requests(void **state)
{
	const ProtobufCMessageDescriptor *d = &etcdserverpb__internal_raft_request__descriptor;
	struct rng r;

	rng_init(&r, 7);
	for (int i = 0; i < 2000; i++) {
		Etcdserverpb__InternalRaftRequest *m, *back;
		const ProtobufCFieldDescriptor *f;
		struct internal_req req;
		struct slice packed;
		struct arena a;
		struct buf b;

		arena_init(&a, 16 << 20);
		buf_init(&b, 16 << 20);
		m = pb_new(&a, d);
		m->header = (Etcdserverpb__RequestHeader *)random_message(&r, &a, &etcdserverpb__request_header__descriptor, 0);
		do
			f = &d->fields[rng_below(&r, d->n_fields)];
		while (f->id == 1 || f->id == 100);
		*(ProtobufCMessage **)((char *)m + f->offset) = random_message(&r, &a, f->descriptor, 3);
		packed = oracle_pack(&a, &m->base);
		assert_ok(internal_req_parse(packed, &req));
		assert_true(req.id == m->header->id && req.auth_revision == m->header->auth_revision && req.field == f->id);
		assert_true(slice_eq(req.username, slice_str(m->header->username)));
		internal_req_encode(&req, &b);
		assert_bytes(buf_slice(&b), packed);
		assert_int_equal(internal_req_size(&req), packed.size);
		assert_ok(pb_unpack(&a, d, buf_slice(&b), &back));
		assert_non_null(*(ProtobufCMessage **)((char *)back + f->offset));

		packed = damage(&r, &a, packed);
		if (internal_req_parse(packed, &req) == OK)
			assert_true(req.body.size <= packed.size);
		buf_fini(&b);
		arena_fini(&a);
	}
}

static bool same_ids(const struct ids *o, size_t count, const uint64_t *at)
{
	return o->count == count && (!count || memcmp(o->at, at, count * sizeof(*at)) == 0);
}

static bool same_conf_state(const struct raft_conf_state *o, const Raftpb__ConfState *t)
{
	static const Raftpb__ConfState none = RAFTPB__CONF_STATE__INIT;

	t = t ? t : &none;
	return same_ids(&o->voters, t->n_voters, t->voters) && same_ids(&o->learners, t->n_learners, t->learners) &&
	       same_ids(&o->voters_outgoing, t->n_voters_outgoing, t->voters_outgoing) &&
	       same_ids(&o->learners_next, t->n_learners_next, t->learners_next) &&
	       o->auto_leave == (t->has_auto_leave && t->auto_leave);
}

static bool same_snapshot(const struct raft_snapshot *o, const Raftpb__Snapshot *t)
{
	static const Raftpb__SnapshotMetadata none = RAFTPB__SNAPSHOT_METADATA__INIT;
	const Raftpb__SnapshotMetadata *meta = t->metadata ? t->metadata : &none;

	return same_bytes(blob_slice(o->data), t->data) && o->index == meta->index && o->term == meta->term &&
	       same_conf_state(&o->conf_state, meta->conf_state);
}

static bool same_message(const struct raft_message *o, const Raftpb__Message *t)
{
	bool same = (unsigned)o->type == (unsigned)t->type && o->to == t->to && o->from == t->from && o->term == t->term &&
		    o->log_term == t->logterm && o->index == t->index && o->commit == t->commit && o->vote == t->vote &&
		    o->reject == (t->reject != 0) && o->reject_hint == t->rejecthint &&
		    same_bytes(blob_slice(o->context), t->context) && o->entry_count == t->n_entries &&
		    o->response_count == t->n_responses;

	for (size_t i = 0; same && i < o->entry_count; i++)
		same = o->entries[i].term == t->entries[i]->term && o->entries[i].index == t->entries[i]->index &&
		       (unsigned)o->entries[i].type == (unsigned)t->entries[i]->type &&
		       same_bytes(blob_slice(o->entries[i].data), t->entries[i]->data);
	for (size_t i = 0; same && i < o->response_count; i++)
		same = same_message(&o->responses[i], t->responses[i]);
	if (same && o->snapshot)
		same = t->snapshot && same_snapshot(o->snapshot, t->snapshot);
	else if (same && t->snapshot)           /* dropped: that of an older member, without an index */
		same = t->type != RAFTPB__MESSAGE_TYPE__MsgSnap && (!t->snapshot->metadata || !t->snapshot->metadata->index);
	return same;
}

/* An absent number reads as 0, for both. */
static void known_types(struct rng *r, Raftpb__Message *m, int depth)
{
	m->type = (Raftpb__MessageType)rng_below(r, RAFT_MSG_TYPE_COUNT);
	m->has_type = 1;
	if (depth)
		m->n_responses = 0;
	for (size_t i = 0; i < m->n_responses; i++)
		known_types(r, m->responses[i], depth + 1);
}

static void test_raft_messages(void **state)
{
	struct rng r;

	rng_init(&r, 8);
	for (int i = 0; i < 2000; i++) {
		Raftpb__Message *m, *back;
		struct raft_message ours;
		struct arena a;
		struct buf b;

		arena_init(&a, 16 << 20);
		buf_init(&b, 16 << 20);
		m = (Raftpb__Message *)random_message(&r, &a, &raftpb__message__descriptor, 3);
		known_types(&r, m, 0);
		assert_ok(raft_message_decode(oracle_pack(&a, &m->base), &ours));
		assert_true(same_message(&ours, m));
		raft_message_encode(&ours, &b);
		back = oracle_unpack(&a, &raftpb__message__descriptor, buf_slice(&b));
		assert_non_null(back);
		assert_true(same_message(&ours, back));
		raft_message_fini(&ours);
		buf_fini(&b);
		arena_fini(&a);
	}
}

static bool types_known(const Raftpb__Message *m, int depth)
{
	if ((unsigned)m->type >= RAFT_MSG_TYPE_COUNT || (depth && m->n_responses))
		return false;
	for (size_t i = 0; i < m->n_responses; i++)
		if (!types_known(m->responses[i], depth + 1))
			return false;
	return true;
}

static void test_damaged_raft_messages(void **state)
{
	struct rng r;

	rng_init(&r, 9);
	for (int i = 0; i < 10000; i++) {
		Raftpb__Message *m;
		struct raft_message ours;
		struct slice bytes;
		struct arena a;
		err_t err;

		arena_init(&a, 16 << 20);
		m = (Raftpb__Message *)random_message(&r, &a, &raftpb__message__descriptor, 3);
		known_types(&r, m, 0);
		bytes = damage(&r, &a, oracle_pack(&a, &m->base));
		err = raft_message_decode(bytes, &ours);
		if (pb_unpack(&a, &raftpb__message__descriptor, bytes, &m) != OK)
			assert_err(ERR_MALFORMED, err);
		else if (types_known(m, 0))
			assert_true(err == OK && same_message(&ours, m));
		if (!err)
			raft_message_fini(&ours);
		arena_fini(&a);
	}
}

/* The smaller messages of the log and the WAL: what we write, read by protobuf-c. */
static void test_log_records(void **state)
{
	struct rng r;

	rng_init(&r, 10);
	for (int i = 0; i < 2000; i++) {
		Raftpb__ConfChange *change;
		Raftpb__ConfChangeV2 *v2;
		Raftpb__HardState *hard;
		Walpb__Snapshot *mark;
		struct raft_conf_change our_change;
		struct raft_conf_change_v2 our_v2;
		struct raft_hard_state our_hard;
		struct wal_snapshot_mark our_mark;
		struct arena a;
		struct buf b;

		arena_init(&a, 1 << 20);
		buf_init(&b, 1 << 20);
		change = (Raftpb__ConfChange *)random_message(&r, &a, &raftpb__conf_change__descriptor, 2);
		assert_ok(raft_conf_change_decode(oracle_pack(&a, &change->base), &our_change));
		raft_conf_change_encode(&our_change, &b);
		assert_ok(pb_unpack(&a, &raftpb__conf_change__descriptor, buf_slice(&b), &change));
		assert_true(our_change.id == change->id && (unsigned)our_change.type == (unsigned)change->type &&
			    our_change.node_id == change->node_id && same_bytes(our_change.context, change->context));

		buf_clear(&b);
		v2 = (Raftpb__ConfChangeV2 *)random_message(&r, &a, &raftpb__conf_change_v2__descriptor, 2);
		assert_ok(raft_conf_change_v2_decode(oracle_pack(&a, &v2->base), &our_v2));
		raft_conf_change_v2_encode(&our_v2, &b);
		assert_ok(pb_unpack(&a, &raftpb__conf_change_v2__descriptor, buf_slice(&b), &v2));
		assert_true(our_v2.change_count == v2->n_changes && (unsigned)our_v2.transition == (unsigned)v2->transition);
		for (size_t k = 0; k < v2->n_changes; k++)
			assert_true(our_v2.changes[k].node_id == v2->changes[k]->node_id);
		raft_conf_change_v2_fini(&our_v2);

		buf_clear(&b);
		hard = (Raftpb__HardState *)random_message(&r, &a, &raftpb__hard_state__descriptor, 2);
		assert_ok(raft_hard_state_decode(oracle_pack(&a, &hard->base), &our_hard));
		raft_hard_state_encode(&our_hard, &b);
		assert_ok(pb_unpack(&a, &raftpb__hard_state__descriptor, buf_slice(&b), &hard));
		assert_true(our_hard.term == hard->term && our_hard.vote == hard->vote && our_hard.commit == hard->commit);

		buf_clear(&b);
		mark = (Walpb__Snapshot *)random_message(&r, &a, &walpb__snapshot__descriptor, 2);
		assert_ok(wal_snapshot_mark_decode(oracle_pack(&a, &mark->base), &our_mark));
		wal_snapshot_mark_encode(&our_mark, &b);
		assert_ok(pb_unpack(&a, &walpb__snapshot__descriptor, buf_slice(&b), &mark));
		assert_true(our_mark.index == mark->index && our_mark.term == mark->term &&
			    our_mark.has_conf_state == (mark->conf_state != NULL) &&
			    same_conf_state(&our_mark.conf_state, mark->conf_state));
		wal_snapshot_mark_fini(&our_mark);
		buf_fini(&b);
		arena_fini(&a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests), cmocka_unit_test(test_damaged_requests),
		cmocka_unit_test(test_kv_and_event_encoding), cmocka_unit_test(test_internal_requests),
		cmocka_unit_test(test_raft_messages), cmocka_unit_test(test_damaged_raft_messages),
		cmocka_unit_test(test_log_records),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
