/* Rows of users and roles from a file, then permissions granted and revoked: nothing breaks, what was written is read again as the
 * same state, and merged ranges say of keys and ranges what a look through all permissions says. */
#include "auth/auth.h"
#include "base/mem.h"
#include "fuzz.h"

struct rows {
	struct auth *twin;
	size_t written;
};

static void put(void *arg, enum backend_bucket b, struct slice key, struct slice value)
{
	struct rows *r = arg;

	r->written++;
	if (r->twin && !(b == BUCKET_AUTH))
		ASSERT(auth_load(r->twin, b, key, value) == OK);
}

static void del(void *arg, enum backend_bucket b, struct slice key)
{
}

static struct slice take(struct slice *s)
{
	size_t n = s->size ? MIN(s->data[0] & 15, s->size - 1) : 0;
	struct slice part = slice_of(s->data + (s->size > 0), n);

	*s = s->size ? slice_of(s->data + 1 + n, s->size - 1 - n) : *s;
	return part;
}

/* ---- the naive twin: all permissions in a list, looked through each time ---- */

enum { PERMS_MAX = 12 };       /* beyond, upstream's sort puts equal keys in an order of its own */

struct naive {
	struct auth_permission at[PERMS_MAX];
	size_t count;
};

static bool is_open(struct slice end)
{
	return end.size == 1 && end.data[0] == 0;
}

static bool gives(const struct auth_permission *p, enum auth_right right)
{
	return p->type == 2 || p->type == (right == AUTH_READ ? 0 : 1);
}

static bool holds_point(const struct auth_permission *p, struct slice k)
{
	if (!p->range_end.size)
		return slice_eq(p->key, k);
	return slice_cmp(p->key, k) <= 0 && (is_open(p->range_end) || slice_cmp(k, p->range_end) < 0);
}

/* A key alone is the range up to the next key there can be: itself with a zero byte. */
static int end_cmp(const struct auth_permission *p, struct slice end)
{
	uint8_t next[20] = {0};

	if (is_open(p->range_end) || is_open(end))
		return is_open(p->range_end) - is_open(end);
	if (p->range_end.size)
		return slice_cmp(p->range_end, end);
	memcpy(next, p->key.data, p->key.size);
	return slice_cmp(slice_of(next, p->key.size + 1), end);
}

static bool reaches(const struct auth_permission *p, struct slice from)
{
	return slice_cmp(p->key, from) <= 0;
}

/* Goes from key on, each time as far as one that reaches to there leads. */
static bool naive_range(const struct naive *n, struct slice key, struct slice end, enum auth_right right)
{
	uint8_t at[20];
	struct slice from = key;

	for (size_t rounds = 0; rounds <= n->count; rounds++) {
		const struct auth_permission *best = NULL;

		for (size_t i = 0; i < n->count; i++) {
			const struct auth_permission *p = &n->at[i];
			struct slice best_end;

			if (!gives(p, right) || !reaches(p, from) || (!p->range_end.size && slice_cmp(p->key, from) < 0))
				continue;
			if (end_cmp(p, end) >= 0)
				return true;
			best_end = best ? best->range_end : from;
			if (p->range_end.size && slice_cmp(p->range_end, from) > 0 && (!best || slice_cmp(p->range_end, best_end) > 0))
				best = p;
			else if (!p->range_end.size && !best)
				best = p;
		}
		if (!best)
			return false;
		if (best->range_end.size) {
			from = best->range_end;
		} else {
			memmove(at, best->key.data, best->key.size);
			at[best->key.size] = 0;
			from = slice_of(at, best->key.size + 1);
		}
	}
	return false;
}

static void naive_revoke(struct naive *n, struct slice key, struct slice end)
{
	size_t kept = 0;

	for (size_t i = 0; i < n->count; i++)
		if (!slice_eq(n->at[i].key, key) || !slice_eq(n->at[i].range_end, end))
			n->at[kept++] = n->at[i];
	n->count = kept;
}

/* Only the oldest permission of that key is looked at: one with another end hides the rest, and then there are two (upstream). */
static void naive_grant(struct naive *n, const struct auth_permission *p)
{
	size_t i = 0;

	while (i < n->count && !slice_eq(n->at[i].key, p->key))
		i++;
	if (i == n->count || !slice_eq(n->at[i].range_end, p->range_end))
		i = n->count++;
	n->at[i] = *p;
}

static void compare(struct auth *a, const struct naive *n, struct slice key, struct slice end)
{
	struct auth_id id = {SLICE_LIT("u"), UINT64_MAX};

	if (!key.size)
		return;
	for (enum auth_right right = AUTH_READ; right <= AUTH_WRITE; right++) {
		bool want = false;

		for (size_t i = 0; i < n->count; i++)
			want |= gives(&n->at[i], right) && holds_point(&n->at[i], key);
		ASSERT((auth_check_range(auth_state(a), &id, key, (struct slice){0}, right) == OK) == want);
		/* One whose end is not above its key is judged by the shape of upstream's tree. */
		if (end.size && (is_open(end) || slice_cmp(key, end) < 0))
			ASSERT((auth_check_range(auth_state(a), &id, key, end, right) == OK) == naive_range(n, key, end, right));
	}
}

static void grants(struct auth *a, struct slice s)
{
	struct naive n = {.count = 0};

	while (s.size > 2 && n.count < PERMS_MAX) {
		uint8_t what = s.data[0];
		struct auth_permission p = {.type = what & 3};

		s = slice_of(s.data + 1, s.size - 1);
		p.key = take(&s);
		p.range_end = take(&s);
		if (what & 4) {
			compare(a, &n, p.key, p.range_end);
		} else if (p.type == 3) {
			if (auth_role_revoke(a, SLICE_LIT("r"), p.key, p.range_end) == OK)
				naive_revoke(&n, p.key, p.range_end);
		} else if (auth_role_grant(a, SLICE_LIT("r"), &p) == OK) {
			naive_grant(&n, &p);
			compare(a, &n, p.key, p.range_end);
		}
		auth_check(a);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rows rows = {0};
	struct store store = {&rows, put, del};
	struct auth *a = auth_new(&store);
	struct slice s = slice_of(data, size);

	if (size < 2)
		goto out;
	if (data[0] & 1) {
		s = slice_of(data + 1, size - 1);
		err_ignore(auth_load(a, data[0] & 2 ? BUCKET_AUTH_USERS : BUCKET_AUTH_ROLES, SLICE_LIT("r"), s));
		auth_loaded(a);
		err_ignore(auth_user_grant(a, SLICE_LIT("r"), SLICE_LIT("root")));
		err_ignore(auth_role_delete(a, SLICE_LIT("r")));
		auth_check(a);
		goto out;
	}
	auth_loaded(a);
	ASSERT(auth_user_add(a, &(struct auth_new_user){.name = SLICE_LIT("root")}) == OK);
	ASSERT(auth_user_add(a, &(struct auth_new_user){.name = SLICE_LIT("u")}) == OK);
	ASSERT(auth_role_add(a, SLICE_LIT("r")) == OK);
	ASSERT(auth_user_grant(a, SLICE_LIT("root"), SLICE_LIT("root")) == OK);
	ASSERT(auth_user_grant(a, SLICE_LIT("u"), SLICE_LIT("r")) == OK);
	ASSERT(auth_enable(a) == OK);
	rows.twin = auth_new(&store);
	grants(a, slice_of(data + 1, size - 1));
	auth_free(rows.twin);
out:
	auth_free(a);
	return 0;
}
