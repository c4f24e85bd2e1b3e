/* The storage schema of 3.5, 3.6 and 3.7: the key storageVersion of bucket meta came with 3.6, nothing else differs.
 *
 *	3.5  <->  3.6  <->  3.7        one step at a time; 3.5 has no storageVersion, and a term
 *
 * On the way down the log is asked first: an entry that only a later version understands forbids it. */
#include <stdio.h>

#include "backend/backend.h"
#include "member/member.h"
#include "obs/log.h"
#include "pb/wire.h"
#include "utl/open.h"
#include "wal/wal.h"

enum { MINOR_LEAST = 5, MINOR_MOST = 7, MINOR_WITH_FIELD = 6, REQUEST_DOWNGRADE_VERSION_TEST = 9900 };

static const struct slice version_key = {(const uint8_t *)"storageVersion", 14};

static err_t detect(struct bolt *db, struct version *out, struct why *why)
{
	struct bolt_pin *pin = bolt_pin(db);
	struct backend_meta meta;
	err_t err = backend_file_meta(pin, &meta);

	if (!err && meta.storage_version.size)
		err = version_parse(meta.storage_version, out)
			  ? why_set(why, ERR_CORRUPT_FILE, "storage version \"%.*s\" is not a version",
				    SLICE_ARG(meta.storage_version))
			  : OK;
	else if (!err && meta.term)
		*out = (struct version){3, 5, 0};
	else if (!err || err == ERR_NOT_EXIST)
		err = why_set(why, ERR_UNSUPPORTED, "missing term information");
	bolt_pin_unref(pin);
	return err;
}

/* ---- what the log demands ---- */

/* {1: ver} of a request that only tests of downgrades make; any other needs no more than 3.5. */
static struct version request_version(struct slice data)
{
	struct version least = {3, 0, 0}, asked;
	struct pb_reader r = pb_reader_of(data);
	struct pb_field f, inner;

	while (pb_next(&r, &f)) {
		if (f.number != REQUEST_DOWNGRADE_VERSION_TEST || f.wire != PB_BYTES)
			continue;
		struct pb_reader in = pb_reader_of(f.bytes);

		least = (struct version){3, 6, 0};
		while (pb_next(&in, &inner)) {
			if (inner.number == 1 && inner.wire == PB_BYTES && !version_parse(inner.bytes, &asked) &&
			    version_cmp(asked, least) > 0)
				least = asked;
		}
	}
	return least;
}

static err_t log_version(struct vfs *fs, const char *data_dir, struct version *out, struct why *why)
{
	char *dir = utl_wal_path(data_dir);
	struct wal_content content = {0};
	struct wal_marks marks = {0};
	struct wal_pos pos = {0};
	err_t err = wal_valid_snapshots(fs, dir, why, &marks);

	*out = (struct version){0};
	if (err) {
		why_add(why, err, "failed to get the lastest snapshot");
	} else {
		if (marks.count)
			pos = (struct wal_pos){marks.at[marks.count - 1].index, marks.at[marks.count - 1].term};
		err = wal_read(fs, dir, pos, why, &content);
		if (err)
			why_add(why, err, "failed to read wal");
	}
	for (size_t i = 0; !err && i < content.entry_count; i++) {
		const struct raft_entry *e = &content.entries[i];
		struct version v =
		    e->type == ENTRY_NORMAL ? request_version(blob_slice(e->data)) : (struct version){3, 4, 0};

		if (version_cmp(v, *out) > 0)
			*out = v;
	}
	wal_content_fini(&content);
	wal_marks_fini(&marks);
	mem_free(dir);
	return err;
}

/* ---- steps ---- */

static err_t plan(struct version from, unsigned to, struct why *why)
{
	unsigned minor = from.minor;

	if (from.major != 3)
		return why_set(why, ERR_UNSUPPORTED,
			       "cannot create migration plan: changing major storage version is not supported");
	while (minor != to) {
		bool up = minor < to;
		unsigned higher = up ? minor + 1 : minor;

		if (higher <= MINOR_LEAST || higher > MINOR_MOST)
			return why_set(why, ERR_UNSUPPORTED,
				       "cannot create migration plan: version \"3.%u.0\" is not supported", higher);
		minor = up ? minor + 1 : minor - 1;
	}
	return OK;
}

