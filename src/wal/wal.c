/* The writing side: saving, flights, locks, the end.
 *
 *	wal_save --> filling --start--> flying --disk--> done --end--> [full: next segment]
 *	                ^                                          |
 *	                +----- saved meanwhile: the next flight <--+ */
#include "wal/log.h"

#include "env/env.h"
#include "pb/wire.h"

struct wal *wal_new(struct vfs *fs, const char *dir, const struct wal_options *options)
{
	struct wal *w = NEW(struct wal);

	w->fs = fs;
	w->dir = mem_strdup(dir);
	w->options = options ? *options : (struct wal_options){0};
	if (w->options.segment_bytes == 0)
		w->options.segment_bytes = WAL_SEGMENT_BYTES;
	buf_init(&w->metadata_bytes, 1 << 20);
	buf_init(&w->filling, WAL_BUFFER_MAX);
	buf_init(&w->flying, WAL_BUFFER_MAX);
	return w;
}

char *wal_path(const struct wal *w, const char *name)
{
	return mem_printf("%s/%s", w->dir, name);
}

err_t wal_fail(struct wal *w, struct why *why, err_t err, const char *what)
{
	if (!w->failed)
		w->failed = err;
	return why_set(why, err, "%s in %s: %s", what, w->dir, err_text(err));
}

static bool state_is_empty(const struct raft_hard_state *s)
{
	return s->term == 0 && s->vote == 0 && s->commit == 0;
}

static void put_state(struct wal *w)
{
	uint8_t room[64];
	struct buf b = {.data = room, .room = sizeof(room), .size_max = sizeof(room)};

	raft_hard_state_encode(&w->state, &b);
	wal_put_bytes(&w->filling, &w->crc, WAL_STATE, buf_slice(&b));
}

bool wal_save(struct wal *w, const struct raft_hard_state *state, const struct raft_entry *entries, size_t count)
{
	bool must_sync = count > 0;

	for (size_t i = 0; i < count; i++) {
		wal_put_entry(&w->filling, &w->crc, &entries[i]);
		w->last_index = entries[i].index;
	}
	if (state && !state_is_empty(state)) {
		must_sync |= state->term != w->state.term || state->vote != w->state.vote;
		w->state = *state;
		put_state(w);
	}
	ASSERT(!buf_failed(&w->filling)); /* the caller bounds what it saves */
	return must_sync;
}

void wal_save_snapshot(struct wal *w, const struct wal_snapshot_mark *mark)
{
	struct buf b;

	ASSERT(mark->index == 0 || mark->has_conf_state);
	buf_init(&b, 1 << 20);
	wal_snapshot_mark_encode(mark, &b);
	wal_put_bytes(&w->filling, &w->crc, WAL_SNAPSHOT, buf_slice(&b));
	buf_fini(&b);
	ASSERT(!buf_failed(&w->filling));
	w->last_index = MAX(w->last_index, mark->index);
}

void wal_put_head(struct wal *w)
{
	wal_put_crc(&w->filling, w->crc);
	wal_put_bytes(&w->filling, &w->crc, WAL_METADATA, buf_slice(&w->metadata_bytes));
	if (!state_is_empty(&w->state))
		put_state(w);
}

/* A large buffer after a burst is given back. */
static void buf_reuse(struct buf *b)
{
	buf_clear(b);
	if (b->room > (1 << 20))
		buf_fini(b);
}

err_t wal_write_out(struct wal *w, struct why *why)
{
	err_t err = vfs_pwrite(wal_tail(w), w->write_at, w->filling.data, w->filling.size);

	if (err)
		return wal_fail(w, why, err, "writing to the log");
	w->write_at += w->filling.size;
	w->stats.written_bytes += w->filling.size;
	buf_reuse(&w->filling);
	return OK;
}

static void count_sync(struct wal *w, uint64_t sync_ns)
{
	w->stats.syncs++;
	w->stats.sync_ns_last = sync_ns;
	w->stats.sync_ns_total += sync_ns;
}

