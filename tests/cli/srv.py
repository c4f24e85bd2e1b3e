#!/usr/bin/env python3
"""etcdctl --discovery-srv with a real name server: Go's and ours find the same endpoints, and say the same where there are none.

usage: srv.py [--ctl ETCDCTL] [--server ETCD]

--ctl defaults to $CETCD_ETCDCTL, --server to Go's etcd (CETCD_ORACLE, make oracle). Needs root, unshare and dnsmasq. Exit code 77
(skipped) when something is missing."""
import argparse
import difflib
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))

import etcdproc
import nameserver

# Plain: a dead endpoint first, then the one that serves. With TLS: the certificate is for the domain and for 127.0.0.1.
RECORDS = """
--host-record=dead.plain.test,127.0.0.1
--host-record=one.plain.test,127.0.0.1
--host-record=one.secure.test,127.0.0.1
--srv-host=_etcd-client._tcp.plain.test,one.plain.test,{port},20,1
--srv-host=_etcd-client._tcp.plain.test,dead.plain.test,1,10,1
--srv-host=_etcd-client._tcp.one.test,one.plain.test,{port}
--srv-host=_etcd-client-blue._tcp.named.test,one.plain.test,{port}
--srv-host=_etcd-client-ssl-blue._tcp.named.test,one.secure.test,{tls}
--srv-host=_etcd-client-ssl._tcp.secure.test,one.secure.test,{tls}
--srv-host=_etcd-client-ssl._tcp.both.test,one.secure.test,{tls}
--srv-host=_etcd-client._tcp.both.test,one.plain.test,{port}
--srv-host=_etcd-client._tcp.lost.test,nobody.plain.test,{port}
"""

CERTS = """
openssl req -x509 -newkey rsa:2048 -nodes -keyout ca-key.pem -out ca.pem -subj /CN=ca -days 9
openssl req -newkey rsa:2048 -nodes -keyout server-key.pem -out server.csr -subj /CN=server
printf 'subjectAltName=DNS:secure.test,DNS:one.secure.test' > ext
openssl x509 -req -in server.csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial -out server.pem -days 9 -extfile ext
"""

LINES = """
-d one.test put k v
-d one.test get k
-d one.test endpoint status -w json
-d one.test endpoint health
--discovery-srv one.test --endpoints 127.0.0.1:1 get k
-d one.test. get k
-d plain.test get k
-d plain.test endpoint health --command-timeout=1s
-d plain.test endpoint status --command-timeout=1s
-d plain.test endpoint hashkv --command-timeout=1s
-d plain.test snapshot save s.db
-d plain.test --insecure-discovery=false get k
-d plain.test --insecure-discovery=false endpoint status
-d one.test --discovery-srv-name=blue get k
-d named.test get k
-d named.test --discovery-srv-name=blue --cacert=ca.pem get k
-d named.test --discovery-srv-name=blue --cacert=ca.pem endpoint health
-d named.test --discovery-srv-name blue --insecure-discovery=false --cacert=ca.pem endpoint status
-d secure.test --cacert=ca.pem get k
-d secure.test --cacert=ca.pem endpoint status
-d secure.test get k --command-timeout=500ms
-d secure.test --insecure-discovery=false --cacert=ca.pem get k
-d secure.test --insecure-discovery=false --insecure-skip-tls-verify get k
-d both.test --cacert=ca.pem get k
-d both.test --cacert=ca.pem endpoint status
-d both.test --insecure-discovery=false --cacert=ca.pem endpoint status
-d lost.test get k --command-timeout=500ms
-d nobody.test get k
-d nobody.test --insecure-discovery=false endpoint health
-d one.test make-mirror one.plain.test:{port} --prefix=k --dest-prefix=m --dest-cert=none
-d one.test endpoint status --cluster
-d one.test member list
-d one.test --debug version
"""


def clean(text, server):
    text = "".join(l for l in text.splitlines(True) if not l.startswith('{"level"'))
    text = re.sub(r"([Tt]ook\W*)[\d.]+(µs|ms|s)", r"\1<took>", text)
    text = re.sub(r', \d+, \d+, \d+, , ', ", <index>, , ", text)
    text = re.sub(r'"(raft\w*|db\w*)":\d+', r'"\1"', text)
    text = re.sub(r"\d+ kB, \d+ kB, \d+%", "<size>", text)
    lines = text.splitlines(True)
    return "".join(sorted(lines) if any("healthy" in l for l in lines) else lines).replace(server.root, "<DIR>")


def run(ctl, line, server):
    env = {k: v for k, v in os.environ.items() if not k.startswith("ETCD")}
    p = subprocess.run([ctl, *line.split()], capture_output=True, text=True, env=env, cwd=server.root, timeout=30)
    return (clean(p.stdout, server) + "".join("2> " + l for l in clean(p.stderr, server).splitlines(True)) + "exit %d" % p.returncode).split("\n")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--ctl", default=os.environ.get("CETCD_ETCDCTL"))
    p.add_argument("--server", default=etcdproc.oracle("etcd"))
    args = p.parse_args()
    go = etcdproc.oracle("etcdctl")
    if not args.ctl or not args.server or not go:
        print("SKIP: etcdctl of ours (CETCD_ETCDCTL), Go's or a server (make oracle) is missing")
        sys.exit(etcdproc.SKIPPED)
    nameserver.inside_namespaces("SRV_INSIDE")
    server = etcdproc.Server(os.path.abspath(args.server))
    subprocess.run(["sh", "-e", "-c", CERTS], cwd=server.root, check=True, capture_output=True)
    tls = etcdproc.free_port()
    server.flags += ["--listen-client-urls=%s,https://127.0.0.1:%d" % (server.endpoint, tls), "--cert-file=server.pem", "--key-file=server-key.pem"]
    different = 0
    with nameserver.NameServer(server.root, RECORDS.format(port=server.port, tls=tls).split()), server:
        lines = LINES.format(port=server.port).strip().split("\n")
        for line in lines:
            want, got = run(go, line, server), run(os.path.abspath(args.ctl), line, server)
            if want != got:
                different += 1
                print("etcdctl " + line)
                print("\n".join(difflib.unified_diff(want, got, "go", "ours", lineterm="", n=1)))
    print("%d lines, %d differ" % (len(lines), different))
    sys.exit(1 if different else 0)


main()
