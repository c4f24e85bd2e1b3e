/* Every RPC, one row each; hot ones first, a search goes from the top.
 *
 * RPC(symbol, service, name, request, response, stream, permission, learner, consistency, log field,
 *     gateway path, second gateway path)
 * No include guard on purpose: include with RPC defined. */

/* etcdserverpb.KV */
RPC(RANGE, "etcdserverpb.KV", "Range", etcdserverpb__range_request, etcdserverpb__range_response,
    UNARY, RANGE, IF_SERIALIZABLE, READ_OR_LOCAL, 0, "/v3/kv/range", "")
RPC(RANGE_STREAM, "etcdserverpb.KV", "RangeStream", etcdserverpb__range_request, etcdserverpb__range_stream_response,
    SERVER_STREAM, RANGE, REFUSES, READ_OR_LOCAL, 0, "", "")
RPC(PUT, "etcdserverpb.KV", "Put", etcdserverpb__put_request, etcdserverpb__put_response,
    UNARY, PUT, REFUSES, LOG, REQ_PUT, "/v3/kv/put", "")
RPC(DELETE_RANGE, "etcdserverpb.KV", "DeleteRange", etcdserverpb__delete_range_request, etcdserverpb__delete_range_response,
    UNARY, DELETE, REFUSES, LOG, REQ_DELETE_RANGE, "/v3/kv/deleterange", "")
RPC(TXN, "etcdserverpb.KV", "Txn", etcdserverpb__txn_request, etcdserverpb__txn_response,
    UNARY, TXN, REFUSES, LOG_OR_READ, REQ_TXN, "/v3/kv/txn", "")
RPC(COMPACT, "etcdserverpb.KV", "Compact", etcdserverpb__compaction_request, etcdserverpb__compaction_response,
    UNARY, ROOT, REFUSES, LOG, REQ_COMPACTION, "/v3/kv/compaction", "")

/* etcdserverpb.Watch */
RPC(WATCH, "etcdserverpb.Watch", "Watch", etcdserverpb__watch_request, etcdserverpb__watch_response,
    BIDI, WATCH, REFUSES, LOCAL, 0, "/v3/watch", "")

/* etcdserverpb.Lease */
RPC(LEASE_GRANT, "etcdserverpb.Lease", "LeaseGrant", etcdserverpb__lease_grant_request, etcdserverpb__lease_grant_response,
    UNARY, USER, REFUSES, LOG, REQ_LEASE_GRANT, "/v3/lease/grant", "")
RPC(LEASE_REVOKE, "etcdserverpb.Lease", "LeaseRevoke", etcdserverpb__lease_revoke_request, etcdserverpb__lease_revoke_response,
    UNARY, LEASE_REVOKE, REFUSES, LOG, REQ_LEASE_REVOKE, "/v3/lease/revoke", "/v3/kv/lease/revoke")
RPC(LEASE_KEEP_ALIVE, "etcdserverpb.Lease", "LeaseKeepAlive", etcdserverpb__lease_keep_alive_request, etcdserverpb__lease_keep_alive_response,
    BIDI, LEASE_KEEP_ALIVE, REFUSES, LEADER, 0, "/v3/lease/keepalive", "")
RPC(LEASE_TIME_TO_LIVE, "etcdserverpb.Lease", "LeaseTimeToLive", etcdserverpb__lease_time_to_live_request, etcdserverpb__lease_time_to_live_response,
    UNARY, LEASE_TTL, REFUSES, LEADER, 0, "/v3/lease/timetolive", "/v3/kv/lease/timetolive")
RPC(LEASE_LEASES, "etcdserverpb.Lease", "LeaseLeases", etcdserverpb__lease_leases_request, etcdserverpb__lease_leases_response,
    UNARY, LEASE_LIST, REFUSES, LOCAL, 0, "/v3/lease/leases", "/v3/kv/lease/leases")