err_t wal_sync_file(struct wal *w, struct vfs_file *f, struct why *why)
{
	uint64_t start_ns = env_mono_ns();
	err_t err;

	if (w->options.no_sync)
		return OK;
	pacer_sync_begin(w->options.pacer);
	err = vfs_sync(f);
	pacer_sync_end(w->options.pacer, env_mono_ns() - start_ns);
	if (err)
		return wal_fail(w, why, err, "syncing the log");
	count_sync(w, env_mono_ns() - start_ns);
	return OK;
}

err_t wal_sync(struct wal *w, struct why *why)
{
	err_t err = w->failed;

	ASSERT(!w->running);
	if (err)
		return wal_fail(w, why, err, "the log failed before");
	err = wal_write_out(w, why);
	if (!err)
		err = wal_sync_file(w, wal_tail(w), why);
	return err ? err : wal_cut_if_full(w, why);
}

static void flight_done(struct vfs_io *io)
{
	struct wal *w = CONTAINER_OF(io, struct wal, io);

	pacer_sync_end(w->options.pacer, io->sync_ns);
	w->done(w->done_arg);
}

void wal_sync_start(struct wal *w, void (*done)(void *arg), void *arg)
{
	struct buf flying = w->filling;

	ASSERT(!w->running);
	ASSERT(!w->failed);
	w->filling = w->flying;
	w->flying = flying;
	w->running = true;
	w->done = done;
	w->done_arg = arg;
	w->io = (struct vfs_io){.file = wal_tail(w),
				.offset = w->write_at,
				.data = buf_slice(&w->flying),
				.sync = !w->options.no_sync,
				.done = flight_done};
	pacer_sync_begin(w->options.pacer);
	vfs_start(&w->io);
}

err_t wal_sync_end(struct wal *w, struct why *why)
{
	ASSERT(w->running);
	w->running = false;
	if (w->io.err)
		return wal_fail(w, why, w->io.err, "writing and syncing the log");
	w->write_at += w->flying.size;
	w->stats.written_bytes += w->flying.size;
	if (!w->options.no_sync)
		count_sync(w, w->io.sync_ns);
	buf_reuse(&w->flying);
	return wal_cut_if_full(w, why);
}

bool wal_sync_running(const struct wal *w)
{
	return w->running;
}

size_t wal_buffered_bytes(const struct wal *w)
{
	return w->filling.size;
}

void wal_release(struct wal *w, uint64_t index)
{
	size_t keep = w->files.count - 1; /* from here on locked */

	for (size_t i = 0; i < w->files.count; i++)
		if (w->files.at[i].name.index >= index) {
			keep = i > 0 ? i - 1 : 0;
			break;
		}
	for (size_t i = 0; i < keep; i++)
		vfs_close(w->files.at[i].file);
	w->files.count -= keep;
	memmove(w->files.at, w->files.at + keep, w->files.count * sizeof(*w->files.at));
}

struct wal_metadata wal_metadata(const struct wal *w)
{
	return w->metadata;
}

const struct wal_stats *wal_stats(const struct wal *w)
{
	return &w->stats;
}

void wal_abandon(struct wal *w)
{
	if (!w)
		return;
	for (size_t i = 0; i < w->files.count; i++)
		vfs_close(w->files.at[i].file);
	VEC_FREE(&w->files);
	vfs_close(w->next);
	buf_fini(&w->metadata_bytes);
	buf_fini(&w->filling);
	buf_fini(&w->flying);
	mem_free(w->dir);
	mem_free(w);
}

err_t wal_close(struct wal *w)
{
	err_t err = OK;

	if (!w)
		return OK;
	ASSERT(!w->running);
	if (!w->failed)
		err = wal_write_out(w, NULL);
	if (!w->failed)
		err = wal_sync_file(w, wal_tail(w), NULL);
	wal_next_remove(w);
	wal_abandon(w);
	return err;
}

err_t wal_purge(struct vfs *fs, const char *dir, size_t keep, size_t *purged)
{
	return vfs_purge(fs, dir, ".wal", keep, true, purged);
}
