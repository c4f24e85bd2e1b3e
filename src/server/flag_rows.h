/* Every flag of `etcd`, one row each:
 *
 *	FLAG(kind, field, flag, key, preset, marks, help)
 *
 * kind    how the text is read and kept, see config.h
 * field   of struct config
 * flag    on the command line; its environment variable is ETCD_ + upper case with - as _; "": file only
 * key     in the configuration file, maps divided by dots; "" if it cannot stand there
 * preset  the text read before anything else
 * marks   DEPRECATED: a warning when given; HIDDEN: --help names it elsewhere; 0
 * GROUP(title) starts a section of --help. No include guard on purpose: include with both defined. */

FLAG(STR, config_file, "config-file", "", "", HIDDEN, "")
FLAG(BOOL, version, "version", "", "false", HIDDEN, "")
FLAG(LIST, client_cert_allowed_cn, "", "client-transport-security.allowed-cn", "", HIDDEN, "")
FLAG(BOOL, client_skip_client_san_verification, "", "client-transport-security.skip-client-san-verification", "false",
     HIDDEN, "")

GROUP("Member")
FLAG(STR, name, "name", "name", "default", 0, "Name of this member, unique in the cluster.")
FLAG(STR, data_dir, "data-dir", "data-dir", "", 0, "Directory of this member's data; NAME.etcd when empty.")
FLAG(STR, wal_dir, "wal-dir", "wal-dir", "", 0, "Directory of the write-ahead log, if not below data-dir.")
FLAG(UINT64, snapshot_count, "snapshot-count", "snapshot-count", "10000", 0,
     "Applied entries after which a raft snapshot is written.")
FLAG(UINT, heartbeat_interval_ms, "heartbeat-interval", "heartbeat-interval", "100", 0,
     "Milliseconds between two heartbeats.")
FLAG(UINT, election_timeout_ms, "election-timeout", "election-timeout", "1000", 0,
     "Milliseconds without a leader after which an election begins.")
FLAG(BOOL, initial_election_tick_advance, "initial-election-tick-advance", "initial-election-tick-advance", "true", 0,
     "Shorten the first election after a start.")
FLAG(URLS, listen_peer_urls, "listen-peer-urls", "listen-peer-urls", "http://localhost:2380", 0,
     "URLs to listen on for other members.")
FLAG(URLS, listen_client_urls, "listen-client-urls", "listen-client-urls", "http://localhost:2379", 0,
     "URLs to listen on for clients: gRPC, and HTTP unless listen-client-http-urls is given.")
FLAG(URLS, listen_client_http_urls, "listen-client-http-urls", "listen-client-http-urls", "", 0,
     "URLs to listen on for HTTP clients only; HTTP is then gone from listen-client-urls.")
FLAG(UINT, max_snapshots, "max-snapshots", "max-snapshots", "5", DEPRECATED,
     "Snapshot files to keep, 0 for all. Deprecated since 3.6, to go in 3.8.")
FLAG(UINT, max_wals, "max-wals", "max-wals", "5", 0, "Files of the write-ahead log to keep, 0 for all.")
FLAG(BOOL, memory_mlock, "memory-mlock", "memory-mlock", "false", 0, "Lock the database's pages in memory.")
FLAG(INT64, quota_backend_bytes, "quota-backend-bytes", "quota-backend-bytes", "0", 0,
     "Bytes the database may take before writes are refused; 0 for 2 GiB, negative for no limit.")
FLAG(STR, backend_freelist_type, "backend-bbolt-freelist-type", "backend-bbolt-freelist-type", "", 0,
     "array or map; accepted, without effect here.")
FLAG(DURATION, backend_batch_interval_ns, "backend-batch-interval", "backend-batch-interval", "0s", 0,
     "Longest time between two commits of the database; 0 for 100ms.")
FLAG(INT, backend_batch_limit, "backend-batch-limit", "backend-batch-limit", "0", 0,
     "Operations that force a commit of the database; 0 for 10000.")
