/* Shared by the tests of bolt: short forms of open, put, check. */
#ifndef BOLT_TEST_H
#define BOLT_TEST_H

#include "../../lib/test.h"

#include <stdlib.h>

#include "base/crc.h"
#include "base/rng.h"
#include "bolt/bolt.h"
#include "env/vfs_mem.h"

static inline struct bolt *db_open(struct vfs *fs, const char *path, uint32_t page_size)
{
	struct bolt_options o = {.page_size = page_size, .grow_bytes = 65536, .reserve_bytes = (uint64_t)1 << 32};
	struct why why = {{0}};
	struct bolt *db = NULL;

	if (bolt_open(fs, path, &o, &why, &db) != OK)
		fail_msg("bolt_open: %s", why.text);
	return db;
}

static inline struct bolt_tx *db_begin(struct bolt *db)
{
	struct bolt_tx *tx = NULL;

	assert_ok(bolt_begin(db, &tx));
	return tx;
}

static inline struct bolt_bucket *tx_bucket(struct bolt_tx *tx, const char *name)
{
	struct bolt_bucket *b = NULL;

	assert_ok(bolt_tx_bucket(tx, slice_str(name), true, &b));
	return b;
}

static inline void db_check(struct bolt *db, struct bolt_stats *stats)
{
	struct why why = {{0}};

	if (bolt_check(db, stats, &why) != OK)
		fail_msg("bolt_check: %s", why.text);
}

/* Go's own check of a file, where there is one: CETCD_ORACLE names its folder. */
static inline void oracle_check(const char *path)
{
	const char *dir = getenv("CETCD_ORACLE");
	char command[1024];

	if (!dir)
		return;
	snprintf(command, sizeof(command), "%s/bbolt check %s >/dev/null", dir, path);
	if (system(command) != 0)
		fail_msg("%s refuses the file", command);
}

static inline char *temp_dir(void)
{
	char *dir = mem_printf("%s/bolt_XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");

	assert_non_null(mkdtemp(dir));
	return dir;
}

#endif
