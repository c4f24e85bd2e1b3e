/* Cluster version and downgrade: two values of bucket cluster. */
#include <stdio.h>

#include "member/member_inl.h"

static const uint8_t *read_number(const uint8_t *at, const uint8_t *end, uint32_t *out)
{
	uint32_t v = 0;
	const uint8_t *begin = at;

	for (; at < end && *at >= '0' && *at <= '9'; at++)
		if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, (uint32_t)(*at - '0'), &v))
			return NULL;
	if (at == begin)
		return NULL;
	*out = v;
	return at;
}

err_t version_parse(struct slice text, struct version *out)
{
	struct version v = {0};
	const uint8_t *end = text.data + text.size;
	const uint8_t *at = read_number(text.data, end, &v.major);

	if (!at || at == end || *at != '.')
		return ERR_INVALID;
	at = read_number(at + 1, end, &v.minor);
	if (!at)
		return ERR_INVALID;
	if (at < end && *at == '.') {
		at = read_number(at + 1, end, &v.patch);
		if (!at)
			return ERR_INVALID;
		if (at < end && (*at == '-' || *at == '+'))
			at = end;
	}
	if (at != end)
		return ERR_INVALID;
	*out = v;
	return OK;
}

static void read_versions_field(struct json *j, struct member_versions *v, enum json_token *t)
{
	static const char *const names[] = {"etcdserver", "etcdcluster", "storage"};
	char *const texts[] = {v->server, v->cluster, v->storage};
	size_t which = 0;

	while (which < ARRAY_COUNT(names) && !slice_eq(buf_slice(&j->text), slice_str(names[which])))
		which++;
	*t = json_value(j);
	if (which < ARRAY_COUNT(names) && *t == JSON_STRING)
		snprintf(texts[which], sizeof(v->server), "%.*s", SLICE_ARG(buf_slice(&j->text)));
}

err_t member_versions_parse(struct slice s, struct member_versions *out)
{
	struct member_versions v = {0};
	enum json_token t;
	bool first = true;
	struct json j;
	err_t err = ERR_MALFORMED;

	if (s.size > MEMBER_JSON_BYTES_MAX)
		return ERR_MALFORMED;
	json_init(&j, s);
	if (json_value(&j) == JSON_OBJECT)
		while (json_name(&j, first, &err)) {
			first = false;
			read_versions_field(&j, &v, &t);
			err = json_skip(&j, t);
			if (err)
				break;
		}
	if (!err && !json_at_end(&j))
		err = ERR_MALFORMED;
	json_fini(&j);
	if (!err)
		*out = v;
	return err;
}

static int compare(uint32_t a, uint32_t b)
{
	return (a > b) - (a < b);
}

int version_cmp_minor(struct version a, struct version b)
{
	return a.major != b.major ? compare(a.major, b.major) : compare(a.minor, b.minor);
}

int version_cmp(struct version a, struct version b)
{
	int c = version_cmp_minor(a, b);

	return c ? c : compare(a.patch, b.patch);
}

const char *members_version(const struct members *ms)
{
	return ms->version;
}

err_t members_set_version(struct members *ms, struct slice text, struct version server, bool persist)
{
	struct version v;

	if (text.size >= sizeof(ms->version) || version_parse(text, &v))
		return ERR_INVALID;
	if (version_cmp_minor(v, server) > 0)
		return ERR_UNSUPPORTED;
	snprintf(ms->version, sizeof(ms->version), "%.*s", SLICE_ARG(text));
	if (persist && ms->store)
		store_put(ms->store, BUCKET_CLUSTER, SLICE_LIT("clusterVersion"), text);
	return OK;
}

const struct downgrade_info *members_downgrade(const struct members *ms)
{
	return &ms->downgrade;
}

err_t members_set_downgrade(struct members *ms, bool enabled, struct slice target, bool persist)
{
	struct downgrade_info d = {.enabled = enabled};
	struct buf b;

	if (target.size >= sizeof(d.target))
		return ERR_INVALID;
	if (enabled)
		snprintf(d.target, sizeof(d.target), "%.*s", SLICE_ARG(target));
	ms->downgrade = d;
	if (!persist || !ms->store)
		return OK;
	buf_init(&b, SIZE_MAX / 2);
	buf_printf(&b, "{\"target-version\":");
	json_put_string(&b, d.target);
	buf_printf(&b, ",\"enabled\":%s}", enabled ? "true" : "false");
	store_put(ms->store, BUCKET_CLUSTER, SLICE_LIT("downgrade"), buf_slice(&b));
	buf_fini(&b);
	return OK;
}