FLAG(UINT, max_txn_ops, "max-txn-ops", "max-txn-ops", "128", 0, "Operations allowed in one transaction.")
FLAG(UINT, max_request_bytes, "max-request-bytes", "max-request-bytes", "1572864", 0,
     "Bytes allowed in one client request.")
FLAG(UINT32, max_concurrent_streams, "max-concurrent-streams", "max-concurrent-streams", "4294967295", 0,
     "Streams a client may have open on one connection.")
FLAG(DURATION, grpc_keepalive_min_time_ns, "grpc-keepalive-min-time", "grpc-keepalive-min-time", "5s", 0,
     "Shortest time between two pings of a client; who pings more often is cut off.")
FLAG(DURATION, grpc_keepalive_interval_ns, "grpc-keepalive-interval", "grpc-keepalive-interval", "2h", 0,
     "Idle time after which a client's connection is probed, 0 for never.")
FLAG(DURATION, grpc_keepalive_timeout_ns, "grpc-keepalive-timeout", "grpc-keepalive-timeout", "20s", 0,
     "Time to wait for the answer to a probe, 0 for ever.")
FLAG(BOOL, socket_reuse_port, "socket-reuse-port", "socket-options.reuse-port", "false", 0,
     "Set SO_REUSEPORT on listeners.")
FLAG(BOOL, socket_reuse_address, "socket-reuse-address", "socket-options.reuse-address", "false", 0,
     "Set SO_REUSEADDR on listeners.")
FLAG(BOOL, enable_grpc_gateway, "enable-grpc-gateway", "enable-grpc-gateway", "true", 0, "Serve the API as JSON too.")
FLAG(DURATION, raft_read_timeout_ns, "raft-read-timeout", "", "5s", 0,
     "Time without data after which a member's connection is closed, at least 5s.")
FLAG(DURATION, raft_write_timeout_ns, "raft-write-timeout", "", "5s", 0,
     "Time a write to another member may take, at least 5s.")
FLAG(GATES, gates, "feature-gates", "feature-gates", "", 0, "name=true|false pairs, joined by commas:")

GROUP("Clustering")
FLAG(URLS, initial_advertise_peer_urls, "initial-advertise-peer-urls", "initial-advertise-peer-urls",
     "http://localhost:2380", 0, "URLs under which the other members reach this one.")
FLAG(STR, initial_cluster, "initial-cluster", "initial-cluster", "default=http://localhost:2380", 0,
     "Members of a new cluster: name=peer-URL, joined by commas.")
FLAG(STATE, initial_cluster_state, "initial-cluster-state", "initial-cluster-state", "new", 0,
     "new, or existing when this member was added to a running cluster. Without effect once there is data.")
FLAG(STR, initial_cluster_token, "initial-cluster-token", "initial-cluster-token", "etcd-cluster", 0,
     "A text of this cluster's own, so that two clusters made alike do not mix.")
FLAG(URLS, advertise_client_urls, "advertise-client-urls", "advertise-client-urls", "http://localhost:2379", 0,
     "URLs under which clients reach this member.")
FLAG(STR, discovery_token, "discovery-token", "discovery-config.token", "", 0,
     "Discovery: the token of the cluster to be made.")
FLAG(SET, discovery_endpoints, "discovery-endpoints", "discovery-config.client.endpoints", "", 0,
     "Discovery: endpoints of the etcd cluster that serves it.")
FLAG(DURATION, discovery_dial_timeout_ns, "discovery-dial-timeout", "discovery-config.client.dial-timeout", "2s",
     0, "Discovery: time to connect.")
FLAG(DURATION, discovery_request_timeout_ns, "discovery-request-timeout", "discovery-config.client.request-timeout",
     "5s", 0, "Discovery: time for one request.")
FLAG(DURATION, discovery_keepalive_time_ns, "discovery-keepalive-time", "discovery-config.client.keepalive-time", "2s",
     0, "Discovery: idle time after which the connection is probed.")
FLAG(DURATION, discovery_keepalive_timeout_ns, "discovery-keepalive-timeout",
     "discovery-config.client.keepalive-timeout", "6s", 0, "Discovery: time to wait for the answer to a probe.")
