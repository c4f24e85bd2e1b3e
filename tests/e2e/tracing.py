#!/usr/bin/env python3
"""What a collector of traces receives from our server, against Go etcd's: names, parents, attributes, status, resource.

usage: tracing.py [--ours ETCD] [--go ETCD] [--print]

Each call of the script has a trace of its own (traceparent), so its spans are found whatever else the server does. What is
compared is everything but ids, times and ports. Exit code 77 when Go etcd or gRPC for Python is missing."""
import argparse
import difflib
import json
import os
import re
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import etcdproc


def skip(reason):
    print("SKIP: " + reason)
    sys.exit(etcdproc.SKIPPED)


try:
    import grpc
    import etcdapi
    import otlp
    from etcdapi import auth, election, health, kv, lock, rpc
except ImportError as e:
    skip("gRPC for Python: %s" % e)


class Script:
    """Calls, each as one trace. expected: spans that a trace brings at least, so that we know when to stop waiting."""

    def __init__(self, server):
        self.server, self.traces, self.api = server, [], None

    def metadata(self, name, flags="01", version="00", more=()):
        trace_id = "%032x" % (0xabcd00000000 + len(self.traces) + 1)
        self.traces.append((name, trace_id))
        return [("traceparent", "%s-%s-%s-%s" % (version, trace_id, "00f067aa0ba902b7", flags))] + list(more)

    def call(self, method, request, note="", **kw):
        api = etcdapi.Api.__new__(etcdapi.Api)
        api.channel, api.metadata = self.api.channel, self.metadata(method + note, **kw)
        try:
            return api.call(method, request)
        except grpc.RpcError as e:
            return e

    def stream(self, method, note=""):
        api = etcdapi.Api.__new__(etcdapi.Api)
        api.channel, api.metadata = self.api.channel, self.metadata(method + note)
        return api.stream(method)

    def server_stream(self, method, request, note=""):
        api = etcdapi.Api.__new__(etcdapi.Api)
        api.channel, api.metadata = self.api.channel, self.metadata(method + note)
        try:
            return list(api.server_stream(method, request))
        except grpc.RpcError as e:
            return e

    def raw(self, path, data):
        api = etcdapi.Api.__new__(etcdapi.Api)
        api.channel, api.metadata = self.api.channel, self.metadata(path)
        try:
            return api.raw(path, data)
        except grpc.RpcError as e:
            return e

    def run(self):
        self.api = etcdapi.Api(self.server.target)
        call = self.call
        call("KV/Put", rpc.PutRequest(key=b"a", value=b"1"))
        call("KV/Put", rpc.PutRequest(value=b"1"), " no key")
        call("KV/Put", rpc.PutRequest(key=b"b", value=b"1", lease=99), " no lease")
        call("KV/Range", rpc.RangeRequest(key=b"a"))
        call("KV/Range", rpc.RangeRequest(key=b"a", range_end=b"z", limit=5, revision=2, keys_only=True, serializable=True), " all")
        call("KV/Range", rpc.RangeRequest(key=b"\0", range_end=b"\0", count_only=True), " count")
        call("KV/Range", rpc.RangeRequest(), " no key")
        call("KV/Range", rpc.RangeRequest(key=b"a", revision=99), " future")
        call("KV/DeleteRange", rpc.DeleteRangeRequest(key=b"b", range_end=b"c"))
        call("KV/DeleteRange", rpc.DeleteRangeRequest(), " no key")
        op = rpc.RequestOp
        call("KV/Txn", rpc.TxnRequest(
            compare=[rpc.Compare(key=b"a", target=rpc.Compare.VERSION, version=1)],
            success=[op(request_put=rpc.PutRequest(key=b"t", value=b"1")), op(request_range=rpc.RangeRequest(key=b"a"))],
            failure=[op(request_range=rpc.RangeRequest(key=b"a"))]))
        call("KV/Txn", rpc.TxnRequest(success=[op(request_range=rpc.RangeRequest(key=b"a", range_end=b"b"))]), " reads")
        call("KV/Txn", rpc.TxnRequest(success=[op(request_delete_range=rpc.DeleteRangeRequest(key=b"t"))]), " deletes")
        call("KV/Txn", rpc.TxnRequest(success=[op(request_txn=rpc.TxnRequest())]), " txn")
        call("KV/Txn", rpc.TxnRequest(failure=[op(request_put=rpc.PutRequest(key=b"t", value=b"1"))]), " only failure")
        call("KV/Txn", rpc.TxnRequest(success=[op()]), " empty operation")
        call("KV/Txn", rpc.TxnRequest(), " empty")
        call("KV/Txn", rpc.TxnRequest(compare=[rpc.Compare(target=rpc.Compare.VERSION)]), " no key")
        call("KV/Compact", rpc.CompactionRequest(revision=2))
        call("KV/Compact", rpc.CompactionRequest(revision=3, physical=True), " physical")
        call("KV/Compact", rpc.CompactionRequest(revision=99), " future")
        self.server_stream("KV/RangeStream", rpc.RangeRequest(key=b"a", range_end=b"z"))
        call("Lease/LeaseGrant", rpc.LeaseGrantRequest(ID=7, TTL=100))
        call("Lease/LeaseGrant", rpc.LeaseGrantRequest(ID=7, TTL=100), " again")
        call("KV/Txn", rpc.TxnRequest(success=[op(request_put=rpc.PutRequest(key=b"l", value=b"1", lease=7))]), " lease")
        s = self.stream("Lease/LeaseKeepAlive")
        for id in (7, 8):
            s.send(rpc.LeaseKeepAliveRequest(ID=id))
            s.next()
        s.close_send()
        s.next()
        call("Lease/LeaseTimeToLive", rpc.LeaseTimeToLiveRequest(ID=7, keys=True))
        call("Lease/LeaseLeases", rpc.LeaseLeasesRequest())
        call("Lease/LeaseRevoke", rpc.LeaseRevokeRequest(ID=7))
        call("Lease/LeaseRevoke", rpc.LeaseRevokeRequest(ID=7), " again")
        call("Cluster/MemberList", rpc.MemberListRequest())
        call("Cluster/MemberUpdate", rpc.MemberUpdateRequest(ID=1, peerURLs=["http://127.0.0.1:1"]))
        call("Maintenance/Status", rpc.StatusRequest())
        call("Maintenance/Alarm", rpc.AlarmRequest())
        call("Maintenance/HashKV", rpc.HashKVRequest())
        call("Maintenance/Defragment", rpc.DefragmentRequest())
        call("Maintenance/MoveLeader", rpc.MoveLeaderRequest(targetID=1))
        call("Auth/AuthStatus", rpc.AuthStatusRequest())
        call("Auth/UserList", rpc.AuthUserListRequest())
        call("Auth/AuthEnable", rpc.AuthEnableRequest())
        call("Health/Check", health.HealthCheckRequest())
        call("Lock/Lock", lock.LockRequest(name=b"lock"))
        call("Election/Leader", election.LeaderRequest(name=b"none"))
        self.watches()
        self.raw("/etcdserverpb.KV/Nothing", b"")
        self.raw("/nothing.at/All", b"")
        self.raw("/etcdserverpb.KV/Range", b"\xff")
        call("KV/Put", rpc.PutRequest(key=b"s", value=b"1"), " state", more=[("tracestate", "a=1, b=2 ,c@d=3")])
        call("KV/Put", rpc.PutRequest(key=b"s", value=b"1"), " bad state", more=[("tracestate", "a=1,A=2")])
        call("KV/Put", rpc.PutRequest(key=b"s", value=b"1"), " random", flags="03")
        call("KV/Put", rpc.PutRequest(key=b"s", value=b"1"), " later version", version="01", flags="ff")
        call("KV/Put", rpc.PutRequest(key=b"s", value=b"1" * 3000000), " too large")
        call("KV/Put", rpc.PutRequest(key=b"s", value=b"1" * 1700000), " request too large")
        self.gateway("/v3/kv/put", {"key": "YQ==", "value": "YQ=="}, "Grpc-Metadata-Traceparent")
        self.gateway("/v3/kv/put", {"key": "YQ==", "value": "YQ=="}, "traceparent")
        self.gateway("/v3/kv/range", {}, "Grpc-Metadata-Traceparent")
        # Not sampled: nothing may come.
        call("KV/Put", rpc.PutRequest(key=b"s", value=b"1"), " not sampled", flags="00")
        call("KV/Put", rpc.PutRequest(key=b"s", value=b"1"), " unknown flags", flags="05")
        call("KV/Put", rpc.PutRequest(key=b"s", value=b"1"), " bad version", version="ff")
        self.api.call("KV/Put", rpc.PutRequest(key=b"s", value=b"1"))

    def gateway(self, path, body, header):
        value = self.metadata("%s %s" % (path, header))[0][1]
        etcdproc.get(self.server.port, path, "POST", json.dumps(body), {header: value})

    def watches(self):
        s = self.stream("Watch/Watch")
        create = rpc.WatchCreateRequest
        s.send(rpc.WatchRequest(create_request=create(key=b"w", range_end=b"x", start_revision=3, prev_kv=True, fragment=True)))
        id = s.next().watch_id
        s.send(rpc.WatchRequest(cancel_request=rpc.WatchCancelRequest(watch_id=id)))
        s.next()
        s.send(rpc.WatchRequest(create_request=create(key=b"w", range_end=b"\0", progress_notify=True, watch_id=5)))
        s.next()
        s.send(rpc.WatchRequest(create_request=create(key=b"w", watch_id=5)))           # taken
        s.next()
        s.send(rpc.WatchRequest(create_request=create(key=b"w", start_revision=-1)))
        s.next()
        s.send(rpc.WatchRequest(create_request=create()))
        s.next()
        s.send(rpc.WatchRequest(create_request=create(key=b"w", start_revision=1)))     # compacted
        s.next()
        s.next()
        s.close()


