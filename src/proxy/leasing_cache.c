#include "proxy/leasing_cache.h"

#include "base/buf.h"
#include "proxy/interval.h"

enum { VICTIM_TRIES = 16 };

struct leased {
	struct entry entry; /* of leasing_cache.keys */
	struct list used;
	int64_t revision;       /* 0: not owned */
	int64_t lost_revision;  /* L2: the highest at which it was revoked or deleted, seen while it is here */
	uint64_t not_before_ms; /* acquired again */
	uint32_t writes;        /* under way */
	bool acquiring;
	bool spoiled;           /* written, since the acquisition began */
	bool releasing;
	bool released;          /* since the acquisition began: L3 */
	bool has_answer;
	struct buf answer;      /* header, then kv */
	size_t header_size;
	uint8_t key[];
};

void leasing_cache_init(struct leasing_cache *c)
{
	*c = (struct leasing_cache){0};
	table_init(&c->keys);
	list_init(&c->used);
	list_init(&c->ranges);
}

static void drop_answer(struct leasing_cache *c, struct leased *k)
{
	c->bytes -= k->answer.size;
	k->has_answer = false;
	buf_fini(&k->answer);
}

static void forget(struct leasing_cache *c, struct leased *k)
{
	drop_answer(c, k);
	table_remove(&c->keys, &k->entry);
	list_remove(&k->used);
	mem_free(k);
}

void leasing_cache_fini(struct leasing_cache *c)
{
	LIST_EACH_SAFE (it, &c->used)
		forget(c, CONTAINER_OF(it, struct leased, used));
	table_fini(&c->keys);
}

static struct leased *find(const struct leasing_cache *c, struct slice key)
{
	struct entry *e = table_find(&c->keys, key);

	return e ? CONTAINER_OF(e, struct leased, entry) : NULL;
}

static struct leased *find_or_make(struct leasing_cache *c, struct slice key)
{
	struct leased *k = find(c, key);

	if (!k) {
		k = mem_zalloc(sizeof(*k) + key.size);
		memcpy(k->key, key.data, key.size);
		buf_init(&k->answer, SIZE_MAX / 2);
		table_add(&c->keys, &k->entry, slice_of(k->key, key.size));
		list_init(&k->used);
	}
	list_remove(&k->used);
	list_push_back(&c->used, &k->used);
	return k;
}

static bool is_busy(const struct leased *k)
{
	return k->writes || k->acquiring || k->releasing;
}

static void disown(struct leasing_cache *c, struct leased *k)
{
	k->revision = 0;
	drop_answer(c, k);
}

static void forget_if_idle(struct leasing_cache *c, struct leased *k)
{
	if (!is_busy(k) && !k->revision && !k->not_before_ms)
		forget(c, k);
}

static bool range_under_way(const struct leasing_cache *c, struct slice key)
{
	LIST_EACH (it, &c->ranges) {
		const struct leasing_write *w = CONTAINER_OF(it, struct leasing_write, node);

		if (intervals_overlap(w->key, w->range_end, key, (struct slice){0}))
			return true;
	}
	return false;
}

/* ---- reads ---- */

enum leasing_read leasing_read(struct leasing_cache *c, struct slice key, uint64_t now_ms, bool may_acquire, struct slice *header,
			       struct slice *kv)
{
	struct leased *k = find(c, key);

	if (k && k->has_answer) {
		find_or_make(c, key);
		*header = slice_of(k->answer.data, k->header_size);
		*kv = slice_of(k->answer.data + k->header_size, k->answer.size - k->header_size);
		return LEASING_HIT;
	}
	if (!may_acquire || (k && (is_busy(k) || now_ms < k->not_before_ms)) || range_under_way(c, key)) /* L3 */
		return LEASING_PASS;
	k = find_or_make(c, key);
	k->acquiring = true;
	k->spoiled = k->released = false;
	k->not_before_ms = 0;
	k->lost_revision = 0;
	return LEASING_ACQUIRE;
}

bool leasing_acquired(struct leasing_cache *c, struct slice key, int64_t revision, bool is_new, bool is_ours, bool keep, struct slice header,
		      struct slice kv)
{
	struct leased *k = find(c, key);
	bool was_owned = k->revision;

