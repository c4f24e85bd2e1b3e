/* Checks of directories that Go etcd left: whole ones, ones that a server repairs, damaged ones; then damage of every
 * kind in a whole one. What the whole ones hold is in tests/golden/expected.json. */
#include "../../lib/test.h"

#include "../../lib/golden.h"

#include "base/endian.h"
#include "base/rng.h"
#include "obs/log.h"
#include "utl/utl.h"
#include "wal/wal.h"

static const struct utl_wait no_wait = {1};

static enum utl_state check(const char *dir, char *texts, size_t size)
{
	struct utl_report r;
	struct why why = {""};
	enum utl_state worst;
	size_t n = 0;

	assert_ok(utl_check(vfs_posix(), dir, NULL, &no_wait, &why, &r));
	texts[0] = 0;
	for (size_t i = 0; i < r.findings.count && n < size; i++)
		n += (size_t)snprintf(texts + n, size - n, "%s %s: %s [%s]\n", utl_state_name(r.findings.at[i].state),
				      r.findings.at[i].part, r.findings.at[i].text, r.findings.at[i].loss);
	worst = r.worst;
	utl_report_fini(&r);
	return worst;
}

static void golden(void **state)
{
	static const struct {
		const char *name;
		enum utl_state worst;
		const char *text; /* is in the report; NULL: whatever */
	} cases[] = {
	    {"fresh", UTL_GOOD, NULL},
	    {"plain", UTL_GOOD, "revision 66, compacted at 51"},
	    {"compact-pending", UTL_REPAIR, "the compaction at 60 is not finished"},
	    {"leases", UTL_GOOD, NULL},
	    {"auth", UTL_GOOD, NULL},
	    {"alarms", UTL_GOOD, NULL},
	    {"cluster3-1", UTL_GOOD, "voters: 3, learners: 0"},
	    {"downgrade36", UTL_GOOD, NULL},
	    {"restored", UTL_GOOD, NULL},
	    {"restored-bumped", UTL_REPAIR, "the compaction at 1000065 is not finished"},
	    {"wal-segments", UTL_GOOD, "4 segments"},
	    {"wal-unclean", UTL_GOOD, "entry 4 of term"},
	    {"wal-torn", UTL_REPAIR, "the last write did not arrive whole"},
	    {"wal-bitflip", UTL_DAMAGED, "walpb: crc mismatch"},
	    {"v36", UTL_GOOD, NULL},
	};

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		char *dir = golden_unpack(cases[i].name), texts[16384];
		enum utl_state worst = check(dir, texts, sizeof(texts));

		if (worst != cases[i].worst || (cases[i].text && !strstr(texts, cases[i].text)))
			fail_msg("%s: %s\n%s", cases[i].name, utl_state_name(worst), texts);
		golden_drop(dir);
	}
}

static void change(const char *path, uint64_t at, uint8_t bits)
{
	struct vfs_file *f;
	uint8_t byte;
	size_t got;

	assert_ok(vfs_open(vfs_posix(), path, VFS_WRITE, 0, &f));
	assert_ok(vfs_pread(f, at, &byte, 1, &got));
	byte ^= bits;
	assert_ok(vfs_pwrite(f, at, &byte, 1));
	vfs_close(f);
}

static void cut(const char *path, uint64_t size)
{
	struct vfs_file *f;

	assert_ok(vfs_open(vfs_posix(), path, VFS_WRITE, 0, &f));
	assert_ok(vfs_truncate(f, size));
	vfs_close(f);
}

/* The log begins behind a snapshot that the database does not have; the one from the leader is beside it, or is not. */
static void received_database(void **state)
{
	char *dir = golden_unpack("snapdb-pending"), texts[16384], *path;

	assert_int_equal(check(dir, texts, sizeof(texts)), UTL_REPAIR);
	assert_non_null(strstr(texts, "received from a leader; a server puts it in the database's place"));
	path = mem_printf("%s/member/snap/000000000000002a.snap.db", dir);
	cut(path, 5000);
	assert_int_equal(check(dir, texts, sizeof(texts)), UTL_DAMAGED);
	assert_ok(vfs_remove(vfs_posix(), path));
	assert_int_equal(check(dir, texts, sizeof(texts)), UTL_DAMAGED);
	assert_non_null(strstr(texts, "and there is no 000000000000002a.snap.db"));
	mem_free(path);
	golden_drop(dir);
}

struct frames {
	VEC(uint64_t) at;
};

static err_t frame(void *arg, const struct wal_scanned *r)
{
	VEC_PUSH(&((struct frames *)arg)->at, r->offset);
	return OK;
}

