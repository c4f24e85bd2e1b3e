/* auth enable, disable, status; user add, delete, get, list, passwd, grant-role, revoke-role. */
#include <inttypes.h>
#include <unistd.h>

#include "ctl/ctl_impl.h"
#include "ctl/role.h"

/* --- auth --- */

RUN(auth_status)
{
	struct ctl *c = cli->user;
	Etcdserverpb__AuthStatusRequest req = ETCDSERVERPB__AUTH_STATUS_REQUEST__INIT;
	Etcdserverpb__AuthStatusResponse *resp;
	bool done;
	int code;

	if (c->arg_count)
		return ctl_fail(EXIT_ARGS, "auth status command does not accept any arguments");
	code = ctl_connect(c);
	if (code)
		return code;
	if (!ctl_call(c, RPC_AUTH_STATUS, &req.base, 0, &resp))
		return ctl_call_failed(c, EXIT_ERROR, "", "");
	if (c->format == OUT_FIELDS)
		return out_unsupported("fields");
	code = out_plain(c, &resp->base, NULL, &done);
	if (!done)
		put(c, "Authentication Status: %s\nAuthRevision: %" PRIu64 "\n", resp->enabled ? "true" : "false",
		    resp->authrevision);
	return code;
}

/* The user root has to have the role root: it is given it where that is all that is missing. */
static bool make_root(struct ctl *c)
{
	Etcdserverpb__AuthRoleAddRequest add = ETCDSERVERPB__AUTH_ROLE_ADD_REQUEST__INIT;
	Etcdserverpb__AuthUserGrantRoleRequest grant = ETCDSERVERPB__AUTH_USER_GRANT_ROLE_REQUEST__INIT;
	void *resp;

	add.name = grant.user = grant.role = "root";
	return ctl_call(c, RPC_ROLE_ADD, &add.base, 0, &resp) &&
	       ctl_call(c, RPC_USER_GRANT_ROLE, &grant.base, 0, &resp);
}

RUN(auth_enable)
{
	struct ctl *c = cli->user;
	Etcdserverpb__AuthEnableRequest req = ETCDSERVERPB__AUTH_ENABLE_REQUEST__INIT;
	void *resp;
	int code;

	if (c->arg_count)
		return ctl_fail(EXIT_ARGS, "auth enable command does not accept any arguments");
	code = ctl_connect(c);
	if (code)
		return code;
	if (!ctl_call(c, RPC_AUTH_ENABLE, &req.base, 0, &resp)) {
		if (client_error_row(&c->status) != ERR_ROOT_ROLE_NOT_EXIST || !make_root(c) ||
		    !ctl_call(c, RPC_AUTH_ENABLE, &req.base, 0, &resp))
			return ctl_call_failed(c, EXIT_ERROR, "", "");
	}
	put(c, "Authentication Enabled\n");
	return EXIT_OK;
}

RUN(auth_disable)
{
	struct ctl *c = cli->user;
	Etcdserverpb__AuthDisableRequest req = ETCDSERVERPB__AUTH_DISABLE_REQUEST__INIT;
	void *resp;
	int code;

	if (c->arg_count)
		return ctl_fail(EXIT_ARGS, "auth disable command does not accept any arguments");
	code = ctl_connect(c);
	if (code)
		return code;
	if (!ctl_call(c, RPC_AUTH_DISABLE, &req.base, 0, &resp))
		return ctl_call_failed(c, EXIT_ERROR, "", "");
	put(c, "Authentication Disabled\n");
	return EXIT_OK;
}

/* --- users --- */

/* One call and one line: json, protobuf and fields show the header alone. text is printed in simple form. */
int auth_change(struct ctl *c, enum rpc rpc, const ProtobufCMessage *req, const char *text)
{
	const Etcdserverpb__AuthEnableResponse *resp; /* like all of these: a header and nothing else */
	bool done;
	int code = ctl_connect(c);

	if (code)
		return code;
	if (!ctl_call(c, rpc, req, CTL_NO_TIMEOUT, &resp))
		return ctl_call_failed(c, EXIT_ERROR, "", "");
	code = out_plain(c, &resp->base, resp->header, &done);
	if (!done)
		put(c, "%s\n", text);
	return code;
}

