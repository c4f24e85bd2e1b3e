#!/usr/bin/env python3
"""Clusters of three on loopback: writes, members that come and go, hand-overs, restarts, catching up. Ours alone, or with Go etcd.

usage: cluster.py [--ours ETCD] [--go ETCD] [--kinds ours,go,ours] [--keep] [CASE...]

Cases are the functions marked below. --ours defaults to $CETCD_ETCD; Go comes from $CETCD_ORACLE or build-oracle (make oracle).
Exit code 77: a binary is missing. Logs and data of a case that fails are kept."""
import argparse
import http.client
import os
import random
import shutil
import socket
import sys
import threading
import time
import traceback

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import etcdproc
from etcdcluster import ApiError, Cluster, b64, wait

CASES = {}


def case(f):
    CASES[f.__name__.replace("_", "-")] = f
    return f


def check(got, want, what=""):
    if got != want:
        raise AssertionError("%s\n got  %r\n want %r" % (what, got, want))


class Load:
    """Writes in the background, through whoever takes them; what was acknowledged must be there afterwards."""

    def __init__(self, cluster):
        self.cluster, self.acknowledged, self.failed, self.running = cluster, {}, 0, True
        self.threads = [threading.Thread(target=self.run, args=(i,), daemon=True) for i in range(4)]
        for t in self.threads:
            t.start()

    def run(self, number):
        i = 0
        while self.running:
            i += 1
            m = random.choice([m for m in self.cluster if m.alive()] or [None])
            if not m:
                time.sleep(0.05)
                continue
            key, value = "load%d-%d" % (number, i % 50), str(i)
            try:
                m.api("kv/put", {"key": b64(key), "value": b64(value)}, timeout=10)
                self.acknowledged[key] = value
            except Exception:
                self.failed += 1
                self.acknowledged.pop(key, None)        # may have happened, or not
            time.sleep(0.005)

    def end(self, at_least=20):
        wait(lambda: len(self.acknowledged) >= at_least, 20, "%d writes that go through" % at_least)
        self.running = False
        for t in self.threads:
            t.join()
        for m in self.cluster:
            for key, value in self.acknowledged.items():
                check(m.get(key), value, "%s on %s" % (key, m.name))


# ---- cases ----

@case
def basics(c):
    c.start()
    for m in c:
        m.put("from-" + m.name, "v-" + m.name)
        for other in c:
            check(other.get("from-" + m.name), "v-" + m.name, "read through " + other.name)
    lead = c.leader()
    ids = sorted(int(m["ID"]) for m in lead.member_list())
    check(ids, sorted(m.id() for m in c))
    for m in c:
        check(m.member_list(), lead.member_list(True), "member list of " + m.name)
        wait(lambda: m.status().get("storageVersion") == "3.7.0", 10, "cluster version reaches " + m.name)
    c.same()


@case
def leases_through_followers(c):
    c.start()
    follower = c.followers()[0]
    check(follower.api("lease/grant", {"ID": 77, "TTL": 60})["TTL"], "60")
    follower.put("leased", "x", lease=77)
    for m in c:
        t = m.api("lease/timetolive", {"ID": 77, "keys": True})
        check((t["grantedTTL"], 50 < int(t["TTL"]) <= 60, t["keys"]), ("60", True, [b64("leased")]), m.name)
        check(m.api("lease/timetolive", {"ID": 78}).get("TTL"), "-1", m.name)
        check(m.api("lease/keepalive", {"ID": 77})["result"].get("TTL"), "60", m.name)
        check(m.api("lease/keepalive", {"ID": 78})["result"].get("TTL"), None, m.name)
    follower.api("lease/revoke", {"ID": 77})
    check([m.get("leased") for m in c], [None] * len(c.members))
    c[0].api("lease/grant", {"ID": 5, "TTL": 2})
    c[0].put("short", "x", lease=5)
    wait(lambda: c[1].get("short") is None, 15, "a lease ends by itself")


