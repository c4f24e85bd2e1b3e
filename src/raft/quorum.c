/* What majorities agree on. A joint configuration agrees when both halves do (raft thesis, section 4.3). */
#include "raft/quorum.h"

#include "base/mem.h"

/* Enough for any sane cluster without touching the heap. */
enum { VOTERS_ON_STACK = 16 };

static void sort_ascending(uint64_t *at, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		uint64_t v = at[i];
		size_t j = i;

		for (; j > 0 && at[j - 1] > v; j--)
			at[j] = at[j - 1];
		at[j] = v;
	}
}

uint64_t raft_majority_committed(const struct ids *ids, raft_acked_fn *acked, const void *ctx)
{
	uint64_t stack[VOTERS_ON_STACK];
	size_t n = ids->count;

	if (n == 0)
		return UINT64_MAX;
	uint64_t *at = n <= VOTERS_ON_STACK ? stack : mem_alloc(n * sizeof(*at));
	for (size_t i = 0; i < n; i++) {
		uint64_t index = 0;

		at[i] = acked(ctx, ids->at[i], &index) ? index : 0;
	}
	sort_ascending(at, n);

	uint64_t committed = at[n - (n / 2 + 1)];
	if (at != stack)
		mem_free(at);
	return committed;
}

uint64_t raft_joint_committed(const struct ids *incoming, const struct ids *outgoing, raft_acked_fn *acked,
			      const void *ctx)
{
	uint64_t a = raft_majority_committed(incoming, acked, ctx);
	uint64_t b = raft_majority_committed(outgoing, acked, ctx);

	return MIN(a, b);
}

enum raft_vote_result raft_majority_vote(const struct ids *ids, raft_voted_fn *voted, const void *ctx)
{
	size_t quorum = ids->count / 2 + 1;
	size_t yes = 0, missing = 0;

	if (ids->count == 0)
		return RAFT_VOTE_WON;
	for (size_t i = 0; i < ids->count; i++) {
		int v = voted(ctx, ids->at[i]);

		yes += v > 0;
		missing += v < 0;
	}
	if (yes >= quorum)
		return RAFT_VOTE_WON;
	return yes + missing >= quorum ? RAFT_VOTE_PENDING : RAFT_VOTE_LOST;
}

enum raft_vote_result raft_joint_vote(const struct ids *incoming, const struct ids *outgoing,
				      raft_voted_fn *voted, const void *ctx)
{
	enum raft_vote_result a = raft_majority_vote(incoming, voted, ctx);
	enum raft_vote_result b = raft_majority_vote(outgoing, voted, ctx);

	if (a == b)
		return a;
	return a == RAFT_VOTE_LOST || b == RAFT_VOTE_LOST ? RAFT_VOTE_LOST : RAFT_VOTE_PENDING;
}
