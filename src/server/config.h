/* What the server was told: command line, environment, configuration file, as one checked struct.
 *
 *	struct config cfg;
 *	struct config_outcome o;
 *	config_load(argc, argv, environ, &cfg, &o);
 *	write o.out to stdout and o.err to stderr;
 *	if (!o.run)
 *		exit(o.exit_code);
 *	... serve ...
 *	config_free(&cfg);
 *
 * One table (flag_rows.h) makes the fields below, the presets, the readers, the key names and --help. Order of
 * precedence as in etcd: with a configuration file nothing else counts; without one a flag beats its preset,
 * a variable does where the flag is not given, and both given is an error.
 * Life: one thread, before all others; read-only afterwards. The strings belong to the config. */
#ifndef SERVER_CONFIG_H
#define SERVER_CONFIG_H

#include "base/arena.h"
#include "base/buf.h"
#include "node/auto_compact.h"
#include "server/url.h"

#define SERVER_VERSION "3.7.1"

struct str_list {
	const char **at;
	size_t count;
};

enum gate {
#define GATE(symbol, ...) GATE_##symbol,
#include "server/gate_rows.h"
#undef GATE
	GATE__COUNT
};

struct gate_set {
	uint32_t on;
	uint32_t given;         /* set by name */
};

/* How a row's text is read, and its field's type. */
#define FLAG_TYPE_STR const char *              /* as it is */
#define FLAG_TYPE_BOOL bool
#define FLAG_TYPE_INT int64_t
#define FLAG_TYPE_INT64 int64_t
#define FLAG_TYPE_UINT uint64_t
#define FLAG_TYPE_UINT64 uint64_t
#define FLAG_TYPE_UINT32 uint32_t
#define FLAG_TYPE_DURATION int64_t              /* ns; "1m" on the command line, a number in the file */
#define FLAG_TYPE_URLS struct url_list          /* sorted, each once */
#define FLAG_TYPE_ORIGINS struct str_list       /* URLs or *, sorted, each once */
#define FLAG_TYPE_LIST struct str_list          /* in order */
#define FLAG_TYPE_SET struct str_list           /* sorted, each once */
#define FLAG_TYPE_STATE const char *            /* new, existing */
#define FLAG_TYPE_FALLBACK const char *         /* exit, proxy */
#define FLAG_TYPE_V2STAGE const char *          /* checked, then ignored */
#define FLAG_TYPE_GATES struct gate_set

enum flag {
#define GROUP(title)
#define FLAG(kind, field, ...) FLAG_##field,
#include "server/flag_rows.h"
#undef FLAG
	FLAG__COUNT
};

struct config {
#define FLAG(kind, field, ...) FLAG_TYPE_##kind field;
#include "server/flag_rows.h"
#undef FLAG
#undef GROUP
	bool given[FLAG__COUNT];        /* on the command line, in the environment or in the file */
	bool from_file;
	struct arena arena;
};

struct config_outcome {
	bool run;               /* false: the process ends with exit_code */
	int exit_code;
	struct buf out;         /* for stdout and stderr; config_outcome_fini frees them */
	struct buf err;
};

/* Fills cfg and tells what to do. Logs what etcd logs on the way, and sets up the log as told. environ_ is the
 * process's environment. config_free and config_outcome_fini in either case. */
void config_load(int argc, char *const *argv, char *const *environ_, struct config *cfg, struct config_outcome *o);
void config_free(struct config *cfg);
void config_outcome_fini(struct config_outcome *o);

/* The presets alone, for tests and tools. */
void config_init(struct config *cfg);
/* Checks the combination of values, as etcd does at this point, and sets up the log. ERR_INVALID with why. */
NODISCARD err_t config_check(struct config *cfg, struct why *why);

static inline bool config_gate(const struct config *cfg, enum gate g)
{
	return cfg->gates.on >> g & 1;
}

const char *gate_name(enum gate g);
const char *gate_stage(enum gate g);            /* "ALPHA" or "BETA" */

/* Values with 0 replaced by what it stands for. */
int64_t config_quota_bytes(const struct config *cfg);                   /* 2 GiB; negative: no limit */
int64_t config_backend_batch_interval_ns(const struct config *cfg);
int64_t config_backend_batch_limit(const struct config *cfg);
int64_t config_compaction_batch_limit(const struct config *cfg);
int64_t config_compaction_sleep_interval_ns(const struct config *cfg);
int64_t config_progress_notify_interval_ns(const struct config *cfg);
int64_t config_request_timeout_ns(const struct config *cfg);            /* 5 s + 2 * election timeout */
uint32_t config_election_ticks(const struct config *cfg);

/* retention is ns or a number of revisions. ERR_INVALID with etcd's text. */
NODISCARD err_t config_auto_compaction(const struct config *cfg, enum auto_compact_mode *mode, int64_t *retention,
				       struct why *why);

#endif
