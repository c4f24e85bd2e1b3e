/* Checks of single values and of their combination, in etcd's order and words (embed.Config.Validate, v3.7.1):
 * the first that fails is told. */
#include <arpa/inet.h>
#include <stdio.h>

#include "base/text.h"
#include "obs/log.h"
#include "obs/log_rotate.h"
#include "server/config_impl.h"

#define ELECTION_MS_MAX 50000

static err_t refuse_quoted(struct why *why, const char *before, const char *text, const char *after)
{
	struct buf q;

	buf_init(&q, sizeof(why->text));
	text_quote(&q, slice_str(text));
	why_set(why, ERR_INVALID, "%s%.*s%s", before, SLICE_ARG(buf_slice(&q)), after);
	buf_fini(&q);
	return ERR_INVALID;
}

static err_t check_log_outputs(struct config *cfg, struct why *why)
{
	if (cfg->log_outputs.count == 0)
		cfg->log_outputs = config_split(cfg, "default", true);
	for (size_t i = 0; i < cfg->log_outputs.count && cfg->log_outputs.count > 1; i++) {
		if (!strcmp(cfg->log_outputs.at[i], "default"))
			return why_set(why, ERR_INVALID, "multi logoutput for \"default\" is not supported yet");
	}
	if (cfg->log_outputs.count > LOG_OUTPUTS_MAX)
		return why_set(why, ERR_INVALID, "more than %d log outputs", LOG_OUTPUTS_MAX);
	return OK;
}

/* One file among the outputs is what can be rotated. */
static err_t check_rotation(const struct config *cfg, struct log_rotation *rotation, struct why *why)
{
	size_t files = 0;

	for (size_t i = 0; i < cfg->log_outputs.count; i++)
		files += strcmp(cfg->log_outputs.at[i], "default") && strcmp(cfg->log_outputs.at[i], "stderr") &&
			 strcmp(cfg->log_outputs.at[i], "stdout");
	if (files > 1 || (!files && cfg->log_outputs.count == 1))
		return why_set(why, ERR_INVALID,
			       "--log-outputs requires a single file path when --log-rotate-config-json is defined");
	return config_rotation_parse(cfg->log_rotation_config_json, rotation, why);
}

/* The log is set up first, so that all that follows is told where the operator wants it. */
static err_t check_log(struct config *cfg, struct why *why)
{
	struct log_config log = {0};
	struct log_rotation rotation;
	err_t err;

	if (!strcmp(cfg->logger, "capnslog"))
		return why_set(why, ERR_INVALID, "--logger=capnslog is removed in v3.5");
	if (strcmp(cfg->logger, "zap"))
		return refuse_quoted(why, "unknown logger option ", cfg->logger, "");
	err = check_log_outputs(cfg, why);
	if (err)
		return err;
	log.level = LOG_LEVEL_INFO;
	if (cfg->log_level[0] && !log_level_parse(cfg->log_level, &log.level))
		return refuse_quoted(why, "unrecognized level: ", cfg->log_level, "");
	if (cfg->log_format[0] && strcmp(cfg->log_format, "json") && strcmp(cfg->log_format, "console"))
		return why_set(why, ERR_INVALID, "unknown log format: %s, supported values json, console", cfg->log_format);
	log.format = strcmp(cfg->log_format, "console") ? LOG_FORMAT_JSON : LOG_FORMAT_CONSOLE;
	log.outputs = cfg->log_outputs.at;
	log.outputs_count = cfg->log_outputs.count;
	if (cfg->enable_log_rotation) {
		err = check_rotation(cfg, &rotation, why);
		if (err)
			return err;
		log.rotation = &rotation;
	}
	return log_setup(&log, why);
}

