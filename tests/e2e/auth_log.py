#!/usr/bin/env python3
"""What a server's log says about users, roles, permissions and tokens: the same requests to both servers, and the lines of both compared: text,
level, fields.

usage: auth_log.py [--ours ETCD] [--print]"""
import argparse
import base64
import difflib
import hashlib
import hmac
import json
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import etcdproc

try:
    import grpc
    from etcdapi import Api, auth, kv, rpc
except ImportError as e:
    print("SKIP: gRPC for Python: %s" % e)
    sys.exit(etcdproc.SKIPPED)

# Lines that belong to it; all others are left out.
ABOUT = ("auth", "token", "user", "role", "permission", "password", "JWT", "common name")
NOT_ABOUT = ("published local member", "starting an etcd server", "simple token is not", "now serving", "added member")
SECRET = b"the secret of the test"


def b64(b):
    return base64.urlsafe_b64encode(b).rstrip(b"=").decode()


def sign(text, secret=SECRET):
    return text + "." + b64(hmac.new(secret, text.encode(), hashlib.sha256).digest())


def jwt(claims, alg="HS256", head=None, secret=SECRET, signed=True):
    text = "%s.%s" % (b64(json.dumps(head or {"alg": alg, "typ": "JWT"}).encode()),
                      b64(claims if isinstance(claims, bytes) else json.dumps(claims).encode()))
    return sign(text, secret) if signed else text + "."


class Asked:
    """Calls, and what each came to."""
    def __init__(self, api):
        self.api, self.said, self.marks = api, [], {}

    def __call__(self, name, request, api=None):
        try:
            answer = (api or self.api).call(name, request)
            self.said.append("%s: ok" % name)
            return answer
        except grpc.RpcError as e:
            self.said.append("%s: %s: %s" % (name, e.code().name, e.details()))
            return e

    def login(self, name, password):
        """Its token is another one in each run: its fingerprint is shown by the user's name."""
        token = self("Auth/Authenticate", rpc.AuthenticateRequest(name=name, password=password)).token
        self.marks[hashlib.sha256(token.encode()).hexdigest()[:12]] = "<%s>" % name
        return self.api.with_token(token)


def changes(ask):
    """Every change of users and roles, also those that change nothing and those that are refused."""
    perm = lambda kind, key, end=b"": auth.Permission(permType=kind, key=key, range_end=end)
    for name in ("r", "r", "", "root", "other"):
        ask("Auth/RoleAdd", rpc.AuthRoleAddRequest(name=name))
    for p in (perm(0, b"a"), perm(0, b"a"), perm(1, b"a"), perm(2, b"b", b"c"), perm(2, b"d", b"\0"), perm(0, b""), perm(9, b"x"),
              perm(0, b"\xff\xfe\"<&>\n"), perm(0, "ä".encode(), b"\xff")):
        ask("Auth/RoleGrantPermission", rpc.AuthRoleGrantPermissionRequest(name="r", perm=p))
    ask("Auth/RoleGrantPermission", rpc.AuthRoleGrantPermissionRequest(name="none", perm=perm(0, b"a")))
    ask("Auth/RoleRevokePermission", rpc.AuthRoleRevokePermissionRequest(role="r", key=b"a"))
    ask("Auth/RoleRevokePermission", rpc.AuthRoleRevokePermissionRequest(role="r", key=b"a"))
    ask("Auth/RoleRevokePermission", rpc.AuthRoleRevokePermissionRequest(role="r", key=b"b", range_end=b"c"))
    ask("Auth/RoleRevokePermission", rpc.AuthRoleRevokePermissionRequest(role="r", key=b"\xff\xfe\"<&>\n"))
    for name in ("u", "u", "", "root", "gone", "we\"ird <ü>", "cert"):
        ask("Auth/UserAdd", rpc.AuthUserAddRequest(name=name, password="pw", options=auth.UserAddOptions(no_password=name == "cert")))
    for user, role in (("u", "r"), ("u", "r"), ("u", "other"), ("u", "none"), ("none", "r"), ("root", "root"), ("gone", "r")):
        ask("Auth/UserGrantRole", rpc.AuthUserGrantRoleRequest(user=user, role=role))
    ask("Auth/UserRevokeRole", rpc.AuthUserRevokeRoleRequest(name="u", role="other"))
    ask("Auth/UserRevokeRole", rpc.AuthUserRevokeRoleRequest(name="u", role="other"))
    for name in ("u", "cert", "none"):
        ask("Auth/UserChangePassword", rpc.AuthUserChangePasswordRequest(name=name, password="new"))
    ask("Auth/Authenticate", rpc.AuthenticateRequest(name="u", password="new"))
    ask("Auth/AuthEnable", rpc.AuthEnableRequest())
    ask("Auth/AuthEnable", rpc.AuthEnableRequest())


