/* The set of members and what is forever removed: sorted arrays, since there are a handful.
 *
 *	bucket members           key %x id      value JSON of the member
 *	bucket members_removed   key %x id      value "removed"
 *	bucket cluster           clusterVersion "3.7.0"; downgrade {"target-version":"3.6.0","enabled":true} */
#include "member/member_inl.h"

struct members *members_new(const struct store *store, uint32_t learners_max)
{
	struct members *ms = NEW(struct members);

	ms->store = store;
	ms->learners_max = learners_max;
	return ms;
}

void members_clear(struct members *ms)
{
	for (size_t i = 0; i < ms->list.count; i++) {
		member_fini(ms->list.at[i]);
		mem_free(ms->list.at[i]);
	}
	VEC_FREE(&ms->list);
	ids_fini(&ms->removed);
	ms->version[0] = 0;
	ms->downgrade = (struct downgrade_info){0};
}

void members_free(struct members *ms)
{
	if (!ms)
		return;
	members_clear(ms);
	mem_free(ms);
}

void members_set_store(struct members *ms, const struct store *store)
{
	ms->store = store;
}

size_t members_lower_bound(const struct members *ms, uint64_t id)
{
	size_t at = 0;

	while (at < ms->list.count && ms->list.at[at]->id < id)
		at++;
	return at;
}

struct member *members_get(const struct members *ms, uint64_t id)
{
	size_t at = members_lower_bound(ms, id);

	return at < ms->list.count && ms->list.at[at]->id == id ? ms->list.at[at] : NULL;
}

void members_drop(struct members *ms, uint64_t id)
{
	size_t at = members_lower_bound(ms, id);

	if (at == ms->list.count || ms->list.at[at]->id != id)
		return;
	member_fini(ms->list.at[at]);
	mem_free(ms->list.at[at]);
	ms->list.count--;
	memmove(&ms->list.at[at], &ms->list.at[at + 1], (ms->list.count - at) * sizeof(*ms->list.at));
}

void members_put(struct members *ms, struct member *take_m)
{
	members_drop(ms, take_m->id);

	size_t at = members_lower_bound(ms, take_m->id);

	VEC_RESERVE(&ms->list, ms->list.count + 1);
	memmove(&ms->list.at[at + 1], &ms->list.at[at], (ms->list.count - at) * sizeof(*ms->list.at));
	ms->list.at[at] = take_m;
	ms->list.count++;
}

bool members_is_removed(const struct members *ms, uint64_t id)
{
	return ids_has(&ms->removed, id);
}

size_t members_count(const struct members *ms)
{
	return ms->list.count;
}

size_t members_learner_count(const struct members *ms)
{
	size_t n = 0;

	for (size_t i = 0; i < ms->list.count; i++)
		n += ms->list.at[i]->is_learner;
	return n;
}

size_t members_voter_count(const struct members *ms)
{
	return ms->list.count - members_learner_count(ms);
}

const struct member *members_at(const struct members *ms, size_t i)
{
	ASSERT(i < ms->list.count);
	return ms->list.at[i];
}

const struct member *members_find(const struct members *ms, uint64_t id)
{
	return members_get(ms, id);
}

const struct member *members_find_name(const struct members *ms, const char *name)
{
	for (size_t i = 0; i < ms->list.count; i++)
		if (!strcmp(ms->list.at[i]->name, name))
			return ms->list.at[i];
	return NULL;
}

size_t members_removed_count(const struct members *ms)
{
	return ms->removed.count;
}

uint64_t members_removed_at(const struct members *ms, size_t i)
{
	ASSERT(i < ms->removed.count);
	return ms->removed.at[i];
}

uint64_t members_cluster_id(const struct members *ms)
{
	uint64_t *ids = NEW_ARRAY(uint64_t, ms->list.count + 1);

	for (size_t i = 0; i < ms->list.count; i++)
		ids[i] = ms->list.at[i]->id;

	uint64_t id = cluster_id_compute(ids, ms->list.count);

	mem_free(ids);
	return id;
}

/* ---- strict-reconfig-check: would a quorum of the new set have been started? ---- */

static size_t started_voters(const struct members *ms, uint64_t except, size_t *voters)
{
	size_t started = 0;

	*voters = 0;
	for (size_t i = 0; i < ms->list.count; i++) {
		const struct member *m = ms->list.at[i];

		if (m->is_learner || m->id == except)
			continue;
		++*voters;
		started += member_is_started(m);
	}
	return started;
}

bool members_may_add_voter(const struct members *ms)
{
	size_t voters, started = started_voters(ms, 0, &voters);

	/* a second member for a cluster of one, as after a restore */
	if (voters == 1 && started == 1)
		return true;
	return started >= (voters + 1) / 2 + 1;
}

bool members_may_remove(const struct members *ms, uint64_t id)
{
	const struct member *m = members_get(ms, id);
	size_t others, started = started_voters(ms, id, &others);

	if (m && m->is_learner)
		return true;
	return started >= others / 2 + 1;
}

bool members_may_promote(const struct members *ms, uint64_t id)
{
	size_t voters, started = started_voters(ms, 0, &voters);

	(void)id;
	return started + 1 >= (voters + 1) / 2 + 1;
}

void members_check_invariants(const struct members *ms)
{
	for (size_t i = 0; i < ms->list.count; i++) {
		ASSERT(ms->list.at[i]->id != 0);
		ASSERT(i == 0 || ms->list.at[i - 1]->id < ms->list.at[i]->id);
		ASSERT(!members_is_removed(ms, ms->list.at[i]->id));
	}
	for (size_t i = 1; i < ms->removed.count; i++)
		ASSERT(ms->removed.at[i - 1] < ms->removed.at[i]);
}
