/* The pieces of --write-out=fields: one "Name" : value a line, text in Go's quotes. */
#include <inttypes.h>

#include "ctl/ctl_impl.h"

void fields_quoted(const char *name, struct slice value)
{
	struct buf b;

	buf_init(&b, SIZE_MAX / 2);
	text_quote(&b, value);
	printf("\"%s\" : %.*s\n", name, SLICE_ARG(buf_slice(&b)));
	buf_fini(&b);
}

/* With --hex: members and clusters as upstream's types.ID, leases in 16 digits. */
void fields_id(struct ctl *c, const char *name, uint64_t id, bool is_lease)
{
	if (!c->hex && is_lease)
		printf("\"%s\" : %" PRId64 "\n", name, (int64_t)id);
	else if (!c->hex)
		printf("\"%s\" : %" PRIu64 "\n", name, id);
	else
		printf(is_lease ? "\"%s\" : %016" PRIx64 "\n" : "\"%s\" : %" PRIx64 "\n", name, id);
}

void fields_header(struct ctl *c, const Etcdserverpb__ResponseHeader *h)
{
	static const Etcdserverpb__ResponseHeader none = ETCDSERVERPB__RESPONSE_HEADER__INIT;

	if (!h)
		h = &none;
	fields_id(c, "ClusterID", h->cluster_id, false);
	fields_id(c, "MemberID", h->member_id, false);
	if (h->revision > 0)
		printf("\"Revision\" : %" PRId64 "\n", h->revision);
	printf("\"RaftTerm\" : %" PRIu64 "\n", h->raft_term);
}

void fields_kv(struct ctl *c, const char *prefix, const Mvccpb__KeyValue *kv)
{
	fields_quoted(ctl_copy(c, "%sKey", prefix), pb_slice(kv->key));
	printf("\"%sCreateRevision\" : %" PRId64 "\n", prefix, kv->create_revision);
	printf("\"%sModRevision\" : %" PRId64 "\n", prefix, kv->mod_revision);
	printf("\"%sVersion\" : %" PRId64 "\n", prefix, kv->version);
	fields_quoted(ctl_copy(c, "%sValue", prefix), pb_slice(kv->value));
	fields_id(c, ctl_copy(c, "%sLease", prefix), (uint64_t)kv->lease, true);
}
