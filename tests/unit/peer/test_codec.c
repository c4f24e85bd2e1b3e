/* Stream formats against bytes of a Go member (golden.h), at every way to cut them; limits; the small pure parts. */
#include "../../lib/test.h"
#include "golden.h"
#include "peer/codec.h"
#include "peer/http1.h"
#include "peer/peer_impl.h"

struct seen {
	unsigned heartbeats;
	VEC(struct raft_message) messages;
	VEC(bool) is_heartbeat;         /* in order of arrival */
	err_t err;
};

static void seen_free(struct seen *s)
{
	for (size_t i = 0; i < s->messages.count; i++)
		raft_message_fini(&s->messages.at[i]);
	VEC_FREE(&s->messages);
	VEC_FREE(&s->is_heartbeat);
}

/* Feeds in pieces of `piece` bytes, each a copy of exactly that size so that ASan sees a read behind it. */
static void decode_pieces(enum stream_kind kind, struct slice all, size_t piece, size_t max, struct seen *out)
{
	struct stream_decoder d;
	struct raft_message m;

	memset(out, 0, sizeof(*out));
	stream_decoder_init(&d, kind, GOLDEN_FROM, GOLDEN_TO, max);
	for (size_t at = 0; at < all.size && !out->err; at += piece) {
		size_t n = MIN(piece, all.size - at);
		uint8_t *copy = mem_alloc(n);
		struct slice in = slice_of(copy, n);
		enum stream_got got;

		memcpy(copy, all.data + at, n);
		while ((got = stream_decode(&d, &in, &m, &out->err)) != STREAM_GOT_NOTHING && got != STREAM_GOT_ERROR) {
			VEC_PUSH(&out->is_heartbeat, got == STREAM_GOT_HEARTBEAT);
			if (got == STREAM_GOT_HEARTBEAT)
				out->heartbeats++;
			else
				VEC_PUSH(&out->messages, m);
		}
		mem_free(copy);
	}
	stream_decoder_fini(&d);
}

static const size_t pieces[] = {1, 2, 3, 7, 8, 9, 64, 1000, 1 << 20};

static void decodes_msgapp_of_go(void **state)
{
	static const struct {
		uint64_t term, log_term, index, count, commit;
	} want[] = {
		{2, 2, 7, 1, 8}, {2, 0, 0, 8, 8}, {2, 2, 8, 1, 8}, {2, 2, 9, 0, 9}, {2, 2, 9, 1, 9}, {2, 2, 10, 0, 10},
		{2, 2, 10, 1, 10}, {2, 2, 11, 0, 11}, {2, 2, 11, 1, 11}, {2, 2, 12, 0, 12},
	};

	for (size_t p = 0; p < ARRAY_COUNT(pieces); p++) {
		struct seen s;

		decode_pieces(STREAM_MSGAPP, slice_of(golden_msgapp, sizeof(golden_msgapp)), pieces[p], 1 << 20, &s);
		assert_ok(s.err);
		assert_int_equal(s.heartbeats, 4);
		assert_int_equal(s.messages.count, ARRAY_COUNT(want));
		for (size_t i = 0; i < ARRAY_COUNT(want); i++) {
			const struct raft_message *m = &s.messages.at[i];

			assert_int_equal(m->type, MSG_APP);
			assert_int_equal(m->from, GOLDEN_FROM);
			assert_int_equal(m->to, GOLDEN_TO);
			assert_int_equal(m->term, want[i].term);
			assert_int_equal(m->log_term, want[i].log_term);
			assert_int_equal(m->index, want[i].index);
			assert_int_equal(m->entry_count, want[i].count);
			assert_int_equal(m->commit, want[i].commit);
			for (size_t k = 0; k < m->entry_count; k++)
				assert_int_equal(m->entries[k].index, want[i].index + k + 1);
		}
		seen_free(&s);
	}
}

static void decodes_messages_of_go(void **state)
{
	static const uint64_t commits[] = {0, 8, 8};

	for (size_t p = 0; p < ARRAY_COUNT(pieces); p++) {
		struct seen s;

		decode_pieces(STREAM_MESSAGE, slice_of(golden_message, sizeof(golden_message)), pieces[p], 1 << 20, &s);
		assert_ok(s.err);
		assert_int_equal(s.heartbeats, 1);
		assert_int_equal(s.messages.count, 3);
		for (size_t i = 0; i < 3; i++) {
			assert_int_equal(s.messages.at[i].type, MSG_HEARTBEAT);
			assert_int_equal(s.messages.at[i].from, GOLDEN_FROM);
			assert_int_equal(s.messages.at[i].commit, commits[i]);
		}
		seen_free(&s);
	}
}