def line_of(row, names, server):
    """A span without what is never the same."""
    a = {k: v for k, v in row.attributes.items()}
    if a.get("server.port") == server.port:
        a["server.port"] = "PORT"
    attributes = ", ".join("%s=%r" % (k, v) for k, v in a.items())
    parent = names.get(row.span.parent_span_id, "caller" if row.span.parent_span_id.hex() == "00f067aa0ba902b7" else "?")
    # Go's protobuf puts a space of either kind there, at random.
    status = "%d %r" % (row.span.status.code, row.span.status.message.replace("\u00a0", " ")) if row.span.HasField("status") else "none"
    order = "" if row.span.end_time_unix_nano >= row.span.start_time_unix_nano > 0 else " TIMES WRONG"
    return "%s <- %s kind=%d flags=%x state=%r status=%s scope=%s %s%s {%s}%s" % (
        row.span.name, parent, row.span.kind, row.span.flags, row.span.trace_state, status, row.scope, row.version,
        " " + row.schema if row.schema else "", attributes, order)


def record(binary, flags=()):
    with otlp.Collector() as collector:
        server = etcdproc.Server(binary, ["--enable-distributed-tracing", "--distributed-tracing-address=" + collector.address,
                                          "--distributed-tracing-instance-id=i 1", "--distributed-tracing-service-name=a name"] + list(flags))
        script = Script(server)
        with server:
            script.run()
        rows = collector.rows
        metadata = collector.metadata
    names = {r.span.span_id: r.span.name for r in rows}
    out = ["resource %r schema %r" % p for p in sorted({(repr(r.resource), r.resource_schema) for r in rows})]
    out.append("metadata " + ", ".join(sorted(metadata[0])))
    # Ids of leases are drawn.
    neutral = lambda line: re.sub(r"lock/[0-9a-f]+", "lock/LEASE", re.sub(r"(id|success_first_lease)=\d{9,}", r"\1=LEASE", line))
    for name, trace_id in script.traces:
        mine = [line_of(r, names, server) for r in rows if r.span.trace_id.hex() == trace_id]
        out += ["", name] + sorted("  " + neutral(m) for m in mine)
    known = {t for _, t in script.traces}
    out += ["", "other traces: %d" % len({r.span.trace_id for r in rows if r.span.trace_id.hex() not in known})]
    return out


