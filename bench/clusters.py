"""Three members of one kind on this machine: puts at the leader and at a follower, linearizable ranges at a follower; CPU time is that
of all three together."""
import types

import etcdcluster
from etcdapi import rpc

VALUE = b"v" * 256


def measure(binary, quick, h2load, cpu_seconds):
    figures = {}
    c = etcdcluster.Cluster(["bench"] * 3, {"bench": binary})
    c.flags = ["--quota-backend-bytes=8589934592", "--log-level=error"]
    try:
        c.start()
        leader = c.leader()
        follower = next(m for m in c if m is not leader)
        for name, member, method, message in (
                ("3 members, Put 256 B at the leader", leader, "KV/Put", rpc.PutRequest(key=b"bench", value=VALUE)),
                ("3 members, Put 256 B at a follower", follower, "KV/Put", rpc.PutRequest(key=b"bench", value=VALUE)),
                ("3 members, linearizable Range at a follower", follower, "KV/Range", rpc.RangeRequest(key=b"bench"))):
            n = 2000 if quick else 100000
            server = types.SimpleNamespace(endpoint=member.url)
            h2load(server, method, message, n // 10, 50, 20)
            before = sum(cpu_seconds(m.process.pid) for m in c)
            seconds, failed = h2load(server, method, message, n, 50, 20)
            cpu = sum(cpu_seconds(m.process.pid) for m in c) - before
            if failed:
                raise SystemExit("%s: %d of %d requests failed" % (name, failed, n))
            figures[name + ": CPU of all per request (us)"] = cpu / n * 1e6
            figures[name + ": requests per second"] = n / seconds
        if int(leader.status()["header"]["revision"]) < 2 * n:
            raise SystemExit("cluster: not every put was done")
    finally:
        c.close()
    return figures
