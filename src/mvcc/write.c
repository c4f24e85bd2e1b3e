/* Puts and deletes: one change each at revision {current + 1, changes so far}. */
#include "mvcc/mvcc_int.h"

/* h with room for one more behind count entries; what it replaces is discarded. */
static struct history *history_grow(struct index *t, struct history *h, uint32_t count)
{
	struct history *n;
	uint32_t room = h ? h->room * 2 + 1 : 1; /* 40, 104, 232, … bytes */

	if (h && count < h->room)
		return h;
	n = slab_get(t->slab, sizeof(*n) + room * sizeof(struct past));
	n->room = room;
	n->unused = 0;
	if (h) {
		memcpy(n->at, h->at, count * sizeof(struct past));
		index_discard(t, h, history_size(h));
	}
	return n;
}

static void record_set(struct record *r, const struct past *head, bool leased)
{
	r->main = head->main;
	r->create = head->create;
	r->version = head->version;
	r->sub_tombstone = head->sub_tombstone;
	r->row_size = head->row_size;
	r->key_size_leased = (r->key_size_leased & ~1u) | leased;
}

static struct record *record_new(struct index *t, struct slice key)
{
	struct record *r = slab_get(t->slab, sizeof(*r) + key.size);

	ASSERT(key.size <= UINT32_MAX >> 1);
	r->key_size_leased = (uint32_t)key.size << 1;
	memcpy(r->key, key.data, key.size);
	return r;
}

/* head becomes the newest revision of the key; r is its record, NULL if there is none. */
static void record_advance(struct mvcc *m, struct record *r, struct slice key, const struct past *head, bool leased)
{
	struct index *t = &m->tree;

	if (!r) {
		r = record_new(t, key);
		r->history = NULL;
		r->history_count = 0;
		record_set(r, head, leased);
		index_insert(t, r);
		return;
	}
	struct history *h = history_grow(t, r->history, r->history_count);
	uint32_t count = r->history_count + 1;
	struct record *next = r;

	h->at[r->history_count] = record_head(r); /* R3 */
	if (r->main <= m->published_rev) {        /* R4 */
		next = record_new(t, key);
		index_discard(t, r, record_size(r));
	}
	next->history = h;
	next->history_count = count;
	record_set(next, head, leased);
	index_replace(t, next);
	t->revisions++;
}

static struct rev next_rev(struct mvcc *m)
{
	return (struct rev){m->rev + 1, m->changes++};
}

void write_end(struct mvcc *m)
{
	if (m->changes)
		m->rev++;
	m->changes = 0;
}

/* The revision that a watcher's prev_kv shows: as of the revision before this one. */
static struct rev prev_rev(const struct record *r, int64_t main)
{
	struct past p;

	if (!r || !record_live_at(r, main - 1, &p))
		return (struct rev){0};
	return past_rev(&p);
}

static void lease_moved(struct mvcc *m, bool was_leased, struct slice key, int64_t lease)
{
	if (lease && m->lease.attach)
		m->lease.attach(m->lease_arg, lease, key);
	else if (!lease && was_leased && m->lease.detach)
		m->lease.detach(m->lease_arg, key);
}

void write_put(struct mvcc *m, struct slice key, struct slice value, int64_t lease, struct mvcc_events *events)
{
	struct record *r = index_find(m->tree.root, key);
	bool live = r && !record_dead(r), was_leased = live && record_leased(r);
	struct rev rev = next_rev(m);
	struct kv kv = {
	    .key = key,
	    .create_rev = live ? r->create : rev.main,
	    .mod_rev = rev.main,
	    .version = live ? r->version + 1 : 1,
	    .value = value,
	    .lease = lease,
	};
	size_t size = kv_size(&kv);
	uint8_t *row = backend_row(m->backend, rev, false, size, 0);
	struct past head = {rev.main, kv.create_rev, kv.version, (uint32_t)rev.sub << 1, (uint32_t)size};
	struct rev prev = prev_rev(r, rev.main);
	const uint8_t *end = kv_write(&kv, row);

	ASSERT(end == row + size);
	record_advance(m, r, key, &head, lease != 0);
	lease_moved(m, was_leased, key, lease);
	m->stats.puts++;
	m->stats.put_bytes += key.size + value.size;
	if (events) {
		struct mvcc_event e = {
		    .type = EVENT_PUT,
		    .rev = rev,
		    .create_rev = kv.create_rev,
		    .key = slice_of(row + 1 + pb_varint_size(key.size), key.size),
		    .kv = slice_of(row, size),
		    .prev = kv.create_rev == rev.main ? (struct rev){0} : prev,
		};

		VEC_PUSH(&events->list, e);
	}
}

/* The row of a tombstone has the key only; the event's kv has mod_revision too, which comes behind the key, so
 * both are one run of bytes: | 1: key | 3: mod_revision | with the row's end in the middle. */
