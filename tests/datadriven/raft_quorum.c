/* Runs the transcripts of raft/quorum: what majorities agree on. Where the transcript prints one answer, the same
 * question is also put in other ways; a line appears only when those disagree. */
#include "lib/datadriven.h"
#include "raft/quorum.h"

enum { UNKNOWN = 0, VOTE_NO = 1, VOTE_YES = 2 };

/* What each id has acknowledged or voted; UNKNOWN: nothing. */
struct answers {
	struct ids ids;    /* in order of appearance in values, not sorted */
	uint64_t values[64];
};

struct question {
	struct ids cfg;
	struct ids cfgj;
	bool is_joint;
	struct answers answers;
};

static uint64_t answer_of(const struct answers *a, uint64_t id)
{
	for (size_t i = 0; i < a->ids.count; i++) {
		if (a->ids.at[i] == id)
			return a->values[i];
	}
	return UNKNOWN;
}

static bool acked(const void *ctx, uint64_t id, uint64_t *index)
{
	*index = answer_of(ctx, id);
	return *index != UNKNOWN;
}

static int voted(const void *ctx, uint64_t id)
{
	switch (answer_of(ctx, id)) {
	case VOTE_YES:
		return 1;
	case VOTE_NO:
		return 0;
	default:
		return -1;
	}
}

/* ---- reading the question ---- */

static void append_id(struct ids *list, uint64_t id)
{
	for (size_t i = 0; i < list->count; i++) {
		if (list->at[i] == id)
			return;
	}
	list->at = mem_realloc(list->at, (list->count + 1) * sizeof(*list->at));
	list->at[list->count++] = id;
}

static void parse_config(const struct dd_command *cmd, const char *key, struct ids *cfg, struct ids *order)
{
	const struct dd_arg *arg = dd_find_arg(cmd, key);

	for (size_t i = 0; arg && i < arg->value_count; i++) {
		if (strcmp(arg->values[i], "zero") == 0 || arg->values[i][0] == 0)
			continue;
		uint64_t id = dd_uint(cmd, arg->values[i]);
		ids_add(cfg, id);
		append_id(order, id);
	}
}

static uint64_t parse_answer(const struct dd_command *cmd, const char *text)
{
	if (strcmp(text, "_") == 0)
		return UNKNOWN;
	if (strcmp(text, "y") == 0)
		return VOTE_YES;
	if (strcmp(text, "n") == 0)
		return VOTE_NO;
	uint64_t index = dd_uint(cmd, text);
	if (index == 0)
		dd_bad_command(cmd, "0 is not an index");
	return index;
}

/* False: the number of answers does not fit. */
static bool parse_answers(const struct dd_command *cmd, const char *key, struct answers *a, struct buf *out)
{
	const struct dd_arg *arg = dd_find_arg(cmd, key);
	size_t count = 0;

	for (size_t i = 0; arg && i < arg->value_count; i++) {
		if (arg->values[i][0] == 0)
			continue;
		ASSERT(count < ARRAY_COUNT(a->values));
		a->values[count++] = parse_answer(cmd, arg->values[i]);
	}
	if (count == a->ids.count)
		return true;
	buf_printf(out, "error: mismatched input (explicit or _) for voters map[");
	for (size_t i = 0; i < a->ids.count; i++)
		buf_printf(out, "%s%llu:{}", i ? " " : "", (unsigned long long)a->ids.at[i]);
	buf_printf(out, "]: [");
	for (size_t i = 0; i < count; i++)
		buf_printf(out, "%s%llu", i ? " " : "", (unsigned long long)a->values[i]);
	buf_printf(out, "]");
	return false;
}

/* ---- committed ---- */

static void print_repeated(char c, size_t n, struct buf *out)
{
	while (n-- > 0)
		buf_put_byte(out, (uint8_t)c);
}

/* How many ids have a smaller index than this one: the length of its bar. */
static size_t bar_of(const struct answers *a, const struct ids *ids, uint64_t index)
{
	size_t n = 0;

	for (size_t i = 0; i < ids->count; i++)
		n += answer_of(a, ids->at[i]) < index;
	return n;
}

static void print_description(const struct ids *ids, const struct answers *a, struct buf *out)
{
	size_t n = ids->count;

	if (n == 0) {
		buf_printf(out, "<empty majority quorum>");
		return;
	}
	print_repeated(' ', n, out);
	buf_printf(out, "    idx\n");
	for (size_t i = 0; i < n; i++) {
		uint64_t index = answer_of(a, ids->at[i]);
		size_t bar = bar_of(a, ids, index);

		if (index == UNKNOWN) {
			buf_put_byte(out, '?');
			print_repeated(' ', n, out);
		} else {
			print_repeated('x', bar, out);
			buf_put_byte(out, '>');
			print_repeated(' ', n - bar, out);
		}
		buf_printf(out, " %5llu    (id=%llx)\n", (unsigned long long)index, (unsigned long long)ids->at[i]);
	}
}

