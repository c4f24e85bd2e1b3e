#include "apply/apply_impl.h"
#include "base/bug.h"

/* A request needs no more than the log entry had: parsed arrays borrow from it. */
enum { ARENA_MAX = 64 << 20, RESP_MAX = 1 << 30 };

enum kind_marks {
	CORRUPTIBLE = 1,        /* refused while a CORRUPT alarm is set (upstream's applierV3Corrupt) */
	ADMIN = 2,              /* needs role root while auth is on */
	QUESTION = 4,           /* skipped without a local waiter */
	NO_EFFECT = 8,
};

/* What each kind of request is. fn NULL: handled in both modes by name below, or has no effect. */
static const struct kind {
	enum internal_field field;
	const char *name;
	apply_fn *fn;
	unsigned marks;
} kinds[] = {
	{REQ_RANGE, "Range", NULL, NO_EFFECT},          /* nobody proposes it; old logs may hold it */
	{REQ_PUT, "Put", apply_put, CORRUPTIBLE},
	{REQ_DELETE_RANGE, "DeleteRange", apply_delete_range, CORRUPTIBLE},
	{REQ_TXN, "Txn", apply_txn, CORRUPTIBLE},
	{REQ_COMPACTION, "Compaction", apply_compaction, CORRUPTIBLE},
	{REQ_LEASE_GRANT, "LeaseGrant", apply_lease_grant, CORRUPTIBLE},
	{REQ_LEASE_REVOKE, "LeaseRevoke", apply_lease_revoke, CORRUPTIBLE},
	{REQ_LEASE_CHECKPOINT, "LeaseCheckpoint", apply_lease_checkpoint, 0},
	{REQ_ALARM, "Alarm", apply_alarm, 0},
	{REQ_AUTH_ENABLE, "AuthEnable", apply_auth_enable, ADMIN},
	{REQ_AUTH_DISABLE, "AuthDisable", apply_auth_disable, ADMIN},
	{REQ_AUTHENTICATE, "Authenticate", apply_authenticate, 0},
	{REQ_AUTH_STATUS, "unknown", apply_auth_status, QUESTION},      /* upstream's metric has no name for it */
	{REQ_USER_ADD, "AuthUserAdd", apply_user_add, ADMIN},
	{REQ_USER_DELETE, "AuthUserDelete", apply_user_delete, ADMIN},
	{REQ_USER_GET, "AuthUserGet", apply_user_get, QUESTION},
	{REQ_USER_CHANGE_PASSWORD, "AuthUserChangePassword", apply_user_change_password, ADMIN},
	{REQ_USER_GRANT_ROLE, "AuthUserGrantRole", apply_user_grant, ADMIN},
	{REQ_USER_REVOKE_ROLE, "AuthUserRevokeRole", apply_user_revoke, ADMIN},
	{REQ_USER_LIST, "AuthUserList", apply_user_list, ADMIN},
	{REQ_ROLE_LIST, "AuthRoleList", apply_role_list, ADMIN},
	{REQ_ROLE_ADD, "AuthRoleAdd", apply_role_add, ADMIN},
	{REQ_ROLE_DELETE, "AuthRoleDelete", apply_role_delete, ADMIN},
	{REQ_ROLE_GET, "AuthRoleGet", apply_role_get, QUESTION},
	{REQ_ROLE_GRANT_PERMISSION, "AuthRoleGrantPermission", apply_role_grant, ADMIN},
	{REQ_ROLE_REVOKE_PERMISSION, "AuthRoleRevokePermission", apply_role_revoke, ADMIN},
	{REQ_CLUSTER_VERSION_SET, "ClusterVersionSet", NULL, 0},
	{REQ_MEMBER_ATTR_SET, "ClusterMemberAttrSet", NULL, 0},
	{REQ_DOWNGRADE_INFO_SET, "DowngradeInfoSet", NULL, 0},
	{REQ_DOWNGRADE_VERSION_TEST, "DowngradeVersionTest", NULL, NO_EFFECT},
};

static const struct kind *kind_of(uint32_t field)
{
	for (size_t i = 0; i < ARRAY_COUNT(kinds); i++)
		if (kinds[i].field == field)
			return &kinds[i];
	return NULL;
}

const char *apply_request_name(uint32_t field)
{
	const struct kind *k = kind_of(field);

	return k ? k->name : "unknown";
}

void apply_init(struct apply *a)
{
	arena_init(&a->arena, ARENA_MAX);
}

