#!/usr/bin/env python3
"""Who finds whom: SRV records of a real name server (dnsmasq), and the discovery service (v3) of another etcd. All in network and mount
namespaces of its own, where port 53 is free and resolv.conf is ours: needs root, unshare and dnsmasq, is skipped without.

usage: discovery.py [--ours ETCD] [--go ETCD] [--ctl ETCDCTL]    Go etcd may be missing: mixed clusters are left out"""
import argparse
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import etcdproc
import nameserver
from etcdcluster import Cluster, b64, wait

DOMAIN, SUITE = "example.test", "suite.test"


def skip(why):
    print("SKIP: " + why)
    sys.exit(etcdproc.SKIPPED)


def name_server(directory, members):
    """Three members: mN.example.test is 127.0.0.(N + 1); the suite's records have a service name of their own and ports for https."""
    records = []
    for m in members:
        records += ["--host-record=%s.%s,%s" % (m.name, DOMAIN, m.host),
                    "--srv-host=_etcd-server._tcp.%s,%s.%s,%d" % (DOMAIN, m.name, DOMAIN, m.peer_port),
                    "--srv-host=_etcd-server-blue._tcp.%s,%s.%s,%d" % (SUITE, m.name, DOMAIN, m.peer_port),
                    "--srv-host=_etcd-client._tcp.%s,%s.%s,%d" % (DOMAIN, m.name, DOMAIN, m.port)]
    return nameserver.NameServer(directory, records)


def start(c, flags):
    """Nobody is told the others' URLs."""
    for m in c:
        args = [c.binaries[m.kind], "--name=" + m.name, "--data-dir=" + m.dir, "--listen-client-urls=http://127.0.0.1:%d,http://%s:%d" %
                (m.port, m.host, m.port), "--advertise-client-urls=http://%s.%s:%d" % (m.name, DOMAIN, m.port),
                "--listen-peer-urls=http://%s:%d" % (m.host, m.peer_port),
                "--initial-advertise-peer-urls=http://%s.%s:%d" % (m.name, DOMAIN, m.peer_port),
                "--initial-cluster-state=new"] + flags
        env = {k: v for k, v in os.environ.items() if not k.startswith("ETCD")}
        with open(m.log_path, "ab") as log:
            m.process = subprocess.Popen(args, stdout=log, stderr=log, env=env, cwd=c.root)


PORTS = {}                      # by number: the same URLs each time, so that ids can be compared


def new_cluster(kinds, binaries):
    c = Cluster(kinds, binaries)
    for i, m in enumerate(c):
        m.host = "127.0.0.%d" % (i + 2)
        m.port, m.peer_port = PORTS.setdefault(i, (m.port, m.peer_port))
        m.url = "http://127.0.0.1:%d" % m.port
    return c


def fresh(c):
    for m in c:
        m.kill()
        shutil.rmtree(m.dir, True)


def works(c, what):
    for m in c:
        m.wait_ready()
    c[0].put("found", what)
    assert [m.get("found") for m in c] == [what] * len(c.members)
    c.same()
    names = sorted(m["name"] for m in c[0].member_list())
    assert names == sorted(m.name for m in c), names
    ids = sorted(int(m["ID"]) for m in c[0].member_list())
    print("ok: %s (%s): %s" % (what, ",".join(m.kind for m in c), ",".join("%x" % i for i in ids)), flush=True)
    return ids


def srv(kinds, binaries, ctl):
    """The same members have the same ids, however the cluster is mixed."""
    c = new_cluster(kinds, binaries)
    ids = []
    names = name_server(c.root, c)
    try:
        start(c, ["--discovery-srv=" + DOMAIN, "--initial-cluster-token=t"])
        ids.append(works(c, "SRV records"))
        if ctl:
            r = subprocess.run([ctl, "--discovery-srv=" + DOMAIN, "member", "list"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30)
            out = r.stdout.decode()
            assert r.returncode == 0 and all("http://%s.%s:%d" % (m.name, DOMAIN, m.port) in out for m in c), out
            print("ok: etcdctl finds them as clients do")
        fresh(c)
        start(c, ["--discovery-srv=" + SUITE, "--discovery-srv-name=blue", "--initial-cluster-token=t"])
        ids.append(works(c, "SRV records of a service's own name"))
        fresh(c)
        start(c, ["--discovery-srv=nobody.test", "--initial-cluster-token=t"])
        for m in c:
            assert m.wait_exit() != 0
            assert "error querying DNS SRV records for _etcd-server" in m.log(), m.log_tail()
        print("ok: no records: each member says so and ends")
        return ids
    finally:
        names.close()
        c.close()


def service(kinds, binaries):
    """The discovery service: an etcd that holds the size of the cluster to be, and then its members."""
    keeper = Cluster(["ours"], binaries)
    c = new_cluster(kinds, binaries)
    late = Cluster(["ours"], binaries)
    names = name_server(c.root, c)
    try:
        keeper.start()
        keeper[0].put("/_etcd/registry/tok/_config/size", "3")
        flags = ["--discovery-token=tok", "--discovery-endpoints=" + keeper[0].url]
        start(c, flags)
        works(c, "the discovery service")
        listed = keeper[0].api("kv/range", {"key": b64("/_etcd/registry/tok/members/"), "range_end": b64("/_etcd/registry/tok/members0")})
        assert len(listed["kvs"]) == 3, listed
        late[0].name, late[0].host = "m4", "127.0.0.9"
        start(late, flags)
        assert late[0].wait_exit() != 0
        assert "cluster is full" in late[0].log(), late[0].log_tail()
        print("ok: a fourth is told that the cluster is full")
    finally:
        names.close()
        for x in (c, late, keeper):
            x.close()


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--ours", default=os.environ.get("CETCD_ETCD"))
    p.add_argument("--ctl", default=os.environ.get("CETCD_ETCDCTL"))
    p.add_argument("--go", default=etcdproc.oracle("etcd"))
    args = p.parse_args()
    if not args.ours:
        skip("no server (CETCD_ETCD)")
    nameserver.inside_namespaces("DISCOVERY_INSIDE")
    binaries = {"ours": args.ours, "go": args.go}
    ids = srv(["ours"] * 3, binaries, args.ctl)
    service(["ours"] * 3, binaries)
    if args.go:
        for kinds in (["ours", "go", "ours"], ["go"] * 3):
            assert srv(kinds, binaries, args.ctl) == ids, "the ids differ"
        service(["go", "ours", "go"], binaries)


main()
