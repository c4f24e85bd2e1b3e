#!/usr/bin/env python3
"""Every text with which authentication and authorization refuse somebody, made to appear by gRPC, by the gateway and by etcdctl: on our server and
on Go etcd, each with the code and the words of the table below. The words are upstream's (api/v3rpc/rpctypes/error.go, server/auth/store.go).

usage: auth_errors.py [--ours ETCD] [--go ETCD] [--ctl ETCDCTL]

Each text that upstream's auth has is there; what else `Unauthenticated` could carry does not exist. Go's etcdctl cannot send what brings the first
request without a role for root, an empty permission, or a login without authentication."""
import argparse
import base64
import http.client
import json
import os
import ssl
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "lib"), os.path.join(HERE, "..", "tls")]

import etcdproc
from authority import Authority

try:
    import grpc
    from etcdapi import Api, auth, lock, rpc
except ImportError as e:
    print("SKIP: gRPC for Python: %s" % e)
    sys.exit(etcdproc.SKIPPED)

P = "etcdserver: "
TEXTS = {       # name in upstream's source: (code, text)
    "ErrRootUserNotExist": ("FAILED_PRECONDITION", P + "root user does not exist"),
    "ErrRootRoleNotExist": ("FAILED_PRECONDITION", P + "root user does not have root role"),
    "ErrUserAlreadyExist": ("FAILED_PRECONDITION", P + "user name already exists"),
    "ErrUserEmpty": ("INVALID_ARGUMENT", P + "user name is empty"),
    "ErrUserNotFound": ("FAILED_PRECONDITION", P + "user name not found"),
    "ErrRoleAlreadyExist": ("FAILED_PRECONDITION", P + "role name already exists"),
    "ErrRoleNotFound": ("FAILED_PRECONDITION", P + "role name not found"),
    "ErrRoleEmpty": ("INVALID_ARGUMENT", P + "role name is empty"),
    "ErrAuthFailed": ("INVALID_ARGUMENT", P + "authentication failed, invalid user ID or password"),
    "ErrPermissionNotGiven": ("INVALID_ARGUMENT", P + "permission not given"),
    "ErrPermissionDenied": ("PERMISSION_DENIED", P + "permission denied"),
    "ErrRoleNotGranted": ("FAILED_PRECONDITION", P + "role is not granted to the user"),
    "ErrPermissionNotGranted": ("FAILED_PRECONDITION", P + "permission is not granted to the role"),
    "ErrAuthNotEnabled": ("FAILED_PRECONDITION", P + "authentication is not enabled"),
    "ErrInvalidAuthToken": ("UNAUTHENTICATED", P + "invalid auth token"),
    "ErrInvalidAuthMgmt": ("INVALID_ARGUMENT", P + "invalid auth management"),
    "ErrAuthOldRevision": ("INVALID_ARGUMENT", P + "revision of auth store is old"),
    "ErrNoPasswordUser": ("UNKNOWN", "auth: authentication failed, password was given for no password user"),
    "ErrVerifyOnly": ("UNKNOWN", "auth: token signing attempted with verify-only key"),
    "bcrypt": ("UNKNOWN", "bcrypt: password length exceeds 72 bytes"),
}
GATEWAY_CN = "CommonName of client sending a request against gateway will be ignored and not used as expected"
KEYS = tempfile.mkdtemp(prefix="etcdkeys")


def key_files():
    with open(os.path.join(HERE, "..", "unit", "auth", "testdata", "tokens.txt")) as f:
        words = next(line for line in f if line.startswith("jwt RS256 ")).split()
    for name, text in (("private", words[2]), ("public", words[3])):
        with open(os.path.join(KEYS, name), "wb") as f:
            f.write(base64.b64decode(text))
    return tuple(os.path.join(KEYS, name) for name in ("private", "public"))


