/* The environment: ETCD_<FLAG> sets a flag that the command line doesn't; both is an error, and what looks like
 * one of ours and isn't gets a warning. */
#include <ctype.h>
#include <stdio.h>

#include "base/text.h"
#include "obs/log.h"
#include "server/config_impl.h"

/* The value of name in environ_, NULL if it isn't there. */
static const char *lookup(char *const *environ_, const char *name)
{
	size_t n = strlen(name);

	for (; *environ_; environ_++) {
		if (!strncmp(*environ_, name, n) && (*environ_)[n] == '=')
			return *environ_ + n + 1;
	}
	return NULL;
}

static err_t set_from_variable(struct config *cfg, enum flag f, const char *variable, const char *value,
			       struct why *why)
{
	struct why reason;
	struct buf q;

	if (!flag_set(cfg, f, value, &reason)) {
		LOG_INFO("recognized and used environment variable", LOG_STR("variable-name", variable),
			 LOG_STR("variable-value", value));
		cfg->given[f] = true;
		return OK;
	}
	buf_init(&q, 4096);
	text_quote(&q, slice_str(value));
	why_set(why, ERR_INVALID, "invalid value %.*s for %s: %s", SLICE_ARG(buf_slice(&q)), variable, reason.text);
	buf_fini(&q);
	return ERR_INVALID;
}

static bool is_ignored_variable(const char *name, size_t size)
{
	char flag[FLAG_VARIABLE_SIZE];
	size_t n = 0;

	for (size_t i = 5; i < size && n < sizeof(flag); i++)
		flag[n++] = name[i] == '_' ? '-' : (char)tolower((unsigned char)name[i]);
	return size > 5 && n < sizeof(flag) && !strncmp(name, "ETCD_", 5) && flag_ignored(slice_of(flag, n));
}

/* Every variable of ours that no flag took. */
static void check_rest(const bool *on_command_line, const bool *used, char *const *environ_)
{
	char name[FLAG_VARIABLE_SIZE];

	for (; *environ_; environ_++) {
		size_t n = strcspn(*environ_, "=");
		enum flag f = 0;

		for (; f < FLAG__COUNT; f++) {
			flag_variable(f, name);
			if (strlen(name) == n && !memcmp(*environ_, name, n))
				break;
		}
		if (f < FLAG__COUNT && used[f])
			continue;
		if (is_ignored_variable(*environ_, n) && (*environ_)[n] && (*environ_)[n + 1]) {
			LOG_INFO("recognized and used environment variable",
				 LOG_SLICE("variable-name", slice_of(*environ_, n)),
				 LOG_STR("variable-value", *environ_ + n + 1));
			continue;
		}
		if (f < FLAG__COUNT && on_command_line[f])
			LOG_FATAL("conflicting environment variable is shadowed by corresponding command-line flag (either "
				  "unset environment variable or disable flag))",
				  LOG_STR("environment-variable", name));
		if (!strncmp(*environ_, "ETCD_", 5) && !(f == FLAG_version && (*environ_)[n + 1]))
			LOG_WARN("unrecognized environment variable", LOG_STR("environment-variable", *environ_));
	}
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(flag_rows[*(const enum flag *)a].name, flag_rows[*(const enum flag *)b].name);
}

/* Every flag is tried, by name; of several errors the last one is told, as etcd does. */
err_t config_read_environment(struct config *cfg, char *const *environ_, struct why *why)
{
	bool on_command_line[FLAG__COUNT], used[FLAG__COUNT] = {false};
	const char *version = lookup(environ_, "ETCD_VERSION");
	enum flag order[FLAG__COUNT];
	err_t err = OK;

	memcpy(on_command_line, cfg->given, sizeof(on_command_line));
	if (version && *version)
		LOG_WARN("cannot set special environment variable", LOG_STR("key", "ETCD_VERSION"),
			 LOG_STR("value", version));
	for (enum flag f = 0; f < FLAG__COUNT; f++)
		order[f] = f;
	qsort(order, FLAG__COUNT, sizeof(*order), compare_names);
	for (size_t i = 0; i < FLAG__COUNT; i++) {
		enum flag f = order[i];
		char name[FLAG_VARIABLE_SIZE];
		const char *value = lookup(environ_, flag_variable(f, name));

		if (!value || !*value || on_command_line[f] || f == FLAG_version || !flag_rows[f].name[0])
			continue;
		used[f] = true;
		if (set_from_variable(cfg, f, name, value, why))
			err = ERR_INVALID;
	}
	check_rest(on_command_line, used, environ_);
	return err;
}
