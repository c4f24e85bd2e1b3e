/* The state as a whole: life, loading, the revision, views; and finding things in it.
 *
 *	bucket auth: authEnabled = one byte 0 or 1, authRevision = u64 BE
 *
 *   A1  users and roles ascend by name, no name twice
 *   A2  a user's ranges are those of its roles as they are now
 *   A3  an object of auth_user never changes once a view may hold it: a change replaces it */
#include "auth/impl.h"

#include "base/endian.h"

#define KEY_ENABLED SLICE_LIT("authEnabled")
#define KEY_REVISION SLICE_LIT("authRevision")

struct auth *auth_new(const struct store *store)
{
	struct auth *a = NEW(struct auth);

	a->store = store;
	return a;
}

void auth_set_trace(struct auth *a, auth_trace_fn *trace)
{
	a->state.trace = trace;
	auth_changed(a);
}

void auth_report(const struct auth_state *s, const struct auth_event *e)
{
	if (s->trace)
		s->trace(e);
}

void auth_clear(struct auth *a)
{
	for (size_t i = 0; i < a->state.user_count; i++)
		user_unref(a->state.users[i]);
	for (size_t i = 0; i < a->roles.count; i++)
		role_free(a->roles.at[i]);
	a->state.user_count = 0;
	a->roles.count = 0;
	a->state.enabled = false;
	a->state.revision = 0;
	auth_changed(a);
}

void auth_free(struct auth *a)
{
	if (!a)
		return;
	auth_clear(a);
	mem_free(a->state.users);
	VEC_FREE(&a->roles);
	mem_free(a);
}

const struct auth_state *auth_state(const struct auth *a)
{
	return &a->state;
}

/* ---- finding ---- */