void apply_fini(struct apply *a)
{
	arena_fini(&a->arena);
}

void apply_out_init(struct apply_out *out)
{
	*out = (struct apply_out){0};
	buf_init(&out->resp, RESP_MAX);
}

void apply_out_clear(struct apply_out *out)
{
	out->id = 0;
	out->field = 0;
	out->err = OK;
	out->effects = 0;
	out->compact_rev = 0;
	buf_clear(&out->resp);
	out->events.list.count = 0;
}

void apply_out_fini(struct apply_out *out)
{
	buf_fini(&out->resp);
	VEC_FREE(&out->events.list);
}

uint64_t apply_entry_id(const struct raft_entry *e)
{
	struct internal_req r;

	if (e->type != ENTRY_NORMAL || !e->data || !e->data->size || internal_req_parse(blob_slice(e->data), &r))
		return 0;
	return r.id;
}

static err_t refuse(const struct raft_entry *e, struct why *why, const char *what, uint32_t field)
{
	return why_set(why, ERR_UNSUPPORTED,
		       "log entry %llu (term %llu) %s (field %u): this member cannot go on without it; use a version that knows it",
		       (unsigned long long)e->index, (unsigned long long)e->term, what, field);
}

static err_t parse(const struct raft_entry *e, struct internal_req *r, const struct kind **kind, struct why *why)
{
	if (e->type != ENTRY_NORMAL)
		return why_set(why, ERR_UNSUPPORTED, "unknown entry type; must be either EntryNormal or EntryConfChange (index %llu)",
			       (unsigned long long)e->index);
	if (internal_req_parse(blob_slice(e->data), r))
		return refuse(e, why, "does not parse", 0);
	*kind = kind_of(r->field);
	if (!*kind)
		return refuse(e, why, "is of a kind that is not supported", r->field);
	if (!r->id)
		return refuse(e, why, "has no request id", r->field);
	return OK;
}

err_t apply_check_entry(const struct raft_entry *e, struct why *why)
{
	struct internal_req r;
	const struct kind *kind = NULL;

	if (e->type == ENTRY_CONF_CHANGE || !e->data || !e->data->size)
		return OK;
	return BUG(UNKNOWN_SKIPPED) ? OK : parse(e, &r, &kind, why);
}

static err_t dispatch(struct apply_in *in, const struct kind *kind, bool full)
{
	err_t err = OK;

	switch (kind->field) {
	case REQ_CLUSTER_VERSION_SET: return apply_cluster_version(in, full);
	case REQ_MEMBER_ATTR_SET: return apply_member_attr(in, full);
	case REQ_DOWNGRADE_INFO_SET: return apply_downgrade_info(in, full);
	default: break;
	}
	if (!full || (kind->marks & QUESTION && !in->resp))
		return OK;
	if (kind->marks & ADMIN)
		err = auth_check_admin(auth_state(in->a->auth), &in->id);
	if (err)
		return err;
	if (kind->marks & CORRUPTIBLE && alarm_present(in->a->alarms, ALARM_CORRUPT))
		return ERR_CORRUPT;
	if (kind->marks & NO_EFFECT) {
		apply_header(in);
		return OK;
	}
	return kind->fn(in);
}

err_t apply_entry(struct apply *a, const struct raft_entry *e, bool full, bool wanted, struct apply_out *out, struct why *why)
{
	struct internal_req r;
	const struct kind *kind = NULL;
	struct apply_in in = {.a = a, .out = out, .resp = wanted && full ? &out->resp : NULL};
	err_t err;

	if (e->type == ENTRY_NORMAL && (!e->data || !e->data->size)) {
		out->effects |= APPLY_NOOP;
		return OK;
	}
	err = parse(e, &r, &kind, why);
	if (err && (!full || BUG(UNKNOWN_SKIPPED)) && e->type == ENTRY_NORMAL)
		return OK;              /* whatever it was, it is in the backend: no kind that we miss lives in memory alone */
	if (err)
		return err;
	out->id = r.id;
	out->field = r.field;
	in.body = r.body;
	in.id = (struct auth_id){r.username, r.auth_revision};
	in.id_number = r.id;
	in.index = e->index;
	err = dispatch(&in, kind, full);
	arena_reset(&a->arena);
	if (err == ERR_MALFORMED)
		return refuse(e, why, "does not parse", r.field);
	out->err = err;
	return OK;
}
