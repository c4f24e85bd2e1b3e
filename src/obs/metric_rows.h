/* Every metric of the server, one row each, in etcd v3.7.1's names, labels and buckets.
 *
 *	COUNTER(symbol, name, labels, help)
 *	GAUGE(symbol, name, labels, help)
 *	READING(symbol, name, help)                     counted by someone else (the kernel), set when read
 *	HISTOGRAM(symbol, name, labels, buckets, help)
 *
 * labels: names joined by commas, in byte order, "" for none: such a metric has one series, always shown.
 * buckets: EXP(first, count, unit) doubles count - 1 times; PER_S and PER_MS are observed in ns and shown in s
 * or ms, PLAIN is shown as observed. No include guard on purpose: include with the four macros defined. */

/* auth */
GAUGE(DEBUGGING_AUTH_REVISION, "etcd_debugging_auth_revision", "", "Auth store revision")

/* etcdhttp */
COUNTER(SERVER_HEALTH_SUCCESS, "etcd_server_health_success", "", "/health answered healthy")
COUNTER(SERVER_HEALTH_FAILURES, "etcd_server_health_failures", "", "/health answered unhealthy")
GAUGE(SERVER_HEALTHCHECK, "etcd_server_healthcheck", "name,type", "Result of last check, 1 ok, 0 failed")
COUNTER(SERVER_HEALTHCHECKS_TOTAL, "etcd_server_healthchecks_total", "name,status,type", "Checks run")

/* membership */
GAUGE(CLUSTER_VERSION, "etcd_cluster_version", "cluster_version", "1 for the cluster version in force")
GAUGE(NETWORK_KNOWN_PEERS, "etcd_network_known_peers", "Local,Remote", "1 per member known, self included")
GAUGE(SERVER_IS_LEARNER, "etcd_server_is_learner", "", "1 if this member is a learner")

/* rafthttp */
GAUGE(NETWORK_ACTIVE_PEERS, "etcd_network_active_peers", "Local,Remote", "1 per peer with an active stream")
COUNTER(NETWORK_DISCONNECTED_PEERS_TOTAL, "etcd_network_disconnected_peers_total", "Local,Remote", "Peer losses")
COUNTER(NETWORK_PEER_SENT_BYTES_TOTAL, "etcd_network_peer_sent_bytes_total", "To", "Bytes sent to peer")
COUNTER(NETWORK_PEER_RECEIVED_BYTES_TOTAL,
	"etcd_network_peer_received_bytes_total", "From", "Bytes received from peer")
COUNTER(NETWORK_PEER_SENT_FAILURES_TOTAL, "etcd_network_peer_sent_failures_total", "To", "Send failures")
COUNTER(NETWORK_PEER_RECEIVED_FAILURES_TOTAL,
	"etcd_network_peer_received_failures_total", "From", "Receive failures")
COUNTER(NETWORK_SNAPSHOT_SEND_SUCCESS, "etcd_network_snapshot_send_success", "To", "Snapshots sent")
GAUGE(NETWORK_SNAPSHOT_SEND_INFLIGHTS_TOTAL,
	"etcd_network_snapshot_send_inflights_total", "To", "Snapshots being sent")
COUNTER(NETWORK_SNAPSHOT_SEND_FAILURES, "etcd_network_snapshot_send_failures", "To", "Failed snapshot sends")
HISTOGRAM(NETWORK_SNAPSHOT_SEND_TOTAL_DURATION_SECONDS,
	  "etcd_network_snapshot_send_total_duration_seconds", "To", EXP(100 * MS, 10, PER_S),
	  "Snapshot send time")
COUNTER(NETWORK_SNAPSHOT_RECEIVE_SUCCESS, "etcd_network_snapshot_receive_success", "From", "Snapshots received")
GAUGE(NETWORK_SNAPSHOT_RECEIVE_INFLIGHTS_TOTAL,
	"etcd_network_snapshot_receive_inflights_total", "From", "Snapshots being received")
