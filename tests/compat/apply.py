#!/usr/bin/env python3
"""The same log makes the same database: Go etcd and ours each rebuild a member from copies of one directory whose log holds random entries,
valid and odd ones, of every kind; every row of every bucket must be equal, but lease TTLs and the storage version.

usage: apply.py TOOL [--ours ETCD] [--go ETCD] [--seed N] [--rounds N] [--entries N]"""
import argparse
import base64
import importlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))

import etcdproc

NORMAL, CONF_CHANGE = 0, 1


def protos():
    """raft_internal_pb2 and raft_pb2, made by protoc."""
    out = tempfile.mkdtemp(prefix="applyproto")
    source = os.path.join(HERE, "..", "..", "proto")
    names = [f for f in os.listdir(source) if f.endswith(".proto")]
    subprocess.run(["protoc", "-I", source, "--python_out", out] + names, check=True)
    sys.path.insert(0, out)
    return [importlib.import_module(n + "_pb2") for n in ("raft_internal", "rpc", "raft", "auth")]


class Generator:
    def __init__(self, rnd, member_id):
        self.r, self.member_id, self.id = rnd, member_id, 1 << 40
        self.lease, self.learners = [], []
        self.revision = 1

    def key(self):
        return b"%c%d" % (self.r.choice(b"abc"), self.r.randrange(6)) if self.r.random() < 0.95 else bytes(self.r.choices(range(256), k=3))

    def end(self, key):
        return self.r.choice([b"", b"", b"\0", key + b"\xff", b"b", b"z", b"a"])

    def value(self):
        return bytes(self.r.choices(range(256), k=self.r.choice([0, 1, 8, 50, 5000])))

    def lease_id(self):
        return self.r.choice(self.lease + [0, 0, 0, 77777]) if self.r.random() < 0.4 else 0

    def put(self):
        p = rpc.PutRequest(key=self.key(), value=self.value(), lease=self.lease_id(), prev_kv=self.r.random() < 0.2)
        if self.r.random() < 0.1:
            p.ignore_value, p.value = True, b""
        if self.r.random() < 0.1:
            p.ignore_lease, p.lease = True, 0
        return p

    def delete(self):
        k = self.key()
        return rpc.DeleteRangeRequest(key=k, range_end=self.end(k), prev_kv=self.r.random() < 0.2)

    def range(self):
        k = self.key()
        return rpc.RangeRequest(key=k, range_end=self.end(k), limit=self.r.choice([0, 0, 1, 3]), revision=self.r.choice([0, 0, 0, 1, self.revision, 1 << 30]))

    def compare(self):
        c = rpc.Compare(key=self.key(), result=self.r.randrange(4), target=self.r.randrange(5))
        c.range_end = self.end(c.key) if self.r.random() < 0.2 else b""
        {0: lambda: setattr(c, "version", self.r.randrange(4)), 1: lambda: setattr(c, "create_revision", self.r.randrange(30)),
         2: lambda: setattr(c, "mod_revision", self.r.randrange(60)), 3: lambda: setattr(c, "value", self.value()),
         4: lambda: setattr(c, "lease", self.lease_id())}[c.target]()
        return c

    def ops(self, depth, used):
        """Operations that write no key of used, to which their own are added. Upstream's edge refuses two writes of one key, also where
        one of them is in a nested transaction, and its apply relies on that: it panics over an ignore_value of a key just deleted."""
        out = []
        for _ in range(self.r.randrange(4)):
            kind = self.r.random()
            if kind < 0.5:
                p = self.put()
                if p.key in used:
                    continue
                used.append(p.key)
                out.append(rpc.RequestOp(request_put=p))
            elif kind < 0.7:
                k = self.key()
                if k in used:
                    continue
                used.append(k)
                out.append(rpc.RequestOp(request_delete_range=rpc.DeleteRangeRequest(key=k, prev_kv=self.r.random() < 0.3)))
            elif kind < 0.9 or depth > 2:
                out.append(rpc.RequestOp(request_range=self.range()))
            else:
                out.append(rpc.RequestOp(request_txn=self.txn(depth + 1, used)))
        return out

    def txn(self, depth=0, used=None):
        used = [] if used is None else used
        success, failure = used[:], used[:]
        t = rpc.TxnRequest(compare=[self.compare() for _ in range(self.r.randrange(3))], success=self.ops(depth, success),
                           failure=self.ops(depth, failure))
        used += success + failure
        return t

    def auth(self, q):
        r, user, role = self.r, "u%d" % self.r.randrange(4), "r%d" % self.r.randrange(3)
        kind = r.randrange(12)
        if kind == 0:
            q.auth_user_add.name, q.auth_user_add.hashedPassword = user, base64.b64encode(b"$2a$04$" + bytes(r.choices(b"abcdef", k=53))).decode()
        elif kind == 1:
            q.auth_user_add.name = user
            q.auth_user_add.options.no_password = True
        elif kind == 2:
            q.auth_user_delete.name = user
        elif kind == 3:
            q.auth_user_change_password.name, q.auth_user_change_password.hashedPassword = user, base64.b64encode(b"$2a$04$x").decode()
        elif kind == 4:
            q.auth_user_grant_role.user, q.auth_user_grant_role.role = user, role
        elif kind == 5:
            q.auth_user_revoke_role.name, q.auth_user_revoke_role.role = user, role
        elif kind == 6:
            q.auth_role_add.name = role
        elif kind == 7 and r.random() < 0.3:
            q.auth_role_delete.role = role
        elif kind == 8:
            k = self.key()
            q.auth_role_revoke_permission.role, q.auth_role_revoke_permission.key = role, k
            q.auth_role_revoke_permission.range_end = self.end(k)
        elif kind == 9:
            q.auth_status.SetInParent()
        else:
            p = q.auth_role_grant_permission
            p.name, p.perm.key, p.perm.permType = role, self.key(), r.randrange(3)
            p.perm.range_end = self.end(p.perm.key)
        return q

    def normal(self):
        r, q = self.r, internal.InternalRaftRequest()
        self.id += 1
        q.header.ID = self.id
        kind = r.random()
        if kind < 0.40:
            q.put.CopyFrom(self.put())
        elif kind < 0.50:
            q.delete_range.CopyFrom(self.delete())
        elif kind < 0.70:
            t = self.txn()
            if all(o.HasField("request_range") for o in list(t.success) + list(t.failure)):
                t.success.append(rpc.RequestOp(request_put=rpc.PutRequest(key=b"w", value=b"x")))
            q.txn.CopyFrom(t)
        elif kind < 0.74:
            q.compaction.revision, q.compaction.physical = r.choice([0, 1, 1 << 40, r.randrange(1, 2 + self.revision // 2)]), r.random() < 0.5
        elif kind < 0.79:
            q.lease_grant.ID, q.lease_grant.TTL = r.choice([0, 5, r.randrange(100, 130)]), r.choice([3600, 7200, 1 << 40])
            self.lease.append(q.lease_grant.ID)
        elif kind < 0.82:
            q.lease_revoke.ID = r.choice(self.lease + [424242])
        elif kind < 0.83:
            c = q.lease_checkpoint.checkpoints.add()
            c.ID, c.remaining_TTL = r.choice(self.lease + [424242]), 1800
        elif kind < 0.85:
            q.alarm.action, q.alarm.memberID, q.alarm.alarm = r.randrange(3), r.choice([self.member_id, 99]), 1
            if q.alarm.action == 1 and r.random() < 0.7:
                q.alarm.action = 2
        elif kind < 0.86:
            q.cluster_version_set.ver = "3.7.0"
        elif kind < 0.87:
            q.downgrade_info_set.enabled, q.downgrade_info_set.ver = r.random() < 0.5, "3.6.0"
        elif kind < 0.88:
            q.range.CopyFrom(self.range())
        else:
            self.auth(q)
        self.revision += 1
        return NORMAL, q.SerializeToString()

    def conf_change(self):
        r, c = self.r, raft.ConfChange()
        self.id += 1
        c.id = self.id
        node = r.choice([0x111, 0x222, 0x333])
        kind = r.randrange(4)
        c.node_id = node
        member = {"id": node, "peerURLs": ["http://127.0.0.1:%d" % (1 + node % 7)]}
        if kind == 0:
            c.type = 3                                  # AddLearnerNode: at most one
            c.context = json.dumps(dict(member, isLearner=True)).encode()
        elif kind == 1:
            c.type = 1                                  # RemoveNode
        elif kind == 2:
            c.type = 2                                  # UpdateNode
            c.context = json.dumps(member).encode()
        else:
            c.type = 0                                  # a promotion of nobody
            c.node_id = 0x444
            c.context = json.dumps({"id": 0x444, "peerURLs": None, "isPromote": True}).encode()
        return CONF_CHANGE, c.SerializeToString()

    def entries(self, count):
        for _ in range(count):
            p = self.r.random()
            if p < 0.02:
                yield NORMAL, b""
            elif p < 0.05:
                yield self.conf_change()
            else:
                yield self.normal()
        q = internal.InternalRaftRequest()
        self.id += 1
        q.header.ID = self.id
        q.downgrade_info_set.SetInParent()              # none is left running
        yield NORMAL, q.SerializeToString()


def rows(tool, db):
    """Lines of the dump that must be equal."""
    out = []
    for line in subprocess.check_output([tool, "dump", db], text=True).splitlines():
        bucket, key, value = (line + " ").split(" ")[:3]
        name = bytes.fromhex(key)
        if bucket == "meta" and name in (b"consistent_index", b"term", b"storageVersion"):
            continue
        if bucket == "lease":
            value = ""
        out.append("%s %s %s" % (bucket, name, value))
    return out


def rebuild(binary, directory, template):
    s = etcdproc.Server(binary, ["--log-level=error"], data_dir=directory)
    s.port, s.peer_port, s.target, s.endpoint = template
    s.start(60)
    subprocess.run(["sleep", "1.5"])                    # compactions end
    s.stop()


def main():
    p = argparse.ArgumentParser()
    p.add_argument("tool")
    p.add_argument("--ours", default=os.environ.get("CETCD_ETCD"))
    p.add_argument("--go", default=etcdproc.oracle("etcd"))
    p.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--entries", type=int, default=400)
    args = p.parse_args()
    if not args.go or not args.ours or not shutil.which("protoc"):
        print("apply: no Go etcd, no etcd of ours or no protoc: SKIPPED")
        return etcdproc.SKIPPED
    global internal, rpc, raft, auth
    internal, rpc, raft, auth = protos()
    for seed in range(args.seed, args.seed + args.rounds):
        s = etcdproc.Server(args.go, ["--log-level=error"])
        s.start()
        member = int(json.loads(etcdproc.get(s.port, "/v3/maintenance/status", "POST", b"{}")[2])["header"]["member_id"])
        s.stop()
        g = Generator(random.Random(seed), member)
        data = b"".join(bytes([t]) + len(d).to_bytes(4, "big") + d for t, d in g.entries(args.entries))
        subprocess.run([args.tool, "append", os.path.join(s.dir, "member", "wal")], input=data, check=True, stdout=subprocess.DEVNULL)
        copies = {"go": s.dir + ".go", "ours": s.dir + ".ours"}
        for c in copies.values():
            shutil.copytree(s.dir, c)
        template = (s.port, s.peer_port, s.target, s.endpoint)
        for kind, directory in copies.items():
            rebuild(getattr(args, kind), directory, template)
        a, b = (rows(args.tool, os.path.join(copies[k], "member", "snap", "db")) for k in ("go", "ours"))
        if a != b:
            only = [x for x in a if x not in set(b)], [x for x in b if x not in set(a)]
            print("seed %d: the databases differ (%d and %d rows)" % (seed, len(a), len(b)))
            for who, lines in zip(("Go", "ours"), only):
                for line in lines[:8]:
                    print("  only %s: %s" % (who, line[:300]))
            print("  kept: %s" % s.root)
            return 1
        print("seed %d: %d entries, %d rows equal" % (seed, args.entries, len(a)), flush=True)
        shutil.rmtree(s.root)
    return 0


sys.exit(main())
