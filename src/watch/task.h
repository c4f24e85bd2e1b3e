/* Private to src/watch: a scan of history for a group of watchers. */
#ifndef WATCH_TASK_H
#define WATCH_TASK_H

#include "watch/hub.h"

/* One watcher in a task. Copies, so that the worker touches nothing of core's; w is core's. */
struct watch_want {
	struct watcher *w; /* NULL: gone, or moved on */
	int64_t next;
	uint8_t filters;
	bool prev_kv;
	struct match_node *node; /* in the task's own index */
	struct list in_node;
	VEC(struct blob *) events;
};

struct watch_task {
	int64_t from;
	int64_t rev; /* of the hub when it was made */
	uint32_t revs_max;
	size_t bytes_max;

	struct match_index index;
	struct watch_want *wants;
	size_t want_count;

	/* worker */
	struct rev at;       /* rows up to here were taken */
	int64_t matched_rev; /* the last one with a match */
	uint32_t revs;
	size_t bytes;
	bool full;
	bool ended;
	bool corrupt;
	int64_t read_to; /* all events up to here were seen */
	int64_t view_rev;
};

#endif
