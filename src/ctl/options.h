/* What the flags of all commands come to; a command looks at its own and at the global ones. Rows: tree.c. */
#ifndef CTL_OPTIONS_H
#define CTL_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

struct ctl_options {
	/* global */
	const char *auth_jwt_token;
	const char *cacert, *cert, *key;
	int64_t command_timeout; /* durations: ns */
	bool debug;
	int64_t dial_timeout;
	const char *discovery_srv, *discovery_srv_name;
	const char *endpoints;
	bool hex;
	bool insecure_discovery, insecure_skip_tls_verify, insecure_transport;
	int64_t keepalive_time, keepalive_timeout;
	int64_t max_recv_bytes, max_request_bytes;
	const char *password, *user;
	const char *write_out;
	/* key-value */
	bool prefix, from_key, prev_kv;
	const char *lease;
	bool ignore_value, ignore_lease;
	const char *consistency, *order, *sort_by;
	int64_t limit, rev;
	bool keys_only, count_only, print_value_only, stream;
	int64_t min_create_rev, max_create_rev, min_mod_rev, max_mod_rev;
	bool range;
	bool interactive;
	bool physical;
	bool progress_notify;
	/* leases */
	bool once, keys;
	/* cluster */
	bool cluster;
	const char *peer_urls;
	bool learner;
	/* locks and elections */
	int64_t ttl;
	bool listen;
	/* users and roles */
	const char *new_user_password;
	bool no_password;
	bool detail;
	/* make-mirror, check */
	const char *prefix_text, *dest_prefix;
	bool no_dest_prefix;
	uint64_t max_txn_ops;
	const char *dest_cert, *dest_key, *dest_cacert, *dest_user, *dest_password;
	bool dest_insecure_transport;
	const char *load;
	bool auto_compact, auto_defrag;
	/* du, top */
	int64_t depth;
	const char *delimiter;
	bool human;
	int64_t interval; /* ns */
};

#endif
