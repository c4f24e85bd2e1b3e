/* Requests about the cluster itself. They change memory also when replayed, rows only when applied in full. Field numbers:
 * membershippb (etcd v3.7.1). */
#include "apply/apply_impl.h"

static const struct version server_version = {3, 7, 0};

bool apply_cluster_version_at_least(const struct apply *a, uint32_t major, uint32_t minor)
{
	struct version v;

	if (version_parse(slice_str(members_version(a->members)), &v))
		return false;
	return version_cmp_minor(v, (struct version){major, minor, 0}) >= 0;
}

err_t apply_cluster_version(struct apply_in *in, bool full)
{
	struct pb_reader r = pb_reader_of(in->body);
	struct pb_field f;
	struct slice version = {0};

	while (pb_next(&r, &f))
		if (f.number == 1 && f.wire == PB_BYTES)
			version = f.bytes;
	if (r.failed || members_set_version(in->a->members, version, server_version, full))
		return ERR_MALFORMED;
	in->out->effects |= APPLY_CLUSTER_VERSION;
	apply_header(in);
	return OK;
}

/* ClusterMemberAttrSetRequest {member_ID 1, member_attributes 2 {name 1, client_urls 2}} */
err_t apply_member_attr(struct apply_in *in, bool full)
{
	struct pb_reader r = pb_reader_of(in->body);
	struct pb_field f;
	struct slice attributes = {0}, name = {0};
	struct member_urls urls = {0};
	uint64_t id = 0;
	err_t err = OK;

	while (pb_next(&r, &f)) {
		if (f.number == 1 && f.wire == PB_VARINT)
			id = f.value;
		else if (f.number == 2 && f.wire == PB_BYTES)
			attributes = f.bytes;
	}
	if (r.failed)
		return ERR_MALFORMED;
	r = pb_reader_of(attributes);
	while (pb_next(&r, &f)) {
		if (f.number == 1 && f.wire == PB_BYTES)
			name = f.bytes;
		else if (f.number == 2 && f.wire == PB_BYTES)
			member_urls_add(&urls, f.bytes);
	}
	if (r.failed || members_set_attributes(in->a->members, id, name, &urls, full))
		err = ERR_MALFORMED;
	member_urls_clear(&urls);
	in->out->effects |= APPLY_MEMBERS;
	apply_header(in);
	return err;
}

err_t apply_downgrade_info(struct apply_in *in, bool full)
{
	struct pb_reader r = pb_reader_of(in->body);
	struct pb_field f;
	struct slice target = {0};
	bool enabled = false;

	while (pb_next(&r, &f)) {
		if (f.number == 1 && f.wire == PB_VARINT)
			enabled = f.value != 0;
		else if (f.number == 2 && f.wire == PB_BYTES)
			target = f.bytes;
	}
	if (r.failed || members_set_downgrade(in->a->members, enabled, target, full))
		return ERR_MALFORMED;
	in->out->effects |= APPLY_CLUSTER_VERSION;
	apply_header(in);
	return OK;
}
