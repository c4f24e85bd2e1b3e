/* Lines of the log for what src/auth reports, in upstream's words (etcd v3.7.1, server/auth/store.go). A name or key that is no text is
 * shown as far as it is. */
#include "node/node_impl.h"

enum { ROLES_SHOWN_MAX = 64, ROLE_SIZE_MAX = 256 };

/* Names as LOG_STRS wants them. */
struct names {
	const char *at[ROLES_SHOWN_MAX];
	size_t count;
	char text[ROLES_SHOWN_MAX][ROLE_SIZE_MAX];
};

/* without: left out, if it has a name. */
static void names_of(const struct auth_event *e, struct slice without, struct names *out)
{
	out->count = 0;
	for (size_t i = 0; i < e->role_count && out->count < ROLES_SHOWN_MAX; i++) {
		size_t size = MIN(e->roles[i].size, ROLE_SIZE_MAX - 1);
		char *text = out->text[out->count];

		if (slice_eq(e->roles[i], without))
			continue;
		memcpy(text, e->roles[i].data, size);
		text[size] = 0;
		out->at[out->count++] = text;
	}
}

static void user_event(const struct auth_event *e)
{
	struct names roles, left;

	names_of(e, (struct slice){0}, &roles);
	switch (e->kind) {
	case AUTH_USER_DELETED:
		LOG_INFO("deleted a user", LOG_SLICE("user-name", e->user), LOG_STRS("user-roles", roles.at, roles.count));
		break;
	case AUTH_USER_PASSWORD_CHANGED:
		LOG_INFO("changed a password of a user", LOG_SLICE("user-name", e->user), LOG_STRS("user-roles", roles.at, roles.count));
		break;
	case AUTH_USER_GRANTED:
		LOG_INFO("granted a role to a user", LOG_SLICE("user-name", e->user), LOG_STRS("user-roles", roles.at, roles.count),
			 LOG_SLICE("added-role-name", e->role));
		break;
	case AUTH_USER_GRANTED_ALREADY:
		LOG_WARN("ignored grant role request to a user", LOG_SLICE("user-name", e->user),
			 LOG_STRS("user-roles", roles.at, roles.count), LOG_SLICE("duplicate-role-name", e->role));
		break;
	case AUTH_USER_REVOKED:
		names_of(e, e->role, &left);
		LOG_INFO("revoked a role from a user", LOG_SLICE("user-name", e->user), LOG_STRS("old-user-roles", roles.at, roles.count),
			 LOG_STRS("new-user-roles", left.at, left.count), LOG_SLICE("revoked-role-name", e->role));
		break;
	default:
		UNREACHABLE();
	}
}

static const char *permission_name(int32_t type)
{
	static const char *const names[] = {"READ", "WRITE", "READWRITE"};

	return type >= 0 && (size_t)type < ARRAY_COUNT(names) ? names[type] : "";
}

/* Upstream's text says user where it has a role. */
static void role_event(const struct auth_event *e)
{
	switch (e->kind) {
	case AUTH_ROLE_ADDED:
		LOG_INFO("created a role", LOG_SLICE("role-name", e->role));
		break;
	case AUTH_ROLE_DELETED:
		LOG_INFO("deleted a role", LOG_SLICE("role-name", e->role));
		break;
	case AUTH_ROLE_GRANTED:
		LOG_INFO("granted/updated a permission to a user", LOG_SLICE("user-name", e->role),
			 LOG_STR("permission-name", permission_name(e->permission)), LOG_SLICE("key", e->key),
			 LOG_SLICE("range-end", e->range_end));
		break;
	case AUTH_ROLE_REVOKED:
		LOG_INFO("revoked a permission on range", LOG_SLICE("role-name", e->role), LOG_SLICE("key", e->key),
			 LOG_SLICE("range-end", e->range_end));
		break;
	default:
		UNREACHABLE();
	}
}

static void refusal(const struct auth_event *e)
{
	switch (e->kind) {
	case AUTH_ROOT_DELETE_REFUSED:
		LOG_ERROR("cannot delete 'root' user", LOG_SLICE("user-name", e->user));
		break;
	case AUTH_ROOT_REVOKE_REFUSED:
		LOG_ERROR("'root' user cannot revoke 'root' role", LOG_SLICE("user-name", e->user), LOG_SLICE("role-name", e->role));
		break;
	case AUTH_ROOT_ROLE_DELETE_REFUSED:
		LOG_ERROR("cannot delete 'root' role", LOG_SLICE("role-name", e->role));
		break;
	case AUTH_CHECK_REVISION_OLD:
		LOG_WARN("request auth revision is less than current node auth revision", LOG_UINT("current node auth revision", e->revision),
			 LOG_UINT("request auth revision", e->asked_revision), LOG_SLICE("request key", e->key),
			 LOG_STR("error", "auth: revision in header is old"));
		break;
	case AUTH_CHECK_USER_UNKNOWN:
		LOG_ERROR("cannot find a user for permission check", LOG_SLICE("user-name", e->user));
		break;
	case AUTH_HAS_ROLE_USER_UNKNOWN:
		LOG_WARN("'has-role' requested for non-existing user", LOG_SLICE("user-name", e->user), LOG_SLICE("role-name", e->role));
		break;
	default:
		UNREACHABLE();
	}
}

void node_auth_log(const struct auth_event *e)
{
	switch (e->kind) {
	case AUTH_ENABLED:
		LOG_INFO("enabled authentication");
		break;
	case AUTH_ENABLED_ALREADY:
		LOG_INFO("authentication is already enabled; ignored auth enable request");
		break;
	case AUTH_DISABLED:
		LOG_INFO("disabled authentication");
		break;
	case AUTH_USER_ADDED:
		LOG_INFO("added a user", LOG_SLICE("user-name", e->user));
		break;
	case AUTH_USER_DELETED:
	case AUTH_USER_PASSWORD_CHANGED:
	case AUTH_USER_GRANTED:
	case AUTH_USER_GRANTED_ALREADY:
	case AUTH_USER_REVOKED:
		user_event(e);
		break;
	case AUTH_ROLE_ADDED:
	case AUTH_ROLE_DELETED:
	case AUTH_ROLE_GRANTED:
	case AUTH_ROLE_REVOKED:
		role_event(e);
		break;
	case AUTH_ROOT_DELETE_REFUSED:
	case AUTH_ROOT_REVOKE_REFUSED:
	case AUTH_ROOT_ROLE_DELETE_REFUSED:
	case AUTH_CHECK_REVISION_OLD:
	case AUTH_CHECK_USER_UNKNOWN:
	case AUTH_HAS_ROLE_USER_UNKNOWN:
		refusal(e);
		break;
	}
}
