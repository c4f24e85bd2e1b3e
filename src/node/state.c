#include "node/state.h"

#include "node/node_impl.h"

static void store_put_row(void *arg, enum backend_bucket b, struct slice key, struct slice value)
{
	backend_put(((struct node *)arg)->backend, b, key, value);
}

static void store_delete_row(void *arg, enum backend_bucket b, struct slice key)
{
	backend_delete(((struct node *)arg)->backend, b, key);
}

void state_init(struct node_state *s, struct node *n, uint64_t hash_seed)
{
	struct lessor_config lc = {
		.store = &n->store,
		.ttl_s_min = lease_ttl_s_min(n->cfg.election_ms / n->cfg.heartbeat_ms, n->cfg.heartbeat_ms),
		.hash_seed = hash_seed,
		.checkpoints = n->cfg.lease_checkpoint,
	};

	*s = (struct node_state){0};
	n->store = (struct store){n, store_put_row, store_delete_row};
	s->lessor = lessor_new(&lc);
	alarms_init(&s->alarms, &n->store);
	s->members = members_new(&n->store, n->cfg.learners_max);
	s->auth = auth_new(&n->store);
	auth_set_trace(s->auth, node_auth_log);
}

static err_t key_row(void *arg, size_t bucket, struct slice key, struct slice value)
{
	struct key_rows *r = arg;

	return mvcc_loader_row(r->loader, key, value, &r->why);
}

err_t state_open(struct node_state *s, struct node *n, const char *path, struct why *why)
{
	const struct slice names[] = {SLICE_LIT("key")};
	struct bolt_rows rows = {names, 1, key_row, &s->rows, &s->back_rows, {n->cfg.hooks.both, n->cfg.hooks.arg}};
	struct bolt_options o = {.page_size = n->cfg.file_page_bytes, .lock = true, .lock_memory = n->cfg.lock_memory, .rows = &rows, .pacer = n->cfg.pacer};
	err_t err;

	s->rows = (struct key_rows){.loader = mvcc_loader_new()};
	s->back_rows = (struct key_rows){.loader = mvcc_loader_new()};
	err = bolt_open(n->fs, path, &o, why, &s->db);
	if (err) {
		if (s->rows.why.text[0] || s->back_rows.why.text[0])
			*why = s->rows.why.text[0] ? s->rows.why : s->back_rows.why;
		state_close(s);
		return err;
	}
	mvcc_loader_join(s->rows.loader, s->back_rows.loader);
	s->back_rows.loader = NULL;
	s->pin = bolt_pin(s->db);
	err = backend_file_meta(s->pin, &s->meta);
	return err && err != ERR_NOT_EXIST ? why_set(why, err, "%s: bucket meta cannot be read", path) : OK;
}

void state_close(struct node_state *s)
{
	mvcc_loader_free(s->rows.loader);
	mvcc_loader_free(s->back_rows.loader);
	s->rows.loader = s->back_rows.loader = NULL;
	bolt_pin_unref(s->pin);
	s->pin = NULL;
	bolt_close(s->db);
	s->db = NULL;
	s->meta = (struct backend_meta){0};
}

struct load {
	struct node_state *s;
	enum backend_bucket bucket;
};

static err_t load_row(void *arg, struct slice key, struct slice value)
{
	struct load *l = arg;

	switch (l->bucket) {
	case BUCKET_LEASE: return lessor_load(l->s->lessor, key, value);
	case BUCKET_ALARM: return alarms_load(&l->s->alarms, key);
	case BUCKET_AUTH:
	case BUCKET_AUTH_USERS:
	case BUCKET_AUTH_ROLES: return auth_load(l->s->auth, l->bucket, key, value);
	default: return members_load(l->s->members, l->bucket, key, value);
	}
}

static err_t load_bucket(struct node_state *s, const char *path, enum backend_bucket bucket, struct why *why)
{
	struct load l = {s, bucket};
	err_t err = backend_file_each(s->pin, bucket, load_row, &l);
	struct slice name = backend_bucket_name(bucket);

	return err == ERR_NOT_EXIST ? OK : err ? why_set(why, err, "%s: bucket %.*s cannot be read", path, SLICE_ARG(name)) : OK;
}

