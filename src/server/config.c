/* The way from arguments to a checked config, and values derived from it. */
#include "server/config.h"

#include <limits.h>
#include <stdio.h>

#include "base/text.h"
#include "obs/log.h"
#include "server/config_impl.h"

#define NS_PER_MS 1000000ll
#define NS_PER_S (1000 * NS_PER_MS)
#define NS_PER_HOUR (3600 * NS_PER_S)
#define RAFT_TIMEOUT_NS_MIN (5 * NS_PER_S)
#define QUOTA_BYTES (2ll << 30)

static void warn_deprecated(const struct config *cfg)
{
	if (cfg->given[FLAG_max_snapshots])
		LOG_WARN("--max-snapshots is deprecated in 3.6 and will be decommissioned in 3.8.");
	if (cfg->given[FLAG_v2_deprecation])
		LOG_WARN("--v2-deprecation is deprecated and scheduled for removal in v3.8. The default value is enforced, "
			 "ignoring user input.");
}

static void raise_raft_timeout(int64_t *ns, const char *text)
{
	if (*ns >= RAFT_TIMEOUT_NS_MIN)
		return;
	*ns = RAFT_TIMEOUT_NS_MIN;
	LOG_INFO(text);
}

/* With discovery the preset of initial-cluster would be a second, contradicting way to bootstrap. */
static void drop_preset_cluster(struct config *cfg)
{
	bool discovery = cfg->discovery_srv[0] || cfg->discovery_endpoints.count ||
			 (!cfg->from_file && cfg->discovery_srv_name[0]);

	if (discovery && !(cfg->from_file ? flag_changed(cfg, FLAG_initial_cluster) : cfg->given[FLAG_initial_cluster]))
		cfg->initial_cluster = "";
}

static err_t from_flags_and_environment(struct config *cfg, char *const *environ_, struct why *why)
{
	err_t err = config_read_environment(cfg, environ_, why);

	if (err)
		return err;
	raise_raft_timeout(&cfg->raft_read_timeout_ns, "raft-read-timeout increased to minimum value: 5s");
	raise_raft_timeout(&cfg->raft_write_timeout_ns, "raft-write-timeout increased to minimum value: 5s");
	if (cfg->given[FLAG_listen_client_urls] && !cfg->given[FLAG_advertise_client_urls])
		cfg->advertise_client_urls.count = 0;
	drop_preset_cluster(cfg);
	if (!strcmp(cfg->discovery_fallback, "proxy"))
		return why_set(why, ERR_INVALID,
			       "v2 proxy is deprecated, and --discovery-fallback can't be configured as \"proxy\"");
	return config_check(cfg, why);
}

static err_t from_file(struct config *cfg, const char *path, bool *plain, struct why *why)
{
	struct config fresh;
	err_t err;

	config_init(&fresh);
	err = config_read_file(&fresh, path, plain, why);
	if (!err) {
		drop_preset_cluster(&fresh);
		err = config_check(&fresh, why);
	}
	if (err) {
		log_reset();
		config_free(&fresh);
		return err;
	}
	LOG_INFO("loaded server configuration, other configuration command line flags and environment variables will be "
		 "ignored if provided",
		 LOG_STR("path", path));
	config_free(cfg);
	*cfg = fresh;
	return OK;
}

static const char *variable(char *const *environ_, const char *name)
{
	size_t n = strlen(name);

	for (; *environ_; environ_++) {
		if (!strncmp(*environ_, name, n) && (*environ_)[n] == '=')
			return *environ_ + n + 1;
	}
	return "";
}

static void end(struct config_outcome *o, int exit_code)
{
	o->run = false;
	o->exit_code = exit_code;
}

static void print_version(struct buf *out)
{
	buf_printf(out,
		   "etcd Version: %s\nGit SHA: %s\nGo Version: %s\nGo OS/Arch: %s\n", SERVER_VERSION, "cetcd",
		   "none (C)",
#if defined(__x86_64__)
		   "linux/amd64"
#elif defined(__aarch64__)
		   "linux/arm64"
#else
		   "linux/unknown"
#endif
	);
}

static void refuse(struct config_outcome *o, const struct why *why)
{
	LOG_WARN("failed to verify flags", LOG_WHY(why));
	if (strstr(why->text, "--advertise-client-urls is required when --listen-client-urls is set explicitly"))
		LOG_WARN("advertise client URLs are not set", LOG_WHY(why));
	end(o, 1);
}

