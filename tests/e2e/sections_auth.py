"""Who may do what: sections of sections.py about users, tokens and permissions."""
import atexit
import base64
import json
import os
import re
import shutil
import socket
import tempfile
import time

import grpc

from etcdapi import Api, auth, rpc
from etcdproc import get
from sections import P, R, section

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


def grant(api, role, kind, key, end=b""):
    api.call("Auth/RoleGrantPermission", rpc.AuthRoleGrantPermissionRequest(
        name=role, perm=auth.Permission(permType=kind, key=key, range_end=end)))


def watch_request(key, end=b"", **more):
    return rpc.WatchRequest(create_request=rpc.WatchCreateRequest(key=key, range_end=end, **more))


@section
def auth_midway(t):
    """Rights, passwords and roles that change while somebody is using them."""
    api = t.api
    t.title("a stream that began without authentication")
    early = api.stream("Watch/Watch")
    early.send(watch_request(b"rw/k"))
    t.receive(early)
    renewals = api.stream("Lease/LeaseKeepAlive")
    api.call("Lease/LeaseGrant", rpc.LeaseGrantRequest(ID=5, TTL=600))
    renewals.send(rpc.LeaseKeepAliveRequest(ID=5))
    t.receive(renewals)
    users(t)
    api.call("Auth/AuthEnable", rpc.AuthEnableRequest())
    root, u, empty = login(t, "root", "rootpw"), login(t, "u", "upw"), login(t, "empty", "emptypw")
    root.call("KV/Put", P(key=b"rw/k", value=b"secret"))
    t.receive(early)
    early.send(watch_request(b"rw/l"))
    t.receive(early)
    renewals.send(rpc.LeaseKeepAliveRequest(ID=5))
    t.receive(renewals)
    early.close()
    t.title("a right is taken away under a watch")
    s = u.stream("Watch/Watch")
    s.send(watch_request(b"rw/k"))
    t.receive(s)
    root.call("Auth/RoleRevokePermission", rpc.AuthRoleRevokePermissionRequest(role="both", key=b"rw/", range_end=b"rw0"))
    root.call("KV/Put", P(key=b"rw/k", value=b"2"))
    t.receive(s)
    s.send(watch_request(b"rw/k"))
    t.receive(s)
    s.send(watch_request(b"r/k"))
    t.receive(s)
    s.send(rpc.WatchRequest(progress_request=rpc.WatchProgressRequest()))
    t.receive(s)
    grant(root, "both", READ, b"rw/", b"rw0")
    s.send(watch_request(b"rw/k"))
    t.receive(s)
    t.title("a password changes under a watch; a user goes under one")
    root.call("Auth/UserChangePassword", rpc.AuthUserChangePasswordRequest(name="u", password="new"))
    s.send(watch_request(b"rw/k"))
    t.receive(s)
    root.call("KV/Put", P(key=b"rw/k", value=b"3"))
    t.receive(s, 2, in_order=False)
    u = login(t, "u", "new")
    s.close()
    s = login(t, "gone", "gonepw").stream("Watch/Watch")
    s.send(watch_request(b"rw/k"))
    t.receive(s)
    root.call("Auth/UserDelete", rpc.AuthUserDeleteRequest(name="gone"))
    root.call("KV/Put", P(key=b"rw/k", value=b"4"))
    t.receive(s)
    s.send(watch_request(b"rw/k"))
    t.receive(s)
    s.close()
    t.title("leases with keys of others")
    for lease, key in ((7, b"other"), (8, b"w/mine"), (9, None), (10, b"r/read")):
        root.call("Lease/LeaseGrant", rpc.LeaseGrantRequest(ID=lease, TTL=600))
        if key:
            root.call("KV/Put", P(key=key, lease=lease))
    for who in (empty, u):
        for lease in (7, 8, 9, 10, 11):
            t.call("Lease/LeaseTimeToLive", ID=lease, keys=True, api=who)
            t.call("Lease/LeaseTimeToLive", ID=lease, api=who)
            t.call("KV/Put", key=b"w/x", lease=lease, api=who)
            r = who.stream("Lease/LeaseKeepAlive")
            r.send(rpc.LeaseKeepAliveRequest(ID=lease))
            t.receive(r)
            r.close()
        t.call("Lease/LeaseLeases", api=who)
        for lease in (7, 10, 9, 11):
            t.call("Lease/LeaseRevoke", ID=lease, api=who)
    t.title("the ends of ranges")
    grant(root, "writer", READWRITE, b"m", b"p")
    grant(root, "writer", READWRITE, b"p", b"p\0")
    grant(root, "writer", READWRITE, b"\0")
    for key, end in ((b"m", b"p"), (b"m", b"p\0"), (b"m", b"p\0\0"), (b"m", b"\0"), (b"l\xff", b"n"), (b"n", b"m"), (b"n", b"n"), (b"m", b"m"),
                     (b"p", b"p\0"), (b"o\xff", b"p"), (b"\0", b""), (b"\0", b"\0"), (b"", b""), (b"", b"\0"), (b"z", b"a"), (b"p", b"m"),
                     (b"\xff", b"\0"), (b"n", b"\0\0"), (b"m", b"\1")):
        for name, request in (("KV/Range", R(key=key, range_end=end, keys_only=True)),
                              ("KV/DeleteRange", rpc.DeleteRangeRequest(key=key, range_end=end)),
                              ("KV/Txn", rpc.TxnRequest(compare=[rpc.Compare(key=key, range_end=end, target=rpc.Compare.VERSION)])),
                              ("KV/Txn", rpc.TxnRequest(failure=[rpc.RequestOp(request_txn=rpc.TxnRequest(
                                  failure=[rpc.RequestOp(request_delete_range=rpc.DeleteRangeRequest(key=key, range_end=end, prev_kv=True))]))]))):
            u = login(t, "u", "new") if verdict(lambda: u.call("Auth/UserGet", rpc.AuthUserGetRequest(name="u"))) != "ok" else u
            t.call(name, request, api=u)
        s = u.stream("Watch/Watch")
        s.send(watch_request(key, end))
        t.receive(s)
        s.close()
    t.title("role root of somebody else, and of nobody")
    root.call("Auth/UserGrantRole", rpc.AuthUserGrantRoleRequest(user="empty", role="root"))
    t.call("Auth/UserList", api=empty)
    t.call("KV/Put", key=b"anything", api=empty)
    t.call("Auth/UserDelete", name="root", api=empty)
    t.call("Auth/UserRevokeRole", name="root", role="root", api=empty)
    t.call("Auth/UserChangePassword", name="root", password="taken", api=empty)
    t.call("KV/Range", key=b"a", api=root)
    t.call("Auth/UserRevokeRole", name="empty", role="root", api=empty)
    t.call("Auth/UserList", api=empty)
    root = login(t, "root", "taken")
    t.call("Auth/UserChangePassword", name="root", password="rootpw", api=root)
    t.call("Auth/UserList", api=root)
    root = login(t, "root", "rootpw")
    for role in ("reader", "writer", "both"):
        t.call("Auth/RoleDelete", role=role, api=root)
    t.call("KV/Range", key=b"r/k", api=u)
    t.call("Auth/UserGet", name="u", api=u)
    t.call("Auth/RoleAdd", name="writer", api=root)
    t.call("KV/Put", key=b"m", api=u)
    t.title("tokens in the metadata")
    good, bad = root.metadata[0][1], "rubbish.1"
    for pairs in ([("token", good)], [("authorization", good)], [("authorization", "Bearer " + good)], [("token", "Bearer " + good)],
                  [("authorization", "bearer " + good)], [("token", "Bearer Bearer " + good)], [("token", good), ("token", bad)],
                  [("token", bad), ("token", good)], [("token", good), ("authorization", bad)], [("token", bad), ("authorization", good)],
                  [("token", ""), ("authorization", good)], [("token", "")], [("authorization", "")], [("token", good + " ")],
                  [("token", good + ".1")], [("token", good.split(".")[0])], [("token", good.split(".")[0] + ".0")],
                  [("token", good.split(".")[0] + ".99999999999999999999")], [("token", "." + good.split(".")[1])], [("token-bin", good.encode())],
                  [("token", "x" * 5000)], [("authorization", "Bearer")], [("authorization", "Bearer ")]):
        by = Api.__new__(Api)
        by.channel, by.metadata = api.channel, pairs
        shown = [(k, v if isinstance(v, str) and v else "") for k, v in pairs]
        t.say("%s: %s" % ([(k, v.replace(good, "GOOD").replace(good.split(".")[0], "HALF").replace(good.split(".")[1], "INDEX")[:60])
                           for k, v in shown], verdict(lambda: by.call("KV/Range", R(key=b"a")))))


