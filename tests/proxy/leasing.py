#!/usr/bin/env python3
"""etcd grpc-proxy --experimental-leasing-prefix: reads from the proxy, writes that ask the other proxies first; beside Go's proxy on the
same prefix where there is one.

usage: leasing.py [CHECK...]; CETCD_ETCD is the binary. Skipped without gRPC for Python."""
import os
import random
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

ETCD = os.environ["CETCD_ETCD"]
P = "__lk/"


class Proxy:
    def __init__(self, server, *flags, binary=ETCD):
        self.port = etcdproc.free_port()
        self.target = "127.0.0.1:%d" % self.port
        self.process = subprocess.Popen([binary, "grpc-proxy", "start", "--listen-addr=" + self.target, "--endpoints=" + server.target,
                                         "--experimental-leasing-prefix=" + P] + list(flags), stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            if "successfully notified init daemon" in line or "started gRPC proxy" in line:
                break
        else:
            raise AssertionError("the proxy does not start: %s" % self.process.wait())
        self.drain = threading.Thread(target=self.process.stderr.read, daemon=True)
        self.drain.start()
        self.api = Api(self.target)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        assert self.process.poll() is None, "the proxy died: %s" % self.process.returncode
        self.process.terminate()
        self.process.wait(10)

    def get(self, key, **options):
        return self.api.call("KV/Range", rpc.RangeRequest(key=key, **options), timeout=20)

    def value(self, key):
        kvs = self.get(key).kvs
        return kvs[0].value if kvs else None

    def put(self, key, value, **options):
        return self.api.call("KV/Put", rpc.PutRequest(key=key, value=value, **options), timeout=20)

    def delete(self, key, end=b"", **options):
        return self.api.call("KV/DeleteRange", rpc.DeleteRangeRequest(key=key, range_end=end, **options), timeout=20)


def until(what, check, seconds=20):
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def leasing_key(server, key, namespace=b""):
    kvs = server.api.call("KV/Range", rpc.RangeRequest(key=namespace + P.encode() + key)).kvs
    return kvs[0] if kvs else None


def own(p, server, key, namespace=b""):
    """Reads until the leasing key is there: the proxy's session and watch come up by themselves."""
    def owned():
        p.get(key)
        return leasing_key(server, key, namespace)
    until("%s is not acquired" % key, owned)


def behind(server, key, value):
    """What no proxy sees: shows where an answer comes from."""
    return server.api.call("KV/Put", rpc.PutRequest(key=key, value=value)).header.revision


def check_reads_come_from_the_owner(server):
    with Proxy(server) as p:
        p.put(b"r", b"1")
        own(p, server, b"r")
        first = p.get(b"r")
        revision = behind(server, b"r", b"2")
        again = p.get(b"r")
        assert again == first and again.kvs[0].value == b"1" and again.count == 1, again
        assert p.get(b"r", serializable=True).kvs[0].value == b"1"
        # what the cluster answers itself
        assert p.get(b"r", range_end=b"s").kvs[0].value == b"2"
        assert p.get(b"r", revision=revision).kvs[0].value == b"2"
        # a key that is not there is remembered, too
        own(p, server, b"absent")
        behind(server, b"absent", b"x")
        assert p.get(b"absent").count == 0
        server.api.call("KV/DeleteRange", rpc.DeleteRangeRequest(key=b"absent"))


def check_options_of_kept_answers(server):
    """As the cluster answers them."""
    with Proxy(server) as p:
        put = p.put(b"o", b"value")
        own(p, server, b"o")
        rev = put.header.revision
        for options in ({}, {"keys_only": True}, {"count_only": True}, {"limit": 1}, {"min_mod_revision": rev}, {"min_mod_revision": rev + 1},
                        {"max_mod_revision": rev}, {"max_mod_revision": rev - 1}, {"min_create_revision": rev + 1},
                        {"max_create_revision": rev - 1}, {"max_create_revision": rev}):
            kept = p.get(b"o", **options)
            asked = server.api.call("KV/Range", rpc.RangeRequest(key=b"o", **options))
            assert kept.kvs == asked.kvs and kept.count == asked.count and kept.more == asked.more, (options, kept, asked)
        behind(server, b"o", b"other")
        assert p.value(b"o") == b"value", "not kept: the answers above were the cluster's"


def check_own_writes(server):
    with Proxy(server) as p:
        p.put(b"w", b"0")
        own(p, server, b"w")
        lease = leasing_key(server, b"w")
        for n in range(20):
            r = p.put(b"w", b"%d" % n, prev_kv=True)
            assert r.prev_kv.value == (b"%d" % (n - 1) if n else b"0") and r.header.revision, r
            assert p.value(b"w") == b"%d" % n
        assert leasing_key(server, b"w").create_revision == lease.create_revision, "given up for an own write"
        r = p.delete(b"w", prev_kv=True)
        assert r.deleted == 1 and r.prev_kvs[0].value == b"19", r
        assert p.value(b"w") is None
        p.put(b"w", b"new")
        assert p.value(b"w") == b"new"
        assert p.delete(b"w", b"x").deleted == 1
        assert p.value(b"w") is None
        t = rpc.TxnRequest(compare=[rpc.Compare(result=0, target=0, key=b"w", version=0)],
                           success=[rpc.RequestOp(request_put=rpc.PutRequest(key=b"w", value=b"t")),
                                    rpc.RequestOp(request_range=rpc.RangeRequest(key=b"w"))],
                           failure=[rpc.RequestOp(request_delete_range=rpc.DeleteRangeRequest(key=b"w", range_end=b"x"))])
        r = p.api.call("KV/Txn", t)
        assert r.succeeded and len(r.responses) == 2 and r.responses[1].response_range.kvs[0].value == b"t", r
        assert p.value(b"w") == b"t"
        r = p.api.call("KV/Txn", t)
        assert not r.succeeded and r.responses[0].response_delete_range.deleted == 1, r
        assert p.value(b"w") is None
        # what is wrong is said as the cluster says it
        for call in (lambda: p.put(b"w", b"", ignore_value=True), lambda: p.put(b"w", b"", lease=12345), lambda: p.put(b"", b"")):
            try:
                call()
                raise AssertionError("no error")
            except grpc.RpcError as e:
                assert e.details().startswith("etcdserver: "), e
        assert p.value(b"w") is None


def others(server):
    """Pairs of proxies on one prefix: ours and ours, ours and Go's, Go's and ours."""
    go = etcdproc.oracle("etcd")
    for a, b in ((ETCD, ETCD), (ETCD, go), (go, ETCD)):
        if a and b:
            with Proxy(server, binary=a) as p, Proxy(server, binary=b) as q:
                yield p, q


def check_writes_ask_the_owner(server):
    for p, q in others(server):
        p.put(b"a", b"1")
        own(p, server, b"a")
        created = leasing_key(server, b"a").create_revision
        q.put(b"a", b"2")
        assert p.value(b"a") == b"2" and q.value(b"a") == b"2"
        left = leasing_key(server, b"a")
        assert not left or left.create_revision > created, "written without asking"
        own(q, server, b"a")
        p.delete(b"a")
        assert q.value(b"a") is None and p.value(b"a") is None
        for n in range(10):
            p.put(b"m%d" % n, b"1")
            own(p, server, b"m%d" % n)
        assert q.delete(b"m", b"n").deleted == 10
        assert all(p.value(b"m%d" % n) is None for n in range(10))
        p.put(b"t", b"1")
        own(p, server, b"t")
        r = q.api.call("KV/Txn", rpc.TxnRequest(success=[rpc.RequestOp(request_put=rpc.PutRequest(key=b"t", value=b"2"))]))
        assert r.succeeded and p.value(b"t") == b"2"


def check_no_read_is_older_than_a_write(server):
    """Counters that only grow, written through either proxy in turn of whoever comes: a read never goes back below what any client has
    seen before it began. Reads of etcd's proxy are not judged: it goes back now and then, beside another one of its kind too (twice in 72
    rounds of this)."""
    for p, q in others(server):
        seen, lock, end, wrong = {}, threading.Lock(), time.monotonic() + 4, []

        def client(seed):
            rng = random.Random(seed)
            apis = [Api(p.target), Api(q.target)]
            while time.monotonic() < end and not wrong:
                key, api = b"c%d" % rng.randrange(3), rng.choice(apis)
                with lock:
                    floor = seen.get(key, 0)
                kvs = api.call("KV/Range", rpc.RangeRequest(key=key), timeout=30).kvs
                value, mod = (int(kvs[0].value), kvs[0].mod_revision) if kvs else (0, 0)
                if value < floor and (p if api is apis[0] else q).process.args[0] == ETCD:
                    wrong.append((key, value, floor))
                if rng.randrange(4) == 0:
                    t = rpc.TxnRequest(compare=[rpc.Compare(result=0, target=2, key=key, mod_revision=mod)],
                                       success=[rpc.RequestOp(request_put=rpc.PutRequest(key=key, value=b"%d" % (value + 1)))])
                    if api.call("KV/Txn", t, timeout=30).succeeded:
                        value += 1
                with lock:
                    seen[key] = max(seen.get(key, 0), value)

        threads = [threading.Thread(target=client, args=(n,)) for n in range(6)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert not wrong, wrong
        assert sum(seen.values()) > 3, seen
        server.api.call("KV/DeleteRange", rpc.DeleteRangeRequest(key=b"c", range_end=b"d"))


def check_a_stopped_owner_holds_writers_up_no_longer_than_its_session(server):
    """SIGSTOP: the writer waits; the owner, awake again, has lost nothing and shows the new value."""
    with Proxy(server) as p, Proxy(server) as q:
        p.put(b"s", b"1")
        own(p, server, b"s")
        p.process.send_signal(19)
        try:
            done = []
            t = threading.Thread(target=lambda: done.append(q.put(b"s", b"2")))
            t.start()
            until("no request to give it up", lambda: (leasing_key(server, b"s") or rpc.PutRequest()).value == b"REVOKE")
            assert not done and server.api.call("KV/Range", rpc.RangeRequest(key=b"s")).kvs[0].value == b"1"
        finally:
            p.process.send_signal(18)
        t.join(20)
        assert done and p.value(b"s") == b"2"


def check_a_lost_session_is_not_trusted(server):
    with Proxy(server) as p:
        p.put(b"l", b"1")
        own(p, server, b"l")
        lease = leasing_key(server, b"l").lease
        server.api.call("Lease/LeaseRevoke", rpc.LeaseRevokeRequest(ID=lease))
        behind(server, b"l", b"2")
        until("still answered from here", lambda: p.value(b"l") == b"2")


def check_keys_with_a_lease_are_not_kept(server):
    with Proxy(server) as p:
        own(p, server, b"other")
        lease = server.api.call("Lease/LeaseGrant", rpc.LeaseGrantRequest(TTL=100)).ID
        own(p, server, b"k")
        p.put(b"k", b"1", lease=lease)
        assert p.value(b"k") == b"1" and p.value(b"k") == b"1"
        server.api.call("Lease/LeaseRevoke", rpc.LeaseRevokeRequest(ID=lease))
        assert p.value(b"k") is None


def check_namespace(server):
    with Proxy(server, "--namespace=ns/") as p, Proxy(server, "--namespace=ns/") as q:
        p.put(b"n", b"1")
        own(p, server, b"n", b"ns/")
        behind(server, b"ns/n", b"hidden")
        assert p.get(b"n").kvs[0].key == b"n" and p.value(b"n") == b"1"
        q.put(b"n", b"2")
        assert p.value(b"n") == b"2" and server.api.call("KV/Range", rpc.RangeRequest(key=b"ns/n")).kvs[0].value == b"2"
        assert q.delete(b"n", b"\0").deleted >= 1
        assert p.value(b"n") is None


def main():
    checks = {n[6:]: f for n, f in globals().items() if n.startswith("check_")}
    names = sys.argv[1:] or list(checks)
    for name in names:
        with etcdproc.Server(ETCD, ["--log-level=error"]) as server:
            server.api = Api(server.target)
            start = time.monotonic()
            checks[name](server)
            print("%s: passed, %.1f s" % (name, time.monotonic() - start), flush=True)
    if not etcdproc.oracle("etcd"):
        print("1 skipped: no Go etcd, so no proxy of Go's beside ours")


main()
