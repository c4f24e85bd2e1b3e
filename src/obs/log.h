/* Log events: one event is one line, a stable text and typed fields.
 *
 *	LOG_INFO("published local member to cluster through raft", LOG_HEX("local-member-id", id),
 *		 LOG_STRS("client-urls", urls, url_count), LOG_DURATION("publish-timeout", timeout_ns));
 *
 * A file that logs under a name defines LOG_LOGGER ("raft", "bbolt", ...) before it includes this header.
 * Who ends an error's journey logs it, once; who returns it does not. Pure modules do not log at all.
 *
 * Lines are JSON or console text in the forms of zap (keys level, ts, logger, caller, msg, fields,
 * stacktrace). Each line is built on the caller's stack and handed to each output with one write(2): no lock
 * is held (but for files that are rotated), lines of several threads do not mix. A line has at most LOG_LINE_SIZE_MAX bytes: strings are cut at
 * LOG_STRING_SIZE_MAX, fields that do not fit are left out and "truncated":true takes their place. The same text
 * at the same level more than 100 times in a second: from then on every 100th is written, in that second.
 *
 * The process has one log, set up before threads start; until then, lines go to stderr as JSON from info on.
 * Logging itself: any thread, also from a signal-free crash path (no allocation). */
#ifndef OBS_LOG_H
#define OBS_LOG_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/err.h"
#include "base/slice.h"

#define LOG_LINE_SIZE_MAX 16384
#define LOG_STRING_SIZE_MAX 8192
#define LOG_OUTPUTS_MAX 16

#ifndef LOG_LOGGER
#define LOG_LOGGER NULL
#endif

enum log_level {
	LOG_LEVEL_DEBUG,
	LOG_LEVEL_INFO,
	LOG_LEVEL_WARN,
	LOG_LEVEL_ERROR,
	LOG_LEVEL_DPANIC,
	LOG_LEVEL_PANIC,
	LOG_LEVEL_FATAL,
};

enum log_format {
	LOG_FORMAT_JSON,
	LOG_FORMAT_CONSOLE,
};

enum log_kind {
	LOG_KIND_STR,
	LOG_KIND_SLICE,
	LOG_KIND_INT,
	LOG_KIND_UINT,
	LOG_KIND_BOOL,
	LOG_KIND_DURATION,
	LOG_KIND_HEX,
	LOG_KIND_STRS,
	LOG_KIND_RAW,
};

struct log_field {
	const char *key;
	enum log_kind kind;
	union {
		const char *str;
		struct slice slice;
		int64_t i;
		uint64_t u;
		const char *const *strs;
	};
	size_t count;
};

/* Where a line comes from; static, made by the macros. */
struct log_site {
	const char *logger;
	const char *file;
	const char *func;
	int line;
	enum log_level level;
};

#define LOG_STR(k, v) ((struct log_field){.key = (k), .kind = LOG_KIND_STR, .str = (v)})
#define LOG_SLICE(k, v) ((struct log_field){.key = (k), .kind = LOG_KIND_SLICE, .slice = (v)})
#define LOG_INT(k, v) ((struct log_field){.key = (k), .kind = LOG_KIND_INT, .i = (v)})
#define LOG_UINT(k, v) ((struct log_field){.key = (k), .kind = LOG_KIND_UINT, .u = (v)})
#define LOG_BOOL(k, v) ((struct log_field){.key = (k), .kind = LOG_KIND_BOOL, .u = (v)})
#define LOG_DURATION(k, ns) ((struct log_field){.key = (k), .kind = LOG_KIND_DURATION, .i = (ns)})
/* A member or cluster id: lower-case hex without leading zeros. */
#define LOG_HEX(k, v) ((struct log_field){.key = (k), .kind = LOG_KIND_HEX, .u = (v)})
#define LOG_STRS(k, at, n) \
	((struct log_field){.key = (k), .kind = LOG_KIND_STRS, .strs = (const char *const *)(at), .count = (n)})
/* The text is JSON already. */
#define LOG_RAW(k, json) ((struct log_field){.key = (k), .kind = LOG_KIND_RAW, .str = (json)})
/* Key "error": the row's text, or the operator's line. */
#define LOG_ERR(e) LOG_STR("error", err_text(e))
#define LOG_WHY(w) LOG_STR("error", (w)->text)

#define LOG_DEBUG(...) LOG_AT(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define LOG_INFO(...) LOG_AT(LOG_LEVEL_INFO, __VA_ARGS__)
#define LOG_WARN(...) LOG_AT(LOG_LEVEL_WARN, __VA_ARGS__)
#define LOG_ERROR(...) LOG_AT(LOG_LEVEL_ERROR, __VA_ARGS__)
/* Writes the line and ends the process with exit code 1. */
#define LOG_FATAL(...)                                \
	do {                                          \
		LOG_AT(LOG_LEVEL_FATAL, __VA_ARGS__); \
		log_exit();                           \
	} while (0)

/* LOG_AT(level, text, fields...): level a constant, text any string. Fields are evaluated only if the level is on. */
#define LOG_AT(lvl, text, ...)                                                                               \
	do {                                                                                                 \
		if (log_enabled(lvl)) {                                                                      \
			static const struct log_site log_site_ = {LOG_LOGGER, __FILE__, __func__, __LINE__, lvl}; \
			const struct log_field log_fields_[] = {{0}, ##__VA_ARGS__};                         \
			log_event(&log_site_, (text), log_fields_ + 1,                                       \
				  sizeof(log_fields_) / sizeof(*log_fields_) - 1);                           \
		}                                                                                            \
	} while (0)

extern _Atomic int log_level_min;

static inline bool log_enabled(enum log_level level)
{
	return (int)level >= atomic_load_explicit(&log_level_min, memory_order_relaxed);
}

void log_event(const struct log_site *site, const char *text, const struct log_field *fields, size_t count);
void log_exit(void) __attribute__((noreturn));

struct log_rotation;

struct log_config {
	enum log_level level;
	enum log_format format;
	const char *const *outputs;     /* "stderr", "stdout", "systemd/journal", or the path of a file to append to; borrowed */
	size_t outputs_count;           /* at most LOG_OUTPUTS_MAX; /dev/null among them: nothing is written */
	const struct log_rotation *rotation;    /* of outputs that are files (log_rotate.h); NULL: none */
};

/* Before threads start, or when they are gone; a second call replaces the first. A file that cannot be opened:
 * ERR_IO etc. with why, and the log stays as it was. */
NODISCARD err_t log_setup(const struct log_config *cfg, struct why *why);
/* Back to stderr, JSON, info; closes files. */
void log_reset(void);

/* A moment as the lines' own ts. */
#define LOG_TIME_SIZE 64
const char *log_time_text(char out[LOG_TIME_SIZE], int64_t wall_ns);

/* "debug" .. "fatal", and "warning", any case; false: not a level. */
NODISCARD bool log_level_parse(const char *s, enum log_level *out);
const char *log_level_name(enum log_level level);

/* For fatal_set_hook(): the last line goes to the log, as level fatal. */
void log_fatal_hook(const char *line);

/* For tests and the simulator: lines go to write instead of the outputs, times come from now (ns since 1970).
 * NULL restores either. Same rule of threads as log_setup. */
void log_set_writer(void (*write)(void *arg, const char *line, size_t size), void *arg);
void log_set_clock(int64_t (*now_ns)(void));

#endif
