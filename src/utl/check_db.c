/* The database: its pages, the rows of each bucket, what it says of itself. */
#include <inttypes.h>

#include "alarm/alarm.h"
#include "auth/auth.h"
#include "lease/lease.h"
#include "utl/check.h"
#include "utl/open.h"

/* The state machines that read the small buckets; nothing is written to them. */
struct machines {
	struct lessor *lessor;
	struct alarms alarms;
	struct auth *auth;
	struct members *members;
	enum backend_bucket bucket;
	uint64_t rows;
};

static err_t load_row(void *arg, struct slice key, struct slice value)
{
	struct machines *m = arg;

	m->rows++;
	switch (m->bucket) {
	case BUCKET_LEASE:
		return lessor_load(m->lessor, key, value);
	case BUCKET_ALARM:
		return alarms_load(&m->alarms, key);
	case BUCKET_AUTH:
	case BUCKET_AUTH_USERS:
	case BUCKET_AUTH_ROLES:
		return auth_load(m->auth, m->bucket, key, value);
	default:
		return members_load(m->members, m->bucket, key, value);
	}
}

static void small_buckets(struct check *c, struct bolt_pin *pin, struct machines *m)
{
	static const enum backend_bucket buckets[] = {BUCKET_ALARM,      BUCKET_AUTH,           BUCKET_AUTH_ROLES,
						      BUCKET_AUTH_USERS, BUCKET_CLUSTER,        BUCKET_LEASE,
						      BUCKET_MEMBERS,    BUCKET_MEMBERS_REMOVED};

	for (size_t i = 0; i < ARRAY_COUNT(buckets); i++) {
		struct slice name = backend_bucket_name(buckets[i]);
		err_t err;

		m->bucket = buckets[i];
		m->rows = 0;
		err = backend_file_each(pin, buckets[i], load_row, m);
		if (err == ERR_NOT_EXIST)
			check_add(c, UTL_NOTE, "backend", "", "%s: bucket %.*s is missing; a server makes it",
				  c->db_path, SLICE_ARG(name));
		else if (err)
			check_add(c, UTL_DAMAGED, "backend", CHECK_FROM_ELSEWHERE,
				  "%s: bucket %.*s: row %" PRIu64 " is not what belongs there", c->db_path,
				  SLICE_ARG(name), m->rows);
	}
}

static void meta(struct check *c, struct bolt_pin *pin)
{
	struct backend_meta m;
	struct version v;
	err_t err = backend_file_meta(pin, &m);

	if (err) {
		check_add(c, UTL_DAMAGED, "backend", CHECK_FROM_ELSEWHERE, "%s: bucket meta: %s", c->db_path,
			  err == ERR_NOT_EXIST ? "it is missing, so this is not a database of etcd" : err_text(err));
		return;
	}
	c->db.applied = m.consistent_index;
	c->db.term = m.term;
	c->db.readable = true;
	if (m.storage_version.size &&
	    (version_parse(m.storage_version, &v) || v.major != 3 || v.minor < 5 || v.minor > 7))
		check_add(c, UTL_DAMAGED, "backend", "nothing, with a server of that version",
			  "%s: storage version \"%.*s\" is not known here", c->db_path, SLICE_ARG(m.storage_version));
	else if (!m.storage_version.size && !m.term)
		check_add(c, UTL_NOTE, "backend", "",
			  "%s: neither storage version nor term: written by etcd 3.4 or before", c->db_path);
	if (m.finished_compact_rev < m.scheduled_compact_rev)
		check_add(c, UTL_REPAIR, "backend", "",
			  "%s: the compaction at %" PRId64 " is not finished; a server goes on with it", c->db_path,
			  m.scheduled_compact_rev);
}

/* Pages were checked by opening; this is what opening does not demand. */
static void pages(struct check *c, struct bolt *db)
{
	struct bolt_stats s;
	struct why why = {""};

	if (bolt_check(db, &s, &why))
		check_add(c, UTL_DAMAGED, "backend", CHECK_FROM_ELSEWHERE, "%s", why.text);
	else
		check_add(c, UTL_GOOD, "backend", "",
			  "%s: %" PRIu64 " bytes, %" PRIu64 " in use; %" PRIu64 " branch, %" PRIu64 " leaf, %" PRIu64
			  " overflow, %" PRIu64 " free pages; %" PRIu64 " rows in %" PRIu64 " buckets",
			  c->db_path, bolt_size(db), bolt_size_in_use(db), s.branch_pages, s.leaf_pages,
			  s.overflow_pages, s.free_pages, s.key_count, s.bucket_count);
	if (bolt_valid_metas(db) < 2)
		check_add(
		    c, UTL_NOTE, "backend", "",
		    "%s: one of the two meta pages is damaged; if it was the newer one, the last commit is gone, and "
		    "what was in it comes from the log again",
		    c->db_path);
}

static void history(struct check *c)
{
	struct utl_hashkv h;
	struct why why = {""};

	if (utl_hashkv(c->fs, c->db_path, 0, c->wait, &why, &h))
		check_add(c, UTL_DAMAGED, "backend", CHECK_FROM_ELSEWHERE, "%s: %s", c->db_path, why.text);
	else
		check_add(c, UTL_GOOD, "backend", "",
			  "%s: revision %" PRId64 ", compacted at %" PRId64 ", HashKV %u; entry %" PRIu64
			  " of term %" PRIu64 " is the last one applied",
			  c->db_path, h.revision, h.compact_revision, h.hash, c->db.applied, c->db.term);
}

static void contents(struct check *c, struct bolt *db)
{
	struct lessor_config lc = {.ttl_s_min = 1};
	struct machines m = {.lessor = lessor_new(&lc), .auth = auth_new(NULL), .members = c->db.members};
	struct bolt_pin *pin = bolt_pin(db);

	alarms_init(&m.alarms, NULL);
	pages(c, db);
	meta(c, pin);
	small_buckets(c, pin, &m);
	bolt_pin_unref(pin);
	alarms_fini(&m.alarms);
	lessor_free(m.lessor);
	auth_free(m.auth);
}

err_t check_db(struct check *c, struct why *why)
{
	struct bolt_options o = {.read_only = true, .must_exist = true};
	struct bolt *db;
	err_t err;

	c->db.members = members_new(NULL, UINT32_MAX);
	c->db.found = vfs_exists(c->fs, c->db_path);
	if (!c->db.found)
		return OK;
	err = utl_open(c->fs, c->db_path, &o, c->wait, why, &db);
	if (err == ERR_LOCKED)
		return err;
	if (err) {
		check_add(c, UTL_DAMAGED, "backend", CHECK_FROM_ELSEWHERE, "%s", why->text);
		return OK;
	}
	contents(c, db);
	bolt_close(db);
	if (c->db.readable)
		history(c);
	return OK;
}
