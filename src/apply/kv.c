#include "apply/apply_impl.h"
#include "base/bug.h"

bool apply_over_quota(const struct apply *a, uint64_t cost)
{
	return a->quota_bytes > 0 && cost > 0 && a->size_bytes(a->size_arg) + cost >= (uint64_t)a->quota_bytes;
}

void apply_header(struct apply_in *in)
{
	struct response_header h = {in->a->cluster_id, in->a->member_id, mvcc_revision(in->a->mvcc), in->a->term};

	if (in->resp)
		response_header_encode(&h, 1, in->resp);
}

static const struct auth_state *who_may(const struct apply_in *in)
{
	static const struct auth_state open;

	if (BUG(RIGHT_UNASKED))
		return &open;
	return auth_state(in->a->auth);
}

err_t apply_put(struct apply_in *in)
{
	struct auth_leases leases = apply_auth_leases(in->a->lessor);
	struct put_req r;
	bool over;
	err_t err = put_req_parse(in->body, &r);

	if (err)
		return ERR_MALFORMED;
	if (alarm_present(in->a->alarms, ALARM_NOSPACE))
		return ERR_NO_SPACE;
	err = auth_check_put(who_may(in), &in->id, &leases, &r);
	if (err)
		return err;
	over = apply_over_quota(in->a, mvcc_put_cost(&r));
	err = mvcc_put(in->a->mvcc, &r, in->resp, &in->out->events);
	apply_header(in);
	if (over) {
		in->out->effects |= APPLY_OVER_QUOTA;
		return err ? err : ERR_NO_SPACE;
	}
	return err;
}

err_t apply_delete_range(struct apply_in *in)
{
	struct delete_req r;
	err_t err;

	if (delete_req_parse(in->body, &r))
		return ERR_MALFORMED;
	err = auth_check_delete(who_may(in), &in->id, &r);
	if (err)
		return err;
	mvcc_delete_range(in->a->mvcc, &r, in->resp, &in->out->events);
	apply_header(in);
	in->out->effects |= APPLY_DELETED;
	return OK;
}

err_t apply_txn(struct apply_in *in)
{
	struct auth_leases leases = apply_auth_leases(in->a->lessor);
	struct txn_req r;
	uint64_t cost;
	bool over;
	err_t err = txn_req_parse(&in->a->arena, in->body, &r);

	if (err)
		return ERR_MALFORMED;
	cost = mvcc_txn_cost(&r);
	if (cost && alarm_present(in->a->alarms, ALARM_NOSPACE))
		return ERR_NO_SPACE;
	err = auth_check_txn(who_may(in), &in->id, &leases, &r);
	if (err)
		return err;
	over = apply_over_quota(in->a, cost);
	err = mvcc_txn(in->a->mvcc, &r, in->resp, &in->out->events);
	apply_header(in);
	if (over) {
		in->out->effects |= APPLY_OVER_QUOTA;
		return err ? err : ERR_NO_SPACE;
	}
	return err;
}

err_t apply_compaction(struct apply_in *in)
{
	struct compact_req r;
	err_t err;

	if (compact_req_parse(in->body, &r))
		return ERR_MALFORMED;
	err = mvcc_compact(in->a->mvcc, r.revision);
	if (err)
		return err;
	apply_header(in);
	in->out->effects |= APPLY_COMPACT;
	in->out->compact_rev = r.revision;
	return OK;
}
