"""Who may do what: sections of sections.py about users, tokens and permissions."""
import atexit
import base64
import json
import os
import shutil
import tempfile
import time

import grpc

from etcdapi import Api, auth, election, lock, rpc
from sections import C, D, END, Op, P, R, T, compare, section

HERE = os.path.dirname(os.path.abspath(__file__))
READ, WRITE, READWRITE = auth.Permission.READ, auth.Permission.WRITE, auth.Permission.READWRITE


def verdict(f):
    try:
        f()
        return "ok"
    except grpc.RpcError as e:
        return "%s: %s" % (e.code().name, e.details())


def verdict_again(api):
    """Once the channel has found the server again."""
    while True:
        v = verdict(lambda: api.call("KV/Range", R(key=b"rw/k")))
        if not v.startswith("UNAVAILABLE"):
            return v
        time.sleep(0.1)


def login(t, name, password):
    return t.api.with_token(t.api.call("Auth/Authenticate", rpc.AuthenticateRequest(name=name, password=password)).token)


def users(t):
    """root; u, who reads r/, writes w/, does both below rw/; empty, who has no role; gone, deleted after logging in."""
    call = t.api.call
    for role, rights in (("reader", [(READ, b"r/", b"r0")]), ("writer", [(WRITE, b"w/", b"w0"), (WRITE, b"rw/", b"rw0")]),
                         ("both", [(READ, b"rw/", b"rw0"), (READWRITE, b"rw0", b"rw1")])):
        call("Auth/RoleAdd", rpc.AuthRoleAddRequest(name=role))
        for kind, key, end in rights:
            call("Auth/RoleGrantPermission", rpc.AuthRoleGrantPermissionRequest(
                name=role, perm=auth.Permission(permType=kind, key=key, range_end=end)))
    for name, roles in (("root", ["root"]), ("u", ["reader", "writer", "both"]), ("empty", []), ("gone", ["both"])):
        call("Auth/UserAdd", rpc.AuthUserAddRequest(name=name, password=name + "pw"))
        for role in roles:
            call("Auth/UserGrantRole", rpc.AuthUserGrantRoleRequest(user=name, role=role))


def credentials(t):
    everybody = {name: login(t, name, name + "pw") for name in ("gone", "u", "empty", "root")}
    everybody["root"].call("Auth/UserDelete", rpc.AuthUserDeleteRequest(name="gone"))
    everybody["nobody"] = t.api
    for text in ("nonsense", "aaaaaaaaaaaaaaaa.1", "a.b", "a.1.2", ""):
        everybody["token %r" % text] = t.api.with_token(text)
    return everybody


def single_requests():
    """(name, operation, RPC, request): each kind with each field that needs a right of its own, in places with each right."""
    for p in (b"r/", b"w/", b"rw/", b"n/"):
        for name, more in (("", {}), (" prev_kv", dict(prev_kv=True)), (" lease of n/", dict(lease=7)), (" lease of rw/", dict(lease=8)),
                           (" lease without keys", dict(lease=9)), (" unknown lease", dict(lease=99))):
            q = P(key=p + b"k", value=b"v", **more)
            yield "put %s%s" % (p.decode(), name), Op(request_put=q), "KV/Put", q
        for name, end in (("", b""), (" prefix", p[:-1] + b"0"), (" beyond", b"z"), (" from key", END), (" backwards", b"a")):
            q = R(key=p + b"k" if not end else p, range_end=end, limit=1)
            yield "range %s%s" % (p.decode(), name), Op(request_range=q), "KV/Range", q
            for prev in (False, True):
                q = D(key=p + b"gone" if not end else p + b"none", range_end=end if end == b"a" else p + b"nonf" if end else b"",
                      prev_kv=prev)
                yield "delete %s%s%s" % (p.decode(), name, " prev_kv" if prev else ""), Op(request_delete_range=q), "KV/DeleteRange", q
    for key, end in ((b"rw/", b"rw1"), (b"rw/", b"rw0\0"), (b"rw/", b"rw2"), (b"q", b"r/"), (b"r/", b"r0\0")):
        q = R(key=key, range_end=end, limit=1)
        yield "range %r to %r" % (key, end), Op(request_range=q), "KV/Range", q


