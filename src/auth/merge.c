/* The ranges of a user: those of all permissions of all its roles, merged into disjoint ones.
 *
 *	[a,c) [b,d) [d,e) [g]   ->   [a,e) [g, g\0)
 *
 * Ranges that touch join, as in upstream's check, where the union of the permissions must cover the request without a gap. A single
 * key is the range [key, key\0). An empty end is above everything; a permission whose range is empty gives nothing. */
#include "auth/impl.h"

struct raw_ranges {
	VEC(struct auth_range) list; /* bytes of the roles' rows, ends of single keys in ends */
	struct buf ends;             /* its full room from the start: nothing moves */
};

bool range_end_is_open(struct slice range_end)
{
	return range_end.size == 1 && range_end.data[0] == 0;
}

int range_end_cmp(struct slice a, struct slice b)
{
	if (!a.size || !b.size)
		return (a.size == 0) - (b.size == 0);
	return slice_cmp(a, b);
}

static bool gives(int32_t type, enum auth_right right)
{
	return type == 2 || type == (right == AUTH_READ ? 0 : 1);
}

static void raw_add(struct raw_ranges *raw, const struct auth_permission *p)
{
	struct auth_range r = {p->key, p->range_end};
	uint8_t *end;

	if (!p->key.size)
		return;
	if (!p->range_end.size) {
		end = buf_add(&raw->ends, p->key.size + 1);
		memcpy(end, p->key.data, p->key.size);
		end[p->key.size] = 0;
		r.end = slice_of(end, p->key.size + 1);
	} else if (range_end_is_open(p->range_end)) {
		r.end = (struct slice){0};
	} else if (slice_cmp(p->key, p->range_end) >= 0) {
		return;
	}
	VEC_PUSH(&raw->list, r);
}

static int begin_cmp(const void *a, const void *b)
{
	return slice_cmp(((const struct auth_range *)a)->begin, ((const struct auth_range *)b)->begin);
}

/* Sorted by begin; joins in place. */
static void join(struct raw_ranges *raw)
{
	size_t count = 0;

	for (size_t i = 0; i < raw->list.count; i++) {
		struct auth_range r = raw->list.at[i];
		struct auth_range *last = count ? &raw->list.at[count - 1] : NULL;

		if (!last || range_end_cmp(last->end, r.begin) < 0)
			raw->list.at[count++] = r;
		else if (range_end_cmp(r.end, last->end) > 0)
			last->end = r.end;
	}
	raw->list.count = count;
}

static uint8_t *copy_to(uint8_t *at, struct slice *s)
{
	if (!s->size)
		return at;
	memcpy(at, s->data, s->size);
	s->data = at;
	return at + s->size;
}

/* The bytes move behind the nodes; the merged ones point there too. */
static void ranges_take(struct auth_ranges *out, const struct raw_ranges *raw)
{
	size_t count = raw->list.count, bytes = 0;
	struct raw_ranges own = {0};
	uint8_t *at;

	ranges_fini(out);
	if (!count)
		return;
	for (size_t i = 0; i < count; i++)
		bytes += raw->list.at[i].begin.size + raw->list.at[i].end.size;
	out->at = mem_zalloc(count * sizeof(*out->at) + (count + 1) * sizeof(*out->nodes) + bytes);
	out->nodes = (struct range_node *)(out->at + count);
	at = (uint8_t *)(out->nodes + count + 1);
	for (size_t i = 0; i < count; i++) {
		struct auth_range *r = &out->nodes[i + 1].range;

		*r = raw->list.at[i];
		at = copy_to(at, &r->begin);
		at = copy_to(at, &r->end);
		VEC_PUSH(&own.list, *r);
	}
	qsort(own.list.at, count, sizeof(*own.list.at), begin_cmp);
	join(&own);
	out->count = own.list.count;
	memcpy(out->at, own.list.at, out->count * sizeof(*out->at));
	VEC_FREE(&own.list);
	out->root = range_tree_build(out->nodes, count);
}

static void merge_right(const struct auth *a, struct auth_user *u, enum auth_right right)
{
	struct raw_ranges raw = {0};
	size_t room = 0;

	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < u->f.role_count; i++) {
			const struct auth_role *role = auth_role_find(a, u->f.roles[i]);

			for (size_t k = 0; role && k < role->perm_count; k++) {
				if (!gives(role->perms[k].perm.type, right))
					continue;
				if (pass)
					raw_add(&raw, &role->perms[k].perm);
				else
					room += role->perms[k].perm.key.size + 1;
			}
		}
		if (!pass && room) {
			buf_init(&raw.ends, room);
			buf_add(&raw.ends, room);
			buf_clear(&raw.ends);
		}
	}
	ranges_take(&u->ranges[right], &raw);
	VEC_FREE(&raw.list);
	buf_fini(&raw.ends);
}

void ranges_merge(const struct auth *a, struct auth_user *u)
{
	merge_right(a, u, AUTH_READ);
	merge_right(a, u, AUTH_WRITE);
}

void ranges_fini(struct auth_ranges *r)
{
	mem_free(r->at);
	*r = (struct auth_ranges){0};
}

/* The last one that begins at or before key; NULL: none. */
static const struct auth_range *range_at(const struct auth_ranges *r, struct slice key)
{
	size_t low = 0, high = r->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (slice_cmp(r->at[mid].begin, key) <= 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low ? &r->at[low - 1] : NULL;
}

bool ranges_cover(const struct auth_ranges *r, struct slice key, struct slice range_end)
{
	struct slice end = range_end_is_open(range_end) ? (struct slice){0} : range_end;
	const struct auth_range *at;

	if (!key.size)
		return false;
	if (end.size && slice_cmp(end, key) <= 0)
		return range_tree_contains(r->nodes, r->root, key, end);
	at = range_at(r, key);
	if (!at || range_end_cmp(at->end, key) <= 0)
		return false;
	return !range_end.size || range_end_cmp(at->end, end) >= 0;
}