COUNTER(NETWORK_SNAPSHOT_RECEIVE_FAILURES,
	"etcd_network_snapshot_receive_failures", "From", "Failed snapshot receives")
HISTOGRAM(NETWORK_SNAPSHOT_RECEIVE_TOTAL_DURATION_SECONDS,
	  "etcd_network_snapshot_receive_total_duration_seconds", "From", EXP(100 * MS, 10, PER_S),
	  "Snapshot receive time")
HISTOGRAM(NETWORK_PEER_ROUND_TRIP_TIME_SECONDS,
	  "etcd_network_peer_round_trip_time_seconds", "To", EXP(100 * US, 16, PER_S),
	  "Peer round trip time")

/* snap */
HISTOGRAM(DEBUGGING_SNAP_SAVE_MARSHALLING_DURATION_SECONDS,
	  "etcd_debugging_snap_save_marshalling_duration_seconds", "", EXP(1 * MS, 14, PER_S),
	  "Time to encode a .snap")
HISTOGRAM(DEBUGGING_SNAP_SAVE_TOTAL_DURATION_SECONDS,
	  "etcd_debugging_snap_save_total_duration_seconds", "", EXP(1 * MS, 14, PER_S),
	  "Time to save a .snap")
HISTOGRAM(SNAP_FSYNC_DURATION_SECONDS, "etcd_snap_fsync_duration_seconds", "", EXP(1 * MS, 14, PER_S),
	  "Fsync of .snap")
HISTOGRAM(SNAP_DB_SAVE_TOTAL_DURATION_SECONDS,
	  "etcd_snap_db_save_total_duration_seconds", "", EXP(100 * MS, 10, PER_S),
	  "Time to save a received .snap.db")
HISTOGRAM(SNAP_DB_FSYNC_DURATION_SECONDS, "etcd_snap_db_fsync_duration_seconds", "", EXP(1 * MS, 14, PER_S),
	  "Fsync of .snap.db")

/* v2store */
COUNTER(DEBUGGING_STORE_READS_TOTAL, "etcd_debugging_store_reads_total", "action", "V2 reads")
COUNTER(DEBUGGING_STORE_WRITES_TOTAL, "etcd_debugging_store_writes_total", "action", "V2 writes")
COUNTER(DEBUGGING_STORE_READS_FAILED_TOTAL, "etcd_debugging_store_reads_failed_total", "action", "V2 failed reads")
COUNTER(DEBUGGING_STORE_WRITES_FAILED_TOTAL,
	"etcd_debugging_store_writes_failed_total", "action", "V2 failed writes")
COUNTER(DEBUGGING_STORE_EXPIRES_TOTAL, "etcd_debugging_store_expires_total", "", "V2 expiries")
COUNTER(DEBUGGING_STORE_WATCH_REQUESTS_TOTAL, "etcd_debugging_store_watch_requests_total", "", "V2 watch requests")
GAUGE(DEBUGGING_STORE_WATCHERS, "etcd_debugging_store_watchers", "", "V2 watchers")

/* v3rpc */
COUNTER(NETWORK_CLIENT_GRPC_SENT_BYTES_TOTAL,
	"etcd_network_client_grpc_sent_bytes_total", "", "GRPC bytes to clients")
COUNTER(NETWORK_CLIENT_GRPC_RECEIVED_BYTES_TOTAL,
	"etcd_network_client_grpc_received_bytes_total", "", "GRPC bytes from clients")
COUNTER(NETWORK_SERVER_STREAM_FAILURES_TOTAL,
	"etcd_network_server_stream_failures_total", "API,Type", "Stream failures")
COUNTER(SERVER_CLIENT_REQUESTS_TOTAL,
	"etcd_server_client_requests_total", "client_api_version,type", "Client calls per client version")
