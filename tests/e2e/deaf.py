#!/usr/bin/env python3
"""A watcher that reads nothing while much more than its share of memory goes by: the server stays small, others see every event, and
when the watcher reads again it gets all of them, in order.

usage: deaf.py [--ours ETCD]"""
import argparse
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import etcdproc

try:
    import grpc
    from etcdapi import Api, method, rpc
except ImportError as e:
    print("SKIP: gRPC for Python: %s" % e)
    sys.exit(etcdproc.SKIPPED)

WATCHERS, PUTS, VALUE = 20, 600, b"v" * 100000
GROWTH_MAX = 200 << 20          # all of them together wait for 1.2 GB; about 100 MB are write buffers


def watch(target):
    """A stream whose answers are taken only when asked for: gRPC's window fills, then TCP's."""
    channel = grpc.insecure_channel(target, [("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1),
                                             ("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65536)])
    path, _, response = method("Watch/Watch")
    first = rpc.WatchRequest(create_request=rpc.WatchCreateRequest(key=b"k"))
    call = channel.stream_stream(path, lambda m: m.SerializeToString(), response.FromString)
    over = []

    def requests():
        yield first
        while not over:
            time.sleep(0.1)
    answers = call(requests())
    assert next(answers).created
    return channel, answers, over


def anonymous(pid):
    with open("/proc/%d/status" % pid) as f:
        return next(int(line.split()[1]) << 10 for line in f if line.startswith("RssAnon:"))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--ours", default=os.environ.get("CETCD_ETCD"))
    args = p.parse_args()
    if not args.ours:
        print("SKIP: no server (CETCD_ETCD)")
        sys.exit(etcdproc.SKIPPED)
    with etcdproc.Server(args.ours) as server:
        api = Api(server.target)
        deaf = [watch(server.target) for _ in range(WATCHERS)]
        before, peak = anonymous(server.process.pid), 0
        for i in range(PUTS):
            api.call("KV/Put", rpc.PutRequest(key=b"k", value=VALUE + b"%d" % i))
            peak = max(peak, anonymous(server.process.pid))
        print("grew by %.1f MB with %d watchers that read nothing of %d MB each" %
              ((peak - before) / 1e6, WATCHERS, PUTS * len(VALUE) // 1000000))
        # a sanitizer's allocator has bytes of its own beside each of ours, and keeps what was freed
        if peak - before > GROWTH_MAX * (4 if etcdproc.is_sanitized(args.ours) else 1):
            sys.exit(1)
        for channel, answers, _ in deaf[:3]:
            seen = []
            while len(seen) < PUTS:
                seen += [int(e.kv.value[len(VALUE):]) for e in next(answers).events]
            if seen != list(range(PUTS)):
                print("events are missing, doubled or out of order")
                sys.exit(1)
        for channel, answers, over in deaf:
            over.append(True)
            answers.cancel()
            channel.close()
        api.close()


main()