@section
def odd_json(t):
    """What an attacker would send to the gateway. Of a refusal the words of the parser of JSON are not compared."""
    k = base64.b64encode(b"k").decode()

    def g(path, body, **headers):
        t.say("%s %s %s" % (path, body[:200], headers or ""))
        status, _, data = get(t.server.port, "/v3/" + path, "POST", body.encode(), headers)
        answer = json.loads(data)
        t.say("   %d %s" % (status, json.dumps(t.stable(answer), sort_keys=True) if status == 200 else answer.get("code")))

    t.gateway("kv/put", {"key": k, "value": k})
    for text in ('{"key":"%s","key":"%s"}' % (k, base64.b64encode(b"other").decode()), '{"range_end":"AA==","key":"AA==","rangeEnd":"AA=="}',
                 '{"key":"%s","limit":1e0}' % k, '{"key":"%s","limit":"1e0"}' % k, '{"key":"%s","limit":1.0}' % k, '{"key":"%s","limit":1.5}' % k,
                 '{"key":"%s","limit":9223372036854775808}' % k, '{"key":"%s","limit":-9223372036854775808}' % k,
                 '{"key":"%s","limit":1e400}' % k, '{"key":"%s","limit":1e18}' % k, '{"key":"%s","limit":" 1"}' % k, '{"key":"%s","limit":"0x1"}' % k,
                 '{"key":"%s","limit":null}' % k, '{"key":null}', '{"key":"%s","sort_order":7}' % k, '{"key":"%s","sort_order":"7"}' % k,
                 '{"key":"%s","sort_order":"NONSENSE"}' % k, '{"key":"%s","sort_order":1.5}' % k, '{"key":"%s","serializable":"true"}' % k,
                 '{"key":"%s","serializable":1}' % k, '{"key":["%s"]}' % k, '{"key":{"a":1}}', '[{"key":"%s"}]' % k, '{"key":"%s"}{"key":"%s"}' % (k, k),
                 '{"key":"%s"} trailing' % k, '{"key":"%s",}' % k, "{'key':'%s'}" % k, '{key:"%s"}' % k, '{"key":"%s"//\n}' % k, '{"key":"aw"}', '{"key":"aw="}',
                 '{"key":"a w=="}', '{"key":"aw==\\n"}', '{"key":"-_-_"}', '{"key":"+/+/"}', '{"key":"-/-/"}', '{"\\u006bey":"%s"}' % k,
                 '{"KEY":"%s"}' % k, '{"Key":"%s"}' % k, '{"key":"%s","\\u0000":1}' % k, '{"key":"%s","":1}' % k, '{"key":"\\ud800"}', "null", "true", '"x"',
                 "1", "\ufeff{}", " { } ", '{"key":"%s","max_mod_revision":NaN}' % k, '{"key":"%s","max_mod_revision":"-1"}' % k, "{" * 200, '{"a":' * 200,
                 '{"key":"%s","unknown":%s}' % (k, "[" * 50 + "]" * 50)):
        g("kv/range", text)
    nested = '{"success":[{"request_txn":' * 40 + "{}" + "}]}" * 40
    for text in (nested, '{"success":[{"request_put":{"key":"%s"},"request_range":{"key":"%s"}}]}' % (k, k), '{"success":[{}]}', '{"success":[null]}',
                 '{"success":{}}', '{"compare":[{"key":"%s","version":"1","value":"%s"}]}' % (k, k), '{"compare":[{"target":"VALUE"}]}'):
        g("kv/txn", text)
    for path in ("kv/range/", "kv/range?key=" + k, "KV/range", "kv/range%00"):
        g(path, '{"key":"%s"}' % k)
    for headers in ({"Content-Type": "text/plain"}, {"Content-Type": "application/x-www-form-urlencoded"}, {"Accept": "application/grpc"},
                    {"Grpc-Metadata-Token": "x"}, {"Grpc-Metadata-Hasleader": "x"}, {"X-HTTP-Method-Override": "GET"}, {"Grpc-Encoding": "gzip"}):
        g("kv/range", '{"key":"%s"}' % k, **headers)