HISTOGRAM(DEBUGGING_SERVER_WATCH_SEND_LOOP_WATCH_STREAM_DURATION_SECONDS,
	  "etcd_debugging_server_watch_send_loop_watch_stream_duration_seconds", "", EXP(1 * MS, 14, PER_S),
	  "Send loop time for events")
HISTOGRAM(DEBUGGING_SERVER_WATCH_SEND_LOOP_WATCH_STREAM_DURATION_PER_EVENT_SECONDS,
	  "etcd_debugging_server_watch_send_loop_watch_stream_duration_per_event_seconds", "", EXP(1 * MS, 14, PER_S),
	  "Send loop time for events, divided by their number")
HISTOGRAM(DEBUGGING_SERVER_WATCH_SEND_LOOP_CONTROL_STREAM_DURATION_SECONDS,
	  "etcd_debugging_server_watch_send_loop_control_stream_duration_seconds", "", EXP(1 * MS, 14, PER_S),
	  "Send loop time for create/cancel")
HISTOGRAM(DEBUGGING_SERVER_WATCH_SEND_LOOP_PROGRESS_DURATION_SECONDS,
	  "etcd_debugging_server_watch_send_loop_progress_duration_seconds", "", EXP(1 * MS, 14, PER_S),
	  "Send loop time for progress")

/* apply */
GAUGE(DEBUGGING_SERVER_ALARMS,
	"etcd_debugging_server_alarms", "alarm_type,server_id", "Alarms raised minus alarms taken back")

/* server */
GAUGE(SERVER_HAS_LEADER, "etcd_server_has_leader", "", "1 if a leader is known")
GAUGE(SERVER_IS_LEADER, "etcd_server_is_leader", "", "1 if this member leads")
COUNTER(SERVER_LEADER_CHANGES_SEEN_TOTAL, "etcd_server_leader_changes_seen_total", "", "Leader changes")
COUNTER(SERVER_LEARNER_PROMOTE_FAILURES, "etcd_server_learner_promote_failures", "Reason", "Failed promotions")
COUNTER(SERVER_LEARNER_PROMOTE_SUCCESSES, "etcd_server_learner_promote_successes", "", "Promotions")
COUNTER(SERVER_HEARTBEAT_SEND_FAILURES_TOTAL, "etcd_server_heartbeat_send_failures_total", "", "Late heartbeats")
GAUGE(SERVER_SNAPSHOT_APPLY_IN_PROGRESS_TOTAL,
	"etcd_server_snapshot_apply_in_progress_total", "", "1 while applying a received snapshot")
GAUGE(SERVER_PROPOSALS_COMMITTED_TOTAL, "etcd_server_proposals_committed_total", "", "Raft commit index")
GAUGE(SERVER_PROPOSALS_APPLIED_TOTAL, "etcd_server_proposals_applied_total", "", "Applied index")
GAUGE(SERVER_PROPOSALS_PENDING, "etcd_server_proposals_pending", "", "Proposals waiting")
COUNTER(SERVER_PROPOSALS_FAILED_TOTAL, "etcd_server_proposals_failed_total", "", "Failed proposals")
HISTOGRAM(SERVER_REQUEST_DURATION_SECONDS,
	  "etcd_server_request_duration_seconds", "success,type", EXP(1 * MS, 14, PER_S),
	  "Request latency")
COUNTER(DEBUGGING_SERVER_LEASE_EXPIRED_TOTAL, "etcd_debugging_server_lease_expired_total", "", "Leases expired")
GAUGE(SERVER_VERSION, "etcd_server_version", "server_version", "1 for this version")
GAUGE(SERVER_ID, "etcd_server_id", "server_id", "1 for the member id")
GAUGE(SERVER_FEATURE_ENABLED, "etcd_server_feature_enabled", "name,stage", "1 enabled, 0 not")
GAUGE(OS_FD_USED, "os_fd_used", "", "Open descriptors")
GAUGE(OS_FD_LIMIT, "os_fd_limit", "", "Descriptor limit")

