"""What is asked of both servers. Each function starts on a fresh member; its name is the section's name."""
import json
import os
import re
import socket
import subprocess
import time

from etcdapi import Api, auth, election, health, kv, lock, rpc
from transcript import b64, show

R, P, D, T, C = rpc.RangeRequest, rpc.PutRequest, rpc.DeleteRangeRequest, rpc.TxnRequest, rpc.Compare
Op = rpc.RequestOp
ASCEND, DESCEND, NONE = R.ASCEND, R.DESCEND, R.NONE
END = b"\0"
ALL = {}


def section(f):
    ALL[f.__name__.replace("_", "-")] = f
    return f


def put(key, value=b"", **more):
    return Op(request_put=P(key=key, value=value, **more))


def get(key, **more):
    return Op(request_range=R(key=key, **more))


def delete(key, **more):
    return Op(request_delete_range=D(key=key, **more))


def txn(**more):
    return Op(request_txn=T(**more))


def compare(key, target, result, **value):
    return C(key=key, target=target, result=result, **value)


def fill(t, keys):
    for k in keys:
        t.call("KV/Put", key=k, value=b"value of " + k)


@section
def put_and_range(t):
    t.title("put")
    t.call("KV/Put", key=b"a", value=b"1")
    t.call("KV/Put", key=b"a", value=b"2", prev_kv=True)
    t.call("KV/Put", key=b"new", value=b"x", prev_kv=True)
    t.call("KV/Put", key=b"a", ignore_value=True, prev_kv=True)
    t.call("KV/Put", key=b"a", ignore_lease=True, value=b"3")
    t.call("KV/Put", key=b"a", value=b"x", ignore_value=True)
    t.call("KV/Put", key=b"a", lease=1, ignore_lease=True)
    t.call("KV/Put", key=b"missing", ignore_value=True)
    t.call("KV/Put", key=b"missing", ignore_lease=True)
    t.call("KV/Put", key=b"a", lease=12345)
    t.call("KV/Put", key=b"missing", lease=12345, ignore_value=True)
    t.call("KV/Put", value=b"x")
    t.call("KV/Put", key=b"empty")
    t.call("KV/Put", key=b"\0\xff\x80", value=bytes(range(256))[:64])
    t.call("KV/Put", key=b"big", value=b"v" * 1500000)
    t.call("KV/Put", key=b"big", value=b"v" * 1572864)
    t.call("KV/Put", key=b"big", value=b"v" * 2200000)
    t.call("KV/DeleteRange", key=b"big")
    t.title("one key")
    t.call("KV/Range", key=b"a")
    t.call("KV/Range", key=b"a", serializable=True)
    t.call("KV/Range", key=b"nothing")
    t.call("KV/Range")
    t.call("KV/Range", range_end=b"z")
    for rev in range(0, 8):
        t.call("KV/Range", key=b"a", revision=rev)
    t.call("KV/Range", key=b"a", revision=-1)
    t.call("KV/Range", key=b"a", revision=1000)
    t.title("ranges")
    fill(t, [b"k%02d" % i for i in (5, 3, 9, 1, 7)])
    t.call("KV/Put", key=b"k03", value=b"again")
    t.call("KV/Put", key=b"k09", value=b"a small one")
    t.call("KV/Range", key=b"k", range_end=b"l")
    t.call("KV/Range", key=b"k03", range_end=b"k07")
    t.call("KV/Range", key=b"k03", range_end=b"k03")
    t.call("KV/Range", key=b"k07", range_end=b"k03")
    t.call("KV/Range", key=b"k05", range_end=END)
    t.call("KV/Range", key=END, range_end=END, keys_only=True)
    for limit in (-1, 0, 1, 3, 5, 6):
        t.call("KV/Range", key=b"k", range_end=b"l", limit=limit, keys_only=True)
    t.call("KV/Range", key=b"k", range_end=b"l", count_only=True)
    t.call("KV/Range", key=b"k", range_end=b"l", count_only=True, limit=2)
    t.call("KV/Range", key=b"k", range_end=b"l", count_only=True, keys_only=True)
    t.call("KV/Range", key=b"k", range_end=b"l", revision=14)
    t.title("order")
    for target in range(5):
        for order in (NONE, ASCEND, DESCEND):
            t.call("KV/Range", key=b"k", range_end=b"l", sort_target=target, sort_order=order)
        t.call("KV/Range", key=b"k", range_end=b"l", sort_target=target, sort_order=DESCEND, limit=2)
        t.call("KV/Range", key=b"k", range_end=b"l", sort_target=target, sort_order=NONE, limit=2)
        t.call("KV/Range", key=b"k", range_end=b"l", sort_target=target, sort_order=ASCEND, keys_only=True)
    t.call("KV/Range", key=b"k", range_end=b"l", sort_target=7)
    t.call("KV/Range", key=b"k", range_end=b"l", sort_order=7)
    t.call("KV/Range", key=b"k", range_end=b"l", sort_order=7, sort_target=7)
    t.title("filters")
    for more in (dict(min_mod_revision=15), dict(max_mod_revision=15), dict(min_create_revision=15),
                 dict(max_create_revision=15), dict(min_mod_revision=14, max_mod_revision=16, limit=1),
                 dict(min_mod_revision=100), dict(min_create_revision=15, count_only=True)):
        t.call("KV/Range", key=b"k", range_end=b"l", **more)


@section
def range_stream(t):
    for i in range(64):
        t.api.call("KV/Put", P(key=b"s%03d" % i, value=b"v" * (i * 40)))
    for more in (dict(), dict(limit=5), dict(limit=-1), dict(limit=25), dict(keys_only=True), dict(count_only=True),
                 dict(revision=30), dict(revision=1000), dict(serializable=True)):
        t.server_stream("KV/RangeStream", R(key=b"s", range_end=b"t", **more), stream_summary)
    t.server_stream("KV/RangeStream", R(key=b"x", range_end=b"y"), stream_summary)
    t.server_stream("KV/RangeStream", R(), stream_summary)
    t.server_stream("KV/RangeStream", R(key=b"s", sort_order=DESCEND), stream_summary)
    t.server_stream("KV/RangeStream", R(key=b"s", sort_target=R.MOD), stream_summary)
    t.server_stream("KV/RangeStream", R(key=b"s", sort_order=9), stream_summary)
    t.server_stream("KV/RangeStream", R(key=b"s", min_mod_revision=3), stream_summary)


def stream_summary(m):
    r = m.range_response
    keys = [kv.key for kv in r.kvs]
    return "%d kvs %s..%s header{%s} more=%s count=%d" % (len(keys), keys[:1], keys[-1:], show(r.header), r.more,
                                                         r.count)


@section
def delete_range(t):
    fill(t, [b"d%d" % i for i in range(8)])
    t.call("KV/DeleteRange", key=b"d0")
    t.call("KV/DeleteRange", key=b"d0")
    t.call("KV/DeleteRange", key=b"d1", prev_kv=True)
    t.call("KV/DeleteRange", key=b"d2", range_end=b"d4", prev_kv=True)
    t.call("KV/DeleteRange", key=b"d9", range_end=b"d0")
    t.call("KV/DeleteRange")
    t.call("KV/Range", key=b"d", range_end=b"e", revision=9)
    t.call("KV/Range", key=b"d", range_end=b"e")
    t.call("KV/Put", key=b"d0", value=b"born again")
    t.call("KV/Range", key=b"d0")
    t.call("KV/DeleteRange", key=b"d6", range_end=END)
    t.call("KV/DeleteRange", key=END, range_end=END, prev_kv=True)
    t.call("KV/DeleteRange", key=END, range_end=END)


