#!/usr/bin/env python3
"""Three members, all of them in --endpoints, one of them killed: what each kind of command does, ours beside Go's etcdctl.

usage: failover.py [--server ETCD]          three of these (ours, $CETCD_ETCD). Exit code 77: Go's etcdctl is missing (make oracle)

Commands that end: with each member killed in turn, and with one that hangs, both etcdctl answer alike. Commands that go on: the member
that each is connected to is killed under it."""
import argparse
import os
import re
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import etcdproc
from etcdcluster import Cluster, wait

ANY = re.compile(r"(?<=revision )\d+|(?<=\"revision\":)\d+|(?<=_revision\":)\d+|(?<=\"version\":)\d+|\b[0-9a-f]{15,16}\b|\b127\.0\.0\.1:\d+|\b\d{8,}\b|\d+(\.\d+)?(ms|µs|s)\b|took = .*|[\d.]+ [kM]?B|, \d+(?=,|$)", re.M)

# Ending commands. LEASE is a living lease.
ONCE = ["put k v", "get k", "get k --consistency=s", "get k -w json", "put k v2 --prev-kv", "del none", "txn-put", "compaction-of-now",
        "lease grant 100", "lease timetolive LEASE --keys", "lease list", "lease keep-alive LEASE --once", "lease revoke 7fffffffffffff00",
        "member list", "member update ffff --peer-urls=http://127.0.0.1:1", "member promote ffff", "member remove ffff", "alarm list", "alarm disarm",
        "auth status", "user list", "user add u:p", "user delete u", "role list", "role add r", "role delete r", "snapshot save FILE",
        "endpoint health --cluster", "endpoint status --cluster", "endpoint health", "endpoint status", "endpoint hashkv", "defrag",
        "move-leader ffff", "downgrade validate 3.6", "lock l true", "get k --rev=999999999", "watch-once", "elect-once"]


