/* Bytes as any of our messages. First byte: which reader. A hot parser and the descriptor-driven reader agree on what
 * is a message; what was read and is written again reads the same. */
#include "fuzz.h"

#include "pb/methods.h"
#include "pb/pbc.h"
#include "pb/raftpb.h"
#include "pb/rpc.h"

#include "pb/kv.pb-c.h"
#include "pb/raft.pb-c.h"
#include "pb/raft_internal.pb-c.h"
#include "pb/record.pb-c.h"

enum { ARENA_MAX = 8 << 20, BUF_MAX = 8 << 20 };

/* Same verdict, arena and depth aside: those of a txn are counted differently. */
static void agree(err_t hot, const ProtobufCMessageDescriptor *d, struct slice s)
{
	err_t other = pb_validate(d, s);

	ASSERT(hot == ERR_TOO_LARGE || hot == ERR_INVALID || other == ERR_INVALID || hot == other);
}

static void hot_requests(struct arena *a, struct slice s)
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
		struct internal_req internal;
	} o;

	agree(kv_decode(s, &o.kv), &mvccpb__key_value__descriptor, s);
	agree(range_req_parse(s, &o.range), &etcdserverpb__range_request__descriptor, s);
	agree(put_req_parse(s, &o.put), &etcdserverpb__put_request__descriptor, s);
	agree(delete_req_parse(s, &o.del), &etcdserverpb__delete_range_request__descriptor, s);
	agree(txn_req_parse(a, s, &o.txn), &etcdserverpb__txn_request__descriptor, s);
	agree(compact_req_parse(s, &o.compact), &etcdserverpb__compaction_request__descriptor, s);
	agree(lease_grant_req_parse(s, &o.grant), &etcdserverpb__lease_grant_request__descriptor, s);
	agree(lease_revoke_req_parse(s, &o.revoke), &etcdserverpb__lease_revoke_request__descriptor, s);
	agree(watch_req_parse(s, &o.watch), &etcdserverpb__watch_request__descriptor, s);
	if (internal_req_parse(s, &o.internal) == OK) {
		struct internal_req again;
		struct buf b;

		buf_init(&b, BUF_MAX);
		internal_req_encode(&o.internal, &b);
		ASSERT(internal_req_parse(buf_slice(&b), &again) == OK);
		ASSERT(again.id == o.internal.id && again.field == o.internal.field);
		ASSERT(slice_eq(again.body, o.internal.body) && slice_eq(again.username, o.internal.username));
		buf_fini(&b);
	}
}

static void raft_messages(struct slice s)
{
	struct raft_message m, again;
	struct raft_conf_change_v2 v2;
	struct raft_conf_change change;
	struct raft_hard_state hard;
	struct wal_snapshot_mark mark;
	struct buf once, twice;

	if (raft_conf_change_v2_decode(s, &v2) == OK)
		raft_conf_change_v2_fini(&v2);
	if (wal_snapshot_mark_decode(s, &mark) == OK)
		wal_snapshot_mark_fini(&mark);
	agree(raft_conf_change_decode(s, &change), &raftpb__conf_change__descriptor, s);
	agree(raft_hard_state_decode(s, &hard), &raftpb__hard_state__descriptor, s);
	if (raft_message_decode(s, &m))
		return;
	buf_init(&once, BUF_MAX);
	buf_init(&twice, BUF_MAX);
	raft_message_encode(&m, &once);
	if (!buf_failed(&once)) {
		ASSERT(raft_message_decode(buf_slice(&once), &again) == OK);
		raft_message_encode(&again, &twice);
		ASSERT(slice_eq(buf_slice(&once), buf_slice(&twice)));
		raft_message_fini(&again);
	}
	raft_message_fini(&m);
	buf_fini(&once);
	buf_fini(&twice);
}

static void by_descriptor(struct arena *a, const ProtobufCMessageDescriptor *d, struct slice s)
{
	ProtobufCMessage *m, *again;
	struct buf once, twice;
	err_t err = pb_unpack(a, d, s, &m);

	ASSERT(err == ERR_TOO_LARGE || err == pb_validate(d, s));
	if (err)
		return;
	buf_init(&once, BUF_MAX);
	buf_init(&twice, BUF_MAX);
	pb_pack(m, &once);
	if (!buf_failed(&once) && pb_unpack(a, d, buf_slice(&once), &again) == OK) {
		pb_pack(again, &twice);
		ASSERT(slice_eq(buf_slice(&once), buf_slice(&twice)));
	}
	buf_fini(&once);
	buf_fini(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena a;
	struct slice s;

	if (size == 0)
		return 0;
	s = slice_of(data + 1, size - 1);
	arena_init(&a, ARENA_MAX);
	if (data[0] == 0)
		hot_requests(&a, s);
	else if (data[0] == 1)
		raft_messages(s);
	else if (data[0] == 2)
		by_descriptor(&a, &etcdserverpb__internal_raft_request__descriptor, s);
	else if (data[0] % 2)
		by_descriptor(&a, rpc_methods[data[0] / 2 % RPC__COUNT].request, s);
	else
		by_descriptor(&a, rpc_methods[data[0] / 2 % RPC__COUNT].response, s);
	arena_fini(&a);
	return 0;
}
