/* The descriptor-driven reader against protobuf-c's own. */
#include "pb_test.h"
#include "random_message.h"

#include "pb/auth.pb-c.h"
#include "pb/raft.pb-c.h"
#include "pb/raft_internal.pb-c.h"
#include "pb/rpc.pb-c.h"
#include "pb/v3election.pb-c.h"
#include "pb/v3lock.pb-c.h"
#include "pb/wire.h"

static const ProtobufCServiceDescriptor *const services[] = {
	&etcdserverpb__kv__descriptor, &etcdserverpb__watch__descriptor, &etcdserverpb__lease__descriptor,
	&etcdserverpb__cluster__descriptor, &etcdserverpb__maintenance__descriptor, &etcdserverpb__auth__descriptor,
	&v3lockpb__lock__descriptor, &v3electionpb__election__descriptor,
};

typedef void message_test(struct rng *r, const ProtobufCMessageDescriptor *d);

/* Runs fn for each message of the API and of the log. */
static void each_message(uint64_t seed, message_test *fn)
{
	static const ProtobufCMessageDescriptor *const others[] = {
		&etcdserverpb__internal_raft_request__descriptor, &authpb__user__descriptor, &authpb__role__descriptor,
		&raftpb__message__descriptor, &raftpb__conf_change_v2__descriptor,
	};
	struct rng r;

	rng_init(&r, seed);
	for (size_t i = 0; i < ARRAY_COUNT(services); i++) {
		for (unsigned k = 0; k < services[i]->n_methods; k++) {
			fn(&r, services[i]->methods[k].input);
			fn(&r, services[i]->methods[k].output);
		}
	}
	for (size_t i = 0; i < ARRAY_COUNT(others); i++)
		fn(&r, others[i]);
}

static void round_trip(struct rng *r, const ProtobufCMessageDescriptor *d)
{
	for (int i = 0; i < 50; i++) {
		ProtobufCMessage *back;
		struct slice packed;
		struct arena a;
		struct buf b;

		arena_init(&a, 16 << 20);
		buf_init(&b, 16 << 20);
		packed = oracle_pack(&a, random_message(r, &a, d, 4));
		assert_ok(pb_validate(d, packed));
		assert_ok(pb_unpack(&a, d, packed, &back));
		pb_pack(back, &b);
		assert_bytes(buf_slice(&b), packed);
		buf_fini(&b);
		arena_fini(&a);
	}
}

static void test_round_trips(void **state)
{
	each_message(1, round_trip);
}

/* True if every string in m is what we accept; also forgets unknown fields, which we do not keep. */
static bool strings_ok(ProtobufCMessage *m)
{
	m->n_unknown_fields = 0;
	for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
		void *at = (char *)m + f->offset;
		size_t count = 1;

		if (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) {
			count = *(uint32_t *)((char *)m + f->quantifier_offset) == f->id;
		} else if (f->label == PROTOBUF_C_LABEL_REPEATED) {
			count = *(size_t *)((char *)m + f->quantifier_offset);
			at = *(void **)at;
		}
		if (f->type != PROTOBUF_C_TYPE_STRING && f->type != PROTOBUF_C_TYPE_MESSAGE)
			continue;
		for (size_t k = 0; k < count; k++) {
			void *p = ((void **)at)[k];

			if (f->type == PROTOBUF_C_TYPE_STRING && p && !slice_is_utf8(slice_str(p)))
				return false;
			if (f->type == PROTOBUF_C_TYPE_MESSAGE && p && !strings_ok(p))
				return false;
		}
	}
	return true;
}

/* protobuf-c takes a bool of any wire type: there the two must differ. */
static bool has_odd_bool(const ProtobufCMessageDescriptor *d, struct slice s)
{
	struct pb_reader r = pb_reader_of(s);
	struct pb_field in;

	while (pb_next(&r, &in)) {
		const ProtobufCFieldDescriptor *f = protobuf_c_message_descriptor_get_field(d, in.number);

		if (f && f->type == PROTOBUF_C_TYPE_BOOL && in.wire != PB_VARINT)
			return true;
		if (f && f->type == PROTOBUF_C_TYPE_MESSAGE && in.wire == PB_BYTES && has_odd_bool(f->descriptor, in.bytes))
			return true;
	}
	return false;
}

static void damaged(struct rng *r, const ProtobufCMessageDescriptor *d)
{
	for (int i = 0; i < 200; i++) {
		ProtobufCMessage *ours, *theirs;
		struct slice bytes;
		struct arena a;
		err_t err;

		arena_init(&a, 16 << 20);
		bytes = damage(r, &a, oracle_pack(&a, random_message(r, &a, d, 3)));
		err = pb_unpack(&a, d, bytes, &ours);
		assert_int_equal(pb_validate(d, bytes), err);
		theirs = oracle_unpack(&a, d, bytes);
		if (theirs) {
			bool ok = strings_ok(theirs);

			/* both read it: they read the same; protobuf-c cuts a string at a NUL */
			if (!err && ok && !has_odd_bool(d, bytes)) {
				struct buf b;

				buf_init(&b, 16 << 20);
				pb_pack(ours, &b);
				if (!b.size || !memmem(b.data, b.size, "\xc0\x80", 2)) {         /* what stands for it here */
					if (!slice_eq(buf_slice(&b), oracle_pack(&a, theirs)))
						print_bytes(d->name, bytes);
					assert_bytes(buf_slice(&b), oracle_pack(&a, theirs));
				}
				buf_fini(&b);
			}
			if (!ok)
				assert_err(ERR_MALFORMED, err);
		}
		arena_fini(&a);
	}
}

