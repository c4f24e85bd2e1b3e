/* Users, roles, permissions: who may read and write which keys. Replicated through the log, kept in the buckets auth,
 * authUsers and authRoles with upstream's bytes. Pure; no clock, no randomness.
 *
 *	a = auth_new(&store);  auth_load(a, bucket, key, value) for each row;  auth_loaded(a)
 *	auth_user_add(a, …)  auth_role_grant(a, …)  auth_enable(a)  …       applied entries, core
 *	auth_check_range(auth_state(a), &id, key, end, AUTH_WRITE)          core, at apply
 *	v = auth_view(a);  …publish…;  auth_view_unref(v)                   a snapshot for readers
 *	auth_check_range(auth_view_state(v), &id, key, end, AUTH_READ)      any thread that holds it
 *
 * Threads: struct auth is core's. A view and all that hangs on its state never change; whoever holds a count or is inside the
 * epoch of the publication that does reads it without a lock.
 * Costs: a check is two binary searches (user, merged ranges of that user) and allocates nothing; a change of a role merges anew
 * the ranges of its holders only; the first view after a change copies one pointer a user.
 * A request that fails changes nothing, no row, not the auth revision. Errors are the rows of err_rows.h that clients see.
 * What upstream has a line of its log for is reported as an event; this module logs nothing.
 * Source of the rules: etcd v3.7.1, server/auth. */
#ifndef AUTH_AUTH_H
#define AUTH_AUTH_H

#include "backend/store.h"
#include "base/buf.h"
#include "pb/rpc.h"

struct auth;
struct auth_view;
struct auth_user;

/* Who asks: from a token, a certificate or a log entry's header. No user: {}. */
struct auth_id {
	struct slice user;
	uint64_t revision; /* auth revision the right is claimed for; 0: nobody */
};

/* What happened, with what is said of it. */
enum auth_event_kind {
	AUTH_ENABLED,
	AUTH_ENABLED_ALREADY,
	AUTH_DISABLED,
	AUTH_USER_ADDED,                /* user */
	AUTH_USER_DELETED,              /* user, roles */
	AUTH_USER_PASSWORD_CHANGED,     /* user, roles */
	AUTH_USER_GRANTED,              /* user, roles it has now, role */
	AUTH_USER_GRANTED_ALREADY,      /* user, roles, role */
	AUTH_USER_REVOKED,              /* user, roles it had, role */
	AUTH_ROLE_ADDED,                /* role */
	AUTH_ROLE_DELETED,              /* role */
	AUTH_ROLE_GRANTED,              /* role, key, range_end, permission */
	AUTH_ROLE_REVOKED,              /* role, key, range_end */
	AUTH_ROOT_DELETE_REFUSED,       /* user */
	AUTH_ROOT_REVOKE_REFUSED,       /* user, role */
	AUTH_ROOT_ROLE_DELETE_REFUSED,  /* role */
	AUTH_CHECK_REVISION_OLD,        /* key, revision, asked_revision */
	AUTH_CHECK_USER_UNKNOWN,        /* user */
	AUTH_HAS_ROLE_USER_UNKNOWN,     /* user, role */
};

struct auth_event {
	enum auth_event_kind kind;
	struct slice user, role, key, range_end;
	const struct slice *roles;
	size_t role_count;
	int32_t permission;
	uint64_t revision, asked_revision;
};

/* Called by whoever changes or asks, on its thread; what e points to is valid during the call. */
typedef void auth_trace_fn(const struct auth_event *e);

/* What checks look at. */
struct auth_state {
	auth_trace_fn *trace; /* NULL: nobody listens */
	bool enabled;
	uint64_t revision;
	struct auth_user **users; /* ascending by name */
	size_t user_count;
};

enum auth_right { AUTH_READ, AUTH_WRITE };

/* ---- life: core ---- */

/* store must outlive it. */
struct auth *auth_new(const struct store *store);
/* From now on events go there. */
void auth_set_trace(struct auth *a, auth_trace_fn *trace);
void auth_free(struct auth *a); /* NULL allowed; views live on */
/* Forgets everything, before loading again after a snapshot. */
void auth_clear(struct auth *a);
/* One row of BUCKET_AUTH, BUCKET_AUTH_USERS or BUCKET_AUTH_ROLES, in any order. ERR_CORRUPT_FILE. */
NODISCARD err_t auth_load(struct auth *a, enum backend_bucket b, struct slice key, struct slice value);
/* After the last row. Without a revision in the file it becomes 1, and that is written. */
void auth_loaded(struct auth *a);

/* Valid until the next change. */
const struct auth_state *auth_state(const struct auth *a);
/* Counted, the caller's; the same one as long as nothing changed. */
struct auth_view *auth_view(struct auth *a);
struct auth_view *auth_view_ref(struct auth_view *v);
void auth_view_unref(struct auth_view *v); /* any thread; NULL allowed */
const struct auth_state *auth_view_state(const struct auth_view *v);

/* ---- applied entries: core ---- */

/* ERR_ROOT_USER_NOT_EXIST, ERR_ROOT_ROLE_NOT_EXIST. Enabled before: OK, nothing happens. */
NODISCARD err_t auth_enable(struct auth *a);
/* False: it was off. */
bool auth_disable(struct auth *a);

/* options: the encoded authpb.UserAddOptions, empty if there is none. hash: bcrypt text; not looked at for a user without password.
 * ERR_USER_EMPTY, ERR_USER_ALREADY_EXIST, ERR_NO_PASSWORD_USER; ERR_MALFORMED: options do not parse. */
