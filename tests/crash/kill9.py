#!/usr/bin/env python3
"""Kills a server with SIGKILL under concurrent writers, again and again, and looks what is left.

usage: kill9.py [--ours ETCD] [--rounds N] [--seed N]

Each writer w runs transactions number 1, 2, 3, ... that put a/w = b/w = n and log/w/n. After each restart:
  I1  every acknowledged transaction is there: a/w >= the last n acknowledged
  I2  none is there by half: a/w = b/w, and log/w/ holds exactly 1..a/w
  I3  at most the one that was under way is there besides: a/w <= last n acknowledged + 1
  I4  the revision never goes back, and the hash of a revision acknowledged before is what it was
  I5  every acknowledged lease is there
Meanwhile one more client compacts and defragments, so that kills land in those too."""
import argparse
import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import etcdproc

WRITERS = 6


class Broken(Exception):
    pass


class Writer(threading.Thread):
    """Runs until the server is gone; acknowledged and revision are what it was promised."""

    def __init__(self, target, name, start):
        super().__init__(daemon=True)
        self.api, self.name_, self.acknowledged, self.revision = Api(target), name, start, 0
        self.leases, self.random = [], random.Random("%s %d" % (name, start))

    def transaction(self, n):
        put = lambda key, value: rpc.RequestOp(request_put=rpc.PutRequest(key=key.encode(), value=value))
        value = b"%d" % n
        padding = b"v" * self.random.choice((10, 100, 2000, 20000))
        response = self.api.call("KV/Txn", rpc.TxnRequest(success=[
            put("a/" + self.name_, value), put("log/%s/%08d" % (self.name_, n), padding),
            put("b/" + self.name_, value)]))
        self.revision = response.header.revision

    def run(self):
        try:
            while True:
                if self.acknowledged % 20 == 7:
                    self.leases.append(self.api.call("Lease/LeaseGrant", rpc.LeaseGrantRequest(TTL=3600)).ID)
                self.transaction(self.acknowledged + 1)
                self.acknowledged += 1
        except grpc.RpcError:
            pass
        finally:
            self.api.close()


class Housekeeper(threading.Thread):
    """Compacts a little behind the head and defragments; remembers the hash of one revision."""

    def __init__(self, target, rng):
        super().__init__(daemon=True)
        self.api, self.rng, self.hash = Api(target), rng, None

    def run(self):
        try:
            while True:
                h = self.api.call("Maintenance/HashKV", rpc.HashKVRequest())
                self.hash = (h.hash_revision, h.hash, h.compact_revision)
                time.sleep(self.rng.uniform(0, 0.05))
                if self.rng.random() < 0.5 and h.hash_revision > 60:
                    self.hash = None            # hashes below a compaction may not be asked any more
                    try:
                        self.api.call("KV/Compact", rpc.CompactionRequest(revision=h.hash_revision - 50))
                    except grpc.RpcError as e:
                        if e.code() != grpc.StatusCode.OUT_OF_RANGE:
                            raise
                if self.rng.random() < 0.2:
                    self.api.call("Maintenance/Defragment", rpc.DefragmentRequest())
        except grpc.RpcError:
            pass
        finally:
            self.api.close()


def value(api, key):
    kvs = api.call("KV/Range", rpc.RangeRequest(key=key.encode())).kvs
    return int(kvs[0].value) if kvs else 0


def check_writer(api, name, acknowledged):
    a, b = value(api, "a/" + name), value(api, "b/" + name)
    if a < acknowledged:
        raise Broken("I1: writer %s: %d was acknowledged, %d is there" % (name, acknowledged, a))
    if a > acknowledged + 1:
        raise Broken("I3: writer %s: %d was acknowledged, %d is there" % (name, acknowledged, a))
    prefix = ("log/%s/" % name).encode()
    keys = [kv.key for kv in api.call("KV/Range", rpc.RangeRequest(
        key=prefix, range_end=prefix[:-1] + b"0", keys_only=True)).kvs]
    if a != b or keys != [prefix + b"%08d" % i for i in range(1, a + 1)]:
        raise Broken("I2: writer %s: a=%d b=%d and %d rows of log" % (name, a, b, len(keys)))
    return a


def check(api, writers, keeper):
    revision = api.call("KV/Range", rpc.RangeRequest(key=b"a/0")).header.revision
    if revision < max(w.revision for w in writers):
        raise Broken("I4: revision %d was seen, now it is %d" % (max(w.revision for w in writers), revision))
    if keeper.hash:
        h = api.call("Maintenance/HashKV", rpc.HashKVRequest(revision=keeper.hash[0]))
        if h.compact_revision == keeper.hash[2] and h.hash != keeper.hash[1]:
            raise Broken("I4: hash of revision %d was %d, is %d" % (keeper.hash[0], keeper.hash[1], h.hash))
    leases = {l.ID for l in api.call("Lease/LeaseLeases", rpc.LeaseLeasesRequest()).leases}
    for w in writers:
        if not set(w.leases) <= leases:
            raise Broken("I5: lease %s is gone" % (set(w.leases) - leases))
    return [check_writer(api, w.name_, w.acknowledged) for w in writers]


def run(server, rounds, rng):
    done, total = [0] * WRITERS, 0
    for i in range(rounds):
        writers = [Writer(server.target, str(w), done[w]) for w in range(WRITERS)]
        keeper = Housekeeper(server.target, rng)
        for t in writers + [keeper]:
            t.start()
        time.sleep(rng.uniform(0.02, 0.6))
        server.kill()
        for t in writers + [keeper]:
            t.join()
        server.start()
        api = Api(server.target)
        try:
            now = check(api, writers, keeper)
        finally:
            api.close()
        total += sum(now) - sum(done)
        done = now
    print("%d kills, %d transactions, nothing lost" % (rounds, total))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--ours", default=os.environ.get("CETCD_ETCD"))
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--seed", type=int, default=int(time.time()))
    args = p.parse_args()
    if not args.ours:
        print("SKIP: no server to test (CETCD_ETCD)")
        sys.exit(etcdproc.SKIPPED)
    print("seed %d" % args.seed)
    with etcdproc.Server(args.ours) as server:
        try:
            run(server, args.rounds, random.Random(args.seed))
        except (Broken, etcdproc.StartError) as e:
            print("FAILED: %s\n%s" % (e, server.log_tail()))
            sys.exit(1)


try:
    import grpc

    from etcdapi import Api, rpc
except ImportError as e:
    print("SKIP: gRPC for Python: %s" % e)
    sys.exit(etcdproc.SKIPPED)
main()
