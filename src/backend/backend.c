/* Buffers and the file.
 *
 *	            backend_freeze             backend_merge (other thread)      backend_merged
 *	active ------------------> frozen ------------------------------> file ------------------> new pin
 *	   (new active)                                                             frozen, old pin: dropped
 *
 *   K1  rows of active > rows of frozen > rows of the file
 *   K2  at most one buffer is frozen; merge n+1 starts after merge n was durable
 *   K3  what is dropped goes to the epoch after the publication that follows (backend_published), for the one
 *       before still shows it */
#include "backend/buffer.h"
#include "backend/store.h"

#include "base/epoch.h"

struct backend {
	struct bolt *db;
	struct epoch_domain *epoch;
	size_t buffer_bytes_max;
	struct backend_buffer *active;
	struct backend_buffer *frozen;
	struct bolt_pin *pin;
	struct bolt_root key; /* of pin */
	uint64_t merged_count;
	uint64_t frozen_count; /* freezes so far */
	uint64_t durable_index;
	VEC(struct backend_buffer *) dropped_buffers; /* K3 */
	VEC(struct bolt_pin *) dropped_pins;
};

static err_t buckets_missing(struct bolt *db, bool *missing)
{
	struct bolt_pin *pin = bolt_pin(db);
	struct bolt_root root;
	err_t err = OK;

	*missing = false;
	for (enum backend_bucket b = 0; b < BACKEND_BUCKET_COUNT && !err; b++) {
		err = bolt_pin_bucket(pin, backend_bucket_name(b), &root);
		if (err == ERR_NOT_EXIST) {
			*missing = true;
			err = OK;
		}
	}
	bolt_pin_unref(pin);
	return err;
}

err_t backend_make_buckets(struct bolt *db)
{
	struct bolt_tx *tx;
	bool missing;
	err_t err = buckets_missing(db, &missing);

	if (err || !missing)
		return err;
	err = bolt_begin(db, &tx);
	if (err)
		return err;
	for (enum backend_bucket b = 0; b < BACKEND_BUCKET_COUNT && !err; b++) {
		struct bolt_bucket *bucket;

		err = bolt_tx_bucket(tx, backend_bucket_name(b), true, &bucket);
	}
	if (!err)
		return bolt_commit(tx);
	bolt_rollback(tx);
	return err;
}

err_t backend_new(const struct backend_config *cfg, struct backend **out)
{
	struct bolt_pin *pin = bolt_pin(cfg->db);
	struct backend_meta meta;
	struct bolt_root key;
	err_t err = backend_file_meta(pin, &meta);

	if (!err)
		err = bolt_pin_bucket(pin, backend_bucket_name(BUCKET_KEY), &key);
	if (err) {
		bolt_pin_unref(pin);
		return err;
	}
	struct backend *be = NEW(struct backend);

	be->db = cfg->db;
	be->epoch = cfg->epoch;
	be->buffer_bytes_max = cfg->buffer_bytes_max ? cfg->buffer_bytes_max : BACKEND_BUFFER_BYTES_MAX;
	be->active = buffer_new();
	be->pin = pin;
	be->key = key;
	be->durable_index = meta.consistent_index;
	*out = be;
	return OK;
}

void backend_free(struct backend *be)
{
	if (!be)
		return;
	buffer_free(be->active);
	buffer_free(be->frozen);
	for (size_t i = 0; i < be->dropped_buffers.count; i++)
		buffer_free(be->dropped_buffers.at[i]);
	for (size_t i = 0; i < be->dropped_pins.count; i++)
		bolt_pin_unref(be->dropped_pins.at[i]);
	VEC_FREE(&be->dropped_buffers);
	VEC_FREE(&be->dropped_pins);
	bolt_pin_unref(be->pin);
	mem_free(be);
}

/* ---- write side ---- */

void backend_put(struct backend *be, enum backend_bucket b, struct slice key, struct slice value)
{
	ASSERT(b != BUCKET_KEY && b < BACKEND_BUCKET_COUNT && key.size > 0);
	buffer_add_op(be->active, b, false, key, value);
}