class Failover:
    def __init__(self, cluster, ctls):
        self.cluster, self.ctls, self.wrong, self.count = cluster, ctls, 0, 0
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("ETCD")}

    def start(self, ctl, words, **more):
        endpoints = ",".join("127.0.0.1:%d" % m.port for m in self.cluster)
        return subprocess.Popen([self.ctls[ctl], "--endpoints", endpoints, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                env=self.env, cwd=self.cluster.root, **more)

    def run(self, ctl, words, **more):
        p = self.start(ctl, words)
        out, err = p.communicate(timeout=60)
        return p.returncode, out, err

    def leads(self):
        """A living member does, as all of them know."""
        def known():
            ids = {m.leader_id() for m in self.cluster if m.alive()}
            return len(ids) == 1 and ids <= {m.id() for m in self.cluster if m.alive()}
        wait(known, 20, "a living leader")

    def living(self):
        return next(m for m in self.cluster if m.alive())

    def command(self, ctl, name, lease):
        path = os.path.join(self.cluster.root, ctl + ".db")
        if name == "txn-put":
            p = self.start(ctl, ["txn"], stdin=subprocess.PIPE)
            out, err = p.communicate('mod("k") > "0"\n\nput k t\n\nput k e\n\n', timeout=60)
            return p.returncode, out, err
        if name == "compaction-of-now":
            return self.run(ctl, ["compaction", self.living().status()["header"]["revision"]])
        if name == "watch-once":
            p = self.start(ctl, ["watch", "w"])
            time.sleep(1)
            self.run("ours", ["put", "w", "x"])
            line = [p.stdout.readline() for _ in range(3)]
            p.send_signal(signal.SIGINT)
            return p.wait(20), "".join(line), ""
        if name == "elect-once":
            p = self.start(ctl, ["elect", "e", ctl])
            line = re.sub("e/[0-9a-f]+", "e/ID", "".join(p.stdout.readline() for _ in range(2)).replace(ctl, "CTL"))
            p.send_signal(signal.SIGINT)
            return p.wait(20), line, ""
        if name.startswith("snapshot") and os.path.exists(path):
            os.remove(path)
        return self.run(ctl, [path if w == "FILE" else lease if w == "LEASE" else w for w in name.split()])

    def seen(self, ctl, name, lease):
        """What must be equal: not the order of endpoints, ids, times."""
        code, out, err = self.command(ctl, name, lease)
        err = "\n".join(l for l in err.splitlines() if not l.startswith("{"))
        out, err = (ANY.sub("~", t.replace(self.cluster.root, "ROOT").replace(ctl + ".db", "FILE")) for t in (out, err))
        return code, sorted(out.splitlines()), sorted(err.splitlines())

    def compare(self, state):
        lease = self.run("ours", ["lease", "grant", "600"])[1].split()[1]
        self.run("ours", ["put", "k", "v"])
        for name in ONCE:
            results = {}
            for ctl in self.ctls:
                if name.startswith(("user add", "role add")):
                    self.run("ours", name.replace("add", "delete").replace(":p", "").split())
                elif name.startswith(("user delete", "role delete")):
                    self.run("ours", name.replace("delete", "add").replace(" u", " u:p").split())
                elif name == "compaction-of-now":
                    self.run("ours", ["put", "k", "v"])
                elif "k" in name.split():
                    self.run("ours", ["put", "k", "v"])
                results[ctl] = self.seen(ctl, name, lease)
            self.count += 1
            if results["ours"] != results["go"]:
                self.wrong += 1
                print("differs, %s: %s\n ours %r\n go   %r" % (state, name, results["ours"], results["go"]), flush=True)

    # ---- commands that go on ----

    def check(self, what, ok, more=""):
        self.count += 1
        if not ok:
            self.wrong += 1
            print("FAILED %s %s" % (what, more), flush=True)

    def kill_each(self, step):
        """Every member once, back again each time: one of them is the one a process is connected to."""
        for m in self.cluster:
            m.kill()
            step(m)
            m.start("existing")
            m.wait_ready()
            self.leads()

    def put(self, key, value):
        wait(lambda: self.run("ours", ["put", key, value])[0] == 0, 20, "put %s" % key)

    def lines_of(self, p, count, seconds=20):
        got, end = [], time.monotonic() + seconds
        os.set_blocking(p.stdout.fileno(), False)
        while len(got) < count and time.monotonic() < end:
            line = p.stdout.readline()
            if line:
                got.append(line.strip())
            else:
                time.sleep(0.02)
        return got

    def watch(self, ctl):
        p = self.start(ctl, ["watch", "w/", "--prefix"])
        time.sleep(1)
        number = [0]

        def step(m):
            number[0] += 1
            self.put("w/%d" % number[0], "v")
            got = self.lines_of(p, 3)
            self.check("%s: watch goes on when %s is killed" % (ctl, m.name), got == ["PUT", "w/%d" % number[0], "v"], got)
        self.kill_each(step)
        p.kill()
        p.communicate()

    def keep_alive(self, ctl):
        lease = self.run("ours", ["lease", "grant", "6"])[1].split()[1]
        p = self.start(ctl, ["lease", "keep-alive", lease])

        def step(m):
            time.sleep(8)
            code, out, err = self.run("ours", ["lease", "timetolive", lease])
            self.check("%s: a lease lives when %s is killed" % (ctl, m.name), "remaining" in out and p.poll() is None, out + err)
        self.kill_each(step)
        p.kill()
        p.communicate()

    def lock(self, ctl):
        p = self.start(ctl, ["lock", "name", "--ttl=6"])
        key = self.lines_of(p, 1)

        def step(m):
            time.sleep(8)
            code, out, err = self.run("ours", ["get", "name/", "--prefix", "--keys-only"])
            self.check("%s: a lock is held when %s is killed" % (ctl, m.name), key and key[0] in out and p.poll() is None, out + err)
        self.kill_each(step)
        p.send_signal(signal.SIGINT)
        self.check("%s: and given back" % ctl, p.wait(20) == 0 and not self.run("ours", ["get", "name/", "--prefix"])[1])
        p.communicate()

    def mirror(self, ctl):
        with etcdproc.Server(self.cluster.binaries["ours"]) as dest:
            p = self.start(ctl, ["make-mirror", dest.target, "--prefix=m/"])
            time.sleep(1)
            number = [0]

            def step(m):
                number[0] += 1
                self.put("m/%d" % number[0], "v")
                got = lambda: subprocess.run([self.ctls["ours"], "--endpoints", dest.target, "get", "m/%d" % number[0]], capture_output=True,
                                             text=True).stdout == "m/%d\nv\n" % number[0]
                try:
                    wait(got, 20, "the mirror has it")
                    ok = True
                except AssertionError:
                    ok = False
                self.check("%s: a mirror follows when %s is killed" % (ctl, m.name), ok and p.poll() is None)
            self.kill_each(step)
            p.kill()
            p.communicate()


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--server", default=os.environ.get("CETCD_ETCD"))
    args = a.parse_args()
    go = etcdproc.oracle("etcdctl")
    if not go:
        print("SKIP: no Go etcdctl here (make oracle)")
        sys.exit(etcdproc.SKIPPED)
    cluster = Cluster(["ours"] * 3, {"ours": args.server})
    try:
        cluster.start()
        f = Failover(cluster, {"ours": os.environ["CETCD_ETCDCTL"], "go": go})
        f.compare("all live")
        for m in cluster:
            m.kill()
            f.leads()
            f.compare(m.name + " killed")
            m.start("existing")
            m.wait_ready()
            f.leads()
        for going_on in (f.watch, f.mirror, f.keep_alive, f.lock):
            for ctl in f.ctls:
                going_on(ctl)
                print("done   %s of %s" % (going_on.__name__, ctl), flush=True)
    finally:
        cluster.close()
    print("%d checks, %d wrong" % (f.count, f.wrong))
    sys.exit(1 if f.wrong else 0)


main()
