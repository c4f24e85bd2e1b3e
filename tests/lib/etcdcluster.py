"""Clusters of etcd processes, ours or Go's, on free loopback ports, asked over the JSON gateway (which both have).

    c = Cluster(["ours", "go", "ours"], binaries)       names m1, m2, ...; members are c[0], c[1], ...
    c.start()                                           all together, as a new cluster
    c[0].put("a", "b"); c[1].get("a"); c.leader()
    m = c.add("ours", learner=True); m.start("existing"); c.remove(m)
    c.close()"""
import base64
import http.client
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time

import etcdproc


class ApiError(Exception):
    def __init__(self, status, body):
        try:
            error = json.loads(body)
        except ValueError:
            error = {"code": None, "message": body.decode(errors="replace")}
        self.status, self.code, self.message = status, error.get("code"), error.get("message")
        super().__init__("%s %s: %s" % (status, self.code, self.message))


def b64(text):
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


def wait(condition, seconds, what):
    """Until condition() is true; what it raises counts as false."""
    end, last = time.monotonic() + seconds, None
    while time.monotonic() < end:
        try:
            value = condition()
            if value:
                return value
        except (OSError, http.client.HTTPException, ApiError) as e:
            last = e
        time.sleep(0.02)
    raise AssertionError("after %d s: %s (%s)" % (seconds, what, last))


class Member:
    def __init__(self, cluster, name, kind, flags=()):
        self.cluster, self.name, self.kind = cluster, name, kind
        self.flags = list(flags)
        self.port, self.peer_port = etcdproc.free_port(), etcdproc.free_port()
        self.url = "http://127.0.0.1:%d" % self.port
        self.peer_url = "http://127.0.0.1:%d" % self.peer_port
        self.dir = os.path.join(cluster.root, name)
        self.log_path = os.path.join(cluster.root, name + ".log")
        self.process, self.token = None, None
        self.env = {}                           # more of it, for the process

    # ---- process ----

    def start(self, state="new", initial=None, more=()):
        """Starts it and does not wait. initial: (name, peer URL) pairs; all members of the cluster by itself."""
        pairs = initial or [(m.name, m.peer_url) for m in self.cluster.members]
        args = [self.cluster.binaries[self.kind], "--name=" + self.name, "--data-dir=" + self.dir,
                "--listen-client-urls=" + self.url, "--advertise-client-urls=" + self.url,
                "--listen-peer-urls=" + self.peer_url, "--initial-advertise-peer-urls=" + self.peer_url,
                "--initial-cluster=" + ",".join("%s=%s" % p for p in pairs), "--initial-cluster-state=" + state,
                "--initial-cluster-token=" + self.cluster.token] + self.cluster.flags + self.flags + list(more)
        env = dict({k: v for k, v in os.environ.items() if not k.startswith("ETCD")}, **self.env)
        with open(self.log_path, "ab") as log:
            log.write(("---- %s\n" % " ".join(args)).encode())
            log.flush()
            self.process = subprocess.Popen(args, stdout=log, stderr=log, env=env, cwd=self.cluster.root)
        return self

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def ready(self):
        assert self.alive(), "%s ended with %s\n%s" % (self.name, self.process and self.process.returncode, self.log_tail())
        return etcdproc.get(self.port, "/health?exclude=NOSPACE&exclude=CORRUPT", timeout=2)[0] == 200

    def wait_ready(self, seconds=20):
        wait(self.ready, seconds, "%s serves\n%s" % (self.name, self.log_tail()))
        return self

    def stop(self, seconds=20):
        self.process.send_signal(signal.SIGTERM)
        return self.wait_exit(seconds)

    def wait_exit(self, seconds=20):
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError("%s does not end\n%s" % (self.name, self.log_tail()))

    def kill(self):
        if self.alive():
            self.process.kill()
            self.process.wait()

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def log(self):
        if not os.path.exists(self.log_path):
            return ""
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def log_tail(self):
        return "\n".join(self.log().splitlines()[-12:])

    # ---- calls ----

    def api(self, path, body=None, timeout=15):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            headers = {"Content-Type": "application/json"}
            if self.token:
                headers["Authorization"] = self.token
            c.request("POST", "/v3/" + path, json.dumps(body or {}), headers)
            r = c.getresponse()
            data = r.read()
        finally:
            c.close()
        if r.status != 200:
            raise ApiError(r.status, data)
        return json.loads(data)

    def error(self, path, body=None):
        """"CODE text" of a call that must fail."""
        try:
            answer = self.api(path, body)
        except ApiError as e:
            return "%s %s" % (e.code, e.message)
        raise AssertionError("%s %s on %s succeeds: %s" % (path, body, self.name, answer))

    def put(self, key, value, lease=0):
        return self.api("kv/put", {"key": b64(key), "value": b64(value), "lease": lease})

    def get(self, key, serializable=False):
        kvs = self.api("kv/range", {"key": b64(key), "serializable": serializable}).get("kvs")
        return base64.b64decode(kvs[0].get("value", "")).decode() if kvs else None

    def status(self):
        return self.api("maintenance/status")

    def id(self):
        return int(self.status()["header"]["member_id"])

    def leader_id(self):
        return int(self.status().get("leader", 0))

    def member_list(self, linearizable=False):
        return self.api("cluster/member/list", {"linearizable": linearizable})["members"]

    def hash_kv(self, revision):
        r = self.api("maintenance/hashkv", {"revision": revision})
        return r.get("hash", 0), r.get("compact_revision"), r.get("hash_revision")


