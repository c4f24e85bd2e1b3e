#include "apply/apply_impl.h"

#include <stdlib.h>

enum { LEASE_GRANT_COST = 64 };

err_t apply_lease_grant(struct apply_in *in)
{
	struct lease_grant_req r;
	int64_t ttl_s;
	bool over;
	err_t err;

	if (lease_grant_req_parse(in->body, &r))
		return ERR_MALFORMED;
	if (alarm_present(in->a->alarms, ALARM_NOSPACE))
		return ERR_NO_SPACE;
	over = apply_over_quota(in->a, LEASE_GRANT_COST);
	err = lease_grant(in->a->lessor, r.id, r.ttl, in->a->now_ns, &ttl_s);
	if (!err && in->resp) {
		pb_put_uint(in->resp, 2, (uint64_t)r.id);
		pb_put_uint(in->resp, 3, (uint64_t)ttl_s);
	}
	apply_header(in);
	in->out->effects |= APPLY_LEASES;
	if (over) {
		in->out->effects |= APPLY_OVER_QUOTA;
		return err ? err : ERR_NO_SPACE;
	}
	return err;
}

/* Upstream deletes the keys in the order of its sorted list of attached keys, then the row of the lease, in one backend
 * transaction; the write buffer keeps them together because core freezes between entries only. */
err_t apply_lease_revoke(struct apply_in *in)
{
	struct auth_leases leases = apply_auth_leases(in->a->lessor);
	struct lease_revoke_req r;
	struct lease_revoked gone;
	err_t err;

	if (lease_revoke_req_parse(in->body, &r))
		return ERR_MALFORMED;
	err = auth_check_lease(auth_state(in->a->auth), &in->id, &leases, r.id, AUTH_WRITE);
	if (!err)
		err = lease_revoke(in->a->lessor, r.id, &gone);
	if (err)
		return err;
	mvcc_delete_keys(in->a->mvcc, gone.keys, gone.count, &in->out->events);
	if (gone.count)
		in->out->effects |= APPLY_DELETED;
	lease_revoked_fini(&gone);
	apply_header(in);
	in->out->effects |= APPLY_LEASES;
	return OK;
}

static err_t one_checkpoint(struct apply_in *in, struct slice s, bool persist)
{
	struct pb_reader r = pb_reader_of(s);
	struct pb_field f;
	int64_t id = 0, remaining_s = 0;

	while (pb_next(&r, &f)) {
		if (f.number == 1 && f.wire == PB_VARINT)
			id = (int64_t)f.value;
		else if (f.number == 2 && f.wire == PB_VARINT)
			remaining_s = (int64_t)f.value;
	}
	if (r.failed)
		return ERR_MALFORMED;
	lease_checkpoint(in->a->lessor, id, remaining_s, persist, in->a->now_ns);
	return OK;
}

err_t apply_lease_checkpoint(struct apply_in *in)
{
	struct pb_reader r = pb_reader_of(in->body);
	struct pb_field f;
	bool persist = apply_cluster_version_at_least(in->a, 3, 6);

	while (pb_next(&r, &f))
		if (f.number == 1 && f.wire == PB_BYTES && one_checkpoint(in, f.bytes, persist))
			return ERR_MALFORMED;
	if (r.failed)
		return ERR_MALFORMED;
	apply_header(in);
	return OK;
}
