#!/usr/bin/env python3
"""A flood of logins with wrong passwords at bcrypt's usual cost: others go on reading and writing, what is too much is refused, and
in the end everybody was answered. Prints the figures of a quiet server and of one under the flood. No time is asserted: between two passwords
that were compared, others' puts and gets are served, so that in the same span there are more of those. Behind the passwords there would be fewer.

usage: flood.py [--ours ETCD] [--seconds N]"""
import argparse
import json
import os
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import etcdproc

try:
    import grpc
    from etcdapi import Api, rpc
except ImportError as e:
    print("SKIP: gRPC for Python: %s" % e)
    sys.exit(etcdproc.SKIPPED)

FLOODERS, AT_ONCE = 4, 300
REFUSED, COMPARED = "etcdserver: too many requests", "etcdserver: authentication failed, invalid user ID or password"
WRONG = rpc.AuthenticateRequest(name="root", password="wrong")


def flood(target):
    """The other process: so many logins under way on each connection, topped up every 50 ms. A line of input: what was answered so far."""
    said, lock = {}, threading.Lock()
    logins, under_way = [], [0] * FLOODERS
    for _ in range(FLOODERS):
        api = Api(target)
        logins.append(api.channel.unary_unary("/etcdserverpb.Auth/Authenticate", lambda m: m.SerializeToString(),
                                              rpc.AuthenticateResponse.FromString))

    def answered(i, f):
        with lock:
            under_way[i] -= 1
            text = f.details() if f.code() != grpc.StatusCode.OK else "ok"
            said[text] = said.get(text, 0) + 1

    end = threading.Event()

    def tell():
        for _ in sys.stdin:
            with lock:
                print(json.dumps(said), flush=True)
        end.set()

    threading.Thread(target=tell, daemon=True).start()
    while not end.wait(0.05):
        for i, login in enumerate(logins):
            while under_way[i] < AT_ONCE:
                with lock:
                    under_way[i] += 1
                login.future(WRONG, timeout=60).add_done_callback(lambda f, i=i: answered(i, f))
    os._exit(0)


def others(api, seconds, enough=lambda: True):
    """How long each round of a put and a get took, until the time is over and it is enough."""
    times, end = [], time.monotonic() + seconds
    while time.monotonic() < end or not enough():
        began = time.monotonic()
        api.call("KV/Put", rpc.PutRequest(key=b"a", value=b"b"))
        api.call("KV/Range", rpc.RangeRequest(key=b"a"))
        times.append(time.monotonic() - began)
    times.sort()
    return times


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--ours", default=os.environ.get("CETCD_ETCD"))
    p.add_argument("--seconds", type=float, default=2)
    p.add_argument("--flood", help=argparse.SUPPRESS)
    args = p.parse_args()
    if args.flood:
        flood(args.flood)
    if not args.ours:
        print("SKIP: no server to test (CETCD_ETCD)")
        sys.exit(etcdproc.SKIPPED)
    with etcdproc.Server(args.ours, ["--bcrypt-cost=10"]) as s:
        api = Api(s.target)
        api.call("Auth/UserAdd", rpc.AuthUserAddRequest(name="root", password="r"))
        api.call("Auth/UserGrantRole", rpc.AuthUserGrantRoleRequest(user="root", role="root"))
        api.call("Auth/AuthEnable", rpc.AuthEnableRequest())
        root = api.with_token(api.call("Auth/Authenticate", rpc.AuthenticateRequest(name="root", password="r")).token)
        line = "%s: %d rounds of put and get, p50 %.2f ms, p99 %.2f ms, longest %.2f ms"
        shown = lambda name, r: print(line % (name, len(r), r[len(r) // 2] * 1e3, r[len(r) * 99 // 100] * 1e3, r[-1] * 1e3))
        shown("quiet", others(root, args.seconds))
        other = subprocess.Popen([sys.executable, os.path.abspath(__file__), "--flood", s.target], stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE, text=True)

        def answered():
            print(file=other.stdin, flush=True)
            return json.loads(other.stdout.readline())

        while not answered().get(COMPARED) or not answered().get(REFUSED):
            time.sleep(0.1)             # until the line is full and some were compared
        before = answered()
        under = others(root, args.seconds, lambda: answered()[COMPARED] > before[COMPARED])
        said = answered()
        other.communicate("")
        shown("flood", under)
        compared = said[COMPARED] - before[COMPARED]
        print("%s; %d passwords compared meanwhile" % (said, compared))
        assert len(under) > compared > 0, "others wait for passwords: %d rounds of theirs beside %d" % (len(under), compared)
        assert set(said) <= {REFUSED, COMPARED}
        assert root.call("KV/Range", rpc.RangeRequest(key=b"a")).count == 1


main()
