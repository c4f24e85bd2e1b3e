#!/usr/bin/env python3
"""etcd grpc-proxy before our server: what it gathers, what it remembers, what it refuses, and how large it gets.

usage: grpc_proxy.py [CHECK...]; CETCD_ETCD is the binary. Skipped without gRPC for Python."""
import json
import os
import re
import subprocess
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

ETCD = os.environ["CETCD_ETCD"]


class Proxy:
    def __init__(self, endpoints, *flags):
        self.port = etcdproc.free_port()
        self.target = "127.0.0.1:%d" % self.port
        self.args = [ETCD, "grpc-proxy", "start", "--listen-addr=" + self.target, "--endpoints=" + ",".join(endpoints)]
        if not any(f.startswith("--advertise-client-url") for f in flags):
            self.args.append("--advertise-client-url=" + self.target)
        self.args += flags

    def __enter__(self):
        self.process = subprocess.Popen(self.args, stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            if "successfully notified init daemon" in line:
                break
        else:
            raise AssertionError("the proxy does not start: %s" % self.process.wait())
        self.api = Api(self.target)
        return self

    def __exit__(self, *exc):
        assert self.process.poll() is None, "the proxy died: %s\n%s" % (self.process.returncode, self.process.stderr.read())
        self.process.terminate()
        rest = self.process.stderr.read()
        code = self.process.wait(10)
        assert code == -15 and "Sanitizer" not in rest, "%s\n%s" % (code, rest)

    def anonymous(self):
        with open("/proc/%d/status" % self.process.pid) as f:
            return next(int(line.split()[1]) << 10 for line in f if line.startswith("RssAnon:"))


def metric(port, name, path="/metrics"):
    text = etcdproc.get(port, path)[2].decode()
    return float(re.search(r"^%s (\S+)$" % name, text, re.M).group(1))


def growth_max(size):
    """A sanitizer's allocator has bytes of its own beside each of ours, and keeps what was freed."""
    with open(ETCD, "rb") as f:
        program = f.read()
    return size * (8 if b"__tsan_init" in program or b"__asan_init" in program else 1)


def until(what, check, seconds=10):
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def create(key, **fields):
    return rpc.WatchRequest(create_request=rpc.WatchCreateRequest(key=key, **fields))


def check_thousand_watchers_are_one(server):
    """200 streams of five watchers each: one watch of the cluster, and every event to each watcher once."""
    with Proxy([server.target]) as p:
        streams = []
        for _ in range(10):
            api = Api(p.target)
            streams += [api.stream("Watch/Watch") for _ in range(20)]
        for s in streams:
            for _ in range(5):
                s.send(create(b"w"))
        for s in streams:
            for _ in range(5):
                assert s.next(20).created
        until("watchers of the cluster: %s" % metric(server.port, "etcd_debugging_mvcc_watcher_total"),
              lambda: metric(server.port, "etcd_debugging_mvcc_watcher_total") == 1)
        assert metric(p.port, "etcd_grpc_proxy_watchers_coalescing_total", "/proxy/metrics") == 999
        for n in range(5):
            server.api.call("KV/Put", rpc.PutRequest(key=b"w", value=b"%d" % n))
        for s in streams:
            got = {}
            for _ in range(25):
                r = s.next(20)
                got.setdefault(r.watch_id, []).extend(e.kv.value for e in r.events)
            assert got == {i: [b"%d" % n for n in range(5)] for i in range(5)}, got
        for s in streams:
            s.close_send()
        until("watchers that stay behind", lambda: metric(server.port, "etcd_debugging_mvcc_watcher_total") == 0)


def check_nothing_is_lost_on_the_way_into_a_shared_watch(server):
    """Watchers from every revision while others write: each sees all from its own on, once, in order."""
    first = server.api.call("KV/Put", rpc.PutRequest(key=b"h", value=b"0")).header.revision
    last = first
    for n in range(300):
        last = server.api.call("KV/Put", rpc.PutRequest(key=b"h", value=b"%d" % n)).header.revision
    with Proxy([server.target]) as p:
        streams = {}  # each with the revision that it asked for; 0: from now on
        for start in list(range(first, last, 7)) + [0] * 20:
            s = p.api.stream("Watch/Watch")
            s.send(create(b"h", start_revision=start))
            streams[s] = start
            if start % 3 == 0:
                last = server.api.call("KV/Put", rpc.PutRequest(key=b"h", value=b"x")).header.revision
        since = {}
        for s, start in streams.items():
            r = s.next(20)
            assert r is not None and r.created, "from %d: %s" % (start, r)
            since[s] = start or r.header.revision + 1
        last = server.api.call("KV/Put", rpc.PutRequest(key=b"h", value=b"end")).header.revision
        for s, start in since.items():
            seen = []
            while not seen or seen[-1] != last:
                r = s.next(20)
                assert r is not None, "from %d: ends at %s" % (start, seen[-3:])
                seen += [e.kv.mod_revision for e in r.events]
            assert seen == list(range(start, last + 1)), (start, seen[:5], len(seen), last)


def check_filters_and_previous_values(server):
    with Proxy([server.target]) as p:
        plain, prev, no_put, no_delete = (p.api.stream("Watch/Watch") for _ in range(4))
        Filter = rpc.WatchCreateRequest
        plain.send(create(b"f"))
        prev.send(create(b"f", prev_kv=True))
        no_put.send(create(b"f", filters=[Filter.NOPUT]))
        no_delete.send(create(b"f", filters=[Filter.NODELETE]))
        for s in (plain, prev, no_put, no_delete):
            assert s.next().created
        server.api.call("KV/Put", rpc.PutRequest(key=b"f", value=b"1"))
        server.api.call("KV/Put", rpc.PutRequest(key=b"f", value=b"2"))
        server.api.call("KV/DeleteRange", rpc.DeleteRangeRequest(key=b"f"))

        def events(s, count):
            out = []
            while len(out) < count:
                out += [(e.type, e.kv.value, e.prev_kv.value) for e in s.next().events]
            return out
        assert events(plain, 3) == [(0, b"1", b""), (0, b"2", b""), (1, b"", b"")]
        assert events(prev, 3) == [(0, b"1", b""), (0, b"2", b"1"), (1, b"", b"2")]
        assert events(no_delete, 2) == [(0, b"1", b""), (0, b"2", b"")]
        assert events(no_put, 1) == [(1, b"", b"")]
        plain.send(rpc.WatchRequest(cancel_request=rpc.WatchCancelRequest(watch_id=0)))
        r = plain.next()
        assert r.canceled and r.watch_id == 0


def deaf(target, key):
    """A watch whose answers are not taken."""
    channel = grpc.insecure_channel(target, [("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1),
                                             ("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65536)])
    path, _, response = method("Watch/Watch")
    over = []

    def requests():
        yield create(key)
        while not over:
            time.sleep(0.1)
    answers = channel.stream_stream(path, lambda m: m.SerializeToString(), response.FromString)(requests())
    assert next(answers).created
    return channel, answers, over


def check_who_does_not_read_costs_little(server):
    """One watch shared with a reader, one alone: 100 MB go by, the proxy stays small and the reader sees all."""
    with Proxy([server.target]) as p:
        idle = [deaf(p.target, b"d"), deaf(p.target, b"d"), deaf(p.target, b"alone")]
        reader = p.api.stream("Watch/Watch")
        reader.send(create(b"d"))
        assert reader.next().created
        before, seen, peak = p.anonymous(), 0, 0
        for n in range(1000):
            server.api.call("KV/Put", rpc.PutRequest(key=b"alone" if n % 2 else b"d", value=b"v" * 100000))
            if n % 2 == 0:
                while True:
                    r = reader.next(20)
                    assert r is not None and not isinstance(r, grpc.RpcError), r
                    seen += len(r.events)
                    if seen == n // 2 + 1:
                        break
            peak = max(peak, p.anonymous() - before)
        print("    %.1f MB more at most" % (peak / 1e6))
        assert peak < growth_max(64 << 20), peak
        for channel, answers, over in idle:
            over.append(True)
            answers.cancel()
            channel.close()


def check_cache(server):
    with Proxy([server.target]) as p:
        serializable = rpc.RangeRequest(key=b"c", serializable=True)
        p.api.call("KV/Put", rpc.PutRequest(key=b"c", value=b"1"))
        value = lambda request: p.api.call("KV/Range", request).kvs[0].value
        assert value(rpc.RangeRequest(key=b"c")) == b"1"
        server.api.call("KV/Put", rpc.PutRequest(key=b"c", value=b"behind its back"))
        assert value(serializable) == b"1"
        assert value(rpc.RangeRequest(key=b"c")) == b"behind its back"
        assert value(serializable) == b"behind its back"
        p.api.call("KV/Txn", rpc.TxnRequest(success=[rpc.RequestOp(request_put=rpc.PutRequest(key=b"c", value=b"2"))]))
        assert value(serializable) == b"2"
        p.api.call("KV/DeleteRange", rpc.DeleteRangeRequest(key=b"a", range_end=b"d"))
        assert not p.api.call("KV/Range", serializable).kvs
        assert metric(p.port, "etcd_grpc_proxy_cache_hits_total", "/proxy/metrics") == 2


def check_keepalives_share(server):
    lease = server.api.call("Lease/LeaseGrant", rpc.LeaseGrantRequest(TTL=100)).ID
    asked = r'grpc_server_msg_received_total\{grpc_method="LeaseKeepAlive",.*\} (\S+)'
    renewals = lambda: float(re.search(asked, etcdproc.get(server.port, "/metrics")[2].decode()).group(1))
    before = renewals()
    with Proxy([server.target]) as p:
        streams = [p.api.stream("Lease/LeaseKeepAlive") for _ in range(50)]
        for s in streams:
            s.send(rpc.LeaseKeepAliveRequest(ID=lease))
        for s in streams:
            r = s.next()
            assert (r.ID, r.TTL) == (lease, 100), r
        print("    50 renewals: %d of the cluster" % (renewals() - before))
        assert 1 <= renewals() - before <= 10
        streams[0].send(rpc.LeaseKeepAliveRequest(ID=12345))
        r = streams[0].next()
        assert (r.ID, r.TTL) == (12345, 0), r


def check_namespace(server):
    with Proxy([server.target], "--namespace=ns/") as p:
        w = p.api.stream("Watch/Watch")
        w.send(create(b"", range_end=b"\0"))
        assert w.next().created
        lease = p.api.call("Lease/LeaseGrant", rpc.LeaseGrantRequest(TTL=100)).ID
        p.api.call("KV/Put", rpc.PutRequest(key=b"k", value=b"1", lease=lease))
        server.api.call("KV/Put", rpc.PutRequest(key=b"outside", value=b"1"))
        assert server.api.call("KV/Range", rpc.RangeRequest(key=b"ns/k")).count == 1
        got = p.api.call("KV/Range", rpc.RangeRequest(key=b"a", range_end=b"\0"))
        assert [kv.key for kv in got.kvs] == [b"k"], got
        assert [e.kv.key for e in w.next().events] == [b"k"]
        ttl = p.api.call("Lease/LeaseTimeToLive", rpc.LeaseTimeToLiveRequest(ID=lease, keys=True))
        assert list(ttl.keys) == [b"k"]
        try:
            p.api.call("KV/Put", rpc.PutRequest(value=b"x"))
            raise AssertionError("an empty key was taken")
        except grpc.RpcError as e:
            assert e.details() == "etcdserver: key is not provided"


def check_members(server):
    flags = ["--resolver-prefix=proxies", "--resolver-ttl=2"]
    urls = lambda p: sorted(u for m in p.api.call("Cluster/MemberList", rpc.MemberListRequest()).members for u in m.clientURLs)
    with Proxy([server.target], *flags) as a:
        with Proxy([server.target], *flags) as b:
            both = sorted([a.target, b.target])
            until("both are members of each", lambda: urls(a) == both and urls(b) == both)
            stored = server.api.call("KV/Range", rpc.RangeRequest(key=b"proxies/" + a.target.encode()))
            value = json.loads(stored.kvs[0].value)
            assert (value["Op"], value["Addr"]) == (0, a.target) and "name" in json.loads(value["Metadata"])
        until("the one that ended is forgotten", lambda: urls(a) == [a.target], 15)
        time.sleep(4)
        assert urls(a) == [a.target]
    with Proxy([server.target]) as p:
        assert urls(p) == [p.target]
    with Proxy([server.target], "--advertise-client-url=") as p:
        assert urls(p) == ["http://127.0.0.1:2379"]
        assert etcdproc.get(p.port, "/proxy/health")[0] == 503


def check_lost_cluster(server):
    """The cluster goes and comes back: watches go on where they were, calls wait or fail, health says so."""
    with Proxy([server.target]) as p:
        s = p.api.stream("Watch/Watch")
        s.send(create(b"g"))
        assert s.next().created
        k = p.api.stream("Lease/LeaseKeepAlive")
        lease = p.api.call("Lease/LeaseGrant", rpc.LeaseGrantRequest(TTL=300)).ID
        server.stop()
        assert etcdproc.get(p.port, "/health")[0] == 503
        k.send(rpc.LeaseKeepAliveRequest(ID=lease))
        server.start()
        server.api = Api(server.target)
        server.api.call("KV/Put", rpc.PutRequest(key=b"g", value=b"1"))
        r = s.next(20)
        assert r and r.events[0].kv.value == b"1", r
        r = k.next(20)
        assert r and r.TTL == 300, r
        assert etcdproc.get(p.port, "/health")[0] == 200
        assert etcdproc.get(p.port, "/proxy/health")[0] == 200


def check_pages(server):
    with Proxy([server.target], "--enable-pprof") as p:
        assert b"etcd_server_has_leader 1" in etcdproc.get(p.port, "/metrics")[2]
        assert etcdproc.get(p.port, "/health")[2] == b'{"health":"true","reason":""}'
        assert etcdproc.get(p.port, "/nothing")[0] == 404
        assert etcdproc.get(p.port, "/health", "PUT")[0] == 405
        assert etcdproc.get(p.port, "/debug/pprof/")[0] == 200


CHECKS = {name[6:]: f for name, f in sorted(globals().items()) if name.startswith("check_")}
for check in [CHECKS[name] for name in sys.argv[1:] or CHECKS]:
    with etcdproc.Server(ETCD) as etcd:
        etcd.api = Api(etcd.target)
        check(etcd)
        print("ok", check.__name__, flush=True)