class Seen:
    """What was refused, and where: (place, name of the text) -> [(code, text)]."""
    def __init__(self, server, ctl):
        self.server, self.ctl_path, self.at = server, ctl, {}
        self.api = Api(server.target)

    def note(self, place, name, what):
        self.at.setdefault((place, name), []).append(what)

    def call(self, name, method, request, api=None):
        try:
            (api or self.api).call(method, request)
            self.note("grpc", name, ("OK", ""))
        except grpc.RpcError as e:
            self.note("grpc", name, (e.code().name, e.details()))

    def watch(self, name, api):
        s = api.stream("Watch/Watch")
        s.send(rpc.WatchRequest(create_request=rpc.WatchCreateRequest(key=b"secret")))
        r = s.next()
        s.close()
        self.note("watch", name, r.cancel_reason if hasattr(r, "cancel_reason") else repr(r))

    def gateway(self, name, path, body, token=None):
        """The first line of the answer: a watch's goes on."""
        c = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=20)
        c.request("POST", "/v3/" + path, json.dumps(body).encode(), {"Authorization": token} if token else {})
        r = c.getresponse()
        status, headers, said = r.status, r.headers, json.loads(r.readline())
        c.close()
        if path == "watch":
            said = said.get("error") or said["result"].get("cancel_reason")
            self.note("gateway", name, (status, said))
            return
        self.note("gateway", name, (status, said, headers.get("Www-Authenticate")))

    def ctl(self, name, *args):
        env = {k: v for k, v in os.environ.items() if not k.startswith("ETCD")}
        r = subprocess.run([self.ctl_path, "--endpoints=" + self.server.target] + list(args), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                           stdin=subprocess.DEVNULL, env=env, timeout=60)
        lines = [line for line in r.stdout.decode().splitlines() if line.startswith("Error: ")]
        self.note("etcdctl", name, (r.returncode, lines[-1] if lines else "", TEXTS[name][1] in "".join(lines)))

    def login(self, name, password):
        return self.api.with_token(self.api.call("Auth/Authenticate", rpc.AuthenticateRequest(name=name, password=password)).token)


def set_up(api):
    add = lambda name, password="", none=False: api.call("Auth/UserAdd", rpc.AuthUserAddRequest(
        name=name, password=password, options=auth.UserAddOptions(no_password=none)))
    add("root", "r")
    add("u", "u")
    add("bare", none=True)
    for role in ("root", "reader"):
        api.call("Auth/RoleAdd", rpc.AuthRoleAddRequest(name=role))
    api.call("Auth/RoleGrantPermission", rpc.AuthRoleGrantPermissionRequest(
        name="reader", perm=auth.Permission(permType=auth.Permission.READ, key=b"a")))
    api.call("Auth/UserGrantRole", rpc.AuthUserGrantRoleRequest(user="root", role="root"))
    api.call("Auth/UserGrantRole", rpc.AuthUserGrantRoleRequest(user="u", role="reader"))
    api.call("KV/Put", rpc.PutRequest(key=b"secret"))
    api.call("Auth/AuthEnable", rpc.AuthEnableRequest())


