#!/usr/bin/env python3
"""Data directories and snapshots go from Go etcd to ours and back, and nobody sees a difference.

usage: compat.py [--ours ETCD] [--go ETCD] [CASE...]

Cases: stop (each server ends by SIGTERM), kill (by SIGKILL), snapshot (files saved by either, restored by Go's
etcdutl, served by either), tools (etcdutl and bbolt accept our files)."""
import argparse
import json
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import etcdproc

END = b"\0"
COMPACTED = 21                                  # write() leaves the compaction so far behind the head


def op(**more):
    return rpc.RequestOp(**more)


def write(api, round_):
    """A bit of everything; each round adds to what is there."""
    put = lambda key, value=b"", **more: api.call("KV/Put", rpc.PutRequest(key=key, value=value, **more))
    for i in range(40):
        put(b"k%02d" % (i % 15), b"round %d value %d" % (round_, i) * (i % 7 + 1))
    put(b"big", bytes([round_]) * 200000)
    put(b"bin\0\xff", b"\0\1\2")
    put(b"empty")
    api.call("KV/DeleteRange", rpc.DeleteRangeRequest(key=b"k03", range_end=b"k06"))
    api.call("KV/Txn", rpc.TxnRequest(success=[
        op(request_put=rpc.PutRequest(key=b"t1", value=b"%d" % round_)),
        op(request_delete_range=rpc.DeleteRangeRequest(key=b"k07")),
        op(request_put=rpc.PutRequest(key=b"t2", value=b"x"))]))
    api.call("Lease/LeaseGrant", rpc.LeaseGrantRequest(ID=1000 + round_, TTL=3600))
    put(b"leased%d" % round_, b"x", lease=1000 + round_)
    put(b"leased", b"moves on", lease=1000 + round_)
    api.call("Auth/UserAdd", rpc.AuthUserAddRequest(name="u%d" % round_, password="p"))
    api.call("Auth/RoleAdd", rpc.AuthRoleAddRequest(name="r%d" % round_))
    api.call("Auth/RoleGrantPermission", rpc.AuthRoleGrantPermissionRequest(
        name="r%d" % round_, perm=auth.Permission(permType=2, key=b"a", range_end=b"z")))
    api.call("Auth/UserGrantRole", rpc.AuthUserGrantRoleRequest(user="u%d" % round_, role="r%d" % round_))
    api.call("Maintenance/Alarm", rpc.AlarmRequest(action=1, memberID=round_ + 1, alarm=rpc.NOSPACE))
    api.call("Maintenance/Alarm", rpc.AlarmRequest(action=2, memberID=round_, alarm=rpc.NOSPACE))
    head = api.call("KV/Range", rpc.RangeRequest(key=b"x")).header.revision
    api.call("KV/Compact", rpc.CompactionRequest(revision=head - 20, physical=True))
    api.call("Maintenance/Alarm", rpc.AlarmRequest(action=2, memberID=round_ + 1, alarm=rpc.NOSPACE))
    put(b"last", b"round %d" % round_)


def facts(api):
    """What must be the same whoever opens the data."""
    def ask(name, request):
        try:
            r = api.call(name, request)
        except grpc.RpcError as e:
            return e.details()
        if r.HasField("header"):
            r.header.raft_term = 0
        return str(r)

    head = api.call("KV/Range", rpc.RangeRequest(key=b"x")).header.revision
    f = {"head": head}
    for back in (0, 1, 5, 12, 20, 21, 30):
        f["range at -%d" % back] = ask("KV/Range", rpc.RangeRequest(key=END, range_end=END, revision=head - back))
        if back != COMPACTED:                   # a hash kept in memory by the compaction, other than a new one
            f["hash at -%d" % back] = ask("Maintenance/HashKV", rpc.HashKVRequest(revision=head - back))
    for lease in api.call("Lease/LeaseLeases", rpc.LeaseLeasesRequest()).leases:
        ttl = api.call("Lease/LeaseTimeToLive", rpc.LeaseTimeToLiveRequest(ID=lease.ID, keys=True))
        f["lease %d" % lease.ID] = (ttl.grantedTTL, sorted(ttl.keys))
    f["members"] = ask("Cluster/MemberList", rpc.MemberListRequest())
    f["alarms"] = ask("Maintenance/Alarm", rpc.AlarmRequest())
    f["auth"] = ask("Auth/AuthStatus", rpc.AuthStatusRequest())
    for user in api.call("Auth/UserList", rpc.AuthUserListRequest()).users:
        f["user " + user] = ask("Auth/UserGet", rpc.AuthUserGetRequest(name=user))
    for role in api.call("Auth/RoleList", rpc.AuthRoleListRequest()).roles:
        f["role " + role] = ask("Auth/RoleGet", rpc.AuthRoleGetRequest(role=role))
    return f