@case
def learner_and_removal(c):
    c.start()
    lead, follower = c.leader(), c.followers()[0]
    time.sleep(5.5)                             # strict-reconfig-check: connected for 5 s
    for i in range(50):
        lead.put("k%d" % i, "v")
    m = c.add(follower, c.new_kind, learner=True)
    check(follower.error("cluster/member/add", {"peerURLs": ["http://127.0.0.1:1"], "isLearner": True}),
          "9 etcdserver: too many learner members in cluster")
    check(follower.error("cluster/member/promote", {"ID": m.own_id}),
          "9 etcdserver: can only promote a learner member which is in sync with leader")
    check(lead.error("cluster/member/promote", {"ID": 1}), "5 etcdserver: member not found")
    m.start("existing")
    wait(lambda: m.get("k49", serializable=True) == "v", 15, "the learner has the data")
    check(m.status().get("isLearner"), True)
    check(m.error("kv/range", {"key": b64("k1")}), "9 etcdserver: rpc not supported for learner")
    check(m.error("kv/put", {"key": b64("k1")}), "9 etcdserver: rpc not supported for learner")
    check(m.error("cluster/member/list"), "9 etcdserver: rpc not supported for learner")
    # Its own health is not asked as a client's.
    check(etcdproc.get(m.port, "/health")[2].strip(), b'{"health":"true","reason":""}')
    check(etcdproc.get(m.port, "/readyz/linearizable_read")[0], 200)
    check(etcdproc.get(m.port, "/readyz")[0], 503)
    check(lead.error("maintenance/transfer-leadership", {"targetID": m.own_id}), "9 etcdserver: bad leader transferee")
    members = follower.api("cluster/member/promote", {"ID": m.own_id})["members"]
    check([x.get("isLearner", False) for x in members], [False] * 4)
    check(follower.error("cluster/member/promote", {"ID": m.own_id}), "9 etcdserver: can only promote a learner member")
    m.wait_ready()
    m.put("by-new", "1")
    check(lead.get("by-new"), "1")
    c.same()
    time.sleep(5.5)
    lead.api("cluster/member/remove", {"ID": m.own_id})
    m.wait_exit()
    assert "removed from the cluster" in m.log() or "membership" in m.log(), m.log_tail()
    check(lead.error("cluster/member/remove", {"ID": m.own_id}), "5 etcdserver: member not found")
    m.start("existing")                         # learns again that it was removed
    m.wait_exit()
    c.forget(m)
    check(len(lead.member_list(True)), 3)
    c.same()


@case
def promotion_with_auth(c):
    c.start()
    lead, follower = c.leader(), c.followers()[0]
    time.sleep(5.5)
    lead.api("auth/user/add", {"name": "root", "password": "r"})
    lead.api("auth/user/grant", {"user": "root", "role": "root"})
    lead.api("auth/user/add", {"name": "u", "password": "u"})
    lead.api("auth/enable")
    check(follower.error("kv/range", {"key": b64("k")}), "3 etcdserver: user name is empty")        # it has applied that, too
    check(follower.error("cluster/member/promote", {"ID": 5}), "3 etcdserver: user name is empty")
    follower.token = follower.api("auth/authenticate", {"name": "u", "password": "u"})["token"]
    check(follower.error("cluster/member/add", {"peerURLs": ["http://127.0.0.1:1"]}), "7 etcdserver: permission denied")
    check(follower.error("cluster/member/promote", {"ID": 5}), "7 etcdserver: permission denied")
    token = follower.api("auth/authenticate", {"name": "root", "password": "r"})["token"]
    for m in c:
        m.token = token
    m = c.add(follower, c.new_kind, learner=True)
    m.token = token
    m.start("existing")
    wait(lambda: m.status().get("isLearner"), 15, "the learner runs")

    def promoted():
        try:
            return len(follower.api("cluster/member/promote", {"ID": m.own_id})["members"]) == 4
        except ApiError as e:
            assert "in sync with leader" in e.message, e.message
    wait(promoted, 15, "a follower forwards the promotion with the token")
    wait(lambda: m.put("k", "v"), 10, "it serves as a voter")
    c.same()