def simple(seen):
    api, server = seen.api, seen.server
    seen.call("ErrAuthNotEnabled", "Auth/Authenticate", rpc.AuthenticateRequest(name="root", password="r"))
    seen.gateway("ErrAuthNotEnabled", "auth/authenticate", {"name": "root", "password": "r"})
    seen.call("ErrRootUserNotExist", "Auth/AuthEnable", rpc.AuthEnableRequest())
    seen.gateway("ErrRootUserNotExist", "auth/enable", {})
    seen.ctl("ErrRootUserNotExist", "auth", "enable")
    api.call("Auth/UserAdd", rpc.AuthUserAddRequest(name="root", password="r"))
    seen.call("ErrRootRoleNotExist", "Auth/AuthEnable", rpc.AuthEnableRequest())
    seen.gateway("ErrRootRoleNotExist", "auth/enable", {})
    api.call("Auth/UserDelete", rpc.AuthUserDeleteRequest(name="root"))
    set_up(api)
    root, u = seen.login("root", "r"), seen.login("u", "u")
    t = root.metadata[0][1]
    as_root = "--user=root:r"
    for name, method, request, path, body, ctl in (
            ("ErrUserAlreadyExist", "Auth/UserAdd", rpc.AuthUserAddRequest(name="u", password="x"), "auth/user/add", {"name": "u", "password": "x"},
             ("user", "add", "u:x")),
            ("ErrUserEmpty", "Auth/UserAdd", rpc.AuthUserAddRequest(password="x"), "auth/user/add", {"password": "x"}, None),
            ("ErrUserNotFound", "Auth/UserGet", rpc.AuthUserGetRequest(name="nobody"), "auth/user/get", {"name": "nobody"}, ("user", "get", "nobody")),
            ("ErrUserNotFound", "Auth/UserDelete", rpc.AuthUserDeleteRequest(name="nobody"), "auth/user/delete", {"name": "nobody"},
             ("user", "delete", "nobody")),
            ("ErrUserNotFound", "Auth/UserGrantRole", rpc.AuthUserGrantRoleRequest(user="nobody", role="reader"), "auth/user/grant",
             {"user": "nobody", "role": "reader"}, ("user", "grant-role", "nobody", "reader")),
            ("ErrUserNotFound", "Auth/UserChangePassword", rpc.AuthUserChangePasswordRequest(name="nobody", password="x"), "auth/user/changepw",
             {"name": "nobody", "password": "x"}, None),
            ("ErrRoleAlreadyExist", "Auth/RoleAdd", rpc.AuthRoleAddRequest(name="reader"), "auth/role/add", {"name": "reader"}, ("role", "add", "reader")),
            ("ErrRoleNotFound", "Auth/RoleGet", rpc.AuthRoleGetRequest(role="none"), "auth/role/get", {"role": "none"}, ("role", "get", "none")),
            ("ErrRoleNotFound", "Auth/RoleDelete", rpc.AuthRoleDeleteRequest(role="none"), "auth/role/delete", {"role": "none"}, ("role", "delete", "none")),
            ("ErrRoleNotFound", "Auth/UserGrantRole", rpc.AuthUserGrantRoleRequest(user="u", role="none"), "auth/user/grant",
             {"user": "u", "role": "none"}, ("user", "grant-role", "u", "none")),
            ("ErrRoleEmpty", "Auth/RoleAdd", rpc.AuthRoleAddRequest(), "auth/role/add", {}, ("role", "add", "")),
            ("ErrPermissionNotGiven", "Auth/RoleGrantPermission", rpc.AuthRoleGrantPermissionRequest(name="reader"), "auth/role/grant",
             {"name": "reader"}, None),
            ("ErrRoleNotGranted", "Auth/UserRevokeRole", rpc.AuthUserRevokeRoleRequest(name="u", role="root"), "auth/user/revoke",
             {"name": "u", "role": "root"}, ("user", "revoke-role", "u", "root")),
            ("ErrPermissionNotGranted", "Auth/RoleRevokePermission", rpc.AuthRoleRevokePermissionRequest(role="reader", key=b"zzz"), "auth/role/revoke",
             {"role": "reader", "key": "enp6"}, ("role", "revoke-permission", "reader", "zzz")),
            ("ErrInvalidAuthMgmt", "Auth/UserDelete", rpc.AuthUserDeleteRequest(name="root"), "auth/user/delete", {"name": "root"},
             ("user", "delete", "root")),
            ("ErrInvalidAuthMgmt", "Auth/UserRevokeRole", rpc.AuthUserRevokeRoleRequest(name="root", role="root"), "auth/user/revoke",
             {"name": "root", "role": "root"}, ("user", "revoke-role", "root", "root")),
            ("ErrInvalidAuthMgmt", "Auth/RoleDelete", rpc.AuthRoleDeleteRequest(role="root"), "auth/role/delete", {"role": "root"},
             ("role", "delete", "root")),
            ("bcrypt", "Auth/UserAdd", rpc.AuthUserAddRequest(name="long", password="x" * 73), "auth/user/add", {"name": "long", "password": "x" * 73},
             ("user", "add", "long:" + "x" * 73)),
            ("bcrypt", "Auth/UserChangePassword", rpc.AuthUserChangePasswordRequest(name="u", password="x" * 73), "auth/user/changepw",
             {"name": "u", "password": "x" * 73}, None)):
        seen.call(name, method, request, root)
        seen.gateway(name, path, body, t)
        if ctl:
            seen.ctl(name, as_root, *ctl)
    for name, user, password in (("ErrAuthFailed", "u", "wrong"), ("ErrAuthFailed", "nobody", "x"), ("ErrNoPasswordUser", "bare", "x")):
        seen.call(name, "Auth/Authenticate", rpc.AuthenticateRequest(name=user, password=password))
        seen.gateway(name, "auth/authenticate", {"name": user, "password": password})
        seen.ctl(name, "--user=%s:%s" % (user, password), "get", "a")
    secret, bad = rpc.RangeRequest(key=b"secret"), api.with_token("rubbish.1")
    for name, by, token, ctl in (("ErrUserEmpty", api, None, ()), ("ErrPermissionDenied", u, u.metadata[0][1], ("--user=u:u",)),
                                 ("ErrInvalidAuthToken", bad, "rubbish.1", None)):
        seen.call(name, "KV/Range", secret, by)
        seen.gateway(name, "kv/range", {"key": "c2VjcmV0"}, token)
        seen.gateway(name, "watch", {"create_request": {"key": "c2VjcmV0"}}, token)
        seen.watch(name, by)
        if ctl is not None:
            seen.ctl(name, *ctl, "get", "secret")
        try:
            by.call("Lock/Lock", lock.LockRequest(name=b"secret"))
        except grpc.RpcError as e:
            seen.note("lock", name, (e.code().name, e.details()))
    seen.call("ErrPermissionDenied", "Auth/UserList", rpc.AuthUserListRequest(), u)
    root.call("Auth/UserDelete", rpc.AuthUserDeleteRequest(name="u"))
    seen.call("ErrInvalidAuthToken", "KV/Range", secret, u)


