/* The pieces of --write-out=fields that more than one command prints. */
#include <inttypes.h>

#include "ctl/ctl_impl.h"

/* With --hex: members and clusters without leading zeros, leases in 16 digits. */
void fields_id(struct ctl *c, const char *name, uint64_t id, bool is_lease)
{
	if (!c->o.hex && is_lease)
		out_field(&c->out, name, "%" PRId64, (int64_t)id);
	else if (!c->o.hex)
		out_field(&c->out, name, "%" PRIu64, id);
	else
		out_field(&c->out, name, is_lease ? "%016" PRIx64 : "%" PRIx64, id);
}

void fields_header(struct ctl *c, const Etcdserverpb__ResponseHeader *h)
{
	static const Etcdserverpb__ResponseHeader none = ETCDSERVERPB__RESPONSE_HEADER__INIT;

	if (!h)
		h = &none;
	fields_id(c, "ClusterID", h->cluster_id, false);
	fields_id(c, "MemberID", h->member_id, false);
	if (h->revision > 0)
		out_field(&c->out, "Revision", "%" PRId64, h->revision);
	out_field(&c->out, "RaftTerm", "%" PRIu64, h->raft_term);
}

void fields_kv(struct ctl *c, const char *prefix, const Mvccpb__KeyValue *kv)
{
	char name[32];

#define NAME(what) (snprintf(name, sizeof(name), "%s%s", prefix, what), name)
	out_field_quoted(&c->out, NAME("Key"), pb_slice(kv->key));
	out_field(&c->out, NAME("CreateRevision"), "%" PRId64, kv->create_revision);
	out_field(&c->out, NAME("ModRevision"), "%" PRId64, kv->mod_revision);
	out_field(&c->out, NAME("Version"), "%" PRId64, kv->version);
	out_field_quoted(&c->out, NAME("Value"), pb_slice(kv->value));
	fields_id(c, NAME("Lease"), (uint64_t)kv->lease, true);
#undef NAME
}
