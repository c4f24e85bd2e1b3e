#!/usr/bin/env python3
"""Users and permissions in a cluster of our members and Go's: the same seeded requests, sent to one member after the other, leave the
same bytes on all of them, and a token made at one is good at every other.

usage: auth.py [--ours ETCD] [--go ETCD] [--seed N]"""
import argparse
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import etcdproc
from etcdcluster import Cluster, wait

try:
    import grpc
    from etcdapi import Api, auth, rpc
except ImportError as e:
    print("SKIP: gRPC for Python: %s" % e)
    sys.exit(etcdproc.SKIPPED)

KEYS = [b"a", b"b", b"c", b"d", b"e", b"f", b"a\0", b"\xff", b"aa", b"bb"]
ENDS = [b"", b"", b"\0", b"b", b"c", b"d", b"g", b"a", b"\xff\xff"]
USERS = ["root", "u1", "u2", "u3"]
ROLES = ["root", "r1", "r2", "r3"]


def said(f):
    try:
        f()
        return "ok"
    except grpc.RpcError as e:
        return "%s %s" % (e.code().name, e.details())


def administration(r):
    """One request of the Auth service."""
    user, role = r.choice(USERS), r.choice(ROLES)
    perm = auth.Permission(permType=r.randrange(3), key=r.choice(KEYS), range_end=r.choice(ENDS))
    return r.choice([
        ("Auth/UserAdd", rpc.AuthUserAddRequest(name=user, password=user)), ("Auth/RoleAdd", rpc.AuthRoleAddRequest(name=role)),
        ("Auth/UserAdd", rpc.AuthUserAddRequest(name=user + "n", options=auth.UserAddOptions(no_password=True))),
        ("Auth/UserChangePassword", rpc.AuthUserChangePasswordRequest(name=user, password=user)),
        ("Auth/UserGrantRole", rpc.AuthUserGrantRoleRequest(user=user, role=role)),
        ("Auth/UserGrantRole", rpc.AuthUserGrantRoleRequest(user=user, role=role)),
        ("Auth/UserRevokeRole", rpc.AuthUserRevokeRoleRequest(name=user, role=role)),
        ("Auth/RoleGrantPermission", rpc.AuthRoleGrantPermissionRequest(name=role, perm=perm)),
        ("Auth/RoleGrantPermission", rpc.AuthRoleGrantPermissionRequest(name=role, perm=perm)),
        ("Auth/RoleGrantPermission", rpc.AuthRoleGrantPermissionRequest(name=role, perm=perm)),
        ("Auth/RoleRevokePermission", rpc.AuthRoleRevokePermissionRequest(role=role, key=perm.key, range_end=perm.range_end)),
        ("Auth/RoleDelete", rpc.AuthRoleDeleteRequest(role=role if r.random() < 0.3 else "none")),
        ("Auth/UserDelete", rpc.AuthUserDeleteRequest(name=user if r.random() < 0.2 else "none")),
    ])


def write(r):
    """A write whose permission is decided by each member for itself: also ranges that end before they begin."""
    put = rpc.PutRequest(key=r.choice(KEYS), value=b"%d" % r.randrange(100), prev_kv=r.random() < 0.3)
    delete = rpc.DeleteRangeRequest(key=r.choice(KEYS), range_end=r.choice(ENDS), prev_kv=r.random() < 0.3)
    look = rpc.RangeRequest(key=r.choice(KEYS), range_end=r.choice(ENDS))
    ops = [rpc.RequestOp(request_delete_range=delete), rpc.RequestOp(request_range=look)]
    return r.choice([("KV/Put", put), ("KV/DeleteRange", delete),
                     ("KV/Txn", rpc.TxnRequest(success=[r.choice(ops), rpc.RequestOp(request_put=put)]))])


def right(verdict):
    """What a member may say to a user: it may also be behind the last change of rights."""
    return verdict == "ok" or "permission denied" in verdict or "revision of auth store is old" in verdict