/* What we write for the same messages is what Go wrote, to the byte. */
static void encode_like_go(enum stream_kind kind, struct slice golden)
{
	struct stream_pos pos = {0};
	struct seen s;
	struct buf b;
	size_t next = 0;

	decode_pieces(kind, golden, 1 << 20, 1 << 20, &s);
	buf_init(&b, 1 << 20);
	for (size_t i = 0; i < s.is_heartbeat.count; i++) {
		if (s.is_heartbeat.at[i])
			stream_encode_heartbeat(kind, &b);
		else
			stream_encode(kind, &pos, &s.messages.at[next++], &b);
	}
	assert_int_equal(b.size, golden.size);
	assert_memory_equal(b.data, golden.data, golden.size);
	buf_fini(&b);
	seen_free(&s);
}

static void encodes_like_go(void **state)
{
	encode_like_go(STREAM_MSGAPP, slice_of(golden_msgapp, sizeof(golden_msgapp)));
	encode_like_go(STREAM_MESSAGE, slice_of(golden_message, sizeof(golden_message)));
}

#define U64(v) 0, 0, 0, 0, 0, 0, (v) >> 8, (v) & 255
#define HUGE 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff

static void refuses_bad_bytes(void **state)
{
	static const struct {
		const char *name;
		enum stream_kind kind;
		err_t want;
		uint8_t bytes[48];
		size_t size;
	} cases[] = {
		{"unknown form", STREAM_MSGAPP, ERR_MALFORMED, {3}, 1},
		{"message too large", STREAM_MESSAGE, ERR_TOO_LARGE, {HUGE}, 8},
		{"message one byte too large", STREAM_MESSAGE, ERR_TOO_LARGE, {U64(1025)}, 8},
		{"form 2 too large", STREAM_MSGAPP, ERR_TOO_LARGE, {2, HUGE}, 9},
		{"too many entries", STREAM_MSGAPP, ERR_TOO_LARGE, {1, HUGE}, 9},
		{"entry too large", STREAM_MSGAPP, ERR_TOO_LARGE, {1, U64(1), U64(1025)}, 17},
		{"not protobuf", STREAM_MESSAGE, ERR_MALFORMED, {U64(2), 0xff, 0xff}, 10},
		{"entry not protobuf", STREAM_MSGAPP, ERR_MALFORMED, {1, U64(1), U64(1), 0x0c}, 18},
		{"at the limit, more to come", STREAM_MESSAGE, OK, {U64(1024), 8}, 9},
		{"no entries", STREAM_MSGAPP, OK, {1, U64(0), U64(5)}, 17},
		{"empty message", STREAM_MSGAPP, OK, {2, U64(0)}, 9},
	};

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		for (size_t piece = 1; piece <= 48; piece += 47) {
			struct seen s;

			decode_pieces(cases[i].kind, slice_of(cases[i].bytes, cases[i].size), piece, 1024, &s);
			if (s.err != cases[i].want)
				fail_msg("%s: %s", cases[i].name, err_name(s.err));
			seen_free(&s);
		}
	}
}

/* Entries that fit one by one but not together. */
static void bounds_the_sum_of_entries(void **state)
{
	struct stream_pos pos = {5, 7};
	struct raft_message m = {.type = MSG_APP, .term = 5, .log_term = 5, .index = 7};
	struct raft_entry entries[3];
	struct seen s;
	struct buf b;

	for (size_t i = 0; i < 3; i++) {
		entries[i] = (struct raft_entry){.term = 5, .index = 8 + i, .data = blob_new(400)};
		memset(entries[i].data->data, 'x', 400);
	}
	m.entries = entries;
	for (m.entry_count = 2; m.entry_count <= 3; m.entry_count++) {
		buf_init(&b, 1 << 16);
		pos = (struct stream_pos){5, 7};
		stream_encode(STREAM_MSGAPP, &pos, &m, &b);
		assert_int_equal(pos.index, 7 + m.entry_count);
		assert_int_equal(b.data[0], 1);
		decode_pieces(STREAM_MSGAPP, buf_slice(&b), 1 << 16, 1024, &s);
		assert_int_equal(s.err, m.entry_count == 3 ? ERR_TOO_LARGE : OK);
		assert_int_equal(s.messages.count, m.entry_count == 3 ? 0 : 1);
		seen_free(&s);
		buf_fini(&b);
	}
	for (size_t i = 0; i < 3; i++)
		blob_unref(entries[i].data);
}

