/* A data directory from a snapshot file:
 *
 *	1. members      the new cluster's, from the flags
 *	2. places       nothing is where the directories will be
 *	3. copy         the image to DATA/member.restoring/snap/db, its digest checked on the way
 *	4. database     old members out, new ones in, revision bumped, index and term of the new log: one transaction
 *	5. log          members as entries 1..n, a snapshot behind them
 *	6. rename       everything is durable; WALDIR first if it is apart, then DATA/member
 *
 * Up to 6 nothing has a name that a server would look at. On an error all that was made is removed again; after a crash
 * or kill the next restore into the same place removes what it left. */
#include "backend/backend.h"
#include "base/endian.h"
#include "obs/log.h"
#include "utl/open.h"
#include "utl/restore.h"

#define BUILD_NAME "member.restoring"

/* ---- places ---- */

static char *parent_of(const char *path)
{
	char *p = mem_strdup(path), *end = p + strlen(p), *slash;

	while (end > p + 1 && end[-1] == '/')
		*--end = 0;
	slash = strrchr(p, '/');
	if (!slash)
		strcpy(p, *p ? "." : "");
	else if (slash == p)
		p[1] = 0;
	else
		*slash = 0;
	return p;
}

/* The first directory on the way down to path that is not there; NULL: all are. */
static char *first_missing(struct vfs *fs, const char *path)
{
	char *missing = NULL, *at = mem_strdup(path);

	while (!vfs_exists(fs, at)) {
		mem_free(missing);
		missing = at;
		at = parent_of(missing);
		if (!strcmp(at, missing))
			break;
	}
	mem_free(at);
	return missing;
}

/* Removes the empty directories from path up to top. */
static void remove_up_to(struct vfs *fs, const char *path, const char *top)
{
	char *at = mem_strdup(path);
	err_t err = OK;

	while (top && !err && strlen(at) >= strlen(top)) {
		char *up = parent_of(at);

		err = vfs_remove(fs, at);
		if (err == ERR_NOT_EXIST)
			err = OK; /* not all of them were made */
		mem_free(at);
		at = up;
	}
	mem_free(at);
}

/* What a killed restore left is ours, unless one is at work on it. */
static err_t take_leftover(struct restore *r)
{
	struct vfs_file *f;
	err_t err = vfs_open(r->fs, r->db_path, VFS_WRITE, 0, &f);

	if (!err) {
		err = vfs_lock(f, VFS_LOCK_FLOCK);
		vfs_close(f);
	}
	if (err == ERR_LOCKED)
		return why_set(r->why, ERR_EXIST, "data-dir \"%s\": another restore is at work there",
			       r->cfg->data_dir);
	err = vfs_remove_all(r->fs, r->build_dir);
	return err ? why_set(r->why, err, "removing %s, which an earlier restore left: %s", r->build_dir, err_text(err))
		   : OK;
}

/* Nothing is there but, perhaps, what a killed restore left. */
static err_t data_dir_is_free(struct restore *r)
{
	struct vfs_names names = {0};
	bool leftover;
	err_t err = vfs_list(r->fs, r->cfg->data_dir, &names);

	leftover = !err && names.count == 1 && !strcmp(names.at[0], BUILD_NAME);
	if (err || (names.count && !leftover))
		err = why_set(r->why, ERR_EXIST, "data-dir \"%s\" not empty or could not be read", r->cfg->data_dir);
	vfs_names_free(&names);
	return !err && leftover ? take_leftover(r) : err;
}

static err_t places(struct restore *r)
{
	err_t err = vfs_exists(r->fs, r->cfg->data_dir) ? data_dir_is_free(r) : OK;

	if (err)
		return err;
	if (vfs_exists(r->fs, r->wal_dir))
		return why_set(r->why, ERR_EXIST, "wal-dir \"%s\" exists", r->wal_dir);
	if (!r->wal_apart)
		return OK;
	err = vfs_remove_all(r->fs, r->build_wal);
	return err ? why_set(r->why, err, "removing %s, which an earlier restore left: %s", r->build_wal, err_text(err))
		   : OK;
}

