/* Private to src/apply: one function per kind of request. */
#ifndef APPLY_APPLY_IMPL_H
#define APPLY_APPLY_IMPL_H

#include "apply/apply.h"

struct apply_in {
	struct apply *a;
	struct slice body;              /* the encoded request */
	struct buf *resp;               /* NULL: nobody waits */
	struct apply_out *out;
	struct auth_id id;              /* who asks, from the entry's header */
	uint64_t id_number;             /* of the request */
	uint64_t index;                 /* of the entry */
};

/* Returns the request's error, for the waiter; ERR_MALFORMED: it does not parse, the member stops. */
typedef err_t apply_fn(struct apply_in *in);

apply_fn apply_put, apply_delete_range, apply_txn, apply_compaction;
apply_fn apply_lease_grant, apply_lease_revoke, apply_lease_checkpoint;
apply_fn apply_alarm;
apply_fn apply_auth_enable, apply_auth_disable, apply_auth_status, apply_authenticate;
apply_fn apply_user_add, apply_user_delete, apply_user_change_password, apply_user_get, apply_user_list, apply_user_grant, apply_user_revoke;
apply_fn apply_role_add, apply_role_delete, apply_role_get, apply_role_list, apply_role_grant, apply_role_revoke;

/* Also when the entry is not applied in full: memory first, rows only if full. */
err_t apply_cluster_version(struct apply_in *in, bool full);
err_t apply_member_attr(struct apply_in *in, bool full);
err_t apply_downgrade_info(struct apply_in *in, bool full);

/* The answer's header, as the last field: its revision is known only after the work, and protobuf does not mind. */
void apply_header(struct apply_in *in);

/* The cluster version is set and not below. */
bool apply_cluster_version_at_least(const struct apply *a, uint32_t major, uint32_t minor);

/* True if the request would not fit: it is applied all the same, and answered with the error. */
bool apply_over_quota(const struct apply *a, uint64_t cost);

#endif
