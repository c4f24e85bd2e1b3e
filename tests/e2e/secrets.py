#!/usr/bin/env python3
"""Passwords, tokens, hashes and keys that are marked, at --log-level debug: every Auth RPC, right and wrong, by gRPC, the gateway, etcdctl and the
proxies, on a cluster of two whose members log everything. Then all that was written or can be asked for is searched: logs of members, proxies and
etcdctl, /metrics, /debug, error texts, the data directory (passwords and tokens only: hashes live there).

usage: secrets.py [--ours ETCD] [--ctl ETCDCTL]"""
import argparse
import base64
import json
import os
import subprocess
import sys
import tempfile

sys.path[:0] = [os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", d) for d in ("lib", "tls")]

import etcdproc
from authority import Authority
from etcdcluster import wait

try:
    import grpc
    from etcdapi import Api, auth, rpc
except ImportError as e:
    print("SKIP: gRPC for Python: %s" % e)
    sys.exit(etcdproc.SKIPPED)

MARK = "MarkedSecret"
ARGS = None


class Pair:
    """Two members with client and peer TLS that log everything, and both proxies in front of them."""
    def __init__(self, root, a, token):
        self.root, self.a, self.processes, self.logs = root, a, [], []
        ports = [(etcdproc.free_port(), etcdproc.free_port()) for _ in range(2)]
        pair = lambda prefix: ["--%scert-file=%s" % (prefix, a.server[0]), "--%skey-file=%s" % (prefix, a.server[1]),
                               "--%strusted-ca-file=%s" % (prefix, a.ca)]
        urls = ["https://127.0.0.1:%d" % p for _, p in ports]
        self.ports = [etcdproc.free_port() for _ in range(2)]
        for i, (port, _) in enumerate(ports):
            plain = "http://127.0.0.1:%d" % self.ports[i]
            self.run("m%d" % i, [ARGS.ours, "--name=m%d" % i, "--data-dir=" + os.path.join(root, "data%d" % i), "--log-level=debug",
                                 "--listen-client-urls=%s,https://127.0.0.1:%d" % (plain, port), "--advertise-client-urls=" + plain,
                                 "--listen-peer-urls=" + urls[i], "--initial-advertise-peer-urls=" + urls[i],
                                 "--initial-cluster=" + ",".join("m%d=%s" % x for x in enumerate(urls)), "--bcrypt-cost=4", token]
                     + pair("") + pair("peer-"))
        for i in range(2):
            wait(lambda: self.healthy(self.ports[i]), 30, "a healthy member")
        self.proxy, self.gateway = etcdproc.free_port(), etcdproc.free_port()
        self.run("proxy", [ARGS.ours, "grpc-proxy", "start", "--debug", "--endpoints=127.0.0.1:%d" % self.ports[1],
                           "--listen-addr=127.0.0.1:%d" % self.proxy])
        self.run("gateway", [ARGS.ours, "gateway", "start", "--endpoints=127.0.0.1:%d" % self.ports[0],
                             "--listen-addr=127.0.0.1:%d" % self.gateway])
        wait(lambda: all(self.listens(p) for p in (self.proxy, self.gateway)), 30, "the proxies")

    def run(self, name, args):
        self.logs.append(os.path.join(self.root, name + ".log"))
        with open(self.logs[-1], "wb") as log:
            self.processes.append(subprocess.Popen(args, stdout=log, stderr=log, cwd=self.root,
                                                   env={k: v for k, v in os.environ.items() if not k.startswith("ETCD")}))

    @staticmethod
    def healthy(port):
        try:
            return etcdproc.get(port, "/health")[0] == 200
        except OSError:
            return False

    @staticmethod
    def listens(port):
        import socket
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", port)) == 0

    def stop(self):
        for p in self.processes:
            p.terminate()
        for p in self.processes:
            p.wait(20)

    def kill(self):
        for p in self.processes:
            if p.poll() is None:
                p.kill()
                p.wait()


class Said:
    """What came back to clients: error texts, etcdctl's outputs. Answers have tokens by right and are not kept."""
    def __init__(self):
        self.texts, self.tokens, self.count = [], set(), 0

    def __call__(self, api, name, request):
        self.count += 1
        try:
            answer = api.call(name, request, 10)
            if name == "Auth/Authenticate":
                self.tokens.add(answer.token)
            return answer
        except grpc.RpcError as e:
            self.texts.append(str(e.details()) + str(e.debug_error_string() if hasattr(e, "debug_error_string") else ""))


def every_auth_rpc(said, api, secret):
    """As whoever api is; secrets wherever a field takes them."""
    for name, request in (
            ("UserAdd", rpc.AuthUserAddRequest(name="w", password=secret)),
            ("UserAdd", rpc.AuthUserAddRequest(name="w", password=secret)),
            ("UserAdd", rpc.AuthUserAddRequest(name="", password=secret)),
            ("UserAdd", rpc.AuthUserAddRequest(name="long", password=secret * 20)),
            ("UserAdd", rpc.AuthUserAddRequest(name="zero", password=secret + "\0")),
            ("UserAdd", rpc.AuthUserAddRequest(name="none", password=secret, options=auth.UserAddOptions(no_password=True))),
            ("UserAdd", rpc.AuthUserAddRequest(name="hashed", hashedPassword=secret)),
            ("UserChangePassword", rpc.AuthUserChangePasswordRequest(name="w", password=secret)),
            ("UserChangePassword", rpc.AuthUserChangePasswordRequest(name="nobody", password=secret)),
            ("UserChangePassword", rpc.AuthUserChangePasswordRequest(name="w", hashedPassword=secret)),
            ("Authenticate", rpc.AuthenticateRequest(name="w", password=secret)),
            ("Authenticate", rpc.AuthenticateRequest(name="nobody", password=secret)),
            ("Authenticate", rpc.AuthenticateRequest(name="none", password=secret)),
            ("UserGet", rpc.AuthUserGetRequest(name="w")), ("UserList", rpc.AuthUserListRequest()),
            ("RoleAdd", rpc.AuthRoleAddRequest(name="r")), ("RoleGet", rpc.AuthRoleGetRequest(role="r")), ("RoleList", rpc.AuthRoleListRequest()),
            ("RoleGrantPermission", rpc.AuthRoleGrantPermissionRequest(name="r", perm=auth.Permission(permType=2, key=b"k"))),
            ("UserGrantRole", rpc.AuthUserGrantRoleRequest(user="w", role="r")),
            ("UserRevokeRole", rpc.AuthUserRevokeRoleRequest(name="w", role="r")),
            ("RoleRevokePermission", rpc.AuthRoleRevokePermissionRequest(role="r", key=b"k")),
            ("RoleDelete", rpc.AuthRoleDeleteRequest(role="r")), ("AuthStatus", rpc.AuthStatusRequest()),
            ("UserDelete", rpc.AuthUserDeleteRequest(name="w"))):
        said(api, "Auth/" + name, request)
    said(api, "KV/Range", rpc.RangeRequest(key=b"k"))
    said(api, "KV/Put", rpc.PutRequest(key=b"k"))
    said(api, "Maintenance/Status", rpc.StatusRequest())


def gateway_calls(said, port, secret):
    for path, body in (("authenticate", {"name": "root", "password": secret}), ("authenticate", {"name": "root", "password": secret + "wrong"}),
                       ("authenticate", {"name": "root", "password": [secret]}), ("authenticate", {"password": secret, "odd": secret}),
                       ("user/add", {"name": "g", "password": secret}), ("user/changepw", {"name": "g", "password": secret})):
        for text in (json.dumps(body), json.dumps(body)[:-2]):
            for token in (None, MARK + "token.9", "Bearer " + MARK + "token.9"):
                said.count += 1
                status, headers, data = etcdproc.get(port, "/v3/auth/" + path, "POST", text, {"Authorization": token} if token else {})
                if status == 200 and b'"token"' in data:
                    said.tokens.add(json.loads(data)["token"])
                else:
                    said.texts.append(str(headers) + data.decode())


def ctl_calls(said, port, secret):
    env = {k: v for k, v in os.environ.items() if not k.startswith("ETCD")}
    for args, stdin in ((["--user=root:" + secret, "put", "a", "b"], None), (["--user=root:" + secret + "wrong", "put", "a", "b"], None),
                        (["--user=root", "--password=" + secret, "user", "list"], None),
                        (["--user=root:" + secret, "user", "add", "c:" + secret], None),
                        (["--user=root:" + secret, "user", "add", "d", "--interactive=false"], secret.encode()),
                        (["--user=root:" + secret, "user", "passwd", "d", "--interactive=false"], secret.encode()),
                        (["--user=root:" + secret, "user", "add", ":" + secret], None), (["--user=" + secret], None)):
        said.count += 1
        r = subprocess.run([ARGS.ctl, "--debug", "--endpoints=127.0.0.1:%d" % port] + args, input=stdin, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, env=env, timeout=30)
        said.texts.append(r.stdout.decode(errors="replace"))


def forms(secret):
    """As it is, and as base64 (of a JSON body's bytes field, of a message in a log) at each of the three offsets."""
    raw = secret.encode()
    yield raw
    for shift in range(3):
        b = base64.b64encode(b"\0" * shift + raw)
        yield b[(shift * 8 + 5) // 6:len(b) // 4 * 4 - 4]


def search(said, pair, secrets, places):
    found = []
    for where, data in places:
        found += ["%s: %s" % (where, s[:12]) for s in secrets for f in forms(s) if f in data]
    for where, data in ((p, open(p, "rb").read()) for p in pair.logs):
        found += ["%s: %s in %r" % (os.path.basename(where), s[:12], line[:300]) for s in secrets for f in forms(s)
                  for line in data.split(b"\n") if f in line]
    found += ["told to a client: %s in %r" % (s[:12], t[:600]) for s in secrets for f in forms(s) for t in said.texts if f in t.encode()]
    return found


def scenario(root, a, name, token_flag, key_text):
    os.mkdir(root)
    pair, said = Pair(root, a, token_flag), Said()
    secret = MARK + name
    try:
        api = Api("127.0.0.1:%d" % pair.ports[0])
        every_auth_rpc(said, api, secret)
        said(api, "Auth/UserAdd", rpc.AuthUserAddRequest(name="root", password=secret))
        said(api, "Auth/RoleAdd", rpc.AuthRoleAddRequest(name="root"))
        said(api, "Auth/UserGrantRole", rpc.AuthUserGrantRoleRequest(user="root", role="root"))
        said(api, "Auth/AuthEnable", rpc.AuthEnableRequest())
        hosts = ["127.0.0.1:%d" % p for p in pair.ports + [pair.proxy, pair.gateway]]
        for host in hosts:
            by = Api(host)
            root_api = by.with_token(said(by, "Auth/Authenticate", rpc.AuthenticateRequest(name="root", password=secret)).token)
            for caller in (by, root_api, by.with_token(MARK + "token.7"), by.with_token(MARK + "a." + MARK + "b." + MARK + "c")):
                every_auth_rpc(said, caller, secret)
            ctl_calls(said, int(host.split(":")[1]), secret)
        for port in pair.ports:
            gateway_calls(said, port, secret)
        places = []
        for port in pair.ports:
            for path in ("/metrics", "/debug/vars", "/debug/requests", "/debug/events", "/debug/pprof/", "/debug/pprof/cmdline",
                         "/debug/pprof/goroutine?debug=2", "/health", "/version"):
                places.append((path, etcdproc.get(port, path)[2]))
        said(root_api, "Auth/AuthDisable", rpc.AuthDisableRequest())
        pair.stop()
    finally:
        pair.kill()
    disk = [(p, open(p, "rb").read()) for d, _, fs in os.walk(root) for p in (os.path.join(d, f) for f in fs) if "/data" in d]
    # A hash is stored by right; a simple token's letters are in the entry that made it, as upstream has it.
    found = search(said, pair, [MARK], places) + search(said, pair, list(said.tokens) + key_text, places)
    # A field that a client gave as a hash is stored as it came.
    found += ["%s: %s" % (p, secret) for p, data in disk if "wal" not in p and secret.encode() in data]
    size = sum(os.path.getsize(p) for p in pair.logs)
    assert size > 20000 and len(said.tokens) > 8, "nothing was tried: %d bytes of logs, %d tokens" % (size, len(said.tokens))
    print("%s: %d requests, %d tokens, %d kB of logs, %d places: %s" % (name, said.count, len(said.tokens), size // 1000,
                                                                       len(places) + len(said.texts), "nothing found" if not found else ""))
    print("\n".join(found[:30]))
    return found


def main():
    global ARGS
    p = argparse.ArgumentParser()
    p.add_argument("--ours", default=os.environ.get("CETCD_ETCD"))
    p.add_argument("--ctl", default=os.environ.get("CETCD_ETCDCTL"))
    ARGS = p.parse_args()
    if not ARGS.ours or not ARGS.ctl:
        print("SKIP: no programs to test (CETCD_ETCD, CETCD_ETCDCTL)")
        sys.exit(etcdproc.SKIPPED)
    with tempfile.TemporaryDirectory(prefix="secrets") as root:
        a = Authority(os.path.join(root, "ca"))
        key = os.path.join(root, "jwt-key")
        with open(key, "w") as f:
            f.write(MARK + "hmac")
        with open(a.server[1]) as f:
            pem = [line for line in f.read().split("\n") if len(line) > 40]
        found = scenario(os.path.join(root, "simple"), a, "simple", "--auth-token=simple", pem)
        found += scenario(os.path.join(root, "jwt"), a, "jwt", "--auth-token=jwt,priv-key=%s,sign-method=HS256" % key, pem)
    sys.exit(1 if found else 0)


main()
