#!/usr/bin/env python3
"""Members of ours and of Go's with TLS between them, of an authority of their own or made by themselves, authentication on: users are added on
either kind and known on both, with simple tokens and with JWT.

usage: tls.py [--ours ETCD] [--go ETCD] [--kinds ours,go,ours]"""
import argparse
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "lib"), os.path.join(HERE, "..", "tls")]

import etcdproc
from authority import Authority
from etcdcluster import ApiError, Cluster, b64, wait


def login(m, name, password):
    return m.api("auth/authenticate", {"name": name, "password": password})["token"]


def play(what, kinds, binaries, flags):
    c = Cluster(kinds, binaries, ["--bcrypt-cost=4"] + flags)
    for m in c:
        m.peer_url = m.peer_url.replace("http:", "https:")
    try:
        c.start()
        first = c[0]
        for path, body in (("auth/user/add", {"name": "root", "password": "pw"}), ("auth/role/add", {"name": "root"}),
                           ("auth/user/grant", {"user": "root", "role": "root"}), ("auth/role/add", {"name": "r"}),
                           ("auth/role/grant", {"name": "r", "perm": {"permType": "READWRITE", "key": b64("a"), "range_end": b64("b")}}),
                           ("auth/enable", {})):
            first.api(path, body)
        for m in c:
            wait(lambda: "user name is empty" in m.error("kv/put", {"key": b64("a")}), 10, "%s has authentication on" % m.name)
            m.token = login(m, "root", "pw")
        for i, m in enumerate(c):
            user = "user%d" % i
            m.api("auth/user/add", {"name": user, "password": user})
            m.api("auth/user/grant", {"user": user, "role": "r"})
            for other in c:
                other.token = wait(lambda: login(other, user, user), 10, "%s, added on %s, known on %s" % (user, m.name, other.name))
                other.put("a%d" % i, other.name)
                assert "permission denied" in other.error("kv/put", {"key": b64("z")})
                other.token = login(other, "root", "pw")
        c.same()
        c.leader().kill()
        left = [m for m in c if m.alive()]
        wait(lambda: [m.put("a", "after") for m in left], 15, "writes go on without the leader")
        print("ok: %s, %s: %d users, each known everywhere; the same data; goes on without its leader" % (what, ",".join(kinds), len(list(c))), flush=True)
    finally:
        c.close()


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--ours", default=os.environ.get("CETCD_ETCD"))
    p.add_argument("--go", default=etcdproc.oracle("etcd"))
    p.add_argument("--kinds", default="ours,go,ours")
    args = p.parse_args()
    if not args.ours or not args.go or not shutil.which("openssl"):
        print("SKIP: needs a server (CETCD_ETCD), openssl and Go etcd (make oracle)")
        sys.exit(etcdproc.SKIPPED)
    binaries, kinds = {"ours": args.ours, "go": args.go}, args.kinds.split(",")
    with tempfile.TemporaryDirectory(prefix="peertls") as root:
        a = Authority(os.path.join(root, "ca"))
        key, public = os.path.join(root, "jwt.pem"), os.path.join(root, "jwt.pub")
        subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, stderr=subprocess.DEVNULL)
        subprocess.run(["openssl", "rsa", "-in", key, "-pubout", "-out", public], check=True, stderr=subprocess.DEVNULL)
        own = ["--peer-cert-file=" + a.server[0], "--peer-key-file=" + a.server[1], "--peer-trusted-ca-file=" + a.ca, "--peer-client-cert-auth",
               "--peer-cert-allowed-cn=server"]
        play("an authority of their own", kinds, binaries, own)
        play("the same with JWT", kinds, binaries, own + ["--auth-token=jwt,pub-key=%s,priv-key=%s,sign-method=RS256,ttl=10m" % (public, key)])
        play("peer-auto-tls", kinds, binaries, ["--peer-auto-tls"])


main()