void backend_delete(struct backend *be, enum backend_bucket b, struct slice key)
{
	ASSERT(b != BUCKET_KEY && b < BACKEND_BUCKET_COUNT && key.size > 0);
	buffer_add_op(be->active, b, true, key, (struct slice){0});
}

uint8_t *backend_row(struct backend *be, struct rev rev, bool tombstone, size_t row_size, size_t slack_size)
{
	return buffer_add_row(be->active, rev, tombstone, row_size, slack_size);
}

void backend_delete_row(struct backend *be, struct rev rev, bool tombstone)
{
	buffer_add_delete(be->active, rev, tombstone);
}

static void store_put_row(void *be, enum backend_bucket b, struct slice key, struct slice value)
{
	backend_put(be, b, key, value);
}

static void store_delete_row(void *be, enum backend_bucket b, struct slice key)
{
	backend_delete(be, b, key);
}

struct store backend_store(struct backend *be)
{
	return (struct store){be, store_put_row, store_delete_row};
}

bool backend_full(const struct backend *be)
{
	return be->active->bytes >= be->buffer_bytes_max;
}

bool backend_has_frozen(const struct backend *be)
{
	return be->frozen;
}

size_t backend_pending_ops(const struct backend *be)
{
	return be->active->count + be->active->ops.count + be->active->deletes.count;
}

size_t backend_pending_bytes(const struct backend *be)
{
	return be->active->bytes;
}

void backend_freeze(struct backend *be, uint64_t consistent_index, uint64_t term, struct slice conf_state_json)
{
	struct backend_buffer *b = be->active;

	ASSERT(!be->frozen); /* K2 */
	ASSERT(!consistent_index || consistent_index >= be->durable_index);
	b->consistent_index = consistent_index;
	b->term = term;
	b->conf_state_json = buffer_keep(b, conf_state_json);
	be->frozen = b;
	be->frozen_count++;
	be->active = buffer_new();
}

enum { YIELD_EVERY = 16 }; /* rows */

/* ---- merge: the backend actor's thread; reads be->db and the frozen buffer, which nobody changes now ---- */

static err_t merge_rows(struct bolt *db, struct bolt_bucket *bucket, const struct backend_buffer *b)
{
	uint8_t key[REV_KEY_SIZE_MAX];
	err_t err = OK;

	for (size_t i = 0; i < b->count && !err; i++) {
		const struct buffer_row *r = buffer_row(b, i);
		size_t size = rev_key_write(buffer_row_rev(r), buffer_row_tombstone(r), key);

		err = bolt_put_borrowed(bucket, slice_of(key, size), buffer_row_value(r));
		if (i % YIELD_EVERY == 0)
			bolt_yield(db);
	}
	for (size_t i = 0; i < b->deletes.count && !err; i++) {
		const struct buffer_delete *d = &b->deletes.at[i];
		size_t size = rev_key_write((struct rev){d->main, d->sub_tombstone >> 1}, d->sub_tombstone & 1, key);

		err = bolt_delete(bucket, slice_of(key, size));
		if (i % YIELD_EVERY == 0)
			bolt_yield(db);
	}
	return err;
}

static err_t merge_ops(struct bolt *db, struct bolt_bucket *const buckets[], const struct backend_buffer *b)
{
	err_t err = OK;

	for (size_t i = 0; i < b->ops.count && !err; i++) {
		const struct buffer_op *o = &b->ops.at[i];

		err = o->deleted ? bolt_delete(buckets[o->bucket], o->key)
				 : bolt_put_borrowed(buckets[o->bucket], o->key, o->value);
		if (i % YIELD_EVERY == 0)
			bolt_yield(db);
	}
	return err;
}

/* upstream writes neither 0 */
static err_t put_u64(struct bolt_bucket *meta, struct slice name, uint64_t v)
{
	uint8_t be[8];

	be64_put(be, v);
	return v ? bolt_put(meta, name, slice_of(be, 8)) : OK;
}