/* ---- the database ---- */

/* A bucket without rows, whatever it had. */
static err_t empty_bucket(struct bolt_tx *tx, enum backend_bucket b, struct bolt_bucket **out)
{
	err_t err = bolt_bucket_delete(tx, NULL, backend_bucket_name(b));

	return err && err != ERR_NOT_EXIST ? err : bolt_tx_bucket(tx, backend_bucket_name(b), true, out);
}

static err_t put_members(struct restore *r, struct bolt_tx *tx)
{
	struct bolt_bucket *members, *removed;
	err_t err = empty_bucket(tx, BUCKET_MEMBERS, &members);

	if (!err)
		err = empty_bucket(tx, BUCKET_MEMBERS_REMOVED, &removed);
	for (size_t i = 0; !err && i < members_count(r->members); i++) {
		const struct member *m = members_at(r->members, i);
		char id[MEMBER_ID_TEXT_SIZE];
		struct buf json;

		buf_init(&json, MEMBER_JSON_BYTES_MAX);
		member_json_write(m, &json);
		err = buf_failed(&json) ? ERR_TOO_LARGE
					: bolt_put(members, slice_str(member_id_text(m->id, id)), buf_slice(&json));
		buf_fini(&json);
	}
	return err;
}

static err_t bump_revision(struct restore *r, struct bolt_tx *tx, struct bolt_bucket *meta)
{
	struct rev latest = {0, 0};
	uint8_t key[REV_KEY_SIZE_MAX];
	struct bolt_bucket *rows;
	struct bolt_cursor c;
	bool found, tombstone;
	err_t err = bolt_tx_bucket(tx, backend_bucket_name(BUCKET_KEY), false, &rows);

	if (err)
		return why_set(r->why, err == ERR_NOT_EXIST ? ERR_CORRUPT_FILE : err,
			       "%s: no bucket key, so this is not a database of etcd", r->cfg->snapshot_path);
	bolt_bucket_cursor_init(&c, rows);
	err = bolt_cursor_last(&c, &found);
	if (!err && found)
		err = rev_key_read(c.key, &latest, &tombstone);
	if (err)
		return err;
	if (r->cfg->bump_revision > (uint64_t)INT64_MAX - (uint64_t)latest.main)
		return why_set(r->why, ERR_INVALID,
			       "--bump-revision %llu goes beyond the last revision that there can be",
			       (unsigned long long)r->cfg->bump_revision);
	LOG_INFO("bumping latest revision", LOG_INT("latest-revision", latest.main),
		 LOG_UINT("bump-amount", r->cfg->bump_revision),
		 LOG_INT("new-latest-revision", latest.main + (int64_t)r->cfg->bump_revision));
	latest = (struct rev){latest.main + (int64_t)r->cfg->bump_revision, 0};
	err = bolt_put(rows, slice_of(key, rev_key_write(latest, false, key)), (struct slice){0});
	LOG_INFO("marking revision compacted", LOG_INT("revision", latest.main));
	return err ? err : bolt_put(meta, SLICE_LIT("scheduledCompactRev"), slice_of(key, REV_KEY_SIZE));
}

/* Replay begins at the snapshot behind the last member's entry. */
static err_t put_position(struct restore *r, struct bolt_bucket *meta)
{
	uint8_t index[8], term[8];
	err_t err;

	be64_put(index, members_count(r->members));
	be64_put(term, 1);
	err = bolt_put(meta, SLICE_LIT("consistent_index"), slice_of(index, 8));
	return err ? err : bolt_put(meta, SLICE_LIT("term"), slice_of(term, 8));
}

static void tell_member(const struct restore *r, const struct member *m)
{
	LOG_INFO("added member", LOG_HEX("cluster-id", r->cluster_id), LOG_HEX("local-member-id", 0),
		 LOG_HEX("added-peer-id", m->id),
		 LOG_STRS("added-peer-peer-urls", m->peer_urls.list.at, m->peer_urls.list.count),
		 LOG_BOOL("added-peer-is-learner", false));
}