static int ask_twice(struct ctl *c, const char *name, const char **password)
{
	const char *again;

	*password = ctl_ask(c, ctl_copy(c, "Password of %s: ", name));
	if (!(*password)[0])
		return ctl_fail(EXIT_ARGS, "empty password");
	again = ctl_ask(c, ctl_copy(c, "Type password of %s again for confirmation: ", name));
	return strcmp(*password, again) ? ctl_fail(EXIT_ARGS, "given passwords are different") : 0;
}

/* The first word of stdin's first line. */
static const char *read_password(struct ctl *c)
{
	enum { PASSWORD_MAX = 4096 };
	char *out = arena_alloc(&c->arena, PASSWORD_MAX);
	size_t n = 0;
	char ch;

	while (n + 1 < PASSWORD_MAX && read(STDIN_FILENO, &ch, 1) == 1 && ch != '\n' && (ch != ' ' || !n)) {
		if (ch != ' ' && ch != '\r')
			out[n++] = ch;
	}
	return out;
}

static int get_password(struct ctl *c, const char *name, const char **password)
{
	if (c->o.interactive)
		return ask_twice(c, name, password);
	*password = read_password(c);
	return 0;
}

static int user_and_password(struct ctl *c, const char **name, const char **password)
{
	const char *colon = strchr(c->args[0], ':');

	*name = c->args[0];
	*password = c->o.new_user_password;
	if (c->o.no_password) {
		*password = "";
		return 0;
	}
	if ((*password)[0])
		return 0;
	if (!colon)
		return get_password(c, *name, password);
	*name = ctl_copy(c, "%.*s", (int)(colon - c->args[0]), c->args[0]);
	*password = colon + 1;
	return (*name)[0] ? 0 : ctl_fail(EXIT_ARGS, "empty user name is not allowed");
}

RUN(user_add)
{
	struct ctl *c = cli->user;
	Etcdserverpb__AuthUserAddRequest req = ETCDSERVERPB__AUTH_USER_ADD_REQUEST__INIT;
	Authpb__UserAddOptions options = AUTHPB__USER_ADD_OPTIONS__INIT;
	const char *name, *password;
	int code;

	if (c->arg_count != 1)
		return ctl_fail(EXIT_ARGS, "user add command requires user name as its argument");
	code = user_and_password(c, &name, &password);
	if (code)
		return code;
	req.name = (char *)name;
	req.password = (char *)password;
	options.no_password = c->o.no_password;
	req.options = &options;
	return auth_change(c, RPC_USER_ADD, &req.base, ctl_copy(c, "User %s created", name));
}

RUN(user_delete)
{
	struct ctl *c = cli->user;
	Etcdserverpb__AuthUserDeleteRequest req = ETCDSERVERPB__AUTH_USER_DELETE_REQUEST__INIT;

	if (c->arg_count != 1)
		return ctl_fail(EXIT_ARGS, "user delete command requires user name as its argument");
	req.name = (char *)c->args[0];
	return auth_change(c, RPC_USER_DELETE, &req.base, ctl_copy(c, "User %s deleted", c->args[0]));
}

RUN(user_passwd)
{
	struct ctl *c = cli->user;
	Etcdserverpb__AuthUserChangePasswordRequest req = ETCDSERVERPB__AUTH_USER_CHANGE_PASSWORD_REQUEST__INIT;
	const char *password;
	int code;

	if (c->arg_count != 1)
		return ctl_fail(EXIT_ARGS, "user passwd command requires user name as its argument");
	code = get_password(c, c->args[0], &password);
	if (code)
		return code;
	req.name = (char *)c->args[0];
	req.password = (char *)password;
	return auth_change(c, RPC_USER_CHANGE_PASSWORD, &req.base, "Password updated");
}

