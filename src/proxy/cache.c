/* I1  an answer without a revision is in exactly one of points (range_end "") and ranges; one with a revision in neither
 * I2  the answers about one key hang on one point */
#include "proxy/cache.h"

#include "proxy/interval.h"

struct point {
	struct entry entry; /* of cache.points */
	struct list answers;
	uint8_t key[];
};

struct answer {
	struct entry entry;  /* of cache.entries */
	struct list used;    /* of cache.used */
	struct list where;   /* of a point's answers, or of cache.ranges */
	struct point *point; /* NULL: an interval, or at a revision */
	struct slice key, range_end;
	struct slice body;
	size_t size;
	uint8_t bytes[];
};

void cache_init(struct cache *c)
{
	*c = (struct cache){.compacted = -1};
	table_init(&c->entries);
	table_init(&c->points);
	list_init(&c->ranges);
	list_init(&c->used);
}

static void put_key(struct buf *out, const struct range_req *r, struct slice token)
{
	int64_t numbers[] = {r->limit, r->revision, r->sort_order, r->sort_target, r->keys_only, r->count_only, r->min_mod_rev,
			     r->max_mod_rev, r->min_create_rev, r->max_create_rev, (int64_t)r->key.size, (int64_t)r->range_end.size};

	buf_put(out, numbers, sizeof(numbers));
	buf_put_slice(out, r->key);
	buf_put_slice(out, r->range_end);
	buf_put_slice(out, token);
}

static void forget(struct cache *c, struct answer *a)
{
	struct point *p = a->point;

	table_remove(&c->entries, &a->entry);
	list_remove(&a->used);
	list_remove(&a->where);
	c->bytes -= a->size;
	if (p && list_empty(&p->answers)) {
		table_remove(&c->points, &p->entry);
		mem_free(p);
	}
	mem_free(a);
}

void cache_fini(struct cache *c)
{
	LIST_EACH_SAFE (it, &c->used)
		forget(c, CONTAINER_OF(it, struct answer, used));
	table_fini(&c->entries);
	table_fini(&c->points);
}

static struct answer *find(struct cache *c, const struct range_req *r, struct slice token)
{
	struct entry *e;
	struct buf key;

	buf_init(&key, SIZE_MAX / 2);
	put_key(&key, r, token);
	e = table_find(&c->entries, buf_slice(&key));
	buf_fini(&key);
	return e ? CONTAINER_OF(e, struct answer, entry) : NULL;
}

err_t cache_get(struct cache *c, const struct range_req *r, struct slice token, struct slice *out)
{
	struct answer *a = find(c, r, token);

	if (r->revision > 0 && r->revision < c->compacted) {
		if (a)
			forget(c, a);
		return ERR_COMPACTED;
	}
	if (!a)
		return ERR_NOT_EXIST;
	list_remove(&a->used);
	list_push_back(&c->used, &a->used);
	*out = a->body;
	return OK;
}

static struct point *point_of(struct cache *c, struct slice key)
{
	struct entry *e = table_find(&c->points, key);
	struct point *p;

	if (e)
		return CONTAINER_OF(e, struct point, entry);
	p = mem_zalloc(sizeof(*p) + key.size);
	list_init(&p->answers);
	memcpy(p->key, key.data, key.size);
	table_add(&c->points, &p->entry, slice_of(p->key, key.size));
	return p;
}

static void make_room(struct cache *c)
{
	while (c->entries.count > CACHE_ENTRIES_MAX || c->bytes > CACHE_BYTES_MAX)
		forget(c, CONTAINER_OF(c->used.next, struct answer, used));
}

void cache_add(struct cache *c, const struct range_req *r, struct slice token, struct slice body)
{
	struct answer *a = find(c, r, token);
	struct buf key;

	if (a)
		forget(c, a);
	if (body.size > CACHE_ANSWER_MAX || (r->revision && r->revision <= c->compacted))
		return;
	buf_init(&key, SIZE_MAX / 2);
	put_key(&key, r, token);
	a = mem_zalloc(sizeof(*a) + key.size + body.size);
	a->size = sizeof(*a) + key.size + body.size;
	memcpy(a->bytes, key.data, key.size);
	if (body.size)
		memcpy(a->bytes + key.size, body.data, body.size);
	a->body = slice_of(a->bytes + key.size, body.size);
	a->key = slice_of(a->bytes + key.size - token.size - r->range_end.size - r->key.size, r->key.size);
	a->range_end = slice_of(a->key.data + a->key.size, r->range_end.size);
	table_add(&c->entries, &a->entry, slice_of(a->bytes, key.size));
	list_push_back(&c->used, &a->used);
	list_init(&a->where);
	if (!r->revision && !r->range_end.size) { /* I1 */
		a->point = point_of(c, a->key);
		list_push_back(&a->point->answers, &a->where); /* I2 */
	} else if (!r->revision) {
		list_push_back(&c->ranges, &a->where);
	}
	c->bytes += a->size;
	buf_fini(&key);
	make_room(c);
}

static void forget_point(struct cache *c, struct point *p)
{
	bool more = true;

	while (more) { /* p goes with its last answer */
		struct answer *a = CONTAINER_OF(p->answers.next, struct answer, where);

		more = p->answers.next != p->answers.prev;
		forget(c, a);
	}
}

void cache_invalidate(struct cache *c, struct slice key, struct slice range_end)
{
	struct entry *e;

	LIST_EACH_SAFE (it, &c->ranges) {
		struct answer *a = CONTAINER_OF(it, struct answer, where);

		if (intervals_overlap(a->key, a->range_end, key, range_end))
			forget(c, a);
	}
	if (!range_end.size) {
		e = table_find(&c->points, key);
		if (e)
			forget_point(c, CONTAINER_OF(e, struct point, entry));
		return;
	}
	LIST_EACH_SAFE (it, &c->used) {
		struct answer *a = CONTAINER_OF(it, struct answer, used);

		if (a->point && intervals_overlap(a->key, a->range_end, key, range_end))
			forget(c, a);
	}
}

void cache_compact(struct cache *c, int64_t revision)
{
	c->compacted = MAX(c->compacted, revision);
}

size_t cache_count(const struct cache *c)
{
	return c->entries.count;
}
