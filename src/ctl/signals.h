/* SIGINT and SIGTERM as the end of a wait, and child processes that run while the client goes on. */
#ifndef CTL_SIGNALS_H
#define CTL_SIGNALS_H

#include "ctl/ctl_impl.h"

/* From now on the two signals interrupt the waits of c->client (client_interrupt). */
struct signals {
	struct ctl *c;
	uv_signal_t *at[2];
	bool came;
	bool ignored;
};

void signals_begin(struct signals *s, struct ctl *c);
/* Waits go on as if none had come, and none that comes does anything: for cleaning up. */
void signals_ignore(struct signals *s);
void signals_end(struct signals *s);

/* Runs a command to its end, with these variables ("NAME=value") besides ours and /dev/null as stdin. The loop of
 * c->client goes on meanwhile. *why is Go's text for an end that was not good ("exit status 7", "signal: killed",
 * exec: "x": executable file not found in $PATH), in the arena; NULL else. Returns the exit status: 1 if it could not
 * be run, 255 after a signal. */
int run_child(struct ctl *c, const char *const *argv, size_t argc, const char *const *variables, size_t count,
	      const char **why);

#endif