def check(what, good):
    print(("ok    " if good else "WRONG ") + what)
    return not good


def logged(server, text):
    with open(server.log_path, errors="replace") as f:
        return [line for line in f if text in line]


def names_of(rows):
    return sorted(r.span.name for r in rows)


def beyond(binary):
    """What does not compare: chance, and where Go's exporter loses a batch. Returns how many are wrong."""
    wrong = 0
    put = lambda api, key=b"k": api.call("KV/Put", rpc.PutRequest(key=key, value=b"1"))
    on = lambda c, *more: ["--enable-distributed-tracing", "--distributed-tracing-address=" + c.address] + list(more)
    all_ = "--distributed-tracing-sampling-rate=1000000"
    with otlp.Collector() as c:
        with etcdproc.Server(binary, on(c, all_)) as s:
            put(etcdapi.Api(s.target))
            put(etcdapi.Api(s.target), b"\xff\x00a")
            wrong += check("what is not UTF-8 is sent as U+FFFD, while the member runs",
                           any(r.attributes.get("key") == "\ufffd\0a" for r in c.wait(
                               lambda rows: sum(r.span.name == "put" for r in rows) == 2)))
            wrong += check("the start is logged", logged(s, "distributed tracing setup enabled"))
        mine = [r for r in c.rows if r.span.name.endswith("KV/Put")]
        wrong += check("a root has no parent, and its own id", len(mine) == 2 and not any(r.span.parent_span_id for r in mine) and
                       mine[0].span.trace_id != mine[1].span.trace_id and mine[0].span.flags == 0x101)
        wrong += check("no instance id unless given", mine[0].resource == {"service.name": "etcd"})
        wrong += check("the member's own question of its health is a root too",
                       any(r.span.name == "range" and not r.span.parent_span_id for r in c.rows))
    with otlp.Collector(refuse=grpc.StatusCode.INVALID_ARGUMENT) as c:
        with etcdproc.Server(binary, on(c, all_)) as s:
            for i in range(3):
                put(etcdapi.Api(s.target))
            for i in range(300):
                if logged(s, "spans cannot be sent"):
                    break
                time.sleep(0.1)
            put(etcdapi.Api(s.target))
            c.refuse = None
            rows = c.wait(lambda rows: "put" in names_of(rows))
            wrong += check("a collector that refuses is one line, and calls go on", len(logged(s, "spans cannot be sent")) == 1 and
                           logged(s, '"error":"rpc error: code = InvalidArgument desc = not now"'))
            wrong += check("and once it takes them again that is said", rows and logged(s, "spans are sent to the collector again"))
    dead = "127.0.0.1:%d" % etcdproc.free_port()
    with etcdproc.Server(binary, ["--enable-distributed-tracing", "--distributed-tracing-address=" + dead, all_]) as s:
        api = etcdapi.Api(s.target)
        for i in range(3000):
            put(api)
        s.stop()
        wrong += check("nobody there: calls go on, and what was lost is told at the end", s.process.returncode == -15 and
                       logged(s, "spans were lost"))
    return wrong


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--ours", default=os.environ.get("CETCD_ETCD"), type=os.path.abspath)
    p.add_argument("--go", default=etcdproc.oracle("etcd"))
    p.add_argument("--print", action="store_true")
    args = p.parse_args()
    if args.print:
        print("\n".join(record(args.ours)))
        return
    if not args.ours or not args.go:
        skip("no server to test (CETCD_ETCD), or no Go etcd to compare with: make oracle")
    ours, gos = record(args.ours), record(args.go)
    difference = list(difflib.unified_diff(gos, ours, "Go", "ours", lineterm=""))
    print("\n".join(difference) if difference else "same: %d lines" % len(ours))
    sys.exit(1 if beyond(args.ours) or difference else 0)


main()
