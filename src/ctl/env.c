/* ETCDCTL_* variables stand for the global flags. Not given on the line: the variable counts, a value that does not parse
 * is passed over. Given twice: upstream ends there, and so do we, for nobody can know which one was meant. */
#include <ctype.h>
#include <time.h>
#include <unistd.h>

#include "ctl/ctl_impl.h"

#define PREFIX "ETCDCTL_"

static void log_line(const char *level, const char *msg, const char *value)
{
	struct buf b;
	struct timespec now;
	struct tm tm;
	char ts[40];

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	strftime(ts, sizeof(ts), "%Y-%m-%dT%H:%M:%S", &tm);
	buf_init(&b, SIZE_MAX / 2);
	buf_printf(&b, "{\"level\":\"%s\",\"ts\":\"%s.%06ldZ\",\"caller\":\"ctl/env.c\",\"msg\":\"%s\",\"environment-variable\":",
		   level, ts, now.tv_nsec / 1000, msg);
	json_string(&b, slice_str(value));
	buf_printf(&b, "}\n");
	fwrite(b.data, 1, b.size, stderr);
	buf_fini(&b);
}

static void variable_name(char *out, size_t size, const char *flag)
{
	size_t n = (size_t)snprintf(out, size, PREFIX "%s", flag);

	for (size_t i = sizeof(PREFIX) - 1; i < n && i < size; i++)
		out[i] = out[i] == '-' ? '_' : (char)toupper(out[i]);
}

/* Only the rows of the global table have variables. */
static bool is_global(const struct ctl_flag *f)
{
	for (const struct ctl_flag *g = ctl_global_flags; g->name; g++) {
		if (g == f)
			return true;
	}
	return false;
}

static struct ctl_value *value_of(struct ctl *c, const char *variable, size_t size)
{
	char name[80];

	for (size_t i = 0; i < c->flags.count; i++) {
		variable_name(name, sizeof(name), c->flags.at[i].flag->name);
		if (strlen(name) == size && !memcmp(name, variable, size) && is_global(c->flags.at[i].flag))
			return &c->flags.at[i];
	}
	return NULL;
}

int ctl_env(struct ctl *c)
{
	bool is_watch = c->depth > 1 && !strcmp(c->path[1]->name, "watch");

	for (char **e = environ; *e; e++) {
		const char *equals = strchr(*e, '=');
		struct ctl_value *v;
		struct why why;

		if (strncmp(*e, PREFIX, sizeof(PREFIX) - 1) || !equals)
			continue;
		if (is_watch && (!strncmp(*e, PREFIX "WATCH_KEY=", 18) || !strncmp(*e, PREFIX "WATCH_RANGE_END=", 24)) &&
		    equals[1])
			continue;
		v = value_of(c, *e, (size_t)(equals - *e));
		if (!v || (!v->by_line && !equals[1])) {
			log_line("warn", "unrecognized environment variable", *e);
			continue;
		}
		if (v->by_line) {
			log_line("fatal",
				 "conflicting environment variable is shadowed by corresponding command-line flag (either unset "
				 "environment variable or disable flag))",
				 ctl_copy(c, "%.*s", (int)(equals - *e), *e));
			return EXIT_ERROR;
		}
		err_ignore(flag_set(v, equals + 1, &why));      /* what does not parse is passed over, as upstream does */
	}
	return 0;
}
