/* Do the files of a member belong together, and would a server start on them? */
#include "utl/check.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "snap/snap.h"
#include "utl/open.h"

const char *utl_state_name(enum utl_state s)
{
	static const char *const names[] = {
	    [UTL_GOOD] = "ok", [UTL_NOTE] = "note", [UTL_REPAIR] = "repair", [UTL_DAMAGED] = "damaged"};

	ASSERT(s < ARRAY_COUNT(names));
	return names[s];
}

void check_add(struct check *c, enum utl_state state, const char *part, const char *loss, const char *fmt, ...)
{
	char text[1024];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	VEC_PUSH(&c->report->findings, ((struct utl_finding){state, part, mem_strdup(text), mem_strdup(loss)}));
	c->report->worst = MAX(c->report->worst, state);
}

void utl_report_fini(struct utl_report *r)
{
	for (size_t i = 0; i < r->findings.count; i++) {
		mem_free(r->findings.at[i].text);
		mem_free(r->findings.at[i].loss);
	}
	VEC_FREE(&r->findings);
}

/* ---- snapshot files ---- */

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), k = strlen(end);

	return n >= k && !strcmp(s + n - k, end);
}

static void check_snap_file(struct check *c, const char *name)
{
	char *path = utl_join(c->snap_dir, name);
	struct raft_snapshot s;
	struct why why = {""};

	/* since 3.7 a server takes what it needs from the log and the database; 3.6 and before read these files */
	if (snap_read(c->fs, path, &why, &s)) {
		check_add(c, UTL_REPAIR, "snap", "a start with etcd 3.6 or before", "%s: %s; a server renames it", path,
			  why.text);
	} else {
		check_add(c, UTL_GOOD, "snap", "", "%s: entry %" PRIu64 " of term %" PRIu64 "; voters: %zu", path,
			  s.index, s.term, s.conf_state.voters.count);
		raft_snapshot_fini(&s);
	}
	mem_free(path);
}

void check_snaps(struct check *c)
{
	struct vfs_names names;

	if (vfs_list(c->fs, c->snap_dir, &names))
		return;
	for (size_t i = 0; i < names.count; i++) {
		const char *name = names.at[i];

		if (ends_with(name, ".snap"))
			check_snap_file(c, name);
		else if (ends_with(name, ".broken"))
			check_add(c, UTL_NOTE, "snap", "", "%s/%s: set aside as unreadable by a server", c->snap_dir,
				  name);
		else if (!strncmp(name, "tmp", 3) || !strncmp(name, "db.tmp", 6))
			check_add(c, UTL_REPAIR, "snap", "",
				  "%s/%s: left by something that was cut off; a server removes it", c->snap_dir, name);
		else if (strcmp(name, "db") != 0 && !ends_with(name, ".snap.db"))
			check_add(c, UTL_NOTE, "snap", "", "%s/%s: no file of etcd", c->snap_dir, name);
	}
	vfs_names_free(&names);
}

/* ---- together ---- */

/* A database that was received from a leader and has not taken its place yet. */
static void check_received(struct check *c)
{
	struct bolt_options o = {.read_only = true, .must_exist = true};
	char name[SNAP_NAME_SIZE], *path;
	struct why why = {""};
	struct bolt *db;

	snap_db_name(c->log.mark, name);
	path = utl_join(c->snap_dir, name);
	if (!vfs_exists(c->fs, path)) {
		check_add(c, UTL_DAMAGED, "backend", CHECK_FROM_ELSEWHERE,
			  "the log begins behind entry %" PRIu64 ", but %s ends with entry %" PRIu64
			  ", and there is no %s",
			  c->log.mark, c->db_path, c->db.applied, name);
	} else if (bolt_open(c->fs, path, &o, &why, &db)) {
		check_add(c, UTL_DAMAGED, "backend", CHECK_FROM_ELSEWHERE,
			  "received from a leader, to take the database's place: %s", why.text);
	} else {
		check_add(c, UTL_REPAIR, "backend", "",
			  "%s: received from a leader; a server puts it in the database's place", path);
		bolt_close(db);
	}
	mem_free(path);
}

static void check_member(struct check *c)
{
	const struct members *ms = c->db.members;
	uint64_t id = c->log.node_id;

	if (members_is_removed(ms, id))
		check_add(c, UTL_DAMAGED, "member", "nothing: what it had is with the others",
			  "%" PRIx64 " was removed from cluster %" PRIx64 "; a server refuses to start", id,
			  c->log.cluster_id);
	else if (!members_find(ms, id))
		check_add(c, UTL_NOTE, "member", "",
			  "%" PRIx64 " of cluster %" PRIx64 " is not in the database's list of %zu members yet", id,
			  c->log.cluster_id, members_count(ms));
	else
		check_add(c, UTL_GOOD, "member", "", "%" PRIx64 " of cluster %" PRIx64 "; voters: %zu, learners: %zu",
			  id, c->log.cluster_id, members_voter_count(ms), members_learner_count(ms));
}

static void check_both(struct check *c)
{
	uint64_t end = MAX(c->log.last, c->log.mark);

	if (c->db.readable && c->log.mark > c->db.applied)
		check_received(c);
	else if (c->db.readable && c->log.whole && c->db.applied > end)
		check_add(c, UTL_DAMAGED, "log",
			  "the member's place in its cluster; the database is whole: remove the member and add it "
			  "again, or restore "
			  "the database as a snapshot with --skip-hash-check",
			  "%s ends with entry %" PRIu64 ", but the database has applied entry %" PRIu64, c->wal_dir,
			  end, c->db.applied);
	if (c->db.readable && c->log.has_metadata)
		check_member(c);
}

static void check_presence(struct check *c)
{
	if (!c->db.found && !c->log.found)
		check_add(c, UTL_NOTE, "member", "",
			  "there is neither a database nor a log; a server begins a new member");
	else if (!c->db.found)
		check_add(c, UTL_DAMAGED, "backend", CHECK_FROM_ELSEWHERE, "%s is missing", c->db_path);
	else if (!c->log.found)
		check_add(
		    c, UTL_DAMAGED, "log",
		    "the member's place in its cluster; restore the database as a snapshot with --skip-hash-check",
		    "%s has no log; a server would begin a new cluster", c->wal_dir);
	else
		check_both(c);
}

err_t utl_check(struct vfs *fs, const char *data_dir, const char *wal_dir, const struct utl_wait *wait, struct why *why,
		struct utl_report *out)
{
	struct utl_report report = {0};
	struct check c = {.fs = fs, .wait = wait, .report = &report};
	struct why unwanted = {""};
	err_t err;

	why = why ? why : &unwanted;
	err = utl_stat(fs, data_dir, why);
	if (err)
		return err;
	c.snap_dir = utl_join(data_dir, "member/snap");
	c.db_path = utl_db_path(data_dir);
	c.wal_dir = wal_dir ? mem_strdup(wal_dir) : utl_wal_path(data_dir);
	err = check_db(&c, why);
	if (!err) {
		check_log(&c);
		check_snaps(&c);
		check_presence(&c);
	}
	members_free(c.db.members);
	mem_free(c.snap_dir);
	mem_free(c.db_path);
	mem_free(c.wal_dir);
	if (err)
		utl_report_fini(&report);
	else
		*out = report;
	return err;
}
