/* Logs that Go etcd wrote: what they say (expected.json comes from an independent reader and from Go), and that ours
 * are the same to the byte. */
#include "../../lib/test.h"

#include "../../lib/golden.h"

#include "pb/wire.h"
#include "wal/reader.h"
#include "wal/wal.h"

static char *wal_dir(const char *data_dir)
{
	return mem_printf("%s/member/wal", data_dir);
}

struct counts {
	uint64_t at[6];
	size_t files;
};

/* Every record, every end of a file. */
static void check_records(const char *dir, const json_t *facts)
{
	static const char *const names[] = {"metadata", "entry", "state", "crc", "snapshot"};
	const json_t *records = golden_at(facts, "wal.records"), *files = golden_at(facts, "wal.files");
	uint64_t counts[6] = {0}, in_file = 0;
	struct wal_names list;
	struct wal_reader r;
	struct wal_record rec;
	struct why why = {""};
	const char *last = NULL;
	size_t file = 0;
	bool more;

	assert_ok(wal_names_list(vfs_posix(), dir, NULL, &why, &list));
	assert_int_equal(list.count, json_array_size(files));
	wal_reader_init(&r, vfs_posix(), dir, list.at, NULL, list.count);
	for (;;) {
		err_t err = wal_reader_next(&r, &why, &rec, &more);

		if (err)
			assert_err(ERR_CORRUPT_TAIL, err); /* wal-torn */
		if (err || !more)
			break;
		if (last && strcmp(last, rec.file) != 0) {
			assert_int_equal(in_file, golden_uint(json_array_get(files, file), "records"));
			in_file = 0;
			file++;
		}
		last = rec.file;
		in_file++;
		assert_in_range(rec.type, 1, 5);
		counts[rec.type]++;
		assert_string_equal(rec.file, json_string_value(golden_at(json_array_get(files, file), "name")));
	}
	assert_int_equal(r.offset, golden_uint(json_array_get(files, json_array_size(files) - 1), "end_offset"));
	for (int i = 1; i <= 5; i++)
		assert_int_equal(counts[i], golden_uint(records, names[i - 1]));
	wal_reader_fini(&r);
	mem_free(list.at);
}

static err_t count_scanned(void *arg, const struct wal_scanned *r)
{
	struct counts *c = arg;

	c->at[r->kind]++;
	return OK;
}

/* The same through wal_scan, as a whole and from the last file on. */
static void check_scan(const char *dir, const json_t *facts)
{
	static const char *const names[] = {[WAL_SCAN_METADATA] = "metadata", [WAL_SCAN_ENTRY] = "entry",
					    [WAL_SCAN_STATE] = "state", [WAL_SCAN_MARK] = "snapshot"};
	const json_t *files = golden_at(facts, "wal.files"), *last = json_array_get(files, json_array_size(files) - 1);
	struct counts all = {0}, some = {0};
	struct wal_scan_end end;
	struct why why = {""};
	err_t err = wal_scan(vfs_posix(), dir, 0, count_scanned, &all, &why, &end);

	assert_true(err == OK || err == ERR_CORRUPT_TAIL); /* wal-torn */
	for (size_t i = 0; i < ARRAY_COUNT(names); i++)
		assert_int_equal(all.at[i], golden_uint(golden_at(facts, "wal.records"), names[i]));
	assert_int_equal(end.file_count, json_array_size(files));
	assert_int_equal(end.file, end.file_count - 1);
	assert_string_equal(end.name, json_string_value(golden_at(last, "name")));
	assert_int_equal(end.offset, golden_uint(last, "end_offset"));
	assert_int_equal(end.later_index, 0);
	assert_int_equal(wal_scan(vfs_posix(), dir, end.file, count_scanned, &some, &why, &end), err);
	assert_int_equal(some.at[WAL_SCAN_ENTRY] + some.at[WAL_SCAN_STATE] + some.at[WAL_SCAN_MARK] + some.at[WAL_SCAN_METADATA] + 1,
			 golden_uint(last, "records"));
	assert_err(ERR_NOT_EXIST, wal_scan(vfs_posix(), dir, end.file_count, count_scanned, &some, &why, &end));
}

static void check_content(const struct wal_content *c, const json_t *facts, uint64_t after)
{
	uint64_t last = golden_uint(facts, "wal.last_entry");

	assert_true(c->has_metadata);
	assert_true(c->pos_found);
	assert_int_equal(c->metadata.node_id, golden_hex(facts, "wal.metadata.node_id"));
	assert_int_equal(c->metadata.cluster_id, golden_hex(facts, "wal.metadata.cluster_id"));
	assert_int_equal(c->hard_state.term, golden_uint(facts, "wal.hardstate.term"));
	assert_int_equal(c->hard_state.commit, golden_uint(facts, "wal.hardstate.commit"));
	assert_int_equal(c->hard_state.vote, golden_hex(facts, "wal.hardstate.vote"));
	assert_int_equal(c->entry_count, last - after);
	for (size_t i = 0; i < c->entry_count; i++)
		assert_int_equal(c->entries[i].index, after + 1 + i);
	if (c->entry_count)
		assert_int_equal(c->entries[c->entry_count - 1].term, golden_uint(facts, "wal.last_entry_term"));
}