static void test_damaged(void **state)
{
	each_message(2, damaged);
}

static void test_go_rules(void **state)
{
	const ProtobufCMessageDescriptor *d = &etcdserverpb__auth_user_add_request__descriptor;
	static const struct {
		const char *bytes;
		err_t want;
	} cases[] = {
		{"0a03c3a961 1200", OK},
		{"0a01ff", ERR_MALFORMED},              /* not UTF-8 */
		{"0a03eda080", ERR_MALFORMED},          /* surrogate */
		{"0a03610062", OK},                     /* NUL */
		{"0a0161 1a02", ERR_MALFORMED},         /* cut */
		{"0805", OK},                           /* name as a number: unknown */
		{"0b0c 0a0161", OK},                    /* group */
		{"0b0a0161", ERR_MALFORMED},
		{"1a020801 1a00", OK},                  /* options twice */
		{"1a0208", ERR_MALFORMED},
		{"1a010a", ERR_MALFORMED},
		{"c83e01 7aff", ERR_MALFORMED},
	};
	struct arena a;

	arena_init(&a, 1 << 20);
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		void *m;

		if (pb_validate(d, hex(cases[i].bytes)) != cases[i].want)
			fail_msg("%s", cases[i].bytes);
		assert_err(cases[i].want, pb_unpack(&a, d, hex(cases[i].bytes), &m));
	}
	arena_fini(&a);
}

static void test_merging(void **state)
{
	Etcdserverpb__AuthUserAddRequest *add;
	Etcdserverpb__WatchRequest *watch;
	Etcdserverpb__InternalRaftRequest *raft;
	struct arena a;

	arena_init(&a, 1 << 20);
	assert_ok(pb_unpack(&a, &etcdserverpb__auth_user_add_request__descriptor, hex("1a020801 1a00 0a0161 0a0162"), &add));
	assert_true(add->options && add->options->no_password);
	assert_string_equal(add->name, "b");
	assert_string_equal(add->password, "");
	assert_ok(pb_unpack(&a, &etcdserverpb__watch_request__descriptor, hex("0a030a0161 12020807 0a02 2801"), &watch));
	assert_int_equal(watch->request_union_case, ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST);
	assert_true(watch->create_request->key.len == 0 && watch->create_request->n_filters == 1);
	/* lists of both occurrences in a row */
	assert_ok(pb_unpack(&a, &etcdserverpb__internal_raft_request__descriptor,
			    hex("5a04 0a020801 5a08 0a020802 0a020803"), &raft));
	assert_int_equal(raft->lease_checkpoint->n_checkpoints, 3);
	assert_int_equal(raft->lease_checkpoint->checkpoints[2]->id, 3);
	arena_fini(&a);
}

/* depth messages within each other: Message.responses (14) */
static struct slice nested_responses(unsigned depth, uint8_t *out, size_t room)
{
	uint8_t *at = out + room;

	for (unsigned i = 1; i < depth; i++) {
		size_t inner = (size_t)(out + room - at);

		at -= 1 + pb_varint_size(inner);
		at[0] = 0x72;
		pb_varint_write(at + 1, inner);
	}
	return slice_of(at, (size_t)(out + room - at));
}

static void test_depth(void **state)
{
	static uint8_t bytes[100000];
	struct arena a;
	void *m;

	arena_init(&a, 1 << 20);
	for (unsigned depth = PB_DEPTH_MAX; depth < 20000; depth = depth == PB_DEPTH_MAX ? depth + 1 : depth * 4) {
		struct slice s = nested_responses(depth, bytes, sizeof(bytes));
		err_t want = depth <= PB_DEPTH_MAX ? OK : ERR_INVALID;

		assert_err(want, pb_validate(&raftpb__message__descriptor, s));
		assert_err(want, pb_unpack(&a, &raftpb__message__descriptor, s, &m));
	}
	arena_fini(&a);
}

static void test_arena_is_the_bound(void **state)
{
	static uint8_t bytes[4000];
	struct arena a;
	void *m;

	for (size_t i = 0; i < sizeof(bytes); i += 2)
		memcpy(bytes + i, "\x12\x00", 2);               /* AuthUserListResponse.users, empty */
	arena_init(&a, 20000);
	assert_err(ERR_TOO_LARGE, pb_unpack(&a, &etcdserverpb__auth_user_list_response__descriptor,
					    slice_of(bytes, sizeof(bytes)), &m));
	arena_fini(&a);
	arena_init(&a, 10);
	assert_null(pb_new(&a, &etcdserverpb__alarm_request__descriptor));
	arena_fini(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trips), cmocka_unit_test(test_damaged), cmocka_unit_test(test_go_rules),
		cmocka_unit_test(test_merging), cmocka_unit_test(test_depth), cmocka_unit_test(test_arena_is_the_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