static void print_index(uint64_t index, const char *tail, struct buf *out)
{
	if (index == UINT64_MAX)
		buf_printf(out, "∞%s", tail);
	else
		buf_printf(out, "%llu%s", (unsigned long long)index, tail);
}

/* The definition, counted out: the largest acknowledged index that a majority has reached. */
static uint64_t committed_by_counting(const struct ids *ids, const struct answers *a)
{
	uint64_t best = 0;

	if (ids->count == 0)
		return UINT64_MAX;
	for (size_t i = 0; i < ids->count; i++) {
		uint64_t index = answer_of(a, ids->at[i]);
		size_t reached = ids->count - bar_of(a, ids, index);

		if (index > best && reached > ids->count / 2)
			best = index;
	}
	return best;
}

/* Less from someone who is behind anyway changes nothing. */
static void check_overlays(const struct question *q, uint64_t index, struct buf *out)
{
	for (size_t i = 0; i < q->answers.ids.count; i++) {
		struct answers lowered = q->answers;
		uint64_t had = lowered.values[i];

		if (had == UNKNOWN || had >= index)
			continue;
		const uint64_t instead[] = {had - 1, 0};
		for (size_t k = 0; k < ARRAY_COUNT(instead); k++) {
			lowered.values[i] = instead[k];
			uint64_t got = raft_majority_committed(&q->cfg, acked, &lowered);
			if (got == index)
				continue;
			print_index(got, " <-- overlaying", out);
			buf_printf(out, " %llu->%llu", (unsigned long long)q->answers.ids.at[i],
				   (unsigned long long)instead[k]);
		}
	}
}

static void print_committed(const struct question *q, struct buf *out)
{
	static const struct ids empty;
	const struct answers *a = &q->answers;
	struct ids all = ids_union(&q->cfg, &q->cfgj);
	uint64_t index, other;

	print_description(&all, a, out);
	ids_fini(&all);
	if (q->is_joint) {
		index = raft_joint_committed(&q->cfg, &q->cfgj, acked, a);
		other = raft_joint_committed(&q->cfgj, &q->cfg, acked, a);
		if (other != index)
			print_index(other, " <-- via symmetry\n", out);
	} else {
		index = raft_majority_committed(&q->cfg, acked, a);
		other = committed_by_counting(&q->cfg, a);
		if (other != index)
			print_index(other, " <-- via alternative computation\n", out);
		other = raft_joint_committed(&q->cfg, &empty, acked, a);
		if (other != index)
			print_index(other, " <-- via zero-joint quorum\n", out);
		other = raft_joint_committed(&q->cfg, &q->cfg, acked, a);
		if (other != index)
			print_index(other, " <-- via self-joint quorum\n", out);
		check_overlays(q, index, out);
	}
	print_index(index, "\n", out);
}

/* ---- vote ---- */

static const char *vote_name(enum raft_vote_result v)
{
	switch (v) {
	case RAFT_VOTE_PENDING:
		return "VotePending";
	case RAFT_VOTE_LOST:
		return "VoteLost";
	case RAFT_VOTE_WON:
		return "VoteWon";
	}
	return "unknown";
}

static void print_vote(const struct question *q, struct buf *out)
{
	if (!q->is_joint) {
		buf_printf(out, "%s\n", vote_name(raft_majority_vote(&q->cfg, voted, &q->answers)));
		return;
	}
	enum raft_vote_result v = raft_joint_vote(&q->cfg, &q->cfgj, voted, &q->answers);
	enum raft_vote_result swapped = raft_joint_vote(&q->cfgj, &q->cfg, voted, &q->answers);
	if (swapped != v)
		buf_printf(out, "%s <-- via symmetry\n", vote_name(swapped));
	buf_printf(out, "%s\n", vote_name(v));
}

static void handle(void *ctx, const struct dd_command *cmd, struct buf *out)
{
	struct question q = {.is_joint = dd_find_arg(cmd, "cfgj") != NULL};
	bool is_vote = strcmp(cmd->name, "vote") == 0;

	if (!is_vote && strcmp(cmd->name, "committed") != 0)
		dd_bad_command(cmd, "unknown command %s", cmd->name);
	parse_config(cmd, "cfg", &q.cfg, &q.answers.ids);
	parse_config(cmd, "cfgj", &q.cfgj, &q.answers.ids);
	if (parse_answers(cmd, is_vote ? "votes" : "idx", &q.answers, out)) {
		if (is_vote)
			print_vote(&q, out);
		else
			print_committed(&q, out);
	}
	ids_fini(&q.cfg);
	ids_fini(&q.cfgj);
	ids_fini(&q.answers.ids);
}

int main(int argc, char **argv)
{
	return dd_main(argc, argv, &(struct dd_runner){.handle = handle});
}