/* A bit in the last byte of a record's data, which its checksum covers. */
static void flips_in_the_log(void **state)
{
	char *dir = golden_unpack("plain"), *wal = mem_printf("%s/member/wal", dir), texts[16384], *path;
	struct frames frames = {{0}};
	struct wal_scan_end end;
	struct vfs_file *f;
	struct why why = {""};

	assert_ok(wal_scan(vfs_posix(), wal, 0, frame, &frames, &why, &end));
	assert_true(frames.at.count > 50);
	path = mem_printf("%s/%s", wal, end.name);
	for (size_t i = 0; i < frames.at.count; i += 7) {
		uint8_t head[8];
		uint64_t last;
		size_t got;

		assert_ok(vfs_open(vfs_posix(), path, VFS_READ, 0, &f));
		assert_ok(vfs_pread(f, frames.at.at[i], head, 8, &got));
		vfs_close(f);
		last = frames.at.at[i] + 8 + (le64_get(head) & 0xffffffffffffff) - 1;
		change(path, last, 0x10);
		if (check(dir, texts, sizeof(texts)) != UTL_DAMAGED)
			fail_msg("record %zu at %llu\n%s", i, (unsigned long long)frames.at.at[i], texts);
		assert_non_null(strstr(texts, "entries"));
		change(path, last, 0x10);
	}
	assert_int_equal(check(dir, texts, sizeof(texts)), UTL_GOOD);
	VEC_FREE(&frames.at);
	mem_free(path);
	mem_free(wal);
	golden_drop(dir);
}

/* What the loss says: the damaged record is that of the entry behind the last one told, the database has them all. */
static void loss_in_the_log(void **state)
{
	char *dir = golden_unpack("wal-bitflip"), texts[16384];
	const char *loss;

	assert_int_equal(check(dir, texts, sizeof(texts)), UTL_DAMAGED);
	loss = strstr(texts, "[entries ");
	assert_non_null(loss);
	assert_non_null(strstr(loss, "remove this member and add it again"));
	golden_drop(dir);
}

static void missing_segment(void **state)
{
	char *dir = golden_unpack("wal-segments"), *wal = mem_printf("%s/member/wal", dir), texts[16384], *path;
	struct vfs_names names;

	assert_ok(vfs_list(vfs_posix(), wal, &names));
	assert_true(names.count >= 4);
	path = mem_printf("%s/%s", wal, names.at[1]);
	assert_ok(vfs_remove(vfs_posix(), path));
	assert_int_equal(check(dir, texts, sizeof(texts)), UTL_DAMAGED);
	assert_non_null(strstr(texts, "a segment is missing"));
	vfs_names_free(&names);
	mem_free(path);
	mem_free(wal);
	golden_drop(dir);
}

/* Bits anywhere in the database: what is found depends, for values have no checksum; but it ends, and changes nothing.
 */
static void flips_in_the_database(void **state)
{
	char *dir = golden_unpack("plain"), *db = mem_printf("%s/member/snap/db", dir), texts[16384];
	size_t damaged = 0;
	struct rng rng;

	rng_init(&rng, 11);
	for (size_t i = 0; i < 200; i++) {
		uint64_t at = rng_below(&rng, 6 * 4096);
		uint8_t bits = (uint8_t)(1u << rng_below(&rng, 8));

		change(db, at, bits);
		damaged += check(dir, texts, sizeof(texts)) == UTL_DAMAGED;
		change(db, at, bits);
	}
	assert_true(damaged > 4); /* bbolt check finds about as many: most bytes are values, free or unused */
	assert_int_equal(check(dir, texts, sizeof(texts)), UTL_GOOD);
	mem_free(db);
	golden_drop(dir);
}

static void cuts(void **state)
{
	char *dir = golden_unpack("plain"), *db = mem_printf("%s/member/snap/db", dir), texts[16384];
	static const uint64_t sizes[] = {20000, 8192, 5000, 4096, 100, 0};

	for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
		cut(db, sizes[i]);
		assert_int_equal(check(dir, texts, sizeof(texts)), UTL_DAMAGED);
	}
	assert_ok(vfs_remove(vfs_posix(), db));
	assert_int_equal(check(dir, texts, sizeof(texts)), UTL_DAMAGED);
	assert_non_null(strstr(texts, "is missing"));
	mem_free(db);
	golden_drop(dir);
}

/* The log of another member, older than the database. */
static void log_behind_database(void **state)
{
	char *dir = golden_unpack("plain"), *other = golden_unpack("fresh"), texts[16384];
	char *wal = mem_printf("%s/member/wal", dir), *from = mem_printf("%s/member/wal", other);

	assert_ok(vfs_remove_all(vfs_posix(), wal));
	assert_int_equal(check(dir, texts, sizeof(texts)), UTL_DAMAGED);
	assert_non_null(strstr(texts, "has no log"));
	assert_ok(vfs_rename(vfs_posix(), from, wal));
	assert_int_equal(check(dir, texts, sizeof(texts)), UTL_DAMAGED);
	assert_non_null(strstr(texts, "but the database has applied entry"));
	mem_free(wal);
	mem_free(from);
	golden_drop(dir);
	golden_drop(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(golden),
	    cmocka_unit_test(received_database),
	    cmocka_unit_test(flips_in_the_log),
	    cmocka_unit_test(loss_in_the_log),
	    cmocka_unit_test(missing_segment),
	    cmocka_unit_test(flips_in_the_database),
	    cmocka_unit_test(cuts),
	    cmocka_unit_test(log_behind_database),
	};
	struct log_config quiet = {.level = LOG_LEVEL_FATAL};

	if (log_setup(&quiet, NULL))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