@section
def auth_matrix(t):
    """Each request x place (by itself, in a txn, in a nested one, in a branch not taken) x field x caller."""
    users(t)
    call = t.api.call
    for lease in (7, 8, 9):
        call("Lease/LeaseGrant", rpc.LeaseGrantRequest(ID=lease, TTL=6000))
    for key, lease in ((b"r/k", 0), (b"w/k", 0), (b"rw/k", 0), (b"n/k", 0), (b"n/leased", 7), (b"rw/leased", 8)):
        call("KV/Put", P(key=key, value=b"1", lease=lease))
    call("Auth/AuthEnable", rpc.AuthEnableRequest())
    everybody = credentials(t)
    for name, op, method, request in single_requests():
        places = [("alone", method, request)]
        never = compare(b"rw/k", C.VERSION, C.LESS, version=0)
        for place, q in (("then", T(success=[op])), ("else, not taken", T(failure=[op])), ("then, not taken", T(compare=[never], success=[op])),
                         ("nested", T(success=[Op(request_txn=T(success=[op]))])),
                         ("nested twice, not taken", T(failure=[Op(request_txn=T(failure=[Op(request_txn=T(success=[op]))]))]))):
            places.append((place, "KV/Txn", q))
        if method == "KV/Range":
            q = compare(request.key, C.VERSION, C.GREATER, version=100)
            q.range_end = request.range_end
            places.append(("compared", "KV/Txn", T(compare=[q])))
            places.append(("compared in a nested one", "KV/Txn", T(failure=[Op(request_txn=T(compare=[q]))])))
        for place, method_, q in places:
            for who in ("nobody", "u", "empty", "root"):
                t.say("%s %s by %s: %s" % (name, place, who, verdict(lambda: everybody[who].call(method_, q))))
    t.title("callers")
    for who, api in everybody.items():
        for method, q in (("KV/Range", R(key=b"rw/k")), ("KV/Put", P(key=b"rw/k")), ("KV/Txn", T(success=[Op(request_range=R(key=b"rw/k"))])),
                          ("KV/Txn", T()), ("Auth/AuthStatus", rpc.AuthStatusRequest()), ("KV/Range", R())):
            t.say("%s by %s: %s" % (method, who, verdict(lambda: api.call(method, q))))
    t.title("watches")
    for who, api in everybody.items():
        s = api.stream("Watch/Watch")
        for key, end in ((b"rw/k", b""), (b"rw/", b"rw1"), (b"rw/", END), (b"", END), (b"n/", b""), (b"w/", b"w0"), (b"z", b"a")):
            s.send(rpc.WatchRequest(create_request=rpc.WatchCreateRequest(key=key, range_end=end)))
            r = s.next()
            t.say("watch %r %r by %s: %s %s" % (key, end, who, r.canceled, r.cancel_reason))
        s.close()
    others(t, everybody)