@case
def remove_the_leader(c):
    c.start()
    time.sleep(5.5)
    lead = c.leader()
    other = c.followers()[0]
    other.api("cluster/member/remove", {"ID": lead.id()})
    lead.wait_exit()
    c.forget(lead)
    wait(lambda: other.put("after", "1"), 15, "the rest goes on")
    check(len(other.member_list(True)), 2)
    c.same()


@case
def member_update(c):
    c.start()
    lead, m = c.leader(), c.followers()[0]
    taken = c.followers()[1].peer_url
    check(lead.error("cluster/member/update", {"ID": m.id(), "peerURLs": [taken]}), "9 etcdserver: Peer URLs already exists")
    own = m.id()
    m.stop()
    m.peer_port = etcdproc.free_port()
    m.peer_url = "http://127.0.0.1:%d" % m.peer_port
    lead.api("cluster/member/update", {"ID": own, "peerURLs": [m.peer_url]})
    m.start()
    m.wait_ready()
    lead.put("moved", "1")
    wait(lambda: m.get("moved", serializable=True) == "1", 10, "reached under its new URL")
    c.same()


@case
def move_leader(c):
    c.start()
    for _ in range(2):
        for m in c.members:
            lead = c.leader()
            if lead is m:
                continue
            check(m.error("maintenance/transfer-leadership", {"targetID": m.id()}), "9 etcdserver: not leader")
            check(lead.error("maintenance/transfer-leadership", {"targetID": 1}), "9 etcdserver: bad leader transferee")
            lead.api("maintenance/transfer-leadership", {"targetID": m.id()})
            check(c.leader() is m, True, "leadership moved to " + m.name)
            m.put("led-by", m.name)
    c.same()


@case
def rolling_restart(c):
    c.start()
    load = Load(c)
    for m in list(c):
        m.stop()
        time.sleep(0.5)
        m.start().wait_ready()
    load.end()
    c.same()


@case
def kill_the_leader(c):
    c.start()
    load = Load(c)
    for _ in range(3):
        lead = c.leader()
        lead.kill()
        rest = [m for m in c if m is not lead]
        wait(lambda: rest[0].put("still", "1") and rest[0].leader_id() in (rest[0].id(), rest[1].id()), 15, "a new leader")
        lead.start().wait_ready()
    load.end()
    c.same()


@case
def no_quorum(c):
    c.start()
    lead = c.leader()
    for m in c.followers():
        m.kill()
    wait(lambda: lead.status().get("leader") in (None, "0"), 10, "a leader without quorum steps down")
    check("etcdserver: no leader" in lead.status()["errors"], True)
    lead.get("x", serializable=True)
    for m in c:
        if m is not lead:
            m.start()
    for m in c:
        m.wait_ready()
    lead.put("again", "1")
    c.same()


@case
def catch_up_by_snapshot(c):
    c.flags += ["--snapshot-count=50", "--snapshot-catchup-entries=20"]
    c.start()
    m = c.followers()[0]
    m.stop()
    others = [x for x in c if x is not m]
    for i in range(300):
        others[i % 2].put("s%d" % (i % 60), "value %d" % i * 20)
    others[0].api("kv/compaction", {"revision": 200})
    m.start().wait_ready()
    c.same()
    check(m.get("s59", serializable=True), "value 299" * 20)
    m.stop()                                    # and what was installed is good for a start
    m.start().wait_ready()
    c.same()
    time.sleep(5.5)
    fresh = c.add(others[0], c.new_kind)
    fresh.start("existing").wait_ready()
    c.same()


