"""Who may do what, every combination of it: request x place (alone, in a txn, nested, in a branch that is not taken, compared) x field
(prev_kv, lease, range end) x listener (http, https, https that asks for certificates) x caller."""
import atexit
import base64
import http.client
import json
import os
import shutil
import ssl
import sys
import tempfile
import time

import grpc

from etcdapi import Api, auth, election, lock, rpc
from etcdproc import free_port
from sections import C, D, END, Op, P, R, T, compare, section
from sections_auth import HERE, READ, login, users, verdict

sys.path.insert(0, os.path.join(HERE, "..", "tls"))

import authority  # noqa: E402

TTL_S = 6               # of tokens: each that is to live is used far more often
KEPT = {}


def certificates():
    """Of the server, and one with each name of a user, of one that was a user, and of nobody."""
    if not KEPT:
        root = tempfile.mkdtemp(prefix="matrix")
        atexit.register(shutil.rmtree, root, True)
        a = authority.Authority(os.path.join(root, "ca"), whole=False)
        pairs = {name: a.leaf(name) for name in ("u", "empty", "root", "nopw", "gone", "stranger")}
        by_ca = a.ca, a.path("ca-key.pem")
        pairs["nameless"] = a.leaf("nameless", ca=by_ca, subject="/O=etcd")
        pairs["stranger, u"] = a.leaf("two", ca=by_ca, subject="/CN=stranger/CN=u")
        KEPT.update(ca=a.ca, server=a.leaf("server", "DNS:localhost,IP:127.0.0.1"), pairs=pairs)
    return KEPT


def with_https(server):
    c = certificates()
    server.https = free_port()
    return ["--listen-client-urls=%s,https://127.0.0.1:%d" % (server.endpoint, server.https), "--cert-file=" + c["server"][0],
            "--key-file=" + c["server"][1], "--auth-token-ttl=%d" % TTL_S]


def with_certificates(server):
    return with_https(server) + ["--client-cert-auth", "--trusted-ca-file=" + certificates()["ca"]]


def read(path):
    with open(path, "rb") as f:
        return f.read()


def over_tls(t, name=None):
    c = certificates()
    pair = tuple(map(read, c["pairs"][name])) if name else (None, None)
    return Api("127.0.0.1:%d" % t.server.https, ca=read(c["ca"]), pair=pair)


def tokens_of(t):
    """Everybody's token, one that is over its time, and one of a user who is deleted."""
    t.api.call("Auth/UserAdd", rpc.AuthUserAddRequest(name="nopw", options=auth.UserAddOptions(no_password=True)))
    t.api.call("Auth/UserGrantRole", rpc.AuthUserGrantRoleRequest(user="nopw", role="both"))
    t.api.call("Auth/AuthEnable", rpc.AuthEnableRequest())
    expired = login(t, "u", "upw")
    time.sleep(TTL_S + 1.5)
    apis = {name: login(t, name, name + "pw") for name in ("gone", "u", "empty", "root")}
    t.say("no password: %s" % verdict(lambda: login(t, "nopw", "nopwpw")) + ", " + verdict(lambda: login(t, "nopw", "")))
    apis["root"].call("Auth/UserDelete", rpc.AuthUserDeleteRequest(name="gone"))
    tokens = {name: api.metadata[0][1] for name, api in apis.items()}
    return dict(tokens, expired=expired.metadata[0][1], bad="aaaaaaaaaaaaaaaa.1")


def by_token(t, tokens):
    """Nobody asks for certificates: the token alone counts, on both listeners."""
    everybody = {}
    for listener, api in (("http", t.api), ("https", over_tls(t))):
        everybody["nobody, " + listener] = api
        for name, token in tokens.items():
            everybody["%s, %s" % (name, listener)] = api.with_token(token)
    return everybody


def by_certificate(t, tokens):
    """The certificate's name counts where there is no token, and only over TLS."""
    everybody = {"nobody, http": t.api, "u, http": t.api.with_token(tokens["u"])}
    for cn in ("u", "empty", "root", "nopw", "gone", "stranger", "nameless", "stranger, u"):
        everybody["CN " + cn] = over_tls(t, cn)
    for cn, name in (("u", "bad"), ("u", "expired"), ("u", "empty"), ("empty", "u"), ("stranger", "root"), ("root", "gone")):
        everybody["CN %s, token %s" % (cn, name)] = everybody["CN " + cn].with_token(tokens[name])
    return everybody


ODD_TOKENS = ("nonsense", "a.b", "a.1.2", "")


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