static err_t merge_meta(struct bolt_bucket *meta, const struct backend_buffer *b)
{
	err_t err = put_u64(meta, SLICE_LIT("consistent_index"), b->consistent_index);

	if (!err && b->consistent_index)
		err = put_u64(meta, SLICE_LIT("term"), b->term);
	if (!err && b->conf_state_json.size)
		err = bolt_put_borrowed(meta, SLICE_LIT("confState"), b->conf_state_json);
	return err;
}

err_t backend_merge(struct backend *be)
{
	struct bolt_bucket *buckets[BACKEND_BUCKET_COUNT] = {0};
	const struct backend_buffer *b = be->frozen;
	struct bolt_tx *tx;

	ASSERT(b);
	err_t err = bolt_begin(be->db, &tx);

	if (err)
		return err;
	for (enum backend_bucket i = 0; i < BACKEND_BUCKET_COUNT && !err; i++)
		err = bolt_tx_bucket(tx, backend_bucket_name(i), true, &buckets[i]);
	if (!err)
		err = merge_rows(be->db, buckets[BUCKET_KEY], b);
	if (!err)
		err = merge_ops(be->db, buckets, b);
	if (!err)
		err = merge_meta(buckets[BUCKET_META], b);
	if (!err)
		return bolt_commit(tx);
	bolt_rollback(tx);
	return err;
}

/* Takes the newest commit for what is read from now on; the pin before goes with the publications that show it. */
static err_t repin(struct backend *be)
{
	struct bolt_pin *pin = bolt_pin(be->db);
	struct bolt_root key;
	err_t err = bolt_pin_bucket(pin, backend_bucket_name(BUCKET_KEY), &key);

	if (err) {
		bolt_pin_unref(pin);
		return err;
	}
	VEC_PUSH(&be->dropped_pins, be->pin);
	be->pin = pin;
	be->key = key;
	return OK;
}

err_t backend_merged(struct backend *be)
{
	err_t err;

	ASSERT(be->frozen);
	err = repin(be);
	if (err)
		return err;
	be->durable_index = MAX(be->durable_index, be->frozen->consistent_index);
	VEC_PUSH(&be->dropped_buffers, be->frozen);
	be->frozen = NULL;
	be->merged_count++;
	return OK;
}

err_t backend_refreshed(struct backend *be)
{
	return repin(be);
}

uint64_t backend_merged_count(const struct backend *be)
{
	return be->merged_count;
}

uint64_t backend_freeze_number(const struct backend *be)
{
	return be->frozen_count + 1;
}

uint64_t backend_durable_index(const struct backend *be)
{
	return be->durable_index;
}

/* ---- publication ---- */

void backend_view_get(const struct backend *be, struct backend_view *out)
{
	*out = (struct backend_view){
	    .active = be->active,
	    .active_count = be->active->count,
	    .frozen = be->frozen,
	    .frozen_count = be->frozen ? be->frozen->count : 0,
	    .pin = be->pin,
	    .key = be->key,
	};
}

static void unpin(void *pin)
{
	bolt_pin_unref(pin);
}

void backend_published(struct backend *be)
{
	for (size_t i = 0; i < be->dropped_buffers.count; i++)
		epoch_retire(be->epoch, be->dropped_buffers.at[i], buffer_free);
	be->dropped_buffers.count = 0;
	for (size_t i = 0; i < be->dropped_pins.count; i++)
		epoch_retire(be->epoch, be->dropped_pins.at[i], unpin);
	be->dropped_pins.count = 0;
}

struct bolt_pin *backend_pin(const struct backend *be)
{
	return be->pin;
}

void backend_check(const struct backend *be)
{
	struct backend_view v;
	struct backend_cursor c;
	struct backend_row row;
	struct rev last = {0, -1};
	bool found = true;

	buffer_check(be->active);
	if (be->frozen)
		buffer_check(be->frozen);
	backend_view_get(be, &v);
	backend_cursor_init(&c, &v, (struct rev){0, 0});
	for (;;) {
		err_t err = backend_cursor_next(&c, &row, &found);

		ASSERT(!err);
		if (!found)
			break;
		ASSERT(rev_cmp(last, row.rev) < 0); /* K1 */
		last = row.rev;
	}
}
