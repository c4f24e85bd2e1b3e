/* Reading rows through a view, and the small buckets from a pin. */
#include "backend/buffer.h"

#include "base/crc.h"

struct slice backend_bucket_name(enum backend_bucket b)
{
	static const char *const names[] = {
	    [BUCKET_ALARM] = "alarm",
	    [BUCKET_AUTH] = "auth",
	    [BUCKET_AUTH_ROLES] = "authRoles",
	    [BUCKET_AUTH_USERS] = "authUsers",
	    [BUCKET_CLUSTER] = "cluster",
	    [BUCKET_KEY] = "key",
	    [BUCKET_LEASE] = "lease",
	    [BUCKET_MEMBERS] = "members",
	    [BUCKET_MEMBERS_REMOVED] = "members_removed",
	    [BUCKET_META] = "meta",
	};

	ASSERT(b < BACKEND_BUCKET_COUNT);
	return slice_str(names[b]);
}

err_t rev_key_read(struct slice key, struct rev *out, bool *tombstone)
{
	if ((key.size != REV_KEY_SIZE && key.size != REV_KEY_SIZE_MAX) || key.data[8] != '_')
		return ERR_CORRUPT_FILE;
	if (key.size == REV_KEY_SIZE_MAX && key.data[17] != 't')
		return ERR_CORRUPT_FILE;
	out->main = (int64_t)be64_get(key.data);
	out->sub = (int64_t)be64_get(key.data + 9);
	*tombstone = key.size == REV_KEY_SIZE_MAX;
	return OK;
}

static bool buffer_find(const struct backend_buffer *b, size_t count, struct rev rev, struct slice *out)
{
	size_t i = buffer_seek(b, count, rev);

	if (i == count || rev_cmp(buffer_row_rev(buffer_row(b, i)), rev) != 0)
		return false;
	*out = buffer_row_value(buffer_row(b, i));
	return true;
}

static bool buffer_covers(const struct backend_buffer *b, size_t count, struct rev rev)
{
	return count && rev.main >= buffer_row(b, 0)->main;
}

/* A tombstone's key has a 't' behind: who asks for a revision does not know which it is. */
static err_t file_row(const struct backend_view *v, struct rev rev, struct slice *out)
{
	uint8_t key[REV_KEY_SIZE_MAX];
	err_t err;

	rev_key_write(rev, true, key);
	err = bolt_pin_get(v->pin, &v->key, slice_of(key, REV_KEY_SIZE), out);
	return err == ERR_NOT_EXIST ? bolt_pin_get(v->pin, &v->key, slice_of(key, REV_KEY_SIZE_MAX), out) : err;
}

err_t backend_view_row(const struct backend_view *v, struct rev rev, struct slice *out)
{
	if (buffer_covers(v->active, v->active_count, rev))
		return buffer_find(v->active, v->active_count, rev, out) ? OK : ERR_NOT_EXIST;
	if (v->frozen && buffer_covers(v->frozen, v->frozen_count, rev))
		return buffer_find(v->frozen, v->frozen_count, rev, out) ? OK : ERR_NOT_EXIST;
	return file_row(v, rev, out);
}

/* ---- rows in order: file, frozen, active ---- */

void backend_cursor_init(struct backend_cursor *c, const struct backend_view *v, struct rev from)
{
	c->view = v;
	c->from = from;
	c->state = CURSOR_START;
	c->buffer = NULL;
	c->at = 0;
}

static void enter_buffer(struct backend_cursor *c, const struct backend_buffer *b, size_t count)
{
	c->buffer = b;
	c->at = b ? buffer_seek(b, count, c->from) : 0;
}

/* A file whose rows all lie below from, as when the newest are asked for, is not opened at all. */
static bool file_skipped(const struct backend_cursor *c)
{
	const struct backend_view *v = c->view;

	if (v->frozen && v->frozen_count)
		return buffer_covers(v->frozen, v->frozen_count, c->from);
	return buffer_covers(v->active, v->active_count, c->from);
}

static err_t file_next(struct backend_cursor *c, bool *found)
{
	uint8_t from[REV_KEY_SIZE_MAX];

	if (c->state == CURSOR_FILE)
		return bolt_cursor_next(&c->file, found);
	c->state = CURSOR_FILE;
	*found = false;
	if (file_skipped(c))
		return OK;
	bolt_cursor_init(&c->file, c->view->pin, &c->view->key);
	rev_key_write(c->from, false, from);
	return bolt_cursor_seek(&c->file, slice_of(from, REV_KEY_SIZE), found);
}

static bool buffer_next(struct backend_cursor *c, struct backend_row *out)
{
	while (c->buffer) {
		size_t count = c->buffer == c->view->active ? c->view->active_count : c->view->frozen_count;

		if (c->at < count) {
			const struct buffer_row *r = buffer_row(c->buffer, c->at++);

			*out = (struct backend_row){buffer_row_rev(r), buffer_row_tombstone(r), buffer_row_value(r)};
			return true;
		}
		if (c->buffer == c->view->active)
			c->buffer = NULL;
		else
			enter_buffer(c, c->view->active, c->view->active_count);
	}
	return false;
}

err_t backend_cursor_next(struct backend_cursor *c, struct backend_row *out, bool *found)
{
	if (c->state != CURSOR_BUFFERS) {
		struct backend_row row;
		err_t err = file_next(c, found);

		if (!err && *found) {
			row.value = c->file.value;
			err = rev_key_read(c->file.key, &row.rev, &row.tombstone);
			if (!err)
				*out = row;
		}
		if (err || *found)
			return err;
		c->state = CURSOR_BUFFERS;
		if (c->view->frozen)
			enter_buffer(c, c->view->frozen, c->view->frozen_count);
		else
			enter_buffer(c, c->view->active, c->view->active_count);
	}
	*found = buffer_next(c, out);
	return OK;
}

