/* Private to src/member. */
#ifndef MEMBER_MEMBER_INL_H
#define MEMBER_MEMBER_INL_H

#include "base/ids.h"
#include "member/json.h"
#include "member/member.h"

struct members {
	const struct store *store; /* NULL: rows go nowhere */
	uint32_t learners_max;
	VEC(struct member *) list; /* ascending by id */
	struct ids removed;
	char version[24];
	struct downgrade_info downgrade;
};

/* The fields without braces. _attributes: comma tells whether something stands in front; returns whether something does
 * now. */
void member_json_write_raft(const struct member *m, struct buf *out);
bool member_json_write_attributes(const struct member *m, bool comma, struct buf *out);

/* Position of the first id not below. */
size_t members_lower_bound(const struct members *ms, uint64_t id);
struct member *members_get(const struct members *ms, uint64_t id);
/* take_m is consumed; replaces one with the same id. */
void members_put(struct members *ms, struct member *take_m);
void members_drop(struct members *ms, uint64_t id);

#endif