@section
def transactions(t):
    run = lambda **f: t.call("KV/Txn", **f)
    V, CR, M, VA, L = C.VERSION, C.CREATE, C.MOD, C.VALUE, C.LEASE
    EQ, GT, LT, NE = C.EQUAL, C.GREATER, C.LESS, C.NOT_EQUAL
    t.title("shapes")
    run()
    run(success=[put(b"a", b"1")])
    run(success=[put(b"a", b"2", prev_kv=True), get(b"a"), delete(b"b"), put(b"c")])
    run(success=[get(b"a")], failure=[put(b"a", b"never")])
    run(compare=[compare(b"a", V, EQ, version=99)], success=[put(b"a")], failure=[get(b"a"), put(b"f", b"1")])
    run(success=[delete(b"a", prev_kv=True), put(b"x"), get(b"a", range_end=END)])
    run(success=[delete(b"nothing")])
    t.title("compares")
    t.call("Lease/LeaseGrant", ID=77, TTL=600)
    t.call("KV/Put", key=b"q", value=b"m", lease=77)
    t.call("KV/Put", key=b"q", value=b"n", lease=77)
    for target, values in ((V, [dict(version=v) for v in (1, 2, 3)]),
                           (CR, [dict(create_revision=v) for v in (0, 6, 9)]),
                           (M, [dict(mod_revision=v) for v in (0, 7, 9)]),
                           (VA, [dict(value=v) for v in (b"", b"n", b"z")]),
                           (L, [dict(lease=v) for v in (0, 77, 99)])):
        for value in values:
            for result in (EQ, GT, LT, NE):
                for key in (b"q", b"missing"):
                    run(compare=[compare(key, target, result, **value)])
    run(compare=[compare(b"q", V, EQ, value=b"n")])
    run(compare=[compare(b"q", V, EQ)])
    run(compare=[compare(b"q", V, 9, version=5)])
    run(compare=[compare(b"q", 9, EQ, version=5)])
    run(compare=[compare(b"a", V, GT, version=0, range_end=b"z")])
    run(compare=[compare(b"a", V, GT, version=1, range_end=b"z")])
    run(compare=[compare(b"r", VA, NE, value=b"n", range_end=b"s")])
    run(compare=[compare(b"r", V, EQ, version=0, range_end=b"s")])
    run(compare=[compare(b"q", V, EQ, version=2), compare(b"q", V, EQ, version=3)])
    run(compare=[compare(b"", V, EQ, version=2)])
    t.title("nested")
    run(success=[put(b"n1", b"1"), txn(compare=[compare(b"n1", V, EQ, version=0)],
                                       success=[put(b"n2", b"2"), get(b"n1")], failure=[put(b"n3")]), get(b"n2")])
    run(success=[txn(success=[txn(success=[put(b"deep", b"x")]), get(b"deep")]), txn()])
    run(success=[txn(success=[get(b"deep")])])
    t.title("refused")
    run(success=[put(b"a"), put(b"a")])
    run(success=[put(b"a"), delete(b"a")])
    run(success=[put(b"a"), delete(b"A", range_end=b"b")])
    run(success=[delete(b"a", range_end=END), put(b"b")])
    run(success=[delete(b"a"), delete(b"a")])
    run(success=[put(b"a")], failure=[put(b"a")])
    run(success=[put(b"a"), txn(success=[put(b"a")])])
    run(success=[txn(success=[put(b"a")]), txn(success=[put(b"a")])])
    run(success=[txn(success=[put(b"a")], failure=[put(b"a")])])
    run(success=[txn(success=[put(b"a")]), txn(success=[delete(b"a")])])
    run(success=[txn(success=[delete(b"a")]), txn(success=[put(b"a")])])
    run(success=[put(b"")])
    run(success=[get(b"")])
    run(success=[delete(b"")])
    run(success=[Op()])
    run(success=[get(b"a", sort_order=9)])
    run(success=[put(b"k%d" % i) for i in range(128)])
    run(success=[put(b"k%d" % i) for i in range(129)])
    run(compare=[compare(b"a", V, GT, version=-1)] * 129)
    run(success=[put(b"k%d" % i) for i in range(127)] + [txn(success=[put(b"z")])])
    run(success=[put(b"k%d" % i) for i in range(128)][:127] + [txn(success=[put(b"z"), put(b"y")])])
    run(success=[get(b"a", revision=100000)])
    run(success=[put(b"w"), get(b"a", revision=100000)])
    run(success=[put(b"w", lease=999)])
    run(success=[put(b"w", ignore_value=True)])
    run(success=[put(b"fresh"), txn(success=[put(b"fresh2", ignore_lease=True)])])
    run(success=[put(b"a", value=b"x", ignore_value=True)])
    run(success=[get(b"w"), get(b"fresh")])


@section
def compaction(t):
    for i in range(5):
        t.call("KV/Put", key=b"c", value=b"%d" % i)
    t.call("KV/DeleteRange", key=b"c")
    t.call("KV/Put", key=b"d", value=b"1")
    t.call("KV/Compact", revision=0)
    t.call("KV/Compact", revision=-1)
    t.call("KV/Compact", revision=100)
    t.call("KV/Compact", revision=4, physical=True)
    t.call("KV/Compact", revision=4)
    t.call("KV/Compact", revision=3)
    t.call("KV/Compact", revision=0)
    for rev in (1, 3, 4, 5, 7, 8, 9):
        t.call("KV/Range", key=b"c", revision=rev)
        t.call("Maintenance/HashKV", revision=rev)
    t.call("KV/Txn", success=[get(b"c", revision=3)])
    t.call("KV/Txn", success=[put(b"e"), get(b"c", revision=3)])
    t.call("KV/Txn", success=[get(b"c", revision=-1)])
    t.server_stream("KV/RangeStream", R(key=b"c", revision=3))
    t.call("KV/Compact", revision=7, physical=True)
    t.call("Maintenance/HashKV", revision=7)
    t.call("Maintenance/HashKV", revision=8)
    t.call("Maintenance/HashKV", revision=0)
    t.call("KV/Compact", revision=8, physical=True)
    t.call("KV/Range", key=b"c", revision=8)
    t.call("Maintenance/HashKV", revision=0)
    t.ctl("compaction", "8")
    t.ctl("compaction", "9", "--physical")


@section
def leases(t):
    t.title("grant, revoke")
    t.call("Lease/LeaseGrant", ID=1000, TTL=300)
    t.call("Lease/LeaseGrant", ID=1000, TTL=300)
    t.call("Lease/LeaseGrant", ID=1001, TTL=0)
    t.call("Lease/LeaseGrant", ID=1002, TTL=-5)
    t.call("Lease/LeaseGrant", ID=1003, TTL=9000000000)
    t.call("Lease/LeaseGrant", ID=1004, TTL=9000000001)
    t.call("Lease/LeaseGrant", ID=-7, TTL=300)
    generated = t.api.call("Lease/LeaseGrant", rpc.LeaseGrantRequest(TTL=300))
    t.mark(generated.ID, "generated")
    t.say(show(generated))
    t.call("Lease/LeaseRevoke", ID=generated.ID)
    t.call("Lease/LeaseRevoke", ID=generated.ID)
    t.call("Lease/LeaseRevoke", ID=0)
    t.title("keys")
    for k in (b"l3", b"l1", b"l2"):
        t.call("KV/Put", key=k, value=b"x", lease=1000)
    t.call("Lease/LeaseTimeToLive", ID=1000, keys=True)
    t.call("Lease/LeaseTimeToLive", ID=1003)
    t.call("Lease/LeaseTimeToLive", ID=4242, keys=True)
    t.call("Lease/LeaseLeases")
    t.call("KV/Put", key=b"l1", value=b"y")
    t.call("KV/Put", key=b"l2", value=b"y", ignore_lease=True)
    t.call("KV/Put", key=b"l3", value=b"y", lease=1003)
    t.call("Lease/LeaseTimeToLive", ID=1000, keys=True)
    t.call("Lease/LeaseTimeToLive", ID=1003, keys=True)
    t.call("KV/Txn", success=[put(b"t1", b"x", lease=1000), put(b"t2", b"x", lease=1000)])
    t.call("KV/DeleteRange", key=b"t1")
    t.call("Lease/LeaseRevoke", ID=1000)
    t.call("KV/Range", key=b"l", range_end=b"u")
    t.title("keep alive")
    s = t.api.stream("Lease/LeaseKeepAlive")
    s.send(rpc.LeaseKeepAliveRequest(ID=1003))
    t.receive(s)
    s.send(rpc.LeaseKeepAliveRequest(ID=4242))
    t.receive(s)
    s.send(rpc.LeaseKeepAliveRequest())
    t.receive(s)
    s.close_send()
    t.receive(s, seconds=1)
    t.title("expiry")
    t.call("Lease/LeaseGrant", ID=5, TTL=1)
    t.call("KV/Put", key=b"soon", value=b"gone", lease=5)
    wait(lambda: not t.api.call("KV/Range", R(key=b"soon")).kvs, 10)
    t.call("KV/Range", key=b"soon")
    t.call("Lease/LeaseTimeToLive", ID=5)
    t.call("KV/Put", key=b"late", lease=5)
    t.title("etcdctl")
    t.ctl("lease", "list")
    t.ctl("lease", "timetolive", "3eb", "--keys")
    t.ctl("lease", "keep-alive", "--once", "3eb")
    t.ctl("lease", "keep-alive", "--once", "4242")
    t.ctl("lease", "revoke", "3eb")
    t.ctl("lease", "revoke", "3eb")


def wait(condition, seconds):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)


def create(**more):
    return rpc.WatchRequest(create_request=rpc.WatchCreateRequest(**more))