/* One binds to addresses, not to names, localhost aside. */
static err_t check_bind(const struct url_list *l, struct why *why)
{
	for (size_t i = 0; i < l->count; i++) {
		const struct url *u = &l->at[i];
		struct in6_addr v6;
		struct in_addr v4;

		if (!url_is_unix(u) && strcmp(u->host, "localhost") && inet_pton(AF_INET, u->host, &v4) != 1 &&
		    inet_pton(AF_INET6, u->host, &v6) != 1)
			return why_set(why, ERR_INVALID, "expected IP in URL for binding (%s)", u->text);
	}
	return OK;
}

static const char *first_without_host(const struct url_list *l)
{
	for (size_t i = 0; i < l->count; i++) {
		if (!url_is_unix(&l->at[i]) && !l->at[i].host[0])
			return l->at[i].text;
	}
	return NULL;
}

static err_t check_urls(struct config *cfg, struct why *why)
{
	const char *bad;
	err_t err = check_bind(&cfg->listen_peer_urls, why);

	if (!err)
		err = check_bind(&cfg->listen_client_urls, why);
	if (!err)
		err = check_bind(&cfg->listen_client_http_urls, why);
	if (!err && !cfg->listen_client_http_urls.count)
		LOG_WARN("Running http and grpc server on single port. This is not recommended for production.");
	if (!err)
		err = check_bind(&cfg->listen_metrics_urls, why);
	if (err)
		return err;
	bad = first_without_host(&cfg->initial_advertise_peer_urls);
	if (bad)
		return why_set(why, ERR_INVALID,
			       "--initial-advertise-peer-urls \"%s\" must be \"host:port\" (unexpected empty host (%s))",
			       url_list_text(&cfg->arena, &cfg->initial_advertise_peer_urls), bad);
	bad = first_without_host(&cfg->advertise_client_urls);
	if (bad)
		return why_set(why, ERR_INVALID,
			       "--advertise-client-urls \"%s\" must be in the format \"host:port\", "
			       "\"unix:/path/to/socket\" or \"unixs:/path/to/socket\" (unexpected empty host (%s))",
			       url_list_text(&cfg->arena, &cfg->advertise_client_urls), bad);
	return OK;
}

static err_t check_bootstrap(const struct config *cfg, struct why *why)
{
	size_t endpoints = cfg->discovery_endpoints.count;

	if (strcmp(cfg->initial_cluster_state, "new") && strcmp(cfg->initial_cluster_state, "existing"))
		return refuse_quoted(why, "unexpected clusterState ", cfg->initial_cluster_state, "");
	if ((cfg->initial_cluster[0] != 0) + (cfg->discovery_srv[0] != 0) + (endpoints > 0) > 1)
		return why_set(why, ERR_INVALID,
			       "multiple discovery or bootstrap flags are set. Choose one of \"initial-cluster\", "
			       "\"discovery-endpoints\" or \"discovery-srv\"");
	if ((cfg->discovery_token[0] != 0) != (endpoints > 0))
		return why_set(why, ERR_INVALID, "both --discovery-token and --discovery-endpoints must be set");
	for (size_t i = 0; i < endpoints; i++) {
		if (!cfg->discovery_endpoints.at[i][strspn(cfg->discovery_endpoints.at[i], " \t\r\n\v\f")])
			return why_set(why, ERR_INVALID, "--discovery-endpoints must not contain empty endpoints");
	}
	return OK;
}

static err_t check_timing(const struct config *cfg, struct why *why)
{
	unsigned long long beat = cfg->heartbeat_interval_ms, election = cfg->election_timeout_ms;

	if (!beat)
		return why_set(why, ERR_INVALID, "--heartbeat-interval must be >0 (set to 0ms)");
	if (!election)
		return why_set(why, ERR_INVALID, "--election-timeout must be >0 (set to 0ms)");
	if (beat > election / 5)
		return why_set(why, ERR_INVALID,
			       "--election-timeout[%llums] should be at least as 5 times as --heartbeat-interval[%llums]",
			       election, beat);
	if (election > ELECTION_MS_MAX)
		return why_set(why, ERR_INVALID,
			       "--election-timeout[%llums] is too long, and should be set less than %dms", election,
			       ELECTION_MS_MAX);
	return OK;
}