/* --help, --version and what is wrong on the command line. True: go on. */
static bool read_args(struct config *cfg, int argc, char *const *argv, struct config_outcome *o)
{
	struct why why;

	switch (config_read_args(cfg, argc, argv, &why)) {
	case ARGS_HELP:
		usage_line(&o->err);
		usage_flags(&o->out);
		end(o, 0);
		return false;
	case ARGS_ERROR:
		buf_printf(&o->err, "%s\n", why.text);
		usage_line(&o->err);
		end(o, 2);
		return false;
	case ARGS_LEFT_OVER:
		LOG_INFO("Running: ", LOG_STRS("args", argv, (size_t)argc));
		refuse(o, &why);
		return false;
	case ARGS_RUN:
		break;
	}
	if (cfg->version) {
		print_version(&o->out);
		end(o, 0);
	}
	return o->run;
}

void config_load(int argc, char *const *argv, char *const *environ_, struct config *cfg, struct config_outcome *o)
{
	const char *path;
	bool plain = false, file;
	struct why why;
	err_t err;

	*o = (struct config_outcome){.run = true};
	buf_init(&o->out, 1 << 20);
	buf_init(&o->err, 1 << 20);
	config_init(cfg);
	if (!read_args(cfg, argc, argv, o))
		return;
	path = cfg->config_file[0] ? cfg->config_file : variable(environ_, "ETCD_CONFIG_FILE");
	file = *path;
	err = file ? from_file(cfg, path, &plain, &why) : from_flags_and_environment(cfg, environ_, &why);
	if (plain) {
		buf_printf(&o->err, "%s\n", why.text);
		end(o, 1);
		return;
	}
	if (!cfg->warning_unary_request_duration_ns)
		cfg->warning_unary_request_duration_ns = 300 * NS_PER_MS;
	if (!file || !err)
		warn_deprecated(cfg);
	LOG_INFO("Running: ", LOG_STRS("args", argv, (size_t)argc));
	if (err)
		refuse(o, &why);
	else
		config_settle(cfg);
}

void config_outcome_fini(struct config_outcome *o)
{
	buf_fini(&o->out);
	buf_fini(&o->err);
}

int64_t config_quota_bytes(const struct config *cfg)
{
	return cfg->quota_backend_bytes ? cfg->quota_backend_bytes : QUOTA_BYTES;
}

int64_t config_backend_batch_interval_ns(const struct config *cfg)
{
	return cfg->backend_batch_interval_ns ? cfg->backend_batch_interval_ns : 100 * NS_PER_MS;
}

int64_t config_backend_batch_limit(const struct config *cfg)
{
	return cfg->backend_batch_limit ? cfg->backend_batch_limit : 10000;
}

int64_t config_compaction_batch_limit(const struct config *cfg)
{
	return cfg->compaction_batch_limit ? cfg->compaction_batch_limit : 1000;
}

int64_t config_compaction_sleep_interval_ns(const struct config *cfg)
{
	return cfg->compaction_sleep_interval_ns ? cfg->compaction_sleep_interval_ns : 10 * NS_PER_MS;
}

int64_t config_progress_notify_interval_ns(const struct config *cfg)
{
	return cfg->watch_progress_notify_interval_ns ? cfg->watch_progress_notify_interval_ns : 600 * NS_PER_S;
}

int64_t config_request_timeout_ns(const struct config *cfg)
{
	return 5 * NS_PER_S + 2 * (int64_t)cfg->election_timeout_ms * NS_PER_MS;
}

uint32_t config_election_ticks(const struct config *cfg)
{
	return (uint32_t)(cfg->election_timeout_ms / cfg->heartbeat_interval_ms);
}

/* A plain number (Go's Atoi: digits and a sign) counts hours or revisions; anything else is a duration, in
 * revision mode too, where its nanoseconds are taken as revisions. */
err_t config_auto_compaction(const struct config *cfg, enum auto_compact_mode *mode, int64_t *retention, struct why *why)
{
	const char *s = cfg->auto_compaction_retention[0] ? cfg->auto_compaction_retention : "0", *digits = s + (*s == '+' || *s == '-');
	bool revisions = !strcmp(cfg->auto_compaction_mode, "revision");
	int64_t v;

	if (*digits && strspn(digits, "0123456789") == strlen(digits) && strlen(digits) < 19 && *s != '-') {
		v = strtoll(s, NULL, 10);
		if (!revisions)
			v = v > INT64_MAX / NS_PER_HOUR ? INT64_MAX : v * NS_PER_HOUR;
	} else {
		struct why reason;

		if (text_parse_duration(s, &v, &reason))
			return why_set(why, ERR_INVALID, "error parsing CompactionRetention: %s", reason.text);
	}
	if (v < 0)
		return why_set(why, ERR_INVALID, "--auto-compaction-retention must not be negative (set to %s)", s);
	*retention = v;
	*mode = v == 0 ? AUTO_COMPACT_OFF : revisions ? AUTO_COMPACT_REVISION : AUTO_COMPACT_PERIODIC;
	return OK;
}
