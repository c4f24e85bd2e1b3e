#!/usr/bin/python3
"""Mixed load on one server for as long as wanted, and what it leaves: memory, descriptors and threads must not grow.

usage: soak.py [--ours ETCD] [--seconds 600] [--valgrind]

Clients put, delete, read, run transactions, keep leases alive or let them expire, open and cancel watches, connect and go;
beside them run compactions, defragmentations, snapshots and scrapes. Watches check what they get: revisions ascend, and
whoever watched all along saw every change. Every tenth of the time a row of the table is printed. Fails (exit code 1) if

  S1  anonymous memory in the last third is above that of the middle third (by 10% and 8 MB)
  S2  descriptors in use: the same, by 10% and 8; or not back within 4 of the beginning when all clients are gone
  S3  threads: more than after the beginning
  S4  a call failed, a watch missed a change, or the server ended with another code than 0

--valgrind: under memcheck; an error or a leak is a failure, memory is not judged."""
import argparse
import itertools
import os
import random
import re
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import etcdproc

try:
    from etcdapi import Api, rpc
    import grpc
except ImportError as e:
    print("soak: %s" % e)
    sys.exit(etcdproc.SKIPPED)

KEYS = 2000
FLAGS = ["--log-level=warn", "--quota-backend-bytes=4294967296", "--snapshot-count=2000"]


class Server(etcdproc.Server):
    """Perhaps under valgrind, where a start takes long."""

    def __init__(self, binary, valgrind):
        super().__init__(binary, FLAGS)
        self.valgrind = valgrind

    def args(self):
        tool = ["valgrind", "-q", "--leak-check=full", "--errors-for-leak-kinds=definite,indirect", "--show-leak-kinds=definite,indirect", "--fair-sched=yes",
                "--log-file=" + self.findings_path()]
        return (tool if self.valgrind else []) + super().args()

    def findings_path(self):
        return os.path.join(self.root, "valgrind")

    def findings(self):
        """What valgrind says, with -q nothing but errors. (The server ends by the signal, so there is no exit code for them.)"""
        if not self.valgrind:
            return []
        with open(self.findings_path()) as f:
            return f.read().splitlines()[:100]

    def wait(self, seconds=20):
        return super().wait(seconds * 10 if self.valgrind else seconds)