/* etcdserverpb.Cluster */
RPC(MEMBER_ADD, "etcdserverpb.Cluster", "MemberAdd", etcdserverpb__member_add_request, etcdserverpb__member_add_response,
    UNARY, ROOT, REFUSES, CONF_CHANGE, 0, "/v3/cluster/member/add", "")
RPC(MEMBER_REMOVE, "etcdserverpb.Cluster", "MemberRemove", etcdserverpb__member_remove_request, etcdserverpb__member_remove_response,
    UNARY, ROOT, REFUSES, CONF_CHANGE, 0, "/v3/cluster/member/remove", "")
RPC(MEMBER_UPDATE, "etcdserverpb.Cluster", "MemberUpdate", etcdserverpb__member_update_request, etcdserverpb__member_update_response,
    UNARY, ROOT, REFUSES, CONF_CHANGE, 0, "/v3/cluster/member/update", "")
RPC(MEMBER_LIST, "etcdserverpb.Cluster", "MemberList", etcdserverpb__member_list_request, etcdserverpb__member_list_response,
    UNARY, USER, REFUSES, READ_OR_LOCAL, 0, "/v3/cluster/member/list", "")
RPC(MEMBER_PROMOTE, "etcdserverpb.Cluster", "MemberPromote", etcdserverpb__member_promote_request, etcdserverpb__member_promote_response,
    UNARY, ROOT, REFUSES, CONF_CHANGE, 0, "/v3/cluster/member/promote", "")

/* etcdserverpb.Maintenance */
RPC(ALARM, "etcdserverpb.Maintenance", "Alarm", etcdserverpb__alarm_request, etcdserverpb__alarm_response,
    UNARY, ALARM, REFUSES, LOG, REQ_ALARM, "/v3/maintenance/alarm", "")
RPC(STATUS, "etcdserverpb.Maintenance", "Status", etcdserverpb__status_request, etcdserverpb__status_response,
    UNARY, USER, SERVES, LOCAL, 0, "/v3/maintenance/status", "")
RPC(DEFRAGMENT, "etcdserverpb.Maintenance", "Defragment", etcdserverpb__defragment_request, etcdserverpb__defragment_response,
    UNARY, ROOT, REFUSES, LOCAL, 0, "/v3/maintenance/defragment", "")
RPC(HASH, "etcdserverpb.Maintenance", "Hash", etcdserverpb__hash_request, etcdserverpb__hash_response,
    UNARY, ROOT, REFUSES, LOCAL, 0, "/v3/maintenance/hash", "")
RPC(HASH_KV, "etcdserverpb.Maintenance", "HashKV", etcdserverpb__hash_kvrequest, etcdserverpb__hash_kvresponse,
    UNARY, ROOT, REFUSES, LOCAL, 0, "/v3/maintenance/hashkv", "")
RPC(SNAPSHOT, "etcdserverpb.Maintenance", "Snapshot", etcdserverpb__snapshot_request, etcdserverpb__snapshot_response,
    SERVER_STREAM, ROOT, SERVES, LOCAL, 0, "/v3/maintenance/snapshot", "")
RPC(MOVE_LEADER, "etcdserverpb.Maintenance", "MoveLeader", etcdserverpb__move_leader_request, etcdserverpb__move_leader_response,
    UNARY, ROOT, REFUSES, LEADER, 0, "/v3/maintenance/transfer-leadership", "")
RPC(DOWNGRADE, "etcdserverpb.Maintenance", "Downgrade", etcdserverpb__downgrade_request, etcdserverpb__downgrade_response,
    UNARY, ROOT, REFUSES, READ_THEN_LOG, 0, "/v3/maintenance/downgrade", "")

/* etcdserverpb.Auth */
RPC(AUTH_ENABLE, "etcdserverpb.Auth", "AuthEnable", etcdserverpb__auth_enable_request, etcdserverpb__auth_enable_response,
    UNARY, ROOT, REFUSES, LOG, REQ_AUTH_ENABLE, "/v3/auth/enable", "")
