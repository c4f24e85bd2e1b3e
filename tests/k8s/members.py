"""Our chart's promises about members: scaling, updates, dead nodes, lost volumes, lost quorum, an API that is silent, a release that goes."""
import os
import time

import images
from lab import Failed, check, lab, wait_for
from load import Load

PASSWORD = "Seventeen17"
CHART = os.path.join(images.TOP, "deploy", "chart", "etcd")


class Release:
    def __init__(self, one, image, name="r"):
        self.one, self.name, self.set = one, name, name + "-etcd"
        self.repo, _, self.tag = image.rpartition(":")

    def install(self, replicas, *settings, wait=True):
        values = ["image.repo=" + self.repo, "image.tag=" + self.tag, "auth.rbac.rootPassword=" + PASSWORD, "replicas=%d" % replicas,
                  # its share beside what else runs on this machine; requests are shares of the CPU when it is busy
                  "resources.requests.cpu=500m", *settings]
        self.one.helm("upgrade", "--install", self.name, CHART, *[x for v in values for x in ("--set", v)], timeout=120)
        if wait:
            self.ready(replicas)

    def ready(self, replicas, seconds=300):
        """So many pods ready, and exactly their members, all voters, as seen by each pod."""
        wait_for(seconds, "%d pods are ready and %d voters" % (replicas, replicas), lambda: self.settled(replicas), 1)

    def settled(self, replicas):
        pods = self.pods()
        names = ["%s-%d" % (self.set, i) for i in range(replicas)]
        if sorted(p["metadata"]["name"] for p in pods) != sorted(names):
            return False
        if not all(c["status"] == "True" for p in pods for c in p["status"]["conditions"] if c["type"] == "Ready"):
            return False
        members = self.members()
        return sorted(m[1] for m in members) == sorted(names) and all(m[2] == "voter" for m in members)

    def pods(self):
        return self.one.get("pods", "-l", "app.kubernetes.io/name=%s,release=%s" % (self.name, self.name))["items"]

    def etcdctl(self, ordinal, *arguments, **options):
        return self.one.kubectl("exec", "%s-%d" % (self.set, ordinal), "-c", "etcd", "--", "etcdctl", "--user", "root:" + PASSWORD, *arguments,
                                timeout=options.pop("timeout", 30), **options)

    def members(self, ordinal=0):
        """(id, name, voter or learner or unstarted)"""
        rows = [line.split(", ") for line in self.etcdctl(ordinal, "member", "list").splitlines()]
        return sorted((r[0], r[2], "unstarted" if r[1] != "started" else "learner" if r[-1] == "true" else "voter") for r in rows)

    def addresses(self):
        return ["%s:2379" % p["status"]["podIP"] for p in self.pods() if p["status"].get("podIP") and "deletionTimestamp" not in p["metadata"]]

    def scale(self, replicas, wait=True):
        self.one.kubectl("scale", "statefulset/" + self.set, "--replicas=%d" % replicas)
        if wait:
            self.ready(replicas)

    def claims(self):
        return [c for c in self.one.get("pvc")["items"] if c["metadata"]["name"].startswith("data-" + self.set)]

    def log(self, ordinal):
        return self.one.kubectl("logs", "%s-%d" % (self.set, ordinal), "-c", "etcd", fails=True)[1]

    def lose(self, *ordinals):
        """Their claims and pods, at once."""
        names = ["%s-%d" % (self.set, i) for i in ordinals]
        self.one.kubectl("delete", "pvc", "--wait=false", *["data-" + n for n in names])
        self.one.kubectl("delete", "pod", "--force", "--grace-period=0", *names)

    def load(self):
        """The addresses are looked up at most once a second."""
        seen = [0, []]

        def addresses():
            if time.monotonic() - seen[0] > 1:
                try:
                    seen[:] = [time.monotonic(), self.addresses()]
                except Exception:
                    seen[0] = time.monotonic()
            return seen[1]
        return Load(addresses, PASSWORD)


def explain(release, say):
    for what in (("get", "pods,pvc", "-o", "wide"), ("get", "events", "--sort-by=.lastTimestamp")):
        say("\n".join(release.one.kubectl(*what, fails=True)[1].splitlines()[-25:]))
    for i in range(3):
        say("log of %d: %s" % (i, release.log(i)[-1800:]))


def under_load(release, steps, say):
    """Steps (name, action) one after the other; the load's view is checked after each of them, and all of it in the end."""
    with release.load() as load:
        try:
            wait_for(30, "first writes", lambda: len(load.latencies) > 20 or load.errors)
            for name, action in steps:
                began, before = time.monotonic(), len(load.latencies)
                action()
                check(not load.errors, "%s: %s" % (name, load.errors))
                say("%s: %.0f s, %d writes acknowledged meanwhile" % (name, time.monotonic() - began, len(load.latencies) - before))
        except Failed:
            explain(release, say)
            raise
    errors = load.final()
    check(not errors, errors)
    say(load.told())


def scaling(settings, say):
    """1 to 3 to 5 to 3 to 5 to 3 to 1 under a checked load: claims are kept, ids are not used twice."""
    with lab(settings.ours, nodes=3) as one:
        release = Release(one, images.build(settings, "members"))
        release.install(1)
        ids = {}

        def step(n):
            release.scale(n)
            ids[len(ids)] = {m[0] for m in release.members()}
            kept = ids.get(len(ids) - 2)
            check(kept is None or len(kept & ids[len(ids) - 1]) == min(len(kept), n), "members that stay keep their ids: %s" % ids)

        under_load(release, [("%d to %d" % (a, b), lambda b=b: step(b)) for a, b in ((1, 3), (3, 5), (5, 3), (3, 5), (5, 3), (3, 1))], say)
        check(len(ids[1] & ids[3]) == 3, "members 3 and 4 came back under their old ids: %s" % ids)
        check(len(release.claims()) == 5, "claims are kept")