FLAG(BOOL, discovery_insecure_transport, "discovery-insecure-transport",
     "discovery-config.client.secure.insecure-transport", "true", 0, "Discovery: connect without TLS.")
FLAG(BOOL, discovery_insecure_skip_tls_verify, "discovery-insecure-skip-tls-verify",
     "discovery-config.client.secure.insecure-skip-tls-verify", "false", 0,
     "Discovery: take any server certificate. For tests only.")
FLAG(STR, discovery_cert, "discovery-cert", "discovery-config.client.secure.cert", "", 0,
     "Discovery: file of the client certificate.")
FLAG(STR, discovery_key, "discovery-key", "discovery-config.client.secure.key", "", 0,
     "Discovery: file of the client certificate's key.")
FLAG(STR, discovery_cacert, "discovery-cacert", "discovery-config.client.secure.cacert", "", 0,
     "Discovery: file of the CA of the server certificate.")
FLAG(STR, discovery_user, "discovery-user", "discovery-config.client.auth.username", "", 0,
     "Discovery: user, or user:password.")
FLAG(STR, discovery_password, "discovery-password", "discovery-config.client.auth.password", "", 0,
     "Discovery: password of the user.")
FLAG(FALLBACK, discovery_fallback, "discovery-fallback", "", "exit", 0, "exit: what to do when discovery fails.")
FLAG(STR, discovery_srv, "discovery-srv", "discovery-srv", "", 0, "Domain whose SRV records name the members.")
FLAG(STR, discovery_srv_name, "discovery-srv-name", "discovery-srv-name", "", 0,
     "Suffix of the SRV service names.")
FLAG(BOOL, strict_reconfig_check, "strict-reconfig-check", "strict-reconfig-check", "true", 0,
     "Refuse membership changes that would cost the quorum.")
FLAG(BOOL, pre_vote, "pre-vote", "pre-vote", "true", 0,
     "Ask before an election, so that a member coming back does not disturb a working leader.")
FLAG(STR, auto_compaction_retention, "auto-compaction-retention", "auto-compaction-retention", "0", 0,
     "History to keep: hours or a duration, or a number of revisions. 0 keeps all.")
FLAG(STR, auto_compaction_mode, "auto-compaction-mode", "auto-compaction-mode", "periodic", 0,
     "How auto-compaction-retention is read: periodic or revision.")
FLAG(V2STAGE, v2_deprecation, "v2-deprecation", "v2-deprecation", "", DEPRECATED,
     "Deprecated, without effect; to go in 3.8.")

GROUP("Security")
FLAG(STR, cert_file, "cert-file", "client-transport-security.cert-file", "", 0,
     "File of the certificate shown to clients.")
FLAG(STR, key_file, "key-file", "client-transport-security.key-file", "", 0, "File of that certificate's key.")
FLAG(BOOL, client_cert_auth, "client-cert-auth", "client-transport-security.client-cert-auth", "false", 0,
     "Ask clients for a certificate; its common name is the user.")
FLAG(STR, client_cert_file, "client-cert-file", "client-transport-security.client-cert-file", "", 0,
     "File of the certificate for connections to this server's own client port; cert-file when empty.")
FLAG(STR, client_key_file, "client-key-file", "client-transport-security.client-key-file", "", 0,
     "File of that certificate's key.")
FLAG(STR, client_crl_file, "client-crl-file", "", "", 0, "File of revoked client certificates.")
FLAG(LIST, client_cert_allowed_hostname, "client-cert-allowed-hostname", "client-transport-security.allowed-hostname",
     "", 0, "Host names of which a client certificate must carry one.")
FLAG(STR, trusted_ca_file, "trusted-ca-file", "client-transport-security.trusted-ca-file", "", 0,
     "File of the CA of client certificates.")
FLAG(BOOL, auto_tls, "auto-tls", "client-transport-security.auto-tls", "false", 0,
     "Serve clients with a certificate made at the start.")
FLAG(STR, peer_cert_file, "peer-cert-file", "peer-transport-security.cert-file", "", 0,
     "File of the certificate shown to members.")