def refused_changes(ask, root):
    ask("Auth/UserDelete", rpc.AuthUserDeleteRequest(name="root"), root)
    ask("Auth/UserRevokeRole", rpc.AuthUserRevokeRoleRequest(name="root", role="root"), root)
    ask("Auth/RoleDelete", rpc.AuthRoleDeleteRequest(role="root"), root)
    ask("Auth/RoleDelete", rpc.AuthRoleDeleteRequest(role="none"), root)
    ask("Auth/AuthEnable", rpc.AuthEnableRequest(), root)


def logins(ask):
    for name, password in (("u", "wrong"), ("none", "x"), ("cert", "x"), ("", "")):
        ask("Auth/Authenticate", rpc.AuthenticateRequest(name=name, password=password))


def data_calls(ask, api):
    ask("KV/Range", rpc.RangeRequest(key=b"d"), api)
    ask("KV/Range", rpc.RangeRequest(key=b"e", range_end=b"g", serializable=True), api)
    ask("KV/Put", rpc.PutRequest(key=b"d", value=b"x"), api)
    ask("KV/DeleteRange", rpc.DeleteRangeRequest(key=b"d"), api)
    ask("KV/Txn", rpc.TxnRequest(compare=[rpc.Compare(key=b"c1")], success=[rpc.RequestOp(request_put=rpc.PutRequest(key=b"p"))]), api)
    ask("KV/Txn", rpc.TxnRequest(success=[rpc.RequestOp(request_range=rpc.RangeRequest(key=b"s1"))],
                                 failure=[rpc.RequestOp(request_range=rpc.RangeRequest(key=b"f1"))]), api)
    ask("Lease/LeaseLeases", rpc.LeaseLeasesRequest(), api)
    ask("Auth/UserGet", rpc.AuthUserGetRequest(name="u"), api)
    ask("Auth/RoleGet", rpc.AuthRoleGetRequest(role="r"), api)
    ask("Maintenance/Status", rpc.StatusRequest(), api)
    s = api.stream("Watch/Watch")
    s.send(rpc.WatchRequest(create_request=rpc.WatchCreateRequest(key=b"w1")))
    s.next()
    s.close()


def simple(s, api, ask):
    changes(ask)
    root, u, gone = ask.login("root", "pw"), ask.login("u", "new"), ask.login("gone", "pw")
    refused_changes(ask, root)
    logins(ask)
    data_calls(ask, u)
    ask("Auth/UserDelete", rpc.AuthUserDeleteRequest(name="gone"), root)
    data_calls(ask, gone)
    data_calls(ask, api)
    data_calls(ask, api.with_token("rubbish"))
    data_calls(ask, api.with_token("rubbish.5"))
    ask("Auth/RoleDelete", rpc.AuthRoleDeleteRequest(role="r"), root)
    ask("Auth/AuthDisable", rpc.AuthDisableRequest(), root)
    ask("Auth/AuthDisable", rpc.AuthDisableRequest())
    ask("Auth/UserDelete", rpc.AuthUserDeleteRequest(name="root"))


