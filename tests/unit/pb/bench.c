/* Nanoseconds per message, ours beside protobuf-c: meson test --benchmark -v pb. No verdict. */
#include <stdio.h>
#include <time.h>

#include "base/arena.h"
#include "pb/json.h"
#include "pb/raftpb.h"
#include "pb/rpc.h"

#include "pb/kv.pb-c.h"
#include "pb/raft.pb-c.h"
#include "pb/rpc.pb-c.h"

enum { ROUNDS = 200000, ROWS = 1000 };

static uint8_t value[256];
static struct slice packed_kv, packed_put, packed_txn, packed_entry, packed_rows, packed_app;
static struct buf out;
static struct arena arena;

static const struct kv kv = {
	.key = {(const uint8_t *)"/registry/pods/default/web-0", 28},
	.create_rev = 100200,
	.mod_rev = 1002003,
	.version = 17,
	.value = {value, sizeof(value)},
	.lease = 0x5596a2cf4f8be204,
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void keep(const void *p)
{
	__asm__ volatile("" : : "r"(p) : "memory");
}

static void ours_kv_encode(void)
{
	buf_clear(&out);
	kv_encode(&kv, &out);
	keep(out.data);
}

static void theirs_kv_encode(void)
{
	Mvccpb__KeyValue m = MVCCPB__KEY_VALUE__INIT;

	m.key = pb_binary(kv.key);
	m.value = pb_binary(kv.value);
	m.create_revision = kv.create_rev;
	m.mod_revision = kv.mod_rev;
	m.version = kv.version;
	m.lease = kv.lease;
	buf_clear(&out);
	pb_pack(&m.base, &out);
	keep(out.data);
}

static void ours_kv_decode(void)
{
	struct kv got;

	if (kv_decode(packed_kv, &got) == OK)
		keep(&got);
}

static void theirs(const ProtobufCMessageDescriptor *d, struct slice s)
{
	ProtobufCMessage *m = protobuf_c_message_unpack(d, NULL, s.size, s.data);

	keep(m);
	protobuf_c_message_free_unpacked(m, NULL);
}

static void by_descriptor(const ProtobufCMessageDescriptor *d, struct slice s)
{
	void *m;

	if (pb_unpack(&arena, d, s, &m) == OK)
		keep(m);
	arena_reset(&arena);
}

static void theirs_kv_decode(void)
{
	theirs(&mvccpb__key_value__descriptor, packed_kv);
}

static void ours_put_parse(void)
{
	struct put_req got;

	if (put_req_parse(packed_put, &got) == OK)
		keep(&got);
}

static void theirs_put_parse(void)
{
	theirs(&etcdserverpb__put_request__descriptor, packed_put);
}

static void descriptor_put_parse(void)
{
	by_descriptor(&etcdserverpb__put_request__descriptor, packed_put);
}

static void ours_txn_parse(void)
{
	struct txn_req got;

	if (txn_req_parse(&arena, packed_txn, &got) == OK)
		keep(&got);
	arena_reset(&arena);
}

static void theirs_txn_parse(void)
{
	theirs(&etcdserverpb__txn_request__descriptor, packed_txn);
}

static void ours_internal_parse(void)
{
	struct internal_req got;

	if (internal_req_parse(packed_entry, &got) == OK)
		keep(&got);
}

static void ours_internal_encode(void)
{
	struct internal_req req = {.id = 0x5596a2cf4f8be204, .field = REQ_PUT, .body = packed_put};

	buf_clear(&out);
	internal_req_encode(&req, &out);
	keep(out.data);
}

/* 1,000 rows into a response: theirs builds it from structs and packs; ours copies each row behind its length. */
static void ours_rows(void)
{
	buf_clear(&out);
	response_header_encode(&(struct response_header){1, 2, 3, 4}, 1, &out);
	for (int i = 0; i < ROWS; i++)
		pb_put_bytes_always(&out, 2, packed_kv);
	pb_put_uint(&out, 4, ROWS);
	keep(out.data);
}

static void theirs_rows(void)
{
	static Mvccpb__KeyValue rows[ROWS];
	static Mvccpb__KeyValue *list[ROWS];
	Etcdserverpb__RangeResponse m = ETCDSERVERPB__RANGE_RESPONSE__INIT;
	Etcdserverpb__ResponseHeader h = ETCDSERVERPB__RESPONSE_HEADER__INIT;

	for (int i = 0; i < ROWS; i++) {
		mvccpb__key_value__init(&rows[i]);
		rows[i].key = pb_binary(kv.key);
		rows[i].value = pb_binary(kv.value);
		rows[i].create_revision = kv.create_rev;
		rows[i].mod_revision = kv.mod_rev;
		rows[i].version = kv.version;
		list[i] = &rows[i];
	}
	m.header = &h;
	m.kvs = list;
	m.n_kvs = m.count = ROWS;
	buf_clear(&out);
	pb_pack(&m.base, &out);
	keep(out.data);
}

static void theirs_rows_unpack(void)
{
	theirs(&etcdserverpb__range_response__descriptor, packed_rows);
}

static void descriptor_rows_unpack(void)
{
	by_descriptor(&etcdserverpb__range_response__descriptor, packed_rows);
}

static void json_rows(void)
{
	buf_clear(&out);
	if (json_emit(&arena, &etcdserverpb__range_response__descriptor, packed_rows, &out) == OK)
		keep(out.data);
	arena_reset(&arena);
}

static void json_put(void)
{
	static const struct slice body = SLICE_LIT("{\"key\":\"L3JlZ2lzdHJ5L3BvZHMvZGVmYXVsdC93ZWItMA==\",\"value\":"
						   "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\",\"lease\":\"1234\"}");

	buf_clear(&out);
	if (json_parse(&etcdserverpb__put_request__descriptor, body, NULL, &out) == OK)
		keep(out.data);
}

static void ours_app(void)
{
	struct raft_message m;

	if (raft_message_decode(packed_app, &m))
		return;
	buf_clear(&out);
	raft_message_encode(&m, &out);
	raft_message_fini(&m);
	keep(out.data);
}

static void theirs_app(void)
{
	Raftpb__Message *m = raftpb__message__unpack(NULL, packed_app.size, packed_app.data);

	buf_clear(&out);
	pb_pack(&m->base, &out);
	raftpb__message__free_unpacked(m, NULL);
	keep(out.data);
}

static struct slice taken(void)
{
	struct slice copy = {0};

	if (!arena_copy(&arena, buf_slice(&out), &copy))
		abort();
	return copy;
}

static void prepare(void)
{
	static struct arena fixed;
	struct raft_entry e = {.term = 7, .index = 123456};
	struct raft_message app = {.type = MSG_APP, .to = 1, .from = 2, .term = 7, .log_term = 7, .index = 123455,
				   .commit = 123450};
	struct raft_entry entries[64];

	buf_init(&out, 64 << 20);
	arena_init(&fixed, 64 << 20);
	arena_init(&arena, 64 << 20);
	ours_kv_encode();
	packed_kv = taken();
	buf_clear(&out);
	pb_put_bytes(&out, 1, kv.key);
	pb_put_bytes(&out, 2, kv.value);
	pb_put_uint(&out, 3, (uint64_t)kv.lease);
	packed_put = taken();
	buf_clear(&out);
	for (int i = 0; i < 2; i++) {           /* what Kubernetes sends: compare mod revision, put, else range */
		size_t op, mark = pb_begin(&out, 1);

		pb_put_uint(&out, 2, 2);
		pb_put_bytes(&out, 3, kv.key);
		pb_put_uint(&out, 6, 1002003);
		pb_end(&out, mark);
		op = pb_begin(&out, i ? 3 : 2);
		pb_put_bytes(&out, 2, packed_put);
		pb_end(&out, op);
	}
	packed_txn = taken();
	ours_internal_encode();
	packed_entry = taken();
	ours_rows();
	packed_rows = taken();
	e.data = blob_copy(packed_entry);
	for (size_t i = 0; i < ARRAY_COUNT(entries); i++)
		entries[i] = e;
	app.entries = entries;
	app.entry_count = ARRAY_COUNT(entries);
	buf_clear(&out);
	raft_message_encode(&app, &out);
	packed_app = taken();
	blob_unref(e.data);
	fixed = arena;                          /* what was packed stays; the arena starts anew */
	arena_init(&arena, 64 << 20);
	keep(&fixed);
}

int main(void)
{
	static const struct {
		const char *name;
		void (*run)(void);
		int rounds;
	} cases[] = {
		{"KeyValue (284 B) encode", ours_kv_encode, ROUNDS}, {"  protobuf-c pack", theirs_kv_encode, ROUNDS},
		{"KeyValue decode", ours_kv_decode, ROUNDS}, {"  protobuf-c unpack", theirs_kv_decode, ROUNDS},
		{"PutRequest parse", ours_put_parse, ROUNDS}, {"  protobuf-c unpack", theirs_put_parse, ROUNDS},
		{"  pb_unpack, arena", descriptor_put_parse, ROUNDS},
		{"TxnRequest (2 compares, 2 puts) parse", ours_txn_parse, ROUNDS}, {"  protobuf-c unpack", theirs_txn_parse, ROUNDS},
		{"InternalRaftRequest parse", ours_internal_parse, ROUNDS},
		{"InternalRaftRequest encode", ours_internal_encode, ROUNDS},
		{"RangeResponse, 1,000 rows copied", ours_rows, 2000}, {"  protobuf-c pack", theirs_rows, 2000},
		{"RangeResponse, 1,000 rows, protobuf-c unpack", theirs_rows_unpack, 1000},
		{"  pb_unpack, arena", descriptor_rows_unpack, 1000}, {"  json_emit", json_rows, 500},
		{"PutRequest from JSON", json_put, ROUNDS},
		{"MsgApp, 64 entries, decode and encode", ours_app, 5000}, {"  protobuf-c", theirs_app, 5000},
	};

	prepare();
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		uint64_t best = UINT64_MAX;

		for (int again = 0; again < 5; again++) {
			uint64_t from = now_ns(), took;

			for (int k = 0; k < cases[i].rounds; k++)
				cases[i].run();
			took = now_ns() - from;
			best = MIN(best, took);
		}
		printf("%-46s %10.1f ns\n", cases[i].name, (double)best / cases[i].rounds);
	}
	return 0;
}
