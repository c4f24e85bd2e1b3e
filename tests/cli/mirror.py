#!/usr/bin/env python3
"""make-mirror of ours and of Go's, each from its own copy of the same source to its own destination: the same keys there, written in the
same transactions, and the same end. Skipped without Go etcd (make oracle)."""
import os
import re
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import etcdproc
from etcdapi import Api, auth, rpc

CTL = {"ours": os.environ["CETCD_ETCDCTL"], "go": etcdproc.oracle("etcdctl")}
ETCD = etcdproc.oracle("etcd")
if not ETCD or not CTL["go"]:
    print("SKIP: no Go etcd here (make oracle)")
    sys.exit(etcdproc.SKIPPED)

CASES = []


def case(f):
    CASES.append(f)
    return f


class Pair:
    """Source, destination, and a make-mirror between them."""

    def __init__(self, kind, source_flags=(), dest_flags=()):
        self.kind = kind
        self.source, self.dest = etcdproc.Server(ETCD, source_flags), etcdproc.Server(ETCD, dest_flags)

    def __enter__(self):
        self.source.start()
        self.dest.start()
        self.s, self.d = Api(self.source.target), Api(self.dest.target)
        return self

    def __exit__(self, *unused):
        self.s.close()
        self.d.close()
        self.source.__exit__(None, None, None)
        self.dest.__exit__(None, None, None)

    def mirror(self, *words, dest=None):
        return subprocess.Popen([CTL[self.kind], "--endpoints", self.source.target, "make-mirror", dest or self.dest.target, *words],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def put(self, *pairs, lease=0):
        for k, v in pairs:
            self.s.call("KV/Put", rpc.PutRequest(key=k, value=v, lease=lease))

    def txn(self, *ops):
        return self.s.call("KV/Txn", rpc.TxnRequest(success=ops)).header.revision

    def dump(self, api=None):
        """Keys, values, versions, leases, and which were written together."""
        r = (api or self.d).call("KV/Range", rpc.RangeRequest(key=b"\0", range_end=b"\0"))
        return r.header.revision, [(x.key, x.value, x.mod_revision, x.version, x.lease) for x in r.kvs]

    def until(self, reached, what, seconds=20):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if reached():
                return
            time.sleep(0.02)
        raise AssertionError("%s: %s did not come" % (self.kind, what))

    def mirrored(self, key, value=b"end"):
        """The marker put last is there, so all before it is."""
        def reached():
            r = self.d.call("KV/Range", rpc.RangeRequest(key=key))
            return r.kvs and r.kvs[0].value == value
        self.until(reached, key)

    def end(self, p, sent=signal.SIGINT):
        """How it ends: exit code, stdout, stderr without what names ports and times."""
        if sent:
            p.send_signal(sent)
        out, err = p.communicate(timeout=30)
        for port, name in ((self.source.target, "SOURCE"), (self.dest.target, "DEST")):
            out, err = out.replace(port, name), err.replace(port, name)
        lines = [x for x in err.splitlines() if not x.startswith("{")]
        return p.returncode, out, re.sub(r"\b\d{5}\b", "PORT", "\n".join(lines))


def put_op(k, v):
    return rpc.RequestOp(request_put=rpc.PutRequest(key=k, value=v))


def delete_op(k, end=b""):
    return rpc.RequestOp(request_delete_range=rpc.DeleteRangeRequest(key=k, range_end=end))


@case
def copy_then_follow(kind):
    """More keys than a page, any bytes in them, then single writes, a large transaction, puts and deletes of one revision, a range."""
    with Pair(kind) as p:
        for at in range(0, 2500, 100):
            p.txn(*[put_op(b"k/%05d\xff\0" % i, b"v\0%d" % i) for i in range(at, at + 100)])
        lease = p.s.call("Lease/LeaseGrant", rpc.LeaseGrantRequest(TTL=600)).ID
        p.put((b"leased", b"x"), lease=lease)
        m = p.mirror()
        p.mirrored(b"leased", b"x")
        time.sleep(0.5)                 # it watches
        p.put((b"a", b"1"), (b"a", b"2"), (b"b", b""))
        p.txn(*[put_op(b"t/%03d" % i, b"x") for i in range(100)])
        p.txn(put_op(b"a", b"3"), delete_op(b"b"), put_op(b"c", b"4"))
        p.txn(delete_op(b"k/000", b"k/001"))
        p.s.call("KV/DeleteRange", rpc.DeleteRangeRequest(key=b"none"))
        p.put((b"end", b"end"))
        p.mirrored(b"end")
        return p.dump(), p.end(m)


def grouped(words):
    def run(kind):
        with Pair(kind, ["--max-txn-ops=1000"], ["--max-txn-ops=1000"]) as p:
            m = p.mirror("--prefix=g/", *words)
            time.sleep(1)
            p.txn(*[put_op(b"g/%04d" % i, b"x") for i in range(300)], put_op(b"other", b"not"))
            p.txn(delete_op(b"g/00", b"g/01"), put_op(b"g/0150", b"y"))
            p.put((b"g/end", b"end"))
            p.mirrored(b"g/end")
            return p.dump(), p.end(m)
    run.__name__ = "grouped " + " ".join(words)
    run.__doc__ = "What one transaction wrote, cut at --max-txn-ops."
    return case(run)


grouped([])
grouped(["--max-txn-ops=7"])
grouped(["--max-txn-ops=1"])
grouped(["--max-txn-ops=300"])
grouped(["--max-txn-ops=0"])


@case
def too_many_for_the_destination(kind):
    """A transaction that the destination refuses ends it."""
    with Pair(kind, ["--max-txn-ops=1000"], ["--max-txn-ops=16"]) as p:
        m = p.mirror()
        time.sleep(1)
        p.txn(*[put_op(b"g/%04d" % i, b"x") for i in range(20)])
        return p.end(m, None), p.dump()


@case
def renamed(kind):
    """The prefix's first occurrence is replaced; --no-dest-prefix takes it away; --rev begins with the history."""
    got = []
    for words in (["--prefix=a/", "--dest-prefix=b/"], ["--prefix=a/", "--dest-prefix=long/er/"], ["--prefix=a/", "--no-dest-prefix"],
                  ["--prefix=a/", "--dest-prefix="], ["--dest-prefix=z/"], ["--prefix=a/", "--rev=3"],
                  ["--prefix=a/", "--rev=1"], ["--prefix=a/", "--rev=4", "--dest-prefix=q/"], ["--prefix=a/", "--rev=2", "--no-dest-prefix"]):
        with Pair(kind) as p:
            p.put((b"a/a/1", b"1"), (b"a/2", b"2"), (b"a/2", b"3"), (b"ba/3", b"no"), (b"a/4", b"4"))
            m = p.mirror(*words)
            time.sleep(0.7)
            p.put((b"a/a/1", b"5"), (b"a/5", b"6"))
            p.s.call("KV/DeleteRange", rpc.DeleteRangeRequest(key=b"a/2"))
            time.sleep(0.7)
            got.append((words, p.dump(), p.end(m)))
    return got


@case
def compacted(kind):
    """--rev below the compaction."""
    with Pair(kind) as p:
        p.put(*[(b"a", b"%d" % i) for i in range(10)])
        p.s.call("KV/Compact", rpc.CompactionRequest(revision=8))
        return p.end(p.mirror("--rev=3"), None), p.dump()


@case
def nobody_at_the_destination(kind):
    with Pair(kind) as p:
        p.put((b"a", b"1"))
        p.dest.stop()
        m = subprocess.Popen([CTL[kind], "--endpoints", p.source.target, "--dial-timeout=1s", "--command-timeout=2s", "make-mirror", p.dest.target],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        time.sleep(4)
        still = m.poll() is None
        if not still:
            return still, m.returncode, p.end(m, None)[1]
        p.dest.start()                  # it waits; then it goes on
        p.mirrored(b"a", b"1")
        return still, p.end(m)


@case
def source_away_for_a_while(kind):
    """The watch goes on where it was."""
    with Pair(kind) as p:
        p.put((b"a", b"1"))
        m = p.mirror()
        p.mirrored(b"a", b"1")
        p.source.stop()
        time.sleep(0.5)
        p.source.start()
        p.put((b"a", b"2"), (b"end", b"end"))
        p.mirrored(b"end")
        return p.dump(), p.end(m)


@case
def destination_with_users(kind):
    """--dest-user with and without its password, a wrong one, a user without the right."""
    got = []
    with Pair(kind) as p:
        for name, call in (("UserAdd", rpc.AuthUserAddRequest(name="root", password="r")), ("UserAdd", rpc.AuthUserAddRequest(name="u", password="p")),
                           ("RoleAdd", rpc.AuthRoleAddRequest(name="root")), ("RoleAdd", rpc.AuthRoleAddRequest(name="only-a")),
                           ("RoleGrantPermission", rpc.AuthRoleGrantPermissionRequest(name="only-a", perm=auth.Permission(
                               permType=2, key=b"a", range_end=b"b"))),
                           ("UserGrantRole", rpc.AuthUserGrantRoleRequest(user="root", role="root")),
                           ("UserGrantRole", rpc.AuthUserGrantRoleRequest(user="u", role="only-a")),
                           ("AuthEnable", rpc.AuthEnableRequest())):
            p.d.call("Auth/" + name, call)
        p.put((b"a1", b"1"), (b"b1", b"1"))
        for words in ([], ["--dest-user=root:r"], ["--dest-user=root", "--dest-password=r"], ["--dest-user=root:wrong"], ["--dest-user=u:p"],
                      ["--dest-user=u:p", "--prefix=a"], ["--dest-password=r"]):
            m = p.mirror(*words)
            time.sleep(1)
            got.append((words, m.poll() is None, p.end(m, signal.SIGINT if m.poll() is None else None)))
    return got


def main():
    wrong = 0
    for f in CASES:
        if len(sys.argv) > 1 and f.__name__ not in sys.argv[1:]:
            continue
        ours, go = f("ours"), f("go")
        if ours == go:
            print("ok     %s" % f.__name__, flush=True)
        else:
            wrong += 1
            print("FAILED %s\n ours %.3000r\n go   %.3000r" % (f.__name__, ours, go), flush=True)
    sys.exit(1 if wrong else 0)


main()