@case
def starts_that_are_refused(c):
    c.start()
    m = c.followers()[0]
    own = m.id()
    m.stop()
    os.rename(m.dir, m.dir + ".old")
    m.start("new")                              # the others know it
    m.wait_exit()
    assert "member %x has already been bootstrapped" % own in m.log(), m.log_tail()
    m.start("existing", initial=[(x.name, x.peer_url) for x in c] + [("odd", "http://127.0.0.1:9")])
    m.wait_exit()
    assert "member count is unequal" in m.log(), m.log_tail()
    m.start("existing", initial=[(x.name, x.peer_url if x is not c.leader() else "http://127.0.0.1:9") for x in c])
    m.wait_exit()
    assert "PeerURLs: no match found for existing member" in m.log(), m.log_tail()
    m.start("existing", initial=[("nobody", m.peer_url), ("b", "http://127.0.0.1:9")])
    m.wait_exit()
    assert "couldn't find local name" in m.log(), m.log_tail()
    m.start("existing", initial=[(m.name, m.peer_url), ("b", "http://127.0.0.1:9")])
    m.wait_exit()
    assert "cannot fetch cluster info from peer urls: could not retrieve cluster information from the given URLs" in m.log(), m.log_tail()
    shutil.rmtree(m.dir, True)
    os.rename(m.dir + ".old", m.dir)
    m.start().wait_ready()
    c.same()


@case
def forced_new_cluster(c):
    c.start()
    for i in range(20):
        c[0].put("f%d" % i, "v")
    c.same()
    survivor = c.followers()[0]
    time.sleep(0.5)                             # what is applied is in the database: the log's commit mark may lag behind
    for m in list(c):
        m.kill()
        if m is not survivor:
            c.forget(m)
    survivor.start(more=["--force-new-cluster"]).wait_ready()
    check(len(survivor.member_list()), 1)
    check(survivor.get("f19"), "v")
    survivor.stop()
    survivor.start().wait_ready()
    m = c.add(survivor, c.new_kind)
    m.start("existing").wait_ready()
    survivor.put("two", "1")
    check(m.get("two"), "1")
    c.same()


@case
def downgrade_job(c):
    c.start()
    m = c.followers()[0]
    wait(lambda: m.status().get("storageVersion") == "3.7.0", 10, "versions are settled")
    check(m.error("maintenance/downgrade", {"action": "ENABLE", "version": "3.5.0"}), "3 etcdserver: invalid downgrade target version")
    check(m.api("maintenance/downgrade", {"action": "VALIDATE", "version": "3.6.0"})["version"], "3.7")
    m.api("maintenance/downgrade", {"action": "ENABLE", "version": "3.6.0"})
    check(c.leader().error("maintenance/downgrade", {"action": "ENABLE", "version": "3.6.0"}),
          "9 etcdserver: cluster has a downgrade job in progress")
    for x in c:
        wait(lambda: x.status().get("storageVersion") == "3.6.0", 20, "storage of %s goes down" % x.name)
        check(x.status()["downgradeInfo"], {"enabled": True, "targetVersion": "3.6.0"}, x.name)
    m.api("maintenance/downgrade", {"action": "CANCEL"})
    for x in c:
        wait(lambda: x.status().get("storageVersion") == "3.7.0", 20, "storage of %s comes back" % x.name)
    c.same()


def corrupt(c):
    """Changes a value in the database file of a follower, behind its back; the member is left stopped."""
    c[0].put("rotten", "the value that will rot")
    m = c.followers()[0]
    c.same()
    m.own = m.id()
    m.stop()
    path = os.path.join(m.dir, "member", "snap", "db")
    with open(path, "r+b") as f:
        data = f.read()
        at = data.find(b"the value that will rot")
        assert at > 0
        while at > 0:                           # old pages may have it too
            f.seek(at)
            f.write(b"THE")
            at = data.find(b"the value that will rot", at + 1)
    return m


def corrupt_alarms(m):
    return [(int(a.get("memberID", 0)), a["alarm"]) for a in m.api("maintenance/alarm", {"action": "GET"}).get("alarms", [])]


