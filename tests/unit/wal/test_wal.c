#include "../../lib/test.h"

#include <inttypes.h>
#include <pthread.h>

#include "base/endian.h"
#include "env/vfs_mem.h"
#include "wal/record.h"
#include "wal/wal.h"

#define DIR "/data/wal"
#define FIRST DIR "/0000000000000000-0000000000000000.wal"

static const struct wal_metadata metadata = {0xeea174cf6bf15596, 0x22c9edda0f943733};
static const struct wal_pos zero;

struct disk {
	struct vfs_mem *m;
	struct vfs *fs;
};

static int set_up(void **state)
{
	struct disk *d = NEW(struct disk);

	d->m = vfs_mem_new(1);
	d->fs = vfs_mem_vfs(d->m);
	*state = d;
	return vfs_mkdir(d->fs, "/data", 0700);
}

static int tear_down(void **state)
{
	struct disk *d = *state;

	vfs_mem_free(d->m);
	mem_free(d);
	return 0;
}

static struct raft_entry entry(uint64_t index, uint64_t term, size_t size)
{
	struct raft_entry e = {term, index, ENTRY_NORMAL, size ? blob_new(size) : NULL};

	if (size)
		memset(e.data->data, (int)index, size);
	return e;
}

static bool save(struct wal *w, uint64_t index, uint64_t term, size_t size)
{
	struct raft_entry e = entry(index, term, size);
	bool must_sync = wal_save(w, NULL, &e, 1);

	raft_entry_fini(&e);
	return must_sync;
}

static struct buf content_of(struct vfs *fs, const char *path)
{
	struct buf b;

	buf_init(&b, 1 << 20);
	assert_ok(vfs_read_file(fs, path, &b));
	return b;
}

/* The bytes are those of the format's description, taken from a log of Go etcd. */
static void test_create(void **state)
{
	static const uint8_t crc_frame[] = {4, 0, 0, 0, 0, 0, 0, 0x84, 8, 4, 0x10, 0, 0, 0, 0, 0};
	static const uint8_t meta_word[] = {0x1f, 0, 0, 0, 0, 0, 0, 0x81, 8, 1, 0x10};
	static const uint8_t snapshot_data[] = {0x1a, 4, 8, 0, 0x10, 0};
	static const struct wal_options small = {.segment_bytes = 4096};
	struct disk *d = *state;
	struct why why = {""};
	struct wal *w, *again;
	struct vfs_file *f;
	struct vfs_stat st;
	struct buf b;

	assert_false(wal_exists(d->fs, DIR));
	assert_ok(vfs_mkdir(d->fs, DIR ".tmp", 0700)); /* leftover of a start that was cut off */
	assert_ok(vfs_open(d->fs, DIR ".tmp/0000000000000000-0000000000000000.wal", VFS_WRITE | VFS_CREATE, 0600, &f));
	vfs_close(f);
	assert_ok(wal_create(d->fs, DIR, metadata, &small, &why, &w));
	assert_true(wal_exists(d->fs, DIR));
	assert_false(vfs_exists(d->fs, DIR ".tmp"));
	assert_err(ERR_EXIST, wal_create(d->fs, DIR, metadata, &small, &why, &again));
	assert_ok(vfs_stat(d->fs, FIRST, &st));
	assert_int_equal(st.size_bytes, 4096);
	assert_int_equal(st.mode, 0600);
	assert_ok(vfs_stat(d->fs, DIR, &st));
	assert_int_equal(st.mode, 0700);
	b = content_of(d->fs, FIRST);
	assert_memory_equal(b.data, crc_frame, sizeof(crc_frame));
	assert_memory_equal(b.data + 16, meta_word, sizeof(meta_word));
	assert_memory_equal(b.data + 16 + 8 + 9, "\x15\x08", 2);
	assert_int_equal(b.data[56 + 8], 8);
	assert_int_equal(b.data[56 + 9], WAL_SNAPSHOT);
	assert_non_null(memmem(b.data + 56, 24, snapshot_data, sizeof(snapshot_data)));
	buf_fini(&b);
	assert_int_equal(wal_metadata(w).node_id, metadata.node_id);
	assert_ok(wal_close(w));
}

