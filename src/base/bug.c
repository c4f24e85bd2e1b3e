#include "base/bug.h"

#include <string.h>

/* Global and mutable: set once by the simulator's main, in no build that anybody runs. */
enum bug bug_on;

static const struct {
	const char *name, *rule;
} rows[] = {
	{"NONE", "no bug"},
#define X(name, rule) {#name, rule},
	BUG_ROWS(X)
#undef X
};

bool bug_set(const char *name)
{
	for (unsigned i = 0; i < BUG__COUNT; i++)
		if (strcmp(rows[i].name, name) == 0) {
			bug_on = (enum bug)i;
			return true;
		}
	return false;
}

const char *bug_name(enum bug b)
{
	return rows[b].name;
}

const char *bug_rule(enum bug b)
{
	return rows[b].rule;
}