static err_t change_database(struct restore *r, struct bolt *db)
{
	struct bolt_bucket *meta;
	struct bolt_tx *tx;
	err_t err = bolt_begin(db, &tx);

	if (err)
		return err;
	LOG_INFO("Trimming membership information from the backend...");
	err = bolt_tx_bucket(tx, backend_bucket_name(BUCKET_META), true, &meta);
	if (!err && r->cfg->bump_revision)
		err = bump_revision(r, tx, meta);
	if (!err)
		err = put_members(r, tx);
	if (!err)
		err = put_position(r, meta);
	if (err) {
		bolt_rollback(tx);
		return err;
	}
	err = bolt_commit(tx);
	for (size_t i = 0; !err && i < members_count(r->members); i++)
		tell_member(r, members_at(r->members, i));
	return err;
}

static err_t restore_database(struct restore *r)
{
	struct bolt_options o = {.must_exist = true, .lock = true};
	struct bolt *db;
	err_t err = bolt_open(r->fs, r->db_path, &o, r->why, &db);

	if (err) {
		why_add(r->why, err, "failed to open database");
		return err == ERR_CORRUPT_FILE ? ERR_MALFORMED : err;
	}
	err = change_database(r, db);
	if (err && !r->why->text[0] && !bolt_why(db, r->why))
		why_set(r->why, err, "%s: %s", r->db_path, err_text(err));
	bolt_close(db);
	return err;
}

/* ---- the end ---- */

err_t restore_stopped(struct restore *r)
{
	if (!r->cfg->stop || !*r->cfg->stop)
		return OK;
	return why_set(r->why, ERR_CANCELED, "interrupted; what was made is removed again");
}

/* Makes the name of path durable, and those of all directories above it that were made: made_from is the topmost. */
static err_t sync_names(struct restore *r, const char *path, const char *made_from)
{
	char *at = mem_strdup(path);
	bool more = true;
	err_t err = OK;

	while (!err && more) {
		char *up = parent_of(at);

		more = made_from && strlen(at) > strlen(made_from);
		err = vfs_sync_dir(r->fs, up);
		if (err == ERR_PERMISSION)
			err = OK; /* not ours to open: then what is in it was there before */
		mem_free(at);
		at = up;
	}
	mem_free(at);
	return err;
}

static err_t rename_all(struct restore *r)
{
	err_t err = vfs_sync_dir(r->fs, r->snap_dir);

	if (!err)
		err = vfs_sync_dir(r->fs, r->build_dir);
	if (!err && r->wal_apart) {
		err = vfs_rename(r->fs, r->build_wal, r->wal_dir);
		r->wal_renamed = !err;
		if (!err)
			err = sync_names(r, r->wal_dir, r->wal_made_from);
	}
	if (!err)
		err = vfs_rename(r->fs, r->build_dir, r->member_dir);
	if (!err)
		err = sync_names(r, r->member_dir, r->made_from ? r->made_from : r->cfg->data_dir);
	return err ? why_set(r->why, err, "renaming %s to %s: %s", r->build_dir, r->member_dir, err_text(err)) : OK;
}

/* The log as it was built, and what wal_create made of it when it failed: build_wal.tmp, build_wal.broken.TIME. */
static void remove_built_wal(struct restore *r)
{
	char *parent = parent_of(r->build_wal), *slash = strrchr(r->build_wal, '/');
	const char *base = slash ? slash + 1 : r->build_wal;
	struct vfs_names names = {0};

	err_ignore(vfs_list(r->fs, parent, &names));
	for (size_t i = 0; i < names.count; i++) {
		char *path = mem_printf("%s/%s", parent, names.at[i]);
		size_t n = strlen(base);

		if (!strncmp(names.at[i], base, n) && (!names.at[i][n] || names.at[i][n] == '.'))
			err_ignore(vfs_remove_all(r->fs, path));
		mem_free(path);
	}
	vfs_names_free(&names);
	mem_free(parent);
}