/* ---- small buckets ---- */

err_t backend_file_get(struct bolt_pin *pin, enum backend_bucket b, struct slice key, struct slice *out)
{
	struct bolt_root root;
	err_t err = bolt_pin_bucket(pin, backend_bucket_name(b), &root);

	return err ? err : bolt_pin_get(pin, &root, key, out);
}

err_t backend_file_each(struct bolt_pin *pin, enum backend_bucket b, backend_each_fn *fn, void *arg)
{
	struct bolt_cursor c;
	struct bolt_root root;
	bool found;
	err_t err = bolt_pin_bucket(pin, backend_bucket_name(b), &root);

	if (err)
		return err == ERR_NOT_EXIST ? OK : err;
	bolt_cursor_init(&c, pin, &root);
	err = bolt_cursor_first(&c, &found);
	while (!err && found) {
		err = fn(arg, c.key, c.value);
		if (!err)
			err = bolt_cursor_next(&c, &found);
	}
	return err;
}

/* What is not there leaves *out as it is. */
static err_t meta_get(struct bolt_pin *pin, struct slice name, struct slice *out)
{
	err_t err = backend_file_get(pin, BUCKET_META, name, out);

	return err == ERR_NOT_EXIST ? OK : err;
}

static err_t meta_u64(struct bolt_pin *pin, struct slice name, uint64_t *out)
{
	struct slice s = {0};
	err_t err = meta_get(pin, name, &s);

	if (err || !s.data)
		return err;
	if (s.size != 8)
		return ERR_CORRUPT_FILE;
	*out = be64_get(s.data);
	return OK;
}

static err_t meta_rev(struct bolt_pin *pin, struct slice name, int64_t *out)
{
	struct slice s = {0};
	struct rev rev;
	bool tombstone;
	err_t err = meta_get(pin, name, &s);

	if (err || !s.data)
		return err;
	err = rev_key_read(s, &rev, &tombstone);
	if (!err)
		*out = rev.main;
	return err;
}

err_t backend_file_meta(struct bolt_pin *pin, struct backend_meta *out)
{
	struct backend_meta m = {.scheduled_compact_rev = -1, .finished_compact_rev = -1};
	err_t err = meta_u64(pin, SLICE_LIT("consistent_index"), &m.consistent_index);

	if (!err)
		err = meta_u64(pin, SLICE_LIT("term"), &m.term);
	if (!err)
		err = meta_rev(pin, SLICE_LIT("scheduledCompactRev"), &m.scheduled_compact_rev);
	if (!err)
		err = meta_rev(pin, SLICE_LIT("finishedCompactRev"), &m.finished_compact_rev);
	if (!err)
		err = meta_get(pin, SLICE_LIT("confState"), &m.conf_state_json);
	if (!err)
		err = meta_get(pin, SLICE_LIT("storageVersion"), &m.storage_version);
	if (!err)
		*out = m;
	return err;
}

/* ---- hash of the whole file ---- */

void backend_hash_init(struct backend_hash *h)
{
	*h = (struct backend_hash){0};
}

static bool hash_ignores(enum backend_bucket b, struct slice key)
{
	return b == BUCKET_META && (slice_eq(key, SLICE_LIT("consistent_index")) || slice_eq(key, SLICE_LIT("term")) ||
				    slice_eq(key, SLICE_LIT("storageVersion")));
}

/* One bucket from where it stopped; *budget counts down. A pause is only possible in bucket key, whose keys are
 * short; the others are small. */
static err_t hash_bucket(struct backend_hash *h, struct bolt_pin *pin, size_t *budget, bool *ended)
{
	struct slice name = backend_bucket_name(h->bucket);
	struct bolt_cursor c;
	struct bolt_root root;
	bool found;
	err_t err = bolt_pin_bucket(pin, name, &root);

	*ended = true;
	if (err)
		return err == ERR_NOT_EXIST ? OK : err;
	bolt_cursor_init(&c, pin, &root);
	if (h->key_size) {
		err = bolt_cursor_seek(&c, slice_of(h->key, h->key_size), &found);
	} else {
		h->crc = crc32c(h->crc, name.data, name.size);
		err = bolt_cursor_first(&c, &found);
	}
	for (; !err && found; err = bolt_cursor_next(&c, &found)) {
		if (!*budget && h->bucket == BUCKET_KEY && c.key.size <= sizeof(h->key)) {
			memcpy(h->key, c.key.data, c.key.size);
			h->key_size = c.key.size;
			*ended = false;
			break;
		}
		*budget -= *budget > 0;
		if (hash_ignores(h->bucket, c.key))
			continue;
		h->crc = crc32c(h->crc, c.key.data, c.key.size);
		h->crc = crc32c(h->crc, c.value.data, c.value.size);
	}
	return err;
}

err_t backend_hash_step(struct backend_hash *h, struct bolt_pin *pin, size_t budget, bool *done)
{
	err_t err = OK;

	while (!err && budget && h->bucket < BACKEND_BUCKET_COUNT) {
		bool ended;

		err = hash_bucket(h, pin, &budget, &ended);
		if (!err && ended) {
			h->bucket++;
			h->key_size = 0;
		}
	}
	*done = h->bucket == BACKEND_BUCKET_COUNT;
	return err;
}