class Load:
    def __init__(self, server, seconds):
        self.server, self.end = server, time.monotonic() + seconds
        self.calls, self.errors, self.lock = {}, [], threading.Lock()
        self.pause = 0.001

    def running(self):
        return time.monotonic() < self.end

    def count(self, what):
        with self.lock:
            self.calls[what] = self.calls.get(what, 0) + 1

    def fail(self, text):
        with self.lock:
            self.errors.append(text)

    def call(self, api, what, request, timeout=60):
        answer = api.call(what, request, timeout)
        self.count(what)
        return answer

    def guard(self, work, seed):
        api = Api(self.server.target)
        try:
            work(api, random.Random(seed))
        except Exception as e:                  # whatever it is, it is a failed soak
            self.fail("%s: %r" % (work.__name__, e))
        finally:
            api.close()

    # ---- key space ----

    def writers(self, api, rng):
        while self.running():
            key, dice = b"soak/%05d" % rng.randrange(KEYS), rng.random()
            value = b"v" * rng.choice((10, 100, 1000, 20000))
            if dice < 0.6:
                self.call(api, "KV/Put", rpc.PutRequest(key=key, value=value, prev_kv=dice < 0.1))
            elif dice < 0.7:
                self.call(api, "KV/DeleteRange", rpc.DeleteRangeRequest(key=key, prev_kv=True))
            elif dice < 0.85:
                self.call(api, "KV/Txn", rpc.TxnRequest(
                    compare=[rpc.Compare(key=key, target=rpc.Compare.VERSION, result=rpc.Compare.GREATER, version=rng.randrange(4))],
                    success=[rpc.RequestOp(request_put=rpc.PutRequest(key=key, value=value)),
                             rpc.RequestOp(request_range=rpc.RangeRequest(key=b"soak/", range_end=b"soak0", limit=20))],
                    failure=[rpc.RequestOp(request_delete_range=rpc.DeleteRangeRequest(key=key))]))
            else:
                self.call(api, "KV/Range", rpc.RangeRequest(key=key, range_end=b"soak0", limit=rng.randrange(1, 3000),
                                                            sort_target=rng.randrange(5), sort_order=rng.randrange(3),
                                                            serializable=dice < 0.9))
            time.sleep(self.pause)

    def streams(self, api, rng):
        while self.running():
            for _ in api.server_stream("KV/RangeStream", rpc.RangeRequest(key=b"soak/", range_end=b"soak0"), timeout=60):
                pass
            self.count("KV/RangeStream")
            time.sleep(0.5)

    # ---- leases ----

    def leases(self, api, rng):
        stream, kept = api.stream("Lease/LeaseKeepAlive"), []
        while self.running():
            lease = self.call(api, "Lease/LeaseGrant", rpc.LeaseGrantRequest(TTL=rng.choice((2, 3, 60)))).ID
            for _ in range(rng.randrange(4)):
                try:
                    self.call(api, "KV/Put", rpc.PutRequest(key=b"soak/%05d" % rng.randrange(KEYS), value=b"leased", lease=lease))
                except grpc.RpcError as e:
                    if "lease not found" not in str(e.details()):
                        raise
            kept = (kept + [lease])[-20:]
            stream.send(rpc.LeaseKeepAliveRequest(ID=rng.choice(kept)))
            if stream.next(60) is None:
                self.fail("no answer to a keep-alive")
            self.count("Lease/LeaseKeepAlive")
            self.call(api, "Lease/LeaseTimeToLive", rpc.LeaseTimeToLiveRequest(ID=rng.choice(kept), keys=True))
            if rng.random() < 0.3:
                try:
                    self.call(api, "Lease/LeaseRevoke", rpc.LeaseRevokeRequest(ID=lease))
                except grpc.RpcError as e:
                    if "lease not found" not in str(e.details()):
                        raise
            time.sleep(0.02)
        stream.close()

    # ---- watches ----

    def watch_all(self, api, rng):
        """One watcher of everything from the beginning to the end: each revision exactly once, in order."""
        stream, last = api.stream("Watch/Watch"), 0
        stream.send(rpc.WatchRequest(create_request=rpc.WatchCreateRequest(key=b"\0", range_end=b"\0", start_revision=1)))
        while True:
            r = stream.next(2 if self.running() else 5)
            if r is None:
                if self.running():
                    continue
                break
            if isinstance(r, Exception) or r.canceled:
                self.fail("the watcher of everything was cut: %r" % r)
                break
            revisions = sorted({e.kv.mod_revision for e in r.events})
            if revisions and (revisions[0] < last or revisions != list(range(revisions[0], revisions[-1] + 1)) or
                              (last and revisions[0] > last + 1)):
                self.fail("the watcher of everything saw %d..%d after %d" % (revisions[0], revisions[-1], last))
            last = revisions[-1] if revisions else last
            self.count("events")
        stream.close()
        self.watched_to = last

    def watches(self, api, rng):
        while self.running():
            stream, ids = api.stream("Watch/Watch"), []
            for i in range(rng.randrange(1, 30)):
                stream.send(rpc.WatchRequest(create_request=rpc.WatchCreateRequest(
                    key=b"soak/%05d" % rng.randrange(KEYS), range_end=b"soak0" if rng.random() < 0.3 else b"",
                    prev_kv=rng.random() < 0.3, progress_notify=rng.random() < 0.3,
                    start_revision=rng.choice((0, 0, 1)))))
            until = time.monotonic() + rng.random() * 2
            while time.monotonic() < until:
                r = stream.next(0.1)
                if isinstance(r, Exception):
                    self.fail("watch: %r" % r)
                    return
                if r is not None and r.created and not r.canceled:
                    ids.append(r.watch_id)
                if r is not None:
                    self.count("watch responses")
            for i in ids[:len(ids) // 2]:
                stream.send(rpc.WatchRequest(cancel_request=rpc.WatchCancelRequest(watch_id=i)))
            stream.send(rpc.WatchRequest(progress_request=rpc.WatchProgressRequest()))
            stream.next(0.1)
            stream.close()

    # ---- the server's own work, and clients that come and go ----

    def maintenance(self, api, rng):
        for i in itertools.count(1):
            time.sleep(1)
            if not self.running():
                return
            if i % 5 == 0:
                rev = self.call(api, "Maintenance/HashKV", rpc.HashKVRequest()).header.revision
                if rev > 3000:
                    self.call(api, "KV/Compact", rpc.CompactionRequest(revision=rev - 1000, physical=i % 2 == 0), 300)
            if i % 20 == 0:
                self.call(api, "Maintenance/Defragment", rpc.DefragmentRequest(), 300)
            if i % 15 == 0:
                for _ in api.server_stream("Maintenance/Snapshot", rpc.SnapshotRequest(), timeout=300):
                    pass
                self.count("Maintenance/Snapshot")
            self.call(api, "Maintenance/Status", rpc.StatusRequest())

    def visitors(self, api, rng):
        while self.running():
            other = Api(self.server.target)
            self.call(other, "KV/Range", rpc.RangeRequest(key=b"soak/%05d" % rng.randrange(KEYS)))
            other.close()
            for path in ("/metrics", "/health", "/version"):
                etcdproc.get(self.server.port, path, timeout=60)
            self.count("visits")
            time.sleep(0.1)

    def run(self):
        works = [self.writers] * 3 + [self.streams, self.leases, self.leases, self.watch_all, self.watches, self.watches,
                                      self.maintenance, self.visitors]
        self.threads = [threading.Thread(target=self.guard, args=(w, i)) for i, w in enumerate(works)]
        for t in self.threads:
            t.start()

    def join(self):
        for t in self.threads:
            t.join()


def sample(pid):
    with open("/proc/%d/status" % pid) as f:
        status = f.read()
    number = lambda name: int(re.search(name + r":\s+(\d+)", status).group(1))
    return {"anon_mb": number("RssAnon") / 1024, "fds": len(os.listdir("/proc/%d/fd" % pid)), "threads": number("Threads")}


def judge(rows, before, after, valgrind):
    third = len(rows) // 3
    middle, last = rows[third:2 * third], rows[2 * third:]
    top = lambda part, name: max(r[name] for r in part)
    bad = []
    if not valgrind and top(last, "anon_mb") > top(middle, "anon_mb") * 1.1 + 8:
        bad.append("S1: anonymous memory grew from %.0f to %.0f MB" % (top(middle, "anon_mb"), top(last, "anon_mb")))
    if top(last, "fds") > top(middle, "fds") * 1.1 + 8:
        bad.append("S2: descriptors grew from %d to %d" % (top(middle, "fds"), top(last, "fds")))
    if after["fds"] > before["fds"] + 4:
        bad.append("S2: %d descriptors before the load, %d after it" % (before["fds"], after["fds"]))
    if top(last, "threads") > top(middle, "threads"):
        bad.append("S3: threads grew from %d to %d" % (top(middle, "threads"), top(last, "threads")))
    return bad


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--ours", default=os.environ.get("CETCD_ETCD", "bin/etcd"))
    p.add_argument("--seconds", type=float, default=600)
    p.add_argument("--valgrind", action="store_true")
    args = p.parse_args()
    server = Server(os.path.abspath(args.ours), args.valgrind)
    server.start(seconds=120)
    try:
        pid, rows = server.process.pid, []
        before = sample(pid)
        load, start = Load(server, args.seconds), time.monotonic()
        if args.valgrind:
            load.pause = 0.05
        load.run()
        print("%8s %10s %8s %8s %10s %10s" % ("seconds", "anon MB", "fds", "threads", "calls", "errors"), flush=True)
        while load.running():
            time.sleep(min(max(load.end - time.monotonic(), 0.01), args.seconds / 60))
            rows.append(sample(pid))
            if len(rows) % 6 == 0:
                print("%8.0f %10.1f %8d %8d %10d %10d" % (time.monotonic() - start, rows[-1]["anon_mb"], rows[-1]["fds"],
                                                          rows[-1]["threads"], sum(load.calls.values()), len(load.errors)), flush=True)
        load.join()
        api = Api(server.target)
        revision = api.call("KV/Range", rpc.RangeRequest(key=b"x")).header.revision
        api.close()
        time.sleep(10 if args.valgrind else 3)
        after = sample(pid)
        print("%8s %10.1f %8d %8d" % ("after", after["anon_mb"], after["fds"], after["threads"]))
        bad = judge(rows, before, after, args.valgrind) + load.errors
        if load.watched_to != revision:
            bad.append("S4: the watcher of everything ended at %d, the store at %d" % (load.watched_to, revision))
        server.stop()
        if server.process.returncode not in (0, -signal.SIGTERM):    # upstream ends by the signal, too
            bad.append("S4: the server ended with %d" % server.process.returncode)
        bad += server.findings()
        for what, n in sorted(load.calls.items()):
            print("%10d %s" % (n, what))
        if bad:
            print("\n".join(bad[:120]))
            print(server.log_tail())
        print("soak: %s, revision %d" % ("FAILED" if bad else "passed", revision))
        return 1 if bad else 0
    finally:
        server.__exit__(None, None, None)


if __name__ == "__main__":
    sys.exit(main())