static err_t check_advertised_and_compaction(const struct config *cfg, struct why *why)
{
	if (cfg->listen_client_urls.count && !cfg->advertise_client_urls.count)
		return why_set(why, ERR_INVALID,
			       "--advertise-client-urls is required when --listen-client-urls is set explicitly");
	if (!cfg->auto_compaction_mode[0])
		return why_set(why, ERR_INVALID, "undefined auto-compaction-mode");
	if (strcmp(cfg->auto_compaction_mode, "periodic") && strcmp(cfg->auto_compaction_mode, "revision"))
		return refuse_quoted(why, "unknown auto-compaction-mode ", cfg->auto_compaction_mode, "");
	return OK;
}

static err_t check_features(const struct config *cfg, struct why *why)
{
	bool persist = config_gate(cfg, GATE_LEASE_CHECKPOINT_PERSIST), checkpoint = config_gate(cfg, GATE_LEASE_CHECKPOINT);
	int64_t rate = cfg->distributed_tracing_sampling_rate;
	char d[TEXT_DURATION_SIZE];

	if (cfg->enable_distributed_tracing && (rate < 0 || rate > 1000000))
		return why_set(why, ERR_INVALID, "distributed tracing configurition is not valid: (tracing sampling rate %s)",
			       rate < 0 ? "must be positive" : "must be less than 1000000");
	if (checkpoint && !persist)
		LOG_WARN("Detected that checkpointing is enabled without persistence. Consider enabling feature gate "
			 "LeaseCheckpointPersist");
	if (persist && !checkpoint)
		return why_set(why, ERR_INVALID,
			       "enabling feature gate LeaseCheckpointPersist requires enabling feature gate LeaseCheckpoint");
	if (cfg->compact_hash_check_time_ns <= 0)
		return why_set(why, ERR_INVALID, "--compact-hash-check-time must be >0 (set to %s)",
			       text_duration(d, cfg->compact_hash_check_time_ns));
	return OK;
}

/* 0: not given; -1: no such version. */
static int tls_version(const char *text)
{
	if (!*text)
		return 0;
	if (!strcmp(text, "TLS1.2"))
		return 12;
	return !strcmp(text, "TLS1.3") ? 13 : -1;
}

static err_t check_tls(const struct config *cfg, struct why *why)
{
	int min = tls_version(cfg->tls_min_version), max = tls_version(cfg->tls_max_version);

	if (min < 0 || max < 0)
		return refuse_quoted(why, "unexpected TLS version ", min < 0 ? cfg->tls_min_version : cfg->tls_max_version,
				     " (must be one of: TLS1.2, TLS1.3)");
	if (max && min > max)
		return why_set(why, ERR_INVALID, "min version (%s) is greater than max version (%s)",
			       cfg->tls_min_version, cfg->tls_max_version);
	if (min == 13 && cfg->cipher_suites.count)
		return why_set(why, ERR_INVALID, "cipher suites cannot be configured when only TLS1.3 is enabled");
	return OK;
}

err_t config_check(struct config *cfg, struct why *why)
{
	err_t err = check_log(cfg, why);

	if (!err)
		err = check_urls(cfg, why);
	if (!err)
		err = check_bootstrap(cfg, why);
	if (!err)
		err = check_timing(cfg, why);
	if (!err)
		err = check_advertised_and_compaction(cfg, why);
	if (!err)
		err = check_features(cfg, why);
	if (!err && !strcmp(cfg->name, "default"))
		LOG_WARN("it isn't recommended to use default name, please set a value for --name. Note that etcd might run "
			 "into issue when multiple members have the same default name",
			 LOG_STR("name", cfg->name));
	if (!err)
		err = check_tls(cfg, why);
	return err;
}
