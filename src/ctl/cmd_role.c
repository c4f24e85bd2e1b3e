/* role add, delete, get, list, grant-permission, revoke-permission. */
#include "ctl/role.h"

static const struct slice open_end = {(const uint8_t *)"\0", 1};

RUN(role_add)
{
	struct ctl *c = cli->user;
	Etcdserverpb__AuthRoleAddRequest req = ETCDSERVERPB__AUTH_ROLE_ADD_REQUEST__INIT;

	if (c->arg_count != 1)
		return ctl_fail(EXIT_ARGS, "role add command requires role name as its argument");
	req.name = (char *)c->args[0];
	return auth_change(c, RPC_ROLE_ADD, &req.base, ctl_copy(c, "Role %s created", c->args[0]));
}

RUN(role_delete)
{
	struct ctl *c = cli->user;
	Etcdserverpb__AuthRoleDeleteRequest req = ETCDSERVERPB__AUTH_ROLE_DELETE_REQUEST__INIT;

	if (c->arg_count != 1)
		return ctl_fail(EXIT_ARGS, "role delete command requires role name as its argument");
	req.role = (char *)c->args[0];
	return auth_change(c, RPC_ROLE_DELETE, &req.base, ctl_copy(c, "Role %s deleted", c->args[0]));
}

/* --- printing --- */

static const char *permission_name(Authpb__Permission__Type t)
{
	static const char *const names[] = {"READ", "WRITE", "READWRITE"};

	return (unsigned)t < ARRAY_COUNT(names) ? names[t] : "UNKNOWN";
}

/* "key", "[a, b) (prefix a)", "[k, <open ended>" */
static void put_range(struct ctl *c, const Authpb__Permission *p)
{
	struct slice key = pb_slice(p->key), end = pb_slice(p->range_end);

	put(c, end.size ? "\t[" : "\t");
	buf_put_slice(&c->out, key);
	if (slice_eq(end, open_end)) {
		put(c, ", <open ended>");
	} else if (end.size) {
		put(c, ", ");
		buf_put_slice(&c->out, end);
		put(c, ")");
	}
	if (end.size && key.size && slice_eq(prefix_end(c, key), end)) {
		put(c, " (prefix ");
		buf_put_slice(&c->out, key);
		put(c, ")");
	}
	put(c, "\n");
}

static void put_permissions(struct ctl *c, const char *title, const Etcdserverpb__AuthRoleGetResponse *r,
			    Authpb__Permission__Type kind)
{
	put(c, "%s:\n", title);
	for (size_t i = 0; i < r->n_perm; i++) {
		if (r->perm[i]->permtype == kind || r->perm[i]->permtype == AUTHPB__PERMISSION__TYPE__READWRITE)
			put_range(c, r->perm[i]);
	}
}

static void role_simple(struct ctl *c, const char *name, const Etcdserverpb__AuthRoleGetResponse *r)
{
	put(c, "Role %s\n", name);
	if (!strcmp(name, "root") && !r->n_perm) {
		put(c, "KV Read:\n\t[, <open ended>\nKV Write:\n\t[, <open ended>\n");
		return;
	}
	put_permissions(c, "KV Read", r, AUTHPB__PERMISSION__TYPE__READ);
	put_permissions(c, "KV Write", r, AUTHPB__PERMISSION__TYPE__WRITE);
}

int role_print(struct ctl *c, const char *name, const Etcdserverpb__AuthRoleGetResponse *r)
{
	bool done;
	int code = out_plain(c, &r->base, r->header, &done);

	if (!done)
		role_simple(c, name, r);
	for (size_t i = 0; i < r->n_perm && c->format == OUT_FIELDS; i++) {
		put(c, "\"PermType\" :  %s\n", permission_name(r->perm[i]->permtype));
		out_field_quoted(&c->out, "Key", pb_slice(r->perm[i]->key));
		out_field_quoted(&c->out, "RangeEnd", pb_slice(r->perm[i]->range_end));
	}
	return code;
}

RUN(role_get)
{
	struct ctl *c = cli->user;
	Etcdserverpb__AuthRoleGetRequest req = ETCDSERVERPB__AUTH_ROLE_GET_REQUEST__INIT;
	Etcdserverpb__AuthRoleGetResponse *resp;
	int code;

	if (c->arg_count != 1)
		return ctl_fail(EXIT_ARGS, "role get command requires role name as its argument");
	code = ctl_connect(c);
	if (code)
		return code;
	req.role = (char *)c->args[0];
	if (!ctl_call(c, RPC_ROLE_GET, &req.base, CTL_NO_TIMEOUT, &resp))
		return ctl_call_failed(c, EXIT_ERROR, "", "");
	return role_print(c, c->args[0], resp);
}