static void test_must_sync(void **state)
{
	static const struct {
		struct raft_hard_state state;
		size_t entries;
		bool want;
	} cases[] = {
	    {{0, 0, 0}, 0, false}, {{1, 0, 0}, 0, true},
	    {{1, 7, 0}, 0, true},  {{1, 7, 5}, 0, false}, /* commit alone may wait */
	    {{1, 7, 5}, 1, true},  {{0, 0, 0}, 1, true},
	    {{2, 7, 5}, 0, true},  {{2, 7, 5}, 0, false},
	};
	struct disk *d = *state;
	struct wal *w;

	assert_ok(wal_create(d->fs, DIR, metadata, NULL, NULL, &w));
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct raft_entry e = entry(i + 1, 1, 3);

		assert_int_equal(wal_save(w, &cases[i].state, &e, cases[i].entries), cases[i].want);
		raft_entry_fini(&e);
	}
	assert_ok(wal_close(w));
}

/* A commit that nobody asked to sync waits in memory, and goes with the next sync or the close. */
static void test_commit_waits(void **state)
{
	static const struct raft_hard_state first = {1, 7, 0}, commit = {1, 7, 1};
	struct disk *d = *state;
	uint64_t calls;
	struct wal_content c;
	struct wal *w;

	assert_ok(wal_create(d->fs, DIR, metadata, NULL, NULL, &w));
	wal_save(w, &first, NULL, 0);
	save(w, 1, 1, 10);
	assert_ok(wal_sync(w, NULL));
	calls = vfs_mem_calls(d->m);
	assert_false(wal_save(w, &commit, NULL, 0));
	assert_int_equal(vfs_mem_calls(d->m), calls);
	assert_true(wal_buffered_bytes(w) > 0);
	assert_ok(wal_close(w));
	assert_ok(wal_read(d->fs, DIR, zero, NULL, &c));
	assert_int_equal(c.hard_state.commit, 1);
	wal_content_fini(&c);
}

static void count_done(void *arg)
{
	++*(int *)arg;
}

/* One write and one sync for all that was saved while the last flight was under way. */
static void test_group_commit(void **state)
{
	struct disk *d = *state;
	struct wal_content c;
	struct wal *w;
	uint64_t calls;
	int done = 0;

	assert_ok(wal_create(d->fs, DIR, metadata, NULL, NULL, &w));
	vfs_mem_set_auto_done(d->m, false);
	calls = vfs_mem_calls(d->m);
	save(w, 1, 1, 10);
	wal_sync_start(w, count_done, &done);
	for (uint64_t i = 2; i <= 100; i++)
		save(w, i, 1, 10);
	assert_true(vfs_mem_finish_one(d->m));
	assert_ok(wal_sync_end(w, NULL));
	wal_sync_start(w, count_done, &done);
	assert_int_equal(wal_buffered_bytes(w), 0);
	assert_int_equal(done, 1);
	assert_true(vfs_mem_finish_one(d->m));
	assert_false(vfs_mem_finish_one(d->m));
	assert_ok(wal_sync_end(w, NULL));
	assert_int_equal(done, 2);
	assert_int_equal(vfs_mem_calls(d->m), calls + 4); /* two writes, two syncs */
	vfs_mem_set_auto_done(d->m, true);
	wal_abandon(w);
	vfs_mem_crash(d->m);
	assert_ok(wal_read(d->fs, DIR, zero, NULL, &c));
	assert_int_equal(c.entry_count, 100);
	wal_content_fini(&c);
}

