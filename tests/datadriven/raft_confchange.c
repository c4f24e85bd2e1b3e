/* Runs the transcripts of raft/confchange: changes of a configuration, one after the other, without a raft. */
#include "conf_ops.h"
#include "lib/datadriven.h"
#include "raft/progress.h"

struct changer {
	struct raft_tracker tracker;
	uint64_t last_index;    /* one more with each command */
};

static void *changer_open(void)
{
	struct changer *c = NEW(struct changer);

	c->tracker.inflight_msgs_max = 10;
	return c;
}

static void changer_close(void *ctx)
{
	struct changer *c = ctx;

	raft_tracker_fini(&c->tracker);
	mem_free(c);
}

static void print_tracker(const struct raft_tracker *t, struct buf *out)
{
	raft_conf_print(&t->membership.conf, out);
	buf_put_byte(out, '\n');
	for (size_t i = 0; i < raft_tracker_count(t); i++) {
		buf_printf(out, "%llu: ", (unsigned long long)t->progress[i].id);
		raft_progress_print(&t->progress[i], out);
		buf_put_byte(out, '\n');
	}
}

static err_t change(struct changer *c, const struct dd_command *cmd, const struct conf_ops *ops, struct why *why,
		    struct raft_membership *next)
{
	const struct raft_membership *now = &c->tracker.membership;
	const struct dd_arg *auto_leave = dd_find_arg(cmd, "autoleave");

	if (strcmp(cmd->name, "simple") == 0)
		return raft_membership_simple(now, ops->changes.at, ops->changes.count, why, next);
	if (strcmp(cmd->name, "enter-joint") == 0)
		return raft_membership_enter_joint(now, auto_leave && dd_bool(cmd, auto_leave->values[0]), ops->changes.at,
						   ops->changes.count, why, next);
	if (strcmp(cmd->name, "leave-joint") != 0)
		dd_bad_command(cmd, "unknown command %s", cmd->name);
	if (ops->changes.count)
		return why_set(why, ERR_INVALID, "this command takes no input");
	return raft_membership_leave_joint(now, why, next);
}

static void changer_handle(void *ctx, const struct dd_command *cmd, struct buf *out)
{
	struct changer *c = ctx;
	struct raft_membership next = {0};
	struct why why = {0};
	struct conf_ops ops;

	if (conf_ops_parse(cmd->input, &ops, out)) {
		if (change(c, cmd, &ops, &why, &next) == OK) {
			raft_tracker_install(&c->tracker, &next, c->last_index);
			print_tracker(&c->tracker, out);
		} else {
			buf_printf(out, "%s\n", why.text);
		}
		conf_ops_fini(&ops);
	}
	c->last_index++;
}

int main(int argc, char **argv)
{
	return dd_main(argc, argv, &(struct dd_runner){changer_open, changer_close, changer_handle});
}