class Case:
    def __init__(self, ours, go):
        self.ours, self.go, self.wrong = ours, go, 0

    def name(self, binary):
        return "ours" if binary == self.ours else "go"

    def same(self, want, got, what):
        for key in sorted(set(want) | set(got)):
            if want.get(key) != got.get(key):
                self.wrong += 1
                print("%s: %s differs\n- %s\n+ %s" % (what, key, str(want.get(key))[:600], str(got.get(key))[:600]))

    def run(self, *command):
        p = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if p.returncode:
            self.wrong += 1
            print("%s: exit %d\n%s" % (" ".join(command), p.returncode, p.stdout[-2000:]))
        return p.stdout

    def check_files(self, data_dir):
        """Go's tools on the files of a stopped member: structure, and the hash of the data."""
        db = os.path.join(data_dir, "member", "snap", "db")
        if etcdproc.oracle("bbolt"):
            self.run(etcdproc.oracle("bbolt"), "check", db)
        return json.loads(self.run(etcdproc.oracle("etcdutl"), "hashkv", db, "-w", "json").splitlines()[-1])


def relay(case, end):
    """One directory, opened in turn by Go, ours, ours, Go, ours, Go; each looks, then writes."""
    root = None
    before = None
    for round_, binary in enumerate((case.go, case.ours, case.ours, case.go, case.ours, case.go)):
        s = etcdproc.Server(binary, data_dir=root and os.path.join(root, "data"))
        root = root or s.root
        s.start()
        api = Api(s.target)
        if before is not None:
            case.same(before, facts(api), "round %d, opened by %s" % (round_, case.name(binary)))
        write(api, round_)
        before = facts(api)
        api.close()
        end(s)
        if end is etcdproc.Server.stop:
            h = case.check_files(s.dir)
            want = {"hashRevision": before["head"]}
            case.same(want, {k: h.get(k) for k in want}, "etcdutl hashkv after round %d" % round_)
        if s.root != root:
            shutil.rmtree(s.root, True)
    shutil.rmtree(root, True)


def stop(case):
    relay(case, etcdproc.Server.stop)


def kill(case):
    relay(case, etcdproc.Server.kill)


def hashes(f):
    return {k: v for k, v in f.items() if k.startswith(("range", "lease", "user", "role", "alarm"))}


def without_header(f):
    """A restored member has another cluster's ids in its headers."""
    return {k: v.split("}\n", 1)[-1] if isinstance(v, str) else v for k, v in f.items()}


def snapshot(case):
    """Saved by either, restored by Go's etcdutl, served by either."""
    for saver in (case.go, case.ours):
        with etcdproc.Server(saver) as s:
            api = Api(s.target)
            for round_ in range(2):
                write(api, round_)
            want = facts(api)
            api.close()
            p = s.ctl("snapshot", "save", "saved.db")
            case.same({"exit": 0}, {"exit": p.returncode},
                      "snapshot save from %s %s" % (case.name(saver), p.stderr[-300:]))
            saved = os.path.join(s.root, "saved.db")
            status = case.run(etcdproc.oracle("etcdutl"), "snapshot", "status", saved, "-w", "json")
            status = json.loads(status.splitlines()[-1])
            case.same({"revision": want["head"]}, {"revision": status["revision"]}, "snapshot status")
            for i, server in enumerate((case.go, case.ours)):
                restored = os.path.join(s.root, "restored%d" % i)
                case.run(etcdproc.oracle("etcdutl"), "snapshot", "restore", saved, "--data-dir", restored, "--name=n1",
                         "--initial-cluster=n1=http://127.0.0.1:2380",
                         "--initial-advertise-peer-urls=http://127.0.0.1:2380")
                with etcdproc.Server(server, data_dir=restored) as r:
                    api = Api(r.target)
                    case.same(without_header(hashes(want)), without_header(hashes(facts(api))),
                              "saved by %s, served by %s" % (case.name(saver), case.name(server)))
                    write(api, 5)
                    api.close()


def tools(case):
    """What Go's offline tools do with our files."""
    with etcdproc.Server(case.ours) as s:
        api = Api(s.target)
        for round_ in range(3):
            write(api, round_)
        before = facts(api)
        api.close()
        s.stop()
        case.check_files(s.dir)
        case.run(etcdproc.oracle("etcdutl"), "defrag", "--data-dir", s.dir)
        case.check_files(s.dir)
        s.start()
        api = Api(s.target)
        case.same(before, facts(api), "after etcdutl defrag")
        api.close()


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--ours", default=os.environ.get("CETCD_ETCD"))
    p.add_argument("--go", default=etcdproc.oracle("etcd"))
    p.add_argument("cases", nargs="*")
    args = p.parse_args()
    if not args.ours or not args.go or not etcdproc.oracle("etcdutl"):
        print("SKIP: needs CETCD_ETCD and Go etcd (make oracle)")
        sys.exit(etcdproc.SKIPPED)
    case = Case(args.ours, args.go)
    for name in args.cases or ("stop", "kill", "snapshot", "tools"):
        {"stop": stop, "kill": kill, "snapshot": snapshot, "tools": tools}[name](case)
        print("%s: %d differences so far" % (name, case.wrong))
    sys.exit(1 if case.wrong else 0)


try:
    import grpc

    from etcdapi import Api, auth, rpc
except ImportError as e:
    print("SKIP: gRPC for Python: %s" % e)
    sys.exit(etcdproc.SKIPPED)
main()
