#!/usr/bin/env python3
"""--memory-mlock: all of the database is locked in memory, also what it grows by; where the limit forbids it the member does not start.

usage: memory_lock.py [--ours ETCD]"""
import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import etcdproc

try:
    import grpc  # noqa: F401
    from etcdapi import Api, rpc
except ImportError as e:
    print("SKIP: gRPC for Python: %s" % e)
    sys.exit(etcdproc.SKIPPED)


def locked(pid):
    with open("/proc/%d/status" % pid) as f:
        return next(int(line.split()[1]) << 10 for line in f if line.startswith("VmLck:"))


def check_grows(etcd):
    limit = resource.getrlimit(resource.RLIMIT_MEMLOCK)[1]
    if os.getuid() and limit != resource.RLIM_INFINITY and limit < 200 << 20:
        print("not with this user's limit of locked memory: growing")
        return
    with etcdproc.Server(etcd, ["--memory-mlock"]) as server:
        db = os.path.join(server.dir, "member", "snap", "db")
        before = os.path.getsize(db)
        assert locked(server.process.pid) >= before, (locked(server.process.pid), before)
        api = Api(server.target)
        for n in range(40):
            api.call("KV/Put", rpc.PutRequest(key=b"k%d" % n, value=b"v" * 1000000))
        end = time.monotonic() + 20
        while os.path.getsize(db) < before + 32000000 or locked(server.process.pid) < os.path.getsize(db):
            assert time.monotonic() < end, (locked(server.process.pid), os.path.getsize(db), before)
            time.sleep(0.1)


def check_refused(etcd, limit):
    if os.getuid():
        print("not as this user: the refusal")
        return
    with tempfile.TemporaryDirectory() as folder:
        flags = ["--name=n1", "--data-dir=" + os.path.join(folder, "d"), "--memory-mlock", "--initial-cluster=n1=http://127.0.0.1:%d" % etcdproc.free_port()]
        flags += ["--initial-advertise-peer-urls=" + flags[-1].split("=", 2)[2], "--listen-peer-urls=" + flags[-1].split("=", 2)[2]]
        flags += ["--%s-client-urls=http://127.0.0.1:%d" % (kind, etcdproc.free_port()) for kind in ("listen", "advertise")]
        p = subprocess.run(["setpriv", "--bounding-set=-ipc_lock", "prlimit", "--memlock=%d" % limit, etcd, *flags], capture_output=True, text=True, timeout=60)
        assert p.returncode == 1, (p.returncode, p.stderr)
        assert "cannot be locked in memory" in p.stderr.splitlines()[-1], p.stderr


if __name__ == "__main__":
    args = argparse.ArgumentParser()
    args.add_argument("--ours", default=os.environ.get("CETCD_ETCD"))
    ours = os.path.abspath(args.parse_args().ours)
    check_grows(ours)
    check_refused(ours, 8192)       # the file as it is made
    check_refused(ours, 8 << 20)    # what it grows by at the start
    print("ok")
