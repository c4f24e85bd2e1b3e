/* Private to src/auth. A user or role is its encoded row plus pointers into it: a change encodes a new row and reads that. */
#ifndef AUTH_IMPL_H
#define AUTH_IMPL_H

#include <stdatomic.h>

#include "auth/auth.h"
#include "base/blob.h"
#include "pb/wire.h"

enum { AUTH_ROW_MAX = 1 << 30 };

#define AUTH_ROOT SLICE_LIT("root")

/* [begin, end); end empty: no end. */
struct auth_range {
	struct slice begin;
	struct slice end;
};

/* One permission in upstream's tree. */
struct range_node {
	struct auth_range range;
	struct slice max;       /* greatest end below and here */
	uint32_t left, right, parent;
	bool red;
};

/* Merged: disjoint, not even touching, ascending. And each one by itself, in the tree. One allocation: merged, nodes, bytes. */
struct auth_ranges {
	struct auth_range *at;
	size_t count;
	struct range_node *nodes;       /* from 1 */
	uint32_t root;
};

/* authpb.Permission as stored. unknown: fields that this version does not know, kept as upstream keeps them. */
struct role_permission {
	struct auth_permission perm;
	struct slice unknown;
};

struct auth_role {
	struct blob *row;
	struct slice name;
	struct role_permission *perms;
	size_t perm_count;
	struct slice unknown;
};

struct user_fields {
	struct slice name;
	struct slice password;
	const struct slice *roles;
	size_t role_count;
	bool has_options;
	bool no_password;
	struct slice options_unknown;
	struct slice unknown;
};

struct auth_user {
	_Atomic uint32_t refs;
	bool is_root;
	struct blob *row;
	struct user_fields f; /* roles is owned, the rest points into row */
	struct auth_ranges ranges[2]; /* by enum auth_right */
};

struct auth {
	const struct store *store;
	struct auth_state state;
	size_t user_room;
	VEC(struct auth_role *) roles; /* ascending by name */
	struct auth_view *view;        /* of the present state; NULL: it changed */
};

struct auth_view {
	_Atomic uint32_t refs;
	struct auth_state state;
};

/* row.c: authpb.User and authpb.Role */
NODISCARD err_t user_new(struct slice row, struct auth_user **out); /* one ref, no ranges; ERR_CORRUPT_FILE */
void user_unref(struct auth_user *u);
void user_encode(const struct user_fields *f, struct buf *out);
NODISCARD err_t options_parse(struct slice s, bool *no_password, struct buf *unknown);
NODISCARD err_t role_new(struct slice row, struct auth_role **out);
void role_free(struct auth_role *r);
/* As the Role message with these permissions. */
void role_encode(struct slice name, const struct role_permission *perms, size_t count, struct slice unknown, struct buf *out);
void permission_encode(const struct role_permission *p, uint32_t number, struct buf *out);

/* store.c */
void auth_report(const struct auth_state *s, const struct auth_event *e);
/* First with name >= name; *found: it is that one. */
size_t auth_user_at(const struct auth_state *s, struct slice name, bool *found);
const struct auth_user *auth_user_find(const struct auth_state *s, struct slice name);
size_t auth_role_at(const struct auth *a, struct slice name, bool *found);
struct auth_role *auth_role_find(const struct auth *a, struct slice name);
/* Writes the row, puts the user in the place of the one with its name, merges its ranges. */
void auth_user_put(struct auth *a, const struct user_fields *f);
void auth_role_put(struct auth *a, struct slice name, const struct role_permission *perms, size_t count, struct slice unknown);
void auth_changed(struct auth *a); /* a view of before is no longer the present one */
void auth_commit_revision(struct auth *a);

/* users.c */
/* If it has it. The revision is the caller's. */
void user_drop_role(struct auth *a, const struct auth_user *u, struct slice role);

/* check.c */
bool user_has_role(const struct auth_user *u, struct slice role);

/* merge.c */
void ranges_merge(const struct auth *a, struct auth_user *u);
void ranges_fini(struct auth_ranges *r);
bool ranges_cover(const struct auth_ranges *r, struct slice key, struct slice range_end);
bool range_end_is_open(struct slice range_end);
/* Ends, where empty is the greatest. */
int range_end_cmp(struct slice a, struct slice b);

/* tree.c */
/* Nodes 1 to count are inserted in this order, with their ranges set and the rest zero; returns the root. */
uint32_t range_tree_build(struct range_node *n, size_t count);
bool range_tree_contains(const struct range_node *n, uint32_t root, struct slice key, struct slice end);

/* sort.c */
/* The order in which Go's sort.Sort leaves them: by key, equal keys wherever its swaps put them. */
void permissions_sort(struct role_permission *p, size_t count);

#endif
