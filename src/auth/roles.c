/* Applied requests about roles, and what is told of them. */
#include "auth/impl.h"

enum { RESPONSE_LIST = 2 }; /* perm of RoleGet, roles of RoleList */

err_t auth_role_add(struct auth *a, struct slice name)
{
	if (!name.size)
		return ERR_ROLE_EMPTY;
	if (auth_role_find(a, name))
		return ERR_ROLE_ALREADY_EXIST;
	auth_role_put(a, name, NULL, 0, (struct slice){0});
	auth_commit_revision(a);
	auth_report(&a->state, &(struct auth_event){.kind = AUTH_ROLE_ADDED, .role = name});
	return OK;
}

/* The role goes first, then it is taken from its holders in the order of their names: nobody sees the order, all is one entry. */
err_t auth_role_delete(struct auth *a, struct slice name)
{
	struct auth_role *role;
	bool found;
	size_t at;

	if (a->state.enabled && slice_eq(name, AUTH_ROOT)) {
		auth_report(&a->state, &(struct auth_event){.kind = AUTH_ROOT_ROLE_DELETE_REFUSED, .role = name});
		return ERR_INVALID_AUTH_MGMT;
	}
	at = auth_role_at(a, name, &found);
	if (!found)
		return ERR_ROLE_NOT_FOUND;
	store_delete(a->store, BUCKET_AUTH_ROLES, name);
	role = a->roles.at[at];
	a->roles.count--;
	memmove(&a->roles.at[at], &a->roles.at[at + 1], (a->roles.count - at) * sizeof(*a->roles.at));
	for (size_t i = 0; i < a->state.user_count; i++)
		user_drop_role(a, a->state.users[i], role->name);
	auth_commit_revision(a);
	auth_report(&a->state, &(struct auth_event){.kind = AUTH_ROLE_DELETED, .role = role->name});
	role_free(role);
	return OK;
}

static bool permission_is_valid(const struct auth_permission *p)
{
	return p->key.size && (!p->range_end.size || slice_cmp(p->key, p->range_end) < 0 || range_end_is_open(p->range_end));
}

/* First permission whose key is not below. */
static size_t permission_place(const struct auth_role *r, struct slice key)
{
	size_t low = 0, high = r->perm_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (slice_cmp(r->perms[mid].perm.key, key) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* Only the first permission with the key is compared, as upstream does: a second grant of [k, x) and of [k, y) may stand twice. */
err_t auth_role_grant(struct auth *a, struct slice name, const struct auth_permission *perm)
{
	struct role_permission *perms;
	struct auth_role *r;
	size_t at, count;

	if (!perm)
		return ERR_PERMISSION_NOT_GIVEN;
	if (!permission_is_valid(perm))
		return ERR_INVALID_AUTH_MGMT;
	r = auth_role_find(a, name);
	if (!r)
		return ERR_ROLE_NOT_FOUND;
	at = permission_place(r, perm->key);
	count = r->perm_count;
	perms = NEW_ARRAY(struct role_permission, count + 1);
	if (count)
		memcpy(perms, r->perms, count * sizeof(*perms));
	if (at < count && slice_eq(perms[at].perm.key, perm->key) && slice_eq(perms[at].perm.range_end, perm->range_end)) {
		perms[at].perm.type = perm->type;
	} else {
		perms[count++].perm = *perm;
		permissions_sort(perms, count);
	}
	auth_role_put(a, r->name, perms, count, r->unknown);
	mem_free(perms);
	auth_commit_revision(a);
	auth_report(&a->state, &(struct auth_event){.kind = AUTH_ROLE_GRANTED, .role = name, .key = perm->key,
						    .range_end = perm->range_end, .permission = perm->type});
	return OK;
}

err_t auth_role_revoke(struct auth *a, struct slice name, struct slice key, struct slice range_end)
{
	struct auth_role *r = auth_role_find(a, name);
	struct role_permission *perms;
	size_t count = 0;
	err_t err = OK;

	if (!r)
		return ERR_ROLE_NOT_FOUND;
	perms = NEW_ARRAY(struct role_permission, r->perm_count);
	for (size_t i = 0; i < r->perm_count; i++)
		if (!slice_eq(r->perms[i].perm.key, key) || !slice_eq(r->perms[i].perm.range_end, range_end))
			perms[count++] = r->perms[i];
	if (count < r->perm_count) {
		auth_role_put(a, r->name, perms, count, (struct slice){0});
		auth_commit_revision(a);
		auth_report(&a->state, &(struct auth_event){.kind = AUTH_ROLE_REVOKED, .role = name, .key = key,
							    .range_end = range_end});
	} else {
		err = ERR_PERMISSION_NOT_GRANTED;
	}
	mem_free(perms);
	return err;
}

err_t auth_role_get(const struct auth *a, struct slice name, struct buf *out)
{
	static const struct role_permission everything = {.perm = {.type = 2, .range_end = {(const uint8_t *)"", 1}}};
	const struct auth_role *r = auth_role_find(a, name);

	if (!r)
		return ERR_ROLE_NOT_FOUND;
	if (!out)
		return OK;
	if (slice_eq(name, AUTH_ROOT))
		permission_encode(&everything, RESPONSE_LIST, out);
	for (size_t i = 0; i < r->perm_count && !slice_eq(name, AUTH_ROOT); i++)
		permission_encode(&r->perms[i], RESPONSE_LIST, out);
	return OK;
}

void auth_role_list(const struct auth *a, struct buf *out)
{
	for (size_t i = 0; out && i < a->roles.count; i++)
		pb_put_bytes_always(out, RESPONSE_LIST, a->roles.at[i]->name);
}
