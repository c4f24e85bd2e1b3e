#include "conf_ops.h"

static bool parse_one(const char *word, size_t size, struct conf_ops *ops, struct buf *out)
{
	struct raft_conf_change_single change;
	char *end;

	if (size < 2) {
		buf_printf(out, "unknown token %.*s", (int)size, word);
		return false;
	}
	switch (word[0]) {
	case 'v':
		change.type = CONF_ADD_NODE;
		break;
	case 'l':
		change.type = CONF_ADD_LEARNER;
		break;
	case 'r':
		change.type = CONF_REMOVE_NODE;
		break;
	case 'u':
		change.type = CONF_UPDATE_NODE;
		break;
	default:
		buf_printf(out, "unknown input: %.*s", (int)size, word);
		return false;
	}
	change.node_id = strtoull(word + 1, &end, 10);
	ASSERT(end == word + size);
	VEC_PUSH(&ops->changes, change);
	return true;
}

bool conf_ops_parse(const char *text, struct conf_ops *ops, struct buf *out)
{
	*ops = (struct conf_ops){0};
	while (*text) {
		size_t size = strcspn(text, " ");

		if (!parse_one(text, size, ops, out)) {
			conf_ops_fini(ops);
			return false;
		}
		text += size;
		text += strspn(text, " ");
	}
	return true;
}

void conf_ops_fini(struct conf_ops *ops)
{
	VEC_FREE(&ops->changes);
}