def others(t, everybody):
    t.title("everything else")
    A = rpc.AlarmRequest
    P_ = auth.Permission(permType=READ, key=b"k")
    requests = [
        ("KV/Compact", rpc.CompactionRequest(revision=2)), ("Lease/LeaseGrant", rpc.LeaseGrantRequest(ID=7, TTL=60)),
        ("Lease/LeaseTimeToLive", rpc.LeaseTimeToLiveRequest(ID=7)), ("Lease/LeaseTimeToLive", rpc.LeaseTimeToLiveRequest(ID=7, keys=True)),
        ("Lease/LeaseTimeToLive", rpc.LeaseTimeToLiveRequest(ID=8, keys=True)), ("Lease/LeaseTimeToLive", rpc.LeaseTimeToLiveRequest(ID=99, keys=True)),
        ("Lease/LeaseLeases", rpc.LeaseLeasesRequest()), ("Lease/LeaseRevoke", rpc.LeaseRevokeRequest(ID=99)),
        ("Cluster/MemberList", rpc.MemberListRequest()), ("Cluster/MemberAdd", rpc.MemberAddRequest(peerURLs=["nonsense"])),
        ("Cluster/MemberAdd", rpc.MemberAddRequest(peerURLs=["http://127.0.0.1:2380"])),
        ("Cluster/MemberRemove", rpc.MemberRemoveRequest(ID=1)), ("Cluster/MemberUpdate", rpc.MemberUpdateRequest(ID=1, peerURLs=["x"])),
        ("Cluster/MemberPromote", rpc.MemberPromoteRequest(ID=1)), ("Maintenance/Alarm", A(action=A.GET)),
        ("Maintenance/Alarm", A(action=A.ACTIVATE)), ("Maintenance/Alarm", A(action=A.DEACTIVATE, memberID=1, alarm=rpc.NOSPACE)),
        ("Maintenance/Status", rpc.StatusRequest()), ("Maintenance/Defragment", rpc.DefragmentRequest()),
        ("Maintenance/Hash", rpc.HashRequest()), ("Maintenance/HashKV", rpc.HashKVRequest()),
        ("Maintenance/MoveLeader", rpc.MoveLeaderRequest(targetID=1)), ("Maintenance/Downgrade", rpc.DowngradeRequest(version="3.6")),
        ("Maintenance/Downgrade", rpc.DowngradeRequest(version="x")), ("Auth/AuthEnable", rpc.AuthEnableRequest()),
        ("Auth/UserGet", rpc.AuthUserGetRequest(name="u")), ("Auth/UserGet", rpc.AuthUserGetRequest(name="empty")),
        ("Auth/UserGet", rpc.AuthUserGetRequest(name="none")), ("Auth/UserList", rpc.AuthUserListRequest()),
        ("Auth/RoleGet", rpc.AuthRoleGetRequest(role="reader")), ("Auth/RoleGet", rpc.AuthRoleGetRequest(role="none")),
        ("Auth/RoleList", rpc.AuthRoleListRequest()), ("Auth/UserAdd", rpc.AuthUserAddRequest(name="u")),
        ("Auth/UserDelete", rpc.AuthUserDeleteRequest(name="none")), ("Auth/UserChangePassword", rpc.AuthUserChangePasswordRequest(name="none")),
        ("Auth/UserGrantRole", rpc.AuthUserGrantRoleRequest(user="u", role="none")),
        ("Auth/UserRevokeRole", rpc.AuthUserRevokeRoleRequest(name="u", role="none")), ("Auth/RoleAdd", rpc.AuthRoleAddRequest(name="both")),
        ("Auth/RoleDelete", rpc.AuthRoleDeleteRequest(role="none")),
        ("Auth/RoleGrantPermission", rpc.AuthRoleGrantPermissionRequest(name="none", perm=P_)),
        ("Auth/RoleGrantPermission", rpc.AuthRoleGrantPermissionRequest(name="both")),
        ("Auth/RoleRevokePermission", rpc.AuthRoleRevokePermissionRequest(role="both", key=b"none")),
        ("Lock/Unlock", lock.UnlockRequest(key=b"rw/none")), ("Lock/Unlock", lock.UnlockRequest(key=b"n/none")),
        ("Election/Leader", election.LeaderRequest(name=b"rw")), ("Election/Leader", election.LeaderRequest(name=b"n")),
    ]
    for method, q in requests:
        for who, api in everybody.items():
            t.say("%s by %s: %s" % (method, who, verdict(lambda: api.call(method, q))))
    for who, api in everybody.items():
        t.say("snapshot by %s: %s" % (who, verdict(lambda: sum(len(m.blob) for m in api.server_stream("Maintenance/Snapshot", rpc.SnapshotRequest())))))
        t.say("range stream by %s: %s" % (who, verdict(lambda: list(api.server_stream("KV/RangeStream", R(key=b"rw/", range_end=b"rw0"))))))
        t.say("range stream of all by %s: %s" % (who, verdict(lambda: list(api.server_stream("KV/RangeStream", R(key=END, range_end=END))))))
        for lease in (7, 8, 9, 99):
            t.say("keep alive %d by %s: %s" % (lease, who, verdict(lambda: keep_alive(api, lease))))
    t.title("locks")
    for who in ("nobody", "u", "empty", "root"):
        for name in (b"rw/l", b"n/l", b"w/l"):
            t.say("lock %r by %s: %s" % (name, who, verdict(lambda: everybody[who].call("Lock/Lock", lock.LockRequest(name=name, lease=9)))))
    t.title("leases with keys")
    for lease in (7, 8):
        for who in ("nobody", "empty", "u"):
            t.say("revoke %d by %s: %s" % (lease, who, verdict(lambda: everybody[who].call("Lease/LeaseRevoke", rpc.LeaseRevokeRequest(ID=lease)))))
    t.say("revoke 7 by root: %s" % verdict(lambda: everybody["root"].call("Lease/LeaseRevoke", rpc.LeaseRevokeRequest(ID=7))))
    t.title("over HTTP")
    token = everybody["u"].metadata[0][1]
    key = base64.b64encode(b"rw/k").decode()
    for headers in ({}, {"Authorization": token}, {"Authorization": "Bearer " + token}, {"Grpc-Metadata-Token": token},
                    {"Grpc-Metadata-Authorization": token}, {"Authorization": "nonsense"}, {"Authorization": "nonsense", "Grpc-Metadata-Token": token},
                    {"Authorization": token, "Grpc-Metadata-Token": "nonsense"}, {"authorization": "bearer " + token}):
        for path, body in (("kv/range", {"key": key, "keys_only": True}), ("auth/user/list", {})):
            t.gateway(path, body, **headers)


def keep_alive(api, lease):
    s = api.stream("Lease/LeaseKeepAlive")
    try:
        s.send(rpc.LeaseKeepAliveRequest(ID=lease))
        r = s.next()
        if isinstance(r, grpc.RpcError):
            raise r
    finally:
        s.close()