/* The short form only where both terms and the place are the expected ones; a gap goes in the long form. */
static void chooses_the_form(void **state)
{
	static const struct {
		uint64_t term, log_term, index;
		uint8_t form;
	} cases[] = {
		{5, 5, 7, 1}, {5, 5, 6, 2}, {5, 5, 8, 2}, {6, 5, 7, 2}, {6, 6, 7, 2}, {5, 4, 7, 2},
	};

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct raft_message m = {.type = MSG_APP, .term = cases[i].term, .log_term = cases[i].log_term,
			.index = cases[i].index, .from = 1, .to = 2};
		struct stream_pos pos = {5, 7};
		struct buf b;

		buf_init(&b, 1 << 16);
		stream_encode(STREAM_MSGAPP, &pos, &m, &b);
		assert_int_equal(b.data[0], cases[i].form);
		assert_int_equal(pos.term, cases[i].term);
		assert_int_equal(pos.index, cases[i].index);
		buf_fini(&b);
	}
}

static void snapshot_head_in_pieces(void **state)
{
	struct raft_snapshot snap = {.index = 9, .term = 3};
	struct raft_message m = {.type = MSG_SNAP, .from = 1, .to = 2, .term = 3, .snapshot = &snap};
	struct buf b;

	buf_init(&b, 1 << 16);
	snapshot_head_encode(&m, &b);
	buf_put(&b, "database", 8);
	for (size_t p = 0; p < ARRAY_COUNT(pieces); p++) {
		struct snapshot_head h;
		struct raft_message got = {0};
		err_t err;
		bool done = false;

		snapshot_head_init(&h);
		for (size_t at = 0; at < b.size && !done; at += pieces[p]) {
			struct slice in = slice_of(b.data + at, MIN(pieces[p], b.size - at));

			done = snapshot_head_decode(&h, &in, &got, &err) == STREAM_GOT_MESSAGE;
			if (done)
				assert_true(in.size <= 8 && (pieces[p] < b.size || slice_eq(in, SLICE_LIT("database"))));
		}
		assert_true(done);
		assert_int_equal(got.snapshot->index, 9);
		raft_message_fini(&got);
		snapshot_head_fini(&h);
	}
	buf_fini(&b);
}

static void snapshot_head_too_large(void **state)
{
	static const uint8_t bytes[] = {0, 0, 0, 0, 4, 0, 0, 1};        /* 64 MiB + 1 */
	struct slice in = slice_of(bytes, sizeof(bytes));
	struct snapshot_head h;
	struct raft_message m;
	err_t err = OK;

	snapshot_head_init(&h);
	assert_int_equal(snapshot_head_decode(&h, &in, &m, &err), STREAM_GOT_ERROR);
	assert_int_equal(err, ERR_TOO_LARGE);
	snapshot_head_fini(&h);
}

static void urls(void **state)
{
	static const struct {
		const char *text;
		bool ok, tls, is_unix;
		const char *host, *address;
	} cases[] = {
		{"http://a:2380", true, false, false, "a", "a:2380"},
		{"https://10.0.0.1:2380/", true, true, false, "10.0.0.1", "10.0.0.1:2380"},
		{"http://[::1]:2380", true, false, false, "::1", "[::1]:2380"},
		{"unix:///tmp/s", true, false, true, "localhost", "/tmp/s"},
		{"unixs://s:1", true, true, true, "localhost", "s:1"},
		{"http://a", false}, {"http://a:", false}, {"http://:2380", false}, {"ftp://a:1", false}, {"", false},
		{"http://", false}, {"http://a:1\r\nX: y", false}, {"http://a b:1", false},
	};

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct http1_url u;

		if (http1_url_parse(slice_str(cases[i].text), &u) != cases[i].ok)
			fail_msg("%s", cases[i].text);
		if (!cases[i].ok)
			continue;
		assert_int_equal(u.is_tls, cases[i].tls);
		assert_int_equal(u.is_unix, cases[i].is_unix);
		assert_string_equal(u.host, cases[i].host);
		assert_string_equal(u.address, cases[i].address);
	}
}