static void check_conf_changes(const struct wal_content *c, const json_t *facts)
{
	static const char *const types[] = {"AddNode", "RemoveNode", "UpdateNode", "AddLearnerNode"};
	const json_t *want = golden_at(facts, "wal.conf_changes");
	size_t n = 0;

	for (size_t i = 0; i < c->entry_count; i++) {
		struct raft_conf_change cc;

		if (c->entries[i].type != ENTRY_CONF_CHANGE)
			continue;
		assert_ok(raft_conf_change_decode(blob_slice(c->entries[i].data), &cc));
		assert_int_equal(c->entries[i].index, golden_uint(json_array_get(want, n), "index"));
		assert_int_equal(cc.node_id, golden_hex(json_array_get(want, n), "node"));
		assert_string_equal(types[cc.type], json_string_value(golden_at(json_array_get(want, n), "type")));
		n++;
	}
	assert_int_equal(n, json_array_size(want));
}

static void check_marks(const char *dir, const json_t *facts)
{
	const json_t *want = golden_at(facts, "wal.snapshots");
	struct wal_marks marks;
	struct why why;

	assert_ok(wal_valid_snapshots(vfs_posix(), dir, &why, &marks));
	assert_int_equal(marks.count, json_array_size(want));
	for (size_t i = 0; i < marks.count; i++) {
		const json_t *m = json_array_get(want, i), *voters = json_object_get(m, "voters");

		assert_int_equal(marks.at[i].index, golden_uint(m, "index"));
		assert_int_equal(marks.at[i].term, golden_uint(m, "term"));
		assert_int_equal(marks.at[i].conf_state.voters.count, json_array_size(voters));
		assert_int_equal(marks.at[i].has_conf_state, voters != NULL);
		for (size_t k = 0; k < marks.at[i].conf_state.voters.count; k++)
			assert_int_equal(marks.at[i].conf_state.voters.at[k],
					 strtoull(json_string_value(json_array_get(voters, k)), NULL, 16));
	}
	wal_marks_fini(&marks);
}

/* Opened from each mark in turn, read-only and for writing. */
static void check_opens(const char *dir, const json_t *facts, bool torn)
{
	static const struct wal_options repairing = {.repair = true};
	struct why why = {""};
	struct wal_content c;
	struct wal_marks marks;
	struct wal *w;

	assert_ok(wal_valid_snapshots(vfs_posix(), dir, &why, &marks));
	for (size_t i = 0; i < marks.count; i++) {
		struct wal_pos pos = {marks.at[i].index, marks.at[i].term};

		assert_ok(wal_read(vfs_posix(), dir, pos, &why, &c));
		assert_int_equal(c.torn, torn);
		check_content(&c, facts, pos.index);
		if (pos.index == 0)
			check_conf_changes(&c, facts);
		wal_content_fini(&c);
	}
	for (size_t i = 0; i < marks.count; i++) {
		struct wal_pos pos = {marks.at[i].index, marks.at[i].term};

		if (torn)
			assert_err(ERR_CORRUPT_TAIL, wal_open(vfs_posix(), dir, pos, NULL, &why, &c, &w));
		assert_ok(wal_open(vfs_posix(), dir, pos, &repairing, &why, &c, &w));
		check_content(&c, facts, pos.index);
		wal_content_fini(&c);
		assert_ok(wal_close(w));
	}
	wal_marks_fini(&marks);
}

static void test_golden(void **state)
{
	static const char *const names[] = {"fresh",    "plain",          "wal-segments", "wal-unclean",
					    "wal-torn", "cluster3-1",     "cluster3-2",   "cluster3-3",
					    "v36",      "snapdb-pending", "restored"};

	for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
		char *data = golden_unpack(names[i]), *dir = wal_dir(data);
		json_t *facts = golden_facts(names[i], "on_disk");
		bool torn = strcmp(names[i], "wal-torn") == 0;

		print_message("%s\n", names[i]);
		assert_true(wal_exists(vfs_posix(), dir));
		check_records(dir, facts);
		check_scan(dir, facts);
		check_marks(dir, facts);
		check_opens(dir, facts, torn);
		if (torn) {
			struct vfs_stat st;
			char *broken =
			    mem_printf("%s/%s.broken", dir, json_string_value(golden_at(facts, "wal.end_file")));

			assert_ok(vfs_stat(vfs_posix(), broken, &st));
			assert_int_equal(st.size_bytes, WAL_SEGMENT_BYTES);
			broken[strlen(broken) - strlen(".broken")] = '\0';
			assert_ok(vfs_stat(vfs_posix(), broken, &st));
			assert_int_equal(st.size_bytes, golden_uint(facts, "wal.end_offset"));
			mem_free(broken);
		}
		json_decref(facts);
		golden_drop(data);
		mem_free(dir);
	}
}