static void test_segments(void **state)
{
	static const struct wal_options small = {.segment_bytes = 1000};
	static const struct raft_hard_state hs = {3, 7, 1};
	static const char *const want[] = {
	    "0000000000000000-0000000000000000.wal", "0000000000000001-0000000000000006.wal",
	    "0000000000000002-000000000000000b.wal", "0000000000000003-0000000000000010.wal"};
	struct disk *d = *state;
	struct why why = {""};
	struct vfs_names names;
	struct wal_content c;
	struct wal *w, *other;
	struct wal_snapshot_mark mark = {.index = 11, .term = 3, .has_conf_state = true};
	struct vfs_stat st;
	size_t purged;

	assert_ok(wal_create(d->fs, DIR, metadata, &small, &why, &w));
	wal_save(w, &hs, NULL, 0);
	for (uint64_t i = 1; i <= 16; i++) {
		save(w, i, 3, 190);
		if (i == 12)
			wal_save_snapshot(w, &mark);
		assert_ok(wal_sync(w, &why));
	}
	assert_ok(wal_prepare(w, &why));
	assert_ok(vfs_stat(d->fs, DIR "/1.tmp", &st)); /* three were used */
	assert_int_equal(st.size_bytes, 1000);
	assert_err(ERR_LOCKED, wal_open(d->fs, DIR, zero, &small, &why, &c, &other));
	assert_ok(wal_purge(d->fs, DIR, 1, &purged));
	assert_int_equal(purged, 0);
	wal_release(w, 11); /* keeps the last one that starts below 11, and those behind */
	assert_ok(wal_purge(d->fs, DIR, 1, &purged));
	assert_int_equal(purged, 1);
	assert_ok(wal_close(w));
	assert_ok(vfs_list(d->fs, DIR, &names));
	assert_int_equal(names.count, 3);
	for (int i = 0; i < 3; i++)
		assert_string_equal(names.at[i], want[i + 1]);
	vfs_names_free(&names);

	/* the state at a segment's head makes the ones before needless */
	assert_ok(wal_open(d->fs, DIR, (struct wal_pos){11, 3}, &small, &why, &c, &w));
	assert_int_equal(c.entry_count, 5);
	assert_int_equal(c.entries[0].index, 12);
	assert_int_equal(c.hard_state.term, 3);
	assert_int_equal(c.hard_state.vote, 7);
	assert_true(c.pos_found);
	wal_content_fini(&c);
	assert_ok(wal_close(w));
	assert_err(ERR_CORRUPT_FILE, wal_open(d->fs, DIR, (struct wal_pos){5, 3}, &small, &why, &c, &w));
	assert_string_equal(why.text, "wal: file not found which matches the snapshot index '5'");
	assert_ok(wal_purge(d->fs, DIR, 0, &purged));
	assert_int_equal(purged, 0);
	assert_ok(vfs_remove(d->fs, DIR "/0000000000000002-000000000000000b.wal"));
	assert_err(ERR_CORRUPT_FILE, wal_read(d->fs, DIR, (struct wal_pos){11, 3}, &why, &c));
	assert_string_equal(why.text, "wal: file sequence numbers (starting from 0) do not increase continuously");
}

/* What a cut-off start left in N.tmp must not show behind the head of the segment it becomes. */
static void test_leftover_tmp(void **state)
{
	static const struct wal_options small = {.segment_bytes = 1000};
	struct disk *d = *state;
	struct vfs_file *f;
	struct wal_content c;
	uint8_t junk[900];
	struct wal *w;

	assert_ok(wal_create(d->fs, DIR, metadata, &small, NULL, &w));
	assert_ok(vfs_open(d->fs, DIR "/0.tmp", VFS_WRITE | VFS_CREATE, 0600, &f));
	memset(junk, 0xee, sizeof(junk));
	assert_ok(vfs_pwrite(f, 0, junk, sizeof(junk)));
	vfs_close(f);
	save(w, 1, 1, 1000);
	assert_ok(wal_sync(w, NULL));
	wal_abandon(w);
	assert_ok(wal_read(d->fs, DIR, zero, NULL, &c));
	assert_int_equal(c.entry_count, 1);
	assert_false(c.torn);
	wal_content_fini(&c);
}

/* Entries of a new term replace old ones of the same and higher index. */
static void test_overwritten(void **state)
{
	struct disk *d = *state;
	struct wal_content c;
	struct wal *w;

	assert_ok(wal_create(d->fs, DIR, metadata, NULL, NULL, &w));
	for (uint64_t i = 1; i <= 9; i++)
		save(w, i, 1, 20);
	save(w, 5, 2, 0);
	save(w, 6, 2, 30);
	assert_ok(wal_sync(w, NULL));
	assert_ok(wal_close(w));
	assert_ok(wal_read(d->fs, DIR, zero, NULL, &c));
	assert_int_equal(c.entry_count, 6);
	assert_int_equal(c.entries[3].term, 1);
	assert_int_equal(c.entries[4].term, 2);
	assert_int_equal(blob_slice(c.entries[4].data).size, 0);
	assert_int_equal(blob_slice(c.entries[5].data).size, 30);
	wal_content_fini(&c);
}

static void put_file(struct vfs *fs, const char *path, struct slice s)
{
	struct vfs_file *f;

	assert_ok(vfs_open(fs, path, VFS_WRITE | VFS_CREATE | VFS_TRUNCATE, 0600, &f));
	assert_ok(vfs_pwrite(f, 0, s.data, s.size));
	vfs_close(f);
}

struct forged {
	const char *name;
	err_t err;
	const char *text; /* begins so */
	void (*put)(struct buf *b, uint32_t *crc);
};

static void put_far_entry(struct buf *b, uint32_t *crc)
{
	struct raft_entry e = entry(13038096702221461992u, 9, 0);

	wal_put_entry(b, crc, &e);
}