class Run:
    def __init__(self, cluster, seed):
        self.r, self.members = random.Random(seed), [Api("127.0.0.1:%d" % m.port) for m in cluster]
        self.refused, self.done = 0, 0

    def any(self):
        return self.r.choice(self.members)

    def login(self, name):
        token = self.any().call("Auth/Authenticate", rpc.AuthenticateRequest(name=name, password=name)).token
        return [m.with_token(token) for m in self.members]

    def equal(self, what, ask):
        """All members come to the same answer."""
        wait(lambda: len({ask(m) for m in self.members_as_root}) == 1, 20, "equal " + what)

    def everything_equal(self, buckets=True):
        self.members_as_root = self.login("root")
        self.equal("auth status", lambda m: m.call("Auth/AuthStatus", rpc.AuthStatusRequest()).authRevision)
        for name in self.members_as_root[0].call("Auth/RoleList", rpc.AuthRoleListRequest()).roles:
            self.equal("role " + name, lambda m: str(m.call("Auth/RoleGet", rpc.AuthRoleGetRequest(role=name)).perm))
        self.equal("HashKV", lambda m: m.call("Maintenance/HashKV", rpc.HashKVRequest()).hash)
        if buckets:     # every bucket but the index of each member: users and roles to the byte
            self.equal("Hash", lambda m: m.call("Maintenance/Hash", rpc.HashRequest()).hash)

    def round(self, count):
        """Administration by root, writes by the others, both at any member."""
        root = self.login("root")
        for name in USERS[1:]:
            said(lambda: self.any_of(root).call("Auth/UserAdd", rpc.AuthUserAddRequest(name=name, password=name)))
        for i in range(count):
            method, q = administration(self.r)
            if q == rpc.AuthUserChangePasswordRequest(name="root", password="root"):
                continue                                # it would end root's token
            v = said(lambda: self.any_of(root).call(method, q))
            assert "token" not in v, (method, v)
            for name in USERS[1:]:
                try:
                    who = self.login(name)
                except grpc.RpcError:
                    continue                            # deleted just now
                for m in who:                           # known at each of them at once
                    v = said(lambda: m.call("KV/Range", rpc.RangeRequest(key=b"a")))
                    assert right(v), v
                for _ in range(2):
                    method, q = write(self.r)
                    v = said(lambda: self.any_of(who).call(method, q))
                    assert right(v) or "duplicate key" in v, (method, q, v)
                    self.refused += v != "ok"
                    self.done += v == "ok"

    def any_of(self, members):
        return self.r.choice(members)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--ours", default=os.environ.get("CETCD_ETCD"))
    p.add_argument("--go", default=etcdproc.oracle("etcd"))
    p.add_argument("--seed", type=int, default=1)
    args = p.parse_args()
    if not args.ours or not args.go:
        print("SKIP: needs CETCD_ETCD and Go etcd (make oracle)")
        sys.exit(etcdproc.SKIPPED)
    c = Cluster(["ours", "go", "ours"], {"ours": args.ours, "go": args.go}, ["--bcrypt-cost=4"])
    try:
        c.start()
        run = Run(c, args.seed)
        m = run.any()
        m.call("Auth/UserAdd", rpc.AuthUserAddRequest(name="root", password="root"))
        m.call("Auth/UserGrantRole", rpc.AuthUserGrantRoleRequest(user="root", role="root"))
        m.call("Auth/AuthEnable", rpc.AuthEnableRequest())
        run.round(40)
        run.everything_equal()
        # a member that was away learns it all from the log
        away = c.members[args.seed % 3]
        away.stop()
        rest = [i for i in range(3) if c.members[i] is not away]
        run.members = [run.members[i] for i in rest]
        wait(lambda: run.login("root"), 20, "two go on")
        run.round(15)
        away.start()
        away.wait_ready()
        run.members = [Api("127.0.0.1:%d" % m.port) for m in c]
        # at its start Go writes the voters of meta's confState in the order of a hash map
        run.everything_equal(buckets=away.kind == "ours")
        run.round(15)
        run.everything_equal(buckets=away.kind == "ours")
        print("equal; writes: %d done, %d refused" % (run.done, run.refused))
        assert run.done > 20 and run.refused > 20
        run.members_as_root[0].call("Auth/AuthDisable", rpc.AuthDisableRequest())
        c.same()
    except BaseException:
        for m in c:
            print("%s (%s)\n%s" % (m.name, m.kind, m.log_tail()))
        raise
    finally:
        c.close()


main()