static err_t write_version(struct bolt *db, unsigned minor)
{
	struct bolt_bucket *meta;
	struct bolt_tx *tx;
	char text[16];
	err_t err = bolt_begin(db, &tx);

	if (err)
		return err;
	snprintf(text, sizeof(text), "3.%u.0", minor);
	err = bolt_tx_bucket(tx, backend_bucket_name(BUCKET_META), true, &meta);
	if (!err)
		err = minor < MINOR_WITH_FIELD ? bolt_delete(meta, version_key)
					       : bolt_put(meta, version_key, slice_str(text));
	if (!err)
		return bolt_commit(tx);
	bolt_rollback(tx);
	return err;
}

static void tell_steps(unsigned from, unsigned to)
{
	while (from != to) {
		char text[16];

		from = from < to ? from + 1 : from - 1;
		snprintf(text, sizeof(text), "3.%u.0", from);
		LOG_INFO("updated storage version", LOG_STR("new-storage-version", text));
	}
}

/* One commit for all steps: nobody needs to meet the versions between. */
static err_t steps(struct bolt *db, struct version from, unsigned to, struct version log, struct why *why)
{
	struct version target = {3, to, 0};
	err_t err = plan(from, to, why);

	if (!err && version_cmp(target, from) < 0 && version_cmp(target, log) < 0)
		err = why_set(
		    why, ERR_UNSUPPORTED,
		    "cannot downgrade storage, WAL contains newer entries, as the target version (3.%u.0) is lower "
		    "than the version (%u.%u.%u) detected from WAL logs",
		    to, log.major, log.minor, log.patch);
	if (!err && from.minor != to) {
		err = write_version(db, to);
		if (!err)
			tell_steps(from.minor, to);
	}
	return err;
}

static err_t forced(struct bolt *db, unsigned to, struct why *why)
{
	char text[16];
	err_t err;

	LOG_INFO("normal migrate failed, trying with force", LOG_WHY(why));
	why->text[0] = 0;
	err = write_version(db, to);
	snprintf(text, sizeof(text), "3.%u", to);
	if (err)
		return err;
	if (to < MINOR_WITH_FIELD)
		LOG_WARN("forcefully cleared storage version");
	else
		LOG_WARN("forcefully set storage version", LOG_STR("storage-version", text));
	return OK;
}

static err_t migrate(struct vfs *fs, struct bolt *db, const char *data_dir, unsigned to, bool force, struct why *why)
{
	struct version from, log;
	char text[16];
	err_t err = detect(db, &from, why);

	if (err) {
		LOG_ERROR("failed to detect storage version. Please make sure you are using data dir from etcd v3.5 "
			  "and older");
		return err;
	}
	if (version_cmp(from, (struct version){3, to, 0}) == 0) {
		snprintf(text, sizeof(text), "3.%u", to);
		LOG_INFO("storage version up-to-date", LOG_STR("storage-version", text));
		return OK;
	}
	err = log_version(fs, data_dir, &log, why);
	if (err) {
		LOG_ERROR("Failed to finalize config", LOG_WHY(why));
		return err;
	}
	err = steps(db, from, to, log, why);
	return err == ERR_UNSUPPORTED && force ? forced(db, to, why) : err;
}

err_t utl_migrate(struct vfs *fs, const char *data_dir, unsigned target_minor, bool force, const struct utl_wait *wait,
		  struct why *why)
{
	struct bolt_options o = {.must_exist = true};
	char *path = utl_db_path(data_dir);
	struct why unwanted = {""};
	struct bolt *db = NULL;
	err_t err;

	why = why ? why : &unwanted;
	err = utl_open(fs, path, &o, wait, why, &db);
	if (!err) {
		err = migrate(fs, db, data_dir, target_minor, force, why);
		if (err && !why->text[0] && !bolt_why(db, why))
			why_set(why, err, "%s: %s", path, err_text(err));
	}
	bolt_close(db);
	mem_free(path);
	return err;
}