FLAG(STR, peer_key_file, "peer-key-file", "peer-transport-security.key-file", "", 0,
     "File of that certificate's key.")
FLAG(BOOL, peer_client_cert_auth, "peer-client-cert-auth", "peer-transport-security.client-cert-auth", "false", 0,
     "Ask members for a certificate.")
FLAG(STR, peer_client_cert_file, "peer-client-cert-file", "peer-transport-security.client-cert-file", "", 0,
     "File of the certificate for connections to members; peer-cert-file when empty.")
FLAG(STR, peer_client_key_file, "peer-client-key-file", "peer-transport-security.client-key-file", "", 0,
     "File of that certificate's key.")
FLAG(STR, peer_trusted_ca_file, "peer-trusted-ca-file", "peer-transport-security.trusted-ca-file", "", 0,
     "File of the CA of members' certificates.")
FLAG(LIST, peer_cert_allowed_cn, "peer-cert-allowed-cn", "peer-transport-security.allowed-cn", "", 0,
     "Common names allowed in members' certificates.")
FLAG(LIST, peer_cert_allowed_hostname, "peer-cert-allowed-hostname", "peer-transport-security.allowed-hostname", "",
     0, "Host names of which a member's certificate must carry one.")
FLAG(BOOL, peer_auto_tls, "peer-auto-tls", "peer-transport-security.auto-tls", "false", 0,
     "Serve members with a certificate made at the start; nobody's identity is checked.")
FLAG(UINT, self_signed_cert_validity_years, "self-signed-cert-validity", "self-signed-cert-validity", "1", 0,
     "Years for which such a certificate is good.")
FLAG(STR, peer_crl_file, "peer-crl-file", "", "", 0, "File of revoked member certificates.")
FLAG(LIST, cipher_suites, "cipher-suites", "cipher-suites", "", 0, "TLS 1.2 cipher suites by their IANA names.")
FLAG(ORIGINS, cors, "cors", "cors", "*", 0, "Origins whose pages may call the HTTP API, * for all.")
FLAG(SET, host_whitelist, "host-whitelist", "host-whitelist", "*", 0,
     "Host names that plain HTTP requests may carry, * or none for all.")
FLAG(STR, tls_min_version, "tls-min-version", "tls-min-version", "TLS1.2", 0, "TLS1.2 or TLS1.3.")
FLAG(STR, tls_max_version, "tls-max-version", "tls-max-version", "", 0, "TLS1.2 or TLS1.3; the highest when empty.")

GROUP("Auth")
FLAG(STR, auth_token, "auth-token", "auth-token", "simple", 0,
     "simple, or jwt,sign-method=M,pub-key=FILE,priv-key=FILE,ttl=DURATION.")
FLAG(UINT, bcrypt_cost, "bcrypt-cost", "bcrypt-cost", "10", 0, "Cost of hashing a new password, 4 to 31.")
FLAG(UINT, auth_token_ttl_s, "auth-token-ttl", "auth-token-ttl", "300", 0,
     "Seconds after which an unused simple token ends.")

GROUP("Profiling and Monitoring")
FLAG(BOOL, enable_pprof, "enable-pprof", "enable-pprof", "false", 0, "Serve /debug/pprof/: threads and command line; there is no Go runtime to profile.")
FLAG(STR, metrics, "metrics", "metrics", "basic", 0, "basic; extensive adds a histogram per RPC.")
FLAG(URLS, listen_metrics_urls, "listen-metrics-urls", "listen-metrics-urls", "", 0,
     "URLs to listen on for /metrics and the health endpoints alone.")

GROUP("Logging")
FLAG(STR, logger, "logger", "logger", "zap", 0, "zap, the only one.")
FLAG(SET, log_outputs, "log-outputs", "log-outputs", "default", 0,
     "default, stderr, stdout, systemd/journal or names of files, joined by commas.")
FLAG(STR, log_level, "log-level", "log-level", "info", 0, "debug, info, warn, error, panic or fatal.")
FLAG(STR, log_format, "log-format", "log-format", "json", 0, "json or console.")
FLAG(BOOL, enable_log_rotation, "enable-log-rotation", "enable-log-rotation", "false", 0,
     "Rotate the one file in log-outputs.")
