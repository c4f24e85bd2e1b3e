/* The watches of one etcdctl watch: one from the command line, or several from lines of stdin. Responses are queued by
 * the client's callbacks and printed by watching_drain, so that a command may run for each event while others arrive.
 */
#ifndef CTL_WATCHING_H
#define CTL_WATCHING_H

#include "base/list.h"
#include "ctl/ctl_impl.h"

struct watcher {
	struct watching *all;
	struct client_watch *watch;
	const char **exec; /* NULL: nothing to run */
	size_t exec_count;
	struct buf cancellation; /* the response that says so */
	bool over;
};

struct watching {
	struct ctl *c;
	VEC(struct watcher *) watchers;
	struct list queue;
	size_t queued; /* when it is long the watches are paused */
	bool news;     /* something is queued, or came from stdin */
	struct arena arena;
	uv_poll_t *poll; /* of stdin; NULL: it is a file */
	struct buf input;
	bool input_ended;
};

/* Prints what is queued. 0 or exit code. */
int watching_drain(struct watching *all);
/* One more watch, with the flags of c->o. EXIT_ARGS: why has the reason, nothing is printed. */
int watching_begin(struct watching *all, const char *const *args, size_t count, const char **exec, size_t exec_count,
		   const char **why);
/* Operands of a watch, from the words of its line: what is before "--", or the variables in its place, and the command
 * behind it. operands: those of the parser, in which "--" is gone; watch has room for as many and two more. Result as
 * above. */
int watch_operands(struct ctl *c, const char *const *raw, size_t raw_count, const char *const *operands,
		   size_t operand_count, const char **watch, size_t *watch_count, const char ***exec,
		   size_t *exec_count, const char **why);
/* Runs the lines of stdin to its end; the exit code (watch_lines.c). */
int watching_lines(struct watching *all);

#endif