struct auth_new_user {
	struct slice name;
	struct slice hash;
	struct slice options;
	bool hash_bad; /* what the log entry has is no base64: ERR_NO_PASSWORD_USER, if the hash is needed */
};
NODISCARD err_t auth_user_add(struct auth *a, const struct auth_new_user *u);
/* Does an encoded UserAddOptions say no_password? ERR_MALFORMED. */
NODISCARD err_t auth_options_no_password(struct slice options, bool *out);
/* ERR_INVALID_AUTH_MGMT (root, while enabled), ERR_USER_NOT_FOUND. */
NODISCARD err_t auth_user_delete(struct auth *a, struct slice name);
/* ERR_USER_NOT_FOUND, ERR_NO_PASSWORD_USER (hash_bad). Of a user without password: nothing but the revision changes. */
NODISCARD err_t auth_user_change_password(struct auth *a, struct slice name, struct slice hash, bool hash_bad);
/* ERR_USER_NOT_FOUND, ERR_ROLE_NOT_FOUND (role root need not exist). Held already: OK, nothing changes. */
NODISCARD err_t auth_user_grant(struct auth *a, struct slice user, struct slice role);
/* ERR_INVALID_AUTH_MGMT (root of root, while enabled), ERR_USER_NOT_FOUND, ERR_ROLE_NOT_GRANTED. */
NODISCARD err_t auth_user_revoke(struct auth *a, struct slice user, struct slice role);

struct auth_permission {
	int32_t type; /* 0 read, 1 write, 2 both; other numbers are kept and give no right */
	struct slice key;
	struct slice range_end; /* empty: key alone; one zero byte: no end */
};
/* ERR_ROLE_EMPTY, ERR_ROLE_ALREADY_EXIST. */
NODISCARD err_t auth_role_add(struct auth *a, struct slice name);
/* ERR_INVALID_AUTH_MGMT (root, while enabled), ERR_ROLE_NOT_FOUND. Its holders lose it. */
NODISCARD err_t auth_role_delete(struct auth *a, struct slice name);
/* perm NULL: ERR_PERMISSION_NOT_GIVEN. ERR_INVALID_AUTH_MGMT (key empty, or end not above it), ERR_ROLE_NOT_FOUND. */
NODISCARD err_t auth_role_grant(struct auth *a, struct slice role, const struct auth_permission *perm);
/* ERR_ROLE_NOT_FOUND, ERR_PERMISSION_NOT_GRANTED. */
NODISCARD err_t auth_role_revoke(struct auth *a, struct slice role, struct slice key, struct slice range_end);

/* ---- questions: the answer's fields behind the header are appended to out; out NULL: the error only ---- */

NODISCARD err_t auth_user_get(const struct auth *a, struct slice name, struct buf *out); /* ERR_USER_NOT_FOUND */
NODISCARD err_t auth_role_get(const struct auth *a, struct slice name, struct buf *out); /* ERR_ROLE_NOT_FOUND */
void auth_user_list(const struct auth *a, struct buf *out);
void auth_role_list(const struct auth *a, struct buf *out);

/* ---- checks: on core's state or on a view's. Auth off: all OK ---- */

/* ERR_USER_EMPTY, ERR_USER_NOT_FOUND, ERR_PERMISSION_DENIED. The revision is not looked at. */
NODISCARD err_t auth_check_admin(const struct auth_state *s, const struct auth_id *id);
/* Any user at all: ERR_USER_EMPTY. */
NODISCARD err_t auth_check_user(const struct auth_state *s, const struct auth_id *id);
/* [key, range_end): empty end = key alone, one zero byte = all from key. ERR_USER_EMPTY, ERR_AUTH_OLD_REVISION,
 * ERR_PERMISSION_DENIED. */
NODISCARD err_t auth_check_range(const struct auth_state *s, const struct auth_id *id, struct slice key, struct slice range_end,
				 enum auth_right right);
bool auth_has_role(const struct auth_state *s, struct slice user, struct slice role);

/* The lessor, as far as checks need it; count 0 for an unknown lease. */
struct auth_leases {
	void *arg;
	size_t (*count)(void *arg, int64_t lease);
	struct slice (*at)(void *arg, int64_t lease, size_t i);
};
/* The right on every key attached to the lease; holders of role root have it. */
NODISCARD err_t auth_check_lease(const struct auth_state *s, const struct auth_id *id, const struct auth_leases *l, int64_t lease,
				 enum auth_right right);
NODISCARD err_t auth_check_put(const struct auth_state *s, const struct auth_id *id, const struct auth_leases *l,
			       const struct put_req *r);
NODISCARD err_t auth_check_delete(const struct auth_state *s, const struct auth_id *id, const struct delete_req *r);
/* Every compare and operation of both branches, nested ones too. l may be NULL for a txn that only reads. */
NODISCARD err_t auth_check_txn(const struct auth_state *s, const struct auth_id *id, const struct auth_leases *l,
			       const struct txn_req *r);

/* What a password is to be compared with (auth/password.h), borrowed from s. ERR_AUTH_NOT_ENABLED, ERR_AUTH_FAILED (no such
 * user), ERR_NO_PASSWORD_USER. */
NODISCARD err_t auth_password_of(const struct auth_state *s, struct slice user, struct slice *hash);
/* Could the user be given a token now (an applied Authenticate)? ERR_AUTH_NOT_ENABLED, ERR_AUTH_FAILED. */
NODISCARD err_t auth_check_login(const struct auth_state *s, struct slice user);

/* Order, counts, merged ranges. Deep; core. */
void auth_check(const struct auth *a);

#endif