/* read */
COUNTER(SERVER_SLOW_READ_INDEXES_TOTAL,
	"etcd_server_slow_read_indexes_total", "", "Read index waits that timed out or came late")
COUNTER(SERVER_READ_INDEXES_FAILED_TOTAL, "etcd_server_read_indexes_failed_total", "", "Read index failures")

/* txn */
COUNTER(SERVER_SLOW_APPLY_TOTAL, "etcd_server_slow_apply_total", "", "Slow applies")
HISTOGRAM(SERVER_APPLY_DURATION_SECONDS,
	  "etcd_server_apply_duration_seconds", "op,success,version", EXP(100 * US, 20, PER_S),
	  "Apply time")
HISTOGRAM(SERVER_RANGE_DURATION_SECONDS, "etcd_server_range_duration_seconds", "success", EXP(100 * US, 20, PER_S),
	  "Range time")

/* lease */
COUNTER(DEBUGGING_LEASE_GRANTED_TOTAL, "etcd_debugging_lease_granted_total", "", "Leases granted")
COUNTER(DEBUGGING_LEASE_REVOKED_TOTAL, "etcd_debugging_lease_revoked_total", "", "Leases revoked")
COUNTER(DEBUGGING_LEASE_RENEWED_TOTAL, "etcd_debugging_lease_renewed_total", "", "Leases renewed on leader")
HISTOGRAM(DEBUGGING_LEASE_TTL_TOTAL, "etcd_debugging_lease_ttl_total", "", EXP(1, 24, PLAIN),
	  "TTLs granted")

/* grpcproxy */
GAUGE(GRPC_PROXY_WATCHERS_COALESCING_TOTAL, "etcd_grpc_proxy_watchers_coalescing_total", "", "Coalesced watchers")
COUNTER(GRPC_PROXY_EVENTS_COALESCING_TOTAL, "etcd_grpc_proxy_events_coalescing_total", "", "Coalesced events")
GAUGE(GRPC_PROXY_CACHE_KEYS_TOTAL, "etcd_grpc_proxy_cache_keys_total", "", "Cached ranges")
GAUGE(GRPC_PROXY_CACHE_HITS_TOTAL, "etcd_grpc_proxy_cache_hits_total", "", "Cache hits")
GAUGE(GRPC_PROXY_CACHE_MISSES_TOTAL, "etcd_grpc_proxy_cache_misses_total", "", "Cache misses")

/* backend */
HISTOGRAM(DISK_BACKEND_COMMIT_DURATION_SECONDS,
	  "etcd_disk_backend_commit_duration_seconds", "", EXP(1 * MS, 14, PER_S),
	  "Backend commit time")
HISTOGRAM(DEBUGGING_DISK_BACKEND_COMMIT_REBALANCE_DURATION_SECONDS,
	  "etcd_debugging_disk_backend_commit_rebalance_duration_seconds", "", EXP(1 * MS, 14, PER_S),
	  "Rebalance part")
HISTOGRAM(DEBUGGING_DISK_BACKEND_COMMIT_SPILL_DURATION_SECONDS,
	  "etcd_debugging_disk_backend_commit_spill_duration_seconds", "", EXP(1 * MS, 14, PER_S),
	  "Spill part")
HISTOGRAM(DEBUGGING_DISK_BACKEND_COMMIT_WRITE_DURATION_SECONDS,
	  "etcd_debugging_disk_backend_commit_write_duration_seconds", "", EXP(1 * MS, 14, PER_S),
	  "Write part")
HISTOGRAM(DISK_BACKEND_DEFRAG_DURATION_SECONDS,
	  "etcd_disk_backend_defrag_duration_seconds", "", EXP(100 * MS, 13, PER_S),
	  "Defragmentation time")
