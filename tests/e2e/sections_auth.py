"""Who may do what: sections of sections.py about users, tokens and permissions."""
import atexit
import base64
import json
import os
import shutil
import tempfile
import time

import grpc

from etcdapi import Api, auth, rpc
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