RPC(AUTH_DISABLE, "etcdserverpb.Auth", "AuthDisable", etcdserverpb__auth_disable_request, etcdserverpb__auth_disable_response,
    UNARY, ROOT, REFUSES, LOG, REQ_AUTH_DISABLE, "/v3/auth/disable", "")
RPC(AUTH_STATUS, "etcdserverpb.Auth", "AuthStatus", etcdserverpb__auth_status_request, etcdserverpb__auth_status_response,
    UNARY, PUBLIC, REFUSES, LOG, REQ_AUTH_STATUS, "/v3/auth/status", "")
RPC(AUTHENTICATE, "etcdserverpb.Auth", "Authenticate", etcdserverpb__authenticate_request, etcdserverpb__authenticate_response,
    UNARY, PUBLIC, REFUSES, LOG, REQ_AUTHENTICATE, "/v3/auth/authenticate", "")
RPC(USER_ADD, "etcdserverpb.Auth", "UserAdd", etcdserverpb__auth_user_add_request, etcdserverpb__auth_user_add_response,
    UNARY, ROOT, REFUSES, LOG, REQ_USER_ADD, "/v3/auth/user/add", "")
RPC(USER_GET, "etcdserverpb.Auth", "UserGet", etcdserverpb__auth_user_get_request, etcdserverpb__auth_user_get_response,
    UNARY, USER_GET, REFUSES, LOG, REQ_USER_GET, "/v3/auth/user/get", "")
RPC(USER_LIST, "etcdserverpb.Auth", "UserList", etcdserverpb__auth_user_list_request, etcdserverpb__auth_user_list_response,
    UNARY, ROOT, REFUSES, LOG, REQ_USER_LIST, "/v3/auth/user/list", "")
RPC(USER_DELETE, "etcdserverpb.Auth", "UserDelete", etcdserverpb__auth_user_delete_request, etcdserverpb__auth_user_delete_response,
    UNARY, ROOT, REFUSES, LOG, REQ_USER_DELETE, "/v3/auth/user/delete", "")
RPC(USER_CHANGE_PASSWORD, "etcdserverpb.Auth", "UserChangePassword", etcdserverpb__auth_user_change_password_request, etcdserverpb__auth_user_change_password_response,
    UNARY, ROOT, REFUSES, LOG, REQ_USER_CHANGE_PASSWORD, "/v3/auth/user/changepw", "")
RPC(USER_GRANT_ROLE, "etcdserverpb.Auth", "UserGrantRole", etcdserverpb__auth_user_grant_role_request, etcdserverpb__auth_user_grant_role_response,
    UNARY, ROOT, REFUSES, LOG, REQ_USER_GRANT_ROLE, "/v3/auth/user/grant", "")
RPC(USER_REVOKE_ROLE, "etcdserverpb.Auth", "UserRevokeRole", etcdserverpb__auth_user_revoke_role_request, etcdserverpb__auth_user_revoke_role_response,
    UNARY, ROOT, REFUSES, LOG, REQ_USER_REVOKE_ROLE, "/v3/auth/user/revoke", "")
RPC(ROLE_ADD, "etcdserverpb.Auth", "RoleAdd", etcdserverpb__auth_role_add_request, etcdserverpb__auth_role_add_response,
    UNARY, ROOT, REFUSES, LOG, REQ_ROLE_ADD, "/v3/auth/role/add", "")
RPC(ROLE_GET, "etcdserverpb.Auth", "RoleGet", etcdserverpb__auth_role_get_request, etcdserverpb__auth_role_get_response,
    UNARY, ROLE_GET, REFUSES, LOG, REQ_ROLE_GET, "/v3/auth/role/get", "")
RPC(ROLE_LIST, "etcdserverpb.Auth", "RoleList", etcdserverpb__auth_role_list_request, etcdserverpb__auth_role_list_response,
    UNARY, ROOT, REFUSES, LOG, REQ_ROLE_LIST, "/v3/auth/role/list", "")