def updates(settings, say):
    """A rolling change of the image, a killed node, a lost volume, under a checked load; only the lost volume changes the membership."""
    with lab(settings.ours, nodes=3) as one:
        release = Release(one, images.build(settings, "members"))
        new = images.build(settings, "members-2")
        release.install(3)
        first = release.members()

        def rolling():
            one.kubectl("set", "image", "statefulset/" + release.set, "etcd=" + new)
            one.kubectl("rollout", "status", "statefulset/" + release.set, "--timeout=300s", timeout=320)
            release.ready(3)
            check(release.members() == first, "a restart changed the members")

        def node():
            where = next(p["spec"]["nodeName"] for p in release.pods() if p["metadata"]["name"] == release.set + "-2")
            if where == "node1":        # this machine's way to the services; take another pod's
                where = next(p["spec"]["nodeName"] for p in release.pods() if p["spec"]["nodeName"] != "node1")
            one.node("kill", where[4:])
            time.sleep(15)
            one.node("start", where[4:])
            release.ready(3)
            check(release.members() == first, "a power cut changed the members")

        def volume():
            release.lose(1)
            time.sleep(3)
            release.ready(3)
            now = release.members()
            check(len(set(first) & set(now)) == 2, "members: %s, before %s" % (now, first))

        under_load(release, [("rolling change of the image", rolling), ("power cut of a node, 15 s", node), ("claim and pod 1 lost", volume)], say)


def quorum(settings, say):
    """A member's volume emptied while the rest is down; the majority lost for good, and cetcd/recover."""
    with lab(settings.ours, nodes=3) as one:
        release = Release(one, images.build(settings, "members"))
        release.install(3)
        first = release.members()
        release.etcdctl(0, "put", "precious", "1")
        try:
            emptied_minority(one, release, first, say)
            majority_lost(one, release, say)
        except Failed:
            explain(release, say)
            raise


def emptied_minority(one, release, first, say):
    release.scale(0, wait=False)
    wait_for(60, "no pods", lambda: not release.pods())
    one.kubectl("delete", "pvc", "data-%s-2" % release.set)
    check(len(release.claims()) == 2, "claims at 0 replicas")
    release.scale(3)
    now = release.members()
    check(len(set(first) & set(now)) == 2, "members: %s, before %s" % (now, first))
    for i in range(3):
        check(release.etcdctl(i, "get", "precious").split() == ["precious", "1"], "the key at %d" % i)
    say("0 replicas and back, volume 2 emptied meanwhile: pod 2 has a new id, the others theirs, the data is there")


def majority_lost(one, release, say):
    before = {m[0] for m in release.members()}
    release.lose(1, 2)

    def condition():
        pod = next(p for p in release.pods() if p["metadata"]["name"] == release.set + "-0")
        return [c for c in pod["status"]["conditions"] if c["type"] == "cetcd/Quorum" and c["status"] == "False"]
    wait_for(120, "the condition cetcd/Quorum is False", condition)
    time.sleep(20)
    check("quorum" in release.log(0).lower(), "the log says nothing of a quorum")
    say("two of three volumes lost: condition False, nothing begins anew by itself")
    began = time.monotonic()
    one.kubectl("annotate", "statefulset/" + release.set, "cetcd/recover=%s-0:1" % release.set, "--overwrite")
    release.ready(3)
    check(release.etcdctl(1, "get", "precious").split() == ["precious", "1"], "the key after the recovery")
    say("cetcd/recover: three members again after %.0f s, the data is there" % (time.monotonic() - began))


def beginnings(settings, say):
    """An API that is silent at the start; a release that is deleted while it grows, and comes back on its volumes."""
    with lab(settings.ours, nodes=3) as one:
        release = Release(one, images.build(settings, "members"))
        try:
            silent(release, say)
            deleted(one, release, say)
        except Failed:
            explain(release, say)
            raise


def silent(release, say):
    # an address of the services' range that nobody has
    release.install(1, "extraEnv[0].name=KUBE_URL", "extraEnv[0].value=https://10.213.99.99", wait=False)
    wait_for(60, "pod 0 runs", lambda: [p for p in release.pods() if p["status"]["phase"] == "Running"])
    time.sleep(30)
    check(release.etcdctl(0, "member", "list", fails=True)[0] != 0, "a cluster began although the API is silent")
    check(release.log(0), "nothing is said")
    say("silent API, no data: waits, last line: %s" % release.log(0).strip().splitlines()[-1][:200])
    release.install(1)
    say("API back: began")


def deleted(one, release, say):
    release.scale(3)
    release.etcdctl(0, "put", "precious", "1")
    first = release.members()
    release.scale(5, wait=False)
    time.sleep(4)
    began = time.monotonic()
    one.helm("uninstall", release.name)
    wait_for(100, "no pods of a deleted release", lambda: not release.pods())
    say("deleted while scaling from 3 to 5: pods gone after %.0f s" % (time.monotonic() - began))
    left = [x for x in one.kubectl("get", "all,cm,secret,sa,role,rolebinding,pdb,netpol,pvc,applications", "-l", "app.kubernetes.io/name=" + release.name,
                                   "-o", "name").split() if not x.startswith("persistentvolumeclaim/")]
    check(not left, "left behind: %s" % left)
    release.install(3)
    now = release.members()
    check(set(first) <= set(now), "members %s, before %s" % (now, first))
    check(release.etcdctl(2, "get", "precious").split() == ["precious", "1"], "the key of the deleted release")
    say("installed again on its volumes: same members, same data")


SCENARIOS = [scaling, updates, quorum, beginnings]