/* Storage version of the file against what we know: 3.5, 3.6, 3.7. */
static err_t storage_version(struct node_state *s, const char *path, struct why *why)
{
	struct slice text = s->meta.storage_version;
	struct version v;

	if (!text.size) {
		strcpy(s->storage_version, s->meta.term ? "3.5.0" : "");
		return OK;
	}
	if (text.size >= sizeof(s->storage_version) || version_parse(text, &v))
		return why_set(why, ERR_CORRUPT_FILE, "%s: storage version \"%.*s\" is not a version", path, SLICE_ARG(text));
	if (v.major != 3)
		return why_set(why, ERR_UNSUPPORTED, "changing major storage version is not supported");
	if (v.minor < 5 || v.minor > 7)
		return why_set(why, ERR_UNSUPPORTED, "version \"%.*s\" is not supported", SLICE_ARG(text));
	memcpy(s->storage_version, text.data, text.size);
	return OK;
}

err_t state_load(struct node_state *s, const char *path, struct why *why)
{
	static const enum backend_bucket buckets[] = {BUCKET_MEMBERS, BUCKET_MEMBERS_REMOVED, BUCKET_CLUSTER, BUCKET_LEASE, BUCKET_ALARM,
						       BUCKET_AUTH, BUCKET_AUTH_USERS, BUCKET_AUTH_ROLES};
	err_t err = storage_version(s, path, why);

	for (size_t i = 0; !err && i < ARRAY_COUNT(buckets); i++)
		err = load_bucket(s, path, buckets[i], why);
	return err;
}

err_t state_mvcc(struct node_state *s, struct node *n, const char *path, struct why *why)
{
	struct backend_config bc = {.db = s->db, .epoch = n->epoch};
	struct mvcc_config mc = {.epoch = n->epoch, .lease = lessor_mvcc_ops(), .lease_arg = s->lessor};
	err_t err = backend_make_buckets(s->db);

	if (!err)
		err = backend_new(&bc, &s->backend);
	if (err)
		return why_set(why, err, "%s: the buckets cannot be made: %s", path, err_text(err));
	mc.backend = s->backend;
	s->mvcc = mvcc_new(&mc);
	err = mvcc_load(s->mvcc, s->rows.loader, s->meta.scheduled_compact_rev, s->meta.finished_compact_rev,
			(struct beside){n->cfg.hooks.both, n->cfg.hooks.arg}, why);
	s->rows.loader = NULL;
	if (!err)
		LOG_INFO("kvstore restored", LOG_INT("current-rev", mvcc_revision(s->mvcc)));
	return err;
}

void state_fini(struct node_state *s)
{
	if (s->mvcc)
		mvcc_free(s->mvcc);
	lessor_free(s->lessor);
	alarms_fini(&s->alarms);
	members_free(s->members);
	auth_free(s->auth);
	if (s->backend)
		backend_free(s->backend);
	state_close(s);
	*s = (struct node_state){0};
}

void state_take(struct node *n, struct node_state *take_s)
{
	n->db = take_s->db;
	n->backend = take_s->backend;
	n->mvcc = take_s->mvcc;
	n->lessor = take_s->lessor;
	n->alarms = take_s->alarms;
	n->members = take_s->members;
	n->auth = take_s->auth;
	memcpy(n->storage_version, take_s->storage_version, sizeof(n->storage_version));
	n->apply.mvcc = n->mvcc;
	n->apply.lessor = n->lessor;
	n->apply.alarms = &n->alarms;
	n->apply.members = n->members;
	n->apply.auth = n->auth;
	n->apply.backend = n->backend;
	n->merge.backend = n->backend;
	n->merge.db = n->db;
	bolt_pin_unref(take_s->pin);
	*take_s = (struct node_state){0};
}
