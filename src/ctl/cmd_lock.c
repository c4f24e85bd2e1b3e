/* lock: the turn at a name, held until a signal or while a command runs. */
#include <inttypes.h>

#include "ctl/mutex.h"

static int run_locked(struct turn *t)
{
	struct ctl *c = t->c;
	const char *variables[2], *why;
	int status, code;

	variables[0] = ctl_copy(c, "ETCD_LOCK_KEY=%.*s", SLICE_ARG(t->key));
	variables[1] = ctl_copy(c, "ETCD_LOCK_REV=%" PRId64, t->got_revision);
	status = run_child(c, c->args + 1, c->arg_count - 1, variables, ARRAY_COUNT(variables), &why);
	code = turn_leave(t);
	return why ? ctl_fail(status, "%s", why) : code;
}

static int hold(struct turn *t)
{
	int code = turn_print(t, "lock lost on init");

	if (code)
		return code;
	return turn_hold(t) ? turn_leave(t) : ctl_fail(EXIT_ERROR, "session expired");
}

RUN(lock)
{
	struct ctl *c = cli->user;
	struct turn t;
	int code;

	if (!c->arg_count)
		return ctl_fail(EXIT_ARGS, "lock takes a lock name argument and an optional command to execute");
	code = ctl_connect(c);
	if (!code)
		code = turn_begin(&t, c, c->args[0], "", c->o.ttl);
	if (code)
		return code;
	code = turn_wait(&t);
	if (!code)
		code = c->arg_count > 1 ? run_locked(&t) : hold(&t);
	turn_end(&t);
	return code;
}