HISTOGRAM(DISK_BACKEND_SNAPSHOT_DURATION_SECONDS,
	  "etcd_disk_backend_snapshot_duration_seconds", "", EXP(10 * MS, 17, PER_S),
	  "Backend snapshot time")
GAUGE(DISK_DEFRAG_INFLIGHT, "etcd_disk_defrag_inflight", "", "1 while defragmenting")

/* storage */
GAUGE(SERVER_QUOTA_BACKEND_BYTES, "etcd_server_quota_backend_bytes", "", "Quota in force")

/* mvcc */
COUNTER(MVCC_RANGE_TOTAL, "etcd_mvcc_range_total", "", "Ranges")
COUNTER(MVCC_PUT_TOTAL, "etcd_mvcc_put_total", "", "Puts")
COUNTER(MVCC_DELETE_TOTAL, "etcd_mvcc_delete_total", "", "Deletes")
COUNTER(MVCC_TXN_TOTAL, "etcd_mvcc_txn_total", "", "Transactions")
GAUGE(DEBUGGING_MVCC_KEYS_TOTAL, "etcd_debugging_mvcc_keys_total", "", "Keys")
GAUGE(DEBUGGING_MVCC_WATCH_STREAM_TOTAL, "etcd_debugging_mvcc_watch_stream_total", "", "Watch streams")
GAUGE(DEBUGGING_MVCC_WATCHER_TOTAL, "etcd_debugging_mvcc_watcher_total", "", "Watchers")
GAUGE(DEBUGGING_MVCC_SLOW_WATCHER_TOTAL, "etcd_debugging_mvcc_slow_watcher_total", "", "Unsynced watchers")
COUNTER(DEBUGGING_MVCC_EVENTS_TOTAL, "etcd_debugging_mvcc_events_total", "", "Events sent")
GAUGE(DEBUGGING_MVCC_PENDING_EVENTS_TOTAL, "etcd_debugging_mvcc_pending_events_total", "", "Events pending")
HISTOGRAM(DEBUGGING_MVCC_INDEX_COMPACTION_PAUSE_DURATION_MILLISECONDS,
	  "etcd_debugging_mvcc_index_compaction_pause_duration_milliseconds", "", EXP(500 * US, 14, PER_MS),
	  "Index compaction pauses")
HISTOGRAM(DEBUGGING_MVCC_DB_COMPACTION_PAUSE_DURATION_MILLISECONDS,
	  "etcd_debugging_mvcc_db_compaction_pause_duration_milliseconds", "", EXP(1 * MS, 13, PER_MS),
	  "Db compaction pauses")
HISTOGRAM(DEBUGGING_MVCC_DB_COMPACTION_TOTAL_DURATION_MILLISECONDS,
	  "etcd_debugging_mvcc_db_compaction_total_duration_milliseconds", "", EXP(100 * MS, 14, PER_MS),
	  "Db compaction time")
GAUGE(DEBUGGING_MVCC_DB_COMPACTION_LAST,
	"etcd_debugging_mvcc_db_compaction_last", "", "Unix time of last compaction")
COUNTER(DEBUGGING_MVCC_DB_COMPACTION_KEYS_TOTAL,
	"etcd_debugging_mvcc_db_compaction_keys_total", "", "Keys compacted")
GAUGE(MVCC_DB_TOTAL_SIZE_IN_BYTES, "etcd_mvcc_db_total_size_in_bytes", "", "Db file size")
GAUGE(MVCC_DB_TOTAL_SIZE_IN_USE_IN_BYTES,
	"etcd_mvcc_db_total_size_in_use_in_bytes", "", "Db size without free pages")
GAUGE(MVCC_DB_OPEN_READ_TRANSACTIONS, "etcd_mvcc_db_open_read_transactions", "", "Open read transactions")
HISTOGRAM(MVCC_HASH_DURATION_SECONDS, "etcd_mvcc_hash_duration_seconds", "", EXP(10 * MS, 15, PER_S),
	  "Hash time")