static void write_delete(struct mvcc *m, struct record *r, struct mvcc_events *events)
{
	struct slice key = record_key(r);
	bool was_leased = record_leased(r);
	struct rev rev = next_rev(m);
	struct kv kv = {.key = key};
	size_t row_size = kv_size(&kv);

	kv.mod_rev = rev.main;
	size_t size = kv_size(&kv);
	uint8_t *row = backend_row(m->backend, rev, true, row_size, size - row_size);
	struct past head = {rev.main, 0, 0, (uint32_t)rev.sub << 1 | 1, (uint32_t)row_size};
	struct rev prev = prev_rev(r, rev.main);
	const uint8_t *end = kv_write(&kv, row);

	ASSERT(end == row + size);
	record_advance(m, r, key, &head, false);
	if (was_leased && m->lease.detach)
		m->lease.detach(m->lease_arg, key);
	m->stats.deletes++;
	if (events) {
		struct mvcc_event e = {
		    .type = EVENT_DELETE,
		    .rev = rev,
		    .key = slice_of(row + row_size - key.size, key.size),
		    .kv = slice_of(row, size),
		    .prev = prev,
		};

		VEC_PUSH(&events->list, e);
	}
}

static void put_row(struct mvcc *m, const struct past *p, uint32_t field, struct buf *resp)
{
	struct slice row;

	if (mvcc_row(m, past_rev(p), &row) != OK)
		fatal("the database lacks the row of revision %lld/%lld that the index names: restore this member",
		      (long long)p->main, (long long)(p->sub_tombstone >> 1));
	pb_put_bytes_always(resp, field, row);
}

void write_delete_range(struct mvcc *m, const struct delete_req *q, struct buf *resp, struct mvcc_events *events)
{
	struct key_range range = key_range_of(q->key, q->range_end);
	struct slice at = q->key;
	bool after = false;

	if (resp)
		pb_put_uint(resp, 2, index_count(m->tree.root, &range));
	for (;;) {
		struct index_iter it;
		struct record *r = index_seek(m->tree.root, at, after, &it);

		while (r && record_dead(r) && key_range_has(&range, record_key(r)))
			r = index_next(&it);
		if (!r || !key_range_has(&range, record_key(r)))
			return;
		if (resp && q->prev_kv) {
			struct past p = record_head(r);

			put_row(m, &p, 3, resp);
		}
		at = record_key(r); /* of a record that is changed in place or waits as garbage */
		after = true;
		write_delete(m, r, events);
	}
}

void mvcc_delete_range(struct mvcc *m, const struct delete_req *q, struct buf *resp, struct mvcc_events *events)
{
	ASSERT(m->changes == 0);
	write_delete_range(m, q, resp, events);
	write_end(m);
}

void mvcc_delete_keys(struct mvcc *m, const struct slice *keys, size_t count, struct mvcc_events *events)
{
	ASSERT(m->changes == 0);
	for (size_t i = 0; i < count; i++) {
		struct record *r = index_find(m->tree.root, keys[i]);

		ASSERT(!i || slice_cmp(keys[i - 1], keys[i]) < 0);
		if (r && !record_dead(r))
			write_delete(m, r, events);
	}
	write_end(m);
}

err_t put_allowed(const struct mvcc *m, const struct put_req *q)
{
	if (q->lease && (!m->lease.exists || !m->lease.exists(m->lease_arg, q->lease)))
		return ERR_LEASE_NOT_FOUND;
	if (q->ignore_value || q->ignore_lease) {
		const struct record *r = index_find(m->tree.root, q->key);

		if (!r || record_dead(r))
			return ERR_KEY_NOT_FOUND;
	}
	return OK;
}

void put_run(struct mvcc *m, const struct put_req *q, struct buf *resp, struct mvcc_events *events)
{
	bool wants_prev = q->ignore_value || q->ignore_lease || (q->prev_kv && resp);
	const struct record *r = wants_prev ? index_find(m->tree.root, q->key) : NULL;
	struct slice value = q->value;
	int64_t lease = q->lease;

	if (r && !record_dead(r)) {
		struct past p = record_head(r);
		struct slice row;
		struct kv old;

		if (mvcc_row(m, past_rev(&p), &row) != OK || kv_decode(row, &old) != OK)
			fatal("the database lacks the row of revision %lld/%lld that the index names: restore this "
			      "member",
			      (long long)p.main, (long long)(p.sub_tombstone >> 1));
		if (q->ignore_value)
			value = old.value;
		if (q->ignore_lease)
			lease = old.lease;
		if (q->prev_kv && resp)
			pb_put_bytes_always(resp, 2, row);
	}
	write_put(m, q->key, value, lease, events);
}

err_t mvcc_put(struct mvcc *m, const struct put_req *q, struct buf *resp, struct mvcc_events *events)
{
	ASSERT(m->changes == 0);
	err_t err = put_allowed(m, q);

	if (!err) {
		put_run(m, q, resp, events);
		write_end(m);
	}
	return err;
}