/* Best effort: a disk that refuses to write may refuse to remove as well. */
static void undo(struct restore *r)
{
	err_ignore(vfs_remove_all(r->fs, r->build_dir));
	err_ignore(vfs_remove_all(r->fs, r->member_dir)); /* it was renamed, and the last sync failed */
	if (r->wal_apart) {
		char *wal_parent = parent_of(r->wal_dir);

		remove_built_wal(r);
		if (r->wal_renamed)
			err_ignore(vfs_remove_all(r->fs, r->wal_dir));
		remove_up_to(r->fs, wal_parent, r->wal_made_from);
		mem_free(wal_parent);
	}
	remove_up_to(r->fs, r->cfg->data_dir, r->made_from);
}

static err_t make_dirs(struct restore *r)
{
	char *wal_parent = parent_of(r->build_wal);
	err_t err;

	r->made_from = first_missing(r->fs, r->cfg->data_dir);
	err = vfs_mkdir_all(r->fs, r->build_dir, 0700);
	if (err)
		why_set(r->why, err, "mkdir %s: %s", r->build_dir, err_text(err));
	if (!err) {
		r->wal_made_from = r->wal_apart ? first_missing(r->fs, wal_parent) : NULL;
		err = vfs_mkdir_all(r->fs, wal_parent, 0700);
		if (err)
			why_set(r->why, err, "mkdir %s: %s", wal_parent, err_text(err));
	}
	mem_free(wal_parent);
	return err;
}

static void tell(const struct restore *r, const char *event, const char *snap_dir)
{
	LOG_INFO(event, LOG_STR("path", r->cfg->snapshot_path), LOG_STR("wal-dir", r->wal_dir),
		 LOG_STR("data-dir", r->cfg->data_dir), LOG_STR("snap-dir", snap_dir),
		 LOG_UINT("initial-memory-map-size", r->cfg->map_bytes));
}

static err_t build(struct restore *r)
{
	char *snap_dir = mem_printf("%s/snap", r->member_dir);
	err_t err;

	tell(r, "restoring snapshot", snap_dir);
	err = make_dirs(r);
	if (!err)
		err = restore_copy(r);
	if (!err)
		err = restore_database(r);
	if (!err)
		err = restore_log(r);
	if (!err)
		err = restore_stopped(r);
	if (!err)
		err = rename_all(r);
	if (err)
		undo(r);
	else
		tell(r, "restored snapshot", snap_dir);
	mem_free(snap_dir);
	return err;
}

/* A log inside DATA/member is built and renamed with it. */
static void place_wal(struct restore *r)
{
	size_t n = strlen(r->member_dir);

	r->wal_dir = r->cfg->wal_dir ? mem_strdup(r->cfg->wal_dir) : utl_wal_path(r->cfg->data_dir);
	r->wal_apart = strncmp(r->wal_dir, r->member_dir, n) != 0 || r->wal_dir[n] != '/';
	r->build_wal =
	    r->wal_apart ? mem_printf("%s.restoring", r->wal_dir) : mem_printf("%s%s", r->build_dir, r->wal_dir + n);
}

err_t utl_restore(struct vfs *fs, const struct utl_restore *cfg, struct why *why)
{
	struct why unwanted = {""};
	struct restore r = {.fs = fs, .cfg = cfg, .why = why ? why : &unwanted};
	err_t err = restore_members(&r);

	r.member_dir = utl_join(cfg->data_dir, "member");
	r.build_dir = utl_join(cfg->data_dir, BUILD_NAME);
	place_wal(&r);
	r.snap_dir = mem_printf("%s/snap", r.build_dir);
	r.db_path = mem_printf("%s/db", r.snap_dir);
	if (!err)
		err = places(&r);
	if (!err)
		err = build(&r);
	if (err && !r.why->text[0])
		why_set(r.why, err, "%s", err_text(err));
	members_free(r.members);
	mem_free(r.member_dir);
	mem_free(r.build_dir);
	mem_free(r.wal_dir);
	mem_free(r.build_wal);
	mem_free(r.snap_dir);
	mem_free(r.db_path);
	mem_free(r.made_from);
	mem_free(r.wal_made_from);
	return err;
}