HISTOGRAM(MVCC_HASH_REV_DURATION_SECONDS, "etcd_mvcc_hash_rev_duration_seconds", "", EXP(10 * MS, 15, PER_S),
	  "HashKV time")
GAUGE(DEBUGGING_MVCC_CURRENT_REVISION, "etcd_debugging_mvcc_current_revision", "", "Current revision")
GAUGE(DEBUGGING_MVCC_COMPACT_REVISION, "etcd_debugging_mvcc_compact_revision", "", "Compact revision")
GAUGE(DEBUGGING_MVCC_TOTAL_PUT_SIZE_IN_BYTES,
	"etcd_debugging_mvcc_total_put_size_in_bytes", "", "Bytes put (key+value)")

/* wal */
HISTOGRAM(DISK_WAL_FSYNC_DURATION_SECONDS, "etcd_disk_wal_fsync_duration_seconds", "", EXP(1 * MS, 14, PER_S),
	  "WAL fsync time")
HISTOGRAM(DISK_WAL_WRITE_DURATION_SECONDS, "etcd_disk_wal_write_duration_seconds", "", EXP(1 * MS, 14, PER_S),
	  "WAL write time")
GAUGE(DISK_WAL_WRITE_BYTES_TOTAL, "etcd_disk_wal_write_bytes_total", "", "Bytes written to WAL")

/* grpc */
COUNTER(GRPC_SERVER_STARTED_TOTAL,
	"grpc_server_started_total", "grpc_method,grpc_service,grpc_type", "RPCs started")
COUNTER(GRPC_SERVER_HANDLED_TOTAL,
	"grpc_server_handled_total", "grpc_code,grpc_method,grpc_service,grpc_type", "RPCs finished")
COUNTER(GRPC_SERVER_MSG_RECEIVED_TOTAL,
	"grpc_server_msg_received_total", "grpc_method,grpc_service,grpc_type", "Messages received")
COUNTER(GRPC_SERVER_MSG_SENT_TOTAL,
	"grpc_server_msg_sent_total", "grpc_method,grpc_service,grpc_type", "Messages sent")
HISTOGRAM(GRPC_SERVER_HANDLING_SECONDS,
	  "grpc_server_handling_seconds", "grpc_method,grpc_service,grpc_type", BUCKETS_GRPC,
	  "RPC time")

/* process */
READING(PROCESS_CPU_SECONDS_TOTAL, "process_cpu_seconds_total", "User+system CPU")
GAUGE(PROCESS_MAX_FDS, "process_max_fds", "", "Fd limit")
GAUGE(PROCESS_OPEN_FDS, "process_open_fds", "", "Open fds")
GAUGE(PROCESS_RESIDENT_MEMORY_BYTES, "process_resident_memory_bytes", "", "RSS")
GAUGE(PROCESS_VIRTUAL_MEMORY_BYTES, "process_virtual_memory_bytes", "", "Virtual size")
GAUGE(PROCESS_VIRTUAL_MEMORY_MAX_BYTES, "process_virtual_memory_max_bytes", "", "Limit of the virtual size")
GAUGE(PROCESS_START_TIME_SECONDS, "process_start_time_seconds", "", "Start of the process, seconds since 1970")
READING(PROCESS_NETWORK_RECEIVE_BYTES_TOTAL,
	"process_network_receive_bytes_total", "Bytes received in the network namespace")
READING(PROCESS_NETWORK_TRANSMIT_BYTES_TOTAL,
	"process_network_transmit_bytes_total", "Bytes sent in the network namespace")

/* promhttp */
GAUGE(PROMHTTP_METRIC_HANDLER_REQUESTS_IN_FLIGHT,
	"promhttp_metric_handler_requests_in_flight", "", "Scrapes being served")
COUNTER(PROMHTTP_METRIC_HANDLER_REQUESTS_TOTAL,
	"promhttp_metric_handler_requests_total", "code", "Scrapes by status")