def cancel(watch_id):
    return rpc.WatchRequest(cancel_request=rpc.WatchCancelRequest(watch_id=watch_id))


PROGRESS = rpc.WatchRequest(progress_request=rpc.WatchProgressRequest())


@section
def watches(t):
    s = t.api.stream("Watch/Watch")

    def open_(**more):
        request = create(**more)
        t.say("Watch " + show(request))
        s.send(request)
        t.receive(s)

    t.title("events")
    open_(key=b"a")
    t.call("KV/Put", key=b"a", value=b"1")
    t.receive(s)
    t.call("KV/Put", key=b"b", value=b"other")
    t.call("KV/Put", key=b"a", value=b"2")
    t.receive(s)
    t.call("KV/DeleteRange", key=b"a")
    t.receive(s)
    s.send(cancel(0))
    t.receive(s)
    t.title("ranges, previous values, filters")
    open_(key=b"r", range_end=b"s", prev_kv=True)
    t.call("KV/Put", key=b"r1", value=b"1")
    t.receive(s)
    t.call("KV/Txn", success=[put(b"r1", b"2"), put(b"r2", b"1"), put(b"x")])
    t.receive(s)
    t.call("KV/DeleteRange", key=b"r", range_end=b"s")
    t.receive(s)
    s.send(cancel(1))
    t.receive(s)
    open_(key=b"f", filters=[rpc.WatchCreateRequest.NOPUT])
    t.call("KV/Put", key=b"f", value=b"1")
    t.call("KV/DeleteRange", key=b"f")
    t.receive(s)
    s.send(cancel(2))
    t.receive(s)
    open_(key=b"f", filters=[rpc.WatchCreateRequest.NODELETE])
    t.call("KV/Put", key=b"f", value=b"2")
    t.receive(s)
    t.call("KV/DeleteRange", key=b"f")
    s.send(cancel(3))
    t.receive(s)
    t.title("history")
    open_(key=b"a", range_end=END, start_revision=2)
    t.receive(s)
    s.send(cancel(4))
    t.receive(s)
    open_(key=b"a", start_revision=1000)
    t.call("KV/Put", key=b"a", value=b"not yet")
    s.send(PROGRESS)
    t.receive(s)
    t.title("ids and refusals")
    open_(key=b"i", watch_id=5)
    open_(key=b"i", watch_id=5)
    open_(key=b"i", watch_id=-3)
    open_(key=b"i", start_revision=-1)
    open_(key=b"i", range_end=b"i")
    open_(key=b"z", range_end=b"a")
    open_()
    open_(range_end=END, filters=[9])
    s.send(cancel(99))
    s.send(cancel(5))
    t.receive(s)
    open_(key=b"i", watch_id=5)
    s.send(rpc.WatchRequest())
    s.close()

    t.title("compacted start")
    t.call("KV/Compact", revision=8, physical=True)
    s = t.api.stream("Watch/Watch")
    open_(key=b"a", start_revision=8)
    t.receive(s)
    open_(key=b"a", start_revision=7)
    t.receive(s)
    s.send(cancel(1))
    t.receive(s)
    s.close()

    t.title("fragments")
    s = t.api.stream("Watch/Watch")
    for fragment in (True, False):
        head = t.api.call("KV/Range", R(key=b"a")).header.revision
        open_(key=b"g", range_end=b"h", fragment=fragment, start_revision=head + 1)
    t.api.call("KV/Txn", T(success=[put(b"g%02d" % i, b"v" * 300000) for i in range(5)]))
    for i in range(2):
        fragments, count = [], 0
        while count < 5:
            m = s.next()
            if m is None:
                break
            count += len(m.events)
            fragments.append("%d%s" % (len(m.events), "+" if m.fragment else ""))
        t.say("watch of 1.5 MB: " + " ".join(fragments))
    s.close()


@section
def watch_progress(t):
    s = t.api.stream("Watch/Watch")
    s.send(create(key=b"p", progress_notify=True))
    t.receive(s)
    t.call("KV/Put", key=b"q", value=b"elsewhere")
    t.receive(s, seconds=3)
    t.call("KV/Put", key=b"p", value=b"here")
    t.receive(s)
    s.send(PROGRESS)
    t.receive(s, seconds=3)
    s.close()


watch_progress.flags = ["--watch-progress-notify-interval=700ms"]


def gone(t, key):
    """A call that ran out of time is cleaned up after a moment."""
    wait(lambda: not t.api.call("KV/Range", R(key=key)).count, 5)


@section
def lock_and_election(t):
    t.call("Lease/LeaseGrant", ID=100, TTL=600)
    t.call("Lease/LeaseGrant", ID=200, TTL=600)
    t.title("lock")
    t.call("Lock/Lock", name=b"l", lease=100)
    t.call("Lock/Lock", name=b"l", lease=100)
    t.call("Lock/Lock", name=b"l", lease=200, timeout=1)
    gone(t, b"l/c8")
    t.call("Lock/Unlock", key=b"l/64")
    t.call("Lock/Lock", name=b"l", lease=200)
    t.call("Lock/Unlock", key=b"l/c8")
    t.call("Lock/Unlock", key=b"nothing")
    t.call("Lock/Lock", name=b"l", lease=4242)
    t.call("Lock/Unlock")
    t.title("election")
    t.call("Election/Leader", name=b"e")
    first = t.call("Election/Campaign", name=b"e", lease=100, value=b"one")
    t.call("Election/Leader", name=b"e")
    t.call("Election/Campaign", name=b"e", lease=200, value=b"two", timeout=1)
    gone(t, b"e/c8")
    t.call("Election/Proclaim", leader=first.leader if first else None, value=b"one again")
    t.call("Election/Leader", name=b"e")
    t.call("Election/Proclaim", value=b"x")
    t.call("Election/Resign")
    t.call("Election/Resign", leader=first.leader if first else None)
    t.call("Election/Proclaim", leader=first.leader if first else None, value=b"too late")
    t.call("Election/Campaign", name=b"e", lease=4242, value=b"x")
    t.call("KV/Range", key=END, range_end=END)
    lock_waits(t)
    election_waits(t)
    t.title("a lease of its own")
    own = t.api.call("Lock/Lock", lock.LockRequest(name=b"own"))
    lease = int(own.key.split(b"/")[1], 16)
    t.mark("%x" % lease, "lease in hex")
    t.say(show(own))
    t.say("ttl %d" % t.api.call("Lease/LeaseTimeToLive", rpc.LeaseTimeToLiveRequest(ID=lease)).grantedTTL)
    t.call("Lock/Lock", lease=-9)
    t.call("Lease/LeaseGrant", ID=-9, TTL=600)
    t.call("Lock/Lock", lease=-9)
    t.call("Election/Campaign", lease=-9)
    t.title("etcdctl")
    t.ctl("lock", "l", "true")
    t.ctl("lock", "l", "--", "sh", "-c", "exit 3")
    t.title("a server that stops while one waits")
    t.call("Lock/Lock", name=b"z", lease=100)
    t.future("Lock/Lock", lock.LockRequest(name=b"z", lease=300))
    wait(lambda: t.api.call("KV/Range", R(key=b"z/", range_end=b"z0")).count == 2, 5)


def lock_waits(t):
    """Three in a line, let in one by one; and one whose place is taken from him while he waits."""
    t.title("waiting for a lock")
    L = lock.LockRequest
    t.call("Lease/LeaseGrant", ID=300, TTL=600)
    t.call("Lock/Lock", name=b"w", lease=100)
    waiting = []
    for n, lease in enumerate((200, 300)):
        waiting.append(t.future("Lock/Lock", L(name=b"w", lease=lease)))
        wait(lambda: t.api.call("KV/Range", R(key=b"w/", range_end=b"w0")).count == n + 2, 5)
    time.sleep(0.2)
    t.say("waiting %s" % [f.done() for f in waiting])
    t.call("Lock/Unlock", key=b"w/64")
    t.result(waiting[0])
    t.call("KV/Put", key=b"w/c8", value=b"still held")
    time.sleep(0.2)
    t.say("waiting %s" % waiting[1].done())
    t.call("KV/DeleteRange", key=b"w/12c")
    t.call("Lock/Unlock", key=b"w/c8")
    t.result(waiting[1])
    t.title("a lease that ends lets the next one in")
    t.call("Lock/Lock", name=b"x", lease=200)
    waiting = t.future("Lock/Lock", L(name=b"x", lease=300))
    wait(lambda: t.api.call("KV/Range", R(key=b"x/", range_end=b"x0")).count == 2, 5)
    t.call("Lease/LeaseRevoke", ID=200)
    t.result(waiting)
    t.call("KV/Range", key=b"x/", range_end=b"x0")
    t.call("Lease/LeaseGrant", ID=200, TTL=600)


