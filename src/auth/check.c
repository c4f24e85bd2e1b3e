/* May this identity do that? On any state, core's or a view's; the rules of etcd v3.7.1 server/auth/store.go and
 * server/etcdserver/apply/auth.go. Order matters: the first error is the client's. */
#include "auth/impl.h"
#include "base/bug.h"

err_t auth_check_admin(const struct auth_state *s, const struct auth_id *id)
{
	const struct auth_user *u;

	if (!s->enabled)
		return OK;
	if (!id->user.size)
		return ERR_USER_EMPTY;
	u = auth_user_find(s, id->user);
	if (!u)
		return ERR_USER_NOT_FOUND;
	return u->is_root ? OK : ERR_PERMISSION_DENIED;
}

err_t auth_check_user(const struct auth_state *s, const struct auth_id *id)
{
	return s->enabled && !id->revision ? ERR_USER_EMPTY : OK;
}

err_t auth_check_range(const struct auth_state *s, const struct auth_id *id, struct slice key, struct slice range_end,
		       enum auth_right right)
{
	const struct auth_user *u;

	if (!s->enabled)
		return OK;
	if (!id->revision)
		return ERR_USER_EMPTY;
	if (id->revision < s->revision && !BUG(RIGHT_OUTDATED)) {
		auth_report(s, &(struct auth_event){.kind = AUTH_CHECK_REVISION_OLD, .key = key, .revision = s->revision,
						    .asked_revision = id->revision});
		return ERR_AUTH_OLD_REVISION;
	}
	u = auth_user_find(s, id->user);
	if (!u) {
		auth_report(s, &(struct auth_event){.kind = AUTH_CHECK_USER_UNKNOWN, .user = id->user});
		return ERR_PERMISSION_DENIED;
	}
	return u->is_root || ranges_cover(&u->ranges[right], key, range_end) ? OK : ERR_PERMISSION_DENIED;
}

bool user_has_role(const struct auth_user *u, struct slice role)
{
	for (size_t i = 0; i < u->f.role_count; i++)
		if (slice_eq(u->f.roles[i], role))
			return true;
	return false;
}

bool auth_has_role(const struct auth_state *s, struct slice user, struct slice role)
{
	const struct auth_user *u = auth_user_find(s, user);

	if (!u)
		auth_report(s, &(struct auth_event){.kind = AUTH_HAS_ROLE_USER_UNKNOWN, .user = user, .role = role});
	return u && user_has_role(u, role);
}

err_t auth_check_lease(const struct auth_state *s, const struct auth_id *id, const struct auth_leases *l, int64_t lease,
		       enum auth_right right)
{
	size_t count;
	err_t err = OK;

	if (auth_check_admin(s, id) == OK)
		return OK;
	count = l->count(l->arg, lease);
	for (size_t i = 0; !err && i < count; i++)
		err = auth_check_range(s, id, l->at(l->arg, lease, i), (struct slice){0}, right);
	return err;
}

/* The lease's keys too: who could not revoke it must not bind a key to it. */
err_t auth_check_put(const struct auth_state *s, const struct auth_id *id, const struct auth_leases *l, const struct put_req *r)
{
	err_t err = auth_check_range(s, id, r->key, (struct slice){0}, AUTH_WRITE);

	if (!err && r->lease)
		err = auth_check_lease(s, id, l, r->lease, AUTH_WRITE);
	if (!err && r->prev_kv)
		err = auth_check_range(s, id, r->key, (struct slice){0}, AUTH_READ);
	return err;
}

err_t auth_check_delete(const struct auth_state *s, const struct auth_id *id, const struct delete_req *r)
{
	err_t err = auth_check_range(s, id, r->key, r->range_end, AUTH_WRITE);

	if (!err && r->prev_kv)
		err = auth_check_range(s, id, r->key, r->range_end, AUTH_READ);
	return err;
}

/* In a txn the reading of a delete is asked first. Both answers are the same error, so the order shows nowhere; kept all the same. */
static err_t check_op(const struct auth_state *s, const struct auth_id *id, const struct auth_leases *l, const struct request_op *op)
{
	err_t err = OK;

	switch (op->kind) {
	case OP_NONE:
		break;
	case OP_RANGE:
		err = auth_check_range(s, id, op->range.key, op->range.range_end, AUTH_READ);
		break;
	case OP_PUT:
		err = auth_check_put(s, id, l, &op->put);
		break;
	case OP_DELETE:
		if (op->del.prev_kv)
			err = auth_check_range(s, id, op->del.key, op->del.range_end, AUTH_READ);
		if (!err)
			err = auth_check_range(s, id, op->del.key, op->del.range_end, AUTH_WRITE);
		break;
	case OP_TXN:
		err = auth_check_txn(s, id, l, op->txn);
		break;
	}
	return err;
}

/* Recurses RPC_TXN_DEPTH_MAX deep at most. */
err_t auth_check_txn(const struct auth_state *s, const struct auth_id *id, const struct auth_leases *l, const struct txn_req *r)
{
	err_t err = OK;

	if (!s->enabled)
		return OK;
	for (size_t i = 0; !err && i < r->compare_count; i++)
		err = auth_check_range(s, id, r->compares[i].key, r->compares[i].range_end, AUTH_READ);
	for (size_t i = 0; !err && i < r->success_count; i++)
		err = check_op(s, id, l, &r->success[i]);
	for (size_t i = 0; !err && i < r->failure_count; i++)
		err = check_op(s, id, l, &r->failure[i]);
	return err;
}

err_t auth_password_of(const struct auth_state *s, struct slice user, struct slice *hash)
{
	const struct auth_user *u;

	if (!s->enabled)
		return ERR_AUTH_NOT_ENABLED;
	u = auth_user_find(s, user);
	if (!u)
		return ERR_AUTH_FAILED;
	if (u->f.no_password)
		return ERR_NO_PASSWORD_USER;
	*hash = u->f.password;
	return OK;
}

err_t auth_check_login(const struct auth_state *s, struct slice user)
{
	const struct auth_user *u;

	if (!s->enabled)
		return ERR_AUTH_NOT_ENABLED;
	u = auth_user_find(s, user);
	return u && !u->f.no_password ? OK : ERR_AUTH_FAILED;
}
