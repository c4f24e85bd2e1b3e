#!/usr/bin/env python3
"""What etcdutl makes, servers start on: ours and Go's, from directories that ours and Go's made.

usage: servers.py [--ours ETCDUTL] [--our-etcd ETCD] [CASE...]

Cases: stopped, restored, bumped, cluster, changed, busy. --ours and --our-etcd default to $CETCD_ETCDUTL and $CETCD_ETCD; Go's
programs come from $CETCD_ORACLE or build-oracle. Exit code 77 (skipped) without them."""
import argparse
import json
import lzma
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
GOLDEN = os.path.join(HERE, "..", "..", "golden")
sys.path.insert(0, os.path.join(HERE, "..", "..", "lib"))

import etcdproc

MEMBER = ["--name", "n1", "--initial-cluster", "n1=http://127.0.0.1:2380", "--initial-advertise-peer-urls", "http://127.0.0.1:2380"]


def check(condition, text):
    if not condition:
        raise AssertionError(text)


class Test:
    def __init__(self, args, top):
        self.utl = {"ours": args.ours, "Go": etcdproc.oracle("etcdutl")}
        self.etcd = {"ours": args.our_etcd, "Go": etcdproc.oracle("etcd")}
        self.top = top
        self.snapshot = self.path("s.db")
        with lzma.open(os.path.join(GOLDEN, "snapshot.db.xz")) as f, open(self.snapshot, "wb") as out:
            out.write(f.read())

    def path(self, name):
        return os.path.join(self.top, name)

    def run(self, who, *words, code=0):
        r = subprocess.run([self.utl[who]] + list(words), capture_output=True, text=True, timeout=60)
        check(r.returncode == code, "%s etcdutl %s: exit %d\n%s" % (who, " ".join(words), r.returncode, r.stderr[-2000:]))
        return r

    def facts(self, server):
        """What clients see, without what differs from start to start."""
        rows = json.loads(server.ctl("get", "--from-key", "", "-w", "json").stdout)
        return rows["kvs"], rows["header"]["revision"], server.ctl("endpoint", "hashkv").stdout.split(b",")[1:], \
            server.ctl("lease", "list").stdout, server.ctl("member", "list").stdout

    def restored(self):
        """The same to clients, whoever restored and whoever serves; and a write works."""
        seen = {}
        for maker in self.utl:
            for server in self.etcd:
                d = self.path("%s-%s" % (maker, server))
                self.run(maker, "snapshot", "restore", self.snapshot, "--data-dir", d, *MEMBER)
                with etcdproc.Server(self.etcd[server], data_dir=d) as s:
                    seen[maker, server] = self.facts(s)
                    check(s.ctl("put", "new", "value").returncode == 0, "no put after a restore")
                with etcdproc.Server(self.etcd["ours" if server == "Go" else "Go"], data_dir=d) as s:
                    check(s.ctl("get", "new", "--print-value-only").stdout == b"value\n", "the put is gone")
        for who, what in seen.items():
            check(what == seen["Go", "Go"], "restored by %s, served by %s:\n%s\nnot as Go by Go:\n%s" % (who + (what, seen["Go", "Go"])))

    def bumped(self):
        """Revisions go on behind the bump, and everything before it is compacted."""
        seen = {}
        for maker in self.utl:
            for server in self.etcd:
                d = self.path("%s-%s" % (maker, server))
                self.run(maker, "snapshot", "restore", self.snapshot, "--data-dir", d, "--bump-revision", "1000", "--mark-compacted", *MEMBER)
                with etcdproc.Server(self.etcd[server], data_dir=d) as s:
                    time.sleep(0.5)                     # the compaction that was marked
                    old = s.ctl("get", "x", "--rev", "1000")
                    rows = json.loads(s.ctl("get", "--from-key", "", "-w", "json").stdout)
                    put = json.loads(s.ctl("put", "a", "b", "-w", "json").stdout)
                    seen[maker, server] = rows["kvs"], rows["header"]["revision"], put["header"]["revision"], old.stderr.split(b"\n")[-2]
        for who, what in seen.items():
            check(what == seen["Go", "Go"], "restored by %s, served by %s:\n%s\nnot as Go by Go:\n%s" % (who + (what, seen["Go", "Go"])))
        check(b"required revision has been compacted" in seen["ours", "Go"][3], "not compacted")

    def cluster(self):
        """Three directories by ours become one cluster of Go servers."""
        names = ["m1", "m2", "m3"]
        peers = {n: "http://127.0.0.1:%d" % etcdproc.free_port() for n in names}
        clients = {n: "http://127.0.0.1:%d" % etcdproc.free_port() for n in names}
        all_of_them = ",".join("%s=%s" % p for p in peers.items())
        servers = []
        try:
            for n in names:
                self.run("ours", "snapshot", "restore", self.snapshot, "--data-dir", self.path(n), "--name", n, "--initial-cluster",
                         all_of_them, "--initial-cluster-token", "tok", "--initial-advertise-peer-urls", peers[n])
                log = open(self.path(n + ".log"), "wb")
                servers.append(subprocess.Popen(
                    [self.etcd["Go"], "--name", n, "--data-dir", self.path(n), "--listen-client-urls", clients[n],
                     "--advertise-client-urls", clients[n], "--listen-peer-urls", peers[n], "--initial-advertise-peer-urls", peers[n],
                     "--initial-cluster", all_of_them, "--initial-cluster-token", "tok"], stdout=log, stderr=log))
            ctl = [etcdproc.oracle("etcdctl"), "--endpoints", ",".join(clients.values())]
            for _ in range(100):
                if subprocess.run(ctl + ["put", "all", "three"], capture_output=True).returncode == 0:
                    break
                time.sleep(0.1)
            for n in names:
                one = [ctl[0], "--endpoints", clients[n]]
                r = subprocess.run(one + ["get", "all", "--print-value-only"], capture_output=True)
                check(r.stdout == b"three\n", "%s does not have it: %r" % (n, r))
            r = subprocess.run(ctl + ["endpoint", "hashkv"], capture_output=True, text=True)
            check(len({line.split(", ", 1)[1] for line in r.stdout.splitlines()}) == 1, "hashes differ:\n" + r.stdout)
        finally:
            for s in servers:
                s.terminate()
            for s in servers:
                s.wait()

    def changed(self):
        """Defragmented and migrated by ours; both servers take it."""
        source = self.path("source")
        self.run("Go", "snapshot", "restore", self.snapshot, "--data-dir", source, *MEMBER)
        with etcdproc.Server(self.etcd["Go"], data_dir=source) as s:
            for i in range(20):
                s.ctl("put", "big%d" % (i % 3), "x" * 100000)
            rev = json.loads(s.ctl("get", "x", "-w", "json").stdout)["header"]["revision"]
            s.ctl("compaction", str(rev), "--physical")
            want = self.facts(s)
        for server in self.etcd:
            d = self.path("changed-" + server)
            shutil.copytree(source, d)
            db = os.path.join(d, "member", "snap", "db")
            size = json.loads(self.run("ours", "snapshot", "status", db, "-w", "json").stdout)["totalSize"]
            self.run("ours", "defrag", "--data-dir", d)
            for version in ("3.6", "3.5", "3.7"):
                self.run("ours", "migrate", "--data-dir", d, "--target-version", version)
            less = json.loads(self.run("Go", "snapshot", "status", db, "-w", "json").stdout)["totalSize"]
            check(less < size / 2, "defrag: %d bytes, then %d" % (size, less))
            self.run("ours", "check", d)
            with etcdproc.Server(self.etcd[server], data_dir=d) as s:
                check(self.facts(s) == want, "%s serves\n%s\nnot\n%s" % (server, self.facts(s), want))

    def busy(self):
        """While a server has the files, nobody touches them: exit codes as Go's, after the time given."""
        for server in self.etcd:
            with etcdproc.Server(self.etcd[server]) as s:
                db = os.path.join(s.dir, "member", "snap", "db")
                for words in (["defrag", "--data-dir", s.dir], ["migrate", "--data-dir", s.dir, "--target-version", "3.6"], ["hashkv", db]):
                    for who in self.utl:
                        start = time.monotonic()
                        self.run(who, "--timeout", "300ms", *words, code=2)
                        check(0.25 < time.monotonic() - start < 10, "waited wrongly")
                self.run("ours", "--timeout", "300ms", "check", s.dir, code=2)
                check(s.ctl("put", "a", "b").returncode == 0, "the server is hurt")


    def stopped(self):
        """^C, and a file that may not grow: an Error line, the exit code, and no trace."""
        big, d = self.path("big.db"), self.path("d")
        with open(big, "wb") as f:
            f.truncate(4 << 30)                         # holes
        p = subprocess.Popen([self.utl["ours"], "snapshot", "restore", big, "--skip-hash-check", "--data-dir", d], stderr=subprocess.PIPE)
        while not os.path.exists(os.path.join(d, "member.restoring", "snap", "db")):
            check(p.poll() is None, "it ended by itself")
        p.send_signal(signal.SIGINT)
        check(b"Error: interrupted" in p.stderr.read() and p.wait() == 128 + signal.SIGINT, "exit %d" % p.wait())
        check(not os.path.exists(d), "left something behind")
        os.remove(big)
        r = subprocess.run([self.utl["ours"], "snapshot", "restore", self.snapshot, "--data-dir", d], stderr=subprocess.PIPE,
                           preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20)))
        check(r.returncode == 1 and b"\nError: " in r.stderr and not os.path.exists(d), r)


CASES = ["stopped", "restored", "bumped", "cluster", "changed", "busy"]


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--ours", default=os.environ.get("CETCD_ETCDUTL"))
    p.add_argument("--our-etcd", default=os.environ.get("CETCD_ETCD"))
    p.add_argument("cases", nargs="*")
    args = p.parse_args()
    if not args.ours or not args.our_etcd or not etcdproc.oracle("etcdutl") or not etcdproc.oracle("etcdctl"):
        print("SKIP: needs ours (CETCD_ETCDUTL, CETCD_ETCD) and Go's (make oracle)")
        sys.exit(etcdproc.SKIPPED)
    args.ours, args.our_etcd = os.path.abspath(args.ours), os.path.abspath(args.our_etcd)
    for case in args.cases or CASES:
        top = tempfile.mkdtemp(prefix="cetcd-utl-")
        try:
            getattr(Test(args, top), case)()
            print("ok " + case)
        finally:
            shutil.rmtree(top, ignore_errors=True)


main()
