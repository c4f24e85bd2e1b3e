/* The flags of both commands as one struct, filled by src/cli; strings live as long as the process's arguments. */
#ifndef PROXY_OPTIONS_H
#define PROXY_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"

struct proxy_options {
	const char *listen_addr, *endpoints;
	const char *discovery_srv, *discovery_srv_name;
	bool insecure_discovery;
	/* gateway */
	const char *gateway_ca;
	int64_t retry_delay_ns;
	/* grpc-proxy */
	const char *metrics_addr;
	int64_t auto_sync_ns;
	int64_t dial_keepalive_ns, dial_keepalive_timeout_ns;
	bool permit_without_stream;
	const char *advertise_url, *resolver_prefix;
	int64_t resolver_ttl_s;
	const char *name_space;
	bool pprof;
	const char *data_dir;
	int64_t send_bytes_max, recv_bytes_max;
	int64_t keepalive_min_ns, keepalive_interval_ns, keepalive_timeout_ns;
	const char *cert, *key, *cacert; /* towards the cluster */
	bool skip_verify;
	const char *listen_cert, *listen_key, *listen_ca, *listen_ciphers, *listen_crl;
	bool auto_tls;
	uint64_t self_signed_years;
	const char *tls_min, *tls_max;
	bool ordering;
	const char *leasing_prefix;
	bool log_calls, debug;
	uint64_t streams_max;
};

/* "a,b" as words; text is one allocation that they point into. */
struct words {
	char *text;
	VEC(const char *) at;
};

void words_split(struct words *w, const char *list);
void words_fini(struct words *w);

#endif
