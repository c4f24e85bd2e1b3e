"""The API server's store: three members with TLS and client certificates under a load of controllers, while the API server compacts,
members are killed, stopped and replaced by Go's program and back, on the same data."""
import http.client
import json
import os
import random
import threading
import time

from lab import Api, Failed, check, lab, wait_for

SPACE = "/api/v1/namespaces/load"
MAPS = SPACE + "/configmaps"
DEPLOYMENTS = "/apis/apps/v1/namespaces/load/deployments"
WRITERS, OBJECTS = 8, 400       # objects of each writer


class Writer(threading.Thread):
    """The only one who writes its objects: what was acknowledged must be there, what was not may be."""

    def __init__(self, number, stop):
        super().__init__(daemon=True)
        self.number, self.stop_now = number, stop
        self.random = random.Random(number)
        self.state = {}                 # name -> value that must be read, None: no such object
        self.acknowledged = self.unknown = 0
        self.latencies = []
        self.error = None

    def run(self):
        api = Api()
        serial = 0
        try:
            while not self.stop_now.is_set():
                serial += 1
                self.step(api, "w%d-%04d" % (self.number, self.random.randrange(OBJECTS)), str(serial))
            for name in self.state:
                self.settle(api, name, self.state[name], self.state[name])
        except Exception as e:
            self.error = "writer %d: %r" % (self.number, e)

    def step(self, api, name, value):
        before = self.state.get(name)
        body = {"metadata": {"name": name}, "data": {"v": value, "filler": "x" * 900}}
        if before is None:
            call, after = ("POST", MAPS, body), value
        elif self.random.random() < 0.3:
            call, after = ("DELETE", MAPS + "/" + name), None
        else:
            call, after = ("PUT", MAPS + "/" + name, body), value
        began = time.monotonic()
        try:
            status, answer = api(*call)
        except (OSError, http.client.HTTPException, ValueError):
            status = 599
        if status < 300:
            self.latencies.append(time.monotonic() - began)
            self.acknowledged += 1
            self.state[name] = after
        elif status >= 500 or status == 429:
            self.unknown += 1
            self.state[name] = self.settle(api, name, before, after)
        else:
            raise Failed("%s %s: %d %s; acknowledged before: %s" % (call[0], name, status, answer.get("message"), before))

    def settle(self, api, name, *allowed):
        """A read that counts; a change without an answer may still be on its way, so it is read once more."""
        seen = []
        end = time.monotonic() + 90
        while len(seen) < 2 or seen[-1] != seen[-2]:
            check(time.monotonic() < end, "%s cannot be read" % name)
            try:
                status, answer = api("GET", MAPS + "/" + name)
            except (OSError, http.client.HTTPException, ValueError):
                status = 599
            if status in (200, 404):
                seen.append(answer["data"]["v"] if status == 200 else None)
                if len(set(allowed)) == 1:
                    break
            time.sleep(1 if len(set(allowed)) > 1 else 0.1)
        check(seen[-1] in allowed, "%s is %s, must be one of %s" % (name, seen[-1], allowed))
        return seen[-1]


class Watcher(threading.Thread):
    """Keeps a copy by one list and watches from there; versions only grow, and the copy must be what a list says in the end."""

    def __init__(self):
        super().__init__(daemon=True)
        self.copy, self.version, self.events, self.lists = {}, None, 0, 0
        self.error, self.ended = None, False

    def list(self, api):
        status, answer = api("GET", MAPS)
        check(status == 200, "list: %d" % status)
        self.copy = {i["metadata"]["name"]: i["data"]["v"] for i in answer["items"] if i["metadata"]["name"].startswith("w")}
        self.version = int(answer["metadata"]["resourceVersion"])
        self.lists += 1

    def run(self):
        api = Api()
        while not self.ended:
            try:
                if self.version is None:
                    self.list(api)
                self.follow(api)
            except Failed as e:
                if "list" not in str(e):
                    self.error = str(e)
                    return
                time.sleep(0.3)
            except (OSError, http.client.HTTPException, ValueError):
                time.sleep(0.3)

    def follow(self, api):
        c = api.connect(5)
        c.request("GET", MAPS + "?watch=1&allowWatchBookmarks=true&resourceVersion=%d" % self.version)
        answer = c.getresponse()
        if answer.status != 200:
            self.version = None if answer.status == 410 else self.version
            raise OSError(answer.status)
        while not self.ended:
            line = answer.readline()
            if not line:
                return
            self.event(json.loads(line))

    def event(self, event):
        kind, thing = event["type"], event["object"]
        if kind == "ERROR":
            self.version = None
            raise OSError(thing.get("message"))
        version = int(thing["metadata"]["resourceVersion"])
        check(version > self.version or kind == "BOOKMARK" and version == self.version,
              "watch went back from %d to %d" % (self.version, version))
        self.version = version
        name = thing["metadata"].get("name", "")
        if kind == "BOOKMARK" or not name.startswith("w"):
            return
        self.events += 1
        if kind == "DELETED":
            check(self.copy.pop(name, None) is not None, "%s was deleted twice" % name)
        else:
            check((kind == "ADDED") == (name not in self.copy), "%s of %s, which is %s" % (kind, name, self.copy.get(name)))
            self.copy[name] = thing["data"]["v"]