static struct minor_version parse_version(const char *text)
{
	struct minor_version v = {99, 99};

	assert_true(minor_version_parse(slice_str(text), &v));
	return v;
}

static void versions(void **state)
{
	static const struct {
		const char *server, *min_cluster;
		bool accepted, has_streams;
	} cases[] = {
		{"3.7.1", "3.0.0", true, true}, {"3.6.0", "3.0.0", true, true}, {"3.8.0-rc.0", "3.0.0", true, true},
		{"3.8.0", "3.8.0", false, true}, {"3.7.0", "3.7.0", true, true}, {"3.0.0", "2.0.0", true, true},
		{"2.3.7", "2.0.0", false, true}, {"2.0.0", "2.0.0", false, false}, {"4.0.0", "3.0.0", true, true},
	};
	static const char *const bad[] = {"", "3", "3.7", "3.7.", "3.x.1", "a.b.c", "3.7.1x", "-1.0.0", "3..1"};
	struct minor_version v;

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct minor_version own = {3, 7}, server = parse_version(cases[i].server);

		assert_int_equal(version_accepts(own, server, parse_version(cases[i].min_cluster)), cases[i].accepted);
		assert_int_equal(version_has_streams(own, server), cases[i].has_streams);
	}
	for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
		assert_false(minor_version_parse(slice_str(bad[i]), &v));
}

static void probe_answers(void **state)
{
	static const struct {
		const char *text;
		bool parsed, ok;
		int64_t wall_ns;
	} cases[] = {
		/* as a Go member answered */
		{"{\"OK\":true,\"Now\":\"2026-11-25T11:09:53.326439652Z\"}\n", true, true, INT64_C(1795604993326439652)},
		{"{\"OK\":true,\"Now\":\"2026-11-25T12:09:53.5+01:00\"}", true, true, INT64_C(1795604993500000000)},
		{"{\"OK\":false,\"Now\":\"1970-01-01T00:00:01Z\"}", true, false, 1000000000},
		{"{\"OK\":true}", false}, {"", false}, {"[]", false}, {"{\"OK\":true,\"Now\":\"yesterday\"}", false},
	};

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		bool ok = false;
		int64_t wall = 0;

		assert_int_equal(probe_parse(slice_str(cases[i].text), &ok, &wall), cases[i].parsed);
		if (!cases[i].parsed)
			continue;
		assert_int_equal(ok, cases[i].ok);
		assert_int_equal(wall, cases[i].wall_ns);
	}
}

static void ids(void **state)
{
	static const struct {
		const char *text;
		bool ok;
		uint64_t id;
	} cases[] = {
		{"0", true, 0}, {"8211f1d0f64f3269", true, UINT64_C(0x8211f1d0f64f3269)}, {"AbC", true, 0xabc},
		{"ffffffffffffffff", true, UINT64_MAX}, {"10000000000000000", false}, {"", false}, {"g", false}, {"0x1", false},
	};

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		uint64_t id = 0;

		assert_int_equal(hex_id_parse(slice_str(cases[i].text), &id), cases[i].ok);
		if (cases[i].ok)
			assert_int_equal(id, cases[i].id);
	}
}

static void queue_is_bounded_and_in_order(void **state)
{
	struct msg_queue q = {.max = 5};
	struct raft_message m;
	uint64_t next_in = 1, next_out = 1;

	for (int round = 0; round < 7; round++) {
		while (m = (struct raft_message){.index = next_in}, msg_queue_push(&q, &m))
			next_in++;
		assert_int_equal(q.count, 5);
		for (int i = 0; i < 3; i++) {
			assert_true(msg_queue_pop(&q, &m));
			assert_int_equal(m.index, next_out++);
		}
	}
	msg_queue_clear(&q);
	assert_false(msg_queue_pop(&q, &m));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(decodes_msgapp_of_go),
		cmocka_unit_test(decodes_messages_of_go),
		cmocka_unit_test(encodes_like_go),
		cmocka_unit_test(refuses_bad_bytes),
		cmocka_unit_test(bounds_the_sum_of_entries),
		cmocka_unit_test(chooses_the_form),
		cmocka_unit_test(snapshot_head_in_pieces),
		cmocka_unit_test(snapshot_head_too_large),
		cmocka_unit_test(urls),
		cmocka_unit_test(versions),
		cmocka_unit_test(probe_answers),
		cmocka_unit_test(ids),
		cmocka_unit_test(queue_is_bounded_and_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