def election_waits(t):
    t.title("waiting to lead")
    E = election
    seen = t.api.server_stream("Election/Observe", E.LeaderRequest(name=b"o"), timeout=60)
    time.sleep(0.2)
    first = t.call("Election/Campaign", name=b"o", lease=100, value=b"one")
    t.say("   seen " + show(next(seen)))
    again = t.call("Election/Campaign", name=b"o", lease=100, value=b"one, changed")
    t.say("   seen " + show(next(seen)))
    waiting = t.future("Election/Campaign", E.CampaignRequest(name=b"o", lease=200, value=b"two"))
    wait(lambda: t.api.call("KV/Range", R(key=b"o/", range_end=b"o0")).count == 2, 5)
    t.call("Election/Proclaim", leader=first.leader, value=b"one, last")
    t.say("   seen " + show(next(seen)))
    t.call("Election/Proclaim", leader=E.LeaderKey(name=b"o", key=b"o/64", rev=1, lease=100), value=b"x")
    t.call("Election/Resign", leader=E.LeaderKey(name=b"o", key=b"o/64", rev=1, lease=100))
    t.call("Election/Resign", leader=again.leader)
    t.result(waiting)
    t.say("   seen " + show(next(seen)))
    late = t.api.server_stream("Election/Observe", E.LeaderRequest(name=b"o"), timeout=60)
    t.say("   seen late " + show(next(late)))
    t.call("Election/Leader", name=b"o")
    t.call("Lease/LeaseRevoke", ID=200)
    t.call("Election/Leader", name=b"o")
    t.call("Election/Campaign", name=b"o", lease=100, value=b"back")
    t.say("   seen " + show(next(seen)))
    t.say("   seen late " + show(next(late)))
    seen.cancel()
    late.cancel()


@section
def auth_and_permissions(t):
    t.title("while off")
    t.call("Auth/AuthStatus")
    t.call("Auth/Authenticate", name="root", password="r")
    t.call("Auth/AuthDisable")
    t.call("Auth/AuthEnable")
    t.call("Auth/UserAdd", name="root", password="r")
    t.call("Auth/AuthEnable")
    t.title("users and roles")
    t.call("Auth/RoleAdd", name="root")
    t.call("Auth/UserGrantRole", user="root", role="root")
    t.call("Auth/UserAdd", name="root", password="r")
    t.call("Auth/UserAdd", name="")
    t.call("Auth/UserAdd", name="alice", password="a")
    t.call("Auth/UserAdd", name="bob", options=auth.UserAddOptions(no_password=True))
    t.call("Auth/UserAdd", name="long", password="p" * 73)
    t.call("Auth/RoleAdd", name="")
    t.call("Auth/RoleAdd", name="reader")
    t.call("Auth/RoleAdd", name="reader")
    t.call("Auth/RoleAdd", name="writer")
    perm = lambda kind, key, end=b"": auth.Permission(permType=kind, key=key, range_end=end)
    t.call("Auth/RoleGrantPermission", name="reader", perm=perm(auth.Permission.READ, b"a", b"c"))
    t.call("Auth/RoleGrantPermission", name="reader", perm=perm(auth.Permission.READ, b"z"))
    t.call("Auth/RoleGrantPermission", name="writer", perm=perm(auth.Permission.WRITE, b"b", b"d"))
    t.call("Auth/RoleGrantPermission", name="writer", perm=perm(auth.Permission.READWRITE, b"x", END))
    t.call("Auth/RoleGrantPermission", name="writer", perm=perm(auth.Permission.READ, b"", b"x"))
    t.call("Auth/RoleGrantPermission", name="writer", perm=perm(auth.Permission.READ, b"d", b"a"))
    t.call("Auth/RoleGrantPermission", name="writer")
    t.call("Auth/RoleGrantPermission", name="nobody", perm=perm(auth.Permission.READ, b"a"))
    t.call("Auth/RoleGet", role="reader")
    t.call("Auth/RoleGet", role="writer")
    t.call("Auth/RoleGet", role="root")
    t.call("Auth/RoleGet", role="nobody")
    t.call("Auth/RoleList")
    t.call("Auth/UserGrantRole", user="alice", role="reader")
    t.call("Auth/UserGrantRole", user="alice", role="writer")
    t.call("Auth/UserGrantRole", user="alice", role="reader")
    t.call("Auth/UserGrantRole", user="nobody", role="reader")
    t.call("Auth/UserGrantRole", user="alice", role="nobody")
    t.call("Auth/UserGet", name="alice")
    t.call("Auth/UserGet", name="nobody")
    t.call("Auth/UserList")
    t.call("Auth/UserRevokeRole", name="bob", role="reader")
    t.call("Auth/RoleRevokePermission", role="reader", key=b"z")
    t.call("Auth/RoleRevokePermission", role="reader", key=b"z")
    t.call("Auth/RoleRevokePermission", role="nobody", key=b"z")
    t.call("Auth/UserChangePassword", name="alice", password="a2")
    t.call("Auth/UserChangePassword", name="nobody", password="a2")
    fill(t, [b"a", b"b", b"c", b"x", b"y"])
    t.call("Lease/LeaseGrant", ID=9, TTL=600)
    t.call("KV/Put", key=b"a", lease=9)
    t.title("while on")
    t.call("Auth/AuthEnable")
    t.call("Auth/AuthEnable")
    t.call("KV/Range", key=b"a")
    t.call("KV/Put", key=b"a")
    t.call("Auth/AuthStatus")
    t.call("Maintenance/Status")
    t.call("Auth/Authenticate", name="alice", password="a")
    t.call("Auth/Authenticate", name="nobody", password="a")
    t.call("Auth/Authenticate", name="bob", password="")
    login = lambda name, password: t.api.with_token(
        t.api.call("Auth/Authenticate", rpc.AuthenticateRequest(name=name, password=password)).token)
    root, alice = login("root", "r"), login("alice", "a2")
    bad = t.api.with_token("nonsense.1")
    t.call("KV/Range", key=b"a", api=bad)
    t.call("KV/Put", key=b"a", api=bad)
    for who in (alice, root):
        for key, end in ((b"a", b""), (b"a", b"c"), (b"a", b"d"), (b"c", b""), (b"x", END), (b"a", END), (b"z", b"")):
            t.call("KV/Range", key=key, range_end=end, keys_only=True, api=who)
        t.call("KV/Put", key=b"b", value=b"1", api=who)
        t.call("KV/Put", key=b"c", value=b"1", api=who)
        t.call("KV/Put", key=b"c", value=b"1", prev_kv=True, api=who)
        t.call("KV/Put", key=b"a", value=b"1", api=who)
        t.call("KV/Put", key=b"b", lease=9, api=who)
        t.call("KV/DeleteRange", key=b"b", range_end=b"d", api=who)
        t.call("KV/DeleteRange", key=b"b", range_end=b"d", prev_kv=True, api=who)
        t.call("KV/Txn", success=[get(b"a"), put(b"b")], api=who)
        t.call("KV/Txn", success=[get(b"c")], api=who)
        t.call("KV/Txn", success=[get(b"a")], failure=[put(b"a")], api=who)
        t.call("KV/Txn", success=[txn(success=[put(b"a")])], api=who)
        t.call("KV/Txn", compare=[compare(b"c", C.VERSION, C.EQUAL, version=0)], api=who)
        t.call("KV/Txn", success=[put(b"x", prev_kv=True)], api=who)
        t.call("Lease/LeaseTimeToLive", ID=9, keys=True, api=who)
        t.call("Lease/LeaseLeases", api=who)
        t.call("KV/Compact", revision=2, api=who)
        t.call("Auth/UserGet", name="alice", api=who)
        t.call("Auth/UserGet", name="root", api=who)
        t.call("Auth/RoleGet", role="reader", api=who)
        t.call("Auth/RoleGet", role="root", api=who)
        t.call("Auth/UserList", api=who)
        t.call("Auth/RoleList", api=who)
        t.call("Auth/RoleAdd", name="r-" + ("alice" if who is alice else "root"), api=who)
        t.call("Auth/UserAdd", name="u-" + ("alice" if who is alice else "root"), password="x", api=who)
        t.call("Cluster/MemberList", api=who)
        t.call("Maintenance/Alarm", action=rpc.AlarmRequest.GET, api=who)
        t.call("Maintenance/HashKV", api=who)
        t.call("Maintenance/Defragment", api=who)
        if who is alice:
            t.call("Auth/AuthDisable", api=who)
        else:
            t.call("Auth/UserDelete", name="root", api=who)
        alice2 = login("alice", "a2")
        s = alice2.stream("Watch/Watch")
        for key, end in ((b"a", b"c"), (b"a", END), (b"c", b"")):
            s.send(create(key=key, range_end=end))
            t.receive(s)
        s.close()
    t.call("Auth/UserRevokeRole", name="root", role="root", api=root)
    t.call("Auth/RoleDelete", role="root", api=root)
    t.call("Auth/RoleDelete", role="writer", api=root)
    t.call("Auth/UserGet", name="alice", api=root)
    t.call("KV/Range", key=b"a", api=login("alice", "a2"))
    t.call("KV/Put", key=b"b", api=login("alice", "a2"))
    t.call("Auth/UserDelete", name="alice", api=root)
    t.call("Auth/UserDelete", name="alice", api=root)
    t.call("KV/Range", key=b"a", api=alice)
    t.call("Auth/AuthDisable", api=root)
    t.call("KV/Range", key=b"a", keys_only=True, api=bad)
    t.call("Auth/AuthStatus")