	ASSERT(k->acquiring && !k->has_answer);
	k->acquiring = false;
	if (!k->released && (is_new ? revision > k->lost_revision : is_ours && was_owned)) { /* L2, L3 */
		if (is_new)
			k->revision = revision;
		if (keep && !k->spoiled && !k->writes) { /* L1 */
			k->has_answer = true;
			k->header_size = header.size;
			buf_put_slice(&k->answer, header);
			buf_put_slice(&k->answer, kv);
			c->bytes += k->answer.size;
		}
		return false;
	}
	if (!is_ours && was_owned)
		disown(c, k);
	forget_if_idle(c, k);
	return is_new || is_ours;
}

void leasing_acquire_failed(struct leasing_cache *c, struct slice key)
{
	struct leased *k = find(c, key);

	k->acquiring = false;
	forget_if_idle(c, k);
}

/* ---- writes ---- */

static void write_touches(struct leasing_cache *c, struct leased *k)
{
	k->spoiled = true;
	drop_answer(c, k);
}

int64_t leasing_write_begin(struct leasing_cache *c, struct slice key)
{
	struct leased *k = find_or_make(c, key);

	k->writes++;
	write_touches(c, k);
	return k->revision;
}

void leasing_write_end(struct leasing_cache *c, struct slice key)
{
	struct leased *k = find(c, key);

	ASSERT(k && k->writes);
	k->writes--;
	forget_if_idle(c, k);
}

void leasing_range_begin(struct leasing_cache *c, struct leasing_write *w)
{
	list_push_back(&c->ranges, &w->node);
	LIST_EACH (it, &c->used) {
		struct leased *k = CONTAINER_OF(it, struct leased, used);

		if (intervals_overlap(w->key, w->range_end, k->entry.key, (struct slice){0}))
			write_touches(c, k);
	}
}

void leasing_range_end(struct leasing_write *w)
{
	list_remove(&w->node);
}

bool leasing_owns(const struct leasing_cache *c, struct slice key)
{
	return leasing_revision(c, key) > 0;
}

int64_t leasing_revision(const struct leasing_cache *c, struct slice key)
{
	const struct leased *k = find(c, key);

	return k ? k->revision : 0;
}

/* ---- giving up ---- */

bool leasing_lost(struct leasing_cache *c, struct slice key, int64_t revision, uint64_t now_ms)
{
	struct leased *k = find(c, key);

	if (!k)
		return true;
	k->lost_revision = MAX(k->lost_revision, revision);
	if (k->revision > revision)
		return false;
	k->not_before_ms = now_ms + LEASING_BACKOFF_MS;
	disown(c, k);
	return true;
}

bool leasing_release(struct leasing_cache *c, struct slice key)
{
	struct leased *k = find_or_make(c, key);

	disown(c, k);
	k->released = true;
	if (k->releasing)
		return false;
	k->releasing = true;
	return true;
}

void leasing_released(struct leasing_cache *c, struct slice key)
{
	struct leased *k = find(c, key);

	k->releasing = false;
	forget_if_idle(c, k);
}

void leasing_lose_all(struct leasing_cache *c)
{
	LIST_EACH_SAFE (it, &c->used) {
		struct leased *k = CONTAINER_OF(it, struct leased, used);

		k->spoiled = true;
		k->not_before_ms = 0;
		disown(c, k);
		forget_if_idle(c, k);
	}
}

bool leasing_owned_in(const struct leasing_cache *c, struct slice key, struct slice range_end, struct slice *out)
{
	if (!range_end.size) {
		*out = key;
		return leasing_owns(c, key);
	}
	LIST_EACH (it, &c->used) {
		const struct leased *k = CONTAINER_OF(it, struct leased, used);

		if (k->revision && intervals_overlap(key, range_end, k->entry.key, (struct slice){0})) {
			*out = k->entry.key;
			return true;
		}
	}
	return false;
}

bool leasing_victim(struct leasing_cache *c, struct slice *out)
{
	for (unsigned i = 0; i < VICTIM_TRIES && (c->keys.count > LEASING_KEYS_MAX || c->bytes > LEASING_BYTES_MAX); i++) {
		struct leased *k = CONTAINER_OF(c->used.next, struct leased, used);

		if (k->revision && !is_busy(k)) {
			*out = k->entry.key;
			return true;
		}
		list_remove(&k->used);
		list_push_back(&c->used, &k->used);
		if (!is_busy(k))
			forget(c, k);
	}
	return false;
}
