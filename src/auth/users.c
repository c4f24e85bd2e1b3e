/* Applied requests about users, and what is told of them. Each either changes one row and the revision, or nothing. */
#include "auth/impl.h"

/* Before the row changes: what f points to goes with the old one. */
static void report(const struct auth *a, enum auth_event_kind kind, const struct user_fields *f, struct slice role)
{
	auth_report(&a->state, &(struct auth_event){.kind = kind, .user = f->name, .role = role, .roles = f->roles,
						    .role_count = f->role_count});
}

enum { RESPONSE_LIST = 2 }; /* roles of UserGet, users of UserList */

err_t auth_user_add(struct auth *a, const struct auth_new_user *u)
{
	struct user_fields f = {.name = u->name, .has_options = true};
	struct buf unknown;
	err_t err;

	if (!u->name.size)
		return ERR_USER_EMPTY;
	if (auth_user_find(&a->state, u->name))
		return ERR_USER_ALREADY_EXIST;
	buf_init(&unknown, AUTH_ROW_MAX);
	err = options_parse(u->options, &f.no_password, &unknown);
	if (!err && !f.no_password && u->hash_bad)
		err = ERR_NO_PASSWORD_USER;
	if (!err) {
		f.options_unknown = buf_slice(&unknown);
		if (!f.no_password)
			f.password = u->hash;
		auth_user_put(a, &f);
		auth_commit_revision(a);
		auth_report(&a->state, &(struct auth_event){.kind = AUTH_USER_ADDED, .user = u->name});
	}
	buf_fini(&unknown);
	return err;
}

err_t auth_user_delete(struct auth *a, struct slice name)
{
	bool found;
	size_t at;

	if (a->state.enabled && slice_eq(name, AUTH_ROOT)) {
		auth_report(&a->state, &(struct auth_event){.kind = AUTH_ROOT_DELETE_REFUSED, .user = name});
		return ERR_INVALID_AUTH_MGMT;
	}
	at = auth_user_at(&a->state, name, &found);
	if (!found)
		return ERR_USER_NOT_FOUND;
	store_delete(a->store, BUCKET_AUTH_USERS, name);
	report(a, AUTH_USER_DELETED, &a->state.users[at]->f, (struct slice){0});
	user_unref(a->state.users[at]);
	a->state.user_count--;
	memmove(&a->state.users[at], &a->state.users[at + 1], (a->state.user_count - at) * sizeof(*a->state.users));
	auth_commit_revision(a);
	return OK;
}

err_t auth_user_change_password(struct auth *a, struct slice name, struct slice hash, bool hash_bad)
{
	const struct auth_user *u = auth_user_find(&a->state, name);
	struct user_fields f;

	if (!u)
		return ERR_USER_NOT_FOUND;
	f = u->f;
	f.unknown = (struct slice){0};  /* upstream builds the row anew: fields it does not know stay behind */
	f.password = (struct slice){0};
	if (!f.no_password && hash_bad)
		return ERR_NO_PASSWORD_USER;
	if (!f.no_password)
		f.password = hash;
	report(a, AUTH_USER_PASSWORD_CHANGED, &f, (struct slice){0});
	auth_user_put(a, &f);
	auth_commit_revision(a);
	return OK;
}

/* Place of role among roles that ascend: first that is not below. */
static size_t role_place(const struct user_fields *f, struct slice role)
{
	size_t low = 0, high = f->role_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (slice_cmp(f->roles[mid], role) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

err_t auth_user_grant(struct auth *a, struct slice user, struct slice role)
{
	const struct auth_user *u = auth_user_find(&a->state, user);
	struct user_fields f;
	struct slice *roles;
	size_t at;

	if (!u)
		return ERR_USER_NOT_FOUND;
	if (!slice_eq(role, AUTH_ROOT) && !auth_role_find(a, role))
		return ERR_ROLE_NOT_FOUND;
	at = role_place(&u->f, role);
	if (at < u->f.role_count && slice_eq(u->f.roles[at], role)) {
		report(a, AUTH_USER_GRANTED_ALREADY, &u->f, role);
		return OK;
	}
	f = u->f;
	roles = NEW_ARRAY(struct slice, f.role_count + 1);
	memcpy(roles, f.roles, at * sizeof(*roles));
	roles[at] = role;
	memcpy(roles + at + 1, f.roles + at, (f.role_count - at) * sizeof(*roles));
	f.roles = roles;
	f.role_count++;
	report(a, AUTH_USER_GRANTED, &f, role);
	auth_user_put(a, &f);
	mem_free(roles);
	auth_commit_revision(a);
	return OK;
}

err_t auth_user_revoke(struct auth *a, struct slice user, struct slice role)
{
	const struct auth_user *u;

	if (a->state.enabled && slice_eq(user, AUTH_ROOT) && slice_eq(role, AUTH_ROOT)) {
		auth_report(&a->state, &(struct auth_event){.kind = AUTH_ROOT_REVOKE_REFUSED, .user = user, .role = role});
		return ERR_INVALID_AUTH_MGMT;
	}
	u = auth_user_find(&a->state, user);
	if (!u)
		return ERR_USER_NOT_FOUND;
	if (!user_has_role(u, role))
		return ERR_ROLE_NOT_GRANTED;
	report(a, AUTH_USER_REVOKED, &u->f, role);
	user_drop_role(a, u, role);
	auth_commit_revision(a);
	return OK;
}

void user_drop_role(struct auth *a, const struct auth_user *u, struct slice role)
{
	struct user_fields f = u->f;
	struct slice *roles = NEW_ARRAY(struct slice, f.role_count);
	size_t count = 0;

	for (size_t i = 0; i < f.role_count; i++)
		if (!slice_eq(f.roles[i], role))
			roles[count++] = f.roles[i];
	if (count < f.role_count) {
		f.roles = roles;
		f.unknown = (struct slice){0};
		f.role_count = count;
		auth_user_put(a, &f);
	}
	mem_free(roles);
}

err_t auth_user_get(const struct auth *a, struct slice name, struct buf *out)
{
	const struct auth_user *u = auth_user_find(&a->state, name);

	if (!u)
		return ERR_USER_NOT_FOUND;
	for (size_t i = 0; out && i < u->f.role_count; i++)
		pb_put_bytes_always(out, RESPONSE_LIST, u->f.roles[i]);
	return OK;
}

void auth_user_list(const struct auth *a, struct buf *out)
{
	for (size_t i = 0; out && i < a->state.user_count; i++)
		pb_put_bytes_always(out, RESPONSE_LIST, a->state.users[i]->f.name);
}