def deployments(api, count, replicas):
    for i in range(count):
        labels = {"app": "d%d" % i}
        status, answer = api("POST", DEPLOYMENTS, {"metadata": {"name": "d%d" % i}, "spec": {
            "replicas": replicas, "selector": {"matchLabels": labels}, "template": {
                "metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "lab.local/none:1"}]}}}})
        check(status == 201, "deployment: %s" % answer)


def pods(api):
    status, answer = api("GET", SPACE + "/pods")
    check(status == 200, "pods: %d" % status)
    return len([p for p in answer["items"] if "deletionTimestamp" not in p["metadata"]])


def equal_hashes(one):
    """HashKV of all members at one revision."""
    status = json.loads(one.etcdctl("endpoint", "status", "-w", "json"))
    revision = min(s["Status"]["header"]["revision"] for s in status)
    hashes = json.loads(one.etcdctl("endpoint", "hashkv", "--rev", revision, "-w", "json"))
    check(len({(h["HashKV"]["hash"], h["HashKV"]["compact_revision"]) for h in hashes}) == 1, "hashes differ: %s" % hashes)
    return hashes[0]["HashKV"]["compact_revision"]


def faults(one, ours, go):
    """Name and action, each done under the load; a member is back before the next one goes."""
    def again(how, member, program=None):
        one.control(how, member)
        time.sleep(2)
        one.control("start", member, *([program] if program else []))
        wait_for(30, member + " is healthy", lambda: one.etcdctl("endpoint", "health", timeout=20), 1)

    for member in ("etcd0", "etcd1", "etcd2"):
        yield "kill %s, start it again" % member, lambda m=member: again("kill", m)
    for member in ("etcd0", "etcd1", "etcd2"):
        yield "stop %s, go on with Go's program" % member, lambda m=member: again("stop", m, go)
    for member in ("etcd2", "etcd0", "etcd1"):
        yield "kill %s, go on with ours" % member, lambda m=member: again("kill", m, ours)
    yield "kill the API server", lambda: (one.control("kill", "kube-apiserver"), one.control("start", "kube-apiserver"),
                                          wait_for(60, "the API server", lambda: Api()("GET", SPACE)[0] == 200))


def controller_load(settings, say):
    """Writers, a watch and deployments while members and the API server are killed, and programs swapped: nothing acknowledged is lost."""
    ours, go = os.path.join(settings.ours, "etcd"), os.path.join(settings.go, "etcd")
    with lab(settings.ours, members=3, tls=True, api_args=["--etcd-compaction-interval=20s"]) as one:
        api = Api()
        api("POST", "/api/v1/namespaces", {"metadata": {"name": "load"}})
        stop, watcher = threading.Event(), Watcher()
        writers = [Writer(i, stop) for i in range(WRITERS)]
        watcher.start()
        for w in writers:
            w.start()
        try:
            deployments(api, 20, 20)
            wait_for(90, "400 pods of 20 deployments", lambda: pods(api) == 400)
            for name, action in faults(one, ours, go):
                before = sum(w.acknowledged for w in writers)
                action()
                time.sleep(2)
                # broken runs are told at once, not at the end
                check(not any(w.error for w in writers) and not watcher.error,
                      "%s: %s %s" % (name, [w.error for w in writers if w.error], watcher.error))
                say("%s: %d writes acknowledged meanwhile" % (name, sum(w.acknowledged for w in writers) - before))
            wait_for(60, "still 400 pods", lambda: pods(Api()) == 400)
        finally:
            stop.set()
        for w in writers:
            w.join(300)
            check(not w.is_alive() and not w.error, w.error or "a writer does not end")
        expected = {k: v for w in writers for k, v in w.state.items() if v is not None}
        status, answer = Api()("GET", MAPS)
        listed = {i["metadata"]["name"]: i["data"]["v"] for i in answer["items"] if i["metadata"]["name"].startswith("w")}
        check(listed == expected, "the list differs from what was acknowledged: %s"
              % sorted(set(listed.items()) ^ set(expected.items()))[:10])
        wait_for(20, "the watch's copy is the list", lambda: watcher.copy == expected or watcher.error)
        watcher.ended = True
        check(not watcher.error, watcher.error)
        compacted = wait_for(30, "equal hashes", lambda: equal_hashes(one))
        check(compacted > 1, "the API server did not compact")
        latencies = sorted(x for w in writers for x in w.latencies)
        say("%d writes acknowledged, %d without an answer, p50 %.1f ms, p99 %.0f ms, longest %.1f s" % (
            len(latencies), sum(w.unknown for w in writers), latencies[len(latencies) // 2] * 1e3,
            latencies[int(len(latencies) * .99)] * 1e3, latencies[-1]))
        say("%d events seen by one watch (%d lists), compacted at %d, equal HashKV on three members" % (
            watcher.events, watcher.lists, compacted))


def conformance(settings, say):
    """The lab's own 17 checks of a cluster, on our store."""
    with lab(settings.ours, members=3, tls=True, nodes=1) as one:
        said = one.script("conformance", timeout=400)
        say("passed" + (": " + said.strip().splitlines()[-1] if said.strip() else ""))


SCENARIOS = [controller_load, conformance]