RUN(role_list)
{
	struct ctl *c = cli->user;
	Etcdserverpb__AuthRoleListRequest req = ETCDSERVERPB__AUTH_ROLE_LIST_REQUEST__INIT;
	Etcdserverpb__AuthRoleListResponse *resp;
	bool done;
	int code;

	if (c->arg_count)
		return ctl_fail(EXIT_ARGS, "role list command requires no arguments");
	code = ctl_connect(c);
	if (code)
		return code;
	if (!ctl_call(c, RPC_ROLE_LIST, &req.base, CTL_NO_TIMEOUT, &resp))
		return ctl_call_failed(c, EXIT_ERROR, "", "");
	code = out_plain(c, &resp->base, resp->header, &done);
	if (c->format == OUT_FIELDS)
		put(c, "\"Roles\" :");
	for (size_t i = 0; i < resp->n_roles; i++) {
		if (c->format == OUT_FIELDS)
			put(c, " %s", ctl_quoted(c, slice_str(resp->roles[i])));
		else if (!done)
			put(c, "%s\n", resp->roles[i]);
	}
	if (c->format == OUT_FIELDS)
		put(c, "\n");
	return code;
}

/* --- permissions --- */

/* Key and end of a permission from operands [at, …) and the flags. An empty key with --prefix or --from-key is all
 * keys. */
static int read_range(struct ctl *c, size_t at, struct slice *key, struct slice *end)
{
	bool prefix = c->o.prefix, from_key = c->o.from_key;

	*key = ctl_arg(c, at);
	*end = (struct slice){NULL, 0};
	if (!key->size) {
		if (prefix && from_key)
			return ctl_fail(EXIT_ARGS, "--from-key and --prefix flags are mutually exclusive");
		*key = open_end;
		if (prefix || from_key)
			*end = open_end;
		return 0;
	}
	if (c->arg_count > at + 1) {
		if (prefix)
			return ctl_fail(EXIT_ARGS, "unexpected endkey argument with --prefix flag");
		if (from_key)
			return ctl_fail(EXIT_ARGS, "unexpected endkey argument with --from-key flag");
		*end = ctl_arg(c, at + 1);
	} else if (prefix) {
		if (from_key)
			return ctl_fail(EXIT_ARGS, "--from-key and --prefix flags are mutually exclusive");
		*end = prefix_end(c, *key);
	} else if (from_key) {
		*end = open_end;
	}
	return 0;
}

static int permission_of(const char *text, Authpb__Permission__Type *out)
{
	for (int t = AUTHPB__PERMISSION__TYPE__READ; t <= AUTHPB__PERMISSION__TYPE__READWRITE; t++) {
		if (!strcasecmp(permission_name((Authpb__Permission__Type)t), text)) {
			*out = (Authpb__Permission__Type)t;
			return 0;
		}
	}
	return ctl_fail(EXIT_ARGS, "invalid permission type: %s", text);
}

RUN(role_grant_permission)
{
	struct ctl *c = cli->user;
	Etcdserverpb__AuthRoleGrantPermissionRequest req = ETCDSERVERPB__AUTH_ROLE_GRANT_PERMISSION_REQUEST__INIT;
	Authpb__Permission perm = AUTHPB__PERMISSION__INIT;
	struct slice key, end;
	int code;

	if (c->arg_count < 3)
		return ctl_fail(
		    EXIT_ARGS,
		    "role grant command requires role name, permission type, and key [endkey] as its argument");
	code = permission_of(c->args[1], &perm.permtype);
	if (!code)
		code = read_range(c, 2, &key, &end);
	if (code)
		return code;
	perm.key = pb_binary(key);
	perm.range_end = pb_binary(end);
	req.name = (char *)c->args[0];
	req.perm = &perm;
	return auth_change(c, RPC_ROLE_GRANT_PERMISSION, &req.base, ctl_copy(c, "Role %s updated", c->args[0]));
}

RUN(role_revoke_permission)
{
	struct ctl *c = cli->user;
	Etcdserverpb__AuthRoleRevokePermissionRequest req = ETCDSERVERPB__AUTH_ROLE_REVOKE_PERMISSION_REQUEST__INIT;
	struct slice key, end;
	const char *role, *text;
	int code;

	if (c->arg_count < 2)
		return ctl_fail(EXIT_ARGS,
				"role revoke-permission command requires role name and key [endkey] as its argument");
	code = read_range(c, 1, &key, &end);
	if (code)
		return code;
	role = c->args[0];
	req.role = (char *)role;
	req.key = pb_binary(key);
	req.range_end = pb_binary(end);
	if (!end.size)
		text = ctl_copy(c, "Permission of key %s is revoked from role %s", c->args[1], role);
	else if (slice_eq(end, open_end))
		text = ctl_copy(c, "Permission of range [%s, <open ended> is revoked from role %s", c->args[1], role);
	else
		text = ctl_copy(c, "Permission of range [%s, %.*s) is revoked from role %s", c->args[1], SLICE_ARG(end),
				role);
	return auth_change(c, RPC_ROLE_REVOKE_PERMISSION, &req.base, text);
}
