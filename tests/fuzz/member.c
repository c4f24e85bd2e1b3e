/* JSON of members: ConfChange contexts from the log, GET /members of others, rows. What was read and written is read
 * again as the same. */
#include "fuzz.h"
#include "member/member.h"

static void again(const struct member_context *c)
{
	struct member_context copy;
	struct buf first, second;

	buf_init(&first, 1 << 24);
	buf_init(&second, 1 << 24);
	member_context_write(c, &first);
	if (first.size <= MEMBER_JSON_BYTES_MAX) {
		ASSERT(!member_context_parse(buf_slice(&first), &copy));
		member_context_write(&copy, &second);
		ASSERT(slice_eq(buf_slice(&first), buf_slice(&second)));
		member_fini(&copy.member);
	}
	buf_fini(&first);
	buf_fini(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice s = slice_of(data, size);
	struct member_context c;
	struct member *list;
	struct version v;
	struct members *ms = members_new(NULL, 1);
	struct member_urls urls = {0};
	size_t count;

	if (!member_context_parse(s, &c)) {
		again(&c);
		if (c.member.id && !members_check(ms, MEMBER_ADD, c.member.id, &c))
			members_apply(ms, MEMBER_ADD, c.member.id, &c);
		members_check_invariants(ms);
		member_fini(&c.member);
	}
	if (!member_json_parse_list(s, &list, &count)) {
		for (size_t i = 0; i < count; i++)
			member_fini(&list[i]);
		mem_free(list);
	}
	if (!version_parse(s, &v))
		ASSERT(version_cmp(v, v) == 0);
	if (members_load(ms, BUCKET_CLUSTER, SLICE_LIT("downgrade"), s))
		ASSERT(!members_downgrade(ms)->enabled);
	if (!size || !memchr(data, 0, size)) {
		member_urls_split(&urls, s);
		if (!member_urls_check(&urls, NULL))
			ASSERT(member_id_compute(&urls, SLICE_LIT("token")) ==
			       member_id_compute(&urls, SLICE_LIT("token")));
		member_urls_clear(&urls);
	}
	members_free(ms);
	return 0;
}