class Cluster:
    def __init__(self, kinds, binaries, flags=()):
        self.root = tempfile.mkdtemp(prefix="etcdcluster")
        # members run in a directory of the cluster's: a relative path would not be found there
        self.binaries = {kind: path and os.path.abspath(path) for kind, path in binaries.items()}
        self.flags = list(flags)
        self.token = "token-%d" % os.getpid()
        self.members, self.count = [], 0
        for kind in kinds:
            self.new_member(kind)

    def new_member(self, kind, flags=()):
        self.count += 1
        m = Member(self, "m%d" % self.count, kind, flags)
        self.members.append(m)
        return m

    def __getitem__(self, i):
        return self.members[i]

    def __iter__(self):
        return iter(self.members)

    def start(self):
        for m in self:
            m.start()
        for m in self:
            m.wait_ready()
        return self

    def leader(self, seconds=15):
        """The member that all that run call leader."""
        def agreed():
            ids = {m.leader_id() for m in self if m.alive()}
            return ids.pop() if len(ids) == 1 and 0 not in ids else None
        lead = wait(agreed, seconds, "the members agree on a leader")
        return next(m for m in self if m.alive() and m.id() == lead)

    def followers(self):
        lead = self.leader()
        return [m for m in self if m.alive() and m is not lead]

    def same(self, seconds=20):
        """All that run come to the same revision, hash and compact revision."""
        def equal():
            revision = max(int(m.status()["header"]["revision"]) for m in self if m.alive())
            hashes = {m.name: m.hash_kv(revision) for m in self if m.alive()}
            return len(set(hashes.values())) == 1
        wait(equal, seconds, "equal HashKV")

    def add(self, via, kind, learner=False, flags=()):
        """A new member, told to the cluster, not started."""
        m = self.new_member(kind, flags)
        try:
            m.answer = via.api("cluster/member/add", {"peerURLs": [m.peer_url], "isLearner": learner})
        except ApiError:
            self.members.remove(m)
            raise
        m.own_id = int(m.answer["member"]["ID"])
        return m

    def forget(self, m):
        self.members.remove(m)

    def close(self, keep=False):
        for m in self.members:
            if m.process:
                m.resume() if m.alive() else None
                m.kill()
        if not keep:
            shutil.rmtree(self.root, True)