@case
def corruption_found_periodically(c):
    c.flags += ["--corrupt-check-time=1s"]
    c.start()
    time.sleep(2.5)
    check(corrupt_alarms(c[0]), [])
    assert "finished peer corruption check" in c.leader().log()
    m = corrupt(c)
    m.start().wait_ready()
    wait(lambda: corrupt_alarms(c[0]) == [(m.own, "CORRUPT")], 10, "an alarm for %s" % m.name)
    check(c[0].error("kv/put", {"key": b64("k")}), "15 etcdserver: corrupt cluster")
    check([x for x in c if x is not m][0].get("rotten"), "the value that will rot")
    c[0].api("maintenance/alarm", {"action": "DEACTIVATE", "memberID": m.own, "alarm": "CORRUPT"})


@case
def corruption_found_before_serving(c):
    c.flags += ["--feature-gates=InitialCorruptCheck=true"]
    c.start()
    sound = c.followers()[1]
    sound.stop()
    sound.start().wait_ready()
    assert "initial corruption checking passed; no corruption" in sound.log(), sound.log_tail()
    m = corrupt(c)
    m.start()
    check(m.wait_exit(), 1)
    assert "%x found data inconsistency with peers" % m.own in m.log(), m.log_tail()


@case
def corruption_found_at_compactions(c):
    c.flags += ["--feature-gates=CompactHashCheck=true", "--compact-hash-check-time=1s"]
    c.start()
    for i in range(10):
        c[0].put("c%d" % i, "v")
    c[0].api("kv/compaction", {"revision": 5})
    wait(lambda: "successfully checked hash on whole cluster" in c.leader().log(), 10, "a compaction is checked")
    m = corrupt(c)
    m.start().wait_ready()
    revision = int(c[0].put("more", "x")["header"]["revision"])
    c[0].api("kv/compaction", {"revision": revision})
    wait(lambda: corrupt_alarms(c[0]) == [(m.own, "CORRUPT")], 10, "an alarm for %s" % m.name)


@case
def hand_over_at_sigterm(c):
    """A leader that is stopped hands over first: nobody waits for an election."""
    c.start()
    time.sleep(5.5)                             # to the voter that has been there longest
    for _ in range(2):
        lead = c.leader()
        own, rest = lead.id(), [m for m in c if m is not lead]
        term = int(lead.status()["raftTerm"])
        lead.stop()
        began = time.monotonic()
        wait(lambda: rest[0].leader_id() not in (0, own) and rest[0].put("handed", "over"), 5, "another leader")
        took = time.monotonic() - began
        assert took < 0.9, "%.2f s without a leader" % took     # an election begins after 1 s at the earliest
        check(int(rest[0].status()["raftTerm"]), term + 1, "one election")
        assert "leadership transfer" in lead.log(), lead.log_tail()
        lead.start().wait_ready()
        time.sleep(5.5)
    c.same()


def peer_request(m, method, path, headers=(), body=b""):
    """(status, text) of what a member's peer port says."""
    conn = http.client.HTTPConnection("127.0.0.1", m.peer_port, timeout=5)
    try:
        conn.request(method, path, body, dict(headers))
        r = conn.getresponse()
        return r.status, r.read().decode(errors="replace").strip()
    finally:
        conn.close()