static void put_other_metadata(struct buf *b, uint32_t *crc)
{
	wal_put_bytes(b, crc, WAL_METADATA, SLICE_LIT("\x08\x01\x10\x02"));
}

static void put_unknown(struct buf *b, uint32_t *crc)
{
	wal_put_bytes(b, crc, (enum wal_type)9, SLICE_LIT("abc"));
}

static void put_other_term(struct buf *b, uint32_t *crc)
{
	wal_put_bytes(b, crc, WAL_SNAPSHOT, SLICE_LIT("\x08\x00\x10\x05"));
}

static void put_bad_entry(struct buf *b, uint32_t *crc)
{
	wal_put_bytes(b, crc, WAL_ENTRY, SLICE_LIT("\x12\xff"));
}

static void put_other_crc(struct buf *b, uint32_t *crc)
{
	wal_put_crc(b, *crc + 1);
}

static void put_huge_length(struct buf *b, uint32_t *crc)
{
	uint8_t word[8];

	le64_put(word, WAL_SIZE_MASK);
	buf_put(b, word, sizeof(word));
}

static void put_half_word(struct buf *b, uint32_t *crc)
{
	buf_put(b, "\x05\0\0", 3);
}

static void put_no_protobuf(struct buf *b, uint32_t *crc)
{
	buf_put(b, "\x08\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff", 16);
}

static const struct forged forged[] = {
	{"index past the end (CVE-2020-15112)", ERR_CORRUPT_FILE,
	 "wal: slice bounds out of range, snapshot[Index: 0, Term: 0], current entry[Index: 13038096702221461992, Term: "
	 "9], len(ents): 0",
	 put_far_entry},
	{"length (CVE-2020-15106)", ERR_CORRUPT_TAIL,
	 "unexpected EOF: [wal] max entry size limit exceeded when reading \"0000000000000000-0000000000000000.wal\", "
	 "recBytes: "
	 "72057594037927935, fileSize(72) - offset(64) - padBytes(0) = entryLimit(8)",
	 put_huge_length},
	{"half a length", ERR_CORRUPT_TAIL, "unexpected EOF", put_half_word},
	{"metadata", ERR_CORRUPT_FILE, "wal: conflicting metadata found", put_other_metadata},
	{"type", ERR_CORRUPT_FILE, "unexpected block type 9", put_unknown},
	{"term of the snapshot", ERR_CORRUPT_FILE, "wal: snapshot mismatch", put_other_term},
	{"entry", ERR_CORRUPT_FILE, "wal: malformed entry record", put_bad_entry},
	{"running checksum", ERR_CORRUPT_FILE, "walpb: crc mismatch", put_other_crc},
	{"record", ERR_CORRUPT_FILE, "proto: cannot parse invalid wire-format data", put_no_protobuf},
};

static void test_forged(void **state)
{
	struct disk *d = *state;

	assert_ok(vfs_mkdir(d->fs, DIR, 0700));
	for (size_t i = 0; i < ARRAY_COUNT(forged); i++) {
		struct buf b;
		struct why why = {""};
		struct wal_content c;
		struct wal *w;
		uint32_t crc = 0;
		err_t err;

		buf_init(&b, 1 << 16);
		wal_put_crc(&b, 0);
		wal_put_bytes(&b, &crc, WAL_METADATA, SLICE_LIT("\x08\x07\x10\x08"));
		wal_put_bytes(&b, &crc, WAL_SNAPSHOT, SLICE_LIT("\x08\x00\x10\x00"));
		forged[i].put(&b, &crc);
		put_file(d->fs, FIRST, buf_slice(&b));
		buf_fini(&b);
		err = wal_open(d->fs, DIR, zero, NULL, &why, &c, &w);
		if (err != forged[i].err || strncmp(why.text, forged[i].text, strlen(forged[i].text)) != 0)
			fail_msg("%s: %s: %s", forged[i].name, err_name(err), why.text);
		err = wal_read(d->fs, DIR, zero, &why, &c);
		if (forged[i].err == ERR_CORRUPT_TAIL) {
			assert_ok(err);
			assert_true(c.torn);
			wal_content_fini(&c);
		} else {
			assert_err(forged[i].err, err);
		}
	}
	assert_err(ERR_NOT_EXIST, wal_read(d->fs, "/data", zero, NULL, &(struct wal_content){0}));
}