@section
def tokens(t):
    users(t)
    t.api.call("Auth/AuthEnable", rpc.AuthEnableRequest())
    use = lambda name, api: t.say("%s: %s" % (name, verdict(lambda: api.call("KV/Range", R(key=b"rw/k")))))
    u, idle, root = login(t, "u", "upw"), login(t, "u", "upw"), login(t, "root", "rootpw")
    t.title("a token lives as long as it is used")
    for _ in range(5):
        time.sleep(0.9)
        use("used", u)
        root.call("KV/Range", R(key=b"rw/k"))
    use("idle", idle)
    t.title("what ends tokens")
    use("another user", u)
    root.call("Auth/UserChangePassword", rpc.AuthUserChangePasswordRequest(name="empty", password="new"))
    use("another one's password", u)
    root.call("Auth/RoleGrantPermission", rpc.AuthRoleGrantPermissionRequest(name="both", perm=auth.Permission(permType=READ, key=b"q")))
    use("role changed", u)
    root.call("Auth/UserChangePassword", rpc.AuthUserChangePasswordRequest(name="u", password="new"))
    use("password changed", u)
    t.say("old password: %s" % verdict(lambda: login(t, "u", "upw")))
    u = login(t, "u", "new")
    use("new password", u)
    root.call("Auth/UserDelete", rpc.AuthUserDeleteRequest(name="u"))
    use("deleted", u)
    root.call("Auth/AuthDisable", rpc.AuthDisableRequest())
    use("auth off", u)
    t.api.call("Auth/AuthEnable", rpc.AuthEnableRequest())
    use("auth on again", root)
    root = login(t, "root", "rootpw")
    use("logged in again", root)
    t.title("a restart ends them")
    t.server.stop()
    t.server.start()
    t.say(verdict_again(root))
    t.say("log in: %s" % verdict(lambda: Api(t.server.target).call("Auth/Authenticate", rpc.AuthenticateRequest(name="root", password="rootpw"))))


tokens.flags = ["--auth-token-ttl=2"]

KEYS = tempfile.mkdtemp(prefix="etcdkeys")
atexit.register(shutil.rmtree, KEYS, True)


def key_files():
    """Of the first RS256 token of the unit tests."""
    with open(os.path.join(HERE, "..", "unit", "auth", "testdata", "tokens.txt")) as f:
        words = next(line for line in f if line.startswith("jwt RS256 ")).split()
    for name, text in (("private", words[2]), ("public", words[3])):
        with open(os.path.join(KEYS, name), "wb") as f:
            f.write(base64.b64decode(text))


key_files()


@section
def jwt(t):
    users(t)
    t.api.call("Auth/AuthEnable", rpc.AuthEnableRequest())
    use = lambda name, api: t.say("%s: %s" % (name, verdict(lambda: api.call("KV/Range", R(key=b"rw/k")))))
    put = lambda name, api: t.say("%s: %s" % (name, verdict(lambda: api.call("KV/Put", P(key=b"rw/k")))))
    u, root = login(t, "u", "upw"), login(t, "root", "rootpw")
    head, claims, _ = u.metadata[0][1].split(".")
    decode = lambda part: base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)).decode()
    t.say(decode(head))
    claims = json.loads(decode(claims))
    t.say("%s exp in %d s" % (sorted((k, v) for k, v in claims.items() if k != "exp"), round((claims["exp"] - time.time()) / 10) * 10))
    use("reads", u)
    put("writes", u)
    text = u.metadata[0][1]
    use("damaged", t.api.with_token(text[:-2]))
    use("with another header", t.api.with_token("eyJhbGciOiJub25lIn0." + text.split(".", 1)[1]))
    use("simple", t.api.with_token("aaaaaaaaaaaaaaaa.1"))
    use("bearer", t.api.with_token("Bearer " + text))
    t.call("Auth/Authenticate", name="u", password="wrong")
    root.call("Auth/UserChangePassword", rpc.AuthUserChangePasswordRequest(name="empty", password="new"))
    use("anything changed", u)
    put("anything changed", u)
    t.say("root lists: %s" % verdict(lambda: root.call("Auth/UserList", rpc.AuthUserListRequest())))
    u = login(t, "u", "upw")
    use("again", u)
    t.server.stop()
    t.server.start()
    t.say("after a restart: %s" % verdict_again(u))


jwt.flags = ["--auth-token=jwt,sign-method=RS256,ttl=10m,priv-key=%s,pub-key=%s" % (os.path.join(KEYS, "private"), os.path.join(KEYS, "public"))]


@section
def jwt_verify_only(t):
    users(t)
    t.api.call("Auth/AuthEnable", rpc.AuthEnableRequest())
    t.call("Auth/Authenticate", name="root", password="rootpw")
    t.call("Auth/Authenticate", name="root", password="wrong")
    t.call("KV/Range", key=b"rw/k")


jwt_verify_only.flags = ["--auth-token=jwt,sign-method=RS256,pub-key=%s" % os.path.join(KEYS, "public")]