@section
def cluster(t):
    t.call("Cluster/MemberList")
    t.call("Cluster/MemberList", linearizable=True)
    me = t.api.call("Cluster/MemberList", rpc.MemberListRequest()).members[0].ID
    t.call("Cluster/MemberUpdate", ID=me, peerURLs=["http://127.0.0.1:2381"])
    t.call("Cluster/MemberUpdate", ID=me, peerURLs=["nonsense"])
    t.call("Cluster/MemberUpdate", ID=me)
    t.call("Cluster/MemberUpdate", ID=1, peerURLs=["http://127.0.0.1:2399"])
    t.call("Cluster/MemberRemove", ID=1)
    t.call("Cluster/MemberRemove", ID=me)
    t.call("Cluster/MemberPromote", ID=1)
    t.call("Cluster/MemberPromote", ID=me)
    t.call("Cluster/MemberAdd", peerURLs=["nonsense"])
    t.call("Cluster/MemberAdd")
    t.call("Cluster/MemberUpdate", ID=me, peerURLs=["http://127.0.0.1:2380"])
    t.call("Cluster/MemberAdd", peerURLs=["http://127.0.0.1:2380"])
    learner = t.api.call("Cluster/MemberAdd", rpc.MemberAddRequest(peerURLs=["http://127.0.0.1:23999"], isLearner=True))
    t.mark(learner.member.ID, "learner")
    t.say(show(learner))
    t.call("Cluster/MemberAdd", peerURLs=["http://127.0.0.1:23998"], isLearner=True)
    t.call("Cluster/MemberPromote", ID=learner.member.ID)
    t.call("Cluster/MemberList")
    t.call("Maintenance/MoveLeader", targetID=learner.member.ID)
    t.call("Maintenance/MoveLeader", targetID=1)
    t.call("Cluster/MemberRemove", ID=learner.member.ID)
    t.call("Cluster/MemberRemove", ID=learner.member.ID)
    t.call("Cluster/MemberList")
    voter = t.api.call("Cluster/MemberAdd", rpc.MemberAddRequest(peerURLs=["http://127.0.0.1:23997"]))
    t.mark(voter.member.ID, "voter")
    t.say(show(voter))


@section
def maintenance(t):
    fill(t, [b"m%d" % i for i in range(20)])
    t.call("Maintenance/Status")
    t.call("Maintenance/HashKV")
    t.call("Maintenance/HashKV", revision=5)
    t.call("Maintenance/HashKV", revision=100)
    t.call("Maintenance/HashKV", revision=-1)
    t.call("Maintenance/Hash")
    t.call("Maintenance/Defragment")
    t.call("Maintenance/HashKV")
    t.call("Maintenance/MoveLeader")
    A = rpc.AlarmRequest
    t.call("Maintenance/Alarm")
    t.call("Maintenance/Alarm", action=A.ACTIVATE, alarm=rpc.NOSPACE, memberID=5)
    t.call("Maintenance/Alarm", action=A.ACTIVATE, alarm=rpc.NOSPACE, memberID=5)
    t.call("KV/Put", key=b"full", value=b"x")
    t.call("KV/Txn", success=[put(b"full")])
    t.call("KV/DeleteRange", key=b"m0")
    t.call("Lease/LeaseGrant", ID=3, TTL=60)
    t.http("/health")
    t.http("/health?exclude=NOSPACE")
    t.http("/readyz")
    t.ctl("alarm", "list")
    t.ctl("endpoint", "health")
    t.call("Maintenance/Status")
    t.call("Maintenance/Alarm", action=A.DEACTIVATE, alarm=rpc.NOSPACE, memberID=5)
    t.call("Maintenance/Alarm", action=A.ACTIVATE, alarm=rpc.CORRUPT, memberID=6)
    t.call("KV/Put", key=b"full", value=b"x")
    t.call("KV/Range", key=b"full")
    t.call("KV/Compact", revision=3)
    t.call("Lease/LeaseGrant", ID=3, TTL=60)
    t.http("/health")
    t.http("/readyz")
    t.call("Maintenance/Alarm", action=A.DEACTIVATE, alarm=rpc.CORRUPT, memberID=6)
    t.call("Maintenance/Alarm", action=A.DEACTIVATE, alarm=rpc.CORRUPT, memberID=6)
    t.call("KV/Put", key=b"full", value=b"x")
    D = rpc.DowngradeRequest
    t.call("Maintenance/Downgrade", action=D.VALIDATE, version="3.6")
    t.call("Maintenance/Downgrade", action=D.VALIDATE, version="3.5")
    t.call("Maintenance/Downgrade", action=D.VALIDATE, version="x")
    t.call("Maintenance/Downgrade", action=D.CANCEL)
    t.call("Maintenance/Downgrade", action=9)
    t.title("snapshot")
    snapshot(t)
    t.title("health service")
    t.call("Health/Check")
    t.call("Health/Check", service="x")
    t.title("unknown")
    t.raw("/foo.Bar/Baz")
    t.raw("/etcdserverpb.KV/Nope")
    t.raw("/etcdserverpb.KV/Range", b"\xff\xff\xff")
    t.raw("/etcdserverpb.KV/Put", b"\x0a\x05ab")
    t.raw("/etcdserverpb.Watch/Watch", b"\xff")
    for path in ("etcdserverpb.Maintenance/Snapshot", "etcdserverpb.Maintenance/Defragment", "etcdserverpb.Lease/LeaseLeases",
                 "grpc.health.v1.Health/List"):
        t.raw("/" + path, b"\xff")


def snapshot(t):
    """The stream's shape, then the file through etcdctl and both utilities."""
    total, version, last = 0, "", b""
    for m in t.api.server_stream("Maintenance/Snapshot", rpc.SnapshotRequest()):
        total, version, last = total + len(m.blob), m.version, (m.blob or last)
    t.say("snapshot version %s, multiple of 512 and a trailer: %s" % (version, (total - 32) % 512 == 0))
    t.ctl("snapshot", "save", "saved.db", both=False)
    t.say("mode %o" % (os.stat(os.path.join(t.server.root, "saved.db")).st_mode & 0o777))


@section
def http(t):
    cors = ("Access-Control-Allow-Origin", "Access-Control-Allow-Methods", "Access-Control-Allow-Headers")
    t.http("/health", show_headers=("Content-Length", "X-Content-Type-Options") + cors)
    t.http("/health?serializable=true")
    t.http("/health?exclude=NOSPACE&exclude=X")
    t.http("/health", method="POST", show_headers=("Allow",))
    t.http("/health", method="HEAD", show_headers=("Allow",))
    t.http("/livez", show_headers=("X-Content-Type-Options",))
    t.http("/readyz", show_headers=("X-Content-Type-Options",))
    t.http("/livez?verbose")
    t.http("/livez/serializable_read")
    t.http("/livez/serializable_read?verbose")
    t.http("/readyz/data_corruption?verbose")
    t.http("/readyz/linearizable_read")
    t.http("/readyz/non_learner")
    t.http("/readyz/nonsense")
    t.http("/livez/linearizable_read")
    t.http("/livez?exclude=serializable_read&verbose")
    t.http("/livez?exclude=nonsense")
    t.http("/readyz", method="POST", show_headers=("Allow",))
    t.http("/version")
    t.http("/version", method="POST", show_headers=("Allow",))
    t.http("/health", method="OPTIONS", show_headers=cors)
    t.http("/nonsense", method="OPTIONS", show_headers=cors)
    for path in ("/", "/nonsense", "/v2/keys", "/config/local/log", "/members", "/raft", "/debug/pprof/"):
        t.http(path, show_headers=("X-Content-Type-Options",) + cors)
    for path in ("/livez/", "/readyz/", "/livez?%76erbose", "/livez?verbose;a", "/livez?exclude=serializable%5fread&verbose",
                 "/health?serializable=tru%65", "/%76ersion", "/version%20", "/a%2f/b"):
        t.http(path)
    for path in ("//version", "//v3/kv/range?a=<b>&c", "/v2/./../version/.", "/..//", "/a//"):
        for method in ("GET", "HEAD", "POST", "OPTIONS"):
            t.http(path, method=method, show_headers=("Location",))
    for encoding in ("gzip", "zstd, gzip;q=0.5", "gzip;q=0", "br", "*"):
        t.http("/metrics", headers={"Accept-Encoding": encoding}, show_headers=("Content-Encoding",), show_body=False)
    t.http("/metrics", show_headers=("X-Content-Type-Options",) + cors, show_body=False)
    metrics(t)
    variables = json.loads(t.http("/debug/vars", show_body=False))
    t.say("named " + variables["cmdline"][1])
    keys = sorted(variables)
    t.say("has " + " ".join(k for k in keys if k in ("cmdline", "file_descriptor_limit")))