@case
def strangers_on_the_peer_port(c):
    c.start()
    cluster = "%x" % int(c[0].status()["header"]["cluster_id"])
    version = {"X-Server-Version": "3.7.1", "X-Min-Cluster-Version": "3.0.0"}
    asked = [
        ("GET", "/raft", {}, b""),
        ("POST", "/raft", dict(version, **{"X-Etcd-Cluster-ID": "dead"}), b""),
        ("POST", "/raft", dict(version, **{"X-Etcd-Cluster-ID": cluster}), b"\xff" * 100),
        ("POST", "/raft", dict(version, **{"X-Etcd-Cluster-ID": cluster, "X-Server-Version": "2.0.0"}), b""),
        ("POST", "/raft/snapshot", dict(version, **{"X-Etcd-Cluster-ID": "dead"}), b""),
        ("POST", "/raft/snapshot", dict(version, **{"X-Etcd-Cluster-ID": cluster}), b"\xff" * 100),
        ("GET", "/raft/stream/message/1", dict(version, **{"X-Etcd-Cluster-ID": "dead", "X-Raft-To": "1"}), b""),
        ("GET", "/raft/stream/message/1", dict(version, **{"X-Etcd-Cluster-ID": cluster, "X-Raft-To": "1"}), b""),
        ("GET", "/raft/stream/nothing/1", dict(version, **{"X-Etcd-Cluster-ID": cluster}), b""),
    ]
    answers = {m.name: [peer_request(m, *a) for a in asked] for m in c}
    check([s for s, _ in answers[c[0].name]], [405, 412, 400, 412, 412, 400, 412, 404, 404], answers)
    for m in c:
        check(answers[m.name], answers[c[0].name], m.name)
    load = Load(c)
    for m in c:
        for noise in (os.urandom(4096), b"GET / HTTP/1.1\r\nX: " + b"x" * (4 << 20), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + os.urandom(512),
                      b"POST /raft HTTP/1.1\r\nHost: a\r\nX-Etcd-Cluster-ID: " + cluster.encode() + b"\r\nContent-Length: 99999999999\r\n\r\n" +
                      b"y" * 100000):
            with socket.create_connection(("127.0.0.1", m.peer_port), 5) as s:
                try:
                    s.sendall(noise)
                except OSError:
                    pass                        # told to go before it had said all
        check(m.alive(), True, m.name)
    load.end()
    c.same()


@case
def member_of_another_cluster(c):
    """It takes one of ours for a peer of its own."""
    c.start()
    other = Cluster([c.new_kind], c.binaries)
    try:
        term = int(c.leader().status()["raftTerm"])
        other[0].name = "stranger"
        other[0].start("new", [("stranger", other[0].peer_url), ("m1", c[0].peer_url)])
        load = Load(c)
        wait(lambda: "cluster ID mismatch" in c[0].log(), 10, "%s says that the cluster is another" % c[0].name)
        load.end()
        check(int(c.leader().status()["raftTerm"]), term, "nobody was disturbed")
        c.same()
    finally:
        other.close()


@case
def roll_over_kinds(c):
    """Every member's data directory goes from one kind to the other and back, under load."""
    c.start()
    load = Load(c)
    other = {"ours": "go", "go": "ours"}
    for _ in range(2):
        for m in list(c):
            m.stop()
            m.kind = other[m.kind]
            m.start().wait_ready()
    load.end()
    c.same()


# ---- main ----

def main():
    p = argparse.ArgumentParser()
    p.add_argument("--ours", default=os.environ.get("CETCD_ETCD"))
    p.add_argument("--go", default=etcdproc.oracle("etcd"))
    p.add_argument("--kinds", default="ours,ours,ours")
    p.add_argument("--new", default=None, help="kind of members that are added; that of the first one")
    p.add_argument("--keep", action="store_true")
    p.add_argument("cases", nargs="*")
    args = p.parse_args()
    kinds, binaries = args.kinds.split(","), {"ours": args.ours, "go": args.go}
    needed = set(kinds + [args.new or kinds[0]]) | ({"go", "ours"} if "roll-over-kinds" in args.cases else set())
    for kind in needed:
        if not binaries[kind]:
            print("SKIP: no binary for " + kind)
            sys.exit(etcdproc.SKIPPED)
    names = args.cases or [n for n in CASES if n != "roll-over-kinds" or args.go]
    wrong = 0
    for name in names:
        c = Cluster(kinds, binaries)
        c.new_kind = args.new or kinds[0]
        began, failed = time.monotonic(), False
        try:
            CASES[name](c)
        except Exception:
            failed = True
            traceback.print_exc()
            for m in c:
                print("---- end of the log of %s (%s)\n%s" % (m.name, m.kind, m.log_tail()))
        print("%s %s %s (%.1f s)%s" % ("FAILED" if failed else "ok    ", args.kinds, name, time.monotonic() - began,
                                       " " + c.root if failed else ""), flush=True)
        wrong += failed
        c.close(keep=failed or args.keep)
    sys.exit(1 if wrong else 0)


main()
