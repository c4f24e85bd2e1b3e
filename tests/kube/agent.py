#!/usr/bin/env python3
"""etcd-agent with real members on loopback addresses, against a fake Kubernetes API.

usage: agent.py SCENARIO          names: see the end of the file; programs from CETCD_AGENT, CETCD_ETCD, CETCD_ETCDCTL

The test is the StatefulSet's controller: it makes claims and pods, ends pods with SIGTERM or SIGKILL, empties volumes."""
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import etcdproc
from fake_kube import Kube

AGENT, ETCD, CTL = (os.environ.get(v, "") for v in ("CETCD_AGENT", "CETCD_ETCD", "CETCD_ETCDCTL"))
PASSWORD = "swordfish-1"


def wait(what, condition, seconds=30):
    end = time.time() + seconds
    while True:
        got = condition()
        if got:
            return got
        if time.time() > end:
            raise AssertionError("after %d s still not: %s" % (seconds, what))
        time.sleep(0.2)


class Pod:
    def __init__(self, app, ordinal):
        self.app, self.ordinal = app, ordinal
        self.name = "r-etcd-%d" % ordinal
        self.claim = "data-" + self.name
        self.volume = os.path.join(app.dir, self.claim)
        self.process = None

    @property
    def host(self):
        return "127.%d.%d.%d" % (self.app.net + (self.ordinal,))

    @property
    def url(self):
        return "http://%s:%d" % (self.host, self.app.client_port)

    def make_claim(self):
        if not self.app.kube.get("persistentvolumeclaims", self.claim):
            self.app.kube.put("persistentvolumeclaims", self.claim)
        os.makedirs(self.volume, exist_ok=True)

    def start(self):
        self.make_claim()
        self.app.kube.put("pods", self.name, status={"phase": "Running"})
        self.spawn()
        return self

    def spawn(self):
        """as a container restarts: the pod stays"""
        a = self.app
        env = {k: v for k, v in os.environ.items() if not k.startswith("ETCD")}
        env.update(POD_NAME=self.name, POD_UID=a.kube.get("pods", self.name)["metadata"]["uid"], POD_NAMESPACE="n",
                   POD_SELECTOR="app.kubernetes.io/name=r", HOST_TEMPLATE="127.%d.%d.%%o" % a.net,
                   CLIENT_PORT=str(a.client_port), PEER_PORT=str(a.peer_port), AGENT_PORT=str(a.agent_ports[self.ordinal]),
                   KUBE_URL=a.kube.url, KUBE_TOKEN_FILE=a.token_file, ETCD_PROGRAM=ETCD, QUORUM_LOST_SECONDS="4",
                   ETCD_DATA_DIR=os.path.join(self.volume, "data"),
                   ETCD_LISTEN_CLIENT_URLS=self.url, ETCD_LISTEN_PEER_URLS="https://%s:%d" % (self.host, a.peer_port),
                   ETCD_INITIAL_CLUSTER="nonsense=http://1.2.3.4:1,", ETCD_HEARTBEAT_INTERVAL="50")
        env.update(a.env)
        with open(os.path.join(a.dir, self.name + ".log"), "ab") as log:
            self.process = subprocess.Popen([AGENT, "run", "--", "--election-timeout=500"], env=env, stdout=log, stderr=log)

    def log(self):
        with open(os.path.join(self.app.dir, self.name + ".log"), errors="replace") as f:
            return f.read()

    def remove(self, process):
        """The controller's delete: SIGTERM, and the object goes when the process has."""
        process.wait(timeout=60)
        self.app.kube.delete("pods", self.name)

    def delete(self, wait_for=True):
        self.app.kube.patch("pods", self.name, {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}})
        self.process.send_signal(signal.SIGTERM)
        t = threading.Thread(target=self.remove, args=(self.process,), daemon=True)
        t.start()
        if wait_for:
            t.join()
        return self

    def kill(self):
        """kill -9 of the agent, etcd with it"""
        self.process.kill()
        self.process.wait()
        return self

    def lose(self):
        """the node is gone, and so is the pod"""
        self.kill()
        self.app.kube.delete("pods", self.name)
        return self

    def empty(self):
        shutil.rmtree(self.volume)

    def readyz(self):
        try:
            with socket.create_connection(("127.0.0.1", self.app.agent_ports[self.ordinal]), 2) as s:
                s.sendall(b"GET /readyz HTTP/1.1\r\n\r\n")
                return b" 200 " in s.recv(100)
        except OSError:
            return False

    def notes(self):
        return self.app.kube.notes("pods", self.name)