RPC(ROLE_DELETE, "etcdserverpb.Auth", "RoleDelete", etcdserverpb__auth_role_delete_request, etcdserverpb__auth_role_delete_response,
    UNARY, ROOT, REFUSES, LOG, REQ_ROLE_DELETE, "/v3/auth/role/delete", "")
RPC(ROLE_GRANT_PERMISSION, "etcdserverpb.Auth", "RoleGrantPermission", etcdserverpb__auth_role_grant_permission_request, etcdserverpb__auth_role_grant_permission_response,
    UNARY, ROOT, REFUSES, LOG, REQ_ROLE_GRANT_PERMISSION, "/v3/auth/role/grant", "")
RPC(ROLE_REVOKE_PERMISSION, "etcdserverpb.Auth", "RoleRevokePermission", etcdserverpb__auth_role_revoke_permission_request, etcdserverpb__auth_role_revoke_permission_response,
    UNARY, ROOT, REFUSES, LOG, REQ_ROLE_REVOKE_PERMISSION, "/v3/auth/role/revoke", "")

/* v3lockpb.Lock */
RPC(LOCK_LOCK, "v3lockpb.Lock", "Lock", v3lockpb__lock_request, v3lockpb__lock_response,
    UNARY, BY_PARTS, REFUSES, BY_PARTS, 0, "/v3/lock/lock", "")
RPC(LOCK_UNLOCK, "v3lockpb.Lock", "Unlock", v3lockpb__unlock_request, v3lockpb__unlock_response,
    UNARY, BY_PARTS, REFUSES, BY_PARTS, 0, "/v3/lock/unlock", "")

/* v3electionpb.Election */
RPC(ELECTION_CAMPAIGN, "v3electionpb.Election", "Campaign", v3electionpb__campaign_request, v3electionpb__campaign_response,
    UNARY, BY_PARTS, REFUSES, BY_PARTS, 0, "/v3/election/campaign", "")
RPC(ELECTION_PROCLAIM, "v3electionpb.Election", "Proclaim", v3electionpb__proclaim_request, v3electionpb__proclaim_response,
    UNARY, BY_PARTS, REFUSES, BY_PARTS, 0, "/v3/election/proclaim", "")
RPC(ELECTION_LEADER, "v3electionpb.Election", "Leader", v3electionpb__leader_request, v3electionpb__leader_response,
    UNARY, BY_PARTS, REFUSES, BY_PARTS, 0, "/v3/election/leader", "")
RPC(ELECTION_OBSERVE, "v3electionpb.Election", "Observe", v3electionpb__leader_request, v3electionpb__leader_response,
    SERVER_STREAM, BY_PARTS, REFUSES, BY_PARTS, 0, "/v3/election/observe", "")
RPC(ELECTION_RESIGN, "v3electionpb.Election", "Resign", v3electionpb__resign_request, v3electionpb__resign_response,
    UNARY, BY_PARTS, REFUSES, BY_PARTS, 0, "/v3/election/resign", "")

/* grpc.health.v1.Health */
RPC(HEALTH_CHECK, "grpc.health.v1.Health", "Check", grpc__health__v1__health_check_request, grpc__health__v1__health_check_response,
    UNARY, PUBLIC, REFUSES, LOCAL, 0, "", "")
RPC(HEALTH_LIST, "grpc.health.v1.Health", "List", grpc__health__v1__health_list_request, grpc__health__v1__health_list_response,
    UNARY, PUBLIC, REFUSES, LOCAL, 0, "", "")
RPC(HEALTH_WATCH, "grpc.health.v1.Health", "Watch", grpc__health__v1__health_check_request, grpc__health__v1__health_check_response,
    SERVER_STREAM, PUBLIC, REFUSES, LOCAL, 0, "", "")