@section
def http2(t):
    """Without TLS HTTP/2 is gRPC alone."""
    for more in ([], ["-X", "POST", "-H", "Content-Type: application/json"], ["-H", "Content-Type: application/grpc"],
                 ["-X", "POST", "-H", "Content-Type: application/grpc", "-H", "x-bin: x"]):
        t.say(" ".join(["/v3/kv/range"] + more))
        p = subprocess.run(["curl", "-s", "-D", "-", "--http2-prior-knowledge", t.server.endpoint + "/v3/kv/range"] + more,
                           stdout=subprocess.PIPE)
        for line in sorted(p.stdout.decode().split("\r\n")):
            t.say("   " + line)


def metrics(t, only=""):
    """Names, types, labels and buckets of everything but the Go runtime's and what depends on the machine."""
    from etcdproc import get as fetch
    body = fetch(t.server.port, "/metrics")[2].decode()
    for line in body.splitlines():
        if only not in line or 'success="false"' in line:       # a question of the start that took too long
            continue
        if line.startswith("# TYPE "):
            name = line.split()[2]
            if not name.startswith(("go_", "etcd_server_go_version")):
                t.say(line)
        elif line[0] != "#" and not line.startswith(("go_", "etcd_server_go_version")):
            t.say(line.rsplit(" ", 1)[0])


@section
def gateway(t):
    g = t.gateway
    g("kv/put", {"key": b64("foo"), "value": b64("bar")})
    g("kv/put", {"key": b64("foo"), "value": b64("bar2"), "prev_kv": True})
    g("kv/range", {"key": b64("foo")})
    g("kv/range", {"key": b64("foo"), "unknown_field": 1})
    g("kv/range", {"key": b64("\0"), "range_end": b64("\0"), "sort_target": "MOD", "sort_order": "DESCEND",
                   "limit": "1"})
    g("kv/range", {"key": b64("\0"), "rangeEnd": b64("\0"), "keysOnly": True, "limit": 1})
    g("kv/range", {"key": b64("foo"), "revision": "1000"})
    g("kv/range", {})
    g("kv/range", "")
    g("kv/range", "{")
    g("kv/range", '{"key":"!!"}')
    g("kv/range", '{"key":5}')
    g("kv/range", '{"limit":"x"}')
    g("kv/range", '{"limit":1,}')
    g("kv/range", '{"key":"\\ud800"}')
    g("kv/txn", '{"success":[{"request_range":{"key":"YQ=="},"request_put":{"key":"YQ=="}}]}')
    g("kv/txn", {"compare": [{"key": b64("foo"), "target": "VERSION", "version": "2"}],
                 "success": [{"request_put": {"key": b64("t"), "value": b64("1")}},
                             {"request_range": {"key": b64("t")}}],
                 "failure": [{"requestDeleteRange": {"key": b64("foo")}}]})
    g("kv/deleterange", {"key": b64("t"), "prev_kv": True})
    g("kv/compaction", {"revision": "2"})
    g("kv/compaction", {"revision": "2"})
    g("lease/grant", {"TTL": "600", "ID": "99"})
    g("lease/timetolive", {"ID": "99", "keys": True})
    g("lease/leases", {})
    g("lease/keepalive", {"ID": "99"})
    g("lease/revoke", {"ID": "99"})
    g("kv/lease/revoke", {"ID": "99"})
    g("kv/lease/timetolive", {"ID": "99"})
    g("cluster/member/list", {})
    g("maintenance/status", {})
    g("maintenance/hashkv", {})
    g("maintenance/hash", {})
    g("maintenance/alarm", {"action": "GET"})
    g("maintenance/defragment", {})
    g("maintenance/downgrade", {"action": "VALIDATE", "version": "x"})
    g("auth/status", {})
    g("auth/user/add", {"name": "u", "password": "p"})
    g("auth/role/add", {"name": "r"})
    g("auth/role/grant", {"name": "r", "perm": {"permType": "READWRITE", "key": b64("a"), "range_end": b64("b")}})
    g("auth/role/get", {"role": "r"})
    g("auth/user/grant", {"user": "u", "role": "r"})
    g("auth/user/get", {"name": "u"})
    g("auth/user/list", {})
    g("auth/role/list", {})
    g("auth/enable", {})
    g("auth/authenticate", {"name": "u", "password": "p"})
    g("lock/lock", {"name": b64("l"), "lease": "12345"})
    g("election/leader", {"name": b64("e")})
    g("lease/grant", {"TTL": "600", "ID": "101"})
    g("lease/grant", {"TTL": "600", "ID": "102"})
    g("lock/lock", {"name": b64("t"), "lease": "101"})
    g("lock/lock", {"name": b64("t"), "lease": "102"}, **{"Grpc-Timeout": "300m"})
    gone(t, b"t/66")
    g("kv/range", {"key": b64("foo")}, **{"Grpc-Timeout": "5x"})
    g("kv/range", {"key": b64("foo")}, **{"Grpc-Timeout": "5S", "Grpc-Metadata-Hasleader": "true"})
    g("watch", {"create_request": {"key": b64("foo")}}, **{"Grpc-Timeout": "300m"})
    g("nonsense", {})
    t.http("/v3/kv/range")
    t.http("/v3/nonsense")
    t.http("/v3beta/kv/range", method="POST", body='{"key":"%s"}' % b64("foo"))


@section
def gateway_unreadable(t):
    """Of a stream, what cannot be read ends the requests; what was asked before goes on."""
    g = t.gateway
    g("lease/grant", {"TTL": "600", "ID": "5"})
    for body in ("", "x", "null", '{"ID":"5"}x', '{"ID":"5"}[]', '{"ID":"5"}{"ID":"x"}{"ID":"5"}', '{"ID":"5"}{"ID"'):
        g("lease/keepalive", body)
    watch = json.dumps({"create_request": {"key": b64("a")}})
    for body in ("", "x", watch, watch + "x", watch + "[]", watch + '{"create_request":1}', watch + "{", watch + " "):
        g("watch", body, **{"Grpc-Timeout": "300m"})
    w = WebSocket(t.server.port, "watch")
    for m in (watch.encode(), b"[]", watch.encode()):
        w.send(m)
    t.say(json.dumps(t.stable(json.loads(w.receive()[1])), sort_keys=True))
    t.call("KV/Put", key=b"a", value=b"1")
    t.say(json.dumps(t.stable(json.loads(w.receive()[1])), sort_keys=True))
    w.s.close()


class WebSocket:
    """A client of RFC 6455 as far as is needed here."""

    def __init__(self, port, path, headers=()):
        self.s = socket.create_connection(("127.0.0.1", port), 5)
        self.s.sendall(("GET /v3/%s HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
                        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n" %
                        (path, "".join(h + "\r\n" for h in headers))).encode())
        self.f = self.s.makefile("rb")
        lines = [line.decode().strip() for line in iter(self.f.readline, b"\r\n")]
        fields = [line.partition(": ") for line in lines[1:]]
        self.head = [lines[0]] + sorted(name.lower() + ": " + value for name, _, value in fields
                                        if name.lower().startswith(("upgrade", "conn", "sec-")))

    def send(self, data, opcode=1, fin=True):
        data = data if isinstance(data, bytes) else json.dumps(data).encode()
        mask = b"\1\2\3\4"
        size = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + len(data).to_bytes(2, "big")
        self.s.sendall(bytes([(0x80 if fin else 0) | opcode]) + size + mask +
                       bytes(b ^ mask[i % 4] for i, b in enumerate(data)))

    def receive(self):
        """(opcode, payload), or None at the end, which may be a reset: Go's server closes with our message unread."""
        try:
            head = self.f.read(2)
        except ConnectionResetError:
            return None
        if len(head) < 2:
            return None
        size = head[1] & 0x7f
        if size > 125:
            size = int.from_bytes(self.f.read(2 if size == 126 else 8), "big")
        return head[0] & 0xf, self.f.read(size)