size_t auth_user_at(const struct auth_state *s, struct slice name, bool *found)
{
	size_t low = 0, high = s->user_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (slice_cmp(s->users[mid]->f.name, name) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	*found = low < s->user_count && slice_eq(s->users[low]->f.name, name);
	return low;
}

const struct auth_user *auth_user_find(const struct auth_state *s, struct slice name)
{
	bool found;
	size_t at = auth_user_at(s, name, &found);

	return found ? s->users[at] : NULL;
}

size_t auth_role_at(const struct auth *a, struct slice name, bool *found)
{
	size_t low = 0, high = a->roles.count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (slice_cmp(a->roles.at[mid]->name, name) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	*found = low < a->roles.count && slice_eq(a->roles.at[low]->name, name);
	return low;
}

struct auth_role *auth_role_find(const struct auth *a, struct slice name)
{
	bool found;
	size_t at = auth_role_at(a, name, &found);

	return found ? a->roles.at[at] : NULL;
}

/* ---- changing ---- */

void auth_changed(struct auth *a)
{
	auth_view_unref(a->view);
	a->view = NULL;
}

void auth_commit_revision(struct auth *a)
{
	uint8_t be[8];

	be64_put(be, ++a->state.revision);
	store_put(a->store, BUCKET_AUTH, KEY_REVISION, slice_of(be, sizeof(be)));
	auth_changed(a);
}

static void place_user(struct auth *a, struct auth_user *take_u)
{
	bool found;
	size_t at = auth_user_at(&a->state, take_u->f.name, &found);

	if (found) {
		user_unref(a->state.users[at]);
		a->state.users[at] = take_u;
		return;
	}
	if (a->state.user_count == a->user_room) {
		a->user_room = a->user_room * 2 + 8;
		a->state.users = mem_realloc(a->state.users, a->user_room * sizeof(*a->state.users));
	}
	memmove(&a->state.users[at + 1], &a->state.users[at], (a->state.user_count - at) * sizeof(*a->state.users));
	a->state.users[at] = take_u;
	a->state.user_count++;
}

static void place_role(struct auth *a, struct auth_role *take_r)
{
	bool found;
	size_t at = auth_role_at(a, take_r->name, &found);

	if (found) {
		role_free(a->roles.at[at]);
		a->roles.at[at] = take_r;
		return;
	}
	VEC_RESERVE(&a->roles, a->roles.count + 1);
	memmove(&a->roles.at[at + 1], &a->roles.at[at], (a->roles.count - at) * sizeof(*a->roles.at));
	a->roles.at[at] = take_r;
	a->roles.count++;
}

void auth_user_put(struct auth *a, const struct user_fields *f)
{
	struct auth_user *u = NULL;
	struct buf row;

	buf_init(&row, AUTH_ROW_MAX);
	user_encode(f, &row);
	ASSERT(!buf_failed(&row));
	store_put(a->store, BUCKET_AUTH_USERS, f->name, buf_slice(&row));
	ASSERT(user_new(buf_slice(&row), &u) == OK);
	buf_fini(&row);
	ranges_merge(a, u);
	place_user(a, u);       /* f may point into the one that goes now */
}

/* Same row, other ranges: a new object, for the old one may be in a view. */
static void remerge_holders(struct auth *a, struct slice role)
{
	for (size_t i = 0; i < a->state.user_count; i++) {
		struct auth_user *old = a->state.users[i], *u = NULL;
		struct buf row;

		if (!user_has_role(old, role))
			continue;
		buf_init(&row, AUTH_ROW_MAX);
		user_encode(&old->f, &row);
		ASSERT(user_new(buf_slice(&row), &u) == OK);
		buf_fini(&row);
		ranges_merge(a, u);
		a->state.users[i] = u;
		user_unref(old);
	}
}

void auth_role_put(struct auth *a, struct slice name, const struct role_permission *perms, size_t count, struct slice unknown)
{
	struct auth_role *role = NULL;
	struct buf row;

	buf_init(&row, AUTH_ROW_MAX);
	role_encode(name, perms, count, unknown, &row);
	ASSERT(!buf_failed(&row));
	store_put(a->store, BUCKET_AUTH_ROLES, name, buf_slice(&row));
	ASSERT(role_new(buf_slice(&row), &role) == OK);
	buf_fini(&row);
	place_role(a, role);    /* name and perms may point into the one that went */
	remerge_holders(a, role->name);
}

/* ---- loading ---- */

static err_t load_setting(struct auth *a, struct slice key, struct slice value)
{
	if (slice_eq(key, KEY_ENABLED)) {
		a->state.enabled = value.size == 1 && value.data[0] == 1;
	} else if (slice_eq(key, KEY_REVISION)) {
		if (value.size != 8)
			return ERR_CORRUPT_FILE;
		a->state.revision = be64_get(value.data);
	}
	return OK;
}

err_t auth_load(struct auth *a, enum backend_bucket b, struct slice key, struct slice value)
{
	struct auth_user *u;
	struct auth_role *r;
	err_t err = OK;

	if (b == BUCKET_AUTH)
		return load_setting(a, key, value);
	if (b == BUCKET_AUTH_USERS) {
		err = user_new(value, &u);
		if (err)
			return err;
		if (slice_eq(u->f.name, key))
			place_user(a, u);
		else
			user_unref(u), err = ERR_CORRUPT_FILE;
		return err;
	}
	ASSERT(b == BUCKET_AUTH_ROLES);
	err = role_new(value, &r);
	if (err)
		return err;
	if (slice_eq(r->name, key))
		place_role(a, r);
	else
		role_free(r), err = ERR_CORRUPT_FILE;
	return err;
}

void auth_loaded(struct auth *a)
{
	for (size_t i = 0; i < a->state.user_count; i++)
		ranges_merge(a, a->state.users[i]);
	if (!a->state.revision)
		auth_commit_revision(a);
	auth_changed(a);
}

/* ---- on and off ---- */

err_t auth_enable(struct auth *a)
{
	const struct auth_user *root;

	if (a->state.enabled) {
		auth_report(&a->state, &(struct auth_event){AUTH_ENABLED_ALREADY});
		return OK;
	}
	root = auth_user_find(&a->state, AUTH_ROOT);
	if (!root)
		return ERR_ROOT_USER_NOT_EXIST;
	if (!root->is_root)
		return ERR_ROOT_ROLE_NOT_EXIST;
	store_put(a->store, BUCKET_AUTH, KEY_ENABLED, SLICE_LIT("\1"));
	a->state.enabled = true;
	auth_changed(a);
	auth_report(&a->state, &(struct auth_event){AUTH_ENABLED});
	return OK;
}

bool auth_disable(struct auth *a)
{
	if (!a->state.enabled)
		return false;
	store_put(a->store, BUCKET_AUTH, KEY_ENABLED, SLICE_LIT("\0"));
	a->state.enabled = false;
	auth_commit_revision(a);
	auth_report(&a->state, &(struct auth_event){AUTH_DISABLED});
	return true;
}

/* ---- views ---- */

struct auth_view *auth_view(struct auth *a)
{
	struct auth_view *v = a->view;

	if (!v) {
		v = a->view = NEW(struct auth_view);
		v->refs = 1;
		v->state = a->state;
		v->state.users = NEW_ARRAY(struct auth_user *, a->state.user_count);
		for (size_t i = 0; i < a->state.user_count; i++) {
			v->state.users[i] = a->state.users[i];
			atomic_fetch_add_explicit(&v->state.users[i]->refs, 1, memory_order_relaxed);
		}
	}
	return auth_view_ref(v);
}

struct auth_view *auth_view_ref(struct auth_view *v)
{
	atomic_fetch_add_explicit(&v->refs, 1, memory_order_relaxed);
	return v;
}

void auth_view_unref(struct auth_view *v)
{
	if (!v || atomic_fetch_sub_explicit(&v->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < v->state.user_count; i++)
		user_unref(v->state.users[i]);
	mem_free(v->state.users);
	mem_free(v);
}

const struct auth_state *auth_view_state(const struct auth_view *v)
{
	return &v->state;
}

/* ---- deep check ---- */

static void check_ranges(const struct auth_ranges *r)
{
	for (size_t i = 0; i < r->count; i++) {
		const struct auth_range *at = &r->at[i];

		ASSERT(at->begin.size);
		ASSERT(!at->end.size || slice_cmp(at->begin, at->end) < 0);
		ASSERT(i + 1 == r->count || at->end.size);
		ASSERT(i + 1 == r->count || slice_cmp(at->end, r->at[i + 1].begin) < 0);
	}
}

void auth_check(const struct auth *a)
{
	for (size_t i = 0; i < a->state.user_count; i++) {
		const struct auth_user *u = a->state.users[i];

		ASSERT(u->refs > 0);
		ASSERT(!i || slice_cmp(a->state.users[i - 1]->f.name, u->f.name) < 0);
		check_ranges(&u->ranges[AUTH_READ]);
		check_ranges(&u->ranges[AUTH_WRITE]);
	}
	for (size_t i = 1; i < a->roles.count; i++)
		ASSERT(slice_cmp(a->roles.at[i - 1]->name, a->roles.at[i]->name) < 0);
}
