/* Inside config: the rows as data. */
#ifndef SERVER_CONFIG_IMPL_H
#define SERVER_CONFIG_IMPL_H

#include "server/config.h"

enum flag_kind {
	KIND_STR,
	KIND_BOOL,
	KIND_INT,
	KIND_INT64,
	KIND_UINT,
	KIND_UINT64,
	KIND_UINT32,
	KIND_DURATION,
	KIND_URLS,
	KIND_ORIGINS,
	KIND_LIST,
	KIND_SET,
	KIND_STATE,
	KIND_FALLBACK,
	KIND_V2STAGE,
	KIND_GATES,
};

enum flag_marks {
	DEPRECATED = 1,
	HIDDEN = 2,
};

struct flag_row {
	enum flag_kind kind;
	size_t offset;          /* of the field in struct config */
	const char *name;
	const char *key;
	const char *preset;
	int marks;
	const char *help;
};

extern const struct flag_row flag_rows[FLAG__COUNT];

/* FLAG__COUNT: no such flag. */
enum flag flag_find(struct slice name);
/* A flag of old that is accepted and does nothing. */
bool flag_ignored(struct slice name);
/* "ETCD_" + the name in upper case. */
#define FLAG_VARIABLE_SIZE 64
const char *flag_variable(enum flag f, char out[FLAG_VARIABLE_SIZE]);

/* Reads text into the field. ERR_INVALID with the reason alone ("parse error", "invalid value"). */
NODISCARD err_t flag_set(struct config *cfg, enum flag f, const char *text, struct why *why);
/* True if the field holds something else than the preset. */
bool flag_changed(struct config *cfg, enum flag f);

static inline void *flag_field(struct config *cfg, enum flag f)
{
	return (char *)cfg + flag_rows[f].offset;
}

NODISCARD err_t gates_set(struct gate_set *g, const char *text, struct why *why);

/* Copies that live as long as the config. */
const char *config_keep(struct config *cfg, struct slice s);
struct str_list config_split(struct config *cfg, const char *text, bool sorted);

/* The steps of config_load. */
enum args_end { ARGS_RUN, ARGS_HELP, ARGS_ERROR, ARGS_LEFT_OVER };
enum args_end config_read_args(struct config *cfg, int argc, char *const *argv, struct why *why);
NODISCARD err_t config_read_environment(struct config *cfg, char *const *environ_, struct why *why);
/* plain: the error goes to stderr as it is, exit code 1. */
NODISCARD err_t config_read_file(struct config *cfg, const char *path, bool *plain, struct why *why);
/* The same from the file's bytes. */
NODISCARD err_t config_parse_file(struct config *cfg, struct slice text, bool *plain, struct why *why);
/* Values that follow from others: initial-cluster from the name, data-dir, hosts to advertise. */
void config_settle(struct config *cfg);

void usage_line(struct buf *out);               /* what goes to stderr for --help and wrong flags */
void usage_flags(struct buf *out);

struct log_rotation;
/* ERR_INVALID in etcd's words. */
NODISCARD err_t config_rotation_parse(const char *json, struct log_rotation *out, struct why *why);

#endif
