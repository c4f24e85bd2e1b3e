#include "mvcc_fixture.h"

#include "../../lib/beside.h"
#include "env/env.h"
#include "env/vfs_mem.h"

static bool lease_exists(void *arg, int64_t lease)
{
	struct fixture *f = arg;

	for (int i = 0; i < FIXTURE_LEASES; i++)
		if (lease && f->leases[i] == lease)
			return true;
	return false;
}

static void detach(void *arg, struct slice key)
{
	struct fixture *f = arg;

	for (size_t i = 0; i < f->attached.count; i++)
		if (slice_eq(blob_slice(f->attached.at[i].key), key)) {
			blob_unref(f->attached.at[i].key);
			f->attached.at[i] = f->attached.at[--f->attached.count];
			return;
		}
}

static void attach(void *arg, int64_t lease, struct slice key)
{
	struct fixture *f = arg;
	struct fixture_attachment a = {blob_copy(key), lease};

	detach(f, key);
	VEC_PUSH(&f->attached, a);
}

int64_t fixture_lease_of(const struct fixture *f, struct slice key)
{
	for (size_t i = 0; i < f->attached.count; i++)
		if (slice_eq(blob_slice(f->attached.at[i].key), key))
			return f->attached.at[i].lease;
	return 0;
}

static void start(struct fixture *f)
{
	struct backend_config bc = {.db = f->db, .buffer_bytes_max = f->buffer_bytes_max};
	struct mvcc_config mc = {.lease = {lease_exists, attach, detach}, .lease_arg = f};
	struct backend_meta meta;
	struct why why;

	ASSERT(backend_make_buckets(f->db) == OK);
	bc.epoch = mc.epoch = f->epoch = epoch_domain_new();
	ASSERT(backend_new(&bc, &f->backend) == OK);
	mc.backend = f->backend;
	f->mvcc = mvcc_new(&mc);
	ASSERT(backend_file_meta(backend_pin(f->backend), &meta) == OK);
	f->index = meta.consistent_index;
	uint64_t begin = env_mono_ns();

	ASSERT(mvcc_load(f->mvcc, f->loader, meta.scheduled_compact_rev, meta.finished_compact_rev,
			 (struct beside){beside_thread, NULL}, &why) == OK);
	f->load_ns = env_mono_ns() - begin;
	fixture_publish(f);
}

static void stop(struct fixture *f)
{
	while (f->attached.count)
		detach(f, blob_slice(f->attached.at[0].key));
	VEC_FREE(&f->attached);
	ASSERT(epoch_reclaim(f->epoch) == 0);
	mvcc_free(f->mvcc);
	backend_free(f->backend);
	epoch_domain_free(f->epoch);
}

static err_t key_row(void *arg, size_t bucket, struct slice key, struct slice value)
{
	return mvcc_loader_row(arg, key, value, NULL);
}

static void open_db(struct fixture *f)
{
	const struct slice name = SLICE_LIT("key");
	struct bolt_options options = {.page_size = f->page_size};
	struct why why = {{0}};
	uint64_t begin = env_mono_ns();

	f->loader = mvcc_loader_new();
	f->back_loader = mvcc_loader_new();
	struct bolt_rows rows = {&name, 1, key_row, f->loader, f->back_loader, {beside_thread, NULL}};

	options.rows = &rows;
	err_t err = bolt_open(f->fs, f->path, &options, &why, &f->db);

	if (err)
		fatal("%s: %s", f->path, why.text);
	mvcc_loader_join(f->loader, f->back_loader);
	f->open_ns = env_mono_ns() - begin;
}

void fixture_open(struct fixture *f)
{
	f->disk = vfs_mem_new(1);
	f->fs = vfs_mem_vfs(f->disk);
	f->path = "/db";
	open_db(f);
	start(f);
}

void fixture_open_file(struct fixture *f, const char *path)
{
	f->fs = vfs_posix();
	f->path = path;
	open_db(f);
	start(f);
}

void fixture_close(struct fixture *f)
{
	stop(f);
	bolt_close(f->db);
	if (f->disk)
		vfs_mem_free(f->disk);
}

void fixture_reopen(struct fixture *f)
{
	stop(f);
	bolt_close(f->db);
	open_db(f);
	start(f);
}

void fixture_publish(struct fixture *f)
{
	mvcc_publish(f->mvcc, &f->view);
	mvcc_published(f->mvcc);
	epoch_reclaim(f->epoch);
}

void fixture_freeze(struct fixture *f)
{
	backend_freeze(f->backend, ++f->index, 1, (struct slice){0});
	fixture_publish(f);
}

void fixture_merge(struct fixture *f)
{
	ASSERT(backend_merge(f->backend) == OK);
	ASSERT(backend_merged(f->backend) == OK);
	fixture_publish(f);
}

void fixture_commit(struct fixture *f)
{
	if (backend_has_frozen(f->backend))
		fixture_merge(f);
	fixture_freeze(f);
	fixture_merge(f);
}