GOOD = b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n"
HEAD = b" /version HTTP/1.1\r\nHost: x\r\n"
RANGE = b"POST /v3/kv/range HTTP/1.1\r\nHost: x\r\n"

# What may be read in two ways, so that a proxy in front and the server part requests at different places. Left out, for ours is stricter (400, or the
# connection closed): a length beside chunked, one length given twice, codings that nobody knows, CONNECT, methods in small letters; lines that Go's
# multiplexer takes for no HTTP. And where http_parser is laxer than net/http: two blanks in the request's line, a bare LF behind a chunk's size.
TWO_WAYS = (
    ("two CL", b"POST" + HEAD + b"Content-Length: 0\r\nContent-Length: 5\r\n\r\n"),
    ("CL list", b"POST" + HEAD + b"Content-Length: 0, 0\r\n\r\n"),
    ("CL plus", b"POST" + HEAD + b"Content-Length: +0\r\n\r\n"),
    ("CL negative", b"POST" + HEAD + b"Content-Length: -1\r\n\r\n"),
    ("CL huge", RANGE + b"Content-Length: 99999999999999999999\r\n\r\n"),
    ("TE two", b"POST" + HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    ("TE twice", b"POST" + HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("TE space before colon", b"POST" + HEAD + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"),
    ("TE in 1.0", b"POST /version HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("obs-fold", b"GET" + HEAD + b"X: a\r\n b\r\n\r\n"),
    ("fold first", b"GET /version HTTP/1.1\r\n Host: x\r\n\r\n"),
    ("bare LF", b"GET /version HTTP/1.1\nHost: x\n\n"),
    ("bare CR", b"GET" + HEAD + b"X: a\rb\r\n\r\n"),
    ("NUL in value", b"GET" + HEAD + b"X: a\0b\r\n\r\n"),
    ("no name", b"GET" + HEAD + b": b\r\n\r\n"),
    ("chunk size overflow", RANGE + b"Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n"),
    ("chunk negative", RANGE + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n"),
    ("chunk 0x", RANGE + b"Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n"),
    ("chunk data no CRLF", RANGE + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}0\r\n\r\n"),
    ("trailer CL", b"POST" + HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 5\r\n\r\n"),
    ("abs form", b"GET http://evil/version HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("abs https", b"GET https://evil/version HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("asterisk", b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("h2c upgrade", b"GET" + HEAD + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"),
    ("PRI late", GOOD + b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ("path no slash", b"GET version HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("path dots", b"GET /v3/../version HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("path enc slash", b"GET /%2e%2e/version HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("path NUL", b"GET /version%00 HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("host slash", b"GET /version HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    ("host at", b"GET /version HTTP/1.1\r\nHost: a@b\r\n\r\n"),
    ("two hosts", b"GET /version HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
    ("no host", b"GET /version HTTP/1.1\r\n\r\n"),
    ("HTTP/1.2", b"GET /version HTTP/1.2\r\nHost: x\r\n\r\n"),
    ("method odd", b"G{T /version HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("GET with body", b"GET" + HEAD + b"Content-Length: %d\r\n\r\n" % len(GOOD)),
    ("HEAD", b"HEAD /version HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("expect", RANGE + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n{}"),
)


@section
def odd_http1(t):
    for name, request in TWO_WAYS:
        with socket.create_connection(("127.0.0.1", t.server.port), 10) as s:
            said = b""
            try:
                s.sendall(request + GOOD + GOOD.replace(b"Host", b"Connection: close\r\nHost"))
                while True:
                    more = s.recv(65536)
                    if not more:
                        break
                    said += more
            except ConnectionError:         # closed with something unread
                pass
        t.say("%s: %s" % (name, [int(code) for code in re.findall(rb"HTTP/1\.[01] (\d+)", said)]))