def jwt(seen):
    set_up(seen.api)
    u, root = seen.login("u", "u"), seen.login("root", "r")
    root.call("Auth/RoleAdd", rpc.AuthRoleAddRequest(name="another"))
    seen.call("ErrAuthOldRevision", "KV/Put", rpc.PutRequest(key=b"a"), u)
    seen.call("ErrAuthOldRevision", "KV/Range", rpc.RangeRequest(key=b"a"), u)
    seen.gateway("ErrAuthOldRevision", "kv/range", {"key": "YQ=="}, u.metadata[0][1])
    seen.ctl("ErrAuthOldRevision", "--auth-jwt-token=" + u.metadata[0][1], "get", "a")
    seen.ctl("ErrInvalidAuthToken", "--auth-jwt-token=rubbish", "get", "a")
    seen.watch("ErrAuthOldRevision", u)


def verify_only(seen):
    set_up(seen.api)
    seen.call("ErrVerifyOnly", "Auth/Authenticate", rpc.AuthenticateRequest(name="root", password="r"))
    seen.gateway("ErrVerifyOnly", "auth/authenticate", {"name": "root", "password": "r"})
    seen.ctl("ErrVerifyOnly", "--user=root:r", "get", "a")


def certificate(seen, a, port):
    set_up(seen.api)
    context = ssl.create_default_context(cafile=a.ca)
    context.load_cert_chain(*a.client)
    try:
        urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)).open(
            urllib.request.Request("https://127.0.0.1:%d/v3/kv/range" % port, b"{}", {"Accept": "*/*"}))
        seen.note("gateway", "CN", "ok")
    except urllib.error.HTTPError as e:
        seen.note("gateway", "CN", (e.code, e.read().decode()))


def ask(binary, ctl, a):
    """{(place, name): [...]} of one server in its four ways to start."""
    private, public = key_files()
    token = "--auth-token=jwt,sign-method=RS256,pub-key=" + public
    found = {}
    for play, flags in ((simple, []), (jwt, [token + ",priv-key=" + private]), (verify_only, [token]), (None, [])):
        s = etcdproc.Server(binary, flags)
        port = etcdproc.free_port()
        if not play:
            s.flags += ["--listen-client-urls=%s,https://127.0.0.1:%d" % (s.endpoint, port), "--cert-file=" + a.server[0], "--key-file=" + a.server[1],
                        "--trusted-ca-file=" + a.ca, "--client-cert-auth"]
        with s:
            seen = Seen(s, ctl)
            play(seen) if play else certificate(seen, a, port)
            for at, what in seen.at.items():
                found.setdefault(at, []).extend(what)
    return found


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--ours", default=os.environ.get("CETCD_ETCD"))
    p.add_argument("--go", default=etcdproc.oracle("etcd"))
    p.add_argument("--ctl", default=etcdproc.oracle("etcdctl"))
    args = p.parse_args()
    if not args.ours or not args.go or not args.ctl:
        print("SKIP: needs a server (CETCD_ETCD) and Go etcd to compare with (make oracle)")
        sys.exit(etcdproc.SKIPPED)
    with tempfile.TemporaryDirectory(prefix="auth") as root:
        a = Authority(os.path.join(root, "ca"))
        ours, go = ask(args.ours, args.ctl, a), ask(args.go, args.ctl, a)
    failed = 0
    for at in sorted(set(ours) | set(go)):
        place, name = at
        same = ours.get(at) == go.get(at)
        if place == "grpc":
            right = all(w == TEXTS[name] for w in ours.get(at, [None]))
        elif place == "etcdctl":
            right = all(w[0] and w[2] for w in ours.get(at, [(0, "", False)]))
        else:
            right = (GATEWAY_CN if name == "CN" else TEXTS[name][1]) in json.dumps(ours.get(at))
        failed += not same or not right
        print("%s %-8s %-24s %d times%s" % ("same   " if same and right else "DIFFERS", place, name, len(ours.get(at, [])),
                                            "" if same and right else "\n   ours %s\n   Go   %s" % (ours.get(at), go.get(at))))
    missing = [name for name in TEXTS if ("grpc", name) not in ours]
    print("%d of %d texts were made to appear by gRPC, %d by the gateway, %d by etcdctl; %d differ; missing: %s" %
          (len(TEXTS) - len(missing), len(TEXTS), sum(p == "gateway" for p, _ in ours), sum(p == "etcdctl" for p, _ in ours), failed, missing))
    sys.exit(1 if failed or missing else 0)


main()
