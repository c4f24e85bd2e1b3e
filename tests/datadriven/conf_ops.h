/* The notation of membership changes in transcripts: v1 adds a voter, l2 a learner, r3 removes, u4 updates. */
#ifndef TESTS_DATADRIVEN_CONF_OPS_H
#define TESTS_DATADRIVEN_CONF_OPS_H

#include "pb/raftpb.h"

struct conf_ops {
	VEC(struct raft_conf_change_single) changes;
};

/* False: out has the complaint. */
bool conf_ops_parse(const char *text, struct conf_ops *ops, struct buf *out);
void conf_ops_fini(struct conf_ops *ops);

#endif