static void test_bitflip(void **state)
{
	char *data = golden_unpack("wal-bitflip"), *dir = wal_dir(data);
	json_t *fails = golden_facts("wal-bitflip", "open_fails");
	const char *want = json_string_value(json_object_get(fails, "message"));
	static const struct wal_options repairing = {.repair = true};
	struct why why = {""};
	struct wal_content c;
	struct wal_marks marks;
	struct wal *w;

	want += strlen("bootstrap failed: ");
	assert_err(ERR_CORRUPT_FILE, wal_valid_snapshots(vfs_posix(), dir, &why, &marks));
	assert_string_equal(why.text, want);
	assert_err(ERR_CORRUPT_FILE, wal_read(vfs_posix(), dir, (struct wal_pos){0}, &why, &c));
	assert_string_equal(why.text, want);
	assert_err(ERR_CORRUPT_FILE, wal_open(vfs_posix(), dir, (struct wal_pos){0}, &repairing, &why, &c, &w));
	assert_string_equal(why.text, want);
	json_decref(fails);
	golden_drop(data);
	mem_free(dir);
}

static uint8_t *read_front(const char *path, size_t size)
{
	uint8_t *out = mem_alloc(size);
	struct vfs_file *f;
	size_t got;

	assert_ok(vfs_open(vfs_posix(), path, VFS_READ, 0, &f));
	assert_ok(vfs_pread(f, 0, out, size, &got));
	assert_int_equal(got, size);
	vfs_close(f);
	return out;
}

static void replay(struct wal *w, const struct wal_record *rec, struct why *why)
{
	struct raft_entry e;
	struct raft_hard_state s;
	struct wal_snapshot_mark m;

	switch (rec->type) {
	case WAL_ENTRY:
		assert_ok(raft_entry_decode(rec->data, &e));
		assert_true(wal_save(w, NULL, &e, 1));
		raft_entry_fini(&e);
		assert_ok(wal_sync(w, why)); /* here Go cut wal-segments, the commit went into the next file */
		break;
	case WAL_STATE:
		assert_ok(raft_hard_state_decode(rec->data, &s));
		wal_save(w, &s, NULL, 0);
		break;
	case WAL_SNAPSHOT:
		assert_ok(wal_snapshot_mark_decode(rec->data, &m));
		wal_save_snapshot(w, &m);
		wal_snapshot_mark_fini(&m);
		assert_ok(wal_sync(w, why));
		break;
	case WAL_METADATA:
	case WAL_CRC:
		break;
	}
}

/* Saves again what a log of Go holds, record by record: all segments must come out equal. */
static void test_same_bytes(void **state)
{
	static const char *const names[] = {"fresh", "plain", "cluster3-1", "snapdb-pending", "leases", "wal-segments"};

	for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
		char *data = golden_unpack(names[i]), *dir = wal_dir(data), *ours = mem_printf("%s/ours", data);
		json_t *facts = golden_facts(names[i], "on_disk");
		const json_t *files = golden_at(facts, "wal.files");
		struct wal_metadata m = {golden_hex(facts, "wal.metadata.node_id"),
					 golden_hex(facts, "wal.metadata.cluster_id")};
		struct why why = {""};
		struct wal_names list, our_list;
		struct wal_reader r;
		struct wal_record rec;
		struct wal *w;
		size_t skip = 3; /* wal_create writes these itself */
		bool more;
		const char *file = NULL;

		print_message("%s\n", names[i]);
		assert_ok(wal_create(vfs_posix(), ours, m, NULL, &why, &w));
		assert_ok(wal_names_list(vfs_posix(), dir, NULL, &why, &list));
		wal_reader_init(&r, vfs_posix(), dir, list.at, NULL, list.count);
		while (!wal_reader_next(&r, &why, &rec, &more) && more) {
			if (file != rec.file) {
				skip = 3; /* a head: crc, metadata, snapshot or state */
				file = rec.file;
			}
			if (skip > 0)
				skip--;
			else
				replay(w, &rec, &why);
		}
		assert_ok(wal_close(w));
		assert_ok(wal_names_list(vfs_posix(), ours, NULL, &why, &our_list));
		assert_int_equal(our_list.count, list.count);
		for (size_t k = 0; k < list.count; k++) {
			size_t size = golden_uint(json_array_get(files, k), "end_offset");
			char *a = mem_printf("%s/%s", dir, list.at[k].text),
			     *b = mem_printf("%s/%s", ours, our_list.at[k].text);
			uint8_t *want = read_front(a, size), *got = read_front(b, size);
			struct vfs_stat st[2];

			assert_string_equal(list.at[k].text, our_list.at[k].text);
			assert_ok(vfs_stat(vfs_posix(), a, &st[0]));
			assert_ok(vfs_stat(vfs_posix(), b, &st[1]));
			assert_int_equal(st[0].size_bytes, st[1].size_bytes);
			assert_int_equal(st[0].mode, st[1].mode);
			assert_memory_equal(want, got, size);
			mem_free(a);
			mem_free(b);
			mem_free(want);
			mem_free(got);
		}
		wal_reader_fini(&r);
		mem_free(list.at);
		mem_free(our_list.at);
		json_decref(facts);
		mem_free(ours);
		mem_free(dir);
		golden_drop(data);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_golden),
	    cmocka_unit_test(test_bitflip),
	    cmocka_unit_test(test_same_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