RUN(user_grant_role)
{
	struct ctl *c = cli->user;
	Etcdserverpb__AuthUserGrantRoleRequest req = ETCDSERVERPB__AUTH_USER_GRANT_ROLE_REQUEST__INIT;

	if (c->arg_count != 2)
		return ctl_fail(EXIT_ARGS, "user grant command requires user name and role name as its argument");
	req.user = (char *)c->args[0];
	req.role = (char *)c->args[1];
	return auth_change(c, RPC_USER_GRANT_ROLE, &req.base,
			   ctl_copy(c, "Role %s is granted to user %s", c->args[1], c->args[0]));
}

RUN(user_revoke_role)
{
	struct ctl *c = cli->user;
	Etcdserverpb__AuthUserRevokeRoleRequest req = ETCDSERVERPB__AUTH_USER_REVOKE_ROLE_REQUEST__INIT;

	if (c->arg_count != 2)
		return ctl_fail(EXIT_ARGS, "user revoke-role requires user name and role name as its argument");
	req.name = (char *)c->args[0];
	req.role = (char *)c->args[1];
	return auth_change(c, RPC_USER_REVOKE_ROLE, &req.base,
			   ctl_copy(c, "Role %s is revoked from user %s", c->args[1], c->args[0]));
}

RUN(user_list)
{
	struct ctl *c = cli->user;
	Etcdserverpb__AuthUserListRequest req = ETCDSERVERPB__AUTH_USER_LIST_REQUEST__INIT;
	Etcdserverpb__AuthUserListResponse *resp;
	bool done;
	int code;

	if (c->arg_count)
		return ctl_fail(EXIT_ARGS, "user list command requires no arguments");
	code = ctl_connect(c);
	if (code)
		return code;
	if (!ctl_call(c, RPC_USER_LIST, &req.base, CTL_NO_TIMEOUT, &resp))
		return ctl_call_failed(c, EXIT_ERROR, "", "");
	if (c->format == OUT_FIELDS)
		return out_unsupported("fields");
	code = out_plain(c, &resp->base, NULL, &done);
	for (size_t i = 0; i < resp->n_users && !done; i++)
		put(c, "%s\n", resp->users[i]);
	return code;
}

static int print_detail(struct ctl *c, const Etcdserverpb__AuthUserGetResponse *user)
{
	Etcdserverpb__AuthRoleGetRequest req = ETCDSERVERPB__AUTH_ROLE_GET_REQUEST__INIT;
	Etcdserverpb__AuthRoleGetResponse *role;
	int code = EXIT_OK;

	put(c, "User: %s\n", c->args[0]);
	for (size_t i = 0; i < user->n_roles && !code; i++) {
		put(c, "\n");
		req.role = user->roles[i];
		if (!ctl_call(c, RPC_ROLE_GET, &req.base, CTL_NO_TIMEOUT, &role))
			return ctl_call_failed(c, EXIT_ERROR, "", "");
		code = role_print(c, user->roles[i], role);
	}
	return code;
}

RUN(user_get)
{
	struct ctl *c = cli->user;
	Etcdserverpb__AuthUserGetRequest req = ETCDSERVERPB__AUTH_USER_GET_REQUEST__INIT;
	Etcdserverpb__AuthUserGetResponse *resp;
	bool done;
	int code;

	if (c->arg_count != 1)
		return ctl_fail(EXIT_ARGS, "user get command requires user name as its argument");
	code = ctl_connect(c);
	if (code)
		return code;
	req.name = (char *)c->args[0];
	if (!ctl_call(c, RPC_USER_GET, &req.base, CTL_NO_TIMEOUT, &resp))
		return ctl_call_failed(c, EXIT_ERROR, "", "");
	if (c->o.detail)
		return print_detail(c, resp);
	if (c->format == OUT_FIELDS)
		return out_unsupported("fields");
	code = out_plain(c, &resp->base, NULL, &done);
	if (done)
		return code;
	put(c, "User: %s\nRoles:", c->args[0]);
	for (size_t i = 0; i < resp->n_roles; i++)
		put(c, " %s", resp->roles[i]);
	put(c, "\n");
	return EXIT_OK;
}