def with_jwt(s, api, ask):
    changes(ask)
    root = ask.login("root", "pw")
    revision = ask("Auth/AuthStatus", rpc.AuthStatusRequest(), root).authRevision
    past, long = 1000000, 1 << 33
    one = lambda token: ask("KV/Range", rpc.RangeRequest(key=b"d"), api.with_token(token))
    good = {"username": "u", "revision": revision, "exp": long}
    for claims in (dict(good, exp=past), dict(good, exp=0), dict(good, exp=-1), dict(good, exp=past, nbf=long), dict(good, exp=past + 0.5), dict(good, nbf=long), dict(good, exp="x"), dict(good, exp=None), dict(good, nbf=[1]),
                   {"revision": revision, "exp": long}, {"username": "u", "exp": long}, dict(good, username=5), dict(good, revision="1"),
                   dict(good, username="stranger"), dict(good, revision=revision - 1), b"[]", b"null", b"{", b'"x"', b"", b"{}{}",
                   b'{"exp": 1e400}', dict(good, iat=long), dict(good, iat="x"), dict(good, aud=5), good):
        one(jwt(claims))
    one(jwt(good, signed=False))
    one(jwt(good, secret=b"another"))
    for head in ({"alg": "none"}, {"alg": "HS384"}, {"alg": "RS256"}, {"alg": "x"}, {"alg": 5}, {}, {"typ": "JWT"}):
        one(jwt(good, head=head))
    one("a.b")
    one("rubbish")
    one("a.b.c.d")
    one("!.b.c")
    one(sign(jwt(good).split(".")[0] + ".!"))       # a signature is checked before the claims: this one is right
    one(jwt(good)[:-1] + "!")
    one(jwt(good) + "A")
    data_calls(ask, api.with_token(jwt(dict(good, username="stranger"))))
    data_calls(ask, api.with_token(jwt(dict(good, revision=1))))
    ask("Auth/AuthDisable", rpc.AuthDisableRequest(), root)


def lines(s, marks):
    """(level, text, fields) in order. Stack traces, times, places in the source are the program's own."""
    out = []
    with open(s.log_path, errors="replace") as f:
        for line in f:
            try:
                v = json.loads(line)
            except ValueError:
                continue
            text = v.get("msg", "")
            if not any(w in text for w in ABOUT) or any(w in text for w in NOT_ABOUT):
                continue
            fields = {k: x for k, x in v.items() if k not in ("ts", "caller", "level", "msg", "stacktrace")}
            line = "%s | %s | %s" % (v["level"], text, json.dumps(fields, ensure_ascii=False))
            for known, mark in marks.items():
                line = line.replace(known, mark)
            # what a parser of JSON says of it is its own affair
            out.append(re.sub(r"(could not JSON decode \w+: ).*", r"\1...", line))
    return out


def run(binary, script, flags):
    with etcdproc.Server(binary, flags) as s:
        api = Api(s.target)
        ask = Asked(api)
        script(s, api, ask)
        api.close()
        s.stop()
        return ask.said + lines(s, ask.marks)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--ours", default=os.environ.get("CETCD_ETCD"))
    p.add_argument("--print", action="store_true")
    args = p.parse_args()
    go = etcdproc.oracle("etcd")
    if not args.ours or not go:
        print("SKIP: needs a server (CETCD_ETCD) and Go etcd to compare with (make oracle)")
        sys.exit(etcdproc.SKIPPED)
    failed = False
    secret = os.path.join(os.environ.get("TMPDIR", "/tmp"), "auth-log-secret.%d" % os.getpid())
    with open(secret, "wb") as f:
        f.write(SECRET)
    try:
        for name, script, flags in (("simple tokens", simple, []),
                                    ("JWT", with_jwt, ["--auth-token=jwt,priv-key=%s,sign-method=HS256,odd=1,ttl=1h" % secret])):
            want, got = run(go, script, flags), run(args.ours, script, flags)
            if args.print:
                print("\n".join(want))
            diff = list(difflib.unified_diff(want, got, "go", "ours", n=2, lineterm=""))
            print("%s: %d answers and lines of the log, %s" % (name, len(want), "the same" if not diff else "they differ"))
            print("\n".join(diff))
            failed = failed or bool(diff) or len(want) < 40
    finally:
        os.unlink(secret)
    sys.exit(1 if failed else 0)


main()