/* A checksum that breaks in a file with a successor is damage, never a torn end. */
static void test_torn_in_the_middle(void **state)
{
	static const struct wal_options small = {.segment_bytes = 2000, .repair = true};
	struct disk *d = *state;
	struct why why = {""};
	struct wal_content c;
	struct vfs_file *f;
	struct wal *w;

	assert_ok(wal_create(d->fs, DIR, metadata, &small, NULL, &w));
	for (uint64_t i = 1; i <= 3; i++) {
		save(w, i, 1, 1500);
		assert_ok(wal_sync(w, NULL));
	}
	assert_ok(wal_close(w));
	assert_ok(vfs_open(d->fs, FIRST, VFS_WRITE, 0, &f));
	assert_ok(vfs_pwrite(f, 512, &(char[512]){0}, 512));
	vfs_close(f);
	assert_err(ERR_CORRUPT_FILE, wal_open(d->fs, DIR, zero, &small, &why, &c, &w));
	assert_non_null(strstr(why.text, "walpb: crc mismatch"));

	/* nor can repair help where a file that is not the last one ends too early */
	assert_ok(vfs_open(d->fs, FIRST, VFS_WRITE, 0, &f));
	assert_ok(vfs_truncate(f, 1000));
	vfs_close(f);
	assert_err(ERR_CORRUPT_TAIL, wal_open(d->fs, DIR, zero, &small, &why, &c, &w));
	assert_false(vfs_exists(d->fs, FIRST ".broken"));
}

static void collect_note(void *arg, const char *event, const char *path)
{
	buf_printf(arg, "%s %s\n", event, path);
}

static void test_notes(void **state)
{
	struct disk *d = *state;
	struct buf notes;
	struct wal_options o = {.segment_bytes = 1000, .note = collect_note, .note_arg = &notes};
	struct wal_content c;
	struct wal *w;

	buf_init(&notes, 4096);
	assert_ok(wal_create(d->fs, DIR, metadata, &o, NULL, &w));
	save(w, 1, 1, 2000);
	assert_ok(wal_sync(w, NULL));
	assert_ok(wal_close(w));
	put_file(d->fs, DIR "/2.tmp", SLICE_LIT("x"));
	put_file(d->fs, DIR "/README", SLICE_LIT("x"));
	assert_ok(wal_open(d->fs, DIR, zero, &o, NULL, &c, &w));
	wal_content_fini(&c);
	assert_ok(wal_close(w));
	assert_true(slice_eq(buf_slice(&notes),
			     slice_str("created a new WAL segment " DIR "/0000000000000001-0000000000000002.wal\n"
				       "ignored file in WAL directory README\n")));
	buf_fini(&notes);
}

struct waiter {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool done;
};

static void wake(void *arg)
{
	struct waiter *x = arg;

	pthread_mutex_lock(&x->lock);
	x->done = true;
	pthread_cond_signal(&x->cond);
	pthread_mutex_unlock(&x->lock);
}

/* Flights over real files and threads, with saves meanwhile and cuts. */
static void test_posix_flights(void **state)
{
	static const struct wal_options small = {.segment_bytes = 20000};
	struct waiter x = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false};
	struct vfs *fs = vfs_posix();
	char base[] = "/tmp/test_wal_XXXXXX";
	struct wal_content c;
	struct wal *w;
	uint64_t index = 0;
	char *dir;

	assert_non_null(mkdtemp(base));
	dir = mem_printf("%s/wal", base);
	assert_ok(wal_create(fs, dir, metadata, &small, NULL, &w));
	for (int i = 0; i < 60; i++) {
		save(w, ++index, 1, 500);
		x.done = false;
		wal_sync_start(w, wake, &x);
		save(w, ++index, 1, 500);
		pthread_mutex_lock(&x.lock);
		while (!x.done)
			pthread_cond_wait(&x.cond, &x.lock);
		pthread_mutex_unlock(&x.lock);
		assert_ok(wal_sync_end(w, NULL));
		if (i % 10 == 0)
			assert_ok(wal_prepare(w, NULL));
	}
	assert_int_equal(wal_stats(w)->syncs >= 60, true);
	assert_ok(wal_close(w));
	assert_ok(wal_open(fs, dir, zero, &small, NULL, &c, &w));
	assert_int_equal(c.entry_count, index);
	wal_content_fini(&c);
	assert_ok(wal_close(w));
	mem_free(dir);
	assert_ok(vfs_remove_all(fs, base));
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_create),
	    TEST(test_must_sync),
	    TEST(test_commit_waits),
	    TEST(test_group_commit),
	    TEST(test_segments),
	    TEST(test_leftover_tmp),
	    TEST(test_overwritten),
	    TEST(test_forged),
	    TEST(test_torn_in_the_middle),
	    TEST(test_notes),
	    cmocka_unit_test(test_posix_flights),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