def matrix(t, callers):
    users(t)
    call = t.api.call
    for lease in (7, 8, 9):
        call("Lease/LeaseGrant", rpc.LeaseGrantRequest(ID=lease, TTL=6000))
    for key, lease in ((b"r/k", 0), (b"w/k", 0), (b"rw/k", 0), (b"n/k", 0), (b"n/leased", 7), (b"rw/leased", 8)):
        call("KV/Put", P(key=key, value=b"1", lease=lease))
    tokens = tokens_of(t)
    everybody = callers(t, tokens)
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
            for who, api in everybody.items():
                t.say("%s %s by %s: %s" % (name, place, who, verdict(lambda: api.call(method_, q))))
    everybody.update({"token %r" % text: t.api.with_token(text) for text in ODD_TOKENS})
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
    over_http(t, tokens)


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
    for who, api in everybody.items():
        for name in (b"rw/l", b"n/l", b"w/l"):
            t.say("lock %r by %s: %s" % (name, who, verdict(lambda: api.call("Lock/Lock", lock.LockRequest(name=name, lease=9)))))
    t.title("leases with keys")
    for lease in (7, 8):
        for who in sorted(everybody, key=lambda who: ("root" in who, who)):      # who may do it all last
            t.say("revoke %d by %s: %s" % (lease, who, verdict(lambda: everybody[who].call("Lease/LeaseRevoke", rpc.LeaseRevokeRequest(ID=lease)))))


def keep_alive(api, lease):
    s = api.stream("Lease/LeaseKeepAlive")
    try:
        s.send(rpc.LeaseKeepAliveRequest(ID=lease))
        r = s.next()
        if isinstance(r, grpc.RpcError):
            raise r
    finally:
        s.close()


def over_http(t, tokens):
    t.title("over HTTP")
    token, key = tokens["u"], base64.b64encode(b"rw/k").decode()
    for headers in ({}, {"Authorization": token}, {"Authorization": "Bearer " + token}, {"Grpc-Metadata-Token": token},
                    {"Grpc-Metadata-Authorization": token}, {"Authorization": "nonsense"}, {"Authorization": "nonsense", "Grpc-Metadata-Token": token},
                    {"Authorization": token, "Grpc-Metadata-Token": "nonsense"}, {"authorization": "bearer " + token},
                    {"Authorization": tokens["expired"]}, {"Authorization": tokens["gone"]}):
        for path, body in (("kv/range", {"key": key, "keys_only": True}), ("auth/user/list", {})):
            t.gateway(path, body, **headers)


def https_gateway(t, name, path, body, headers, method="POST"):
    """With a certificate that names somebody, user or not, and one that names nobody. Always with Accept: without it etcd's gateway, if it
    happened to take the listener with TLS at its start, lets the caller be whom the server's own certificate names."""
    c = certificates()
    context = ssl.create_default_context(cafile=c["ca"])
    context.load_cert_chain(*c["pairs"][name])
    connection = http.client.HTTPSConnection("127.0.0.1", t.server.https, context=context, timeout=10)
    connection.request(method, path, json.dumps(body), dict(headers, Accept="*/*"))
    answer = connection.getresponse()
    data = answer.read()
    try:
        data = json.loads(data).get("message", "ok")
    except ValueError:
        data = "text %r" % data
    t.say("%s %s with %s by CN %r: %d %s %s %s" % (method, path, sorted(headers), name, answer.status, data, answer.headers.get("Content-Type"),
                                             answer.headers.get("Access-Control-Allow-Origin")))
    connection.close()


@section
def auth_matrix(t):
    matrix(t, by_token)


auth_matrix.flags = with_https


@section
def auth_matrix_certificates(t):
    matrix(t, by_certificate)
    t.title("over HTTPS")
    root = login(t, "root", "rootpw").metadata[0][1]
    for name in ("u", "root", "stranger", "nameless"):
        for headers in ({}, {"Authorization": root}):
            for path, body in (("/v3/kv/range", {"key": base64.b64encode(b"rw/k").decode()}), ("/v3/auth/user/list", {}), ("/v3/kv/put", {"key": "eA=="}),
                               ("/v3/nowhere", {}), ("/health", {}), ("/version", {})):
                https_gateway(t, name, path, body, headers)
            https_gateway(t, name, "/v3/kv/range", {}, headers, "OPTIONS")
    root = t.api.with_token(root)
    root.call("Auth/AuthDisable", rpc.AuthDisableRequest())
    https_gateway(t, "u", "/v3/kv/put", {"key": "eA=="}, {})


auth_matrix_certificates.flags = with_certificates
