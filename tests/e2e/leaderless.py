#!/usr/bin/env python3
"""Two of three members die. What a client of the third sees that asked for a leader (metadata hasleader), and one that did not;
ours and, if it is there, Go's.

usage: leaderless.py [--ours ETCD] [--go ETCD]"""
import argparse
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import etcdproc
from etcdcluster import Cluster

try:
    import grpc
    from etcdapi import Api, rpc
except ImportError as e:
    print("SKIP: gRPC for Python: %s" % e)
    sys.exit(etcdproc.SKIPPED)

WATCH = rpc.WatchRequest(create_request=rpc.WatchCreateRequest(key=b"a"))


def said(x):
    return "%s %s" % (x.code().name, x.details()) if isinstance(x, grpc.RpcError) else type(x).__name__


def unary(api, method, request):
    try:
        return said(api.call(method, request, timeout=2))
    except grpc.RpcError as e:
        return said(e)


def look(binary):
    c = Cluster(["x", "x", "x"], {"x": binary}, ["--heartbeat-interval=100", "--election-timeout=500"])
    lines = []
    try:
        c.start()
        left = c.followers()[0]
        target = "127.0.0.1:%d" % left.port
        strict, loose = Api(target, metadata=[("hasleader", "true")]), Api(target)
        streams = {"watch, strict": (strict, "Watch/Watch", WATCH), "watch, loose": (loose, "Watch/Watch", WATCH),
                   "keep alive, strict": (strict, "Lease/LeaseKeepAlive", None),
                   "keep alive, loose": (loose, "Lease/LeaseKeepAlive", None)}
        opened = {}
        for name, (api, method, first) in streams.items():
            s = opened[name] = api.stream(method)
            if first:
                s.send(first)
                lines.append("%s: %s" % (name, said(s.next(5))))
            else:
                s.send(rpc.LeaseKeepAliveRequest(ID=1))
                lines.append("%s: %s" % (name, said(s.next(5))))
        lines.append("put, strict: " + unary(strict, "KV/Put", rpc.PutRequest(key=b"b")))
        for m in c:
            if m is not left:
                m.kill()
        died = time.monotonic()
        lines.append("watch, strict, ends: %s" % said(opened["watch, strict"].next(15)))
        lines.append("in time: %s" % (time.monotonic() - died < 10))
        lines.append("keep alive, strict, ends: %s" % said(opened["keep alive, strict"].next(2)))
        lines.append("watch, loose: %s" % said(opened["watch, loose"].next(1)))
        lines.append("range, strict: " + unary(strict, "KV/Range", rpc.RangeRequest(key=b"a", serializable=True)))
        lines.append("range, loose: " + unary(loose, "KV/Range", rpc.RangeRequest(key=b"a", serializable=True)))
        opened["keep alive, loose"].send(rpc.LeaseKeepAliveRequest(ID=1))
        lines.append("keep alive, loose: %s" % said(opened["keep alive, loose"].next(15)))
        again = strict.stream("Watch/Watch")
        again.send(WATCH)
        lines.append("watch again, strict: %s" % said(again.next(5)))
        time.sleep(2)                           # until nothing looks at streams any more
        lines.append("nothing said, strict: %s" % said(strict.stream("Lease/LeaseKeepAlive").next(5)))
        strict.close()
        loose.close()
    finally:
        c.close()
    return lines


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--ours", default=os.environ.get("CETCD_ETCD"))
    p.add_argument("--go", default=etcdproc.oracle("etcd"))
    args = p.parse_args()
    if not args.ours or not args.go:
        print("SKIP: needs a server (CETCD_ETCD) and Go etcd to compare with (make oracle)")
        sys.exit(etcdproc.SKIPPED)
    want, got = look(args.go), look(args.ours)
    for w, g in zip(want, got):
        print("%s%s" % (g, "" if g == w else "\n      Go: " + w))
    sys.exit(0 if got == want else 1)


main()