class App:
    def __init__(self, replicas, **env):
        self.dir = tempfile.mkdtemp(prefix="etcd-agent-")
        self.kube = Kube()
        self.env = env
        self.net = (16 + os.getpid() // 200 % 200, 1 + os.getpid() % 200)
        self.client_port, self.peer_port = etcdproc.free_port(), etcdproc.free_port()
        self.agent_ports = [etcdproc.free_port() for _ in range(6)]
        self.token_file = os.path.join(self.dir, "token")
        with open(self.token_file, "w") as f:
            f.write(self.kube.token + "\n")
        self.pods = [Pod(self, i) for i in range(6)]
        self.kube.put("statefulsets", "r-etcd", spec={"replicas": replicas})

    def up(self, count):
        for p in self.pods[:count]:
            p.start()
        return self

    def scale(self, now, to):
        self.kube.patch("statefulsets", "r-etcd", {"spec": {"replicas": to}})
        for p in self.pods[now:to]:
            p.start()
        gone = [p for p in self.pods[to:now]]
        for p in gone:
            p.delete(wait_for=False)
        return gone

    def ctl(self, *args, on=None, user=None):
        env = {k: v for k, v in os.environ.items() if not k.startswith("ETCD")}
        on = on or [p for p in self.pods if p.process and p.process.poll() is None]
        command = [CTL, "--endpoints=" + ",".join(p.url for p in on), "--dial-timeout=1s", "--command-timeout=3s"]
        r = subprocess.run(command + (["--user=" + user] if user else []) + list(args), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env)
        return r.returncode, r.stdout.decode()

    def members(self, on=None, user=None):
        """{name: (id, is learner)}, None: no answer"""
        code, out = self.ctl("member", "list", "-w", "json", on=on, user=user)
        if code:
            return None
        return {m.get("name") or m["peerURLs"][0]: ("%x" % m["ID"], m.get("isLearner", False)) for m in json.loads(out.splitlines()[-1])["members"]}

    def voters(self, *ordinals, seconds=60, user=None):
        """waits until exactly these are members, all voters, and ready"""
        want = {self.pods[o].name for o in ordinals}
        live = [self.pods[o] for o in ordinals]

        def settled():
            m = self.members(on=live[:1], user=user)
            return m and set(m) == want and not any(learner for _, learner in m.values()) and all(p.readyz() for p in live) and m

        try:
            return wait("voters %s, now %s" % (sorted(want), self.members(on=live[:1], user=user)), settled, seconds)
        finally:
            assert not self.kube.refused, "asked for more than its rights: %s" % self.kube.refused[:3]

    def close(self, failed):
        for p in self.pods:
            if p.process and p.process.poll() is None:
                p.kill()
        self.kube.server.shutdown()
        if failed:
            for p in self.pods:
                if os.path.exists(os.path.join(self.dir, p.name + ".log")):
                    lines = p.log().splitlines()
                    print("--- %s\n%s" % (p.name, "\n".join([x for x in lines if '"agent"' in x][-15:] + lines[-5:])))
        shutil.rmtree(self.dir, ignore_errors=True)


class Puts:
    """Puts one after another; what was acknowledged must be there at the end."""

    def __init__(self, app):
        self.app, self.acknowledged, self.failed, self.stop = app, [], 0, False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        i = 0
        while not self.stop:
            i += 1
            code, _ = self.app.ctl("put", "k%d" % i, "v%d" % i)
            if code == 0:
                self.acknowledged.append(i)
            else:
                self.failed += 1

    def check(self, on):
        self.stop = True
        self.thread.join()
        code, out = self.app.ctl("get", "k", "--prefix", "--keys-only", on=[on])
        assert code == 0, out
        have = set(out.split())
        lost = [i for i in self.acknowledged if "k%d" % i not in have]
        print("%d puts were acknowledged, %d refused, %d lost" % (len(self.acknowledged), self.failed, len(lost)))
        assert not lost and len(self.acknowledged) > 20, lost[:10]


def scale(app):
    app.kube.patch("statefulsets", "r-etcd", {"spec": {"replicas": 1}})
    app.up(1)
    ids = {}

    def note(members):
        for name, (member_id, _) in members.items():
            ids.setdefault(name, [])
            if member_id not in ids[name]:
                ids[name].append(member_id)

    note(app.voters(0))
    puts = Puts(app)
    now = 1
    for to in (3, 5, 3, 5, 3, 1):
        began = time.time()
        gone = app.scale(now, to)
        note(app.voters(*range(to)))
        for p in gone:
            wait("%s is gone" % p.name, lambda: p.process.poll() is not None)
            assert p.process.returncode == 0, p.process.returncode
        print("%d -> %d in %.1f s" % (now, to, time.time() - began))
        now = to
    puts.check(app.pods[0])
    assert len(ids["r-etcd-0"]) == 1 and len(ids["r-etcd-3"]) == 2 and len(ids["r-etcd-4"]) == 2, ids
    assert any(n.startswith("data.aside-") for n in os.listdir(app.pods[4].volume)), "the old data was kept aside"


def emptied(app):
    app.up(3)
    before = app.voters(0, 1, 2)
    assert app.ctl("put", "a", "b")[0] == 0
    app.pods[1].kill().empty()
    os.makedirs(app.pods[1].volume)
    app.pods[1].spawn()
    after = app.voters(0, 1, 2)
    assert after["r-etcd-1"][0] != before["r-etcd-1"][0], "a new id for an emptied volume"
    assert after["r-etcd-0"] == before["r-etcd-0"]
    # the claim is gone with it
    app.pods[2].lose().empty()
    app.kube.delete("persistentvolumeclaims", app.pods[2].claim)
    app.pods[2].start()
    last = app.voters(0, 1, 2)
    assert last["r-etcd-2"][0] != before["r-etcd-2"][0]
    # the one that began the cluster
    app.pods[0].kill().empty()
    os.makedirs(app.pods[0].volume)
    app.pods[0].spawn()
    last = app.voters(1, 0, 2)
    assert last["r-etcd-0"][0] != before["r-etcd-0"][0]
    assert app.ctl("get", "a", "--print-value-only", on=[app.pods[0]])[1].strip() == "b"
    # a minority emptied while the rest is down: it waits, and takes nobody's place
    for p in app.pods[:3]:
        p.kill()
    app.pods[1].empty()
    app.pods[1].start()
    time.sleep(5)
    assert not app.pods[1].readyz() and not os.path.exists(app.pods[1].volume + "/data/member/wal")
    app.pods[0].spawn()
    app.pods[2].spawn()
    end = app.voters(0, 1, 2)
    assert end["r-etcd-1"][0] != after["r-etcd-1"][0]


def silent(app):
    app.kube.silent = True
    app.up(3)
    time.sleep(4)
    for p in app.pods[:3]:
        assert p.process.poll() is None and not os.path.exists(p.volume + "/data"), "began a cluster while the API was silent"
    assert "does not answer" in app.pods[0].log()
    app.kube.silent = False
    before = app.voters(0, 1, 2)
    # restarts need nobody
    app.kube.silent = True
    for p in app.pods[:3]:
        p.kill()
    for p in app.pods[:3]:
        p.spawn()
    assert app.voters(0, 1, 2) == before
    # nor does a plain stop
    app.pods[2].process.send_signal(signal.SIGTERM)
    app.pods[2].process.wait(timeout=15)
    app.pods[2].spawn()
    assert app.voters(0, 1, 2) == before


def sigterm(app):
    app.up(3)
    before = app.voters(0, 1, 2)
    for p in app.pods[:3]:                          # a rolling change
        p.delete()
        assert p.process.returncode == 0
        p.start()
        assert app.voters(0, 1, 2) == before, "a restart changed membership"
    app.kube.patch("statefulsets", "r-etcd", {"spec": {"replicas": 0}})
    for p in app.pods[:3]:
        p.delete(wait_for=False)
    for p in app.pods[:3]:
        p.process.wait(timeout=20)
    time.sleep(0.5)
    app.scale(0, 3)
    assert app.voters(0, 1, 2) == before, "0 replicas and back changed membership"
    # dead surplus: the node of the highest ordinal dies, then fewer are asked for
    app.pods[2].lose()
    app.kube.patch("statefulsets", "r-etcd", {"spec": {"replicas": 1}})
    app.pods[1].delete()
    app.voters(0)
    # deleted while scaling
    app.scale(1, 3)
    wait("a learner", lambda: len(app.members(on=app.pods[:1]) or ()) > 1)
    app.kube.delete("statefulsets", "r-etcd")
    for p in app.pods[:3]:
        p.delete(wait_for=False)
    for p in app.pods[:3]:
        p.process.wait(timeout=20)


def recover(app):
    app.up(3)
    before = app.voters(0, 1, 2)
    assert app.ctl("put", "a", "b")[0] == 0
    time.sleep(2)
    for p in app.pods[:2]:
        p.lose()
    wait("the loss is said", lambda: "the quorum is lost" in app.pods[2].log())
    wait("the condition", lambda: {"cetcd/Quorum": "False"} == {
        c["type"]: c["status"] for c in app.kube.get("pods", "r-etcd-2")["status"].get("conditions", ())})
    wait("the event", lambda: any(e["reason"] == "QuorumLost" for e in app.kube.events()))
    app.kube.patch("statefulsets", "r-etcd", {"metadata": {"annotations": {"cetcd/recover": "r-etcd-2:n1"}}})
    wait("recovered", lambda: set(app.members(on=[app.pods[2]]) or ()) == {"r-etcd-2"}, 60)
    assert app.kube.notes("persistentvolumeclaims", "data-r-etcd-2")["cetcd/recovered"] == "n1"
    for p in app.pods[:2]:                          # with their old data: together they were a quorum of the past
        p.start()
    after = app.voters(2, 0, 1)
    assert after["r-etcd-2"] == before["r-etcd-2"] and after["r-etcd-0"][0] != before["r-etcd-0"][0]
    assert app.ctl("get", "a", "--print-value-only")[1].strip() == "b"
    for p in app.pods[:3]:                          # used once
        p.kill()
    for p in app.pods[:3]:
        p.spawn()
    assert app.voters(0, 1, 2) == after
    # not while there is a quorum, and not later for that
    app.kube.patch("statefulsets", "r-etcd", {"metadata": {"annotations": {"cetcd/recover": "r-etcd-1:n2"}}})
    time.sleep(12)
    assert app.members() == after
    app.pods[1].kill().spawn()
    assert app.voters(0, 1, 2) == after


def password(app):
    path = os.path.join(app.dir, "password")
    app.env["ROOT_PASSWORD_FILE"] = path
    with open(path, "w") as f:
        f.write(PASSWORD + "\n")
    app.up(3)
    root = "root:" + PASSWORD
    app.voters(0, 1, 2, user=root)
    assert app.ctl("put", "a", "b")[0] != 0, "open without a user"
    app.pods[1].kill().empty()
    os.makedirs(app.pods[1].volume)
    app.pods[1].spawn()
    app.voters(0, 1, 2, user=root)
    with open(path, "w") as f:
        f.write("swordfish-2\n")
    wait("the new password", lambda: app.ctl("put", "a", "c", user="root:swordfish-2")[0] == 0)
    assert app.ctl("put", "a", "b", user=root)[0] != 0
    time.sleep(6)
    app.pods[2].kill().empty()
    os.makedirs(app.pods[2].volume)
    app.pods[2].spawn()
    app.voters(0, 1, 2, user="root:swordfish-2")
    # the file changes while nobody runs who holds the old one
    for p in app.pods[:3]:
        p.kill()
    with open(path, "w") as f:
        f.write("swordfish-3\n")
    for p in app.pods[:3]:
        p.spawn()
    wait("it says so", lambda: any("PasswordUnknown" == e["reason"] for e in app.kube.events()))


def slow(app):
    """A Kubernetes API that takes its time, or talks nonsense: who is ready stays so, and nothing happens by mistake."""
    app.up(3)
    before = app.voters(0, 1, 2)
    app.kube.delay = 2.7                            # the agent gives up after 3
    unready = 0
    end = time.time() + 40
    while time.time() < end:
        unready += sum(not p.readyz() for p in app.pods[:3])
        time.sleep(0.1)
    assert not unready, "%d times not ready because the API is slow" % unready
    app.kube.delay = 1
    app.kube.patch("statefulsets", "r-etcd", {"spec": {"replicas": 5}})
    for p in app.pods[3:5]:
        p.start()
    app.voters(0, 1, 2, 3, 4, seconds=120)
    app.kube.delay = 0
    now = app.members()
    for nonsense in ((200, b"[]"), (200, b"{"), (200, b"<html>proxy</html>"), (200, b'{"kind":"List","items":null}'), (500, b"{}"), (429, b""), (200, b"{}"),
                     (401, b"{}"), (410, b'{"kind":"Status"}')):
        app.kube.nonsense = nonsense
        time.sleep(3)
        assert app.members() == now and all(p.readyz() for p in app.pods[:5]), nonsense
    app.pods[1].kill().spawn()                      # a restart needs nobody who makes sense
    wait("ready again", app.pods[1].readyz)
    app.kube.nonsense = None
    assert app.voters(0, 1, 2, 3, 4) == now and set(before.items()) <= set(now.items())


def conflict(app):
    """Annotations are what the API server says, not what was written last; and of this pod, not of one that has its name."""
    key = "cetcd/member-id"

    def marked(p, member_id):
        return lambda: p.notes().get(key) == member_id and p.notes().get("cetcd/phase") == "running"

    app.up(3)
    ids = {name: i for name, (i, _) in app.voters(0, 1, 2).items()}
    for p in app.pods[:3]:
        wait("%s is marked" % p.name, marked(p, ids[p.name]))
    # somebody changes and removes them: of the leader's pod and of others
    for p in app.pods[:3]:
        app.kube.patch("pods", p.name, {"metadata": {"annotations": {key: "bad", "cetcd/phase": None}}})
    for p in app.pods[:3]:
        wait("%s is marked again" % p.name, marked(p, ids[p.name]))
    # refused at first
    app.kube.conflicts = 2
    app.kube.patch("pods", app.pods[1].name, {"metadata": {"annotations": {key: None}}})
    wait("marked after conflicts", marked(app.pods[1], ids["r-etcd-1"]), 60)
    assert app.kube.conflicts == 0
    # a new pod takes the name while the old process goes on
    app.kube.put("pods", app.pods[2].name, status={"phase": "Running"})
    wait("it says so", lambda: "another pod has this pod's name" in app.pods[2].log())
    lists = app.kube.lists
    wait("more looks of all", lambda: app.kube.lists > lists + 30, 60)
    assert not app.pods[2].notes() and "conditions" not in app.kube.get("pods", app.pods[2].name)["status"]
    # its own process comes, and marks it
    app.pods[2].kill().spawn()
    wait("the new pod is marked", marked(app.pods[2], ids["r-etcd-2"]), 60)
    assert app.voters(0, 1, 2) == {name: (i, False) for name, i in ids.items()}


SCENARIOS = {f.__name__: f for f in (scale, emptied, silent, sigterm, recover, password, slow, conflict)}


def main():
    if not all(os.access(p, os.X_OK) for p in (AGENT, ETCD, CTL)):
        print("skipped: no programs")
        return etcdproc.SKIPPED
    app = App(3)
    failed = True
    try:
        SCENARIOS[sys.argv[1]](app)
        failed = False
    finally:
        app.close(failed)
    print("ok")
    return 0


if __name__ == "__main__":
    sys.exit(main())