@section
def websocket(t):
    def show_one(w):
        got = w.receive()
        if got is None or got[0] == 8:          # ours says goodbye, Go's just goes
            t.say("   end")
        elif got[0] == 1:
            t.say("   text " + json.dumps(t.stable(json.loads(got[1])), sort_keys=True))
        else:
            t.say("   %d %r" % got)

    def talk(path, messages, answers=1, headers=()):
        t.say("ws %s %s" % (path, messages))
        w = WebSocket(t.server.port, path, headers)
        t.say("   " + " | ".join(w.head))
        for m in messages:
            w.send(m)
        for _ in range(answers):
            show_one(w)
        return w

    # Go's calls of one answer wait for the end of the socket, and then there is nobody to answer: streams alone are compared.
    talk("nonsense", [{}], 2)
    w = talk("watch", [{"create_request": {"key": b64("a")}}], headers=["Sec-WebSocket-Protocol: Bearer, nonsense"])
    t.call("KV/Put", key=b"a", value=b"2")
    show_one(w)
    w.send(json.dumps({"create_request": {"key": b64("b"), "watch_id": "7"}}).encode()[:20], fin=False)
    w.send(b"echo", opcode=9)
    show_one(w)
    w.send(json.dumps({"create_request": {"key": b64("b"), "watch_id": "7"}}).encode()[20:], opcode=0)
    show_one(w)
    t.call("KV/Put", key=b"b", value=b"x" * 100000)
    got = w.receive()
    t.say("   text of %d bytes" % (len(got[1]) // 1000 * 1000))
    w.send(b"\x03\xe8", opcode=8)
    show_one(w)
    w = talk("lease/keepalive", [{"ID": "5"}, {"ID": "6"}], 2)
    w.s.close()


@section
def gateway_with_auth(t):
    g = t.gateway
    g("auth/user/add", {"name": "root", "password": "r"})
    g("auth/role/add", {"name": "root"})
    g("auth/user/grant", {"user": "root", "role": "root"})
    g("auth/enable", {})
    g("kv/range", {"key": b64("a")})
    g("kv/range", {"key": b64("a")}, Authorization="nonsense")
    token = t.api.call("Auth/Authenticate", rpc.AuthenticateRequest(name="root", password="r")).token
    g("kv/range", {"key": b64("a")}, Authorization=token)
    g("kv/put", {"key": b64("a")}, Authorization=token)
    g("auth/disable", {}, Authorization=token)


@section
def quota(t):
    """How many puts fit depends on when the file is measured; that one is refused in the end does not."""
    for i in range(400):
        try:
            t.api.call("KV/Put", P(key=b"q%d" % i, value=b"v" * 100000))
        except Exception as e:
            t.error(e)
            break
    wait(lambda: t.api.call("Maintenance/Alarm", rpc.AlarmRequest()).alarms, 5)
    t.say(show(t.api.call("Maintenance/Alarm", rpc.AlarmRequest()).alarms[0]))
    t.call("KV/Put", key=b"small")
    t.call("Lease/LeaseGrant", ID=1, TTL=60)
    t.call("KV/Txn", success=[get(b"small"), put(b"small")])
    t.say("read %s" % t.api.call("KV/Txn", T(success=[get(b"small")])).succeeded)
    t.say("delete %s" % t.api.call("KV/Txn", T(success=[delete(b"small")])).succeeded)
    t.say("deleted %s" % (t.api.call("KV/DeleteRange", D(key=b"q", range_end=b"r")).deleted > 15))


quota.flags = ["--quota-backend-bytes=2000000"]


@section
def limits(t):
    t.call("KV/Txn", success=[put(b"a"), put(b"b"), put(b"c")])
    t.call("KV/Txn", success=[put(b"a"), put(b"b"), put(b"c"), put(b"d")])
    t.call("KV/Put", key=b"a", value=b"v" * 2000)
    t.call("KV/Put", key=b"a", value=b"v" * 1000)
    t.call("KV/Put", key=b"a", value=b"v" * 600000)
    t.call("KV/Range", key=b"a", keys_only=True)


limits.flags = ["--max-txn-ops=3", "--max-request-bytes=1500"]


@section
def auto_compaction(t):
    """Puts until the first period is over; then what was before it is gone."""
    fill(t, [b"a%d" % i for i in range(5)])
    compacted = lambda: t.error_of("KV/Range", R(key=b"a0", revision=3)) is not None
    wait(compacted, 10)
    t.call("KV/Range", key=b"a0", revision=3)
    t.call("KV/Range", key=b"a0", revision=6)
    for text in ("starting auto periodic compaction", "completed auto periodic compaction"):
        with open(t.server.log_path) as f:
            fields = [json.loads(line) for line in f if text in line][0]
        t.say(text + " " + " ".join("%s=%s" % (k, fields[k]) for k in sorted(fields) if k in ("level", "compact-period", "revision")))


auto_compaction.flags = ["--auto-compaction-retention=1s"]


@section
def defrag_metric(t):
    """Who defragments and looks at the size next sees what was gained."""
    from etcdproc import get as fetch

    def size():
        return int(float(re.search(rb"^etcd_mvcc_db_total_size_in_bytes (\S+)", fetch(t.server.port, "/metrics")[2], re.M).group(1)))

    for i in range(25):
        time.sleep(0.01)
        t.api.call("KV/Put", P(key=b"k", value=bytes(4096)))
    t.api.call("KV/Compact", rpc.CompactionRequest(revision=25, physical=True))
    t.api.call("KV/Put", P(key=b"k"))
    wait(lambda: size() > 100000, 5)
    time.sleep(0.5)
    before = size()
    t.call("Maintenance/Defragment")
    t.say("smaller: %s" % (size() < before))


@section
def defrag_at_start(t):
    """Twice with the same data: too little is free for the first start, enough for the second."""
    value = b"v" * 100000
    for i in range(60):
        t.api.call("KV/Put", P(key=b"d%d" % i, value=value))
    size = lambda: t.api.call("Maintenance/Status", rpc.StatusRequest()).dbSize
    wait(lambda: size() > 6000000, 10)      # what is deleted before it was committed never grows the file
    with open(t.server.log_path) as log:
        t.say("skipped %s" % ("Skipping defragmentation" in log.read()))
    t.api.call("KV/DeleteRange", D(key=b"d", range_end=b"e"))
    rev = t.api.call("KV/Put", P(key=b"kept", value=b"x")).header.revision
    t.api.call("KV/Compact", rpc.CompactionRequest(revision=rev, physical=True))
    before = size()
    t.server.stop()
    t.server.start()
    t.api.close()
    t.api = Api(t.server.target)
    wait(lambda: size() < before / 4, 10)
    t.say("large before %s, small after %s" % (before > 6000000, size() < before / 4))
    t.call("KV/Range", key=END, range_end=END)
    t.call("Maintenance/HashKV")


defrag_at_start.flags = ["--bootstrap-defrag-threshold-megabytes=2"]


@section
def extensive_metrics(t):
    t.call("KV/Put", key=b"a")
    t.call("KV/Range", key=b"a")
    metrics(t, only="grpc_server_handling_seconds")


extensive_metrics.flags = ["--metrics=extensive"]


@section
def metrics_moved(t):
    """One call of each kind: what it moves there it moves here. Sums of times and readings of the process say nothing."""
    before = values(t)
    watch = t.api.stream("Watch/Watch")
    watch.send(create(key=b"k", range_end=b"l"))
    watch.next(10)
    for i in range(120):
        t.api.call("KV/Put", P(key=b"k%d" % (i % 20), value=b"v" * 64, prev_kv=True))
    t.api.call("KV/Range", R(key=b"k", range_end=b"l"))
    t.api.call("KV/Range", R(key=b"k", range_end=b"l", serializable=True))
    t.api.call("KV/Txn", T(success=[put(b"k1", b"2"), get(b"k2")]))
    t.api.call("KV/Txn", T(success=[get(b"k2")]))
    revision = t.api.call("KV/DeleteRange", D(key=b"k3")).header.revision
    for ttl, id in ((60, 77), (1, 78)):
        t.api.call("Lease/LeaseGrant", rpc.LeaseGrantRequest(TTL=ttl, ID=id))
    t.api.call("KV/Put", P(key=b"k5", lease=78))
    alive = t.api.stream("Lease/LeaseKeepAlive")
    alive.send(rpc.LeaseKeepAliveRequest(ID=77))
    alive.next(10)
    alive.close()
    t.api.call("Lease/LeaseRevoke", rpc.LeaseRevokeRequest(ID=77))
    t.call("KV/Put", key=b"x", lease=99)
    t.call("KV/Range", key=b"k", revision=100000)
    t.api.call("KV/Compact", rpc.CompactionRequest(revision=revision - 50, physical=True))
    for method in ("Hash", "HashKV", "Status", "Defragment"):
        t.api.call("Maintenance/" + method, getattr(rpc, method + "Request")())
    for _ in t.api.channel.unary_stream("/etcdserverpb.Maintenance/Snapshot")(b""):
        pass
    wait(lambda: values(t).get("etcd_debugging_server_lease_expired_total"), 10)
    watch.send(cancel(0))
    wait(lambda: "k5" not in str(t.api.call("KV/Range", R(key=b"k5")).kvs), 10)
    watch.close()
    time.sleep(1)
    after = values(t)
    for name in sorted(after):
        if after[name] != before.get(name, 0) and name != "etcd_mvcc_db_open_read_transactions":
            t.say("moved " + name)
    t.say("a read transaction is open: %s" % (after["etcd_mvcc_db_open_read_transactions"] >= 1))


metrics_moved.flags = ["--snapshot-count=50"]


def values(t):
    from etcdproc import get as fetch
    out = {}
    for line in fetch(t.server.port, "/metrics")[2].decode().splitlines():
        name, value = line.rsplit(" ", 1)
        # how a stream that its client closes is counted is a race of the client's
        if not re.match(r"#|go_|process_|os_|promhttp_|grpc_server_handled_total.*bidi_stream", line) and "_sum" not in line and \
           "_bucket" not in line:
            out[name] = float(value)
    return out


@section
def slow_requests(t):
    """Every request is slow here. The lines that upstream writes of them, without what differs by nature (times, ids, sizes of
    answers with a header, the blanks of its text format). Ours say nothing of what is not taken apart."""
    for call in (lambda: t.call("KV/Put", key=b"foo", value=b"bar"),
                 lambda: t.call("KV/Put", key=b'a"\\b\nx\x01', value=b"\xff", prev_kv=True),
                 lambda: t.call("KV/Range", key=b"foo"),
                 lambda: t.call("KV/Range", key=b"a", range_end=b"z", limit=3, sort_order=DESCEND, sort_target=R.MOD,
                                serializable=True),
                 lambda: t.call("KV/DeleteRange", key=b"foo", prev_kv=True),
                 lambda: t.call("Lease/LeaseGrant", ID=77, TTL=60),
                 lambda: t.call("KV/Put", key=b"l", value=b"v" * 100000, lease=77),
                 lambda: t.call("KV/Put", key=b"l", lease=78),
                 lambda: t.call("KV/Txn", compare=[compare(b"foo", C.MOD, C.GREATER, mod_revision=0),
                                                   compare(b"l", C.VALUE, C.NOT_EQUAL, value=b"xy")],
                                success=[put(b"t", b"1"), get(b"foo")],
                                failure=[put(b"t", b"22"), delete(b"a", range_end=b"c")]),
                 lambda: t.call("KV/Txn", success=[get(b"t"), get(b"l")]),
                 lambda: t.call("KV/Txn", success=[txn(success=[put(b"n", b"1")])]),
                 lambda: t.call("KV/Compact", revision=3),
                 lambda: t.call("Lease/LeaseRevoke", ID=77),
                 lambda: t.call("Cluster/MemberList"),
                 lambda: t.call("Maintenance/Status")):
        with open(t.server.log_path) as log:
            log.seek(0, 2)
            call()
            wait(lambda: "request stats" in open_tail(log), 5)
            for line in open_tail(log).splitlines():
                slow_line(t, json.loads(line))


def open_tail(log):
    at = log.tell()
    text = log.read()
    log.seek(at)
    return text


def slow_line(t, line):
    if line["msg"] not in ("apply request took too long", "failed to apply request", "request stats"):
        return
    fields = [k for k in line if k not in ("ts", "caller")]
    t.say("   %s %s: %s" % (line["level"], line["msg"], " ".join(fields[2:])))
    for k in ("expected-duration", "prefix", "request", "response", "error", "response type", "request count", "request size",
              "response count", "request content"):
        if k in line:
            value = re.sub(r"\bID:\d+", "ID:<id>", re.sub(" +", " ", str(line[k]).replace("\u00a0", " ")))
            value = re.sub(r"size:\d+", "size:<n>", value) if k == "response" else value
            t.say("      %s: %s" % (k, value if k != "error" else "some"))


slow_requests.flags = ["--warning-apply-duration=1ns", "--warning-unary-request-duration=1ns"]


@section
def pprof(t):
    """What both have: the command line. Go's profiles are of its runtime, and not compared."""
    data = t.http("/debug/pprof/cmdline", show_headers=("X-Content-Type-Options",), show_body=False)
    t.say(" ".join(a for a in data.decode().split("\0") if a.startswith(("--name", "--advertise"))))
    t.say(str(get_status(t, "/debug/pprof/")))
    t.http("/debug/other")


def get_status(t, path):
    from etcdproc import get as fetch
    return fetch(t.server.port, path)[0]


pprof.flags = ["--enable-pprof"]


@section
def restart(t):
    fill(t, [b"r%d" % i for i in range(5)])
    t.call("KV/DeleteRange", key=b"r2")
    t.call("KV/Compact", revision=4, physical=True)
    t.call("Lease/LeaseGrant", ID=8, TTL=600)
    t.call("KV/Put", key=b"leased", lease=8)
    t.call("Auth/UserAdd", name="u", password="p")
    for how in (t.server.stop, t.server.kill):
        how()
        t.server.start()
        t.api.close()
        t.api = Api(t.server.target)
        wait(lambda: serves(t), 10)
        t.say("restarted")
        t.call("KV/Range", key=END, range_end=END)
        t.call("KV/Range", key=b"r2", revision=6)
        t.call("KV/Range", key=b"r2", revision=3)
        t.call("Maintenance/HashKV")
        t.call("Maintenance/HashKV", revision=6)
        t.call("Lease/LeaseLeases")
        t.call("Auth/UserList")
        t.call("KV/Put", key=b"after", value=b"x")
        t.call("Cluster/MemberList")


def serves(t):
    try:
        return bool(t.api.call("Maintenance/Status", rpc.StatusRequest()))
    except Exception:
        return False


@section
def etcdctl(t):
    c = t.ctl
    c("put", "foo", "bar")
    c("put", "foo", "bar2", "--prev-kv")
    c("put", "foo", stdin=b"from stdin\n")
    for w in ("simple", "json", "fields", "protobuf"):
        c("get", "foo", "-w", w)
        c("put", "foo", "bar3", "-w", w)
        c("del", "nothing", "-w", w)
    c("get", "", "--prefix", "--keys-only")
    c("get", "foo", "--rev", "2")
    c("get", "foo", "--rev", "200")
    c("get", "a", "z", "--sort-by", "MOD", "--order", "DESCEND", "--limit", "1")
    c("get", "foo", "--count-only", "-w", "fields")
    c("get", "foo", "--hex")
    c("get", "foo", "--stream")
    c("txn", stdin=b'mod("foo") > "0"\n\nput a 1\nget foo\n\nput b 1\n\n')
    c("txn", "-w", "json", stdin=b'value("foo") = "x"\n\nput a 1\n\nget a\ndel a\n\n')
    c("del", "foo", "--prev-kv")
    c("del", "", "--prefix")
    c("member", "list")
    c("member", "list", "-w", "table")
    c("member", "list", "-w", "json")
    c("endpoint", "health")
    c("endpoint", "health", "-w", "json")
    c("endpoint", "hashkv")
    c("endpoint", "hashkv", "-w", "json")
    c("alarm", "list")
    c("alarm", "disarm")
    c("defrag")
    c("auth", "status")
    c("user", "add", "u:p")
    c("user", "list")
    c("user", "get", "u")
    c("role", "add", "r")
    c("role", "grant-permission", "r", "readwrite", "a", "--prefix")
    c("role", "get", "r")
    c("user", "grant-role", "u", "r")
    c("user", "get", "u", "--detail")
    c("user", "delete", "u")
    c("role", "delete", "r")
    c("version")
    c("downgrade", "validate", "3.6")
    c("move-leader", "8e9e05c52164694d")
    c("lock", "l", "true")
    c("check", "datascale", "--load", "x")


import sections_auth  # noqa: E402,F401  adds its own
import sections_matrix  # noqa: E402,F401