FLAG(STR, log_rotation_config_json, "log-rotation-config-json", "log-rotation-config-json",
     "{\"maxsize\": 100, \"maxage\": 0, \"maxbackups\": 0, \"localtime\": false, \"compress\": false}", 0,
     "When to rotate (MB, days), how many files to keep, local time in their names, gzip.")
FLAG(DURATION, warning_unary_request_duration_ns, "warning-unary-request-duration", "warning-unary-request-duration",
     "300ms", 0, "Unary calls that take longer are logged.")

GROUP("Distributed tracing")
FLAG(BOOL, enable_distributed_tracing, "enable-distributed-tracing", "enable-distributed-tracing", "false", 0,
     "Send spans to a collector.")
FLAG(STR, distributed_tracing_address, "distributed-tracing-address", "distributed-tracing-address", "localhost:4317",
     0, "Address of the collector.")
FLAG(STR, distributed_tracing_service_name, "distributed-tracing-service-name", "distributed-tracing-service-name",
     "etcd", 0, "Service name, the same on all members.")
FLAG(STR, distributed_tracing_instance_id, "distributed-tracing-instance-id", "distributed-tracing-instance-id", "", 0,
     "Instance name, different on each member.")
FLAG(INT, distributed_tracing_sampling_rate, "distributed-tracing-sampling-rate", "distributed-tracing-sampling-rate",
     "0", 0, "Spans to send of a million.")

GROUP("Features")
FLAG(DURATION, corrupt_check_time_ns, "corrupt-check-time", "corrupt-check-time", "0s", 0,
     "Time between two comparisons of all members' data, 0 for never.")
FLAG(DURATION, compact_hash_check_time_ns, "compact-hash-check-time", "compact-hash-check-time", "1m", 0,
     "Time between two comparisons of compaction hashes by the leader.")
FLAG(INT, compaction_batch_limit, "compaction-batch-limit", "compaction-batch-limit", "0", 0,
     "Revisions deleted in one step of a compaction; 0 for 1000.")
FLAG(DURATION, compaction_sleep_interval_ns, "compaction-sleep-interval", "compaction-sleep-interval", "0s", 0,
     "Pause between two steps of a compaction; 0 for 10ms.")
FLAG(BOOL, peer_skip_client_san_verification, "peer-skip-client-san-verification",
     "peer-transport-security.skip-client-san-verification", "false", 0,
     "Do not check the host names in members' certificates.")
FLAG(DURATION, watch_progress_notify_interval_ns, "watch-progress-notify-interval", "watch-progress-notify-interval",
     "0s", 0, "Time between two progress notices to a watcher; 0 for 10m.")
FLAG(DURATION, warning_apply_duration_ns, "warning-apply-duration", "warning-apply-duration", "100ms", 0,
     "Reads and applied entries that take longer are logged.")
FLAG(UINT, bootstrap_defrag_threshold_megabytes, "bootstrap-defrag-threshold-megabytes",
     "bootstrap-defrag-threshold-megabytes", "0", 0, "Shrink the database at the start if that frees so much; 0 never.")
FLAG(INT, max_learners, "max-learners", "max-learners", "1", 0, "Learners allowed in the cluster.")
FLAG(DURATION, downgrade_check_time_ns, "downgrade-check-time", "downgrade-check-time", "5s", 0,
     "Time between two checks whether a downgrade is done.")
FLAG(UINT64, snapshot_catchup_entries, "snapshot-catchup-entries", "snapshot-catchup-entries", "5000", 0,
     "Entries kept in memory for slow members after a raft snapshot.")

GROUP("Unsafe feature")
FLAG(BOOL, force_new_cluster, "force-new-cluster", "force-new-cluster", "false", 0,
     "Make this member's data a cluster of one.")
FLAG(BOOL, unsafe_no_fsync, "unsafe-no-fsync", "unsafe-no-fsync", "false", 0,
     "Never wait for the disk. Data will be lost at a crash.")
